//! Runs a section once per position of an axis.
//!
//! Carried values live in two dense copies that change places at every step; slices,
//! invariants and outputs are read and written where they lie in the outer section.
//! What a body makes as a temporary or hands through is copied to where it belongs. Where the
//! plan allows, a carried value is written over, and a loop is cut along an axis into parts:
//! each part goes through all steps with its state in cache, and threads share the parts.

#![expect(
    unsafe_code,
    reason = "whoever runs a section says where its buffers are"
)]

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use girih_graph::{AxisId, Extent};
use girih_kernels::Pool;
use girih_plan::plan::{RecurrenceLaunch, TensorId, Work};
use girih_runtime::backend::RunError;

use super::kernel::Repeated;
use super::{BoundLaunch, Run, copy, run_section};
use crate::bind::{Binder, Bound, apart, buffer_of};
use crate::block::Base;
use crate::frame::Frame;
use crate::loops::{Carried, Layout, narrow};
use crate::view::View;

/// Bytes of carried values that stay in a core's first cache beside what a step reads.
const NEAR: usize = 24 << 10;

/// Positions of a part whose vectors go along its axis come in so many: what routines work on at once.
const VECTORS: usize = 64;

/// Steps that memory is asked for before it is read.
const AHEAD: isize = 8;

/// Bytes of a line of the cache.
const LINE: usize = 64;

/// Lines of a step's slice that are asked for; longer ones follow one another as far as the CPU sees by itself.
const LINES: usize = 8;

/// Elements of carried values below which a part is not worth a thread.
const WORTHWHILE: usize = 64;

/// A recurrence with numbers for its sizes.
#[derive(Debug)]
pub(crate) struct BoundRecurrence {
    /// Where its memory starts in that of the section around it.
    pub(crate) place: usize,
    /// The loop over all positions of the part axis but those of the last part, if that is
    /// shorter: then it is the second.
    bodies: Vec<BoundBody>,
    /// How many parts there are; the last one may be shorter.
    parts: usize,
    /// Positions of the part axis in each part.
    length: usize,
    steps: usize,
    /// Threads that may run parts at once.
    threads: usize,
    /// Bytes of memory for each of them.
    area: usize,
}

/// The loop for a number of positions of the part axis.
#[derive(Debug)]
struct BoundBody {
    body: Bound,
    layout: Layout,
}

impl BoundRecurrence {
    /// Bytes of memory that a run of it wants.
    pub(crate) fn area(&self) -> usize {
        self.area.saturating_mul(self.threads)
    }

    /// Bytes that its kernels want for each thread.
    pub(crate) fn scratch(&self) -> usize {
        let scratch = self.bodies.iter().map(|own| own.body.scratch);
        scratch.max().unwrap_or_default()
    }
}

pub(super) fn bind(
    binder: &Binder<'_>,
    outer: &Bound,
    launch: &RecurrenceLaunch,
) -> Result<BoundRecurrence, RunError> {
    let steps = binder
        .numbers
        .positions(&launch.extent, || launch.axis.clone())?;
    let Some(part) = &launch.part else {
        let body = bind_body(binder, outer, launch, steps)?;
        return Ok(BoundRecurrence {
            place: 0,
            parts: 1,
            length: 0,
            steps,
            threads: 1,
            area: body.layout.area,
            bodies: vec![body],
        });
    };
    let name = || binder.plan.axes.name(part.axis).to_owned();
    let positions = binder.numbers.positions(&part.extent, name)?;
    let mut bytes = 0usize;
    let mut elements = 0usize;
    for carried in &launch.carried {
        let view = &outer.views[carried.index()];
        elements = elements.saturating_add(view.count());
        bytes = bytes.saturating_add(view.count().saturating_mul(view.dtype.size()));
    }
    if positions == 0 {
        return Ok(BoundRecurrence {
            place: 0,
            parts: 1,
            length: 0,
            steps,
            threads: 1,
            area: 0,
            bodies: Vec::new(),
        });
    }
    let (bytes, elements) = (bytes / positions.max(1), elements / positions.max(1));
    let share = positions.div_ceil(binder.threads.max(1));
    let near = (NEAR / bytes.max(1)).max(1);
    let mut length = if share.saturating_mul(elements) >= WORTHWHILE {
        // As many parts for every thread.
        share.div_ceil(share.div_ceil(near))
    } else {
        near
    };
    if is_innermost(launch, part.axis) {
        length = length.next_multiple_of(VECTORS);
    }
    let length = length.clamp(1, positions.max(1));
    let parts = positions.div_ceil(length);
    let rest = positions - parts.saturating_sub(1) * length;
    let mut bodies = Vec::new();
    for positions in [length, rest] {
        if bodies.len() == 1 && positions == length {
            break;
        }
        let mut symbols = binder.numbers.symbols.clone();
        symbols.insert(part.symbol.clone(), positions as i64);
        let inner = Binder::new(
            binder.plan,
            binder.code,
            binder.tables,
            binder.weights,
            binder.natives,
            symbols,
            binder.numbers.limit,
            1,
        );
        bodies.push(bind_body(&inner, outer, launch, steps)?);
    }
    let threads = binder.threads.clamp(1, parts.max(1));
    let area = bodies.iter().map(|own| own.layout.area).max();
    let area = apart(area.unwrap_or_default(), threads);
    Ok(BoundRecurrence {
        place: 0,
        bodies,
        parts,
        length,
        steps,
        threads,
        area,
    })
}

/// Whether neighbors along an axis are neighbors in the memory of what is carried.
fn is_innermost(launch: &RecurrenceLaunch, axis: AxisId) -> bool {
    let one = Extent::constant(1);
    launch.body.params.first().is_some_and(|param| {
        let axes = &launch.body.tensors[param.index()].axes;
        axes.iter()
            .any(|(own, stride)| *own == axis && stride.step == one)
    })
}

fn bind_body(
    binder: &Binder<'_>,
    outer: &Bound,
    launch: &RecurrenceLaunch,
    steps: usize,
) -> Result<BoundBody, RunError> {
    let body = binder.section(&launch.body, &[])?;
    let outer = (outer.views.as_slice(), outer.bytes.as_slice());
    let inside = (body.views.as_slice(), body.arena);
    let layout = Layout::of(&binder.numbers, outer, inside, launch, steps)?;
    Ok(BoundBody { body, layout })
}

pub(super) fn run(
    run: &Run<'_>,
    launch: &RecurrenceLaunch,
    bound: &BoundRecurrence,
    frame: &Frame<'_>,
) -> Result<(), RunError> {
    let own = frame.arena.at(bound.place.cast_signed());
    if bound.parts <= 1 {
        return match bound.bodies.first() {
            Some(body) if bound.parts == 1 => {
                let all = || run_part(run, launch, bound.steps, body, (frame, own), 0);
                if body.body.launches.iter().all(BoundLaunch::is_small) {
                    run.pool.alone(&all)
                } else {
                    all()
                }
            }
            _ => Ok(()),
        };
    }
    run.tick()?;
    let alone = Pool::new(1);
    let shared = run.shared();
    let (scratch, stride) = run.scratch.get();
    let failed: Mutex<Option<(usize, RunError)>> = Mutex::new(None);
    // Parts that run at the same time lie apart: neighbors write to the same pages.
    let share = bound.parts.div_ceil(bound.threads);
    let part = |item: usize, thread: usize| {
        let number = (item % bound.threads) * share + item / bound.threads;
        if number >= bound.parts {
            return;
        }
        let last = number + 1 == bound.parts;
        let body = if last {
            bound.bodies.last()
        } else {
            bound.bodies.first()
        };
        let mut silent = |_| ControlFlow::Continue(());
        let run = shared.on_thread(
            &alone,
            (scratch.at((stride * thread).cast_signed()), stride),
            &mut silent,
        );
        let own = own.at((bound.area * thread).cast_signed());
        let start = (number * bound.length).cast_signed();
        let ran = body.map_or(Ok(()), |body| {
            run_part(&run, launch, bound.steps, body, (frame, own), start)
        });
        if let Err(error) = ran {
            let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
            if failed.as_ref().is_none_or(|(first, _)| number < *first) {
                *failed = Some((number, error));
            }
        }
    };
    run.pool.run(share * bound.threads, &part);
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.map_or(Ok(()), |(_, error)| Err(error))
}

/// Runs all steps for the positions of the part axis from `start` on, with its memory at `own`.
fn run_part(
    run: &Run<'_>,
    launch: &RecurrenceLaunch,
    steps: usize,
    bound: &BoundBody,
    (frame, own): (&Frame<'_>, Base),
    start: isize,
) -> Result<(), RunError> {
    let section = &launch.body;
    let (body, bound) = (&bound.body, &bound.layout);
    let mut bases = body.bases(own);
    let param = |at: usize| buffer_of(section, section.params[at]).index();
    let result = |at: usize| buffer_of(section, section.results[at]).index();
    let copy_at = |carried: &Carried, side: usize| own.at(carried.copies[side].cast_signed());
    // Elements from a tensor's first to the part's first.
    let moved = |view: &View| {
        let part = launch.part.as_ref();
        part.map_or(0, |part| view.step(part.axis).wrapping_mul(start))
    };
    let bytes = |view: &View| moved(view).wrapping_mul(view.dtype.size() as isize);
    let outer = |tensor: TensorId| {
        let view = frame.view(tensor);
        let elements = view.offset.wrapping_add(moved(view));
        let offset = elements.wrapping_mul(view.dtype.size() as isize);
        (view, frame.base(view.buffer).at(offset))
    };

    for (at, (start, carried)) in launch.carried.iter().zip(&bound.carried).enumerate() {
        let from = frame.view(*start);
        let to = &body.views[section.params[at].index()];
        let start = frame.base(from.buffer).at(bytes(from));
        // SAFETY: the outer tensor is memory of the frame; the copy is memory of the launch
        // that is as long as the view reaches.
        unsafe { copy((from, start), (to, copy_at(carried, 0))) };
    }
    let (sequences, invariants) = (launch.carried.len(), launch.sequences.len());
    for (at, invariant) in launch.invariants.iter().enumerate() {
        bases[param(sequences + invariants + at)] = outer(*invariant).1;
    }
    // Buffers that lie further on at every step: where at position 0, and by how many bytes.
    let mut moving: Vec<(usize, Base, isize)> = Vec::new();
    for (at, ((sequence, _), bytes)) in launch.sequences.iter().zip(&bound.sequences).enumerate() {
        moving.push((param(sequences + at), outer(*sequence).1, *bytes));
    }
    for (at, ((output, _), own)) in launch.outputs.iter().zip(&bound.outputs).enumerate() {
        if own.direct {
            moving.push((result(sequences + at), outer(*output).1, own.step));
        }
    }
    let mut side = 0;
    if bound.in_place && body.launches.iter().all(BoundLaunch::is_small) {
        for (at, carried) in bound.carried.iter().enumerate() {
            bases[param(at)] = copy_at(carried, side);
            bases[result(at)] = copy_at(carried, side);
        }
        kernels_alone(run, launch, steps, body, (&mut bases, &moving))?;
    } else {
        for step in 0..steps {
            run.tick()?;
            let position = if launch.reverse {
                steps - 1 - step
            } else {
                step
            } as isize;
            for (at, carried) in bound.carried.iter().enumerate() {
                bases[param(at)] = copy_at(carried, side);
                if carried.direct {
                    bases[result(at)] = copy_at(carried, 1 - side);
                }
            }
            for (buffer, first, bytes) in &moving {
                bases[*buffer] = first.at(bytes * position);
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
                    let whole = frame.view(*output);
                    let base = frame.base(whole.buffer).at(bytes(whole));
                    let target = base.at(bound_output.step * position);
                    let source = inner.base(from.buffer);
                    // SAFETY: the result is memory of the body, the part is memory of the frame.
                    unsafe { copy((from, source), (&bound_output.part, target)) };
                }
            }
            side = 1 - side;
        }
    }
    for (at, (last, carried)) in launch.finals.iter().zip(&bound.carried).enumerate() {
        if let Some(last) = last {
            let from = &body.views[section.params[at].index()];
            let whole = frame.view(*last);
            let mut to = whole.clone();
            narrow(&mut to, launch, from);
            let base = frame.base(to.buffer).at(bytes(whole));
            // SAFETY: as for the start.
            unsafe { copy((from, copy_at(carried, side)), (&to, base)) };
        }
    }
    Ok(())
}

/// All steps of a loop whose body is kernels that one thread runs, and whose values lie where they belong: addresses
/// move on from step to step, and memory is asked for before it is read.
fn kernels_alone(
    run: &Run<'_>,
    launch: &RecurrenceLaunch,
    steps: usize,
    body: &Bound,
    (bases, moving): (&mut [Base], &[(usize, Base, isize)]),
) -> Result<(), RunError> {
    let mut moves = vec![0; bases.len()];
    for (buffer, first, bytes) in moving {
        let (start, step) = if launch.reverse {
            (steps.saturating_sub(1).cast_signed(), -bytes)
        } else {
            (0, *bytes)
        };
        bases[*buffer] = first.at(bytes * start);
        moves[*buffer] = step;
    }
    let mut kernels: Vec<Repeated<'_>> = launch
        .body
        .launches
        .iter()
        .zip(&body.launches)
        .filter_map(|(launch, bound)| match (&launch.work, bound) {
            (Work::Kernel(launch), BoundLaunch::Kernel(bound)) => {
                Some(Repeated::new(run, launch, bound, (bases, &moves)))
            }
            _ => None,
        })
        .collect();
    let lines: Vec<(usize, usize)> = moving
        .iter()
        .map(|(buffer, ..)| (*buffer, body.bytes[*buffer].div_ceil(LINE).min(LINES)))
        .collect();
    for _ in 0..steps {
        run.tick()?;
        for (buffer, lines) in &lines {
            let ahead = bases[*buffer].at(moves[*buffer] * AHEAD);
            for line in 0..*lines {
                girih_kernels::fetch(ahead.at((line * LINE).cast_signed()).elements());
            }
            bases[*buffer] = bases[*buffer].at(moves[*buffer]);
        }
        for kernel in &mut kernels {
            kernel.step()?;
        }
    }
    Ok(())
}
