//! Why a session cannot go on.

use std::path::PathBuf;

use crate::backend::RunError;
use crate::weights::WeightError;

/// Why a session cannot do what is asked. It is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// A run fails.
    #[error(transparent)]
    Run(#[from] RunError),
    /// More would be carried than the caller allows.
    #[error(
        "{needed} bytes would be carried at position {position} where {limit} are allowed; the session is still at its last position"
    )]
    Limit {
        /// After the step.
        position: u64,
        /// Bytes there.
        needed: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// An input with positions is not given.
    #[error("input `{name}` is not given; every step takes its next positions")]
    Missing {
        /// Which input.
        name: String,
    },
    /// Inputs have different numbers of new positions.
    #[error("`{first}` has {count} new positions, `{second}` has {other}")]
    Disagree {
        /// One input.
        first: String,
        /// Its positions.
        count: usize,
        /// The other one.
        second: String,
        /// Its positions.
        other: usize,
    },
    /// The first positions read one another, and do not come together.
    #[error(
        "the first {needed} positions read one another: they come in one piece, and there is no way back between them"
    )]
    Together {
        /// How many.
        needed: u64,
    },
    /// Sessions of several models step together.
    #[error("sessions that step together are of one model")]
    Models,
    /// There is no new position.
    #[error("a step takes at least one new position")]
    Nothing,
    /// A position that has not been reached.
    #[error("position {position} lies ahead: the session has reached {reached}")]
    Ahead {
        /// Asked for.
        position: u64,
        /// Where the session is.
        reached: u64,
    },
    /// A position that is not held any more.
    #[error("`{carry}` does not hold position {position} any more; marked positions are {marks:?}")]
    Lost {
        /// Asked for.
        position: u64,
        /// What is not there.
        carry: String,
        /// Where one can go.
        marks: Vec<u64>,
    },
    /// Something that a session should go on from is not what it carries.
    #[error("`{carry}` {problem}")]
    Handed {
        /// Which.
        carry: String,
        /// In words.
        problem: String,
    },
    /// It is not known which weights a session to be saved belongs to.
    #[error("the weights were loaded elsewhere: a saved session could not say which they are")]
    Shared,
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] WeightError),
    /// A file that is no saved session, or of another model or version.
    #[error("`{}` {problem}", file.display())]
    Saved {
        /// Which file.
        file: PathBuf,
        /// In words.
        problem: String,
    },
}

impl From<crate::tensor::TensorError> for SessionError {
    fn from(error: crate::tensor::TensorError) -> Self {
        Self::Run(error.into())
    }
}
