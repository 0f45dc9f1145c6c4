//! How stored bytes become a tensor.

use std::ops::Range;
use std::sync::Arc;

use memmap2::Mmap;

use super::{Entry, Storage, TensorProblem};
use crate::tensor::Tensor;

/// The tensor of a part of a mapped file; a view of it where elements are
/// stored as in memory.
///
/// The part must lie within the map.
pub(super) fn decode_mapped(
    entry: &Entry,
    map: &Arc<Mmap>,
    range: Range<usize>,
) -> Result<Tensor, TensorProblem> {
    match entry.storage {
        Storage::Plain(dtype) => Ok(Tensor::from_map(dtype, entry.shape.clone(), map, range)?),
        storage => decode(storage, &entry.shape, &map[range]),
    }
}

/// The tensor of some bytes, which are copied.
///
/// Quantized blocks must be aligned to 4 bytes.
pub(super) fn decode(
    storage: Storage,
    shape: &[usize],
    bytes: &[u8],
) -> Result<Tensor, TensorProblem> {
    fn whole<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
        bytes.as_chunks::<N>().0.iter().copied()
    }
    let tensor = match storage {
        Storage::Plain(dtype) => Tensor::from_bytes(dtype, shape, bytes),
        Storage::Quantized(quantization) => Tensor::new(shape, quantization.dequantize(bytes)?),
        Storage::I16 => {
            let elements = whole(bytes)
                .map(|b| i32::from(i16::from_le_bytes(b)))
                .collect();
            Tensor::new::<i32>(shape, elements)
        }
        Storage::U16 => {
            let elements = whole(bytes)
                .map(|b| i32::from(u16::from_le_bytes(b)))
                .collect();
            Tensor::new::<i32>(shape, elements)
        }
        Storage::U32 => {
            let elements = whole(bytes)
                .map(|b| i64::from(u32::from_le_bytes(b)))
                .collect();
            Tensor::new::<i64>(shape, elements)
        }
        Storage::U64 => {
            let elements: Result<Vec<i64>, _> = whole(bytes)
                .map(u64::from_le_bytes)
                .map(|n| i64::try_from(n).map_err(|_| TensorProblem::Integer(n)))
                .collect();
            Tensor::new(shape, elements?)
        }
    };
    Ok(tensor?)
}
