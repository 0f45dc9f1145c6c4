//! Which parameters of a region each of its results depends on.
//!
//! Computed once, from the inside out: a region's answer needs only the answers of
//! the regions inside it. What is asked later – which carried values matter, what
//! reaches an output – is then cheap, however deep regions lie in one another.

use crate::graph::{Definition, Node, Region};
use crate::op::{Op, Recurrence};

/// The dependencies of a region and of those inside.
#[derive(Clone, Debug)]
pub(crate) struct Depend {
    /// For each result, whether it depends on each parameter, within one run of the region.
    pub(crate) results: Vec<Vec<bool>>,
    /// For each node, its regions.
    pub(crate) inner: Vec<Vec<Depend>>,
}

/// The dependencies of `region`.
pub(crate) fn depend(region: &Region) -> Depend {
    let none = vec![false; region.params().len()];
    let mut values = vec![none.clone(); region.value_count()];
    for param in region.params() {
        if let Definition::Parameter(position) = region.definition(*param) {
            values[param.index()][position] = true;
        }
    }
    let mut inner = Vec::with_capacity(region.node_count());
    for (_, node) in region.nodes() {
        let regions: Vec<Depend> = node.op.regions().iter().map(depend).collect();
        for (slot, result) in node.results.iter().enumerate() {
            let mut union = none.clone();
            for (position, operand) in node.operands.iter().enumerate() {
                if reads(node, &regions, slot, position) {
                    add(&mut union, &values[operand.index()]);
                }
            }
            values[result.index()] = union;
        }
        inner.push(regions);
    }
    let results = region.results().iter();
    let results = results.map(|value| values[value.index()].clone()).collect();
    Depend { results, inner }
}

/// Whether result `slot` of `node` depends on its operand at `position`.
pub(crate) fn reads(node: &Node, regions: &[Depend], slot: usize, position: usize) -> bool {
    match (&node.op, regions) {
        (Op::Recurrence(recurrence), [body]) => {
            // After no step at all, a carried value is what it started as.
            slot == position && slot < recurrence.carried
                || over_steps(recurrence, body, slot)
                    .get(position)
                    .is_some_and(|reads| *reads)
        }
        (Op::Route(route), branches) => {
            let input = position.checked_sub(2);
            let through = |input: usize| {
                let mut branches = branches.iter().zip(&route.reads);
                branches.any(|(branch, own)| {
                    let mut params = branch
                        .results
                        .iter()
                        .flat_map(|reads| own.iter().zip(reads));
                    params.any(|(read, needed)| *read == input && *needed)
                })
            };
            input.is_none_or(through)
        }
        _ => true,
    }
}

/// The body's parameters that its result `slot` depends on over any number of steps.
pub(crate) fn over_steps(recurrence: &Recurrence, body: &Depend, slot: usize) -> Vec<bool> {
    let mut union = body.results.get(slot).cloned().unwrap_or_default();
    let mut followed = vec![false; recurrence.carried];
    loop {
        let next = (0..recurrence.carried).find(|c| union.get(*c) == Some(&true) && !followed[*c]);
        let Some(carried) = next else {
            return union;
        };
        followed[carried] = true;
        if let Some(previous) = body.results.get(carried) {
            add(&mut union, previous);
        }
    }
}

fn add(union: &mut [bool], other: &[bool]) {
    for (own, other) in union.iter_mut().zip(other) {
        *own |= other;
    }
}
