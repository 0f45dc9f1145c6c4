//! What a graph costs, as polynomials of its sizes.
//!
//! An operation is one result element of an elementwise primitive or one element
//! that a combination takes in, whatever the function; a product and its sum are
//! two. Bytes are what every node reads and writes if nothing is fused and every
//! operand is read once; views – splits, windows, renames – move nothing. Both are
//! measures of the graph, the same on every machine: kernels do as many
//! operations and fewer bytes.
//!
//! A `route` counts every branch on every item, because which items a branch keeps
//! is known only at run time. A `call` counts the operations of its body, none without one.

use crate::axis::{AxisId, AxisTable, ValueType};
use crate::extent::Extent;
use crate::graph::{Graph, Node, Region, ValueId};
use crate::op::Op;

/// The cost of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Operations of one run.
    pub flops: Extent,
    /// Bytes read and written by one run, unfused.
    pub bytes: Extent,
    /// Numbers in all parameters.
    pub params: Extent,
    /// Bytes of all states, which a stream keeps between calls.
    pub state: Extent,
}

/// The cost of a node or of one run of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Operations.
    pub flops: Extent,
    /// Bytes read and written, unfused.
    pub bytes: Extent,
}

impl Work {
    fn new(flops: Extent, bytes: Extent) -> Self {
        Self { flops, bytes }
    }

    fn nothing() -> Self {
        Self::new(Extent::constant(0), Extent::constant(0))
    }

    fn plus(&self, other: &Self) -> Self {
        Self::new(self.flops.plus(&other.flops), self.bytes.plus(&other.bytes))
    }

    fn times(&self, count: &Extent) -> Self {
        Self::new(self.flops.times(count), self.bytes.times(count))
    }
}

/// The cost of one run of `graph`, of its parameters and of its states.
pub fn of(graph: &Graph) -> Cost {
    let Work { flops, bytes } = region(&graph.axes, &graph.root);
    let zero = || Extent::constant(0);
    let (mut params, mut state) = (zero(), zero());
    for (_, node) in graph.root.nodes() {
        for result in &node.results {
            let ty = graph.root.ty(*result);
            match node.op {
                Op::Param(..) => params = params.plus(&count(&graph.axes, &ty.axes)),
                Op::State(_) => state = state.plus(&size(&graph.axes, ty)),
                _ => {}
            }
        }
    }
    Cost {
        flops,
        bytes,
        params,
        state,
    }
}

/// The cost of one run of `region`.
pub fn region(axes: &AxisTable, region: &Region) -> Work {
    let nodes = region.nodes().map(|(_, own)| node(axes, region, own));
    nodes.fold(Work::nothing(), |total, own| total.plus(&own))
}

/// The cost of `node`, which is one of `region`.
pub fn node(axes: &AxisTable, region: &Region, node: &Node) -> Work {
    let types = |values: &[ValueId]| values.iter().map(|v| region.ty(*v)).collect::<Vec<_>>();
    let (operands, results) = (types(&node.operands), types(&node.results));
    let elements = |types: &[&ValueType]| {
        let counts = types.iter().map(|ty| count(axes, &ty.axes));
        counts.fold(Extent::constant(0), |sum, count| sum.plus(&count))
    };
    let bytes = |types: &[&ValueType]| {
        let sizes = types.iter().map(|ty| size(axes, ty));
        sizes.fold(Extent::constant(0), |sum, size| sum.plus(&size))
    };
    let moved = || bytes(&operands).plus(&bytes(&results));
    let times = |count: Extent, factor: i64| count.times(&Extent::from(factor));
    match &node.op {
        Op::Input(..)
        | Op::Param(..)
        | Op::State(_)
        | Op::Const(_)
        | Op::Table(..)
        | Op::Index(_)
        | Op::Size(_)
        | Op::Window { .. }
        | Op::Split(..)
        | Op::Merge(..)
        | Op::Rename(_)
        | Op::Expand(_)
        | Op::GradAs => Work::nothing(),
        Op::Random(..) | Op::Unary(_) | Op::Binary(_) | Op::Select => {
            Work::new(elements(&results), moved())
        }
        Op::Cast(_) | Op::Concat(..) => Work::new(Extent::constant(0), moved()),
        Op::Contract(over) => {
            let products = elements(&results).times(&count(axes, over));
            Work::new(times(products, 2), moved())
        }
        Op::Reduce(..) | Op::Cumulate { .. } | Op::Order { .. } | Op::Fold { .. } => {
            Work::new(elements(&operands), moved())
        }
        // The largest, the difference, exp, the sum, the quotient.
        Op::Softmax(_) => Work::new(times(elements(&results), 5), moved()),
        // What is read of the first operand is as much as the result.
        Op::Gather { .. } => {
            let positions = bytes(operands.get(1..).unwrap_or_default());
            let read = times(bytes(&results), 2);
            Work::new(Extent::constant(0), read.plus(&positions))
        }
        Op::Scatter { over, .. } => {
            let axis_of = |ty: &&ValueType| ty.axes.clone();
            let mut walked: Vec<AxisId> = operands.iter().flat_map(axis_of).collect();
            walked.extend(over);
            walked.sort_unstable();
            walked.dedup();
            Work::new(count(axes, &walked), moved())
        }
        Op::Recurrence(recurrence) => {
            self::region(axes, &recurrence.body).times(axes.extent(recurrence.axis))
        }
        Op::Route(route) => {
            let branches = route
                .branches
                .iter()
                .map(|branch| self::region(axes, branch));
            let inside = branches.fold(Work::nothing(), |total, own| total.plus(&own));
            // Each branch is weighted and added.
            let sums = elements(&results).times(axes.extent(route.branch));
            inside.plus(&Work::new(times(sums, 2), moved()))
        }
        // What a kernel keeps to itself moves nothing.
        Op::Call(call) => {
            let inside = call.body().map(|body| self::region(axes, body));
            let inside = inside.unwrap_or_else(Work::nothing);
            Work::new(inside.flops, moved())
        }
    }
}

fn count(axes: &AxisTable, own: &[AxisId]) -> Extent {
    own.iter().fold(Extent::constant(1), |product, axis| {
        product.times(axes.extent(*axis))
    })
}

/// Bytes of one value.
fn size(axes: &AxisTable, ty: &ValueType) -> Extent {
    count(axes, &ty.axes).times(&Extent::from(ty.dtype.size() as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::parse;

    fn check(body: &str, expected: [&str; 4]) {
        let head = "graph g(x: f32[t, d=8], ids: i64[t]) -> ()";
        let text = format!("girih-graph 1\n{head} {{ {body} return }}");
        let cost = of(&parse(&text).unwrap());
        let found = [cost.flops, cost.bytes, cost.params, cost.state].map(|e| e.to_string());
        assert_eq!(found, expected, "{body}");
    }

    #[test]
    fn each_primitive_is_counted() {
        check("", ["0", "0", "0", "0"]);
        check("%0 = exp x : f32[t, d=8]", ["8*t", "64*t", "0", "0"]);
        check(
            "%0 = rename x {axes: [t: i]} : f32[i=t, d=8]",
            ["0", "0", "0", "0"],
        );
        check(
            "param w: f32[d=8, e] %0 = contract x, w {over: d} : f32[t, e]",
            ["16*e*t", "32*e + 4*e*t + 32*t", "8*e", "0"],
        );
        check(
            "param w: f16[v, d=8] %0 = gather w, ids {axis: v} : f16[t, d=8]",
            ["0", "40*t", "8*v", "0"],
        );
        check("state s = x : f32[t, d=8]", ["0", "0", "0", "32*t"]);
        check(
            "%0 = softmax x {over: d} : f32[t, d=8]",
            ["40*t", "64*t", "0", "0"],
        );
        check(
            "%0 = scatter ids, x {axis: v, over: t, combine: sum} : f32[d=8, v]",
            ["8*t", "40*t + 32*v", "0", "0"],
        );
    }

    #[test]
    fn loops_multiply_and_branches_add() {
        check(
            "%0 = recurrence {axis: t} : f32[t, d=8] {
               slice %1 = x : f32[d=8]
               %2 = exp %1 : f32[d=8]
               return %2
             }",
            ["8*t", "64*t", "0", "0"],
        );
        check(
            "param g: f32[e=2] param k: bool[e=2]
             %0 = route g, k, x {branch: e, items: t} : f32[t, d=8] {
               branch(%1: f32[t, d=8]) { %2 = exp %1 : f32[t, d=8] return %2 }
               branch(%3: f32[t, d=8]) { return %3 }
             }",
            ["40*t", "128*t + 10", "4", "0"],
        );
    }
}
