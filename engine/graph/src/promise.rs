//! What a model's author promises of how a statement is computed.
//!
//! A promise changes nothing that is computed: it stands beside the nodes of its
//! statement, in their [`crate::Origin`]. A planner keeps it or says why it cannot.

use std::fmt;
use std::sync::Arc;

/// The attributes before one statement.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Promises {
    /// Tells statements apart, also those of one place in a source that was elaborated several times.
    pub statement: u32,
    /// In order.
    pub list: Vec<Promise>,
}

/// One promise with its place in the statement's file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Promise {
    /// What is promised.
    pub what: Promised,
    /// First byte of the attribute.
    pub start: u32,
    /// One past its last byte.
    pub end: u32,
}

/// Kinds of promises.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Promised {
    /// `@require(fused)`: one launch computes all of the statement.
    Fused,
    /// `@require(block_sparse(j, 64))`: what the statement's domain hides for whole blocks of
    /// an axis is neither read nor computed.
    BlockSparse {
        /// Name of the axis.
        axis: Arc<str>,
        /// Positions of a block.
        size: u32,
    },
    /// `@algorithm(chunked, chunk = 64)`: how a loop is computed.
    Algorithm {
        /// Which way.
        way: Way,
        /// Steps of a chunk or of a block; the planner chooses if absent.
        chunk: Option<u32>,
    },
}

/// Ways of computing a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// The faster one.
    Auto,
    /// Step by step.
    Recurrent,
    /// Many steps at once.
    Chunked,
    /// Many runs of steps side by side.
    Associative,
}

impl Way {
    /// Every one.
    pub const ALL: &[Self] = &[
        Self::Auto,
        Self::Recurrent,
        Self::Chunked,
        Self::Associative,
    ];

    /// As written.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Recurrent => "recurrent",
            Self::Chunked => "chunked",
            Self::Associative => "associative",
        }
    }
}

impl fmt::Display for Promised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fused => f.write_str("@require(fused)"),
            Self::BlockSparse { axis, size } => {
                write!(f, "@require(block_sparse({axis}, {size}))")
            }
            Self::Algorithm { way, chunk: None } => write!(f, "@algorithm({})", way.word()),
            Self::Algorithm {
                way,
                chunk: Some(chunk),
            } => write!(f, "@algorithm({}, chunk = {chunk})", way.word()),
        }
    }
}
