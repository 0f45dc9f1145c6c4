//! Runs a section once per position of an axis.
//!
//! Carried values live in two dense copies that change places at every step; slices,
//! invariants and outputs are read and written where they lie in the outer section.
//! What a body makes as a temporary or hands through is copied to where it belongs.

#![expect(unsafe_code, reason = "whoever runs a section says where its buffers are")]

use girih_plan::plan::{BufferId, BufferKind, RecurrenceLaunch, TensorId};
use girih_runtime::backend::RunError;

use super::{Run, copy, run_section};
use crate::bind::{Binder, Bound, buffer_of};
use crate::frame::Frame;
use crate::memory::aligned;
use crate::view::View;

/// A recurrence with numbers for its sizes.
#[derive(Debug)]
pub(crate) struct BoundRecurrence {
    /// Where its memory starts in that of the section around it.
    pub(crate) place: usize,
    pub(crate) body: Bound,
    steps: usize,
    carried: Vec<Carried>,
    /// Bytes between two steps of each sequence.
    sequences: Vec<isize>,
    outputs: Vec<Output>,
    /// Bytes of the body's memory and of the copies of what is carried.
    area: usize,
}

/// A value that goes from one step to the next.
#[derive(Debug)]
struct Carried {
    /// The two copies in the launch's memory.
    copies: [usize; 2],
    /// Whether the body writes the next value into the other copy; else it is copied there.
    direct: bool,
}

/// A value that is stacked.
#[derive(Debug)]
struct Output {
    /// Bytes between two steps.
    step: isize,
    /// Whether the body writes it where it belongs.
    direct: bool,
    /// One step's part of the outer tensor.
    part: View,
}

impl BoundRecurrence {
    /// Bytes of memory that a run of it wants.
    pub(crate) fn area(&self) -> usize {
        self.area
    }
}

pub(super) fn bind(
    binder: &Binder<'_>,
    outer: &Bound,
    launch: &RecurrenceLaunch,
) -> Result<BoundRecurrence, RunError> {
    let section = &launch.body;
    let steps = binder.positions(&launch.extent, || launch.axis.clone())?;
    let body = binder.section(section, &[])?;
    let mut area = aligned(body.arena);
    let mut taken: Vec<BufferId> = section
        .params
        .iter()
        .map(|param| buffer_of(section, *param))
        .collect();
    // Whether a result's memory is for us to give: once for every buffer.
    let mut provided = |result: TensorId| {
        let buffer = buffer_of(section, result);
        let bound = matches!(section.buffers[buffer.index()].kind, BufferKind::Bound);
        let free = bound && !taken.contains(&buffer);
        taken.push(buffer);
        free
    };
    let mut carried = Vec::new();
    for (param, result) in section.params.iter().zip(&section.results).take(launch.carried.len()) {
        let (param, next) = (&body.views[param.index()], &body.views[result.index()]);
        let free = provided(*result);
        let direct = free && next.lies_as(param) && next.axes().eq(param.axes());
        assert!(direct || !free, "the next of a carried value lies as the value");
        let bytes = aligned(reached(param));
        let copies = [area, area.saturating_add(bytes)];
        area = area.saturating_add(bytes.saturating_mul(2));
        carried.push(Carried { copies, direct });
    }
    let bytes = |view: &View, step: isize| step.saturating_mul(view.dtype.size() as isize);
    let mut sequences = Vec::new();
    for (at, (sequence, step)) in launch.sequences.iter().enumerate() {
        let view = &outer.views[sequence.index()];
        let step = binder.distance(step)?;
        let param = section.params[launch.carried.len() + at];
        check_slice(outer, view, &body.views[param.index()], step, steps);
        sequences.push(bytes(view, step));
    }
    for (at, invariant) in launch.invariants.iter().enumerate() {
        let param = section.params[launch.carried.len() + launch.sequences.len() + at];
        let view = &outer.views[invariant.index()];
        check_slice(outer, view, &body.views[param.index()], 0, steps);
    }
    let mut outputs = Vec::new();
    let axis = binder.plan.axes.find(&launch.axis);
    for ((output, step), result) in launch.outputs.iter().zip(&section.results[carried.len()..]) {
        let view = &outer.views[output.index()];
        let step = binder.distance(step)?;
        let direct = provided(*result);
        if direct {
            check_slice(outer, view, &body.views[result.index()], step, steps);
        }
        let mut part = view.clone();
        part.lines.retain(|line| Some(line.axis) != axis);
        outputs.push(Output {
            step: bytes(view, step),
            direct,
            part,
        });
    }
    Ok(BoundRecurrence {
        place: 0,
        body,
        steps,
        carried,
        sequences,
        outputs,
        area,
    })
}

/// Bytes from a buffer's start to the end of what a view reaches.
fn reached(view: &View) -> usize {
    let last = view.reach().map_or(0, |(_, last)| last.saturating_add(1));
    last.max(0).cast_unsigned().saturating_mul(view.dtype.size())
}

/// A slice stays inside the buffer of the tensor it is taken from: memory safety rests on it.
fn check_slice(outer: &Bound, whole: &View, slice: &View, step: isize, steps: usize) {
    let (Some(last_step), Some((first, last))) = (steps.checked_sub(1), slice.reach()) else {
        return;
    };
    let moved = step.saturating_mul(last_step as isize);
    let first = whole.offset + first + moved.min(0);
    let last = whole.offset + last + moved.max(0);
    let elements = outer.bytes[whole.buffer.index()] / whole.dtype.size();
    let inside = first >= 0 && last.cast_unsigned() < elements;
    assert!(inside, "a slice leaves its buffer: {slice:?} of {whole:?}");
}

pub(super) fn run(
    run: &Run<'_>,
    launch: &RecurrenceLaunch,
    bound: &BoundRecurrence,
    frame: &Frame<'_>,
) -> Result<(), RunError> {
    let section = &launch.body;
    let body = &bound.body;
    let own = frame.arena.at(bound.place.cast_signed());
    let mut bases = body.bases(own);
    let param = |at: usize| buffer_of(section, section.params[at]).index();
    let result = |at: usize| buffer_of(section, section.results[at]).index();
    let copy_at = |carried: &Carried, side: usize| own.at(carried.copies[side].cast_signed());
    let outer = |tensor: TensorId| {
        let view = frame.view(tensor);
        let offset = view.offset.wrapping_mul(view.dtype.size() as isize);
        (view, frame.base(view.buffer).at(offset))
    };

    for (at, (start, carried)) in launch.carried.iter().zip(&bound.carried).enumerate() {
        let from = frame.view(*start);
        let to = &body.views[section.params[at].index()];
        // SAFETY: the outer tensor is memory of the frame; the copy is memory of the launch
        // that is as long as the view reaches.
        unsafe { copy((from, frame.base(from.buffer)), (to, copy_at(carried, 0))) };
    }
    let (sequences, invariants) = (launch.carried.len(), launch.sequences.len());
    for (at, invariant) in launch.invariants.iter().enumerate() {
        bases[param(sequences + invariants + at)] = outer(*invariant).1;
    }
    let mut side = 0;
    for step in 0..bound.steps {
        run.tick()?;
        let position = if launch.reverse {
            bound.steps - 1 - step
        } else {
            step
        } as isize;
        for (at, carried) in bound.carried.iter().enumerate() {
            bases[param(at)] = copy_at(carried, side);
            if carried.direct {
                bases[result(at)] = copy_at(carried, 1 - side);
            }
        }
        for (at, ((sequence, _), bytes)) in
            launch.sequences.iter().zip(&bound.sequences).enumerate()
        {
            bases[param(sequences + at)] = outer(*sequence).1.at(bytes * position);
        }
        for (at, ((output, _), bound_output)) in
            launch.outputs.iter().zip(&bound.outputs).enumerate()
        {
            if bound_output.direct {
                bases[result(sequences + at)] =
                    outer(*output).1.at(bound_output.step * position);
            }
        }
        // SAFETY: temporaries, copies, slices and outputs are all given memory as long as their
        // views reach, which was checked when the launch was bound.
        let inner = unsafe { Frame::new(body, &bases, own) };
        run_section(run, section, &inner)?;
        for (at, carried) in bound.carried.iter().enumerate() {
            if !carried.direct {
                let from = inner.view(section.results[at]);
                let to = inner.view(section.params[at]);
                let target = copy_at(carried, 1 - side);
                // SAFETY: the result is memory of the body, the copy as above.
                unsafe { copy((from, inner.base(from.buffer)), (to, target)) };
            }
        }
        for (at, ((output, _), bound_output)) in
            launch.outputs.iter().zip(&bound.outputs).enumerate()
        {
            if !bound_output.direct {
                let from = inner.view(section.results[sequences + at]);
                let base = frame.base(frame.view(*output).buffer);
                let target = base.at(bound_output.step * position);
                // SAFETY: the result is memory of the body, the part is memory of the frame.
                unsafe { copy((from, inner.base(from.buffer)), (&bound_output.part, target)) };
            }
        }
        side = 1 - side;
    }
    for (at, (last, carried)) in launch.finals.iter().zip(&bound.carried).enumerate() {
        if let Some(last) = last {
            let from = &body.views[section.params[at].index()];
            let to = frame.view(*last);
            // SAFETY: as for the start.
            unsafe { copy((from, copy_at(carried, side)), (to, frame.base(to.buffer))) };
        }
    }
    Ok(())
}
