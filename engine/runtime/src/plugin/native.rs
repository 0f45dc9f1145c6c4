//! The border between a backend and whoever holds native kernels.
//!
//! A backend that meets a `call` asks [`Natives`] for the operation by name, makes a
//! kernel of it for dtypes and sizes ([`Native::prepare`]) and runs that as often as it
//! likes ([`Kernel::run`]). Sizes are those of core axes, which the operation works on;
//! over all other axes the backend repeats the run.
//!
//! Implementors promise: no panic and no unwinding – what goes wrong inside is a
//! [`NativeError`] –; nothing but the results and the workspace is written; equal
//! operands give equal results. The border checks nothing of this: an implementor that
//! does not trust its kernels checks them itself. Where kernels come from is not known here.

use std::sync::Arc;

pub use girih_graph::Attribute;
use girih_graph::DType;

/// The operations that are at hand.
pub trait Natives: Send + Sync {
    /// The operation of this full name (`org.example.flashkit/sparsemax@1`), if there is one.
    fn native(&self, callee: &str) -> Option<Arc<dyn Native>>;
}

/// No operations at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoNatives;

impl Natives for NoNatives {
    fn native(&self, _: &str) -> Option<Arc<dyn Native>> {
        None
    }
}

/// One operation, for any dtypes and sizes.
pub trait Native: Send + Sync {
    /// A kernel for these dtypes and sizes. May be slow, may allocate, may be called by
    /// several threads at once.
    ///
    /// # Errors
    ///
    /// [`NativeCode::Unsupported`] where the operation has no kernel for them: whoever asked
    /// then computes the operation's body, if it has one. Everything else ends the run.
    fn prepare(&self, spec: &Spec) -> Result<Box<dyn Kernel>, NativeError>;
}

/// An operation for fixed dtypes and sizes.
pub trait Kernel: Send + Sync {
    /// The scratch memory that each run needs.
    fn workspace(&self) -> Workspace;

    /// Whether operands may have any strides. If not, they are row-major.
    fn strided(&self) -> bool {
        false
    }

    /// Computes all results. Several threads may run one kernel at once, each with its own
    /// results and workspace. Does not allocate.
    ///
    /// # Errors
    ///
    /// Whatever keeps the results from being computed; they are then unspecified, and the
    /// kernel may be run again.
    fn run(&self, call: &mut NativeCall<'_>) -> Result<(), NativeError>;
}

/// What a kernel is made for. Its operands and results will have exactly these types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// What the model gave by name, in the order of the operation's parameters.
    pub attributes: Vec<(Arc<str>, Attribute)>,
    /// In order, core axes only.
    pub operands: Vec<TensorSpec>,
    /// In order, core axes only.
    pub results: Vec<TensorSpec>,
    /// How many threads [`NativeCall::parallel`] may use, from 1 on.
    pub threads: usize,
}

/// A dtype and extents, outermost axis first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorSpec {
    /// Element type.
    pub dtype: DType,
    /// Extents; any of them may be 0.
    pub shape: Vec<usize>,
}

/// Scratch memory. Its content is arbitrary when a run begins and lost when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Size in bytes.
    pub bytes: usize,
    /// A power of two up to [`Workspace::MOST_ALIGN`].
    pub align: usize,
}

impl Workspace {
    /// The largest alignment that may be asked for: a page.
    pub const MOST_ALIGN: usize = 4096;

    /// None.
    pub const NONE: Self = Self { bytes: 0, align: 1 };
}

/// What one run of a kernel reads and writes. Nothing of it overlaps, except operands with
/// one another.
pub struct NativeCall<'a> {
    /// In order.
    pub operands: &'a [Operand<'a>],
    /// In order.
    pub results: &'a mut [Written<'a>],
    /// As large and as aligned as [`Kernel::workspace`] said.
    pub workspace: &'a mut [u8],
    /// Shares work out over the backend's threads.
    pub parallel: &'a dyn Parallel,
}

/// A tensor that a kernel reads. Little-endian and aligned for its dtype, no more.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a> {
    /// Element type.
    pub dtype: DType,
    /// Extents, outermost axis first.
    pub shape: &'a [usize],
    /// Elements between neighbors of each axis; 0 where a value is repeated.
    pub strides: &'a [usize],
    /// From the first element to the last.
    pub bytes: &'a [u8],
}

/// A tensor that a kernel writes: row-major, little-endian and aligned for its dtype, no
/// more. A `bool` is a byte of 0 or 1.
#[derive(Debug)]
pub struct Written<'a> {
    /// Element type.
    pub dtype: DType,
    /// Extents, outermost axis first.
    pub shape: &'a [usize],
    /// All elements, whose content is arbitrary before the run.
    pub bytes: &'a mut [u8],
}

/// Threads that a kernel may use.
pub trait Parallel: Sync {
    /// How many bodies may run at once, from 1 on.
    fn threads(&self) -> usize;

    /// Calls `body(item, thread)` once for every item below `items`, in any order, and
    /// returns after the last. `thread` is below [`Parallel::threads`] and another one for
    /// bodies that run at the same time. Inside a body everything runs on one thread.
    fn run(&self, items: usize, body: &(dyn Fn(usize, usize) + Sync));
}

/// Why an operation did not give its results.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("operation `{operation}` of plugin `{plugin}`: {message}")]
pub struct NativeError {
    /// What kind of failure.
    pub code: NativeCode,
    /// By id.
    pub plugin: String,
    /// By name, without the plugin's.
    pub operation: String,
    /// What happened, in words.
    pub message: String,
}

/// What kind of failure a [`NativeError`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NativeCode {
    /// These dtypes, sizes or attributes are not for this operation.
    Unsupported,
    /// Values that it cannot compute with.
    Invalid,
    /// There is not enough memory.
    Memory,
    /// A mistake of the operation itself, a panic among them.
    Internal,
}
