//! Where a loop's values lie when a section runs once per position of an axis.
//!
//! Carried values live in two dense copies that change places at every step, or in one where the next may be written over
//! the current; slices, invariants and outputs are read and written where they lie in the outer section. What a body makes
//! as a temporary or hands through is copied to where it belongs.

use girih_plan::plan::{BufferId, BufferKind, RecurrenceLaunch, TensorId};
use girih_runtime::backend::RunError;

use crate::memory::aligned;
use crate::numbers::Numbers;
use crate::schedule::buffer_of;
use crate::view::View;

/// A loop's memory, for a number of positions of the part axis.
#[derive(Debug)]
pub struct Layout {
    /// One for each value that is carried.
    pub carried: Vec<Carried>,
    /// Bytes between two steps of each sequence.
    pub sequences: Vec<isize>,
    /// One for each value that is stacked.
    pub outputs: Vec<Output>,
    /// Whether all that is carried is written over, and all that is stacked written where it belongs.
    pub in_place: bool,
    /// Bytes of the body's memory and of the copies of what is carried.
    pub area: usize,
}

/// A value that goes from one step to the next.
#[derive(Debug)]
pub struct Carried {
    /// The two copies in the launch's memory.
    pub copies: [usize; 2],
    /// Whether the body writes the next value into the other copy; else it is copied there.
    pub direct: bool,
}

/// A value that is stacked.
#[derive(Debug)]
pub struct Output {
    /// Bytes between two steps.
    pub step: isize,
    /// Whether the body writes it where it belongs.
    pub direct: bool,
    /// One step's part of the outer tensor.
    pub part: View,
}

impl Layout {
    /// Lays a loop out. `outer` are views of the section around it with the bytes of its buffers, `body` those of its
    /// body with the bytes of that one's memory.
    ///
    /// # Errors
    ///
    /// Sizes that cannot be computed.
    pub fn of(
        numbers: &Numbers<'_>,
        (outer, outer_bytes): (&[View], &[usize]),
        (body, arena): (&[View], usize),
        launch: &RecurrenceLaunch,
        steps: usize,
    ) -> Result<Self, RunError> {
        let bytes_of = |view: &View| outer_bytes[view.buffer.index()];
        let section = &launch.body;
        let mut area = aligned(arena);
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
        let pairs = section.params.iter().zip(&section.results);
        for ((param, result), over) in pairs.zip(&launch.in_place) {
            let (param, next) = (&body[param.index()], &body[result.index()]);
            let free = provided(*result);
            let direct = free && next.lies_as(param) && next.axes().eq(param.axes());
            assert!(
                direct || !free,
                "the next of a carried value lies as the value"
            );
            let bytes = aligned(reached(param));
            let over = *over && direct;
            let other = if over {
                area
            } else {
                area.saturating_add(bytes)
            };
            let copies = [area, other];
            area = other.saturating_add(bytes);
            carried.push(Carried { copies, direct });
        }
        let bytes = |view: &View, step: isize| step.saturating_mul(view.dtype.size() as isize);
        let mut sequences = Vec::new();
        for (at, (sequence, step)) in launch.sequences.iter().enumerate() {
            let view = &outer[sequence.index()];
            let step = numbers.distance(step)?;
            let param = section.params[launch.carried.len() + at];
            check_slice((view, bytes_of(view)), &body[param.index()], step, steps);
            sequences.push(bytes(view, step));
        }
        for (at, invariant) in launch.invariants.iter().enumerate() {
            let param = section.params[launch.carried.len() + launch.sequences.len() + at];
            let view = &outer[invariant.index()];
            check_slice((view, bytes_of(view)), &body[param.index()], 0, steps);
        }
        let mut outputs = Vec::new();
        let axis = numbers.axis(&launch.axis);
        for ((output, step), result) in launch.outputs.iter().zip(&section.results[carried.len()..])
        {
            let view = &outer[output.index()];
            let step = numbers.distance(step)?;
            let direct = provided(*result);
            if direct {
                check_slice((view, bytes_of(view)), &body[result.index()], step, steps);
            }
            let mut part = view.clone();
            part.lines.retain(|line| Some(line.axis) != axis);
            narrow(&mut part, launch, &body[result.index()]);
            outputs.push(Output {
                step: bytes(view, step),
                direct,
                part,
            });
        }
        let over = |own: &Carried| own.direct && own.copies[0] == own.copies[1];
        Ok(Self {
            in_place: carried.iter().all(over) && outputs.iter().all(|own| own.direct),
            carried,
            sequences,
            outputs,
            area: aligned(area),
        })
    }
}

/// A view of the outer section, cut to the positions that the body's view has.
pub fn narrow(view: &mut View, launch: &RecurrenceLaunch, body: &View) {
    let Some(part) = &launch.part else {
        return;
    };
    for line in &mut view.lines {
        if line.axis == part.axis
            && let Some(own) = body.line(part.axis)
        {
            line.extent = own.extent;
        }
    }
}

/// Bytes from a buffer's start to the end of what a view reaches.
fn reached(view: &View) -> usize {
    let last = view.reach().map_or(0, |(_, last)| last.saturating_add(1));
    last.max(0)
        .cast_unsigned()
        .saturating_mul(view.dtype.size())
}

/// A slice stays inside the buffer of the tensor it is taken from: memory safety rests on it.
fn check_slice((whole, bytes): (&View, usize), slice: &View, step: isize, steps: usize) {
    let (Some(last_step), Some((first, last))) = (steps.checked_sub(1), slice.reach()) else {
        return;
    };
    let moved = step.saturating_mul(last_step as isize);
    let first = whole.offset + first + moved.min(0);
    let last = whole.offset + last + moved.max(0);
    let elements = bytes / whole.dtype.size();
    let inside = first >= 0 && last.cast_unsigned() < elements;
    assert!(inside, "a slice leaves its buffer: {slice:?} of {whole:?}");
}
