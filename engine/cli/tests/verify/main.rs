//! `girih verify`: examples agree with independent implementations, wrong numbers are found,
//! and hostile files are refused.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod examples;
mod hostile;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use girih::command::{Streams, run};
use girih_dsl::diag::Colors;
use girih_runtime::tensor::Tensor;
use girih_runtime::weights::write_safetensors;

/// What a command line says: status, standard output, standard error.
fn girih(line: &[&str]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut streams = Streams {
        input: &mut std::io::empty(),
        out: &mut out,
        err: &mut err,
        colors: Colors::No,
        watched: false,
    };
    let words = std::iter::once("girih").chain(line.iter().copied());
    let status = run(words.map(Into::into), &mut streams);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status, text(out), text(err))
}

/// The repository's folder.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A model file and a golden file in a folder of their own.
struct Pair {
    folder: tempfile::TempDir,
}

impl Pair {
    fn new(model: &str, tensors: &[(&str, Tensor)], metadata: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("model.girih"), model).unwrap();
        let metadata: BTreeMap<String, String> = metadata
            .iter()
            .map(|&(name, text)| (name.to_owned(), text.to_owned()))
            .collect();
        let tensors = tensors.iter().map(|(name, tensor)| (*name, tensor));
        write_safetensors(
            &folder.path().join("golden.safetensors"),
            tensors,
            &metadata,
        )
        .unwrap();
        Self { folder }
    }

    fn golden(&self) -> PathBuf {
        self.folder.path().join("golden.safetensors")
    }

    fn verify(&self) -> (u8, String) {
        let model = self.folder.path().join("model.girih");
        let paths = [
            model.to_str().unwrap().to_owned(),
            self.golden().to_str().unwrap().to_owned(),
        ];
        let (status, out, err) = girih(&["verify", &paths[0], &paths[1]]);
        (status, out + &err)
    }
}

/// A real tensor.
fn reals(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::new(shape, values.to_vec()).unwrap()
}
