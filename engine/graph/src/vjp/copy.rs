//! Copies the nodes of a region into the region under construction.

use crate::build::Builder;
use crate::graph::{Definition, Region, ValueId};
use crate::op::{Op, OpError};

/// Copies what `roots` need, with every result replaced by what `through` makes of it.
///
/// Parameters become `given`; one that nothing needs may be `None`. The answer tells for
/// every value of `region`, by position, which value it became; `None` if it was not needed.
pub(super) fn copy_through(
    b: &mut Builder,
    region: &Region,
    given: &[Option<ValueId>],
    roots: &[ValueId],
    through: Through,
) -> Result<Vec<Option<ValueId>>, OpError> {
    let live = live_values(region, roots);
    let mut copies = vec![None; region.value_count()];
    for (param, value) in region.params.iter().zip(given) {
        copies[param.index()] = *value;
    }
    for (node, origin) in region.nodes.iter().zip(&region.origins) {
        if !node.results.iter().any(|result| live[result.index()]) {
            continue;
        }
        let operands = node.operands.iter().map(|value| copies[value.index()]);
        let operands: Option<Vec<ValueId>> = operands.collect();
        let operands = operands.ok_or(OpError::Operands {
            op: "region",
            wanted: region.params.len(),
            found: given.len(),
        })?;
        b.set_origin(origin.clone());
        let results = b.node(node.op.clone(), &operands)?;
        for (old, new) in node.results.iter().zip(results) {
            copies[old.index()] = Some(through(b, &node.op, new)?);
        }
    }
    b.set_origin(None);
    Ok(copies)
}

/// What a copied result is replaced by, for the op that made it.
pub(super) type Through<'a> =
    &'a mut dyn FnMut(&mut Builder, &Op, ValueId) -> Result<ValueId, OpError>;

/// Which values `roots` need, by position, parameters included.
pub(super) fn live_values(region: &Region, roots: &[ValueId]) -> Vec<bool> {
    let mut live = vec![false; region.value_count()];
    for root in roots {
        live[root.index()] = true;
    }
    // Operands stand before results, so one walk from the end sees every use.
    for value in (0..region.value_count()).rev() {
        if !live[value] {
            continue;
        }
        if let Definition::Result(node, _) = region.values[value].1 {
            for operand in &region.node(node).operands {
                live[operand.index()] = true;
            }
        }
    }
    live
}
