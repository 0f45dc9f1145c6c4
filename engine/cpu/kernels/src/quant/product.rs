//! One product: activations are quantized once, then strips of weights are shared between threads.
//!
//! Work is shared by output rows only, and an element's sum has one order: the number of threads changes no bit.
#![expect(unsafe_code, reason = "matrices are pointers and strides")]

use std::ops::Range;

use super::activation::Activations;
use super::kernels::{Kernels, MOST_ROWS, kernels};
use super::matrix::{BLOCK, QuantMatrix, ROWS};
use super::strip::Strip;
use crate::gemm::scratch::with_scratch;
use crate::gemm::{View, ViewMut};
use crate::level::Level;
use crate::pool::Pool;

/// Multiply-adds that are not worth a second thread: some microseconds.
const SMALL: usize = 1 << 17;

/// Elements whose quantization is not worth a second thread.
const SMALL_ROWS: usize = 1 << 14;

/// Bytes of quantized activations that stay in the second-level cache while strips pass.
const RESIDENT: usize = 1 << 18;

/// What rows are multiplied with.
pub(super) struct Weights<'a> {
    /// Contracted elements that activations have; those that `quants` has besides are zero.
    pub(super) k: usize,
    pub(super) quants: &'a QuantMatrix,
    /// What columns of `C` are multiplied by, one for each.
    pub(super) factors: Option<&'a [f32]>,
}

/// `C = A B` for quantized `B`.
///
/// # Safety
///
/// As for [`super::quant_matmul`].
pub(super) unsafe fn multiply(
    level: Level,
    pool: &Pool,
    m: usize,
    a: View<f32>,
    weights: &Weights,
    c: ViewMut<f32>,
) {
    let &Weights {
        k,
        quants: b,
        factors,
    } = weights;
    let n = b.n();
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        for i in 0..m {
            for j in 0..n {
                // SAFETY: inside `C`.
                unsafe { *c.at(i, j).ptr = 0.0 };
            }
        }
        return;
    }
    let kernels = kernels(level, b.kind());
    let blocks = k.div_ceil(BLOCK);
    let small = m.saturating_mul(n).saturating_mul(k) <= SMALL;
    with_scratch(m * blocks, |activations: *mut Activations| {
        let activations = Shared(activations);
        let shape = b.kind().shape();
        let quantize = |rows: Range<usize>| {
            for tile in tiles(&kernels, rows) {
                for row in tile.clone() {
                    let to = activations.at(tile.start * blocks + row - tile.start);
                    // SAFETY: the caller vouches for the row; a tile's blocks are `[blocks][rows]` from its first
                    // row's place on.
                    unsafe { (kernels.quantize)(&shape, a.at(row, 0), k, to, tile.len()) };
                }
            }
        };
        let multiply = |strips: Range<usize>| {
            // SAFETY: the caller vouches for `C`, of which this writes the strips' columns; the activations are
            // quantized.
            unsafe { multiply_strips(&kernels, b, factors, activations.at(0), m, c, strips) };
        };
        if small {
            pool.run(1, &|_, _| {
                quantize(0..m);
                multiply(0..b.strips());
            });
            return;
        }
        if m * k <= SMALL_ROWS {
            pool.run(1, &|_, _| quantize(0..m));
        } else {
            pool.split(m, MOST_ROWS, &|rows, _| quantize(rows));
        }
        pool.split(b.strips(), 1, &|strips, _| multiply(strips));
    });
}

/// Where activations lie; threads write different ones, and read when all are written.
#[derive(Clone, Copy)]
struct Shared(*mut Activations);

// SAFETY: an address; what is done with it is vouched for where it is used.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    fn at(&self, block: usize) -> *mut Activations {
        self.0.wrapping_add(block)
    }
}

/// Cuts rows into tiles. Ranges that begin at multiples of [`MOST_ROWS`] and end there, or with the last row, are cut
/// as all rows are.
fn tiles(kernels: &Kernels, rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut from = rows.start;
    std::iter::from_fn(move || {
        (from < rows.end).then(|| {
            let tile = from..from + kernels.tile(rows.end - from).0;
            from = tile.end;
            tile
        })
    })
}

/// All rows of `C`, in the columns of some strips.
///
/// # Safety
///
/// - The machine has the kernels' instructions.
/// - `activations` are those of `m` rows; `C` is valid for writing in these columns.
unsafe fn multiply_strips(
    kernels: &Kernels,
    b: &QuantMatrix,
    factors: Option<&[f32]>,
    activations: *const Activations,
    m: usize,
    c: ViewMut<f32>,
    strips: Range<usize>,
) {
    let blocks = b.k() / BLOCK;
    let resident = (RESIDENT / (blocks * size_of::<Activations>())).max(1);
    let resident = resident.next_multiple_of(MOST_ROWS);
    let mut sums = [[0.0; ROWS]; MOST_ROWS];
    for first in (0..m).step_by(resident) {
        for strip in strips.clone() {
            let (quants, scales) = b.strip(strip);
            let cols = ROWS.min(b.n() - strip * ROWS);
            for tile in tiles(kernels, first..m.min(first + resident)) {
                let (_, multiply) = kernels.tile(tile.len());
                let strip_at = Strip {
                    quants,
                    scales,
                    blocks,
                    activations: activations.wrapping_add(tile.start * blocks),
                };
                // SAFETY: the strip is packed in the kernels' format, and the tile's activations are as it says.
                unsafe { multiply(&strip_at, &mut sums[..tile.len()]) };
                for (row, sums) in tile.zip(&mut sums) {
                    if let Some(factors) = factors {
                        for (sum, factor) in sums.iter_mut().zip(&factors[strip * ROWS..]) {
                            *sum *= factor;
                        }
                    }
                    let to = c.at(row, strip * ROWS);
                    if c.col == 1 {
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
    }
}
