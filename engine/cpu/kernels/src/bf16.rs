//! Products in brain floats: weights are rounded to bf16 once, activations as they come, sums are f32.
//!
//! With AMX whole tiles are multiplied by one instruction, with AVX-512 BF16 a pair of products is one step of one; other machines widen the same rounded numbers
//! and multiply in f32. Results of levels differ by the rounding of f32 sums only. Work is shared by columns of `C`
//! only, and an element's sum has one order at a level: neither the number of threads nor that of rows changes a bit.
#![expect(unsafe_code, reason = "matrices are pointers and strides")]

mod kernels;
mod product;
mod tiles;

use crate::gemm::{Finish, View, ViewMut};
use crate::level::Level;
use crate::pages::Pages;
use crate::pool::Pool;
use crate::table::routines;

/// Columns of a strip.
const COLS: usize = 32;

/// Pairs of rows that a tile has.
const STEPS: usize = 16;

/// Weights `[k, n]`, rounded to bf16, to nearest and ties to even.
///
/// In strips of 32 columns, filled up with zeros: a strip holds its columns' part of two rows after that of two
/// others, the two numbers of a column side by side. Rows are filled up with zeros, too, to 32 or a multiple.
#[derive(Clone, Debug)]
pub struct Bf16Matrix {
    k: usize,
    n: usize,
    /// `[strips][steps][32]`, two bf16 in each: that of the even row in the lower half.
    pairs: Pages<u32>,
}

impl Bf16Matrix {
    /// Rounds and packs the weights that `source` shows.
    ///
    /// # Safety
    ///
    /// - Every element that `source` names, `[k, n]`, is valid for reading.
    pub unsafe fn pack(k: usize, n: usize, source: View<f32>) -> Self {
        let steps = k.div_ceil(2).next_multiple_of(STEPS);
        let mut pairs = Pages::zeros(n.div_ceil(COLS) * steps * COLS);
        let mut lines = pairs.chunks_exact_mut(COLS);
        let narrow = routines(Level::Baseline).f32_to_bf16;
        for first in (0..n).step_by(COLS) {
            let cols = COLS.min(n - first);
            for step in 0..steps {
                let (mut wide, mut halves) = ([[0.0_f32; COLS]; 2], [[0_u16; COLS]; 2]);
                for (i, row) in wide.iter_mut().enumerate().take(k.saturating_sub(2 * step)) {
                    for (j, element) in row.iter_mut().enumerate().take(cols) {
                        // SAFETY: inside the weights.
                        *element = unsafe { *source.at(2 * step + i, first + j).ptr };
                    }
                }
                // SAFETY: both have as many elements; every machine runs the baseline.
                unsafe { narrow(wide.as_ptr().cast(), halves.as_mut_ptr().cast(), 2 * COLS) };
                let [even, odd] = halves;
                let pair = |(even, odd): (u16, u16)| u32::from(even) | u32::from(odd) << 16;
                let line = lines.next().into_iter().flatten();
                for (to, halves) in line.zip(even.into_iter().zip(odd)) {
                    *to = pair(halves);
                }
            }
        }
        Self { k, n, pairs }
    }

    /// Rows.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Columns.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Memory it takes.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.pairs)
    }

    /// Pairs of rows, with those that fill up.
    fn steps(&self) -> usize {
        self.k.div_ceil(2).next_multiple_of(STEPS)
    }

    /// Where a strip begins.
    fn strip(&self, strip: usize) -> *const u32 {
        let offset = strip * self.steps() * COLS;
        self.pairs.as_ptr().wrapping_add(offset)
    }
}

/// `C[m, n] = A[m, k] B[k, n]` in bf16 with sums in f32; `k` and `n` are those of `b`. NaN and infinity spread as in
/// f32. Denormal products and sums may be zero.
///
/// An epilogue gets tiles before they are stored: at most 8 rows of 32 columns.
///
/// # Safety
///
/// - The machine runs `level`.
/// - Every element that the views name is valid for reading, those of `C` for writing; nobody else writes any of them
///   during the call.
/// - Elements of `C` share no place with each other or with `A`.
/// - The epilogue keeps to the tiles it is given.
pub unsafe fn bf16_matmul(
    level: Level,
    pool: &Pool,
    m: usize,
    a: View<f32>,
    b: &Bf16Matrix,
    c: ViewMut<f32>,
    finish: Finish<'_>,
) {
    // SAFETY: the obligations are the same.
    unsafe { product::multiply(level, pool, m, a, b, c, finish) };
}

#[cfg(test)]
mod tests;
