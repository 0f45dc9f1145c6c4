//! One row of `C` from a `B` whose rows are contiguous: weights as they lie, read once at the speed of memory.
//!
//! Goes through `B` in the order in which it lies, several rows at a time, and keeps the sums in the cache. An
//! element's sum is one chain of multiply-adds in the order of `k`, as in `tile`.
#![expect(
    unsafe_code,
    reason = "vector instructions exist only on some machines"
)]
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "a kernel's whole body works under its own obligations"
)]

use crate::lanes::Lanes;

/// Columns that are summed at a time: long stretches of `B`, which CPUs fetch ahead, and 64 KiB of f32 sums.
const CHUNK: usize = 1 << 14;

/// Rows of `B` that are read side by side: as many streams as CPUs fetch ahead.
const STREAMS: usize = 8;

/// What one row of `C` is computed from.
#[derive(Clone, Copy)]
pub(super) struct OneRow<E> {
    /// Columns.
    pub(super) n: usize,
    /// Length of the sums.
    pub(super) k: usize,
    /// The row of `A`.
    pub(super) a: *const E,
    pub(super) a_col: isize,
    /// The first row of `B`, contiguous.
    pub(super) b: *const E,
    pub(super) b_row: isize,
    /// The row of `C`, contiguous.
    pub(super) c: *mut E,
    /// Whether to add to what is there.
    pub(super) accumulate: bool,
}

/// Computes the row. `k` is at least 1.
///
/// # Safety
///
/// - Those of [`Lanes`].
/// - What `at` describes is valid for reading, and the row of `C` for writing.
#[inline(always)]
pub(super) unsafe fn row<L: Lanes>(at: &OneRow<L::Element>) {
    for from in (0..at.n).step_by(CHUNK) {
        let part = OneRow {
            n: CHUNK.min(at.n - from),
            b: at.b.wrapping_add(from),
            c: at.c.wrapping_add(from),
            ..*at
        };
        let mut depth = 0;
        while depth + STREAMS <= at.k {
            add_rows::<L, STREAMS>(&part, depth);
            depth += STREAMS;
        }
        while depth < at.k {
            add_rows::<L, 1>(&part, depth);
            depth += 1;
        }
    }
}

/// Adds rows `depth..depth + R` of `B`; the first ones replace what is in `C`, unless it is added to.
#[inline(always)]
unsafe fn add_rows<L: Lanes, const R: usize>(at: &OneRow<L::Element>, depth: usize) {
    let rows: [*const L::Element; R] =
        std::array::from_fn(|r| at.b.wrapping_offset((depth + r) as isize * at.b_row));
    let factors: [L::Vector; R] =
        std::array::from_fn(|r| L::splat(*at.a.wrapping_offset((depth + r) as isize * at.a_col)));
    let fresh = depth == 0 && !at.accumulate;
    let zero = L::splat(L::Element::default());
    let mut j = 0;
    while j + L::COUNT <= at.n {
        let mut sum = if fresh { zero } else { L::load(at.c.add(j)) };
        for r in 0..R {
            sum = L::mul_add(factors[r], L::load(rows[r].add(j)), sum);
        }
        L::store(at.c.add(j), sum);
        j += L::COUNT;
    }
    if j < at.n {
        let rest = at.n - j;
        let mut sum = if fresh {
            zero
        } else {
            L::load_first(at.c.add(j), rest)
        };
        for r in 0..R {
            sum = L::mul_add(factors[r], L::load_first(rows[r].add(j), rest), sum);
        }
        L::store_first(at.c.add(j), sum, rest);
    }
}
