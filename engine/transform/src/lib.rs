//! Graph to graph, computing something else: gradients, streams.
//!
//! A transform takes a graph and gives another one; nothing is changed in
//! place, and no transform knows the language or a backend, so that they compose
//! in any order that makes sense.

mod grad;
mod nearest;
mod stream;

pub use grad::{GradError, Objective, grad};
pub use stream::{Cause, Whole, stream, time_axis};
