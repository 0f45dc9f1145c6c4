//! What every example becomes, as a graph and as a plan: text where it is short, counts and a
//! hash where it is not.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is how a test fails")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use girih_dsl::ast::{ItemKind, MemberKind, ModuleKind};
use girih_dsl::diag::{Sink, render};
use girih_dsl::elaborate::{Request, elaborate};
use girih_dsl::model::Model;
use girih_dsl::program::{Loader, Program};
use girih_graph::{Extent, Graph, Region, text, verify};
use girih_plan::plan::{BufferKind, Plan};
use girih_plan::{explain, lower, simplify_all};

struct Disk;

impl Loader for Disk {
    fn load(&self, from: &str, path: &str) -> Result<(String, String), String> {
        let file = Path::new(from).parent().unwrap_or(Path::new("")).join(path);
        let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
        Ok((file.display().to_string(), text))
    }
}

/// The most lines of a snapshot.
const LINES: usize = 60;

fn load(file: &Path, sink: &mut Sink) -> Program {
    let text = fs::read_to_string(file).unwrap();
    Program::load(&file.display().to_string(), &text, &Disk, sink)
}

/// The models of a file, each with its first method.
fn models(file: &Path) -> Vec<(String, String)> {
    let program = load(file, &mut Sink::new());
    let places = program.entry_modules().into_iter();
    places
        .filter_map(|place| {
            let ItemKind::Module(module) = &program.item(place).kind else {
                return None;
            };
            let method = module
                .members
                .iter()
                .find_map(|member| match &member.kind {
                    MemberKind::Method(method) => Some(method.name.text.clone()),
                    _ => None,
                })?;
            (module.kind == ModuleKind::Model).then(|| (module.name.text.clone(), method))
        })
        .collect()
}

fn model(file: &Path, module: Option<&str>, method: Option<&str>) -> Model {
    let mut sink = Sink::new();
    let program = load(file, &mut sink);
    let request = Request {
        module: module.map(str::to_owned),
        method: method.map(str::to_owned),
        ..Request::default()
    };
    let model = elaborate(&program, &request, &mut sink);
    let said: Vec<String> = sink
        .sorted()
        .iter()
        .map(|d| render(&program.sources, d))
        .collect();
    model.unwrap_or_else(|| panic!("{}\n{}", file.display(), said.join("\n")))
}

/// The text if it is short, else how often each primitive occurs, and a hash of the text.
fn brief(graph: &Graph) -> String {
    let whole = text::snapshot(graph);
    if whole.lines().count() <= LINES {
        return whole;
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    count(&graph.root, &mut counts);
    let head = whole
        .lines()
        .find(|line| line.starts_with("graph "))
        .unwrap_or_default();
    let mut brief = format!("{}\n", head.trim_end_matches(" {"));
    for (op, count) in counts {
        writeln!(brief, "{count:6} {op}").unwrap();
    }
    writeln!(brief, "text {:016x}", fnv(&whole)).unwrap();
    brief
}

fn count<'g>(region: &'g Region, counts: &mut BTreeMap<&'g str, usize>) {
    for (_, node) in region.nodes() {
        *counts.entry(node.op.name()).or_insert(0) += 1;
        node.op
            .regions()
            .iter()
            .for_each(|inner| count(inner, counts));
    }
}

/// The plan's memory and what each kernel is. Of a long plan without what kernels read, and then
/// cut off before a hash.
fn brief_plan(plan: &Plan) -> String {
    let temporary = |kind: &BufferKind| matches!(kind, BufferKind::Temporary);
    let buffers = plan.root.buffers.iter();
    let sizes: Vec<Extent> = (buffers.filter(|buffer| temporary(&buffer.kind)))
        .map(|buffer| {
            let bytes = Extent::constant(i64::try_from(buffer.dtype.size()).unwrap());
            buffer.elements.times(&bytes)
        })
        .collect();
    let bytes = (sizes.iter()).fold(Extent::constant(0), |sum, size| sum.plus(size));
    let whole = explain(plan);
    let mut lines: Vec<&str> = whole.lines().collect();
    if lines.len() > LINES {
        lines.retain(|line| !line.starts_with("  reads "));
    }
    let mut brief = format!(
        "{} temporaries, {bytes} bytes if none shared memory\n",
        sizes.len()
    );
    let rest = lines.len().saturating_sub(LINES);
    for line in lines.iter().take(LINES) {
        writeln!(brief, "{line}").unwrap();
    }
    if rest > 0 {
        writeln!(brief, "{rest} more lines, text {:016x}", fnv(&whole)).unwrap();
    }
    brief
}

/// Fowler, Noll and Vo's hash: the same on every machine and with every compiler.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn examples(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new("..").join("examples").join(folder);
    let mut found: Vec<PathBuf> = (fs::read_dir(&folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            if path.is_dir() {
                path.join("model.girih")
            } else {
                path
            }
        })
        .filter(|path| path.extension().is_some_and(|ending| ending == "girih") && path.is_file())
        .collect();
    found.sort();
    found
}

#[track_caller]
fn check(file: &Path, module: Option<&str>) {
    check_method(file, module, None);
}

#[track_caller]
fn check_method(file: &Path, module: Option<&str>, method: Option<&str>) {
    let graph = model(file, module, method).graph;
    verify::verify(&graph).unwrap_or_else(|problem| panic!("{}: {problem:?}", file.display()));
    let read = text::parse(&text::print(&graph)).expect("what is printed can be read");
    assert_eq!(read, text::canonical(&graph), "{}", file.display());
    let stem = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    let mut name = stem(file);
    if name == "model" {
        name = stem(file.parent().unwrap());
    }
    if file
        .parent()
        .is_some_and(|folder| folder.ends_with("bench"))
    {
        name = format!("bench-{name}");
    }
    if let Some(module) = module {
        name = format!("{name}-{module}");
    }
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true, snapshot_path => "graphs"}, {
        insta::assert_snapshot!(name.as_str(), brief(&graph));
    });
    let plan = lower(&simplify_all(&graph));
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true, snapshot_path => "plans"}, {
        insta::assert_snapshot!(name, brief_plan(&plan));
    });
}

#[test]
fn quickstart() {
    let file = Path::new("../examples/quickstart/gated.girih");
    for module in [None, Some("Block"), Some("Attention")] {
        check(file, module);
    }
}

#[test]
fn published_architectures() {
    for file in examples("hf") {
        check(&file, None);
    }
}

#[test]
fn papers() {
    for file in examples("papers") {
        for (module, method) in models(&file) {
            check_method(&file, Some(&module), Some(&method));
        }
    }
}

#[test]
fn workloads() {
    for file in examples("bench") {
        check(&file, None);
    }
}

#[test]
fn models_with_a_short_name() {
    for name in ["smollm2", "minilm"] {
        check(
            &Path::new("../examples").join(name).with_extension("girih"),
            None,
        );
    }
}
