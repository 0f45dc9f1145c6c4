//! The graph that a graph's text reads back as.

use super::mentions::{is_input, mentions};
use crate::axis::{Axis, AxisId, AxisTable};
use crate::graph::{Definition, Graph, Node, NodeId, Region, ValueId};
use crate::op::Op;

/// The same graph with inputs first, axes in the order in which the text mentions
/// them and without those it does not, parameters of regions before other values,
/// and without origins. `parse(print(g)) == canonical(g)` for every verified `g`.
pub fn canonical(graph: &Graph) -> Graph {
    let order = mentions(graph);
    let mut axes = AxisTable::default();
    let mut new_axes = vec![AxisId(0); graph.axes.len()];
    for old in order.declared.iter().chain(&order.inline) {
        let Axis {
            name,
            extent,
            over,
            time,
        } = &graph.axes[*old];
        let over = over.map(|parent| new_axes[parent.index()]);
        new_axes[old.index()] = axes.add(name, extent.clone(), over, *time);
    }
    Graph {
        name: graph.name.clone(),
        root: region(&graph.root, &|old| new_axes[old.index()]),
        axes,
        results: graph.results.clone(),
        updates: graph.updates.clone(),
        checks: graph.checks.clone(),
    }
}

fn region(old: &Region, map: &dyn Fn(AxisId) -> AxisId) -> Region {
    let mut new = Region::default();
    let mut values = vec![ValueId(0); old.value_count()];
    for (position, param) in old.params().iter().enumerate() {
        values[param.index()] = ValueId(new.values.len() as u32);
        let ty = old.ty(*param).map_axes(map);
        new.values.push((ty, Definition::Parameter(position)));
        new.params.push(values[param.index()]);
    }
    let inputs = old.nodes.iter().filter(|node| is_input(&node.op));
    let others = old.nodes.iter().filter(|node| !is_input(&node.op));
    for node in inputs.chain(others) {
        let id = NodeId(new.nodes.len() as u32);
        for (slot, result) in node.results.iter().enumerate() {
            values[result.index()] = ValueId(new.values.len() as u32);
            let ty = old.ty(*result).map_axes(map);
            new.values.push((ty, Definition::Result(id, slot)));
        }
        let regions = node.op.regions().iter().map(|inner| region(inner, map));
        let bare = node.op.with_regions(Vec::new());
        let mut op = bare.map_axes(map).with_regions(regions.collect());
        if let Op::Route(route) = &mut op {
            // An input that comes in twice is known by its first place.
            let inputs = node.operands.get(2..).unwrap_or_default();
            for input in route.reads.iter_mut().flatten() {
                let same = |own: &ValueId| inputs.get(*input) == Some(own);
                *input = inputs.iter().position(same).unwrap_or(*input);
            }
        }
        let mapped = |old: &[ValueId]| old.iter().map(|v| values[v.index()]).collect();
        new.nodes.push(Node {
            op,
            operands: mapped(&node.operands),
            results: mapped(&node.results),
        });
        new.origins.push(None);
    }
    new.results = old.results.iter().map(|v| values[v.index()]).collect();
    new
}
