//! `cumulate`: running combinations along an axis.

use girih_graph::Combine;

use super::array::Array;
use super::number::{Number, per_number};
use super::walk::{self, cell_count, row_major};

/// In which direction, and whether the element itself is left out.
#[derive(Clone, Copy)]
pub(super) struct Scan {
    /// Position of the axis in the array.
    pub(super) axis: usize,
    pub(super) reverse: bool,
    pub(super) exclusive: bool,
}

pub(super) fn cumulate(combine: Combine, scan: Scan, x: &Array) -> Array {
    per_number!(x.dtype(), T => {
        let zero = T::default().to_sum();
        let cells = match combine {
            Combine::Sum => scanned(x, scan, zero, T::to_sum, T::add, T::from_sum),
            Combine::Prod => {
                scanned(x, scan, T::ONE.to_sum(), T::to_sum, T::mul, T::from_sum)
            }
            Combine::Max => scanned(x, scan, T::LEAST, |x| x, T::larger, |x| x),
            Combine::Min => scanned(x, scan, T::GREATEST, |x| x, T::smaller, |x| x),
            Combine::Any => scanned(x, scan, T::default(), |x| x, T::larger, |x| x),
            Combine::All => scanned(x, scan, T::ONE, |x| x, T::smaller, |x| x),
        };
        Array::new(x.dtype(), x.shape().to_vec(), cells)
    })
}

fn scanned<T: Number, A: Copy>(
    x: &Array,
    scan: Scan,
    identity: A,
    lift: impl Fn(T) -> A,
    combine: impl Fn(A, A) -> A,
    lower: impl Fn(A) -> T,
) -> Vec<T> {
    let shape = x.shape();
    let mut cells = vec![T::default(); cell_count(shape)];
    if cells.is_empty() {
        return cells;
    }
    let own = row_major(shape);
    let (length, step, own_step) = (shape[scan.axis], x.strides()[scan.axis], own[scan.axis]);
    let mut lanes = shape.to_vec();
    lanes[scan.axis] = 1;
    let from = x.cells::<T>();
    let start = [x.offset(), 0];
    walk::rows(
        &lanes,
        [x.strides(), &own],
        start,
        |[i, o], count, [s, t]| {
            for lane in 0..count as isize {
                let mut sum = identity;
                for k in 0..length as isize {
                    let k = if scan.reverse {
                        length as isize - 1 - k
                    } else {
                        k
                    };
                    let x = lift(from[(i + lane * s + k * step) as usize]);
                    let before = sum;
                    sum = combine(sum, x);
                    let cell = if scan.exclusive { before } else { sum };
                    cells[(o + lane * t + k * own_step) as usize] = lower(cell);
                }
            }
        },
    );
    cells
}
