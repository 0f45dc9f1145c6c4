//! `scatter`: values combined at positions that are data.
//!
//! Positions outside the axis are left out; an element that nothing reaches is 0.
//! Sums of `f16` and `bf16` are accumulated in `f64` and rounded once; all other
//! sums in their own dtype, in the order of the walk.

use girih_graph::{AxisId, Combine, DType, axis};
use girih_plan::plan::TensorId;

use super::number::{Number, per_number};
use super::positions::Positions;
use crate::frame::Frame;
use crate::view::{count, dense_steps};
use crate::walk;

/// What to combine where.
#[derive(Clone, Copy)]
pub(super) struct Scatter {
    pub(super) positions: TensorId,
    pub(super) operand: TensorId,
    pub(super) out: TensorId,
    pub(super) axis: AxisId,
    pub(super) combine: Combine,
}

pub(super) fn scatter(frame: &Frame<'_>, scatter: Scatter) {
    let dtype = frame.view(scatter.out).dtype;
    let own = !matches!(dtype, DType::F16 | DType::BF16);
    per_number!(dtype, T => match scatter.combine {
        Combine::Sum if own => written::<T, T>(
            frame,
            scatter,
            |x| x,
            |x, y| T::from_sum(T::add(x.to_sum(), y.to_sum())),
            |x| x,
        ),
        Combine::Sum => written::<T, _>(frame, scatter, T::to_sum, T::add, T::from_sum),
        Combine::Prod => written::<T, _>(frame, scatter, T::to_sum, T::mul, T::from_sum),
        Combine::Max | Combine::Any => {
            written::<T, T>(frame, scatter, |x| x, T::larger, |x| x);
        }
        Combine::Min | Combine::All => {
            written::<T, T>(frame, scatter, |x| x, T::smaller, |x| x);
        }
    });
}

fn written<T: Number, A: Copy>(
    frame: &Frame<'_>,
    scatter: Scatter,
    lift: impl Fn(T) -> A,
    combine: impl Fn(A, A) -> A,
    lower: impl Fn(A) -> T,
) {
    let (x, at, out) = (
        frame.view(scatter.operand),
        frame.view(scatter.positions),
        frame.view(scatter.out),
    );
    let (cells, positions) = (
        frame.cells::<T>(scatter.operand),
        Positions::new(frame, scatter.positions),
    );
    let axes = |view: &crate::view::View| view.axes().collect::<Vec<_>>();
    let walked = axis::align(&[&axes(x), &axes(at)]);
    let extent_of = |axis: &AxisId| {
        let line = x.line(*axis).or_else(|| at.line(*axis));
        line.map_or(1, |line| line.extent)
    };
    let shape: Vec<usize> = walked.iter().map(extent_of).collect();
    // Sums lie behind one another in the order of the result's axes.
    let out_shape = out.shape();
    let dense = dense_steps(&out_shape);
    let place = |axis: AxisId| out.axes().position(|own| own == axis);
    let step = |axis: AxisId| place(axis).map_or(0, |place| dense[place]);
    // An operand may have walked an axis of the name that is written along.
    let aligned = |own: &AxisId| if *own == scatter.axis { 0 } else { step(*own) };
    let into: Vec<isize> = walked.iter().map(aligned).collect();
    let extent = out.line(scatter.axis).map_or(1, |line| line.extent) as i64;
    let along = step(scatter.axis);
    let mut sums: Vec<Option<A>> = vec![None; count(&out_shape)];
    walk::rows(
        &shape,
        [
            &x.steps(walked.iter().copied()),
            &at.steps(walked.iter().copied()),
            &into,
        ],
        [x.offset, at.offset, 0],
        |[i, p, o], length, [s, t, r]| {
            for k in 0..length as isize {
                let position = positions.get(p + k * t);
                if (0..extent).contains(&position) {
                    let x = lift(cells.get(i + k * s));
                    let sum = &mut sums[(o + k * r + position as isize * along) as usize];
                    *sum = Some(sum.map_or(x, |sum| combine(sum, x)));
                }
            }
        },
    );
    let target = frame.cells::<T>(scatter.out);
    let own = out.own_steps();
    let start = [0, out.offset];
    walk::rows(
        &out_shape,
        [&dense, &own],
        start,
        |[i, o], length, [s, t]| {
            for k in 0..length as isize {
                let sum = sums[(i + k * s) as usize];
                target.set(o + k * t, sum.map_or(T::default(), &lower));
            }
        },
    );
}
