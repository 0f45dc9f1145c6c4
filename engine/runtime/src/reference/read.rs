//! `gather` and `scatter`: reads and writes at positions that are data.

use girih_graph::{AxisId, Combine, DType, Outside};

use super::array::Array;
use super::elementwise;
use super::number::{Number, per_number};
use super::scope::{Scope, Value};
use super::walk::{self, Strided, cell_count, row_major};
use crate::backend::RunError;

/// Positions as `i64`.
fn positions(value: Value<'_>) -> Array {
    elementwise::cast(value.array, DType::I64)
}

/// `x` along `axis` at `at`; the result is over `axes`.
pub(super) fn gather(
    scope: &Scope<'_>,
    (axis, outside): (AxisId, Outside),
    x: Value<'_>,
    at: Value<'_>,
    axes: &[AxisId],
) -> Result<Array, RunError> {
    let shape = scope.shape(axes)?;
    let positions = positions(at);
    let at = Value {
        ty: at.ty,
        array: &positions,
    };
    let (along, along_at) = (x.strides(axes), at.strides(axes));
    let reader = Reader {
        axis: scope.axis_name(axis),
        outside,
        extent: scope.extent(axis)?,
        step: x.stride(axis),
    };
    let dtype = x.ty.dtype;
    per_number!(dtype, T => {
        let cells = reader.read::<T>(&shape, x.array.along(&along), positions.along(&along_at))?;
        Ok(Array::new(dtype, shape, cells))
    })
}

struct Reader<'a> {
    axis: &'a str,
    outside: Outside,
    extent: usize,
    step: isize,
}

impl Reader<'_> {
    /// Distance of a position from the first; `None` reads 0.
    fn offset(&self, position: i64) -> Result<Option<isize>, RunError> {
        let inside = usize::try_from(position).is_ok_and(|position| position < self.extent);
        match self.outside {
            _ if inside => Ok(Some(position as isize * self.step)),
            Outside::Zero => Ok(None),
            Outside::Error => Err(RunError::Position {
                axis: self.axis.to_owned(),
                position,
                extent: self.extent,
            }),
        }
    }

    fn read<T: Number>(
        &self,
        shape: &[usize],
        x: Strided<'_, T>,
        at: Strided<'_, i64>,
    ) -> Result<Vec<T>, RunError> {
        let mut out = Vec::with_capacity(cell_count(shape));
        let mut failed = None;
        let start = [x.offset, at.offset];
        walk::rows(
            shape,
            [x.strides, at.strides],
            start,
            |[i, p], length, [s, t]| {
                if failed.is_some() {
                    return;
                }
                // Whole rows at one position, or elements each at its own.
                let (runs, run) = if t == 0 { (1, length) } else { (length, 1) };
                for k in 0..runs as isize {
                    match self.offset(at.cells[(p + k * t) as usize]) {
                        Ok(Some(offset)) => {
                            let start = i + k * s + offset;
                            if s == 1 {
                                out.extend_from_slice(x.run(start, run));
                            } else {
                                out.extend(walk::row(x.cells, start, run, s));
                            }
                        }
                        Ok(None) => out.resize(out.len() + run, T::default()),
                        Err(error) => {
                            failed = Some(error);
                            return;
                        }
                    }
                }
            },
        );
        failed.map_or(Ok(out), Err)
    }
}

/// Combines `updates` at positions `at` of `axis`, walking `over`; the result is over `axes`.
pub(super) fn scatter(
    scope: &Scope<'_>,
    (axis, combine): (AxisId, Combine),
    at: Value<'_>,
    updates: Value<'_>,
    axes: &[AxisId],
) -> Result<Array, RunError> {
    let shape = scope.shape(axes)?;
    let positions = positions(at);
    let at = Value {
        ty: at.ty,
        array: &positions,
    };
    let walked = girih_graph::axis::align(&[updates.axes(), at.axes()]);
    let strides = row_major(&shape);
    let place = |axis: &AxisId| axes.iter().position(|own| own == axis);
    let stride = |axis: &AxisId| place(axis).map_or(0, |place| strides[place]);
    // An operand may have walked an axis of the name that is written along.
    let aligned = |own: &AxisId| if *own == axis { 0 } else { stride(own) };
    let writer = Writer {
        walked: scope.shape(&walked)?,
        along: updates.strides(&walked),
        along_at: at.strides(&walked),
        into: walked.iter().map(aligned).collect(),
        extent: scope.extent(axis)?,
        step: stride(&axis),
        count: cell_count(&shape),
    };
    let dtype = updates.ty.dtype;
    per_number!(dtype, T => {
        let at = positions.along::<i64>(&writer.along_at);
        let x = updates.array.along::<T>(&writer.along);
        let cells = match combine {
            Combine::Sum => writer.written(x, at, T::to_sum, T::add, T::from_sum),
            Combine::Prod => writer.written(x, at, T::to_sum, T::mul, T::from_sum),
            Combine::Max | Combine::Any => writer.written(x, at, |x| x, T::larger, |x| x),
            Combine::Min | Combine::All => writer.written(x, at, |x| x, T::smaller, |x| x),
        };
        Ok(Array::new(dtype, shape, cells))
    })
}

struct Writer {
    /// Extents of all axes of either operand.
    walked: Vec<usize>,
    /// Strides along these of the updates, the positions and the result.
    along: Vec<isize>,
    along_at: Vec<isize>,
    into: Vec<isize>,
    /// Of the axis written along.
    extent: usize,
    step: isize,
    /// Elements of the result.
    count: usize,
}

impl Writer {
    fn written<T: Number, A: Copy>(
        &self,
        x: Strided<'_, T>,
        at: Strided<'_, i64>,
        lift: impl Fn(T) -> A,
        combine: impl Fn(A, A) -> A,
        lower: impl Fn(A) -> T,
    ) -> Vec<T> {
        let mut sums: Vec<Option<A>> = vec![None; self.count];
        let strides = [x.strides, at.strides, &*self.into];
        let start = [x.offset, at.offset, 0];
        walk::rows(
            &self.walked,
            strides,
            start,
            |[i, p, o], length, [s, t, r]| {
                for k in 0..length as isize {
                    let position = at.cells[(p + k * t) as usize];
                    if usize::try_from(position).is_ok_and(|position| position < self.extent) {
                        let x = lift(x.cells[(i + k * s) as usize]);
                        let sum = &mut sums[(o + k * r + position as isize * self.step) as usize];
                        *sum = Some(sum.map_or(x, |sum| combine(sum, x)));
                    }
                }
            },
        );
        let lowered = sums.into_iter().map(|sum| sum.map_or(T::default(), &lower));
        lowered.collect()
    }
}
