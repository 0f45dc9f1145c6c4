//! Walks a loop: its body runs once per position, with the next places of what is carried, sliced and stacked.

use girih_cpu::loops::{Carried, narrow};
use girih_cpu::schedule::buffer_of;
use girih_plan::plan::{RecurrenceLaunch, TensorId};
use girih_runtime::backend::RunError;
use girih_runtime::device::Place;

use crate::bound::BoundWalk;
use crate::program::Program;
use crate::run::{Frame, Run, at, places, stage};

/// Runs all steps. A loop that could be cut into parts is one part here.
pub(crate) fn run(
    run: &Run<'_>,
    launch: &RecurrenceLaunch,
    program: &Program,
    bound: &BoundWalk,
    frame: &Frame<'_>,
) -> Result<(), RunError> {
    let section = &launch.body;
    let (body, layout) = (&bound.body, &bound.layout);
    let own = at(frame.arena, bound.place);
    let mut here = places(run.compiled, section, body, own);
    let param = |at: usize| buffer_of(section, section.params[at]).index();
    let result = |at: usize| buffer_of(section, section.results[at]).index();
    let side_of = |carried: &Carried, side: usize| at(own, carried.copies[side]);
    // Where a tensor of the outer section starts, some bytes on.
    let outer = |tensor: TensorId, bytes: isize| {
        let (view, place) = frame.tensor(tensor);
        let offset = view.offset * view.dtype.size() as isize + bytes;
        Place {
            memory: place.memory,
            offset: place.offset.wrapping_add_signed(offset as i64),
        }
    };

    for (number, (start, carried)) in launch.carried.iter().zip(&layout.carried).enumerate() {
        let to = &body.views[section.params[number].index()];
        run.copy(frame.tensor(*start), (to, side_of(carried, 0)))?;
    }
    let (sequences, invariants) = (launch.carried.len(), launch.sequences.len());
    for (number, invariant) in launch.invariants.iter().enumerate() {
        here[param(sequences + invariants + number)] = outer(*invariant, 0);
    }
    let mut side = 0;
    for step in 0..bound.steps {
        run.tick()?;
        let position = if launch.reverse {
            bound.steps - 1 - step
        } else {
            step
        } as isize;
        for (number, carried) in layout.carried.iter().enumerate() {
            here[param(number)] = side_of(carried, side);
            if carried.direct {
                here[result(number)] = side_of(carried, 1 - side);
            }
        }
        let slices = launch.sequences.iter().zip(&layout.sequences);
        for (number, ((sequence, _), bytes)) in slices.enumerate() {
            here[param(sequences + number)] = outer(*sequence, bytes * position);
        }
        let outputs = || launch.outputs.iter().zip(&layout.outputs).enumerate();
        for (number, ((output, _), own)) in outputs() {
            if own.direct {
                here[result(sequences + number)] = outer(*output, own.step * position);
            }
        }
        let inner = Frame {
            bound: body,
            places: &here,
            arena: own,
        };
        for number in 0..program.stages.len() {
            stage(run, section, program, number, &inner)?;
        }
        for (number, carried) in layout.carried.iter().enumerate() {
            if !carried.direct {
                let from = inner.tensor(section.results[number]);
                let to = &body.views[section.params[number].index()];
                run.copy(from, (to, side_of(carried, 1 - side)))?;
            }
        }
        for (number, ((output, _), stacked)) in outputs() {
            if !stacked.direct {
                let from = inner.tensor(section.results[sequences + number]);
                let (_, place) = frame.tensor(*output);
                let offset = stacked.step * position;
                let place = Place {
                    memory: place.memory,
                    offset: place.offset.wrapping_add_signed(offset as i64),
                };
                run.copy(from, (&stacked.part, place))?;
            }
        }
        side = 1 - side;
    }
    for (number, (last, carried)) in launch.finals.iter().zip(&layout.carried).enumerate() {
        if let Some(last) = last {
            let from = &body.views[section.params[number].index()];
            let (view, place) = frame.tensor(*last);
            let mut to = view.clone();
            narrow(&mut to, launch, from);
            run.copy((from, side_of(carried, side)), (&to, place))?;
        }
    }
    Ok(())
}
