//! Every rule has a test of its name: a graph it changes, or graphs it must not change.

use girih_graph::{Graph, text, verify};

use super::*;

/// A pass gives the second graph for the first.
pub(crate) fn check_pass(pass: impl Fn(&Graph) -> Graph, before: &str, after: &str) {
    let read = |text: &str| {
        let text = format!("girih-graph 1\n{text}");
        text::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    };
    let found = pass(&read(before));
    assert_eq!(verify(&found), Ok(()));
    assert_eq!(
        text::print(&found),
        text::print(&read(after)),
        "of\n{before}"
    );
}

const HEAD: &str = "graph g(
    x: f32[t], x64: f64[t], z: f32[t], n: i64[t], m: i64, b: bool[t], c: bool, d: f32[t, d=8], e: f32[n=0]
)";

/// The second body is what the rule of this name, and no other, makes of the first.
fn check(rule: &str, ty: &str, before: &str, after: &str) {
    let only = |graph: &Graph| {
        let mut current = graph.clone();
        loop {
            let mut patch = Patch::new(&current);
            rewrite_with(
                &current,
                &current.root,
                &mut Vec::new(),
                &mut patch,
                &|name| name == rule,
            );
            if patch.is_empty() {
                return current;
            }
            current = patch.apply().unwrap().graph;
        }
    };
    assert!(rules().any(|name| name == rule), "no rule `{rule}`");
    let whole = |body: &str| format!("{HEAD} -> (y: {ty}) {{ {body} }}");
    check_pass(only, &whole(before), &whole(after));
}

/// The rule of this name changes nothing.
fn stays(rule: &str, ty: &str, body: &str) {
    check(rule, ty, body, body);
}

macro_rules! rule_tests {
    ($($name:ident { $($how:ident($($text:literal),*);)* })*) => {
        const TESTED: &[&str] = &[$(stringify!($name)),*];
        $(#[test] fn $name() { $($how(stringify!($name), $($text),*);)* })*
    };
}

#[test]
fn every_rule_has_a_test() {
    for rule in rules() {
        assert!(TESTED.contains(&rule), "`{rule}` has no test");
    }
}

rule_tests! {
    rename_nothing {
        check("f32[t]", "%0 = rename x {axes: []} : f32[t] return %0", "return x");
        check("f32[t]", "%0 = rename x {axes: [t: t]} : f32[t] return %0", "return x");
    }
    rename_of_rename {
        check(
            "f32[i=t]",
            "%0 = rename x {axes: [t: j]} : f32[j=t] %1 = rename %0 {axes: [j: i]} : f32[i=t] return %1",
            "%1 = rename x {axes: [t: i]} : f32[i=t] return %1"
        );
        check(
            "f32[t]",
            "%0 = rename x {axes: [t: j]} : f32[j=t] %1 = rename %0 {axes: [j: t]} : f32[t] return %1",
            "return x"
        );
    }
    rename_of_index {
        check(
            "i64[i=t]",
            "%0 = index {axis: t} : i64[t] %1 = rename %0 {axes: [t: i]} : i64[i=t] return %1",
            "%1 = index {axis: i} : i64[i=t] return %1"
        );
    }
    expand_nothing {
        check("f32[t]", "%0 = expand x {axes: []} : f32[t] return %0", "return x");
    }
    expand_of_expand {
        check(
            "f32[p=2, q=3, t]",
            "%0 = expand x {axes: q} : f32[q=3, t] %1 = expand %0 {axes: p} : f32[p=2, q=3, t] return %1",
            "%1 = expand x {axes: [p, q]} : f32[p=2, q=3, t] return %1"
        );
    }
    elementwise_of_expand {
        check(
            "f32[t]",
            "%0 = const 2.0 : f32 %1 = expand %0 {axes: t} : f32[t] %2 = mul x, %1 : f32[t] return %2",
            "%0 = const 2.0 : f32 %2 = mul x, %0 : f32[t] return %2"
        );
        check(
            "f32[t]",
            "%0 = expand c {axes: t} : bool[t] %1 = select %0, x, z : f32[t] return %1",
            "%1 = select c, x, z : f32[t] return %1"
        );
        check(
            "bool[t]",
            "%0 = expand c {axes: t} : bool[t] %1 = and %0, %0 : bool[t] return %1",
            "%0 = expand c {axes: t} : bool[t] %1 = and c, %0 : bool[t] return %1"
        );
    }
    split_into_one {
        check(
            "f32[i=t]",
            "%0 = split x {axis: t, into: i} : f32[i=t] return %0",
            "%0 = rename x {axes: [t: i]} : f32[i=t] return %0"
        );
    }
    merge_of_one {
        check(
            "f32[i=t]",
            "%0 = merge x {axis: i, from: t} : f32[i=t] return %0",
            "%0 = rename x {axes: [t: i]} : f32[i=t] return %0"
        );
    }
    split_of_merge {
        check(
            "f32[t, p=8]",
            "%0 = merge d {axis: m, from: [t, d]} : f32[m=8*t] %1 = split %0 {axis: m, into: [t, p]} : f32[t, p=8] return %1",
            "%1 = rename d {axes: [t: t, d: p]} : f32[t, p=8] return %1"
        );
        stays(
            "f32[p=8, t]",
            "%0 = merge d {axis: m, from: [t, d]} : f32[m=8*t] %1 = split %0 {axis: m, into: [p, t]} : f32[p=8, t] return %1"
        );
    }
    merge_of_split {
        check(
            "f32[t, k=8]",
            "%0 = split d {axis: d, into: [p, q]} : f32[t, p=2, q=4] %1 = merge %0 {axis: k, from: [p, q]} : f32[t, k=8] return %1",
            "%1 = rename d {axes: [d: k]} : f32[t, k=8] return %1"
        );
        stays(
            "f32[t, k=8]",
            "%0 = split d {axis: d, into: [p, q]} : f32[t, p=2, q=4] %1 = merge %0 {axis: k, from: [q, p]} : f32[t, k=8] return %1"
        );
    }
    window_of_everything {
        check(
            "f32[i=t]",
            "%0 = window x {axis: t, into: [i: 1], offset: 0} : f32[i=t] return %0",
            "%0 = rename x {axes: [t: i]} : f32[i=t] return %0"
        );
        stays("f32[i=t]", "%0 = window x {axis: t, into: [i: 1], offset: -1} : f32[i=t] return %0");
        stays("f32[i=t]", "%0 = window x {axis: t, into: [i: 2], offset: 0} : f32[i=t] return %0");
        stays("f32[i=2]", "%0 = window x {axis: t, into: [i: 1], offset: 0} : f32[i=2] return %0");
    }
    fold_of_everything {
        check(
            "i64[i=t]",
            "%0 = fold n {axis: i, from: [t: 1], offset: 0} : i64[i=t] return %0",
            "%0 = rename n {axes: [t: i]} : i64[i=t] return %0"
        );
        stays("f32[i=t]", "%0 = fold x {axis: i, from: [t: 1], offset: 0} : f32[i=t] return %0");
    }
    concat_of_one {
        check(
            "f32[i=t]",
            "%0 = concat x {axis: i, from: t} : f32[i=t] return %0",
            "%0 = rename x {axes: [t: i]} : f32[i=t] return %0"
        );
    }
    concat_of_nothing {
        check(
            "f32[i=2*t]",
            "%0 = concat x, e, z {axis: i, from: [t, n, t]} : f32[i=2*t] return %0",
            "%0 = concat x, z {axis: i, from: [t, t]} : f32[i=2*t] return %0"
        );
        stays("f32[i=0]", "%0 = concat e, e {axis: i, from: [n, n]} : f32[i=0] return %0");
    }
    gather_at_index {
        check(
            "f32[i=t]",
            "%0 = index {axis: i} : i64[i=t] %1 = gather x, %0 {axis: t} : f32[i=t] return %1",
            "%1 = rename x {axes: [t: i]} : f32[i=t] return %1"
        );
        stays("f32[i=2]", "%0 = index {axis: i} : i64[i=2] %1 = gather x, %0 {axis: t} : f32[i=2] return %1");
    }
    reduce_over_nothing {
        check("f32[t]", "%0 = reduce x {combine: max, over: []} : f32[t] return %0", "return x");
        check("i64[t]", "%0 = reduce n {combine: sum, over: []} : i64[t] return %0", "return n");
        stays("f32[t]", "%0 = reduce x {combine: sum, over: []} : f32[t] return %0");
    }
    cast_to_itself {
        check("f32[t]", "%0 = cast x : f32[t] return %0", "return x");
    }
    cast_of_exact_cast {
        check(
            "f32[t]",
            "%0 = cast x : f64[t] %1 = cast %0 : f32[t] return %1",
            "%1 = cast x : f32[t] return %1"
        );
        check(
            "f16[t]",
            "%0 = cast x : f64[t] %1 = cast %0 : f16[t] return %1",
            "%1 = cast x : f16[t] return %1"
        );
        check(
            "bool[t]",
            "%0 = cast b : bf16[t] %1 = cast %0 : bool[t] return %1",
            "%1 = cast b : bool[t] return %1"
        );
        stays("f32[t]", "%0 = cast x : f16[t] %1 = cast %0 : f32[t] return %1");
        stays("f64[t]", "%0 = cast x64 : f32[t] %1 = cast %0 : f64[t] return %1");
        stays("i64[t]", "%0 = cast n : f64[t] %1 = cast %0 : i64[t] return %1");
        stays("u8[t]", "%0 = cast x : f64[t] %1 = cast %0 : u8[t] return %1");
    }
    select_on_constant {
        check("f32[t]", "%0 = const true : bool %1 = select %0, x, z : f32[t] return %1", "return x");
        check(
            "f32[t]",
            "%0 = const false : bool %1 = expand %0 {axes: t} : bool[t] %2 = select %1, x, z : f32[t] return %2",
            "return z"
        );
        stays("f32[t]", "%0 = const true : bool %1 = const 1.0 : f32 %2 = select %0, %1, z : f32[t] return %2");
    }
    select_of_equals {
        check("f32[t]", "%0 = select b, x, x : f32[t] return %0", "return x");
    }
    select_on_not {
        check(
            "f32[t]",
            "%0 = not b : bool[t] %1 = select %0, x, z : f32[t] return %1",
            "%1 = select b, z, x : f32[t] return %1"
        );
    }
    neg_of_neg {
        check("f32[t]", "%0 = neg x : f32[t] %1 = neg %0 : f32[t] return %1", "return x");
    }
    not_of_not {
        check("bool[t]", "%0 = not b : bool[t] %1 = not %0 : bool[t] return %1", "return b");
    }
    abs_of_sign {
        check(
            "f32[t]",
            "%0 = neg x : f32[t] %1 = abs %0 : f32[t] %2 = abs %1 : f32[t] return %2",
            "%1 = abs x : f32[t] return %1"
        );
    }
    binary_with_neutral {
        check("f32[t]", "%0 = const 1.0 : f32 %1 = mul x, %0 : f32[t] return %1", "return x");
        check("f32[t]", "%0 = const 1.0 : f32 %1 = mul %0, x : f32[t] return %1", "return x");
        check("f32[t]", "%0 = const -0.0 : f32 %1 = add x, %0 : f32[t] return %1", "return x");
        check("f32[t]", "%0 = const 0.0 : f32 %1 = sub x, %0 : f32[t] return %1", "return x");
        check("f32[t]", "%0 = const 1.0 : f32 %1 = div x, %0 : f32[t] return %1", "return x");
        check("i64[t]", "%0 = const 0 : i64 %1 = add %0, n : i64[t] return %1", "return n");
        check("i64[t]", "%0 = const 1 : i64 %1 = floor_div n, %0 : i64[t] return %1", "return n");
        check("bool[t]", "%0 = const true : bool %1 = and b, %0 : bool[t] return %1", "return b");
        check("bool[t]", "%0 = const false : bool %1 = xor %0, b : bool[t] return %1", "return b");
        stays("f32[t]", "%0 = const 0.0 : f32 %1 = add x, %0 : f32[t] return %1");
        stays("f32[t]", "%0 = const 0.0 : f32 %1 = sub %0, x : f32[t] return %1");
        stays("f32[t]", "%0 = const 1.0 : f32 %1 = div %0, x : f32[t] return %1");
        stays("f32[t]", "%0 = const -0.0 : f32 %1 = sub x, %0 : f32[t] return %1");
        stays("f32[t]", "%0 = const 1.0 : f32 %1 = expand %0 {axes: t} : f32[t] %2 = const 2.0 : f32 %3 = mul %2, %1 : f32[t] return %3");
    }
    binary_of_equals {
        check("f32[t]", "%0 = max x, x : f32[t] return %0", "return x");
        check("bool[t]", "%0 = or b, b : bool[t] return %0", "return b");
        stays("f32[t]", "%0 = sub x, x : f32[t] return %0");
    }
    integer_times_zero {
        check(
            "i64[t]",
            "%0 = const 0 : i64 %1 = mul n, %0 : i64[t] return %1",
            "%0 = const 0 : i64 %1 = expand %0 {axes: t} : i64[t] return %1"
        );
        check(
            "i64[t]",
            "%0 = const 1 : i64 %1 = rem n, %0 : i64[t] return %1",
            "%0 = const 0 : i64 %1 = expand %0 {axes: t} : i64[t] return %1"
        );
        check("bool", "%0 = const true : bool %1 = or c, %0 : bool return %1", "%0 = const true : bool return %0");
        stays("f32[t]", "%0 = const 0.0 : f32 %1 = mul x, %0 : f32[t] return %1");
        stays("i64[t]", "%0 = const 1 : i64 %1 = rem %0, n : i64[t] return %1");
    }
    integer_with_itself {
        check("i64", "%0 = sub m, m : i64 return %0", "%0 = const 0 : i64 return %0");
        check("bool", "%0 = le m, m : bool return %0", "%0 = const true : bool return %0");
        check("bool", "%0 = xor c, c : bool return %0", "%0 = const false : bool return %0");
        stays("bool[t]", "%0 = eq x, x : bool[t] return %0");
        stays("f32[t]", "%0 = sub x, x : f32[t] return %0");
    }
    size_is_constant {
        check("i64", "%0 = size {extent: 4} : i64 return %0", "%0 = const 4 : i64 return %0");
        stays("i64", "%0 = size {extent: t} : i64 return %0");
    }
    arithmetic_of_sizes {
        check(
            "i64",
            "%0 = size {extent: t} : i64 %1 = const 3 : i64 %2 = mul %1, %0 : i64 %3 = sub %2, %0 : i64 return %3",
            "%3 = size {extent: 2*t} : i64 return %3"
        );
        check(
            "i64",
            "%0 = size {extent: t} : i64 %1 = const 3 : i64 %2 = floor_div %0, %1 : i64 return %2",
            "%2 = size {extent: floor(t, 3)} : i64 return %2"
        );
        stays("i64", "%0 = size {extent: t} : i64 %1 = const 1 : i64 %2 = max %0, %1 : i64 return %2");
        stays("i64", "%0 = size {extent: t} : i64 %1 = const 1 : i64 %2 = rem %1, %0 : i64 return %2");
    }
    index_within_bounds {
        check(
            "bool[t]",
            "%0 = index {axis: t} : i64[t] %1 = size {extent: t} : i64 %2 = lt %0, %1 : bool[t] return %2",
            "%0 = const true : bool %1 = expand %0 {axes: t} : bool[t] return %1"
        );
        check(
            "bool[p=4]",
            "%0 = index {axis: p} : i64[p=4] %1 = const 3 : i64 %2 = gt %0, %1 : bool[p=4] return %2",
            "%0 = const false : bool %1 = expand %0 {axes: p} : bool[p=4] return %1"
        );
        check(
            "bool[p=4]",
            "%0 = index {axis: p} : i64[p=4] %1 = const 0 : i64 %2 = le %1, %0 : bool[p=4] return %2",
            "%0 = const true : bool %1 = expand %0 {axes: p} : bool[p=4] return %1"
        );
        check(
            "i64[p=4]",
            "%0 = index {axis: p} : i64[p=4] %1 = const 4 : i64 %2 = rem %0, %1 : i64[p=4] return %2",
            "%0 = index {axis: p} : i64[p=4] return %0"
        );
        check(
            "i64[p=4]",
            "%0 = index {axis: p} : i64[p=4] %1 = const 4 : i64 %2 = floor_div %0, %1 : i64[p=4] return %2",
            "%0 = const 0 : i64 %1 = expand %0 {axes: p} : i64[p=4] return %1"
        );
        stays("bool[p=4]", "%0 = index {axis: p} : i64[p=4] %1 = const 3 : i64 %2 = lt %0, %1 : bool[p=4] return %2");
        stays("bool[p=4]", "%0 = index {axis: p} : i64[p=4] %1 = size {extent: 4*t} : i64 %2 = lt %0, %1 : bool[p=4] return %2");
        stays("i64[p=4]", "%0 = index {axis: p} : i64[p=4] %1 = const 4 : i64 %2 = rem %1, %0 : i64[p=4] return %2");
    }
    fold_cast {
        check("f32", "%0 = const 3 : i64 %1 = cast %0 : f32 return %1", "%1 = const 3.0 : f32 return %1");
        check("bool", "%0 = const -2 : i8 %1 = cast %0 : bool return %1", "%1 = const true : bool return %1");
        check("f64", "%0 = const 0.1 : f32 %1 = cast %0 : f64 return %1", "%1 = const 0.10000000149011612 : f64 return %1");
        stays("u8", "%0 = const 300 : i64 %1 = cast %0 : u8 return %1");
        stays("f32", "%0 = const 16777217 : i64 %1 = cast %0 : f32 return %1");
        stays("i64", "%0 = const 0.5 : f32 %1 = cast %0 : i64 return %1");
    }
    fold_unary {
        check("f32", "%0 = const 0.0 : f32 %1 = neg %0 : f32 return %1", "%1 = const -0.0 : f32 return %1");
        check("bool", "%0 = const true : bool %1 = not %0 : bool return %1", "%1 = const false : bool return %1");
        stays("i64", "%0 = const -9223372036854775808 : i64 %1 = neg %0 : i64 return %1");
        stays("f32", "%0 = const 1.0 : f32 %1 = exp %0 : f32 return %1");
    }
    fold_binary {
        check("i64", "%0 = const -7 : i64 %1 = const 2 : i64 %2 = floor_div %0, %1 : i64 return %2", "%2 = const -4 : i64 return %2");
        check("i64", "%0 = const -7 : i64 %1 = const 2 : i64 %2 = rem %0, %1 : i64 return %2", "%2 = const 1 : i64 return %2");
        check("bool", "%0 = const 1 : i64 %1 = const 2 : i64 %2 = lt %0, %1 : bool return %2", "%2 = const true : bool return %2");
        stays("i8", "%0 = const 100 : i8 %1 = add %0, %0 : i8 return %1");
        stays("i64", "%0 = const 9223372036854775807 : i64 %1 = add %0, %0 : i64 return %1");
        stays("f32", "%0 = const 0.1 : f32 %1 = add %0, %0 : f32 return %1");
    }
}

#[test]
fn rules_work_inside_regions() {
    let text = |body: &str| {
        format!(
            "{HEAD} -> (y: f32[t]) {{ %0 = recurrence {{axis: t}} : f32[t] {{ slice %1 = x : f32 {body} }} return %0 }}"
        )
    };
    check_pass(
        simplify,
        &text("%2 = neg %1 : f32 %3 = neg %2 : f32 return %3"),
        &text("return %1"),
    );
}
