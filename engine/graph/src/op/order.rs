//! `order x {axis: j, into: r, descending}`: positions in sorted order.

use super::{OpError, exactly, has};
use crate::axis::{AxisId, AxisTable, ValueType};
use crate::dtype::DType;

pub(super) fn infer(
    table: &AxisTable,
    axis: AxisId,
    into: AxisId,
    operands: &[&ValueType],
) -> Result<ValueType, OpError> {
    let [x] = exactly("order", operands)?;
    has("order", table, x, axis)?;
    if x.has(into) {
        return Err(OpError::Twice {
            op: "order",
            axis: table.name(into).to_owned(),
        });
    }
    let room = table.extent(axis).minus(table.extent(into));
    if room.as_constant().is_some_and(|room| room < 0) {
        return Err(OpError::Extent {
            op: "order",
            wanted: table.extent(axis).clone(),
            found: table.extent(into).clone(),
        });
    }
    let mut axes = x.without(&[axis]);
    axes.push(into);
    Ok(ValueType::new(DType::I64, axes))
}
