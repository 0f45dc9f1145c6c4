//! One launch of a plan, computed on memory that somebody else fills and reads.
//!
//! What another backend has no code for is computed so. Buffers of the launch are [`Piece`]s that are as long as the
//! launch's views reach; numbers that are written in the model are here already.

#![expect(
    unsafe_code,
    reason = "whoever runs a launch says where its buffers are"
)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use girih_graph::Extent;
use girih_kernels::{Level, Pool};
use girih_plan::plan::{BufferId, BufferKind, Plan, Section};
use girih_plan::widen_factors;
use girih_runtime::backend::{Bindings, CompileError, Done, Progress, RunError};
use girih_runtime::plugin::native::Natives;

use crate::backend::Cpu;
use crate::bind::{Binder, Bound, Symbols};
use crate::block::Block;
use crate::codegen::{Code, CodeOptions};
use crate::frame::Frame;
use crate::launch::{Branches, Run, run_launch};
use crate::memory::aligned;
use crate::tables::Tables;
use crate::weights::Weights;

/// A launch with its code.
pub struct Alone {
    /// Of this launch alone; its kernels are no others.
    plan: Plan,
    code: Code,
    tables: Tables,
    weights: Weights,
    natives: Arc<dyn Natives>,
    level: Level,
    pool: Arc<Pool>,
    branches: Branches,
    touched: Vec<(BufferId, bool)>,
    bound: Mutex<Option<(Symbols, Arc<Bound>)>>,
}

impl std::fmt::Debug for Alone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alone")
            .field("touched", &self.touched)
            .finish_non_exhaustive()
    }
}

/// Memory of one buffer, from its first element on.
#[derive(Debug)]
pub struct Piece(Block);

impl Piece {
    /// Zeros; `None` if there is no memory for them.
    pub fn new(bytes: usize) -> Option<Self> {
        Block::new(bytes).map(Self)
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: whoever has a reference to the piece sees that nobody writes.
        unsafe { self.0.as_slice() }
    }

    /// All bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let first = self.0.base().elements();
        // SAFETY: the block owns so many bytes, which were zeros at first, and this piece alone has the block.
        unsafe { std::slice::from_raw_parts_mut(first, self.0.bytes()) }
    }
}

impl Cpu {
    /// A launch of a section of a plan that [`lower_for`](girih_plan::lower_for) made, whatever it was asked for.
    ///
    /// # Errors
    ///
    /// A kernel that has no code, or no memory for numbers that it reads.
    pub fn alone(
        &self,
        plan: &Plan,
        section: &Section,
        launch: usize,
    ) -> Result<Alone, CompileError> {
        let refused = |reason: String| CompileError::Unsupported {
            backend: "cpu".to_owned(),
            graph: plan.name.clone(),
            reason,
        };
        let launch = section
            .launches
            .get(launch)
            .ok_or_else(|| refused("there is no such launch".to_owned()))?;
        let mut touched: BTreeMap<BufferId, bool> = BTreeMap::new();
        launch.visit_buffers(&section.tensors, &mut |buffer, written| {
            *touched.entry(buffer).or_default() |= written;
        });
        let mut own = Section {
            buffers: section.buffers.clone(),
            tensors: section.tensors.clone(),
            launches: vec![launch.clone()],
            ..Section::default()
        };
        for (at, buffer) in own.buffers.iter_mut().enumerate() {
            let is_touched = touched.contains_key(&BufferId(at as u32));
            if !(is_touched && matches!(buffer.kind, BufferKind::Table(_))) {
                buffer.kind = BufferKind::Bound;
            }
        }
        // What the launch does not see has no sizes to be known.
        for tensor in &mut own.tensors {
            if !touched.contains_key(&tensor.buffer) {
                tensor.axes.clear();
                tensor.offset = Extent::constant(0);
            }
        }
        let mut numbers: BTreeMap<usize, usize> = BTreeMap::new();
        let mut kernels = Vec::new();
        own.visit_kernels(&mut |kernel| {
            let known = numbers.len();
            let number = *numbers.entry(*kernel).or_insert(known);
            if number == known {
                kernels.push(plan.kernels[*kernel].clone());
            }
            *kernel = number;
        });
        widen_factors(&mut own, &mut kernels);
        touched
            .retain(|buffer, _| !matches!(own.buffers[buffer.index()].kind, BufferKind::Table(_)));
        let options = CodeOptions {
            level: self.level,
            threads: self.pool.threads(),
        };
        let code = Code::compile(&kernels, &options).map_err(|error| refused(error.to_string()))?;
        let plan = Plan {
            name: plan.name.clone(),
            axes: plan.axes.clone(),
            kernels,
            root: own,
            given: Vec::new(),
            results: Vec::new(),
            checks: Vec::new(),
            choices: Vec::new(),
            broken: Vec::new(),
            calls: Vec::new(),
        };
        let tables = Tables::of(&plan)
            .ok_or_else(|| refused("there is no memory for its tables".to_owned()))?;
        Ok(Alone {
            weights: Weights::of(&plan),
            plan,
            code,
            tables,
            natives: Arc::clone(&self.natives),
            level: self.level,
            pool: Arc::clone(&self.pool),
            branches: Branches::default(),
            touched: touched.into_iter().collect(),
            bound: Mutex::default(),
        })
    }

    /// Whether there is a kernel for an operation of a plugin.
    pub fn has_native(&self, callee: &str) -> bool {
        self.natives.native(callee).is_some()
    }
}

impl Alone {
    /// The buffers that want a piece, and whether they are written.
    pub fn buffers(&self) -> &[(BufferId, bool)] {
        &self.touched
    }

    fn bind(&self, symbols: &Symbols, limit: u64) -> Result<Arc<Bound>, RunError> {
        let mut kept = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, bound)) = &*kept
            && known == symbols
        {
            return Ok(Arc::clone(bound));
        }
        let binder = Binder::new(
            &self.plan,
            &self.code,
            &self.tables,
            &self.weights,
            &*self.natives,
            symbols.clone(),
            limit,
            self.pool.threads(),
        );
        let bound = Arc::new(binder.section(&self.plan.root, &[])?);
        *kept = Some((symbols.clone(), Arc::clone(&bound)));
        Ok(bound)
    }

    /// Runs the launch, with a piece for each of [`buffers`](Self::buffers): `written` has those that are written, `read` the
    /// others, which may be shared. `held` bytes are in use elsewhere.
    ///
    /// # Errors
    ///
    /// As for every run of the backend.
    ///
    /// # Panics
    ///
    /// A piece is missing, or shorter than what the launch sees of its buffer.
    pub fn run(
        &self,
        symbols: &Symbols,
        read: &BTreeMap<BufferId, Arc<Piece>>,
        written: &mut BTreeMap<BufferId, Piece>,
        bindings: &Bindings,
        (held, done): (u64, Done),
        progress: &mut Progress<'_>,
    ) -> Result<(), RunError> {
        let bound = self.bind(symbols, bindings.limit)?;
        let touched = self.touched.iter().map(|(buffer, is_written)| {
            let piece = if *is_written {
                written.get(buffer)
            } else {
                read.get(buffer).map(|own| &**own)
            };
            (*buffer, piece.expect("there is a piece for each buffer"))
        });
        let pieces: BTreeMap<BufferId, &Piece> = touched.collect();
        for view in &bound.views {
            let Some(piece) = pieces.get(&view.buffer) else {
                continue;
            };
            if let Some((first, last)) = view.reach() {
                let elements = piece.0.bytes() / view.dtype.size();
                let inside = first >= 0 && last.cast_unsigned() < elements;
                assert!(inside, "a piece is as long as its views reach");
            }
        }
        let behind = aligned(bound.arena);
        let scratch = bound.scratch.saturating_mul(self.pool.threads());
        let bytes = behind.saturating_add(scratch);
        let arena = Block::unwritten(bytes).ok_or_else(|| RunError::Memory {
            what: "what a launch computes".to_owned(),
            bytes: bytes as u64,
            limit: bindings.limit,
        })?;
        let mut bases = bound.bases(arena.base());
        for (buffer, piece) in &pieces {
            bases[buffer.index()] = piece.0.base();
        }
        let run = Run {
            plan: &self.plan,
            code: &self.code,
            tables: &self.tables,
            weights: &self.weights,
            natives: &*self.natives,
            packs: &[],
            branches: &self.branches,
            pool: &self.pool,
            level: self.level,
            bindings,
            scratch: Cell::new((arena.base().at(behind.cast_signed()), bound.scratch)),
            held: Cell::new(held),
            done: Cell::new(done),
            progress: RefCell::new(progress),
        };
        // SAFETY: the pieces are as long as the views reach, which was just checked; nobody else has those that are
        // written, and nobody writes the others; the arena is as long as the section wants.
        let frame = unsafe { Frame::new(&bound, &bases, arena.base()) };
        let launches = self.plan.root.launches.iter().zip(&bound.launches);
        for (launch, bound) in launches {
            run_launch(&run, launch, bound, &frame)?;
        }
        Ok(())
    }
}
