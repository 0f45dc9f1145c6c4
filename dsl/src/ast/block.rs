//! Blocks of statements: bodies of methods, functions, recurrences, procedures.

use super::{Arg, Expr, Index, Name, StateDecl};
use crate::span::Span;

/// `{ statement … }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// In order.
    pub stmts: Vec<Stmt>,
    /// With its braces.
    pub span: Span,
}

/// A statement with the attributes before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stmt {
    /// `@require(fused)`, …
    pub attributes: Vec<Attribute>,
    /// What it does.
    pub kind: StmtKind,
    /// Without the attributes.
    pub span: Span,
}

/// `@name(args)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: Name,
    /// Its arguments; empty without parentheses.
    pub args: Vec<Arg>,
}

/// The forms of statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StmtKind {
    /// `a = …`, `q, k, v = …`, `s[h, i, j] = …`, `S' = …`, `key'[slots = s] = …`.
    Bind {
        /// One or more places.
        places: Vec<Place>,
        /// The right side.
        value: Expr,
    },
    /// `return …`; several results as a tuple.
    Return(Expr),
    /// `state S: f32[h] = 0`, in a recurrence.
    State(StateDecl),
    /// `recurrence over t { … }`, `recurrence over t reverse { … }`.
    Recurrence {
        /// The axis that is walked.
        over: Name,
        /// From the last element to the first.
        reverse: bool,
        /// One step.
        body: Block,
    },
    /// `for i in n { … }`, `for layer in layers { … }`: unrolled when checked.
    For {
        /// The static loop variable.
        var: Name,
        /// A count, a list, or a stack.
        over: Expr,
        /// Repeated.
        body: Block,
    },
    /// `if c { … } else { … }` with a static condition (in procedures, any).
    If {
        /// The condition.
        cond: Expr,
        /// If it holds.
        then: Block,
        /// If not; `else if` is a block that holds one `if`.
        other: Option<Block>,
    },
    /// `while c limit n { … }`, in procedures.
    While {
        /// Checked before each turn.
        cond: Expr,
        /// The most turns that may be taken.
        limit: Expr,
        /// One turn.
        body: Block,
    },
    /// `emit x`, in procedures.
    Emit(Expr),
    /// An expression for its effect: `append(x, y)`, in procedures.
    Do(Expr),
}

/// A left side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The name that is defined.
    pub name: Name,
    /// `S'`.
    pub next: bool,
    /// `[h, i, j]`, `[t, (h, e)]`, `[slots = s]`; `None` without brackets.
    pub indices: Option<Vec<Index>>,
    /// The whole place.
    pub span: Span,
}
