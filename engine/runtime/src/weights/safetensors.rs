//! The safetensors format: a JSON header, then the tensors back to back.
//!
//! Layout: eight bytes little-endian length of the header; the header, an
//! object of `name: {dtype, shape, data_offsets}` and `__metadata__`, a map of
//! texts; the data. Offsets count from the end of the header, tensors cover
//! the data without gap or overlap.
//!
//! Source: the format section of the safetensors repository.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use girih_graph::DType;
use memmap2::Mmap;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};

use super::decode::decode_mapped;
use super::directory::{Directory, at, check_cover, measure};
use super::{Entry, Storage, TensorProblem, WeightError, WeightSource, map};
use crate::config::ConfigValue;
use crate::tensor::Tensor;

/// Longest header that is read, as in other readers of the format.
const HEADER_LIMIT: usize = 100_000_000;

/// Name of the header's field for texts.
pub(super) const METADATA: &str = "__metadata__";

/// A mapped safetensors file.
#[derive(Debug)]
pub struct SafeTensors {
    map: Arc<Mmap>,
    directory: Directory,
    /// In the file, one for each entry.
    ranges: Vec<Range<usize>>,
    metadata: ConfigValue,
}

impl SafeTensors {
    /// Maps a file and checks its header.
    pub fn open(file: &Path) -> Result<Self, WeightError> {
        Self::new(file.to_owned(), map::map(file)?)
    }

    pub(super) fn new(file: PathBuf, map: Arc<Mmap>) -> Result<Self, WeightError> {
        let (header, base) = split_header(&file, &map)?;
        let header = parse_header(&file, header)?;
        let size = map.len() - base;
        let mut entries = Vec::with_capacity(header.tensors.len());
        let mut ranges = Vec::with_capacity(header.tensors.len());
        for (name, description) in header.tensors {
            let placed = place(&name, &description, size);
            let (entry, range) = placed.map_err(|problem| at(&file, &name, problem))?;
            entries.push(entry);
            ranges.push(range);
        }
        check_cover(&file, &entries, &ranges, base, size, 1)?;
        for range in &mut ranges {
            *range = range.start + base..range.end + base;
        }
        let texts = header
            .metadata
            .into_iter()
            .map(|(k, v)| (k, ConfigValue::Str(v)));
        let metadata = ConfigValue::Map(texts.collect());
        Ok(Self {
            map,
            directory: Directory::new(file, entries)?,
            ranges,
            metadata,
        })
    }
}

impl WeightSource for SafeTensors {
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
        let range = self.ranges[position].clone();
        decode_mapped(entry, &self.map, range).map_err(|problem| self.directory.at(name, problem))
    }

    fn raw(&self, name: &str) -> Result<Cow<'_, [u8]>, WeightError> {
        let position = self.directory.position(name)?;
        Ok(Cow::Borrowed(&self.map[self.ranges[position].clone()]))
    }

    fn metadata(&self) -> &ConfigValue {
        &self.metadata
    }
}

/// How a dtype is called in safetensors headers.
pub(super) fn dtype_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "F64",
        DType::F32 => "F32",
        DType::F16 => "F16",
        DType::BF16 => "BF16",
        DType::I64 => "I64",
        DType::I32 => "I32",
        DType::I8 => "I8",
        DType::U8 => "U8",
        DType::Bool => "BOOL",
    }
}

/// Splits a file into its header and the position where the data begin.
fn split_header<'a>(file: &Path, bytes: &'a [u8]) -> Result<(&'a [u8], usize), WeightError> {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        let part = "header length";
        return Err(WeightError::Truncated {
            file: file.to_owned(),
            part,
            size: bytes.len(),
        });
    };
    let length = u64::from_le_bytes(*length);
    let header = usize::try_from(length)
        .ok()
        .filter(|&length| length <= HEADER_LIMIT)
        .and_then(|length| rest.get(..length));
    match header {
        Some(header) => Ok((header, 8 + header.len())),
        None => Err(WeightError::Length {
            file: file.to_owned(),
            part: "header",
            length,
            left: rest.len().min(HEADER_LIMIT),
        }),
    }
}

fn parse_header(file: &Path, text: &[u8]) -> Result<Header, WeightError> {
    let mut header = Header::default();
    let mut last = None;
    let mut json = serde_json::Deserializer::from_slice(text);
    let parsed = HeaderSeed {
        header: &mut header,
        last: &mut last,
    }
    .deserialize(&mut json)
    .and_then(|()| json.end());
    match (parsed, last) {
        (Ok(()), _) => Ok(header),
        (Err(source), None) => Err(WeightError::Json {
            file: file.to_owned(),
            source,
        }),
        (Err(source), Some(name)) => Err(at(file, &name, TensorProblem::Description(source))),
    }
}

/// The entry of a tensor and its place in `size` bytes of data.
fn place(
    name: &str,
    description: &Description,
    size: usize,
) -> Result<(Entry, Range<usize>), TensorProblem> {
    let storage = storage(&description.dtype)
        .ok_or_else(|| TensorProblem::Storage(description.dtype.clone()))?;
    let (shape, expected) = measure(storage, &description.shape)?;
    let (start, end) = description.data_offsets;
    let inside = usize::try_from(end).is_ok_and(|end| end <= size);
    if start > end || !inside {
        return Err(TensorProblem::Outside { start, end, size });
    }
    let range = start as usize..end as usize;
    if range.len() != expected {
        return Err(TensorProblem::Bytes {
            shape,
            expected,
            found: range.len(),
        });
    }
    let entry = Entry {
        name: name.to_owned(),
        shape,
        storage,
        bytes: expected,
    };
    Ok((entry, range))
}

fn storage(name: &str) -> Option<Storage> {
    Some(match name {
        "I16" => Storage::I16,
        "U16" => Storage::U16,
        "U32" => Storage::U32,
        "U64" => Storage::U64,
        _ => Storage::Plain(
            DType::ALL
                .into_iter()
                .find(|&dtype| dtype_name(dtype) == name)?,
        ),
    })
}

/// What a header says, names in order and as often as they stand.
#[derive(Default)]
struct Header {
    tensors: Vec<(String, Description)>,
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// Reads a header and remembers which tensor was read last.
struct HeaderSeed<'a> {
    header: &'a mut Header,
    /// Set while a tensor's description is read.
    last: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for HeaderSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeaderSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(name) = fields.next_key::<String>()? {
            *self.last = Some(name.clone());
            if name == METADATA {
                self.header.metadata = fields.next_value()?;
            } else {
                self.header.tensors.push((name, fields.next_value()?));
            }
            *self.last = None;
        }
        Ok(())
    }
}
