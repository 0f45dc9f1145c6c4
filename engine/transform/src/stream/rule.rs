//! Which positions of its operands a primitive needs for the positions that are asked of it.
//!
//! A rule may ask for less than everything only where nothing else is read: a shifted read
//! has a first position, a mask proves one. Operands are as far as their reader, or, where it
//! reads across positions, as far as they have come. What reads ahead without a bound is refused.

mod ends;
mod read;
mod refuse;

use std::collections::{BTreeMap, BTreeSet};

use girih_graph::{AxisId, Combine, Graph, Node, Op, ValueId};

use super::block::Block;
use super::class::{Class, Classes, mixes};
use super::domain::{Domains, Prefix};
use super::end::{Ahead, End};
use super::role::{Demand, History, Roles, Stretch};
use super::whole::Cause;
pub(super) use ends::Ends;

/// What a node needs to give what is asked of it.
#[derive(Debug, Default)]
pub(super) struct Rule {
    /// For each operand, unless it is known before the stream.
    pub(super) operands: Vec<Option<Demand>>,
    /// What it computes then: what was asked, or more.
    pub(super) computed: Demand,
    /// Axes of operands whose positions are read by other axes of the result: the reader, and
    /// its first position; `None` if that is the first of all.
    pub(super) readers: BTreeMap<AxisId, (AxisId, Option<Block>)>,
    /// Whether a position depends on all before it.
    pub(super) remembers: bool,
}

/// What rules look at.
pub(super) struct Rules<'a> {
    pub(super) graph: &'a Graph,
    pub(super) classes: &'a Classes,
    pub(super) domains: Domains<'a>,
    /// How far values have come.
    pub(super) ends: Ends,
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
        let asked = *demand.get(axis)?;
        let end = self.ends.of(value, *axis);
        let node = self.graph.root.defining_node(value)?;
        let clothes = matches!(node.op, Op::Rename(_) | Op::Expand(_));
        let carried = asked != Stretch::new(end) && !clothes && !self.classes.is_light(value);
        carried.then(|| (*axis, asked.before(end).clamped()))
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
        let rows = |o: &ValueId| self.classes.class(*o) == Class::Streamed;
        let length = node.operands.iter().any(|o| self.classes.is_length(*o));
        if length && class == Class::Streamed {
            // It is known where the sequence is longer in any case.
            let settled = self.settled(roles, node);
            let end = settled.and_then(|(_, ahead)| End::NOW.read(Ahead::By(ahead)));
            end.ok_or_else(|| Cause::Length(roles.new.clone()))?;
        } else if length && node.operands.iter().any(rows) {
            return Err(Cause::Length(roles.new.clone()));
        } else if late && (class == Class::Streamed || node.operands.iter().any(rows)) {
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
        let reads = self.reads(roles, node)?;
        for read in &reads {
            let end = self.end_of_column(node, read.column);
            if end.read(read.ahead).is_none() {
                return Err(Cause::Ahead {
                    index: self.domains.name(read.row),
                    by: read.ahead.most().to_string(),
                    axis: roles.new.clone(),
                });
            }
            let row = own.get(&read.row).copied();
            let row = row.unwrap_or(Stretch::new(End::NOW));
            let back = row.before(end).plus(read.back()).clamped();
            let needed = Stretch { history: back, end };
            let asked = own.get(&read.column).copied();
            let needed = match (&node.op, asked) {
                (Op::Softmax(_), Some(asked)) => asked.with(needed),
                _ => needed,
            };
            own.insert(read.column, needed);
            rule.readers.insert(read.column, (read.row, read.first));
            // All columns of a prefix are there with the first row.
            let late = end.latency();
            let prefixes = read.prefixes.iter().map(|own| Prefix {
                more: own.more.saturating_add(late),
                ..*own
            });
            self.prefixes.extend(prefixes);
        }
        match &node.op {
            Op::Contract(over) | Op::Reduce(_, over) if class == Class::Latest => {
                self.total(roles, node, over, &mut own)?;
            }
            Op::Softmax(_) => rule.computed.clone_from(&own),
            Op::Cumulate { axis, .. } if roles.is_streamed(*axis) => {
                rule.remembers = true;
                if own.len() > 1 {
                    let all = Stretch {
                        history: History::All,
                        end: self.end_of_column(node, *axis),
                    };
                    own.insert(*axis, all);
                }
                rule.computed.clone_from(&own);
            }
            Op::Window { axis, into, .. } if roles.is_streamed(*axis) => {
                for (new, _) in into.iter().filter(|(new, _)| new != axis) {
                    own.remove(new);
                }
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
                    if let Some(stretch) = demand.get(&new) {
                        own.insert(old, *stretch);
                        rule.readers.insert(old, (new, Some(Block::behind(0))));
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
            Op::Size(_) => {}
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

    /// Where positions are held against the length: which, and how far ahead the answer is known.
    fn settled(&self, roles: &Roles, node: &Node) -> Option<(AxisId, i64)> {
        let found = self.domains.settled(&node.op, &node.operands)?;
        roles.is_streamed(found.0).then_some(found)
    }

    /// What is asked of an operand, if it is not known before.
    fn asked(&self, roles: &Roles, operand: ValueId, own: &Demand) -> Option<Demand> {
        if self.classes.class(operand) == Class::Once {
            return None;
        }
        let axes = roles.among(self.graph.root.ty(operand));
        let of = |axis: AxisId| {
            let stretch = own.get(&axis).copied();
            (axis, stretch.unwrap_or(Stretch::new(End::NOW)))
        };
        Some(axes.into_iter().map(of).collect())
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
                own.insert(*column, Stretch::new(self.end_of_column(node, *column)));
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
        let end = self.end_of_column(node, recurrence.axis);
        own.insert(recurrence.axis, Stretch::new(end));
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
