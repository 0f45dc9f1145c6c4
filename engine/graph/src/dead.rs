//! Drops what nothing needs.
//!
//! A node lives when a result of its region needs it. Inside a recurrence, carried
//! values, outputs, slices and kept values that nothing needs are dropped too, and
//! inputs that no branch of a route reads. A call keeps its operands and results: its
//! kernel is made for them. Inputs, parameters and states of the
//! graph always live: they are what the model is called with, not how it computes.

use std::sync::Arc;

use crate::build::Builder;
use crate::depend::{Depend, depend, over_steps};
use crate::graph::{Graph, Node, Origin, Region, ValueId};
use crate::op::{Op, Recurrence};

/// The same graph without dead nodes. Axes stay.
pub(crate) fn drop_dead(graph: &Graph) -> Graph {
    let needed = vec![true; graph.root.results.len()];
    let trim = trim_region(&graph.root, &needed, &depend(&graph.root));
    let mut builder = Builder::new(&graph.name);
    builder.axes = graph.axes.clone();
    let values = copy_live(&mut builder, &graph.root, &trim);
    let results = graph.root.results.iter().map(|old| values[old.index()]);
    let results: Vec<ValueId> = results.collect();
    let (results, updates) = results.split_at(graph.results.len().min(results.len()));
    let named = graph.results.iter().cloned().zip(results.iter().copied());
    let paths = graph.updates.iter().map(Arc::clone);
    let updates = paths.zip(updates.iter().copied()).collect();
    let mut new = builder.finish(named.collect(), updates);
    new.checks.clone_from(&graph.checks);
    new
}

/// What stays of a region.
struct Trim {
    live: Vec<bool>,
    nodes: Vec<Option<TrimNode>>,
    results: Vec<bool>,
}

/// What stays of a node.
struct TrimNode {
    operands: Vec<bool>,
    results: Vec<bool>,
    regions: Vec<Trim>,
}

fn trim_region(region: &Region, needed: &[bool], depend: &Depend) -> Trim {
    let mut live = vec![false; region.value_count()];
    for (result, needed) in region.results().iter().zip(needed) {
        live[result.index()] |= needed;
    }
    let mut nodes = Vec::with_capacity(region.node_count());
    for (node, inner) in region.nodes.iter().zip(&depend.inner).rev() {
        let used: Vec<bool> = node.results.iter().map(|v| live[v.index()]).collect();
        let leaf = matches!(node.op, Op::Input(..) | Op::Param(..) | Op::State(_));
        let lives = leaf || used.contains(&true);
        let trim = lives.then(|| trim_node(node, used, inner));
        for (operand, needed) in node
            .operands
            .iter()
            .zip(trim.iter().flat_map(|t| &t.operands))
        {
            live[operand.index()] |= needed;
        }
        nodes.push(trim);
    }
    nodes.reverse();
    let results = needed.to_vec();
    Trim {
        live,
        nodes,
        results,
    }
}

fn trim_node(node: &Node, used: Vec<bool>, inner: &[Depend]) -> TrimNode {
    match (&node.op, inner) {
        (Op::Recurrence(recurrence), [body_depend]) => {
            let mut needed = used;
            for slot in 0..needed.len() {
                if needed[slot] {
                    let reads = over_steps(recurrence, body_depend, slot);
                    for (carried, reads) in reads[..recurrence.carried].iter().enumerate() {
                        needed[carried] |= reads;
                    }
                }
            }
            let body = trim_region(&recurrence.body, &needed, body_depend);
            let mut operands = live_params(&recurrence.body, &body);
            operands[..recurrence.carried].copy_from_slice(&needed[..recurrence.carried]);
            TrimNode {
                operands,
                results: needed,
                regions: vec![body],
            }
        }
        (Op::Route(route), _) => {
            let regions = route.branches.iter().zip(inner);
            let regions = regions.map(|(branch, depend)| trim_region(branch, &[true], depend));
            let regions: Vec<Trim> = regions.collect();
            let mut operands = vec![false; node.operands.len()];
            for ((branch, reads), trim) in route.parts().zip(&regions) {
                for (input, live) in reads.iter().zip(live_params(branch, trim)) {
                    operands[input + 2] |= live;
                }
            }
            operands[..2].fill(true);
            TrimNode {
                operands,
                results: used,
                regions,
            }
        }
        _ => {
            let regions = node.op.regions().iter().zip(inner);
            let whole = |(region, depend): (&Region, &Depend)| {
                trim_region(region, &vec![true; region.results().len()], depend)
            };
            TrimNode {
                operands: vec![true; node.operands.len()],
                results: vec![true; node.results.len()],
                regions: regions.map(whole).collect(),
            }
        }
    }
}

fn live_params(region: &Region, trim: &Trim) -> Vec<bool> {
    let params = region.params().iter();
    params.map(|param| trim.live[param.index()]).collect()
}

/// Copies what stays into the open region and gives each old value's new one; those of dead
/// values are meaningless.
fn copy_live(builder: &mut Builder, region: &Region, trim: &Trim) -> Vec<ValueId> {
    let mut values = vec![ValueId(0); region.value_count()];
    let all = vec![true; region.params().len()];
    copy_into(builder, region, trim, &all, &mut values);
    values
}

fn copy_into(
    builder: &mut Builder,
    region: &Region,
    trim: &Trim,
    params: &[bool],
    values: &mut [ValueId],
) {
    for param in kept(region.params(), params) {
        values[param.index()] = builder.add_parameter(region.ty(*param).clone());
    }
    for ((id, node), trim) in region.nodes().zip(&trim.nodes) {
        let Some(trim) = trim else {
            continue;
        };
        let regions = node.op.regions().iter().zip(&trim.regions);
        let regions = regions.map(|(inner, inner_trim)| {
            builder.open_region();
            let mut values = vec![ValueId(0); inner.value_count()];
            let params = match node.op {
                Op::Route(_) => live_params(inner, inner_trim),
                Op::Call(_) => vec![true; inner.params().len()],
                _ => trim.operands.clone(),
            };
            copy_into(builder, inner, inner_trim, &params, &mut values);
            let trim = inner_trim;
            let results = kept(inner.results(), &trim.results);
            let results = results.map(|old| values[old.index()]).collect();
            builder.close_region(results)
        });
        let mut op = node.op.with_regions(regions.collect());
        if let Op::Route(route) = &mut op {
            let inputs = &trim.operands[2..];
            let regions = node.op.regions().iter().zip(&trim.regions);
            for ((inner, trim), reads) in regions.zip(&mut route.reads) {
                let live = live_params(inner, trim);
                let moved = |input: &usize| inputs[..*input].iter().filter(|kept| **kept).count();
                *reads = kept(reads, &live).map(moved).collect();
            }
        }
        if let Op::Recurrence(recurrence) = &mut op {
            let Recurrence {
                carried, sequences, ..
            } = &mut **recurrence;
            let count = |kept: &[bool]| kept.iter().filter(|kept| **kept).count();
            let sequences_end = *carried + *sequences;
            *sequences = count(&trim.operands[*carried..sequences_end]);
            *carried = count(&trim.operands[..*carried]);
        }
        let operands = kept(&node.operands, &trim.operands);
        let operands: Vec<ValueId> = operands.map(|old| values[old.index()]).collect();
        let origin = region.origins.get(id.index()).cloned().flatten();
        builder.set_origin(origin.map(|origin| named(origin, &trim.results)));
        let results = builder
            .node(op, &operands)
            .expect("what is dropped is neither read nor typed by what stays");
        for (old, new) in kept(&node.results, &trim.results).zip(results) {
            values[old.index()] = new;
        }
    }
}

/// The origin of a node of which only some results are left.
fn named(mut origin: Arc<Origin>, keep: &[bool]) -> Arc<Origin> {
    if !origin.names.is_empty() && !keep.iter().all(|kept| *kept) {
        let names = &mut Arc::make_mut(&mut origin).names;
        names.retain(|(slot, _)| keep.get(*slot) == Some(&true));
        for (slot, _) in names {
            *slot = keep[..*slot].iter().filter(|kept| **kept).count();
        }
    }
    origin
}

fn kept<'a, T>(items: &'a [T], keep: &'a [bool]) -> impl Iterator<Item = &'a T> {
    items
        .iter()
        .zip(keep)
        .filter(|(_, keep)| **keep)
        .map(|(item, _)| item)
}
