//! Primitives that move elements: `window`, `fold`, `split`, `merge`, `concat`,
//! `rename`, `expand`.
//!
//! A window that stays inside the axis is a view. `rename`, `expand` and
//! `split` always are, `merge` is where the axes lie behind one another.

use std::ops::Range;

use girih_graph::{AxisId, Extent, ValueType};

use super::array::Array;
use super::number::{Number, per_number};
use super::scope::{Scope, Value};
use super::walk::{self, Strided, cell_count, row_major};
use crate::backend::RunError;

/// Affine positions `offset + Σ stride·i` along an axis of `extent` positions.
struct Affine {
    /// Extents of the axes that `i` ranges over.
    extents: Vec<usize>,
    strides: Vec<i64>,
    offset: i64,
    extent: usize,
}

impl Affine {
    fn new(
        scope: &Scope<'_>,
        indices: &[(AxisId, Extent)],
        offset: &Extent,
        axis: AxisId,
    ) -> Result<Self, RunError> {
        let extents = indices.iter().map(|(index, _)| scope.extent(*index));
        let strides = indices.iter().map(|(_, stride)| scope.number(stride));
        Ok(Self {
            extents: extents.collect::<Result<_, _>>()?,
            strides: strides.collect::<Result<_, _>>()?,
            offset: scope.number(offset)?,
            extent: scope.extent(axis)?,
        })
    }

    /// Whether every position exists; true if there are none.
    fn stays_inside(&self) -> bool {
        let (mut least, mut greatest) = (i128::from(self.offset), i128::from(self.offset));
        for (extent, stride) in self.extents.iter().zip(&self.strides) {
            let Some(last) = extent.checked_sub(1) else {
                return true;
            };
            let reach = i128::from(*stride) * last as i128;
            least += reach.min(0);
            greatest += reach.max(0);
        }
        least >= 0 && greatest < self.extent as i128
    }

    /// Calls `body` for every index but the last one with the run of the last that
    /// stays inside: the indices, the run, and the position at its start.
    fn runs(&self, mut body: impl FnMut(&[usize], Range<usize>, usize)) {
        let (last, outer) = match self.extents.split_last() {
            Some((last, outer)) => (*last, outer),
            None => (1, self.extents.as_slice()),
        };
        let stride = self.strides.last().copied().unwrap_or(0);
        if self.extents.contains(&0) {
            return;
        }
        let mut indices = vec![0; outer.len()];
        loop {
            let steps = indices.iter().zip(&self.strides);
            let base = steps.fold(i128::from(self.offset), |base, (index, stride)| {
                base + *index as i128 * i128::from(*stride)
            });
            let run = inside(base, i128::from(stride), last, self.extent);
            if !run.is_empty() {
                let start = base + i128::from(stride) * run.start as i128;
                body(&indices, run, start as usize);
            }
            let next = (0..outer.len())
                .rev()
                .find(|axis| indices[*axis] + 1 < outer[*axis]);
            let Some(axis) = next else {
                return;
            };
            indices[axis] += 1;
            indices[axis + 1..].fill(0);
        }
    }
}

/// The indices below `count` for which `base + stride·i` is a position of `extent`.
fn inside(base: i128, stride: i128, count: usize, extent: usize) -> Range<usize> {
    let (count, extent) = (count as i128, extent as i128);
    let ceil_div = |a: i128, b: i128| a.div_euclid(b) + i128::from(a.rem_euclid(b) != 0);
    let (start, end) = match stride {
        0 if (0..extent).contains(&base) => (0, count),
        0 => (0, 0),
        1.. => (ceil_div(-base, stride), ceil_div(extent - base, stride)),
        _ => (
            ceil_div(base - extent + 1, -stride),
            ceil_div(base + 1, -stride),
        ),
    };
    let start = start.clamp(0, count);
    start as usize..end.clamp(start, count) as usize
}

pub(super) fn window(
    scope: &Scope<'_>,
    (axis, into, offset): (AxisId, &[(AxisId, Extent)], &Extent),
    x: Value<'_>,
    out: &ValueType,
) -> Result<Array, RunError> {
    let affine = Affine::new(scope, into, offset, axis)?;
    let shape = scope.shape(&out.axes)?;
    let step = x.stride(axis);
    let index = |axis: &AxisId| into.iter().position(|(new, _)| new == axis);
    if shape.contains(&0) {
        return Ok(Array::zeros(x.ty.dtype, shape));
    }
    if affine.stays_inside() {
        let stride = |axis: &AxisId| match index(axis) {
            // The stride of an axis with one position may be any number.
            Some(index) if affine.extents[index] == 1 => 0,
            Some(index) => step * affine.strides[index] as isize,
            None => x.stride(*axis),
        };
        let strides = out.axes.iter().map(stride).collect();
        return Ok(x.array.view(shape, strides, step * affine.offset as isize));
    }
    let strides = row_major(&shape);
    let block = Block::new(&out.axes, into, &shape);
    let along: Vec<isize> = out
        .axes
        .iter()
        .map(|axis| match index(axis) {
            Some(index) => step.wrapping_mul(affine.strides[index] as isize),
            None => x.stride(*axis),
        })
        .collect();
    per_number!(x.ty.dtype, T => {
        let from = x.array.cells::<T>();
        let mut cells = vec![T::default(); cell_count(&shape)];
        affine.runs(|indices, run, position| {
            let source = Strided {
                cells: from,
                offset: x.array.offset() + step * position as isize,
                strides: &along,
            };
            let target = block.start(indices, run.start, &strides);
            walk::copy(&block.shape(run.len()), source, &mut cells, target, &strides);
        });
        Ok(Array::new(x.ty.dtype, shape, cells))
    })
}

/// The part of a walk that one run of indices covers.
struct Block<'a> {
    shape: &'a [usize],
    /// Where the indices stand among the axes of the walk.
    places: Vec<usize>,
}

impl<'a> Block<'a> {
    fn new(axes: &[AxisId], indices: &[(AxisId, Extent)], shape: &'a [usize]) -> Self {
        let place = |(index, _): &(AxisId, Extent)| axes.iter().position(|axis| axis == index);
        Self {
            shape,
            places: indices.iter().filter_map(place).collect(),
        }
    }

    /// One position of every index but the last, which has `run`.
    fn shape(&self, run: usize) -> Vec<usize> {
        let mut shape = self.shape.to_vec();
        for place in &self.places {
            shape[*place] = 1;
        }
        if let Some(last) = self.places.last() {
            shape[*last] = run;
        }
        shape
    }

    /// Where the block starts, for `strides` along the axes of the walk.
    fn start(&self, indices: &[usize], last: usize, strides: &[isize]) -> isize {
        let indices = indices.iter().chain([&last]);
        let starts = self.places.iter().zip(indices);
        starts
            .map(|(place, index)| strides[*place] * *index as isize)
            .sum()
    }
}

pub(super) fn fold(
    scope: &Scope<'_>,
    (from, axis, offset): (&[(AxisId, Extent)], AxisId, &Extent),
    x: Value<'_>,
    out: &ValueType,
) -> Result<Array, RunError> {
    let affine = Affine::new(scope, from, offset, axis)?;
    let shape = scope.shape(&out.axes)?;
    if x.array.shape().contains(&0) {
        return Ok(Array::zeros(x.ty.dtype, shape));
    }
    let strides = row_major(&shape);
    let place = |axis: &AxisId| out.axes.iter().position(|own| own == axis);
    let step = place(&axis).map_or(0, |place| strides[place]);
    let block = Block::new(x.axes(), from, x.array.shape());
    let into: Vec<isize> = x
        .axes()
        .iter()
        .map(
            |axis| match from.iter().position(|(gone, _)| gone == axis) {
                Some(index) => step.wrapping_mul(affine.strides[index] as isize),
                None => place(axis).map_or(0, |place| strides[place]),
            },
        )
        .collect();
    per_number!(x.ty.dtype, T => {
        let mut sums = vec![T::default().to_sum(); cell_count(&shape)];
        let source = x.array.strided::<T>();
        affine.runs(|indices, run, position| {
            let offset = x.array.offset() + block.start(indices, run.start, source.strides);
            let source = Strided { offset, ..source };
            let target = step * position as isize;
            add::<T>(&block.shape(run.len()), source, &mut sums, target, &into);
        });
        let cells = sums.into_iter().map(T::from_sum).collect();
        Ok(Array::new(x.ty.dtype, shape, cells))
    })
}

fn add<T: Number>(
    shape: &[usize],
    x: Strided<'_, T>,
    sums: &mut [T::Sum],
    offset: isize,
    strides: &[isize],
) {
    let start = [x.offset, offset];
    walk::rows(
        shape,
        [x.strides, strides],
        start,
        |[i, o], length, [s, t]| {
            for (k, x) in walk::row(x.cells, i, length, s).enumerate() {
                let sum = &mut sums[(o + k as isize * t) as usize];
                *sum = T::add(*sum, x.to_sum());
            }
        },
    );
}

/// One axis as several, row-major.
pub(super) fn split(
    scope: &Scope<'_>,
    axis: AxisId,
    into: &[AxisId],
    x: Value<'_>,
    out: &ValueType,
) -> Result<Array, RunError> {
    let extents = scope.shape(into)?;
    let steps = row_major(&extents);
    let stride = |own: &AxisId| match into.iter().position(|new| new == own) {
        // Beside an extent of 0, steps may be absurd.
        Some(place) => x.stride(axis).saturating_mul(steps[place]),
        None => x.stride(*own),
    };
    let strides = out.axes.iter().map(stride).collect();
    Ok(x.array.view(scope.shape(&out.axes)?, strides, 0))
}

/// Several axes as one, row-major.
pub(super) fn merge(
    scope: &Scope<'_>,
    from: &[AxisId],
    axis: AxisId,
    x: Value<'_>,
    out: &ValueType,
) -> Result<Array, RunError> {
    let shape = scope.shape(&out.axes)?;
    if let Some(step) = x.joined(from) {
        let stride = |own: &AxisId| if *own == axis { step } else { x.stride(*own) };
        let strides = out.axes.iter().map(stride).collect();
        return Ok(x.array.view(shape, strides, 0));
    }
    let mut axes = Vec::with_capacity(x.axes().len());
    for own in &out.axes {
        if *own == axis {
            axes.extend_from_slice(from);
        } else {
            axes.push(*own);
        }
    }
    let copied = x.over(&axes, &scope.shape(&axes)?).contiguous();
    let strides = row_major(&shape);
    Ok(copied.view(shape, strides, 0))
}

/// Operands joined: operand k along `from[k]`, the result along `axis`.
pub(super) fn concat(
    scope: &Scope<'_>,
    from: &[AxisId],
    axis: AxisId,
    parts: &[Value<'_>],
    out: &ValueType,
) -> Result<Array, RunError> {
    let shape = scope.shape(&out.axes)?;
    let strides = row_major(&shape);
    let place = out.axes.iter().position(|own| *own == axis);
    let place = place.expect("the result has the axis that is joined along");
    per_number!(out.dtype, T => {
        let mut cells = vec![T::default(); cell_count(&shape)];
        let mut position = 0;
        for (part, along) in parts.iter().zip(from) {
            let mut axes = out.axes.clone();
            axes[place] = *along;
            let mut part_shape = shape.clone();
            part_shape[place] = scope.extent(*along)?;
            // Another operand may have this one's axis besides; there this one is repeated.
            let mut steps = part.strides(&axes);
            for (other, step) in steps.iter_mut().enumerate() {
                if other != place && axes[other] == *along {
                    *step = 0;
                }
            }
            let start = strides[place].saturating_mul(position as isize);
            walk::copy(&part_shape, part.array.along::<T>(&steps), &mut cells, start, &strides);
            position += part_shape[place];
        }
        Ok(Array::new(out.dtype, shape, cells))
    })
}

/// The value repeated along new axes.
pub(super) fn expand(scope: &Scope<'_>, x: Value<'_>, out: &ValueType) -> Result<Array, RunError> {
    Ok(x.over(&out.axes, &scope.shape(&out.axes)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_the_indices_whose_position_exists() {
        for base in -9..9 {
            for stride in -4..4 {
                for (count, extent) in [(0, 3), (3, 0), (1, 1), (5, 7), (9, 4)] {
                    let exists =
                        |i: &usize| (0..extent as i128).contains(&(base + stride * *i as i128));
                    let expected: Vec<usize> = (0..count).filter(exists).collect();
                    let found: Vec<usize> = inside(base, stride, count, extent).collect();
                    assert_eq!(found, expected, "{base} + {stride} i, {count} of {extent}");
                }
            }
        }
    }
}
