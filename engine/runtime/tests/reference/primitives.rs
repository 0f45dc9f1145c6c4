//! Every primitive without a region, with the values at its edges.

use girih_graph::{Binary, Combine, DType, Distribution, Extent, Literal, Op, Outside, Unary};
use half::{bf16, f16};

use super::{check, check_flat};

const NAN: f32 = f32::NAN;
const INF: f32 = f32::INFINITY;

#[test]
fn leaves() {
    check(
        |c| {
            c.b.value(Op::Const(Literal::Real(DType::BF16, 1.0 / 3.0)), &[])
        },
        "bf16[] [0.333984375]",
    );
    check(
        |c| c.b.value(Op::Const(Literal::Int(DType::I8, -7)), &[]),
        "i8[] [-7]",
    );
    check(
        |c| c.b.value(Op::Const(Literal::Bool(true)), &[]),
        "bool[] [1]",
    );
    check(
        |c| {
            let (i, j) = (c.axis("i", 2), c.axis("j", 2));
            let numbers = vec![1.0, 2.0, 3.5, 4.0];
            c.b.value(Op::Table(DType::I32, vec![i, j], numbers.into()), &[])
        },
        "i32[2, 2] [1, 2, 3, 4]",
    );
    check(
        |c| {
            let i = c.axis("i", 3);
            c.b.value(Op::Index(i), &[])
        },
        "i64[3] [0, 1, 2]",
    );
    check(
        |c| {
            let t = c.open_axis("t", 5);
            let _ = c.input::<f32>(&[t], &[0.0; 5]);
            let size = Extent::symbol("t")
                .times(&Extent::from(2))
                .plus(&Extent::from(1));
            c.b.value(Op::Size(size), &[])
        },
        "i64[] [11]",
    );
    check(
        |c| {
            let i = c.axis("i", 2);
            c.b.value(
                Op::Random(Distribution::Uniform, "drop".into(), vec![i]),
                &[],
            )
        },
        "f32[2] [0.5404629707336426, 0.33406078815460205]",
    );
    check(
        |c| {
            let i = c.axis("i", 0);
            c.b.value(
                Op::Random(Distribution::Normal, "drop".into(), vec![i]),
                &[],
            )
        },
        "f32[0] []",
    );
}

#[test]
fn functions_of_one_value() {
    let real = |op, x: f32, expected: &str| {
        check_flat(Op::Unary(op), &[&[x]], &format!("f32[1] [{expected}]"));
    };
    real(Unary::Neg, 2.0, "-2");
    real(Unary::Abs, -2.5, "2.5");
    real(Unary::Sign, -0.0, "0");
    real(Unary::Sign, -3.0, "-1");
    real(Unary::Sign, NAN, "NaN");
    real(Unary::Exp, 1.0, "2.7182817459106445");
    real(Unary::Exp, -1000.0, "0");
    real(Unary::Log, 0.0, "-inf");
    real(Unary::Log, -1.0, "NaN");
    real(Unary::Log1p, 1e-10, "0.0000000001000000013351432");
    real(Unary::Sqrt, 9.0, "3");
    real(Unary::Rsqrt, 4.0, "0.5");
    real(Unary::Sin, 0.0, "0");
    real(Unary::Cos, 0.0, "1");
    real(Unary::Tanh, 1000.0, "1");
    real(Unary::Sigmoid, 0.0, "0.5");
    real(Unary::Sigmoid, -1000.0, "0");
    real(Unary::Sigmoid, 1000.0, "1");
    real(Unary::Erf, 0.5, "0.5204998850822449");
    real(Unary::Erf, -INF, "-1");
    real(Unary::Floor, -1.5, "-2");
    real(Unary::Ceil, -1.5, "-1");

    check_flat(
        Op::Unary(Unary::Round),
        &[&[0.5_f64, 1.5, 2.5, -0.5, -1.5, 2.4]],
        "f64[6] [0, 2, 2, -0, -2, 2]",
    );
    check_flat(
        Op::Unary(Unary::Exp),
        &[&[f16::from_f32(1.0)]],
        "f16[1] [2.71875]",
    );
    check_flat(
        Op::Unary(Unary::Abs),
        &[&[i8::MIN, -1, 5]],
        "i8[3] [-128, 1, 5]",
    );
    check_flat(
        Op::Unary(Unary::Sign),
        &[&[-5_i64, 0, 9]],
        "i64[3] [-1, 0, 1]",
    );
    check_flat(Op::Unary(Unary::Sign), &[&[0_u8, 9]], "u8[2] [0, 1]");
    check_flat(
        Op::Unary(Unary::Neg),
        &[&[i32::MIN, 1]],
        "i32[2] [-2147483648, -1]",
    );
    check_flat(Op::Unary(Unary::Not), &[&[true, false]], "bool[2] [0, 1]");
    check_flat(Op::Unary(Unary::Not), &[&[0_i8, 5]], "i8[2] [-1, -6]");
    check_flat(
        Op::Unary(Unary::PopCount),
        &[&[-1_i64, 0, 7]],
        "i64[3] [64, 0, 3]",
    );
    check_flat(Op::Unary(Unary::PopCount), &[&[-1_i8, 3]], "i8[2] [8, 2]");
    check_flat::<f32>(Op::Unary(Unary::Exp), &[&[]], "f32[0] []");
}

#[test]
fn functions_of_two_values() {
    let real = |op, x: f32, y: f32, expected: &str| {
        check_flat(
            Op::Binary(op),
            &[&[x], &[y]],
            &format!("f32[1] [{expected}]"),
        );
    };
    real(Binary::Add, 1.0, 2.0, "3");
    real(Binary::Sub, 1.0, 2.0, "-1");
    real(Binary::Mul, 3.0, 2.0, "6");
    real(Binary::Div, 1.0, 0.0, "inf");
    real(Binary::FloorDiv, -7.0, 2.0, "-4");
    real(Binary::Rem, -7.0, 2.0, "1");
    real(Binary::Rem, 7.0, -2.0, "-1");
    real(Binary::Pow, 2.0, -1.0, "0.5");
    for op in [Binary::Max, Binary::Min] {
        real(op, NAN, 1.0, "NaN");
        real(op, 1.0, NAN, "NaN");
    }
    real(Binary::Max, -INF, 1.0, "1");
    real(Binary::Min, INF, 1.0, "1");

    let compare = |op, expected: &str| {
        let (x, y) = ([1.0_f32, 2.0, NAN, 3.0], [1.0, 3.0, NAN, 2.0]);
        check_flat(Op::Binary(op), &[&x, &y], &format!("bool[4] [{expected}]"));
    };
    compare(Binary::Eq, "1, 0, 0, 0");
    compare(Binary::Ne, "0, 1, 1, 1");
    compare(Binary::Lt, "0, 1, 0, 0");
    compare(Binary::Le, "1, 1, 0, 0");
    compare(Binary::Gt, "0, 0, 0, 1");
    compare(Binary::Ge, "1, 0, 0, 1");

    let whole = |op, x: i64, y: i64, expected: &str| {
        check_flat(
            Op::Binary(op),
            &[&[x], &[y]],
            &format!("i64[1] [{expected}]"),
        );
    };
    whole(Binary::FloorDiv, -7, 2, "-4");
    whole(Binary::FloorDiv, -8, 2, "-4");
    whole(Binary::FloorDiv, 7, -2, "-4");
    whole(Binary::FloorDiv, 7, 0, "0");
    whole(Binary::FloorDiv, i64::MIN, -1, "-9223372036854776000");
    whole(Binary::Rem, -7, 2, "1");
    whole(Binary::Rem, 7, -2, "-1");
    whole(Binary::Rem, 7, 0, "0");
    whole(Binary::Rem, i64::MIN, -1, "0");
    whole(Binary::Max, -1, 2, "2");
    whole(Binary::And, 6, 3, "2");
    whole(Binary::Or, 6, 3, "7");
    whole(Binary::Xor, 6, 3, "5");
    whole(Binary::Shl, 1, 65, "2");
    whole(Binary::Shr, -1, 63, "1");
    check_flat(Op::Binary(Binary::Add), &[&[127_i8], &[1]], "i8[1] [-128]");
    check_flat(Op::Binary(Binary::Shr), &[&[-128_i8], &[9]], "i8[1] [64]");
    check_flat(
        Op::Binary(Binary::FloorDiv),
        &[&[250_u8], &[7]],
        "u8[1] [35]",
    );
    check_flat(
        Op::Binary(Binary::Xor),
        &[&[true, true], &[true, false]],
        "bool[2] [0, 1]",
    );
    check_flat(
        Op::Binary(Binary::Mul),
        &[&[bf16::from_f32(1.0 / 3.0)], &[bf16::from_f32(3.0)]],
        "bf16[1] [1]",
    );
}

#[test]
fn operands_align_by_the_names_of_axes() {
    check(
        |c| {
            let (i, j) = (c.axis("i", 2), c.axis("j", 3));
            let x = c.input(&[j, i], &[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0]);
            let y = c.input(&[i], &[10.0_f32, 20.0]);
            c.b.binary(Binary::Add, y, x)
        },
        "f32[3, 2] [11, 22, 13, 24, 15, 26]",
    );
    check(
        |c| {
            let (i, j) = (c.axis("i", 2), c.axis("j", 2));
            let x = c.input(&[i], &[1.0_f32, 2.0]);
            let y = c.input(&[j], &[10.0_f32, 20.0]);
            c.b.binary(Binary::Mul, x, y)
        },
        "f32[2, 2] [10, 20, 20, 40]",
    );
    check(
        |c| {
            let (i, j) = (c.axis("i", 2), c.axis("j", 2));
            let x = c.input(&[i, j], &[1, 2, 3, 4_i64]);
            let y = c.input(&[j, i], &[10, 20, 30, 40_i64]);
            let difference = c.b.binary(Binary::Sub, y, x)?;
            c.b.reduce(Combine::Sum, difference, &[i])
        },
        "i64[2] [26, 64]",
    );
}

#[test]
fn select_does_not_touch_what_it_does_not_choose() {
    check(
        |c| {
            let (i, j) = (c.axis("i", 2), c.axis("j", 2));
            let condition = c.input(&[i], &[true, false]);
            let x = c.input(&[j], &[1.0_f32, NAN]);
            let y = c.input(&[i, j], &[NAN, NAN, 5.0, 6.0]);
            c.b.select(condition, x, y)
        },
        "f32[2, 2] [1, NaN, 5, 6]",
    );
    check(
        |c| {
            let condition = c.input(&[], &[true]);
            let (x, y) = (c.input(&[], &[false]), c.input(&[], &[true]));
            c.b.select(condition, x, y)
        },
        "bool[] [0]",
    );
}

#[test]
fn casts() {
    let x = [1.9_f32, -1.9, 300.0, NAN, 0.0];
    check_flat(Op::Cast(DType::I64), &[&x], "i64[5] [1, -1, 300, 0, 0]");
    check_flat(Op::Cast(DType::U8), &[&x], "u8[5] [1, 0, 255, 0, 0]");
    check_flat(Op::Cast(DType::Bool), &[&x], "bool[5] [1, 1, 1, 1, 0]");
    check_flat(
        Op::Cast(DType::F16),
        &[&[1.0_f64 / 3.0, 1e9]],
        "f16[2] [0.333251953125, inf]",
    );
    check_flat(Op::Cast(DType::F64), &[&[true, false]], "f64[2] [1, 0]");
    check_flat(Op::Cast(DType::I8), &[&[300_i64, -5]], "i8[2] [127, -5]");
    check_flat(Op::Cast(DType::Bool), &[&[-5_i8, 0]], "bool[2] [1, 0]");
}

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

#[test]
fn reads_at_positions() {
    let gather = |positions: &[i32], outside, expected: &str| {
        check(
            |c| {
                let (v, d, t) = (c.axis("v", 3), c.axis("d", 2), c.axis("t", positions.len()));
                let table = c.input(&[v, d], &[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0]);
                let positions = c.input(&[t], positions);
                c.b.value(Op::Gather { axis: v, outside }, &[table, positions])
            },
            expected,
        );
    };
    gather(&[2, 0], Outside::Error, "f32[2, 2] [5, 6, 1, 2]");
    gather(&[], Outside::Error, "f32[0, 2] []");
    gather(&[-1, 1, 3], Outside::Zero, "f32[3, 2] [0, 0, 3, 4, 0, 0]");
    gather(
        &[0, 3],
        Outside::Error,
        "position 3 is outside axis `v`, which has extent 3",
    );
    gather(
        &[-1],
        Outside::Error,
        "position -1 is outside axis `v`, which has extent 3",
    );
    // An axis of the positions that the operand has too is aligned.
    check(
        |c| {
            let (b, j, r) = (c.axis("b", 2), c.axis("j", 3), c.axis("r", 2));
            let x = c.input(&[j, b], &[1, 10, 2, 20, 3, 30_i64]);
            let positions = c.input(&[b, r], &[2, 0, 1, 1_i64]);
            let op = Op::Gather {
                axis: j,
                outside: Outside::Error,
            };
            c.b.value(op, &[x, positions])
        },
        "i64[2, 2] [3, 20, 1, 20]",
    );
    check(
        |c| {
            let (j, t) = (c.axis("j", 0), c.axis("t", 1));
            let x = c.input::<bool>(&[j], &[]);
            let positions = c.input(&[t], &[0_i64]);
            let op = Op::Gather {
                axis: j,
                outside: Outside::Zero,
            };
            c.b.value(op, &[x, positions])
        },
        "bool[1] [0]",
    );
}

#[test]
fn writes_at_positions() {
    let scatter = |combine, expected: &str| {
        check(
            |c| {
                let (t, v) = (c.axis("t", 4), c.axis("v", 3));
                let positions = c.input(&[t], &[0_i64, 2, 0, 7]);
                let updates = c.input(&[t], &[2.0_f32, 3.0, 5.0, 11.0]);
                let op = Op::Scatter {
                    axis: v,
                    over: vec![t],
                    combine,
                };
                c.b.value(op, &[positions, updates])
            },
            expected,
        );
    };
    scatter(Combine::Sum, "f32[3] [7, 0, 3]");
    scatter(Combine::Prod, "f32[3] [10, 0, 3]");
    scatter(Combine::Max, "f32[3] [5, 0, 3]");
    scatter(Combine::Min, "f32[3] [2, 0, 3]");
    // Axes of either operand that are not walked stay.
    check(
        |c| {
            let (t, d, v) = (c.axis("t", 2), c.axis("d", 2), c.axis("v", 2));
            let positions = c.input(&[t], &[1_i64, -1]);
            let updates = c.input(&[d], &[2_i64, 3]);
            let op = Op::Scatter {
                axis: v,
                over: vec![t],
                combine: Combine::Sum,
            };
            c.b.value(op, &[positions, updates])
        },
        "i64[2, 2] [0, 2, 0, 3]",
    );
    check(
        |c| {
            let (t, v) = (c.axis("t", 2), c.axis("v", 3));
            let positions = c.input(&[t], &[1_i64, 1]);
            let updates = c.input(&[t], &[false, true]);
            let op = Op::Scatter {
                axis: v,
                over: vec![t],
                combine: Combine::Any,
            };
            c.b.value(op, &[positions, updates])
        },
        "bool[3] [0, 1, 0]",
    );
}

/// A window over `[1, 2, 3, 4]` with these strides and extents.
fn check_window(into: &[(usize, i64)], offset: i64, expected: &str) {
    check(
        |c| {
            let t = c.axis("t", 4);
            let x = c.input(&[t], &[1.0_f32, 2.0, 3.0, 4.0]);
            let axes = into
                .iter()
                .map(|(extent, stride)| (c.axis("i", *extent), Extent::from(*stride)));
            let into = axes.collect();
            let op = Op::Window {
                axis: t,
                into,
                offset: Extent::from(offset),
            };
            c.b.value(op, &[x])
        },
        expected,
    );
}

#[test]
fn affine_reads() {
    check_window(&[], 2, "f32[] [3]");
    check_window(&[], 4, "f32[] [0]");
    check_window(&[(3, 1)], 1, "f32[3] [2, 3, 4]");
    check_window(&[(4, 1)], -2, "f32[4] [0, 0, 1, 2]");
    check_window(&[(4, -1)], 3, "f32[4] [4, 3, 2, 1]");
    check_window(&[(3, -2)], 4, "f32[3] [0, 3, 1]");
    check_window(&[(2, 2)], 0, "f32[2] [1, 3]");
    check_window(&[(3, 0)], 1, "f32[3] [2, 2, 2]");
    check_window(&[(3, 1), (2, 1)], 0, "f32[3, 2] [1, 2, 2, 3, 3, 4]");
    check_window(&[(2, 1), (3, -1)], 0, "f32[2, 3] [1, 0, 0, 2, 1, 0]");
    check_window(&[(0, 1)], 99, "f32[0] []");
    check_window(&[(1, i64::MAX)], 3, "f32[1] [4]");
    check_window(&[(2, i64::MAX)], 3, "f32[2] [4, 0]");
    check_window(&[(2, i64::MIN)], i64::MAX, "f32[2] [0, 0]");
}

#[test]
fn affine_reads_with_symbolic_strides() {
    check(
        |c| {
            let t = c.open_axis("t", 6);
            let x = c.input(&[t], &[1, 2, 3, 4, 5, 6_i64]);
            let i = c.axis("i", 2);
            let op = Op::Window {
                axis: t,
                into: vec![(i, Extent::symbol("t").minus(&Extent::from(1)))],
                offset: Extent::from(0),
            };
            c.b.value(op, &[x])
        },
        "i64[2] [1, 6]",
    );
}

#[test]
fn affine_writes() {
    let fold = |from: &[(usize, i64)], offset: i64, expected: &str| {
        check(
            |c| {
                let axes: Vec<_> = from
                    .iter()
                    .map(|(extent, stride)| (c.axis("i", *extent), Extent::from(*stride)))
                    .collect();
                let t = c.axis("t", 4);
                let own: Vec<_> = axes.iter().map(|(axis, _)| *axis).collect();
                let count = from.iter().map(|(extent, _)| extent).product::<usize>();
                let numbers: Vec<i64> = (1..=count as i64).collect();
                let x = c.input(&own, &numbers);
                let op = Op::Fold {
                    from: axes,
                    axis: t,
                    offset: Extent::from(offset),
                };
                c.b.value(op, &[x])
            },
            expected,
        );
    };
    fold(&[], 2, "i64[4] [0, 0, 1, 0]");
    fold(&[], -1, "i64[4] [0, 0, 0, 0]");
    fold(&[(2, 2)], 1, "i64[4] [0, 1, 0, 2]");
    fold(&[(6, 1)], -1, "i64[4] [2, 3, 4, 5]");
    fold(&[(3, 0)], 0, "i64[4] [6, 0, 0, 0]");
    fold(&[(3, 1), (2, 1)], 0, "i64[4] [1, 5, 9, 6]");
    fold(&[(2, -1)], 0, "i64[4] [1, 0, 0, 0]");
    fold(&[(0, 1)], 0, "i64[4] [0, 0, 0, 0]");
}

#[test]
fn axes_are_split_merged_joined_renamed_and_repeated() {
    check(
        |c| {
            let (i, j, ij) = (c.axis("i", 2), c.axis("j", 2), c.axis("ij", 4));
            let x = c.input(&[ij], &[1, 2, 3, 4_i64]);
            let x = c.b.value(Op::Split(ij, vec![i, j]), &[x])?;
            let ji = c.axis("ji", 4);
            c.b.value(Op::Merge(vec![j, i], ji), &[x])
        },
        "i64[4] [1, 3, 2, 4]",
    );
    check(
        |c| {
            let (i, one) = (c.axis("i", 2), c.axis("one", 1));
            let x = c.input(&[i], &[true, false]);
            c.b.value(Op::Merge(vec![], one), &[x])
        },
        "bool[2, 1] [1, 0]",
    );
    check(
        |c| {
            let (i, d, k) = (c.axis("i", 2), c.axis("d", 2), c.axis("k", 1));
            let all = c.axis("all", 3);
            let x = c.input(&[d, i], &[1.0_f32, 2.0, 3.0, 4.0]);
            let y = c.input(&[k], &[9.0_f32]);
            c.b.value(Op::Concat(vec![i, k], all), &[x, y])
        },
        "f32[2, 3] [1, 2, 9, 3, 4, 9]",
    );
    check(
        |c| {
            let (i, k, all) = (c.axis("i", 2), c.axis("k", 0), c.axis("all", 2));
            let x = c.input(&[i], &[1_u8, 2]);
            let y = c.input::<u8>(&[k], &[]);
            c.b.value(Op::Concat(vec![k, i], all), &[y, x])
        },
        "u8[2] [1, 2]",
    );
    check(
        |c| {
            let (i, j) = (c.axis("i", 2), c.axis("j", 2));
            let x = c.input(&[i], &[1.0_f64, 2.0]);
            let y = c.b.rename(x, &[(i, j)])?;
            c.b.binary(Binary::Add, x, y)
        },
        "f64[2, 2] [2, 3, 3, 4]",
    );
    check(
        |c| {
            let (i, n) = (c.axis("i", 2), c.axis("n", 2));
            let x = c.input(&[i], &[1_i32, 2]);
            c.b.value(Op::Expand(vec![n]), &[x])
        },
        "i32[2, 2] [1, 2, 1, 2]",
    );
}

#[test]
fn another_derivative_does_not_change_the_value() {
    check(
        |c| {
            let i = c.axis("i", 2);
            let x = c.input(&[i], &[1.0_f32, 2.0]);
            let zero = c.b.number(DType::F32, 0.0);
            c.b.value(Op::GradAs, &[x, zero])
        },
        "f32[2] [1, 2]",
    );
}

#[test]
fn a_state_starts_as_its_operand() {
    check(
        |c| {
            let i = c.axis("i", 2);
            let start = c.input(&[i], &[1.0_f32, 2.0]);
            c.b.value(Op::State("cache".into()), &[start])
        },
        "f32[2] [1, 2]",
    );
    check(
        |c| {
            let i = c.axis("i", 2);
            let start = c.input(&[i], &[1.0_f32, 2.0]);
            let kept = girih_runtime::tensor::Tensor::new([2], vec![5.0_f32, 6.0]).unwrap();
            c.bindings = c.bindings.clone().state("cache", kept);
            c.b.value(Op::State("cache".into()), &[start])
        },
        "f32[2] [5, 6]",
    );
}
