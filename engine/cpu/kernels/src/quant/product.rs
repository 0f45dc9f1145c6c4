//! One product: activations are quantized once, then strips of weights are shared between threads.
//!
//! Work is shared by output rows only, and an element's sum has one order: the number of threads changes no bit.
#![expect(unsafe_code, reason = "matrices are pointers and strides")]

use std::ops::Range;

use super::activation::Activations;
use super::kernels::{Kernels, MOST_ROWS, MultiplySixteen, kernels};
use super::matrix::{BLOCK, QuantMatrix, ROWS};
use super::strip::{Strip, Unpacked};
use super::tiled;
use crate::gemm::scratch::with_scratch;
use crate::gemm::{Finish, View, ViewMut};
use crate::level::Level;
use crate::pool::Pool;

/// Multiply-adds that are not worth a second thread: some microseconds.
const SMALL: usize = 1 << 17;

/// Elements whose quantization is not worth a second thread.
const SMALL_ROWS: usize = 1 << 14;

/// Bytes of quantized activations that stay in the second-level cache while strips pass.
const RESIDENT: usize = 1 << 19;

/// `C = A B` for quantized `B`; of its elements in a row, `k` count and the others are zero. Neither is empty.
///
/// # Safety
///
/// As for [`super::quant_matmul`].
pub(super) unsafe fn multiply(
    level: Level,
    pool: &Pool,
    m: usize,
    a: View<f32>,
    (k, b): (usize, &QuantMatrix),
    target: &Target,
) {
    let kernels = kernels(level, b.kind());
    // SAFETY: the kernels are the level's; the other obligations are the same.
    unsafe { multiply_with(&kernels, pool, m, a, (k, b), target) };
}

/// # Safety
///
/// As for [`multiply`]; the machine has the kernels' instructions.
pub(super) unsafe fn multiply_with(
    kernels: &Kernels,
    pool: &Pool,
    m: usize,
    a: View<f32>,
    (k, b): (usize, &QuantMatrix),
    target: &Target,
) {
    let n = b.n();
    let most = most_rows(kernels);
    let blocks = k.div_ceil(BLOCK);
    let small = m.saturating_mul(n).saturating_mul(k) <= SMALL;
    with_scratch(m * blocks, |activations: *mut Activations| {
        let activations = Shared(activations);
        let shape = b.kind().shape();
        let quantize = |rows: Range<usize>| {
            for tile in tiles(rows, most) {
                for row in tile.clone() {
                    let to = activations.at(tile.start * blocks + row - tile.start);
                    // SAFETY: the caller vouches for the row; a tile's blocks are `[blocks][rows]` from its first
                    // row's place on.
                    unsafe { (kernels.quantize)(&shape, a.at(row, 0), k, to, tile.len()) };
                }
            }
        };
        let multiply = |strips: Range<usize>| {
            let product = Product {
                kernels,
                b,
                activations: activations.at(0),
                m,
                target,
            };
            // SAFETY: the caller vouches for `C`, of which this writes the strips' columns; the activations are
            // quantized.
            unsafe { product.strips(strips) };
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
            pool.split(m, most, &|rows, _| quantize(rows));
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

/// The most rows of one tile.
fn most_rows(kernels: &Kernels) -> usize {
    kernels.sixteen.map_or(MOST_ROWS, |_| tiled::ROWS)
}

/// Cuts rows into tiles of at most so many. Ranges that begin at multiples of that and end there, or with the last row,
/// are cut as all rows are.
pub(super) fn tiles(rows: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let mut from = rows.start;
    std::iter::from_fn(move || {
        (from < rows.end).then(|| {
            let tile = from..from + (1 << (rows.end - from).min(most).ilog2());
            from = tile.end;
            tile
        })
    })
}

/// What every strip of weights is multiplied with, and where sums go.
struct Product<'a> {
    kernels: &'a Kernels,
    b: &'a QuantMatrix,
    activations: *const Activations,
    m: usize,
    target: &'a Target<'a>,
}

impl Product<'_> {
    /// All rows of `C`, in the columns of some strips.
    ///
    /// # Safety
    ///
    /// - The machine has the kernels' instructions.
    /// - The activations are those of all rows; `C` is valid for writing in these columns.
    unsafe fn strips(&self, strips: Range<usize>) {
        let blocks = self.b.k() / BLOCK;
        let resident = (RESIDENT / (blocks * size_of::<Activations>())).max(1);
        let most = most_rows(self.kernels);
        let resident = resident.next_multiple_of(most);
        let record = self.b.kind().shape().unpacked_bytes();
        let many = self.kernels.sixteen.filter(|_| self.m >= tiled::ROWS);
        let room = if many.is_some() { blocks * record } else { 0 };
        with_scratch(room, |records: *mut u8| {
            for first in (0..self.m).step_by(resident) {
                let rows = first..self.m.min(first + resident);
                for strip in strips.clone() {
                    // SAFETY: the obligations are the same; there is room for the strip's records where there is a
                    // kernel that reads them.
                    unsafe { self.strip(strip, rows.clone(), records, many) };
                }
            }
        });
    }

    /// Some rows of `C` in the columns of one strip.
    ///
    /// # Safety
    ///
    /// - As for [`Self::strips`].
    /// - `records` is valid for what the strip is unpacked to, if `many` are there.
    unsafe fn strip(
        &self,
        strip: usize,
        rows: Range<usize>,
        records: *mut u8,
        many: Option<MultiplySixteen>,
    ) {
        let blocks = self.b.k() / BLOCK;
        let (quants, scales) = self.b.strip(strip);
        let many = many.filter(|_| rows.len() >= tiled::ROWS);
        if many.is_some() {
            // SAFETY: the strip is packed in the kernels' format; the caller vouches for the records.
            unsafe { (self.kernels.unpack)(quants, scales, blocks, records) };
        }
        let mut sums = [[0.0; ROWS]; tiled::ROWS];
        for tile in tiles(rows, most_rows(self.kernels)) {
            let sums = &mut sums[..tile.len()];
            let activations = self.activations.wrapping_add(tile.start * blocks);
            match many {
                Some(sixteen) if tile.len() == tiled::ROWS => {
                    let strip = Unpacked {
                        records,
                        blocks,
                        activations,
                    };
                    // SAFETY: the records are the strip's, and the tile's activations are as it says.
                    unsafe { sixteen(&strip, sums) };
                }
                _ => {
                    let strip = Strip {
                        quants,
                        scales,
                        blocks,
                        activations,
                    };
                    let multiply = self.kernels.by_rows[tile.len().ilog2() as usize];
                    // SAFETY: the strip is packed in the kernels' format; as above.
                    unsafe { multiply(&strip, sums) };
                }
            }
            for (at, sums) in sums.chunks_mut(MOST_ROWS).enumerate() {
                let row = tile.start + at * MOST_ROWS;
                // SAFETY: the rows lie inside `C`; the caller vouches for the epilogue.
                unsafe { (self.kernels.store)(self.target, sums, row, strip, self.b.n()) };
            }
        }
    }
}

/// Where sums go.
pub(super) struct Target<'a> {
    /// What columns of `C` are multiplied by, one for each.
    pub(super) factors: Option<&'a [f32]>,
    pub(super) c: ViewMut<f32>,
    pub(super) finish: Finish<'a>,
}

impl Target<'_> {
    /// Writes the sums of no products: `m` rows and `n` columns of zeros.
    ///
    /// # Safety
    ///
    /// - The elements of `C` are valid for writing.
    /// - The epilogue keeps to the tiles it is given.
    pub(super) unsafe fn clear(&self, m: usize, n: usize) {
        for row in 0..m {
            for strip in 0..n.div_ceil(ROWS) {
                // SAFETY: the obligations are the same.
                unsafe { self.store(&mut [[0.0; ROWS]], row, strip, n) };
            }
        }
    }

    /// Finishes a tile and stores it.
    ///
    /// # Safety
    ///
    /// - The tile's elements of `C` are valid for writing.
    #[inline(always)]
    pub(super) unsafe fn store(
        &self,
        sums: &mut [[f32; ROWS]],
        row: usize,
        strip: usize,
        n: usize,
    ) {
        let col = strip * ROWS;
        let cols = ROWS.min(n - col);
        let rows = sums.len();
        if let Some(factors) = self.factors {
            for sums in &mut *sums {
                for (sum, factor) in sums.iter_mut().zip(&factors[col..]) {
                    *sum *= factor;
                }
            }
        }
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
                (epilogue.call)(epilogue.context, tile, ROWS as isize, row, col, rows, cols);
            };
        }
        for (i, sums) in sums.iter().enumerate() {
            let to = self.c.at(row + i, col);
            if self.c.col == 1 && cols == ROWS {
                // SAFETY: as many contiguous elements of a row of `C`.
                unsafe { to.ptr.cast::<[f32; ROWS]>().write_unaligned(*sums) };
                continue;
            }
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
