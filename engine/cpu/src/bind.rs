//! A plan with numbers for its sizes.
//!
//! All extents of a section are evaluated once for a set of sizes: what every
//! tensor sees, how many bytes every buffer has, where temporaries lie in the
//! section's memory, and what every launch needs to know. What is bound is then
//! run any number of times.
//!
//! Guarantees after binding: every axis has between 0 and [`Extent::LIMIT`]
//! positions; every view stays inside its buffer; all memory together fits the
//! limit. A view outside its buffer is a bug of whoever planned.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;

use girih_graph::{DType, Extent, ExtentError, ValueType};
use girih_plan::plan::{BufferId, BufferKind, Plan, Section, Tensor, TensorId, Work};
use girih_runtime::backend::RunError;
use girih_runtime::plugin::native::Natives;

use crate::block::Base;
use crate::codegen::Code;
use crate::launch::{self, BoundLaunch};
use crate::memory::{Need, aligned, place};
use crate::tables::Tables;
use crate::view::{Line, View};
use crate::weights::Weights;

/// The value of every size symbol that is known.
pub(crate) type Symbols = BTreeMap<Arc<str>, i64>;

/// Bytes of a buffer that somebody else has.
pub(crate) const UNKNOWN: usize = usize::MAX;

/// A section with numbers for its sizes.
#[derive(Debug, Default)]
pub(crate) struct Bound {
    /// One for each tensor.
    pub(crate) views: Vec<View>,
    /// Of each buffer; [`UNKNOWN`] where whoever runs the section has it.
    pub(crate) bytes: Vec<usize>,
    /// Where each temporary buffer starts in the section's memory.
    pub(crate) places: Vec<Option<usize>>,
    /// Where the numbers of the model are.
    pub(crate) constants: Vec<(BufferId, Base)>,
    /// One for each launch.
    pub(crate) launches: Vec<BoundLaunch>,
    /// Bytes of the section's memory, with that of sections inside.
    pub(crate) arena: usize,
    /// Bytes that any kernel wants for each thread, aligned.
    pub(crate) scratch: usize,
    /// What it was bound with.
    pub(crate) symbols: Symbols,
}

impl Bound {
    /// Where buffers start if the section's memory starts at `arena`; those that whoever runs
    /// the section has are nowhere yet.
    pub(crate) fn bases(&self, arena: Base) -> Vec<Base> {
        let base = |place: &Option<usize>| {
            place.map_or(Base::NOWHERE, |place| arena.at(place.cast_signed()))
        };
        let mut bases: Vec<Base> = self.places.iter().map(base).collect();
        for (buffer, base) in &self.constants {
            bases[buffer.index()] = *base;
        }
        bases
    }
}

/// Evaluates the sizes of one run.
pub(crate) struct Binder<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) code: &'a Code,
    pub(crate) tables: &'a Tables,
    pub(crate) weights: &'a Weights,
    pub(crate) natives: &'a dyn Natives,
    pub(crate) symbols: Symbols,
    /// Most bytes that all values may have together.
    pub(crate) limit: u64,
    /// Threads that share a launch.
    pub(crate) threads: usize,
    known: RefCell<HashMap<Extent, i64>>,
}

impl<'a> Binder<'a> {
    #[expect(
        clippy::too_many_arguments,
        reason = "a plan with everything that belongs to it, and sizes"
    )]
    pub(crate) fn new(
        plan: &'a Plan,
        code: &'a Code,
        tables: &'a Tables,
        weights: &'a Weights,
        natives: &'a dyn Natives,
        symbols: Symbols,
        limit: u64,
        threads: usize,
    ) -> Self {
        Self {
            plan,
            code,
            tables,
            weights,
            natives,
            symbols,
            // Offsets in bytes are signed, and sums of them must not wrap.
            limit: limit.min((isize::MAX / 16) as u64),
            threads,
            known: RefCell::default(),
        }
    }

    /// The number of an extent that is no axis'.
    ///
    /// # Errors
    ///
    /// A size that nothing tells, a zero divisor, an overflow.
    pub(crate) fn number(&self, extent: &Extent) -> Result<i64, RunError> {
        self.evaluate(extent).map_err(|source| RunError::Size {
            what: format!("`{extent}`"),
            source,
        })
    }

    fn evaluate(&self, extent: &Extent) -> Result<i64, ExtentError> {
        if let Some(value) = extent.as_constant() {
            return Ok(value);
        }
        if let Some(value) = self.known.borrow().get(extent) {
            return Ok(*value);
        }
        let value = extent.evaluate(&|symbol| self.symbols.get(symbol).copied())?;
        self.known.borrow_mut().insert(extent.clone(), value);
        Ok(value)
    }

    /// The number of positions of an axis.
    ///
    /// # Errors
    ///
    /// A size that cannot be computed, is negative or past the limit.
    pub(crate) fn positions(
        &self,
        extent: &Extent,
        name: impl Fn() -> String,
    ) -> Result<usize, RunError> {
        let what = || format!("axis `{}`", name());
        let value = self.evaluate(extent).map_err(|source| RunError::Size {
            what: what(),
            source,
        })?;
        match usize::try_from(value) {
            Ok(positions) if value <= Extent::LIMIT => Ok(positions),
            _ => Err(RunError::Absurd {
                what: what(),
                value,
            }),
        }
    }

    /// A stride or an offset. Beside an extent of 0, others may be too large for any number;
    /// nothing is read there.
    pub(crate) fn distance(&self, extent: &Extent) -> Result<isize, RunError> {
        match self.evaluate(extent) {
            Ok(value) => Ok(value as isize),
            Err(ExtentError::Overflow(_)) => Ok(0),
            Err(source) => Err(RunError::Size {
                what: format!("`{extent}`"),
                source,
            }),
        }
    }

    /// A view of a tensor.
    pub(crate) fn view(&self, tensor: &Tensor) -> Result<View, RunError> {
        let line = |(axis, stride): &(_, girih_plan::plan::Stride)| {
            let name = || self.plan.axes.name(*axis).to_owned();
            Ok(Line {
                axis: *axis,
                extent: self.positions(&stride.extent, name)?,
                step: self.distance(&stride.step)?,
            })
        };
        Ok(View {
            buffer: tensor.buffer,
            dtype: tensor.dtype,
            offset: self.distance(&tensor.offset)?,
            lines: tensor
                .axes
                .iter()
                .map(line)
                .collect::<Result<_, RunError>>()?,
        })
    }

    /// Binds a section. `touched` are buffers with launches before which they are read besides.
    ///
    /// # Errors
    ///
    /// Sizes that cannot be computed or are absurd, and more memory than allowed.
    pub(crate) fn section(
        &self,
        section: &Section,
        touched: &[(BufferId, usize)],
    ) -> Result<Bound, RunError> {
        let views = section.tensors.iter().map(|tensor| self.view(tensor));
        let mut bound = Bound {
            views: views.collect::<Result<_, _>>()?,
            places: vec![None; section.buffers.len()],
            symbols: self.symbols.clone(),
            ..Bound::default()
        };
        for (at, buffer) in section.buffers.iter().enumerate() {
            let id = BufferId(at as u32);
            let bytes = match &buffer.kind {
                BufferKind::Bound => UNKNOWN,
                BufferKind::Temporary
                | BufferKind::Caller
                | BufferKind::Grown
                | BufferKind::Table(_) => {
                    self.buffer_bytes(id, buffer.dtype, &buffer.elements, &bound.views)?
                }
            };
            if let BufferKind::Table(numbers) = &buffer.kind {
                bound
                    .constants
                    .push((id, self.tables.base(numbers, buffer.dtype)));
            }
            bound.bytes.push(bytes);
        }
        check_views(section, &bound);
        for launch in &section.launches {
            let launch = launch::bind(self, &bound, launch)?;
            bound.scratch = bound.scratch.max(aligned(launch.scratch()));
            bound.launches.push(launch);
        }
        self.place(section, &mut bound, touched)?;
        Ok(bound)
    }

    fn buffer_bytes(
        &self,
        id: BufferId,
        dtype: DType,
        elements: &Extent,
        views: &[View],
    ) -> Result<usize, RunError> {
        let elements = match self.evaluate(elements) {
            Ok(elements) => elements.max(0).cast_unsigned(),
            Err(ExtentError::Overflow(_)) => {
                let empty = |view: &View| view.lines.iter().any(|line| line.extent == 0);
                let mut seen = views.iter().filter(|view| view.buffer == id);
                if seen.all(empty) { 0 } else { u64::MAX }
            }
            Err(source) => {
                return Err(RunError::Size {
                    what: format!("`{elements}`"),
                    source,
                });
            }
        };
        let bytes = elements.saturating_mul(dtype.size() as u64);
        if bytes > self.limit {
            return Err(self.too_large(views, id, bytes));
        }
        Ok(bytes as usize)
    }

    /// The error for a buffer that is too much.
    fn too_large(&self, views: &[View], id: BufferId, bytes: u64) -> RunError {
        let seen = views.iter().filter(|view| view.buffer == id);
        let what = seen
            .max_by_key(|view| view.count())
            .map_or_else(String::new, |view| {
                let ty = ValueType::new(view.dtype, view.axes().collect());
                format!("{} of shape {:?}", self.plan.axes.show(&ty), view.shape())
            });
        RunError::Memory {
            what,
            bytes,
            limit: self.limit,
        }
    }

    fn place(
        &self,
        section: &Section,
        bound: &mut Bound,
        touched: &[(BufferId, usize)],
    ) -> Result<(), RunError> {
        let mut lifetimes = section.lifetimes();
        for (buffer, at) in touched {
            if let Some(lifetime) = &mut lifetimes[buffer.index()] {
                *lifetime = extended(lifetime, *at);
            }
        }
        let mut needs = Vec::new();
        let mut owners = Vec::new();
        for (at, lifetime) in lifetimes.into_iter().enumerate() {
            if let Some(lifetime) = lifetime {
                needs.push(Need {
                    bytes: bound.bytes[at],
                    lifetime,
                });
                owners.push(at);
            }
        }
        let buffers = owners.len();
        for (at, launch) in bound.launches.iter().enumerate() {
            if let BoundLaunch::Recurrence(launch) = launch {
                needs.push(Need {
                    bytes: launch.area(),
                    lifetime: at..=at,
                });
                owners.push(at);
            }
        }
        let (offsets, arena) = place(&needs);
        for (need, offset) in offsets.into_iter().enumerate() {
            let owner = owners[need];
            if need < buffers {
                bound.places[owner] = Some(offset);
            } else if let BoundLaunch::Recurrence(launch) = &mut bound.launches[owner] {
                launch.place = offset;
            }
        }
        bound.arena = arena;
        self.check_limit(bound, arena as u64)
    }

    /// That so many bytes are allowed; the largest buffer is named if they are not.
    ///
    /// # Errors
    ///
    /// [`RunError::Memory`].
    pub(crate) fn check_limit(&self, bound: &Bound, bytes: u64) -> Result<(), RunError> {
        if bytes <= self.limit {
            return Ok(());
        }
        let known = (0..bound.bytes.len()).filter(|at| bound.bytes[*at] != UNKNOWN);
        let largest = known.max_by_key(|at| bound.bytes[*at]);
        let largest = BufferId(largest.unwrap_or(0) as u32);
        Err(self.too_large(&bound.views, largest, bytes))
    }
}

fn extended(lifetime: &RangeInclusive<usize>, at: usize) -> RangeInclusive<usize> {
    *lifetime.start().min(&at)..=*lifetime.end().max(&at)
}

/// A plan's views stay inside their buffers: memory safety rests on it.
fn check_views(section: &Section, bound: &Bound) {
    for (tensor, view) in bound.views.iter().enumerate() {
        let buffer = &section.buffers[view.buffer.index()];
        assert_eq!(view.dtype, buffer.dtype, "a tensor has its buffer's dtype");
        let Some((first, last)) = view.reach() else {
            continue;
        };
        let elements = bound.bytes[view.buffer.index()] / view.dtype.size();
        let inside = first >= 0 && last.cast_unsigned() < elements;
        assert!(inside, "tensor {tensor} leaves its buffer: {view:?}");
    }
}

/// Bytes of a dense copy of what a view sees.
pub(crate) fn dense_bytes(view: &View) -> usize {
    aligned(view.count().saturating_mul(view.dtype.size()))
}

/// The first launch that touches a buffer, or the number of launches.
pub(crate) fn first_use(section: &Section, buffer: BufferId) -> usize {
    let touches = |launch: &girih_plan::plan::Launch| {
        let mut found = false;
        launch.visit_buffers(&section.tensors, &mut |own, _| found |= own == buffer);
        found
    };
    let found = section.launches.iter().position(touches);
    found.unwrap_or(section.launches.len())
}

/// The buffer of a tensor.
pub(crate) fn buffer_of(section: &Section, tensor: TensorId) -> BufferId {
    section.tensors[tensor.index()].buffer
}

/// All sections of a plan, outermost first.
pub(crate) fn sections(plan: &Plan) -> Vec<&Section> {
    let mut found = vec![&plan.root];
    let mut at = 0;
    while let Some(section) = found.get(at).copied() {
        for launch in &section.launches {
            match &launch.work {
                Work::Recurrence(launch) => found.push(&launch.body),
                Work::Route(route) => {
                    found.extend(route.branches.iter().map(|branch| &branch.section));
                }
                Work::Kernel(_)
                | Work::Contract(_)
                | Work::Attention(_)
                | Work::Routine(_)
                | Work::Native(_) => {}
            }
        }
        at += 1;
    }
    found
}
