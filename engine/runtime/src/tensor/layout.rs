//! The same elements in another order: permuted, cut, joined.
//!
//! Results are contiguous and own their data. Elements are moved as bytes,
//! so every dtype moves alike and no `NaN` changes.

use std::ops::Range;

use girih_graph::DType;

use super::data::{Buffer, TensorData};
use super::{Tensor, TensorError, byte_count};

impl Tensor {
    /// Axes in another order: axis `i` of the result is axis `order[i]` here.
    ///
    /// Fails when `order` does not name each axis once.
    pub fn permute(&self, order: &[usize]) -> Result<Self, TensorError> {
        let rank = self.rank();
        let mut seen = vec![false; rank];
        for &axis in order {
            match seen.get_mut(axis) {
                Some(seen) if !*seen => *seen = true,
                _ => {
                    return Err(TensorError::Order {
                        order: order.to_vec(),
                        rank,
                    });
                }
            }
        }
        if order.len() != rank {
            return Err(TensorError::Order {
                order: order.to_vec(),
                rank,
            });
        }
        if order.is_sorted() {
            return Ok(self.clone());
        }
        let strides = byte_strides(self.dtype, &self.shape);
        let shape: Vec<usize> = order.iter().map(|&axis| self.shape[axis]).collect();
        let steps: Vec<usize> = order.iter().map(|&axis| strides[axis]).collect();
        let mut bytes = Vec::with_capacity(self.bytes().len());
        if !self.bytes().is_empty() {
            gather(self.bytes(), self.dtype.size(), &shape, &steps, &mut bytes);
        }
        Ok(self.moved(shape, &bytes))
    }

    /// Two axes exchanged. Fails when one does not exist.
    pub fn transpose(&self, first: usize, second: usize) -> Result<Self, TensorError> {
        let mut order: Vec<usize> = (0..self.rank()).collect();
        self.check_axis(first)?;
        self.check_axis(second)?;
        order.swap(first, second);
        self.permute(&order)
    }

    /// A range of positions along one axis.
    ///
    /// Fails when the axis does not exist or the range leaves it.
    pub fn slice(&self, axis: usize, range: Range<usize>) -> Result<Self, TensorError> {
        let extent = self.check_axis(axis)?;
        if range.start > range.end || range.end > extent {
            return Err(TensorError::Range {
                axis,
                extent,
                start: range.start,
                end: range.end,
            });
        }
        let mut shape = self.shape.clone();
        shape[axis] = range.len();
        // Bytes of one position along the axis, and of the whole axis.
        let inner = byte_strides(self.dtype, &self.shape)[axis];
        let outer = inner * extent;
        let mut bytes = Vec::new();
        if outer > 0 {
            for row in self.bytes().chunks_exact(outer) {
                bytes.extend_from_slice(&row[range.start * inner..range.end * inner]);
            }
        }
        Ok(self.moved(shape, &bytes))
    }

    /// Tensors behind one another along one axis.
    ///
    /// Fails when there are none, dtypes differ, shapes differ elsewhere than
    /// along the axis, or the result does not fit into memory.
    pub fn concat(tensors: &[&Self], axis: usize) -> Result<Self, TensorError> {
        let (first, rest) = tensors.split_first().ok_or(TensorError::Nothing)?;
        let mut extent = first.check_axis(axis)?;
        for tensor in rest {
            let fits = tensor.dtype == first.dtype
                && tensor.rank() == first.rank()
                && (0..first.rank()).all(|i| i == axis || tensor.shape[i] == first.shape[i]);
            if !fits {
                return Err(TensorError::Concat {
                    axis,
                    first_dtype: first.dtype,
                    first_shape: first.shape.clone(),
                    dtype: tensor.dtype,
                    shape: tensor.shape.clone(),
                });
            }
            extent = extent.saturating_add(tensor.shape[axis]);
        }
        let mut shape = first.shape.clone();
        shape[axis] = extent;
        let mut bytes = Vec::new();
        byte_count(first.dtype, &shape)
            .filter(|&count| bytes.try_reserve_exact(count).is_ok())
            .ok_or_else(|| TensorError::TooLarge {
                dtype: first.dtype,
                shape: shape.clone(),
            })?;
        // Outside the axis, all have the same number of rows.
        let rows: usize = first.shape[..axis].iter().product();
        for row in 0..rows {
            for tensor in tensors {
                let length = tensor.bytes().len() / rows;
                bytes.extend_from_slice(&tensor.bytes()[row * length..][..length]);
            }
        }
        Ok(first.moved(shape, &bytes))
    }

    fn check_axis(&self, axis: usize) -> Result<usize, TensorError> {
        let missing = || TensorError::Axis {
            axis,
            shape: self.shape.clone(),
        };
        self.shape.get(axis).copied().ok_or_else(missing)
    }

    /// A tensor of the same dtype, whose bytes come from tensors of it.
    fn moved(&self, shape: Vec<usize>, bytes: &[u8]) -> Self {
        let buffer = Buffer::from_bytes(self.dtype, bytes);
        Self {
            dtype: self.dtype,
            shape,
            data: TensorData::owned(buffer),
        }
    }
}

/// Bytes between neighbors along each axis of a row-major tensor.
fn byte_strides(dtype: DType, shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![dtype.size(); shape.len()];
    for axis in (1..shape.len()).rev() {
        // A tensor without elements may have absurd extents beside its zero.
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}

/// Appends elements in the row-major order of `shape`, where neighbors along
/// each axis are `steps` bytes apart in `source`.
fn gather(source: &[u8], element: usize, shape: &[usize], steps: &[usize], into: &mut Vec<u8>) {
    let (Some((&extent, shape)), Some((&step, steps))) = (shape.split_first(), steps.split_first())
    else {
        into.extend_from_slice(&source[..element]);
        return;
    };
    if !shape.is_empty() {
        for position in 0..extent {
            gather(&source[position * step..], element, shape, steps, into);
        }
    } else if step == element {
        into.extend_from_slice(&source[..extent * element]);
    } else {
        for position in 0..extent {
            into.extend_from_slice(&source[position * step..][..element]);
        }
    }
}
