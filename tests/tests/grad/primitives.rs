//! Every primitive that has a derivative, and its second derivative.

use crate::check::{check, check_first, check_op, graph};

#[test]
fn functions_of_one_value() {
    for op in [
        "neg", "abs", "sign", "exp", "sin", "cos", "tanh", "sigmoid", "erf", "floor", "ceil",
        "round",
    ] {
        check_op("x: f64[i=3]", &format!("{op} x"), "f64[i=3]");
    }
    for op in ["log", "log1p", "sqrt", "rsqrt"] {
        check_op("p: f64[i=3]", &format!("{op} p"), "f64[i=3]");
    }
}

#[test]
fn functions_of_two_values_repeat_and_sum() {
    for op in ["add", "sub", "mul", "div", "max", "min", "rem", "floor_div"] {
        check_op(
            "x: f64[i=2, j=3], y: f64[j=3]",
            &format!("{op} x, y"),
            "f64[i=2, j=3]",
        );
        check_op(
            "x: f64[j=3], y: f64[i=2]",
            &format!("{op} x, y"),
            "f64[j=3, i=2]",
        );
        check_op("x: f64", &format!("{op} x, x"), "f64");
    }
    check_op("p: f64[i=2, j=3], y: f64[j=3]", "pow p, y", "f64[i=2, j=3]");
}

#[test]
fn powers_of_constants() {
    for exponent in ["-1.0", "0.0", "0.5", "1.0", "2.0", "3.0"] {
        let body =
            format!("  %0 = const {exponent} : f64\n  %1 = pow p, %0 : f64[i=2]\n  return %1");
        check("p: f64[i=2]", &body, &["f64[i=2]"]);
        let body =
            format!("  %0 = const {exponent} : f64\n  %1 = pow %0, p : f64[i=2]\n  return %1");
        if !exponent.starts_with('-') {
            check("p: f64[i=2]", &body, &["f64[i=2]"]);
        }
    }
}

#[test]
fn choices_and_casts() {
    let body = "
  %0 = gt x, y : bool[i=3]
  %1 = select %0, z, x : f64[i=3]
  %2 = cast %1 : f32[i=3]
  %3 = cast %0 : f64[i=3]
  %4 = mul %3, %1 : f64[i=3]
  return %4";
    check("x: f64[i=3], y: f64[i=3], z: f64", body, &["f64[i=3]"]);
}

#[test]
fn contractions() {
    check_op(
        "x: f64[b=2, i=2, d=3], y: f64[b=2, j=2, d=3]",
        "contract x, y {over: d}",
        "f64[b=2, i=2, j=2]",
    );
    check_op("x: f64[i=3], y: f64[i=3]", "contract x, y {over: i}", "f64");
    check_op(
        "x: f64[i=3], y: f64[j=2]",
        "contract x, y {over: []}",
        "f64[i=3, j=2]",
    );
    check_op("x: f64[i=3, j=2]", "contract x, x {over: [i, j]}", "f64");
}

#[test]
fn reductions() {
    for combine in ["sum", "prod", "max", "min"] {
        for (over, ty) in [
            ("i", "f64[j=3]"),
            ("j", "f64[i=2]"),
            ("[i, j]", "f64"),
            ("[j, i]", "f64"),
        ] {
            check_op(
                "x: f64[i=2, j=3]",
                &format!("reduce x {{combine: {combine}, over: {over}}}"),
                ty,
            );
        }
    }
}

#[test]
fn softmax_with_and_without_a_domain() {
    check_op("x: f64[i=2, j=3]", "softmax x {over: j}", "f64[i=2, j=3]");
    check_op(
        "x: f64[i=2, j=3]",
        "softmax x {over: [i, j]}",
        "f64[i=2, j=3]",
    );
    // The last row's domain is empty.
    let body = "
  %0 = table {data: [1, 1, 0, 0, 1, 0, 0, 0, 0]} : bool[i=3, j=3]
  %1 = softmax x, %0 {over: j} : f64[i=3, j=3]
  return %1";
    check("x: f64[i=3, j=3]", body, &["f64[i=3, j=3]"]);
    let body = "
  %0 = table {data: [1, 0, 1]} : bool[j=3]
  %1 = softmax x, %0 {over: j} : f64[i=2, j=3]
  return %1";
    check("x: f64[i=2, j=3]", body, &["f64[i=2, j=3]"]);
}

#[test]
fn running_combinations() {
    for combine in ["sum", "prod", "max", "min"] {
        for flags in ["", ", exclusive", ", reverse", ", exclusive, reverse"] {
            let op = format!("cumulate x {{axis: i, combine: {combine}{flags}}}");
            if flags.contains("exclusive") && combine.starts_with('m') {
                // The first one is infinite.
                let body = format!(
                    "
  %0 = {op} : f64[i=4, j=2]
  %1 = tanh %0 : f64[i=4, j=2]
  return %1"
                );
                check("x: f64[i=4, j=2]", &body, &["f64[i=4, j=2]"]);
            } else {
                check_op("x: f64[i=4, j=2]", &op, "f64[i=4, j=2]");
            }
        }
    }
}

#[test]
fn reads_at_positions() {
    // A position twice, one outside.
    let body = "
  %0 = table {data: [2, 0, 2, 7]} : i64[t=4]
  %1 = gather x, %0 {axis: v, outside: zero} : f64[t=4, d=2]
  return %1";
    check("x: f64[v=3, d=2]", body, &["f64[t=4, d=2]"]);
    // Positions that share an axis with what is read.
    let body = "
  %0 = table {data: [2, 0, 1, 1]} : i64[b=2, t=2]
  %1 = gather x, %0 {axis: v} : f64[b=2, t=2]
  return %1";
    check("x: f64[b=2, v=3]", body, &["f64[b=2, t=2]"]);
}

#[test]
fn writes_at_positions() {
    for combine in ["sum", "prod", "max", "min"] {
        let body = format!(
            "
  %0 = table {{data: [2, 0, 2, 7, 2]}} : i64[t=5]
  %1 = scatter %0, x {{axis: v, combine: {combine}, over: t}} : f64[d=2, v=4]
  return %1"
        );
        let inputs = "axis v=4\nx: f64[t=5, d=2]";
        if combine == "prod" {
            check_first(&graph(inputs, &body, &["f64[d=2, v=4]"]));
        } else {
            check(inputs, &body, &["f64[d=2, v=4]"]);
        }
        // Updates repeated along the positions' axis, positions aligned with the updates.
        let body = format!(
            "
  %0 = table {{data: [2, 0, 1, 1]}} : i64[b=2, t=2]
  %1 = scatter %0, x {{axis: v, combine: {combine}, over: t}} : f64[b=2, v=3]
  return %1"
        );
        check_first(&graph("axis v=3\nx: f64[b=2]", &body, &["f64[b=2, v=3]"]));
        // The axis written along is one that was walked.
        let body = format!(
            "
  %0 = table {{data: [2, 0, 0]}} : i64[t=3]
  %1 = scatter %0, x {{axis: t, combine: {combine}, over: t}} : f64[t=3]
  return %1"
        );
        check_first(&graph("x: f64[t=3]", &body, &["f64[t=3]"]));
    }
}

#[test]
fn windows_and_folds() {
    check_op(
        "axis i=3\naxis k=2\nx: f64[t=4, d=2]",
        "window x {axis: t, into: [i: 2, k: -1], offset: 0}",
        "f64[i=3, k=2, d=2]",
    );
    check_op(
        "x: f64[t=4]",
        "window x {axis: t, into: [t: 1], offset: -1}",
        "f64[t=4]",
    );
    check_op(
        "x: f64[t=4, d=2]",
        "window x {axis: t, into: [], offset: 2}",
        "f64[d=2]",
    );
    check_op(
        "axis t=4\nx: f64[i=3, k=2, d=2]",
        "fold x {axis: t, from: [i: 2, k: -1], offset: 0}",
        "f64[t=4, d=2]",
    );
    check_op(
        "axis t=4\nx: f64[d=2]",
        "fold x {axis: t, from: [], offset: 2}",
        "f64[d=2, t=4]",
    );
}

#[test]
fn layout() {
    check_op(
        "axis a=2\naxis c=3\nx: f64[i=6, d=2]",
        "split x {axis: i, into: [a, c]}",
        "f64[a=2, c=3, d=2]",
    );
    check_op(
        "axis i=6\nx: f64[a=2, d=2, c=3]",
        "merge x {axis: i, from: [a, c]}",
        "f64[i=6, d=2]",
    );
    check_op(
        "axis one=1\nx: f64[d=2]",
        "merge x {axis: one, from: []}",
        "f64[d=2, one=1]",
    );
    check_op(
        "axis j=3\nx: f64[i=3, d=2]",
        "rename x {axes: [i: j]}",
        "f64[j=3, d=2]",
    );
    check_op(
        "x: f64[i=3, j=3]",
        "rename x {axes: [i: j, j: i]}",
        "f64[j=3, i=3]",
    );
    check_op(
        "axis k=2\nx: f64[d=2]",
        "expand x {axes: k}",
        "f64[k=2, d=2]",
    );
}

#[test]
fn joined_operands_may_be_repeated_and_lie_across_each_other() {
    check_op(
        "axis c=5\nx: f64[a=2, d=2], y: f64[e=3]",
        "concat x, y {axis: c, from: [a, e]}",
        "f64[c=5, d=2]",
    );
    check_op(
        "axis c=5\nx: f64[a=2, e=3], y: f64[e=3]",
        "concat x, y {axis: c, from: [a, e]}",
        "f64[c=5, e=3]",
    );
    check_op(
        "axis c=4\nx: f64[a=2]",
        "concat x, x {axis: c, from: [a, a]}",
        "f64[c=4]",
    );
}

#[test]
fn symbolic_sizes() {
    check_op("x: f64[t, d=2]", "softmax x {over: t}", "f64[t, d=2]");
    check_op("x: f64[t], y: f64[t]", "contract x, y {over: t}", "f64");
}
