//! A compiled plan: parameters are loaded once, then it runs any number of times.
//!
//! What was bound for the last few sets of sizes is kept, and so is the memory of
//! earlier runs: blocks of temporaries, and blocks of results that the caller has
//! dropped.

mod given;
mod lane;
mod together;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use girih_graph::{Graph, ValueType};
use girih_kernels::{Level, Pool};
use girih_plan::plan::{GivenKind, Plan};
use girih_runtime::backend::{
    Backend, Bindings, CompileError, Data, Done, Executable, Outputs, ParamSource, Params,
    Progress, RunError, Sizes,
};
use girih_runtime::plugin::native::Natives;

use crate::backend::{Compute, Cpu};
use crate::bind::{Binder, Bound, Symbols};
use crate::block::Block;
use crate::codegen::Code;
use crate::kept::Kept;
use crate::launch::Branches;
use crate::numbers::{all_symbols, known};
use crate::parameter::{Parameter, Uses};
use crate::schedule::{Needs, held, initials_first};
use crate::tables::Tables;
use crate::weights::Weights;
use lane::Lane;

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
    bound: Kept<Bound>,
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
            bound: Kept::default(),
            arenas: Mutex::default(),
            branches: Branches::default(),
            results: Mutex::default(),
        })
    }

    /// The plan with numbers for these sizes, and the most bytes that its values may have.
    fn bind(&self, sizes: &Sizes, limit: u64) -> Result<Arc<Bound>, RunError> {
        let symbols = known(&self.symbols, sizes);
        if let Some(bound) = self.bound.find(&symbols) {
            self.check_memory(&symbols, &bound, limit)?;
            return Ok(bound);
        }
        // Of many sets of sizes, as the steps of a stream have them, little differs from one to the next.
        let mut old = self.bound.oldest();
        let touched = self.needs.touched(&self.plan.root);
        let binder = self.binder(symbols.clone(), limit);
        let bound = match old.as_mut().and_then(Arc::get_mut) {
            Some(old) => {
                let mut bound = std::mem::take(old);
                binder.rebind(&mut bound, &self.plan.root, &touched)?;
                debug_assert_eq!(
                    format!("{bound:?}"),
                    format!("{:?}", binder.section(&self.plan.root, &touched)?),
                    "what is bound anew is bound alike"
                );
                Arc::new(bound)
            }
            None => Arc::new(binder.section(&self.plan.root, &touched)?),
        };
        self.check_memory(&symbols, &bound, limit)?;
        self.bound.keep(symbols, &bound);
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

    /// The smallest block of an earlier run that is large enough, or a new one.
    fn arena(&self, bytes: usize) -> Result<Block, RunError> {
        let mut arenas = lock(&self.arenas);
        let fits = (0..arenas.len()).filter(|at| arenas[*at].bytes() >= bytes);
        if let Some(at) = fits.min_by_key(|at| arenas[*at].bytes()) {
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
        let mut all = self.run_together(std::slice::from_ref(bindings), progress)?;
        Ok(all.pop().expect("as many as were given"))
    }

    fn run_together(
        &self,
        all: &[Bindings],
        progress: &mut Progress<'_>,
    ) -> Result<Vec<Outputs>, RunError> {
        let mut lanes: Vec<Lane<'_>> = Vec::with_capacity(all.len());
        for bindings in all {
            let lane = self.lane(bindings, &lanes)?;
            lanes.push(lane);
        }
        let ran = self.walk(&lanes, progress);
        let outputs = ran.and_then(|()| lanes.iter().map(|lane| self.outputs(lane)).collect());
        self.keep(lanes);
        outputs
    }

    fn sibling(&self, graph: &Graph) -> Result<Box<dyn Executable>, CompileError> {
        let cpu = Cpu::sharing((self.level, self.compute), &self.pool, &self.natives);
        cpu.compile(graph)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use girih_graph::{Extent, text};

    #[test]
    #[should_panic(expected = "leaves its buffer")]
    fn views_of_constant_sizes_are_checked_too() {
        let graph = "girih-graph 1
graph twice(x: f32[d=4]) -> (y: f32[d=4]) {
  %0 = add x, x : f32[d=4]
  return %0
}
";
        let graph = text::parse(graph).expect("it is well-formed");
        let refused = crate::fallback::Refused::new();
        let mut compiled = Cpu::default()
            .compiled(&graph, &refused)
            .expect("it runs every graph");
        for tensor in &mut compiled.plan.root.tensors {
            tensor.offset = Extent::constant(1);
        }
        let _ = compiled.bind(&Sizes::default(), u64::MAX);
    }
}
