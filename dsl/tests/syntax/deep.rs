//! Deeply nested files: read or refused, never a stack overflow.

use proptest::prelude::*;

use super::{check_format, read};

/// Ways to put something into something.
const NESTS: [(&str, &str); 16] = [
    ("(", ")"),
    ("[", "]"),
    ("f(", ")"),
    ("{ a: ", " }"),
    ("x[t = ", "]"),
    ("if c then a else ", ""),
    ("if ", " then a else b"),
    ("(route ", " to e { s = 1 })"),
    ("-", ""),
    ("not ", ""),
    ("sum(e) ", ""),
    ("2^", ""),
    ("1 + ", ""),
    ("", ".field"),
    ("", "(1)"),
    ("(", " where a else b)"),
];

fn check_deep(nests: &[(&str, &str)]) {
    let mut text = String::from("x");
    for (before, after) in nests {
        text = format!("{before}{text}{after}");
    }
    let text = format!("let a = {text}\n");
    let (_, found) = read("deep.girih", &text);
    if found.is_empty() {
        check_format("deep.girih", &text);
    }
}

#[test]
fn every_nesting_is_bounded() {
    for nest in NESTS {
        for depth in [100, 127, 128, 129, 250, 257, 10_000] {
            check_deep(&vec![nest; depth]);
        }
    }
    for depth in [100, 127, 128, 10_000] {
        for (before, after) in [
            ("recurrence over t { ", " }"),
            ("if c { ", " }"),
            ("if c { } else ", "{ }"),
        ] {
            let body = format!(
                "{}{}",
                before.repeat(depth),
                after.repeat(if before.ends_with("else ") { 1 } else { depth })
            );
            let text = format!("fn f(x) {{\n{body}\n}}\n");
            let (_, found) = read("deep.girih", &text);
            if found.is_empty() {
                check_format("deep.girih", &text);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_nesting_is_read_or_refused(nests in prop::collection::vec(0..NESTS.len(), 0..300)) {
        check_deep(&nests.into_iter().map(|nest| NESTS[nest]).collect::<Vec<_>>());
    }
}

#[test]
fn repeated_pieces_are_read_or_refused() {
    const SIZE: usize = 8 << 10;
    let pieces = [
        "(",
        ")",
        "({[",
        "\t",
        ";",
        "\"",
        "\"\n",
        "#\n",
        "é ",
        "“",
        "axis a\n",
        "axis 3\n",
        "module A (\n",
        "module A(){\n",
        "a ",
        "a=a\n",
        "2d 1. .5 ",
        "@ a ",
        "' ",
        "//\n",
        "/* */",
        "## a\naxis a\n",
        "\r\n",
        "\u{feff}",
        "\0",
        "\\",
        "->",
        "if ",
        "else ",
        "where ",
        "sum(",
    ];
    for piece in pieces {
        let text = piece.repeat(SIZE / piece.len());
        let (_, found) = read("repeated.girih", &text);
        if found.is_empty() {
            check_format("repeated.girih", &text);
        }
    }
    let inside = [
        ("let a = 1", "+1", ""),
        ("let a = [1", ",1", "]"),
        ("let a = [f(1)", ",f(1)", "]"),
        ("let a = b", ".c", ""),
        ("let a = ", "-", "1"),
        ("let a = ", "sum(e) ", "x"),
        ("let a = x", "^x", ""),
        ("let a = [\n", "1, # c\n", "]"),
        ("module A() {\n", "sub a = B(c)\n", "}"),
        ("module A() {\n", "sub a = B(c d)\n", "}"),
        ("weights a for B {\n", "\"a.b\" = c.d\n", "}"),
        ("fn f(x) {\n", "y = x\n", "}"),
        ("fn f(x) {", "y = x ", "}"),
        ("fn f(x) {\n", "y = x ** 2\n", "}"),
        ("fn f(x) {\n", "y = x x\n", "}"),
        ("module A(", "a: {b: f32},", ") {}"),
    ];
    for (before, piece, after) in inside {
        let text = format!("{before}{}{after}\n", piece.repeat(SIZE / piece.len()));
        let (_, found) = read("repeated.girih", &text);
        if found.is_empty() {
            check_format("repeated.girih", &text);
        }
    }
}
