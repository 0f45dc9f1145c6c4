//! What a backend is: it compiles a graph to an executable, which runs it.
//!
//! Data go in and out by name. They are given as tensors in memory or as what
//! the backend itself made of them ([`Data::Device`]): parameters are loaded
//! once and states go from one call to the next without a copy. A backend
//! that is given another backend's data reads them through memory.

mod bindings;
mod error;
mod sizes;
mod source;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use girih_graph::{DType, Graph};

use crate::tensor::Tensor;
pub use bindings::{Bindings, Params};
pub use error::{BoxError, CompileError, Given, RunError};
pub use sizes::Sizes;
pub(crate) use sizes::byte_count;
pub use source::{ParamData, ParamSource};

/// Makes executables.
pub trait Backend {
    /// As written after `--backend`.
    fn name(&self) -> &str;

    /// Makes `graph` ready to run.
    ///
    /// # Errors
    ///
    /// Something in the graph that this backend cannot do.
    fn compile(&self, graph: &Graph) -> Result<Box<dyn Executable>, CompileError>;
}

/// A graph that can be run any number of times, with other sizes each time.
pub trait Executable: Send + Sync {
    /// Reads every parameter that the graph uses, once, and keeps it in the graph's
    /// dtype where and as this backend computes with it.
    ///
    /// `source` gives the parameter of a path, in any real dtype if the graph's is real, or
    /// quantized; it may be a closure that gives tensors.
    /// The result may be given to every executable of this backend whose
    /// graph has the same parameters.
    ///
    /// # Errors
    ///
    /// What `source` says, a dtype or shape that does not fit, or [`RunError::Cancelled`].
    fn load(
        &self,
        source: &mut dyn ParamSource,
        progress: &mut Progress<'_>,
    ) -> Result<Params, RunError>;

    /// Computes all results and next states.
    ///
    /// # Errors
    ///
    /// Data that are missing or do not fit, sizes that break one of the graph's checks,
    /// a read outside an axis, more memory than `bindings` allow, or
    /// [`RunError::Cancelled`].
    fn run(&self, bindings: &Bindings, progress: &mut Progress<'_>) -> Result<Outputs, RunError>;

    /// Computes several runs, each with its own data and sizes, and gives what [`run`](Self::run) gives for each, in
    /// their order. A backend may read what they have in common once for all of them: then products are rounded as those
    /// of several rows.
    ///
    /// # Errors
    ///
    /// As for [`run`](Self::run), of any of them; nothing is given then.
    fn run_together(
        &self,
        all: &[Bindings],
        progress: &mut Progress<'_>,
    ) -> Result<Vec<Outputs>, RunError> {
        all.iter()
            .map(|bindings| self.run(bindings, progress))
            .collect()
    }

    /// Another graph, compiled as this one was: its parameters are among those of this graph, and
    /// it takes what this one has [loaded](Self::load).
    ///
    /// # Errors
    ///
    /// Something in the graph that this backend cannot do.
    fn sibling(&self, graph: &Graph) -> Result<Box<dyn Executable>, CompileError>;
}

/// Is told from time to time how far a call is; `Break` cancels the call.
pub type Progress<'a> = dyn FnMut(Done) -> ControlFlow<()> + 'a;

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Parts that are finished.
    pub finished: usize,
    /// Parts in all; they may take unequal time.
    pub total: usize,
}

/// Takes no notice of progress and never cancels.
pub fn silent(_: Done) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A tensor that lives where a backend computes.
pub trait DeviceTensor: Any + fmt::Debug + Send + Sync {
    /// Element type.
    fn dtype(&self) -> DType;

    /// Extents, outermost axis first.
    fn shape(&self) -> &[usize];

    /// A copy in memory, row-major.
    ///
    /// # Errors
    ///
    /// A device that does not answer.
    fn to_host(&self) -> Result<Tensor, RunError>;

    /// Bytes of the memory that it lies in, which may have room to grow and be shared with others.
    fn held(&self) -> u64 {
        byte_count(self.dtype(), self.shape())
    }

    /// Some positions of the outermost axis, where they lie. `None` if the device would have to copy,
    /// or there are no such positions.
    fn rows(&self, range: Range<usize>) -> Option<Arc<dyn DeviceTensor>> {
        let _ = range;
        None
    }

    /// For the backend that made it.
    fn as_any(&self) -> &dyn Any;
}

/// A tensor in memory or on a device. Clones share the data.
#[derive(Clone, Debug)]
pub enum Data {
    /// In memory.
    Host(Tensor),
    /// Where a backend wants it.
    Device(Arc<dyn DeviceTensor>),
}

impl Data {
    /// Element type.
    pub fn dtype(&self) -> DType {
        match self {
            Self::Host(tensor) => tensor.dtype(),
            Self::Device(tensor) => tensor.dtype(),
        }
    }

    /// Extents, outermost axis first.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Host(tensor) => tensor.shape(),
            Self::Device(tensor) => tensor.shape(),
        }
    }

    /// In memory, row-major.
    ///
    /// # Errors
    ///
    /// A device that does not answer.
    pub fn to_host(&self) -> Result<Tensor, RunError> {
        match self {
            Self::Host(tensor) => Ok(tensor.clone()),
            Self::Device(tensor) => tensor.to_host(),
        }
    }
}

impl Data {
    /// Bytes of the memory that it lies in, which may have room to grow and be shared with others.
    pub fn held(&self) -> u64 {
        match self {
            Self::Host(tensor) => tensor.bytes().len() as u64,
            Self::Device(tensor) => tensor.held(),
        }
    }

    /// Some positions of the outermost axis; where they lie, if that can be.
    ///
    /// # Errors
    ///
    /// There are no such positions, or the device does not answer.
    pub fn rows(&self, range: Range<usize>) -> Result<Self, RunError> {
        if let Self::Device(tensor) = self
            && let Some(rows) = tensor.rows(range.clone())
        {
            return Ok(Self::Device(rows));
        }
        Ok(Self::Host(self.to_host()?.slice(0, range)?))
    }
}

impl From<Tensor> for Data {
    fn from(tensor: Tensor) -> Self {
        Self::Host(tensor)
    }
}

/// A result or a state's next value.
#[derive(Clone, Debug)]
pub struct Output {
    /// Names of the axes, outermost first.
    pub axes: Vec<String>,
    /// Row-major over the axes.
    pub data: Data,
}

/// What a run gives.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// The graph's results by name.
    pub results: BTreeMap<String, Output>,
    /// Next values of the states by path; what to give as states to the next call.
    pub states: BTreeMap<String, Output>,
}

impl Outputs {
    /// The result called `name`, in memory, row-major over its axes.
    ///
    /// # Errors
    ///
    /// No such result, or a device that does not answer.
    pub fn tensor(&self, name: &str) -> Result<Tensor, RunError> {
        let found = self.results.get(name);
        let output = found.ok_or_else(|| RunError::NoResult {
            name: name.to_owned(),
            known: self.results.keys().cloned().collect(),
        })?;
        output.data.to_host()
    }
}
