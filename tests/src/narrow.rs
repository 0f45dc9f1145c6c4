//! Products of factors of 16 bits, alone and in loops, against the reference.

use girih_graph::{DType, text};
use girih_runtime::backend::{Backend, Bindings};
use girih_runtime::reference::Reference;
use girih_runtime::tensor::Tensor;

use crate::compare::run;

/// Products of `bf16`, of `f16`, of one that is widened, of a few rows, and in a loop.
const GRAPH: &str = "girih-graph 1
axis t time
axis d=32
axis e=32 over d
graph g(x: bf16[t, d=32], u: f16[t, d=32], z: f32[t, d=32], s: bf16[b=2, d=32]) -> (y: bf16[t, e=32], v: f16[t, e=32], m: f32[t, e=32], f: f32[b=2, e=32], last: bf16[b=2, d=32]) {
  param w: bf16[e=32, d=32]
  param p: f16[e=32, d=32]
  %0 = contract x, w {over: d} : bf16[t, e=32]
  %1 = contract u, p {over: d} : f16[t, e=32]
  %2 = cast w : f32[e=32, d=32]
  %3 = contract z, %2 {over: d} : f32[t, e=32]
  %4 = cast s : f32[b=2, d=32]
  %5 = contract %4, %2 {over: d} : f32[b=2, e=32]
  %6 = recurrence {axis: t} : bf16[b=2, d=32] {
    carry %7 = s : bf16[b=2, d=32]
    slice %8 = x : bf16[d=32]
    keep %9 = w : bf16[e=32, d=32]
    %10 = contract %7, %9 {over: d} : bf16[b=2, e=32]
    %11 = rename %10 {axes: [e: d]} : bf16[b=2, d=32]
    %12 = add %11, %8 : bf16[b=2, d=32]
    %13 = tanh %12 : bf16[b=2, d=32]
    return %13
  }
  return %0, %1, %3, %5, %6
}
";

/// That a backend computes such products as the reference does.
///
/// # Panics
///
/// It does not.
pub fn check(backend: &dyn Backend) {
    let graph = text::parse(GRAPH).unwrap_or_else(|error| panic!("{error}"));
    for t in [1_usize, 3, 40] {
        let tensor = |dtype: DType, rows: usize| {
            let numbers = (0..rows * 32).map(|at| ((at * 7 + rows) % 23) as f64 / 16.0 - 0.7);
            let tensor = Tensor::new([rows, 32], numbers.collect::<Vec<f64>>());
            tensor
                .expect("as many numbers as positions")
                .to_dtype(dtype)
        };
        let weights = |dtype| {
            let numbers = (0..32 * 32_u32).map(|at| f64::from((at * 5) % 19) / 64.0 - 0.14);
            let tensor = Tensor::new([32, 32], numbers.collect::<Vec<f64>>());
            tensor
                .expect("as many numbers as positions")
                .to_dtype(dtype)
        };
        let bindings = Bindings::new()
            .input("x", tensor(DType::BF16, t))
            .input("u", tensor(DType::F16, t))
            .input("z", tensor(DType::F32, t))
            .input("s", tensor(DType::BF16, 2))
            .param("w", weights(DType::BF16))
            .param("p", weights(DType::F16));
        let said = |found: Result<_, String>| found.unwrap_or_else(|error| panic!("{error}"));
        let expected = said(run(&Reference, &graph, &bindings));
        let found = said(run(backend, &graph, &bindings));
        for (name, expected) in &expected {
            let found = &found[name];
            assert_eq!(found.dtype(), expected.dtype(), "{name}");
            let allowed = match expected.dtype() {
                DType::BF16 => 2e-2,
                DType::F16 => 3e-3,
                _ => 1e-5,
            };
            let pairs = found.to_f64_vec().into_iter().zip(expected.to_f64_vec());
            for (at, (x, y)) in pairs.enumerate() {
                let near = (x - y).abs() <= allowed * y.abs().max(1.0);
                assert!(near, "{t} positions, {name}[{at}]: {x} for {y}");
            }
        }
    }
}
