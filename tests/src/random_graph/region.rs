//! Random recurrences, routes and calls.

use girih_graph::op::{Call, Op, Recurrence, Route};
use girih_graph::{AxisId, DType, Extent, Region, ValueId, ValueType};

use super::grow::{Grow, Known};

/// Steps inside a region.
const INNER_STEPS: usize = 5;

/// Regions in regions in …
const MAX_DEPTH: usize = 2;

impl Grow<'_> {
    /// Grows a region with these parameters; `results` says what it returns.
    fn region(
        &mut self,
        params: &[ValueType],
        bound: f64,
        results: impl FnOnce(&mut Self) -> Vec<ValueId>,
    ) -> Region {
        let outside = std::mem::take(&mut self.known);
        self.b.open_region();
        for ty in params {
            let value = self.b.add_parameter(ty.clone());
            self.known.push(Known { value, bound });
        }
        self.steps(INNER_STEPS);
        let results = results(self);
        self.known = outside;
        self.b.close_region(results)
    }

    pub(super) fn recurrence(&mut self) -> Option<Known> {
        if self.b.depth() >= MAX_DEPTH {
            return None;
        }
        let open: Vec<AxisId> = self
            .axes
            .iter()
            .filter(|a| !self.frozen.contains(a))
            .copied()
            .collect();
        let axis = self.pick(&open);
        let mut operands = Vec::new();
        for _ in 0..self.choose(3) {
            operands.extend(self.value(|own, x| !own.axes_of(x).contains(&axis)));
        }
        let carried = operands.len();
        for _ in 0..self.choose(3) {
            operands.extend(self.value(|own, x| own.axes_of(x).contains(&axis)));
        }
        let sequences = operands.len() - carried;
        for _ in 0..self.choose(2) {
            operands.extend(self.value(|_, _| true));
        }
        let values: Vec<ValueId> = operands.iter().map(|known| known.value).collect();
        let types = values.iter().map(|value| self.b.ty(*value).clone());
        let mut params: Vec<ValueType> = types.collect();
        for sliced in &mut params[carried..carried + sequences] {
            sliced.axes.retain(|own| *own != axis);
        }
        let bound = operands.iter().map(|known| known.bound).fold(4.0, f64::max);
        let outputs = 1 + self.choose(2);
        let carried_types = params[..carried].to_vec();
        let body = self.region(&params, bound, |own| {
            let mut results = Vec::new();
            for ty in &carried_types {
                let any = own.any();
                results.push(own.fit(any, ty));
            }
            for _ in 0..outputs {
                let any = own.any();
                let mut ty = own.b.ty(any.value).clone();
                let stays = !ty.axes.contains(&axis);
                ty.axes.retain(|own| *own != axis);
                results.push(if stays { any.value } else { own.fit(any, &ty) });
            }
            results
        });
        let reverse = self.flip();
        let recurrence = Recurrence {
            axis,
            reverse,
            carried,
            sequences,
            body,
        };
        let op = Op::Recurrence(Box::new(recurrence));
        let types: Vec<&ValueType> = values.iter().map(|value| self.b.ty(*value)).collect();
        let large = op
            .infer(&self.b.axes, &types)
            .ok()?
            .iter()
            .any(|ty| self.count(&ty.axes) > 256);
        if large {
            return None;
        }
        let results = self.b.node(op, &values).expect("it was just inferred");
        let mut last = None;
        for value in results {
            last = Some(self.remember(Known { value, bound }));
        }
        last
    }

    /// A known value, or a constant.
    fn any(&mut self) -> Known {
        self.value(|_, _| true).unwrap_or_else(|| {
            let value = self.b.number(DType::F32, 0.5);
            Known { value, bound: 1.0 }
        })
    }

    pub(super) fn route(&mut self) -> Option<Known> {
        if self.b.depth() >= MAX_DEPTH || !self.frozen.is_empty() {
            return None;
        }
        let item = self.real()?;
        let axes = self.axes_of(item.value);
        let mut items = self.some(&axes);
        items.truncate(2);
        let count = 1 + self.choose(3);
        let branch = self.fresh_axis(Extent::from(count as i64));
        let of_branch = |own: &mut Self, dtype: DType| {
            let ty = ValueType::new(dtype, [&[branch], items.as_slice()].concat());
            let any = own.any();
            own.fit(any, &ty)
        };
        let weights = of_branch(self, DType::F32);
        let kept = of_branch(self, DType::Bool);
        let mut inputs = vec![item.value];
        if self.flip() {
            inputs.extend(self.value(|_, _| true).map(|known| known.value));
        }
        let types = inputs.iter().map(|value| self.b.ty(*value).clone());
        let types: Vec<ValueType> = types.collect();
        let outside = std::mem::replace(&mut self.frozen, items.clone());
        let mut reads = Vec::new();
        let branches = (0..count).map(|_| {
            // Each branch reads some of the inputs, the first one always.
            let mut own_reads = vec![0];
            own_reads.extend((1..types.len()).filter(|_| self.flip()));
            let own: Vec<ValueType> = own_reads
                .iter()
                .map(|input| types[*input].clone())
                .collect();
            reads.push(own_reads);
            self.region(&own, 4.0, |own| {
                let any = own.any();
                vec![own.fit_apart(any, &types[0])]
            })
        });
        let branches = branches.collect();
        self.frozen = outside;
        let route = Route {
            branch,
            items,
            branches,
            reads,
        };
        let operands = [&[weights, kept], inputs.as_slice()].concat();
        self.add(Op::Route(Box::new(route)), &operands, count as f64)
    }

    /// An operation that some plugin could have: what its kernel does is what its body says.
    pub(super) fn call(&mut self) -> Option<Known> {
        if self.b.depth() >= MAX_DEPTH {
            return None;
        }
        let mut operands = vec![self.value(|_, _| true)?.value];
        if self.flip() {
            operands.extend(self.value(|_, _| true).map(|known| known.value));
        }
        let types: Vec<ValueType> = operands.iter().map(|v| self.b.ty(*v).clone()).collect();
        let mut lifted: Vec<AxisId> = Vec::new();
        let mut core: Vec<AxisId> = Vec::new();
        for axis in types.iter().flat_map(|ty| &ty.axes) {
            if lifted.contains(axis) || core.contains(axis) {
                continue;
            }
            // What must be treated apart rides along.
            if self.frozen.contains(axis) || self.flip() {
                lifted.push(*axis);
            } else {
                core.push(*axis);
            }
        }
        let mut takes: Vec<Vec<AxisId>> = types.iter().map(|ty| ty.without(&lifted)).collect();
        if self.flip() {
            for core in &mut takes {
                core.reverse();
            }
        }
        let apart = [self.frozen.as_slice(), &lifted].concat();
        let outside = std::mem::replace(&mut self.frozen, apart);
        let count = 1 + self.choose(2);
        let mut cores: Vec<Vec<AxisId>> = Vec::new();
        let body = self.region(&types, 4.0, |own| {
            let mut results = Vec::new();
            for _ in 0..count {
                let any = own.any();
                let free = own.free_axes(any.value);
                let core = own.some(&free);
                let axes = [lifted.as_slice(), &core].concat();
                let dtype = own.b.ty(any.value).dtype;
                results.push(own.fit_apart(any, &ValueType::new(dtype, axes)));
                cores.push(core);
            }
            results
        });
        self.frozen = outside;
        let results = body.results().iter();
        let gives = results.map(|value| body.ty(*value).clone()).zip(cores);
        let callee = format!("org.girih.random/call{}@1", self.calls);
        self.calls += 1;
        let call = Call::new(callee.into(), Vec::new(), takes, gives.collect());
        let large = call.gives.iter().any(|(ty, _)| self.count(&ty.axes) > 256);
        if large || mixes(&body, &lifted) {
            return None;
        }
        let op = Op::Call(Box::new(call.with_body(body)));
        let results = self
            .b
            .node(op, &operands)
            .expect("the body has these types");
        let mut last = None;
        for value in results {
            last = Some(self.remember(Known { value, bound: 1.0 }));
        }
        last
    }

    /// Fits without summing over the axes of items, which a branch must treat apart.
    fn fit_apart(&mut self, known: Known, ty: &ValueType) -> ValueId {
        let axes = self.axes_of(known.value);
        let foreign = |axis: &AxisId| self.frozen.contains(axis) && !ty.axes.contains(axis);
        let known = if axes.iter().any(foreign) {
            let value = self.b.number(ty.dtype, 0.5);
            Known { value, bound: 1.0 }
        } else {
            known
        };
        self.fit(known, ty)
    }
}

/// Whether something inside works along one of these axes.
fn mixes(region: &Region, axes: &[AxisId]) -> bool {
    region.nodes().any(|(_, node)| {
        let mut own = node.op.attribute_axes().into_iter();
        let works = !matches!(node.op, Op::Expand(_)) && own.any(|axis| axes.contains(&axis));
        works || node.op.regions().iter().any(|inner| mixes(inner, axes))
    })
}
