//! Expressions.

use super::{Name, Setting, Text};
use crate::span::Span;

/// An expression and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// The whole expression.
    pub span: Span,
}

/// The forms of expressions. Parentheses that only group leave no trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExprKind {
    /// `12`, `1_000`.
    Int(i64),
    /// `0.5`, `1e-3`: the digits as written, which parse as an `f64`.
    Float(String),
    /// `"text"`.
    Text(Text),
    /// `true`, `false`.
    Bool(bool),
    /// A name: value, axis, static parameter, module, function.
    Name(String),
    /// `S'`: the next value of a state.
    Next(String),
    /// `-x`, `not x`.
    Unary(UnaryOp, Box<Expr>),
    /// `x + y`, …
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `sum(e) body`: a prefix operator over axes. The body is a product chain:
    /// it extends over `*` and `/` and stops at `+`, `-` and comparisons.
    Reduce {
        /// Which.
        reducer: Reducer,
        /// Where the reducer's word stands.
        word: Span,
        /// Axes and options as written in the parentheses.
        args: Vec<Arg>,
        /// What is reduced.
        body: Box<Expr>,
    },
    /// `value where domain`, `value where domain else other`.
    Where {
        /// The governed expression.
        value: Box<Expr>,
        /// A truth value over the indices.
        domain: Box<Expr>,
        /// What stands outside the domain; 0 when absent.
        other: Option<Box<Expr>>,
    },
    /// `if c then a else b`: chosen when the file is checked if `c` is static,
    /// elementwise otherwise.
    If {
        /// Condition.
        cond: Box<Expr>,
        /// Value where it holds.
        then: Box<Expr>,
        /// Value where it does not.
        other: Box<Expr>,
    },
    /// `f(x, n = 3)`.
    Call {
        /// What is called.
        callee: Box<Expr>,
        /// Arguments in order.
        args: Vec<Arg>,
    },
    /// `x[t = i - 1, h = 0]`, `list[3]`.
    Index {
        /// What is indexed.
        base: Box<Expr>,
        /// At least one.
        items: Vec<Index>,
    },
    /// `x.name`, `mlp.0`.
    Field {
        /// The record, instance or tuple.
        base: Box<Expr>,
        /// A word or a decimal number.
        name: Name,
    },
    /// `{ q: (h, e), k: n }`.
    Record(Vec<(Name, Expr)>),
    /// `(h, e)`: two or more.
    Tuple(Vec<Expr>),
    /// `[1, 2, 3]`.
    List(Vec<Expr>),
    /// `d -> e`, only as an argument.
    Arrow(Box<Expr>, Box<Expr>),
    /// `route x to experts { setting = expr … }`.
    Route {
        /// The items to be routed; several as a tuple.
        items: Box<Expr>,
        /// The name of an `experts` declaration.
        experts: Name,
        /// `score`, `select`, `weight`, … as ordinary expressions.
        settings: Vec<Setting>,
    },
}

/// One argument: `x`, `n = 3`, `d -> e`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg {
    /// The parameter's name, if written.
    pub name: Option<Name>,
    /// The value.
    pub value: Expr,
}

/// One entry between index brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Index {
    /// `t = expr`.
    Bind(Name, Expr),
    /// `expr`: a list position, or an axis on the left side of an equation.
    At(Expr),
    /// `*`, in probes.
    All(Span),
}

/// Operators with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    /// `-x`.
    Neg,
    /// `not x`.
    Not,
}

/// Operators with two operands, loosest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    /// `or`.
    Or,
    /// `and`.
    And,
    /// `==`.
    Eq,
    /// `!=`.
    Ne,
    /// `<`.
    Lt,
    /// `<=`.
    Le,
    /// `>`.
    Gt,
    /// `>=`.
    Ge,
    /// `in`: membership of a static list.
    In,
    /// `+`.
    Add,
    /// `-`.
    Sub,
    /// `*`.
    Mul,
    /// `/`: true division of reals; exact division of static sizes.
    Div,
    /// `//`: floor division.
    FloorDiv,
    /// `%`: remainder with the sign of the divisor.
    Rem,
    /// `^`, right-associative, binds tighter than unary minus.
    Pow,
}

macro_rules! reducers {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)*) => {
        /// Prefix operators over axes. Their words are reserved in expressions.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reducer { $($(#[$doc])* $variant,)* }

        impl Reducer {
            /// Every reducer, in the order of the reference.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The reserved word.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

reducers! {
    /// Σ over the axes.
    Sum = "sum",
    /// Arithmetic mean over the domain.
    Mean = "mean",
    /// Largest; `else` where the domain may be empty.
    Max = "max",
    /// Smallest; `else` where the domain may be empty.
    Min = "min",
    /// Π over the axes.
    Prod = "prod",
    /// Whether some element holds.
    Any = "any",
    /// Whether every element holds.
    All = "all",
    /// How many elements hold.
    Count = "count",
    /// log Σ exp, computed safely.
    LogSumExp = "logsumexp",
    /// Position of the largest, ties to the lower index.
    ArgMax = "argmax",
    /// Position of the smallest, ties to the lower index.
    ArgMin = "argmin",
    /// exp over the sum of exp; keeps the axis; an empty domain gives zeros.
    Softmax = "softmax",
    /// log of the softmax; keeps the axis.
    LogSoftmax = "log_softmax",
    /// Running sum; keeps the axis. `exclusive` leaves out the element itself, `reverse` runs from the end.
    CumSum = "cumsum",
    /// Running product; keeps the axis.
    CumProd = "cumprod",
    /// Running maximum; keeps the axis.
    CumMax = "cummax",
    /// Running minimum; keeps the axis.
    CumMin = "cummin",
    /// `topk(k, j) x`: whether the element is among the `k` largest along `j`; ties to the lower index.
    TopK = "topk",
    /// `top(j -> r) x`: indices into `j` of the elements in descending order, along the new axis `r`.
    Top = "top",
    /// `bottom(j -> r) x`: the same in ascending order.
    Bottom = "bottom",
}
