//! Loops over strided elements.
//!
//! A walk visits the positions of a shape in row-major order and tells for each
//! of several operands where a row of elements lies. Axes that lie behind one
//! another in every operand are walked as one.

/// Calls `body` for every innermost row with the operands' first offsets, the length, and
/// their steps within the row. Rows come in row-major order; without positions, none does.
pub fn rows<const N: usize>(
    shape: &[usize],
    steps: [&[isize]; N],
    start: [isize; N],
    mut body: impl FnMut([isize; N], usize, [isize; N]),
) {
    if shape.contains(&0) {
        return;
    }
    let axes = joined(shape, steps);
    match axes.split_last() {
        None => body(start, 1, [0; N]),
        Some(((length, steps), outer)) => {
            visit(outer, start, &mut |offsets| body(offsets, *length, *steps));
        }
    }
}

fn visit<const N: usize>(
    axes: &[(usize, [isize; N])],
    start: [isize; N],
    body: &mut dyn FnMut([isize; N]),
) {
    let Some(((extent, steps), inner)) = axes.split_first() else {
        body(start);
        return;
    };
    let mut offsets = start;
    for _ in 0..*extent {
        visit(inner, offsets, body);
        for (offset, step) in offsets.iter_mut().zip(steps) {
            // The step after the last position leads nowhere.
            *offset = offset.wrapping_add(*step);
        }
    }
}

/// Axes longer than 1, neighbors that every operand can walk as one joined.
pub fn joined<const N: usize>(shape: &[usize], steps: [&[isize]; N]) -> Vec<(usize, [isize; N])> {
    let mut axes: Vec<(usize, [isize; N])> = Vec::with_capacity(shape.len());
    for (axis, extent) in shape.iter().enumerate() {
        if *extent == 1 {
            continue;
        }
        let steps = steps.map(|steps| steps[axis]);
        if let Some((outer, outer_steps)) = axes.last_mut()
            && *outer_steps == steps.map(|step| step.wrapping_mul(*extent as isize))
        {
            *outer *= extent;
            *outer_steps = steps;
            continue;
        }
        axes.push((*extent, steps));
    }
    axes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shape: &[usize], steps: [&[isize]; 2], expected: &[([isize; 2], usize, [isize; 2])]) {
        let mut found = Vec::new();
        rows(shape, steps, [0, 5], |offsets, length, steps| {
            found.push((offsets, length, steps));
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn neighbors_are_joined_and_rows_come_in_order() {
        check(&[2, 3], [&[3, 1], &[3, 1]], &[([0, 5], 6, [1, 1])]);
        check(
            &[2, 3],
            [&[3, 1], &[1, 2]],
            &[([0, 5], 3, [1, 2]), ([3, 6], 3, [1, 2])],
        );
        check(&[1, 3, 1], [&[9, 1, 9], &[0, 0, 0]], &[([0, 5], 3, [1, 0])]);
        check(&[], [&[], &[]], &[([0, 5], 1, [0, 0])]);
        check(&[2, 0], [&[0, 1], &[0, 1]], &[]);
        check(
            &[2, 2, 2],
            [&[4, 2, 1], &[1, 4, 2]],
            &[([0, 5], 4, [1, 2]), ([4, 6], 4, [1, 2])],
        );
    }
}
