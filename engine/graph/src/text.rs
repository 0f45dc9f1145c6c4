//! The text form of a graph: complete, versioned, deterministic, pleasant to read.
//!
//! ```text
//! girih-graph 1
//! axis t time
//! graph decay(x: f32[t, d=16]) -> (y: f32[t, d=16]) {
//!   param rate: f32[d=16]
//!   %0 = const 0.0                       : f32
//!   %1 = expand %0 {axes: d}             : f32[d=16]
//!   state memory = %1                    : f32[d=16]
//!   %2, %3 = recurrence {axis: t}        : f32[d=16], f32[t, d=16] {
//!     carry %4 = memory                  : f32[d=16]
//!     slice %5 = x                       : f32[d=16]
//!     keep %6 = rate                     : f32[d=16]
//!     %7 = mul %4, %6                    : f32[d=16]
//!     %8 = add %7, %5                    : f32[d=16]
//!     return %8, %8
//!   }
//!   update memory = %2
//!   return %3
//! }
//! ```
//!
//! - A value's type follows the colon; its axes are written `name=extent`, or
//!   `name` alone where the extent is the symbol of that name.
//! - `axis` lines come first and tell what types cannot: that an axis ranges
//!   `over` another one, that it is a `time` axis, or that no type mentions it.
//! - Inputs stand in the head; parameters and states are lines; all are used by
//!   name. Other values are numbered in the order in which they are printed.
//! - A `recurrence` lists what it carries, slices and keeps, each with the value
//!   outside and the parameter inside; its `return` gives the next carried values,
//!   then the outputs. A `route` has one `branch` per branch. A `call` has a `body` and a
//!   `gradient` where it has them.
//! - `update` gives a state its next value. `check` lines are conditions on sizes.
//! - Numbers are the shortest that read back exactly; `inf`, `-inf` and `nan` are
//!   numbers. Names that are not plain stand in quotes (see [`crate::name`]).
//! - `#` begins a comment. Line breaks mean nothing after the first line.
//!
//! What is printed of a verified graph reads back as [`canonical`] of it. Origins
//! are not printed.

mod canonical;
mod error;
mod mentions;
mod parse;
mod print;
mod scan;

pub use canonical::canonical;
pub use error::{TextCause, TextError};
pub use parse::parse;
pub use print::{node_key, print, snapshot};

/// The version in the first line.
pub const VERSION: u32 = 1;

/// The first word of the first line.
const MAGIC: &str = "girih-graph";

#[cfg(test)]
mod tests;
