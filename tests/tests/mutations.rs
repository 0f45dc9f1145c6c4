//! Does anything panic? Broken model files go through parser, checker and formatter.
//!
//! A bounded run with the tests; `GIRIH_MUTATIONS=100000` makes it as long as wanted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use girih_dsl::diag::{Sink, render};
use girih_dsl::elaborate::check;
use girih_dsl::program::{NoFiles, Program};
use girih_tests::mutate::{Numbers, mutate};

/// Every model file of the repository, in order.
fn model_files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    let mut folders = vec![
        root.join("examples"),
        root.join("dsl/std"),
        root.join("dsl/tests/syntax/examples"),
        root.join("tests/suite/run"),
    ];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder is in the repository") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|own| own == "girih") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Everything that is done with a text before it runs.
fn whole_check(text: &str) {
    let mut sink = Sink::new();
    let program = Program::load("mutation.girih", text, &NoFiles, &mut sink);
    check(&program, &mut sink);
    for diagnostic in sink.sorted() {
        render(&program.sources, diagnostic);
    }
}

#[test]
fn no_mutation_panics() {
    let count: usize = match std::env::var("GIRIH_MUTATIONS") {
        Ok(text) => text.parse().expect("GIRIH_MUTATIONS is a number"),
        Err(_) => 300,
    };
    let texts: Vec<(PathBuf, String)> = model_files()
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("model files are text");
            (path, text)
        })
        .collect();
    let mut numbers = Numbers(20_240_607);
    for turn in 0..count {
        let (path, text) = &texts[numbers.below(texts.len())];
        let broken = mutate(text, &mut numbers);
        let outcome = catch_unwind(AssertUnwindSafe(|| whole_check(&broken)));
        assert!(
            outcome.is_ok(),
            "mutation {turn} of {} panics:\n{broken}",
            path.display()
        );
    }
}
