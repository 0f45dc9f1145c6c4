//! Loops that apply a function to every element, shaped so that the compiler vectorizes them.
//!
//! Whole runs of [`RUN`] elements go through one loop without a remainder; what is left over is copied to a full run
//! on the stack, so that the last elements of a block are as fast as the others, and no element outside is touched.
#![expect(unsafe_code, reason = "routines work on raw blocks of elements")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "an address and the access to it stand under one obligation"
)]

/// Elements that every vectorized and unrolled loop divides evenly.
pub(super) const RUN: usize = 64;

/// `y[i] = f(x[i])`.
///
/// # Safety
///
/// `x` is valid for reading and `y` for writing `n` elements; `y` equals `x` or does not overlap it.
#[inline(always)]
pub(super) unsafe fn unary<T: Copy + Default>(
    x: *const T,
    y: *mut T,
    n: usize,
    f: impl Fn(T) -> T,
) {
    let whole = n & !(RUN - 1);
    if x == y.cast_const() {
        // The compiler cannot know that two pointers are equal, and would take the loop below for a dependent one.
        for i in 0..whole {
            // SAFETY: `i < n`.
            let at = unsafe { y.add(i) };
            // SAFETY: valid for reading, as `x` is.
            let value = unsafe { *at };
            // SAFETY: valid for writing.
            unsafe { *at = f(value) };
        }
    } else {
        for i in 0..whole {
            // SAFETY: `i < n`.
            let value = unsafe { *x.add(i) };
            // SAFETY: `i < n`.
            unsafe { *y.add(i) = f(value) };
        }
    }
    if whole < n {
        // SAFETY: `whole < n`.
        let (x, y) = unsafe { (x.add(whole), y.add(whole)) };
        // SAFETY: `n - whole` elements remain in both.
        unsafe { unary_run(x, y, n - whole, f) };
    }
}

/// [`unary`] for at most [`RUN`] elements.
///
/// # Safety
///
/// As for [`unary`].
#[inline(always)]
unsafe fn unary_run<T: Copy + Default>(x: *const T, y: *mut T, n: usize, f: impl Fn(T) -> T) {
    let mut run = [T::default(); RUN];
    // SAFETY: `n` is at most `RUN`.
    unsafe { std::ptr::copy_nonoverlapping(x, run.as_mut_ptr(), n) };
    for value in &mut run {
        *value = f(*value);
    }
    // SAFETY: as above.
    unsafe { std::ptr::copy_nonoverlapping(run.as_ptr(), y, n) };
}

/// As [`unary`], where `f` is right only for elements that are not `special`; those few get `exact`.
///
/// # Safety
///
/// As for [`unary`].
#[inline(always)]
pub(super) unsafe fn unary_checked(
    x: *const f32,
    y: *mut f32,
    n: usize,
    f: impl Fn(f32) -> f32,
    special: impl Fn(f32) -> bool,
    exact: impl Fn(f32) -> f32,
) {
    let mut from = 0;
    while from < n {
        let count = RUN.min(n - from);
        let mut run = [0.0; RUN];
        // SAFETY: `count` elements from `from` are in the block, and at most `RUN`.
        unsafe { std::ptr::copy_nonoverlapping(x.add(from), run.as_mut_ptr(), count) };
        let mut result = [0.0; RUN];
        let mut found = 0_u32;
        for (result, &value) in result.iter_mut().zip(&run) {
            *result = f(value);
            found |= u32::from(special(value));
        }
        if found != 0 {
            for (result, &value) in result.iter_mut().zip(&run) {
                if special(value) {
                    *result = exact(value);
                }
            }
        }
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(result.as_ptr(), y.add(from), count) };
        from += count;
    }
}

/// `z[i] = f(x[i], y[i])`.
///
/// # Safety
///
/// `x` and `y` are valid for reading and `z` for writing `n` elements; `z` equals one of them or overlaps neither.
#[inline(always)]
pub(super) unsafe fn binary<T: Copy + Default>(
    x: *const T,
    y: *const T,
    z: *mut T,
    n: usize,
    f: impl Fn(T, T) -> T,
) {
    // SAFETY: the obligations are the same.
    unsafe { binary_checked(x, y, z, n, &f, |_, _| false, &f) };
}

/// As [`binary`], where `f` is right only for pairs that are not `special`; those few get `exact`.
///
/// # Safety
///
/// As for [`binary`].
#[inline(always)]
pub(super) unsafe fn binary_checked<T: Copy + Default>(
    x: *const T,
    y: *const T,
    z: *mut T,
    n: usize,
    f: impl Fn(T, T) -> T,
    special: impl Fn(T, T) -> bool,
    exact: impl Fn(T, T) -> T,
) {
    let mut from = 0;
    while from < n {
        let count = RUN.min(n - from);
        let mut left = [T::default(); RUN];
        let mut right = [T::default(); RUN];
        // SAFETY: `count` elements from `from` are in the block, and at most `RUN`.
        unsafe { std::ptr::copy_nonoverlapping(x.add(from), left.as_mut_ptr(), count) };
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(y.add(from), right.as_mut_ptr(), count) };
        let mut result = [T::default(); RUN];
        let mut found = 0_u32;
        for i in 0..RUN {
            result[i] = f(left[i], right[i]);
            found |= u32::from(special(left[i], right[i]));
        }
        if found != 0 {
            for i in 0..count {
                if special(left[i], right[i]) {
                    result[i] = exact(left[i], right[i]);
                }
            }
        }
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(result.as_ptr(), z.add(from), count) };
        from += count;
    }
}

/// `y[i] *= factor`.
///
/// # Safety
///
/// `y` is valid for reading and writing `n` elements.
#[inline(always)]
pub(super) unsafe fn scale(y: *mut f32, factor: f32, n: usize) {
    // SAFETY: the obligations are the same.
    unsafe { unary(y.cast_const(), y, n, |value| value * factor) };
}
