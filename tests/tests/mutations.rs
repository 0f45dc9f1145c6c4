//! Does anything panic? Broken model files go through parser, checker, formatter, and, where
//! there is a checkpoint for the file, through its `weights` block.
//!
//! A bounded run with the tests; `GIRIH_MUTATIONS=100000` makes it as long as wanted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use girih::checkpoint::{Checkpoint, fit};
use girih_dsl::diag::{Sink, render};
use girih_dsl::elaborate::{Request, check};
use girih_dsl::format::format_file;
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

/// The checkpoint that a model file of `examples/hf` is verified with.
fn checkpoint_of(file: &Path) -> Option<Checkpoint> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/conformance");
    let folder = folder.join(file.file_stem()?);
    let is_published = file.parent().is_some_and(|parent| parent.ends_with("hf"));
    (is_published && folder.is_dir())
        .then(|| Checkpoint::open(&folder).expect("published checkpoints can be read"))
}

/// Everything that is done with a text before it runs.
fn whole_check(text: &str, checkpoint: Option<&Checkpoint>) {
    let mut sink = Sink::new();
    let program = Program::load("mutation.girih", text, &NoFiles, &mut sink);
    check(&program, &mut sink);
    let entry = program.files[program.entry()].id;
    let formatted = format_file(&program.sources, entry);
    assert!(
        formatted.is_ok() || sink.has_errors(),
        "what is right can be formatted"
    );
    if let (Some(checkpoint), false) = (checkpoint, sink.has_errors()) {
        fit(&program, checkpoint, &Request::default(), &[], &mut sink);
    }
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
    let texts: Vec<(PathBuf, String, Option<Checkpoint>)> = model_files()
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("model files are text");
            let checkpoint = checkpoint_of(&path);
            (path, text, checkpoint)
        })
        .collect();
    let mut numbers = Numbers(20_240_607);
    for turn in 0..count {
        let (path, text, checkpoint) = &texts[numbers.below(texts.len())];
        let broken = mutate(text, &mut numbers);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            whole_check(&broken, checkpoint.as_ref());
        }));
        assert!(
            outcome.is_ok(),
            "mutation {turn} of {} panics:\n{broken}",
            path.display()
        );
    }
}
