//! Where a value is known to be neutral: what masks prove about positions.
//!
//! Positions along two axes that range over one sequence are compared: the answer is the
//! largest and the least difference between them outside of which a truth value has one
//! value, or a number is the identity of its combination. Everything that is not proved
//! counts as possible.

mod affine;
mod bounds;

use std::collections::BTreeMap;

use girih_graph::op::{Binary, Combine, Literal, Unary};
use girih_graph::{AxisId, AxisTable, Op, Region, ValueId};

use super::block::Block;
use super::end::Ahead;
use affine::{Affine, Term};
pub(super) use bounds::{Bounds, Prefix};

/// The deepest chain of values that is followed.
const MAX_DEPTH: usize = 200;

/// What a combination leaves as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Neutral {
    Zero,
    One,
    Least,
    Greatest,
    False,
    True,
}

impl Neutral {
    pub(super) const fn of(combine: Combine) -> Self {
        match combine {
            Combine::Sum => Self::Zero,
            Combine::Prod => Self::One,
            Combine::Max => Self::Least,
            Combine::Min => Self::Greatest,
            Combine::Any => Self::False,
            Combine::All => Self::True,
        }
    }

    #[expect(clippy::float_cmp, reason = "the identity is one number exactly")]
    fn is(self, literal: Literal) -> bool {
        match (self, literal) {
            (Self::Zero, Literal::Real(_, number)) => number == 0.0,
            (Self::Zero, Literal::Int(_, number)) => number == 0,
            (Self::One, Literal::Real(_, number)) => number == 1.0,
            (Self::One, Literal::Int(_, number)) => number == 1,
            (Self::Least, Literal::Real(_, number)) => number == f64::NEG_INFINITY,
            // What the language masks integers with: no position is there.
            (Self::Least, Literal::Int(_, number)) => number <= i64::MIN + 1,
            (Self::Greatest, Literal::Real(_, number)) => number == f64::INFINITY,
            (Self::Greatest, Literal::Int(_, number)) => number == i64::MAX,
            (Self::False, Literal::Bool(truth)) => !truth,
            (Self::True, Literal::Bool(truth)) => truth,
            _ => false,
        }
    }
}

/// Answers about one region.
pub(super) struct Domains<'a> {
    axes: &'a AxisTable,
    region: &'a Region,
    /// What the length of the sequence is called.
    length: String,
    known: BTreeMap<(ValueId, Neutral, AxisId, AxisId), Bounds>,
}

impl<'a> Domains<'a> {
    pub(super) fn new(axes: &'a AxisTable, region: &'a Region, length: &str) -> Self {
        Self {
            axes,
            region,
            length: length.to_owned(),
            known: BTreeMap::new(),
        }
    }

    /// Differences `column` − `row` at which `value` may be something else than `neutral`.
    pub(super) fn support(
        &mut self,
        value: ValueId,
        neutral: Neutral,
        row: AxisId,
        column: AxisId,
    ) -> Bounds {
        self.support_at(value, neutral, (row, column), MAX_DEPTH)
    }

    /// How far `position` may lie after the index of `row`, if that is known.
    pub(super) fn ahead(&self, position: ValueId, row: AxisId) -> Option<Ahead> {
        let node = self.region.defining_node(position);
        if let Some(node) = node
            && node.op == Op::Binary(Binary::Min)
        {
            let sides = node.operands.iter().filter_map(|o| self.ahead(*o, row));
            return sides.min_by_key(|ahead| ahead.most());
        }
        if let Some(node) = node
            && node.op == Op::Binary(Binary::Max)
        {
            let sides = node.operands.iter().map(|o| self.ahead(*o, row));
            let sides: Option<Vec<i64>> = sides.map(|side| Some(side?.most())).collect();
            return sides?.into_iter().max().map(Ahead::By);
        }
        let affine = self.affine(position)?;
        if affine.length != 0 {
            return None;
        }
        // A fixed position lies no further ahead of any row than of the first.
        if affine.terms.is_empty() {
            return Some(Ahead::By(affine.constant));
        }
        let mut own = affine.terms.iter().filter(|(term, _)| term.axis == row);
        let (Some((term, factor)), None) = (own.next(), own.next()) else {
            return None;
        };
        // Other positions are subtracted, or not there.
        let subtracted =
            |(other, factor): (&Term, &i64)| other == term || *factor <= 0 && other.phase >= 0;
        (*factor == term.size && affine.terms.iter().all(subtracted)).then(|| {
            if term.size == 1 {
                return Ahead::By(affine.constant);
            }
            let block = Block {
                size: term.size,
                phase: term.phase,
                offset: affine.constant,
            };
            let bounds = Bounds::up_to(block);
            bounds.ahead().unwrap_or(Ahead::By(block.most()))
        })
    }

    fn support_at(
        &mut self,
        value: ValueId,
        neutral: Neutral,
        at: (AxisId, AxisId),
        depth: usize,
    ) -> Bounds {
        let key = (value, neutral, at.0, at.1);
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let found = match depth.checked_sub(1) {
            Some(depth) => self.look(value, neutral, at, depth),
            None => Bounds::ANY,
        };
        self.known.insert(key, found.clone());
        found
    }

    #[expect(
        clippy::match_same_arms,
        reason = "one law for each arm, sorted by what they are about"
    )]
    fn look(
        &mut self,
        value: ValueId,
        neutral: Neutral,
        at: (AxisId, AxisId),
        depth: usize,
    ) -> Bounds {
        let region = self.region;
        let Some(node) = region.defining_node(value) else {
            return Bounds::ANY;
        };
        let operand = |at: usize| node.operands.get(at).copied().unwrap_or(value);
        let mut of =
            |own: usize, neutral: Neutral| self.support_at(operand(own), neutral, at, depth);
        match (&node.op, neutral) {
            (Op::Const(literal), _) if neutral.is(*literal) => Bounds::EMPTY,
            (Op::Rename(pairs), _) => {
                // An axis that the value does not have may be another one before the renaming.
                let ty = region.ty(value);
                if !ty.has(at.0) || !ty.has(at.1) {
                    return Bounds::ANY;
                }
                let old = |axis: AxisId| {
                    let pair = pairs.iter().find(|(_, new)| *new == axis);
                    pair.map_or(axis, |(old, _)| *old)
                };
                let at = (old(at.0), old(at.1));
                self.support_at(operand(0), neutral, at, depth)
            }
            (Op::Expand(_) | Op::Split(..) | Op::Merge(..) | Op::GradAs, _) => of(0, neutral),
            (Op::Window { axis, into, .. }, _)
                if *axis != at.0
                    && *axis != at.1
                    && into.iter().all(|(new, _)| *new != at.0 && *new != at.1)
                    // Outside it reads 0.
                    && matches!(neutral, Neutral::Zero | Neutral::False) =>
            {
                of(0, neutral)
            }
            (Op::Concat(from, axis), _)
                if [at.0, at.1]
                    .iter()
                    .all(|own| own != axis && !from.contains(own)) =>
            {
                let all = 0..node.operands.len();
                all.fold(Bounds::EMPTY, |sum, own| sum.or(&of(own, neutral)))
            }
            (Op::Select, _) => {
                let first = of(0, Neutral::False).and(of(1, neutral));
                first.or(&of(0, Neutral::True).and(of(2, neutral)))
            }
            (Op::Cast(_), Neutral::Zero) => {
                if region.ty(operand(0)).dtype == girih_graph::DType::Bool {
                    of(0, Neutral::False)
                } else {
                    of(0, Neutral::Zero)
                }
            }
            (Op::Unary(Unary::Not), Neutral::False) => of(0, Neutral::True),
            (Op::Unary(Unary::Not), Neutral::True) => of(0, Neutral::False),
            (Op::Binary(Binary::And), Neutral::False) => of(0, neutral).and(of(1, neutral)),
            (Op::Binary(Binary::Or), Neutral::True) => of(0, neutral).and(of(1, neutral)),
            (Op::Binary(Binary::And), Neutral::True) | (Op::Binary(Binary::Or), Neutral::False) => {
                of(0, neutral).or(&of(1, neutral))
            }
            (Op::Binary(op), Neutral::False | Neutral::True) => {
                self.compared(*op, neutral == Neutral::False, (operand(0), operand(1)), at)
            }
            (
                Op::Unary(
                    Unary::Neg
                    | Unary::Abs
                    | Unary::Sign
                    | Unary::Sqrt
                    | Unary::Sin
                    | Unary::Tanh
                    | Unary::Erf
                    | Unary::Floor
                    | Unary::Ceil
                    | Unary::Round
                    | Unary::Log1p,
                ),
                Neutral::Zero,
            ) => of(0, neutral),
            (Op::Unary(Unary::Exp), Neutral::Zero) => of(0, Neutral::Least),
            (Op::Binary(Binary::Mul), Neutral::Zero) => of(0, neutral).and(of(1, neutral)),
            (Op::Contract(_), Neutral::Zero) => of(0, neutral).and(of(1, neutral)),
            (Op::Binary(Binary::Div), Neutral::Zero) => of(0, neutral),
            (Op::Binary(Binary::Sub), Neutral::Least | Neutral::Greatest) => of(0, neutral),
            (Op::Binary(Binary::Add | Binary::Sub | Binary::Max | Binary::Min), Neutral::Zero) => {
                of(0, neutral).or(&of(1, neutral))
            }
            (Op::Binary(Binary::Max), Neutral::Least)
            | (Op::Binary(Binary::Min), Neutral::Greatest) => of(0, neutral).or(&of(1, neutral)),
            (Op::Reduce(combine, _), _) if Neutral::of(*combine) == neutral => of(0, neutral),
            (Op::Softmax(_), Neutral::Zero) if node.operands.len() == 2 => of(1, Neutral::False),
            _ => Bounds::ANY,
        }
    }

    /// Differences at which a comparison holds, or fails.
    fn compared(
        &self,
        op: Binary,
        holds: bool,
        (x, y): (ValueId, ValueId),
        at: (AxisId, AxisId),
    ) -> Bounds {
        let op = match (op, holds) {
            (own, true) => own,
            (Binary::Lt, false) => Binary::Ge,
            (Binary::Le, false) => Binary::Gt,
            (Binary::Gt, false) => Binary::Le,
            (Binary::Ge, false) => Binary::Lt,
            (Binary::Eq, false) => Binary::Ne,
            (Binary::Ne, false) => Binary::Eq,
            _ => return Bounds::ANY,
        };
        if let Some(prefix) = self.prefix(op, (x, y), at.1) {
            return prefix;
        }
        let (Some(x), Some(y)) = (self.affine(x), self.affine(y)) else {
            return Bounds::ANY;
        };
        // `small <= big + extra` for one or both orders.
        let at_most = |small: &Affine, big: &Affine, extra: i64| {
            let left = small.combine(big, -1);
            let bounds = left.and_then(|left| at_most(&left, extra, at));
            bounds.unwrap_or(Bounds::ANY)
        };
        match op {
            Binary::Le => at_most(&x, &y, 0),
            Binary::Ge => at_most(&y, &x, 0),
            Binary::Lt => at_most(&x, &y, -1),
            Binary::Gt => at_most(&y, &x, -1),
            Binary::Eq => at_most(&x, &y, 0).and(at_most(&y, &x, 0)),
            _ => Bounds::ANY,
        }
    }

    /// What `column < n` leaves, for a number without axes.
    fn prefix(&self, op: Binary, (x, y): (ValueId, ValueId), column: AxisId) -> Option<Bounds> {
        let (column_side, limit, more) = match op {
            Binary::Lt => (x, y, 0),
            Binary::Le => (x, y, 1),
            Binary::Gt => (y, x, 0),
            Binary::Ge => (y, x, 1),
            _ => return None,
        };
        let own = self.affine(column_side)?;
        let alone = own.length == 0
            && own.terms.len() == 1
            && own.terms.get(&Term::index(column)) == Some(&1);
        let single = self.region.ty(limit).axes.is_empty();
        let more = i64::checked_sub(more, own.constant)?;
        (alone && single).then(|| Bounds::before(limit, more))
    }

    /// Where an operation holds a position against the length of the sequence: the position's index,
    /// and how many later positions must be there to know the answer, as it is the same for all
    /// longer sequences.
    pub(super) fn settled(&self, op: &Op, operands: &[ValueId]) -> Option<(AxisId, i64)> {
        let [x, y] = operands else {
            return None;
        };
        let difference = self.affine(*x)?.combine(&self.affine(*y)?, -1)?;
        // position + constant against length, whichever side they are on.
        let (own, is_left) = match difference.length {
            -1 => (difference, true),
            1 => (Affine::default().combine(&difference, -1)?, false),
            _ => return None,
        };
        let mut most = own.constant;
        let mut row = None;
        for (term, factor) in &own.terms {
            match self.axes.extent(term.axis).as_constant() {
                Some(count) if *factor >= 0 && term.size == 1 => {
                    most = most.checked_add(factor.checked_mul(count.max(1) - 1)?)?;
                }
                Some(_) if *factor < 0 && term.phase >= 0 => {}
                None if *factor == 1 && term.size == 1 && row.is_none() => row = Some(term.axis),
                _ => return None,
            }
        }
        // One less where the position may be as large as the length.
        let may_equal = match (op, is_left) {
            (Op::Binary(Binary::Lt | Binary::Ge), true)
            | (Op::Binary(Binary::Gt | Binary::Le), false)
            | (Op::Binary(Binary::Eq | Binary::Ne), _) => 0,
            (Op::Binary(Binary::Le | Binary::Gt), true)
            | (Op::Binary(Binary::Ge | Binary::Lt), false)
            | (Op::Binary(Binary::Min), _) => 1,
            _ => return None,
        };
        Some((row?, most.checked_sub(may_equal)?))
    }

    fn affine(&self, value: ValueId) -> Option<Affine> {
        Affine::of(self.region, value, &self.length, MAX_DEPTH)
    }

    /// The name of an axis, for messages.
    pub(super) fn name(&self, axis: AxisId) -> String {
        self.axes.name(axis).to_owned()
    }
}

/// What `left + 0 <= extra` proves about column − row.
fn at_most(left: &Affine, extra: i64, (row, column): (AxisId, AxisId)) -> Option<Bounds> {
    let right = extra.checked_sub(left.constant)?;
    if left.length != 0 {
        return None;
    }
    if left.terms.is_empty() {
        return Some(if right >= 0 {
            Bounds::ANY
        } else {
            Bounds::EMPTY
        });
    }
    let of = |axis: AxisId| left.terms.iter().find(|(term, _)| term.axis == axis);
    let ((r, row_factor), (c, factor)) = (of(row)?, of(column)?);
    if row == column || left.terms.len() != 2 {
        return None;
    }
    // Both count the same positions, in opposite directions.
    let mixed = r.size != c.size && r.size.min(c.size) != 1;
    if mixed || row_factor.checked_mul(c.size)? != factor.checked_mul(r.size)?.checked_neg()? {
        return None;
    }
    let right = right.div_euclid(factor.checked_abs()?.min(row_factor.checked_abs()?));
    let (a, b) = (c.phase, r.phase);
    let ahead = *factor > 0;
    let at = |size: i64, phase: i64, offset: i64| Block {
        size,
        phase,
        offset,
    };
    Some(match (c.size, r.size) {
        (1, 1) if ahead => Bounds::at_most(right),
        (1, 1) => Bounds::at_least(right.checked_neg()?),
        // ⌊(j + a) / n⌋ − ⌊(i + b) / n⌋ <= right, or the other way round.
        (n, m) if n == m => {
            let whole = n.checked_mul(right)?;
            if ahead {
                let last = whole.checked_add(n - 1)?.checked_sub(a)?;
                Bounds::up_to(at(n, b, last))
            } else {
                let first = whole.checked_add(a)?.checked_neg()?;
                Bounds::from(at(n, b, first))
            }
        }
        // j − n · ⌊(i + b) / n⌋ <= right.
        (1, n) if ahead => Bounds::up_to(at(n, b, right)),
        (1, n) => Bounds::from(at(n, b, right.checked_neg()?)),
        // n · ⌊(j + a) / n⌋ − i <= right.
        (n, _) if ahead => Bounds::up_to(at(n, right, (n - 1).checked_sub(a)?)),
        (n, _) => Bounds::from(at(n, (n - 1).checked_sub(right)?, a.checked_neg()?)),
    })
}
