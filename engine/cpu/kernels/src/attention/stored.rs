//! How keys and values lie in memory, and reading them as f32.
//!
//! A cache may keep keys and values in 16 bits; a tile of them is converted
//! into scratch memory when it is needed. Conversions are exact.
#![expect(unsafe_code, reason = "reads the caller's memory through pointers")]

use core::ffi::c_void;
use core::ptr::null;

use super::Attention;

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
    /// The elements named are readable, `rows · to_stride` elements of `to` writable;
    /// `width ≤ to_stride`.
    pub(super) unsafe fn copy(
        &self,
        first: usize,
        rows: usize,
        width: usize,
        to: *mut f32,
        to_stride: usize,
    ) {
        for row in 0..rows {
            let from = self.at(first + row);
            // SAFETY: one of the rows that the caller made writable.
            let to = unsafe {
                core::slice::from_raw_parts_mut(to.wrapping_add(row * to_stride), to_stride)
            };
            let (to, rest) = to.split_at_mut(width);
            rest.fill(0.0);
            match self.stored {
                // SAFETY: `width` elements of this row are readable.
                Stored::F32 => unsafe { spread(from.cast::<f32>(), self.element, to, |x| x) },
                // SAFETY: as above.
                Stored::Bf16 => unsafe { spread(from.cast(), self.element, to, from_bf16) },
                // SAFETY: as above.
                Stored::F16 => unsafe { spread(from.cast(), self.element, to, from_f16) },
            }
        }
    }
}

/// # Safety
/// `from` has as many elements at the stride as `to`.
unsafe fn spread<T: Copy>(
    from: *const T,
    stride: isize,
    to: &mut [f32],
    convert: impl Fn(T) -> f32,
) {
    if stride == 1 {
        // SAFETY: unit stride makes them one slice.
        let from = unsafe { core::slice::from_raw_parts(from, to.len()) };
        for (to, from) in to.iter_mut().zip(from) {
            *to = convert(*from);
        }
    } else {
        for (index, to) in to.iter_mut().enumerate() {
            // SAFETY: the caller gives the element.
            *to = convert(unsafe { *from.wrapping_offset(index as isize * stride) });
        }
    }
}

fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Without branches, so that a loop over it becomes vector code.
fn from_f16(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let rest = u32::from(bits & 0x7fff) << 13;
    // Subnormals: put the mantissa under the exponent 2⁻¹⁴ and take that number away.
    let small = f32::from_bits(rest + (113 << 23)) - f32::from_bits(113 << 23);
    // Infinity and NaN keep the all-ones exponent; others move to the new bias.
    let bias = if rest >= 31 << 23 {
        224 << 23
    } else {
        112 << 23
    };
    let normal = rest.wrapping_add(bias);
    let magnitude = if rest < 1 << 23 {
        small.to_bits()
    } else {
        normal
    };
    f32::from_bits(sign | magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_is_read_exactly() {
        for bits in 0..=u16::MAX {
            let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f64::from(bits & 0x3ff));
            let magnitude = match exponent {
                0 => mantissa * 2f64.powi(-24),
                31 if mantissa == 0.0 => f64::INFINITY,
                31 => f64::NAN,
                e => (1024.0 + mantissa) * 2f64.powi(e - 25),
            };
            let expected = if bits >> 15 == 0 {
                magnitude
            } else {
                -magnitude
            };
            let found = f64::from(from_f16(bits));
            assert!(
                found.total_cmp(&expected).is_eq()
                    && found.is_sign_negative() == expected.is_sign_negative()
                    || found.is_nan() && expected.is_nan(),
                "{bits:#06x}: {found} instead of {expected}"
            );
        }
    }

    #[test]
    fn brain_floats_are_the_upper_half() {
        for (bits, value) in [
            (0x3f80, 1.0),
            (0xc000, -2.0),
            (0x7f80, f32::INFINITY),
            (0, 0.0),
        ] {
            assert!(from_bf16(bits).to_bits() == value.to_bits());
        }
    }
}
