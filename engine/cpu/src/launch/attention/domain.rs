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

impl Labels {
    /// The least and the largest label of positions `range`.
    fn range(&self, point: usize, range: Range<usize>) -> Option<(i64, i64)> {
        let start = if self.shared { 0 } else { point * self.count };
        let own = self.numbers.get(start + range.start..start + range.end)?;
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
    Labels {
        numbers,
        count,
        shared,
    }
}
