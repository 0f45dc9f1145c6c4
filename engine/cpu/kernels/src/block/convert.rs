//! Conversions between f32 and 16-bit floats, rounding to nearest, ties to even.
#![expect(unsafe_code, reason = "routines work on raw blocks of elements")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "an address and the access to it stand under one obligation"
)]

/// bf16 to f32: a shift.
///
/// # Safety
///
/// As [`crate::table::WidenF32`].
#[inline(always)]
pub(super) unsafe fn bf16_widen(x: *const u16, y: *mut f32, n: usize) {
    for i in 0..n {
        // SAFETY: `i < n`.
        let bits = unsafe { *x.add(i) };
        // SAFETY: `i < n`.
        unsafe { *y.add(i) = f32::from_bits(u32::from(bits) << 16) };
    }
}

/// f32 to bf16.
///
/// # Safety
///
/// As [`crate::table::NarrowF32`].
#[inline(always)]
pub(super) unsafe fn bf16_narrow(x: *const f32, y: *mut u16, n: usize) {
    for i in 0..n {
        // SAFETY: `i < n`.
        let value = unsafe { *x.add(i) };
        let bits = value.to_bits();
        let half_and_odd = 0x7fff + (bits >> 16 & 1);
        let rounded = bits.wrapping_add(half_and_odd) >> 16;
        // A NaN stays one, made quiet; adding could have carried it into the sign.
        let narrow = if value.is_nan() {
            bits >> 16 | 0x40
        } else {
            rounded
        };
        // SAFETY: `i < n`.
        unsafe { *y.add(i) = narrow as u16 };
    }
}

/// Half precision without instructions for it.
pub(super) mod half_portable {
    #[inline(always)]
    fn widened(bits: u16) -> f32 {
        let sign = u32::from(bits & 0x8000) << 16;
        let size = u32::from(bits & 0x7fff);
        // Exponent and mantissa in their places, the exponent's bias corrected: 127 - 15.
        let normal = (size << 13) + (112 << 23);
        // Infinity and NaN have the greatest exponent, which is corrected once more.
        let infinite = normal + (112 << 23);
        // Below 2^-14 the mantissa counts in units of 2^-24.
        let small = (size as f32 * (1.0 / 16_777_216.0)).to_bits();
        let bits = if size >= 0x7c00 { infinite } else { normal };
        // A NaN is made quiet.
        let bits = if size > 0x7c00 {
            bits | 0x0040_0000
        } else {
            bits
        };
        f32::from_bits(sign | if size < 0x0400 { small } else { bits })
    }

    #[inline(always)]
    fn narrowed(value: f32) -> u16 {
        let bits = value.to_bits();
        let sign = bits >> 16 & 0x8000;
        let size = bits & 0x7fff_ffff;
        // Rounds at bit 13, with the exponent's bias corrected: 15 - 127.
        let normal = size
            .wrapping_add(0xfff + (size >> 13 & 1))
            .wrapping_sub(112 << 23)
            >> 13;
        // Below 2^-14, adding 0.5 rounds to units of 2^-24, and the sum's mantissa counts them.
        let small = (f32::from_bits(size) + 0.5)
            .to_bits()
            .wrapping_sub(0.5_f32.to_bits());
        let half = if size < 0x3880_0000 { small } else { normal };
        // 65520 and more round to infinity.
        let half = if size >= 0x477f_f000 { 0x7c00 } else { half };
        let quiet = 0x7e00 | size >> 13 & 0x3ff;
        let half = if size > 0x7f80_0000 { quiet } else { half };
        (sign | half) as u16
    }

    /// # Safety
    ///
    /// As [`crate::table::WidenF32`].
    #[inline(always)]
    pub(in crate::block) unsafe fn widen(x: *const u16, y: *mut f32, n: usize) {
        for i in 0..n {
            // SAFETY: `i < n`.
            let bits = unsafe { *x.add(i) };
            // SAFETY: `i < n`.
            unsafe { *y.add(i) = widened(bits) };
        }
    }

    /// # Safety
    ///
    /// As [`crate::table::NarrowF32`].
    #[inline(always)]
    pub(in crate::block) unsafe fn narrow(x: *const f32, y: *mut u16, n: usize) {
        for i in 0..n {
            // SAFETY: `i < n`.
            let value = unsafe { *x.add(i) };
            // SAFETY: `i < n`.
            unsafe { *y.add(i) = narrowed(value) };
        }
    }
}

/// Makes a module that converts half precision with one instruction per vector, and by way of the stack what does not
/// fill one.
#[cfg(target_arch = "x86_64")]
macro_rules! half {
    ($name:ident, $count:literal, $wide:ty, $narrow:ty, $widen:ident, $narrow_it:ident, $loads:ident, $store:ident,
     $loads_half:ident, $store_half:ident, $doc:literal) => {
        #[doc = $doc]
        pub(super) mod $name {
            #![expect(
                unsafe_op_in_unsafe_fn,
                reason = "a routine's whole body works under its own obligations"
            )]
            use std::arch::x86_64::*;

            /// # Safety
            ///
            /// As [`crate::table::WidenF32`].
            #[inline(always)]
            pub(in crate::block) unsafe fn widen(x: *const u16, y: *mut f32, n: usize) {
                let mut i = 0;
                while i + $count <= n {
                    $store(y.add(i), $widen($loads_half(x.add(i).cast())));
                    i += $count;
                }
                if i < n {
                    let mut from = [0_u16; $count];
                    let mut to = [0_f32; $count];
                    std::ptr::copy_nonoverlapping(x.add(i), from.as_mut_ptr(), n - i);
                    $store(to.as_mut_ptr(), $widen($loads_half(from.as_ptr().cast())));
                    std::ptr::copy_nonoverlapping(to.as_ptr(), y.add(i), n - i);
                }
            }

            /// # Safety
            ///
            /// As [`crate::table::NarrowF32`].
            #[inline(always)]
            pub(in crate::block) unsafe fn narrow(x: *const f32, y: *mut u16, n: usize) {
                let mut i = 0;
                while i + $count <= n {
                    $store_half(
                        y.add(i).cast(),
                        $narrow_it::<_MM_FROUND_TO_NEAREST_INT>($loads(x.add(i))),
                    );
                    i += $count;
                }
                if i < n {
                    let mut from = [0_f32; $count];
                    let mut to = [0_u16; $count];
                    std::ptr::copy_nonoverlapping(x.add(i), from.as_mut_ptr(), n - i);
                    $store_half(
                        to.as_mut_ptr().cast(),
                        $narrow_it::<_MM_FROUND_TO_NEAREST_INT>($loads(from.as_ptr())),
                    );
                    std::ptr::copy_nonoverlapping(to.as_ptr(), y.add(i), n - i);
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
half!(
    half_avx512,
    16,
    __m512,
    __m256i,
    _mm512_cvtph_ps,
    _mm512_cvtps_ph,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm256_loadu_si256,
    _mm256_storeu_si256,
    "Half precision, sixteen at a time."
);
#[cfg(target_arch = "x86_64")]
half!(
    half_avx2,
    8,
    __m256,
    __m128i,
    _mm256_cvtph_ps,
    _mm256_cvtps_ph,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm_loadu_si128,
    _mm_storeu_si128,
    "Half precision, eight at a time."
);
