//! Why a text is not a graph.

use crate::dtype::DType;
use crate::op::OpError;
use crate::verify::VerifyError;

/// A mistake in graph text, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {cause}")]
pub struct TextError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong there.
    #[source]
    pub cause: TextCause,
}

/// What is wrong in graph text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextCause {
    /// The first line is not ours.
    #[error("the first line must be `girih-graph 1`, not `{0}`")]
    Version(String),
    /// Something else should stand here.
    #[error("expected {wanted}, found {found}")]
    Expected {
        /// In words.
        wanted: String,
        /// As written.
        found: String,
    },
    /// A quoted name does not end, or has an unknown escape.
    #[error("this quoted text {0}")]
    Quote(&'static str),
    /// A number does not fit.
    #[error("`{0}` is too large")]
    Number(String),
    /// A size has too many parts.
    #[error("this size has more than {0} parts")]
    ExtentParts(usize),
    /// Regions, or functions in sizes, stand in one another too deep.
    #[error("nesting is deeper than {0}")]
    Depth(usize),
    /// No primitive has this name.
    #[error("`{0}` is no primitive")]
    UnknownOp(String),
    /// No dtype has this name.
    #[error("`{0}` is no dtype")]
    UnknownDType(String),
    /// A value is used before it is defined, or outside its region.
    #[error("`{0}` is not defined before this in this region")]
    UnknownValue(String),
    /// An axis is used that no type and no line has mentioned.
    #[error("axis `{0}` is not mentioned before this")]
    UnknownAxis(String),
    /// An update names no state.
    #[error("there is no state `{0}`")]
    UnknownState(String),
    /// A name is given twice.
    #[error("{what} `{name}` is given twice")]
    Twice {
        /// value, axis, result, …
        what: &'static str,
        /// Which one.
        name: String,
    },
    /// An axis has another extent here.
    #[error("axis `{axis}` has extent {here} here and {before} before")]
    AxisExtent {
        /// Which one.
        axis: String,
        /// As written here.
        here: String,
        /// As written before.
        before: String,
    },
    /// An attribute is missing.
    #[error("`{op}` needs the attribute `{attribute}`")]
    MissingAttribute {
        /// Which primitive.
        op: String,
        /// Which attribute.
        attribute: &'static str,
    },
    /// An attribute that the primitive does not have.
    #[error("`{op}` has no attribute `{attribute}`")]
    SurplusAttribute {
        /// Which primitive.
        op: String,
        /// Which attribute.
        attribute: String,
    },
    /// A constant is no number of its dtype.
    #[error("`{number}` is no `{dtype}`")]
    Literal {
        /// As written.
        number: String,
        /// Declared.
        dtype: DType,
    },
    /// A statement that only the whole graph may have stands in a region.
    #[error("`{0}` may stand only outside of regions")]
    OnlyRoot(&'static str),
    /// The primitive refuses its operands.
    #[error(transparent)]
    Op(#[from] OpError),
    /// The type that follows from the operands is another one.
    #[error("this is `{inferred}`, not `{written}`")]
    Type {
        /// From the operands.
        inferred: String,
        /// In the text.
        written: String,
    },
    /// The number of types is not the number of results.
    #[error("`{op}` has {inferred} results, not {written}")]
    Results {
        /// Which primitive.
        op: String,
        /// From the operands.
        inferred: usize,
        /// In the text.
        written: usize,
    },
    /// The graph reads well and breaks another guarantee.
    #[error(transparent)]
    Graph(#[from] Box<VerifyError>),
}
