//! Values without operands: what the caller gives, constants, positions, sizes,
//! random draws; and states, whose operand is their value at the start.

use super::{Literal, Op, OpError, distinct, exactly, same_extent};
use crate::axis::{AxisId, AxisTable, ValueType};
use crate::dtype::DType;
use crate::extent::Extent;

pub(super) fn given(
    op: &Op,
    ty: &ValueType,
    operands: &[&ValueType],
) -> Result<ValueType, OpError> {
    let [] = exactly(op.name(), operands)?;
    Ok(ty.clone())
}

pub(super) fn state(op: &Op, operands: &[&ValueType]) -> Result<ValueType, OpError> {
    let [start] = exactly(op.name(), operands)?;
    Ok(start.clone())
}

pub(super) fn constant(
    op: &Op,
    literal: Literal,
    operands: &[&ValueType],
) -> Result<ValueType, OpError> {
    let [] = exactly(op.name(), operands)?;
    Ok(ValueType::scalar(literal.dtype()))
}

pub(super) fn table(
    op: &Op,
    axes: &AxisTable,
    dtype: DType,
    over: &[AxisId],
    data: &[f64],
    operands: &[&ValueType],
) -> Result<ValueType, OpError> {
    let [] = exactly(op.name(), operands)?;
    distinct(op.name(), axes, over)?;
    let mut size = Extent::constant(1);
    for axis in over {
        size = size.times(axes.extent(*axis));
    }
    same_extent(op.name(), &size, &Extent::constant(data.len() as i64))?;
    Ok(ValueType::new(dtype, over.to_vec()))
}

pub(super) fn index(op: &Op, axis: AxisId, operands: &[&ValueType]) -> Result<ValueType, OpError> {
    let [] = exactly(op.name(), operands)?;
    Ok(ValueType::new(DType::I64, vec![axis]))
}

pub(super) fn size(op: &Op, operands: &[&ValueType]) -> Result<ValueType, OpError> {
    let [] = exactly(op.name(), operands)?;
    Ok(ValueType::scalar(DType::I64))
}

pub(super) fn random(
    op: &Op,
    axes: &AxisTable,
    over: &[(AxisId, Extent)],
    operands: &[&ValueType],
) -> Result<ValueType, OpError> {
    let [] = exactly(op.name(), operands)?;
    let over: Vec<AxisId> = over.iter().map(|(axis, _)| *axis).collect();
    distinct(op.name(), axes, &over)?;
    Ok(ValueType::new(DType::F32, over))
}
