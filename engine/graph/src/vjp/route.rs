//! The derivative of `route`, in its dense form: every branch on all items, masked.
//!
//! An item that a branch does not keep enters the branch as 0 and each of its
//! values there counts as 0, so that what the branch would make of it, infinite
//! or undefined, reaches no cotangent.

use super::copy::copy_through;
use super::fit::fit;
use super::{Cotangents, Use, pull_back_since};
use crate::axis::AxisId;
use crate::build::Builder;
use crate::extent::Extent;
use crate::graph::{Region, ValueId};
use crate::op::{Binary, Combine, Op, OpError, Route, Unary};

pub(super) fn route(
    b: &mut Builder,
    at: &Use,
    route: &Route,
    g: ValueId,
) -> Result<Cotangents, OpError> {
    let [weights, kept, inputs @ ..] = at.node.operands.as_slice() else {
        return Ok(vec![None; at.node.operands.len()]);
    };
    let mut cotangents = vec![None; at.node.operands.len()];
    // A value that comes in twice has one cotangent.
    let asked = |slot: &usize| at.wanted[slot + 2] && !inputs[..*slot].contains(&inputs[*slot]);
    let asked = (0..inputs.len()).filter(asked);
    let asked: Vec<usize> = asked.collect();
    let wanted: Vec<ValueId> = asked.iter().map(|slot| inputs[*slot]).collect();
    let mut of_weights = Vec::new();
    for (position, (branch, reads)) in route.parts().enumerate() {
        let weight = slice(b, *weights, route.branch, position)?;
        let kept = slice(b, *kept, route.branch, position)?;
        let first = b.region().node_count();
        // A branch may mix positions of axes that are not routed: all or none of them count.
        let mixed = b.ty(kept).without(&route.items);
        let items = b.reduce(Combine::Any, kept, &mixed)?;
        let own: Vec<ValueId> = reads.iter().map(|input| inputs[*input]).collect();
        let value = run_masked(b, branch, &own, items)?;
        b.set_origin(at.origin.clone());
        let zero = b.number(b.ty(g).dtype, 0.0);
        if at.wanted[0] {
            let product = b.binary(Binary::Mul, g, value)?;
            let product = b.select(kept, product, zero)?;
            let axes = b.ty(weight).axes.clone();
            of_weights.push(fit(b, product, &axes)?);
        }
        if !wanted.is_empty() {
            let product = b.binary(Binary::Mul, g, weight)?;
            let product = b.select(kept, product, zero)?;
            let axes = b.ty(value).axes.clone();
            let seed = fit(b, product, &axes)?;
            let moved = pull_back_since(b, first, &[(value, seed)], &wanted, true)?;
            b.set_origin(at.origin.clone());
            for (slot, more) in asked.iter().zip(moved) {
                let sum = &mut cotangents[slot + 2];
                *sum = match (*sum, more) {
                    (Some(sum), Some(more)) => Some(b.binary(Binary::Add, sum, more)?),
                    (sum, more) => sum.or(more),
                };
            }
        }
    }
    if at.wanted[0] {
        cotangents[0] = Some(stack(b, &of_weights, route.branch)?);
    }
    Ok(cotangents)
}

/// One position of `axis`.
fn slice(b: &mut Builder, x: ValueId, axis: AxisId, position: usize) -> Result<ValueId, OpError> {
    let window = Op::Window {
        axis,
        into: Vec::new(),
        offset: Extent::constant(position as i64),
    };
    b.value(window, &[x])
}

/// The positions of `axis` side by side.
fn stack(b: &mut Builder, slices: &[ValueId], axis: AxisId) -> Result<ValueId, OpError> {
    let name = b.axes.name(axis).to_owned();
    let one = b.axes.add(&name, Extent::constant(1), None, false);
    let merge = |slice: &ValueId| b.value(Op::Merge(Vec::new(), one), &[*slice]);
    let slices: Vec<ValueId> = slices.iter().map(merge).collect::<Result<_, _>>()?;
    b.value(Op::Concat(vec![one; slices.len()], axis), &slices)
}

/// The result of a branch, with 0 for what is not kept.
fn run_masked(
    b: &mut Builder,
    branch: &Region,
    inputs: &[ValueId],
    kept: ValueId,
) -> Result<ValueId, OpError> {
    let mut given = Vec::with_capacity(inputs.len());
    for input in inputs {
        given.push(Some(masked(b, kept, *input)?));
    }
    let roots = branch.results();
    let copies = copy_through(b, branch, &given, roots, &mut |b, op, value| {
        if is_finite_on_finite(op) {
            Ok(value)
        } else {
            masked(b, kept, value)
        }
    })?;
    let value = roots.first().and_then(|root| copies[root.index()]);
    value.ok_or_else(|| OpError::Rule {
        op: "route",
        reason: "a branch has no result".to_owned(),
    })
}

/// `value` with 0 for the items that are not kept; `value` itself where it is no item's own.
fn masked(b: &mut Builder, kept: ValueId, value: ValueId) -> Result<ValueId, OpError> {
    let (items, ty) = (b.ty(kept).clone(), b.ty(value).clone());
    let own = items.axes.is_empty() || items.axes.iter().any(|axis| ty.has(*axis));
    if !ty.dtype.is_real() || !own {
        return Ok(value);
    }
    let kept = b.reduce(Combine::Any, kept, &items.without(&ty.axes))?;
    let zero = b.number(ty.dtype, 0.0);
    b.select(kept, value, zero)
}

/// Whether finite operands, short of overflow, give finite results.
fn is_finite_on_finite(op: &Op) -> bool {
    match op {
        Op::Unary(op) => match op {
            Unary::Exp | Unary::Log | Unary::Log1p | Unary::Sqrt | Unary::Rsqrt => false,
            Unary::Neg
            | Unary::Abs
            | Unary::Sign
            | Unary::Sin
            | Unary::Cos
            | Unary::Tanh
            | Unary::Sigmoid
            | Unary::Erf
            | Unary::Floor
            | Unary::Ceil
            | Unary::Round
            | Unary::Not
            | Unary::PopCount => true,
        },
        Op::Binary(op) => !matches!(
            op,
            Binary::Div | Binary::FloorDiv | Binary::Rem | Binary::Pow
        ),
        // The largest of nothing is infinite.
        Op::Reduce(combine, _) | Op::Cumulate { combine, .. } => {
            !matches!(combine, Combine::Max | Combine::Min)
        }
        Op::Recurrence(_) | Op::Route(_) | Op::Call(_) => false,
        Op::Input(..)
        | Op::Param(..)
        | Op::State(_)
        | Op::Const(_)
        | Op::Table(..)
        | Op::Index(_)
        | Op::Size(_)
        | Op::Random(..)
        | Op::Select
        | Op::Cast(_)
        | Op::Contract(_)
        | Op::Softmax(_)
        | Op::Order { .. }
        | Op::Gather { .. }
        | Op::Scatter { .. }
        | Op::Window { .. }
        | Op::Fold { .. }
        | Op::Split(..)
        | Op::Merge(..)
        | Op::Concat(..)
        | Op::Rename(_)
        | Op::Expand(_)
        | Op::GradAs => true,
    }
}
