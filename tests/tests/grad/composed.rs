//! Whole models: what flows through several primitives, gradient rules, states.

use crate::check::{check, check_first, gradients_at, graph, parse};

#[test]
fn causal_attention() {
    let body = "
  param wq: f64[d=2, e=2]
  param wk: f64[d=2, e=2]
  param wv: f64[d=2, e=2]
  %0 = contract x, wq {over: d} : f64[t=3, e=2]
  %1 = contract x, wk {over: d} : f64[t=3, e=2]
  %2 = contract x, wv {over: d} : f64[t=3, e=2]
  %3 = rename %0 {axes: [t: i]} : f64[i=3, e=2]
  %4 = contract %3, %1 {over: e} : f64[i=3, t=3]
  %5 = index {axis: i} : i64[i=3]
  %6 = index {axis: t} : i64[t=3]
  %7 = ge %5, %6 : bool[i=3, t=3]
  %8 = softmax %4, %7 {over: t} : f64[i=3, t=3]
  %9 = contract %8, %2 {over: t} : f64[i=3, e=2]
  return %9";
    check("x: f64[t=3, d=2]", body, &["f64[i=3, e=2]"]);
}

#[test]
fn root_mean_square_norm_and_a_gate() {
    let body = "
  param scale: f64[d=3]
  %0 = mul x, x : f64[t=2, d=3]
  %1 = reduce %0 {combine: sum, over: d} : f64[t=2]
  %2 = const 3.0 : f64
  %3 = div %1, %2 : f64[t=2]
  %4 = const 1e-6 : f64
  %5 = add %3, %4 : f64[t=2]
  %6 = rsqrt %5 : f64[t=2]
  %7 = mul x, %6 : f64[t=2, d=3]
  %8 = mul %7, scale : f64[t=2, d=3]
  %9 = sigmoid %8 : f64[t=2, d=3]
  %10 = mul %9, %8 : f64[t=2, d=3]
  return %10";
    check("x: f64[t=2, d=3]", body, &["f64[t=2, d=3]"]);
}

#[test]
fn the_values_of_the_top_have_gradients_and_the_choice_has_none() {
    let body = "
  %0 = order x {axis: e, descending, into: k} : i64[t=2, k=2]
  %1 = gather x, %0 {axis: e} : f64[t=2, k=2]
  %2 = softmax %1 {over: k} : f64[t=2, k=2]
  %3 = scatter %0, %2 {axis: e, combine: sum, over: k} : f64[t=2, e=3]
  return %3";
    check("axis k=2\nx: f64[t=2, e=3]", body, &["f64[t=2, e=3]"]);
}

#[test]
fn gradient_rules_replace_derivatives() {
    // Stop, straight through, reversal; the stand-in is repeated along `i`.
    let body = "
  %0 = const 0.0 : f64
  %1 = grad_as x, %0 : f64[i=2]
  %2 = round x : f64[i=2]
  %3 = grad_as %2, x : f64[i=2]
  %4 = const -3.0 : f64
  %5 = mul s, %4 : f64
  %6 = grad_as %3, %5 : f64[i=2]
  %7 = add %1, %3 : f64[i=2]
  %8 = add %7, %6 : f64[i=2]
  return %8";
    let graph = graph("x: f64[i=2], s: f64", body, &["f64[i=2]"]);
    let numbers = [
        ("x".to_owned(), vec![0.3, 0.8]),
        ("s".to_owned(), vec![5.0]),
    ];
    let found = gradients_at(&graph, &numbers.into(), &[("y", &[1.0, 10.0])]);
    assert_eq!(found["x"], [1.0, 10.0]);
    assert_eq!(found["s"], [-33.0]);
}

#[test]
fn a_state_passes_its_cotangent_to_its_start() {
    check_first(&parse(
        "girih-graph 1
graph f(x: f64[d=2]) -> (y: f64[d=2]) {
  param start: f64[d=2]
  %0 = tanh start : f64[d=2]
  state memory = %0 : f64[d=2]
  %1 = mul memory, x : f64[d=2]
  update memory = %1
  return %1
}
",
    ));
}
