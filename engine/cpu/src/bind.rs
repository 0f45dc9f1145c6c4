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

use girih_plan::plan::{Buffer, BufferId, BufferKind, Plan, Section};
use girih_runtime::backend::RunError;
use girih_runtime::plugin::native::Natives;

use crate::block::Base;
use crate::codegen::Code;
use crate::launch::{self, BoundLaunch};
use crate::memory::{aligned, arrange};
use crate::numbers::{Reads, changed, check_views};
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
    /// Which of the symbols each view, size of a buffer, and launch was computed from.
    reads: [Vec<Reads>; 3],
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
        let mut bound = Bound::default();
        self.rebind(&mut bound, section, touched)?;
        Ok(bound)
    }

    /// As [`section`](Self::section), from the same section with numbers for other sizes: what was computed from none
    /// that changed stays. After an error it is no use.
    ///
    /// # Errors
    ///
    /// As for [`section`](Self::section).
    pub(crate) fn rebind(
        &self,
        bound: &mut Bound,
        section: &Section,
        touched: &[(BufferId, usize)],
    ) -> Result<(), RunError> {
        let new = bound.places.is_empty();
        let changed = changed(&bound.symbols, &self.numbers.symbols);
        bound.symbols.clone_from(&self.numbers.symbols);
        let [mut views, mut bytes, mut launches] = std::mem::take(&mut bound.reads);
        // Of a section that is new nothing stays, constants neither.
        let stays = |reads: Option<&Reads>| !new && reads.is_some_and(|reads| reads & changed == 0);

        let mut seen: Vec<Reads> = vec![0; section.buffers.len()];
        for (at, tensor) in section.tensors.iter().enumerate() {
            if !stays(views.get(at)) {
                let (view, reads) = self.numbers.reading(|| self.numbers.view(tensor));
                put(&mut bound.views, at, view?);
                put(&mut views, at, reads);
            }
            seen[tensor.buffer.index()] |= views[at];
        }
        let mut moved = new;
        for (at, buffer) in section.buffers.iter().enumerate() {
            let id = BufferId(at as u32);
            if !stays(bytes.get(at)) || !stays(seen.get(at)) {
                let (size, reads) = self.numbers.reading(|| self.bytes(bound, id, buffer));
                let size = size?;
                moved |= bound.bytes.get(at) != Some(&size)
                    && matches!(buffer.kind, BufferKind::Temporary);
                put(&mut bound.bytes, at, size);
                put(&mut bytes, at, reads);
            }
            seen[at] |= bytes[at];
        }
        if new {
            bound.constants = self.constants(section);
        }
        check_views(section, &bound.views, &bound.bytes, &|buffer| {
            !stays(seen.get(buffer.index()))
        });
        for (at, launch) in section.launches.iter().enumerate() {
            if !stays(launches.get(at)) {
                let (made, mut reads) = self.numbers.reading(|| launch::bind(self, bound, launch));
                launch.visit_buffers(&section.tensors, &mut |buffer, _| {
                    reads |= seen[buffer.index()];
                });
                if launch::reads_more(launch) {
                    reads = Reads::MAX;
                }
                let made = made?;
                moved |= matches!(made, BoundLaunch::Recurrence(_));
                put(&mut bound.launches, at, made);
                put(&mut launches, at, reads);
            }
        }
        let scratch = bound
            .launches
            .iter()
            .map(|launch| aligned(launch.scratch()));
        bound.scratch = apart(scratch.max().unwrap_or(0), self.threads);
        if moved {
            place(section, bound, touched);
        }
        bound.reads = [views, bytes, launches];
        self.numbers
            .check_limit(&bound.views, &bound.bytes, bound.arena as u64)
    }

    fn bytes(&self, bound: &Bound, id: BufferId, buffer: &Buffer) -> Result<usize, RunError> {
        match &buffer.kind {
            BufferKind::Bound => Ok(UNKNOWN),
            BufferKind::Temporary
            | BufferKind::Caller
            | BufferKind::Grown
            | BufferKind::Table(_) => {
                self.numbers
                    .buffer_bytes(id, buffer.dtype, &buffer.elements, &bound.views)
            }
        }
    }

    fn constants(&self, section: &Section) -> Vec<(BufferId, Base)> {
        let buffers = section.buffers.iter().enumerate();
        let constant = |(at, buffer): (usize, &Buffer)| match &buffer.kind {
            BufferKind::Table(numbers) => {
                let base = self.tables.base(numbers, buffer.dtype);
                Some((BufferId(at as u32), base))
            }
            _ => None,
        };
        buffers.filter_map(constant).collect()
    }
}

/// Where the temporaries of a section lie, and the memory of its loops.
fn place(section: &Section, bound: &mut Bound, touched: &[(BufferId, usize)]) {
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
}

/// Writes what has a place already, or is the next to have one.
fn put<T>(all: &mut Vec<T>, at: usize, new: T) {
    match all.get_mut(at) {
        Some(old) => *old = new,
        None => all.push(new),
    }
}

/// Bytes from one thread's memory to the next one's, if each has so many: cores fetch beyond what they read, but not
/// beyond a page, and what another core writes again and again is not to be fetched.
pub(crate) fn apart(bytes: usize, threads: usize) -> usize {
    const PAGE: usize = 4 << 10;
    if bytes == 0 || threads < 2 {
        bytes
    } else {
        bytes.saturating_add(PAGE)
    }
}

/// Bytes of a dense copy of what a view sees.
pub(crate) fn dense_bytes(view: &View) -> usize {
    aligned(view.count().saturating_mul(view.dtype.size()))
}
