//! Why a graph has no such gradient.

use girih_graph::{DType, OpError};

/// Why [`grad`](crate::grad) gives no graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GradError {
    /// The objective names nothing.
    #[error("the objective names no result")]
    NoObjective,
    /// The objective names a result that is not there.
    #[error("the graph has no result `{name}`{}", hint(.nearest.as_deref()))]
    UnknownResult {
        /// As given.
        name: String,
        /// A result with a similar name.
        nearest: Option<String>,
    },
    /// A gradient is wanted by something that is not there.
    #[error("the graph has no input, parameter or state `{name}`{}", hint(.nearest.as_deref()))]
    UnknownLeaf {
        /// As given.
        name: String,
        /// One with a similar name.
        nearest: Option<String>,
    },
    /// Integers and truth values have no derivative.
    #[error("`{name}` has no gradient: its values are `{dtype}`, not real numbers")]
    NotReal {
        /// Of the result, input, parameter or state.
        name: String,
        /// Its dtype.
        dtype: DType,
    },
    /// An objective is one number.
    #[error(
        "the objective `{name}` is `{ty}`, not one number: give cotangents for it, or reduce it"
    )]
    NotScalar {
        /// Of the result.
        name: String,
        /// Its type, as printed.
        ty: String,
    },
    /// The graph has another input where the cotangents should come in.
    #[error("the graph already has an input `{name}` of another type")]
    Taken {
        /// Of the input.
        name: String,
    },
    /// A node cannot be differentiated: in a graph that verifies, only an operation of a plugin
    /// without gradient and body.
    #[error("the graph cannot be differentiated: {0}")]
    Rule(#[from] OpError),
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}
