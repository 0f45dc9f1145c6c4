//! Every operation for every dtype, on the values at which operations are special.

use girih_graph::DType;
use girih_graph::op::{Binary, Combine, Unary};
use girih_plan::kernel::{Constant, LoopKind, StepOp};

use crate::case::Cases;
use crate::interpret::{self, Number, Sizes};
use crate::maker::{Maker, access, affine};

/// Values at which operations are special.
fn edges(dtype: DType) -> Vec<Number> {
    let reals = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        1.5,
        2.5,
        -2.5,
        3.0,
        -7.0,
        7.25,
        1e-3,
        -1e-3,
        100.0,
        -100.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        65504.0,
        1e-7,
        3e38,
        -3e38,
        12345.678,
        8_388_609.0,
        -8_388_607.5,
    ];
    let integers = [
        0,
        1,
        -1,
        2,
        -2,
        3,
        5,
        -5,
        7,
        8,
        31,
        33,
        64,
        100,
        -100,
        127,
        -128,
        255,
        2_147_483_647,
        -2_147_483_648,
        i64::MAX,
        i64::MIN,
        0x1234_5678_9abc,
    ];
    let held = |value| interpret::cast(dtype, value);
    if dtype.is_real() {
        return reals.into_iter().map(|x| held(Number::Real(x))).collect();
    }
    integers.into_iter().map(|x| held(Number::Int(x))).collect()
}

fn bytes(dtype: DType, values: &[Number]) -> Vec<u8> {
    let mut bytes = vec![0; values.len() * dtype.size()];
    for (position, value) in values.iter().enumerate() {
        interpret::write(dtype, &mut bytes, position, *value);
    }
    bytes
}

/// Adds the step that is checked after those that load its operands.
type Make<'a> = &'a dyn Fn(&mut Maker, &[usize]) -> usize;

/// Runs a kernel of one inner loop over inputs and one more buffer, as vectors, as a whole row
/// and as a scalar, at every level; compares with the interpreter.
fn check(
    cases: &mut Cases,
    name: &str,
    inputs: &[(DType, Vec<Number>)],
    result: DType,
    make: Make<'_>,
) {
    let count = inputs[0].1.len() as i64;
    for kind in [LoopKind::Inner, LoopKind::Outer] {
        let mut maker = Maker::new(&[(kind, count)]);
        let mut buffers = Vec::new();
        let mut loaded = Vec::new();
        for (dtype, values) in inputs {
            let buffer = maker.buffer(*dtype);
            buffers.push(bytes(*dtype, values));
            loaded.push(maker.load(access(buffer, affine(0, &[(0, 1)]))));
        }
        let step = make(&mut maker, &loaded);
        let out = maker.buffer(result);
        buffers.push(vec![0; count as usize * result.size()]);
        maker.store(step, access(out, affine(0, &[(0, 1)])));
        cases.add(name, &maker.0, &Sizes::new(), &buffers);
    }
    // As scalars: one point per element, so that nothing is a vector.
    let mut maker = Maker::new(&[(LoopKind::Outer, count), (LoopKind::Inner, 1)]);
    let mut buffers = Vec::new();
    let mut loaded = Vec::new();
    for (dtype, values) in inputs {
        let buffer = maker.buffer(*dtype);
        buffers.push(bytes(*dtype, values));
        loaded.push(maker.load(access(buffer, affine(0, &[(0, 1)]))));
    }
    let step = make(&mut maker, &loaded);
    let out = maker.buffer(result);
    buffers.push(vec![0; count as usize * result.size()]);
    maker.store(step, access(out, affine(0, &[(0, 1)])));
    cases.add(name, &maker.0, &Sizes::new(), &buffers);
}

/// All pairs of edges.
fn pairs(dtype: DType) -> (Vec<Number>, Vec<Number>) {
    let edges = edges(dtype);
    let firsts = edges
        .iter()
        .flat_map(|x| std::iter::repeat_n(*x, edges.len()));
    let seconds = edges.iter().flat_map(|_| edges.clone());
    (firsts.collect(), seconds.collect())
}

fn allows_unary(op: Unary, dtype: DType) -> bool {
    match op {
        Unary::Neg | Unary::Abs | Unary::Sign => dtype != DType::Bool,
        Unary::Not => !dtype.is_real(),
        Unary::PopCount => dtype.is_integer(),
        _ => dtype.is_real(),
    }
}

fn allows_binary(op: Binary, dtype: DType) -> bool {
    match op {
        Binary::Eq | Binary::Ne => true,
        Binary::And | Binary::Or | Binary::Xor => !dtype.is_real(),
        Binary::Shl | Binary::Shr => dtype.is_integer(),
        Binary::Div | Binary::Pow => dtype.is_real(),
        _ => dtype != DType::Bool,
    }
}

#[test]
fn functions_of_one_value() {
    let mut cases = Cases::default();
    for dtype in DType::ALL {
        for op in Unary::ALL
            .iter()
            .copied()
            .filter(|op| allows_unary(*op, dtype))
        {
            let name = format!("{} {dtype}", op.word());
            check(
                &mut cases,
                &name,
                &[(dtype, edges(dtype))],
                dtype,
                &|maker, x| maker.unary(op, x[0]),
            );
        }
    }
    cases.run();
}

#[test]
fn functions_of_two_values() {
    let mut cases = Cases::default();
    for dtype in DType::ALL {
        let (x, y) = pairs(dtype);
        for op in Binary::ALL
            .iter()
            .copied()
            .filter(|op| allows_binary(*op, dtype))
        {
            let name = format!("{} {dtype}", op.word());
            let result = match op {
                Binary::Eq | Binary::Ne | Binary::Lt | Binary::Le | Binary::Gt | Binary::Ge => {
                    DType::Bool
                }
                _ => dtype,
            };
            check(
                &mut cases,
                &name,
                &[(dtype, x.clone()), (dtype, y.clone())],
                result,
                &|maker, xy| maker.binary(op, xy[0], xy[1]),
            );
        }
    }
    cases.run();
}

#[test]
fn shifts_by_one_amount() {
    let mut cases = Cases::default();
    for dtype in [DType::I64, DType::I32, DType::I8, DType::U8] {
        for op in [Binary::Shl, Binary::Shr] {
            check(
                &mut cases,
                op.word(),
                &[(dtype, edges(dtype))],
                dtype,
                &|maker, x| {
                    let amount = maker.step(StepOp::Constant(Constant::Int(9)), dtype);
                    maker.binary(op, x[0], amount)
                },
            );
        }
    }
    cases.run();
}

#[test]
fn casts() {
    let mut cases = Cases::default();
    for from in DType::ALL {
        for to in DType::ALL {
            let name = format!("cast {from} {to}");
            check(
                &mut cases,
                &name,
                &[(from, edges(from))],
                to,
                &|maker, x| maker.step(StepOp::Cast(x[0]), to),
            );
        }
    }
    cases.run();
}

#[test]
fn selections() {
    let mut cases = Cases::default();
    for dtype in DType::ALL {
        let (x, y) = pairs(dtype);
        let truths = (0..x.len() as i64)
            .map(|i| Number::Int(i % 3 % 2))
            .collect();
        check(
            &mut cases,
            "select",
            &[(DType::Bool, truths), (dtype, x), (dtype, y)],
            dtype,
            &|maker, x| maker.step(StepOp::Select(x[0], x[1], x[2]), dtype),
        );
    }
    cases.run();
}

#[test]
fn constants_and_copies() {
    let mut cases = Cases::default();
    for dtype in DType::ALL {
        check(
            &mut cases,
            "copy",
            &[(dtype, edges(dtype))],
            dtype,
            &|_, x| x[0],
        );
        check(
            &mut cases,
            "constant",
            &[(dtype, edges(dtype))],
            dtype,
            &|maker, _| match dtype {
                DType::Bool => maker.step(StepOp::Constant(Constant::Bool(true)), dtype),
                _ if dtype.is_real() => maker.real(dtype, 0.1),
                _ => maker.step(StepOp::Constant(Constant::Int(-3)), dtype),
            },
        );
    }
    cases.run();
}

/// Loops, and the factors of an address.
type Loops<'a> = (&'a [(LoopKind, i64)], &'a [(usize, i64)]);

/// Reduces rows of a matrix along its rows or its columns.
fn check_reduction(
    cases: &mut Cases,
    (combine, dtype): (Combine, DType),
    values: &[Number],
    extent: i64,
    over: LoopKind,
) {
    let name = format!("{} {dtype} {extent} {over:?}", combine.word());
    let other = 5;
    let (loops, along): Loops<'_> = match over {
        LoopKind::Inner => (
            &[(LoopKind::Outer, other), (LoopKind::Inner, extent)],
            &[(0, extent), (1, 1)],
        ),
        _ => (
            &[(LoopKind::Walk, extent), (LoopKind::Inner, other)],
            &[(0, other), (1, 1)],
        ),
    };
    let mut maker = Maker::new(loops);
    let buffer = maker.buffer(dtype);
    let out = maker.buffer(dtype);
    let x = maker.load(access(buffer, affine(0, along)));
    let sum = maker.reduce(combine, x, over);
    let place: &[(usize, i64)] = if over == LoopKind::Inner {
        &[(0, 1)]
    } else {
        &[(1, 1)]
    };
    maker.store(sum, access(out, affine(0, place)));
    let count = (other * extent) as usize;
    let cells: Vec<Number> = (0..count).map(|i| values[i * 7 % values.len()]).collect();
    let buffers = [bytes(dtype, &cells), vec![0; other as usize * dtype.size()]];
    cases.add(&name, &maker.0, &Sizes::new(), &buffers);
}

#[test]
fn reductions() {
    let mut cases = Cases::default();
    for dtype in DType::ALL {
        for combine in Combine::ALL.iter().copied() {
            let truths = matches!(combine, Combine::Any | Combine::All);
            if truths != (dtype == DType::Bool) {
                continue;
            }
            for over in [LoopKind::Inner, LoopKind::Walk] {
                // Sums and products of `f32` overflow earlier than those of `f64`.
                let gentle = |x: &Number| {
                    let x = x.real().abs();
                    dtype.is_integer() || (0.4..=200.0).contains(&x) || !x.is_finite()
                };
                let ordered = matches!(combine, Combine::Max | Combine::Min);
                let special: Vec<Number> = edges(dtype)
                    .into_iter()
                    .filter(|x| ordered || gentle(x))
                    .collect();
                for extent in [0, 1, 3, 7, 23, 261] {
                    check_reduction(&mut cases, (combine, dtype), &special, extent, over);
                    let finite: Vec<Number> = edges(dtype)
                        .into_iter()
                        .filter(|x| x.real().abs() <= 1.0 || dtype.is_integer())
                        .collect();
                    check_reduction(&mut cases, (combine, dtype), &finite, extent, over);
                }
            }
        }
    }
    cases.run();
}
