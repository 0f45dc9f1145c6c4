//! Where values lie: buffers, tensors, and views that move nothing.

use girih_graph::{AxisId, Extent, ValueType};

use super::Planner;
use super::value::{Form, ValueIx, View};
use super::view;
use crate::plan::{Buffer, BufferId, BufferKind, Stride, Tensor, TensorId};

impl Planner<'_, '_> {
    /// A dense tensor in a buffer of its own, row-major over the type's axes.
    pub(super) fn dense(&mut self, ty: &ValueType, kind: BufferKind) -> TensorId {
        let axes = self.dense_axes(ty);
        let elements = ty.axes.iter().fold(Extent::constant(1), |size, axis| {
            size.times(&self.extent(*axis))
        });
        let buffer = self.buffer(Buffer {
            dtype: ty.dtype,
            elements,
            kind,
        });
        self.tensor(Tensor {
            buffer,
            dtype: ty.dtype,
            offset: Extent::constant(0),
            axes,
        })
    }

    /// The axes of a dense tensor of this type.
    pub(super) fn dense_axes(&self, ty: &ValueType) -> Vec<(AxisId, Stride)> {
        let mut step = Extent::constant(1);
        let mut axes = Vec::with_capacity(ty.axes.len());
        for axis in ty.axes.iter().rev() {
            let extent = self.extent(*axis);
            let stride = Stride {
                extent: extent.clone(),
                step: step.clone(),
            };
            axes.push((*axis, stride));
            step = step.times(&extent);
        }
        axes.reverse();
        axes
    }

    pub(super) fn table(&mut self, ty: &ValueType, data: &[f64]) -> TensorId {
        self.dense(ty, BufferKind::Table(data.into()))
    }

    fn buffer(&mut self, buffer: Buffer) -> BufferId {
        self.section.buffers.push(buffer);
        BufferId(self.section.buffers.len() as u32 - 1)
    }

    pub(super) fn tensor(&mut self, tensor: Tensor) -> TensorId {
        self.section.tensors.push(tensor);
        TensorId(self.section.tensors.len() as u32 - 1)
    }

    /// A tensor whose buffer is provided, with these strides from its first element.
    pub(super) fn bound(&mut self, ty: &ValueType, axes: Vec<(AxisId, Stride)>) -> TensorId {
        let buffer = self.buffer(Buffer {
            dtype: ty.dtype,
            elements: Extent::constant(0),
            kind: BufferKind::Bound,
        });
        self.tensor(Tensor {
            buffer,
            dtype: ty.dtype,
            offset: Extent::constant(0),
            axes,
        })
    }

    /// The part of a tensor from `start` along `axis`, which it calls `along`.
    pub(super) fn slice(
        &mut self,
        whole: TensorId,
        axis: AxisId,
        along: AxisId,
        start: &Extent,
    ) -> TensorId {
        let mut part = self.section.tensors[whole.index()].clone();
        let extent = self.extent(along);
        let place = part.axes.iter().position(|(own, _)| *own == axis);
        for (own, stride) in &mut part.axes {
            if *own == axis {
                part.offset = part.offset.plus(&start.times(&stride.step));
                *own = along;
                stride.extent = extent.clone();
                break;
            }
        }
        let part = self.tensor(part);
        self.sliced.extend(place.map(|place| (part, place)));
        part
    }

    /// A tensor with one axis seen as the several that it merges.
    pub(super) fn unmerged(&mut self, whole: TensorId, from: &[AxisId], axis: AxisId) -> TensorId {
        let mut tensor = self.section.tensors[whole.index()].clone();
        let Some(place) = tensor.axes.iter().position(|(own, _)| *own == axis) else {
            return whole;
        };
        let (_, merged) = tensor.axes.remove(place);
        let mut step = merged.step;
        for part in from.iter().rev() {
            let extent = self.extent(*part);
            let stride = Stride {
                extent: extent.clone(),
                step: step.clone(),
            };
            tensor.axes.insert(place, (*part, stride));
            step = step.times(&extent);
        }
        self.tensor(tensor)
    }

    /// A tensor that holds the value, with exactly its axes: its home, or a view of another
    /// value's home.
    pub(super) fn demand(&mut self, ix: ValueIx) -> TensorId {
        if let Some(home) = self.home.get(&ix) {
            return *home;
        }
        let value = self.values.all[ix].clone();
        if let Form::View(view) = &value.form
            && self.is_worth_viewing(value.operands[0])
        {
            let inner = self.demand(value.operands[0]);
            if let Some(tensor) = self.viewed(view, inner, &value.ty) {
                let tensor = self.tensor(tensor);
                self.home.insert(ix, tensor);
                self.group[ix] = Some(self.alias_group(value.operands[0]));
                return tensor;
            }
        }
        let tensor = match value.form {
            Form::Given(tensor) => tensor,
            _ => self.dense(&value.ty, BufferKind::Temporary),
        };
        self.home.insert(ix, tensor);
        tensor
    }

    /// A group that reads one value: what stands for a view in questions of order.
    pub(super) fn alias_group(&mut self, operand: ValueIx) -> usize {
        self.groups.push(vec![operand]);
        self.groups.len() - 1
    }

    /// A tensor that holds the value, with its axes in this order in memory if that is for us
    /// to say; what is a view, or is in memory in its own order, is copied only if the
    /// innermost axis would be another.
    pub(super) fn demand_ordered(&mut self, ix: ValueIx, order: &[AxisId]) -> TensorId {
        let value = &self.values.all[ix];
        let ordered = ValueType::new(value.ty.dtype, order.to_vec());
        let computed = !matches!(value.form, Form::Given(_) | Form::View(_));
        if computed && !self.home.contains_key(&ix) {
            let tensor = self.dense(&ordered, BufferKind::Temporary);
            self.home.insert(ix, tensor);
            return tensor;
        }
        if value.ty.axes.last() == order.last() {
            return self.demand(ix);
        }
        if let Some(copy) = self.copies.get(&(ix, order.to_vec())) {
            return *copy;
        }
        self.demand(ix);
        let tensor = self.dense(&ordered, BufferKind::Temporary);
        self.copies.insert((ix, order.to_vec()), tensor);
        self.kernel(ix, tensor);
        tensor
    }

    /// The axis whose neighbors are neighbors in the memory that a value is computed from.
    pub(super) fn innermost(&self, ix: ValueIx) -> Option<AxisId> {
        let value = &self.values.all[ix];
        let tensor = match value.form {
            Form::Given(tensor) => Some(tensor),
            _ => self.home.get(&ix).copied(),
        };
        let one = Extent::constant(1);
        if let Some(tensor) = tensor {
            let tensor = &self.section.tensors[tensor.index()];
            let unit = |(_, stride): &&(AxisId, Stride)| stride.step == one && stride.extent != one;
            return tensor.axes.iter().find(unit).map(|(axis, _)| *axis);
        }
        match &value.form {
            Form::View(View::Rename(pairs)) => {
                let inner = self.innermost(value.operands[0])?;
                let pair = pairs.iter().find(|(old, _)| *old == inner);
                Some(pair.map_or(inner, |(_, new)| *new))
            }
            form if form.is_pointwise() => {
                let axes = |operand: &&ValueIx| self.values.ty(**operand).axes.len();
                let widest = value.operands.iter().rev().max_by_key(axes)?;
                self.innermost(*widest)
            }
            _ => value.ty.axes.last().copied(),
        }
    }

    /// Whether looking at a value in memory is better than computing a copy from it: it is in
    /// memory anyway, or costs something.
    fn is_worth_viewing(&self, ix: ValueIx) -> bool {
        let behind = self.values.behind_views(ix);
        !self.values.all[behind].form.is_pointwise()
            || self.home.contains_key(&behind)
            || !self.values.all[behind].operands.is_empty()
    }

    /// A view of a tensor without moving data, where strides can say it.
    pub(super) fn viewed(&self, view: &View, inner: TensorId, ty: &ValueType) -> Option<Tensor> {
        let mut tensor = self.section.tensors[inner.index()].clone();
        let one = Extent::constant(1);
        let step = |tensor: &Tensor, axis: AxisId| {
            let found = tensor.axes.iter().find(|(own, _)| *own == axis);
            found.map(|(_, stride)| stride.clone())
        };
        let mut axes: Vec<(AxisId, Stride)> = Vec::with_capacity(ty.axes.len());
        for axis in &ty.axes {
            let extent = self.extent(*axis);
            let still = Extent::constant(0);
            let own = match view {
                View::Expand => step(&tensor, *axis).map_or(still, |stride| stride.step),
                View::Rename(pairs) => {
                    let pair = pairs.iter().find(|(_, new)| new == axis);
                    step(&tensor, pair.map_or(*axis, |(old, _)| *old))?.step
                }
                View::Split(old, into) => match into.iter().position(|part| part == axis) {
                    None => step(&tensor, *axis)?.step,
                    Some(place) => {
                        let inner = into[place + 1..].iter().map(|part| self.extent(*part));
                        let size = inner.fold(one.clone(), |size, part| size.times(&part));
                        step(&tensor, *old)?.step.times(&size)
                    }
                },
                View::Merge(from, new) if axis == new => {
                    let long: Vec<Stride> = from
                        .iter()
                        .map(|part| step(&tensor, *part))
                        .collect::<Option<Vec<_>>>()?
                        .into_iter()
                        .filter(|stride| stride.extent != one)
                        .collect();
                    let adjacent = long
                        .windows(2)
                        .all(|pair| pair[0].step == pair[1].step.times(&pair[1].extent));
                    if !adjacent {
                        return None;
                    }
                    long.last()
                        .map_or(one.clone(), |stride| stride.step.clone())
                }
                View::Merge(..) => step(&tensor, *axis)?.step,
                View::Window {
                    axis: old, into, ..
                } => match into.iter().find(|(part, _)| part == axis) {
                    Some((_, stride)) => step(&tensor, *old)?.step.times(stride),
                    None => step(&tensor, *axis)?.step,
                },
            };
            axes.push((*axis, Stride { extent, step: own }));
        }
        if let View::Window {
            axis, offset, into, ..
        } = view
        {
            let identity = into.iter().map(|(part, _)| (*part, view::zero())).collect();
            let extent = |axis: AxisId| self.extent(axis);
            let ty = ValueType::new(ty.dtype, vec![*axis]);
            let (_, guards) = view::through(view, &ty, &identity, &extent)?;
            if !guards.is_empty() {
                return None;
            }
            let old = step(&tensor, *axis)?;
            tensor.offset = tensor.offset.plus(&old.step.times(offset));
        }
        tensor.axes = axes;
        Some(tensor)
    }

    /// Has the value written to `target`, which has its axes or more.
    pub(super) fn write(&mut self, ix: ValueIx, target: TensorId) {
        let value = &self.values.all[ix];
        let computed = !matches!(value.form, Form::Given(_) | Form::View(_));
        let same = self.section.tensors[target.index()].axes.len() == value.ty.axes.len();
        if computed && same && !self.home.contains_key(&ix) {
            self.home.insert(ix, target);
            return;
        }
        if !same {
            // It is repeated along the axes that it lacks.
            self.demand(ix);
        }
        self.kernel(ix, target);
    }
}
