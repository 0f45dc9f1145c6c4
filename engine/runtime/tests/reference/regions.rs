//! Loops and routes: steps in order, branches on what they keep, nothing leaks.

use girih_graph::{
    AxisId, Binary, Combine, DType, Literal, Op, OpError, Recurrence, Route, Unary, ValueId,
    ValueType,
};

use super::{Case, check, check_all};

/// The builder's region with parameters like `operands`, sliced along `axis` from the
/// `carried`-th to before the `fixed`-th.
fn open(
    c: &mut Case,
    operands: &[ValueId],
    (axis, carried, fixed): (AxisId, usize, usize),
) -> Vec<ValueId> {
    let types: Vec<ValueType> = operands
        .iter()
        .map(|value| c.b.ty(*value).clone())
        .collect();
    c.b.open_region();
    let typed = types.into_iter().enumerate().map(|(position, ty)| {
        if (carried..fixed).contains(&position) {
            ValueType::new(ty.dtype, ty.without(&[axis]))
        } else {
            ty
        }
    });
    typed.map(|ty| c.b.add_parameter(ty)).collect()
}

/// `s' = s + c·x`, `y = s' - s`; operands s, x, c.
fn sums(c: &mut Case, steps: usize, reverse: bool) -> Result<Vec<ValueId>, OpError> {
    let (t, d) = (c.axis("t", steps), c.axis("d", 2));
    let start = c.input(&[d], &[100_i64, 200]);
    let data: Vec<i64> = (1..=2 * steps as i64).collect();
    let x = c.input(&[t, d], &data);
    let factor = c.input(&[], &[2_i64]);
    let operands = [start, x, factor];
    let params = open(c, &operands, (t, 1, 2));
    let [s, x, factor] = params[..] else {
        unreachable!("three operands")
    };
    // Does not change from step to step.
    let factor = c.b.binary(Binary::Mul, factor, factor)?;
    let next = c.b.binary(Binary::Mul, x, factor)?;
    let next = c.b.binary(Binary::Add, s, next)?;
    let y = c.b.binary(Binary::Sub, next, s)?;
    let body = c.b.close_region(vec![next, y, factor]);
    let op = Op::Recurrence(Box::new(Recurrence {
        axis: t,
        reverse,
        carried: 1,
        sequences: 1,
        body,
    }));
    c.b.node(op, &operands)
}

#[test]
fn loops_run_forwards_and_backwards() {
    check_all(
        |c| sums(c, 3, false),
        "i64[2] [136, 248]; i64[3, 2] [4, 8, 12, 16, 20, 24]; i64[3] [4, 4, 4]",
    );
    check_all(
        |c| sums(c, 3, true),
        "i64[2] [136, 248]; i64[3, 2] [4, 8, 12, 16, 20, 24]; i64[3] [4, 4, 4]",
    );
    check_all(
        |c| sums(c, 0, false),
        "i64[2] [100, 200]; i64[0, 2] []; i64[0] []",
    );
}

#[test]
fn steps_come_in_the_order_of_the_direction() {
    // s' = 10 s + x.
    let digits = |reverse, expected: &str| {
        check_all(
            |c| {
                let t = c.axis("t", 3);
                let start = c.input(&[], &[0_i64]);
                let x = c.input(&[t], &[1_i64, 2, 3]);
                let params = open(c, &[start, x], (t, 1, 2));
                let ten = c.b.number(DType::I64, 10.0);
                let next = c.b.binary(Binary::Mul, params[0], ten)?;
                let next = c.b.binary(Binary::Add, next, params[1])?;
                let body = c.b.close_region(vec![next, next]);
                let op = Op::Recurrence(Box::new(Recurrence {
                    axis: t,
                    reverse,
                    carried: 1,
                    sequences: 1,
                    body,
                }));
                c.b.node(op, &[start, x])
            },
            expected,
        );
    };
    digits(false, "i64[] [123]; i64[3] [1, 12, 123]");
    digits(true, "i64[] [321]; i64[3] [321, 32, 3]");
}

#[test]
fn a_body_may_turn_what_it_carries() {
    check_all(
        |c| {
            let (t, i, j) = (c.axis("t", 1), c.axis("i", 2), c.axis("j", 2));
            let start = c.input(&[i, j], &[1.0_f32, 2.0, 3.0, 4.0]);
            let x = c.input(&[t, j, i], &[10.0_f32, 20.0, 30.0, 40.0]);
            let params = open(c, &[start, x], (t, 1, 2));
            let next = c.b.unary(Unary::Neg, params[1])?;
            let body = c.b.close_region(vec![next]);
            let op = Op::Recurrence(Box::new(Recurrence {
                axis: t,
                reverse: false,
                carried: 1,
                sequences: 1,
                body,
            }));
            c.b.node(op, &[start, x])
        },
        "f32[2, 2] [-10, -30, -20, -40]",
    );
}

/// Two branches, 10 x and ln x, over items `t` of `[t, d]`.
fn route(
    c: &mut Case,
    kept: &[bool],
    x: &[f32],
    branch: impl Fn(&mut Case, AxisId, ValueId) -> Result<ValueId, OpError>,
) -> Result<ValueId, OpError> {
    let (t, e, d) = (c.axis("t", 2), c.axis("e", 2), c.axis("d", 2));
    let weights = c.input(&[t, e], &[1.0_f32, 2.0, 3.0, 4.0]);
    let kept = c.input(&[t, e], kept);
    let x = c.input(&[t, d], x);
    let mut branches = Vec::new();
    let ty = c.b.ty(x).clone();
    c.b.open_region();
    let x_param = c.b.add_parameter(ty.clone());
    let ten = c.b.number(DType::F32, 10.0);
    let tens = c.b.binary(Binary::Mul, x_param, ten)?;
    branches.push(c.b.close_region(vec![tens]));
    c.b.open_region();
    let x_param = c.b.add_parameter(ty);
    let result = branch(c, t, x_param)?;
    branches.push(c.b.close_region(vec![result]));
    let route = Route::sharing(e, vec![t], branches, 1);
    c.b.value(Op::Route(Box::new(route)), &[weights, kept, x])
}

fn logarithm(c: &mut Case, _: AxisId, x: ValueId) -> Result<ValueId, OpError> {
    c.b.unary(Unary::Log, x)
}

#[test]
fn branches_add_what_they_keep() {
    let check = |kept: [bool; 4], x: [f32; 4], expected: &str| {
        check(|c| route(c, &kept, &x, logarithm), expected);
    };
    let (on, off) = (true, false);
    check([on, on, on, on], [1.0; 4], "f32[2, 2] [10, 10, 30, 30]");
    check(
        [on, off, on, off],
        [1.0, 2.0, 3.0, 4.0],
        "f32[2, 2] [10, 20, 90, 120]",
    );
    check([off, off, off, off], [1.0; 4], "f32[2, 2] [0, 0, 0, 0]");
    // The logarithms of the item that the branch does not keep are NaN and −∞.
    check(
        [on, off, off, on],
        [-1.0, 0.0, 1.0, 1.0],
        "f32[2, 2] [-10, 0, 0, 0]",
    );
    check(
        [off, on, off, off],
        [1.0, 0.0, -1.0, 1.0],
        "f32[2, 2] [0, -inf, 0, 0]",
    );
}

#[test]
fn branches_that_look_at_positions_see_all_items() {
    check(
        |c| {
            let kept = [true, false, false, true];
            route(c, &kept, &[1.0, 1.0, 5.0, 7.0], |c, t, x| {
                let index = c.b.value(Op::Index(t), &[])?;
                let index = c.b.cast(index, DType::F32)?;
                c.b.binary(Binary::Mul, x, index)
            })
        },
        "f32[2, 2] [10, 10, 20, 28]",
    );
    check(
        |c| {
            let kept = [true, false, false, true];
            route(c, &kept, &[1.0, 1.0, 5.0, 7.0], |c, t, _| {
                let one = c.b.value(Op::Const(Literal::Real(DType::F32, 1.0)), &[])?;
                let d = c.b.axes.find("d").unwrap();
                c.b.value(Op::Expand(vec![t, d]), &[one])
            })
        },
        "f32[2, 2] [10, 10, 4, 4]",
    );
}

#[test]
fn items_may_be_over_several_axes_and_weights_over_others() {
    // Items b and t; the weights do not depend on b, and the domain has an axis of its own.
    check(
        |c| {
            let (b, t, e) = (c.axis("b", 2), c.axis("t", 2), c.axis("e", 2));
            let weights = c.input(&[e, t], &[1.0_f64, 2.0, 10.0, 20.0]);
            let kept = c.input(
                &[b, t, e],
                &[true, false, false, true, false, false, true, true],
            );
            let x = c.input(&[t, b], &[1.0_f64, 2.0, 3.0, 4.0]);
            let ty = c.b.ty(x).clone();
            let mut branches = Vec::new();
            for op in [Unary::Neg, Unary::Abs] {
                c.b.open_region();
                let x = c.b.add_parameter(ty.clone());
                let y = c.b.unary(op, x)?;
                branches.push(c.b.close_region(vec![y]));
            }
            let route = Route::sharing(e, vec![b, t], branches, 1);
            let y = c.b.value(Op::Route(Box::new(route)), &[weights, kept, x])?;
            c.b.reduce(Combine::Sum, y, &[t])
        },
        "f64[2] [59, 72]",
    );
}
