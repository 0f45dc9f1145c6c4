//! Tensors where this backend wants them.
//!
//! Data stay where they came from, a tensor in memory or in a mapped file, or are a
//! block that a run has written. Either way they are row-major and do not change
//! while anybody holds the array.

#![expect(
    unsafe_code,
    reason = "results are seen as bytes once the run that wrote them is over"
)]

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use girih_graph::DType;
use girih_runtime::backend::{Data, DeviceTensor, RunError};
use girih_runtime::tensor::Tensor;

use crate::block::{Base, Block};
use crate::parameter::Parameter;

/// A tensor of this backend. Clones share the data.
#[derive(Clone)]
pub(crate) struct Array {
    dtype: DType,
    shape: Vec<usize>,
    store: Store,
}

#[derive(Clone)]
enum Store {
    Given(Tensor),
    Written(Arc<Block>),
}

impl Array {
    /// What a run has written; nobody writes it any more.
    pub(crate) fn written(dtype: DType, shape: Vec<usize>, block: Arc<Block>) -> Self {
        Self {
            dtype,
            shape,
            store: Store::Written(block),
        }
    }

    /// Data as `dtype`, where they are if nothing must be converted.
    ///
    /// # Errors
    ///
    /// A device that does not answer.
    pub(crate) fn prepared(data: &Data, dtype: DType) -> Result<Self, RunError> {
        let tensor = match data {
            Data::Host(tensor) => tensor.clone(),
            Data::Device(device) => match device.as_any().downcast_ref::<Self>() {
                Some(array) if array.dtype == dtype => return Ok(array.clone()),
                _ => match device.as_any().downcast_ref::<Parameter>() {
                    Some(own) if own.dtype() == dtype => return own.plain(),
                    _ => device.to_host()?,
                },
            },
        };
        let tensor = if tensor.dtype() != dtype {
            tensor.to_dtype(dtype)
        } else if dtype == DType::Bool && tensor.bytes().iter().any(|byte| *byte > 1) {
            // A file may hold other bytes than 0 and 1; all but 0 are true.
            Tensor::from_bytes(dtype, tensor.shape(), tensor.bytes())?
        } else {
            tensor
        };
        Ok(Self {
            dtype,
            shape: tensor.shape().to_vec(),
            store: Store::Given(tensor),
        })
    }

    /// Gives memory back that a file can fill again; tells whether the data lie in one.
    pub(crate) fn release(&self) -> bool {
        match &self.store {
            Store::Given(tensor) => tensor.release(),
            Store::Written(_) => false,
        }
    }

    /// Where the elements start. They must not be written.
    pub(crate) fn base(&self) -> Base {
        match &self.store {
            Store::Given(tensor) if tensor.bytes().is_empty() => Base::NOWHERE,
            Store::Given(tensor) => Base(tensor.bytes().as_ptr().cast_mut()),
            Store::Written(block) => block.base(),
        }
    }

    fn bytes(&self) -> &[u8] {
        match &self.store {
            Store::Given(tensor) => tensor.bytes(),
            // SAFETY: the run that wrote the block is over when an array is made of it.
            Store::Written(block) => unsafe { block.as_slice() },
        }
    }

    fn tensor(&self) -> Result<Tensor, RunError> {
        match &self.store {
            Store::Given(tensor) => Ok(tensor.clone()),
            Store::Written(_) => {
                let shape = self.shape.clone();
                let bytes = girih_runtime::tensor::byte_count(self.dtype, &shape).unwrap_or(0);
                let bytes = self.bytes().get(..bytes).unwrap_or_default();
                Ok(Tensor::from_bytes(self.dtype, shape, bytes)?)
            }
        }
    }
}

impl DeviceTensor for Array {
    fn dtype(&self) -> DType {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn to_host(&self) -> Result<Tensor, RunError> {
        self.tensor()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tensor() {
            Ok(tensor) => tensor.fmt(f),
            Err(error) => write!(f, "{}{:?} ({error})", self.dtype, self.shape),
        }
    }
}
