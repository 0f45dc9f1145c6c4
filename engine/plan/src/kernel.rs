//! Kernels: what one generated function computes.
//!
//! A kernel is a loop nest around straight-line steps. Its loops are numbered,
//! not named by axes, so that equal kernels of different layers are equal and
//! are compiled once. Loops come in three kinds, outermost first: *outer*
//! loops, whose points are independent; at most one *walk*, whose points are
//! visited in order; at most one *inner* loop, along which a backend
//! vectorizes. Reductions run over the walk or over the inner loop:
//!
//! ```text
//! for each outer point
//!   (for each block of the inner loop, if nothing reduces over it)
//!     for each position of the walk: the steps that vary along it
//!     the other steps, in passes over the inner loop between its reductions
//! ```
//!
//! Guarantees of whoever makes a kernel: operands stand before the steps that use
//! them; what is reduced over the walk is not used by a step that varies along it;
//! `walked` and `inner` of a step are exactly those of its operands, or of its
//! access, less the loop it reduces over; a store varies along the loops its step
//! varies along.
//!
//! Memory is read and written through an [`Access`]: an address that is affine
//! in the loops. Sizes are [`Extent`]s, so that a longer sequence needs no
//! other kernel.

mod check;

pub(crate) use check::varies;

use girih_graph::op::{Binary, Combine, Literal, Unary};
use girih_graph::{DType, Extent};
use serde::{Deserialize, Serialize};

/// One generated function.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Kernel {
    /// Outer loops first, then the walk, then the inner loop.
    pub loops: Vec<Loop>,
    /// What is computed, operands first.
    pub steps: Vec<Step>,
    /// What is written.
    pub stores: Vec<Store>,
    /// dtype of each buffer that an [`Access`] may name.
    pub buffers: Vec<DType>,
}

/// How many positions a loop has, and how they are visited.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Loop {
    /// Positions.
    pub extent: Extent,
    /// How they are visited.
    pub kind: LoopKind,
}

/// How the positions of a loop are visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoopKind {
    /// Any order, any thread.
    Outer,
    /// In order, by one thread.
    Walk,
    /// In vectors.
    Inner,
}

/// Position of a loop in [`Kernel::loops`].
pub type LoopId = usize;

/// Position of a step in [`Kernel::steps`].
pub type StepId = usize;

/// One value per point of the loops it varies along.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Step {
    /// How it is computed.
    pub op: StepOp,
    /// Its element type; rounding happens in every step.
    pub dtype: DType,
    /// Whether it has a value of its own at each position of the walk.
    pub walked: bool,
    /// Whether it has a value of its own at each position of the inner loop.
    pub inner: bool,
}

/// How a step is computed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOp {
    /// An element of a buffer.
    Load(Access),
    /// A position, `i64`.
    Position(Affine),
    /// A constant.
    Constant(Constant),
    /// A size, `i64`.
    Size(Extent),
    /// A function of one step.
    Unary(Unary, StepId),
    /// A function of two steps.
    Binary(Binary, StepId, StepId),
    /// The second where the first, else the third.
    Select(StepId, StepId, StepId),
    /// Another dtype, as the primitive `cast`.
    Cast(StepId),
    /// All positions of the walk or of the inner loop combined, in an order that
    /// depends on nothing but the loop's extent; an empty loop gives the identity.
    Reduce(Combine, StepId, LoopKind),
}

/// A constant whose equality is that of its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Constant {
    /// Bits of an `f64`; rounded to the step's dtype.
    Real(#[serde(with = "crate::region::text::bits")] u64),
    /// An integer.
    Int(i64),
    /// A truth value.
    Bool(bool),
}

impl From<Literal> for Constant {
    fn from(literal: Literal) -> Self {
        match literal {
            Literal::Real(_, value) => Self::Real(value.to_bits()),
            Literal::Int(_, value) => Self::Int(value),
            Literal::Bool(value) => Self::Bool(value),
        }
    }
}

/// `offset + Σ factor·loop + Σ factor·step`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Affine {
    /// Where all loops are at 0.
    pub offset: Extent,
    /// Loops with their factors; every loop at most once, no factor is the constant 0.
    pub loops: Vec<(LoopId, Extent)>,
    /// `i64` steps with their factors: positions that come from data.
    pub steps: Vec<(StepId, Extent)>,
}

impl Affine {
    /// The factor of a loop; 0 if it has none.
    pub fn factor(&self, id: LoopId) -> Extent {
        let found = self.loops.iter().find(|(own, _)| *own == id);
        found.map_or_else(|| Extent::constant(0), |(_, factor)| factor.clone())
    }
}

/// An element of a buffer: `address` counts elements from the buffer's first. The address
/// is inside whenever every guard holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Access {
    /// Position in [`Kernel::buffers`].
    pub buffer: usize,
    /// Which element.
    pub address: Affine,
    /// Conditions without which nothing is read.
    pub guards: Vec<Guard>,
}

/// `0 <= index < extent`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Guard {
    /// Compared.
    pub index: Affine,
    /// First position outside.
    pub extent: Extent,
    /// What happens where it does not hold.
    pub outside: GuardOutside,
}

/// What a read outside means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardOutside {
    /// The element is 0.
    Zero,
    /// The kernel stops with this status, a positive number that the launch explains, the
    /// offending position and the extent.
    Fail(u32),
}

/// One element written per point of the loops its step varies along; guards are never used.
/// No two points write the same element, and a buffer that is written is read only at the
/// element that the same point writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Store {
    /// What is written.
    pub step: StepId,
    /// Where.
    pub access: Access,
}

impl Kernel {
    /// The inner loop, if there is one.
    pub fn inner(&self) -> Option<LoopId> {
        self.find(LoopKind::Inner)
    }

    /// The walk, if there is one.
    pub fn walk(&self) -> Option<LoopId> {
        self.find(LoopKind::Walk)
    }

    fn find(&self, kind: LoopKind) -> Option<LoopId> {
        self.loops.iter().position(|own| own.kind == kind)
    }

    /// Whether a step reduces over the inner loop: its positions then belong to one point.
    pub fn reduces_inner(&self) -> bool {
        let reduces = |step: &Step| matches!(step.op, StepOp::Reduce(_, _, LoopKind::Inner));
        self.steps.iter().any(reduces)
    }
}
