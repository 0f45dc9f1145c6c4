//! Data with a dtype and a shape, in memory or in a mapped file.
//!
//! A tensor is row-major, contiguous and little-endian; its data are always
//! aligned for its dtype, so that a typed view never copies. Data are shared
//! between clones and copied by whoever writes first. Axes are known by
//! position only: their names belong to whoever asked for the tensor.
//! Mathematics is left to the backends.

mod convert;
mod data;
mod layout;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use girih_graph::DType;
use memmap2::Mmap;

use data::{Buffer, TensorData};
pub use data::{Element, Integer, Real, Scalar};

#[cfg(target_endian = "big")]
compile_error!("stored tensors are little-endian and are mapped into memory as they are");

/// A multidimensional, row-major sequence of elements of one dtype.
///
/// A shape of `[]` holds one element; an extent of 0 holds none. Cloning is
/// cheap, as data are shared. Two tensors are equal when dtype, shape and
/// every byte are, so `NaN` equals itself and `0.0` differs from `-0.0`.
///
/// ```
/// # use girih_runtime::tensor::Tensor;
/// let x = Tensor::new([2, 3], vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!(x.permute(&[1, 0])?.as_slice::<f32>()?, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
/// # Ok::<(), girih_runtime::tensor::TensorError>(())
/// ```
#[derive(Clone)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    data: TensorData,
}

/// Why a tensor cannot be made or seen as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// The shape asks for another number of elements than there are.
    #[error("shape {shape:?} holds {} elements, but there are {count}", Elements(.shape))]
    Count {
        /// As asked for.
        shape: Vec<usize>,
        /// Elements given.
        count: usize,
    },
    /// The shape has more bytes than can be addressed or allocated.
    #[error("a `{dtype}` tensor of shape {shape:?} does not fit into memory")]
    TooLarge {
        /// As asked for.
        dtype: DType,
        /// As asked for.
        shape: Vec<usize>,
    },
    /// The bytes are not whole elements, or not as many as the shape says.
    #[error("a `{dtype}` tensor of shape {shape:?} has {expected} bytes, but there are {bytes}")]
    Bytes {
        /// As asked for.
        dtype: DType,
        /// As asked for.
        shape: Vec<usize>,
        /// Bytes that dtype and shape ask for.
        expected: usize,
        /// Bytes given.
        bytes: usize,
    },
    /// A typed view of another type than the data.
    #[error("the tensor is `{found}`, not `{asked}`")]
    DType {
        /// What the tensor holds.
        found: DType,
        /// What the view asked for.
        asked: DType,
    },
    /// A byte of a `bool` tensor is neither 0 nor 1.
    #[error("a `bool` tensor holds a byte that is neither 0 nor 1")]
    NotBool,
    /// There is no such axis.
    #[error("axis {axis} of shape {shape:?} does not exist")]
    Axis {
        /// Position asked for, from 0.
        axis: usize,
        /// Of the tensor.
        shape: Vec<usize>,
    },
    /// An order of axes that does not name each axis once.
    #[error("{order:?} is no order of the {rank} axes")]
    Order {
        /// As asked for.
        order: Vec<usize>,
        /// Axes of the tensor.
        rank: usize,
    },
    /// A range that leaves the axis.
    #[error("{start}..{end} is not within axis {axis} of extent {extent}")]
    Range {
        /// Position of the axis.
        axis: usize,
        /// Its extent.
        extent: usize,
        /// First position asked for.
        start: usize,
        /// Position after the last.
        end: usize,
    },
    /// Tensors that cannot stand behind one another.
    #[error(
        "a `{dtype}` tensor of shape {shape:?} does not continue `{first_dtype}` {first_shape:?} along axis {axis}"
    )]
    Concat {
        /// Along which they were to be joined.
        axis: usize,
        /// Of the first tensor.
        first_dtype: DType,
        /// Of the first tensor.
        first_shape: Vec<usize>,
        /// Of the one that does not fit.
        dtype: DType,
        /// Of the one that does not fit.
        shape: Vec<usize>,
    },
    /// No tensors were given to be joined.
    #[error("no tensors to join")]
    Nothing,
}

impl Tensor {
    /// A tensor of the given elements in row-major order.
    ///
    /// Takes the vector as it is. Fails when the shape asks for another
    /// number of elements.
    pub fn new<T: Element>(
        shape: impl Into<Vec<usize>>,
        elements: Vec<T>,
    ) -> Result<Self, TensorError> {
        let shape = shape.into();
        if element_count(&shape) != Some(elements.len()) {
            return Err(TensorError::Count {
                shape,
                count: elements.len(),
            });
        }
        let data = TensorData::owned(T::into_buffer(elements));
        Ok(Self {
            dtype: T::DTYPE,
            shape,
            data,
        })
    }

    /// A tensor without axes.
    pub fn scalar<T: Element>(element: T) -> Self {
        let data = TensorData::owned(T::into_buffer(vec![element]));
        Self {
            dtype: T::DTYPE,
            shape: Vec::new(),
            data,
        }
    }

    /// A tensor of zeros (`false`). Fails when it does not fit into memory.
    pub fn zeros(dtype: DType, shape: impl Into<Vec<usize>>) -> Result<Self, TensorError> {
        let shape = shape.into();
        let buffer = byte_count(dtype, &shape)
            .and_then(|bytes| Buffer::zeros(dtype, bytes / dtype.size()))
            .ok_or_else(|| TensorError::TooLarge {
                dtype,
                shape: shape.clone(),
            })?;
        Ok(Self {
            dtype,
            shape,
            data: TensorData::owned(buffer),
        })
    }

    /// A tensor of little-endian bytes, which are copied.
    ///
    /// Fails when the bytes are not as many as dtype and shape ask for.
    pub fn from_bytes(
        dtype: DType,
        shape: impl Into<Vec<usize>>,
        bytes: &[u8],
    ) -> Result<Self, TensorError> {
        let shape = shape.into();
        check_bytes(dtype, &shape, bytes.len())?;
        let buffer = Buffer::from_bytes(dtype, bytes);
        Ok(Self {
            dtype,
            shape,
            data: TensorData::owned(buffer),
        })
    }

    /// A tensor over a part of a mapped file.
    ///
    /// Nothing is copied when `range` starts where the dtype's alignment
    /// allows a view; otherwise the bytes are. Fails when `range` leaves the
    /// map or is not as long as dtype and shape ask for.
    pub(crate) fn from_map(
        dtype: DType,
        shape: impl Into<Vec<usize>>,
        map: &Arc<Mmap>,
        range: Range<usize>,
    ) -> Result<Self, TensorError> {
        let shape = shape.into();
        let bytes = map.get(range.clone()).unwrap_or_default();
        check_bytes(dtype, &shape, bytes.len())?;
        let data = if bytes.as_ptr().addr().is_multiple_of(dtype.size()) {
            TensorData::mapped(Arc::clone(map), range)
        } else {
            TensorData::owned(Buffer::from_bytes(dtype, bytes))
        };
        Ok(Self { dtype, shape, data })
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Extents, outermost axis first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        self.bytes().len() / self.dtype.size()
    }

    /// Whether data lie in a mapped file, not in memory of their own.
    pub fn is_mapped(&self) -> bool {
        self.data.is_mapped()
    }

    /// Gives the memory of a mapped tensor back; it is read from the file again when it is asked for. Tells
    /// whether it is mapped.
    pub fn release(&self) -> bool {
        self.data.release()
    }

    /// All data, row-major, little-endian.
    pub fn bytes(&self) -> &[u8] {
        self.data.bytes()
    }

    /// All elements in row-major order, in place.
    ///
    /// Fails when `T` is another dtype than the tensor's. Views of `bool` are
    /// checked to hold 0 and 1 only, as mapped files may hold anything.
    pub fn as_slice<T: Element>(&self) -> Result<&[T], TensorError> {
        self.check_dtype::<T>()?;
        T::view(self.bytes())
    }

    /// All elements in row-major order, to be changed in place.
    ///
    /// Copies first when data are mapped or shared. Fails as
    /// [`as_slice`](Self::as_slice) does.
    pub fn as_mut_slice<T: Element>(&mut self) -> Result<&mut [T], TensorError> {
        self.as_mut_vec().map(Vec::as_mut_slice)
    }

    /// All elements in row-major order; without a copy when nothing else
    /// shares them. Fails as [`as_slice`](Self::as_slice) does.
    pub fn into_vec<T: Element>(mut self) -> Result<Vec<T>, TensorError> {
        Ok(std::mem::take(self.as_mut_vec()?))
    }

    /// The same elements under another shape; data are shared.
    ///
    /// Fails when the shape asks for another number of elements.
    pub fn reshape(&self, shape: impl Into<Vec<usize>>) -> Result<Self, TensorError> {
        let shape = shape.into();
        let count = self.count();
        if element_count(&shape) != Some(count) {
            return Err(TensorError::Count { shape, count });
        }
        Ok(Self {
            dtype: self.dtype,
            shape,
            data: self.data.clone(),
        })
    }

    fn as_mut_vec<T: Element>(&mut self) -> Result<&mut Vec<T>, TensorError> {
        self.check_dtype::<T>()?;
        if self.dtype == DType::Bool {
            T::view(self.bytes())?;
        }
        let buffer = self.data.make_owned(self.dtype);
        T::buffer_mut(buffer).ok_or(TensorError::DType {
            found: self.dtype,
            asked: T::DTYPE,
        })
    }

    fn check_dtype<T: Element>(&self) -> Result<(), TensorError> {
        if self.dtype == T::DTYPE {
            Ok(())
        } else {
            Err(TensorError::DType {
                found: self.dtype,
                asked: T::DTYPE,
            })
        }
    }
}

impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        self.dtype == other.dtype && self.shape == other.shape && self.bytes() == other.bytes()
    }
}

impl Eq for Tensor {}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        let shown = self.count().min(SHOWN);
        let first = Buffer::from_bytes(self.dtype, &self.bytes()[..shown * self.dtype.size()]);
        let first = Self {
            dtype: self.dtype,
            shape: vec![shown],
            data: TensorData::owned(first),
        };
        write!(f, "{}{:?} [", self.dtype, self.shape)?;
        for (position, element) in first.to_f64_vec().iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{element}")?;
        }
        f.write_str(if self.count() > SHOWN { ", …]" } else { "]" })
    }
}

/// Elements of a shape; `None` past the largest number.
pub fn element_count(shape: &[usize]) -> Option<usize> {
    // A zero anywhere means no elements, however large the other extents are.
    if shape.contains(&0) {
        return Some(0);
    }
    shape
        .iter()
        .try_fold(1usize, |count, &extent| count.checked_mul(extent))
}

/// Bytes of a tensor; `None` past the largest number that can be allocated.
pub fn byte_count(dtype: DType, shape: &[usize]) -> Option<usize> {
    let bytes = element_count(shape)?.checked_mul(dtype.size())?;
    isize::try_from(bytes).is_ok().then_some(bytes)
}

fn check_bytes(dtype: DType, shape: &[usize], bytes: usize) -> Result<(), TensorError> {
    match byte_count(dtype, shape) {
        Some(expected) if expected == bytes => Ok(()),
        Some(expected) => Err(TensorError::Bytes {
            dtype,
            shape: shape.to_vec(),
            expected,
            bytes,
        }),
        None => Err(TensorError::TooLarge {
            dtype,
            shape: shape.to_vec(),
        }),
    }
}

struct Elements<'a>(&'a [usize]);

impl fmt::Display for Elements<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match element_count(self.0) {
            Some(count) => write!(f, "{count}"),
            None => f.write_str("more than 2^64"),
        }
    }
}

#[cfg(test)]
mod tests;
