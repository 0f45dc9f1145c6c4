//! Elements of `C` from rows of `A` and columns of `B` that are both contiguous: few rows, and weights as they lie,
//! `[n, k]`.
//!
//! Each sum is kept in one vector, whose lanes are joined at the end in a fixed order; so an element's bits depend on
//! `k` alone.
#![expect(
    unsafe_code,
    reason = "vector instructions exist only on some machines"
)]
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "a kernel's whole body works under its own obligations"
)]

use crate::lanes::Lanes;

/// What `rows * n` elements of `C` are computed from.
#[derive(Clone, Copy)]
pub(super) struct Dots<E> {
    /// Length of the sums.
    pub(super) k: usize,
    /// Columns of `C`.
    pub(super) n: usize,
    /// The first row of `A`, contiguous.
    pub(super) a: *const E,
    /// From a row of `A` to the next.
    pub(super) a_row: isize,
    /// The first column of `B`, contiguous.
    pub(super) b: *const E,
    /// From a column of `B` to the next.
    pub(super) b_col: isize,
    /// The place in `C`.
    pub(super) c: *mut E,
    pub(super) c_row: isize,
    pub(super) c_col: isize,
    /// Whether to add to what is there.
    pub(super) accumulate: bool,
}

/// Computes `R` rows, `C` columns at a time.
///
/// # Safety
///
/// - Those of [`Lanes`].
/// - What `at` describes is valid for reading, and its elements of `C` for writing.
#[inline(always)]
pub(super) unsafe fn dots<L: Lanes, const R: usize, const C: usize>(at: &Dots<L::Element>) {
    let mut j = 0;
    while j + C <= at.n {
        some::<L, R, C>(at, j);
        j += C;
    }
    while j < at.n {
        some::<L, R, 1>(at, j);
        j += 1;
    }
}

/// Columns `j..j + C` of `R` rows.
#[inline(always)]
unsafe fn some<L: Lanes, const R: usize, const C: usize>(at: &Dots<L::Element>, j: usize) {
    let rows: [*const L::Element; R] =
        std::array::from_fn(|r| at.a.wrapping_offset(r as isize * at.a_row));
    let cols: [*const L::Element; C] =
        std::array::from_fn(|c| at.b.wrapping_offset((j + c) as isize * at.b_col));
    let mut sums = [[L::splat(L::Element::default()); C]; R];
    let mut depth = 0;
    while depth + L::COUNT <= at.k {
        let left: [L::Vector; R] = std::array::from_fn(|r| L::load(rows[r].add(depth)));
        for c in 0..C {
            let right = L::load(cols[c].add(depth));
            for r in 0..R {
                sums[r][c] = L::mul_add(left[r], right, sums[r][c]);
            }
        }
        depth += L::COUNT;
    }
    if depth < at.k {
        let rest = at.k - depth;
        let left: [L::Vector; R] = std::array::from_fn(|r| L::load_first(rows[r].add(depth), rest));
        for c in 0..C {
            let right = L::load_first(cols[c].add(depth), rest);
            for r in 0..R {
                sums[r][c] = L::mul_add(left[r], right, sums[r][c]);
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        for (c, &sum) in sums.iter().enumerate() {
            let to =
                at.c.wrapping_offset(r as isize * at.c_row + (j + c) as isize * at.c_col);
            let sum = joined::<L>(sum);
            *to = if at.accumulate { *to + sum } else { sum };
        }
    }
}

/// The sum of a vector's lanes.
#[inline(always)]
unsafe fn joined<L: Lanes>(sum: L::Vector) -> L::Element {
    // No level has more lanes.
    let mut lanes = [L::Element::default(); 16];
    L::store(lanes.as_mut_ptr(), sum);
    let mut width = L::COUNT;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            lanes[lane] = lanes[lane] + lanes[lane + width];
        }
    }
    lanes[0]
}
