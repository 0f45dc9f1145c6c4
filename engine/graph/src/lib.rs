//! The graph of a Girih model.
pub mod dtype;
pub use dtype::{DType, UnknownDType};
