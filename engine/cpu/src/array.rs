//! Tensors where this backend wants them.
//!
//! Data stay where they came from, a tensor in memory or in a mapped file, or are a
//! block that a run has written, or a part of one that can grow. Either way they are row-major and do not change
//! while anybody holds the array.

#![expect(
    unsafe_code,
    reason = "results are seen as bytes once the run that wrote them is over"
)]

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use girih_graph::DType;
use girih_runtime::backend::{Data, DeviceTensor, RunError};
use girih_runtime::tensor::Tensor;

use crate::block::{Base, Block};
use crate::growing::Stretch;
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
    Grown(Stretch),
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

    /// What a run has written, in memory that may have room behind it.
    pub(crate) fn grown(dtype: DType, shape: Vec<usize>, stretch: Stretch) -> Self {
        Self {
            dtype,
            shape,
            store: Store::Grown(stretch),
        }
    }

    /// Where it lies, if that may have room behind it.
    pub(crate) fn stretch(&self) -> Option<&Stretch> {
        match &self.store {
            Store::Grown(stretch) => Some(stretch),
            Store::Given(_) | Store::Written(_) => None,
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
            Store::Written(_) | Store::Grown(_) => false,
        }
    }

    /// Where the elements start. They must not be written.
    pub(crate) fn base(&self) -> Base {
        match &self.store {
            Store::Given(tensor) if tensor.bytes().is_empty() => Base::NOWHERE,
            Store::Given(tensor) => Base(tensor.bytes().as_ptr().cast_mut()),
            Store::Written(block) => block.base(),
            Store::Grown(stretch) => stretch.base(),
        }
    }

    /// Bytes of its elements.
    pub(crate) fn size(&self) -> usize {
        girih_runtime::tensor::byte_count(self.dtype, &self.shape).unwrap_or(0)
    }

    fn bytes(&self) -> &[u8] {
        match &self.store {
            Store::Given(tensor) => tensor.bytes(),
            // SAFETY: the run that wrote the block is over when an array is made of it.
            Store::Written(block) => unsafe { block.as_slice() },
            // SAFETY: as above.
            Store::Grown(stretch) => unsafe { stretch.as_slice() },
        }
    }

    fn tensor(&self) -> Result<Tensor, RunError> {
        match &self.store {
            Store::Given(tensor) => Ok(tensor.clone()),
            Store::Written(_) | Store::Grown(_) => {
                let shape = self.shape.clone();
                let bytes = self.bytes().get(..self.size()).unwrap_or_default();
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

    fn held(&self) -> u64 {
        match &self.store {
            Store::Given(tensor) => tensor.bytes().len() as u64,
            Store::Written(block) => block.bytes() as u64,
            Store::Grown(stretch) => stretch.held() as u64,
        }
    }

    fn rows(&self, range: Range<usize>) -> Option<Arc<dyn DeviceTensor>> {
        let (rows, inner) = self.shape.split_first()?;
        if range.start > range.end || range.end > *rows {
            return None;
        }
        let row = girih_runtime::tensor::byte_count(self.dtype, inner)?;
        let store = match &self.store {
            Store::Grown(stretch) => {
                Store::Grown(stretch.part(range.start * row..range.end * row)?)
            }
            Store::Written(block) if range.start == 0 => Store::Written(Arc::clone(block)),
            Store::Given(_) | Store::Written(_) => return None,
        };
        let shape = [range.len()].into_iter().chain(inner.iter().copied());
        Some(Arc::new(Self {
            dtype: self.dtype,
            shape: shape.collect(),
            store,
        }))
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
