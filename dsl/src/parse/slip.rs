//! What people write from habit, and what to write instead: slips that the
//! grammar accepts and the builder finds. One function for each, each with place,
//! cause and remedy.

mod index;
mod operator;
mod reducer;
mod statement;

pub(super) use index::{Strong, positional_index, shape_call, slice, transposed};
pub(super) use operator::{
    comprehension, counted_by_in, equals_in_condition, equals_in_record, foreign_assignment,
    foreign_operator, no_operand, not_needs_parentheses, ternary,
};
pub(super) use reducer::{reducer_as_function, two_bare_reducers, two_side_by_side};
pub(super) use statement::{
    foreign_declaration, foreign_name, foreign_statement, left_side, no_effect, said_twice,
    two_on_a_line, typed_equation, typed_let,
};

use super::code;
use crate::diag::Diagnostic;
use crate::span::Span;

pub(super) fn too_large(span: Span, size: usize, limit: usize) -> Diagnostic {
    Diagnostic::error(
        code::LIMIT,
        format!("the file has {size} bytes; the most are {limit}"),
    )
    .at(span, "")
    .help("divide it, and write `use \"part.girih\"`")
}

pub(super) fn edition(span: Span) -> Diagnostic {
    Diagnostic::error(
        code::UNEXPECTED,
        "`girih` is followed by the edition of the language",
    )
    .at(span, "no number follows")
    .help("write `girih 0.1`")
}

pub(super) fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error(code::LIMIT, "the expression has too many levels")
        .at(span, "")
        .note(format!(
            "an expression may have {} levels; each operator of a chain is one",
            super::build::MAX_TREE
        ))
        .help("give parts of it names of their own")
}
