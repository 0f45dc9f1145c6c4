//! `fold`: values added at affine positions, the adjoint of `window`.
//!
//! Positions outside the axis are left out. Sums are accumulated in `f64` for reals
//! and rounded once.

use girih_graph::AxisId;
use girih_plan::plan::TensorId;

use super::number::{Number, per_number};
use crate::frame::Frame;
use crate::view::{count, dense_steps};
use crate::walk;

/// What to add where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fold {
    pub(crate) operand: TensorId,
    pub(crate) out: TensorId,
    /// Axes with how far a position moves the sum.
    pub(crate) from: Vec<(AxisId, i64)>,
    pub(crate) axis: AxisId,
    /// Where all positions are 0.
    pub(crate) offset: i64,
}

pub(super) fn fold(frame: &Frame<'_>, fold: &Fold) {
    per_number!(frame.view(fold.operand).dtype, T => folded::<T>(frame, fold));
}

fn folded<T: Number>(frame: &Frame<'_>, fold: &Fold) {
    let (x, out) = (frame.view(fold.operand), frame.view(fold.out));
    let (cells, target) = (frame.cells::<T>(fold.operand), frame.cells::<T>(fold.out));
    let out_shape = out.shape();
    let dense = dense_steps(&out_shape);
    let place = |axis: AxisId| out.axes().position(|own| own == axis);
    let step = |axis: AxisId| place(axis).map_or(0, |place| dense[place]);
    let extent = i128::from(out.line(fold.axis).map_or(1, |line| line.extent) as u64);
    let along = step(fold.axis);

    let moved = |axis: AxisId| fold.from.iter().find(|(from, _)| *from == axis);
    let rest: Vec<AxisId> = x.axes().filter(|axis| moved(*axis).is_none()).collect();
    let rest_shape: Vec<usize> = rest
        .iter()
        .map(|axis| x.line(*axis).map_or(1, |line| line.extent))
        .collect();
    let (rest_from, rest_into) = (
        x.steps(rest.iter().copied()),
        rest.iter().map(|axis| step(*axis)).collect::<Vec<_>>(),
    );
    let mut sums = vec![T::default().to_sum(); count(&out_shape)];
    let mut add = |start: isize, position: isize| {
        walk::rows(
            &rest_shape,
            [&rest_from, &rest_into],
            [start, position * along],
            |[i, o], length, [s, t]| {
                for k in 0..length as isize {
                    let sum = &mut sums[(o + k * t) as usize];
                    *sum = T::add(*sum, cells.get(i + k * s).to_sum());
                }
            },
        );
    };
    let moves: Vec<(usize, isize, i128)> = fold
        .from
        .iter()
        .map(|(axis, stride)| {
            let line = x.line(*axis);
            let (extent, step) = line.map_or((1, 0), |line| (line.extent, line.step));
            (extent, step, i128::from(*stride))
        })
        .collect();
    if !x.lines.iter().any(|line| line.extent == 0) {
        visit(
            &moves,
            x.offset,
            i128::from(fold.offset),
            &mut |start, position| {
                if (0..extent).contains(&position) {
                    add(start, position as isize);
                }
            },
        );
    }
    let own = out.own_steps();
    let start = [0, out.offset];
    walk::rows(
        &out_shape,
        [&dense, &own],
        start,
        |[i, o], length, [s, t]| {
            for k in 0..length as isize {
                target.set(o + k * t, T::from_sum(sums[(i + k * s) as usize]));
            }
        },
    );
}

fn visit(
    moves: &[(usize, isize, i128)],
    start: isize,
    position: i128,
    body: &mut dyn FnMut(isize, i128),
) {
    let Some(((extent, step, stride), inner)) = moves.split_first() else {
        body(start, position);
        return;
    };
    for at in 0..*extent {
        let position = position.saturating_add(stride.saturating_mul(at as i128));
        visit(inner, start + step * at as isize, position, body);
    }
}
