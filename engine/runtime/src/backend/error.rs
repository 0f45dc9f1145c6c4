//! Why a graph cannot be compiled or run.

use std::fmt;

use girih_graph::{DType, ExtentError, Origin};

use crate::device::DeviceError;
use crate::plugin::native::NativeError;
use crate::tensor::TensorError;

/// Any error of whoever gives parameters.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What kind of leaf a tensor is given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// Given by the caller.
    Input,
    /// Trained or stored.
    Param,
    /// Carried from call to call.
    State,
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Input => "input",
            Self::Param => "parameter",
            Self::State => "state",
        })
    }
}

/// Why a graph cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The backend lacks something that the graph needs.
    #[error("backend `{backend}` cannot compile graph `{graph}`: {reason}")]
    Unsupported {
        /// Which backend.
        backend: String,
        /// Name of the graph.
        graph: String,
        /// What is missing, in words.
        reason: String,
    },
}

/// Why a run fails.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Nothing is given for a leaf that is needed.
    #[error("{given} `{name}` is not given; it is `{wanted}`")]
    Missing {
        /// Which kind of leaf.
        given: Given,
        /// Name or path.
        name: String,
        /// dtype and axes, as printed in graph text.
        wanted: String,
    },
    /// An input is given that the graph does not have.
    #[error("there is no input `{name}`; the inputs are {}", Names(known))]
    Unknown {
        /// As given.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A result is asked for that the graph does not have.
    #[error("there is no result `{name}`; the results are {}", Names(known))]
    NoResult {
        /// As asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The dtype is another one.
    #[error("{given} `{name}` is `{found}`, not `{wanted}`")]
    DType {
        /// Which kind of leaf.
        given: Given,
        /// Name or path.
        name: String,
        /// Of the graph.
        wanted: DType,
        /// Of the tensor.
        found: DType,
    },
    /// The number of axes is another one.
    #[error("{given} `{name}` has shape {found:?} where `{wanted}` is wanted")]
    Rank {
        /// Which kind of leaf.
        given: Given,
        /// Name or path.
        name: String,
        /// dtype and axes, as printed in graph text.
        wanted: String,
        /// Shape of the tensor.
        found: Vec<usize>,
    },
    /// An axis has another size than elsewhere.
    #[error("axis `{axis}` of {given} `{name}` is {found}, but should be {wanted}{reason}")]
    Extent {
        /// Which kind of leaf.
        given: Given,
        /// Name or path.
        name: String,
        /// The axis that does not fit.
        axis: String,
        /// What it should be.
        wanted: i64,
        /// Its size in the tensor.
        found: i64,
        /// Where the wanted size comes from: empty, or `, as …`.
        reason: String,
    },
    /// A size cannot be known or computed.
    #[error("the size of {what} cannot be computed: {source}")]
    Size {
        /// Whose size.
        what: String,
        /// Why.
        source: ExtentError,
    },
    /// A size that nothing may have.
    #[error("the size of {what} would be {value}")]
    Absurd {
        /// Whose size.
        what: String,
        /// The size.
        value: i64,
    },
    /// A condition of the graph does not hold.
    #[error("{reason}: `{left}` is {left_value}, but `{right}` is {right_value}")]
    Check {
        /// Why they must be equal.
        reason: String,
        /// One side, as written in the graph.
        left: String,
        /// Its value.
        left_value: i64,
        /// The other side.
        right: String,
        /// Its value.
        right_value: i64,
    },
    /// The values would need more memory than allowed.
    #[error("`{what}` needs {bytes} bytes where {limit} are allowed for all values together")]
    Memory {
        /// dtype and shape of the value that is too much.
        what: String,
        /// Bytes of all values with it.
        bytes: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// A read outside an axis.
    #[error("position {position} is outside axis `{axis}`, which has extent {extent}")]
    Position {
        /// Read along.
        axis: String,
        /// Asked for.
        position: i64,
        /// Positions there are.
        extent: usize,
    },
    /// A sorted axis that is to be longer than what is sorted.
    #[error("axis `{into}` has {wanted} positions, more than the {extent} of `{axis}`")]
    Longer {
        /// What is sorted.
        axis: String,
        /// Its extent.
        extent: usize,
        /// The sorted positions.
        into: String,
        /// Their number.
        wanted: usize,
    },
    /// A tensor cannot be made.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// A parameter cannot be had.
    #[error("parameter `{name}` cannot be loaded: {source}")]
    Source {
        /// Path.
        name: String,
        /// What its source said.
        source: BoxError,
    },
    /// The arithmetic library refused an operation.
    #[error("`{op}` failed: {reason}")]
    Library {
        /// Which primitive.
        op: &'static str,
        /// What it said.
        reason: String,
    },
    /// A device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// An operation of a plugin failed.
    #[error("{source}")]
    Native {
        /// Its full name.
        callee: String,
        /// What it said.
        source: NativeError,
    },
    /// An operation of a plugin that nobody has, and that has no body either.
    #[error("there is no kernel for `{callee}`, and its plugin gives no body to compute instead")]
    NoNative {
        /// Its full name.
        callee: String,
    },
    /// An error within a node.
    #[error("`{op}` in `{}`: {source}", origin.path)]
    Within {
        /// Which primitive.
        op: &'static str,
        /// Where in the model the node came from.
        origin: Box<Origin>,
        /// What happened.
        source: Box<RunError>,
    },
    /// The graph cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The caller broke the run off.
    #[error("cancelled")]
    Cancelled,
}

struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (position, name) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}`{name}`")?;
        }
        Ok(())
    }
}
