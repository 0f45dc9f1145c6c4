//! Merges values that compute the same thing.
//!
//! Two nodes merge when op, attributes, types and operands are equal; operands of
//! commutative ops may be swapped. Runs after `simplify`, because rewriting makes
//! more nodes equal. Never merges across a region border: a value inside a
//! `recurrence` is another value at every step. Random draws merge when their keys
//! are equal, because then they are the same numbers.

use std::collections::HashMap;

use girih_graph::op::{Binary, Op};
use girih_graph::text::node_key;
use girih_graph::{AxisTable, Graph, Node, NodeId, Patch, Region, RegionPath, Term, ValueId};

/// The graph with equal values merged.
// f(x, …) == f(y, …) where x == y
pub fn merge_equal_values(graph: &Graph) -> Graph {
    let mut patch = Patch::new(graph);
    merge_in(&graph.axes, &graph.root, &mut Vec::new(), &mut patch);
    patch
        .apply()
        .expect("equal values have equal types and the first comes first")
        .graph
}

fn merge_in(axes: &AxisTable, region: &Region, path: &mut RegionPath, patch: &mut Patch<'_>) {
    let mut first: HashMap<(String, Vec<ValueId>), NodeId> = HashMap::new();
    let mut same: Vec<ValueId> = vec![];
    // The representative of each value; parameters stand for themselves.
    let mut representative: HashMap<ValueId, ValueId> = HashMap::new();
    for (id, node) in region.nodes() {
        for (position, inner) in node.op.regions().iter().enumerate() {
            path.push((id, position));
            merge_in(axes, inner, path, patch);
            path.pop();
        }
        if matches!(node.op, Op::Input(..) | Op::Param(..) | Op::State(_)) {
            continue;
        }
        same.clear();
        same.extend(
            node.operands
                .iter()
                .map(|v| *representative.get(v).unwrap_or(v)),
        );
        if is_commutative(region, node) {
            same.sort_unstable();
        }
        let key = (node_key(axes, region, node), same.clone());
        let Some(twin) = first.get(&key) else {
            first.insert(key, id);
            continue;
        };
        for (own, other) in node.results.iter().zip(&region.node(*twin).results) {
            representative.insert(*own, *other);
            patch.replace(path, *own, Term::Value(*other), "merge_equal_values");
        }
    }
}

/// Whether the operands may be swapped without any bit of the result changing.
fn is_commutative(region: &Region, node: &Node) -> bool {
    let Op::Binary(op) = node.op else {
        return false;
    };
    match op {
        Binary::Add
        | Binary::Mul
        | Binary::Eq
        | Binary::Ne
        | Binary::And
        | Binary::Or
        | Binary::Xor => true,
        // Of two zeros with unlike signs, or with NaN, which one is taken may depend on the order.
        Binary::Max | Binary::Min => {
            let real = |value: &ValueId| region.ty(*value).dtype.is_real();
            !node.operands.iter().any(real)
        }
        Binary::Sub
        | Binary::Div
        | Binary::FloorDiv
        | Binary::Rem
        | Binary::Pow
        | Binary::Lt
        | Binary::Le
        | Binary::Gt
        | Binary::Ge
        | Binary::Shl
        | Binary::Shr => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simplify::tests::check_pass;

    #[test]
    fn equal_nodes_merge_and_commutative_ones_swapped() {
        check_pass(
            merge_equal_values,
            "graph g(x: f32[t], z: f32[t]) -> (y: f32[t]) {
               %0 = exp x : f32[t]
               %1 = exp x : f32[t]
               %2 = add %0, z : f32[t]
               %3 = add z, %1 : f32[t]
               %4 = sub %2, %3 : f32[t]
               return %4
             }",
            "graph g(x: f32[t], z: f32[t]) -> (y: f32[t]) {
               %0 = exp x : f32[t]
               %1 = add %0, z : f32[t]
               %2 = sub %1, %1 : f32[t]
               return %2
             }",
        );
    }

    #[test]
    fn unequal_nodes_stay() {
        for body in [
            "%0 = const 0.0 : f32 %1 = const -0.0 : f32 %2 = sub %0, %1 : f32 return %2",
            "%0 = sub x, z : f32 %1 = sub z, x : f32 %2 = add %0, %1 : f32 return %2",
            "%0 = max x, z : f32 %1 = max z, x : f32 %2 = add %0, %1 : f32 return %2",
            "%0 = random {distribution: normal, key: \"a\"} : f32
             %1 = random {distribution: normal, key: \"b\"} : f32
             %2 = sub %0, %1 : f32 return %2",
        ] {
            let text = format!("graph g(x: f32, z: f32) -> (y: f32) {{ {body} }}");
            check_pass(merge_equal_values, &text, &text);
        }
    }

    #[test]
    fn values_merge_inside_regions_and_equal_regions_merge() {
        let recurrence = |name: &str| {
            format!(
                "{name} = recurrence {{axis: t}} : f32[t] {{
                   slice %10 = x : f32
                   %11 = exp %10 : f32
                   %12 = exp %10 : f32
                   %13 = add %11, %12 : f32
                   return %13
                 }}"
            )
        };
        check_pass(
            |graph| merge_equal_values(&merge_equal_values(graph)),
            &format!(
                "graph g(x: f32[t]) -> (y: f32[t]) {{
                   {}
                   {}
                   %2 = mul %0, %1 : f32[t]
                   return %2
                 }}",
                recurrence("%0"),
                recurrence("%1")
            ),
            "graph g(x: f32[t]) -> (y: f32[t]) {
               %0 = recurrence {axis: t} : f32[t] {
                 slice %1 = x : f32
                 %2 = exp %1 : f32
                 %3 = add %2, %2 : f32
                 return %3
               }
               %4 = mul %0, %0 : f32[t]
               return %4
             }",
        );
    }
}
