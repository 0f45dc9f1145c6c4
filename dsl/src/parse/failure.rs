//! Why the grammar stopped: from a place and what could have stood there to a
//! diagnostic in a person's words.

use pest::error::{Error, ErrorVariant, InputLocation};

use super::code;
use super::grammar::Rule;
use super::split::{Outline, Part};
use crate::diag::Diagnostic;

/// A mistake, and the tokens that are left out when the item is tried again.
pub(super) struct Failure {
    pub(super) diagnostic: Diagnostic,
    /// The statement or member at fault; `None` if it is the head of the item.
    pub(super) chunk: Option<(usize, usize)>,
}

/// Where the grammar stopped, in bytes.
pub(super) fn place(error: &Error<Rule>) -> usize {
    match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
    }
}

/// Explains why an item could not be read beyond the byte `at` of the file.
pub(super) fn explain(
    outline: &Outline<'_>,
    part: Part,
    at: usize,
    error: &Error<Rule>,
) -> Failure {
    let token = (part.first..part.end)
        .find(|&token| outline.token(token).is_some_and(|found| found.end > at))
        .unwrap_or(part.end);
    let expected = match &error.variant {
        ErrorVariant::ParsingError { positives, .. } => positives.clone(),
        ErrorVariant::CustomError { .. } => Vec::new(),
    };
    let diagnostic = Diagnostic::error(
        code::UNEXPECTED,
        format!("unexpected `{}` {expected:?}", outline.text(token)),
    )
    .at(outline.span(token), "");
    Failure {
        diagnostic,
        chunk: outline.chunk(part, token),
    }
}

/// Something at the top level that is no item.
pub(super) fn not_an_item(outline: &Outline<'_>, first: usize, _end: usize) -> Diagnostic {
    Diagnostic::error(
        code::ITEM,
        format!("`{}` does not begin a declaration", outline.text(first)),
    )
    .at(outline.span(first), "")
}
