//! Whether what is carried says at which position it stands.

use std::collections::BTreeSet;

use girih_graph::{AxisId, Node, Op, ValueId};

use super::Emit;
use crate::stream::class::{maker, reads_positions};

impl Emit<'_, '_> {
    /// Whether an entry of a value is made from the number of its position, as a rotated key is. What it
    /// has gathered from other positions does not count: it is what the entry is about.
    pub(super) fn is_placed(&self, value: ValueId) -> bool {
        let region = &self.rules.graph.root;
        let mut seen = BTreeSet::from([value]);
        let mut open = vec![value];
        while let Some(at) = open.pop() {
            let Some((id, _)) = maker(region, at) else {
                continue;
            };
            let node = region.node(id);
            if matches!(node.op, Op::Index(axis) if self.roles.is_streamed(axis))
                || node
                    .op
                    .regions()
                    .iter()
                    .any(|own| reads_positions(&self.roles, own))
            {
                return true;
            }
            if self.gathers(node) {
                continue;
            }
            let more = node.operands.iter().filter(|own| seen.insert(**own));
            open.extend(more);
        }
        false
    }

    /// Whether a node combines positions of the sequence.
    fn gathers(&self, node: &Node) -> bool {
        let any = |axes: &[AxisId]| axes.iter().any(|axis| self.roles.is_streamed(*axis));
        match &node.op {
            Op::Reduce(_, axes) | Op::Contract(axes) => any(axes),
            _ => false,
        }
    }
}
