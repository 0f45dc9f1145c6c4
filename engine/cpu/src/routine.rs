//! Primitives with a routine of their own: plain loops over strided elements, any dtype.

mod cumulate;
mod fold;
pub(crate) mod number;
mod order;
mod positions;
pub(crate) mod random;
mod scatter;

use girih_graph::AxisId;
use girih_plan::plan::Routine;
use girih_runtime::backend::RunError;

use crate::bind::Binder;
use crate::frame::Frame;
use crate::launch::Run;
use fold::Fold;

/// A routine with numbers for its sizes.
#[derive(Clone, Debug)]
pub(crate) enum BoundRoutine {
    /// A `fold`: its strides are sizes.
    Fold(Fold),
    /// A `random`: its axes, and what the positions of each are counted from.
    Random(Vec<(AxisId, i64)>),
    /// All it needs to know are its tensors.
    Plain,
}

/// Numbers for the sizes of a routine.
pub(crate) fn bind(binder: &Binder<'_>, routine: &Routine) -> Result<BoundRoutine, RunError> {
    Ok(match routine {
        Routine::Fold {
            operand,
            out,
            from,
            axis,
            offset,
        } => {
            let stride = |(axis, stride): &(_, _)| Ok((*axis, binder.numbers.number(stride)?));
            BoundRoutine::Fold(Fold {
                operand: *operand,
                out: *out,
                from: from.iter().map(stride).collect::<Result<_, RunError>>()?,
                axis: *axis,
                offset: binder.numbers.number(offset)?,
            })
        }
        Routine::Order { .. } | Routine::Cumulate { .. } | Routine::Scatter { .. } => {
            BoundRoutine::Plain
        }
        Routine::Random { from, .. } => {
            let first = |(axis, first): &(_, _)| Ok((*axis, binder.numbers.number(first)?));
            let from = from.iter().map(first);
            BoundRoutine::Random(from.collect::<Result<_, RunError>>()?)
        }
    })
}

/// Runs a routine once.
pub(crate) fn run(
    run: &Run<'_>,
    routine: &Routine,
    bound: &BoundRoutine,
    frame: &Frame<'_>,
) -> Result<(), RunError> {
    match routine {
        Routine::Order {
            operand,
            out,
            axis,
            into,
            descending,
        } => order::order(
            run,
            frame,
            order::Order {
                operand: *operand,
                out: *out,
                axis: *axis,
                into: *into,
                descending: *descending,
            },
        )?,
        Routine::Cumulate {
            operand,
            out,
            combine,
            axis,
            reverse,
            exclusive,
        } => cumulate::cumulate(
            frame,
            cumulate::Cumulate {
                operand: *operand,
                out: *out,
                combine: *combine,
                axis: *axis,
                reverse: *reverse,
                exclusive: *exclusive,
            },
        ),
        Routine::Scatter {
            positions,
            operand,
            out,
            axis,
            over: _,
            combine,
        } => scatter::scatter(
            frame,
            scatter::Scatter {
                positions: *positions,
                operand: *operand,
                out: *out,
                axis: *axis,
                combine: *combine,
            },
        ),
        Routine::Fold { .. } => {
            if let BoundRoutine::Fold(bound) = bound {
                fold::fold(frame, bound);
            }
        }
        Routine::Random {
            out,
            distribution,
            key,
            from: _,
        } => {
            if let BoundRoutine::Random(from) = bound {
                random::draw(run, frame, *out, (*distribution, key), from);
            }
        }
    }
    Ok(())
}
