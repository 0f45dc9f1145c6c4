//! One table of primitives, the algebra of spans, and loops.

use super::*;
use crate::text::parse;

fn show(span: &Span) -> String {
    match span {
        Span::None => "none".to_owned(),
        Span::Same => "same".to_owned(),
        Span::Lag { from, to } => format!("lag {from} to {to}"),
        Span::Window { stride, from, to } => format!("window {stride}: {from} to {to}"),
        Span::Prefix { to } => format!("prefix {to}"),
        Span::Suffix { from } => format!("suffix {from}"),
        Span::Whole => "whole".to_owned(),
    }
}

/// What the last value of the body, along `to`, depends on of `x: f32[t, d=8]` along `from`.
fn check(body: &str, to: &str, from: &str, expected: &str) {
    let head = "graph g(x: f32[t, d=8], y: f32[t, d=8], ids: i64[t]) -> ()";
    let graph = parse(&format!("girih-graph 1\n{head} {{ {body} return }}")).unwrap();
    let axis = |name: &str| graph.axes.find(name).unwrap();
    let source = graph.inputs()["x"];
    let spans = Spans::new(&graph.axes, &graph.root, source, axis(from));
    let (_, last) = graph.root.nodes().last().unwrap();
    let found = spans.of(*last.results.last().unwrap(), axis(to));
    assert_eq!(show(&found), expected, "{body}");
}

#[test]
fn each_primitive_has_its_rule() {
    for (body, to, from, expected) in [
        ("%0 = exp x : f32[t, d=8]", "t", "t", "same"),
        ("%0 = exp x : f32[t, d=8]", "t", "d", "whole"),
        ("%0 = exp y : f32[t, d=8]", "t", "t", "none"),
        ("%0 = add x, y : f32[t, d=8]", "d", "d", "same"),
        ("%0 = grad_as y, x : f32[t, d=8]", "t", "t", "none"),
        ("%0 = contract x, y {over: d} : f32[t]", "t", "t", "same"),
        ("%0 = contract x, y {over: d} : f32[t]", "t", "d", "whole"),
        ("%0 = softmax x {over: d} : f32[t, d=8]", "t", "t", "same"),
        ("%0 = softmax x {over: t} : f32[t, d=8]", "t", "t", "whole"),
        (
            "%0 = cumulate x {axis: t, combine: sum} : f32[t, d=8]",
            "t",
            "t",
            "prefix 0",
        ),
        (
            "%0 = cumulate x {axis: t, combine: sum} : f32[t, d=8]",
            "d",
            "d",
            "same",
        ),
        (
            "%0 = cumulate x {axis: t, combine: sum, exclusive} : f32[t, d=8]",
            "t",
            "t",
            "prefix -1",
        ),
        (
            "%0 = cumulate x {axis: t, combine: sum, exclusive, reverse} : f32[t, d=8]",
            "t",
            "t",
            "suffix 1",
        ),
        (
            "%0 = order x {axis: d, into: k} : i64[t, k=2]",
            "t",
            "t",
            "same",
        ),
        (
            "%0 = order x {axis: d, into: k} : i64[t, k=2]",
            "k",
            "d",
            "whole",
        ),
        ("%0 = gather x, ids {axis: d} : f32[t]", "t", "t", "same"),
        (
            "%0 = scatter ids, x {axis: v, over: t, combine: sum} : f32[d=8, v]",
            "v",
            "t",
            "whole",
        ),
        (
            "%0 = window x {axis: t, into: [i: 1, k: -1], offset: 0} : f32[i=t, k=4, d=8]",
            "i",
            "t",
            "lag -3 to 0",
        ),
        (
            "%0 = window x {axis: t, into: [i: 1, k: 1], offset: -1} : f32[i=t, k=3, d=8]",
            "i",
            "t",
            "lag -1 to 1",
        ),
        (
            "%0 = window x {axis: t, into: [i: 2, k: 1], offset: 0} : f32[i=t, k=2, d=8]",
            "i",
            "t",
            "window 2: 0 to 1",
        ),
        (
            "%0 = window x {axis: t, into: [], offset: 0} : f32[d=8]",
            "d",
            "t",
            "whole",
        ),
        (
            "%0 = fold x {axis: i, from: [t: 1], offset: 2} : f32[i, d=8]",
            "i",
            "t",
            "lag -2 to -2",
        ),
        (
            "%0 = split x {axis: d, into: [p, q]} : f32[t, p=2, q=4]",
            "p",
            "d",
            "window 4: 0 to 3",
        ),
        (
            "%0 = split x {axis: d, into: [p, q]} : f32[t, p=2, q=4]",
            "q",
            "d",
            "whole",
        ),
        (
            "%0 = merge x {axis: m, from: [t, d]} : f32[m=8*t]",
            "m",
            "t",
            "prefix 0",
        ),
        (
            "%0 = concat y, x {axis: tt, from: [t, t]} : f32[tt=2*t, d=8]",
            "tt",
            "t",
            "lag -t to -t",
        ),
        (
            "%0 = rename x {axes: [t: i]} : f32[i=t, d=8]",
            "i",
            "t",
            "same",
        ),
        ("%0 = expand x {axes: b} : f32[b, t, d=8]", "t", "t", "same"),
        (
            "%0 = expand x {axes: b} : f32[b, t, d=8]",
            "b",
            "t",
            "whole",
        ),
    ] {
        check(body, to, from, expected);
    }
}

#[test]
fn rules_compose() {
    let shift = |n: i64| Span::lag(n.into(), n.into());
    assert_eq!(shift(-1).then(&shift(1)), Span::Same);
    assert_eq!(shift(-1).join(&shift(1)), Span::lag((-1).into(), 1.into()));
    let prefix = |n: i64| Span::Prefix { to: n.into() };
    assert_eq!(prefix(-1).join(&Span::Same), prefix(0));
    assert_eq!(prefix(-1).then(&shift(1)), prefix(0));
    let half = Span::window(2.into(), 0.into(), 1.into());
    assert_eq!(half.then(&half), Span::window(4.into(), 0.into(), 3.into()));
    assert_eq!(half.then(&prefix(0)), Span::Whole);
    assert_eq!(Span::None.then(&Span::Whole), Span::None);
    assert!(prefix(0).is_causal() && !prefix(1).is_causal() && !half.is_causal());
    let range = |span: &Span| span.range(2, 5, &|_| None).unwrap();
    assert_eq!(range(&prefix(-1)), 0..2);
    assert_eq!(range(&half), 4..5);
    assert_eq!(range(&Span::None), 0..0);
    check(
        "%0 = window x {axis: t, into: [i: 1], offset: -1} : f32[i=t, d=8]
         %1 = rename x {axes: [t: i]} : f32[i=t, d=8]
         %2 = add %0, %1 : f32[i=t, d=8]",
        "i",
        "t",
        "lag -1 to 0",
    );
}

#[test]
fn loops_tell_memory_from_slices() {
    let recurrence = |attributes: &str, results: &str| {
        format!(
            "%9 = const 0.0 : f32 %8 = expand %9 {{axes: d}} : f32[d=8]
             %0, %1 = recurrence {{axis: t{attributes}}} : f32[d=8], f32[t, d=8] {{
               carry %2 = %8 : f32[d=8]
               slice %3 = x : f32[d=8]
               %4 = add %2, %3 : f32[d=8]
               %5 = exp %3 : f32[d=8]
               %6 = cumulate %4 {{axis: d, combine: sum}} : f32[d=8]
               return {results}
             }}"
        )
    };
    for (attributes, results, to, from, expected) in [
        ("", "%4, %4", "t", "t", "prefix 0"),
        ("", "%4, %2", "t", "t", "prefix -1"),
        ("", "%4, %5", "t", "t", "same"),
        (", reverse", "%4, %4", "t", "t", "suffix 0"),
        ("", "%4, %4", "d", "d", "same"),
        ("", "%6, %4", "d", "d", "prefix 0"),
        ("", "%4, %4", "d", "t", "whole"),
    ] {
        check(&recurrence(attributes, results), to, from, expected);
    }
}

#[test]
fn branches_are_joined() {
    check(
        "param w: f32[e=2] param k: bool[e=2]
         %0 = route w, k, x {branch: e, items: t} : f32[t, d=8] {
           branch(%1: f32[t, d=8]) { return %1 }
           branch(%2: f32[t, d=8]) {
             %3 = window %2 {axis: d, into: [q: 1], offset: -2} : f32[t, q=8]
             %4 = rename %3 {axes: [q: d]} : f32[t, d=8]
             return %4
           }
         }",
        "d",
        "d",
        "lag -2 to 0",
    );
}
