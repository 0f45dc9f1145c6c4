//! One run of a plan: what is given for it, its memory, and what it gives back.

#![expect(unsafe_code, reason = "whoever runs a plan says where its buffers are")]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use girih_kernels::Pool;
use girih_plan::plan::{BufferId, BufferKind};
use girih_runtime::backend::{Bindings, Data, Done, Output, Outputs, Progress, RunError, Sizes};

use super::given::Leaf;
use super::{Compiled, allocated, lock};
use crate::array::Array;
use crate::bind::{Bound, buffer_of};
use crate::block::{Base, Block};
use crate::frame::Frame;
use crate::growing::Stretch;
use crate::launch::{Run, copy, run_launch};
use crate::memory::aligned;
use crate::parameter::Packs;

/// A run that is ready: one of those that go through the plan together.
pub(super) struct Lane<'a> {
    bindings: &'a Bindings,
    pub(super) bound: Arc<Bound>,
    /// For each weight its packs. Lanes with the same parameters share them.
    pub(super) packs: Arc<[Option<Packs>]>,
    /// States that are given no value.
    absent: BTreeSet<usize>,
    grown: BTreeMap<BufferId, Stretch>,
    /// What is given must live until the run is over.
    _arrays: BTreeMap<BufferId, Array>,
    blocks: BTreeMap<BufferId, Arc<Block>>,
    bases: Vec<Base>,
    arena: Block,
    /// Bytes that values of the run hold.
    held: u64,
}

impl Lane<'_> {
    /// The memory of the run.
    pub(super) fn frame(&self) -> Frame<'_> {
        // SAFETY: temporaries lie in the arena, which is as long as the section wants; what is
        // given has the declared shape and lives as long as the lane; blocks of results are
        // as long as their buffers, and nobody else has them.
        unsafe { Frame::new(&self.bound, &self.bases, self.arena.base()) }
    }
}

impl Compiled {
    /// Makes a run ready, beside others that go with it.
    ///
    /// # Errors
    ///
    /// Data that are missing or do not fit, and more memory than allowed.
    pub(super) fn lane<'a>(
        &self,
        bindings: &'a Bindings,
        others: &[Lane<'_>],
    ) -> Result<Lane<'a>, RunError> {
        let sizes = Sizes::of(&self.graph, bindings)?;
        let bound = self.bind(&sizes, bindings.limit)?;
        let root = &self.plan.root;
        let mut arrays: BTreeMap<BufferId, Array> = BTreeMap::new();
        let mut absent = BTreeSet::new();
        let mut packed = BTreeSet::new();
        for (at, (given, needed)) in self.plan.given.iter().zip(&self.needs.needed).enumerate() {
            if *needed {
                let buffer = buffer_of(root, given.tensor);
                match self.given(at, bindings, &bound)? {
                    Leaf::Plain(array) => {
                        arrays.insert(buffer, array);
                    }
                    Leaf::Packed => {
                        packed.insert(buffer);
                    }
                    Leaf::Absent => {
                        absent.insert(at);
                    }
                }
            }
        }
        let grown = self.grown(&arrays, &bound, bindings.room)?;
        let mut others = others.iter();
        let packs = match others.find(|own| Arc::ptr_eq(&own.bindings.params, &bindings.params)) {
            Some(own) => Arc::clone(&own.packs),
            None => self.packs(bindings)?.into(),
        };
        // Memory of kernels lies behind that of the section.
        let scratch = bound.scratch.saturating_mul(self.pool.threads());
        let arena = self.arena(aligned(bound.arena).saturating_add(scratch))?;
        let mut blocks: BTreeMap<BufferId, Arc<Block>> = BTreeMap::new();
        let mut bases = bound.bases(arena.base());
        for (at, buffer) in root.buffers.iter().enumerate() {
            let id = BufferId(at as u32);
            if let Some(stretch) = grown.get(&id) {
                bases[at] = stretch.base();
            } else if let Some(array) = arrays.get(&id) {
                bases[at] = array.base();
            } else if packed.contains(&id) {
                // Nothing reads it there.
            } else if matches!(buffer.kind, BufferKind::Caller) {
                let block = self.result_block(bound.bytes[at])?;
                bases[at] = block.base();
                blocks.insert(id, block);
            }
        }
        Ok(Lane {
            bindings,
            held: self.held(&bound),
            bound,
            packs,
            absent,
            grown,
            _arrays: arrays,
            blocks,
            bases,
            arena,
        })
    }

    /// What is to be done before a launch of the whole model: states that are given no value start, and rows of
    /// quantized parameters are decoded.
    ///
    /// # Errors
    ///
    /// Blocks that cannot be decoded.
    pub(super) fn before(
        &self,
        lane: &Lane<'_>,
        frame: &Frame<'_>,
        launch: usize,
    ) -> Result<(), RunError> {
        for start in &self.needs.starts {
            if start.before == launch && lane.absent.contains(&start.given) {
                let from = frame.view(start.initial);
                let to = frame.view(self.plan.given[start.given].tensor);
                let (source, target) = (frame.base(from.buffer), frame.base(to.buffer));
                // SAFETY: both are memory of the frame.
                unsafe { copy((from, source), (to, target)) };
            }
        }
        self.decode(launch, lane.bindings, frame)
    }

    /// Runs a launch of the whole model.
    ///
    /// # Errors
    ///
    /// What fails in it.
    pub(super) fn launch(
        &self,
        lane: &Lane<'_>,
        frame: &Frame<'_>,
        launch: usize,
        pool: &Pool,
        progress: &mut Progress<'_>,
    ) -> Result<(), RunError> {
        self.before(lane, frame, launch)?;
        let bound = &*lane.bound;
        let behind = aligned(bound.arena).cast_signed();
        let launches = &self.plan.root.launches;
        let run = Run {
            plan: &self.plan,
            code: &self.code,
            tables: &self.tables,
            weights: &self.weights,
            natives: &*self.natives,
            packs: &lane.packs,
            branches: &self.branches,
            pool,
            level: self.level,
            bindings: lane.bindings,
            scratch: Cell::new((lane.arena.base().at(behind), bound.scratch)),
            held: Cell::new(lane.held),
            done: Cell::new(Done {
                finished: launch,
                total: launches.len(),
            }),
            progress: RefCell::new(progress),
        };
        run_launch(&run, &launches[launch], &bound.launches[launch], frame)
    }

    /// What a run that is over gives.
    ///
    /// # Errors
    ///
    /// No memory.
    pub(super) fn outputs(&self, lane: &Lane<'_>) -> Result<Outputs, RunError> {
        let bound = &lane.bound;
        let mut outputs = Outputs::default();
        for outcome in &self.plan.results {
            let view = &bound.views[outcome.tensor.index()];
            let shape = view.shape();
            let bytes = view.count() * view.dtype.size();
            let whole =
                view.is_dense() && view.offset == 0 && bound.bytes[view.buffer.index()] == bytes;
            let part = lane.grown.get(&view.buffer).filter(|_| view.is_dense());
            let part = part.and_then(|stretch| {
                let start = view.offset.cast_unsigned() * view.dtype.size();
                stretch.part(start..start + bytes)
            });
            let array = match (part, lane.blocks.get(&view.buffer)) {
                (Some(part), _) => Array::grown(view.dtype, shape, part),
                (_, Some(block)) if whole => Array::written(view.dtype, shape, Arc::clone(block)),
                _ => {
                    let mut dense = view.clone();
                    dense.offset = 0;
                    for (line, step) in dense.lines.iter_mut().zip(crate::view::dense_steps(&shape))
                    {
                        line.step = step;
                    }
                    let block = Arc::new(allocated(view.count() * view.dtype.size())?);
                    let base = lane.bases[view.buffer.index()];
                    // SAFETY: the view is memory of the run that is just over; the block is new
                    // and as long as the copy.
                    unsafe { copy((view, base), (&dense, block.base())) };
                    Array::written(view.dtype, shape, block)
                }
            };
            let name = |axis| self.plan.axes.name(axis).to_owned();
            let output = Output {
                axes: view.axes().map(name).collect(),
                data: Data::Device(Arc::new(array)),
            };
            if outcome.state {
                outputs.states.insert(outcome.name.to_string(), output);
            } else {
                outputs.results.insert(outcome.name.to_string(), output);
            }
        }
        Ok(outputs)
    }

    /// Keeps the memory of runs that are over, for the next ones.
    pub(super) fn keep(&self, lanes: Vec<Lane<'_>>) {
        let mut given = Vec::new();
        let mut arenas = lock(&self.arenas);
        for lane in lanes {
            arenas.push(lane.arena);
            given.extend(lane.blocks.into_values());
        }
        drop(arenas);
        self.remember(given);
    }
}
