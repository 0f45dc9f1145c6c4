//! Bringing rows of `A` into strips.
#![expect(unsafe_code, reason = "matrices are pointers and strides")]

use super::View;
use super::tile::STEPS;

/// Copies `rows` rows of `k` elements to `[k / STEPS][rows][STEPS]`.
///
/// # Safety
///
/// - The elements of `a` are valid for reading.
/// - `to` is valid for writing `rows * padded(k)` elements.
#[inline(always)]
pub(super) unsafe fn pack_strip<E: Copy>(rows: usize, k: usize, a: View<E>, to: *mut E) {
    for from in (0..k).step_by(STEPS) {
        let steps = STEPS.min(k - from);
        for row in 0..rows {
            let source = a.at(row, from);
            let to = to.wrapping_add(from * rows + row * STEPS);
            if a.col == 1 && steps == STEPS {
                // SAFETY: `STEPS` contiguous elements in both.
                unsafe { std::ptr::copy_nonoverlapping(source.ptr, to, STEPS) };
                continue;
            }
            for step in 0..steps {
                // SAFETY: `row < rows` and `from + step < k`.
                let value = unsafe { *source.at(0, step).ptr };
                // SAFETY: inside the strip.
                unsafe { *to.wrapping_add(step) = value };
            }
        }
    }
}
