//! A graph where a size is known.
//!
//! A size that is a symbol is one graph for every value; where one value is frequent, as
//! one position in every step of a stream, a graph of its own is simpler: its loops have one
//! turn, its masks leave nothing out.

use crate::axis::AxisTable;
use crate::extent::Extent;
use crate::graph::{Graph, Region};
use crate::op::Op;

impl Graph {
    /// The graph with `size` in place of the symbol everywhere: in axes, in sizes that are read,
    /// in strides and offsets, in conditions.
    #[must_use]
    pub fn with_size(&self, symbol: &str, size: &Extent) -> Self {
        let known =
            |extent: &Extent| extent.substitute(&|own| (own == symbol).then(|| size.clone()));
        let mut graph = self.clone();
        graph.axes.map_extents(&known);
        graph.root.map_extents(&known);
        for check in &mut graph.checks {
            check.left = known(&check.left);
            check.right = known(&check.right);
        }
        graph
    }

    /// Whether a loop runs along an axis of this size, in a region or outside: where the size is
    /// known, it is planned otherwise.
    pub fn walks(&self, symbol: &str) -> bool {
        self.root.walks(&self.axes, symbol)
    }
}

impl Region {
    fn walks(&self, axes: &AxisTable, symbol: &str) -> bool {
        self.nodes.iter().any(|node| {
            let along = match &node.op {
                Op::Recurrence(own) => axes.extent(own.axis).as_symbol() == Some(symbol),
                _ => false,
            };
            let mut inner = node.op.regions().iter();
            along || inner.any(|inner| inner.walks(axes, symbol))
        })
    }

    fn map_extents(&mut self, map: &dyn Fn(&Extent) -> Extent) {
        for node in &mut self.nodes {
            let regions = node.op.regions().iter().map(|inner| {
                let mut inner = inner.clone();
                inner.map_extents(map);
                inner
            });
            let regions: Vec<Self> = regions.collect();
            node.op = map_extents(&node.op.with_regions(regions), map);
        }
    }
}

/// The op with its own extents mapped, those inside regions left as they are.
fn map_extents(op: &Op, map: &dyn Fn(&Extent) -> Extent) -> Op {
    let strided = |pairs: &[(crate::AxisId, Extent)]| {
        let pairs = pairs.iter();
        pairs.map(|(axis, stride)| (*axis, map(stride))).collect()
    };
    match op {
        Op::Size(extent) => Op::Size(map(extent)),
        Op::Random(distribution, key, axes) => {
            Op::Random(*distribution, std::sync::Arc::clone(key), strided(axes))
        }
        Op::Window { axis, into, offset } => Op::Window {
            axis: *axis,
            into: strided(into),
            offset: map(offset),
        },
        Op::Fold { from, axis, offset } => Op::Fold {
            from: strided(from),
            axis: *axis,
            offset: map(offset),
        },
        Op::Input(..)
        | Op::Param(..)
        | Op::State(_)
        | Op::Const(_)
        | Op::Table(..)
        | Op::Index(_)
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Select
        | Op::Cast(_)
        | Op::Contract(_)
        | Op::Reduce(..)
        | Op::Softmax(_)
        | Op::Cumulate { .. }
        | Op::Order { .. }
        | Op::Gather { .. }
        | Op::Scatter { .. }
        | Op::Split(..)
        | Op::Merge(..)
        | Op::Concat(..)
        | Op::Rename(_)
        | Op::Expand(_)
        | Op::GradAs
        | Op::Recurrence(_)
        | Op::Route(_)
        | Op::Call(_) => op.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{text, verify};

    #[test]
    fn a_size_is_known_everywhere() {
        let graph = text::parse(
            r#"girih-graph 1
axis t time
graph last(x: f32[t, d]) -> (y: f32[d], n: i64) {
  check t == t*t "there is one"
  %0 = window x {axis: t, into: [], offset: t - 1} : f32[d]
  %1 = size {extent: t} : i64
  return %0, %1
}
"#,
        );
        let graph = graph.unwrap_or_else(|error| panic!("{error}"));
        let one = graph.with_size("t", &Extent::constant(1));
        assert_eq!(verify(&one), Ok(()));
        let printed = text::print(&one);
        assert!(
            printed.contains("offset: 0") && printed.contains("x: f32[t=1, d]"),
            "{printed}"
        );
        assert!(printed.contains("extent: 1"), "{printed}");
    }
}
