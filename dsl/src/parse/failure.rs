//! Why the grammar stopped: from a place and what could have stood there to a
//! diagnostic in a person's words.
//!
//! `habit` knows what people write from habit; where nothing there fits,
//! `expected` says what could have stood here, and `form` how the construct is
//! written. Rule names of the grammar never reach a message.

mod expected;
mod form;
mod habit;
mod toplevel;

use pest::error::{Error, ErrorVariant, InputLocation};

use super::grammar::Rule;
use super::split::{Outline, Part};
use crate::diag::Diagnostic;
pub(super) use toplevel::not_an_item;

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
        ErrorVariant::ParsingError { positives, .. } => positives.as_slice(),
        ErrorVariant::CustomError { .. } => &[],
    };
    // Where a statement breaks off, the fault is in it and not in the one after it.
    let previous = token
        .checked_sub(1)
        .filter(|&previous| previous >= part.first);
    let broken_off = previous.filter(|&previous| {
        (token >= part.end || outline.text(token) == "}" || outline.is_first(token))
            && (outline.wants_more(previous)
                || !expected.contains(&Rule::word) && !expected.contains(&Rule::b_close))
    });
    let fault = broken_off.unwrap_or(token);
    let chunk = outline.chunk(part, fault);
    let stop = Stop {
        outline,
        part,
        token,
        chunk,
        start: chunk.map_or(part.first, |(start, _)| start),
    };
    let diagnostic = habit::explain(&stop, expected)
        .unwrap_or_else(|| expected::explain(&stop, expected, broken_off));
    Failure { diagnostic, chunk }
}

/// Where the grammar stopped.
struct Stop<'a> {
    outline: &'a Outline<'a>,
    part: Part,
    /// The token that could not be read; `part.end` if tokens are missing at the end.
    token: usize,
    /// The statement or member that holds it.
    chunk: Option<(usize, usize)>,
    /// The first token of that statement, or of the item.
    start: usize,
}

impl<'a> Stop<'a> {
    /// The token that could not be read; empty at the end of the item.
    fn here(&self) -> &'a str {
        if self.token < self.part.end {
            self.outline.text(self.token)
        } else {
            ""
        }
    }

    /// The token before it.
    fn before(&self) -> &'a str {
        self.previous().map_or("", |token| self.outline.text(token))
    }

    fn previous(&self) -> Option<usize> {
        self.token
            .checked_sub(1)
            .filter(|&token| token >= self.part.first)
    }

    /// The first word of the statement, member or item.
    fn first(&self) -> &'a str {
        self.outline.text(self.start)
    }

    /// The bracket of the statement around the token, if any.
    fn bracket(&self) -> Option<usize> {
        self.outline.enclosing(self.token, self.start, |_| true)
    }

    /// Whether the statement stands among the members of a module.
    fn is_member(&self) -> bool {
        self.chunk.is_some()
            && matches!(
                self.outline.text(self.part.first),
                "module" | "model" | "memory"
            )
            && self
                .outline
                .enclosing(self.start, self.part.first, |open| {
                    self.outline.text(open) == "{"
                })
                .is_some_and(|open| self.outline.depth(open) == 0)
    }

    /// Whether the statement stands in the body of a method, function or test.
    fn is_statement(&self) -> bool {
        self.chunk.is_some()
            && !self.is_member()
            && !matches!(
                self.outline.text(self.part.first),
                "weights" | "golden" | "snapshot" | "probe" | "intervene"
            )
    }
}
