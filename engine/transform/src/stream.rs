//! Streams: a graph that takes a sequence as a whole becomes one that takes it piece by piece.
//!
//! Every value is asked for at the positions that are read: the new ones, and as much of the
//! past as a shifted read, a mask or a loop needs. What is asked for with its past is
//! carried from step to step: as it is (attention's keys and values), the last positions
//! only (windows), or folded together (recurrences, running sums). What no position feeds is
//! computed once.
//!
//! A stream gives what the whole gives, for every way to cut the sequence. What reads r positions
//! ahead comes r positions late: every value has an end, how far it has come in a stream that
//! has taken so many positions, and values that are further wait for those that are less far.
//! What is still to come when the sequence ends is a graph of its own, in which nothing is behind
//! the last position, as in the whole. What would read later positions without a bound is
//! refused with its place.
//!
//! A call of a plugin's operation that works along the streamed axis is computed by its body,
//! which says what goes from step to step; along other axes it stays a call.
//!
//! A mask may let positions before a number that is known at the start read one another: these
//! come in one piece.
//!
//! Left out: what the model's own states become. They are read as they are at the start, and
//! their next values hold after the last step.

mod block;
mod class;
mod domain;
mod emit;
mod end;
mod reach;
mod role;
mod rule;
mod whole;

use std::collections::{BTreeMap, BTreeSet};

use girih_graph::stream::{Source, Stream, StreamResult, Update};
use girih_graph::{AxisId, CallAs, Extent, Graph, Op, Patch, ValueId};

use class::{Class, Classes};
use domain::Domains;
use emit::{Asked, Emit};
use end::End;
use reach::{Reach, reach};
use role::{Demand, Roles, Stretch};
use rule::{Ends, Rules};
pub use whole::{Cause, Whole};

/// The stream of `graph` along the axis called `axis`, whose size is a symbol of its own.
///
/// # Errors
///
/// What needs the sequence as a whole, with its place in the model.
///
/// ```
/// use girih_transform::stream;
///
/// let sums = girih_graph::text::parse(
///     "girih-graph 1
///      axis t time
///      graph sums(x: f32[t]) -> (y: f32[t]) {
///        %0 = cumulate x {axis: t, combine: sum} : f32[t]
///        return %0
///      }",
/// )?;
/// let stream = stream(&sums, "t")?;
/// assert_eq!(stream.carries.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn stream(graph: &Graph, axis: &str) -> Result<Stream, Whole> {
    let symbol = graph
        .axes
        .find(axis)
        .and_then(|id| graph.axes.extent(id).as_symbol());
    let new = symbol.ok_or_else(|| Cause::NoAxis(axis.to_owned()))?;
    let roles = Roles::of(&graph.axes, new);
    let graph = &graph.with_calls(&|call| {
        let mut core = call.core_axes();
        if core.any(|axis| roles.mentions(graph.axes.extent(axis))) {
            CallAs::Body
        } else {
            CallAs::Itself
        }
    });
    let classes = Classes::of(graph, &roles);
    let mut rules = Rules {
        graph,
        classes: &classes,
        domains: Domains::new(&graph.axes, &graph.root, &roles.new),
        ends: Ends::default(),
        longest: BTreeMap::new(),
        prefixes: BTreeSet::new(),
    };
    rules.find_ends(&roles);
    let asked = ask(&mut rules, &roles)?;
    let reach = reach(&mut rules, &roles, &asked)?;
    let ending = roles.clone().ending();
    let mut emit = Emit::new(&mut rules, roles);
    emit.write_step(&asked)?;
    let mut stream = finish(emit, &reach)?;
    if is_late(&stream) {
        let mut emit = Emit::new(&mut rules, ending);
        emit.write_step(&asked)?;
        stream.flush = Some(flush(emit, &stream)?);
    }
    Ok(stream)
}

/// Whether a result or a next state is still to come when the last position has been taken.
fn is_late(stream: &Stream) -> bool {
    let updates = stream.updates.iter().map(|update| &update.result);
    let mut all = stream.results.iter().chain(updates);
    all.any(|result| result.latency > 0)
}

/// The name of the axis that a graph is streamed along: the time axis of an input that results
/// have as well; of several, that of the last input. Without such a result, the last input's.
pub fn time_axis(graph: &Graph) -> Option<String> {
    let table = &graph.axes;
    let symbols = |value: &ValueId| {
        let axes = graph.root.ty(*value).axes.iter();
        axes.filter_map(|axis| table.extent(*axis).as_symbol())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let results: Vec<String> = graph.root.results().iter().flat_map(symbols).collect();
    let inputs = graph.root.nodes().filter_map(|(_, node)| match &node.op {
        Op::Input(_, ty) => Some(ty),
        _ => None,
    });
    let timed: Vec<AxisId> = inputs
        .flat_map(|ty| ty.axes.iter().copied())
        .filter(|axis| table[*axis].time && table.extent(*axis).as_symbol().is_some())
        .collect();
    let shown = |axis: &&AxisId| {
        let symbol = table.extent(**axis).as_symbol();
        symbol.is_some_and(|symbol| results.iter().any(|own| own == symbol))
    };
    let best = timed.iter().rfind(shown).or(timed.last());
    best.map(|axis| table.name(*axis).to_owned())
}

/// What is asked of a result.
fn of_result(
    rules: &Rules<'_>,
    roles: &Roles,
    name: &str,
    value: ValueId,
) -> Result<Demand, Whole> {
    let axes = roles.among(rules.graph.root.ty(value));
    if axes.len() > 1 {
        return Err(Cause::Pairs {
            name: name.to_owned(),
        }
        .into());
    }
    // Every position is equally late, whatever its place in a block.
    let own = |axis: AxisId| Stretch::new(End::late(rules.ends.of(value, axis).latency()));
    Ok(axes.into_iter().map(|axis| (axis, own(axis))).collect())
}

/// Names of the results and of the states with next values, in order.
fn names(graph: &Graph) -> impl Iterator<Item = (&str, ValueId)> {
    let results = graph.results.iter().map(String::as_str);
    let all = results.chain(graph.updates.iter().map(|path| &**path));
    all.zip(graph.root.results().iter().copied())
}

/// Which positions are asked of which value, from the results backwards.
fn ask(rules: &mut Rules<'_>, roles: &Roles) -> Result<Asked, Whole> {
    let graph = rules.graph;
    let mut asked = Asked::new();
    for (position, (name, value)) in names(graph).enumerate() {
        let rows = !roles.among(graph.root.ty(value)).is_empty();
        if rows && position >= graph.results.len() {
            return Err(Cause::Stored {
                name: name.to_owned(),
                axis: roles.new.clone(),
            }
            .into());
        }
        if rules.classes.class(value) != Class::Once {
            let demand = of_result(rules, roles, name, value)?;
            asked.entry(value).or_default().insert(demand);
        }
    }
    let nodes: Vec<_> = graph.root.nodes().collect();
    for (id, node) in nodes.into_iter().rev() {
        for (slot, result) in node.results.iter().enumerate() {
            let demands: Vec<Demand> = asked.get(result).into_iter().flatten().cloned().collect();
            for demand in demands {
                let demand = match rules.cached(roles, *result, &demand) {
                    Some((axis, history)) => {
                        let longest = rules.longest.entry(*result).or_insert(history);
                        *longest = (*longest).max(history);
                        let own = Stretch::new(rules.ends.of(*result, axis));
                        let new = Demand::from([(axis, own)]);
                        asked.entry(*result).or_default().insert(new.clone());
                        new
                    }
                    None => demand,
                };
                let rule = rules
                    .rule(roles, node, slot, &demand)
                    .map_err(|cause| Whole {
                        cause,
                        origin: graph.root.origin(id).cloned().map(Box::new),
                    })?;
                for (operand, wanted) in node.operands.iter().zip(rule.operands) {
                    if let Some(wanted) = wanted {
                        asked.entry(*operand).or_default().insert(wanted);
                    }
                }
            }
        }
    }
    Ok(asked)
}

fn finish(mut emit: Emit<'_, '_>, reach: &Reach) -> Result<Stream, Whole> {
    let graph = emit.rules.graph;
    let (mut from_once, mut from_step) = (Vec::new(), Vec::new());
    let mut results = Vec::new();
    let mut updates = Vec::new();
    for (position, (name, value)) in names(graph).enumerate() {
        let update = position >= graph.results.len();
        let own = if update {
            emit.name(&format!("{name}.next"))
        } else {
            name.to_owned()
        };
        let demand = of_result(emit.rules, &emit.roles, name, value)?;
        let axes = match graph.states().get(name) {
            Some(state) if update => &graph.root.ty(*state).axes,
            _ => &graph.root.ty(value).axes,
        };
        let class = emit.rules.classes.class(value);
        let latency = match demand.values().next() {
            Some(stretch) => stretch.end.latency(),
            None => emit.rules.ends.late(value),
        };
        let along = demand.keys().next();
        let place = along.and_then(|along| axes.iter().position(|axis| axis == along));
        let source = match (class, place) {
            (Class::Once, _) => Source::Once,
            (Class::Streamed, Some(place)) => Source::Positions(place),
            _ => Source::Latest,
        };
        match source {
            Source::Once => from_once.push((own.clone(), emit.known(value)?)),
            Source::Positions(_) | Source::Latest => {
                let new = emit.value(value, &demand)?;
                from_step.push((own.clone(), new));
            }
        }
        let known = reach.get(&value).map(|own| own.values().next());
        let reach = match (source, known.flatten()) {
            (Source::Positions(_), Some(first)) => {
                first.map(|first| first.least().saturating_neg().max(0))
            }
            (Source::Latest, _) => None,
            // It depends on no position.
            (Source::Once, _) | (_, None) => Some(0),
        };
        let result = StreamResult {
            name: own,
            source,
            axes: axes
                .iter()
                .map(|axis| graph.axes.name(*axis).to_owned())
                .collect(),
            reach,
            latency,
        };
        if update {
            updates.push(Update {
                path: name.to_owned(),
                result,
            });
        } else {
            results.push(result);
        }
    }
    let mut prefixes = Vec::new();
    let mut first = emit.kept.clone();
    for prefix in emit.rules.prefixes.clone() {
        let name = emit.name("prefix");
        first.push((name.clone(), emit.known(prefix.value)?));
        prefixes.push((name, prefix.more));
    }
    let mut last = Vec::new();
    for (carry, start, next) in &emit.carries {
        first.push((carry.name.clone(), *start));
        last.push((carry.name.clone(), *next));
    }
    first.append(&mut from_once);
    last.append(&mut from_step);
    let once = tidied(&emit.once.finish(first, Vec::new()));
    let step = tidied(&emit.step.finish(last, Vec::new()));
    let mut inputs = Vec::new();
    for (name, value) in step.inputs() {
        let given = graph.inputs().contains_key(name);
        let axes = &step.root.ty(value).axes;
        let place = axes.iter().position(|axis| emit.roles.is_streamed(*axis));
        if let (true, Some(place)) = (given, place) {
            inputs.push((name.to_owned(), place));
        }
    }
    Ok(Stream {
        once,
        step,
        flush: None,
        new: emit.roles.new,
        total: emit.roles.total,
        inputs,
        prefixes,
        kept: emit.kept.into_iter().map(|(name, _)| name).collect(),
        carries: emit.carries.into_iter().map(|(carry, ..)| carry).collect(),
        results,
        updates,
    })
}

/// What late results of `stream` still have to give when the sequence has ended.
fn flush(mut emit: Emit<'_, '_>, stream: &Stream) -> Result<Graph, Whole> {
    let updates = stream.updates.iter().map(|update| &update.result);
    let all: Vec<&StreamResult> = stream.results.iter().chain(updates).collect();
    let mut results = Vec::new();
    for ((name, value), result) in names(emit.rules.graph).zip(all) {
        if result.latency > 0 {
            let demand = of_result(emit.rules, &emit.roles, name, value)?;
            results.push((result.name.clone(), emit.value(value, &demand)?));
        }
    }
    let graph = emit.step.finish(results, Vec::new());
    let nothing = Extent::constant(0);
    Ok(tidied(&graph.with_size(&stream.new, &nothing)))
}

fn tidied(graph: &Graph) -> Graph {
    let patched = Patch::new(graph).apply();
    patched
        .expect("a patch without replacements has none that does not fit")
        .graph
}

#[cfg(test)]
mod tests;
