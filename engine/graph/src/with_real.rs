//! Moves a whole graph to another real dtype.
//!
//! A source-level `f32` means "the run's real dtype": models are built in `f32`
//! and moved here when a run wants another precision. Every `f32` becomes the
//! wanted dtype – inputs, parameters, constants, tables, casts, region
//! parameters – except inside random draws, which are `f32` on every backend and
//! are cast. Dtypes that a model names otherwise (`f64`, `bf16`) stay.

use crate::axis::ValueType;
use crate::build::Builder;
use crate::dtype::DType;
use crate::graph::{Graph, Region, ValueId};
use crate::op::{Literal, Op};

impl Graph {
    /// The graph with `dtype` in place of `f32`. A `dtype` that is not real gives an equal graph.
    #[must_use]
    pub fn with_real(&self, dtype: DType) -> Self {
        if dtype == DType::F32 || !dtype.is_real() {
            return self.clone();
        }
        let mut builder = Builder::new(&self.name);
        builder.axes = self.axes.clone();
        let values = copy_nodes(&mut builder, &self.root, dtype);
        for check in &self.checks {
            builder.check_equal(&check.left, &check.right, &check.reason);
        }
        let mut results = self.root.results.iter().map(|old| values[old.index()]);
        let names = self.results.iter().cloned();
        let named = names.zip(results.by_ref()).collect();
        let updates = self.updates.iter().cloned().zip(results).collect();
        builder.finish(named, updates)
    }
}

/// Copies `region` into the open region and gives each old value's new one.
fn copy_nodes(builder: &mut Builder, region: &Region, dtype: DType) -> Vec<ValueId> {
    // Every slot is written before it is read: operands point backwards.
    let mut values = vec![ValueId(0); region.value_count()];
    for param in region.params() {
        values[param.index()] = builder.add_parameter(moved(region.ty(*param), dtype));
    }
    for (id, node) in region.nodes() {
        let regions = node.op.regions().iter().map(|inner| {
            builder.open_region();
            let values = copy_nodes(builder, inner, dtype);
            let results = inner.results().iter().map(|old| values[old.index()]);
            let results = results.collect();
            builder.close_region(results)
        });
        let op = moved_op(&node.op.with_regions(regions.collect()), dtype);
        let operands: Vec<ValueId> = node.operands.iter().map(|v| values[v.index()]).collect();
        builder.set_origin(region.origins.get(id.index()).cloned().flatten());
        let results = builder
            .node(op, &operands)
            .expect("one real dtype is as good as another to every primitive");
        for (old, new) in node.results.iter().zip(results) {
            values[old.index()] = match node.op {
                Op::Random(..) => builder
                    .cast(new, dtype)
                    .expect("every value can be cast to every dtype"),
                _ => new,
            };
        }
    }
    values
}

fn moved(ty: &ValueType, dtype: DType) -> ValueType {
    match ty.dtype {
        DType::F32 => ty.with_dtype(dtype),
        _ => ty.clone(),
    }
}

fn moved_op(op: &Op, dtype: DType) -> Op {
    match op {
        Op::Input(name, ty) => Op::Input(name.clone(), moved(ty, dtype)),
        Op::Param(name, ty) => Op::Param(name.clone(), moved(ty, dtype)),
        Op::Const(Literal::Real(DType::F32, number)) => Op::Const(Literal::Real(dtype, *number)),
        Op::Table(DType::F32, axes, data) => Op::Table(dtype, axes.clone(), data.clone()),
        Op::Cast(DType::F32) => Op::Cast(dtype),
        Op::Call(call) => {
            let mut call = call.clone();
            for (ty, _) in &mut call.gives {
                *ty = moved(ty, dtype);
            }
            Op::Call(call)
        }
        Op::Const(_)
        | Op::Table(..)
        | Op::Cast(_)
        | Op::State(_)
        | Op::Index(_)
        | Op::Size(_)
        | Op::Random(..)
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Select
        | Op::Contract(_)
        | Op::Reduce(..)
        | Op::Softmax(_)
        | Op::Cumulate { .. }
        | Op::Order { .. }
        | Op::Gather { .. }
        | Op::Scatter { .. }
        | Op::Window { .. }
        | Op::Fold { .. }
        | Op::Split(..)
        | Op::Merge(..)
        | Op::Concat(..)
        | Op::Rename(_)
        | Op::Expand(_)
        | Op::GradAs
        | Op::Recurrence(_)
        | Op::Route(_) => op.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Distribution, Extent};

    #[test]
    fn every_f32_moves_and_random_draws_are_cast() {
        let mut b = Builder::new("g");
        let t = b.axes.add("t", Extent::symbol("t"), None, false);
        let ty = ValueType::new(DType::F32, vec![t]);
        let x = b.value(Op::Input("x".into(), ty), &[]).unwrap();
        let draw = Op::random(Distribution::Normal, "noise", &[t]);
        let draw = b.value(draw, &[]).unwrap();
        let y = b.binary(crate::Binary::Add, x, draw).unwrap();
        let wide = b.cast(y, DType::F64).unwrap();
        let graph = b.finish(vec![("y".into(), y), ("wide".into(), wide)], vec![]);
        let check = |graph: &Graph, dtype: DType| {
            let result = |name| graph.root.ty(graph.result(name).unwrap()).dtype;
            assert_eq!((result("y"), result("wide")), (dtype, DType::F64));
        };
        check(&graph.with_real(DType::BF16), DType::BF16);
        check(&graph.with_real(DType::F64), DType::F64);
        assert_eq!(graph.with_real(DType::F32), graph);
        assert_eq!(graph.with_real(DType::I64), graph);
    }
}
