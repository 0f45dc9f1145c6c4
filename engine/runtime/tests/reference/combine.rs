//! Primitives that combine or sort along axes: empty axes, `NaN`, ties.

use girih_graph::{Combine, Op};
use half::f16;

use super::check;

const NAN: f32 = f32::NAN;
const INF: f32 = f32::INFINITY;

#[test]
fn contractions() {
    // Rows, columns and a batch, whose axes stand anywhere.
    check(
        |c| {
            let (b, i, k, j) = (
                c.axis("b", 2),
                c.axis("i", 1),
                c.axis("k", 2),
                c.axis("j", 2),
            );
            let x = c.input(&[i, k, b], &[1.0_f32, 10.0, 2.0, 20.0]);
            let y = c.input(&[j, b, k], &[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
            c.b.value(Op::Contract(vec![k]), &[x, y])
        },
        "f32[1, 2, 2] [5, 17, 110, 230]",
    );
    check(
        |c| {
            let (i, k) = (c.axis("i", 2), c.axis("k", 0));
            let x = c.input::<f64>(&[i, k], &[]);
            let y = c.input::<f64>(&[k], &[]);
            c.b.value(Op::Contract(vec![k]), &[x, y])
        },
        "f64[2] [0, 0]",
    );
    // An outer product, and one of scalars.
    check(
        |c| {
            let (i, j) = (c.axis("i", 2), c.axis("j", 2));
            let x = c.input(&[i], &[1.0_f32, 2.0]);
            let y = c.input(&[j], &[3.0_f32, 4.0]);
            c.b.value(Op::Contract(vec![]), &[x, y])
        },
        "f32[2, 2] [3, 4, 6, 8]",
    );
    check(
        |c| {
            let (x, y) = (c.input(&[], &[2.0_f32]), c.input(&[], &[3.0_f32]));
            c.b.value(Op::Contract(vec![]), &[x, y])
        },
        "f32[] [6]",
    );
    // Rounded once: in `f16`, 2048 + 1 is 2048.
    check(
        |c| {
            let k = c.axis("k", 3);
            let numbers = [2048.0, 1.0, 1.0].map(f16::from_f32);
            let x = c.input(&[k], &numbers);
            let y = c.input(&[k], &[f16::ONE; 3]);
            c.b.value(Op::Contract(vec![k]), &[x, y])
        },
        "f16[] [2050]",
    );
}

#[test]
fn reductions_and_their_identities() {
    let real = |combine, x: &[f32], expected: &str| {
        check(
            |c| {
                let i = c.axis("i", x.len());
                let x = c.input(&[i], x);
                c.b.reduce(combine, x, &[i])
            },
            &format!("f32[] [{expected}]"),
        );
    };
    real(Combine::Sum, &[1.0, 2.0, 4.0], "7");
    real(Combine::Prod, &[2.0, 3.0], "6");
    real(Combine::Max, &[1.0, 3.0, 2.0], "3");
    real(Combine::Min, &[2.0, 1.0, 3.0], "1");
    real(Combine::Max, &[1.0, NAN, 2.0, 3.0], "NaN");
    real(Combine::Min, &[NAN, 2.0], "NaN");
    real(Combine::Sum, &[], "0");
    real(Combine::Prod, &[], "1");
    real(Combine::Max, &[], "-inf");
    real(Combine::Min, &[], "inf");
    real(Combine::Sum, &[1e8, 1.0, -1e8], "1");

    let empty = |combine, expected: &str| {
        check(
            |c| {
                let (i, j) = (c.axis("i", 0), c.axis("j", 2));
                let x = c.input::<i8>(&[i, j], &[]);
                c.b.reduce(combine, x, &[i])
            },
            expected,
        );
    };
    empty(Combine::Max, "i8[2] [-128, -128]");
    empty(Combine::Min, "i8[2] [127, 127]");
    empty(Combine::Prod, "i8[2] [1, 1]");

    let truth = |combine, x: &[bool], expected: &str| {
        check(
            |c| {
                let i = c.axis("i", x.len());
                let x = c.input(&[i], x);
                c.b.reduce(combine, x, &[i])
            },
            &format!("bool[] [{expected}]"),
        );
    };
    truth(Combine::Any, &[false, true], "1");
    truth(Combine::All, &[false, true], "0");
    truth(Combine::Any, &[], "0");
    truth(Combine::All, &[], "1");

    check(
        |c| {
            let (i, j, k) = (c.axis("i", 2), c.axis("j", 2), c.axis("k", 2));
            let x = c.input(&[i, j, k], &[1, 2, 3, 4, 5, 6, 7, 8_i64]);
            c.b.reduce(Combine::Sum, x, &[k, i])
        },
        "i64[2] [14, 22]",
    );
}

#[test]
fn softmax_of_a_domain() {
    let check = |x: &[f32], domain: &[bool], expected: &str| {
        check(
            |c| {
                let j = c.axis("j", x.len());
                let x = c.input(&[j], x);
                let domain = c.input(&[j], domain);
                c.b.value(Op::Softmax(vec![j]), &[x, domain])
            },
            expected,
        );
    };
    check(
        &[0.0, 0.0, 9.0],
        &[true, true, false],
        "f32[3] [0.5, 0.5, 0]",
    );
    check(&[1.0, NAN], &[true, false], "f32[2] [1, 0]");
    check(&[1.0, INF], &[true, false], "f32[2] [1, 0]");
    check(&[NAN, 1.0], &[true, false], "f32[2] [NaN, 0]");
    check(&[NAN, 1.0], &[false, false], "f32[2] [0, 0]");
    check(&[1e30, 1e30], &[true, true], "f32[2] [0.5, 0.5]");
    check(&[], &[], "f32[0] []");
}

#[test]
fn softmax_over_several_axes() {
    check(
        |c| {
            let (i, h, j) = (c.axis("i", 2), c.axis("h", 2), c.axis("j", 2));
            let x = c.input(&[i, h, j], &[0.0_f32; 8]);
            let domain = c.input(&[h, j], &[true, true, true, false]);
            c.b.value(Op::Softmax(vec![j, i]), &[x, domain])
        },
        "f32[2, 2, 2] [0.25, 0.25, 0.5, 0, 0.25, 0.25, 0.5, 0]",
    );
    check(
        |c| {
            let (i, j) = (c.axis("i", 2), c.axis("j", 2));
            let x = c.input(&[i, j], &[0.0_f64; 4]);
            c.b.value(Op::Softmax(vec![i]), &[x])
        },
        "f64[2, 2] [0.5, 0.5, 0.5, 0.5]",
    );
}

#[test]
fn running_combinations() {
    let check = |combine, reverse, exclusive, expected: &str| {
        check(
            |c| {
                let (t, d) = (c.axis("t", 3), c.axis("d", 2));
                let x = c.input(&[t, d], &[1, 10, 2, 20, 3, 30_i32]);
                let op = Op::Cumulate {
                    combine,
                    axis: t,
                    reverse,
                    exclusive,
                };
                c.b.value(op, &[x])
            },
            expected,
        );
    };
    check(
        Combine::Sum,
        false,
        false,
        "i32[3, 2] [1, 10, 3, 30, 6, 60]",
    );
    check(Combine::Sum, false, true, "i32[3, 2] [0, 0, 1, 10, 3, 30]");
    check(Combine::Sum, true, false, "i32[3, 2] [6, 60, 5, 50, 3, 30]");
    check(Combine::Sum, true, true, "i32[3, 2] [5, 50, 3, 30, 0, 0]");
    check(
        Combine::Prod,
        false,
        false,
        "i32[3, 2] [1, 10, 2, 200, 6, 6000]",
    );
    check(
        Combine::Max,
        false,
        true,
        "i32[3, 2] [-2147483648, -2147483648, 1, 10, 2, 20]",
    );
    check(Combine::Min, true, false, "i32[3, 2] [1, 10, 2, 20, 3, 30]");
}

#[test]
fn sorted_order() {
    let check = |x: &[f32], count, descending, expected: &str| {
        check(
            |c| {
                let (j, r) = (c.axis("j", x.len()), c.axis("r", count));
                let x = c.input(&[j], x);
                let op = Op::Order {
                    axis: j,
                    into: r,
                    descending,
                };
                c.b.value(op, &[x])
            },
            expected,
        );
    };
    let ties = [2.0, 1.0, 2.0, NAN, 1.0];
    check(&ties, 5, false, "i64[5] [1, 4, 0, 2, 3]");
    check(&ties, 5, true, "i64[5] [0, 2, 1, 4, 3]");
    check(&ties, 2, true, "i64[2] [0, 2]");
    check(&ties, 3, false, "i64[3] [1, 4, 0]");
    check(&[-0.0, 0.0], 2, true, "i64[2] [0, 1]");
    check(&[1.0], 0, false, "i64[0] []");
    check(&[], 0, false, "i64[0] []");
}

#[test]
fn sorting_takes_no_more_than_there_is() {
    check(
        |c| {
            let (j, r) = (c.open_axis("j", 2), c.axis("r", 3));
            let x = c.input(&[j], &[1_i64, 2]);
            let op = Op::Order {
                axis: j,
                into: r,
                descending: false,
            };
            c.b.value(op, &[x])
        },
        "axis `r` has 3 positions, more than the 2 of `j`",
    );
}
