//! Which axes of a graph its text mentions, and where they are declared.
//!
//! Printer, parser and [`canonical`](super::canonical) agree here on the order of
//! axes: declared lines first, then by first mention in a type.

use crate::axis::{AxisId, ValueType};
use crate::graph::{Graph, Region};
use crate::op::Op;

/// The axes of a graph in the order of its text.
pub(super) struct Mentions {
    /// Those with a line of their own, parents before children.
    pub(super) declared: Vec<AxisId>,
    /// Those that only types mention.
    pub(super) inline: Vec<AxisId>,
}

pub(super) fn mentions(graph: &Graph) -> Mentions {
    let mut walk = Walk {
        seen: vec![false; graph.axes.len()],
        order: Vec::new(),
        needs_line: vec![false; graph.axes.len()],
    };
    let inputs = graph.root.nodes().filter(|(_, node)| is_input(&node.op));
    for (_, node) in inputs {
        walk.results(&graph.root, &node.results);
    }
    let named = graph.root.results().iter().take(graph.results.len());
    for value in named {
        walk.ty(graph.root.ty(*value));
    }
    walk.region(&graph.root);
    for axis in &walk.order {
        let own = &graph.axes[*axis];
        walk.needs_line[axis.index()] |= own.time || own.over.is_some();
    }
    for (index, needs_line) in walk.needs_line.clone().into_iter().enumerate() {
        let mut child = AxisId(index as u32);
        // Parents were added before their children, so this ends.
        while let Some(parent) = graph.axes[child].over.filter(|p| needs_line && *p < child) {
            walk.needs_line[parent.index()] = true;
            child = parent;
        }
    }
    let axes = graph.axes.iter().map(|(axis, _)| axis);
    Mentions {
        declared: axes.filter(|axis| walk.needs_line[axis.index()]).collect(),
        inline: walk
            .order
            .into_iter()
            .filter(|axis| !walk.needs_line[axis.index()])
            .collect(),
    }
}

pub(super) fn is_input(op: &Op) -> bool {
    matches!(op, Op::Input(..))
}

struct Walk {
    seen: Vec<bool>,
    order: Vec<AxisId>,
    needs_line: Vec<bool>,
}

impl Walk {
    fn ty(&mut self, ty: &ValueType) {
        for axis in &ty.axes {
            if !std::mem::replace(&mut self.seen[axis.index()], true) {
                self.order.push(*axis);
            }
        }
    }

    fn results(&mut self, region: &Region, values: &[crate::ValueId]) {
        for value in values {
            self.ty(region.ty(*value));
        }
    }

    fn region(&mut self, region: &Region) {
        self.results(region, region.params());
        for (_, node) in region.nodes() {
            self.results(region, &node.results);
            for axis in node.op.attribute_axes() {
                if !self.seen[axis.index()] {
                    self.needs_line[axis.index()] = true;
                }
            }
            for inner in node.op.regions() {
                self.region(inner);
            }
        }
    }
}
