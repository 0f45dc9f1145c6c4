//! `girih run`, `girih generate` and `girih chat`: a checkpoint's own answers come out, and what
//! is missing is said.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod sessions;
mod speak;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use girih::command::{Streams, run};
use girih_dsl::diag::Colors;
use girih_runtime::tensor::Tensor;
use girih_runtime::weights::{self, WeightSource, write_safetensors};
use serde_json::Value;

/// What a command line says: status, standard output, standard error.
fn girih(line: &[&str]) -> (u8, String, String) {
    girih_hears("", line)
}

/// The same, with `input` on standard input.
fn girih_hears(input: &str, line: &[&str]) -> (u8, String, String) {
    let mut input: &[u8] = input.as_bytes();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut streams = Streams {
        input: &mut input,
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

fn repository(path: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path);
    path.to_str().unwrap().to_owned()
}

fn answers() -> Box<dyn WeightSource> {
    weights::open(Path::new(&repository(
        "tests/data/conformance/llama/io.safetensors",
    )))
    .unwrap()
}

#[test]
fn a_checkpoint_gives_its_logits() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let ids = answers().tensor("input_ids").unwrap();
    write_safetensors(
        Path::new(&place("in.safetensors")),
        [("ids", &ids)],
        &BTreeMap::new(),
    )
    .unwrap();
    // What is rounded is near, and is not the same.
    for (compute, least, most) in [
        ("f32", 0.0, 1e-4),
        ("bf16", 1e-5, 5e-2),
        ("int8", 1e-5, 1e-1),
    ] {
        let (status, out, err) = girih(&[
            "run",
            &repository("examples/hf/llama.girih"),
            "--weights",
            &repository("tests/data/conformance/llama"),
            "--input",
            &place("in.safetensors"),
            "--output",
            &place("out.safetensors"),
            "--compute",
            compute,
        ]);
        assert!(status == 0 && out.starts_with("out: f32["), "{out}{err}");
        let ours = weights::open(Path::new(&place("out.safetensors")))
            .unwrap()
            .tensor("out")
            .unwrap();
        let theirs = answers().tensor("logits").unwrap();
        assert_eq!(ours.shape(), theirs.shape());
        let pairs = ours.to_f64_vec().into_iter().zip(theirs.to_f64_vec());
        let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!((least..most).contains(&worst), "{compute}: {worst}");
    }
}

#[test]
fn parameters_start_as_the_model_file_says() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.girih");
    let text = "axis t\nmodel M(d: axis = 2) { param w: f32[d] = full(3) forward(x: f32[t]) -> f32[t, d] { y[t, d] = x * w return y } }";
    std::fs::write(&model, text).unwrap();
    let input = folder.path().join("in.safetensors");
    let x = Tensor::new([2, 2], vec![1.0f32, 2.0, 3.0, 4.0]).unwrap();
    write_safetensors(&input, [("x", &x)], &BTreeMap::new()).unwrap();
    let (model, input) = (model.to_str().unwrap(), input.to_str().unwrap());
    let (status, out, err) = girih(&["run", model, "--input", input, "--set", "d=1", "--json"]);
    assert_eq!(status, 0, "{err}");
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(said["results"][0]["shape"], serde_json::json!([2, 2, 1]));
    assert_eq!(
        said["results"][0]["first"],
        serde_json::json!([3.0, 6.0, 9.0, 12.0])
    );
    let line = ["run", model, "--input", input, "--set", "d=1", "--timings"];
    let (_, _, err) = girih(&line);
    let parts: Vec<&str> = err
        .lines()
        .filter_map(|line| line.split("  ").next())
        .collect();
    assert_eq!(parts, ["open", "check", "compile", "load", "run", "in all"]);
    for (line, said) in [
        (vec!["run", model], "the model needs `x: f32[t]`"),
        (
            vec!["run", model, "--input", input, "--set", "e=3"],
            "neither a parameter nor a free size",
        ),
        (
            vec!["run", model, "--input", input, "--set", "e=true"],
            "no such parameter",
        ),
        (vec!["run", model, "--text", "x"], "which tokenizer?"),
        (
            vec!["run", model, "--input", input, "--backend", "abacus"],
            "there is no backend `abacus`",
        ),
        (vec!["generate", model, "--prompt", "x"], "which weights?"),
        (
            vec!["generate", "nobody", "--prompt", "x"],
            "cannot read `nobody`",
        ),
        (
            vec!["generate", model, "--prompt", "x", "--top-p", "2"],
            "top-p is 0 to 1, not 2",
        ),
    ] {
        let (status, _, err) = girih(&line);
        assert!(
            status == 2 && err.contains(said),
            "{line:?}: {status} {err}"
        );
    }
}

#[test]
fn weights_that_do_not_fit_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let tensor = Tensor::new([3], vec![0.0f32; 3]).unwrap();
    write_safetensors(&path, [("wide", &tensor)], &BTreeMap::new()).unwrap();
    let model = folder.path().join("model.girih");
    std::fs::write(
        &model,
        "model M(d: axis = 2) { param w: f32[d] forward(x: f32[d]) -> f32[d] { return x * w } }",
    )
    .unwrap();
    let (status, _, err) = girih(&[
        "run",
        model.to_str().unwrap(),
        "--weights",
        path.to_str().unwrap(),
    ]);
    assert_eq!(status, 1);
    for said in [
        "E0602",
        "there is no `w`",
        "E0603",
        "`wide` belongs to no parameter",
    ] {
        assert!(err.contains(said), "{said}: {err}");
    }
}

#[test]
fn checkpoints_are_proved_and_written_back() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.safetensors");
    for name in ["llama", "gpt2", "gpt-neox", "mamba2"] {
        let model = repository(&format!("examples/hf/{name}.girih"));
        let stored = repository(&format!("tests/data/conformance/{name}"));
        let (status, out, err) = girih(&["weights", "check", &model, &stored]);
        assert!(
            status == 0 && out.contains("every one is found"),
            "{name}: {out}{err}"
        );
        let output = copy.to_str().unwrap();
        let (status, out, err) = girih(&["weights", "export", &model, &stored, "--output", output]);
        assert_eq!(status, 0, "{name}: {out}{err}");
        let (ours, theirs) = (
            weights::open(&copy).unwrap(),
            weights::open(Path::new(&stored)).unwrap(),
        );
        assert_eq!(ours.entries(), theirs.entries(), "{name}");
        for entry in theirs.entries() {
            assert_eq!(
                ours.raw(&entry.name).unwrap(),
                theirs.raw(&entry.name).unwrap(),
                "{name}: {}",
                entry.name
            );
        }
    }
}

#[test]
fn parameters_that_lie_as_declared_are_not_copied() {
    let model = Path::new(&repository("examples/hf/llama.girih")).to_owned();
    let (program, mut sink) = girih::source::load(&model).unwrap();
    let folder = repository("tests/data/conformance/llama");
    let checkpoint = girih::checkpoint::Checkpoint::open(Path::new(&folder)).unwrap();
    let request = girih_dsl::elaborate::Request::default();
    let fitted = girih::checkpoint::fit(&program, &checkpoint, &request, &[], &mut sink).unwrap();
    for step in &fitted.plan.loads {
        assert!(
            checkpoint.parameter(step).unwrap().is_mapped(),
            "{}",
            step.param
        );
    }
}
