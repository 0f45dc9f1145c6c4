//! Products of two matrices as they lie: which way suits their shape and strides.
//!
//! | way    | when                                                     | `B` is                           |
//! |--------|----------------------------------------------------------|----------------------------------|
//! | dots   | few rows, columns of `B` contiguous                      | read once, as it lies            |
//! | row    | one row, rows of `B` contiguous                          | read once, as it lies            |
//! | few    | few rows, or some and a near `B`; rows of `B` contiguous | as it lies, or packed in pieces  |
//! | small  | `B` fits the cache                                       | as it lies, or packed apart      |
//! | packed | everything else                                          | packed once for all threads      |
//!
//! A product is computed as its transpose where that makes the columns of `C` contiguous or the rows few.
#![expect(unsafe_code, reason = "matrices are pointers and strides")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "an address and the access to it stand under one obligation"
)]

use super::block::{self, Block, DEPTH, Panels, compute_block};
use super::dots::Dots;
use super::kernels::{Element, Kernels};
use super::panels::{pack_panels, panel_elements};
use super::row::OneRow;
use super::scratch::with_scratch;
use super::share::{GRAIN, share_blocks};
use super::tile::PANEL;
use super::{Gemm, View};
use crate::level::Level;
use crate::pool::Pool;

/// Rows up to which `B` is not packed for all threads, as that would take longer than the product.
const FEW_ROWS: usize = 12;

/// Rows up to which sums are computed one by one rather than turning the columns of a large `B` into panels.
const DOT_ROWS: usize = 24;

/// Rows up to which a `B` within the caches is read as it lies: later, each of its places is read too often.
const NEAR_ROWS: usize = 64;

/// Elements of a `B` that is read as it lies: 4 MiB of f32, within the caches.
const NEAR_B: usize = 1 << 20;

/// Rows of `B` that lie a multiple of this apart share the places of the caches: 4 KiB of f32.
const SAME_PLACE: usize = 1 << 10;

/// Columns up to which a product is turned, as a tile would be mostly empty; and rows up to which sums of small
/// products are computed one by one.
const FEW_COLS: usize = 4;

/// Elements of a `B` that fits the second-level cache beside all else: 256 KiB of f32.
const SMALL_B: usize = 1 << 16;

/// Elements of `B` that are packed at a time: 16 MiB of f32.
const PACKED_B: usize = 1 << 22;

/// Multiply-adds that are not worth a second thread: some microseconds.
const SMALL_WORK: usize = 1 << 16;

/// # Safety
///
/// As for [`super::gemm_f32`].
pub(super) unsafe fn multiply<E: Element>(level: Level, pool: &Pool, gemm: &Gemm<E>) {
    if gemm.m == 0 || gemm.n == 0 || gemm.batch == 0 {
        return;
    }
    let kernels = E::kernels(level);
    let gemm = oriented(gemm);
    let gemm = &gemm;
    let (m, n, k) = (gemm.m, gemm.n, gemm.k);
    let (rows_lie, cols_lie) = (gemm.b.col == 1, gemm.b.row == 1);
    let fits = k.saturating_mul(n) <= SMALL_B;
    let dot_rows = if fits { FEW_COLS } else { DOT_ROWS };
    // SAFETY: the obligations are the same for every way.
    unsafe {
        if m <= dot_rows && k > 0 && cols_lie && !rows_lie {
            by_dots(kernels, pool, gemm);
        } else if m == 1 && k > 0 && rows_lie && gemm.c.col == 1 {
            row(kernels, pool, gemm);
        } else if fits {
            small(kernels, pool, gemm);
        } else if rows_lie && gemm.b.row >= 0 && (m <= FEW_ROWS || m <= NEAR_ROWS && is_near(gemm))
        {
            few(kernels, pool, gemm);
        } else {
            packed(kernels, pool, gemm);
        }
    }
}

/// Whether `B` is read as it lies: it fits the caches, and its rows have places of their own there.
fn is_near<E>(gemm: &Gemm<E>) -> bool {
    let apart = !gemm.b.row.unsigned_abs().is_multiple_of(SAME_PLACE);
    apart && gemm.k.saturating_mul(gemm.n) <= NEAR_B
}

/// The product or its transpose.
fn oriented<E: Copy>(gemm: &Gemm<E>) -> Gemm<E> {
    let few_cols = gemm.n <= FEW_COLS && gemm.m > gemm.n;
    let columns_apart = gemm.c.col != 1 && gemm.c.row == 1 && gemm.m > FEW_COLS;
    let contiguous = gemm.c.col == 1 && gemm.n > FEW_COLS;
    if !few_cols && !columns_apart || contiguous {
        return *gemm;
    }
    Gemm {
        m: gemm.n,
        n: gemm.m,
        a: gemm.b.transposed(),
        b: gemm.a.transposed(),
        c: gemm.c.transposed(),
        batch_a: gemm.batch_b,
        batch_b: gemm.batch_a,
        ..*gemm
    }
}

/// Product number `index` of a batch.
fn product_of<E: Copy>(gemm: &Gemm<E>, index: usize) -> Gemm<E> {
    let mut one = *gemm;
    let index = index as isize;
    one.a.ptr = one.a.ptr.wrapping_offset(index * gemm.batch_a);
    one.b.ptr = one.b.ptr.wrapping_offset(index * gemm.batch_b);
    one.c.ptr = one.c.ptr.wrapping_offset(index * gemm.batch_c);
    one
}

/// Calls `body(product, columns)` for the whole batch, with columns that begin at multiples of `grain`.
fn share_columns<E: Element>(
    pool: &Pool,
    gemm: &Gemm<E>,
    grain: usize,
    body: &(dyn Fn(&Gemm<E>, std::ops::Range<usize>) + Sync),
) {
    let work = gemm.n.saturating_mul(gemm.k).saturating_mul(gemm.m);
    if work.saturating_mul(gemm.batch) <= SMALL_WORK {
        pool.run(1, &|_, _| {
            for index in 0..gemm.batch {
                body(&product_of(gemm, index), 0..gemm.n);
            }
        });
    } else if gemm.batch >= 2 * pool.threads() || gemm.batch > 1 && work <= SMALL_WORK {
        pool.split(gemm.batch, 1, &|batch, _| {
            for index in batch {
                body(&product_of(gemm, index), 0..gemm.n);
            }
        });
    } else {
        for index in 0..gemm.batch {
            let product = product_of(gemm, index);
            pool.split(gemm.n, grain, &|cols, _| body(&product, cols));
        }
    }
}

/// # Safety
///
/// As for [`multiply`]; columns of `B` are contiguous.
unsafe fn by_dots<E: Element>(kernels: &Kernels<E>, pool: &Pool, gemm: &Gemm<E>) {
    /// Columns that the next rows find in the cache.
    const NEAR: usize = 16;
    share_columns(pool, gemm, NEAR, &|gemm, cols| {
        let compute = |a: View<E>| {
            let most = kernels.dots.len();
            for from in cols.clone().step_by(NEAR) {
                for row in (0..gemm.m).step_by(most) {
                    let c = gemm.c.at(row, from);
                    let dots = Dots {
                        k: gemm.k,
                        n: NEAR.min(cols.end - from),
                        a: a.at(row, 0).ptr,
                        a_row: a.row,
                        b: gemm.b.at(0, from).ptr,
                        b_col: gemm.b.col,
                        c: c.ptr,
                        c_row: c.row,
                        c_col: c.col,
                        accumulate: gemm.accumulate,
                    };
                    let rows = most.min(gemm.m - row);
                    // SAFETY: the caller vouches for the elements.
                    unsafe { kernels.dots[rows - 1](&dots) };
                }
            }
        };
        if gemm.a.col == 1 || gemm.k == 1 {
            return compute(gemm.a);
        }
        with_scratch(gemm.m * gemm.k, |copy: *mut E| {
            for i in 0..gemm.m {
                for depth in 0..gemm.k {
                    // SAFETY: the caller vouches for the elements.
                    let value = unsafe { *gemm.a.at(i, depth).ptr };
                    // SAFETY: inside the scratch.
                    unsafe { *copy.add(i * gemm.k + depth) = value };
                }
            }
            compute(View {
                ptr: copy,
                row: gemm.k as isize,
                col: 1,
            });
        });
    });
}

/// # Safety
///
/// As for [`multiply`]; `A` has one row, and rows of `B` and `C` are contiguous.
unsafe fn row<E: Element>(kernels: &Kernels<E>, pool: &Pool, gemm: &Gemm<E>) {
    share_columns(pool, gemm, 256, &|gemm, cols| {
        let row = OneRow {
            n: cols.len(),
            k: gemm.k,
            a: gemm.a.ptr,
            a_col: gemm.a.col,
            b: gemm.b.at(0, cols.start).ptr,
            b_row: gemm.b.row,
            c: gemm.c.at(0, cols.start).ptr,
            accumulate: gemm.accumulate,
        };
        // SAFETY: the caller vouches for the elements.
        unsafe { (kernels.row)(&row) };
    });
}

/// # Safety
///
/// As for [`multiply`]; rows of `B` are contiguous and in their order.
unsafe fn few<E: Element>(kernels: &Kernels<E>, pool: &Pool, gemm: &Gemm<E>) {
    /// Columns whose piece of `B`, packed, stays in the second-level cache.
    const COLS: usize = 256;
    let near = is_near(gemm);
    share_columns(pool, gemm, GRAIN, &|gemm, cols| {
        let block = Block {
            m: gemm.m,
            n: cols.len(),
            k: gemm.k,
            a: gemm.a,
            b: as_it_lies(gemm),
            first_col: cols.start,
            c: gemm.c.at(0, cols.start),
            accumulate: gemm.accumulate,
        };
        if near {
            // SAFETY: the caller vouches for the elements.
            return unsafe { compute_block(kernels, &block) };
        }
        with_scratch(panel_elements(DEPTH, COLS), |panels: *mut E| {
            for from in cols.clone().step_by(COLS) {
                let n = COLS.min(cols.end - from);
                for depth in (0..gemm.k).step_by(DEPTH) {
                    let k = DEPTH.min(gemm.k - depth);
                    // SAFETY: the caller vouches for the elements, and the scratch has room for a piece.
                    unsafe { pack_panels(k, n, gemm.b.at(depth, from), panels) };
                    let piece = Block {
                        n,
                        k,
                        a: gemm.a.at(0, depth),
                        b: in_panels(panels, k),
                        first_col: 0,
                        c: gemm.c.at(0, from),
                        accumulate: gemm.accumulate || depth > 0,
                        ..block
                    };
                    // SAFETY: as above.
                    unsafe { compute_block(kernels, &piece) };
                }
            }
        });
    });
}

/// # Safety
///
/// As for [`multiply`].
unsafe fn small<E: Element>(kernels: &Kernels<E>, pool: &Pool, gemm: &Gemm<E>) {
    let blocks = gemm.m.div_ceil(block::ROWS);
    let work = gemm.m * gemm.n * gemm.k;
    let compute = |index: usize, rows: std::ops::Range<usize>| {
        let gemm = product_of(gemm, index);
        let whole = Block {
            m: rows.len(),
            n: gemm.n,
            k: gemm.k,
            a: gemm.a.at(rows.start, 0),
            b: as_it_lies(&gemm),
            first_col: 0,
            c: gemm.c.at(rows.start, 0),
            accumulate: gemm.accumulate,
        };
        if gemm.b.col == 1 && gemm.b.row >= 0 {
            // SAFETY: the caller vouches for the elements.
            return unsafe { compute_block(kernels, &whole) };
        }
        with_scratch(panel_elements(gemm.k, gemm.n), |panels: *mut E| {
            // SAFETY: the caller vouches for the elements, and the scratch has room for the panels.
            unsafe { pack_panels(gemm.k, gemm.n, gemm.b, panels) };
            let b = in_panels(panels, gemm.k);
            // SAFETY: as above.
            unsafe { compute_block(kernels, &Block { b, ..whole }) };
        });
    };
    if work.saturating_mul(gemm.batch) <= SMALL_WORK {
        pool.run(1, &|_, _| {
            for index in 0..gemm.batch {
                compute(index, 0..gemm.m);
            }
        });
    } else if gemm.batch >= 2 * pool.threads() || blocks == 1 && gemm.batch > 1 {
        pool.split(gemm.batch, 1, &|batch, _| {
            for index in batch {
                compute(index, 0..gemm.m);
            }
        });
    } else {
        // A single product that is not worth a block for each thread has smaller blocks.
        let height = kernels.tiles.len();
        let share = gemm.m.div_ceil(pool.threads() * 2).next_multiple_of(height);
        let size = share.min(block::ROWS);
        let blocks = gemm.m.div_ceil(size);
        pool.run(gemm.batch * blocks, &|item, _| {
            let from = item % blocks * size;
            compute(item / blocks, from..gemm.m.min(from + size));
        });
    }
}

/// # Safety
///
/// As for [`multiply`].
unsafe fn packed<E: Element>(kernels: &Kernels<E>, pool: &Pool, gemm: &Gemm<E>) {
    let (m, n, k) = (gemm.m, gemm.n, gemm.k);
    // A multiple of what a block of columns has.
    let cols = (PACKED_B / k.max(1))
        .next_multiple_of(512)
        .min(n.next_multiple_of(PANEL));
    with_scratch(panel_elements(k, cols), |panels: *mut E| {
        let b = in_panels(panels, k);
        let mut last = None;
        for from in (0..n).step_by(cols) {
            for index in 0..gemm.batch {
                let product = product_of(gemm, index);
                let to = n.min(from + cols);
                let key = (product.b.ptr, from);
                if last != Some(key) {
                    pool.split(to - from, PANEL, &|some, _| {
                        let panels = b.at(0, some.start).cast_mut();
                        // SAFETY: the caller vouches for the elements; threads write different panels.
                        unsafe {
                            pack_panels(k, some.len(), product.b.at(0, from + some.start), panels);
                        };
                    });
                    last = Some(key);
                }
                share_blocks(
                    pool,
                    std::slice::from_ref(&(0..m)),
                    to - from,
                    k,
                    kernels.tiles.len(),
                    &|_, rows, cols| {
                        let block = Block {
                            m: rows.len(),
                            n: cols.len(),
                            k,
                            a: product.a.at(rows.start, 0),
                            b,
                            first_col: cols.start,
                            c: product.c.at(rows.start, from + cols.start),
                            accumulate: product.accumulate,
                        };
                        // SAFETY: the caller vouches for the elements; blocks do not overlap.
                        unsafe { compute_block(kernels, &block) };
                    },
                );
            }
        }
    });
}

/// `B` where it is; its rows are contiguous and in their order.
fn as_it_lies<E>(gemm: &Gemm<E>) -> Panels<E> {
    Panels {
        ptr: gemm.b.ptr,
        row: gemm.b.row.unsigned_abs(),
        panel: PANEL,
        filled: false,
    }
}

/// `B` after [`pack_panels`].
fn in_panels<E>(panels: *const E, k: usize) -> Panels<E> {
    Panels {
        ptr: panels,
        row: PANEL,
        panel: k * PANEL,
        filled: true,
    }
}
