//! Primitives that combine along axes: `reduce`, `softmax`, `cumulate`.

use super::{Combine, OpError, distinct, exactly, has, wants};
use crate::axis::{AxisId, AxisTable, ValueType};
use crate::dtype::DType;

pub(super) fn combines(op: &'static str, combine: Combine, dtype: DType) -> Result<(), OpError> {
    match combine {
        Combine::Any | Combine::All => wants(op, "bool", dtype == DType::Bool, dtype),
        Combine::Sum | Combine::Prod | Combine::Max | Combine::Min => {
            wants(op, "real or integer", dtype != DType::Bool, dtype)
        }
    }
}

pub(super) fn reduce(
    table: &AxisTable,
    combine: Combine,
    over: &[AxisId],
    operands: &[&ValueType],
) -> Result<ValueType, OpError> {
    let [x] = exactly("reduce", operands)?;
    combines("reduce", combine, x.dtype)?;
    distinct("reduce", table, over)?;
    for axis in over {
        has("reduce", table, x, *axis)?;
    }
    Ok(ValueType::new(x.dtype, x.without(over)))
}

pub(super) fn softmax(
    table: &AxisTable,
    over: &[AxisId],
    operands: &[&ValueType],
) -> Result<ValueType, OpError> {
    let (x, kept) = match operands {
        [x] => (*x, None),
        [x, kept] => (*x, Some(*kept)),
        _ => {
            return Err(OpError::Operands {
                op: "softmax",
                wanted: 1,
                found: operands.len(),
            });
        }
    };
    wants("softmax", "real", x.dtype.is_real(), x.dtype)?;
    distinct("softmax", table, over)?;
    for axis in over {
        has("softmax", table, x, *axis)?;
    }
    if let Some(kept) = kept {
        wants("softmax", "bool", kept.dtype == DType::Bool, kept.dtype)?;
        for axis in &kept.axes {
            has("softmax", table, x, *axis)?;
        }
    }
    Ok(x.clone())
}

pub(super) fn cumulate(
    table: &AxisTable,
    combine: Combine,
    axis: AxisId,
    operands: &[&ValueType],
) -> Result<ValueType, OpError> {
    let [x] = exactly("cumulate", operands)?;
    combines("cumulate", combine, x.dtype)?;
    has("cumulate", table, x, axis)?;
    Ok(x.clone())
}
