//! What generated code looks like: a launch of each kind, which NVIDIA's compiler takes where it is installed.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is how a test fails")]

use girih_cuda::driver::nvrtc;
use girih_cuda::source::program;
use girih_graph::text;
use girih_plan::{Wants, lower_for, simplify_all};

/// The code of the launches of a graph.
#[track_caller]
fn check(name: &str, graph: &str) {
    let graph = text::parse(&format!("girih-graph 1\n{graph}")).unwrap();
    let plan = lower_for(&simplify_all(&graph), Wants::DEVICE);
    let program = program(&plan.kernels, &plan.root).unwrap();
    // That the compiler is absent is said where examples are compiled.
    if nvrtc::load().is_ok() {
        nvrtc::compile(&program.text, 80).unwrap();
    }
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true, snapshot_path => "snapshots"}, {
        insta::assert_snapshot!(name, program.text);
    });
}

#[test]
fn elements() {
    check(
        "elements",
        "axis t\ngraph g(x: f32[t, d=64], y: bf16[t, d=64]) -> (z: bf16[t, d=64]) {\n\
         %0 = sigmoid x : f32[t, d=64]\n%1 = cast %0 : bf16[t, d=64]\n%2 = mul %1, y : bf16[t, d=64]\nreturn %2\n}\n",
    );
}

#[test]
fn rows_that_a_warp_shares() {
    check(
        "norm",
        "axis t\ngraph g(x: f32[t, d=64]) -> (y: f32[t, d=64]) {\n\
         %0 = mul x, x : f32[t, d=64]\n%1 = reduce %0 {combine: sum, over: d} : f32[t]\n\
         %2 = rsqrt %1 : f32[t]\n%3 = mul x, %2 : f32[t, d=64]\nreturn %3\n}\n",
    );
}

#[test]
fn rows_that_a_block_shares() {
    check(
        "softmax",
        "axis t\ngraph g(x: f32[t, v=50000]) -> (y: f32[t, v=50000]) {\n\
         %0 = softmax x {over: v} : f32[t, v=50000]\nreturn %0\n}\n",
    );
}

#[test]
fn columns_that_a_thread_walks() {
    check(
        "columns",
        "axis t\ngraph g(x: f32[t, d=64]) -> (y: f32[d=64]) {\n\
         %0 = reduce x {combine: max, over: t} : f32[d=64]\nreturn %0\n}\n",
    );
}

#[test]
fn positions_that_are_data() {
    check(
        "gather",
        "axis t\ngraph g(w: f32[v=100, d=64], at: i64[t]) -> (y: f32[t, d=64]) {\n\
         %0 = gather w, at {axis: v} : f32[t, d=64]\nreturn %0\n}\n",
    );
}

#[test]
fn products() {
    check(
        "product",
        "axis t\ngraph g(x: f32[t, d=64], w: f32[e=32, d=64]) -> (y: f32[t, e=32]) {\n\
         %0 = contract x, w {over: d} : f32[t, e=32]\nreturn %0\n}\n",
    );
}

#[test]
fn products_of_sixteen_bits() {
    check(
        "narrow",
        "axis t\ngraph g(x: bf16[t, d=64], w: bf16[e=32, d=64]) -> (y: bf16[t, e=32]) {\n\
         %0 = contract x, w {over: d} : bf16[t, e=32]\nreturn %0\n}\n",
    );
}

#[test]
fn attention() {
    check(
        "attention",
        "axis t\naxis s\ngraph g(q: f32[h=2, t, d=8], k: f32[h=2, s, d=8], v: f32[h=2, s, f=8]) -> (y: f32[h=2, t, f=8]) {\n\
         %0 = contract q, k {over: d} : f32[h=2, t, s]\n%2 = index {axis: t} : i64[t]\n%3 = index {axis: s} : i64[s]\n\
         %9 = le %3, %2 : bool[s, t]\n%10 = softmax %0, %9 {over: s} : f32[h=2, t, s]\n\
         %11 = contract %10, v {over: s} : f32[h=2, t, f=8]\nreturn %11\n}\n",
    );
}

#[test]
fn loops() {
    check(
        "loop",
        "axis t time\ngraph scan(x: f32[t, d=64], a: f32[t, d=64], s: f32[d=64]) -> (last: f32[d=64], y: f32[t, d=64]) {\n\
         %3, %4 = recurrence {axis: t} : f32[d=64], f32[t, d=64] {\ncarry %5 = s : f32[d=64]\nslice %6 = x : f32[d=64]\n\
         slice %7 = a : f32[d=64]\n%8 = mul %5, %7 : f32[d=64]\n%9 = tanh %8 : f32[d=64]\n%10 = add %9, %6 : f32[d=64]\n\
         return %10, %10\n}\nreturn %3, %4\n}\n",
    );
}

#[test]
fn routines() {
    let each = [
        (
            "order",
            "axis t\naxis k=4\ngraph g(x: f32[t, n=8]) -> (y: i64[t, k=4]) {\n%0 = order x {axis: n, descending, into: k} : i64[t, k=4]\nreturn %0\n}\n",
        ),
        (
            "sort",
            "axis t\naxis k=4\ngraph g(x: f32[t, n=100]) -> (y: i64[t, k=4]) {\n%0 = order x {axis: n, descending, into: k} : i64[t, k=4]\nreturn %0\n}\n",
        ),
        (
            "cumulate",
            "axis t\ngraph g(x: f32[t, n=8]) -> (y: f32[t, n=8]) {\n%0 = cumulate x {axis: t, combine: sum} : f32[t, n=8]\nreturn %0\n}\n",
        ),
        (
            "scatter",
            "axis t\ngraph g(at: i64[t], x: f32[t, d=8]) -> (y: f32[d=8, v=9]) {\n%0 = scatter at, x {axis: v, combine: sum, over: t} : f32[d=8, v=9]\nreturn %0\n}\n",
        ),
        (
            "fold",
            "axis t\naxis i=t over t\ngraph g(x: f32[i=t, k=3]) -> (y: f32[t]) {\n%0 = fold x {axis: t, from: [i: 1, k: 1], offset: -1} : f32[t]\nreturn %0\n}\n",
        ),
    ];
    for (name, graph) in each {
        check(name, graph);
    }
}
