//! How far a value has come in a stream that has taken so many positions.
//!
//! A value that reads no later positions is there as far as the stream is. One that reads r
//! positions ahead is there r positions less far; one that reads to the end of its block of n
//! positions is there in whole blocks. Ends compose without loss as long as blocks do: two
//! layers that read to the end of the same blocks are no later than one. Where blocks do not
//! fit, the end is that of the largest delay.

use girih_graph::Extent;

use super::block::Block;

/// After T positions, ⌊(T − late) / block⌋ · block − short of a value are there, none if that is
/// less than 0. Never more than T.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct End {
    late: i64,
    block: i64,
    short: i64,
}

/// How far after its own a position is read that depends on positions by `Ahead`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ahead {
    /// Up to row + so many; behind the row if negative.
    By(i64),
    /// Up to a place in the row's block.
    Block(Block),
}

impl Ahead {
    /// The most by which what is read lies after its reader.
    pub(super) fn most(self) -> i64 {
        match self {
            Self::By(ahead) => ahead,
            Self::Block(block) => block.most(),
        }
    }
}

impl End {
    /// As far as the stream.
    pub(super) const NOW: Self = Self {
        late: 0,
        block: 1,
        short: 0,
    };

    /// So many positions later than the stream.
    pub(super) const fn late(by: i64) -> Self {
        Self {
            late: by,
            ..Self::NOW
        }
    }

    /// How much later than the stream, at most.
    pub(super) fn latency(self) -> i64 {
        self.late
            .saturating_add(self.block - 1)
            .saturating_add(self.short)
    }

    /// How much later than the stream, at least.
    fn least(self) -> i64 {
        self.late.saturating_add(self.short)
    }

    /// The most by which `self` is further than `other`.
    pub(super) fn over(self, other: Self) -> i64 {
        if self.late == other.late && self.block % other.block == 0 {
            return other.short.saturating_sub(self.short);
        }
        other.latency().saturating_sub(self.least())
    }

    /// As far as both are.
    pub(super) fn meet(self, other: Self) -> Self {
        if self.over(other) <= 0 {
            self
        } else if other.over(self) <= 0 {
            other
        } else {
            Self::late(self.latency().max(other.latency()))
        }
    }

    /// How far a reader of what is this far can be. `None` if that is beyond all sizes.
    pub(super) fn read(self, ahead: Ahead) -> Option<Self> {
        let end = match ahead {
            Ahead::By(ahead) => self.later(ahead),
            Ahead::Block(block) => self
                .blocks(block)
                .unwrap_or_else(|| self.later(block.most())),
        };
        (end.latency() <= Extent::LIMIT).then_some(end)
    }

    fn later(self, by: i64) -> Self {
        if self.block == 1 {
            return Self::late(self.latency().saturating_add(by).max(0));
        }
        // Never further than the stream.
        let short = self.short.saturating_add(by);
        Self {
            short: short.max(self.late.saturating_neg()).max(0),
            ..self
        }
    }

    /// In whole blocks, where these fit to what is read.
    fn blocks(self, block: Block) -> Option<Self> {
        let Block {
            size,
            phase,
            offset,
        } = block;
        // A row is there when ⌊(row + phase) / size⌋ · size + offset is.
        let rest = size.checked_sub(offset)?.checked_sub(1)?;
        let shift = rest.checked_sub(self.short)?;
        let end = if self.block % size == 0 {
            // Whole blocks are in it already.
            let whole = shift.div_euclid(size).checked_mul(size)?;
            Self {
                short: phase.checked_sub(whole)?,
                ..self
            }
        } else if size % self.block == 0 && shift % self.block == 0 {
            Self {
                late: self.late.checked_sub(shift)?,
                block: size,
                short: phase,
            }
        } else {
            return None;
        };
        (end.short >= 0 && end.least() >= 0).then_some(end)
    }

    /// In the name of an axis.
    pub(super) fn word(self) -> String {
        let part = |word: &str, number: i64, plain: i64| match number {
            own if own == plain => String::new(),
            ..0 => format!(".{word}_{}", number.unsigned_abs()),
            _ => format!(".{word}{number}"),
        };
        let (late, block) = (part("late", self.late, 0), part("block", self.block, 1));
        format!("{late}{block}{}", part("short", self.short, 0))
    }

    /// How many positions are there after `taken`.
    pub(super) fn of(self, taken: &Extent) -> Extent {
        self.before(taken, 0)
    }

    /// How many of them are not among the last `last`.
    pub(super) fn before(self, taken: &Extent, last: i64) -> Extent {
        let number = Extent::constant;
        let less = |from: &Extent, by: i64| match by {
            0 => from.clone(),
            ..0 => from.plus(&number(by.saturating_neg())),
            _ => from.minus(&from.minimum(&number(by))),
        };
        let short = self.short.saturating_add(last);
        if self.block == 1 {
            return less(taken, self.late.saturating_add(short));
        }
        let whole = less(taken, self.late)
            .floor_div(&number(self.block))
            .times(&number(self.block));
        less(&whole, short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many positions are there after so many, for a reader of `end`: by trying.
    fn tried(end: End, taken: i64, ahead: Ahead) -> i64 {
        let there = count(end, taken);
        let needed = |row: i64| match ahead {
            Ahead::By(by) => row + by + 1,
            Ahead::Block(block) => block.of(row) + 1,
        };
        (0..taken).take_while(|row| needed(*row) <= there).count() as i64
    }

    fn count(end: End, taken: i64) -> i64 {
        let taken = Extent::constant(taken);
        let count = end.of(&taken).evaluate(&|_| None);
        count.expect("it is a number")
    }

    fn ends() -> Vec<End> {
        let mut ends = vec![End::NOW, End::late(3)];
        for size in [2, 3, 6, 8] {
            for phase in 0..size {
                for right in 0..2 {
                    let block = Block {
                        size,
                        phase,
                        offset: size * (right + 1) - 1 - phase,
                    };
                    for start in [End::NOW, End::late(2)] {
                        ends.extend(start.read(Ahead::Block(block)));
                    }
                }
            }
        }
        ends
    }

    #[test]
    fn readers_are_where_all_that_they_read_is() {
        for end in ends() {
            let aheads = [0, 1, 5].map(Ahead::By).into_iter();
            let blocks = [
                (4, 0, 3),
                (6, 0, 5),
                (2, 1, 0),
                (8, 3, 4),
                (8, 0, 15),
                (4, 0, 1),
            ];
            let blocks = blocks.map(|(size, phase, offset)| {
                Ahead::Block(Block {
                    size,
                    phase,
                    offset,
                })
            });
            for ahead in aheads.chain(blocks) {
                let reader = end.read(ahead).expect("it is small");
                for taken in 0..60 {
                    let (own, most) = (count(reader, taken), tried(end, taken, ahead));
                    assert!(
                        own <= most,
                        "{end:?} {ahead:?} {taken}: {own}, {most} are there"
                    );
                    assert!(own <= taken && own + reader.latency() >= taken);
                }
            }
        }
    }

    #[test]
    fn ends_are_compared() {
        for one in ends() {
            for other in ends() {
                let meet = one.meet(other);
                for taken in 0..60 {
                    let (a, b) = (count(one, taken), count(other, taken));
                    assert!(a - b <= one.over(other).max(0));
                    assert!(count(meet, taken) <= a.min(b));
                }
            }
        }
    }

    #[test]
    fn equal_blocks_are_no_later_twice() {
        let block = Ahead::Block(Block {
            size: 8,
            phase: 0,
            offset: 7,
        });
        let once = End::NOW.read(block).expect("it is small");
        assert_eq!(once.latency(), 7);
        assert_eq!(once.read(block), Some(once));
        let wider = Ahead::Block(Block {
            size: 16,
            phase: 0,
            offset: 15,
        });
        assert_eq!(once.read(wider).map(End::latency), Some(15));
        // A shift between them moves the blocks.
        let shifted = once.read(Ahead::By(2)).expect("it is small");
        assert_eq!(shifted.latency(), 9);
        assert_eq!(shifted.read(block).map(End::latency), Some(15));
        assert_eq!(shifted.read(Ahead::By(-2)), Some(once));
    }
}
