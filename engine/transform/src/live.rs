//! Drops nodes that no result and no next state needs.
//!
//! Inputs, parameters and states stay, used or not: they are what the caller
//! knows the graph by. Regions inside nodes are left as they are.

use girih_graph::vjp::copy_live;
use girih_graph::{Builder, Graph, Op, OpError, ValueId};

/// The graph without its dead nodes.
///
/// # Errors
///
/// The rule of a primitive that the graph breaks; none for a graph that verifies.
pub fn drop_dead(graph: &Graph) -> Result<Graph, OpError> {
    let mut b = Builder::new(&graph.name);
    b.axes = graph.axes.clone();
    let mut roots = graph.root.results().to_vec();
    for (_, node) in graph.root.nodes() {
        if matches!(node.op, Op::Input(..) | Op::Param(..) | Op::State(_)) {
            roots.extend_from_slice(&node.results);
        }
    }
    let copies = copy_live(&mut b, &graph.root, &[], &roots)?;
    for check in &graph.checks {
        b.check_equal(&check.left, &check.right, &check.reason);
    }
    let copied: Vec<ValueId> = graph
        .root
        .results()
        .iter()
        .filter_map(|result| copies[result.index()])
        .collect();
    let (results, updates) = copied.split_at(graph.results.len());
    let results = graph.results.iter().cloned().zip(results.iter().copied());
    let updates = graph.updates.iter().cloned().zip(updates.iter().copied());
    Ok(b.finish(results.collect(), updates.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_needs_is_gone_and_leaves_stay() {
        let text = "girih-graph 1
graph f(x: f32, unused: f32) -> (y: f32) {
  param w: f32
  %0 = mul x, w : f32
  %1 = exp %0 : f32
  state s = w : f32
  %2 = add x, s : f32
  update s = %2
  return x
}
";
        let graph = girih_graph::text::parse(text).expect("it is a graph");
        let graph = drop_dead(&graph).expect("it verifies");
        let ops: Vec<&str> = graph.root.nodes().map(|(_, node)| node.op.name()).collect();
        assert_eq!(ops, ["input", "input", "param", "state", "add"]);
        assert_eq!(graph.updates.len(), 1);
    }
}
