//! The derivative of `contract`.

use super::{Cotangents, Use};
use crate::axis::AxisId;
use crate::build::Builder;
use crate::graph::ValueId;
use crate::op::{Op, OpError};

/// z = Σ x·y  ⇒  x̄ = Σ z̄·y over the axes that only y has, and the other way round.
pub(super) fn contract(b: &mut Builder, at: &Use, g: ValueId) -> Result<Cotangents, OpError> {
    let (x, y) = (at.node.operands[0], at.node.operands[1]);
    let mut cotangents = vec![None, None];
    for (slot, own, other) in [(0, x, y), (1, y, x)] {
        if at.wanted[slot] {
            let (own, theirs) = (b.ty(own), b.ty(other));
            // Axes that were summed are in both operands and not in the cotangent.
            let over: Vec<AxisId> = theirs.without(&own.axes);
            cotangents[slot] = Some(b.value(Op::Contract(over), &[g, other])?);
        }
    }
    Ok(cotangents)
}
