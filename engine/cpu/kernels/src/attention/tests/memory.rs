//! Operands of any order and dtype between pages that cannot be touched.

use core::ffi::c_void;
use core::ptr::null_mut;

use super::super::{Stored, Strides};

/// Order of the axes in memory.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// `[point, row, element]`
    PointFirst,
    /// `[row, point, element]`
    RowFirst,
    /// `[point, element, row]`
    ElementFirst,
    /// `[point, row, element]` with the rows backwards.
    Backwards,
}

pub(super) const ORDERS: [Order; 4] = [
    Order::PointFirst,
    Order::RowFirst,
    Order::ElementFirst,
    Order::Backwards,
];

/// Memory whose neighbors on both sides cannot be touched; the data lies at one end of it.
pub(super) struct Guarded {
    map: *mut c_void,
    length: usize,
    data: *mut c_void,
}

pub(super) const PAGE: usize = 4096;

impl Guarded {
    pub(super) fn new(bytes: usize, at_end: bool) -> Self {
        let inner = bytes.div_ceil(PAGE) * PAGE;
        let length = inner + 2 * PAGE;
        let (access, flags) = (libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping.
        let map = unsafe { libc::mmap(null_mut(), length, access, flags, -1, 0) };
        assert_ne!(map, libc::MAP_FAILED);
        let first = map.wrapping_byte_add(PAGE);
        if inner > 0 {
            // SAFETY: the inside of the mapping.
            let status =
                unsafe { libc::mprotect(first, inner, libc::PROT_READ | libc::PROT_WRITE) };
            assert_eq!(status, 0);
        }
        let data = first.wrapping_byte_add(if at_end { inner - bytes } else { 0 });
        Self { map, length, data }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: made in `new`, and nothing points into it any more.
        unsafe { libc::munmap(self.map, self.length) };
    }
}

/// A `[points, rows, width]` operand.
pub(super) struct Operand {
    pub(super) memory: Guarded,
    /// Element strides of point, row and element, and the offset of the first.
    pub(super) strides: [isize; 3],
    pub(super) offset: isize,
    pub(super) stored: Stored,
}

impl Operand {
    pub(super) fn new(
        [points, rows, width]: [usize; 3],
        order: Order,
        stored: Stored,
        at_end: bool,
    ) -> Self {
        let [p, r, w] = [points as isize, rows as isize, width as isize];
        let (strides, offset) = match order {
            Order::PointFirst => ([r * w, w, 1], 0),
            Order::RowFirst => ([w, p * w, 1], 0),
            Order::ElementFirst => ([r * w, 1, r], 0),
            Order::Backwards => ([r * w, -w, 1], (r - 1).max(0) * w),
        };
        let memory = Guarded::new(points * rows * width * stored.bytes(), at_end);
        Self {
            memory,
            strides,
            offset,
            stored,
        }
    }

    pub(super) fn strides(&self) -> Strides {
        Strides {
            row: self.strides[1],
            element: self.strides[2],
        }
    }

    pub(super) fn at(&self, point: usize, row: usize, element: usize) -> *mut c_void {
        let index = [point, row, element]
            .iter()
            .zip(self.strides)
            .map(|(&i, s)| i as isize * s)
            .sum::<isize>();
        self.memory
            .data
            .wrapping_byte_offset((self.offset + index) * self.stored.bytes() as isize)
    }

    pub(super) fn set(&self, [point, row, element]: [usize; 3], value: f32) {
        let at = self.at(point, row, element);
        let bits = match self.stored {
            // SAFETY: an element of the operand.
            Stored::F32 => return unsafe { at.cast::<f32>().write(value) },
            Stored::Bf16 => (value.to_bits() >> 16) as u16,
            Stored::F16 => to_f16(value),
        };
        // SAFETY: an element of the operand.
        unsafe { at.cast::<u16>().write(bits) };
    }

    pub(super) fn get(&self, [point, row, element]: [usize; 3]) -> f32 {
        let at = self.at(point, row, element);
        if self.stored == Stored::F32 {
            // SAFETY: an element of the operand.
            return unsafe { at.cast::<f32>().read() };
        }
        // SAFETY: an element of the operand.
        let bits = unsafe { at.cast::<u16>().read() };
        match self.stored {
            Stored::F16 => from_f16(bits),
            Stored::F32 | Stored::Bf16 => f32::from_bits(u32::from(bits) << 16),
        }
    }
}

/// Truncated to half precision; only for normal numbers in its range and zero.
pub(super) fn to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let magnitude = (bits >> 13 & 0x3ffff).saturating_sub(112 << 10) as u16;
    (bits >> 16 & 0x8000) as u16 | magnitude
}

pub(super) fn from_f16(bits: u16) -> f32 {
    let magnitude = match bits & 0x7fff {
        small @ 0..0x400 => f32::from(small) * 2f32.powi(-24),
        other => f32::from_bits((u32::from(other) << 13) + (112 << 23)),
    };
    if bits >> 15 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

pub(super) fn for_each([points, rows, width]: [usize; 3], mut visit: impl FnMut([usize; 3])) {
    for point in 0..points {
        for row in 0..rows {
            for element in 0..width {
                visit([point, row, element]);
            }
        }
    }
}
