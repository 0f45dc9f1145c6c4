//! Printing, reading back, and every kind of mistake.

use super::*;

/// The text is what its graph prints as, and the graph is canonical.
fn check(text: &str) {
    let graph = parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(print(&graph), text);
    assert_eq!(canonical(&graph), graph);
}

#[test]
fn a_recurrence_reads_as_in_the_documentation() {
    let documented: String = include_str!("../text.rs")
        .lines()
        .skip_while(|line| *line != "//! ```text")
        .skip(1)
        .take_while(|line| *line != "//! ```")
        .map(|line| line.trim_start_matches("//! ").to_owned() + "\n")
        .collect();
    check(&documented);
}

#[test]
fn every_primitive_has_a_text() {
    check(
        r#"girih-graph 1
axis t time
axis i=t over t time
axis steps=3
graph all(
  x: f32[t, d=8],
  ids: i64[t],
  "odd name": bool,
) -> (
  hidden.states: f32[t, d=8],
  "q\u{a}\"": f32,
) {
  check d*t == floor(t + 63, 64) - 9223372036854775808 "because of \"d\""
  param layers.0.w: f32[d=8, e=4]
  %0 = const -0.0                      : f32
  %1 = const nan                       : f64
  %2 = const -inf                      : bf16
  %3 = const 1e-7                      : f32
  %4 = const -9223372036854775808      : i64
  %5 = const true                      : bool
  %6 = table {data: [0.1, inf, -2.0]}  : f32[k=3]
  %7 = table {data: [1, 2, 3]}         : i8[k=3]
  %8 = index {axis: i}                 : i64[i=t]
  %9 = size {extent: max(t, 7) + 1}    : i64
  %10 = random {distribution: normal, key: "a.b"} : f32[t, d=8]
  state carry.k = %10                  : f32[t, d=8]
  %11 = exp x                          : f32[t, d=8]
  %12 = floor_div ids, %4              : i64[t]
  %13 = max x, carry.k                 : f32[t, d=8]
  %14 = select "odd name", x, %13      : f32[t, d=8]
  %15 = cast x                         : f16[t, d=8]
  %16 = contract x, layers.0.w {over: d} : f32[t, e=4]
  %17 = reduce x {combine: sum, over: [t, d]} : f32
  %18 = softmax x {over: d}            : f32[t, d=8]
  %19 = softmax x, "odd name" {over: [d, t]} : f32[t, d=8]
  %20 = cumulate x {axis: t, combine: prod, exclusive, reverse} : f32[t, d=8]
  %21 = order x {axis: d, descending, into: k} : i64[t, k=3]
  %22 = gather layers.0.w, ids {axis: d} : f32[t, e=4]
  %23 = gather layers.0.w, ids {axis: d, outside: zero} : f32[t, e=4]
  %24 = scatter ids, x {axis: v, combine: max, over: t} : f32[d=8, v]
  %25 = window x {axis: t, into: [i: 1, k: -2], offset: -1} : f32[i=t, k=3, d=8]
  %26 = fold %25 {axis: t, from: [i: 1, k: -2], offset: -1} : f32[t, d=8]
  %27 = window x {axis: t, into: [], offset: t - 1} : f32[d=8]
  %28 = split x {axis: d, into: [h, k.1]} : f32[t, h=2, k.1=4]
  %29 = merge %28 {axis: d, from: [h, k.1]} : f32[t, d=8]
  %30 = concat x, x {axis: dd, from: [d, d]} : f32[t, dd=16]
  %31 = rename x {axes: [t: i, d: j]}  : f32[i=t, j=8]
  %32 = expand x {axes: [b, h]}        : f32[b, h=2, t, d=8]
  %33 = grad_as x, %3                  : f32[t, d=8]
  _ = recurrence {axis: steps, reverse} : _ {
    return
  }
  %34 = expand %0 {axes: [t, e]}       : f32[t, e=4]
  %35 = expand %5 {axes: e}            : bool[e=4]
  %36 = route %34, %35, x, ids {branch: e, items: t} : f32[t, d=8] {
    branch(%37 = x: f32[t, d=8], %38 = ids: i64[t]) {
      return %37
    }
    branch(%39 = x: f32[t, d=8], %40 = ids: i64[t]) {
      %41 = recurrence {axis: steps}   : f32[t, d=8] {
        carry %42 = %39                : f32[t, d=8]
        keep %43 = %40                 : i64[t]
        return %42
      }
      return %41
    }
    branch(%44 = x: f32[t, d=8], %45 = ids: i64[t]) {
      return %44
    }
    branch(%46 = x: f32[t, d=8], %47 = ids: i64[t]) {
      return %46
    }
  }
  %48 = call x, ids {callee: "org.example.kit/pick@2", gives: [[d]], takes: [[d], []], with: [by: -2, mode: "fast"]} : f32[t, d=8] {
    body(%49: f32[t, d=8], %50: i64[t]) {
      return %49
    }
    gradient(%51: f32[t, d=8], %52: i64[t], %53: f32[t, d=8], %54: f32[t, d=8]) {
      return %54
    }
  }
  update carry.k = %36
  return %36, %17
}
"#,
    );
}

/// A mistake gives this message. `body` stands in a graph with an input `x: f32[t, d=8]`.
fn refused(body: &str, message: &str) {
    let text = format!("girih-graph 1\ngraph g(x: f32[t, d=8]) -> (y: f32[t, d=8]) {{\n{body}\n}}");
    whole_refused(&text, message);
}

fn whole_refused(text: &str, message: &str) {
    match parse(text) {
        Ok(_) => panic!("read without a mistake:\n{text}"),
        Err(error) => assert_eq!(error.to_string(), message, "{text}"),
    }
}

#[test]
fn mistakes_are_shown_where_they_are() {
    for (body, message) in [
        (
            "%0 = reduce x {combine: sum, over: d} : f32[t]\n%1 = grad_as %0, x : f32[t]\nreturn x",
            "line 4, column 6: `grad_as`: the stand-in has an axis that the value lacks",
        ),
        ("return", "line 4, column 1: `return` has 1 results, not 0"),
        (
            "return %0",
            "line 3, column 8: `%0` is not defined before this in this region",
        ),
        (
            "%0 = foo x : f32\nreturn x",
            "line 3, column 6: `foo` is no primitive",
        ),
        (
            "%0 = exp x : f33\nreturn x",
            "line 3, column 14: `f33` is no dtype",
        ),
        (
            "%0 = exp x : f32\nreturn x",
            "line 3, column 6: this is `f32[t, d=8]`, not `f32`",
        ),
        (
            "%0 = exp x, x : f32\nreturn x",
            "line 3, column 6: `exp` takes 1 operands, not 2",
        ),
        (
            "%0, %1 = exp x : f32[t, d=8]\nreturn x",
            "line 3, column 10: `exp` has 1 results, not 2",
        ),
        (
            "%0 = exp x : f32, f32\nreturn x",
            "line 3, column 6: `exp` has 1 results, not 2",
        ),
        (
            "%0 = exp %0 : f32\nreturn x",
            "line 3, column 10: `%0` is not defined before this in this region",
        ),
        (
            "%0 = exp x : f32[t, d=8]\n%0 = exp x : f32[t, d=8]\nreturn x",
            "line 4, column 1: value `%0` is given twice",
        ),
        (
            "param x: f32\nreturn x",
            "line 3, column 7: value `x` is given twice",
        ),
        (
            "%0 = exp x : f32[t, d=9]\nreturn x",
            "line 3, column 21: axis `d` has extent 9 here and 8 before",
        ),
        (
            "%0 = exp x : f32[t, t]\nreturn x",
            "line 3, column 21: axis `t` is given twice",
        ),
        (
            "%0 = softmax x {over: q} : f32[t, d=8]\nreturn x",
            "line 3, column 23: axis `q` is not mentioned before this",
        ),
        (
            "%0 = softmax x : f32[t, d=8]\nreturn x",
            "line 3, column 16: `softmax` needs the attribute `over`",
        ),
        (
            "%0 = softmax x {over: d, up} : f32[t, d=8]\nreturn x",
            "line 3, column 26: `softmax` has no attribute `up`",
        ),
        (
            "%0 = softmax x {over: d, over: t} : f32[t, d=8]\nreturn x",
            "line 3, column 26: attribute `over` is given twice",
        ),
        (
            "%0 = softmax x {over: [d} : f32[t, d=8]\nreturn x",
            "line 3, column 25: expected `]`, found `}`",
        ),
        (
            "%0 = reduce x {combine: mean, over: d} : f32[t]\nreturn x",
            "line 3, column 25: expected `sum` or `prod` or `max` or `min` or `any` or `all`, found `mean`",
        ),
        (
            "%0 = const 1.5 : i64\nreturn x",
            "line 3, column 12: expected an integer, found `1.5`",
        ),
        (
            "%0 = const 300 : u8\nreturn x",
            "line 3, column 12: `300` is no `u8`",
        ),
        (
            "%0 = const -1 : bool\nreturn x",
            "line 3, column 12: `-1` is no `bool`",
        ),
        (
            "%0 = const 1e999 : f32\nreturn x",
            "line 3, column 12: `1e999` is too large",
        ),
        (
            "%0 = const x : f32\nreturn x",
            "line 3, column 12: expected a number, found `x`",
        ),
        (
            "%0 = size {extent: 9223372036854775808} : i64\nreturn x",
            "line 3, column 20: `9223372036854775808` is too large",
        ),
        (
            "%0 = size {extent: mod(t, 2)} : i64\nreturn x",
            "line 3, column 20: expected `floor`, `rem`, `max` or `min`, found `mod`",
        ),
        (
            "update s = x\nreturn x",
            "line 3, column 8: there is no state `s`",
        ),
        (
            "state s = x : f32[t, d=8]\nupdate s = x\nupdate s = x\nreturn x",
            "line 5, column 8: update `s` is given twice",
        ),
        (
            "%0 = exp \"x : f32\nreturn x",
            "line 3, column 10: this quoted text does not end on its line",
        ),
        (
            "%0 = exp \"\\q\" : f32\nreturn x",
            "line 3, column 10: this quoted text has an escape other than `\\\"`, `\\\\` and `\\u{…}`",
        ),
        (
            "%0 = recurrence x {axis: t} : f32 {return}\nreturn x",
            "line 3, column 17: expected `{`: operands are listed inside, found `x`",
        ),
        (
            "_ = recurrence {axis: t} : _ {\nparam w: f32\nreturn}\nreturn x",
            "line 4, column 1: `param` may stand only outside of regions",
        ),
        (
            "_ = recurrence {axis: t} : _ {\n%0 = exp x : f32\nreturn}\nreturn x",
            "line 4, column 10: `x` is not defined before this in this region",
        ),
        (
            "_ = recurrence {axis: t} : _ {\nkeep %0 = x : f32\nreturn}\nreturn x",
            "line 3, column 5: `recurrence`: the region takes `f32` where `f32[t, d=8]` is given",
        ),
        (
            "_ = recurrence {axis: t} : _ {\nkeep %0 = x : f32[t, d=8]\nslice %1 = x : f32[d=8]\nreturn}\nreturn x",
            "line 5, column 1: expected a definition or `return`, found `slice`",
        ),
        (
            "x = exp x : f32\nreturn x",
            "line 3, column 1: expected a definition or `return`, found `x`",
        ),
        (
            "return x\n%0 = exp x : f32",
            "line 4, column 1: expected `}`, found `%0`",
        ),
        (
            "return x } more {",
            "line 3, column 12: expected the end of the text, found `more`",
        ),
        ("return x $", "line 3, column 10: expected `}`, found `$`"),
    ] {
        refused(body, message);
    }
}

#[test]
fn mistakes_in_the_head_are_shown_too() {
    for (text, message) in [
        (
            "",
            "line 1, column 1: the first line must be `girih-graph 1`, not ``",
        ),
        (
            "girih-graph 2\n",
            "line 1, column 1: the first line must be `girih-graph 1`, not `girih-graph 2`",
        ),
        (
            "girih-graph 1",
            "line 1, column 14: expected `graph`, found the end of the text",
        ),
        (
            "girih-graph 1\naxis t\naxis t\n",
            "line 3, column 6: axis `t` is given twice",
        ),
        (
            "girih-graph 1\naxis t over q\n",
            "line 2, column 13: axis `q` is not mentioned before this",
        ),
        (
            "girih-graph 1\ngraph g() -> (y: f32, y: f32) {",
            "line 2, column 23: result `y` is given twice",
        ),
        (
            "girih-graph 1\ngraph g(x: f32[d=-1]) -> () { return }",
            "line 1, column 1: axis `d` has extent -1",
        ),
        (
            "girih-graph 1\ngraph g(x: f32) -> (y: f64) { return x }",
            "line 2, column 38: this is `f32`, not `f64`",
        ),
    ] {
        whole_refused(text, message);
    }
}

#[test]
fn hostile_texts_end_in_errors() {
    let head = "girih-graph 1\ngraph g() -> () {";
    let deep = |n: usize| {
        format!(
            "{head}{}{}",
            "_ = recurrence {axis: t} : _ {".repeat(n),
            "return }".repeat(n + 1)
        )
    };
    let deep = |n: usize| deep(n).replacen("graph g", "axis t=2\ngraph g", 1);
    assert!(parse(&deep(MAX)).is_ok());
    assert!(parse(&deep(MAX + 1)).is_err());
    assert!(parse(&deep(100_000)).is_err());
    let size = |text: &str| {
        parse(&format!(
            "{head}%0 = size {{extent: {text}}} : i64 return }}"
        ))
    };
    assert!(size(&"floor(".repeat(100_000)).is_err());
    assert!(size(&"(".repeat(100_000)).is_err());
    assert!(size(&vec!["1"; 100_000].join("+")).is_err());
    assert!(size(&vec!["t"; 100_000].join("*")).is_err());
    let letters: Vec<String> = ('a'..='z').map(String::from).collect();
    assert!(size(&format!("max({}, 1)", letters.join("*"))).is_ok());
    assert!(size("floor(t, 0)").is_ok());
    assert!(size("99999999*99999999*99999999*99999999").is_ok());
    assert!(
        parse(&format!(
            "{head}%0 = table {{data: [{}]}} : f32 return }}",
            "1,".repeat(100_000)
        ))
        .is_err()
    );
}

const MAX: usize = super::parse::MAX_DEPTH;

#[test]
fn any_byte_may_be_missing_or_changed() {
    let text = include_str!("../text.rs");
    let start = text.find("girih-graph 1").unwrap();
    let text = text[start..text.find("//! ```\n//!\n//! - A").unwrap()].replace("//! ", "");
    assert!(parse(&text).is_ok());
    for at in 0..text.len() {
        // Only that these end matters: some of the texts are graphs.
        let _ = parse(&text[..at]);
        let mut without = text.clone();
        without.remove(at);
        let _ = parse(&without);
        for byte in ["{", "9", "\"", "%"] {
            let mut changed = text.clone();
            changed.replace_range(at..=at, byte);
            let _ = parse(&changed);
        }
    }
}

#[test]
fn a_snapshot_abbreviates_long_tables() {
    let numbers = ["0.5"; 9].join(", ");
    let text = format!(
        "girih-graph 1\ngraph g() -> (y: f32[n=9]) {{\n  %0 = table {{data: [{numbers}]}} : f32[n=9]\n  return %0\n}}\n"
    );
    let graph = parse(&text).unwrap();
    assert_eq!(print(&graph), text);
    let brief = snapshot(&graph);
    assert!(brief.contains("%0 = table {hash: \""), "{brief}");
    assert!(
        parse(&brief)
            .unwrap_err()
            .to_string()
            .contains("needs the attribute `data`")
    );
}

#[test]
fn axes_that_no_type_mentions_get_a_line() {
    let text = "girih-graph 1\naxis t\naxis s=t over t\ngraph g(x: f32) -> (y: f32) {\n  %0 = recurrence {axis: s}            : f32 {\n    carry %1 = x                       : f32\n    return %1\n  }\n  return %0\n}\n";
    check(text);
}
