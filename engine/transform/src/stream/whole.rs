//! Why a graph needs its sequence as a whole.

use girih_graph::{OpError, Origin};

/// A value that cannot be computed position after position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Whole {
    /// What needs all positions.
    pub cause: Cause,
    /// Where in the model it comes from, if known.
    pub origin: Option<Box<Origin>>,
}

/// What needs all positions of the streamed axis.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// No axis of the graph can be streamed under this name.
    #[error("no input has an axis `{0}` whose size is free")]
    NoAxis(String),
    /// Something combines positions that nothing keeps before the reader.
    #[error("`{op}` over `{index}` reads positions of `{axis}` that are not there yet")]
    Future {
        /// The primitive.
        op: &'static str,
        /// The index that runs into the future.
        index: String,
        /// The streamed axis.
        axis: String,
        /// The reader's own index, if there is one.
        row: Option<String>,
    },
    /// A shifted read lies ahead, nobody knows how far.
    #[error("`{index}` reads {by} positions ahead on `{axis}`")]
    Ahead {
        /// The reader's index.
        index: String,
        /// How far, as a formula.
        by: String,
        /// The streamed axis.
        axis: String,
    },
    /// Something walks from the end.
    #[error("`{op}` walks `{axis}` from the end")]
    Reverse {
        /// The primitive.
        op: &'static str,
        /// The streamed axis.
        axis: String,
    },
    /// The length is read.
    #[error("the length of `{0}` is read, which a stream does not know")]
    Length(String),
    /// Positions are put in another order or collected by value.
    #[error("`{op}` along `{axis}` needs all positions")]
    Sorted {
        /// The primitive.
        op: &'static str,
        /// The streamed axis.
        axis: String,
    },
    /// Positions are joined or cut into others.
    #[error("`{op}` makes axis `{found}` of `{axis}`, whose positions do not come one by one")]
    Regrouped {
        /// The primitive.
        op: &'static str,
        /// The new axis.
        found: String,
        /// The streamed axis.
        axis: String,
    },
    /// One position is read by everybody.
    #[error("one fixed position of `{0}` is read")]
    Fixed(String),
    /// Positions that are read are computed, and may lie ahead.
    #[error("positions of `{axis}` are read at computed places that may lie ahead")]
    Computed {
        /// The streamed axis.
        axis: String,
    },
    /// Something stored has as many positions as the sequence.
    #[error("`{name}` has one position for each of `{axis}`")]
    Stored {
        /// Parameter, state or table.
        name: String,
        /// The streamed axis.
        axis: String,
    },
    /// An input or a result is about pairs of positions.
    #[error("`{name}` has the streamed axis twice")]
    Pairs {
        /// Input or result.
        name: String,
    },
    /// What is known only at the end is read at every position.
    #[error("`{op}` reads at every position of `{axis}` what is known after the last one")]
    AtEnd {
        /// The primitive that reads it.
        op: &'static str,
        /// The streamed axis.
        axis: String,
    },
    /// A loop or branch mixes positions.
    #[error("`{op}` mixes positions of `{axis}` inside")]
    Inside {
        /// The primitive inside.
        op: &'static str,
        /// The streamed axis.
        axis: String,
    },
    /// An operation of a plugin works on all positions, and nothing says what it means.
    #[error("`{callee}` works on all positions of `{axis}` at once, and its plugin gives no body")]
    Native {
        /// The operation's full name.
        callee: String,
        /// The streamed axis.
        axis: String,
    },
    /// A node of the step does not fit.
    #[error("the step cannot be built: {0}")]
    Op(#[from] OpError),
}

impl Whole {
    /// What to write instead, where something is known.
    pub fn mend(&self) -> Option<String> {
        Some(match &self.cause {
            Cause::Future {
                index,
                row: Some(row),
                ..
            } => format!("restrict it to what is there: `where {index} <= {row}`"),
            Cause::Ahead { .. } => {
                "read behind, `x[t = t - k]`, or a fixed number ahead".to_owned()
            }
            Cause::Reverse { axis, .. } => {
                format!("walk forward: `recurrence over {axis} {{ … }}`")
            }
            Cause::AtEnd { axis, .. } => {
                format!(
                    "read what is known at each position: a recurrence over `{axis}`, or `cumsum`"
                )
            }
            Cause::Computed { .. } => "read at `min(position, index)`".to_owned(),
            Cause::Native { .. } => "say in the plugin's text what it computes: a body".to_owned(),
            _ => return None,
        })
    }
}

impl From<Cause> for Whole {
    fn from(cause: Cause) -> Self {
        Self {
            cause,
            origin: None,
        }
    }
}

impl From<OpError> for Whole {
    fn from(error: OpError) -> Self {
        Cause::Op(error).into()
    }
}
