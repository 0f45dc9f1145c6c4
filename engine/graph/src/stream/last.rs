//! A step that gives its results at its last position alone.
//!
//! Who goes on from a text reads it for what comes after its end: of the positions before, only
//! what is carried is needed. Values that no carry needs are computed at the last position: of a
//! stack of layers the head, and of the last layer all but its keys and values.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Source, Span, Stream, reach};
use crate::axis::{AxisId, AxisTable};
use crate::build::Builder;
use crate::dead::drop_dead;
use crate::extent::Extent;
use crate::graph::{Graph, Node, Region, ValueId};
use crate::op::{Binary, Op, OpError};

impl Stream {
    /// The step whose results have one position: the last new one, of which there is one at
    /// least. Results that are late, and those that have no position, are as the step gives them;
    /// so are the carries. Inputs and parameters are those of the step.
    ///
    /// # Errors
    ///
    /// None, as long as the step is a graph that the verifier accepts.
    pub fn last(&self) -> Result<Graph, OpError> {
        let step = &self.step;
        let along = |name: &str, value: ValueId| {
            let own = self.results.iter().find(|result| result.name == name)?;
            let late = own.latency > 0 || !matches!(own.source, Source::Positions(_));
            let mut axes = step.root.ty(value).axes.iter().copied();
            axes.find(|axis| {
                let extent = step.axes.extent(*axis).as_symbol();
                !late && extent == Some(self.new.as_str())
            })
        };
        let names = step.results.iter().map(String::as_str);
        let results = names.zip(step.root.results().iter().copied());
        let results: Vec<_> = results
            .map(|(name, value)| (name, value, along(name, value)))
            .collect();
        let wanted = Wanted::of(step, results.iter().map(|(_, value, at)| (*value, *at)));
        let mut writer = Writer {
            wanted: &wanted,
            builder: Builder::resume(step.clone()),
            axes: BTreeMap::new(),
            last: BTreeMap::new(),
        };
        for (id, node) in step.root.nodes() {
            if let Some(axis) = wanted.computed(node) {
                let origin = step.root.origin(id).cloned().map(Arc::new);
                writer.builder.set_origin(origin);
                writer.write(node, axis)?;
            }
        }
        let mut named = Vec::with_capacity(results.len());
        for (name, value, at) in results {
            let own = at.map_or(Ok(value), |axis| writer.at(value, axis))?;
            named.push((name.to_owned(), own));
        }
        Ok(drop_dead(&writer.builder.finish(named, Vec::new())))
    }
}

/// What is wanted of every value.
struct Wanted {
    /// At all positions.
    whole: Vec<bool>,
    /// At the last position of this axis, perhaps beside the whole.
    last: Vec<Option<AxisId>>,
}

impl Wanted {
    /// Of the values that results need: whole, or at the last position of an axis.
    fn of(step: &Graph, results: impl Iterator<Item = (ValueId, Option<AxisId>)>) -> Self {
        let region = &step.root;
        let count = region.value_count();
        let mut wanted = Self {
            whole: vec![false; count],
            last: vec![None; count],
        };
        for (value, at) in results {
            wanted.ask(value, at);
        }
        let nodes: Vec<&Node> = region.nodes().map(|(_, node)| node).collect();
        for node in nodes.into_iter().rev() {
            let known = |value: &ValueId| {
                wanted.whole[value.index()] || wanted.last[value.index()].is_some()
            };
            if !node.results.iter().any(known) {
                continue;
            }
            let at = wanted
                .computed(node)
                .filter(|axis| keeps(&step.axes, region, node, *axis));
            for result in node.results.iter().filter(|_| at.is_none()) {
                wanted.ask(*result, None);
            }
            for operand in &node.operands {
                let from = at.map(|axis| before(&node.op, axis));
                wanted.ask(*operand, from.filter(|axis| region.ty(*operand).has(*axis)));
            }
        }
        wanted
    }

    fn ask(&mut self, value: ValueId, at: Option<AxisId>) {
        let (whole, last) = (
            &mut self.whole[value.index()],
            &mut self.last[value.index()],
        );
        match (at, &last) {
            (None, _) => *whole = true,
            (Some(axis), None) => *last = Some(axis),
            (Some(axis), Some(other)) => *whole |= axis != *other,
        }
    }

    /// The axis at whose last position alone all results of a node are wanted.
    fn computed(&self, node: &Node) -> Option<AxisId> {
        let first = self.last[node.results.first()?.index()]?;
        let mut all = node.results.iter().map(|result| result.index());
        all.all(|own| !self.whole[own] && self.last[own] == Some(first))
            .then_some(first)
    }
}

/// Whether a position of the results along `axis` is made of that position of the operands that
/// have it, in the same way for every position.
fn keeps(axes: &AxisTable, region: &Region, node: &Node, axis: AxisId) -> bool {
    if let Op::Index(_) = node.op {
        return true;
    }
    // The kernel of a plugin may know its axes by their sizes.
    if let Op::Call(_) = node.op {
        return false;
    }
    let from = before(&node.op, axis);
    let reads = |position: &usize| region.ty(node.operands[*position]).has(from);
    let reading: Vec<usize> = (0..node.operands.len()).filter(reads).collect();
    let same = |position: &usize| {
        (0..node.results.len())
            .all(|slot| reach(axes, region, node, (slot, axis), (*position, from)) == Span::Same)
    };
    let is_repeated = matches!(&node.op, Op::Expand(new) if new.contains(&axis));
    let mut inner = node.op.regions().iter();
    (is_repeated || !reading.is_empty())
        && reading.iter().all(same)
        && !inner.any(|own| counts(own, axis))
}

/// Whether something in a region depends on the number of a position along `axis`.
fn counts(region: &Region, axis: AxisId) -> bool {
    region.nodes().any(|(_, node)| {
        let counted = matches!(node.op, Op::Index(_) | Op::Random(..));
        let mut inner = node.op.regions().iter();
        counted && region.ty(node.results[0]).has(axis) || inner.any(|own| counts(own, axis))
    })
}

/// The axis of the operands that is `axis` in the results.
fn before(op: &Op, axis: AxisId) -> AxisId {
    match op {
        Op::Rename(pairs) => pairs
            .iter()
            .find(|(_, new)| *new == axis)
            .map_or(axis, |(old, _)| *old),
        _ => axis,
    }
}

struct Writer<'w> {
    wanted: &'w Wanted,
    builder: Builder,
    /// The axis with one position for each.
    axes: BTreeMap<AxisId, AxisId>,
    last: BTreeMap<ValueId, ValueId>,
}

impl Writer<'_> {
    fn axis(&mut self, axis: AxisId) -> AxisId {
        let table = &mut self.builder.axes;
        *self.axes.entry(axis).or_insert_with(|| {
            let own = table[axis].clone();
            table.add(&own.name, Extent::constant(1), own.over, own.time)
        })
    }

    /// Computes the results of a node at the last position.
    fn write(&mut self, node: &Node, axis: AxisId) -> Result<(), OpError> {
        let from = before(&node.op, axis);
        let new = self.axis(axis);
        let old = self.axis(from);
        let mut operands = Vec::with_capacity(node.operands.len());
        for operand in &node.operands {
            let has = self.builder.region().ty(*operand).has(from);
            operands.push(if has {
                self.at(*operand, from)?
            } else {
                *operand
            });
        }
        let op = node.op.map_axes(&|own| match own {
            own if own == axis => new,
            own if own == from => old,
            own => own,
        });
        let mut results = self.builder.node(op, &operands)?;
        if let Op::Index(_) = node.op {
            let first = self.end(axis);
            let first = self.builder.size(first);
            for result in &mut results {
                *result = self.builder.binary(Binary::Add, *result, first)?;
            }
        }
        self.last.extend(node.results.iter().copied().zip(results));
        Ok(())
    }

    /// The last position of `axis`.
    fn end(&self, axis: AxisId) -> Extent {
        self.builder.axes.extent(axis).minus(&Extent::constant(1))
    }

    /// A value at the last position: computed there, or read of the whole.
    fn at(&mut self, value: ValueId, axis: AxisId) -> Result<ValueId, OpError> {
        let is_whole = self.wanted.whole[value.index()];
        if let (false, Some(own)) = (is_whole, self.last.get(&value)) {
            return Ok(*own);
        }
        let window = Op::Window {
            axis,
            into: vec![(self.axis(axis), Extent::constant(1))],
            offset: self.end(axis),
        };
        self.builder.value(window, &[value])
    }
}

#[cfg(test)]
mod tests {
    use crate::stream::{Source, Stream, StreamResult};
    use crate::text::{parse, print};
    use crate::{Graph, verify};

    fn step(body: &str) -> Graph {
        let head = "girih-graph 1\naxis t time\ngraph g(x: f32[t, d=4], w: f32[d=4, e=8], u: f32[e=8, d=4]) -> (kept: f32[t, d=4], y: f32[t, d=4])";
        parse(&format!("{head} {{ {body} }}")).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The graph of the last position, of a stream whose results are `kept`, which is carried, and `y`.
    fn last(body: &str) -> String {
        let step = step(body);
        let stream = Stream {
            once: step.clone(),
            step,
            flush: None,
            new: "t".to_owned(),
            total: "t.all".to_owned(),
            inputs: vec![("x".to_owned(), 0)],
            prefixes: Vec::new(),
            kept: Vec::new(),
            carries: Vec::new(),
            results: vec![StreamResult {
                name: "y".to_owned(),
                source: Source::Positions(0),
                axes: vec!["t".to_owned(), "d".to_owned()],
                reach: None,
                latency: 0,
            }],
            updates: Vec::new(),
        };
        let last = stream.last().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(verify(&last), Ok(()));
        let text = print(&last);
        let body = text.split_once("{\n").map_or("", |(_, body)| body);
        body.to_owned()
    }

    #[test]
    fn what_nothing_else_needs_is_computed_at_the_last_position() {
        let body = last(
            "%0 = exp x : f32[t, d=4]
             %1 = contract %0, w {over: d} : f32[t, e=8]
             %2 = contract %1, u {over: e} : f32[t, d=4]
             %3 = index {axis: t} : i64[t]
             %4 = cast %3 : f32[t]
             %5 = add %2, %4 : f32[t, d=4]
             return %0, %5",
        );
        assert_eq!(
            body,
            "  %0 = exp x                           : f32[t, d=4]
  %1 = window %0 {axis: t, into: [t.1: 1], offset: t - 1} : f32[t.1=1, d=4]
  %2 = contract %1, w {over: d}        : f32[t.1=1, e=8]
  %3 = contract %2, u {over: e}        : f32[t.1=1, d=4]
  %4 = index {axis: t.1}               : i64[t.1=1]
  %5 = size {extent: t - 1}            : i64
  %6 = add %4, %5                      : i64[t.1=1]
  %7 = cast %6                         : f32[t.1=1]
  %8 = add %3, %7                      : f32[t.1=1, d=4]
  return %0, %8
}
"
        );
    }

    #[test]
    fn a_loop_along_the_axis_runs_over_all_of_it() {
        let body = last(
            "%0 = cumulate x {axis: t, combine: sum} : f32[t, d=4]
             %1 = exp %0 : f32[t, d=4]
             return x, %1",
        );
        assert_eq!(
            body,
            "  %0 = cumulate x {axis: t, combine: sum} : f32[t, d=4]
  %1 = window %0 {axis: t, into: [t.1: 1], offset: t - 1} : f32[t.1=1, d=4]
  %2 = exp %1                          : f32[t.1=1, d=4]
  return x, %2
}
"
        );
    }
}
