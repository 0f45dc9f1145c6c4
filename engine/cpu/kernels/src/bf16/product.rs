//! One product: activations are rounded once, then strips of weights are shared between threads.
#![expect(unsafe_code, reason = "matrices are pointers and strides")]

use std::ops::Range;

use super::kernels::{ByRows, MOST_ROWS, Strip, by_rows};
use super::{Bf16Matrix, COLS, tiles};
use crate::gemm::scratch::with_scratch;
use crate::gemm::{Finish, View, ViewMut};
use crate::level::Level;
use crate::pool::Pool;
use crate::table::routines;
#[cfg(target_arch = "x86_64")]
use crate::tiles::amx::Amx;

/// Multiply-adds that are not worth a second thread: some microseconds.
const SMALL: usize = 1 << 16;

/// Bytes of rounded activations that stay in the second-level cache while strips pass.
const RESIDENT: usize = 1 << 18;

/// Elements of a row that are rounded at a time.
const PIECE: usize = 64;

/// # Safety
///
/// As for [`super::bf16_matmul`].
pub(super) unsafe fn multiply(
    level: Level,
    pool: &Pool,
    m: usize,
    a: View<f32>,
    b: &Bf16Matrix,
    c: ViewMut<f32>,
    finish: Finish<'_>,
) {
    let target = Target { c, finish };
    #[cfg(target_arch = "x86_64")]
    if level == Level::Amx {
        // SAFETY: the machine has the level; the other obligations are the same.
        return unsafe { tiles::multiply::<Amx>(level, pool, m, a, b, &target) };
    }
    let steps = b.k.div_ceil(2);
    let strips = b.n.div_ceil(COLS);
    let product = Product {
        by_rows: by_rows(level),
        m,
        b,
        target,
    };
    with_scratch(m * steps, |pairs: *mut u32| {
        let pairs = Pairs(pairs);
        let round = |rows: Range<usize>| {
            for tile in cut(rows) {
                for row in tile.clone() {
                    let to = pairs.at(tile.start * steps + row - tile.start);
                    // SAFETY: the caller vouches for the row; a tile's pairs are `[steps][rows]` from its first
                    // row's place on.
                    unsafe { round_row(level, b.k, a.at(row, 0), to, tile.len()) };
                }
            }
        };
        // SAFETY: the caller vouches for `C`, of which this writes the strips' columns; all rows are rounded.
        let multiply = |strips: Range<usize>| unsafe { product.strips(pairs.at(0), strips) };
        if m.saturating_mul(b.n).saturating_mul(b.k) <= SMALL {
            pool.run(1, &|_, _| {
                round(0..m);
                multiply(0..strips);
            });
        } else {
            pool.split(m, MOST_ROWS, &|rows, _| round(rows));
            pool.split(strips, 1, &|strips, _| multiply(strips));
        }
    });
}

/// Where pairs lie; threads write different ones, and read when all are written.
#[derive(Clone, Copy)]
pub(super) struct Pairs(pub(super) *mut u32);

// SAFETY: an address; what is done with it is vouched for where it is used.
unsafe impl Send for Pairs {}
// SAFETY: as above.
unsafe impl Sync for Pairs {}

impl Pairs {
    pub(super) fn at(&self, pair: usize) -> *mut u32 {
        self.0.wrapping_add(pair)
    }
}

/// Cuts rows into tiles of 8, 4, 2 and 1. Ranges that begin at multiples of [`MOST_ROWS`] and end there, or with the
/// last row, are cut as all rows are.
fn cut(rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut from = rows.start;
    std::iter::from_fn(move || {
        (from < rows.end).then(|| {
            let tile = from..from + (1 << (rows.end - from).min(MOST_ROWS).ilog2());
            from = tile.end;
            tile
        })
    })
}

/// Rounds a row of `k` elements and writes its pairs `stride` apart; an odd last element has a zero beside it.
///
/// # Safety
///
/// - The machine has the level.
/// - The elements are valid for reading, and `to` for writing.
pub(super) unsafe fn round_row(
    level: Level,
    k: usize,
    row: View<f32>,
    to: *mut u32,
    stride: usize,
) {
    let narrow = routines(level).f32_to_bf16;
    for first in (0..k).step_by(PIECE) {
        let count = PIECE.min(k - first);
        let (mut wide, mut halves) = ([0.0_f32; PIECE], [0_u16; PIECE]);
        let mut source = row.at(0, first).ptr;
        if row.col != 1 {
            for (i, element) in wide.iter_mut().enumerate().take(count) {
                // SAFETY: inside the row.
                *element = unsafe { *row.at(0, first + i).ptr };
            }
            source = wide.as_ptr();
        }
        // SAFETY: the level is there; both have as many elements.
        unsafe { narrow(source, halves.as_mut_ptr(), count) };
        let pairs = halves.as_chunks::<2>().0.iter().take(count.div_ceil(2));
        for (step, &[even, odd]) in pairs.enumerate() {
            let to = to.wrapping_add((first / 2 + step) * stride);
            // SAFETY: a pair of this row.
            unsafe { to.write(u32::from(even) | u32::from(odd) << 16) };
        }
    }
}

struct Product<'a> {
    by_rows: ByRows,
    m: usize,
    b: &'a Bf16Matrix,
    target: Target<'a>,
}

impl Product<'_> {
    /// All rows of `C`, in the columns of some strips.
    ///
    /// # Safety
    ///
    /// - The machine has the loops' instructions.
    /// - `pairs` are those of all rows; `C` is valid for writing in these columns.
    unsafe fn strips(&self, pairs: *const u32, strips: Range<usize>) {
        let steps = self.b.k.div_ceil(2);
        let resident = (RESIDENT / (steps * size_of::<u32>()).max(1)).max(1);
        let resident = resident.next_multiple_of(MOST_ROWS);
        let mut sums = [[0.0; COLS]; MOST_ROWS];
        for first in (0..self.m).step_by(resident) {
            for strip in strips.clone() {
                let cols = COLS.min(self.b.n - strip * COLS);
                for tile in cut(first..self.m.min(first + resident)) {
                    let multiply = self.by_rows[tile.len().ilog2() as usize];
                    let at = Strip {
                        steps,
                        a: pairs.wrapping_add(tile.start * steps),
                        b: self.b.strip(strip),
                    };
                    let sums = &mut sums[..tile.len()];
                    // SAFETY: the strip is packed, and the tile's pairs are as it says.
                    unsafe { multiply(&at, sums) };
                    // SAFETY: the tile lies inside `C`; the caller vouches for the epilogue.
                    unsafe { self.target.store(sums, tile.start, strip * COLS, cols) };
                }
            }
        }
    }
}

/// Where sums go.
pub(super) struct Target<'a> {
    pub(super) c: ViewMut<f32>,
    pub(super) finish: Finish<'a>,
}

impl Target<'_> {
    /// Finishes a tile and stores it.
    ///
    /// # Safety
    ///
    /// - The tile's elements of `C` are valid for writing.
    /// - The epilogue keeps to the tile.
    pub(super) unsafe fn store(
        &self,
        sums: &mut [[f32; COLS]],
        row: usize,
        col: usize,
        cols: usize,
    ) {
        let rows = sums.len();
        if self.finish.accumulate {
            for (i, sums) in sums.iter_mut().enumerate() {
                for (j, sum) in sums[..cols].iter_mut().enumerate() {
                    // SAFETY: inside `C`.
                    *sum += unsafe { *self.c.at(row + i, col + j).ptr };
                }
            }
        }
        if let Some(epilogue) = self.finish.epilogue {
            let tile = sums.as_mut_ptr().cast();
            // SAFETY: the caller of the product vouches for the epilogue; the tile is all there.
            unsafe {
                (epilogue.call)(epilogue.context, tile, COLS as isize, row, col, rows, cols);
            };
        }
        for (i, sums) in sums.iter().enumerate() {
            let to = self.c.at(row + i, col);
            if self.c.col == 1 {
                // SAFETY: `cols` contiguous elements of a row of `C`.
                unsafe { std::ptr::copy_nonoverlapping(sums.as_ptr(), to.ptr, cols) };
                continue;
            }
            for (j, &sum) in sums[..cols].iter().enumerate() {
                // SAFETY: inside `C`.
                unsafe { *to.at(0, j).ptr = sum };
            }
        }
    }
}
