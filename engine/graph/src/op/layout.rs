//! Primitives that move elements without computing: affine reads (`window`) and
//! their transpose (`fold`), `split`, `merge`, `concat`, `rename`, `expand`.

use super::{OpError, distinct, exactly, has, same_dtype, same_extent, wants};
use crate::axis::{AxisId, AxisTable, ValueType};
use crate::dtype::DType;
use crate::extent::Extent;

/// `axes` with `old` replaced in place by `new`.
fn replaced(axes: &[AxisId], old: AxisId, new: &[AxisId]) -> Vec<AxisId> {
    let mut result = Vec::with_capacity(axes.len() + new.len());
    for axis in axes {
        if *axis == old {
            result.extend_from_slice(new);
        } else {
            result.push(*axis);
        }
    }
    result
}

pub(super) fn window(
    table: &AxisTable,
    axis: AxisId,
    into: &[(AxisId, Extent)],
    operands: &[&ValueType],
) -> Result<ValueType, OpError> {
    let [x] = exactly("window", operands)?;
    has("window", table, x, axis)?;
    let new: Vec<AxisId> = into.iter().map(|(axis, _)| *axis).collect();
    let axes = replaced(&x.axes, axis, &new);
    distinct("window", table, &axes)?;
    Ok(ValueType::new(x.dtype, axes))
}

pub(super) fn fold(
    table: &AxisTable,
    from: &[(AxisId, Extent)],
    axis: AxisId,
    operands: &[&ValueType],
) -> Result<ValueType, OpError> {
    let [x] = exactly("fold", operands)?;
    wants("fold", "real or integer", x.dtype != DType::Bool, x.dtype)?;
    let gone: Vec<AxisId> = from.iter().map(|(axis, _)| *axis).collect();
    distinct("fold", table, &gone)?;
    for axis in &gone {
        has("fold", table, x, *axis)?;
    }
    let axes = match gone.split_first() {
        None => {
            let mut axes = x.axes.clone();
            axes.push(axis);
            axes
        }
        Some((first, rest)) => replaced(&x.without(rest), *first, &[axis]),
    };
    distinct("fold", table, &axes)?;
    Ok(ValueType::new(x.dtype, axes))
}

pub(super) fn split(
    table: &AxisTable,
    axis: AxisId,
    into: &[AxisId],
    operands: &[&ValueType],
) -> Result<ValueType, OpError> {
    let [x] = exactly("split", operands)?;
    has("split", table, x, axis)?;
    same_extent("split", table.extent(axis), &product(table, into))?;
    let axes = replaced(&x.axes, axis, into);
    distinct("split", table, &axes)?;
    Ok(ValueType::new(x.dtype, axes))
}

pub(super) fn merge(
    table: &AxisTable,
    from: &[AxisId],
    axis: AxisId,
    operands: &[&ValueType],
) -> Result<ValueType, OpError> {
    let [x] = exactly("merge", operands)?;
    distinct("merge", table, from)?;
    for axis in from {
        has("merge", table, x, *axis)?;
    }
    same_extent("merge", &product(table, from), table.extent(axis))?;
    let axes = match from.split_first() {
        None => {
            let mut axes = x.axes.clone();
            axes.push(axis);
            axes
        }
        Some((first, rest)) => replaced(&x.without(rest), *first, &[axis]),
    };
    distinct("merge", table, &axes)?;
    Ok(ValueType::new(x.dtype, axes))
}

fn product(table: &AxisTable, axes: &[AxisId]) -> Extent {
    axes.iter().fold(Extent::constant(1), |size, axis| {
        size.times(table.extent(*axis))
    })
}

/// Operands may lack axes that others have: they are repeated along them.
pub(super) fn concat(
    table: &AxisTable,
    from: &[AxisId],
    axis: AxisId,
    operands: &[&ValueType],
) -> Result<ValueType, OpError> {
    let Some(first) = operands.first().filter(|_| from.len() == operands.len()) else {
        return Err(OpError::Operands {
            op: "concat",
            wanted: from.len().max(1),
            found: operands.len(),
        });
    };
    let mut size = Extent::constant(0);
    let mut parts = Vec::new();
    for (operand, along) in operands.iter().zip(from) {
        same_dtype("concat", first, operand)?;
        has("concat", table, operand, *along)?;
        size = size.plus(table.extent(*along));
        parts.push(replaced(&operand.axes, *along, &[axis]));
    }
    same_extent("concat", &size, table.extent(axis))?;
    let parts: Vec<&[AxisId]> = parts.iter().map(Vec::as_slice).collect();
    let axes = crate::axis::align(&parts);
    for part in &parts {
        distinct("concat", table, part)?;
    }
    Ok(ValueType::new(first.dtype, axes))
}

pub(super) fn rename(
    table: &AxisTable,
    pairs: &[(AxisId, AxisId)],
    operands: &[&ValueType],
) -> Result<ValueType, OpError> {
    let [x] = exactly("rename", operands)?;
    for (old, new) in pairs {
        has("rename", table, x, *old)?;
        same_extent("rename", table.extent(*old), table.extent(*new))?;
    }
    let new_name = |axis: &AxisId| {
        let pair = pairs.iter().find(|(old, _)| old == axis);
        pair.map_or(*axis, |(_, new)| *new)
    };
    let axes: Vec<AxisId> = x.axes.iter().map(new_name).collect();
    distinct("rename", table, &axes)?;
    Ok(ValueType::new(x.dtype, axes))
}

pub(super) fn expand(
    table: &AxisTable,
    new: &[AxisId],
    operands: &[&ValueType],
) -> Result<ValueType, OpError> {
    let [x] = exactly("expand", operands)?;
    let mut axes = new.to_vec();
    axes.extend_from_slice(&x.axes);
    distinct("expand", table, &axes)?;
    Ok(ValueType::new(x.dtype, axes))
}
