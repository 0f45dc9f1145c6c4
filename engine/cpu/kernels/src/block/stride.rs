//! Copies between contiguous elements and elements that lie a stride apart.
#![expect(unsafe_code, reason = "routines work on raw blocks of elements")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "an address and the access to it stand under one obligation"
)]

/// `y[i] = x[i * stride]`.
///
/// # Safety
///
/// As [`crate::table::GatherF32`].
#[inline(always)]
pub(super) unsafe fn gather(x: *const f32, stride: isize, y: *mut f32, n: usize) {
    match stride {
        1 => {
            // SAFETY: `n` contiguous elements in both.
            unsafe { std::ptr::copy_nonoverlapping(x, y, n) };
        }
        0 if n > 0 => {
            // SAFETY: the only element of `x`.
            let value = unsafe { *x };
            for i in 0..n {
                // SAFETY: `i < n`.
                unsafe { *y.add(i) = value };
            }
        }
        _ => {
            for i in 0..n {
                // SAFETY: the caller vouches for every element that is named.
                let value = unsafe { *x.wrapping_offset(i as isize * stride) };
                // SAFETY: `i < n`.
                unsafe { *y.add(i) = value };
            }
        }
    }
}

/// `y[i * stride] = x[i]`.
///
/// # Safety
///
/// As [`crate::table::ScatterF32`].
#[inline(always)]
pub(super) unsafe fn scatter(x: *const f32, y: *mut f32, stride: isize, n: usize) {
    if stride == 1 {
        // SAFETY: `n` contiguous elements in both.
        return unsafe { std::ptr::copy_nonoverlapping(x, y, n) };
    }
    for i in 0..n {
        // SAFETY: `i < n`.
        let value = unsafe { *x.add(i) };
        // SAFETY: the caller vouches for every element that is named.
        unsafe { *y.wrapping_offset(i as isize * stride) = value };
    }
}
