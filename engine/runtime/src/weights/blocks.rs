//! Tensors that stay quantized: rows of blocks where a file stores them, without their numbers decoded.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use memmap2::Mmap;

use super::{Quantization, TensorProblem, map};
use crate::tensor::{Tensor, TensorError, element_count};

/// Elements that are decoded at a time.
const DECODED: usize = 1 << 16;

/// A row-major `f32` tensor in blocks of a few bits per element.
///
/// Its elements are rows of one length, whatever its shape; each row is whole blocks that lie one
/// after the other. Clones share the data, and rows of a mapped file stay there.
#[derive(Clone)]
pub struct Blocks {
    quantization: Quantization,
    shape: Vec<usize>,
    /// Elements of a row.
    row: usize,
    /// Rows one after the other.
    pieces: Vec<Bytes>,
    /// Which row of the pieces each row is; `None`: as they come.
    order: Option<Arc<[u32]>>,
}

/// Bytes that clones share.
#[derive(Clone)]
enum Bytes {
    Mapped(Arc<Mmap>, Range<usize>),
    Owned(Arc<[u8]>),
}

/// Why bytes are no blocks, or blocks no tensor.
#[derive(Debug, thiserror::Error)]
pub enum BlocksError {
    /// Rows are not in whole blocks, or there are not as many bytes.
    #[error(
        "{bytes} bytes are no rows of {row} elements for shape {shape:?} in `{}`, whose blocks have {} elements and {} bytes",
        .quantization.name(),
        .quantization.block_elements(),
        .quantization.block_bytes()
    )]
    Bytes {
        /// The format.
        quantization: Quantization,
        /// As asked for.
        shape: Vec<usize>,
        /// Elements of a row.
        row: usize,
        /// How many bytes there are.
        bytes: usize,
    },
    /// Rows of two tensors that do not stand together.
    #[error("rows of {first:?} and {other:?} do not make one tensor")]
    Unlike {
        /// Format and row length of the first.
        first: (Quantization, usize),
        /// Of another.
        other: (Quantization, usize),
    },
    /// The blocks cannot be decoded.
    #[error(transparent)]
    Decode(#[from] TensorProblem),
    /// There is no such tensor.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

impl Blocks {
    /// A tensor `[…, row]` of blocks, which are copied.
    ///
    /// # Errors
    ///
    /// Rows that are not in whole blocks, or another number of bytes.
    pub fn new(
        quantization: Quantization,
        shape: impl Into<Vec<usize>>,
        bytes: &[u8],
    ) -> Result<Self, BlocksError> {
        Self::of(quantization, shape.into(), Bytes::Owned(bytes.into()))
    }

    /// As [`new`](Self::new), of a part of a mapped file, which lies within it.
    pub(super) fn mapped(
        quantization: Quantization,
        shape: &[usize],
        map: &Arc<Mmap>,
        range: Range<usize>,
    ) -> Result<Self, BlocksError> {
        let bytes = Bytes::Mapped(Arc::clone(map), range);
        Self::of(quantization, shape.to_vec(), bytes)
    }

    fn of(
        quantization: Quantization,
        shape: Vec<usize>,
        bytes: Bytes,
    ) -> Result<Self, BlocksError> {
        let blocks = Self {
            quantization,
            row: shape.last().copied().unwrap_or(1),
            shape,
            pieces: vec![bytes],
            order: None,
        };
        blocks.checked()
    }

    /// Other rows in another order, under another shape: rows of all `parts`, counted through, of
    /// which `order` names each that is taken.
    ///
    /// # Errors
    ///
    /// Parts of several formats or row lengths, rows that are not there, or another number of rows
    /// than the shape has.
    pub fn arranged(
        parts: &[Self],
        order: &[u32],
        shape: impl Into<Vec<usize>>,
    ) -> Result<Self, BlocksError> {
        let first = parts.first().ok_or(TensorError::Nothing)?;
        let mut pieces = Vec::new();
        let mut rows: Vec<u32> = Vec::new();
        let mut stored = 0_usize;
        for part in parts {
            let unlike = (part.quantization, part.row) != (first.quantization, first.row);
            if unlike {
                return Err(BlocksError::Unlike {
                    first: (first.quantization, first.row),
                    other: (part.quantization, part.row),
                });
            }
            let before = stored as u32;
            stored = stored.saturating_add(part.stored_rows());
            if stored > u32::MAX as usize {
                break;
            }
            match &part.order {
                Some(order) => rows.extend(order.iter().map(|row| before + row)),
                None => rows.extend(before..stored as u32),
            }
            pieces.extend(part.pieces.iter().cloned());
        }
        // Rows past those that can be counted are not there.
        let taken: Option<Vec<u32>> = (order.iter())
            .map(|row| rows.get(*row as usize).copied())
            .collect();
        let shape = shape.into();
        let bytes = pieces.iter().map(|piece| piece.get().len()).sum();
        let Some(taken) = taken else {
            return Err(BlocksError::Bytes {
                quantization: first.quantization,
                shape,
                row: first.row,
                bytes,
            });
        };
        let as_stored = taken.iter().copied().eq(0..stored as u32);
        Self {
            quantization: first.quantization,
            shape,
            row: first.row,
            pieces,
            order: (!as_stored).then(|| taken.into()),
        }
        .checked()
    }

    fn checked(self) -> Result<Self, BlocksError> {
        let block = self.quantization.block_elements();
        let row_bytes = self.row_bytes();
        let whole = self.row > 0 && self.row.is_multiple_of(block);
        let pieces = self.pieces.iter().map(|piece| piece.get().len());
        let rows = whole && pieces.clone().all(|bytes| bytes.is_multiple_of(row_bytes));
        let count = rows.then(|| self.rows().checked_mul(self.row)).flatten();
        if count.is_some()
            && count == element_count(&self.shape)
            && u32::try_from(self.rows()).is_ok()
        {
            return Ok(self);
        }
        Err(BlocksError::Bytes {
            quantization: self.quantization,
            row: self.row,
            bytes: pieces.sum(),
            shape: self.shape,
        })
    }

    /// The format.
    pub fn quantization(&self) -> Quantization {
        self.quantization
    }

    /// Extents, outermost axis first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Elements of a row.
    pub fn row_elements(&self) -> usize {
        self.row
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.order
            .as_ref()
            .map_or_else(|| self.stored_rows(), |order| order.len())
    }

    fn stored_rows(&self) -> usize {
        let bytes: usize = self.pieces.iter().map(|piece| piece.get().len()).sum();
        bytes / self.row_bytes().max(1)
    }

    fn row_bytes(&self) -> usize {
        self.row / self.quantization.block_elements() * self.quantization.block_bytes()
    }

    /// The blocks of a row; none of one that is not there.
    pub fn row(&self, row: usize) -> &[u8] {
        let row = match &self.order {
            Some(order) => order.get(row).map_or(usize::MAX, |row| *row as usize),
            None => row,
        };
        let mut from = row.saturating_mul(self.row_bytes());
        for piece in &self.pieces {
            let bytes = piece.get();
            if from < bytes.len() {
                return bytes.get(from..from + self.row_bytes()).unwrap_or_default();
            }
            from -= bytes.len();
        }
        &[]
    }

    /// All elements, as `f32`.
    ///
    /// # Errors
    ///
    /// Blocks that cannot be decoded.
    pub fn decode(&self) -> Result<Tensor, BlocksError> {
        let mut elements = Vec::with_capacity(self.rows() * self.row);
        let step = (DECODED / self.row).max(1);
        for first in (0..self.rows()).step_by(step) {
            let rows = first..self.rows().min(first + step);
            elements.extend(self.decode_rows(rows)?);
        }
        Ok(Tensor::new(self.shape.as_slice(), elements)?)
    }

    /// The elements of some rows.
    ///
    /// # Errors
    ///
    /// Blocks that cannot be decoded.
    pub fn decode_rows(&self, rows: Range<usize>) -> Result<Vec<f32>, BlocksError> {
        let mut bytes = Vec::with_capacity(rows.len() * self.row_bytes() + 3);
        for row in rows {
            bytes.extend_from_slice(self.row(row));
        }
        let length = bytes.len();
        bytes.resize(length.next_multiple_of(4), 0);
        // Blocks are read where words may lie.
        let words: Vec<u32> = (bytes.as_chunks::<4>().0.iter())
            .map(|word| u32::from_ne_bytes(*word))
            .collect();
        let blocks = &bytemuck::cast_slice::<u32, u8>(&words)[..length];
        Ok(self.quantization.dequantize(blocks)?)
    }

    /// Gives the memory of a mapped file back; it is read from there again when it is asked for.
    pub fn release(&self) {
        for piece in &self.pieces {
            if let Bytes::Mapped(map, range) = piece {
                map::release(map, range.clone());
            }
        }
    }
}

impl Bytes {
    fn get(&self) -> &[u8] {
        match self {
            Self::Mapped(map, range) => map.get(range.clone()).unwrap_or_default(),
            Self::Owned(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.quantization.name(), self.shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of two blocks, whose numbers tell their row.
    fn rows(count: usize, first: u8) -> Blocks {
        let row = |row: usize| {
            let quants = [first + row as u8; 32];
            let block = [0x00, 0x3c].into_iter().chain(quants);
            block.clone().chain(block)
        };
        let bytes: Vec<u8> = (0..count).flat_map(row).collect();
        Blocks::new(Quantization::Q8_0, [count, 64], &bytes).expect("rows are whole blocks")
    }

    fn firsts(blocks: &Blocks) -> Vec<f32> {
        let numbers = blocks.decode().expect("they can be decoded");
        let numbers = numbers.as_slice::<f32>().expect("they are `f32`");
        numbers.iter().step_by(64).copied().collect()
    }

    #[test]
    fn rows_of_several_tensors_in_another_order() {
        let parts = [rows(3, 10), rows(2, 20)];
        let some = Blocks::arranged(&parts, &[4, 0, 0, 2], [2, 2, 64]).expect("rows are there");
        assert_eq!(firsts(&some), [21.0, 10.0, 10.0, 12.0]);
        let again = Blocks::arranged(&[some], &[3, 1], [2, 64]).expect("rows are there");
        assert_eq!(firsts(&again), [12.0, 10.0]);
        assert_eq!(again.decode_rows(1..2).expect("a row"), [10.0; 64]);
        assert_eq!(
            (again.rows(), again.row_elements(), again.row(2)),
            (2, 64, &[][..])
        );
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let new = |shape: &[usize], bytes: usize| {
            Blocks::new(Quantization::Q8_0, shape, &vec![0; bytes]).is_ok()
        };
        assert!(new(&[3, 64], 3 * 68));
        for (shape, bytes) in [
            (&[3, 64][..], 3 * 68 - 1),
            (&[3, 64], 2 * 68),
            (&[64, 3], 3 * 68),
            (&[3, 48], 3 * 51),
            (&[usize::MAX, usize::MAX, 64], 68),
            (&[1 << 60, 32], 34),
            (&[3, 0], 0),
            (&[], 34),
        ] {
            assert!(!new(shape, bytes), "{shape:?} {bytes}");
        }
        let parts = [rows(3, 0)];
        assert!(
            Blocks::arranged(&parts, &[3], [1, 64]).is_err(),
            "no such row"
        );
        assert!(
            Blocks::arranged(&parts, &[0, 1], [3, 64]).is_err(),
            "too few"
        );
        assert!(Blocks::arranged(&[], &[], [0, 64]).is_err(), "no parts");
        let other = Blocks::new(Quantization::Q8_0, [1, 32], &[0; 34]).expect("one block");
        assert!(
            Blocks::arranged(&[rows(1, 0), other], &[0], [1, 64]).is_err(),
            "unlike"
        );
    }
}
