//! Values of the reference backend: strided views of shared elements.
//!
//! An array's axes stand in the order of its value's type. Renaming,
//! repeating, slicing and most affine reads are views; whoever computes
//! makes new, contiguous elements.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use candle_core::CpuStorage;
use girih_graph::DType;

use super::number::{Number, per_number};
use super::walk::{self, Strided, cell_count, row_major};
use crate::backend::{Data, DeviceTensor, RunError};
use crate::tensor::{Element, Tensor};

/// A view of shared elements.
#[derive(Clone)]
pub(super) struct Array {
    dtype: DType,
    cells: Arc<CpuStorage>,
    shape: Vec<usize>,
    strides: Vec<isize>,
    offset: isize,
}

impl Array {
    /// Contiguous elements, as many as the shape says.
    pub(super) fn new<T: Number>(dtype: DType, shape: Vec<usize>, cells: Vec<T>) -> Self {
        debug_assert_eq!(cells.len(), cell_count(&shape));
        Self {
            dtype,
            cells: Arc::new(T::store(cells)),
            strides: row_major(&shape),
            shape,
            offset: 0,
        }
    }

    /// All elements alike; takes the memory of one.
    pub(super) fn filled<T: Number>(dtype: DType, shape: Vec<usize>, cell: T) -> Self {
        let strides = vec![0; shape.len()];
        Self::new(dtype, Vec::new(), vec![cell]).view(shape, strides, 0)
    }

    pub(super) fn zeros(dtype: DType, shape: Vec<usize>) -> Self {
        per_number!(dtype, T => Self::filled(dtype, shape, T::default()))
    }

    /// The same elements seen otherwise; the offset is relative to this one's.
    pub(super) fn view(&self, shape: Vec<usize>, strides: Vec<isize>, offset: isize) -> Self {
        Self {
            dtype: self.dtype,
            cells: Arc::clone(&self.cells),
            shape,
            strides,
            offset: self.offset + offset,
        }
    }

    pub(super) fn dtype(&self) -> DType {
        self.dtype
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub(super) fn strides(&self) -> &[isize] {
        &self.strides
    }

    pub(super) fn offset(&self) -> isize {
        self.offset
    }

    pub(super) fn storage(&self) -> &CpuStorage {
        &self.cells
    }

    /// All stored elements, of which this array sees some.
    pub(super) fn cells<T: Number>(&self) -> &[T] {
        T::cells(&self.cells).expect("the storage's type follows from the dtype")
    }

    /// For a walk over this array's own axes.
    pub(super) fn strided<T: Number>(&self) -> Strided<'_, T> {
        self.along(&self.strides)
    }

    /// For a walk over other axes.
    pub(super) fn along<'a, T: Number>(&'a self, strides: &'a [isize]) -> Strided<'a, T> {
        Strided {
            cells: self.cells(),
            offset: self.offset,
            strides,
        }
    }

    /// Axis `i` of the result is axis `order[i]` here.
    pub(super) fn permuted(&self, order: impl Iterator<Item = usize> + Clone) -> Self {
        let shape = order.clone().map(|axis| self.shape[axis]).collect();
        let strides = order.map(|axis| self.strides[axis]).collect();
        self.view(shape, strides, 0)
    }

    /// One position of an axis, which is gone. The position must exist.
    pub(super) fn slice(&self, axis: usize, position: usize) -> Self {
        let (mut shape, mut strides) = (self.shape.clone(), self.strides.clone());
        shape.remove(axis);
        let step = strides.remove(axis);
        self.view(shape, strides, step * position as isize)
    }

    pub(super) fn is_contiguous(&self) -> bool {
        let mut wanted = 1;
        for (extent, stride) in self.shape.iter().zip(&self.strides).rev() {
            if *extent != 1 && *stride != wanted {
                return self.shape.contains(&0);
            }
            wanted = wanted.saturating_mul(*extent as isize);
        }
        true
    }

    /// The same elements in row-major order; itself if they are.
    pub(super) fn contiguous(&self) -> Self {
        if self.is_contiguous() {
            return self.clone();
        }
        per_number!(self.dtype, T => {
            let cells = walk::map(&self.shape, self.strided::<T>(), |x| x);
            Self::new(self.dtype, self.shape.clone(), cells)
        })
    }

    /// The same elements without others that this array does not see.
    pub(super) fn compact(&self) -> Self {
        let stored = per_number!(self.dtype, T => self.cells::<T>().len());
        if stored <= cell_count(&self.shape) {
            return self.clone();
        }
        per_number!(self.dtype, T => {
            Self::new(self.dtype, self.shape.clone(), self.to_vec::<T>())
        })
    }

    /// All elements in row-major order.
    pub(super) fn to_vec<T: Number>(&self) -> Vec<T> {
        walk::map(&self.shape, self.strided::<T>(), |x| x)
    }

    /// The elements of a tensor; taken over when nothing shares them.
    pub(super) fn from_tensor(tensor: Tensor) -> Result<Self, RunError> {
        let (dtype, shape) = (tensor.dtype(), tensor.shape().to_vec());
        Ok(match dtype {
            DType::F64 => Self::new(dtype, shape, tensor.into_vec::<f64>()?),
            DType::F32 => Self::new(dtype, shape, tensor.into_vec::<f32>()?),
            DType::F16 => Self::new(dtype, shape, tensor.into_vec::<half::f16>()?),
            DType::BF16 => Self::new(dtype, shape, tensor.into_vec::<half::bf16>()?),
            DType::I64 => Self::new(dtype, shape, tensor.into_vec::<i64>()?),
            DType::I32 => Self::new(dtype, shape, tensor.into_vec::<i32>()?),
            DType::I8 => Self::new(dtype, shape, tensor.into_vec::<i8>()?),
            DType::U8 => Self::new(dtype, shape, tensor.into_vec::<u8>()?),
            DType::Bool => {
                // A file may hold other bytes than 0 and 1; all but 0 are true.
                let cells = tensor.bytes().iter().map(|byte| u8::from(*byte != 0));
                Self::new(dtype, shape, cells.collect())
            }
        })
    }

    /// The array of data given to this backend, through memory if another one made them.
    pub(super) fn from_data(data: &Data) -> Result<Self, RunError> {
        let tensor = match data {
            Data::Host(tensor) => tensor.clone(),
            Data::Device(device) => match device.as_any().downcast_ref::<Self>() {
                Some(array) => return Ok(array.clone()),
                None => device.to_host()?,
            },
        };
        Self::from_tensor(tensor)
    }

    fn to_tensor(&self) -> Result<Tensor, RunError> {
        fn made<T: Number + Element>(array: &Array) -> Result<Tensor, RunError> {
            Ok(Tensor::new(array.shape.clone(), array.to_vec::<T>())?)
        }
        match self.dtype {
            DType::F64 => made::<f64>(self),
            DType::F32 => made::<f32>(self),
            DType::F16 => made::<half::f16>(self),
            DType::BF16 => made::<half::bf16>(self),
            DType::I64 => made::<i64>(self),
            DType::I32 => made::<i32>(self),
            DType::I8 => made::<i8>(self),
            DType::U8 => made::<u8>(self),
            DType::Bool => {
                let cells = walk::map(&self.shape, self.strided::<u8>(), |x| x != 0);
                Ok(Tensor::new(self.shape.clone(), cells)?)
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
        self.to_tensor()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_tensor() {
            Ok(tensor) => tensor.fmt(f),
            Err(error) => write!(f, "{}{:?} ({error})", self.dtype, self.shape),
        }
    }
}
