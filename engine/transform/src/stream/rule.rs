//! Which positions of its operands a primitive needs for the positions that are asked of it.
//!
//! A rule may ask for less than everything only where nothing else is read: a shifted read
//! has a first position, a mask proves one. It refuses what would read positions that come
//! later.

mod refuse;

use std::collections::{BTreeMap, BTreeSet};

use girih_graph::{AxisId, Combine, Extent, Graph, Node, Op, ValueId};

use super::class::{Class, Classes, mixes};
use super::domain::{Domains, Neutral, Prefix};
use super::role::{Demand, History, Roles};
use super::whole::Cause;

/// What a node needs to give what is asked of it.
#[derive(Debug, Default)]
pub(super) struct Rule {
    /// For each operand, unless it is known before the stream.
    pub(super) operands: Vec<Option<Demand>>,
    /// What it computes then: what was asked, or more.
    pub(super) computed: Demand,
    /// Axes of operands whose positions are read by other axes of the result: the reader.
    pub(super) readers: BTreeMap<AxisId, AxisId>,
    /// Whether a position depends on all before it.
    pub(super) remembers: bool,
}

/// What rules look at.
pub(super) struct Rules<'a> {
    pub(super) graph: &'a Graph,
    pub(super) classes: &'a Classes,
    pub(super) domains: Domains<'a>,
    /// The longest past that is asked of a value whose past is carried.
    pub(super) longest: BTreeMap<ValueId, History>,
    /// Positions before these come in one piece: each of them may read all.
    pub(super) prefixes: BTreeSet<Prefix>,
}

impl Rules<'_> {
    /// Whether the past of `value` is carried to give what is asked, along which axis, and how
    /// much. Values that are others in new clothes, or cheap arithmetic on positions, are
    /// computed from what is there; so are values about pairs of positions.
    pub(super) fn cached(
        &self,
        roles: &Roles,
        value: ValueId,
        demand: &Demand,
    ) -> Option<(AxisId, History)> {
        let own = roles.among(self.graph.root.ty(value));
        let [axis] = own.as_slice() else {
            return None;
        };
        let history = *demand.get(axis)?;
        let node = self.graph.root.defining_node(value)?;
        let clothes = matches!(node.op, Op::Rename(_) | Op::Expand(_));
        let carried = history > History::NEW && !clothes && !self.classes.is_light(value);
        carried.then_some((*axis, history))
    }

    /// What `node` needs for `demand` of its result `slot`.
    pub(super) fn rule(
        &mut self,
        roles: &Roles,
        node: &Node,
        slot: usize,
        demand: &Demand,
    ) -> Result<Rule, Cause> {
        let Some(result) = node.results.get(slot).copied() else {
            return Ok(Rule::default());
        };
        self.refuse_sizes(roles, node)?;
        let class = self.classes.class(result);
        let late = node
            .operands
            .iter()
            .any(|o| self.classes.class(*o) == Class::Latest);
        if node.operands.iter().any(|o| self.classes.is_length(*o)) {
            return Err(Cause::Length(roles.new.clone()));
        }
        let rows = |o: &ValueId| self.classes.class(*o) == Class::Streamed;
        if late && (class == Class::Streamed || node.operands.iter().any(rows)) {
            return Err(Cause::AtEnd {
                op: node.op.name(),
                axis: roles.new.clone(),
            });
        }
        let mut rule = Rule {
            computed: demand.clone(),
            ..Rule::default()
        };
        let mut own = demand.clone();
        match &node.op {
            Op::Contract(over) | Op::Reduce(_, over) => {
                if class == Class::Latest {
                    self.total(roles, node, over, &mut own)?;
                } else {
                    self.combined(roles, node, over, &mut own, &mut rule)?;
                }
            }
            Op::Softmax(over) => {
                self.softmax(roles, node, over, &mut own, &mut rule)?;
                rule.computed.clone_from(&own);
            }
            Op::Cumulate { axis, reverse, .. } if roles.is_streamed(*axis) => {
                self.cumulate(roles, node, (*axis, *reverse), &mut own)?;
                rule.remembers = true;
                rule.computed.clone_from(&own);
            }
            Op::Window { axis, into, offset } if roles.is_streamed(*axis) => {
                self.window(roles, (*axis, into, offset), &mut own, &mut rule)?;
            }
            Op::Gather { axis, .. } if roles.is_streamed(*axis) => {
                self.gather(roles, node, *axis, &mut own, &mut rule)?;
            }
            Op::Rename(pairs) => {
                own.clear();
                for old in node
                    .operands
                    .iter()
                    .flat_map(|o| roles.among(self.graph.root.ty(*o)))
                {
                    let pair = pairs.iter().find(|(from, _)| *from == old);
                    let new = pair.map_or(old, |(_, new)| *new);
                    if let Some(history) = demand.get(&new) {
                        own.insert(old, *history);
                        rule.readers.insert(old, new);
                    }
                }
            }
            Op::Recurrence(recurrence) => {
                self.recurrence(roles, node, recurrence, &mut own)?;
                rule.remembers = roles.is_streamed(recurrence.axis);
            }
            Op::Route(_) => {
                if let Some(cause) = mixes(self.graph, roles, node) {
                    return Err(cause);
                }
            }
            Op::Call(call) if call.core_axes().any(|axis| roles.is_streamed(axis)) => {
                return Err(Cause::Native {
                    callee: call.callee.to_string(),
                    axis: roles.new.clone(),
                });
            }
            _ if class == Class::Latest && late => {}
            _ if class == Class::Latest => return Err(fixed(roles, node)),
            _ => {}
        }
        rule.operands = node
            .operands
            .iter()
            .map(|operand| self.asked(roles, *operand, &own))
            .collect();
        Ok(rule)
    }

    /// What is asked of an operand, if it is not known before.
    fn asked(&self, roles: &Roles, operand: ValueId, own: &Demand) -> Option<Demand> {
        if self.classes.class(operand) == Class::Once {
            return None;
        }
        let axes = roles.among(self.graph.root.ty(operand));
        let of = |axis: AxisId| (axis, own.get(&axis).copied().unwrap_or(History::NEW));
        Some(axes.into_iter().map(of).collect())
    }

    /// Positions of `over` are combined for a result that has positions of its own: a mask must
    /// prove that each reads none after it.
    fn combined(
        &mut self,
        roles: &Roles,
        node: &Node,
        over: &[AxisId],
        own: &mut Demand,
        rule: &mut Rule,
    ) -> Result<(), Cause> {
        for column in over.iter().copied().filter(|a| roles.is_streamed(*a)) {
            let (row, history) = self.masked(roles, node, column, over, own)?;
            own.insert(column, history);
            rule.readers.insert(column, row);
        }
        Ok(())
    }

    /// The reader of the positions along `column`, and how much of the past it needs.
    fn masked(
        &mut self,
        roles: &Roles,
        node: &Node,
        column: AxisId,
        over: &[AxisId],
        own: &Demand,
    ) -> Result<(AxisId, History), Cause> {
        let rows: Vec<AxisId> = own
            .keys()
            .copied()
            .filter(|row| *row != column && !over.contains(row))
            .collect();
        let mut best: Option<(AxisId, History, BTreeSet<Prefix>)> = None;
        for row in &rows {
            let of = |this: &mut Self, operand: usize, neutral: Neutral| {
                let operand = node.operands[operand];
                this.domains.support(operand, neutral, *row, column)
            };
            let bounds = match &node.op {
                Op::Reduce(combine, _) | Op::Cumulate { combine, .. } => {
                    of(self, 0, Neutral::of(*combine))
                }
                Op::Softmax(_) if node.operands.len() == 2 => of(self, 1, Neutral::False),
                Op::Softmax(_) => continue,
                _ => {
                    let (x, y) = (of(self, 0, Neutral::Zero), of(self, 1, Neutral::Zero));
                    x.and(y)
                }
            };
            let known = |own: &Prefix| self.classes.class(own.value) == Class::Once;
            if bounds.reaches(1) || !bounds.prefixes.iter().all(known) {
                continue;
            }
            let reach = match bounds.least {
                _ if !bounds.prefixes.is_empty() => History::All,
                _ if bounds.empty => History::NEW,
                Some(least) => History::Last(least.min(0).saturating_neg()),
                None => History::All,
            };
            let reach = own.get(row).map_or(reach, |row| row.plus(reach));
            if best.as_ref().is_none_or(|(_, least, _)| reach < *least) {
                best = Some((*row, reach, bounds.prefixes));
            }
        }
        if let Some((row, reach, prefixes)) = best {
            self.prefixes.extend(prefixes);
            return Ok((row, reach));
        }
        Err(Cause::Future {
            op: word(&node.op),
            index: self.domains.name(column),
            axis: roles.new.clone(),
            row: rows
                .first()
                .map(|row| self.domains.name(self.written(node, *row))),
        })
    }

    /// The axis as it was called where its values were weighted: `i` of `a[i = t]`.
    fn written(&self, node: &Node, row: AxisId) -> AxisId {
        let renamed = node.operands.iter().find_map(|operand| {
            match &self.graph.root.defining_node(*operand)?.op {
                Op::Rename(pairs) => pairs.iter().find(|(_, new)| *new == row),
                _ => None,
            }
        });
        renamed.map_or(row, |(old, _)| *old)
    }

    fn softmax(
        &mut self,
        roles: &Roles,
        node: &Node,
        over: &[AxisId],
        own: &mut Demand,
        rule: &mut Rule,
    ) -> Result<(), Cause> {
        for column in over.iter().copied().filter(|a| roles.is_streamed(*a)) {
            let (row, history) = self.masked(roles, node, column, over, own)?;
            let asked = own.get(&column).copied().unwrap_or(History::NEW);
            own.insert(column, history.max(asked));
            rule.readers.insert(column, row);
        }
        Ok(())
    }

    /// Positions are combined to one value, which is known after the last one.
    fn total(
        &self,
        roles: &Roles,
        node: &Node,
        over: &[AxisId],
        own: &mut Demand,
    ) -> Result<(), Cause> {
        let columns: Vec<AxisId> = over
            .iter()
            .copied()
            .filter(|a| roles.is_streamed(*a))
            .collect();
        match columns.as_slice() {
            [column] => {
                own.insert(*column, History::NEW);
                Ok(())
            }
            // Only what is late already is combined.
            [] => Ok(()),
            [_, second, ..] => Err(Cause::Future {
                op: word(&node.op),
                index: self.domains.name(*second),
                axis: roles.new.clone(),
                row: None,
            }),
        }
    }

    fn cumulate(
        &mut self,
        roles: &Roles,
        node: &Node,
        (axis, reverse): (AxisId, bool),
        own: &mut Demand,
    ) -> Result<(), Cause> {
        if reverse {
            // From the end of what is there: all after it must be neutral.
            self.masked(roles, node, axis, &[axis], own)
                .map_err(|_| Cause::Reverse {
                    op: "cumulate",
                    axis: roles.new.clone(),
                })?;
        }
        if own.len() > 1 {
            own.insert(axis, History::All);
        }
        Ok(())
    }

    fn window(
        &self,
        roles: &Roles,
        (axis, into, offset): (AxisId, &[(AxisId, Extent)], &Extent),
        own: &mut Demand,
        rule: &mut Rule,
    ) -> Result<(), Cause> {
        let name = || roles.new.clone();
        let constant = |value: i64| Extent::constant(value);
        let (mut first, mut last) = (offset.clone(), offset.clone());
        let mut unbounded = false;
        let mut rows = Vec::new();
        for (new, stride) in into {
            if roles.is_streamed(*new) {
                match stride.as_constant() {
                    Some(1) => rows.push(*new),
                    // Further positions lead further back.
                    Some(..=0) => unbounded = true,
                    _ => {
                        return Err(Cause::Regrouped {
                            op: "window",
                            found: self.graph.axes.show_axis(*new),
                            axis: name(),
                        });
                    }
                }
                continue;
            }
            let end = stride.times(&self.graph.axes.extent(*new).minus(&constant(1)));
            if stride.is_at_least(0) {
                last = last.plus(&end);
            } else if constant(0).minus(stride).is_at_least(0) {
                first = first.plus(&end);
            } else {
                return Err(Cause::Computed { axis: name() });
            }
        }
        let [row] = rows.as_slice() else {
            return Err(match rows.first() {
                None if unbounded => Cause::Reverse {
                    op: "window",
                    axis: name(),
                },
                None => Cause::Fixed(name()),
                Some(_) => Cause::Computed { axis: name() },
            });
        };
        if !constant(0).minus(&last).is_at_least(0) {
            return Err(Cause::Ahead {
                index: self.domains.name(*row),
                by: last.to_string(),
                axis: name(),
            });
        }
        let lag = match first.as_constant() {
            Some(first) if !unbounded => History::Last(first.saturating_neg()),
            _ => History::All,
        };
        let history = own.get(row).map_or(lag, |row| row.plus(lag));
        for (new, _) in into {
            if *new != axis {
                own.remove(new);
            }
        }
        own.insert(axis, history);
        rule.readers.insert(axis, *row);
        Ok(())
    }

    fn gather(
        &self,
        roles: &Roles,
        node: &Node,
        axis: AxisId,
        own: &mut Demand,
        rule: &mut Rule,
    ) -> Result<(), Cause> {
        let computed = || Cause::Computed {
            axis: roles.new.clone(),
        };
        let [_, positions] = node.operands.as_slice() else {
            return Err(computed());
        };
        let rows: Vec<AxisId> = own.keys().copied().filter(|row| *row != axis).collect();
        let behind = |row: &&AxisId| {
            let most = self.domains.most_ahead(*positions, **row);
            most.is_some_and(|most| most <= 0)
        };
        let row = rows.iter().find(behind).ok_or_else(computed)?;
        rule.readers.insert(axis, *row);
        own.insert(axis, History::All);
        Ok(())
    }

    fn recurrence(
        &self,
        roles: &Roles,
        node: &Node,
        recurrence: &girih_graph::Recurrence,
        own: &mut Demand,
    ) -> Result<(), Cause> {
        if let Some(cause) = mixes(self.graph, roles, node) {
            return Err(cause);
        }
        if !roles.is_streamed(recurrence.axis) {
            return Ok(());
        }
        let name = || roles.new.clone();
        if recurrence.reverse {
            return Err(Cause::Reverse {
                op: "recurrence",
                axis: name(),
            });
        }
        let sliced = recurrence.carried..recurrence.carried + recurrence.sequences;
        for (position, operand) in node.operands.iter().enumerate() {
            let axes = roles.among(self.graph.root.ty(*operand));
            let alone = if sliced.contains(&position) {
                axes == [recurrence.axis]
            } else {
                self.classes.class(*operand) == Class::Once
            };
            if !alone {
                return Err(match self.classes.class(*operand) {
                    Class::Latest => Cause::AtEnd {
                        op: "recurrence",
                        axis: name(),
                    },
                    _ => Cause::Inside {
                        op: "recurrence",
                        axis: name(),
                    },
                });
            }
        }
        own.insert(recurrence.axis, History::NEW);
        Ok(())
    }
}

/// Why a value without positions that reads positions is refused.
fn fixed(roles: &Roles, node: &Node) -> Cause {
    match &node.op {
        Op::Window { .. } | Op::Gather { .. } => Cause::Fixed(roles.new.clone()),
        other => Cause::Future {
            op: word(other),
            index: roles.new.clone(),
            axis: roles.new.clone(),
            row: None,
        },
    }
}

/// A primitive as the language names it.
fn word(op: &Op) -> &'static str {
    match op {
        Op::Contract(_) => "sum",
        Op::Reduce(combine, _) => match combine {
            Combine::Sum => "sum",
            Combine::Prod => "prod",
            Combine::Max => "max",
            Combine::Min => "min",
            Combine::Any => "any",
            Combine::All => "all",
        },
        other => other.name(),
    }
}
