//! `grad_as value, proxy`: the value of one, the derivative of the other.
//!
//! `stop x` is `grad_as x, 0`; a straight-through estimator is `grad_as f(x), x`;
//! reversal by λ is `grad_as x, -λ·x`.

use super::{OpError, exactly, same_dtype};
use crate::axis::ValueType;

pub(super) fn infer(operands: &[&ValueType]) -> Result<ValueType, OpError> {
    let [value, proxy] = exactly("grad_as", operands)?;
    same_dtype("grad_as", value, proxy)?;
    // The proxy may lack axes of the value, not the other way round.
    if proxy.axes.iter().any(|axis| !value.has(*axis)) {
        return Err(OpError::Rule {
            op: "grad_as",
            reason: "the stand-in has an axis that the value lacks".to_owned(),
        });
    }
    Ok(value.clone())
}
