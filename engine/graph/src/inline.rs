//! Calls of plugins as what they mean.

use std::sync::Arc;

use crate::build::Builder;
use crate::graph::{Graph, Region, ValueId};
use crate::op::{Call, CallAs, Op};

impl Graph {
    /// The graph in which every call, also inside regions and bodies, is what `choose` says.
    ///
    /// Types, results and states are the same. What a body computes and nothing needs stays.
    #[must_use]
    pub fn with_calls(&self, choose: &dyn Fn(&Call) -> CallAs) -> Self {
        if !has_calls(&self.root) {
            return self.clone();
        }
        let mut builder = Builder::new(&self.name);
        builder.axes = self.axes.clone();
        let results = copy_nodes(&mut builder, &self.root, &[], choose);
        let (results, updates) = results.split_at(self.results.len().min(results.len()));
        let named = self.results.iter().cloned().zip(results.iter().copied());
        let paths = self.updates.iter().map(Arc::clone);
        let mut graph = builder.finish(
            named.collect(),
            paths.zip(updates.iter().copied()).collect(),
        );
        graph.checks.clone_from(&self.checks);
        graph
    }

    /// Every call, also inside regions and bodies.
    pub fn calls(&self) -> Vec<&Call> {
        let mut found = Vec::new();
        collect_calls(&self.root, &mut found);
        found
    }
}

/// Whether there is a call in `region` or inside its regions.
pub(crate) fn has_calls(region: &Region) -> bool {
    region
        .nodes()
        .any(|(_, node)| matches!(node.op, Op::Call(_)) || node.op.regions().iter().any(has_calls))
}

fn collect_calls<'a>(region: &'a Region, found: &mut Vec<&'a Call>) {
    for (_, node) in region.nodes() {
        if let Op::Call(call) = &node.op {
            found.push(call);
        }
        for inner in node.op.regions() {
            collect_calls(inner, found);
        }
    }
}

/// Copies the nodes of `region` into the open region, whose values `given` stand for its
/// parameters, and gives its results.
fn copy_nodes(
    builder: &mut Builder,
    region: &Region,
    given: &[ValueId],
    choose: &dyn Fn(&Call) -> CallAs,
) -> Vec<ValueId> {
    // Every slot is written before it is read: operands point backwards.
    let mut values = vec![ValueId(0); region.value_count()];
    for (param, value) in region.params().iter().zip(given) {
        values[param.index()] = *value;
    }
    for (id, node) in region.nodes() {
        let operands: Vec<ValueId> = node.operands.iter().map(|v| values[v.index()]).collect();
        let results = match &node.op {
            Op::Call(call) => match (choose(call), call.body()) {
                (CallAs::Body, Some(body)) => copy_nodes(builder, body, &operands, choose),
                (CallAs::Kernel, _) => {
                    let op = Op::Call(Box::new(call.bare()));
                    add(builder, region, (id, &op), &operands)
                }
                (CallAs::Itself, _) | (CallAs::Body, None) => {
                    copy_node(builder, region, (id, &node.op), &operands, choose)
                }
            },
            op => copy_node(builder, region, (id, op), &operands, choose),
        };
        for (old, new) in node.results.iter().zip(results) {
            values[old.index()] = new;
        }
    }
    let results = region.results().iter();
    results.map(|value| values[value.index()]).collect()
}

/// A node with its regions copied.
fn copy_node(
    builder: &mut Builder,
    region: &Region,
    (id, op): (crate::NodeId, &Op),
    operands: &[ValueId],
    choose: &dyn Fn(&Call) -> CallAs,
) -> Vec<ValueId> {
    let regions = op.regions().iter().map(|inner| {
        if !has_calls(inner) {
            return inner.clone();
        }
        builder.open_region();
        let params = inner.params().iter();
        let params: Vec<ValueId> = params
            .map(|param| builder.add_parameter(inner.ty(*param).clone()))
            .collect();
        let results = copy_nodes(builder, inner, &params, choose);
        builder.close_region(results)
    });
    let op = op.with_regions(regions.collect());
    add(builder, region, (id, &op), operands)
}

fn add(
    builder: &mut Builder,
    region: &Region,
    (id, op): (crate::NodeId, &Op),
    operands: &[ValueId],
) -> Vec<ValueId> {
    builder.set_origin(region.origins.get(id.index()).cloned().flatten());
    builder
        .node(op.clone(), operands)
        .expect("a body has the types of its call, so nothing around it changes")
}
