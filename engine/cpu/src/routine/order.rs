//! `order`: positions along an axis in sorted order.
//!
//! `NaN` comes last in either direction; ties go to the lower position.

use std::cmp::Ordering;

use girih_graph::AxisId;
use girih_plan::plan::TensorId;
use girih_runtime::backend::RunError;

use super::number::{Number, per_number};
use crate::frame::Frame;
use crate::launch::Run;
use crate::walk;

/// What to sort.
#[derive(Clone, Copy)]
pub(super) struct Order {
    pub(super) operand: TensorId,
    pub(super) out: TensorId,
    pub(super) axis: AxisId,
    pub(super) into: AxisId,
    pub(super) descending: bool,
}

pub(super) fn order(run: &Run<'_>, frame: &Frame<'_>, order: Order) -> Result<(), RunError> {
    let (x, out) = (frame.view(order.operand), frame.view(order.out));
    let (Some(along), Some(into)) = (x.line(order.axis), out.line(order.into)) else {
        unreachable!("the operand and the result have their axes, as the graph's builder checked")
    };
    if into.extent > along.extent {
        return Err(RunError::Longer {
            axis: run.plan.axes.name(order.axis).to_owned(),
            extent: along.extent,
            into: run.plan.axes.name(order.into).to_owned(),
            wanted: into.extent,
        });
    }
    per_number!(x.dtype, T => sort::<T>(frame, order));
    Ok(())
}

fn sort<T: Number>(frame: &Frame<'_>, order: Order) {
    let (x, out) = (frame.view(order.operand), frame.view(order.out));
    let (cells, positions) = (
        frame.cells::<T>(order.operand),
        frame.cells::<i64>(order.out),
    );
    let length = x.line(order.axis).map_or(0, |line| line.extent);
    let wanted = out.line(order.into).map_or(0, |line| line.extent);
    if wanted == 0 {
        return;
    }
    let (step, into) = (x.step(order.axis), out.step(order.into));
    let lanes = x.lines.iter().filter(|line| line.axis != order.axis);
    let shape: Vec<usize> = lanes.clone().map(|line| line.extent).collect();
    let axes = lanes.map(|line| line.axis);
    let steps = [&*x.steps(axes.clone()), &*out.steps(axes)];
    let mut lane: Vec<T> = Vec::with_capacity(length);
    let mut sorted: Vec<usize> = Vec::with_capacity(length);
    walk::rows(
        &shape,
        steps,
        [x.offset, out.offset],
        |[i, o], lanes, [s, t]| {
            for row in 0..lanes as isize {
                let start = i + row * s;
                lane.clear();
                lane.extend((0..length as isize).map(|at| cells.get(start + at * step)));
                sorted.clear();
                sorted.extend(0..length);
                let compare = |a: &usize, b: &usize| {
                    compared(lane[*a], lane[*b], order.descending).then(a.cmp(b))
                };
                if wanted < length {
                    sorted.select_nth_unstable_by(wanted, compare);
                    sorted.truncate(wanted);
                }
                sorted.sort_unstable_by(compare);
                for (rank, position) in sorted.iter().enumerate() {
                    positions.set(o + row * t + rank as isize * into, *position as i64);
                }
            }
        },
    );
}

fn compared<T: Number>(x: T, y: T, descending: bool) -> Ordering {
    let ordering = x.partial_cmp(&y).map(|ordering| {
        if descending {
            ordering.reverse()
        } else {
            ordering
        }
    });
    // Only `NaN` has no order.
    ordering.unwrap_or_else(|| x.is_nan().cmp(&y.is_nan()))
}
