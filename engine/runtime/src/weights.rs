//! Stored tensors by name, whatever file format holds them.
//!
//! [`open`] looks at the bytes, not at the file's name, and checks the whole
//! directory of a file before it answers: every tensor lies within the file,
//! none overlaps another, no name stands twice, nothing is left over. Tensor
//! data are not read until asked for; where file and tensor agree on layout
//! they are views of the mapped file. Files are not trusted: whatever they
//! say, the answer is a [`WeightError`] that names file and tensor, and
//! nothing is allocated that the file does not fill.
//!
//! Names, shapes and dtypes are those of the file. What a name means to a
//! model is decided by the model's `weights` block.

mod blocks;
mod decode;
mod directory;
mod error;
mod gguf;
pub(crate) mod map;
mod npz;
mod quantization;
mod round;
mod safetensors;
mod sharded;
mod write;

use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use girih_graph::DType;

use crate::config::ConfigValue;
use crate::tensor::Tensor;

pub use blocks::{Blocks, BlocksError};
pub use error::{TensorProblem, WeightError};
pub use gguf::Gguf;
pub use npz::Npz;
pub use quantization::Quantization;
pub use round::{RoundError, Rounding};
pub use safetensors::SafeTensors;
pub use sharded::Sharded;
pub use write::write_safetensors;

/// A file, or some files together, that hold named tensors.
pub trait WeightSource: fmt::Debug + Send + Sync {
    /// Where the tensors come from: a file, or the index of several.
    fn file(&self) -> &Path;

    /// What is stored, in the order of the file.
    fn entries(&self) -> &[Entry];

    /// What is stored under a name. Fails when nothing is.
    fn entry(&self, name: &str) -> Result<&Entry, WeightError>;

    /// A tensor, dequantized where it is stored in blocks.
    ///
    /// A view of the mapped file where that is possible: stored as a dtype,
    /// aligned, row-major and not compressed. Fails when nothing is stored
    /// under the name, or its data are damaged.
    fn tensor(&self, name: &str) -> Result<Tensor, WeightError>;

    /// A tensor's bytes as stored, quantized blocks included.
    ///
    /// Fails as [`tensor`](Self::tensor) does.
    fn raw(&self, name: &str) -> Result<Cow<'_, [u8]>, WeightError>;

    /// A tensor as quantized blocks, left where they are. `None` if it is not stored so.
    ///
    /// Fails when nothing is stored under the name.
    fn blocks(&self, name: &str) -> Result<Option<Blocks>, WeightError> {
        self.entry(name).map(|_| None)
    }

    /// What the file says beside its tensors: a map, possibly empty.
    fn metadata(&self) -> &ConfigValue;
}

/// One stored tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As published.
    pub name: String,
    /// Row-major extents, whatever order the file writes them in.
    pub shape: Vec<usize>,
    /// How elements are stored.
    pub storage: Storage,
    /// Stored size in bytes, before any compression.
    pub bytes: usize,
}

impl Entry {
    /// The dtype of the tensor that is read.
    pub fn dtype(&self) -> DType {
        self.storage.dtype()
    }
}

/// How the elements of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage {
    /// One after another, as in memory.
    Plain(DType),
    /// Signed 16-bit integers; read as `i32`.
    I16,
    /// Unsigned 16-bit integers; read as `i32`.
    U16,
    /// Unsigned 32-bit integers; read as `i64`.
    U32,
    /// Unsigned 64-bit integers; read as `i64`, an error past its largest.
    U64,
    /// Blocks of a few bits per element with shared scales; read as `f32`.
    Quantized(Quantization),
}

impl Storage {
    /// The dtype of the tensor that is read.
    pub fn dtype(self) -> DType {
        match self {
            Self::Plain(dtype) => dtype,
            Self::I16 | Self::U16 => DType::I32,
            Self::U32 | Self::U64 => DType::I64,
            Self::Quantized(_) => DType::F32,
        }
    }

    /// Bytes of one element; of one block if quantized.
    fn unit_bytes(self) -> usize {
        match self {
            Self::Plain(dtype) => dtype.size(),
            Self::I16 | Self::U16 => 2,
            Self::U32 => 4,
            Self::U64 => 8,
            Self::Quantized(quantization) => quantization.block_bytes(),
        }
    }

    /// Elements that are stored together.
    fn unit_elements(self) -> usize {
        match self {
            Self::Quantized(quantization) => quantization.block_elements(),
            _ => 1,
        }
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(dtype) => dtype.name(),
            Self::I16 => "i16",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::Quantized(quantization) => quantization.name(),
        })
    }
}

/// Opens stored tensors.
///
/// | path                                      | what is opened            |
/// |-------------------------------------------|---------------------------|
/// | a safetensors, GGUF, `.npz` or `.npy` file | the file                  |
/// | a `….index.json` file                     | the shards that it lists  |
/// | a folder with `model.safetensors`         | that file                 |
/// | … with `model.safetensors.index.json`     | the shards that it lists  |
/// | … with one other `.safetensors` or `.gguf` | that file                 |
///
/// Fails when there is none or more than one such file, or when the file is
/// damaged.
pub fn open(path: &Path) -> Result<Box<dyn WeightSource>, WeightError> {
    let path = if path.is_dir() {
        weights_in(path)?
    } else {
        path.to_owned()
    };
    if path
        .extension()
        .is_some_and(|extension| extension == "json")
    {
        return Ok(Box::new(Sharded::open(&path)?));
    }
    let map = map::map(&path)?;
    Ok(match map.get(..6) {
        Some([b'G', b'G', b'U', b'F', ..]) => Box::new(Gguf::new(path, map)?),
        Some([b'P', b'K', 3, 4, ..] | b"\x93NUMPY") => Box::new(Npz::new(path, map)?),
        _ => Box::new(SafeTensors::new(path, map)?),
    })
}

/// The file of a folder that holds its weights.
fn weights_in(folder: &Path) -> Result<PathBuf, WeightError> {
    let failed = |source| WeightError::Read {
        file: folder.to_owned(),
        source,
    };
    for name in ["model.safetensors", "model.safetensors.index.json"] {
        let file = folder.join(name);
        if file.is_file() {
            return Ok(file);
        }
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        let fits = file
            .extension()
            .is_some_and(|e| e == "gguf" || e == "safetensors");
        if fits && file.is_file() {
            found.push(file);
        }
    }
    found.sort();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(WeightError::NoWeights {
            folder: folder.to_owned(),
        }),
        _ => Err(WeightError::SeveralWeights {
            folder: folder.to_owned(),
            files: found,
        }),
    }
}
