//! `contract x, y {over: d}`: Σ over `d` of the product. An axis both have and
//! that is not summed is aligned, one that only one has is kept.

use super::{OpError, distinct, exactly, has, same_dtype, wants};
use crate::axis::{AxisId, AxisTable, ValueType};

pub(super) fn infer(
    table: &AxisTable,
    over: &[AxisId],
    operands: &[&ValueType],
) -> Result<ValueType, OpError> {
    let [x, y] = exactly("contract", operands)?;
    same_dtype("contract", x, y)?;
    wants("contract", "real", x.dtype.is_real(), x.dtype)?;
    distinct("contract", table, over)?;
    for axis in over {
        has("contract", table, x, *axis)?;
        has("contract", table, y, *axis)?;
    }
    let mut axes = x.without(over);
    axes.extend(y.without(over).iter().filter(|axis| !x.has(**axis)));
    Ok(ValueType::new(x.dtype, axes))
}
