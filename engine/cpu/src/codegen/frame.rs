//! What a generated function is called with.

use girih_kernels::table::{BinaryF32, BinaryF64, Routines};

/// One call of a generated function, which reads it through a pointer by field offsets.
#[repr(C)]
pub(super) struct Frame {
    /// First element of every buffer.
    pub(super) buffers: *const *mut u8,
    /// Values of the kernel's sizes.
    pub(super) sizes: *const i64,
    /// Precompiled routines.
    pub(super) routines: *const Routines,
    /// Rows and blocks of values between loops.
    pub(super) scratch: *mut u8,
    /// Written by the function: the position outside, and the extent.
    pub(super) position: i64,
    pub(super) extent: i64,
    pub(super) remainder_f32: BinaryF32,
    pub(super) remainder_f64: BinaryF64,
}

/// A generated function: runs points `begin..end`; 0, or the status of the guard that failed.
pub(super) type Entry = unsafe extern "C" fn(frame: *mut Frame, begin: i64, end: i64) -> i32;
