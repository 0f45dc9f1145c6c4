//! Launches of primitives that are not kernels: routines, loops, routes.

use std::sync::Arc;

use girih_graph::op::{Op, Recurrence, Route};
use girih_graph::{AxisId, Extent, NodeId};

use super::Planner;
use super::value::ValueIx;
use crate::plan::{BranchLaunch, RecurrenceLaunch, RouteLaunch, Routine, Stride, TensorId, Work};

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
            op => {
                let tensors: Vec<TensorId> = operands.iter().map(|v| self.demand(*v)).collect();
                let out = self.demand(ix);
                let routine = routine(op, &tensors, out);
                self.launch(ix, Work::Routine(routine), operands);
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
        let tensors: Vec<TensorId> = operands.iter().map(|v| self.demand(*v)).collect();
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
        let firsts = recurrence.carried + recurrence.sequences;
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
        let mut inner = Planner::new(self.shared, body, self.extents.clone());
        for (param, axes) in body.params().iter().zip(params) {
            let ty = body.ty(*param);
            let axes = axes.unwrap_or_else(|| inner.dense_axes(ty));
            let tensor = inner.bound(ty, axes);
            inner.section.params.push(tensor);
            inner.put(*param, ty, tensor);
        }
        inner.add_nodes();
        for (position, result) in body.results().iter().enumerate() {
            let axes = if position < recurrence.carried {
                // In the order of what it starts as.
                inner.dense_axes(body.ty(body.params()[position]))
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
        let body = inner.finish();
        let launch = RecurrenceLaunch {
            extent: self.extent(axis),
            axis: self.shared.axes.name(axis).to_owned(),
            reverse: recurrence.reverse,
            parallel: Vec::new(),
            body,
            carried: tensors[..recurrence.carried].to_vec(),
            finals: outs[..recurrence.carried].to_vec(),
            sequences,
            invariants: tensors[firsts..].to_vec(),
            outputs,
        };
        self.launch(ix, Work::Recurrence(Box::new(launch)), operands.to_vec());
        for result in results {
            self.group[result] = self.group[ix];
        }
    }

    fn route(&mut self, ix: ValueIx, route: &'g Route, operands: &[ValueIx]) {
        let tensors: Vec<TensorId> = operands.iter().map(|v| self.demand(*v)).collect();
        let out = self.demand(ix);
        let symbol: Arc<str> = Arc::from(format!("#items{}", self.shared.routes));
        self.shared.routes += 1;
        let mut extents = self.extents.clone();
        for (place, item) in route.items.iter().enumerate() {
            extents[item.index()] = if place == 0 {
                Extent::symbol(&symbol)
            } else {
                Extent::constant(1)
            };
        }
        let mut branches = Vec::new();
        for (region, reads) in route.parts() {
            let mut inner = Planner::new(self.shared, region, extents.clone());
            for param in region.params() {
                let ty = region.ty(*param);
                let axes = inner.dense_axes(ty);
                let tensor = inner.bound(ty, axes);
                inner.section.params.push(tensor);
                inner.put(*param, ty, tensor);
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
        let launch = RouteLaunch {
            weights: tensors[0],
            kept: tensors[1],
            branch: route.branch,
            items: route.items.clone(),
            symbol,
            branches,
            out,
        };
        self.launch(ix, Work::Route(Box::new(launch)), operands.to_vec());
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
        Op::Random(distribution, key, _) => Routine::Random {
            out,
            distribution: *distribution,
            key: key.clone(),
        },
        op => unreachable!("`{}` has no launch of its own", op.name()),
    }
}
