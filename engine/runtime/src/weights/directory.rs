//! What a file stores, in its order and by name.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{Entry, Storage, TensorProblem, WeightError};
use crate::tensor::element_count;

/// Entries of one file. No name stands twice.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) file: PathBuf,
    pub(super) entries: Vec<Entry>,
    positions: HashMap<String, usize>,
}

impl Directory {
    pub(super) fn new(file: PathBuf, entries: Vec<Entry>) -> Result<Self, WeightError> {
        let mut positions = HashMap::with_capacity(entries.len());
        for (position, entry) in entries.iter().enumerate() {
            if positions.insert(entry.name.clone(), position).is_some() {
                return Err(at(&file, &entry.name, TensorProblem::Duplicate));
            }
        }
        Ok(Self {
            file,
            entries,
            positions,
        })
    }

    pub(super) fn position(&self, name: &str) -> Result<usize, WeightError> {
        let missing = || at(&self.file, name, TensorProblem::Missing);
        self.positions.get(name).copied().ok_or_else(missing)
    }

    pub(super) fn entry(&self, name: &str) -> Result<&Entry, WeightError> {
        Ok(&self.entries[self.position(name)?])
    }

    /// Attaches file and name to a problem.
    pub(super) fn at(&self, name: &str, problem: impl Into<TensorProblem>) -> WeightError {
        at(&self.file, name, problem.into())
    }
}

/// Attaches file and name to a problem.
pub(super) fn at(file: &Path, tensor: &str, problem: TensorProblem) -> WeightError {
    WeightError::Tensor {
        file: file.to_owned(),
        tensor: tensor.to_owned(),
        problem: Box::new(problem),
    }
}

/// Row-major extents and stored bytes of a tensor.
///
/// Fails when the innermost axis is not whole blocks or the bytes cannot be
/// counted.
pub(super) fn measure(
    storage: Storage,
    shape: &[u64],
) -> Result<(Vec<usize>, usize), TensorProblem> {
    let too_large = || TensorProblem::TooLarge(shape.to_vec());
    let extents: Option<Vec<usize>> = shape.iter().map(|&e| usize::try_from(e).ok()).collect();
    let extents = extents.ok_or_else(too_large)?;
    let block = storage.unit_elements();
    if let Storage::Quantized(quantization) = storage {
        let row = extents.last().copied().unwrap_or(1);
        if !row.is_multiple_of(block) {
            return Err(TensorProblem::Block {
                storage: quantization.name(),
                row: row as u64,
                block,
            });
        }
    }
    let count = element_count(&extents).ok_or_else(too_large)?;
    let bytes = (count / block).checked_mul(storage.unit_bytes());
    // Dequantized elements must be addressable, too.
    let addressable = count
        .checked_mul(8)
        .is_some_and(|bytes| isize::try_from(bytes).is_ok());
    match bytes {
        Some(bytes) if addressable => Ok((extents, bytes)),
        _ => Err(too_large()),
    }
}

/// Checks that tensors fill the data of a file: nothing overlaps, and no gap
/// is `slack` bytes or longer.
///
/// `ranges` belong to `entries` and lie within `0..size`; `base` is where the
/// data begin in the file.
pub(super) fn check_cover(
    file: &Path,
    entries: &[Entry],
    ranges: &[Range<usize>],
    base: usize,
    size: usize,
    slack: usize,
) -> Result<(), WeightError> {
    let mut order: Vec<usize> = (0..ranges.len()).collect();
    order.sort_by_key(|&position| (ranges[position].start, ranges[position].end));
    let surplus = |from: usize, to: usize| WeightError::Surplus {
        file: file.to_owned(),
        at: base + from,
        bytes: to - from,
    };
    let mut covered = 0;
    let mut last: Option<usize> = None;
    for position in order {
        let range = &ranges[position];
        if range.is_empty() {
            continue;
        }
        if let Some(last) = last
            && range.start < covered
        {
            let other = entries[last].name.clone();
            return Err(at(
                file,
                &entries[position].name,
                TensorProblem::Overlap(other),
            ));
        }
        if range.start - covered >= slack {
            return Err(surplus(covered, range.start));
        }
        covered = range.end;
        last = Some(position);
    }
    if size - covered >= slack {
        return Err(surplus(covered, size));
    }
    Ok(())
}
