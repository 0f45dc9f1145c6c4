//! Kernels as plans have them: activations, norms, state updates, guarded and data-dependent reads.

use girih_graph::op::{Binary, Combine, Unary};
use girih_graph::{DType, Extent};
use girih_plan::kernel::{Constant, Guard, GuardOutside, LoopKind, StepId, StepOp};

use crate::case::Cases;
use crate::interpret::{self, Number, Sizes};
use crate::maker::{Maker, access, affine};

const F32: DType = DType::F32;
const OUTER: LoopKind = LoopKind::Outer;
const WALK: LoopKind = LoopKind::Walk;
const INNER: LoopKind = LoopKind::Inner;

/// `count` numbers between −1 and 1 as bytes.
pub(crate) fn reals(dtype: DType, count: i64) -> Vec<u8> {
    let mut bytes = vec![0; count as usize * dtype.size()];
    for position in 0..count as usize {
        let value = (position * 37 % 101) as f64 / 50.0 - 1.0;
        interpret::write(dtype, &mut bytes, position, Number::Real(value));
    }
    bytes
}

pub(crate) fn positions(values: &[i64]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// A function of one buffer, over a row of every length.
fn check_formula(
    cases: &mut Cases,
    name: &str,
    dtype: DType,
    make: &dyn Fn(&mut Maker, StepId) -> StepId,
) {
    for count in [0, 1, 5, 16, 255, 256, 257, 300] {
        let mut maker = Maker::new(&[(INNER, count)]);
        let (from, to) = (maker.buffer(dtype), maker.buffer(dtype));
        let x = maker.load(access(from, affine(0, &[(0, 1)])));
        let y = make(&mut maker, x);
        maker.store(y, access(to, affine(0, &[(0, 1)])));
        let buffers = [reals(dtype, count), reals(dtype, count)];
        cases.add(name, &maker.0, &Sizes::new(), &buffers);
    }
}

#[test]
fn activations_that_are_one_call() {
    let mut cases = Cases::default();
    for dtype in [F32, DType::F64, DType::BF16] {
        check_formula(&mut cases, "silu", dtype, &|maker, x| {
            let gate = maker.unary(Unary::Sigmoid, x);
            maker.binary(Binary::Mul, gate, x)
        });
        check_formula(&mut cases, "gelu", dtype, &|maker, x| {
            let root = maker.real(dtype, std::f64::consts::SQRT_2);
            let scaled = maker.binary(Binary::Div, x, root);
            let erf = maker.unary(Unary::Erf, scaled);
            let one = maker.real(dtype, 1.0);
            let sum = maker.binary(Binary::Add, erf, one);
            let half = maker.real(dtype, 0.5);
            let product = maker.binary(Binary::Mul, x, sum);
            maker.binary(Binary::Mul, half, product)
        });
        check_formula(&mut cases, "gelu by tanh", dtype, &|maker, x| {
            let three = maker.real(dtype, 3.0);
            let cube = maker.binary(Binary::Pow, x, three);
            let small = maker.real(dtype, 0.044_715);
            let cubic = maker.binary(Binary::Mul, small, cube);
            let sum = maker.binary(Binary::Add, x, cubic);
            let root = maker.real(dtype, (2.0 / std::f64::consts::PI).sqrt());
            let scaled = maker.binary(Binary::Mul, root, sum);
            let tanh = maker.unary(Unary::Tanh, scaled);
            let one = maker.real(dtype, 1.0);
            let sum = maker.binary(Binary::Add, one, tanh);
            let half = maker.real(dtype, 0.5);
            let halved = maker.binary(Binary::Mul, half, x);
            maker.binary(Binary::Mul, halved, sum)
        });
        check_formula(&mut cases, "softplus", dtype, &|maker, x| {
            let exp = maker.unary(Unary::Exp, x);
            maker.unary(Unary::Log1p, exp)
        });
    }
    cases.run();
}

#[test]
fn chains_of_calls() {
    let mut cases = Cases::default();
    check_formula(&mut cases, "tanh of exp of sin", F32, &|maker, x| {
        let sin = maker.unary(Unary::Sin, x);
        let exp = maker.unary(Unary::Exp, sin);
        let sum = maker.binary(Binary::Add, exp, x);
        let tanh = maker.unary(Unary::Tanh, sum);
        maker.binary(Binary::Pow, exp, tanh)
    });
    cases.run();
}

/// Softmax and a norm of the same rows, the norm into the rows themselves.
#[test]
fn rows_with_several_passes() {
    let mut cases = Cases::default();
    for width in [1, 7, 256, 300] {
        let mut maker = Maker::new(&[(OUTER, 3), (INNER, width)]);
        let (from, to) = (maker.buffer(F32), maker.buffer(F32));
        let full = affine(0, &[(0, width), (1, 1)]);
        let x = maker.load(access(from, full.clone()));
        let most = maker.reduce(Combine::Max, x, INNER);
        let less = maker.binary(Binary::Sub, x, most);
        let exp = maker.unary(Unary::Exp, less);
        let sum = maker.reduce(Combine::Sum, exp, INNER);
        let softmax = maker.binary(Binary::Div, exp, sum);
        let square = maker.binary(Binary::Mul, x, x);
        let squares = maker.reduce(Combine::Sum, square, INNER);
        let scale = maker.unary(Unary::Rsqrt, squares);
        let normal = maker.binary(Binary::Mul, x, scale);
        maker.store(normal, access(from, full.clone()));
        maker.store(softmax, access(to, full));
        let buffers = [reals(F32, 3 * width), reals(F32, 3 * width)];
        cases.add("rows", &maker.0, &Sizes::new(), &buffers);
    }
    cases.run();
}

/// `S' = exp(dt·A)·S + dt·x·b; y = Σ S'·c`, the state in place.
#[test]
fn state_updates() {
    let mut cases = Cases::default();
    for width in [1, 5, 300] {
        let states = 3;
        let mut maker = Maker::new(&[(WALK, states), (INNER, width)]);
        for _ in 0..6 {
            maker.buffer(F32);
        }
        let full = affine(0, &[(0, width), (1, 1)]);
        let a = maker.load(access(0, full.clone()));
        let s = maker.load(access(1, full.clone()));
        let dt = maker.load(access(2, affine(0, &[(1, 1)])));
        let b = maker.load(access(3, affine(0, &[(0, 1)])));
        let c = maker.load(access(4, affine(0, &[(0, 1)])));
        let dt = maker.unary(Unary::Sigmoid, dt);
        let product = maker.binary(Binary::Mul, dt, a);
        let decay = maker.unary(Unary::Exp, product);
        let kept = maker.binary(Binary::Mul, decay, s);
        let given = maker.binary(Binary::Mul, dt, b);
        let next = maker.binary(Binary::Add, kept, given);
        let term = maker.binary(Binary::Mul, next, c);
        let y = maker.reduce(Combine::Sum, term, WALK);
        let y = maker.unary(Unary::Tanh, y);
        maker.store(next, access(1, full));
        maker.store(y, access(5, affine(0, &[(1, 1)])));
        let counts = [states * width, states * width, width, states, states, width];
        let buffers = counts.map(|count| reals(F32, count));
        cases.add("state update", &maker.0, &Sizes::new(), &buffers);
    }
    cases.run();
}

/// `S' = a·S + k·(v − w)` with sums over rows of `S`, `S'`, or a state that is not written.
#[test]
fn steps_of_linear_recurrences() {
    let mut cases = Cases::default();
    for (rows, width) in [(1, 1), (3, 5), (4, 64), (6, 300)] {
        for choice in 0..16 {
            let (fades, after, writes) = (choice & 1 > 0, choice & 2 > 0, choice & 4 > 0);
            let adds = choice & 8 == 0;
            let mut maker = Maker::new(&[(OUTER, 2), (WALK, rows), (INNER, width)]);
            for _ in 0..7 {
                maker.buffer(F32);
            }
            let full = affine(0, &[(0, rows * width), (1, width), (2, 1)]);
            let row = affine(0, &[(0, rows), (1, 1)]);
            let column = affine(0, &[(0, width), (2, 1)]);
            let s = maker.load(access(0, full.clone()));
            let k = maker.load(access(1, row.clone()));
            let q = maker.load(access(2, row.clone()));
            let v = maker.load(access(3, column.clone()));
            let w = maker.load(access(4, column.clone()));
            let a = maker.load(access(5, affine(0, &[(0, 1)])));
            let x = maker.binary(Binary::Sub, v, w);
            let faded = if fades {
                maker.binary(Binary::Mul, a, s)
            } else {
                s
            };
            let added = maker.binary(Binary::Mul, x, k);
            let next = if adds {
                maker.binary(Binary::Add, faded, added)
            } else {
                faded
            };
            let term = maker.binary(Binary::Mul, if after { next } else { s }, q);
            let sum = maker.reduce(Combine::Sum, term, WALK);
            let y = maker.binary(Binary::Mul, sum, a);
            if writes {
                maker.store(next, access(0, full));
            }
            maker.store(y, access(6, column));
            let counts = [rows * width, rows, rows, width, width, 1, width];
            let buffers = counts.map(|count| reals(F32, 2 * count));
            cases.add("linear step", &maker.0, &Sizes::new(), &buffers);
        }
    }
    cases.run();
}

/// A vector times a matrix, over a walk too long for one visit, with a size that is a symbol.
#[test]
fn products_in_tiles() {
    let mut cases = Cases::default();
    for (rows, width) in [(50, 300), (16, 33), (100, 5)] {
        let mut maker = Maker::new(&[(WALK, rows), (INNER, width)]);
        for _ in 0..3 {
            maker.buffer(F32);
        }
        maker.0.loops[0].extent = Extent::symbol("rows");
        let a = maker.load(access(0, affine(0, &[(0, 1)])));
        let b = maker.load(access(1, affine(0, &[(0, width), (1, 1)])));
        let term = maker.binary(Binary::Mul, a, b);
        let sum = maker.reduce(Combine::Sum, term, WALK);
        let sum = maker.binary(Binary::Add, sum, sum);
        maker.store(sum, access(2, affine(0, &[(1, 1)])));
        let buffers = [
            reals(F32, rows),
            reals(F32, rows * width),
            reals(F32, width),
        ];
        let sizes = Sizes::from([("rows".to_owned(), rows)]);
        cases.add("product", &maker.0, &sizes, &buffers);
    }
    cases.run();
}

/// A value that no step's loops reach, for every element of a buffer.
#[test]
fn fills() {
    let mut cases = Cases::default();
    let mut maker = Maker::new(&[(OUTER, 3), (INNER, 300)]);
    let to = maker.buffer(DType::I32);
    let one = maker.step(StepOp::Constant(Constant::Int(7)), DType::I32);
    maker.store(one, access(to, affine(0, &[(0, 300), (1, 1)])));
    cases.add("fill", &maker.0, &Sizes::new(), &[vec![0; 3600]]);
    cases.run();
}

/// `y[e] = e < half ? -x[(e + half) % width] : x[(e + width - half) % width]`, which is read element by element unless its
/// loop is divided where positions turn over.
#[test]
fn positions_that_turn_over() {
    let mut cases = Cases::default();
    // Whole parts, parts that are not half, parts that are too short, and no parts.
    for (width, half) in [
        (64, 32),
        (48, 16),
        (24, 8),
        (12, 6),
        (17, 5),
        (1, 1),
        (0, 1),
    ] {
        for (extent, outside) in [
            (width, GuardOutside::Zero),
            (width, GuardOutside::Fail(3)),
            (width - 1, GuardOutside::Zero),
        ] {
            let mut maker = Maker::new(&[(OUTER, 3), (INNER, width)]);
            maker.0.loops[0].extent = Extent::symbol("rows");
            let (from, to) = (maker.buffer(F32), maker.buffer(F32));
            let row = affine(0, &[(0, width), (1, 1)]);
            let at = maker.step(StepOp::Position(affine(0, &[(1, 1)])), DType::I64);
            let number = |maker: &mut Maker, value| {
                maker.step(StepOp::Constant(Constant::Int(value)), DType::I64)
            };
            let (by, all) = (number(&mut maker, half), number(&mut maker, width.max(1)));
            let turned = |maker: &mut Maker, at| {
                let at = maker.binary(Binary::Rem, at, all);
                let mut address = affine(0, &[(0, width)]);
                address.steps.push((at, Extent::constant(1)));
                let mut index = affine(0, &[]);
                index.steps.push((at, Extent::constant(1)));
                let mut read = access(from, address);
                read.guards.push(Guard {
                    index,
                    extent: Extent::constant(extent),
                    outside,
                });
                maker.load(read)
            };
            let forward = maker.binary(Binary::Add, at, by);
            let x = turned(&mut maker, forward);
            let x = maker.unary(Unary::Neg, x);
            let back = maker.binary(Binary::Add, at, all);
            let back = maker.binary(Binary::Sub, back, by);
            let y = turned(&mut maker, back);
            let first = maker.binary(Binary::Lt, at, by);
            let chosen = maker.step(StepOp::Select(first, x, y), F32);
            let plain = maker.load(access(from, row.clone()));
            let sum = maker.binary(Binary::Add, chosen, plain);
            maker.store(sum, access(to, row));
            let sizes = Sizes::from([("rows".to_owned(), 3)]);
            let buffers = [reals(F32, 3 * width), reals(F32, 3 * width)];
            cases.add("turned over", &maker.0, &sizes, &buffers);
        }
    }
    cases.run();
}
