//! Random nodes that combine along axes, sort, and read or write by position.

use girih_graph::op::{Binary, Combine, Op, Outside};
use girih_graph::{AxisId, DType, Extent, ValueId};

use super::grow::{Grow, Known};

impl Grow<'_> {
    pub(super) fn contract(&mut self) -> Option<Known> {
        let (x, y) = (self.real()?, self.real()?);
        let other = self.free_axes(y.value);
        let mut shared = self.free_axes(x.value);
        shared.retain(|axis| other.contains(axis));
        let over = self.some(&shared);
        let bound = x.bound * y.bound * self.count(&over) as f64;
        self.add(Op::Contract(over), &[x.value, y.value], bound)
    }

    fn combination(&mut self, dtype: DType) -> Combine {
        match dtype {
            DType::Bool => self.pick(&[Combine::Any, Combine::All]),
            DType::F32 if self.options.smooth => self.pick(&[Combine::Sum, Combine::Prod]),
            _ => self.pick(&[Combine::Sum, Combine::Prod, Combine::Max, Combine::Min]),
        }
    }

    /// A reduction, a softmax or a running combination.
    pub(super) fn combine(&mut self) -> Option<Known> {
        let x = self.value(|own, x| !own.free_axes(x).is_empty())?;
        let dtype = self.dtype(x.value);
        let free = self.free_axes(x.value);
        let kind = self.choose(3);
        if kind == 0 && dtype == DType::F32 {
            let over = self.some(&free);
            let axes = self.axes_of(x.value);
            let inside = |own: &Self, y: ValueId| {
                own.dtype(y) == DType::Bool && own.axes_of(y).iter().all(|axis| axes.contains(axis))
            };
            let kept = self.value(inside).filter(|_| self.flip());
            let operands: Vec<ValueId> = [Some(x), kept]
                .into_iter()
                .flatten()
                .map(|k| k.value)
                .collect();
            return self.add(Op::Softmax(over), &operands, 1.0);
        }
        let combine = self.combination(dtype);
        if kind == 1 {
            let axis = self.pick(&free);
            let (reverse, exclusive) = (self.flip(), self.flip());
            // The largest of nothing is −∞.
            let exclusive = exclusive && !matches!(combine, Combine::Max | Combine::Min);
            let op = Op::Cumulate {
                combine,
                axis,
                reverse,
                exclusive,
            };
            return self.add(op, &[x.value], combined(combine, x.bound, self.size(axis)));
        }
        let over = self.some(&free);
        let count = self.count(&over);
        if count == 0 && matches!(combine, Combine::Max | Combine::Min) {
            return None;
        }
        self.add(
            Op::Reduce(combine, over),
            &[x.value],
            combined(combine, x.bound, count),
        )
    }

    pub(super) fn order(&mut self) -> Option<Known> {
        let real = !self.options.smooth;
        let x = self
            .value(|own, x| !own.free_axes(x).is_empty() && (real || own.dtype(x) != DType::F32))?;
        let free = self.free_axes(x.value);
        let axis = self.pick(&free);
        let extent = self.b.axes.extent(axis).clone();
        let extent = match extent.as_constant() {
            Some(length) => Extent::from(self.choose(length as usize + 1) as i64),
            None => extent,
        };
        let into = self.fresh_axis(extent);
        let descending = self.flip();
        let op = Op::Order {
            axis,
            into,
            descending,
        };
        self.add(op, &[x.value], 8.0)
    }

    /// A gather or a scatter.
    pub(super) fn read(&mut self) -> Option<Known> {
        let x = self.value(|own, x| !own.free_axes(x).is_empty())?;
        if self.flip() {
            self.gather(x)
        } else {
            self.scatter(x)
        }
    }

    fn gather(&mut self, x: Known) -> Option<Known> {
        let free = self.free_axes(x.value);
        let axis = self.pick(&free);
        let lacks =
            |own: &Self, y: ValueId| own.dtype(y) == DType::I64 && !own.axes_of(y).contains(&axis);
        let positions = self.value(lacks)?;
        if self.size(axis) == 0 || self.flip() {
            let outside = Outside::Zero;
            return self.add(
                Op::Gather { axis, outside },
                &[x.value, positions.value],
                x.bound,
            );
        }
        let extent = self.b.axes.extent(axis).clone();
        let size = self.b.size(extent);
        let inside = self.made(Op::Binary(Binary::Rem), &[positions.value, size]);
        let outside = Outside::Error;
        self.add(Op::Gather { axis, outside }, &[x.value, inside], x.bound)
    }

    fn scatter(&mut self, x: Known) -> Option<Known> {
        let positions = self.integer()?;
        let combine = match self.dtype(x.value) {
            DType::F32 if self.options.smooth => Combine::Sum,
            dtype => self.combination(dtype),
        };
        let mut walked = self.free_axes(x.value);
        for axis in self.free_axes(positions.value) {
            if !walked.contains(&axis) {
                walked.push(axis);
            }
        }
        let over: Vec<AxisId> = self.some(&walked);
        let extent = self.pick(&[3, 1, 0]);
        let axis = self.fresh_axis(Extent::from(extent));
        let bound = combined(combine, x.bound, self.count(&over));
        let op = Op::Scatter {
            axis,
            over,
            combine,
        };
        self.add(op, &[positions.value, x.value], bound)
    }
}

fn combined(combine: Combine, bound: f64, count: usize) -> f64 {
    match combine {
        Combine::Sum => bound * count as f64,
        Combine::Prod => bound.max(1.0).powi(count as i32),
        Combine::Max | Combine::Min | Combine::Any | Combine::All => bound,
    }
}
