//! A compiled plan: parameters are uploaded once, then it runs any number of times.
//!
//! What was bound for the last few sets of sizes is kept, and so is the memory of earlier runs: for temporaries, and that
//! of results that the caller has dropped.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use girih_cpu::kept::Kept;
use girih_cpu::numbers::{Numbers, all_symbols, known};
use girih_cpu::schedule::{Needs, held, initials_first};
use girih_cpu::stretch::Stretch;
use girih_cpu::view::{View, dense_steps};
use girih_graph::{Graph, ValueType};
use girih_plan::plan::{BufferId, BufferKind, Given, GivenKind, Plan};
use girih_runtime::backend::{
    self, Backend, Bindings, CompileError, Data, Done, Executable, Output, Outputs, ParamSource,
    Params, Progress, RunError, Sizes,
};
use girih_runtime::device::{Failure, Memory, Place};

use crate::array::{Array, Store, allocated};
use crate::backend::OnDevice;
use crate::bound::{Bound, bind};
use crate::context::{Context, lock};
use crate::pool::Pool;
use crate::program::Compiled;
use crate::route::Branches;
use crate::run::{Frame, Run, at, places, stage};

/// A plan with its code.
pub(crate) struct Planned {
    context: Arc<Context>,
    graph: Graph,
    plan: Plan,
    compiled: Compiled,
    symbols: Vec<Arc<str>>,
    needs: Needs,
    bound: Kept<Bound>,
    pool: Pool,
    branches: Branches,
    results: Mutex<Vec<Arc<Memory>>>,
}

impl Planned {
    pub(crate) fn new(
        context: &Arc<Context>,
        graph: &Graph,
        mut plan: Plan,
    ) -> Result<Self, RunError> {
        initials_first(&mut plan);
        let needs = Needs::of(&plan);
        let cuts: Vec<usize> = needs.starts.iter().map(|start| start.before).collect();
        Ok(Self {
            compiled: Compiled::new(context, &plan, &cuts)?,
            context: Arc::clone(context),
            graph: graph.clone(),
            symbols: all_symbols(graph, &plan),
            needs,
            plan,
            bound: Kept::default(),
            pool: Pool::default(),
            branches: Branches::default(),
            results: Mutex::default(),
        })
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// The plan with numbers for these sizes, and the most bytes that its values may have.
    fn bind(&self, sizes: &Sizes, limit: u64) -> Result<Arc<Bound>, RunError> {
        let symbols = known(&self.symbols, sizes);
        let numbers = Numbers::new(&self.plan.axes, symbols.clone(), limit);
        let fits = |bound: &Bound| {
            let held = held(&self.plan, &bound.bytes, bound.arena);
            numbers.check_limit(&bound.views, &bound.bytes, held)
        };
        if let Some(bound) = self.bound.find(&symbols) {
            fits(&bound)?;
            return Ok(bound);
        }
        let touched = self.needs.touched(&self.plan.root);
        let (root, program) = (&self.plan.root, &self.compiled.root);
        let bound = Arc::new(bind(&self.plan, &numbers, root, program, &touched)?);
        fits(&bound)?;
        self.bound.keep(symbols, &bound);
        Ok(bound)
    }

    fn given_type(&self, given: &Given) -> ValueType {
        let tensor = &self.plan.root.tensors[given.tensor.index()];
        let axes = tensor.axes.iter().map(|(axis, _)| *axis);
        ValueType::new(tensor.dtype, axes.collect())
    }

    /// What the caller gives for a leaf, on the device; `None`: it starts as the plan says.
    fn given(
        &self,
        number: usize,
        bindings: &Bindings,
        view: &View,
    ) -> Result<Option<Array>, RunError> {
        let given = &self.plan.given[number];
        let (kind, named) = match given.kind {
            GivenKind::Input => (backend::Given::Input, &bindings.inputs),
            GivenKind::Param => (backend::Given::Param, &*bindings.params),
            GivenKind::State => (backend::Given::State, &bindings.states),
        };
        let Some(data) = named.get(&*given.name) else {
            if given.initial.is_some() {
                return Ok(None);
            }
            return Err(RunError::Missing {
                given: kind,
                name: given.name.to_string(),
                wanted: self.plan.axes.show(&self.given_type(given)),
            });
        };
        // Two nodes of one name may be declared unlike; only one of them was checked.
        if data.shape() != view.shape() {
            return Err(RunError::Rank {
                given: kind,
                name: given.name.to_string(),
                wanted: self.plan.axes.show(&self.given_type(given)),
                found: data.shape().to_vec(),
            });
        }
        Array::prepared(&self.context.device, data, view.dtype).map(Some)
    }

    /// Memory for a result; that of one which the caller has dropped, or new.
    fn result(&self, bytes: u64) -> Result<Arc<Memory>, RunError> {
        let bytes = bytes.max(1);
        let mut results = lock(&self.results);
        let free = |memory: &Arc<Memory>| memory.bytes() == bytes && Arc::strong_count(memory) == 1;
        if let Some(fits) = results.iter().position(free) {
            return Ok(results.swap_remove(fits));
        }
        drop(results);
        Ok(Arc::new(allocated(&*self.context.device, bytes)?))
    }

    /// Keeps memory that is given out, to be used again when it comes back.
    fn remember(&self, given: Vec<Arc<Memory>>) {
        let mut results = lock(&self.results);
        // Sizes change: what came back and was not used again goes.
        results.retain(|memory| Arc::strong_count(memory) > 1);
        results.extend(given);
    }

    /// Memory for what the run gives back.
    fn owned(
        &self,
        bound: &Bound,
        arrays: &BTreeMap<BufferId, Array>,
        room: u64,
    ) -> Result<BTreeMap<BufferId, Store>, RunError> {
        let buffers = || self.plan.root.buffers.iter().zip(&bound.bytes);
        let grown = buffers().filter(|(buffer, _)| matches!(buffer.kind, BufferKind::Grown));
        let all = grown.fold(0, |all: u64, (_, bytes)| all.saturating_add(*bytes as u64));
        let mut owned = BTreeMap::new();
        for (number, (buffer, bytes)) in buffers().enumerate() {
            let id = BufferId(number as u32);
            let given = arrays.get(&id);
            let store = match buffer.kind {
                BufferKind::Grown => {
                    let share = u128::from(room) * *bytes as u128 / u128::from(all.max(1));
                    let share = usize::try_from(share).unwrap_or(usize::MAX).min(*bytes);
                    Store::Grown(self.grown(given, *bytes, share)?)
                }
                BufferKind::Caller if given.is_none() => {
                    Store::Written(self.result(*bytes as u64)?, 0)
                }
                BufferKind::Caller
                | BufferKind::Temporary
                | BufferKind::Bound
                | BufferKind::Table(_) => continue,
            };
            owned.insert(id, store);
        }
        Ok(owned)
    }

    /// Memory for a value that begins as what is given: where that lies, if there is room behind it, or else a copy, with
    /// room for later runs.
    fn grown(
        &self,
        given: Option<&Array>,
        bytes: usize,
        room: usize,
    ) -> Result<Stretch<Memory>, RunError> {
        let device = &self.context.device;
        let past = given.map_or(0, Array::size).min(bytes);
        let old = given.and_then(Array::stretch);
        if let Some(longer) = old.and_then(|own| own.longer_here(bytes - past)) {
            return Ok(longer);
        }
        let front = old.and_then(|own| own.longer_in_front(bytes - past));
        let new = if let Some(front) = front {
            front
        } else {
            let held = bytes.saturating_add(room).max(1);
            let memory = allocated(&**device, held as u64)?;
            let new = Stretch::over(memory, held, bytes);
            new.expect("memory is as long as it was asked to be")
        };
        if let (Some(given), true) = (given, past > 0) {
            let to = Place {
                memory: new.memory(),
                offset: new.start() as u64,
            };
            device.copy(to, given.place(), past as u64)?;
        }
        Ok(new)
    }

    fn run_root(
        &self,
        run: &Run<'_>,
        frame: &Frame<'_>,
        absent: &BTreeSet<usize>,
    ) -> Result<(), RunError> {
        let root = &self.plan.root;
        run.begin()?;
        let begin = |before: usize| {
            for start in &self.needs.starts {
                if start.before == before && absent.contains(&start.given) {
                    let to = frame.tensor(self.plan.given[start.given].tensor);
                    run.copy(frame.tensor(start.initial), to)?;
                }
            }
            Ok::<(), RunError>(())
        };
        for (number, own) in self.compiled.root.stages.iter().enumerate() {
            run.advance(own.launches.start)?;
            begin(own.launches.start)?;
            stage(run, root, &self.compiled.root, number, frame)?;
        }
        begin(root.launches.len())?;
        run.advance(root.launches.len())
    }

    fn outputs(
        &self,
        run: &Run<'_>,
        frame: &Frame<'_>,
        owned: &BTreeMap<BufferId, Store>,
    ) -> Result<Outputs, RunError> {
        let device = &self.context.device;
        let mut outputs = Outputs::default();
        for outcome in &self.plan.results {
            let (view, place) = frame.tensor(outcome.tensor);
            let (shape, size) = (view.shape(), view.dtype.size() as u64);
            let bytes = view.count() as u64 * size;
            let whole = frame.bound.bytes[view.buffer.index()] as u64 == bytes;
            let start = view.offset.cast_unsigned() * view.dtype.size();
            let own = owned.get(&view.buffer).filter(|_| view.is_dense());
            let lies = match own {
                Some(Store::Written(memory, _)) if whole => {
                    Some(Store::Written(Arc::clone(memory), start as u64))
                }
                Some(Store::Grown(stretch)) => stretch
                    .part(start..start + bytes as usize)
                    .map(Store::Grown),
                _ => None,
            };
            let store = if let Some(store) = lies {
                store
            } else {
                let mut dense = view.clone();
                dense.offset = 0;
                for (line, step) in dense.lines.iter_mut().zip(dense_steps(&shape)) {
                    line.step = step;
                }
                let memory = Arc::new(allocated(&**device, bytes)?);
                let to = Place {
                    memory: &memory,
                    offset: 0,
                };
                run.copy((view, place), (&dense, to))?;
                Store::Written(memory, 0)
            };
            let name = |axis| self.plan.axes.name(axis).to_owned();
            let output = Output {
                axes: view.axes().map(name).collect(),
                data: Data::Device(Arc::new(Array::new(device, store, view.dtype, shape))),
            };
            let outputs = if outcome.state {
                &mut outputs.states
            } else {
                &mut outputs.results
            };
            outputs.insert(outcome.name.to_string(), output);
        }
        Ok(outputs)
    }
}

impl Executable for Planned {
    fn load(
        &self,
        source: &mut dyn ParamSource,
        progress: &mut Progress<'_>,
    ) -> Result<Params, RunError> {
        let mut wanted: BTreeMap<&str, ValueType> = BTreeMap::new();
        for (given, needed) in self.plan.given.iter().zip(&self.needs.needed) {
            if given.kind == GivenKind::Param && *needed {
                wanted.insert(&given.name, self.given_type(given));
            }
        }
        let total = wanted.len();
        let mut params = BTreeMap::new();
        for (finished, (path, ty)) in wanted.into_iter().enumerate() {
            tell(progress, finished, total)?;
            let data = source.given(path)?;
            Sizes::check_param(&self.plan.axes, path, &ty, data.dtype(), data.shape())?;
            let tensor = data.into_tensor(path)?;
            let array = Array::loaded(&self.context, &tensor, ty.dtype)?;
            params.insert(path.to_owned(), Data::Device(Arc::new(array)));
        }
        tell(progress, total, total)?;
        Ok(Arc::new(params))
    }

    fn run(&self, bindings: &Bindings, progress: &mut Progress<'_>) -> Result<Outputs, RunError> {
        let sizes = Sizes::of(&self.graph, bindings)?;
        let memory = self.context.device.info().bytes;
        let limit = if memory > 0 {
            bindings.limit.min(memory)
        } else {
            bindings.limit
        };
        let bound = self.bind(&sizes, limit)?;
        let root = &self.plan.root;

        // What is given must live until the run is over.
        let mut arrays: BTreeMap<BufferId, Array> = BTreeMap::new();
        let (mut absent, mut params) = (BTreeSet::new(), Vec::new());
        for (number, (given, needed)) in self.plan.given.iter().zip(&self.needs.needed).enumerate()
        {
            if !*needed {
                continue;
            }
            let view = &bound.views[given.tensor.index()];
            match self.given(number, bindings, view)? {
                Some(array) => {
                    if given.kind == GivenKind::Param {
                        params.push(array.clone());
                    }
                    arrays.insert(view.buffer, array);
                }
                None => {
                    absent.insert(number);
                }
            }
        }
        let owned = self.owned(&bound, &arrays, bindings.room)?;
        // What guards write lies before the section's memory.
        let slots = (self.compiled.failures.len() + 1) * Failure::BYTES;
        let slots = girih_cpu::memory::aligned(slots);
        let bytes = (bound.arena as u64).saturating_add(slots as u64);
        let arena = self.pool.take(&*self.context.device, bytes)?;
        let start = Place {
            memory: &arena,
            offset: 0,
        };
        let own = at(start, slots);
        let mut here = places(&self.compiled, root, &bound, own);
        for (buffer, array) in &arrays {
            here[buffer.index()] = array.place();
        }
        for (buffer, store) in &owned {
            here[buffer.index()] = store.place();
        }
        let total = root.launches.len();
        let run = Run {
            context: &self.context,
            plan: &self.plan,
            pool: &self.pool,
            branches: &self.branches,
            params: &params,
            compiled: &self.compiled,
            bindings,
            slots: start,
            held: held(&self.plan, &bound.bytes, bound.arena),
            done: Cell::new(Done { finished: 0, total }),
            progress: RefCell::new(progress),
        };
        let frame = Frame {
            bound: &bound,
            places: &here,
            arena: own,
        };
        let ran = self.run_root(&run, &frame, &absent);
        // What came after a guard that failed says nothing.
        let outputs = match ran {
            Err(RunError::Cancelled) => Err(RunError::Cancelled),
            Err(error) => run.check().and(Err(error)),
            Ok(()) => run
                .check()
                .and_then(|()| self.outputs(&run, &frame, &owned)),
        };
        self.pool.give_back(arena);
        let outputs = outputs?;
        let results = owned.into_values().filter_map(|own| match own {
            Store::Written(memory, _) => Some(memory),
            Store::Grown(_) => None,
        });
        self.remember(results.collect());
        Ok(outputs)
    }

    fn sibling(&self, graph: &Graph) -> Result<Box<dyn Executable>, CompileError> {
        OnDevice::sharing(&self.context).compile(graph)
    }
}

fn tell(progress: &mut Progress<'_>, finished: usize, total: usize) -> Result<(), RunError> {
    match progress(Done { finished, total }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(RunError::Cancelled),
    }
}
