//! The GGUF format: typed metadata, then tensors, often quantized.
//!
//! Layout: magic, version, counts; metadata as `name, type, value`; tensor
//! descriptions; data, each tensor aligned as `general.alignment` says (32
//! unless it does). Extents are written innermost first and are turned round
//! here. Versions 1 to 3, little-endian.
//!
//! Source: the GGUF specification in the ggml repository.

mod reader;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use girih_graph::DType;
use memmap2::Mmap;

use super::decode::decode_mapped;
use super::directory::{Directory, at, check_cover, measure};
use super::{Blocks, Entry, Quantization, Storage, TensorProblem, WeightError, WeightSource, map};
use crate::config::ConfigValue;
use crate::tensor::Tensor;
use reader::Reader;

/// Where tensors begin unless the file says otherwise.
const DEFAULT_ALIGNMENT: usize = 32;

/// The metadata field that says otherwise.
const ALIGNMENT: &str = "general.alignment";

/// Most axes that a tensor of the format has.
const MAX_RANK: u32 = 8;

/// A mapped GGUF file.
#[derive(Debug)]
pub struct Gguf {
    map: Arc<Mmap>,
    directory: Directory,
    /// In the file, one for each entry.
    ranges: Vec<Range<usize>>,
    metadata: ConfigValue,
}

impl Gguf {
    /// Maps a file and checks its metadata and tensor descriptions.
    pub fn open(file: &Path) -> Result<Self, WeightError> {
        Self::new(file.to_owned(), map::map(file)?)
    }

    pub(super) fn new(file: PathBuf, map: Arc<Mmap>) -> Result<Self, WeightError> {
        let mut reader = Reader::new(&file, &map);
        let counts = reader.preamble()?;
        let metadata = read_metadata(&mut reader, counts.metadata)?;
        let alignment = alignment(&file, &metadata)?;
        let mut descriptions = Vec::new();
        for _ in 0..counts.tensors {
            descriptions.push(read_description(&mut reader)?);
        }
        // The data begin at the next aligned byte. A file without tensors may end before.
        let base = reader.position().next_multiple_of(alignment).min(map.len());
        let size = map.len() - base;
        let mut entries = Vec::with_capacity(descriptions.len());
        let mut ranges = Vec::with_capacity(descriptions.len());
        for description in descriptions {
            let placed = place(&description, alignment, size);
            let (entry, range) = placed.map_err(|p| at(&file, &description.name, p))?;
            entries.push(entry);
            ranges.push(range);
        }
        check_cover(&file, &entries, &ranges, base, size, alignment)?;
        for range in &mut ranges {
            *range = range.start + base..range.end + base;
        }
        let metadata = ConfigValue::Map(metadata);
        Ok(Self {
            map,
            directory: Directory::new(file, entries)?,
            ranges,
            metadata,
        })
    }
}

impl WeightSource for Gguf {
    fn file(&self) -> &Path {
        &self.directory.file
    }

    fn entries(&self) -> &[Entry] {
        &self.directory.entries
    }

    fn entry(&self, name: &str) -> Result<&Entry, WeightError> {
        self.directory.entry(name)
    }

    fn tensor(&self, name: &str) -> Result<Tensor, WeightError> {
        let position = self.directory.position(name)?;
        let entry = &self.directory.entries[position];
        decode_mapped(entry, &self.map, self.ranges[position].clone())
            .map_err(|problem| self.directory.at(name, problem))
    }

    fn raw(&self, name: &str) -> Result<Cow<'_, [u8]>, WeightError> {
        let position = self.directory.position(name)?;
        Ok(Cow::Borrowed(&self.map[self.ranges[position].clone()]))
    }

    fn blocks(&self, name: &str) -> Result<Option<Blocks>, WeightError> {
        let position = self.directory.position(name)?;
        let entry = &self.directory.entries[position];
        let Storage::Quantized(quantization) = entry.storage else {
            return Ok(None);
        };
        let range = self.ranges[position].clone();
        // A tensor without elements has no rows.
        Ok(Blocks::mapped(quantization, &entry.shape, &self.map, range).ok())
    }

    fn metadata(&self) -> &ConfigValue {
        &self.metadata
    }
}

/// A tensor as the file describes it.
struct Description {
    name: String,
    /// Outermost first.
    shape: Vec<u64>,
    /// Number of the storage type.
    storage: u32,
    /// From the beginning of the data.
    start: u64,
}

fn read_metadata(
    reader: &mut Reader<'_>,
    count: u64,
) -> Result<BTreeMap<String, ConfigValue>, WeightError> {
    let mut metadata = BTreeMap::new();
    for _ in 0..count {
        let key = reader.text("metadata name")?;
        let value = reader.value(&key)?;
        if metadata.contains_key(&key) {
            let file = reader.file().to_owned();
            return Err(WeightError::DuplicateMetadata { file, key });
        }
        metadata.insert(key, value);
    }
    Ok(metadata)
}

fn alignment(file: &Path, metadata: &BTreeMap<String, ConfigValue>) -> Result<usize, WeightError> {
    let Some(value) = metadata.get(ALIGNMENT) else {
        return Ok(DEFAULT_ALIGNMENT);
    };
    let value = value.as_int().unwrap_or(0);
    // Below 8 the blocks would not be aligned; far above a page nothing gains.
    match usize::try_from(value) {
        Ok(alignment) if alignment.is_power_of_two() && (8..=1 << 20).contains(&alignment) => {
            Ok(alignment)
        }
        _ => Err(WeightError::Metadata {
            file: file.to_owned(),
            key: ALIGNMENT.to_owned(),
            what: "not a usable power of two: it",
            found: value as u64,
        }),
    }
}

fn read_description(reader: &mut Reader<'_>) -> Result<Description, WeightError> {
    let name = reader.text("tensor name")?;
    let rank = reader.u32("tensor description")?;
    if rank > MAX_RANK {
        return Err(at(
            reader.file(),
            &name,
            TensorProblem::Rank(u64::from(rank)),
        ));
    }
    let mut shape = Vec::new();
    for _ in 0..rank {
        shape.push(reader.length("tensor description")?);
    }
    shape.reverse();
    let storage = reader.u32("tensor description")?;
    let start = reader.u64("tensor description")?;
    Ok(Description {
        name,
        shape,
        storage,
        start,
    })
}

/// The entry of a tensor and its place in `size` bytes of data.
fn place(
    description: &Description,
    alignment: usize,
    size: usize,
) -> Result<(Entry, Range<usize>), TensorProblem> {
    let number = description.storage;
    let storage =
        storage(number).ok_or_else(|| TensorProblem::Storage(format!("GGUF type {number}")))?;
    let (shape, bytes) = measure(storage, &description.shape)?;
    let start = description.start;
    if !start.is_multiple_of(alignment as u64) {
        return Err(TensorProblem::Alignment { start, alignment });
    }
    let end = start.saturating_add(bytes as u64);
    if end > size as u64 {
        return Err(TensorProblem::Outside { start, end, size });
    }
    let entry = Entry {
        name: description.name.clone(),
        shape,
        storage,
        bytes,
    };
    Ok((entry, start as usize..end as usize))
}

/// The storage type of a number in a file.
fn storage(number: u32) -> Option<Storage> {
    Some(match number {
        0 => Storage::Plain(DType::F32),
        1 => Storage::Plain(DType::F16),
        2 => Storage::Quantized(Quantization::Q4_0),
        3 => Storage::Quantized(Quantization::Q4_1),
        6 => Storage::Quantized(Quantization::Q5_0),
        7 => Storage::Quantized(Quantization::Q5_1),
        8 => Storage::Quantized(Quantization::Q8_0),
        9 => Storage::Quantized(Quantization::Q8_1),
        10 => Storage::Quantized(Quantization::Q2K),
        11 => Storage::Quantized(Quantization::Q3K),
        12 => Storage::Quantized(Quantization::Q4K),
        13 => Storage::Quantized(Quantization::Q5K),
        14 => Storage::Quantized(Quantization::Q6K),
        15 => Storage::Quantized(Quantization::Q8K),
        24 => Storage::Plain(DType::I8),
        25 => Storage::I16,
        26 => Storage::Plain(DType::I32),
        27 => Storage::Plain(DType::I64),
        28 => Storage::Plain(DType::F64),
        30 => Storage::Plain(DType::BF16),
        _ => return None,
    })
}
