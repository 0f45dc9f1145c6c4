//! Loops over strided elements.
//!
//! A walk visits the positions of a shape in row-major order, and knows for
//! each operand where its element lies. Axes that lie behind one another in
//! every operand are walked as one, so that contiguous operands are one row.

/// Calls `body` for every innermost row with the operands' first offsets, the length, and
/// their steps within the row. Rows come in row-major order; without positions, none does.
pub(super) fn rows<const N: usize>(
    shape: &[usize],
    strides: [&[isize]; N],
    start: [isize; N],
    mut body: impl FnMut([isize; N], usize, [isize; N]),
) {
    if shape.contains(&0) {
        return;
    }
    let axes = joined(shape, strides);
    let Some(((length, steps), outer)) = axes.split_last() else {
        body(start, 1, [0; N]);
        return;
    };
    let mut position = vec![0; outer.len()];
    let mut offsets = start;
    loop {
        body(offsets, *length, *steps);
        // The next position: the last axis that is not at its end advances.
        let mut axis = outer.len();
        loop {
            let Some(next) = axis.checked_sub(1) else {
                return;
            };
            axis = next;
            let (extent, steps) = &outer[axis];
            position[axis] += 1;
            if position[axis] < *extent {
                for (offset, step) in offsets.iter_mut().zip(steps) {
                    *offset += step;
                }
                break;
            }
            position[axis] = 0;
            for (offset, step) in offsets.iter_mut().zip(steps) {
                *offset -= step * (*extent as isize - 1);
            }
        }
    }
}

/// Axes longer than 1, neighbors that every operand can walk as one joined.
fn joined<const N: usize>(shape: &[usize], strides: [&[isize]; N]) -> Vec<(usize, [isize; N])> {
    let mut axes: Vec<(usize, [isize; N])> = Vec::with_capacity(shape.len());
    for (axis, extent) in shape.iter().enumerate() {
        if *extent == 1 {
            continue;
        }
        let steps = strides.map(|strides| strides[axis]);
        if let Some((outer, outer_steps)) = axes.last_mut() {
            let whole = steps.map(|step| step * *extent as isize);
            if *outer_steps == whole {
                *outer *= extent;
                *outer_steps = steps;
                continue;
            }
        }
        axes.push((*extent, steps));
    }
    axes
}

/// The elements of a row.
pub(super) fn row<T: Copy>(
    cells: &[T],
    start: isize,
    length: usize,
    step: isize,
) -> impl Iterator<Item = T> + Clone {
    (0..length as isize).map(move |position| cells[(start + position * step) as usize])
}

/// `f` of every element, in row-major order.
pub(super) fn map<A: Copy, R>(shape: &[usize], x: Strided<'_, A>, f: impl Fn(A) -> R) -> Vec<R> {
    let mut out = Vec::with_capacity(cell_count(shape));
    rows(shape, [x.strides], [x.offset], |[i], length, [s]| {
        if s == 1 {
            out.extend(x.run(i, length).iter().map(|x| f(*x)));
        } else {
            out.extend(row(x.cells, i, length, s).map(&f));
        }
    });
    out
}

/// `f` of every pair of elements, in row-major order.
pub(super) fn zip<A: Copy, B: Copy, R>(
    shape: &[usize],
    x: Strided<'_, A>,
    y: Strided<'_, B>,
    f: impl Fn(A, B) -> R,
) -> Vec<R> {
    let mut out = Vec::with_capacity(cell_count(shape));
    let start = [x.offset, y.offset];
    rows(
        shape,
        [x.strides, y.strides],
        start,
        |[i, j], length, steps| match steps {
            [1, 1] => {
                let pairs = x.run(i, length).iter().zip(y.run(j, length));
                out.extend(pairs.map(|(x, y)| f(*x, *y)));
            }
            [1, 0] => {
                let y = y.cells[j as usize];
                out.extend(x.run(i, length).iter().map(|x| f(*x, y)));
            }
            [0, 1] => {
                let x = x.cells[i as usize];
                out.extend(y.run(j, length).iter().map(|y| f(x, *y)));
            }
            [s, t] => {
                let pairs = row(x.cells, i, length, s).zip(row(y.cells, j, length, t));
                out.extend(pairs.map(|(x, y)| f(x, y)));
            }
        },
    );
    out
}

/// Copies elements to where `strides` put them in `out`.
pub(super) fn copy<T: Copy>(
    shape: &[usize],
    x: Strided<'_, T>,
    out: &mut [T],
    offset: isize,
    strides: &[isize],
) {
    let start = [x.offset, offset];
    rows(
        shape,
        [x.strides, strides],
        start,
        |[i, o], length, steps| {
            if steps == [1, 1] {
                out[o as usize..][..length].copy_from_slice(x.run(i, length));
            } else {
                let [s, t] = steps;
                for (k, x) in row(x.cells, i, length, s).enumerate() {
                    out[(o + k as isize * t) as usize] = x;
                }
            }
        },
    );
}

/// Elements with where they lie along the axes of a walk.
#[derive(Clone, Copy)]
pub(super) struct Strided<'a, T> {
    pub(super) cells: &'a [T],
    pub(super) offset: isize,
    pub(super) strides: &'a [isize],
}

impl<'a, T> Strided<'a, T> {
    pub(super) fn run(&self, start: isize, length: usize) -> &'a [T] {
        &self.cells[start as usize..][..length]
    }
}

/// Elements of a shape that is known to fit into memory.
pub(super) fn cell_count(shape: &[usize]) -> usize {
    crate::tensor::element_count(shape).expect("sizes are checked before values are made")
}

/// Strides of a row-major tensor.
pub(super) fn row_major(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![1_isize; shape.len()];
    for axis in (1..shape.len()).rev() {
        // Beside an extent of 0, others may be absurd.
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis] as isize);
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        shape: &[usize],
        strides: [&[isize]; 2],
        expected: &[([isize; 2], usize, [isize; 2])],
    ) {
        let mut found = Vec::new();
        rows(shape, strides, [0, 0], |offsets, length, steps| {
            found.push((offsets, length, steps));
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn neighbors_are_joined_and_rows_come_in_order() {
        check(&[2, 3], [&[3, 1], &[3, 1]], &[([0, 0], 6, [1, 1])]);
        check(
            &[2, 3],
            [&[3, 1], &[1, 2]],
            &[([0, 0], 3, [1, 2]), ([3, 1], 3, [1, 2])],
        );
        check(&[1, 3, 1], [&[9, 1, 9], &[0, 0, 0]], &[([0, 0], 3, [1, 0])]);
        check(&[], [&[], &[]], &[([0, 0], 1, [0, 0])]);
        check(&[2, 0], [&[0, 1], &[0, 1]], &[]);
        check(
            &[2, 2, 2],
            [&[4, 2, 1], &[1, 4, 2]],
            &[([0, 0], 4, [1, 2]), ([4, 1], 4, [1, 2])],
        );
    }
}
