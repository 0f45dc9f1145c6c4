//! Elementwise primitives. Operands align by axis name: an axis that one of
//! them lacks is repeated.

use super::{Binary, OpError, Unary, exactly, same_dtype, wants};
use crate::axis::{ValueType, align};
use crate::dtype::DType;

pub(super) fn unary(op: Unary, operands: &[&ValueType]) -> Result<ValueType, OpError> {
    let name = op.word();
    let [x] = exactly(name, operands)?;
    let dtype = x.dtype;
    match op {
        Unary::Neg | Unary::Abs | Unary::Sign => {
            wants(name, "real or integer", dtype != DType::Bool, dtype)?;
        }
        Unary::Not => wants(name, "bool or integer", !dtype.is_real(), dtype)?,
        Unary::PopCount => wants(name, "integer", dtype.is_integer(), dtype)?,
        Unary::Exp
        | Unary::Log
        | Unary::Log1p
        | Unary::Sqrt
        | Unary::Rsqrt
        | Unary::Sin
        | Unary::Cos
        | Unary::Tanh
        | Unary::Sigmoid
        | Unary::Erf
        | Unary::Floor
        | Unary::Ceil
        | Unary::Round => wants(name, "real", dtype.is_real(), dtype)?,
    }
    Ok(x.clone())
}

pub(super) fn binary(op: Binary, operands: &[&ValueType]) -> Result<ValueType, OpError> {
    let name = op.word();
    let [x, y] = exactly(name, operands)?;
    same_dtype(name, x, y)?;
    let dtype = x.dtype;
    let result = match op {
        Binary::Add
        | Binary::Sub
        | Binary::Mul
        | Binary::FloorDiv
        | Binary::Rem
        | Binary::Max
        | Binary::Min => {
            wants(name, "real or integer", dtype != DType::Bool, dtype)?;
            dtype
        }
        Binary::Div | Binary::Pow => {
            wants(name, "real", dtype.is_real(), dtype)?;
            dtype
        }
        Binary::And | Binary::Or | Binary::Xor => {
            wants(name, "bool or integer", !dtype.is_real(), dtype)?;
            dtype
        }
        Binary::Shl | Binary::Shr => {
            wants(name, "integer", dtype.is_integer(), dtype)?;
            dtype
        }
        Binary::Eq | Binary::Ne => DType::Bool,
        Binary::Lt | Binary::Le | Binary::Gt | Binary::Ge => {
            wants(name, "real or integer", dtype != DType::Bool, dtype)?;
            DType::Bool
        }
    };
    Ok(ValueType::new(result, align(&[&x.axes, &y.axes])))
}

pub(super) fn select(operands: &[&ValueType]) -> Result<ValueType, OpError> {
    let [condition, x, y] = exactly("select", operands)?;
    wants(
        "select",
        "bool",
        condition.dtype == DType::Bool,
        condition.dtype,
    )?;
    same_dtype("select", x, y)?;
    let axes = align(&[&condition.axes, &x.axes, &y.axes]);
    Ok(ValueType::new(x.dtype, axes))
}

pub(super) fn cast(dtype: DType, operands: &[&ValueType]) -> Result<ValueType, OpError> {
    let [x] = exactly("cast", operands)?;
    Ok(x.with_dtype(dtype))
}
