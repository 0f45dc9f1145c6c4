//! Recurrences: cells, directions, nesting, what is carried, given and shared.

use crate::check::{check, check_graph, graph};

#[test]
fn a_decay_with_outputs_and_a_final_value() {
    for flag in ["", ", reverse"] {
        let body = format!(
            "
  %0, %1 = recurrence {{axis: t{flag}}} : f64[d=2], f64[t, d=2] {{
    carry %2 = s : f64[d=2]
    slice %3 = x : f64[d=2]
    keep %4 = a : f64[d=2]
    %5 = mul %2, %4 : f64[d=2]
    %6 = add %5, %3 : f64[d=2]
    %7 = tanh %6 : f64[d=2]
    %8 = mul %7, %2 : f64[d=2]
    return %7, %8
  }}
  return %0, %1"
        );
        check(
            "s: f64[d=2], x: f64[t, d=2], a: f64[d=2]",
            &body,
            &["f64[d=2]", "f64[t, d=2]"],
        );
    }
}

#[test]
fn an_lstm_cell() {
    let body = "
  %0 = const 0.0 : f64
  %1 = expand %0 {axes: d} : f64[d=2]
  %2, %3, %4 = recurrence {axis: t} : f64[d=2], f64[d=2], f64[t, d=2] {
    carry %5 = %1 : f64[d=2]
    carry %6 = %1 : f64[d=2]
    slice %7 = x : f64[e=2]
    keep %8 = wi : f64[e=2, g=3, d=2]
    keep %9 = wh : f64[k=2, g=3, d=2]
    %10 = contract %7, %8 {over: e} : f64[g=3, d=2]
    %11 = rename %5 {axes: [d: k]} : f64[k=2]
    %12 = contract %11, %9 {over: k} : f64[g=3, d=2]
    %13 = add %10, %12 : f64[g=3, d=2]
    %14 = window %13 {axis: g, into: [], offset: 0} : f64[d=2]
    %15 = window %13 {axis: g, into: [], offset: 1} : f64[d=2]
    %16 = window %13 {axis: g, into: [], offset: 2} : f64[d=2]
    %17 = sigmoid %14 : f64[d=2]
    %18 = sigmoid %15 : f64[d=2]
    %19 = tanh %16 : f64[d=2]
    %20 = mul %17, %6 : f64[d=2]
    %21 = mul %18, %19 : f64[d=2]
    %22 = add %20, %21 : f64[d=2]
    %23 = tanh %22 : f64[d=2]
    return %23, %22, %23
  }
  return %2, %3, %4";
    check_graph(&graph(
        "x: f64[t, e=2], wi: f64[e=2, g=3, d=2], wh: f64[k=2, g=3, d=2]",
        body,
        &["f64[d=2]", "f64[d=2]", "f64[t, d=2]"],
    ));
}

#[test]
fn a_step_may_pass_values_on_and_swap_them() {
    let body = "
  %0, %1, %2 = recurrence {axis: t} : f64, f64, f64[t] {
    carry %3 = x : f64
    carry %4 = y : f64
    slice %5 = z : f64
    %6 = mul %4, %5 : f64
    return %6, %3, %3
  }
  return %0, %1, %2";
    check("x: f64, y: f64, z: f64[t]", body, &["f64", "f64", "f64[t]"]);
}

#[test]
fn only_the_final_value_counts() {
    let body = "
  %0, %1, %2 = recurrence {axis: t} : f64, f64, f64[t] {
    carry %3 = x : f64
    carry %4 = y : f64
    slice %5 = z : f64
    %6 = mul %3, %5 : f64
    %7 = sin %4 : f64
    return %6, %7, %5
  }
  return %0";
    check("x: f64, y: f64, z: f64[t]", body, &["f64"]);
}

#[test]
fn counters_and_conditions_are_carried_without_a_gradient() {
    let body = "
  %0 = const 0 : i64
  %1, %2, %3 = recurrence {axis: t} : i64, f64, f64[t] {
    carry %4 = %0 : i64
    carry %5 = s : f64
    slice %6 = x : f64
    keep %7 = table : f64[v=3]
    %8 = const 1 : i64
    %9 = add %4, %8 : i64
    %10 = const 2 : i64
    %11 = rem %4, %10 : i64
    %12 = gather %7, %11 {axis: v} : f64
    %13 = mul %12, %5 : f64
    %14 = add %13, %6 : f64
    return %9, %14, %14
  }
  return %2, %3, %1";
    check(
        "s: f64, x: f64[t], table: f64[v=3]",
        body,
        &["f64", "f64[t]", "i64"],
    );
}

#[test]
fn a_shared_value_may_have_the_walked_axis() {
    let body = "
  %0 = recurrence {axis: t} : f64[t] {
    slice %1 = x : f64
    keep %2 = x : f64[t]
    %3 = mul %1, %2 : f64[t]
    %4 = softmax %3 {over: t} : f64[t]
    %5 = contract %4, %2 {over: t} : f64
    return %5
  }
  return %0";
    check("x: f64[t]", body, &["f64[t]"]);
}

#[test]
fn recurrences_nest() {
    let body = "
  %0, %1 = recurrence {axis: t} : f64, f64[t] {
    carry %2 = s : f64
    slice %3 = x : f64[u=2]
    keep %4 = a : f64
    %5, %6 = recurrence {axis: u, reverse} : f64, f64[u=2] {
      carry %7 = %2 : f64
      slice %8 = %3 : f64
      keep %9 = %4 : f64
      %10 = mul %7, %9 : f64
      %11 = add %10, %8 : f64
      %12 = sin %11 : f64
      return %12, %11
    }
    %13 = reduce %6 {combine: prod, over: u} : f64
    return %5, %13
  }
  return %0, %1";
    check_graph(&graph(
        "s: f64, x: f64[t, u=2], a: f64",
        body,
        &["f64", "f64[t]"],
    ));
}

#[test]
fn a_domain_inside_a_step_keeps_poles_out() {
    let body = "
  %0, %1 = recurrence {axis: t} : f64, f64[t] {
    carry %2 = s : f64
    slice %3 = x : f64
    %4 = const 0.0 : f64
    %5 = gt %2, %4 : bool
    %6 = log %2 : f64
    %7 = select %5, %6, %4 : f64
    %8 = add %7, %3 : f64
    %9 = mul %2, %4 : f64
    return %9, %8
  }
  return %0, %1";
    check_graph(&graph("s: f64, x: f64[t]", body, &["f64", "f64[t]"]));
}
