//! Leaves and elementwise primitives, with the values at their edges.

use girih_graph::{Binary, Combine, DType, Distribution, Extent, Literal, Op, Unary};
use girih_runtime::tensor::Tensor;
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
            c.b.value(Op::random(Distribution::Uniform, "drop", &[i]), &[])
        },
        "f32[2] [0.5404629707336426, 0.33406078815460205]",
    );
    check(
        |c| {
            let i = c.axis("i", 0);
            c.b.value(Op::random(Distribution::Normal, "drop", &[i]), &[])
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
            let kept = Tensor::new([2], vec![5.0_f32, 6.0]).unwrap();
            c.bindings = c.bindings.clone().state("cache", kept);
            c.b.value(Op::State("cache".into()), &[start])
        },
        "f32[2] [5, 6]",
    );
}
