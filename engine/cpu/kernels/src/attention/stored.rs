//! How keys and values lie in memory, and reading them as f32.
//!
//! A cache may keep keys and values in 16 bits; a tile of them is converted
//! into scratch memory when it is needed. Conversions are exact.
#![expect(unsafe_code, reason = "reads the caller's memory through pointers")]

use core::ffi::c_void;
use core::ptr::null;

use super::Attention;
use crate::table::{Routines, WidenF32};

/// The dtype in which keys and values are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Stored {
    /// IEEE single precision: read where it lies.
    #[default]
    F32 = 0,
    /// IEEE half precision.
    F16 = 1,
    /// The upper half of a single.
    Bf16 = 2,
}

impl Stored {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// A matrix of stored numbers; strides in elements.
#[derive(Clone, Copy)]
pub(super) struct Stretch {
    pub(super) start: *const c_void,
    pub(super) stored: Stored,
    pub(super) row: isize,
    pub(super) element: isize,
}

impl Stretch {
    /// As given for a point.
    pub(super) fn of_keys(attention: &Attention, point: usize) -> Self {
        let start = attention.points.get(point).map_or(null(), |point| point.k);
        Self {
            start,
            stored: attention.stored,
            row: attention.k.row,
            element: attention.k.element,
        }
    }

    /// As given for a point.
    pub(super) fn of_values(attention: &Attention, point: usize) -> Self {
        let start = attention.points.get(point).map_or(null(), |point| point.v);
        Self {
            start,
            stored: attention.stored,
            row: attention.v.row,
            element: attention.v.element,
        }
    }

    /// The address of the first element of a row.
    pub(super) fn at(&self, row: usize) -> *const c_void {
        let bytes = self.stored.bytes() as isize * self.row * row as isize;
        self.start.wrapping_byte_offset(bytes)
    }

    /// Whether rows can be read as runs of f32 where they lie.
    pub(super) fn plain(&self) -> bool {
        self.stored == Stored::F32 && self.element == 1
    }

    /// Copies `[rows, width]` from row `first` on to `to`, with zeros up to `to_stride` columns.
    ///
    /// # Safety
    /// The CPU runs the level of `routines`. The elements named are readable,
    /// `rows · to_stride` elements of `to` writable; `width ≤ to_stride`.
    pub(super) unsafe fn copy(
        &self,
        routines: &Routines,
        first: usize,
        rows: usize,
        width: usize,
        to: *mut f32,
        to_stride: usize,
    ) {
        for row in 0..rows {
            let from = self.at(first + row);
            let to = to.wrapping_add(row * to_stride);
            // SAFETY: one of the rows that the caller made writable.
            let to = unsafe { core::slice::from_raw_parts_mut(to, to_stride) };
            let (to, rest) = to.split_at_mut(width);
            rest.fill(0.0);
            let widen = match self.stored {
                Stored::F32 => {
                    // SAFETY: `width` elements of this row are readable.
                    unsafe { gather(from.cast(), self.element, to) };
                    continue;
                }
                Stored::F16 => routines.f16_to_f32,
                Stored::Bf16 => routines.bf16_to_f32,
            };
            // SAFETY: as above.
            unsafe { widen_row(widen, from.cast(), self.element, to) };
        }
    }
}

/// # Safety
/// `from` has as many elements at the stride as `to`.
unsafe fn gather<T: Copy>(from: *const T, stride: isize, to: &mut [T]) {
    if to.is_empty() {
        return;
    }
    if stride == 1 {
        // SAFETY: unit stride makes them one slice.
        to.copy_from_slice(unsafe { core::slice::from_raw_parts(from, to.len()) });
        return;
    }
    for (index, to) in to.iter_mut().enumerate() {
        // SAFETY: one of the elements that the caller gives.
        *to = unsafe { *from.wrapping_offset(index as isize * stride) };
    }
}

/// # Safety
/// `from` has as many elements at the stride as `to`; the CPU runs the level of `widen`.
unsafe fn widen_row(widen: WidenF32, from: *const u16, stride: isize, to: &mut [f32]) {
    if stride == 1 {
        // SAFETY: as many elements as the caller gives.
        unsafe { widen(from, to.as_mut_ptr(), to.len()) };
        return;
    }
    let mut some = [0; 64];
    for (index, to) in to.chunks_mut(some.len()).enumerate() {
        let from = from.wrapping_offset((index * some.len()) as isize * stride);
        let some = &mut some[..to.len()];
        // SAFETY: a stretch of the elements that the caller gives.
        unsafe { gather(from, stride, some) };
        // SAFETY: both have the length.
        unsafe { widen(some.as_ptr(), to.as_mut_ptr(), to.len()) };
    }
}
