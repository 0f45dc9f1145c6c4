//! Random graphs: valid, small, over every primitive, with sizes to run them at.
//!
//! A graph grows from a list of words, each a choice; with no words left, every
//! choice is the first one. So [`random_graph`] shrinks well: fewer and smaller
//! words give a smaller graph.
//!
//! Numbers stay moderate: with inputs from [`RandomGraph::data`], no real value is
//! larger than about 20, none is infinite or NaN, integers stay below 1000 and
//! positions that must be in range are. Extents are 0 to 8, constant or symbolic.

mod combine;
mod elementwise;
mod grow;
mod layout;
mod linear;
mod region;

use std::collections::BTreeMap;
use std::fmt;

use girih_graph::{DType, Graph, Op, ValueType, text};
use proptest::prelude::*;

/// What a random graph may hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Only primitives whose real results change smoothly with their real operands, no states,
    /// no random draws, no `grad_as`: derivatives equal finite differences.
    pub smooth: bool,
}

/// A valid graph, and sizes to run it at.
#[derive(Clone)]
pub struct RandomGraph {
    /// Verified.
    pub graph: Graph,
    /// The value of each symbol.
    pub sizes: BTreeMap<String, i64>,
}

impl fmt::Debug for RandomGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}\n{}", self.sizes, text::print(&self.graph))
    }
}

/// Row-major numbers of one value.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    /// Its type in the graph.
    pub ty: ValueType,
    /// Its extents, in the order of the type's axes.
    pub shape: Vec<usize>,
    /// As many as the product of the shape; integers and truth values as whole numbers.
    pub data: Vec<f64>,
}

impl RandomGraph {
    /// The size of `axis` under [`RandomGraph::sizes`].
    pub fn extent(&self, axis: girih_graph::AxisId) -> usize {
        let lookup = |symbol: &str| self.sizes.get(symbol).copied();
        let extent = self.graph.axes.extent(axis).evaluate(&lookup);
        extent.expect("every symbol has a size") as usize
    }

    /// Numbers for every input, parameter and state: reals in [−1, 1), integers from 0 to 4.
    /// Equal seeds give equal numbers.
    pub fn data(&self, seed: u64) -> BTreeMap<String, Numbers> {
        let mut state = seed;
        let mut all = BTreeMap::new();
        for (_, node) in self.graph.root.nodes() {
            let (Op::Input(name, _) | Op::Param(name, _) | Op::State(name)) = &node.op else {
                continue;
            };
            let ty = self.graph.root.ty(node.results[0]).clone();
            let shape: Vec<usize> = ty.axes.iter().map(|axis| self.extent(*axis)).collect();
            let count = shape.iter().product();
            let data = (0..count)
                .map(|_| number(ty.dtype, next(&mut state)))
                .collect();
            all.insert(name.to_string(), Numbers { ty, shape, data });
        }
        all
    }
}

fn number(dtype: DType, word: u64) -> f64 {
    // 2⁻¹¹ is exact in every real dtype but `bf16`, which keeps 8 of the 12 bits.
    let unit = (word >> 52) as f64 / 2048.0 - 1.0;
    match dtype {
        DType::F64 | DType::F32 | DType::F16 | DType::BF16 => unit,
        DType::Bool => (word >> 63) as f64,
        DType::I64 | DType::I32 | DType::I8 | DType::U8 => ((word >> 40) % 5) as f64,
    }
}

/// `SplitMix64` (Steele, Lea & Flood 2014): a counter, well mixed.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Random graphs of about 40 nodes at most, outside of regions.
pub fn random_graph(options: Options) -> impl Strategy<Value = RandomGraph> {
    proptest::collection::vec(any::<u16>(), 0..160).prop_map(move |words| grow(&words, options))
}

/// The graph that grows from these words.
pub fn grow(words: &[u16], options: Options) -> RandomGraph {
    grow::grow(words, options)
}

/// A graph from a seed, for loops without a shrinker.
pub fn seeded_graph(seed: u64, options: Options) -> RandomGraph {
    grow(&seeded_words(seed), options)
}

/// The words from which [`seeded_graph`] grows, for whoever shrinks them.
pub fn seeded_words(seed: u64) -> Vec<u16> {
    let mut state = seed;
    let count = 20 + next(&mut state) % 140;
    (0..count)
        .map(|_| (next(&mut state) >> 48) as u16)
        .collect()
}
