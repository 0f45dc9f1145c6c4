//! Values without operands: what is given, constants, positions, sizes.

use girih_graph::{DType, Literal, ValueType};

use super::array::Array;
use super::elementwise;
use super::scope::Scope;
use crate::backend::{Data, Given, RunError};

/// What the caller gives; `None` if it is not given.
pub(super) fn given(
    scope: &Scope<'_>,
    given: Given,
    name: &str,
    ty: &ValueType,
) -> Result<Option<Array>, RunError> {
    let bindings = scope.run.bindings;
    let named = match given {
        Given::Input => &bindings.inputs,
        Given::Param => &*bindings.params,
        Given::State => &bindings.states,
    };
    let Some(data) = named.get(name) else {
        return Ok(None);
    };
    // Two nodes of one name may be declared unlike; only one of them was checked.
    if data.shape() != scope.shape(&ty.axes)? {
        return Err(RunError::Rank {
            given,
            name: name.to_owned(),
            wanted: scope.run.graph.axes.show(ty),
            found: data.shape().to_vec(),
        });
    }
    Ok(Some(prepared(data, ty.dtype)?))
}

/// An array of the dtype.
pub(super) fn prepared(data: &Data, dtype: DType) -> Result<Array, RunError> {
    match data {
        Data::Host(tensor) if tensor.dtype() != dtype => Array::from_tensor(tensor.to_dtype(dtype)),
        _ => {
            let array = Array::from_data(data)?;
            Ok(if array.dtype() == dtype {
                array
            } else {
                elementwise::cast(&array, dtype)
            })
        }
    }
}

/// The error for a leaf that is needed and not given.
pub(super) fn missing(scope: &Scope<'_>, given: Given, name: &str, ty: &ValueType) -> RunError {
    RunError::Missing {
        given,
        name: name.to_owned(),
        wanted: scope.run.graph.axes.show(ty),
    }
}

pub(super) fn constant(literal: Literal) -> Array {
    match literal {
        Literal::Real(dtype, number) => table(dtype, Vec::new(), &[number]),
        Literal::Int(dtype, number) => {
            let number = Array::new(DType::I64, Vec::new(), vec![number]);
            elementwise::cast(&number, dtype)
        }
        Literal::Bool(truth) => Array::new(DType::Bool, Vec::new(), vec![u8::from(truth)]),
    }
}

/// Numbers of the model, row-major.
pub(super) fn table(dtype: DType, shape: Vec<usize>, numbers: &[f64]) -> Array {
    let numbers = Array::new(DType::F64, shape, numbers.to_vec());
    if dtype == DType::F64 {
        return numbers;
    }
    elementwise::cast(&numbers, dtype)
}

/// 0, 1, 2, …
pub(super) fn index(extent: usize) -> Array {
    Array::new(DType::I64, vec![extent], (0..extent as i64).collect())
}

/// An extent.
pub(super) fn size(number: i64) -> Array {
    Array::new(DType::I64, Vec::new(), vec![number])
}
