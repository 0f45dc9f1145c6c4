//! What no stream can have: values about the length, positions in another order.

use girih_graph::{AxisId, Node, Op, ValueId};

use super::Rules;
use crate::stream::role::Roles;
use crate::stream::whole::Cause;

impl Rules<'_> {
    /// A stream can have no value that depends on how long the sequence will be.
    pub(super) fn refuse_sizes(&self, roles: &Roles, node: &Node) -> Result<(), Cause> {
        let axis = || roles.new.clone();
        let table = &self.graph.axes;
        let region = &self.graph.root;
        for result in &node.results {
            let mut axes = region.ty(*result).axes.iter();
            let irregular =
                axes.find(|a| roles.mentions(table.extent(**a)) && !roles.is_streamed(**a));
            if let Some(found) = irregular {
                return Err(Cause::Regrouped {
                    op: node.op.name(),
                    found: table.show_axis(*found),
                    axis: axis(),
                });
            }
        }
        let streamed = |result: &ValueId| !roles.among(region.ty(*result)).is_empty();
        let rows = node.results.iter().any(streamed);
        let sorted = || Cause::Sorted {
            op: node.op.name(),
            axis: axis(),
        };
        let regrouped = |found: AxisId| Cause::Regrouped {
            op: node.op.name(),
            found: table.show_axis(found),
            axis: axis(),
        };
        match &node.op {
            Op::Input(name, ty) if roles.among(ty).len() > 1 => Err(Cause::Pairs {
                name: name.to_string(),
            }),
            Op::Param(name, _) | Op::State(name) if rows => Err(Cause::Stored {
                name: name.to_string(),
                axis: axis(),
            }),
            Op::Order { axis, into, .. }
                if roles.is_streamed(*axis) || roles.is_streamed(*into) =>
            {
                Err(sorted())
            }
            Op::Scatter { axis, over, .. }
                if roles.is_streamed(*axis) || over.iter().any(|a| roles.is_streamed(*a)) =>
            {
                Err(sorted())
            }
            Op::Fold { from, axis, .. }
                if roles.is_streamed(*axis) || from.iter().any(|(a, _)| roles.is_streamed(*a)) =>
            {
                Err(regrouped(*axis))
            }
            Op::Split(own, _) if roles.mentions(table.extent(*own)) => Err(regrouped(*own)),
            Op::Merge(from, own) if from.iter().any(|a| roles.mentions(table.extent(*a))) => {
                Err(regrouped(*own))
            }
            Op::Concat(from, own) if from.iter().any(|a| roles.mentions(table.extent(*a))) => {
                Err(regrouped(*own))
            }
            Op::Window { into, offset, .. }
                if roles.mentions(offset) || into.iter().any(|(_, s)| roles.mentions(s)) =>
            {
                Err(Cause::Length(axis()))
            }
            _ => Ok(()),
        }
    }
}
