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
            let own = b.ty(own);
            let over: Vec<AxisId> = b.ty(other).without(&own.axes);
            // Axes that were summed are in both operands, not in the cotangent. The factor that
            // has the operand's outermost axis goes first, which mostly keeps their order.
            let first = own.axes.first().copied();
            let pair = match first.filter(|axis| !b.ty(g).has(*axis)) {
                None => [g, other],
                Some(_) => [other, g],
            };
            cotangents[slot] = Some(b.value(Op::Contract(over), &pair)?);
        }
    }
    Ok(cotangents)
}
