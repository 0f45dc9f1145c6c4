//! `recurrence`: a loop that interprets its body once per position.

use girih_graph::{Recurrence, ValueType};

use super::array::Array;
use super::interpret::{Values, run_steps};
use super::number::per_number;
use super::program::Program;
use super::scope::{Scope, Value};
use super::walk::{self, cell_count};
use crate::backend::RunError;

/// The final carried values, then the outputs stacked along the axis.
pub(super) fn recurrence(
    scope: &Scope<'_>,
    recurrence: &Recurrence,
    program: &Program,
    operands: &[Value<'_>],
    out: &[&ValueType],
) -> Result<Vec<Array>, RunError> {
    let Recurrence {
        axis,
        reverse,
        carried,
        sequences,
        body,
    } = recurrence;
    let length = scope.extent(*axis)?;
    let (starts, rest) = operands.split_at(*carried);
    let (sequences, fixed) = rest.split_at(*sequences);

    let params = body.params();
    let mut values = Values::new(scope.run, body);
    for (param, value) in params[carried + sequences.len()..].iter().zip(fixed) {
        values.set(*param, value.array.clone(), 0);
    }
    if length > 0 {
        run_steps(scope, body, &program.once, &mut values)?;
    }

    let mut state: Vec<Array> = starts.iter().map(|start| start.array.clone()).collect();
    let mut stacks: Vec<Vec<Array>> = vec![Vec::new(); out.len() - carried];
    for step in 0..length {
        scope.run.tick()?;
        let position = if *reverse { length - 1 - step } else { step };
        for (param, value) in params.iter().zip(state.drain(..)) {
            values.set(*param, value, 0);
        }
        for (param, sequence) in params[*carried..].iter().zip(sequences) {
            let place = sequence.place(*axis).expect("a sequence has the axis");
            values.set(*param, sequence.array.slice(place, position), 0);
        }
        run_steps(scope, body, &program.steps, &mut values)?;
        for (result, start) in body.results().iter().zip(starts) {
            // The body may order the axes otherwise.
            let next = Value {
                ty: body.ty(*result),
                array: values.get(*result),
            };
            state.push(next.over(start.axes(), start.array.shape()));
        }
        for (result, stack) in body.results()[*carried..].iter().zip(&mut stacks) {
            stack.push(values.get(*result).clone());
        }
    }
    for (mut slices, ty) in stacks.into_iter().zip(&out[*carried..]) {
        if *reverse {
            slices.reverse();
        }
        state.push(stacked(&slices, ty, scope.shape(&ty.axes)?));
    }
    Ok(state)
}

/// Slices as one array, whose first axis counts them.
fn stacked(slices: &[Array], ty: &ValueType, shape: Vec<usize>) -> Array {
    per_number!(ty.dtype, T => {
        let mut cells: Vec<T> = Vec::with_capacity(cell_count(&shape));
        for slice in slices {
            let slice_cells = slice.strided::<T>();
            let (strides, start) = (slice_cells.strides, slice_cells.offset);
            walk::rows(slice.shape(), [strides], [start], |[i], length, [s]| {
                if s == 1 {
                    cells.extend_from_slice(slice_cells.run(i, length));
                } else {
                    cells.extend(walk::row(slice_cells.cells, i, length, s));
                }
            });
        }
        Array::new(ty.dtype, shape, cells)
    })
}
