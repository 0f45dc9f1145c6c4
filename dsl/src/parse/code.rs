//! The codes of mistakes in syntax.

use crate::diag::Code;

/// Something else should stand here.
pub(super) const UNEXPECTED: Code = Code::new(101);
/// A bracket that nothing closes.
pub(super) const UNCLOSED: Code = Code::new(102);
/// A closing bracket that closes nothing, or another kind.
pub(super) const UNMATCHED: Code = Code::new(103);
/// A text without its closing quote.
pub(super) const OPEN_TEXT: Code = Code::new(104);
/// A character that the language does not have.
pub(super) const CHARACTER: Code = Code::new(105);
/// A number that is none.
pub(super) const NUMBER: Code = Code::new(106);
/// A text of another language, or an escape that is none.
pub(super) const TEXT: Code = Code::new(107);
/// Nested too deeply, or too long.
pub(super) const LIMIT: Code = Code::new(108);
/// An operator of another language.
pub(super) const OPERATOR: Code = Code::new(110);
/// `=` where `==` was meant, or the other way round, or `:` for `=`.
pub(super) const EQUALS: Code = Code::new(111);
/// A comma or an operator is missing.
pub(super) const MISSING: Code = Code::new(112);
/// Elements chosen by position.
pub(super) const POSITION: Code = Code::new(113);
/// An operation on shapes, which index equations replace.
pub(super) const SHAPES: Code = Code::new(114);
/// A reducer called like a function.
pub(super) const REDUCER: Code = Code::new(115);
/// A keyword of another language.
pub(super) const KEYWORD: Code = Code::new(116);
/// A choice or a list written as in Python or C.
pub(super) const CHOICE: Code = Code::new(117);
/// A constant of another language.
pub(super) const CONSTANT: Code = Code::new(118);
/// A comment of another language.
pub(super) const COMMENT: Code = Code::new(119);
/// A semicolon.
pub(super) const SEMICOLON: Code = Code::new(120);
/// A statement that does nothing.
pub(super) const NO_EFFECT: Code = Code::new(121);
/// A `where` that could govern two reducers.
pub(super) const TWO_REDUCERS: Code = Code::new(122);
/// Parentheses are needed.
pub(super) const PARENTHESES: Code = Code::new(123);
/// A declaration in a place where there is none.
pub(super) const PLACE: Code = Code::new(124);
/// Said twice.
pub(super) const TWICE: Code = Code::new(125);
/// A reserved word as a name.
pub(super) const RESERVED: Code = Code::new(126);
/// A block by colon and indentation.
pub(super) const BRACES: Code = Code::new(127);
/// A type where there is none.
pub(super) const TYPED: Code = Code::new(128);
/// Not an item.
pub(super) const ITEM: Code = Code::new(129);
