//! Softmax attention over tiles, with a score function that the caller compiled.
//!
//! For every point (one head of one sequence): `s[i, j] = scale · Σ(e) q[i, e] k[j, e]`,
//! changed by the score function, which also takes positions out of the domain;
//! `a = softmax(j) s`; `o[i, f] = Σ(j) a[i, j] v[j, f]`. Tiles outside the domain are
//! neither computed nor read, and memory beyond the operands does not grow with the
//! number of keys. Results do not depend on the number of threads.
//!
//! Where there are few queries (decoding), the keys are cut into chunks whose
//! partial results are merged, so that threads share one long context.
//!
//! Left out: dropout, gradients (the row statistics are what they need), and the
//! choice whether this algorithm is the right one.
//!
//! Source: Milakov & Gimelshein 2018, arXiv 1805.02867 (online softmax); Dao et al.
//! 2022, arXiv 2205.14135 (tiles); Sanovar et al. 2024, arXiv 2405.10480 (merging).
#![expect(
    unsafe_code,
    reason = "operands are pointers and the score function is foreign code"
)]

mod item;
mod lanes;
#[cfg(target_arch = "x86_64")]
mod lanes_x86;
mod layout;
mod merge;
mod score;
mod scratch;
mod stored;
#[cfg(test)]
mod tests;
mod tile;
mod work;

use core::ffi::c_void;

use crate::{Level, Pool};

pub use merge::{Partial, merge_partial, merge_rows};
pub use score::{Classify, Score, ScoreTile, TileKind};
pub use stored::Stored;

/// Strides of a matrix in elements: from row to row, from element to element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strides {
    /// From one query, key, value or result to the next.
    pub row: isize,
    /// From one element of it to the next; 1 is fastest.
    pub element: isize,
}

/// Where the operands of one point begin.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// `[queries, features]`.
    pub q: *const f32,
    /// `[keys, features]`, of the dtype [`Attention::stored`].
    pub k: *const c_void,
    /// `[keys, values]`, of the dtype [`Attention::stored`].
    pub v: *const c_void,
    /// `[queries, values]`, written.
    pub o: *mut f32,
    /// `[queries]`, written: the largest score, −∞ for an empty row. Null: not wanted.
    pub maximum: *mut f32,
    /// `[queries]`, written: ln Σ(j) exp(s), −∞ for an empty row. Null: not wanted.
    pub log_sum_exp: *mut f32,
}

/// One attention over many points.
///
/// Points `g · group .. (g + 1) · group` read the keys and values of the first of
/// them, which are then prepared once for all (grouped queries); 0 counts as 1.
/// Sizes may be 0: without keys, or where the domain leaves no key, results are 0.
///
/// A NaN score, or +∞, makes the whole row NaN. A value that is not finite spoils
/// the results of all rows whose tile it is in, even where its weight is 0.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// One per head and sequence.
    pub points: &'a [Point],
    /// How many consecutive points share keys and values.
    pub group: usize,
    /// Number of queries of a point.
    pub queries: usize,
    /// Number of keys of a point.
    pub keys: usize,
    /// Length of a query and of a key.
    pub features: usize,
    /// Length of a value and of a result.
    pub values: usize,
    /// Factor of all scores, before the score function sees them.
    pub scale: f32,
    /// Of the queries.
    pub q: Strides,
    /// Of the keys.
    pub k: Strides,
    /// Of the values.
    pub v: Strides,
    /// Of the results.
    pub o: Strides,
    /// From one statistic to the next, in elements.
    pub statistics: isize,
    /// Of the keys and values.
    pub stored: Stored,
    /// Score function and domain.
    pub score: Score,
}

/// Runs an attention on the threads of `pool`.
///
/// Costs scratch memory of at most 300 KB per thread for heads of 64, kept for
/// the next call; where keys are cut into chunks, also one unfinished row per query and chunk.
///
/// ```
/// use core::ptr::null_mut;
/// use girih_kernels::attention::{Attention, Point, Score, Stored, Strides, attention_f32};
/// use girih_kernels::{Pool, level};
///
/// // One query and two equal keys: the mean of their values.
/// let (q, k, v, mut o) = ([1.0_f32], [3.0_f32, 3.0], [10.0_f32, 20.0], [0.0_f32]);
/// let point = Point {
///     q: q.as_ptr(),
///     k: k.as_ptr().cast(),
///     v: v.as_ptr().cast(),
///     o: o.as_mut_ptr(),
///     maximum: null_mut(),
///     log_sum_exp: null_mut(),
/// };
/// let strides = Strides { row: 1, element: 1 };
/// let attention = Attention {
///     points: &[point],
///     group: 1,
///     queries: 1,
///     keys: 2,
///     features: 1,
///     values: 1,
///     scale: 1.0,
///     q: strides,
///     k: strides,
///     v: strides,
///     o: strides,
///     statistics: 1,
///     stored: Stored::F32,
///     score: Score::NONE,
/// };
/// // SAFETY: the operands have the sizes that are given, and the level is this machine's.
/// unsafe { attention_f32(level::detected(), &Pool::new(1), &attention) };
/// assert_eq!(o, [15.0]);
/// ```
///
/// # Safety
/// - The CPU has `level`.
/// - For every point, all elements that sizes and strides name are readable and
///   aligned, those of `o`, `maximum` and `log_sum_exp` writable; what is written
///   overlaps nothing else that is read or written.
/// - The functions of `score` keep to their description and may be called with
///   `score.ctx` from every thread of the pool.
pub unsafe fn attention_f32(level: Level, pool: &Pool, attention: &Attention) {
    let work = work::Work::new(level, pool.threads(), attention);
    // SAFETY: the caller gives what `Work` needs; every item writes other rows.
    pool.run(work.items(), &|item, _| unsafe { work.run(item) });
    // SAFETY: as above; all partial results are written.
    pool.run(work.merges(), &|block, _| unsafe { work.merge(block) });
}
