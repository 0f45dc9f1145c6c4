//! Generated code for every example: how much of each plan there is code for, and why not for the
//! rest; and whether NVIDIA's compiler takes all of it.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use girih_cuda::driver::nvrtc;
use girih_cuda::source::{Program, program};
use girih_dsl::ast::{ItemKind, MemberKind, ModuleKind};
use girih_dsl::diag::Sink;
use girih_dsl::elaborate::{Request, elaborate};
use girih_dsl::program::{Loader, Program as Source};
use girih_plan::plan::{Plan, Work};
use girih_plan::region::Region;
use girih_plan::{Wants, lower_for, simplify_all};

struct Disk;

impl Loader for Disk {
    fn load(&self, from: &str, path: &str) -> Result<(String, String), String> {
        let file = Path::new(from).parent().unwrap_or(Path::new("")).join(path);
        let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
        Ok((file.display().to_string(), text))
    }
}

/// Every example's file, in order.
fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![Path::new("../../examples").to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "girih") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The plans of a file's models and methods, by name.
fn plans(file: &Path) -> Vec<(String, Plan)> {
    let text = fs::read_to_string(file).unwrap();
    let source = Source::load(&file.display().to_string(), &text, &Disk, &mut Sink::new());
    let mut all = Vec::new();
    for place in source.entry_modules() {
        let ItemKind::Module(module) = &source.item(place).kind else {
            continue;
        };
        if module.kind != ModuleKind::Model {
            continue;
        }
        let name = &module.name.text;
        let methods = module
            .members
            .iter()
            .filter_map(|member| match &member.kind {
                MemberKind::Method(method) => Some(method.name.text.clone()),
                _ => None,
            });
        for method in methods {
            let request = Request {
                module: Some(name.clone()),
                method: Some(method.clone()),
                ..Request::default()
            };
            // Methods that need more than their defaults say so elsewhere.
            if let Some(model) = elaborate(&source, &request, &mut Sink::new()) {
                let plan = lower_for(&simplify_all(&model.graph), Wants::DEVICE);
                all.push((format!("{name}.{method}"), plan));
            }
        }
    }
    all
}

/// What was made of a plan's launches, one region each.
#[derive(Default)]
struct Made {
    launches: BTreeMap<&'static str, usize>,
    /// Products that a library may carry out.
    multiplied: usize,
    programs: BTreeMap<String, Program>,
    refused: BTreeMap<String, usize>,
}

fn kind(work: &Work) -> &'static str {
    match work {
        Work::Kernel(_) => "kernels",
        Work::Contract(_) => "products",
        Work::Attention(_) => "attentions",
        Work::Recurrence(_) => "loops",
        Work::Route(_) => "routes",
        Work::Routine(_) => "routines",
        Work::Native(_) => "natives",
    }
}

fn made(plan: &Plan) -> Made {
    let mut made = Made::default();
    for (at, launch) in plan.root.launches.iter().enumerate() {
        let what = kind(&launch.work);
        let Some((region, _)) = Region::new(plan, &plan.root, at..at + 1) else {
            *made
                .refused
                .entry(format!("{what}: no region"))
                .or_default() += 1;
            continue;
        };
        // As it comes over the border.
        let region = Region::from_text(&region.to_text()).unwrap();
        match program(&region.kernels, &region.section) {
            Ok(program) => {
                *made.launches.entry(what).or_default() += 1;
                made.multiplied += program
                    .launches
                    .iter()
                    .filter(|own| own.product.is_some())
                    .count();
                made.programs.insert(program.text.clone(), program);
            }
            Err(refusal) => {
                *made
                    .refused
                    .entry(format!("{what}: {refusal}"))
                    .or_default() += 1;
            }
        }
    }
    made
}

/// Fowler, Noll and Vo's hash: the same on every machine and with every compiler.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn stem(file: &Path) -> String {
    let folder = Path::new("../../examples");
    let path = file.strip_prefix(folder).unwrap().with_extension("");
    path.to_string_lossy().replace('\\', "/")
}

#[test]
fn what_there_is_code_for() {
    let mut brief = String::new();
    for file in files() {
        for (name, plan) in plans(&file) {
            let made = made(&plan);
            let counts = made.launches.iter();
            let counts: Vec<String> = counts
                .map(|(what, count)| match (*what, made.multiplied) {
                    ("products", own) if own < *count => {
                        format!("{count} {what}, {own} for a library")
                    }
                    _ => format!("{count} {what}"),
                })
                .collect();
            let texts: String = made.programs.keys().map(String::as_str).collect();
            writeln!(
                brief,
                "{} {name}: {}; {} texts {:016x}",
                stem(&file),
                counts.join(", "),
                made.programs.len(),
                fnv(&texts)
            )
            .unwrap();
            for (reason, count) in made.refused {
                writeln!(brief, "  refused {count} {reason}").unwrap();
            }
        }
    }
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true, snapshot_path => "snapshots"}, {
        insta::assert_snapshot!("examples", brief);
    });
}

/// The oldest and the newest architecture that code is meant for.
const ARCHITECTURES: [i32; 2] = [80, 90];

/// Texts of one call of the compiler.
const TOGETHER: usize = 24;

/// All texts take minutes: of these every so many are compiled, and all where `GIRIH_NVRTC_ALL` is set.
const EVERY: usize = 24;

#[test]
fn nvrtc_compiles_it() {
    if let Err(error) = nvrtc::load() {
        say(&format!(
            "SKIPPED: generated code is not compiled for a device: {error}"
        ));
        return;
    }
    let mut texts: BTreeSet<String> = BTreeSet::new();
    for file in files() {
        for (_, plan) in plans(&file) {
            texts.extend(made(&plan).programs.into_keys());
        }
    }
    let every = if std::env::var_os("GIRIH_NVRTC_ALL").is_some() {
        1
    } else {
        EVERY
    };
    let texts: Vec<String> = texts.into_iter().step_by(every).collect();
    let mut bytes = 0;
    for texts in texts.chunks(TOGETHER) {
        // Each in a name space of its own, as the texts use the same names.
        let mut all = String::new();
        for (at, text) in texts.iter().enumerate() {
            let text = text.replace("extern \"C\" ", "");
            writeln!(all, "namespace region{at} {{\n{text}}}").unwrap();
        }
        for architecture in ARCHITECTURES {
            let image = nvrtc::compile(&all, architecture);
            bytes += image.unwrap_or_else(|error| panic!("{error}")).bytes.len();
        }
    }
    say(&format!(
        "{} texts compiled, {bytes} bytes of code",
        texts.len()
    ));
    assert!(bytes > 0);
}

/// Past the test harness, which keeps what passing tests print.
fn say(what: &str) {
    std::io::stderr()
        .write_all(format!("{what}\n").as_bytes())
        .unwrap();
}
