//! Where parameters come from when an executable is loaded.

use girih_graph::DType;

use super::{BoxError, RunError};
use crate::tensor::Tensor;
use crate::weights::Blocks;

/// Gives parameters by path. A closure that gives tensors is one.
pub trait ParamSource {
    /// The parameter of a path.
    ///
    /// # Errors
    ///
    /// There is none, or it cannot be read.
    fn param(&mut self, path: &str) -> Result<ParamData, BoxError>;
}

impl<F: FnMut(&str) -> Result<Tensor, BoxError>> ParamSource for F {
    fn param(&mut self, path: &str) -> Result<ParamData, BoxError> {
        self(path).map(ParamData::Tensor)
    }
}

impl dyn ParamSource + '_ {
    /// The parameter of a path; errors name it.
    ///
    /// # Errors
    ///
    /// [`RunError::Source`].
    pub fn given(&mut self, path: &str) -> Result<ParamData, RunError> {
        self.param(path).map_err(|source| at(path, source))
    }
}

/// What a source gives for a parameter.
#[derive(Clone, Debug)]
pub enum ParamData {
    /// Numbers.
    Tensor(Tensor),
    /// Quantized numbers, which a backend may compute with as they are.
    Blocks(Blocks),
}

impl ParamData {
    /// Element type; of quantized numbers that of what they are decoded to.
    pub fn dtype(&self) -> DType {
        match self {
            Self::Tensor(tensor) => tensor.dtype(),
            Self::Blocks(_) => DType::F32,
        }
    }

    /// Extents, outermost axis first.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Tensor(tensor) => tensor.shape(),
            Self::Blocks(blocks) => blocks.shape(),
        }
    }

    /// Numbers, decoded if they are quantized. `path` is named in errors.
    ///
    /// # Errors
    ///
    /// [`RunError::Source`] for blocks that cannot be decoded.
    pub fn into_tensor(self, path: &str) -> Result<Tensor, RunError> {
        match self {
            Self::Tensor(tensor) => Ok(tensor),
            Self::Blocks(blocks) => blocks.decode().map_err(|error| at(path, error.into())),
        }
    }
}

fn at(path: &str, source: BoxError) -> RunError {
    RunError::Source {
        name: path.to_owned(),
        source,
    }
}
