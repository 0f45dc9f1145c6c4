//! What a position depends on: the streaming rule of every primitive.
//!
//! [`reach`] tells which positions of an operand, along one of its axes, a position
//! of a result, along one of its own, may depend on. [`Spans`] composes the rules
//! through a region. Answers are supersets, for sizes of at least 1: a span may
//! hold positions that are not read, never the other way round.
//!
//! The rules see axes, not values: that a mask leaves out the future, or that a
//! gather reads only the past, is for whoever recognizes the mask.

mod form;
mod last;
mod op;
mod region;

use std::ops::Range;

use crate::extent::{Extent, ExtentError};

pub use form::{Carry, Kind, Source, Stream, StreamResult, Update};
pub use op::reach;
pub use region::Spans;

/// The positions that position i of something depends on, along one axis each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// None: the values do not depend on one another.
    None,
    /// i.
    Same,
    /// i + from to i + to, both included; the past is negative.
    Lag {
        /// First, counted from i.
        from: Extent,
        /// Last, counted from i.
        to: Extent,
    },
    /// stride·i + from to stride·i + to, both included.
    Window {
        /// Positions per position.
        stride: Extent,
        /// First, counted from stride·i.
        from: Extent,
        /// Last, counted from stride·i.
        to: Extent,
    },
    /// All up to i + to, included.
    Prefix {
        /// Last, counted from i.
        to: Extent,
    },
    /// All from i + from, included.
    Suffix {
        /// First, counted from i.
        from: Extent,
    },
    /// All.
    Whole,
}

impl Span {
    /// i + from to i + to.
    pub fn lag(from: Extent, to: Extent) -> Self {
        if from == to && from.as_constant() == Some(0) {
            Self::Same
        } else {
            Self::Lag { from, to }
        }
    }

    /// stride·i + from to stride·i + to.
    pub fn window(stride: Extent, from: Extent, to: Extent) -> Self {
        if stride.as_constant() == Some(1) {
            Self::lag(from, to)
        } else {
            Self::Window { stride, from, to }
        }
    }

    /// Stride, first and last position, if these say it all.
    fn bounds(&self) -> Option<(Extent, Extent, Extent)> {
        let number = Extent::constant;
        match self {
            Self::Same => Some((number(1), number(0), number(0))),
            Self::Lag { from, to } => Some((number(1), from.clone(), to.clone())),
            Self::Window { stride, from, to } => Some((stride.clone(), from.clone(), to.clone())),
            Self::None | Self::Prefix { .. } | Self::Suffix { .. } | Self::Whole => None,
        }
    }

    /// What i depends on if it depends by `self` on positions that depend by `inner` on others.
    #[must_use]
    pub fn then(&self, inner: &Self) -> Self {
        match (self, inner) {
            (Self::None, _) | (_, Self::None) => return Self::None,
            (Self::Same, other) | (other, Self::Same) => return other.clone(),
            (Self::Whole, _) | (_, Self::Whole) => return Self::Whole,
            _ => {}
        }
        if let (Some((s, a, b)), Some((r, c, d))) = (self.bounds(), inner.bounds()) {
            // A negative stride would turn first and last around.
            return if r.is_at_least(0) {
                Self::window(r.times(&s), r.times(&a).plus(&c), r.times(&b).plus(&d))
            } else {
                Self::Whole
            };
        }
        match (self, inner) {
            (Self::Lag { to, .. }, Self::Prefix { to: last })
            | (Self::Prefix { to }, Self::Lag { to: last, .. } | Self::Prefix { to: last }) => {
                Self::Prefix { to: to.plus(last) }
            }
            (Self::Lag { from, .. }, Self::Suffix { from: first })
            | (
                Self::Suffix { from },
                Self::Lag { from: first, .. } | Self::Suffix { from: first },
            ) => Self::Suffix {
                from: from.plus(first),
            },
            _ => Self::Whole,
        }
    }

    /// What i depends on if it depends on both.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::None, some) | (some, Self::None) => return some.clone(),
            (Self::Whole, _) | (_, Self::Whole) => return Self::Whole,
            _ if self == other => return self.clone(),
            _ => {}
        }
        if let (Some((s, a, b)), Some((r, c, d))) = (self.bounds(), other.bounds()) {
            return if s == r {
                Self::window(s, a.minimum(&c), b.maximum(&d))
            } else {
                Self::Whole
            };
        }
        let last = |span: &Self| match span {
            Self::Prefix { to } | Self::Lag { to, .. } => Some(to.clone()),
            Self::Same => Some(Extent::constant(0)),
            _ => None,
        };
        let first = |span: &Self| match span {
            Self::Suffix { from } | Self::Lag { from, .. } => Some(from.clone()),
            Self::Same => Some(Extent::constant(0)),
            _ => None,
        };
        if let (Some(a), Some(b)) = (last(self), last(other)) {
            Self::Prefix { to: a.maximum(&b) }
        } else if let (Some(a), Some(b)) = (first(self), first(other)) {
            Self::Suffix {
                from: a.minimum(&b),
            }
        } else {
            Self::Whole
        }
    }

    /// The narrower of two spans that are both true.
    fn narrower(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::None, _) => self,
            (Self::Whole, _) | (_, Self::None) => other,
            (Self::Prefix { .. } | Self::Suffix { .. }, other_span) => match other_span.bounds() {
                Some(_) => other,
                None => self,
            },
            _ => self,
        }
    }

    /// Whether nothing after i is needed. `false` means "not proved".
    pub fn is_causal(&self) -> bool {
        let past = |to: &Extent| Extent::constant(0).minus(to).is_at_least(0);
        match self {
            Self::None | Self::Same => true,
            Self::Lag { to, .. } | Self::Prefix { to } => past(to),
            Self::Window { .. } | Self::Suffix { .. } | Self::Whole => false,
        }
    }

    /// The positions of an axis with `extent` positions that position `at` depends on.
    ///
    /// # Errors
    ///
    /// A size that `lookup` does not know, or that is too large.
    pub fn range(
        &self,
        at: i64,
        extent: i64,
        lookup: &dyn Fn(&str) -> Option<i64>,
    ) -> Result<Range<i64>, ExtentError> {
        let clip = |first: i64, last: i64| first.max(0)..last.saturating_add(1).min(extent);
        let number = |extent: &Extent| extent.evaluate(lookup);
        Ok(match self {
            Self::None => 0..0,
            Self::Whole => 0..extent,
            Self::Prefix { to } => clip(0, at.saturating_add(number(to)?)),
            Self::Suffix { from } => clip(at.saturating_add(number(from)?), extent),
            Self::Same => clip(at, at),
            Self::Lag { from, to } => clip(
                at.saturating_add(number(from)?),
                at.saturating_add(number(to)?),
            ),
            Self::Window { stride, from, to } => {
                let start = at.saturating_mul(number(stride)?);
                clip(
                    start.saturating_add(number(from)?),
                    start.saturating_add(number(to)?),
                )
            }
        })
    }
}

#[cfg(test)]
mod tests;
