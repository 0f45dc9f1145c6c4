//! The Girih language: text to syntax tree to typed model to graph.

pub mod around;
pub mod ast;
pub mod blocks;
pub mod diag;
pub mod elaborate;
pub mod format;
mod library;
pub mod model;
pub mod parse;
pub mod procedure;
pub mod program;
pub mod source;
pub mod span;
