//! Do procedures give what the same calls by hand would? On every backend.
//!
//! | file       | question                                                      |
//! |------------|---------------------------------------------------------------|
//! | `blocks`   | do `test` blocks run procedures?                              |
//! | `caches`   | does a session go on from a cache?                            |
//! | `examples` | do the examples' procedures do what their papers say?         |
//! | `models`   | which parameters does a procedure's model have?               |
//! | `sessions` | does a session give what the whole gives?                     |
//! | `outside`  | what comes from outside, what goes there, who may stop it?    |
//! | `refused`  | what goes wrong, and is its place told?                       |

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod blocks;
mod caches;
mod examples;
mod models;
mod outside;
mod refused;
mod sessions;

use std::path::Path;

use girih::command::{Streams, run};
use girih_dsl::diag::Colors;
use serde_json::Value;

fn paper(name: &str) -> String {
    let place = format!("../../examples/papers/{name}/model.girih");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(place);
    path.to_str().unwrap().to_owned()
}

/// What a command line says: status, standard output, standard error.
fn girih(events: &str, line: &[&str]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut input: &[u8] = events.as_bytes();
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

/// What a procedure emits and what it returns.
fn told(model: &str, procedure: &str, backend: &str, rest: &[&str]) -> (Vec<Value>, Value) {
    told_after("", model, procedure, backend, rest)
}

fn told_after(
    events: &str,
    model: &str,
    procedure: &str,
    backend: &str,
    rest: &[&str],
) -> (Vec<Value>, Value) {
    let mut line = vec![
        "run",
        model,
        "--procedure",
        procedure,
        "--backend",
        backend,
        "--json",
    ];
    line.extend(rest);
    let (status, out, err) = girih(events, &line);
    assert_eq!(status, 0, "{procedure} on {backend}\n{out}{err}");
    let mut emitted = Vec::new();
    let mut returned = Value::Null;
    for line in out.lines() {
        let mut said: Value = serde_json::from_str(line).unwrap();
        match said.get_mut("emit") {
            Some(own) => emitted.push(own.take()),
            None => returned = said["return"].take(),
        }
    }
    (emitted, returned)
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(parts) => parts.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap()],
    }
}

/// The same, where they are whole.
fn ids(value: &Value) -> Vec<i64> {
    numbers(value)
        .into_iter()
        .map(|number| number as i64)
        .collect()
}

#[track_caller]
fn close(ours: &Value, theirs: &Value) {
    let (a, b) = (numbers(ours), numbers(theirs));
    assert_eq!(a.len(), b.len());
    let worst = a
        .iter()
        .zip(&b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f64::max);
    assert!(worst < 1e-5, "{worst}: {ours} {theirs}");
}

/// A model file of its own.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.girih");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

const READER: &str = "
axis t: time
axis v
model Reader(vocab: axis = 9, d: axis = 6) {
  param embed: f32[vocab, d] = normal(1.0)
  forward(ids: i64[t]) -> f32[t, vocab] {
    x[t, d] = cumsum(t) embed[vocab = ids]
    a[i, j] = softmax(j) (sum(d) x[t = i] * x[t = j]) where j <= i
    y[t, d] = sum(j) a[i = t] * x[t = j]
    logits[t, vocab] = sum(d) y * embed
    return logits
  }
}
";
