//! Writes the two graphs of a stream: what is computed once, and the step.
//!
//! Values are written in the order of the whole graph, each for every way in which it is
//! asked for. A value with one time axis that is asked for with its past is computed at the
//! new positions and joined to what was carried; everything else is computed from operands
//! that are asked for in the same way.

mod carry;
mod placed;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use girih_graph::op::Binary;
use girih_graph::stream::{Carry, Kind};
use girih_graph::{AxisId, Builder, Combine, Extent, Node, NodeId, Op, Region, ValueId};

use super::class::{Class, reads_positions};
use super::end::End;
use super::role::{Demand, History, Roles, Stretch};
use super::rule::Rules;
use super::whole::{Cause, Whole};

/// The graphs while they are written.
pub(super) struct Emit<'r, 'a> {
    pub(super) rules: &'r mut Rules<'a>,
    pub(super) roles: Roles,
    pub(super) once: Builder,
    pub(super) step: Builder,
    /// Values of `once` by value of the whole graph.
    known: BTreeMap<ValueId, ValueId>,
    /// Values of the step that are known before the stream.
    outer: BTreeMap<ValueId, ValueId>,
    /// Values of the step.
    values: BTreeMap<(ValueId, Demand), ValueId>,
    /// Results of `once` for the step.
    pub(super) kept: Vec<(String, ValueId)>,
    /// What is carried: start in `once`, next value in the step.
    pub(super) carries: Vec<(Carry, ValueId, ValueId)>,
    names: BTreeSet<String>,
}

/// What is asked of every value.
pub(super) type Asked = BTreeMap<ValueId, BTreeSet<Demand>>;

impl<'r, 'a> Emit<'r, 'a> {
    pub(super) fn new(rules: &'r mut Rules<'a>, roles: Roles) -> Self {
        let graph = rules.graph;
        let builder = |name: &str| {
            let mut builder = Builder::new(name);
            builder.axes = graph.axes.clone();
            builder
        };
        let (mut once, mut step) = (builder(&graph.name), builder(&graph.name));
        for check in &graph.checks {
            // A condition on the length holds of what there is so far.
            let so_far = |extent: &Extent| {
                extent.substitute(&|symbol| {
                    (symbol == roles.new).then(|| Extent::symbol(&roles.total))
                })
            };
            step.check_equal(&so_far(&check.left), &so_far(&check.right), &check.reason);
            if !roles.mentions(&check.left) && !roles.mentions(&check.right) {
                once.check_equal(&check.left, &check.right, &check.reason);
            }
        }
        let leaves = [graph.inputs(), graph.params(), graph.states()];
        let mut names: BTreeSet<String> = graph.results.iter().cloned().collect();
        names.extend(
            leaves
                .iter()
                .flat_map(|own| own.keys())
                .map(|n| (*n).to_owned()),
        );
        Self {
            once,
            step,
            rules,
            roles,
            known: BTreeMap::new(),
            outer: BTreeMap::new(),
            values: BTreeMap::new(),
            kept: Vec::new(),
            carries: Vec::new(),
            names,
        }
    }

    /// A name that nothing has.
    pub(super) fn name(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut copy = 0;
        while !self.names.insert(name.clone()) {
            copy += 1;
            name = format!("{wanted}_{copy}");
        }
        name
    }

    /// The value of `once` for `value`, which is known before the stream.
    pub(super) fn known(&mut self, value: ValueId) -> Result<ValueId, Whole> {
        let region = &self.rules.graph.root;
        let mut stack = vec![value];
        while let Some(at) = stack.last().copied() {
            if self.known.contains_key(&at) {
                stack.pop();
                continue;
            }
            let (id, node) = super::class::maker(region, at)
                .map(|(id, _)| (id, region.node(id)))
                .ok_or_else(|| self.bug("once"))?;
            if let Some(missing) = node.operands.iter().find(|o| !self.known.contains_key(o)) {
                stack.push(*missing);
                continue;
            }
            self.once
                .set_origin(region.origin(id).cloned().map(Arc::new));
            let operands: Vec<ValueId> = node.operands.iter().map(|o| self.known[o]).collect();
            let results = self.once.node(node.op.clone(), &operands)?;
            self.known.extend(node.results.iter().copied().zip(results));
            stack.pop();
        }
        Ok(self.known[&value])
    }

    /// A value that was not asked for.
    fn bug(&self, op: &'static str) -> Whole {
        Whole::from(Cause::Inside {
            op,
            axis: self.roles.new.clone(),
        })
    }

    /// Writes the values of a step that are asked for.
    pub(super) fn write_step(&mut self, asked: &Asked) -> Result<(), Whole> {
        let region = &self.rules.graph.root;
        for (id, node) in region.nodes() {
            self.step
                .set_origin(region.origin(id).cloned().map(Arc::new));
            for (slot, result) in node.results.iter().enumerate() {
                for demand in asked.get(result).into_iter().flatten() {
                    let written = self.write(id, slot, demand);
                    written.map_err(|mut whole| {
                        whole.origin = whole
                            .origin
                            .or_else(|| region.origin(id).cloned().map(Box::new));
                        whole
                    })?;
                }
            }
        }
        Ok(())
    }

    /// The value of the step for `value` as it was asked for.
    pub(super) fn value(&mut self, value: ValueId, demand: &Demand) -> Result<ValueId, Whole> {
        if self.rules.classes.class(value) == Class::Once {
            return self.before(value);
        }
        let found = self.values.get(&(value, demand.clone())).copied();
        found.ok_or_else(|| self.bug("value"))
    }

    /// A value that is known before the stream, in the step: told, or computed where it is cheap.
    fn before(&mut self, value: ValueId) -> Result<ValueId, Whole> {
        // What is cheap may be deep: operands first, without recursion.
        let mut stack = vec![value];
        while let Some(at) = stack.last().copied() {
            if self.outer.contains_key(&at) {
                stack.pop();
                continue;
            }
            let region = &self.rules.graph.root;
            let node = region.defining_node(at);
            let plain = self.rules.classes.is_plain(at);
            let own = match node {
                Some(node) if plain => {
                    let missing = node.operands.iter().find(|o| !self.outer.contains_key(o));
                    if let Some(missing) = missing {
                        stack.push(*missing);
                        continue;
                    }
                    let operands: Vec<ValueId> =
                        node.operands.iter().map(|o| self.outer[o]).collect();
                    self.step.value(node.op.clone(), &operands)?
                }
                Some(Node {
                    op: op @ Op::Input(..),
                    ..
                }) => self.step.value(op.clone(), &[])?,
                _ => {
                    let path = self.path(at);
                    let name = self.name(&format!("{path}once"));
                    let ty = region.ty(at).clone();
                    let told = self.step.value(Op::Input(name.as_str().into(), ty), &[])?;
                    let own = self.known(at)?;
                    self.kept.push((name, own));
                    told
                }
            };
            self.outer.insert(at, own);
            stack.pop();
        }
        Ok(self.outer[&value])
    }

    /// A name for what is carried of a value: what the model calls it, else where it is and what it becomes.
    fn carry_name(&mut self, value: ValueId, kind: Kind) -> String {
        let region = &self.rules.graph.root;
        let named = super::class::maker(region, value)
            .and_then(|(node, slot)| region.origin(node)?.name(slot))
            .map(str::to_owned);
        let name = named.unwrap_or_else(|| format!("{}{}", self.path(value), kind.word()));
        self.name(&name)
    }

    /// The instance that a value comes from, as the start of a name.
    fn path(&self, value: ValueId) -> String {
        let region = &self.rules.graph.root;
        let origin = super::class::maker(region, value).and_then(|(node, _)| region.origin(node));
        match origin {
            Some(origin) if !origin.path.is_empty() => format!("{}.", origin.path),
            _ => String::new(),
        }
    }

    fn write(&mut self, id: NodeId, slot: usize, demand: &Demand) -> Result<(), Whole> {
        let graph = self.rules.graph;
        let node = graph.root.node(id);
        let result = node.results[slot];
        let key = (result, demand.clone());
        if self.values.contains_key(&key) {
            return Ok(());
        }
        let new = if let Some((axis, history)) = self.rules.cached(&self.roles, result, demand) {
            let asked = demand.get(&axis).copied();
            let end = self.rules.ends.of(result, axis);
            let own = Stretch::new(end);
            self.write(id, slot, &Demand::from([(axis, own)]))?;
            let past = Stretch { history, end };
            self.with_past(result, axis, past, asked.unwrap_or(own))?
        } else {
            self.compute(node, slot, demand)?
        };
        self.values.insert(key, new);
        Ok(())
    }

    /// The last positions of a value.
    fn narrow(
        &mut self,
        value: ValueId,
        axis: AxisId,
        from: Stretch,
        to: Stretch,
    ) -> Result<ValueId, Whole> {
        if from == to {
            return Ok(value);
        }
        let offset = self.roles.start(to).minus(&self.roles.start(from));
        let wide = self.roles.axis(&mut self.step.axes, axis, from);
        let slim = self.roles.axis(&mut self.step.axes, axis, to);
        let window = Op::Window {
            axis: wide,
            into: vec![(slim, Extent::constant(1))],
            offset,
        };
        Ok(self.step.value(window, &[value])?)
    }

    fn compute(&mut self, node: &Node, slot: usize, demand: &Demand) -> Result<ValueId, Whole> {
        let result = node.results[slot];
        let rule = self.rules.rule(&self.roles, node, slot, demand)?;
        let mut operands = Vec::with_capacity(node.operands.len());
        for (operand, asked) in node.operands.iter().zip(&rule.operands) {
            let empty = Demand::new();
            operands.push(self.value(*operand, asked.as_ref().unwrap_or(&empty))?);
        }
        let mut roles = rule.computed.clone();
        if !matches!(node.op, Op::Rename(_)) {
            roles.extend(
                rule.operands
                    .iter()
                    .flatten()
                    .flatten()
                    .map(|(a, h)| (*a, *h)),
            );
        }
        let late = self.rules.classes.class(result) == Class::Latest;
        let computed = match &node.op {
            // The length so far: where it is read, it is known to be enough.
            Op::Size(extent) => {
                let total = Extent::symbol(&self.roles.total);
                let new = |symbol: &str| (symbol == self.roles.new).then(|| total.clone());
                self.step.size(extent.substitute(&new))
            }
            // No position comes after the last one.
            Op::Input(_, ty) if self.roles.is_ending => {
                let zero = self.step.number(ty.dtype, 0.0);
                self.step.value(Op::Expand(ty.axes.clone()), &[zero])?
            }
            Op::Index(axis) if self.roles.is_streamed(*axis) => self.index(*axis, &roles)?,
            Op::Random(distribution, key, axes) => {
                let mut over = Vec::with_capacity(axes.len());
                for (axis, first) in axes {
                    let streamed = self.roles.is_streamed(*axis);
                    let stretch = streamed.then(|| stretch_of(*axis, &roles));
                    let later = stretch.map(|stretch| self.roles.start(stretch));
                    let first = later.map_or_else(|| first.clone(), |later| first.plus(&later));
                    let own = if streamed {
                        self.axis(*axis, &roles)
                    } else {
                        *axis
                    };
                    over.push((own, first));
                }
                let op = Op::Random(*distribution, Arc::clone(key), over);
                self.step.value(op, &[])?
            }
            Op::Rename(pairs) => {
                let old = rule
                    .operands
                    .iter()
                    .flatten()
                    .next()
                    .cloned()
                    .unwrap_or_default();
                let pairs = pairs
                    .iter()
                    .map(|(from, to)| (self.axis(*from, &old), self.axis(*to, &rule.computed)))
                    .collect();
                self.step.value(Op::Rename(pairs), &operands)?
            }
            Op::Window { axis, into, offset } => {
                let start = |roles: &Roles, axis: AxisId, demand: &Demand| match demand.get(&axis) {
                    Some(stretch) if roles.is_streamed(axis) => roles.start(*stretch),
                    _ => Extent::constant(0),
                };
                let old = rule
                    .operands
                    .iter()
                    .flatten()
                    .next()
                    .cloned()
                    .unwrap_or_default();
                let mut offset = offset.minus(&start(&self.roles, *axis, &old));
                let mut new = Vec::new();
                for (own, stride) in into {
                    let first = start(&self.roles, *own, &rule.computed);
                    offset = offset.plus(&first.times(stride));
                    new.push((self.axis(*own, &rule.computed), stride.clone()));
                }
                let window = Op::Window {
                    axis: self.axis(*axis, &old),
                    into: new,
                    offset,
                };
                self.step.value(window, &operands)?
            }
            Op::Reduce(combine, over) if late && self.over_time(over) => {
                let op = self.mapped(&node.op, &roles)?;
                let own = self.step.value(op, &operands)?;
                let end = self.end_of(node, over);
                self.total(result, (*combine, end), own)?
            }
            Op::Contract(over) if late && self.over_time(over) => {
                let op = self.mapped(&node.op, &roles)?;
                let own = self.step.value(op, &operands)?;
                let end = self.end_of(node, over);
                self.total(result, (Combine::Sum, end), own)?
            }
            Op::Cumulate {
                combine,
                axis,
                exclusive,
                ..
            } if self.roles.is_streamed(*axis) && rule.computed.len() == 1 => {
                let end = self.rules.end_of_column(node, *axis);
                let axis = self.axis(*axis, &roles);
                self.cumulate(result, (*combine, axis, *exclusive), (operands[0], end))?
            }
            Op::Recurrence(recurrence) if self.roles.is_streamed(recurrence.axis) => {
                let own = self.rules.end_of_column(node, recurrence.axis);
                let stretches = Demand::from([(recurrence.axis, Stretch::new(own))]);
                self.recurrence(node, recurrence, (&operands, &stretches))?;
                let has = |axis: &AxisId| self.rules.graph.root.ty(result).has(*axis);
                let demand = stretches.into_iter().filter(|(axis, _)| has(axis));
                return self.value(result, &demand.collect());
            }
            op => {
                let op = self.mapped(op, &roles)?;
                let results = self.step.node(op, &operands)?;
                for (other, own) in node.results.iter().zip(&results) {
                    let axes = self.roles.among(self.rules.graph.root.ty(*other));
                    let of = |axis: AxisId| Some((axis, *roles.get(&axis)?));
                    if let Some(demand) = axes.into_iter().map(of).collect::<Option<_>>() {
                        self.values.insert((*other, demand), *own);
                    }
                }
                results
                    .get(slot)
                    .copied()
                    .ok_or_else(|| self.bug(node.op.name()))?
            }
        };
        let mut own = computed;
        for (axis, wide) in &rule.computed {
            let asked = demand.get(axis).copied().unwrap_or(*wide);
            own = self.narrow(own, *axis, *wide, asked)?;
        }
        Ok(own)
    }

    /// The end of what is combined to one value.
    fn end_of(&self, node: &Node, over: &[AxisId]) -> End {
        let mut over = over.iter().filter(|axis| self.roles.is_streamed(**axis));
        over.next()
            .map_or(End::NOW, |axis| self.rules.end_of_column(node, *axis))
    }

    fn over_time(&self, over: &[AxisId]) -> bool {
        over.iter().any(|axis| self.roles.is_streamed(*axis))
    }

    /// The axis of the step for `axis` of the graph.
    fn axis(&mut self, axis: AxisId, stretches: &Demand) -> AxisId {
        let stretch = stretch_of(axis, stretches);
        self.roles.axis(&mut self.step.axes, axis, stretch)
    }

    fn index(&mut self, axis: AxisId, stretches: &Demand) -> Result<ValueId, Whole> {
        let stretch = stretch_of(axis, stretches);
        let own = self.axis(axis, stretches);
        let index = self.step.value(Op::Index(own), &[])?;
        if stretch.history == History::All {
            return Ok(index);
        }
        let start = self.step.size(self.roles.start(stretch));
        Ok(self.step.binary(Binary::Add, index, start)?)
    }

    /// An op over the axes of the step, positions inside shifted.
    fn mapped(&mut self, op: &Op, stretches: &Demand) -> Result<Op, Whole> {
        let axes = stretches.keys();
        let map: BTreeMap<AxisId, AxisId> = axes
            .map(|axis| (*axis, self.axis(*axis, stretches)))
            .collect();
        let mut regions = Vec::new();
        for region in op.regions() {
            regions.push(if reads_positions(&self.roles, region) {
                self.region(region, stretches)?
            } else {
                region.clone()
            });
        }
        let op = op.with_regions(regions);
        Ok(op.map_axes(&|axis| map.get(&axis).copied().unwrap_or(axis)))
    }

    /// A region with its positions shifted, over the axes of the graph.
    fn region(&mut self, region: &Region, stretches: &Demand) -> Result<Region, Whole> {
        self.step.open_region();
        let mut values: BTreeMap<ValueId, ValueId> = BTreeMap::new();
        for param in region.params() {
            let own = self.step.add_parameter(region.ty(*param).clone());
            values.insert(*param, own);
        }
        for (_, node) in region.nodes() {
            if let Op::Index(axis) = node.op
                && self.roles.is_streamed(axis)
            {
                let index = self.step.value(Op::Index(axis), &[])?;
                let start = self.roles.start(stretch_of(axis, stretches));
                let start = self.step.size(start);
                let own = self.step.binary(Binary::Add, index, start)?;
                values.insert(node.results[0], own);
                continue;
            }
            let mut regions = Vec::new();
            for inner in node.op.regions() {
                regions.push(self.region(inner, stretches)?);
            }
            let operands: Vec<ValueId> = node.operands.iter().map(|o| values[o]).collect();
            let results = self.step.node(node.op.with_regions(regions), &operands)?;
            values.extend(node.results.iter().copied().zip(results));
        }
        let results = region.results().iter().map(|r| values[r]).collect();
        Ok(self.step.close_region(results))
    }
}

/// Which positions of `axis` are meant.
fn stretch_of(axis: AxisId, stretches: &Demand) -> Stretch {
    let stretch = stretches.get(&axis).copied();
    stretch.unwrap_or(Stretch::new(End::NOW))
}
