//! A block of `C`, computed by one thread from a `B` whose rows are read as they lie or from panels.
//!
//! Rows of `A` are copied into strips as high as a tile, in steps of `k` that one cache line holds, so that a tile
//! reads them from one place; `B` is read where it is. Sums are cut into pieces of [`DEPTH`] steps, so that the strips
//! and the panels of a piece stay in the cache.
#![expect(unsafe_code, reason = "matrices are pointers and strides")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "an address and the access to it stand under one obligation"
)]

use super::kernels::{Element, Kernels};
use super::scratch::with_scratch;
use super::tile::{PANEL, STEPS, Tile};
use super::{View, ViewMut};

/// Steps of a sum at a time: a panel's part is 64 KiB of f32 and comes from the second-level cache once for every strip,
/// which stays in the first.
pub(crate) const DEPTH: usize = 512;

/// The most rows of a block: twelve of the highest strips, 288 KiB of f32 at [`DEPTH`].
pub(super) const ROWS: usize = 144;

/// Rows from which on there is time to bring the next panel into the second-level cache while this one is used. What is
/// not in panels is there already.
const MANY_ROWS: usize = 32;

/// Where `B` lies. Columns of a panel are contiguous.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panels<E> {
    /// Element `(0, 0)`.
    pub(crate) ptr: *const E,
    /// From a row to the next, in a panel.
    pub(crate) row: usize,
    /// From a panel of [`PANEL`] columns to the next.
    pub(crate) panel: usize,
    /// Whether the last panel has all its columns, if only as filling.
    pub(crate) filled: bool,
}

// SAFETY: an address; what is done with it is vouched for where it is used.
unsafe impl<E: Sync> Send for Panels<E> {}
// SAFETY: as above.
unsafe impl<E: Sync> Sync for Panels<E> {}

impl<E> Panels<E> {
    /// What begins at row `i` and column `j`, a multiple of a tile's columns.
    pub(super) fn at(&self, i: usize, j: usize) -> *const E {
        let offset = j / PANEL * self.panel + i * self.row + j % PANEL;
        self.ptr.wrapping_add(offset)
    }
}

/// A block: `C[m, n] = A[m, k] B[k, n]`, with `n` columns of `B` from `first_col` on, which begins a panel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<E> {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) a: View<E>,
    pub(crate) b: Panels<E>,
    pub(crate) first_col: usize,
    pub(crate) c: ViewMut<E>,
    pub(crate) accumulate: bool,
}

/// Computes a block.
///
/// # Safety
///
/// - The machine has the kernels' level.
/// - What `block` describes is valid for reading, and its elements of `C` for writing.
pub(crate) unsafe fn compute_block<E: Element>(kernels: &Kernels<E>, block: &Block<E>) {
    if block.m == 0 || block.n == 0 {
        return;
    }
    if block.k == 0 {
        if !block.accumulate {
            // SAFETY: the caller vouches for the elements.
            unsafe { clear(block) };
        }
        return;
    }
    with_scratch(
        ROWS.min(block.m) * padded(DEPTH.min(block.k)),
        |strips: *mut E| {
            for from in (0..block.m).step_by(ROWS) {
                let rows = Block {
                    m: ROWS.min(block.m - from),
                    a: block.a.at(from, 0),
                    c: block.c.at(from, 0),
                    ..*block
                };
                for depth in (0..block.k).step_by(DEPTH) {
                    // SAFETY: the caller vouches for the elements, and the scratch holds a piece's strips.
                    unsafe { compute_piece(kernels, &rows, depth, strips) };
                }
            }
        },
    );
}

/// # Safety
///
/// The elements of `C` are valid for writing.
unsafe fn clear<E: Element>(block: &Block<E>) {
    for i in 0..block.m {
        for j in 0..block.n {
            // SAFETY: `i < m` and `j < n`.
            unsafe { *block.c.at(i, j).ptr = E::default() };
        }
    }
}

/// The part of the sums from `depth` on, for at most [`ROWS`] rows.
///
/// # Safety
///
/// As for [`compute_block`]; and `strips` is valid for writing `block.m * padded(k)` elements.
unsafe fn compute_piece<E: Element>(
    kernels: &Kernels<E>,
    block: &Block<E>,
    depth: usize,
    strips: *mut E,
) {
    let k = DEPTH.min(block.k - depth);
    let height = kernels.tiles.len();
    let a = block.a.at(0, depth);
    let strips = if block.m == 1 && a.col == 1 {
        // A single row already lies as a strip does.
        a.ptr
    } else {
        for from in (0..block.m).step_by(height) {
            let rows = height.min(block.m - from);
            // SAFETY: strips lie one after the other, as long as `padded` says.
            unsafe { (kernels.pack)(rows, k, a.at(from, 0), strips.add(from * padded(k))) };
        }
        strips.cast_const()
    };
    let wide = block.m <= kernels.wide.len();
    let mut j = 0;
    while j < block.n {
        let left = block.n - j;
        let wide = wide && left >= kernels.wide_cols;
        let cols = if wide {
            kernels.wide_cols
        } else {
            kernels.cols
        };
        let by_height = match (wide, left < cols && !block.b.filled) {
            (true, _) => kernels.wide,
            (false, true) => kernels.masked,
            (false, false) => kernels.tiles,
        };
        let next = if left > cols {
            block.b.at(depth, block.first_col + j + cols)
        } else if depth + k < block.k {
            block.b.at(depth + k, block.first_col)
        } else {
            block.b.at(0, block.first_col + block.n)
        };
        for from in (0..block.m).step_by(height) {
            let rows = height.min(block.m - from);
            let c = block.c.at(from, j);
            let tile = Tile {
                k,
                a: strips.wrapping_add(from * padded(k)),
                b: block.b.at(depth, block.first_col + j),
                b_row: block.b.row,
                b_panel: block.b.panel,
                fetches: from == 0 && !wide,
                next: next.wrapping_add(from * k / block.m * block.b.row),
                next_rows: if block.m < MANY_ROWS || !block.b.filled {
                    0
                } else {
                    (STEPS * rows).div_ceil(block.m)
                },
                cols: left.min(cols),
                c: c.ptr,
                c_row: c.row,
                c_col: c.col,
                accumulate: block.accumulate || depth > 0,
            };
            // SAFETY: the tile lies inside the block.
            unsafe { by_height[rows - 1](&tile) };
        }
        j += cols;
    }
}

/// What `k` elements of a row take in a strip: the last steps are fewer, but their rows still [`STEPS`] apart.
fn padded(k: usize) -> usize {
    k.next_multiple_of(STEPS)
}
