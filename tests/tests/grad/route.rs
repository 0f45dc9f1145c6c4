//! Routes: unlike branches, empty and identity ones, items that are not kept.

use std::collections::BTreeMap;

use crate::check::{Numbers, check, gradients_at, graph};

#[test]
fn unlike_branches_with_an_empty_and_an_identity_one() {
    let body = "
  %0 = table {data: [1, 0, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0]} : bool[t=4, e=3]
  %1 = route g, %0, x, w {branch: e, items: t} : f64[t=4, d=2] {
    branch(%2: f64[t=4, d=2], %3: f64[d=2, k=2]) {
      %4 = contract %2, %3 {over: d} : f64[t=4, k=2]
      %5 = tanh %4 : f64[t=4, k=2]
      %6 = contract %5, %3 {over: k} : f64[t=4, d=2]
      return %6
    }
    branch(%7: f64[t=4, d=2], %8: f64[d=2, k=2]) {
      return %7
    }
    branch(%9: f64[t=4, d=2], %10: f64[d=2, k=2]) {
      %11 = const 0.0 : f64
      %12 = expand %11 {axes: [t, d]} : f64[t=4, d=2]
      return %12
    }
  }
  return %1";
    check(
        "g: f64[t=4, e=3], x: f64[t=4, d=2], w: f64[d=2, k=2]",
        body,
        &["f64[t=4, d=2]"],
    );
}

#[test]
fn weights_may_be_shared_by_items() {
    let body = "
  %0 = table {data: [1, 1]} : bool[e=2]
  %1 = route g, %0, x {branch: e, items: t} : f64[t=3] {
    branch(%2: f64[t=3]) {
      %3 = sin %2 : f64[t=3]
      return %3
    }
    branch(%4: f64[t=3]) {
      %5 = mul %4, %4 : f64[t=3]
      return %5
    }
  }
  return %1";
    check("g: f64[e=2], x: f64[t=3]", body, &["f64[t=3]"]);
}

#[test]
fn items_that_are_not_kept_reach_no_gradient() {
    // The logarithm of items that are not kept is not a number, or infinite.
    let body = "
  %0 = const 0.0 : f64
  %1 = gt x, %0 : bool[t=3]
  %2 = merge %1 {axis: e, from: []} : bool[t=3, e=1]
  %3 = route g, %2, x, w {branch: e, items: t} : f64[t=3] {
    branch(%4: f64[t=3], %5: f64[k=2]) {
      %6 = log %4 : f64[t=3]
      %7 = contract %6, %5 {over: []} : f64[t=3, k=2]
      %8 = reduce %7 {combine: prod, over: k} : f64[t=3]
      return %8
    }
  }
  return %3";
    let graph = graph(
        "g: f64[t=3, e=1], x: f64[t=3], w: f64[k=2]",
        body,
        &["f64[t=3]"],
    );
    let numbers: Numbers = BTreeMap::from([
        ("x".to_owned(), vec![std::f64::consts::E, 0.0, -1.0]),
        ("g".to_owned(), vec![3.0, 3.0, 3.0]),
        ("w".to_owned(), vec![1.0, 2.0]),
    ]);
    let found = gradients_at(&graph, &numbers, &[("y", &[1.0; 3])]);
    assert_eq!(found["g"], [2.0, 0.0, 0.0]);
    assert_eq!(found["w"], [6.0, 3.0]);
    assert!((found["x"][0] - 12.0 / std::f64::consts::E).abs() < 1e-12);
    assert_eq!(found["x"][1..], [0.0, 0.0]);
}

#[test]
fn a_value_may_come_in_twice() {
    let body = "
  %0 = table {data: [1, 0, 1]} : bool[t=3]
  %1 = merge %0 {axis: e, from: []} : bool[t=3, e=1]
  %2 = merge x {axis: e, from: []} : f64[t=3, e=1]
  %3 = route %2, %1, x, x {branch: e, items: t} : f64[t=3] {
    branch(%4: f64[t=3], %5: f64[t=3]) {
      %6 = sin %4 : f64[t=3]
      %7 = mul %6, %5 : f64[t=3]
      return %7
    }
  }
  return %3";
    check("x: f64[t=3]", body, &["f64[t=3]"]);
}
