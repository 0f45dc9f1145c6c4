//! One product with activations as they come: each row with the sums of its blocks beside it, then strips of weights
//! are shared between threads.
//!
//! For few rows, weights are decoded in registers; for many, a piece at a time in the cache: either way they are read
//! from memory in as few bytes as the format has. Work is shared by output rows only, and an element's sum has one
//! order for few rows and one for many: the number of threads changes no bit.
#![expect(unsafe_code, reason = "matrices are pointers and strides")]

use std::ops::Range;

use super::kernels::{Kernels, MOST_ROWS, kernels};
use super::matrix::{BLOCK, QuantMatrix, ROWS};
use super::product::{Target, tiles};
use super::strip::ExactStrip;
use crate::gemm::block::{Block, DEPTH, Panels, compute_block};
use crate::gemm::kernels::Element;
use crate::gemm::scratch::with_scratch;
use crate::gemm::tile::PANEL;
use crate::gemm::{self, View};
use crate::level::Level;
use crate::pool::Pool;

/// Multiply-adds that are not worth a second thread: some microseconds.
const SMALL: usize = 1 << 16;

/// Rows from which weights are decoded once for all of them.
const MANY_ROWS: usize = 12;

/// Strips that are decoded at a time: with [`DEPTH`] steps of a sum 512 KiB, within the second-level cache.
const STRIPS: usize = 16;

/// Bytes of activations that stay in the second-level cache while strips pass.
const RESIDENT: usize = 1 << 19;

/// `C = A B` for quantized `B`, of which no element is rounded.
///
/// # Safety
///
/// As for [`super::quant_matmul_f32`].
pub(super) unsafe fn multiply(
    level: Level,
    pool: &Pool,
    m: usize,
    a: View<f32>,
    b: &QuantMatrix,
    target: &Target,
) {
    let blocks = b.k() / BLOCK;
    let stride = b.k() + 2 * blocks;
    let kernels = kernels(level, b.kind());
    if m >= MANY_ROWS && target.finish.epilogue.is_none() {
        let gemm = f32::kernels(level);
        pool.split(b.strips(), 2, &|strips, _| {
            for first in strips.clone().step_by(STRIPS) {
                let strips = first..strips.end.min(first + STRIPS);
                // SAFETY: the caller vouches for the elements; threads write the columns of different strips.
                unsafe { multiply_decoded(&kernels, gemm, m, a, b, target, strips) };
            }
        });
        return;
    }
    with_scratch(m * stride, |rows: *mut f32| {
        let rows = Shared(rows);
        // SAFETY: the caller vouches for the rows; there is room for each.
        let copy = |part: Range<usize>| unsafe {
            for row in part {
                copy_row(a.at(row, 0), b.k(), rows.at(row * stride));
            }
        };
        // SAFETY: the caller vouches for `C`, of which this writes the strips' columns; all rows are there.
        let multiply = |strips: Range<usize>| unsafe {
            multiply_strips(&kernels, m, b, (rows.at(0), stride), target, strips);
        };
        if m.saturating_mul(b.n()).saturating_mul(b.k()) <= SMALL {
            pool.run(1, &|_, _| {
                copy(0..m);
                multiply(0..b.strips());
            });
        } else {
            if m <= MOST_ROWS {
                copy(0..m);
            } else {
                pool.split(m, MOST_ROWS, &|part, _| copy(part));
            }
            pool.split(b.strips(), 1, &|strips, _| multiply(strips));
        }
    });
}

/// All rows of `C`, in the columns of some strips, the first of which has an even number: their weights are brought
/// into panels of numbers, a piece at a time.
///
/// # Safety
///
/// - The machine has the instructions of all kernels.
/// - `A` is valid for reading, and `C` for writing in these columns.
unsafe fn multiply_decoded(
    kernels: &Kernels,
    gemm: &gemm::kernels::Kernels<f32>,
    m: usize,
    a: View<f32>,
    b: &QuantMatrix,
    target: &Target,
    strips: Range<usize>,
) {
    let shape = b.kind().shape();
    let n = (strips.len() * ROWS).min(b.n() - strips.start * ROWS);
    with_scratch(
        strips.len().div_ceil(2) * PANEL * DEPTH.min(b.k()),
        |panels: *mut f32| {
            for depth in (0..b.k()).step_by(DEPTH) {
                let k = DEPTH.min(b.k() - depth);
                for (at, strip) in strips.clone().enumerate() {
                    let (quants, scales) = b.strip(strip);
                    let before = depth / BLOCK;
                    let quants = quants.wrapping_add(before * shape.quant_bytes());
                    let scales = scales.wrapping_add(before / shape.run() * shape.scale_bytes());
                    let to = panels.wrapping_add(at / 2 * PANEL * k + at % 2 * ROWS);
                    // SAFETY: a piece of the strip, which begins and ends with whole runs of blocks; the scratch has
                    // room for its columns.
                    unsafe { (kernels.decode)(quants, scales, k / BLOCK, to, PANEL) };
                }
                let block = Block {
                    m,
                    n,
                    k,
                    a: a.at(0, depth),
                    b: Panels {
                        ptr: panels.cast_const(),
                        row: PANEL,
                        panel: PANEL * k,
                        filled: true,
                    },
                    first_col: 0,
                    c: target.c.at(0, strips.start * ROWS),
                    accumulate: target.finish.accumulate || depth > 0,
                };
                // SAFETY: the caller vouches for the elements, and the panels hold the weights; what the last of them
                // has besides are columns that nothing is made of.
                unsafe { compute_block(gemm, &block) };
            }
        },
    );
}

/// Where rows lie; threads write different ones, and read when all are written.
#[derive(Clone, Copy)]
struct Shared(*mut f32);

// SAFETY: an address; what is done with it is vouched for where it is used.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    fn at(&self, element: usize) -> *mut f32 {
        self.0.wrapping_add(element)
    }
}

/// Copies a row of `k` elements, and behind it the sum of each 16 of them.
///
/// # Safety
///
/// - The elements of the row are valid for reading, and `to` for writing.
unsafe fn copy_row(row: View<f32>, k: usize, to: *mut f32) {
    for half in 0..k / 16 {
        let mut elements = [0.0_f32; 16];
        for (i, element) in elements.iter_mut().enumerate() {
            // SAFETY: inside the row.
            *element = unsafe { *row.at(0, half * 16 + i).ptr };
        }
        let target = to.wrapping_add(half * 16).cast::<[f32; 16]>();
        // SAFETY: inside what the caller vouches for.
        unsafe { target.write_unaligned(elements) };
        // SAFETY: as above.
        unsafe { to.wrapping_add(k + half).write(elements.iter().sum()) };
    }
}

/// All rows of `C`, in the columns of some strips.
///
/// # Safety
///
/// - The machine has the kernels' instructions.
/// - The rows are those of [`copy_row`]; `C` is valid for writing in these columns.
unsafe fn multiply_strips(
    kernels: &Kernels,
    m: usize,
    b: &QuantMatrix,
    (rows, stride): (*const f32, usize),
    target: &Target,
    strips: Range<usize>,
) {
    let resident = (RESIDENT / (stride * size_of::<f32>())).max(1);
    let resident = resident.next_multiple_of(MOST_ROWS);
    let mut sums = [[0.0; ROWS]; MOST_ROWS];
    for first in (0..m).step_by(resident) {
        for strip in strips.clone() {
            let (quants, scales) = b.strip(strip);
            for tile in tiles(first..m.min(first + resident), MOST_ROWS) {
                let at = ExactStrip {
                    quants,
                    scales,
                    blocks: b.k() / BLOCK,
                    rows: rows.wrapping_add(tile.start * stride),
                    stride,
                };
                let sums = &mut sums[..tile.len()];
                let multiply = kernels.exact[tile.len().ilog2() as usize];
                // SAFETY: the strip is packed in the kernels' format, and the rows are there.
                unsafe { multiply(&at, sums) };
                // SAFETY: the tile lies inside `C`; the caller vouches for the epilogue.
                unsafe { (kernels.store)(target, sums, tile.start, strip, b.n()) };
            }
        }
    }
}
