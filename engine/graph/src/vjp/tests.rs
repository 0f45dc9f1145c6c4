//! What rules look like; that their numbers are right is tested where graphs run.

use super::*;
use crate::text::{parse, print};
use crate::verify::verify;

/// The lines that the gradients of a graph's only result, by its real inputs, add to it.
fn check(inputs: &str, body: &str, ty: &str, added: &str) {
    let text = format!("girih-graph 1\ngraph f({inputs}, g: {ty}) -> (y: {ty}) {{\n{body}\n}}\n");
    let graph = parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let (y, g) = (graph.root.results()[0], graph.inputs()["g"]);
    let real = graph
        .inputs()
        .into_iter()
        .filter(|(name, value)| *name != "g" && graph.root.ty(*value).dtype.is_real());
    let wanted: Vec<(String, ValueId)> = real.map(|(n, v)| (n.to_owned(), v)).collect();
    let mut b = Builder::resume(graph);
    let values: Vec<ValueId> = wanted.iter().map(|(_, value)| *value).collect();
    let found = pull_back(&mut b, &[(y, g)], &values).expect("the rules hold");
    for (value, cotangent) in values.iter().zip(&found) {
        let Some(cotangent) = cotangent else { continue };
        let (mut own, mut other) = (b.ty(*value).clone(), b.ty(*cotangent).clone());
        own.axes.sort();
        other.axes.sort();
        assert_eq!(own, other);
    }
    let named = wanted.into_iter().zip(found);
    let results = named.filter_map(|((name, _), value)| Some((name, value?)));
    let graph = b.finish(results.collect(), Vec::new());
    verify(&graph).expect("gradients verify");
    let printed = print(&graph);
    let given = body.lines().count() - 1;
    let lines = printed.lines().skip_while(|line| !line.starts_with("  %"));
    let lines: Vec<String> = lines
        .skip(given)
        .filter(|line| *line != "}")
        .map(|line| {
            line.split(" : ")
                .map(str::trim_end)
                .collect::<Vec<_>>()
                .join(" : ")
        })
        .collect();
    assert_eq!(lines.join("\n"), added);
}

#[test]
fn contractions_keep_the_order_of_axes() {
    check(
        "x: f32[t, d=4], w: f32[d=4, e=8]",
        "  %0 = contract x, w {over: d} : f32[t, e=8]\n  return %0",
        "f32[t, e=8]",
        "  %1 = contract g, w {over: e} : f32[t, d=4]
  %2 = contract x, g {over: t} : f32[d=4, e=8]
  return %2, %1",
    );
}

#[test]
fn products_are_plain_until_something_drops_elements() {
    check(
        "x: f32[t]",
        "  %0 = exp x : f32[t]\n  return %0",
        "f32[t]",
        "  %1 = mul g, %0 : f32[t]\n  return %1",
    );
    check(
        "x: f32[t], kept: bool[t]",
        "  %0 = exp x : f32[t]
  %1 = const 0.0 : f32
  %2 = select kept, %0, %1 : f32[t]
  return %2",
        "f32[t]",
        "  %3 = const 0.0 : f32
  %4 = select kept, g, %3 : f32[t]
  %5 = mul %4, %0 : f32[t]
  %6 = const 0.0 : f32
  %7 = eq %4, %6 : bool[t]
  %8 = ne %5, %5 : bool[t]
  %9 = and %7, %8 : bool[t]
  %10 = select %9, %6, %5 : f32[t]
  return %10",
    );
}

#[test]
fn a_linear_recurrence_stacks_nothing_it_does_not_need() {
    check(
        "x: f32[t], s: f32",
        "  %0, %1 = recurrence {axis: t} : f32, f32[t] {
    carry %2 = s : f32
    slice %3 = x : f32
    %4 = add %2, %3 : f32
    return %4, %4
  }
  return %1",
        "f32[t]",
        "  %5 = const 0.0 : f32
  %6, %7 = recurrence {axis: t, reverse} : f32, f32[t] {
    carry %8 = %5 : f32
    slice %9 = g : f32
    %10 = add %8, %9 : f32
    return %10, %10
  }
  return %6, %7",
    );
}
