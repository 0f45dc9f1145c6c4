//! `gather`: reads at positions that are data.

use girih_graph::AxisId;
use girih_graph::op::Outside;
use girih_plan::plan::TensorId;
use girih_runtime::backend::RunError;

use super::number::per_word;
use super::positions::Positions;
use crate::frame::{Frame, Plain};
use crate::launch::Run;
use crate::walk;

/// What to read where.
#[derive(Clone, Copy)]
pub(super) struct Gather {
    pub(super) operand: TensorId,
    pub(super) positions: TensorId,
    pub(super) out: TensorId,
    pub(super) axis: AxisId,
    pub(super) outside: Outside,
}

pub(super) fn gather(run: &Run<'_>, frame: &Frame<'_>, gather: Gather) -> Result<(), RunError> {
    per_word!(frame.view(gather.operand).dtype, W => read::<W>(run, frame, gather))
}

fn read<T: Plain + Default>(
    run: &Run<'_>,
    frame: &Frame<'_>,
    gather: Gather,
) -> Result<(), RunError> {
    let (x, at, out) = (
        frame.view(gather.operand),
        frame.view(gather.positions),
        frame.view(gather.out),
    );
    let (cells, target) = (
        frame.cells::<T>(gather.operand),
        frame.cells::<T>(gather.out),
    );
    let positions = Positions::new(frame, gather.positions);
    let extent = x.line(gather.axis).map_or(1, |line| line.extent);
    let step = x.step(gather.axis);
    let mut failed = None;
    walk::rows(
        &out.shape(),
        [
            &x.steps(out.axes()),
            &at.steps(out.axes()),
            &out.own_steps(),
        ],
        [x.offset, at.offset, out.offset],
        |[i, p, o], length, [s, t, r]| {
            if failed.is_some() {
                return;
            }
            // Whole rows at one position, or elements each at its own.
            let (runs, run) = if t == 0 { (1, length) } else { (length, 1) };
            for k in 0..runs as isize {
                let position = positions.get(p + k * t);
                let inside = usize::try_from(position).is_ok_and(|position| position < extent);
                if !inside && gather.outside == Outside::Error {
                    failed = Some(position);
                    return;
                }
                // Only positions inside are read, so that far ones may wrap.
                let source = (i + k * s).wrapping_add((position as isize).wrapping_mul(step));
                let target_start = o + k * r;
                if inside && s == 1 && r == 1 {
                    target.copy_run(target_start, cells, source, run);
                    continue;
                }
                for j in 0..run as isize {
                    let cell = if inside {
                        cells.get(source + j * s)
                    } else {
                        T::default()
                    };
                    target.set(target_start + j * r, cell);
                }
            }
        },
    );
    match failed {
        Some(position) => Err(RunError::Position {
            axis: run.plan.axes.name(gather.axis).to_owned(),
            position,
            extent,
        }),
        None => Ok(()),
    }
}
