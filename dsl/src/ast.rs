//! The syntax tree: what was written, before any name is looked up.
//!
//! One type a construct, every node with its span. Two trees are equal when the
//! same thing was written, wherever it stood: `parse(format(tree)) == tree`.
//! Comments are kept beside the items, for the formatter.

pub mod block;
pub mod expr;
pub mod item;
pub mod run;
pub mod text;

pub use block::{Attribute, Block, Place, Stmt, StmtKind};
pub use expr::{Arg, BinaryOp, Expr, ExprKind, Index, Reducer, UnaryOp};
pub use item::{
    AxisDecl, Branch, ExpertsDecl, FnDecl, Item, ItemKind, Member, MemberKind, Method, Module,
    ModuleKind, ParamDecl, Parameter, StackDecl, StateDecl, Storage, SubDecl, Type, TypeKind, Use,
};
pub use run::{
    GoldenBlock, GoldenEntry, GoldenRole, LayoutItem, ProbeBlock, ProbeStmt, Procedure, Require,
    Setting, Snapshot, TestBlock, TestStmt, TrainBlock, TrainItem, WeightEntry, WeightsBlock,
};
pub use text::print_syntax;

use crate::span::Span;

/// One source file.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct File {
    /// `girih 0.1`, if written: the language edition the file was written for.
    pub edition: Option<Name>,
    /// The items in order. An item that could not be parsed is absent and reported.
    pub items: Vec<Item>,
    /// What the absent items would have declared, as far as their names can be read: an
    /// unknown name that stands here is not another mistake.
    pub broken: Vec<Name>,
    /// Every comment, in order; `##` comments too.
    pub comments: Vec<Comment>,
}

/// A comment with its `#` or `##`, without the line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// As written.
    pub text: String,
    /// Where.
    pub span: Span,
    /// Whether nothing but white space stands before it on its line.
    pub own_line: bool,
}

/// A word and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The word.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// A dotted path: `attn.c_attn`, `h[3].out`, `layers.{i}.w`, `h[*].a`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Never empty.
    pub segments: Vec<Segment>,
    /// The whole path.
    pub span: Span,
}

/// One part of a [`Path`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// A word or a decimal number: `attn`, `0`.
    Name(Name),
    /// `{i}`: a wildcard that stands for one segment, the same everywhere in an entry.
    Wild(Name),
    /// `[expr]` or `[axis = expr]`, several separated by commas.
    Index(Vec<Index>),
    /// `*`: any one segment; `[*]` reads as `.*`.
    Star(Span),
}

/// A text literal without its quotes, escapes resolved (`\"`, `\\`, `\n`, `\t`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The text.
    pub text: String,
    /// Where, quotes included.
    pub span: Span,
}
