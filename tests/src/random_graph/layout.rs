//! Random nodes that move elements.

use girih_graph::op::Op;
use girih_graph::{AxisId, DType, Extent, ValueId};

use super::grow::{Grow, Known};

impl Grow<'_> {
    /// A window or a fold.
    pub(super) fn strided(&mut self) -> Option<Known> {
        let x = self.value(|own, x| !own.free_axes(x).is_empty())?;
        let free = self.free_axes(x.value);
        let offset = Extent::from(self.choose(4) as i64 - 2);
        if self.flip() {
            let axis = self.pick(&free);
            let extent = self.b.axes.extent(axis).clone();
            let mut into = Vec::new();
            if self.flip() {
                into.push((self.fresh_axis(extent), Extent::from(1)));
            }
            if self.flip() {
                let width = Extent::from(self.choose(4) as i64);
                let stride = self.pick(&[-1, 1, 2, 0]);
                into.push((self.fresh_axis(width), Extent::from(stride)));
            }
            return self.add(Op::Window { axis, into, offset }, &[x.value], x.bound);
        }
        if self.dtype(x.value) == DType::Bool {
            return None;
        }
        let from = self.some(&free);
        let strides = from
            .iter()
            .map(|axis| (*axis, Extent::from(self.pick(&[1, -1, 2, 0]))));
        let from: Vec<(AxisId, Extent)> = strides.collect();
        let walked: Vec<AxisId> = from.iter().map(|(axis, _)| *axis).collect();
        let extent = self.pick(&[3, 1, 0]);
        let axis = self.fresh_axis(Extent::from(extent));
        let bound = x.bound * self.count(&walked) as f64;
        self.add(Op::Fold { from, axis, offset }, &[x.value], bound)
    }

    /// A split, merge, concatenation, renaming or repetition.
    pub(super) fn shape(&mut self) -> Option<Known> {
        match self.choose(5) {
            0 => self.split(),
            1 => self.merge(),
            2 => self.concat(),
            3 => self.rename(),
            _ => {
                let x = self.value(|_, _| true)?;
                let has = self.axes_of(x.value);
                let new = self
                    .some_axes()
                    .into_iter()
                    .filter(|axis| !has.contains(axis));
                let new: Vec<AxisId> = new.collect();
                self.add(Op::Expand(new), &[x.value], x.bound)
            }
        }
    }

    fn split(&mut self) -> Option<Known> {
        let x = self.value(|own, x| !own.free_axes(x).is_empty())?;
        let free = self.free_axes(x.value);
        let axis = self.pick(&free);
        let extent = self.b.axes.extent(axis).clone();
        let two = Extent::from(2);
        let parts = match extent.divided_exactly(&two) {
            Some(half) if self.flip() => vec![half, two],
            _ => vec![extent, Extent::from(1)],
        };
        let into = parts.into_iter().map(|part| self.fresh_axis(part));
        let into = into.collect();
        self.add(Op::Split(axis, into), &[x.value], x.bound)
    }

    fn merge(&mut self) -> Option<Known> {
        let x = self.value(|own, x| !own.free_axes(x).is_empty())?;
        let free = self.free_axes(x.value);
        let mut from = self.some(&free);
        if self.flip() {
            from.reverse();
        }
        let extents = from.iter().map(|axis| self.b.axes.extent(*axis).clone());
        let extent = extents.fold(Extent::from(1), |product, extent| product.times(&extent));
        let axis = self.fresh_axis(extent);
        self.add(Op::Merge(from, axis), &[x.value], x.bound)
    }

    fn concat(&mut self) -> Option<Known> {
        let x = self.value(|own, x| !own.free_axes(x).is_empty())?;
        let dtype = self.dtype(x.value);
        let mut parts = vec![x];
        for _ in 0..self.choose(3) {
            let alike =
                |own: &Self, y: ValueId| own.dtype(y) == dtype && !own.free_axes(y).is_empty();
            parts.extend(self.value(alike));
        }
        let mut along = Vec::new();
        let mut extent = Extent::from(0);
        for part in &parts {
            let free = self.free_axes(part.value);
            let axis = self.pick(&free);
            extent = extent.plus(self.b.axes.extent(axis));
            along.push(axis);
        }
        let bound = parts.iter().map(|part| part.bound).fold(0.0, f64::max);
        let axis = self.fresh_axis(extent);
        let values: Vec<ValueId> = parts.iter().map(|part| part.value).collect();
        self.add(Op::Concat(along, axis), &values, bound)
    }

    fn rename(&mut self) -> Option<Known> {
        let x = self.value(|own, x| !own.free_axes(x).is_empty())?;
        let free = self.free_axes(x.value);
        let renamed = self.some(&free);
        let mut pairs = Vec::new();
        for old in renamed {
            let extent = self.b.axes.extent(old).clone();
            let has = self.axes_of(x.value);
            let equal = |own: &Self, axis: &AxisId| {
                *own.b.axes.extent(*axis) == extent
                    && !has.contains(axis)
                    && !own.frozen.contains(axis)
            };
            let candidates = self.axes.iter().copied().filter(|axis| equal(self, axis));
            let candidates: Vec<AxisId> = candidates.collect();
            let taken = |axis: &AxisId| pairs.iter().any(|(_, new)| new == axis);
            let new = if candidates.is_empty() || candidates.iter().any(taken) {
                self.fresh_axis(extent)
            } else {
                self.pick(&candidates)
            };
            pairs.push((old, new));
        }
        self.add(Op::Rename(pairs), &[x.value], x.bound)
    }
}
