//! Why a command does not do what it was asked to, and the exit status that says so.

use std::io;
use std::path::PathBuf;

use girih_runtime::plugin::PluginError;
use girih_runtime::pull::PullError;
use girih_runtime::weights::WeightError;

/// What a command found when it could do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What was asked for is there, what was checked holds. Status 0.
    Holds,
    /// What was checked does not hold; the command has said why. Status 1.
    DoesNotHold,
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The file has mistakes. The text is complete: diagnostics, then their number.
    #[error("{0}")]
    Mistakes(String),
    /// The command was called in a way that means nothing.
    #[error("{0}")]
    Misuse(String),
    /// A file that was named on the command line cannot be read.
    #[error("cannot read `{}`: {problem}", path.display())]
    Read {
        /// As given.
        path: PathBuf,
        /// What is the matter with it.
        problem: String,
    },
    /// A file cannot be written.
    #[error("cannot write `{}`: {source}", path.display())]
    Write {
        /// As given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The terminal, or whoever reads the output, is gone.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    /// A checkpoint cannot be had.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// A plugin cannot be used.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// Stored weights cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// What was asked for cannot be done; the text says why, in the user's words.
    #[error("{0}")]
    Refused(String),
}

impl Failure {
    /// The status with which the command ends: 2 if it was called wrongly, else 1.
    pub fn status(&self) -> u8 {
        match self {
            Self::Misuse(_) | Self::Read { .. } => 2,
            Self::Mistakes(_)
            | Self::Write { .. }
            | Self::Output(_)
            | Self::Pull(_)
            | Self::Plugin(_)
            | Self::Weights(_)
            | Self::Refused(_) => 1,
        }
    }

    /// Whether the reader of our output closed it, as `head` does: no failure of ours.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
