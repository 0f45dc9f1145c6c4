//! Numbers that are wrong are misses; files that are wrong are refused by name.

use girih_runtime::tensor::Tensor;

use crate::{Pair, girih, reals};

const MODEL: &str = r#"
axis t
model Scale(d: axis = 2) {
  param w: f32[d] = ones()
  forward(x: f32[t, d]) -> f32[t, d] { return x * w }
}
golden scale for Scale {
  set d = width
  input x = "x" [b, t, d]
  param w = "w"
  value out = "y" [b, t, d]
  cotangent out = "cot" [b, t, d]
  grad w = "grad.w"
}
"#;

const METADATA: [(&str, &str); 2] = [
    ("config", "{\"width\": 2}"),
    ("tolerance", "abs 1e-6 outputs, rel 1e-5 gradients"),
];

fn tensors() -> Vec<(&'static str, Tensor)> {
    vec![
        ("x", reals(&[1, 3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
        ("w", reals(&[2], &[10.0, 0.5])),
        ("y", reals(&[1, 3, 2], &[10.0, 1.0, 30.0, 2.0, 50.0, 3.0])),
        ("cot", reals(&[1, 3, 2], &[1.0, 0.0, 1.0, 0.0, 0.0, 1.0])),
        ("grad.w", reals(&[2], &[4.0, 6.0])),
    ]
}

/// The status and a part of what is said, with one tensor replaced or added.
fn check(name: &'static str, tensor: Option<Tensor>, status: u8, said: &str) {
    let mut all = tensors();
    all.retain(|(own, _)| *own != name);
    all.extend(tensor.map(|tensor| (name, tensor)));
    let (found, text) = Pair::new(MODEL, &all, &METADATA).verify();
    assert!(
        found == status && text.contains(said),
        "{name}: {found}\n{text}"
    );
}

#[test]
fn what_agrees_holds() {
    check("", None, 0, "2 tensors, all agree");
}

#[test]
fn wrong_numbers_are_misses() {
    let wrong = [10.0, 1.0, 30.0, 2.0, 50.0, 3.1];
    check(
        "y",
        Some(reals(&[1, 3, 2], &wrong)),
        1,
        "2 tensors, 1 do not agree",
    );
    check("y", Some(reals(&[1, 3, 2], &[f32::NAN; 6])), 1, "MISS");
    check("grad.w", Some(reals(&[2], &[4.0, 6.001])), 1, "MISS");
    check("w", Some(reals(&[2], &[f32::INFINITY, 0.0])), 1, "MISS");
}

#[test]
fn tensors_that_nobody_speaks_of_are_misses() {
    check(
        "more",
        Some(reals(&[1], &[0.0])),
        1,
        "no golden block speaks of it",
    );
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    check("x", None, 1, "the file has no `x`");
    check("w", None, 1, "the file has no tensor `w`");
    check("cot", None, 1, "the file has no tensor `cot`");
    check(
        "x",
        Some(reals(&[6], &[0.0; 6])),
        1,
        "`x`, which is `x`: the file has shape [6]",
    );
    check("w", Some(reals(&[3], &[0.0; 3])), 1, "`w`");
    check(
        "y",
        Some(reals(&[3, 1, 2], &[0.0; 6])),
        1,
        "MISS: the model's has shape [1, 3, 2]",
    );
    check(
        "x",
        Some(Tensor::new([1, 3, 2], vec![1i64; 6]).unwrap()),
        1,
        "MISS",
    );
}

#[test]
fn files_that_are_no_goldens_are_refused() {
    let pair = Pair::new(MODEL, &tensors(), &[("config", "{"), METADATA[1]]);
    let (status, text) = pair.verify();
    assert!(status == 1 && text.contains("is not JSON"), "{text}");
    let pair = Pair::new(MODEL, &tensors(), &[METADATA[1]]);
    let (status, text) = pair.verify();
    assert!(
        status == 1 && text.contains("the configuration has no `width`"),
        "{text}"
    );
    let whole = std::fs::read(pair.golden()).unwrap();
    for length in [0, 7, 8, 20, whole.len() - 1] {
        std::fs::write(pair.golden(), &whole[..length]).unwrap();
        let (status, text) = pair.verify();
        assert!(
            status == 1 && text.contains("golden.safetensors"),
            "{length}: {text}"
        );
    }
    let (status, _, text) = girih(&["verify", "no-such.girih", "no-such.safetensors"]);
    assert!(status == 2 && text.contains("no-such.girih"), "{text}");
}

#[test]
fn a_model_without_a_block_says_so() {
    let model = "model M() { forward(x: f32) -> f32 { return x } }";
    let (status, text) = Pair::new(model, &tensors(), &METADATA).verify();
    assert!(status == 1 && text.contains("no `golden` block"), "{text}");
}
