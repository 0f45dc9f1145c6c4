//! Where a value is known to be neutral: what masks prove about positions.
//!
//! Positions along two axes that range over one sequence are compared: the answer is the
//! largest and the least difference between them outside of which a truth value has one
//! value, or a number is the identity of its combination. Everything that is not proved
//! counts as possible.

use std::collections::{BTreeMap, BTreeSet};

use girih_graph::op::{Binary, Combine, Literal, Unary};
use girih_graph::{AxisId, AxisTable, Op, Region, ValueId};

/// The deepest chain of values that is followed.
const MAX_DEPTH: usize = 200;

/// Columns before a position that is known when the stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Prefix {
    /// A number without axes.
    pub(super) value: ValueId,
    /// Added to it.
    pub(super) more: i64,
}

/// Differences column − row that are possible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Columns that are possible whatever the difference; differences are about all others.
    pub(super) prefixes: BTreeSet<Prefix>,
    /// No position at all.
    pub(super) empty: bool,
    /// At least, if known.
    pub(super) least: Option<i64>,
    /// At most, if known.
    pub(super) most: Option<i64>,
}

impl Bounds {
    const ANY: Self = Self {
        prefixes: BTreeSet::new(),
        empty: false,
        least: None,
        most: None,
    };
    const EMPTY: Self = Self {
        prefixes: BTreeSet::new(),
        empty: true,
        least: None,
        most: None,
    };

    /// Nothing but columns of a prefix.
    fn before(value: ValueId, more: i64) -> Self {
        Self {
            prefixes: BTreeSet::from([Prefix { value, more }]),
            ..Self::EMPTY
        }
    }

    /// Whether a column that is not in a prefix may lie `ahead` of its row, or further.
    pub(super) fn reaches(&self, ahead: i64) -> bool {
        !self.empty && self.most.is_none_or(|most| most >= ahead)
    }

    /// Both hold.
    pub(super) fn and(self, other: Self) -> Self {
        // A bound without exceptions says more than one with them.
        match (self.prefixes.is_empty(), other.prefixes.is_empty()) {
            (true, false) if !self.reaches(1) => return self,
            (false, true) if !other.reaches(1) => return other,
            _ => {}
        }
        let tighter = |a: Option<i64>, b: Option<i64>, pick: fn(i64, i64) -> i64| match (a, b) {
            (Some(a), Some(b)) => Some(pick(a, b)),
            (one, other) => one.or(other),
        };
        Self {
            prefixes: self.prefixes.union(&other.prefixes).copied().collect(),
            empty: self.empty || other.empty,
            least: tighter(self.least, other.least, i64::max),
            most: tighter(self.most, other.most, i64::min),
        }
    }

    /// One of them holds.
    fn or(&self, other: &Self) -> Self {
        let prefixes = self.prefixes.union(&other.prefixes).copied().collect();
        let (empty, least, most) = match (self.empty, other.empty) {
            (true, _) => (other.empty, other.least, other.most),
            (_, true) => (self.empty, self.least, self.most),
            _ => (
                false,
                self.least.zip(other.least).map(|(a, b)| a.min(b)),
                self.most.zip(other.most).map(|(a, b)| a.max(b)),
            ),
        };
        Self {
            prefixes,
            empty,
            least,
            most,
        }
    }
}

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

/// A position: Σ coefficient · index + constant.
#[derive(Clone, Debug, Default)]
struct Affine {
    terms: BTreeMap<AxisId, i64>,
    constant: i64,
}

impl Affine {
    fn combine(&self, other: &Self, sign: i64) -> Option<Self> {
        let mut sum = self.clone();
        for (axis, factor) in &other.terms {
            let own = sum.terms.entry(*axis).or_insert(0);
            *own = own.checked_add(factor.checked_mul(sign)?)?;
        }
        sum.terms.retain(|_, factor| *factor != 0);
        sum.constant = self
            .constant
            .checked_add(other.constant.checked_mul(sign)?)?;
        Some(sum)
    }

    fn times(&self, factor: i64) -> Option<Self> {
        let terms = self.terms.iter();
        let terms = terms.map(|(axis, own)| Some((*axis, own.checked_mul(factor)?)));
        Some(Self {
            terms: terms.collect::<Option<_>>()?,
            constant: self.constant.checked_mul(factor)?,
        })
    }
}

/// Answers about one region.
pub(super) struct Domains<'a> {
    axes: &'a AxisTable,
    region: &'a Region,
    known: BTreeMap<(ValueId, Neutral, AxisId, AxisId), Bounds>,
}

impl<'a> Domains<'a> {
    pub(super) fn new(axes: &'a AxisTable, region: &'a Region) -> Self {
        Self {
            axes,
            region,
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

    /// The most by which `position` may exceed the index of `row`, if that is known.
    pub(super) fn most_ahead(&self, position: ValueId, row: AxisId) -> Option<i64> {
        let node = self.region.defining_node(position);
        if let Some(node) = node
            && node.op == Op::Binary(Binary::Min)
        {
            let sides = node
                .operands
                .iter()
                .filter_map(|o| self.most_ahead(*o, row));
            return sides.min();
        }
        let affine = self.affine(position, MAX_DEPTH)?;
        let own = affine.terms.get(&row) == Some(&1);
        // Other positions are subtracted, or not there.
        let others = affine
            .terms
            .iter()
            .all(|(axis, factor)| *axis == row || *factor <= 0);
        (own && others).then_some(affine.constant)
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
        // Quotients of both by one divisor: at most its remainders apart.
        let (x, y, slack) = match (self.quotient(x), self.quotient(y)) {
            (Some((x, n)), Some((y, m))) if n == m && n > 0 => (x, y, n - 1),
            (None, None) => (x, y, 0),
            _ => return Bounds::ANY,
        };
        if let Some(prefix) = self.prefix(op, (x, y), at.1, slack) {
            return prefix;
        }
        let (Some(x), Some(y)) = (self.affine(x, MAX_DEPTH), self.affine(y, MAX_DEPTH)) else {
            return Bounds::ANY;
        };
        // `small <= big + extra` for one or both orders.
        let at_most = |small: &Affine, big: &Affine, extra: i64| -> Bounds {
            let Some(left) = small.combine(big, -1) else {
                return Bounds::ANY;
            };
            let Some(right) = left
                .constant
                .checked_neg()
                .and_then(|c| c.checked_add(extra))
            else {
                return Bounds::ANY;
            };
            if left.terms.is_empty() {
                return if right >= 0 {
                    Bounds::ANY
                } else {
                    Bounds::EMPTY
                };
            }
            let of = |axis: AxisId| left.terms.get(&axis).copied().unwrap_or(0);
            let (row, column) = (of(at.0), of(at.1));
            if at.0 == at.1 || left.terms.len() != 2 || row != -column || column == 0 {
                return Bounds::ANY;
            }
            // column·(j − i) <= right.
            let bound = right.div_euclid(column.abs());
            if column > 0 {
                Bounds {
                    most: Some(bound),
                    ..Bounds::ANY
                }
            } else {
                Bounds {
                    least: Some(-bound),
                    ..Bounds::ANY
                }
            }
        };
        match op {
            Binary::Le => at_most(&x, &y, slack),
            Binary::Ge => at_most(&y, &x, slack),
            // ⌊x/n⌋ < ⌊y/n⌋ gives x < y.
            Binary::Lt => at_most(&x, &y, -1),
            Binary::Gt => at_most(&y, &x, -1),
            Binary::Eq => at_most(&x, &y, slack).and(at_most(&y, &x, slack)),
            _ => Bounds::ANY,
        }
    }

    /// What `column < n` leaves, for a number without axes.
    fn prefix(
        &self,
        op: Binary,
        (x, y): (ValueId, ValueId),
        column: AxisId,
        slack: i64,
    ) -> Option<Bounds> {
        let (column_side, limit, more) = match op {
            Binary::Lt => (x, y, 0),
            Binary::Le => (x, y, 1),
            Binary::Gt => (y, x, 0),
            Binary::Ge => (y, x, 1),
            _ => return None,
        };
        let own = self.affine(column_side, MAX_DEPTH)?;
        let alone = own.terms.len() == 1 && own.terms.get(&column) == Some(&1);
        let single = self.region.ty(limit).axes.is_empty();
        let more = i64::checked_sub(more, own.constant)?;
        (alone && single && slack == 0).then(|| Bounds::before(limit, more))
    }

    /// `⌊x / n⌋` with a constant n.
    fn quotient(&self, value: ValueId) -> Option<(ValueId, i64)> {
        let node = self.region.defining_node(value)?;
        if node.op != Op::Binary(Binary::FloorDiv) {
            return None;
        }
        let [x, n] = node.operands.as_slice() else {
            return None;
        };
        let n = self.affine(*n, MAX_DEPTH)?;
        n.terms.is_empty().then_some((*x, n.constant))
    }

    fn affine(&self, value: ValueId, depth: usize) -> Option<Affine> {
        let depth = depth.checked_sub(1)?;
        let node = self.region.defining_node(value)?;
        let of = |at: usize| self.affine(*node.operands.get(at)?, depth);
        Some(match &node.op {
            Op::Index(axis) => Affine {
                terms: BTreeMap::from([(*axis, 1)]),
                constant: 0,
            },
            Op::Const(Literal::Int(_, number)) => Affine {
                constant: *number,
                ..Affine::default()
            },
            Op::Size(extent) => Affine {
                constant: extent.as_constant()?,
                ..Affine::default()
            },
            Op::Binary(Binary::Add) => of(0)?.combine(&of(1)?, 1)?,
            Op::Binary(Binary::Sub) => of(0)?.combine(&of(1)?, -1)?,
            Op::Binary(Binary::Mul) => {
                let (x, y) = (of(0)?, of(1)?);
                if x.terms.is_empty() {
                    y.times(x.constant)?
                } else if y.terms.is_empty() {
                    x.times(y.constant)?
                } else {
                    return None;
                }
            }
            Op::Unary(Unary::Neg) => of(0)?.times(-1)?,
            Op::Rename(pairs) => {
                let new = |axis: AxisId| {
                    let pair = pairs.iter().find(|(old, _)| *old == axis);
                    pair.map_or(axis, |(_, new)| *new)
                };
                let own = of(0)?;
                Affine {
                    terms: own.terms.iter().map(|(a, f)| (new(*a), *f)).collect(),
                    constant: own.constant,
                }
            }
            Op::Expand(_) => of(0)?,
            _ => return None,
        })
    }

    /// The name of an axis, for messages.
    pub(super) fn name(&self, axis: AxisId) -> String {
        self.axes.name(axis).to_owned()
    }
}
