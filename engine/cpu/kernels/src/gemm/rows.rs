//! Few rows of `C` from a `B` whose rows are contiguous: weights as they lie, read once at the speed of memory.
//!
//! Goes through `B` in the order in which it lies, several rows at a time, and keeps the sums in the first-level
//! cache. An element's sum is one chain of multiply-adds in the order of `k`, as in `tile`.
#![expect(
    unsafe_code,
    reason = "vector instructions exist only on some machines"
)]
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "a kernel's whole body works under its own obligations"
)]

use crate::lanes::Lanes;

/// Columns whose sums are kept in the first-level cache: 8 KiB of f32 for a row.
const CHUNK: usize = 2048;

/// Rows of `B` that are read side by side: as many streams as CPUs prefetch.
const STREAMS: usize = 8;

/// What some rows of `C` are computed from.
#[derive(Clone, Copy)]
pub(super) struct Rows<E> {
    /// Rows of `C`.
    pub(super) m: usize,
    /// Columns.
    pub(super) n: usize,
    /// Length of the sums.
    pub(super) k: usize,
    /// The first row of `A`.
    pub(super) a: *const E,
    pub(super) a_row: isize,
    pub(super) a_col: isize,
    /// The first row of `B`, contiguous.
    pub(super) b: *const E,
    pub(super) b_row: isize,
    /// The first row of `C`, contiguous.
    pub(super) c: *mut E,
    pub(super) c_row: isize,
    /// Whether to add to what is there.
    pub(super) accumulate: bool,
}

/// Computes the rows.
///
/// # Safety
///
/// - Those of [`Lanes`].
/// - What `at` describes is valid for reading, and the rows of `C` for writing.
#[inline(always)]
pub(super) unsafe fn rows<L: Lanes>(at: &Rows<L::Element>) {
    // The sums of all rows stay in the cache.
    let chunk = (CHUNK / at.m.max(1)).next_multiple_of(64);
    let mut from = 0;
    while from < at.n {
        let count = chunk.min(at.n - from);
        let part = Rows {
            n: count,
            b: at.b.wrapping_add(from),
            c: at.c.wrapping_add(from),
            ..*at
        };
        let mut depth = 0;
        while depth + STREAMS <= at.k {
            for i in 0..at.m {
                add_rows::<L, STREAMS>(&part, i, depth);
            }
            depth += STREAMS;
        }
        while depth < at.k {
            for i in 0..at.m {
                add_rows::<L, 1>(&part, i, depth);
            }
            depth += 1;
        }
        from += count;
    }
}

/// Adds rows `depth..depth + R` of `B` to row `i` of `C`.
#[inline(always)]
unsafe fn add_rows<L: Lanes, const R: usize>(at: &Rows<L::Element>, i: usize, depth: usize) {
    let rows: [*const L::Element; R] =
        std::array::from_fn(|r| at.b.wrapping_offset((depth + r) as isize * at.b_row));
    let a = at.a.wrapping_offset(i as isize * at.a_row);
    let c = at.c.wrapping_offset(i as isize * at.c_row);
    let factors: [L::Vector; R] =
        std::array::from_fn(|r| L::splat(*a.wrapping_offset((depth + r) as isize * at.a_col)));
    let fresh = depth == 0 && !at.accumulate;
    let zero = L::splat(L::Element::default());
    let mut j = 0;
    while j + L::COUNT <= at.n {
        let mut sum = if fresh { zero } else { L::load(c.add(j)) };
        for r in 0..R {
            sum = L::mul_add(factors[r], L::load(rows[r].add(j)), sum);
        }
        L::store(c.add(j), sum);
        j += L::COUNT;
    }
    if j < at.n {
        let rest = at.n - j;
        let mut sum = if fresh {
            zero
        } else {
            L::load_first(c.add(j), rest)
        };
        for r in 0..R {
            sum = L::mul_add(factors[r], L::load_first(rows[r].add(j), rest), sum);
        }
        L::store_first(c.add(j), sum, rest);
    }
}
