//! How many positions before its own every value that is asked for depends on.

use std::collections::BTreeMap;

use girih_graph::{AxisId, Node, Op, ValueId};

use super::block::Block;
use super::emit::Asked;
use super::role::{Demand, Roles, Stretch};
use super::rule::Rules;
use super::whole::Whole;

/// The first position that each depends on, along each time axis along which positions are read;
/// `None` if that is the first of all.
pub(super) type Reach = BTreeMap<ValueId, BTreeMap<AxisId, Option<Block>>>;

/// The reach of every value that is asked for.
pub(super) fn reach(rules: &mut Rules<'_>, roles: &Roles, asked: &Asked) -> Result<Reach, Whole> {
    let graph = rules.graph;
    let mut reach = Reach::new();
    for (_, node) in graph.root.nodes() {
        for (slot, result) in node.results.iter().enumerate() {
            if asked.contains_key(result) && rules.classes.is_fed(*result) {
                let own = reach_of(rules, roles, (node, slot, *result), &reach)?;
                reach.insert(*result, own);
            }
        }
    }
    Ok(reach)
}

fn reach_of(
    rules: &mut Rules<'_>,
    roles: &Roles,
    (node, slot, result): (&Node, usize, ValueId),
    reach: &Reach,
) -> Result<BTreeMap<AxisId, Option<Block>>, Whole> {
    let axes = roles.among(rules.graph.root.ty(result));
    let natural = |axis: &AxisId| (*axis, Stretch::new(rules.ends.of(result, *axis)));
    let demand: Demand = axes.iter().map(natural).collect();
    let rule = rules.rule(roles, node, slot, &demand)?;
    let mut own = BTreeMap::new();
    let start = match node.op {
        Op::Input(..) => Some(Some(Block::behind(0))),
        _ if rule.remembers => Some(None),
        _ => None,
    };
    if let Some(start) = start {
        own.extend(axes.iter().map(|axis| (*axis, start)));
    }
    for (operand, wanted) in node.operands.iter().zip(&rule.operands) {
        for axis in wanted.iter().flatten().map(|(axis, _)| axis) {
            let Some(before) = reach.get(operand).and_then(|known| known.get(axis)) else {
                continue;
            };
            let here = (*axis, Some(Block::behind(0)));
            let (reader, first) = rule.readers.get(axis).copied().unwrap_or(here);
            let both = first.zip(*before);
            let place = both.map(|(first, before)| first.then(before));
            let slot = own.entry(reader).or_insert(place);
            *slot = slot.zip(place).map(|(one, other)| one.earlier(other));
        }
    }
    Ok(own)
}
