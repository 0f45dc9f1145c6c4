//! The graph of a Girih model: named axes, symbolic extents, a small closed list
//! of primitives.
//!
//! ```
//! use girih_graph::{Builder, DType, Extent, Op, ValueType};
//!
//! let mut b = Builder::new("gated");
//! let t = b.axes.add("t", Extent::symbol("t"), None, false);
//! let d = b.axes.add("d", Extent::from(16), None, false);
//! let e = b.axes.add("e", Extent::from(32), None, false);
//! let x = b.value(Op::Input("x".into(), ValueType::new(DType::F32, vec![t, d])), &[])?;
//! let w = b.value(Op::Param("w".into(), ValueType::new(DType::F32, vec![d, e])), &[])?;
//! let y = b.value(Op::Contract(vec![d]), &[x, w])?;
//! assert_eq!(b.axes.show(b.ty(y)), "f32[t, e=32]");
//! # Ok::<(), girih_graph::OpError>(())
//! ```

pub mod axis;
pub mod build;
pub mod cost;
mod dead;
mod depend;
pub mod dtype;
pub mod extent;
pub mod graph;
mod inline;
pub mod name;
pub mod op;
pub mod patch;
pub mod promise;
mod serial;
pub mod stream;
pub mod text;
pub mod verify;
pub mod vjp;
mod with_real;
mod with_size;

pub use axis::{Axis, AxisId, AxisTable, ValueType};
pub use build::Builder;
pub use dtype::{DType, UnknownDType};
pub use extent::{Extent, ExtentError};
pub use graph::{Check, Definition, Graph, Node, NodeId, Origin, Region, ValueId};
pub use op::{
    Attribute, Binary, Call, CallAs, Combine, Distribution, Literal, Op, OpError, Outside,
    Recurrence, Route, Unary,
};
pub use patch::{Patch, PatchError, Patched, RegionPath, Term};
pub use promise::{Promise, Promised, Promises, Way};
pub use verify::{VerifyError, verify};
