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
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_nesting_is_read_or_refused(nests in prop::collection::vec(0..NESTS.len(), 0..300)) {
        check_deep(&nests.into_iter().map(|nest| NESTS[nest]).collect::<Vec<_>>());
    }
}
