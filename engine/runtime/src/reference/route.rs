//! `route`: Σ over branches of weight times what the branch makes of its items.
//!
//! A branch that keeps nothing does not run. One that keeps some items runs on
//! these alone, gathered along the first item axis, if nothing in it depends on
//! where an item stands ([`treats_items_alike`]); else it runs on all of them. What
//! it makes of items that it does not keep is never added, not even as 0 times
//! `NaN`. The sum is accumulated in `f64` and rounded once.

use girih_graph::{AxisId, DType, Op, Region, Route, ValueType};
use half::{bf16, f16};

use super::array::Array;
use super::interpret::run_region;
use super::number::{Number, per_number};
use super::program::Program;
use super::scope::{Scope, Value};
use super::walk::{self, Strided, cell_count, row_major};
use crate::backend::RunError;

pub(super) fn route(
    scope: &Scope<'_>,
    route: &Route,
    programs: &[Program],
    operands: &[Value<'_>],
    out: &ValueType,
) -> Result<Array, RunError> {
    let [weights, kept, inputs @ ..] = operands else {
        unreachable!("a route has weights and a domain, as was checked when it was built")
    };
    let call = Call {
        scope,
        route,
        programs,
        weights: *weights,
        kept: *kept,
        inputs,
        out,
        shape: scope.shape(&out.axes)?,
    };
    match out.dtype {
        DType::F64 => call.sum::<f64>(),
        DType::F16 => call.sum::<f16>(),
        DType::BF16 => call.sum::<bf16>(),
        // The builder lets real dtypes through only.
        _ => call.sum::<f32>(),
    }
}

struct Call<'a, 'r> {
    scope: &'a Scope<'r>,
    route: &'a Route,
    programs: &'a [Program],
    weights: Value<'a>,
    kept: Value<'a>,
    inputs: &'a [Value<'a>],
    out: &'a ValueType,
    shape: Vec<usize>,
}

impl Call<'_, '_> {
    fn sum<T: Number>(&self) -> Result<Array, RunError> {
        let mut sums = vec![T::default().to_sum(); cell_count(&self.shape)];
        for branch in 0..self.route.branches.len() {
            let kept = self.part(self.kept, branch);
            let weights = self.part(self.weights, branch);
            let inside = kept.array.to_vec::<u8>();
            if !inside.contains(&1) {
                continue;
            }
            if inside.contains(&0) && self.can_gather(branch, &kept, &weights) {
                self.add_chosen::<T>(branch, &kept, &weights, &mut sums)?;
            } else {
                self.add_everywhere::<T>(branch, &kept, &weights, &mut sums)?;
            }
        }
        let cells = sums.into_iter().map(T::from_sum).collect();
        Ok(Array::new(self.out.dtype, self.shape.clone(), cells))
    }

    /// What belongs to one branch.
    fn part(&self, x: Value<'_>, branch: usize) -> Part {
        let place = x.place(self.route.branch);
        let place = place.expect("weights and domain have the branch axis");
        Part {
            ty: ValueType::new(x.ty.dtype, x.ty.without(&[self.route.branch])),
            array: x.array.slice(place, branch),
        }
    }

    /// What the parameters of a branch are.
    fn inputs_of(&self, branch: usize) -> impl Iterator<Item = Value<'_>> {
        self.route.reads[branch]
            .iter()
            .map(|input| self.inputs[*input])
    }

    fn can_gather(&self, branch: usize, kept: &Part, weights: &Part) -> bool {
        let items = &self.route.items;
        let region = &self.route.branches[branch];
        let all = |ty: &ValueType| items.iter().all(|item| ty.has(*item));
        let none = |ty: &ValueType| !items.iter().any(|item| ty.has(*item));
        let only = |part: &Part| part.ty.axes.iter().all(|axis| items.contains(axis));
        !items.is_empty()
            && only(kept)
            && only(weights)
            && self
                .inputs_of(branch)
                .all(|input| all(input.ty) || none(input.ty))
            && region
                .results()
                .iter()
                .all(|result| all(region.ty(*result)))
            && treats_items_alike(region, items)
    }

    /// Runs a branch on everything and adds what it keeps.
    fn add_everywhere<T: Number>(
        &self,
        branch: usize,
        kept: &Part,
        weights: &Part,
        sums: &mut [T::Sum],
    ) -> Result<(), RunError> {
        let region = &self.route.branches[branch];
        let inputs = self
            .inputs_of(branch)
            .map(|input| input.array.clone())
            .collect();
        let results = run_region(self.scope, region, &self.programs[branch], inputs)?;
        let (Some(array), Some(value)) = (results.first(), region.results().first()) else {
            return Ok(());
        };
        let result = Value {
            ty: region.ty(*value),
            array,
        };
        let axes = &self.out.axes;
        let strides = [
            &*result.strides(axes),
            &weights.value().strides(axes),
            &kept.value().strides(axes),
            &row_major(&self.shape),
        ];
        let (x, w) = (array.cells::<T>(), weights.array.cells::<T>());
        let inside = kept.array.cells::<u8>();
        let start = [
            array.offset(),
            weights.array.offset(),
            kept.array.offset(),
            0,
        ];
        walk::rows(
            &self.shape,
            strides,
            start,
            |[i, j, d, o], length, [s, t, r, u]| {
                for k in 0..length as isize {
                    if inside[(d + k * r) as usize] != 0 {
                        let (x, w) = (x[(i + k * s) as usize], w[(j + k * t) as usize]);
                        let sum = &mut sums[(o + k * u) as usize];
                        *sum = T::add(*sum, T::mul(w.to_sum(), x.to_sum()));
                    }
                }
            },
        );
        Ok(())
    }

    /// Runs a branch on the items that it keeps.
    fn add_chosen<T: Number>(
        &self,
        branch: usize,
        kept: &Part,
        weights: &Part,
        sums: &mut [T::Sum],
    ) -> Result<(), RunError> {
        let items = &self.route.items;
        let extents = self.scope.shape(items)?;
        let inside = kept.value().over(items, &extents).to_vec::<u8>();
        let chosen: Vec<usize> = (0..inside.len())
            .filter(|item| inside[*item] != 0)
            .collect();

        let mut collapsed: Vec<(AxisId, usize)> = items.iter().map(|item| (*item, 1)).collect();
        if let Some((_, first)) = collapsed.first_mut() {
            *first = chosen.len();
        }
        let scope = self.scope.with_extents(&collapsed);
        let mut inputs = Vec::new();
        for input in self.inputs_of(branch) {
            inputs.push(if items.iter().all(|item| input.ty.has(*item)) {
                gathered(
                    &scope,
                    input,
                    items,
                    &offsets(input, items, &extents, &chosen),
                )?
            } else {
                input.array.clone()
            });
        }
        let region = &self.route.branches[branch];
        let results = run_region(&scope, region, &self.programs[branch], inputs)?;
        let (Some(array), Some(value)) = (results.first(), region.results().first()) else {
            return Ok(());
        };
        let result = Value {
            ty: region.ty(*value),
            array,
        };

        let axes = &self.out.axes;
        let (x, w) = (array.cells::<T>(), weights.array.cells::<T>());
        let (along, own) = (result.strides(axes), row_major(&self.shape));
        let rest: Vec<usize> = axes
            .iter()
            .zip(&self.shape)
            .map(|(axis, extent)| if items.contains(axis) { 1 } else { *extent })
            .collect();
        let place = |item: &AxisId| axes.iter().position(|axis| axis == item);
        let steps: Vec<isize> = items
            .iter()
            .map(|item| place(item).map_or(0, |place| own[place]))
            .collect();
        let starts = unraveled(&steps, &extents, &chosen);
        let factors = offsets(weights.value(), items, &extents, &chosen);
        let step = result.stride(items[0]);
        for (item, (start, factor)) in starts.into_iter().zip(factors).enumerate() {
            let factor = w[factor as usize].to_sum();
            let start = [array.offset() + step * item as isize, start];
            walk::rows(&rest, [&*along, &*own], start, |[i, o], length, [s, t]| {
                for (k, x) in walk::row(x, i, length, s).enumerate() {
                    let sum = &mut sums[(o + k as isize * t) as usize];
                    *sum = T::add(*sum, T::mul(factor, x.to_sum()));
                }
            });
        }
        Ok(())
    }
}

/// An operand without the branch axis.
struct Part {
    ty: ValueType,
    array: Array,
}

impl Part {
    fn value(&self) -> Value<'_> {
        Value {
            ty: &self.ty,
            array: &self.array,
        }
    }
}

/// Where the chosen items lie in a value.
fn offsets(x: Value<'_>, items: &[AxisId], extents: &[usize], chosen: &[usize]) -> Vec<isize> {
    let starts = unraveled(&x.strides(items), extents, chosen);
    starts
        .into_iter()
        .map(|start| x.array.offset() + start)
        .collect()
}

/// Offsets of row-major positions under other strides.
fn unraveled(strides: &[isize], extents: &[usize], positions: &[usize]) -> Vec<isize> {
    let offset = |position: &usize| {
        let (mut rest, mut offset) = (*position, 0);
        for (extent, stride) in extents.iter().zip(strides).rev() {
            offset += stride * (rest % extent) as isize;
            rest /= extent;
        }
        offset
    };
    positions.iter().map(offset).collect()
}

/// An input with the items at `offsets` alone, along the first item axis.
fn gathered(
    scope: &Scope<'_>,
    x: Value<'_>,
    items: &[AxisId],
    offsets: &[isize],
) -> Result<Array, RunError> {
    let rest = x.ty.without(items);
    let rest_shape = scope.shape(&rest)?;
    let along = x.strides(&rest);
    let mut axes = vec![items[0]];
    axes.extend(rest);
    let strides = row_major(&scope.shape(&axes)?);
    per_number!(x.ty.dtype, T => {
        let mut cells: Vec<T> = Vec::with_capacity(offsets.len() * cell_count(&rest_shape));
        for offset in offsets {
            let item = Strided { cells: x.array.cells::<T>(), offset: *offset, strides: &along };
            cells.extend(walk::map(&rest_shape, item, |x| x));
        }
        let made = Array::new(x.ty.dtype, vec![cells.len()], cells);
        let place = |axis: &AxisId| axes.iter().position(|own| own == axis);
        let stride = |axis: &AxisId| place(axis).map_or(0, |place| strides[place]);
        let strides = x.axes().iter().map(stride).collect();
        Ok(made.view(scope.shape(x.axes())?, strides, 0))
    })
}

/// Whether nothing in a branch depends on where an item stands among others.
fn treats_items_alike(region: &Region, items: &[AxisId]) -> bool {
    let free = |axis: &AxisId| !items.contains(axis);
    let all_free = |axes: &[AxisId]| axes.iter().all(free);
    region.nodes().all(|(_, node)| match &node.op {
        Op::Input(..)
        | Op::Param(..)
        | Op::State(..)
        | Op::Const(..)
        | Op::Size(..)
        | Op::Unary(..)
        | Op::Binary(..)
        | Op::Select
        | Op::Cast(..)
        | Op::Expand(..)
        | Op::GradAs => true,
        Op::Index(axis) | Op::Cumulate { axis, .. } | Op::Gather { axis, .. } => free(axis),
        Op::Table(_, axes, _) | Op::Contract(axes) | Op::Reduce(_, axes) | Op::Softmax(axes) => {
            all_free(axes)
        }
        Op::Random(_, _, axes) => axes.iter().all(|(axis, _)| free(axis)),
        Op::Order { axis, into, .. } => free(axis) && free(into),
        Op::Scatter { axis, over, .. } => free(axis) && all_free(over),
        Op::Window {
            axis,
            into: indices,
            ..
        }
        | Op::Fold {
            axis,
            from: indices,
            ..
        } => free(axis) && indices.iter().all(|(index, _)| free(index)),
        Op::Split(axis, axes) | Op::Merge(axes, axis) | Op::Concat(axes, axis) => {
            free(axis) && all_free(axes)
        }
        Op::Rename(pairs) => pairs.iter().all(|(old, new)| free(old) && free(new)),
        Op::Recurrence(inner) => free(&inner.axis) && treats_items_alike(&inner.body, items),
        Op::Route(inner) => {
            let alike = |branch| treats_items_alike(branch, items);
            free(&inner.branch) && inner.branches.iter().all(alike)
        }
        Op::Call(call) => call.core_axes().all(|axis| free(&axis)),
    })
}
