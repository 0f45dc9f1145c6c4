//! Plans: ordered launches over tensors with a layout.
//!
//! A [`Section`] is a list of launches with tensors of its own: the whole
//! model, the body of a recurrence, a branch of a route. Sizes stay symbolic;
//! whoever runs a plan evaluates them once per set of sizes, so a plan is made
//! once per graph. Every tensor is a strided view of a [`Buffer`]; buffers that
//! nobody outside gives or keeps are temporary, and their memory is shared
//! according to [`Section::lifetimes`].

use std::ops::RangeInclusive;
use std::sync::Arc;

use girih_graph::op::{Attribute, Combine, Distribution};
use girih_graph::{AxisId, AxisTable, Check, DType, Extent, Origin};
use serde::{Deserialize, Serialize};

use crate::calls::CallChoice;
use crate::chunk::Choice;
use crate::kernel::Kernel;
use crate::promise::Broken;

/// A graph, made ready for a backend.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The graph's name.
    pub name: String,
    /// Names and extents of all axes.
    pub axes: AxisTable,
    /// Every kernel that a launch of any section names; no two are equal.
    pub kernels: Vec<Kernel>,
    /// The whole model. It has no parameters.
    pub root: Section,
    /// Inputs, parameters and states with their tensors in `root`.
    pub given: Vec<Given>,
    /// Results and next states with their tensors in `root`: results first.
    pub results: Vec<Outcome>,
    /// Conditions on sizes, checked before anything runs.
    pub checks: Vec<Check>,
    /// For people: how every loop of the graph is computed, and why.
    pub choices: Vec<Choice>,
    /// What the model's attributes promise and this plan does not keep.
    pub broken: Vec<Broken>,
    /// For people: how the operations of plugins are computed.
    pub calls: Vec<CallChoice>,
}

/// What a caller gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// What it is.
    pub kind: GivenKind,
    /// Name of an input, path of a parameter or state.
    pub name: Arc<str>,
    /// Where it is read. Dense, in the order of the declared axes.
    pub tensor: TensorId,
    /// A state that is not given is copied from here.
    pub initial: Option<TensorId>,
}

/// Kinds of what a caller gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GivenKind {
    /// Given anew in every call.
    Input,
    /// Trained.
    Param,
    /// From call to call.
    State,
}

/// What a caller gets: dense, in the order of the tensor's axes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it is the next value of a state.
    pub state: bool,
    /// Name of the result or path of the state.
    pub name: Arc<str>,
    /// Where it is written.
    pub tensor: TensorId,
}

/// Position in [`Section::tensors`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TensorId(pub u32);

impl TensorId {
    /// Position among the section's tensors.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Position in [`Section::buffers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BufferId(pub u32);

impl BufferId {
    /// Position among the section's buffers.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Launches in order, with their tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// Memory.
    pub buffers: Vec<Buffer>,
    /// Views of the memory.
    pub tensors: Vec<Tensor>,
    /// In order.
    pub launches: Vec<Launch>,
    /// Tensors that whoever runs the section provides: buffers of kind
    /// [`BufferKind::Bound`], in this order.
    pub params: Vec<TensorId>,
    /// Tensors that whoever runs the section reads, or, where their buffer is
    /// [`BufferKind::Bound`], provides for the section to write.
    pub results: Vec<TensorId>,
}

/// A piece of memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Buffer {
    /// Element type.
    pub dtype: DType,
    /// Number of elements; meaningless for [`BufferKind::Bound`].
    pub elements: Extent,
    /// Who has it.
    pub kind: BufferKind,
}

/// Who has a piece of memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BufferKind {
    /// Used between its first and its last launch only.
    Temporary,
    /// Provided by whoever runs the section.
    Bound,
    /// Numbers written in the model, row-major.
    Table(#[serde(with = "crate::region::text::reals")] Arc<[f64]>),
    /// Given by the caller, or given back to the caller.
    Caller,
    /// Its beginning is given by the caller, and it is given back whole, or the last of it: a run
    /// adds positions along the outermost axis.
    Grown,
}

/// A strided view of a buffer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tensor {
    /// Of which buffer.
    pub buffer: BufferId,
    /// Element type.
    pub dtype: DType,
    /// Element of the buffer where all positions are 0.
    pub offset: Extent,
    /// Axes with the distance of neighbors in elements.
    pub axes: Vec<(AxisId, Stride)>,
}

/// One direction of a tensor.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stride {
    /// Positions.
    pub extent: Extent,
    /// Elements between neighbors.
    pub step: Extent,
}

/// One step of a section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// What runs.
    pub work: Work,
    /// For people: the path of the module instance it came from.
    #[serde(skip)]
    pub label: String,
    /// For people: what it reads from memory instead of computing it, and why.
    #[serde(skip)]
    pub stops: Vec<Stop>,
}

/// Where a kernel ends: a value that it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The operation that makes the value, and where it comes from.
    pub what: String,
    /// Why the kernel does not compute it.
    pub why: Reason,
}

/// Why a kernel reads a value from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Somebody gave it.
    Given,
    /// A routine makes it.
    OwnLaunch,
    /// It is an operand of a gather: read at positions that are data.
    Gathered,
    /// It is read at more than one position per point.
    OtherPositions,
    /// It would be computed again along a loop that it does not vary along.
    Repeated,
    /// Another kernel computes it.
    Elsewhere,
    /// The kernel waits for something that reads it.
    Awaited,
    /// Its sum runs over another loop than the kernel has.
    OtherLoop,
    /// Others read all of it, this kernel a part.
    Partly,
    /// Some of its points would be written twice.
    WrittenTwice,
    /// It merges axes that do not lie together.
    Merged,
}

impl Reason {
    /// As a sentence about the value.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Given => "it is given",
            Self::OwnLaunch => "it has a launch of its own",
            Self::Gathered => "it is read at positions that are data",
            Self::OtherPositions => "it is read at several positions per point",
            Self::Repeated => "it would be computed again for every position of a loop it ignores",
            Self::Elsewhere => "another kernel computes it",
            Self::Awaited => "this kernel waits for something that reads it",
            Self::OtherLoop => "it is reduced over another loop than this kernel has",
            Self::Partly => "others read all of it, this kernel reads a part",
            Self::WrittenTwice => "others read it, and several points would write it",
            Self::Merged => "it merges axes that do not lie together",
        }
    }
}

/// What a launch does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// A generated function over tensors' buffers.
    Kernel(KernelLaunch),
    /// A product of matrices.
    Contract(Contract),
    /// Softmax of scores, then the weighted sum of values, without the scores in memory.
    Attention(Box<Attention>),
    /// A loop.
    Recurrence(Box<RecurrenceLaunch>),
    /// Branches over the items they keep.
    Route(Box<RouteLaunch>),
    /// A primitive with a routine of its own.
    Routine(Routine),
    /// An operation of a plugin.
    #[serde(skip)]
    Native(Box<NativeLaunch>),
}

/// A generated function with what it reads and writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelLaunch {
    /// Position in [`Plan::kernels`].
    pub kernel: usize,
    /// One for each of [`Kernel::buffers`].
    pub buffers: Vec<BufferId>,
    /// Which of `buffers` are written.
    pub writes: Vec<bool>,
    /// Axis names of the kernel's loops.
    #[serde(skip)]
    pub loops: Vec<String>,
    /// What the guards that fail mean, by status from 1: `axis` and what reads along it.
    #[serde(skip)]
    pub failures: Vec<ReadFailure>,
}

/// What a read outside an axis is called in an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadFailure {
    /// Name of the axis.
    pub axis: String,
}

/// `out[batch…, rows…, columns…] = Σ over inner… of left[batch…, rows…, inner…] ·
/// right[batch…, inner…, columns…]`. Factors and result are all `f32` or all `f64`; in a plan that was
/// made [so](crate::Wants::narrow_factors) factors may both be `f16` or both `bf16` beside a result in `f32`:
/// they are multiplied, and products summed, as `f32`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contract {
    /// First factor.
    pub left: TensorId,
    /// Other factor.
    pub right: TensorId,
    /// Written.
    pub out: TensorId,
    /// Axes that all three have.
    pub batch: Vec<AxisId>,
    /// Axes of `left` and `out`.
    pub rows: Vec<AxisId>,
    /// Axes of `right` and `out`.
    pub columns: Vec<AxisId>,
    /// Axes of both factors.
    pub inner: Vec<AxisId>,
}

impl Contract {
    /// Whether its factors have 16 bits.
    pub fn is_narrow(&self, tensors: &[Tensor]) -> bool {
        is_narrow(tensors[self.left.index()].dtype)
    }
}

/// Whether these are reals of 16 bits.
pub(crate) const fn is_narrow(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}

/// Attention, tile by tile: for every point, `out[i, f] = Σ_j a[i, j] · v[j, f]`, where `a` is
/// the softmax over j of what `score` makes of `scale · Σ_e q[i, e] · k[j, e]`, over the keys of
/// the domain; a row with an empty domain is 0. All tensors are `f32`; a tensor that lacks the
/// axis of a point is the same at all its positions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attention {
    /// Queries.
    pub q: TensorId,
    /// Keys.
    pub k: TensorId,
    /// Values.
    pub v: TensorId,
    /// Written.
    pub out: TensorId,
    /// Independent points.
    pub points: Vec<AxisId>,
    /// Axis of the queries.
    pub rows: AxisId,
    /// Axis of the keys.
    pub keys: AxisId,
    /// Contracted axis of `q` and `k`.
    pub width: AxisId,
    /// Axis of `v` and `out` beside points, rows and keys.
    pub value: AxisId,
    /// Factor of the products.
    #[serde(with = "crate::region::text::real")]
    pub scale: f64,
    /// Makes scores of scaled products where the whole tile is in the domain; `None`: they are.
    pub interior: Option<KernelLaunch>,
    /// Makes scores, and −∞ of what is outside the domain. `None`: nothing is outside.
    pub edge: Option<KernelLaunch>,
    /// Keeps what is in the domain of a tile, and makes −∞ of what is outside: asked before a tile is
    /// computed, where `domain` does not know.
    pub mask: Option<KernelLaunch>,
    /// What is known of the domain of a whole tile.
    pub domain: Domain,
}

/// Symbols in the kernels of a tile: an outer loop over [`tile::ROWS`] rows, an inner one over
/// [`tile::KEYS`] keys; buffer 0 is the tile, read and written in place.
pub mod tile {
    /// Rows of the tile.
    pub const ROWS: &str = "#rows";
    /// Keys of the tile.
    pub const KEYS: &str = "#keys";
    /// Elements between two rows of the tile.
    pub const STEP: &str = "#step";
    /// First row's position.
    pub const ROW: &str = "#row";
    /// First key's position.
    pub const KEY: &str = "#key";

    /// Position along the point axis with this number.
    pub fn point(number: usize) -> String {
        format!("#point{number}")
    }

    /// All of them, for so many point axes.
    pub(crate) fn symbols(points: usize) -> impl Iterator<Item = String> {
        let own = [ROWS, KEYS, STEP, ROW, KEY].into_iter().map(str::to_owned);
        own.chain((0..points).map(point))
    }
}

/// What is known of the pairs of rows and keys that count, for whole tiles at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Domain {
    /// Nothing is known.
    Unknown,
    /// All pairs.
    All,
    /// Pairs with `row·i + key·j + offset >= 0`.
    Affine {
        /// Factor of the row's position.
        row: i64,
        /// Factor of the key's position.
        key: i64,
        /// The rest.
        offset: Extent,
    },
    /// Pairs whose labels are equal: `i64` tensors with the axis of the rows, of the keys,
    /// and perhaps of points.
    SameLabel(TensorId, TensorId),
    /// Pairs of both.
    And(Box<Domain>, Box<Domain>),
    /// Pairs of one or both.
    Or(Box<Domain>, Box<Domain>),
}

/// A loop over an axis whose body is a section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecurrenceLaunch {
    /// Number of steps.
    pub extent: Extent,
    /// Name of the axis.
    #[serde(skip)]
    pub axis: String,
    /// From the last position to the first.
    pub reverse: bool,
    /// An axis whose positions do not see one another: ranges of it may go through all steps
    /// on their own.
    pub part: Option<Part>,
    /// The body. Parameters: carried values, slices, invariants. Results: next carried
    /// values, then outputs.
    pub body: Section,
    /// Initial values of what is carried: tensors of the outer section.
    pub carried: Vec<TensorId>,
    /// Whether the next value may be written over the current one: nothing reads an element of it
    /// after that element's next value is written.
    pub in_place: Vec<bool>,
    /// Final values of what is carried; written. Of the outer section, one for each carried.
    pub finals: Vec<Option<TensorId>>,
    /// What is sliced at each step, with the distance of two steps in elements.
    pub sequences: Vec<(TensorId, Extent)>,
    /// What stays.
    pub invariants: Vec<TensorId>,
    /// What is stacked, with the distance of two steps in elements.
    pub outputs: Vec<(TensorId, Extent)>,
}

/// An axis that a loop may be cut along. Everything that is carried or stacked has it; in the
/// body its extent is the symbol, and bound tensors start at the range's first position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Cut along.
    pub axis: AxisId,
    /// The length of one range.
    #[serde(with = "crate::region::text::name")]
    pub symbol: Arc<str>,
    /// All positions.
    pub extent: Extent,
}

/// Weighted sum over branches of what each makes of the items it keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteLaunch {
    /// Weights, with `branch` and item axes.
    pub weights: TensorId,
    /// Which branches keep which items: `bool`.
    pub kept: TensorId,
    /// Which branch.
    pub branch: AxisId,
    /// Axes of items.
    pub items: Vec<AxisId>,
    /// The symbol that stands for the number of items a branch keeps: in a branch's section
    /// the first item axis has this extent and the others have extent 1.
    #[serde(with = "crate::region::text::name")]
    pub symbol: Arc<str>,
    /// In order of the branch axis.
    pub branches: Vec<BranchLaunch>,
    /// Written: the sum.
    pub out: TensorId,
}

/// One branch of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BranchLaunch {
    /// Parameters: one for each of `inputs`, dense; result: one, dense.
    pub section: Section,
    /// Tensors of the outer section; those with item axes are gathered.
    pub inputs: Vec<TensorId>,
}

/// An operation of a plugin, run for every position of the lifted axes. A tensor that lacks one
/// of them is the same at all its positions.
#[derive(Clone, Debug, PartialEq)]
pub struct NativeLaunch {
    /// Its full name.
    pub callee: Arc<str>,
    /// What is fixed, by name.
    pub attributes: Vec<(Arc<str>, Attribute)>,
    /// Axes that the operation does not work on.
    pub lifted: Vec<AxisId>,
    /// Operands, each with the axes that the operation works on, in its order.
    pub reads: Vec<(TensorId, Vec<AxisId>)>,
    /// Results, likewise.
    pub writes: Vec<(TensorId, Vec<AxisId>)>,
    /// Where in the model it is called.
    pub origin: Option<Origin>,
}

/// A primitive with a routine of its own, over tensors. Attributes as in the primitive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Routine {
    /// `order`.
    Order {
        /// Sorted.
        operand: TensorId,
        /// Positions.
        out: TensorId,
        /// Along.
        axis: AxisId,
        /// Rank.
        into: AxisId,
        /// Largest first.
        descending: bool,
    },
    /// `cumulate`.
    Cumulate {
        /// Combined.
        operand: TensorId,
        /// Written.
        out: TensorId,
        /// How.
        combine: Combine,
        /// Along.
        axis: AxisId,
        /// From the end.
        reverse: bool,
        /// Without the element itself.
        exclusive: bool,
    },
    /// `scatter`.
    Scatter {
        /// Where to.
        positions: TensorId,
        /// What.
        operand: TensorId,
        /// Written.
        out: TensorId,
        /// Along.
        axis: AxisId,
        /// Walked.
        over: Vec<AxisId>,
        /// How values at one position combine.
        combine: Combine,
    },
    /// `fold`.
    Fold {
        /// What.
        operand: TensorId,
        /// Written.
        out: TensorId,
        /// Axes with their strides.
        from: Vec<(AxisId, Extent)>,
        /// Along.
        axis: AxisId,
        /// Position of the origin.
        offset: Extent,
    },
    /// `random`.
    Random {
        /// Written.
        out: TensorId,
        /// Which numbers.
        distribution: Distribution,
        /// Path.
        #[serde(with = "crate::region::text::name")]
        key: Arc<str>,
        /// Axes, as their positions are hashed, and what these are counted from.
        from: Vec<(AxisId, Extent)>,
    },
}

impl Work {
    /// Keys of random numbers that are drawn, those inside too.
    pub fn visit_draws(&self, visit: &mut dyn FnMut(&Arc<str>)) {
        let mut inside = |section: &Section| {
            for launch in &section.launches {
                launch.work.visit_draws(visit);
            }
        };
        match self {
            Self::Recurrence(launch) => inside(&launch.body),
            Self::Route(route) => route.branches.iter().for_each(|own| inside(&own.section)),
            Self::Routine(Routine::Random { key, .. }) => visit(key),
            Self::Kernel(_)
            | Self::Contract(_)
            | Self::Attention(_)
            | Self::Routine(_)
            | Self::Native(_) => {}
        }
    }
}

impl Launch {
    /// Tensors and buffers of the section that the launch reads and writes: `visit` gets the
    /// buffer and whether it is written.
    pub fn visit_buffers(&self, tensors: &[Tensor], visit: &mut dyn FnMut(BufferId, bool)) {
        let mut tensor = |id: TensorId, written: bool| visit(tensors[id.index()].buffer, written);
        match &self.work {
            Work::Kernel(launch) => {
                for (buffer, written) in launch.buffers.iter().zip(&launch.writes) {
                    visit(*buffer, *written);
                }
            }
            Work::Contract(contract) => {
                tensor(contract.left, false);
                tensor(contract.right, false);
                tensor(contract.out, true);
            }
            Work::Attention(attention) => {
                for read in [attention.q, attention.k, attention.v] {
                    tensor(read, false);
                }
                tensor(attention.out, true);
                for label in attention.domain.labels() {
                    tensor(label, false);
                }
                for kernel in attention.kernels() {
                    // Buffer 0 is the tile.
                    for buffer in kernel.buffers.iter().skip(1) {
                        visit(*buffer, false);
                    }
                }
            }
            Work::Recurrence(launch) => {
                for read in launch.carried.iter().chain(&launch.invariants) {
                    tensor(*read, false);
                }
                for (read, _) in &launch.sequences {
                    tensor(*read, false);
                }
                for written in launch.finals.iter().flatten() {
                    tensor(*written, true);
                }
                for (written, _) in &launch.outputs {
                    tensor(*written, true);
                }
            }
            Work::Route(route) => {
                tensor(route.weights, false);
                tensor(route.kept, false);
                for branch in &route.branches {
                    for read in &branch.inputs {
                        tensor(*read, false);
                    }
                }
                tensor(route.out, true);
            }
            Work::Native(launch) => {
                for (read, _) in &launch.reads {
                    tensor(*read, false);
                }
                for (written, _) in &launch.writes {
                    tensor(*written, true);
                }
            }
            Work::Routine(routine) => {
                let (reads, out) = routine.tensors();
                for read in reads {
                    tensor(read, false);
                }
                tensor(out, true);
            }
        }
    }
}

impl Attention {
    /// The kernels of its tiles.
    pub fn kernels(&self) -> impl Iterator<Item = &KernelLaunch> {
        let Self {
            interior,
            edge,
            mask,
            ..
        } = self;
        interior.iter().chain(edge).chain(mask)
    }
}

impl Domain {
    /// Whether nothing is known of some pairs until they are looked at.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Unknown => true,
            Self::All | Self::Affine { .. } | Self::SameLabel(..) => false,
            Self::And(x, y) | Self::Or(x, y) => x.is_open() || y.is_open(),
        }
    }

    /// Tensors that it reads.
    pub fn labels(&self) -> Vec<TensorId> {
        match self {
            Self::Unknown | Self::All | Self::Affine { .. } => Vec::new(),
            Self::SameLabel(rows, keys) => vec![*rows, *keys],
            Self::And(x, y) | Self::Or(x, y) => {
                let mut labels = x.labels();
                labels.extend(y.labels());
                labels
            }
        }
    }
}

impl Routine {
    /// What is read, and what is written.
    pub fn tensors(&self) -> (Vec<TensorId>, TensorId) {
        match self {
            Self::Order { operand, out, .. }
            | Self::Cumulate { operand, out, .. }
            | Self::Fold { operand, out, .. } => (vec![*operand], *out),
            Self::Scatter {
                positions,
                operand,
                out,
                ..
            } => (vec![*positions, *operand], *out),
            Self::Random { out, .. } => (Vec::new(), *out),
        }
    }
}

impl Section {
    /// Gives `visit` the kernel of every launch, of those inside too, in order.
    pub fn visit_kernels(&mut self, visit: &mut dyn FnMut(&mut usize)) {
        for launch in &mut self.launches {
            match &mut launch.work {
                Work::Kernel(launch) => visit(&mut launch.kernel),
                Work::Attention(attention) => {
                    let Attention {
                        interior,
                        edge,
                        mask,
                        ..
                    } = &mut **attention;
                    for launch in interior.iter_mut().chain(edge).chain(mask) {
                        visit(&mut launch.kernel);
                    }
                }
                Work::Recurrence(launch) => launch.body.visit_kernels(visit),
                Work::Route(route) => {
                    for branch in &mut route.branches {
                        branch.section.visit_kernels(visit);
                    }
                }
                Work::Contract(_) | Work::Routine(_) | Work::Native(_) => {}
            }
        }
    }

    /// For every temporary buffer the launches between which its memory is needed.
    pub fn lifetimes(&self) -> Vec<Option<RangeInclusive<usize>>> {
        let mut lifetimes: Vec<Option<RangeInclusive<usize>>> = vec![None; self.buffers.len()];
        let mut touch = |buffer: BufferId, at: usize| {
            if !matches!(self.buffers[buffer.index()].kind, BufferKind::Temporary) {
                return;
            }
            let lifetime = &mut lifetimes[buffer.index()];
            let start = lifetime.as_ref().map_or(at, |known| *known.start());
            *lifetime = Some(start..=at);
        };
        for (at, launch) in self.launches.iter().enumerate() {
            launch.visit_buffers(&self.tensors, &mut |buffer, _| touch(buffer, at));
        }
        for result in &self.results {
            touch(self.tensors[result.index()].buffer, self.launches.len());
        }
        lifetimes
    }
}
