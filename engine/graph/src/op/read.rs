//! Data-dependent reads and writes: `gather` and its transpose, `scatter`.

use super::reduce::combines;
use super::{Combine, OpError, distinct, exactly, has, wants};
use crate::axis::{AxisId, AxisTable, ValueType, align};

pub(super) fn gather(
    table: &AxisTable,
    axis: AxisId,
    operands: &[&ValueType],
) -> Result<ValueType, OpError> {
    let [x, positions] = exactly("gather", operands)?;
    has("gather", table, x, axis)?;
    let integer = positions.dtype.is_integer();
    wants("gather", "integer position", integer, positions.dtype)?;
    if positions.has(axis) {
        return Err(OpError::Twice {
            op: "gather",
            axis: table.name(axis).to_owned(),
        });
    }
    // The positions' axes stand where the axis stood: `table[vocab, d]` at `ids[b, t]` is `[b, t, d]`.
    let mut axes = Vec::new();
    for own in &x.axes {
        if *own == axis {
            axes.extend(positions.axes.iter().filter(|new| !x.has(**new)));
        } else {
            axes.push(*own);
        }
    }
    Ok(ValueType::new(x.dtype, axes))
}

pub(super) fn scatter(
    table: &AxisTable,
    axis: AxisId,
    over: &[AxisId],
    combine: Combine,
    operands: &[&ValueType],
) -> Result<ValueType, OpError> {
    let [positions, updates] = exactly("scatter", operands)?;
    let integer = positions.dtype.is_integer();
    wants("scatter", "integer position", integer, positions.dtype)?;
    combines("scatter", combine, updates.dtype)?;
    distinct("scatter", table, over)?;
    let union = align(&[&updates.axes, &positions.axes]);
    for gone in over {
        if !union.contains(gone) {
            return Err(OpError::Missing {
                op: "scatter",
                axis: table.name(*gone).to_owned(),
            });
        }
    }
    let mut axes: Vec<AxisId> = union.into_iter().filter(|a| !over.contains(a)).collect();
    axes.push(axis);
    distinct("scatter", table, &axes)?;
    Ok(ValueType::new(updates.dtype, axes))
}
