//! Graphs with calls.

use girih_graph::{Graph, text, verify};

/// Softmax of each row, with a body and a gradient.
pub(crate) const SOFT: &str = r#"girih-graph 1
axis t time
graph soft(x: f32[t, n]) -> (y: f32[t, n]) {
  %0 = call x {callee: "org.girih.trial/soft@1", gives: [[n]], takes: [[n]]} : f32[t, n] {
    body(%1: f32[t, n]) {
      %2 = softmax %1 {over: n}        : f32[t, n]
      return %2
    }
    gradient(%3: f32[t, n], %4: f32[t, n], %5: f32[t, n]) {
      %6 = contract %4, %5 {over: n}   : f32[t]
      %7 = sub %5, %6                  : f32[t, n]
      %8 = mul %4, %7                  : f32[t, n]
      return %8
    }
  }
  return %0
}
"#;

/// Two operands, one of them lifted over an axis that the other lacks; axes of the result are
/// in another order than the kernel's.
pub(crate) const OUTER: &str = r#"girih-graph 1
graph outer(x: f32[n, t], y: f32[m]) -> (z: f32[m, t, n]) {
  %0 = call x, y {callee: "org.girih.trial/outer@1", gives: [[n, m]], takes: [[n], [m]]} : f32[m, t, n] {
    body(%1: f32[n, t], %2: f32[m]) {
      %3 = expand %1 {axes: m}         : f32[m, n, t]
      %4 = rename %3 {axes: [n: a, t: b]} : f32[m, a=n, b=t]
      %5 = rename %4 {axes: [b: t]}    : f32[m, a=n, t]
      %6 = contract %2, %1 {over: []}  : f32[m, n, t]
      %7 = const 1.0                   : f32
      %8 = expand %7 {axes: [m, t, n]} : f32[m, t, n]
      %9 = mul %8, %6                  : f32[m, t, n]
      return %9
    }
  }
  return %0
}
"#;

/// Two results of unlike types.
pub(crate) const LARGEST: &str = r#"girih-graph 1
graph largest(x: f32[t, n]) -> (at: i64[t], above: bool[t, n]) {
  %0, %1 = call x {callee: "org.girih.trial/largest@1", gives: [[], [n]], takes: [[n]]} : i64[t], bool[t, n] {
    body(%2: f32[t, n]) {
      %3 = order %2 {axis: n, descending, into: k} : i64[t, k=1]
      %4 = window %3 {axis: k, into: [], offset: 0} : i64[t]
      %5 = const 0.0                   : f32
      %6 = gt %2, %5                   : bool[t, n]
      return %4, %6
    }
  }
  return %0, %1
}
"#;

/// Without a body: only its kernel knows.
pub(crate) const SCALED: &str = r#"girih-graph 1
axis t time
graph scaled(x: f32[t, n]) -> (y: f32[t, n]) {
  %0 = call x {callee: "org.girih.trial/scaled@1", gives: [[n]], takes: [[n]], with: [by: 2.5]} : f32[t, n]
  return %0
}
"#;

pub(crate) fn parsed(text: &str) -> Graph {
    let graph = text::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    verify(&graph).unwrap_or_else(|error| panic!("{error}\n{text}"));
    graph
}

#[test]
fn calls_read_back_as_they_are_printed() {
    for text in [SOFT, OUTER, LARGEST, SCALED] {
        let graph = parsed(text);
        assert_eq!(text::print(&graph), text);
        assert_eq!(text::canonical(&graph), graph);
    }
    let all = SCALED.replace(
        "by: 2.5",
        "a: true, b: -3, c: -inf, d: \"fast \\\"one\\\"\"",
    );
    assert_eq!(text::print(&parsed(&all)), all);
}

#[test]
fn what_does_not_fit_its_call_is_refused() {
    let check = |from: &str, to: &str, message: &str| {
        let text = SOFT.replacen(from, to, 1);
        match text::parse(&text) {
            Ok(_) => panic!("read without a mistake:\n{text}"),
            Err(error) => assert!(error.to_string().contains(message), "{error}\n{text}"),
        }
    };
    check("takes: [[n]]", "takes: []", "takes 0 operands, not 1");
    check("takes: [[n]]", "takes: [[n, n]]", "axis `n` twice");
    check("takes: [[n]]", "takes: [[]]", "axis `n` twice");
    check("gives: [[n]]", "gives: [[]]", "neither its own nor lifted");
    check(
        "gives: [[n]]",
        "gives: [[n], []]",
        "`call` has 2 results, not 1",
    );
    check(
        "body(%1: f32[t, n])",
        "body(%1: f32[n, t])",
        "this is `f32[n, t]`, not `f32[t, n]`",
    );
    check(
        "over: n}        : f32[t, n]\n      return %2",
        "over: n}        : f32[t, n]\n      return %2, %2",
        "other results than its body",
    );
    check(
        "return %8",
        "return %6, %8",
        "one cotangent for each real operand",
    );
    check("gives: [[n]], ", "", "`call` needs the attribute `gives`");
}
