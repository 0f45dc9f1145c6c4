//! Which positions an integer input may hold: those of the tables that it indexes.
//!
//! The input is followed through whatever moves its elements without changing them. A table
//! that is reached another way, by arithmetic, is not found: then nothing is known.

use std::collections::BTreeSet;

use girih_graph::{AxisId, Graph, Node, Op, Region, ValueId};

/// The axes that the values of the input are positions of.
pub fn indexed_axes(graph: &Graph, input: ValueId) -> BTreeSet<AxisId> {
    let mut axes = BTreeSet::new();
    follow(&graph.root, [input].into(), &mut axes);
    axes
}

/// Walks a region in order of definition: operands point backwards, so once is enough.
fn follow(region: &Region, mut same: BTreeSet<ValueId>, axes: &mut BTreeSet<AxisId>) {
    for (_, node) in region.nodes() {
        let reads = |position: usize| {
            let operand = node.operands.get(position);
            operand.is_some_and(|operand| same.contains(operand))
        };
        if let Op::Gather { axis, .. } = &node.op
            && reads(1)
        {
            axes.insert(*axis);
        }
        let moves = match &node.op {
            Op::Select => reads(1) || reads(2),
            Op::Gather { .. }
            | Op::Cast(_)
            | Op::Window { .. }
            | Op::Split(..)
            | Op::Merge(..)
            | Op::Rename(_)
            | Op::Expand(_) => reads(0),
            Op::Concat(..) => (0..node.operands.len()).any(reads),
            Op::Recurrence(_) | Op::Route(_) | Op::Call(_) => {
                follow_into(node, &same, axes);
                false
            }
            Op::Input(..)
            | Op::Param(..)
            | Op::State(_)
            | Op::Const(_)
            | Op::Table(..)
            | Op::Index(_)
            | Op::Size(_)
            | Op::Random(..)
            | Op::Unary(_)
            | Op::Binary(_)
            | Op::Contract(_)
            | Op::Reduce(..)
            | Op::Softmax(_)
            | Op::Cumulate { .. }
            | Op::Order { .. }
            | Op::Scatter { .. }
            | Op::Fold { .. }
            | Op::GradAs => false,
        };
        if moves {
            same.extend(&node.results);
        }
    }
}

/// The bodies of a loop, of a call or of the branches of a route read the node's operands as their parameters.
fn follow_into(node: &Node, same: &BTreeSet<ValueId>, axes: &mut BTreeSet<AxisId>) {
    let mut enter = |body: &Region, operands: &mut dyn Iterator<Item = Option<&ValueId>>| {
        let params = body.params().iter().zip(operands);
        let inner: BTreeSet<ValueId> = params
            .filter(|(_, operand)| operand.is_some_and(|operand| same.contains(operand)))
            .map(|(param, _)| *param)
            .collect();
        if !inner.is_empty() {
            follow(body, inner, axes);
        }
    };
    match &node.op {
        Op::Recurrence(recurrence) => {
            enter(&recurrence.body, &mut node.operands.iter().map(Some));
        }
        Op::Route(route) => {
            for (branch, reads) in route.parts() {
                // Weights and what is kept come first.
                let operands = reads.iter().map(|read| node.operands.get(2 + read));
                enter(branch, &mut { operands });
            }
        }
        Op::Call(call) => {
            if let Some(body) = call.body() {
                enter(body, &mut node.operands.iter().map(Some));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use girih_graph::text;

    use super::*;

    #[test]
    fn positions_are_followed_to_their_tables() {
        let check = |body: &str, wanted: &[&str]| {
            let text = format!(
                "girih-graph 1\ngraph g(ids: i64[t]) -> (out: f32[t]) {{\n  param w: f32[v=9]\n{body}  return %9\n}}\n"
            );
            let graph = text::parse(&text).unwrap_or_else(|error| panic!("{error:?}\n{text}"));
            let input = graph.inputs()["ids"];
            let found = indexed_axes(&graph, input);
            let names: Vec<&str> = found.iter().map(|axis| graph.axes.name(*axis)).collect();
            assert_eq!(names, wanted, "{body}");
        };
        check("  %9 = gather w, ids {axis: v} : f32[t]\n", &["v"]);
        check(
            "  %1 = mul ids, ids : i64[t]\n  %9 = gather w, %1 {axis: v} : f32[t]\n",
            &[],
        );
    }
}
