//! Which positions a node reads across: from how far back to how far ahead of each of its own.

use std::collections::BTreeSet;

use girih_graph::{AxisId, Extent, Node, Op};

use super::{Rules, word};
use crate::stream::block::Block;
use crate::stream::class::Class;
use crate::stream::domain::{Neutral, Prefix};
use crate::stream::end::Ahead;
use crate::stream::role::{History, Roles};
use crate::stream::whole::Cause;

/// Positions of an operand that a position of the result reads.
#[derive(Clone, Debug)]
pub(in crate::stream) struct Read {
    /// The operand's axis.
    pub(in crate::stream) column: AxisId,
    /// The result's axis.
    pub(in crate::stream) row: AxisId,
    /// From there on; `None` from the first position on.
    pub(in crate::stream) first: Option<Block>,
    /// Up to there.
    pub(in crate::stream) ahead: Ahead,
    /// Columns that every row reads, and which come in one piece.
    pub(in crate::stream) prefixes: BTreeSet<Prefix>,
}

impl Read {
    /// From so many positions before the row on; less than none if all lie after it.
    pub(in crate::stream) fn back(&self) -> History {
        back(self.first)
    }
}

/// How far before a row its first column may lie.
fn back(first: Option<Block>) -> History {
    first.map_or(History::All, |first| {
        History::Last(first.least().saturating_neg())
    })
}

impl Rules<'_> {
    /// What `node` reads across, whatever is asked of it.
    pub(in crate::stream) fn reads(
        &mut self,
        roles: &Roles,
        node: &Node,
    ) -> Result<Vec<Read>, Cause> {
        let latest = |own: &Self| {
            let mut results = node.results.iter();
            results.any(|result| own.classes.class(*result) == Class::Latest)
        };
        match &node.op {
            Op::Contract(over) | Op::Reduce(_, over) if !latest(self) => {
                self.combined(roles, node, over)
            }
            Op::Softmax(over) => self.combined(roles, node, over),
            Op::Cumulate {
                axis,
                reverse: true,
                ..
            } if roles.is_streamed(*axis) => {
                // From the end of what is there: all after it must be neutral.
                let read = self.masked(roles, node, *axis, &[*axis]);
                let read = read.map_err(|_| Cause::Reverse {
                    op: "cumulate",
                    axis: roles.new.clone(),
                })?;
                Ok(vec![read])
            }
            Op::Window { axis, into, offset } if roles.is_streamed(*axis) => {
                Ok(vec![self.window(roles, *axis, into, offset)?])
            }
            Op::Gather { axis, .. } if roles.is_streamed(*axis) => {
                Ok(vec![self.gather(roles, node, *axis)?])
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The time axes of a node's results.
    fn rows(&self, roles: &Roles, node: &Node) -> Vec<AxisId> {
        let results = node.results.iter();
        let axes: BTreeSet<AxisId> = results
            .flat_map(|result| roles.among(self.graph.root.ty(*result)))
            .collect();
        axes.into_iter().collect()
    }

    /// Positions of `over` are combined for a result that has positions of its own.
    fn combined(
        &mut self,
        roles: &Roles,
        node: &Node,
        over: &[AxisId],
    ) -> Result<Vec<Read>, Cause> {
        let columns = over.iter().copied().filter(|a| roles.is_streamed(*a));
        columns
            .map(|column| self.masked(roles, node, column, over))
            .collect()
    }

    /// What a mask proves of the positions along `column`: of several readers, the one that is
    /// least late, and then needs least of the past.
    fn masked(
        &mut self,
        roles: &Roles,
        node: &Node,
        column: AxisId,
        over: &[AxisId],
    ) -> Result<Read, Cause> {
        let mut rows = self.rows(roles, node);
        rows.retain(|row| *row != column && !over.contains(row));
        let mut best: Option<Read> = None;
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
            let Some(ahead) = bounds.ahead().filter(|_| bounds.prefixes.iter().all(known)) else {
                continue;
            };
            let first = bounds.first();
            let order = |ahead: Ahead, first| (ahead.most().max(0), back(first));
            let better = |known: &Read| order(ahead, first) < order(known.ahead, known.first);
            if best.as_ref().is_none_or(better) {
                best = Some(Read {
                    column,
                    row: *row,
                    first,
                    ahead,
                    prefixes: bounds.prefixes,
                });
            }
        }
        best.ok_or_else(|| Cause::Future {
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

    fn window(
        &self,
        roles: &Roles,
        axis: AxisId,
        into: &[(AxisId, Extent)],
        offset: &Extent,
    ) -> Result<Read, Cause> {
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
        let ahead = match last.as_constant() {
            Some(last) => last,
            None if constant(0).minus(&last).is_at_least(0) => 0,
            None => {
                return Err(Cause::Ahead {
                    index: self.domains.name(*row),
                    by: last.to_string(),
                    axis: name(),
                });
            }
        };
        let first = first.as_constant().filter(|_| !unbounded);
        Ok(Read {
            column: axis,
            row: *row,
            first: first.map(|first| Block::behind(first.saturating_neg())),
            ahead: Ahead::By(ahead),
            prefixes: BTreeSet::new(),
        })
    }

    fn gather(&self, roles: &Roles, node: &Node, axis: AxisId) -> Result<Read, Cause> {
        let computed = || Cause::Computed {
            axis: roles.new.clone(),
        };
        let [_, positions] = node.operands.as_slice() else {
            return Err(computed());
        };
        let mut rows = self.rows(roles, node);
        rows.retain(|row| *row != axis);
        let ahead = |row: &AxisId| Some((*row, self.domains.ahead(*positions, *row)?));
        let known = rows.iter().filter_map(ahead);
        let (row, ahead) = known
            .min_by_key(|(_, ahead)| ahead.most().max(0))
            .ok_or_else(computed)?;
        Ok(Read {
            column: axis,
            row,
            first: None,
            ahead,
            prefixes: BTreeSet::new(),
        })
    }
}
