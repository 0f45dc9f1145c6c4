//! The derivatives of primitives that move elements: each has a transpose among them.

use super::fit::fit;
use super::{Cotangents, Use};
use crate::axis::AxisId;
use crate::build::Builder;
use crate::extent::Extent;
use crate::graph::ValueId;
use crate::op::{Combine, Op, OpError};

pub(super) fn window(
    b: &mut Builder,
    axis: AxisId,
    into: &[(AxisId, Extent)],
    offset: &Extent,
    g: ValueId,
) -> Result<Cotangents, OpError> {
    let fold = Op::Fold {
        from: into.to_vec(),
        axis,
        offset: offset.clone(),
    };
    Ok(vec![Some(b.value(fold, &[g])?)])
}

pub(super) fn fold(
    b: &mut Builder,
    from: &[(AxisId, Extent)],
    axis: AxisId,
    offset: &Extent,
    g: ValueId,
) -> Result<Cotangents, OpError> {
    let window = Op::Window {
        axis,
        into: from.to_vec(),
        offset: offset.clone(),
    };
    Ok(vec![Some(b.value(window, &[g])?)])
}

pub(super) fn split(
    b: &mut Builder,
    axis: AxisId,
    into: &[AxisId],
    g: ValueId,
) -> Result<Cotangents, OpError> {
    Ok(vec![Some(b.value(Op::Merge(into.to_vec(), axis), &[g])?)])
}

pub(super) fn merge(
    b: &mut Builder,
    from: &[AxisId],
    axis: AxisId,
    g: ValueId,
) -> Result<Cotangents, OpError> {
    Ok(vec![Some(b.value(Op::Split(axis, from.to_vec()), &[g])?)])
}

/// Every operand reads its part of the cotangent, summed over the axes it was repeated along.
pub(super) fn concat(
    b: &mut Builder,
    at: &Use,
    from: &[AxisId],
    axis: AxisId,
    g: ValueId,
) -> Result<Cotangents, OpError> {
    let mut cotangents = Vec::with_capacity(from.len());
    let mut offset = Extent::constant(0);
    for ((operand, along), wanted) in at.node.operands.iter().zip(from).zip(at.wanted) {
        let mut cotangent = None;
        if *wanted {
            let mut part = b.ty(*operand).without(&[*along]);
            part.push(axis);
            // Sums come first: an axis that is gone may be the one this operand is joined along.
            let g = fit(b, g, &part)?;
            let window = Op::Window {
                axis,
                into: vec![(*along, Extent::constant(1))],
                offset: offset.clone(),
            };
            cotangent = Some(b.value(window, &[g])?);
        }
        cotangents.push(cotangent);
        offset = offset.plus(b.axes.extent(*along));
    }
    Ok(cotangents)
}

pub(super) fn rename(
    b: &mut Builder,
    pairs: &[(AxisId, AxisId)],
    g: ValueId,
) -> Result<Cotangents, OpError> {
    let back: Vec<_> = pairs.iter().map(|(old, new)| (*new, *old)).collect();
    Ok(vec![Some(b.rename(g, &back)?)])
}

pub(super) fn expand(b: &mut Builder, new: &[AxisId], g: ValueId) -> Result<Cotangents, OpError> {
    Ok(vec![Some(b.reduce(Combine::Sum, g, new)?)])
}
