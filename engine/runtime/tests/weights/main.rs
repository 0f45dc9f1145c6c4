//! Files of tensors are read as they were written, and whatever a file says,
//! the answer is tensors or an error that names file and tensor.

mod folder;
mod gguf;
mod mutation;
mod npz;
mod safetensors;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use girih_runtime::weights::open;
use proptest::test_runner::{Config as ProptestConfig, RngSeed};
use tempfile::TempDir;

fn temporary() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// The same random cases in every run.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0),
        ..ProptestConfig::default()
    }
}

/// Opens a file of the given bytes, reads every tensor, and says what it saw.
fn describe(name: &str, bytes: &[u8]) -> String {
    let folder = temporary();
    let file = folder.path().join(name);
    fs::write(&file, bytes).expect("the folder is writable");
    describe_path(&file).replace(&format!("{}/", folder.path().display()), "")
}

fn describe_path(path: &Path) -> String {
    let source = match open(path) {
        Ok(source) => source,
        Err(error) => return error.to_string(),
    };
    let mut text = String::new();
    for entry in source.entries() {
        let line = match source.tensor(&entry.name) {
            Ok(tensor) => {
                let raw = source
                    .raw(&entry.name)
                    .expect("a tensor that is read has bytes");
                assert_eq!(raw.len(), entry.bytes);
                assert_eq!(
                    (tensor.dtype(), tensor.shape()),
                    (entry.dtype(), &*entry.shape)
                );
                format!("{} {} {tensor:?}", entry.name, entry.storage)
            }
            Err(error) => error.to_string(),
        };
        writeln!(text, "{line}").expect("a string takes text");
    }
    text
}

fn check(name: &str, bytes: &[u8], expected: &str) {
    assert_eq!(describe(name, bytes).trim_end(), expected);
}
