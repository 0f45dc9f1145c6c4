//! The recognizer that `grammar.pest` describes.

use pest_derive::Parser;

/// Recognizes the rules of the grammar.
#[derive(Parser)]
#[grammar = "grammar.pest"]
pub(super) struct Girih;
