//! How far every value has come: as far as all that it reads.

use std::collections::BTreeMap;

use girih_graph::{AxisId, Node, Op, ValueId};

use super::Rules;
use crate::stream::class::Class;
use crate::stream::end::{Ahead, End};
use crate::stream::role::Roles;

/// How far values have come.
#[derive(Debug, Default)]
pub(in crate::stream) struct Ends {
    /// Along each of their time axes.
    ends: BTreeMap<(ValueId, AxisId), End>,
    /// By how many positions what is known after the last one is late.
    late: BTreeMap<ValueId, i64>,
}

impl Ends {
    /// The end of `value` along `axis`.
    pub(in crate::stream) fn of(&self, value: ValueId, axis: AxisId) -> End {
        self.ends.get(&(value, axis)).copied().unwrap_or(End::NOW)
    }

    /// By how many positions a value is late that is known after the last one.
    pub(in crate::stream) fn late(&self, value: ValueId) -> i64 {
        self.late.get(&value).copied().unwrap_or(0)
    }
}

impl Rules<'_> {
    /// Finds how far all values have come. What no stream can have is as far as the stream here:
    /// it is refused when it is asked for.
    pub(in crate::stream) fn find_ends(&mut self, roles: &Roles) {
        let graph = self.graph;
        for (_, node) in graph.root.nodes() {
            let own = self.ends_of(roles, node);
            let late = self.lateness(roles, node);
            for result in &node.results {
                match self.classes.class(*result) {
                    Class::Once => {}
                    Class::Latest => {
                        self.ends.late.insert(*result, late);
                    }
                    Class::Streamed => {
                        for axis in roles.among(graph.root.ty(*result)) {
                            let end = own.get(&axis).copied().unwrap_or(End::NOW);
                            self.ends.ends.insert((*result, axis), end);
                        }
                    }
                }
            }
        }
    }

    /// As far as all operands that have positions along `column` to be read.
    pub(in crate::stream) fn end_of_column(&self, node: &Node, column: AxisId) -> End {
        let read = match node.op {
            // Where it reads is at its own positions.
            Op::Gather { .. } => &node.operands[..1],
            _ => &node.operands[..],
        };
        let has = read.iter().filter(|o| self.graph.root.ty(**o).has(column));
        has.fold(End::NOW, |all, o| all.meet(self.ends.of(*o, column)))
    }

    fn ends_of(&mut self, roles: &Roles, node: &Node) -> BTreeMap<AxisId, End> {
        let region = &self.graph.root;
        let mut own: BTreeMap<AxisId, End> = BTreeMap::new();
        let mut as_far = |axis: AxisId, end: End| {
            let known = own.entry(axis).or_insert(End::NOW);
            *known = known.meet(end);
        };
        for (place, operand) in node.operands.iter().enumerate() {
            for axis in roles.among(region.ty(*operand)) {
                let end = self.ends.of(*operand, axis);
                match &node.op {
                    Op::Window { axis: read, .. } if *read == axis => {}
                    Op::Gather { axis: read, .. } if place == 0 && *read == axis => {}
                    Op::Rename(pairs) => {
                        let pair = pairs.iter().find(|(old, _)| *old == axis);
                        as_far(pair.map_or(axis, |(_, new)| *new), end);
                    }
                    _ => as_far(axis, end),
                }
            }
        }
        if let Some((row, ahead)) = self.settled(roles, node) {
            let end = End::NOW.read(Ahead::By(ahead)).unwrap_or(End::NOW);
            let known = own.entry(row).or_insert(End::NOW);
            *known = known.meet(end);
        }
        for read in self.reads(roles, node).unwrap_or_default() {
            let column = self.end_of_column(node, read.column);
            let end = column.read(read.ahead).unwrap_or(End::NOW);
            let known = own.entry(read.row).or_insert(End::NOW);
            *known = known.meet(end);
        }
        own
    }

    fn lateness(&self, roles: &Roles, node: &Node) -> i64 {
        let of = |operand: &ValueId| match self.classes.class(*operand) {
            Class::Once => 0,
            Class::Latest => self.ends.late(*operand),
            Class::Streamed => {
                let axes = roles.among(self.graph.root.ty(*operand)).into_iter();
                let late = axes.map(|axis| self.ends.of(*operand, axis).latency());
                late.max().unwrap_or(0)
            }
        };
        node.operands.iter().map(of).max().unwrap_or(0)
    }
}
