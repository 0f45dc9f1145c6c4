//! Which columns a row may have to do with: differences between positions, and exceptions.

use std::collections::BTreeSet;

use girih_graph::ValueId;

use crate::stream::block::Block;
use crate::stream::end::Ahead;

/// Columns before a position that is known when the stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::stream) struct Prefix {
    /// A number without axes.
    pub(in crate::stream) value: ValueId,
    /// Added to it.
    pub(in crate::stream) more: i64,
}

/// Differences column − row that are possible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::stream) struct Bounds {
    /// Columns that are possible whatever the difference; differences are about all others.
    pub(in crate::stream) prefixes: BTreeSet<Prefix>,
    /// No position at all.
    pub(in crate::stream) empty: bool,
    /// At least, if known.
    pub(super) least: Option<i64>,
    /// At most, if known.
    pub(super) most: Option<i64>,
    /// What holds beside `least`: from there in the row's block on.
    pub(super) first: Option<Block>,
    /// What holds beside `most`: up to there in the row's block.
    pub(super) last: Option<Block>,
}

impl Bounds {
    pub(super) const ANY: Self = Self {
        prefixes: BTreeSet::new(),
        empty: false,
        least: None,
        most: None,
        first: None,
        last: None,
    };
    pub(super) const EMPTY: Self = Self {
        prefixes: BTreeSet::new(),
        empty: true,
        least: None,
        most: None,
        first: None,
        last: None,
    };

    /// Nothing but columns of a prefix.
    pub(super) fn before(value: ValueId, more: i64) -> Self {
        Self {
            prefixes: BTreeSet::from([Prefix { value, more }]),
            ..Self::EMPTY
        }
    }

    pub(super) fn at_least(least: i64) -> Self {
        Self {
            least: Some(least),
            ..Self::ANY
        }
    }

    pub(super) fn at_most(most: i64) -> Self {
        Self {
            most: Some(most),
            ..Self::ANY
        }
    }

    /// Columns from a place in the row's block on.
    pub(super) fn from(block: Block) -> Self {
        let block = block.normal();
        Self {
            least: Some(block.least()),
            first: Some(block),
            ..Self::ANY
        }
    }

    /// Columns up to a place in the row's block.
    pub(super) fn up_to(block: Block) -> Self {
        let block = block.normal();
        Self {
            most: Some(block.most()),
            last: Some(block),
            ..Self::ANY
        }
    }

    /// How far after its row a column may lie that is in no prefix; `None` if nothing bounds it.
    pub(in crate::stream) fn ahead(&self) -> Option<Ahead> {
        if self.empty {
            return Some(Ahead::By(0));
        }
        let most = self.most?;
        let block = self.last.filter(|own| own.most() <= most && most > 0);
        Some(block.map_or(Ahead::By(most), Ahead::Block))
    }

    /// The first column that a row may have to do with; `None` if nothing bounds it.
    pub(in crate::stream) fn first(&self) -> Option<Block> {
        if !self.prefixes.is_empty() {
            return None;
        }
        if self.empty {
            return Some(Block::behind(0));
        }
        let least = self.least?;
        let block = self.first.filter(|own| own.least() >= least);
        Some(block.unwrap_or(Block::behind(least.saturating_neg())))
    }

    /// Whether a column that is not in a prefix may lie after its row.
    fn is_ahead(&self) -> bool {
        !self.empty && self.most.is_none_or(|most| most > 0)
    }

    /// Both hold.
    pub(in crate::stream) fn and(self, other: Self) -> Self {
        // A bound without exceptions says more than one with them.
        match (self.prefixes.is_empty(), other.prefixes.is_empty()) {
            (true, false) if !self.is_ahead() => return self,
            (false, true) if !other.is_ahead() => return other,
            _ => {}
        }
        let tighter = |a: Option<i64>, b: Option<i64>, pick: fn(i64, i64) -> i64| match (a, b) {
            (Some(a), Some(b)) => Some(pick(a, b)),
            (one, other) => one.or(other),
        };
        let firsts = self.first.into_iter().chain(other.first);
        let lasts = self.last.into_iter().chain(other.last);
        Self {
            prefixes: self.prefixes.union(&other.prefixes).copied().collect(),
            empty: self.empty || other.empty,
            least: tighter(self.least, other.least, i64::max),
            most: tighter(self.most, other.most, i64::min),
            first: firsts.max_by_key(|block| block.least()),
            last: lasts.min_by_key(|block| block.most()),
        }
    }

    /// One of them holds.
    pub(super) fn or(&self, other: &Self) -> Self {
        let prefixes = self.prefixes.union(&other.prefixes).copied().collect();
        // What is never further than a place in a block does not move it.
        let first = |one: &Self, other: &Self| {
            let own = one.first?;
            let same = other.first == one.first;
            (same || other.least.is_some_and(|least| least >= own.most())).then_some(own)
        };
        let last = |one: &Self, other: &Self| {
            let own = one.last?;
            let same = other.last == one.last;
            (same || other.most.is_some_and(|most| most <= own.least())).then_some(own)
        };
        match (self.empty, other.empty) {
            (true, _) => Self {
                prefixes,
                ..other.clone()
            },
            (_, true) => Self {
                prefixes,
                ..self.clone()
            },
            _ => Self {
                prefixes,
                empty: false,
                least: self.least.zip(other.least).map(|(a, b)| a.min(b)),
                most: self.most.zip(other.most).map(|(a, b)| a.max(b)),
                first: first(self, other).or_else(|| first(other, self)),
                last: last(self, other).or_else(|| last(other, self)),
            },
        }
    }
}
