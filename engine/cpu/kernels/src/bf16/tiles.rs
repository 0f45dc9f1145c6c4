//! Products by instructions that multiply whole tiles (AMX): up to 32 rows of `A` by 32 columns of `B`.
//!
//! A tile has 16 rows of 64 bytes. Of `A` these are 32 numbers of 16 rows, of `B` 16 pairs of rows in 16 columns,
//! of `C` 16 columns. Rows that a product lacks are zero.
#![expect(unsafe_code, reason = "matrices are pointers and strides")]

use std::ops::Range;

use super::product::{Pairs, Target, round_row};
use super::{Bf16Matrix, COLS, STEPS};
use crate::gemm::View;
use crate::gemm::scratch::with_scratch;
use crate::level::Level;
use crate::pool::Pool;
use crate::tiles::{Config, SIDE, Tiles};

/// Rows of two tiles.
const ROWS: usize = 2 * SIDE;

/// Bytes of rounded activations that stay in the second-level cache while strips pass.
const RESIDENT: usize = 1 << 19;

/// Rows of `C` that are finished together.
const FINISHED: usize = 8;

/// Multiply-adds that are not worth a second thread: some microseconds.
const SMALL: usize = 1 << 19;

/// Eight whole tiles.
static FULL: Config = Config::new([(SIDE, 4 * SIDE); 8]);

/// # Safety
///
/// As for [`super::bf16_matmul`]; the machine has the unit.
pub(super) unsafe fn multiply<T: Tiles>(
    level: Level,
    pool: &Pool,
    m: usize,
    a: View<f32>,
    b: &Bf16Matrix,
    target: &Target<'_>,
) {
    let steps = b.steps();
    let padded = m.next_multiple_of(SIDE);
    let strips = b.n.div_ceil(COLS);
    with_scratch(padded * steps, |pairs: *mut u32| {
        let pairs = Pairs(pairs);
        let round = |rows: Range<usize>| {
            for row in rows {
                let (to, known) = (pairs.at(row * steps), b.k.div_ceil(2));
                let mut filled = 0;
                if row < m {
                    // SAFETY: the caller vouches for the row; its pairs are in the scratch.
                    unsafe { round_row(level, b.k, a.at(row, 0), to, 1) };
                    filled = known;
                }
                // SAFETY: the rest of this row's pairs.
                unsafe { to.wrapping_add(filled).write_bytes(0, steps - filled) };
            }
        };
        // SAFETY: the caller vouches for `C`, of which this writes the strips' columns; all rows are rounded.
        let multiply =
            |own: Range<usize>| unsafe { by_strips::<T>(m, pairs.at(0), b, own, target) };
        if m.saturating_mul(b.n).saturating_mul(b.k) <= SMALL {
            pool.run(1, &|_, _| {
                round(0..padded);
                multiply(0..strips);
            });
        } else {
            pool.split(padded, SIDE, &|rows, _| round(rows));
            pool.split(strips, 1, &|strips, _| multiply(strips));
        }
    });
}

/// All rows of `C`, in the columns of some strips.
///
/// # Safety
///
/// - The machine has the unit.
/// - `pairs` are those of all rows, filled up; `C` is valid for writing in these columns.
unsafe fn by_strips<T: Tiles>(
    m: usize,
    pairs: *const u32,
    b: &Bf16Matrix,
    strips: Range<usize>,
    target: &Target<'_>,
) {
    let steps = b.steps();
    let resident = (RESIDENT / (steps * size_of::<u32>()).max(1)).max(1);
    let resident = resident.next_multiple_of(ROWS);
    let mut sums = [[0.0; COLS]; ROWS];
    // SAFETY: the caller vouches for the unit.
    unsafe { T::begin(&FULL) };
    for first in (0..m).step_by(resident) {
        for strip in strips.clone() {
            let (col, columns) = (strip * COLS, b.strip(strip));
            let cols = COLS.min(b.n - col);
            for row in (first..m.min(first + resident)).step_by(ROWS) {
                let rows = pairs.wrapping_add(row * steps);
                let multiply = if m - row > SIDE {
                    tile::<T, true>
                } else {
                    tile::<T, false>
                };
                // SAFETY: the registers are tiles; there are as many rows of pairs, filled up to whole tiles.
                unsafe { multiply(steps, rows, columns, &mut sums) };
                let rows = ROWS.min(m - row);
                for (at, sums) in sums[..rows].chunks_mut(FINISHED).enumerate() {
                    // SAFETY: the rows lie inside `C`; the caller vouches for the epilogue.
                    unsafe { target.store(sums, row + at * FINISHED, col, cols) };
                }
            }
        }
    }
    // SAFETY: as above.
    unsafe { T::end() };
}

/// Sums of one or `TWO` times 16 rows.
///
/// # Safety
///
/// - The registers are tiles.
/// - There are `steps` pairs in every row and of every column, a multiple of 16.
#[expect(
    unsafe_op_in_unsafe_fn,
    reason = "every tile lies in what the caller vouches for"
)]
unsafe fn tile<T: Tiles, const TWO: bool>(
    steps: usize,
    a: *const u32,
    b: *const u32,
    to: &mut [[f32; COLS]; ROWS],
) {
    let (a_row, b_row, c_row) = (4 * steps, 4 * COLS, 4 * COLS);
    let to = to.as_mut_ptr().cast::<f32>();
    T::zero::<0>();
    T::zero::<1>();
    if TWO {
        T::zero::<2>();
        T::zero::<3>();
    }
    for step in (0..steps).step_by(STEPS) {
        T::load::<4>(a.wrapping_add(step).cast(), a_row);
        T::load::<6>(b.wrapping_add(step * COLS).cast(), b_row);
        T::load::<7>(b.wrapping_add(step * COLS + SIDE).cast(), b_row);
        T::dot_brains::<0, 4, 6>();
        T::dot_brains::<1, 4, 7>();
        if TWO {
            T::load::<5>(a.wrapping_add(SIDE * steps + step).cast(), a_row);
            T::dot_brains::<2, 5, 6>();
            T::dot_brains::<3, 5, 7>();
        }
    }
    T::store::<0>(to.cast(), c_row);
    T::store::<1>(to.wrapping_add(SIDE).cast(), c_row);
    if TWO {
        T::store::<2>(to.wrapping_add(SIDE * COLS).cast(), c_row);
        T::store::<3>(to.wrapping_add(SIDE * COLS + SIDE).cast(), c_row);
    }
}
