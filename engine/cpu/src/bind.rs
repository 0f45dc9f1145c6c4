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

use girih_plan::plan::{BufferId, BufferKind, Plan, Section};
use girih_runtime::backend::RunError;
use girih_runtime::plugin::native::Natives;

use crate::block::Base;
use crate::codegen::Code;
use crate::launch::{self, BoundLaunch};
use crate::memory::{aligned, arrange};
use crate::numbers::check_views;
use crate::tables::Tables;
use crate::view::View;
use crate::weights::Weights;

pub(crate) use crate::numbers::{Numbers, Symbols, UNKNOWN};
pub(crate) use crate::schedule::{buffer_of, sections};

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
    pub(crate) numbers: Numbers<'a>,
    /// Threads that share a launch.
    pub(crate) threads: usize,
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
            numbers: Numbers::new(&plan.axes, symbols, limit),
            threads,
        }
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
        let views = section
            .tensors
            .iter()
            .map(|tensor| self.numbers.view(tensor));
        let mut bound = Bound {
            views: views.collect::<Result<_, _>>()?,
            places: vec![None; section.buffers.len()],
            symbols: self.numbers.symbols.clone(),
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
                    self.numbers
                        .buffer_bytes(id, buffer.dtype, &buffer.elements, &bound.views)?
                }
            };
            if let BufferKind::Table(numbers) = &buffer.kind {
                bound
                    .constants
                    .push((id, self.tables.base(numbers, buffer.dtype)));
            }
            bound.bytes.push(bytes);
        }
        check_views(section, &bound.views, &bound.bytes);
        for launch in &section.launches {
            let launch = launch::bind(self, &bound, launch)?;
            bound.scratch = bound.scratch.max(aligned(launch.scratch()));
            bound.launches.push(launch);
        }
        self.place(section, &mut bound, touched)?;
        Ok(bound)
    }

    fn place(
        &self,
        section: &Section,
        bound: &mut Bound,
        touched: &[(BufferId, usize)],
    ) -> Result<(), RunError> {
        let area = |launch: &BoundLaunch| match launch {
            BoundLaunch::Recurrence(launch) => launch.area(),
            _ => 0,
        };
        let areas: Vec<usize> = bound.launches.iter().map(area).collect();
        let arranged = arrange(section, &bound.bytes, &areas, touched);
        for (launch, place) in bound.launches.iter_mut().zip(arranged.areas) {
            if let BoundLaunch::Recurrence(launch) = launch {
                launch.place = place;
            }
        }
        bound.places = arranged.places;
        bound.arena = arranged.bytes;
        self.numbers
            .check_limit(&bound.views, &bound.bytes, bound.arena as u64)
    }
}

/// Bytes of a dense copy of what a view sees.
pub(crate) fn dense_bytes(view: &View) -> usize {
    aligned(view.count().saturating_mul(view.dtype.size()))
}
