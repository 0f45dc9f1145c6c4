//! `cumulate`: running combinations along an axis.

use girih_graph::{AxisId, Combine};
use girih_plan::plan::TensorId;

use super::number::{Number, per_number};
use crate::frame::Frame;
use crate::walk;

/// What to combine.
#[derive(Clone, Copy)]
pub(super) struct Cumulate {
    pub(super) operand: TensorId,
    pub(super) out: TensorId,
    pub(super) combine: Combine,
    pub(super) axis: AxisId,
    pub(super) reverse: bool,
    pub(super) exclusive: bool,
}

/// Lanes whose running combinations are kept at once.
const NEAR: usize = 64;

pub(super) fn cumulate(frame: &Frame<'_>, scan: Cumulate) {
    per_number!(frame.view(scan.operand).dtype, T => {
        match scan.combine {
            Combine::Sum => {
                scanned(frame, scan, T::default().to_sum(), T::to_sum, T::add, T::from_sum);
            }
            Combine::Prod => scanned(frame, scan, T::ONE.to_sum(), T::to_sum, T::mul, T::from_sum),
            Combine::Max => scanned(frame, scan, T::LEAST, |x| x, T::larger, |x| x),
            Combine::Min => scanned(frame, scan, T::GREATEST, |x| x, T::smaller, |x| x),
            Combine::Any => scanned(frame, scan, T::default(), |x| x, T::larger, |x| x),
            Combine::All => scanned(frame, scan, T::ONE, |x| x, T::smaller, |x| x),
        }
    });
}

fn scanned<T: Number, A: Copy>(
    frame: &Frame<'_>,
    scan: Cumulate,
    identity: A,
    lift: impl Fn(T) -> A,
    combine: impl Fn(A, A) -> A,
    lower: impl Fn(A) -> T,
) {
    let (x, out) = (frame.view(scan.operand), frame.view(scan.out));
    let (from, into) = (frame.cells::<T>(scan.operand), frame.cells::<T>(scan.out));
    let length = x.line(scan.axis).map_or(1, |line| line.extent) as isize;
    let (step, own) = (x.step(scan.axis), out.step(scan.axis));
    let lanes = x.lines.iter().filter(|line| line.axis != scan.axis);
    let shape: Vec<usize> = lanes.clone().map(|line| line.extent).collect();
    let axes = lanes.map(|line| line.axis);
    let steps = [&*x.steps(axes.clone()), &*out.steps(axes)];
    walk::rows(
        &shape,
        steps,
        [x.offset, out.offset],
        |[i, o], lanes, [s, t]| {
            for first in (0..lanes).step_by(NEAR) {
                let near = NEAR.min(lanes - first);
                let mut sums = [identity; NEAR];
                let (start, target) = (i + first as isize * s, o + first as isize * t);
                for at in 0..length {
                    let at = if scan.reverse { length - 1 - at } else { at };
                    let (from_row, into_row) = (start + at * step, target + at * own);
                    // Neighbors in memory side by side, whatever the axis that is walked.
                    for (lane, sum) in sums[..near].iter_mut().enumerate() {
                        let lane = lane as isize;
                        let before = *sum;
                        *sum = combine(before, lift(from.get(from_row + lane * s)));
                        let cell = if scan.exclusive { before } else { *sum };
                        into.set(into_row + lane * t, lower(cell));
                    }
                }
            }
        },
    );
}
