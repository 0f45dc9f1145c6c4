//! Bringing `B` into panels.
#![expect(unsafe_code, reason = "matrices are pointers and strides")]

use super::View;
use super::tile::PANEL;

/// Elements that panels of `k` rows and `n` columns take.
pub(super) fn panel_elements(k: usize, n: usize) -> usize {
    n.div_ceil(PANEL) * PANEL * k
}

/// Copies one panel: columns `0..cols` of `k` rows of `b`, at most [`PANEL`] of them; the others become 0.
///
/// # Safety
///
/// - The elements of `b` are valid for reading.
/// - `to` is valid for writing `k * PANEL` elements.
pub(super) unsafe fn pack_panel<E: Copy + Default>(k: usize, cols: usize, b: View<E>, to: *mut E) {
    if cols < PANEL {
        for row in 0..k {
            for col in cols..PANEL {
                // SAFETY: inside the panel.
                unsafe { *to.add(row * PANEL + col) = E::default() };
            }
        }
    }
    if b.col == 1 {
        for row in 0..k {
            let source = b.at(row, 0).ptr;
            // SAFETY: inside the panel.
            let to = unsafe { to.add(row * PANEL) };
            if cols == PANEL {
                // SAFETY: contiguous elements in both; a fixed number of them is copied without a call.
                unsafe { std::ptr::copy_nonoverlapping(source, to, PANEL) };
            } else {
                // SAFETY: contiguous elements in both.
                unsafe { std::ptr::copy_nonoverlapping(source, to, cols) };
            }
        }
        return;
    }
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
