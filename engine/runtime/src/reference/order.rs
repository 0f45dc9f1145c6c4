//! `order`: positions along an axis in sorted order.

use std::cmp::Ordering;

use girih_graph::DType;

use super::array::Array;
use super::number::{Number, per_number};
use super::walk::{self, cell_count};

/// The first `count` positions in sorted order, along a new last axis. Ties go to
/// the lower position, `NaN` comes last in either direction.
pub(super) fn order(x: &Array, axis: usize, count: usize, descending: bool) -> Array {
    let (length, step) = (x.shape()[axis], x.strides()[axis]);
    let (mut shape, mut strides) = (x.shape().to_vec(), x.strides().to_vec());
    shape.remove(axis);
    strides.remove(axis);
    let mut out_shape = shape.clone();
    out_shape.push(count);
    let mut out: Vec<i64> = Vec::with_capacity(cell_count(&out_shape));
    if out_shape.contains(&0) {
        return Array::new(DType::I64, out_shape, out);
    }
    per_number!(x.dtype(), T => {
        let cells = x.cells::<T>();
        walk::rows(&shape, [&strides], [x.offset()], |[i], lanes, [s]| {
            for lane in 0..lanes as isize {
                let lane: Vec<T> = walk::row(cells, i + lane * s, length, step).collect();
                let mut positions: Vec<usize> = (0..length).collect();
                let compare = |a: &usize, b: &usize| {
                    compared(lane[*a], lane[*b], descending).then(a.cmp(b))
                };
                if count < length {
                    positions.select_nth_unstable_by(count, compare);
                    positions.truncate(count);
                }
                positions.sort_unstable_by(compare);
                out.extend(positions.into_iter().map(|position| position as i64));
            }
        });
    });
    Array::new(DType::I64, out_shape, out)
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
