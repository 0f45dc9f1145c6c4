//! Why stored tensors cannot be read or written.

use std::io;
use std::path::PathBuf;

use crate::tensor::TensorError;

/// Why a file of tensors cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightError {
    /// The system does not give the file or folder.
    #[error("cannot read `{}`: {source}", file.display())]
    Read {
        /// As asked for.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system does not take the file.
    #[error("cannot write `{}`: {source}", file.display())]
    Write {
        /// As asked for.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder without weights.
    #[error("`{}` has no `model.safetensors`, no index of shards and no `.gguf` file", folder.display())]
    NoWeights {
        /// As asked for.
        folder: PathBuf,
    },
    /// A folder where more than one file could be meant.
    #[error("`{}` has {} files of weights; name one of them", folder.display(), files.len())]
    SeveralWeights {
        /// As asked for.
        folder: PathBuf,
        /// In order of their names.
        files: Vec<PathBuf>,
    },
    /// The file ends before what it announces.
    #[error("`{}` ends at byte {size}, within its {part}", file.display())]
    Truncated {
        /// Whose end was met.
        file: PathBuf,
        /// Which part of the format was being read.
        part: &'static str,
        /// Bytes of the file.
        size: usize,
    },
    /// A length that the file cannot hold.
    #[error("`{}` announces a {part} of {length} bytes, but has {left}", file.display())]
    Length {
        /// Which says so.
        file: PathBuf,
        /// Which part of the format is too long.
        part: &'static str,
        /// As announced.
        length: u64,
        /// Bytes that are there, or are allowed there.
        left: usize,
    },
    /// The JSON part of the file is none.
    #[error("`{}` has a broken header: {source}", file.display())]
    Json {
        /// Whose header it is.
        file: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The file is of no known format or version.
    #[error("`{}` is no {format} file: {what} is `{found}`", file.display())]
    Format {
        /// As asked for.
        file: PathBuf,
        /// The format that was tried.
        format: &'static str,
        /// Which part of the header is unknown.
        what: &'static str,
        /// What stands there.
        found: String,
    },
    /// Text that is not UTF-8.
    #[error("`{}` has a {part} that is not UTF-8", file.display())]
    NotUtf8 {
        /// Where it stands.
        file: PathBuf,
        /// Which part of the format.
        part: &'static str,
    },
    /// A metadata value that cannot be read.
    #[error("`{}`: metadata `{key}`: {what} is {found}", file.display())]
    Metadata {
        /// Where it stands.
        file: PathBuf,
        /// Name of the value.
        key: String,
        /// What is wrong about it.
        what: &'static str,
        /// What stands there.
        found: u64,
    },
    /// A metadata name that stands twice.
    #[error("`{}`: metadata `{key}` stands twice", file.display())]
    DuplicateMetadata {
        /// Where it stands.
        file: PathBuf,
        /// The name.
        key: String,
    },
    /// Bytes that belong to no tensor.
    #[error("`{}` has {bytes} bytes at byte {at} that belong to no tensor", file.display())]
    Surplus {
        /// Where they stand.
        file: PathBuf,
        /// First of them.
        at: usize,
        /// How many.
        bytes: usize,
    },
    /// A compressed archive that cannot be read.
    #[error("`{}` is a broken archive: {source}", file.display())]
    Archive {
        /// As asked for.
        file: PathBuf,
        /// What the archive reader said.
        source: zip::result::ZipError,
    },
    /// An index names a shard outside its folder.
    #[error("`{}` names the shard `{shard}`, which is no plain file name", file.display())]
    ShardName {
        /// The index.
        file: PathBuf,
        /// As it names the shard.
        shard: String,
    },
    /// Something is wrong with one tensor.
    #[error("`{}`: tensor `{tensor}`: {problem}", file.display())]
    Tensor {
        /// Where it is stored.
        file: PathBuf,
        /// Its name.
        tensor: String,
        /// What is wrong.
        problem: Box<TensorProblem>,
    },
}

/// What can be wrong with one stored tensor.
#[derive(Debug, thiserror::Error)]
pub enum TensorProblem {
    /// Nothing is stored under the name.
    #[error("is not stored here")]
    Missing,
    /// The name stands twice.
    #[error("stands twice")]
    Duplicate,
    /// Its description cannot be read.
    #[error("{0}")]
    Description(serde_json::Error),
    /// It is stored in a way that is not known.
    #[error("is stored as `{0}`, which cannot be read")]
    Storage(String),
    /// More axes than any tensor has.
    #[error("has {0} axes")]
    Rank(u64),
    /// More elements than can be addressed.
    #[error("has shape {0:?}, which no file can hold")]
    TooLarge(Vec<u64>),
    /// The innermost axis is not whole blocks.
    #[error("has rows of {row} elements, which are no whole {storage} blocks of {block}")]
    Block {
        /// How it is stored.
        storage: &'static str,
        /// Innermost extent.
        row: u64,
        /// Elements of a block.
        block: usize,
    },
    /// Stored bytes and shape disagree.
    #[error("has {found} bytes, but shape {shape:?} asks for {expected}")]
    Bytes {
        /// As described.
        shape: Vec<usize>,
        /// Bytes the shape asks for.
        expected: usize,
        /// Bytes it has been given.
        found: usize,
    },
    /// It lies outside the file.
    #[error("lies at {start}..{end}, but there are only {size} bytes of data")]
    Outside {
        /// First byte, from the beginning of the data.
        start: u64,
        /// Byte after the last.
        end: u64,
        /// Bytes of data.
        size: usize,
    },
    /// It begins where no tensor may begin.
    #[error("begins at byte {start}, which is no multiple of {alignment}")]
    Alignment {
        /// First byte, from the beginning of the data.
        start: u64,
        /// As the file announces.
        alignment: usize,
    },
    /// It lies over another tensor.
    #[error("overlaps tensor `{0}`")]
    Overlap(String),
    /// The index expects it in a shard that does not have it.
    #[error("is not stored in shard `{0}`, where the index has it")]
    NotInShard(String),
    /// A shard has it, but the index does not.
    #[error("is missing in the index `{0}`")]
    NotInIndex(String),
    /// Its `.npy` header cannot be understood.
    #[error("has the header `{0}`, which is no array header")]
    ArrayHeader(String),
    /// An integer past the largest `i64`.
    #[error("holds {0}, which is past the largest `i64`")]
    Integer(u64),
    /// Compressed data cannot be expanded.
    #[error("cannot be expanded: {0}")]
    Expand(io::Error),
    /// The tensor cannot be made from its data.
    #[error(transparent)]
    Data(#[from] TensorError),
    /// A backend's dequantization refused the data.
    #[error("cannot be dequantized: {0}")]
    Dequantize(candle_core::Error),
}
