//! A compiled plan: parameters are loaded once, then it runs any number of times.
//!
//! What was bound for the last few sets of sizes is kept, and so is the memory of
//! earlier runs: blocks of temporaries, and blocks of results that the caller has
//! dropped.

#![expect(unsafe_code, reason = "whoever runs a plan says where its buffers are")]

mod given;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use girih_graph::{Extent, Graph, Op, Region, ValueType};
use girih_kernels::{Level, Pool};
use girih_plan::plan::{BufferId, BufferKind, GivenKind, Plan};
use girih_runtime::backend::{
    Backend, Bindings, CompileError, Data, Done, Executable, Output, Outputs, ParamSource, Params,
    Progress, RunError, Sizes,
};
use girih_runtime::plugin::native::Natives;

use crate::array::Array;
use crate::backend::{Compute, Cpu};
use crate::bind::{Binder, Bound, Symbols, buffer_of};
use crate::block::{Base, Block};
use crate::codegen::Code;
use crate::frame::Frame;
use crate::growing::Stretch;
use crate::launch::{Branches, Run, copy, run_launch};
use crate::memory::aligned;
use crate::numbers::{all_symbols, known};
use crate::parameter::{Parameter, Uses};
use crate::schedule::{Needs, held, initials_first};
use crate::tables::Tables;
use crate::weights::Weights;
use given::Leaf;

/// Sets of sizes whose bound plans are kept.
const KEPT: usize = 4;

/// A plan with its code.
pub(crate) struct Compiled {
    graph: Graph,
    plan: Plan,
    code: Code,
    tables: Tables,
    weights: Weights,
    natives: Arc<dyn Natives>,
    level: Level,
    compute: Compute,
    pool: Arc<Pool>,
    /// Every size symbol of the graph.
    symbols: Vec<Arc<str>>,
    needs: Needs,
    bound: Mutex<Vec<(Symbols, Arc<Bound>)>>,
    arenas: Mutex<Vec<Block>>,
    branches: Branches,
    results: Mutex<Vec<Arc<Block>>>,
}

impl Compiled {
    /// `None` if there is no memory for the plan's tables.
    pub(crate) fn new(
        graph: &Graph,
        mut plan: Plan,
        code: Code,
        (level, compute): (Level, Compute),
        pool: &Arc<Pool>,
        natives: &Arc<dyn Natives>,
    ) -> Option<Self> {
        initials_first(&mut plan);
        let tables = Tables::of(&plan)?;
        let needs = Needs::of(&plan);
        Some(Self {
            graph: graph.clone(),
            code,
            tables,
            weights: Weights::of(&plan),
            natives: Arc::clone(natives),
            level,
            compute,
            pool: Arc::clone(pool),
            symbols: all_symbols(graph, &plan),
            needs,
            plan,
            bound: Mutex::default(),
            arenas: Mutex::default(),
            branches: Branches::default(),
            results: Mutex::default(),
        })
    }

    /// The plan with numbers for these sizes, and the most bytes that its values may have.
    fn bind(&self, sizes: &Sizes, limit: u64) -> Result<Arc<Bound>, RunError> {
        let symbols = known(&self.symbols, sizes);
        let mut kept = lock(&self.bound);
        if let Some(at) = kept.iter().position(|(known, _)| *known == symbols) {
            let entry = kept.remove(at);
            kept.push(entry);
            let bound = Arc::clone(&kept[kept.len() - 1].1);
            drop(kept);
            self.check_memory(&symbols, &bound, limit)?;
            return Ok(bound);
        }
        drop(kept);
        let touched = self.needs.touched(&self.plan.root);
        let binder = self.binder(symbols.clone(), limit);
        let bound = Arc::new(binder.section(&self.plan.root, &touched)?);
        self.check_memory(&symbols, &bound, limit)?;
        let mut kept = lock(&self.bound);
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((symbols, Arc::clone(&bound)));
        Ok(bound)
    }

    fn binder(&self, symbols: Symbols, limit: u64) -> Binder<'_> {
        Binder::new(
            &self.plan,
            &self.code,
            &self.tables,
            &self.weights,
            &*self.natives,
            symbols,
            limit,
            self.pool.threads(),
        )
    }

    /// Bytes of temporaries and of everything that is given back.
    fn held(&self, bound: &Bound) -> u64 {
        held(&self.plan, &bound.bytes, bound.arena)
    }

    fn check_memory(&self, symbols: &Symbols, bound: &Bound, limit: u64) -> Result<(), RunError> {
        let binder = self.binder(symbols.clone(), limit);
        binder
            .numbers
            .check_limit(&bound.views, &bound.bytes, self.held(bound))
    }

    /// A block of an earlier run that is large enough, or a new one.
    fn arena(&self, bytes: usize) -> Result<Block, RunError> {
        let mut arenas = lock(&self.arenas);
        let fits = arenas.iter().position(|block| block.bytes() >= bytes);
        if let Some(at) = fits {
            return Ok(arenas.swap_remove(at));
        }
        // What is too small is not needed any more.
        arenas.pop();
        drop(arenas);
        allocated(bytes)
    }

    /// A block for a result; one that the caller has dropped, or a new one.
    fn result_block(&self, bytes: usize) -> Result<Arc<Block>, RunError> {
        let mut results = lock(&self.results);
        let free = |block: &Arc<Block>| Arc::strong_count(block) == 1;
        if let Some(at) = results
            .iter()
            .position(|block| block.bytes() == bytes && free(block))
        {
            return Ok(results.swap_remove(at));
        }
        drop(results);
        Ok(Arc::new(allocated(bytes)?))
    }

    /// Keeps blocks that are given out, to be used again when they come back.
    fn remember(&self, blocks: Vec<Arc<Block>>) {
        let mut results = lock(&self.results);
        // Sizes change: blocks that came back and were not used again go.
        results.retain(|block| Arc::strong_count(block) > 1);
        results.extend(blocks);
    }
}

impl Executable for Compiled {
    fn load(
        &self,
        source: &mut dyn ParamSource,
        progress: &mut Progress<'_>,
    ) -> Result<Params, RunError> {
        let mut wanted: BTreeMap<&str, (ValueType, Uses<'_>)> = BTreeMap::new();
        for (at, (given, needed)) in self.plan.given.iter().zip(&self.needs.needed).enumerate() {
            if given.kind == GivenKind::Param && *needed {
                let ty = self.given_type(given);
                let (_, uses) = wanted.entry(&given.name).or_insert((ty, Uses::default()));
                uses.compute = self.compute;
                uses.forms.extend(self.forms(at));
                uses.plain |= self.weights.plain(at);
                uses.rows |= self
                    .weights
                    .all_rows()
                    .iter()
                    .any(|(_, given, _)| *given == at);
            }
        }
        let total = wanted.len();
        let mut params = BTreeMap::new();
        for (finished, (path, (ty, uses))) in wanted.into_iter().enumerate() {
            tell(progress, finished, total)?;
            let data = source.given(path)?;
            Sizes::check_param(&self.plan.axes, path, &ty, data.dtype(), data.shape())?;
            let parameter = Parameter::new(path, data, ty.dtype, &uses)?;
            params.insert(path.to_owned(), Data::Device(Arc::new(parameter)));
        }
        tell(progress, total, total)?;
        Ok(Arc::new(params))
    }

    fn run(&self, bindings: &Bindings, progress: &mut Progress<'_>) -> Result<Outputs, RunError> {
        let sizes = Sizes::of(&self.graph, bindings)?;
        let bound = self.bind(&sizes, bindings.limit)?;
        let root = &self.plan.root;

        // What is given must live until the run is over.
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
        let packs = self.packs(bindings)?;
        // Memory of kernels lies behind that of the section.
        let behind = aligned(bound.arena);
        let scratch = bound.scratch.saturating_mul(self.pool.threads());
        let arena = self.arena(behind.saturating_add(scratch))?;
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

        let total = root.launches.len();
        let run = Run {
            plan: &self.plan,
            code: &self.code,
            tables: &self.tables,
            weights: &self.weights,
            natives: &*self.natives,
            packs: &packs,
            branches: &self.branches,
            pool: &self.pool,
            level: self.level,
            bindings,
            scratch: Cell::new((arena.base().at(behind.cast_signed()), bound.scratch)),
            held: Cell::new(self.held(&bound)),
            done: Cell::new(Done { finished: 0, total }),
            progress: RefCell::new(progress),
        };
        let ran = self.run_root(&run, &bound, &bases, arena.base(), &absent);
        lock(&self.arenas).push(arena);
        ran?;
        let outputs = self.outputs(&bound, &bases, &blocks, &grown)?;
        self.remember(blocks.into_values().collect());
        Ok(outputs)
    }

    fn with_size(
        &self,
        symbol: &str,
        size: i64,
    ) -> Result<Option<Box<dyn Executable>>, CompileError> {
        // A loop that is not worth cutting into chunks, or that has few turns, is planned otherwise;
        // everything else is as fast when its sizes come with the run.
        if !walks(&self.graph, &self.graph.root, symbol) {
            return Ok(None);
        }
        let graph = self.graph.with_size(symbol, &Extent::constant(size));
        let cpu = Cpu::sharing((self.level, self.compute), &self.pool, &self.natives);
        cpu.compile(&graph).map(Some)
    }
}

impl Compiled {
    fn run_root(
        &self,
        run: &Run<'_>,
        bound: &Bound,
        bases: &[Base],
        arena: Base,
        absent: &BTreeSet<usize>,
    ) -> Result<(), RunError> {
        let root = &self.plan.root;
        // SAFETY: temporaries lie in the arena, which is as long as the section wants; what is
        // given has the declared shape and lives until the run is over; blocks of results are
        // as long as their buffers, and nobody else has them.
        let frame = unsafe { Frame::new(bound, bases, arena) };
        let begin = |before: usize| {
            for start in &self.needs.starts {
                if start.before == before && absent.contains(&start.given) {
                    let from = frame.view(start.initial);
                    let to = frame.view(self.plan.given[start.given].tensor);
                    let (source, target) = (frame.base(from.buffer), frame.base(to.buffer));
                    // SAFETY: both are memory of the frame.
                    unsafe { copy((from, source), (to, target)) };
                }
            }
        };
        for (at, (launch, bound)) in root.launches.iter().zip(&bound.launches).enumerate() {
            run.advance(at)?;
            begin(at);
            self.decode(at, run.bindings, &frame)?;
            run_launch(run, launch, bound, &frame)?;
        }
        begin(root.launches.len());
        run.advance(root.launches.len())
    }

    fn outputs(
        &self,
        bound: &Bound,
        bases: &[Base],
        blocks: &BTreeMap<BufferId, Arc<Block>>,
        grown: &BTreeMap<BufferId, Stretch>,
    ) -> Result<Outputs, RunError> {
        let mut outputs = Outputs::default();
        for outcome in &self.plan.results {
            let view = &bound.views[outcome.tensor.index()];
            let shape = view.shape();
            let bytes = view.count() * view.dtype.size();
            let whole =
                view.is_dense() && view.offset == 0 && bound.bytes[view.buffer.index()] == bytes;
            let part = grown.get(&view.buffer).filter(|_| view.is_dense());
            let part = part.and_then(|stretch| {
                let start = view.offset.cast_unsigned() * view.dtype.size();
                stretch.part(start..start + bytes)
            });
            let array = match (part, blocks.get(&view.buffer)) {
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
                    // SAFETY: the view is memory of the run that is just over; the block is new
                    // and as long as the copy.
                    unsafe { copy((view, bases[view.buffer.index()]), (&dense, block.base())) };
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
}

/// Whether a loop of a region runs along an axis of this size.
pub(crate) fn walks(graph: &Graph, region: &Region, symbol: &str) -> bool {
    region.nodes().any(|(_, node)| {
        let along = match &node.op {
            Op::Recurrence(own) => graph.axes.extent(own.axis).as_symbol() == Some(symbol),
            _ => false,
        };
        let mut inner = node.op.regions().iter();
        along || inner.any(|inner| walks(graph, inner, symbol))
    })
}

fn allocated(bytes: usize) -> Result<Block, RunError> {
    Block::unwritten(bytes).ok_or(RunError::Memory {
        what: "what a run computes".to_owned(),
        bytes: bytes as u64,
        limit: bytes as u64,
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is kept under these locks is valid after any panic: memory, and finished bindings.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(progress: &mut Progress<'_>, finished: usize, total: usize) -> Result<(), RunError> {
    match progress(Done { finished, total }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(RunError::Cancelled),
    }
}
