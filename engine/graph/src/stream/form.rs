//! A graph in the form of a stream: what is computed once, and what every step computes.
//!
//! A step takes the next positions of one axis, as many as the caller likes. It is a
//! graph without hidden state: what lies between steps goes in as inputs and comes out as
//! results of the same names. Both graphs are in the sizes of the whole graph, with one
//! symbol more: how many positions there are after the step.

use crate::axis::{AxisTable, ValueType};
use crate::extent::Extent;
use crate::graph::Graph;

/// A graph whose positions along one axis come one after another.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// What does not depend on the streamed axis. Its results are [`Stream::kept`],
    /// [`Stream::prefixes`], the starts of [`Stream::carries`], and the results and next states that belong to no position.
    pub once: Graph,
    /// One step. Its inputs are those of the whole graph that it reads, with the new positions
    /// only, then `kept` and `carries`; its results are the next carries and the results of
    /// the whole graph, at the new positions.
    pub step: Graph,
    /// What is still to come when the sequence ends: the last positions of results that are late,
    /// with nothing behind them. Its inputs are those of a step without the new positions.
    /// `None` if no result is late.
    pub flush: Option<Graph>,
    /// The symbol of the number of new positions: that of the streamed axis.
    pub new: String,
    /// The symbol of the number of positions after the step, the new ones included.
    pub total: String,
    /// Inputs of the whole graph that have the streamed axis, with its place in their shape.
    pub inputs: Vec<(String, usize)>,
    /// Integers without axes among the results of `once`, each with what is added to it: so many
    /// positions at least come in one piece at the start, because they read one another.
    pub prefixes: Vec<(String, i64)>,
    /// Results of `once` that every step takes as inputs.
    pub kept: Vec<String>,
    /// What goes from step to step.
    pub carries: Vec<Carry>,
    /// The results of the whole graph, in order.
    pub results: Vec<StreamResult>,
    /// The model's states that get a next value, which holds after the last step.
    pub updates: Vec<Update>,
}

/// The next value of a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The state's.
    pub path: String,
    /// Where the next value comes from.
    pub result: StreamResult,
}

/// A value that goes from step to step.
#[derive(Clone, Debug, PartialEq)]
pub struct Carry {
    /// Input and result of the step, result of `once`: its start.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// dtype and axes of the step's input.
    pub ty: ValueType,
    /// How many positions of it there have been, in the number of positions after the step: fewer,
    /// if it depends on later ones.
    pub there: Extent,
    /// Whether an entry says at which position it stands: a rotated key, an embedding of places. Always
    /// `false` of what has no positions.
    pub placed: bool,
}

/// What is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All positions so far, along the outermost axis.
    Cache,
    /// The last positions, fewer at the start, along the outermost axis.
    Recent {
        /// At most so many.
        last: i64,
    },
    /// What a recurrence carries.
    Carried,
    /// What has been combined so far.
    Total,
}

impl Kind {
    /// As shown in tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Recent { .. } => "recent",
            Self::Carried => "carried",
            Self::Total => "total",
        }
    }
}

/// A result of the whole graph, in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamResult {
    /// Its name in the graph that has it.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
    /// Names of its axes in the order of the whole graph, for a next value in that of its
    /// state; what gives it may have another order.
    pub axes: Vec<String>,
    /// How many positions before its own a position depends on: `None` if on all.
    pub reach: Option<i64>,
    /// How many positions after its own a position depends on: it comes so much later. After n
    /// positions those before n − latency are given.
    pub latency: i64,
}

/// Which graph gives a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `once`: it depends on no position.
    Once,
    /// Every step, along the axis at this place of `axes`: at the new positions, or, if it is late,
    /// at those that have become known.
    Positions(usize),
    /// Every step: what it is after the positions so far. If it is late, parts of it have had fewer
    /// positions than others, and only what the flush gives means anything.
    Latest,
}

impl Stream {
    /// Bytes of all carries after `total` positions, in the symbols of the graph.
    pub fn carried_bytes(&self) -> Extent {
        let bytes = self.carries.iter().map(|carry| self.bytes_of(carry));
        bytes.fold(Extent::constant(0), |sum, own| sum.plus(&own))
    }

    /// How many of the results' positions are not given when the last position has been taken.
    pub fn latency(&self) -> i64 {
        let results = self.results.iter().map(|result| result.latency);
        results.max().unwrap_or(0)
    }

    /// Bytes of one carry after `total` positions, in the symbols of the graph.
    pub fn bytes_of(&self, carry: &Carry) -> Extent {
        let bytes = self.bytes_of_one(carry);
        match carry.positions() {
            Some(count) => bytes.times(&count),
            None => bytes,
        }
    }

    /// Bytes of one position of a carry that has positions, of all of another, in the symbols of
    /// the graph.
    pub fn bytes_of_one(&self, carry: &Carry) -> Extent {
        let table: &AxisTable = &self.step.axes;
        let size = Extent::from(carry.ty.dtype.size() as i64);
        let rest = usize::from(carry.positions().is_some());
        let axes = carry.ty.axes.iter().skip(rest);
        axes.fold(size, |product, axis| product.times(table.extent(*axis)))
    }
}

impl Carry {
    /// How many positions it holds along its outermost axis, in the number of positions after the
    /// step; `None` if it is folded together.
    pub fn positions(&self) -> Option<Extent> {
        match self.kind {
            Kind::Cache => Some(self.there.clone()),
            Kind::Recent { last } => Some(self.there.minimum(&Extent::constant(last))),
            Kind::Carried | Kind::Total => None,
        }
    }
}
