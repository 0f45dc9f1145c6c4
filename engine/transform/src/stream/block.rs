//! Places in blocks: where a row's block begins or ends.

/// The position ⌊(row + phase) / size⌋ · size + offset; row + offset if the size is 1 and the
/// phase 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Positions of a block, at least 1.
    pub(super) size: i64,
    pub(super) phase: i64,
    pub(super) offset: i64,
}

impl Block {
    /// So many positions before the row.
    pub(super) const fn behind(lag: i64) -> Self {
        Self {
            size: 1,
            phase: 0,
            offset: lag.saturating_neg(),
        }
    }

    /// With a phase of at least 0 that is less than the size.
    pub(super) fn normal(self) -> Self {
        let phase = self.phase.rem_euclid(self.size);
        let whole = self.phase.saturating_sub(phase);
        Self {
            phase,
            offset: self.offset.saturating_add(whole),
            ..self
        }
    }

    /// The most by which it lies after its row.
    pub(super) fn most(self) -> i64 {
        self.offset.saturating_add(self.phase)
    }

    /// The least by which it lies after its row.
    pub(super) fn least(self) -> i64 {
        self.most().saturating_sub(self.size - 1)
    }

    /// `inner` of the place that `self` is; an earlier one where that is no place in a block.
    pub(super) fn then(self, inner: Self) -> Self {
        let rest = self.offset.saturating_add(inner.phase);
        if self.size % inner.size == 0 {
            let whole = rest.div_euclid(inner.size).saturating_mul(inner.size);
            Self {
                offset: whole.saturating_add(inner.offset),
                ..self
            }
        } else if inner.size % self.size == 0 && rest % self.size == 0 {
            let phase = self.phase.saturating_add(rest);
            Self { phase, ..inner }.normal()
        } else {
            Self::behind(self.least().saturating_add(inner.least()).saturating_neg())
        }
    }

    /// The earlier one of both places, or one that is no later than both.
    pub(super) fn earlier(self, other: Self) -> Self {
        if self.is_before(other) {
            self
        } else if other.is_before(self) {
            other
        } else {
            Self::behind(self.least().min(other.least()).saturating_neg())
        }
    }

    /// Whether it is never after `other`. `false` means "not proved".
    fn is_before(self, other: Self) -> bool {
        // ⌊(i + p) / a⌋ · a is never after ⌊(i + p) / b⌋ · b if b divides a.
        let apart = self.phase.saturating_sub(other.phase);
        let aligned = self.size % other.size == 0
            && apart % other.size == 0
            && self.offset <= other.offset.saturating_sub(apart);
        aligned || self.most() <= other.least()
    }

    #[cfg(test)]
    pub(super) fn of(self, row: i64) -> i64 {
        (row + self.phase).div_euclid(self.size) * self.size + self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_compose_and_compare() {
        let places = || {
            [1, 2, 3, 4, 6].into_iter().flat_map(|size| {
                (0..size).flat_map(move |phase| {
                    [-7, -2, 0, 1, 4].map(|offset| Block {
                        size,
                        phase,
                        offset,
                    })
                })
            })
        };
        for one in places() {
            for other in places() {
                let (both, earlier) = (one.then(other), one.earlier(other));
                let mut exact = true;
                for row in 0..30 {
                    let (found, place) = (both.of(row), other.of(one.of(row)));
                    assert!(
                        found <= place,
                        "{one:?} {other:?} {row}: {found}, not {place}"
                    );
                    exact &= found == place;
                    assert!(earlier.of(row) <= one.of(row).min(other.of(row)));
                    assert!((one.least()..=one.most()).contains(&(one.of(row) - row)));
                }
                assert!(exact || one.size > 1 && other.size > 1, "{one:?} {other:?}");
            }
        }
    }
}
