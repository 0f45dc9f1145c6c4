//! What happens where there is no derivative, and at poles behind a domain.

use std::collections::BTreeMap;

use crate::check::{Numbers, gradients_at, graph};

/// The gradients by `x` for a cotangent of ones.
fn check(inputs: &str, body: &str, x: &[f64], gradient: &[f64]) {
    let graph = graph(inputs, body, &["f64[i=3]"]);
    let numbers: Numbers = BTreeMap::from([("x".to_owned(), x.to_vec())]);
    let found = gradients_at(&graph, &numbers, &[("y", &[1.0; 3])]);
    assert_eq!(found["x"], gradient, "{body}");
}

fn check_op(op: &str, x: &[f64], gradient: &[f64]) {
    let body = format!(
        "  %0 = const 0.0 : f64\n  %1 = const 1.0 : f64\n  %2 = {op} : f64[i=3]\n  return %2"
    );
    check("x: f64[i=3]", &body, x, gradient);
}

#[test]
fn kinks() {
    check_op("abs x", &[-2.0, 0.0, 2.0], &[-1.0, 0.0, 1.0]);
    check_op("max x, %0", &[-2.0, 0.0, 2.0], &[0.0, 0.5, 1.0]);
    check_op("min x, %0", &[-2.0, 0.0, 2.0], &[1.0, 0.5, 0.0]);
    check_op("pow x, %0", &[-2.0, 0.0, 2.0], &[0.0; 3]);
    check_op("pow x, %1", &[-2.0, 0.0, 2.0], &[1.0; 3]);
    check_op("sqrt x", &[0.25, 0.0, 4.0], &[1.0, f64::INFINITY, 0.25]);
}

#[test]
fn relu_has_derivative_zero_at_zero() {
    let body = "
  %0 = const 0.0 : f64
  %1 = gt x, %0 : bool[i=3]
  %2 = select %1, x, %0 : f64[i=3]
  return %2";
    check("x: f64[i=3]", body, &[-2.0, 0.0, 2.0], &[0.0, 0.0, 1.0]);
}

#[test]
fn the_largest_share_and_the_last_largest_takes_all() {
    let body = "
  %0 = reduce x {combine: max, over: i} : f64
  %1 = expand %0 {axes: i} : f64[i=3]
  return %1";
    check("x: f64[i=3]", body, &[2.0, 0.0, 2.0], &[1.5, 0.0, 1.5]);
    check_op(
        "cumulate x {axis: i, combine: max}",
        &[2.0, 2.0, 0.0],
        &[1.0, 2.0, 0.0],
    );
    check_op(
        "cumulate x {axis: i, combine: max, exclusive}",
        &[2.0, 2.0, 0.0],
        &[1.0, 1.0, 0.0],
    );
}

#[test]
fn products_are_exact_at_zeros() {
    let body = "
  %0 = reduce x {combine: prod, over: i} : f64
  %1 = expand %0 {axes: i} : f64[i=3]
  return %1";
    check("x: f64[i=3]", body, &[2.0, 0.0, 5.0], &[0.0, 30.0, 0.0]);
    check("x: f64[i=3]", body, &[0.0, 0.0, 5.0], &[0.0; 3]);
    check_op(
        "cumulate x {axis: i, combine: prod}",
        &[2.0, 0.0, 5.0],
        &[1.0, 12.0, 0.0],
    );
    let body = "
  %0 = table {data: [1, 1, 0]} : i64[i=3]
  %1 = scatter %0, x {axis: i, combine: prod, over: i} : f64[i=3]
  return %1";
    check("x: f64[i=3]", body, &[3.0, 0.0, 0.0], &[0.0, 3.0, 1.0]);
    check("x: f64[i=3]", body, &[0.0, 0.0, 2.0], &[0.0, 0.0, 1.0]);
}

#[test]
fn poles_outside_a_domain_stay_outside() {
    let ops = [
        "log x",
        "sqrt x",
        "rsqrt x",
        "div %1, x",
        "pow x, %2",
        "exp %3",
        "mul %4, x",
    ];
    for op in ops {
        let body = format!(
            "
  %0 = const 0.0 : f64
  %1 = const 1.0 : f64
  %2 = const -2.0 : f64
  %3 = div %1, x : f64[i=3]
  %4 = div x, x : f64[i=3]
  %5 = {op} : f64[i=3]
  %6 = gt x, %0 : bool[i=3]
  %7 = select %6, %5, %0 : f64[i=3]
  return %7"
        );
        let graph = graph("x: f64[i=3]", &body, &["f64[i=3]"]);
        let numbers: Numbers = BTreeMap::from([("x".to_owned(), vec![1.0, 0.0, -1.0])]);
        let found = gradients_at(&graph, &numbers, &[("y", &[1.0; 3])]);
        let gradient = &found["x"];
        assert!(
            gradient[0].is_finite() && gradient[0] != 0.0,
            "{op}: {gradient:?}"
        );
        assert_eq!(gradient[1..], [0.0, 0.0], "{op}");
    }
}
