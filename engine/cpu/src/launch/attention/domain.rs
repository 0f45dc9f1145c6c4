//! What is known of whole tiles of an attention's domain.

use std::ops::Range;

use girih_graph::Extent;
use girih_plan::plan::{Attention, Domain, TensorId};
use girih_runtime::backend::RunError;

use crate::frame::Frame;

/// A domain with numbers for its sizes.
#[derive(Debug)]
pub(super) enum Known {
    Nothing,
    All,
    /// Pairs with `row·i + key·j + offset >= 0`.
    Affine {
        row: i64,
        key: i64,
        offset: i64,
    },
    /// Labels of rows and of keys, point after point.
    Labels {
        rows: Labels,
        keys: Labels,
    },
    And(Box<Known>, Box<Known>),
    Or(Box<Known>, Box<Known>),
}

/// Labels along an axis for every point.
#[derive(Debug)]
pub(super) struct Labels {
    numbers: Vec<i64>,
    /// Labels of one point; all points share those of the first if they are alike.
    count: usize,
    shared: bool,
    /// Whether no label of a point is less than one before it.
    sorted: bool,
}

impl Known {
    /// # Errors
    ///
    /// A size that cannot be computed.
    pub(super) fn of(
        domain: &Domain,
        launch: &Attention,
        frame: &Frame<'_>,
    ) -> Result<Self, RunError> {
        let both = |x: &Domain, y: &Domain| -> Result<_, RunError> {
            Ok((
                Box::new(Self::of(x, launch, frame)?),
                Box::new(Self::of(y, launch, frame)?),
            ))
        };
        Ok(match domain {
            Domain::Unknown => Self::Nothing,
            Domain::All => Self::All,
            Domain::Affine { row, key, offset } => Self::Affine {
                row: *row,
                key: *key,
                offset: number(offset, frame)?,
            },
            Domain::SameLabel(rows, keys) => Self::Labels {
                rows: labels(*rows, launch, launch.rows, frame),
                keys: labels(*keys, launch, launch.keys, frame),
            },
            Domain::And(x, y) => {
                let (x, y) = both(x, y)?;
                Self::And(x, y)
            }
            Domain::Or(x, y) => {
                let (x, y) = both(x, y)?;
                Self::Or(x, y)
            }
        })
    }

    /// Whether all pairs of a tile count, or none; `None` if some may and some may not.
    pub(super) fn of_tile(
        &self,
        point: usize,
        rows: Range<usize>,
        keys: Range<usize>,
    ) -> Option<bool> {
        match self {
            Self::Nothing => None,
            Self::All => Some(true),
            Self::Affine { row, key, offset } => {
                let ends = |factor: i64, range: &Range<usize>| {
                    let first = factor.saturating_mul(range.start as i64);
                    let last = factor.saturating_mul(range.end.saturating_sub(1) as i64);
                    (first.min(last), first.max(last))
                };
                let (row, key) = (ends(*row, &rows), ends(*key, &keys));
                let least = row.0.saturating_add(key.0).saturating_add(*offset);
                let most = row.1.saturating_add(key.1).saturating_add(*offset);
                if least >= 0 {
                    Some(true)
                } else if most < 0 {
                    Some(false)
                } else {
                    None
                }
            }
            Self::Labels {
                rows: of_rows,
                keys: of_keys,
            } => {
                let (rows, keys) = (of_rows.range(point, rows)?, of_keys.range(point, keys)?);
                if rows.1 < keys.0 || keys.1 < rows.0 {
                    Some(false)
                } else if rows.0 == rows.1 && rows == keys {
                    Some(true)
                } else {
                    None
                }
            }
            Self::And(x, y) => {
                let x = x.of_tile(point, rows.clone(), keys.clone());
                if x == Some(false) {
                    return x;
                }
                match y.of_tile(point, rows, keys) {
                    Some(true) => x,
                    Some(false) => Some(false),
                    None => None,
                }
            }
            Self::Or(x, y) => {
                let x = x.of_tile(point, rows.clone(), keys.clone());
                if x == Some(true) {
                    return x;
                }
                match y.of_tile(point, rows, keys) {
                    Some(true) => Some(true),
                    Some(false) => x,
                    None => None,
                }
            }
        }
    }
}

impl Known {
    /// Which of so many keys count for a row, if they are known to lie together.
    fn span(&self, point: usize, row: usize, keys: usize) -> Option<Range<usize>> {
        let fitted = |at: i128| at.clamp(0, keys as i128) as usize;
        Some(match self {
            Self::Nothing | Self::Or(..) => return None,
            Self::All => 0..keys,
            Self::Affine {
                row: factor,
                key,
                offset,
            } => {
                // Positions and factors are below 2^63: nothing here overflows.
                let rest = i128::from(*factor) * row as i128 + i128::from(*offset);
                let key = i128::from(*key);
                match key.signum() {
                    // rest + key · j >= 0 from here on, or up to here.
                    1 => fitted(-quotient(rest, key))..keys,
                    -1 => 0..fitted(quotient(rest, -key) + 1),
                    _ if rest >= 0 => 0..keys,
                    _ => 0..0,
                }
            }
            Self::Labels {
                rows: of_rows,
                keys: of_keys,
            } => {
                let (&[label], own) = (
                    of_rows.of(point, row..row + 1)?,
                    of_keys.of(point, 0..keys)?,
                ) else {
                    return None;
                };
                of_keys.sorted.then_some(())?;
                own.partition_point(|own| *own < label)..own.partition_point(|own| *own <= label)
            }
            Self::And(x, y) => {
                let (x, y) = (x.span(point, row, keys)?, y.span(point, row, keys)?);
                x.start.max(y.start)..x.end.min(y.end)
            }
        })
    }

    /// Whether all points have the same pairs.
    fn is_shared(&self) -> bool {
        match self {
            Self::Nothing | Self::All | Self::Affine { .. } => true,
            Self::Labels { rows, keys } => rows.shared && keys.shared,
            Self::And(x, y) | Self::Or(x, y) => x.is_shared() && y.is_shared(),
        }
    }

    /// Which of at most 64 keys count for a row, a bit for each; of what is not known, all.
    pub(super) fn of_row(&self, point: usize, row: usize, keys: &Range<usize>) -> u64 {
        if let Some(span) = self.span(point, row, keys.end) {
            let [from, to] = [span.start, span.end].map(|at| at.saturating_sub(keys.start));
            return below(to) & !below(from);
        }
        match self {
            Self::Nothing | Self::All | Self::Affine { .. } => u64::MAX,
            Self::Labels {
                rows: of_rows,
                keys: of_keys,
            } => {
                let label = of_rows.of(point, row..row + 1);
                let (Some([label]), Some(own)) = (label, of_keys.of(point, keys.clone())) else {
                    return u64::MAX;
                };
                let equal = own.iter().enumerate().filter(|(_, own)| *own == label);
                equal.fold(0, |bits, (at, _)| bits | 1 << at)
            }
            Self::And(x, y) => x.of_row(point, row, keys) & y.of_row(point, row, keys),
            Self::Or(x, y) => x.of_row(point, row, keys) | y.of_row(point, row, keys),
        }
    }
}

/// `x` divided by a positive number, rounded down; integers of 128 bits divide slowly.
fn quotient(x: i128, by: i128) -> i128 {
    match (i64::try_from(x), i64::try_from(by)) {
        (Ok(x), Ok(by)) => x.div_euclid(by).into(),
        _ => x.div_euclid(by),
    }
}

/// The lowest bits.
fn below(count: usize) -> u64 {
    let bits = u32::try_from(count)
        .ok()
        .and_then(|count| 1_u64.checked_shl(count));
    bits.map_or(u64::MAX, |bit| bit - 1)
}

/// The keys that count for each row of each point, where they lie together for all of them.
pub(super) struct Spans {
    spans: Vec<Range<usize>>,
    /// Rows of a point, or 0 if all points have those of the first.
    rows: usize,
}

impl Spans {
    pub(super) fn of(known: &Known, points: usize, rows: usize, keys: usize) -> Option<Self> {
        let shared = known.is_shared();
        let points = if shared { points.min(1) } else { points };
        let all = (0..points).flat_map(|point| (0..rows).map(move |row| (point, row)));
        let spans = all.map(|(point, row)| known.span(point, row, keys));
        Some(Self {
            spans: spans.collect::<Option<_>>()?,
            rows: if shared { 0 } else { rows },
        })
    }

    /// # Panics
    ///
    /// If there is no such point or row.
    pub(super) fn of_row(&self, point: usize, row: usize) -> &Range<usize> {
        &self.spans[point * self.rows + row]
    }
}

impl Labels {
    /// Those of positions `range`.
    fn of(&self, point: usize, range: Range<usize>) -> Option<&[i64]> {
        let start = if self.shared { 0 } else { point * self.count };
        self.numbers.get(start + range.start..start + range.end)
    }

    /// The least and the largest label of positions `range`.
    fn range(&self, point: usize, range: Range<usize>) -> Option<(i64, i64)> {
        let own = self.of(point, range)?;
        if self.sorted {
            return Some((*own.first()?, *own.last()?));
        }
        Some((*own.iter().min()?, *own.iter().max()?))
    }
}

fn number(extent: &Extent, frame: &Frame<'_>) -> Result<i64, RunError> {
    let value = extent.evaluate(&|symbol| frame.bound.symbols.get(symbol).copied());
    value.map_err(|source| RunError::Size {
        what: format!("`{extent}`"),
        source,
    })
}

/// The labels that a tensor holds along `axis`, for every point.
fn labels(
    tensor: TensorId,
    launch: &Attention,
    axis: girih_graph::AxisId,
    frame: &Frame<'_>,
) -> Labels {
    let view = frame.view(tensor);
    let cells = frame.cells::<i64>(tensor);
    let count = view.line(axis).map_or(0, |line| line.extent);
    let shared = launch.points.iter().all(|axis| view.step(*axis) == 0);
    let mut extents: Vec<(usize, isize)> = Vec::new();
    if !shared {
        let out = frame.view(launch.out);
        for axis in &launch.points {
            let extent = out.line(*axis).map_or(1, |line| line.extent);
            extents.push((extent, view.step(*axis)));
        }
    }
    let points: usize = extents.iter().map(|(extent, _)| *extent).product();
    let mut numbers = Vec::with_capacity(points.saturating_mul(count));
    for point in 0..points {
        let (mut rest, mut start) = (point, view.offset);
        for (extent, step) in extents.iter().rev() {
            start += step * (rest % extent) as isize;
            rest /= extent;
        }
        numbers.extend((0..count as isize).map(|at| cells.get(start + at * view.step(axis))));
    }
    let sorted = numbers.chunks(count.max(1)).all(<[i64]>::is_sorted);
    Labels {
        numbers,
        count,
        shared,
        sorted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(numbers: &[i64]) -> Labels {
        Labels {
            numbers: numbers.to_vec(),
            count: numbers.len(),
            shared: true,
            sorted: numbers.is_sorted(),
        }
    }

    /// Rows and tiles say what pairs say.
    fn check(known: &Known, counts: impl Fn(i64, i64) -> bool) {
        for keys in [0..1, 0..9, 3..9, 5..6] {
            for row in 0..9 {
                let expected = keys.clone().map(|key| counts(row as i64, key as i64));
                let expected = expected.enumerate();
                let expected = expected.fold(0, |bits, (at, own)| bits | u64::from(own) << at);
                let all = below(keys.len());
                let found = known.of_row(0, row, &keys) & all;
                assert_eq!(found, expected, "{known:?}: row {row} of {keys:?}");
                if let Some(spans) = Spans::of(known, 3, 9, 9) {
                    let span = spans.of_row(2, row);
                    let inside = keys.clone().map(|key| span.contains(&key)).enumerate();
                    let inside = inside.fold(0, |bits, (at, own)| bits | u64::from(own) << at);
                    assert_eq!(inside, expected, "{known:?}: row {row} has {span:?}");
                }
                match known.of_tile(0, row..row + 1, keys.clone()) {
                    Some(true) => assert_eq!(found, all),
                    Some(false) => assert_eq!(found, 0),
                    None => {}
                }
            }
        }
    }

    #[test]
    fn rows_say_what_pairs_say() {
        for row in -2..=2 {
            for key in -3..=3 {
                for offset in -7..=7 {
                    let known = Known::Affine { row, key, offset };
                    check(&known, |i, j| row * i + key * j + offset >= 0);
                }
            }
        }
        let far = Known::Affine {
            row: i64::MIN,
            key: i64::MAX,
            offset: i64::MIN,
        };
        assert_eq!(far.of_row(0, usize::MAX >> 1, &(0..64)), 0);
        let documents: [i64; 9] = [0, 0, 0, 1, 1, 1, 1, 2, 2];
        let turns: [i64; 9] = [2, 0, 1, 2, 0, 1, 2, 0, 1];
        for own in [documents, turns] {
            let same = || Known::Labels {
                rows: labels(&own),
                keys: labels(&own),
            };
            let causal = || Known::Affine {
                row: 1,
                key: -1,
                offset: 0,
            };
            let equal = |i: i64, j: i64| own[i as usize] == own[j as usize];
            check(&same(), equal);
            let both = Known::And(Box::new(same()), Box::new(causal()));
            check(&both, |i, j| equal(i, j) && j <= i);
            let either = Known::Or(Box::new(same()), Box::new(causal()));
            check(&either, |i, j| equal(i, j) || j <= i);
        }
    }
}
