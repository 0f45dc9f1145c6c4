//! Bringing `B` into panels.
#![expect(unsafe_code, reason = "matrices are pointers and strides")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "an address and the access to it stand under one obligation"
)]

use super::View;
use super::tile::PANEL;

/// Elements that panels of `k` rows and `n` columns take.
pub(super) fn panel_elements(k: usize, n: usize) -> usize {
    n.div_ceil(PANEL) * PANEL * k
}

/// Columns whose rows are copied together: as much as CPUs fetch ahead, into panels that fit the cache's ways.
const TOGETHER: usize = 512;

/// Copies `n` columns of `k` rows of `b` to panels; the last one is filled up with zeros.
///
/// # Safety
///
/// - The elements of `b` are valid for reading.
/// - `to` is valid for writing as many elements as [`panel_elements`] says.
pub(super) unsafe fn pack_panels<E: Copy + Default>(k: usize, n: usize, b: View<E>, to: *mut E) {
    for from in (0..n).step_by(TOGETHER) {
        let cols = TOGETHER.min(n - from);
        let (b, to) = (b.at(0, from), to.wrapping_add(from * k));
        let filling = cols.next_multiple_of(PANEL) - cols;
        let last = cols / PANEL * k * PANEL + cols % PANEL;
        for row in 0..k {
            for col in 0..filling {
                // SAFETY: inside the last panel.
                unsafe { *to.add(last + row * PANEL + col) = E::default() };
            }
        }
        if b.col == 1 {
            // SAFETY: the caller vouches for the elements.
            unsafe { copy_rows(k, cols, b, to) };
        } else {
            for first in (0..cols).step_by(PANEL) {
                let panel = to.wrapping_add(first * k);
                // SAFETY: the caller vouches for the elements.
                unsafe { turn_panel(k, PANEL.min(cols - first), b.at(0, first), panel) };
            }
        }
    }
}

/// Copies contiguous rows, each to all panels, in the order in which they lie.
///
/// # Safety
///
/// As for [`pack_panels`].
unsafe fn copy_rows<E: Copy>(k: usize, cols: usize, b: View<E>, to: *mut E) {
    let whole = cols - cols % PANEL;
    for row in 0..k {
        let source = b.at(row, 0).ptr;
        for first in (0..whole).step_by(PANEL) {
            let to = to.wrapping_add(first * k + row * PANEL);
            // SAFETY: inside `b`.
            let source = unsafe { source.add(first) };
            // SAFETY: contiguous elements in both; a fixed number of them is copied without a call.
            unsafe { std::ptr::copy_nonoverlapping(source, to, PANEL) };
        }
        for col in whole..cols {
            // SAFETY: inside `b`.
            let value = unsafe { *source.add(col) };
            // SAFETY: inside the last panel.
            unsafe { *to.add(whole * k + row * PANEL + col - whole) = value };
        }
    }
}

/// Copies at most [`PANEL`] columns of any stride to one panel.
///
/// # Safety
///
/// As for [`pack_panels`].
unsafe fn turn_panel<E: Copy + Default>(k: usize, cols: usize, b: View<E>, to: *mut E) {
    /// Columns and rows that are exchanged at a time, in registers.
    const SQUARE: usize = 4;
    let (whole_k, whole_cols) = (k - k % SQUARE, cols - cols % SQUARE);
    for row in (0..whole_k).step_by(SQUARE) {
        for col in (0..whole_cols).step_by(SQUARE) {
            let mut square = [[E::default(); SQUARE]; SQUARE];
            for (j, column) in square.iter_mut().enumerate() {
                let source = b.at(row, col + j);
                for (i, value) in column.iter_mut().enumerate() {
                    // SAFETY: inside `b`.
                    *value = unsafe { *source.at(i, 0).ptr };
                }
            }
            #[expect(clippy::needless_range_loop, reason = "rows become columns")]
            for i in 0..SQUARE {
                let line: [E; SQUARE] = std::array::from_fn(|j| square[j][i]);
                // SAFETY: inside the panel.
                let to = unsafe { to.add((row + i) * PANEL + col) };
                // SAFETY: as above.
                unsafe { to.cast::<[E; SQUARE]>().write_unaligned(line) };
            }
        }
    }
    for row in 0..k {
        let from = if row < whole_k { whole_cols } else { 0 };
        for col in from..cols {
            // SAFETY: inside `b`.
            let value = unsafe { *b.at(row, col).ptr };
            // SAFETY: inside the panel.
            unsafe { *to.add(row * PANEL + col) = value };
        }
    }
}
