//! Cotangents made to fit their values: what was repeated is summed, what was
//! summed is repeated.

use crate::axis::{AxisId, ValueType};
use crate::build::Builder;
use crate::graph::ValueId;
use crate::op::{Combine, Op, OpError};

/// Zeros of this type.
///
/// # Errors
///
/// An axis that occurs twice.
pub fn zeros(b: &mut Builder, ty: &ValueType) -> Result<ValueId, OpError> {
    let zero = b.number(ty.dtype, 0.0);
    expand(b, zero, &ty.axes)
}

/// `g` summed over the axes that are not in `axes`, repeated along those it lacks.
pub(super) fn fit(b: &mut Builder, g: ValueId, axes: &[AxisId]) -> Result<ValueId, OpError> {
    let own = b.ty(g).axes.clone();
    let gone: Vec<AxisId> = own.iter().copied().filter(|a| !axes.contains(a)).collect();
    let missing: Vec<AxisId> = axes.iter().copied().filter(|a| !own.contains(a)).collect();
    let g = b.reduce(Combine::Sum, g, &gone)?;
    expand(b, g, &missing)
}

/// `g` with the axes of `value`.
pub(super) fn like(b: &mut Builder, g: ValueId, value: ValueId) -> Result<ValueId, OpError> {
    let axes = b.ty(value).axes.clone();
    fit(b, g, &axes)
}

/// `x` repeated along new axes; `x` itself along none.
pub(super) fn expand(b: &mut Builder, x: ValueId, new: &[AxisId]) -> Result<ValueId, OpError> {
    if new.is_empty() {
        return Ok(x);
    }
    b.value(Op::Expand(new.to_vec()), &[x])
}

/// Another axis with the extent of `axis`.
pub(super) fn fresh(b: &mut Builder, axis: AxisId) -> AxisId {
    let source = b.axes[axis].clone();
    b.axes
        .add(&source.name, source.extent, Some(axis), source.time)
}

/// `x` with its axes in this order; a value that a region takes has the region's order.
///
/// # Errors
///
/// An axis that `x` has not, or has besides.
pub fn ordered(b: &mut Builder, x: ValueId, axes: &[AxisId]) -> Result<ValueId, OpError> {
    if b.ty(x).axes == axes {
        return Ok(x);
    }
    // The axes of a contraction are those of its first operand, then those of its second.
    let one = b.number(b.ty(x).dtype, 1.0);
    let ones = b.value(Op::Expand(axes.to_vec()), &[one])?;
    b.value(Op::Contract(Vec::new()), &[ones, x])
}
