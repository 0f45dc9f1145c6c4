//! Runs the launches of a section in order.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use girih_cpu::numbers::UNKNOWN;
use girih_cpu::view::View;
use girih_cpu::{Alone, first_word};
use girih_plan::plan::{BufferId, BufferKind, Plan, Section, TensorId, Work};
use girih_plan::region::drawn_key;
use girih_runtime::backend::{Bindings, Done, Progress, RunError};
use girih_runtime::device::{Failure, Place, RegionCall};

use crate::array::{Array, fetched};
use crate::bound::{Bound, BoundStage};
use crate::context::Context;
use crate::pool::Pool;
use crate::program::{Compiled, How, OnDevice, Program, Stage};
use crate::route::Branches;
use crate::{route, strided, walk};

/// What every launch may ask while a plan runs.
pub(crate) struct Run<'a> {
    pub(crate) context: &'a Context,
    pub(crate) plan: &'a Plan,
    pub(crate) compiled: &'a Compiled,
    pub(crate) bindings: &'a Bindings,
    pub(crate) pool: &'a Pool,
    pub(crate) branches: &'a Branches,
    /// What does not change between runs.
    pub(crate) params: &'a [Array],
    /// Where guards that fail write: slot after slot.
    pub(crate) slots: Place<'a>,
    /// Bytes that values of the run hold.
    pub(crate) held: u64,
    pub(crate) done: Cell<Done>,
    pub(crate) progress: RefCell<&'a mut Progress<'a>>,
}

impl Run<'_> {
    /// Tells the caller that `finished` launches of the whole model are done.
    pub(crate) fn advance(&self, finished: usize) -> Result<(), RunError> {
        let total = self.done.get().total;
        self.done.set(Done { finished, total });
        self.tick()
    }

    /// Asks the caller whether to go on.
    pub(crate) fn tick(&self) -> Result<(), RunError> {
        let mut progress = self.progress.borrow_mut();
        if progress(self.done.get()).is_break() {
            return Err(RunError::Cancelled);
        }
        Ok(())
    }

    /// Where the guards of a slot write.
    pub(crate) fn slot(&self, number: usize) -> Place<'_> {
        at(self.slots, number * Failure::BYTES)
    }

    /// Copies what one view sees to where another one sees it.
    pub(crate) fn copy(
        &self,
        from: (&View, Place<'_>),
        to: (&View, Place<'_>),
    ) -> Result<(), RunError> {
        strided::copy(self.context, from, to, self.slot(0))
    }

    /// Clears what guards write.
    pub(crate) fn begin(&self) -> Result<(), RunError> {
        let bytes = vec![0; self.slot_count() * Failure::BYTES];
        Ok(self.context.device.write(self.slots, &bytes)?)
    }

    fn slot_count(&self) -> usize {
        self.compiled.failures.len() + 1
    }

    /// Whether a guard has failed.
    ///
    /// # Errors
    ///
    /// [`RunError::Position`] if one has; the device fails.
    pub(crate) fn check(&self) -> Result<(), RunError> {
        if self.compiled.failures.is_empty() {
            return Ok(());
        }
        let mut bytes = vec![0; self.slot_count() * Failure::BYTES];
        self.context.device.read(self.slots, &mut bytes)?;
        let slots = bytes.chunks_exact(Failure::BYTES).skip(1);
        for (slot, known) in slots.zip(&self.compiled.failures) {
            let Some(failure) = Failure::read(slot) else {
                continue;
            };
            let launch = usize::try_from(failure.launch).ok();
            let status = usize::try_from(failure.status - 1).ok();
            let meant = launch.and_then(|launch| known.get(launch)?.get(status?));
            return Err(RunError::Position {
                axis: meant.map_or_else(String::new, |meant| meant.axis.clone()),
                position: failure.position,
                extent: usize::try_from(failure.extent).unwrap_or_default(),
            });
        }
        Ok(())
    }
}

/// Some bytes further on.
pub(crate) fn at(place: Place<'_>, bytes: usize) -> Place<'_> {
    Place {
        memory: place.memory,
        offset: place.offset + bytes as u64,
    }
}

/// Where the buffers of a section are while it runs.
#[derive(Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) bound: &'a Bound,
    pub(crate) places: &'a [Place<'a>],
    /// Where the section's own memory starts.
    pub(crate) arena: Place<'a>,
}

impl<'a> Frame<'a> {
    /// What a tensor sees, and where its buffer starts.
    pub(crate) fn tensor(&self, tensor: TensorId) -> (&'a View, Place<'a>) {
        let view = &self.bound.views[tensor.index()];
        (view, self.places[view.buffer.index()])
    }
}

/// Where buffers start if the section's memory starts at `arena`; those that whoever runs the section has are there, too,
/// until it says otherwise.
pub(crate) fn places<'a>(
    compiled: &'a Compiled,
    section: &Section,
    bound: &Bound,
    arena: Place<'a>,
) -> Vec<Place<'a>> {
    let place = |(at_buffer, buffer): (usize, &girih_plan::plan::Buffer)| match &buffer.kind {
        BufferKind::Table(numbers) => Place {
            memory: compiled.table(numbers, buffer.dtype),
            offset: 0,
        },
        BufferKind::Temporary | BufferKind::Bound | BufferKind::Caller | BufferKind::Grown => {
            at(arena, bound.places[at_buffer].unwrap_or_default())
        }
    };
    section.buffers.iter().enumerate().map(place).collect()
}

/// Runs one stage of a section.
pub(crate) fn stage(
    run: &Run<'_>,
    section: &Section,
    program: &Program,
    number: usize,
    frame: &Frame<'_>,
) -> Result<(), RunError> {
    let Stage { launches, how, .. } = &program.stages[number];
    let work = &section.launches[launches.start].work;
    match (how, &frame.bound.stages[number]) {
        (How::Region(region), BoundStage::Region(symbols)) => launch(run, region, symbols, frame),
        (How::Walk(body), BoundStage::Walk(bound)) => match work {
            Work::Recurrence(launch) => walk::run(run, launch, body, bound, frame),
            _ => unreachable!("only loops are walked"),
        },
        (How::Branches(programs), BoundStage::Branches) => match work {
            Work::Route(launch) => route::run(run, launch, programs, frame),
            _ => unreachable!("only routes have branches"),
        },
        (How::Host(alone), BoundStage::Host) => on_host(run, section, alone, frame),
        _ => unreachable!("every stage is bound as what it is"),
    }
}

fn launch(
    run: &Run<'_>,
    region: &OnDevice,
    symbols: &[i64],
    frame: &Frame<'_>,
) -> Result<(), RunError> {
    let place = |buffer: &BufferId| frame.places[buffer.index()];
    let buffers: Vec<Place<'_>> = region.buffers.iter().map(place).collect();
    let mut symbols = Cow::Borrowed(symbols);
    for (at, symbol) in region.symbols.iter().enumerate() {
        if let Some(key) = drawn_key(symbol) {
            symbols.to_mut()[at] = first_word(run.bindings, key).cast_signed();
        }
    }
    let call = RegionCall {
        buffers: &buffers,
        symbols: &symbols,
        failure: run.slot(region.slot),
    };
    Ok(run.context.device.run(&region.code, &call)?)
}

/// Computes a launch on copies of the buffers that it touches.
fn on_host(
    run: &Run<'_>,
    section: &Section,
    alone: &Alone,
    frame: &Frame<'_>,
) -> Result<(), RunError> {
    let (device, limit) = (&run.context.device, run.bindings.limit);
    let (mut read, mut written) = (BTreeMap::new(), BTreeMap::new());
    for (buffer, is_written) in alone.buffers() {
        let place = frame.places[buffer.index()];
        if !is_written && let Some(param) = run.params.iter().find(|own| own.is_at(place)) {
            read.insert(*buffer, param.on_host(limit)?);
            continue;
        }
        let bytes = length(section, frame.bound, *buffer);
        let piece = fetched(device, place, bytes, limit)?;
        if *is_written {
            written.insert(*buffer, piece);
        } else {
            read.insert(*buffer, Arc::new(piece));
        }
    }
    let mut progress = run.progress.borrow_mut();
    let state = (run.held, run.done.get());
    alone.run(
        &frame.bound.symbols,
        &read,
        &mut written,
        run.bindings,
        state,
        &mut |done| progress(done),
    )?;
    for (buffer, piece) in &written {
        if !piece.bytes().is_empty() {
            device.write(frame.places[buffer.index()], piece.bytes())?;
        }
    }
    Ok(())
}

/// Bytes of a buffer, as far as anything sees them.
fn length(section: &Section, bound: &Bound, buffer: BufferId) -> usize {
    let known = bound.bytes[buffer.index()];
    if known != UNKNOWN {
        return known;
    }
    let views = bound.views.iter().filter(|view| view.buffer == buffer);
    let last = views.filter_map(View::reach).map(|(_, last)| last);
    let elements = last.max().map_or(0, |last| (last + 1).max(0));
    elements.cast_unsigned() * section.buffers[buffer.index()].dtype.size()
}
