//! The library and the examples keep what every module promises as a stream.

use std::path::{Path, PathBuf};

use girih::contract::{Asked, Contract, Finding, check_modules};
use girih::source::load;
use girih_cpu::{Cpu, CpuOptions};
use girih_dsl::diag::{Code, explain};
use girih_dsl::model::Static;
use girih_runtime::backend::Backend;
use girih_runtime::reference::Reference;
use girih_template_device::Template;
use girih_tests::direct::direct;

/// Examples whose modules take long as they are without optimization; they are verified as
/// streams with stored numbers.
const LARGE: [&str; 4] = [
    "examples/hf",
    "examples/smollm2.girih",
    "examples/language/gpt2.girih",
    "examples/bench",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every model file under a folder, in order.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("it can be read").path()).collect();
    paths.sort();
    for path in paths {
        let own = path.strip_prefix(root()).unwrap_or(&path);
        if LARGE.iter().any(|large| own.starts_with(large)) {
            continue;
        }
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|own| own == "girih") {
            found.push(path);
        }
    }
}

fn contracts(file: &Path, backend: &dyn Backend, statics: &[(String, Static)]) -> Vec<Contract> {
    let (program, sink) = load(file).expect("it can be read");
    if sink.has_errors() {
        // The example of a mistake.
        assert!(file.ends_with("slip.girih"), "{}", file.display());
        return Vec::new();
    }
    let asked = Asked {
        statics: statics.to_vec(),
        ..Asked::default()
    };
    check_modules(&program, backend, &asked, &mut |_| {})
}

/// Fails at what is broken; gives the modules that stream.
fn streamed(file: &Path, backend: &dyn Backend, statics: &[(String, Static)]) -> Vec<String> {
    let mut names = Vec::new();
    for contract in contracts(file, backend, statics) {
        match contract.finding {
            Finding::Broken(why) | Finding::Large(why) => {
                panic!("{}: {}: {why}", file.display(), contract.module)
            }
            Finding::Holds(_) => names.push(contract.module),
            Finding::Whole(_) | Finding::Still | Finding::Skipped(_) => {}
        }
    }
    names
}

#[test]
fn the_library_keeps_its_promises() {
    let mut all = Vec::new();
    files(&root().join("dsl/std"), &mut all);
    let causal = [("causal".to_owned(), Static::Bool(true))];
    let mut names = Vec::new();
    for file in &all {
        for backend in backends() {
            names.extend(streamed(file, backend.as_ref(), &causal));
        }
    }
    for module in ["Attention", "GroupedAttention", "CausalConv"] {
        assert!(names.iter().any(|own| own == module), "{module}: {names:?}");
    }
}

#[test]
fn the_examples_keep_their_promises() {
    let mut all = Vec::new();
    files(&root().join("examples"), &mut all);
    let mut names = Vec::new();
    // Large models are made small where they have these arguments.
    let small = [
        ("depth", 1),
        ("d", 24),
        ("vocab", 50),
        ("pairs", 5),
        ("codebooks", 4),
    ];
    let small = small.map(|(name, size)| (name.to_owned(), Static::Int(size)));
    for file in &all {
        let own = file.ends_with("enc_dec.girih")
            || file.ends_with("50-discrete-key-value-bottleneck/model.girih");
        names.extend(streamed(file, &Reference, if own { &small } else { &[] }));
    }
    for module in ["Quick", "Lstm", "Mamba2Mixer", "EncDec", "WithMemory"] {
        assert!(names.iter().any(|own| own == module), "{module}: {names:?}");
    }
}

/// A page's example after a word.
fn example<'a>(page: &'a str, word: &str) -> &'a str {
    let (_, after) = page.split_once(word).expect("the page has it");
    let (_, code) = after.split_once("```girih\n").expect("it is code");
    code.split_once("```").expect("it ends").0
}

#[test]
fn pages_about_streams_are_what_they_say() {
    let folder = tempfile::tempdir().expect("there is room");
    let found = |text: &str| {
        let file = folder.path().join("page.girih");
        std::fs::write(&file, text).expect("it can be written");
        contracts(&file, &Reference, &[]).remove(0).finding
    };
    for number in 420..=422 {
        let page = explain(Code::new(number)).expect("it has a page");
        match found(example(page, "Wrong:")) {
            Finding::Whole(why) => assert!(why.contains(&format!("[E0{number}]")), "{why}"),
            other => panic!("E0{number}: {other:?}"),
        }
        match found(example(page, "Right:")) {
            Finding::Holds(_) => {}
            other => panic!("E0{number}: {other:?}"),
        }
    }
}

fn backends() -> [Box<dyn Backend>; 3] {
    [
        Box::new(Reference),
        Box::new(Cpu::new(CpuOptions::default())),
        Box::new(direct::<Template>()),
    ]
}
