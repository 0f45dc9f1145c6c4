//! Positions as sums: Σ coefficient · term + constant, a term an index or the number of its block,
//! and the length of the sequence.

use std::collections::BTreeMap;

use girih_graph::op::{Binary, Literal, Unary};
use girih_graph::{AxisId, Extent, Op, Region, ValueId};

/// ⌊(index + phase) / size⌋; the index itself has phase 0 and size 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Term {
    pub(super) axis: AxisId,
    pub(super) phase: i64,
    pub(super) size: i64,
}

impl Term {
    pub(super) const fn index(axis: AxisId) -> Self {
        Self {
            axis,
            phase: 0,
            size: 1,
        }
    }
}

/// A position: Σ coefficient · term + coefficient · length + constant.
#[derive(Clone, Debug, Default)]
pub(super) struct Affine {
    pub(super) terms: BTreeMap<Term, i64>,
    /// Of the length of the sequence.
    pub(super) length: i64,
    pub(super) constant: i64,
}

impl Affine {
    fn number(constant: i64) -> Self {
        Self {
            constant,
            ..Self::default()
        }
    }

    /// `self + sign · other`.
    pub(super) fn combine(&self, other: &Self, sign: i64) -> Option<Self> {
        let mut sum = self.clone();
        for (term, factor) in &other.terms {
            let own = sum.terms.entry(*term).or_insert(0);
            *own = own.checked_add(factor.checked_mul(sign)?)?;
        }
        sum.terms.retain(|_, factor| *factor != 0);
        let plus = |own: i64, other: i64| own.checked_add(other.checked_mul(sign)?);
        sum.length = plus(self.length, other.length)?;
        sum.constant = plus(self.constant, other.constant)?;
        Some(sum)
    }

    fn times(&self, factor: i64) -> Option<Self> {
        let terms = self.terms.iter();
        let terms = terms.map(|(term, own)| Some((*term, own.checked_mul(factor)?)));
        Some(Self {
            terms: terms.collect::<Option<_>>()?,
            length: self.length.checked_mul(factor)?,
            constant: self.constant.checked_mul(factor)?,
        })
    }

    /// ⌊self / divisor⌋.
    fn floor_div(&self, divisor: i64) -> Option<Self> {
        if divisor <= 0 || self.length != 0 {
            return None;
        }
        let mut terms = self.terms.iter();
        let Some((term, factor)) = terms.next() else {
            return Some(Self::number(self.constant.div_euclid(divisor)));
        };
        // ⌊(k·x + c) / (k·n)⌋ = ⌊(x + ⌊c / k⌋) / n⌋ for a whole x.
        if terms.next().is_some() || *factor < 1 || divisor % factor != 0 {
            return None;
        }
        let (constant, divisor) = (self.constant.div_euclid(*factor), divisor / factor);
        // ⌊(⌊(i + a) / n⌋ + c) / m⌋ = ⌊(i + a + c·n) / (n·m)⌋.
        let term = Term {
            axis: term.axis,
            phase: term.phase.checked_add(constant.checked_mul(term.size)?)?,
            size: term.size.checked_mul(divisor)?,
        };
        let (term, constant) = if term.size == 1 {
            (Term::index(term.axis), term.phase)
        } else {
            (term, 0)
        };
        Some(Self {
            terms: BTreeMap::from([(term, 1)]),
            constant,
            ..Self::default()
        })
    }

    /// Whether it is a number.
    fn is_number(&self) -> bool {
        self.terms.is_empty() && self.length == 0
    }

    /// What `value` is, if it is such a sum, in a sequence whose length is called `length`.
    pub(super) fn of(region: &Region, value: ValueId, length: &str, depth: usize) -> Option<Self> {
        let depth = depth.checked_sub(1)?;
        let node = region.defining_node(value)?;
        let of = |at: usize| Self::of(region, *node.operands.get(at)?, length, depth);
        Some(match &node.op {
            Op::Index(axis) => Self {
                terms: BTreeMap::from([(Term::index(*axis), 1)]),
                ..Self::default()
            },
            Op::Const(Literal::Int(_, number)) => Self::number(*number),
            Op::Size(extent) => match extent.as_constant() {
                Some(number) => Self::number(number),
                None => Self {
                    length: 1,
                    ..Self::number(extent.minus(&Extent::symbol(length)).as_constant()?)
                },
            },
            Op::Binary(Binary::Add) => of(0)?.combine(&of(1)?, 1)?,
            Op::Binary(Binary::Sub) => of(0)?.combine(&of(1)?, -1)?,
            Op::Binary(Binary::Mul) => {
                let (x, y) = (of(0)?, of(1)?);
                if x.is_number() {
                    y.times(x.constant)?
                } else if y.is_number() {
                    x.times(y.constant)?
                } else {
                    return None;
                }
            }
            Op::Binary(op @ (Binary::FloorDiv | Binary::Rem)) => {
                let (x, n) = (of(0)?, of(1)?);
                if !n.is_number() {
                    return None;
                }
                let quotient = x.floor_div(n.constant)?;
                match op {
                    Binary::FloorDiv => quotient,
                    _ => x.combine(&quotient.times(n.constant)?, -1)?,
                }
            }
            Op::Unary(Unary::Neg) => of(0)?.times(-1)?,
            Op::Rename(pairs) => {
                let new = |axis: AxisId| {
                    let pair = pairs.iter().find(|(old, _)| *old == axis);
                    pair.map_or(axis, |(_, new)| *new)
                };
                let own = of(0)?;
                let renamed = own.terms.iter().map(|(term, factor)| {
                    let axis = new(term.axis);
                    (Term { axis, ..*term }, *factor)
                });
                Self {
                    terms: renamed.collect(),
                    ..own
                }
            }
            Op::Expand(_) => of(0)?,
            _ => return None,
        })
    }
}
