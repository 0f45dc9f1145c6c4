//! Launches of primitives that are not kernels: routines, loops, routes.

use girih_graph::op::{Call, Op, Recurrence, Route};
use girih_graph::{AxisId, Extent, NodeId, ValueId, ValueType};

use super::value::ValueIx;
use super::{Planner, part};
use crate::kernel::StepOp;
use crate::plan::{
    BranchLaunch, NativeLaunch, Part, RecurrenceLaunch, RouteLaunch, Routine, Section, Stride,
    TensorId, Work,
};

/// Elements of a step's slice that are read as fast as if more of them lay together.
const TOGETHER: i64 = 64;

impl<'g> Planner<'_, 'g> {
    /// Plans the node whose result `ix` somebody asked for, once.
    pub(super) fn launched(&mut self, ix: ValueIx, node: NodeId) {
        if self.group[ix].is_some() {
            return;
        }
        let region = self.region;
        let operands = self.values.all[ix].operands.clone();
        match &region.node(node).op {
            Op::Recurrence(recurrence) => self.recurrence(ix, node, recurrence, &operands),
            Op::Route(route) => self.route(ix, route, &operands),
            Op::Call(call) => self.call(ix, node, call, &operands),
            op => {
                let tensors: Vec<TensorId> = operands.iter().map(|v| self.demand(*v)).collect();
                let out = self.demand(ix);
                let routine = routine(op, &tensors, out);
                self.launch(ix, Work::Routine(routine), operands, Vec::new());
            }
        }
    }

    fn recurrence(
        &mut self,
        ix: ValueIx,
        node: NodeId,
        recurrence: &'g Recurrence,
        operands: &[ValueIx],
    ) {
        let region = self.region;
        let (body, axis) = (&recurrence.body, recurrence.axis);
        let results: Vec<ValueIx> = region
            .node(node)
            .results
            .iter()
            .map(|r| self.value(*r))
            .collect();
        let firsts = recurrence.carried + recurrence.sequences;
        let part = part::found(recurrence, &|axis| self.extent(axis)).map(|axis| Part {
            axis,
            symbol: self.shared.symbol("part"),
            extent: self.extent(axis),
        });
        let place = |planner: &mut Self, position: usize, operand: ValueIx| {
            let mut order = planner.body_order(planner.values.ty(operand));
            if position < recurrence.carried {
                return planner.demand(operand);
            }
            if position < firsts {
                // Every step reads one slice: it should lie together. A part goes through all steps:
                // what it reads should follow one another, unless that is little of every step.
                order.retain(|own| *own != axis);
                let parts = part.as_ref().is_some_and(|part| {
                    let rest = order.iter().skip(1).map(|own| planner.extent(*own));
                    let rest = rest.map(|own| own.as_constant().unwrap_or(1));
                    order.first() == Some(&part.axis) && rest.product::<i64>() >= TOGETHER
                });
                order.insert(usize::from(parts), axis);
            }
            planner.demand_ordered(operand, &order)
        };
        let tensors: Vec<TensorId> = operands
            .iter()
            .enumerate()
            .map(|(position, operand)| place(self, position, *operand))
            .collect();
        let outs: Vec<Option<TensorId>> = results
            .iter()
            .map(|result| self.home.get(result).copied())
            .collect();
        let outer = |planner: &Self, tensor: TensorId| {
            let axes = planner.section.tensors[tensor.index()].axes.clone();
            let step = axes.iter().find(|(own, _)| *own == axis);
            let step = step.map_or_else(|| Extent::constant(0), |(_, stride)| stride.step.clone());
            let rest: Vec<(AxisId, Stride)> =
                axes.into_iter().filter(|(own, _)| *own != axis).collect();
            (rest, step)
        };
        let mut sequences = Vec::new();
        let mut params = Vec::new();
        for (position, tensor) in tensors.iter().enumerate() {
            if position < recurrence.carried {
                params.push(None);
            } else if position < firsts {
                let (axes, step) = outer(self, *tensor);
                sequences.push((*tensor, step));
                params.push(Some(axes));
            } else {
                let axes = self.section.tensors[tensor.index()].axes.clone();
                params.push(Some(axes));
            }
        }
        let mut outputs = Vec::new();
        let mut targets = Vec::new();
        for (position, out) in outs.iter().enumerate().skip(recurrence.carried) {
            if let Some(out) = out {
                let (axes, step) = outer(self, *out);
                outputs.push((*out, step));
                targets.push((position, axes));
            }
        }
        let mut extents = self.extents.clone();
        let narrow = |axes: &mut Vec<(AxisId, Stride)>| {
            for (axis, stride) in axes {
                if let Some(part) = &part
                    && part.axis == *axis
                {
                    stride.extent = Extent::symbol(&part.symbol);
                }
            }
        };
        for axes in params.iter_mut().flatten() {
            narrow(axes);
        }
        for (_, axes) in &mut targets {
            narrow(axes);
        }
        if let Some(part) = &part {
            extents[part.axis.index()] = Extent::symbol(&part.symbol);
        }
        let kept = |(at, own): (usize, &ValueIx)| at >= firsts && self.values.is_stored(*own);
        let stored: Vec<bool> = operands.iter().enumerate().map(kept).collect();
        self.shared.depth += 1;
        let mut inner = Planner::new(self.shared, body, extents);
        for ((param, axes), stored) in body.params().iter().zip(params).zip(stored) {
            let ty = body.ty(*param);
            let axes = axes.unwrap_or_else(|| inner.carried_axes(*param));
            let tensor = inner.bound(ty, axes);
            inner.section.params.push(tensor);
            inner.put(*param, ty, tensor, stored);
        }
        inner.add_nodes();
        for (position, result) in body.results().iter().enumerate() {
            let axes = if position < recurrence.carried {
                // In the order of what it starts as.
                inner.carried_axes(body.params()[position])
            } else if let Some((_, axes)) = targets.iter().find(|(own, _)| *own == position) {
                axes.clone()
            } else {
                continue;
            };
            let value = inner.value(*result);
            let ty = body.ty(*result).clone();
            let tensor = inner.bound(&ty, axes);
            inner.section.results.push(tensor);
            inner.write(value, tensor);
        }
        let mut body = inner.finish();
        self.shared.depth -= 1;
        let mut in_place = Vec::new();
        for (now, next) in pairs(&body, recurrence.carried) {
            let over = part::is_overwritten(&body, &self.shared.kernels, now, next);
            if over {
                self.write_over(&mut body, now, next);
            }
            in_place.push(over);
        }
        let launch = RecurrenceLaunch {
            in_place,
            extent: self.extent(axis),
            axis: self.shared.axes.name(axis).to_owned(),
            reverse: recurrence.reverse,
            part,
            body,
            carried: tensors[..recurrence.carried].to_vec(),
            finals: outs[..recurrence.carried].to_vec(),
            sequences,
            invariants: tensors[firsts..].to_vec(),
            outputs,
        };
        self.launch(
            ix,
            Work::Recurrence(Box::new(launch)),
            operands.to_vec(),
            Vec::new(),
        );
        for result in results {
            self.group[result] = self.group[ix];
        }
    }

    /// The order of axes in memory that a loop's body reads best: a short innermost axis goes
    /// outside its longer neighbor, so that vectors are long.
    fn body_order(&self, ty: &ValueType) -> Vec<AxisId> {
        let mut order = ty.axes.clone();
        if let [.., long, short] = order.as_mut_slice()
            && !self.is_long(*short)
            && self.is_long(*long)
        {
            std::mem::swap(long, short);
        }
        order
    }

    /// Whether vectors along an axis are worth having.
    fn is_long(&self, axis: AxisId) -> bool {
        self.extent(axis).as_constant().is_none_or(|size| size > 32)
    }

    /// The axes of a carried value: dense, in the order that the body reads best. Where sums of it, or of what it
    /// becomes, run over its innermost axis, and not over that one's long neighbor, these change places: whole
    /// rows are added up then.
    fn carried_axes(&self, param: ValueId) -> Vec<(AxisId, Stride)> {
        let ty = self.region.ty(param);
        let mut order = self.body_order(ty);
        let params = self.region.params().iter();
        let mut pairs = params.zip(self.region.results());
        let next = pairs.find(|(own, _)| **own == param).map(|(_, next)| *next);
        let is_state = |value: &ValueId| *value == param || Some(*value) == next;
        if let [.., kept, summed] = order.as_mut_slice() {
            let sums = self.region.nodes().any(|(_, node)| match &node.op {
                Op::Contract(over) => {
                    let state = node.operands.iter().any(is_state);
                    state && over.contains(summed) && !over.contains(kept)
                }
                _ => false,
            });
            if sums && self.is_long(*kept) {
                std::mem::swap(kept, summed);
            }
        }
        self.dense_axes(&ValueType::new(ty.dtype, order))
    }

    /// Has the kernel that writes `next` know that it lies where `now` lies: one buffer, not two.
    fn write_over(&mut self, body: &mut Section, now: TensorId, next: TensorId) {
        let [now, next] = [now, next].map(|tensor| body.tensors[tensor.index()].buffer);
        for launch in &mut body.launches {
            let Work::Kernel(launch) = &mut launch.work else {
                continue;
            };
            let place = |buffer| launch.buffers.iter().position(|own| *own == buffer);
            let (Some(read), Some(written)) = (place(now), place(next)) else {
                continue;
            };
            let mut kernel = self.shared.kernels[launch.kernel].clone();
            for step in &mut kernel.steps {
                if let StepOp::Load(access) = &mut step.op
                    && access.buffer == read
                {
                    access.buffer = written;
                }
            }
            launch.kernel = self.shared.kernel(kernel);
        }
    }

    fn call(&mut self, ix: ValueIx, node: NodeId, call: &Call, operands: &[ValueIx]) {
        let region = self.region;
        let results = region.node(node).results.iter();
        let results: Vec<ValueIx> = results.map(|result| self.value(*result)).collect();
        // A kernel wants its own axes innermost, in its own order.
        let ordered = |planner: &mut Self, value: ValueIx, core: &[AxisId]| {
            let mut order = planner.values.ty(value).without(core);
            order.extend(core);
            planner.demand_ordered(value, &order)
        };
        let mut reads = Vec::new();
        for (operand, core) in operands.iter().zip(&call.takes) {
            reads.push((ordered(self, *operand, core), core.clone()));
        }
        let mut writes = Vec::new();
        for (result, (_, core)) in results.iter().zip(&call.gives) {
            if !self.home.contains_key(result) {
                ordered(self, *result, core);
            }
            writes.push((self.home[result], core.clone()));
        }
        let launch = NativeLaunch {
            callee: call.callee.clone(),
            attributes: call.attributes.clone(),
            lifted: call.lifted(),
            reads,
            writes,
            origin: region.origin(node).cloned(),
        };
        self.launch(
            ix,
            Work::Native(Box::new(launch)),
            operands.to_vec(),
            Vec::new(),
        );
        for result in results {
            self.group[result] = self.group[ix];
        }
    }

    fn route(&mut self, ix: ValueIx, route: &'g Route, operands: &[ValueIx]) {
        let tensors: Vec<TensorId> = operands.iter().map(|v| self.demand(*v)).collect();
        let out = self.demand(ix);
        let symbol = self.shared.symbol("items");
        let mut extents = self.extents.clone();
        for (place, item) in route.items.iter().enumerate() {
            extents[item.index()] = if place == 0 {
                Extent::symbol(&symbol)
            } else {
                Extent::constant(1)
            };
        }
        let mut branches = Vec::new();
        self.shared.depth += 1;
        for (region, reads) in route.parts() {
            let stored = |read: &usize| self.values.is_stored(operands[2 + read]);
            let stored: Vec<bool> = reads.iter().map(stored).collect();
            let mut inner = Planner::new(self.shared, region, extents.clone());
            for (param, stored) in region.params().iter().zip(stored) {
                let ty = region.ty(*param);
                let axes = inner.dense_axes(ty);
                let tensor = inner.bound(ty, axes);
                inner.section.params.push(tensor);
                inner.put(*param, ty, tensor, stored);
            }
            inner.add_nodes();
            for result in region.results() {
                let ty = region.ty(*result);
                let value = inner.value(*result);
                let axes = inner.dense_axes(ty);
                let tensor = inner.bound(ty, axes);
                inner.section.results.push(tensor);
                inner.write(value, tensor);
            }
            branches.push(BranchLaunch {
                section: inner.finish(),
                inputs: reads.iter().map(|read| tensors[2 + read]).collect(),
            });
        }
        self.shared.depth -= 1;
        let launch = RouteLaunch {
            weights: tensors[0],
            kept: tensors[1],
            branch: route.branch,
            items: route.items.clone(),
            symbol,
            branches,
            out,
        };
        self.launch(
            ix,
            Work::Route(Box::new(launch)),
            operands.to_vec(),
            Vec::new(),
        );
    }
}

fn routine(op: &Op, tensors: &[TensorId], out: TensorId) -> Routine {
    match op {
        Op::Order {
            axis,
            into,
            descending,
        } => Routine::Order {
            operand: tensors[0],
            out,
            axis: *axis,
            into: *into,
            descending: *descending,
        },
        Op::Cumulate {
            combine,
            axis,
            reverse,
            exclusive,
        } => Routine::Cumulate {
            operand: tensors[0],
            out,
            combine: *combine,
            axis: *axis,
            reverse: *reverse,
            exclusive: *exclusive,
        },
        Op::Scatter {
            axis,
            over,
            combine,
        } => Routine::Scatter {
            positions: tensors[0],
            operand: tensors[1],
            out,
            axis: *axis,
            over: over.clone(),
            combine: *combine,
        },
        Op::Fold { from, axis, offset } => Routine::Fold {
            operand: tensors[0],
            out,
            from: from.clone(),
            axis: *axis,
            offset: offset.clone(),
        },
        Op::Random(distribution, key, from) => Routine::Random {
            out,
            distribution: *distribution,
            key: key.clone(),
            from: from.clone(),
        },
        op => unreachable!("`{}` has no launch of its own", op.name()),
    }
}

/// What is carried, now and next.
fn pairs(body: &Section, carried: usize) -> Vec<(TensorId, TensorId)> {
    let pairs = body
        .params
        .iter()
        .copied()
        .zip(body.results.iter().copied());
    pairs.take(carried).collect()
}
