//! Units of x86-64: 512-bit dot products of bytes, and 256-bit products of byte pairs.
#![expect(
    unsafe_code,
    reason = "vector instructions exist only on some machines"
)]
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "a method's whole body works under the trait's obligations"
)]
#![cfg_attr(
    not(test),
    expect(clippy::wildcard_imports, reason = "dozens of intrinsics")
)]

use std::arch::x86_64::*;

use super::unit::Unit;

/// AVX-512 F, BW, VL and VNNI.
pub(super) struct Avx512Vnni;

// SAFETY: every intrinsic is of these features; reads are as the trait says.
unsafe impl Unit for Avx512Vnni {
    type Bytes = __m512i;
    type Ints = __m512i;
    type Floats = __m512;

    const SIGNED: bool = false;

    #[inline(always)]
    unsafe fn load(from: *const u8) -> __m512i {
        _mm512_loadu_si512(from.cast())
    }

    #[inline(always)]
    unsafe fn bits(bytes: __m512i, from: u32, to: u32, mask: u8) -> __m512i {
        let moved = match (from < to, from.abs_diff(to)) {
            (_, 0) => bytes,
            (true, by) => _mm512_sll_epi32(bytes, _mm_cvtsi32_si128(by as i32)),
            (false, by) => _mm512_srl_epi32(bytes, _mm_cvtsi32_si128(by as i32)),
        };
        _mm512_and_si512(moved, _mm512_set1_epi8(mask.cast_signed()))
    }

    #[inline(always)]
    unsafe fn or(x: __m512i, y: __m512i) -> __m512i {
        _mm512_or_si512(x, y)
    }

    #[inline(always)]
    unsafe fn splat_int(x: i32) -> __m512i {
        _mm512_set1_epi32(x)
    }

    #[inline(always)]
    unsafe fn ints(x: &[i32; 16], more: i32) -> __m512i {
        _mm512_add_epi32(
            _mm512_loadu_si512(x.as_ptr().cast()),
            _mm512_set1_epi32(more),
        )
    }

    #[inline(always)]
    unsafe fn dot<const BITS: usize>(
        mut sums: __m512i,
        weights: &[__m512i; 4],
        activations: *const i8,
    ) -> __m512i {
        for (group, &weights) in weights.iter().enumerate() {
            let four = activations.add(4 * group).cast::<i32>().read_unaligned();
            sums = _mm512_dpbusd_epi32(sums, weights, _mm512_set1_epi32(four));
        }
        sums
    }

    #[inline(always)]
    unsafe fn weight<const BITS: usize>(bytes: __m512i, at: usize, zero: i32) -> __m512 {
        let moved = _mm512_srl_epi32(bytes, _mm_cvtsi32_si128(8 * at as i32));
        if BITS == 4 {
            // A table of the sixteen weights, of whose index only four bits count.
            let places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            let table = _mm512_cvtepi32_ps(_mm512_sub_epi32(places, _mm512_set1_epi32(zero)));
            return _mm512_permutexvar_ps(moved, table);
        }
        let weights = _mm512_and_si512(moved, _mm512_set1_epi32(255));
        _mm512_cvtepi32_ps(_mm512_sub_epi32(weights, _mm512_set1_epi32(zero)))
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m512 {
        _mm512_set1_ps(x)
    }

    #[inline(always)]
    unsafe fn to_floats(x: __m512i) -> __m512 {
        _mm512_cvtepi32_ps(x)
    }

    #[inline(always)]
    unsafe fn numbers(from: *const f32) -> __m512 {
        _mm512_loadu_ps(from)
    }

    #[inline(always)]
    unsafe fn halves(from: *const u8) -> __m512 {
        _mm512_cvtph_ps(_mm256_loadu_si256(from.cast()))
    }

    #[inline(always)]
    unsafe fn small(from: *const u8) -> __m512 {
        _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast())))
    }

    #[inline(always)]
    unsafe fn mul(x: __m512, y: __m512) -> __m512 {
        _mm512_mul_ps(x, y)
    }

    #[inline(always)]
    unsafe fn add(x: __m512, y: __m512) -> __m512 {
        _mm512_add_ps(x, y)
    }

    #[inline(always)]
    unsafe fn mul_add(x: __m512, y: __m512, z: __m512) -> __m512 {
        _mm512_fmadd_ps(x, y, z)
    }

    #[inline(always)]
    unsafe fn lanes(x: __m512) -> [f32; 16] {
        let mut lanes = [0.0; 16];
        _mm512_storeu_ps(lanes.as_mut_ptr(), x);
        lanes
    }

    #[inline(always)]
    unsafe fn prefetch(address: *const u8) {
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
}

/// AVX2, FMA and F16C: two vectors of 8 rows each.
pub(super) struct Avx2;

// SAFETY: every intrinsic is of these features; reads are as the trait says.
unsafe impl Unit for Avx2 {
    type Bytes = [__m256i; 2];
    type Ints = [__m256i; 2];
    type Floats = [__m256; 2];

    // Products of pairs are added in 16 bits: of signed weights they fit.
    const SIGNED: bool = true;

    #[inline(always)]
    unsafe fn load(from: *const u8) -> [__m256i; 2] {
        [
            _mm256_loadu_si256(from.cast()),
            _mm256_loadu_si256(from.add(32).cast()),
        ]
    }

    #[inline(always)]
    unsafe fn bits(bytes: [__m256i; 2], from: u32, to: u32, mask: u8) -> [__m256i; 2] {
        [
            bits256(bytes[0], from, to, mask),
            bits256(bytes[1], from, to, mask),
        ]
    }

    #[inline(always)]
    unsafe fn or(x: [__m256i; 2], y: [__m256i; 2]) -> [__m256i; 2] {
        [_mm256_or_si256(x[0], y[0]), _mm256_or_si256(x[1], y[1])]
    }

    #[inline(always)]
    unsafe fn splat_int(x: i32) -> [__m256i; 2] {
        [_mm256_set1_epi32(x); 2]
    }

    #[inline(always)]
    unsafe fn ints(x: &[i32; 16], more: i32) -> [__m256i; 2] {
        let more = _mm256_set1_epi32(more);
        let half = |at: usize| _mm256_loadu_si256(x.as_ptr().add(at).cast());
        [
            _mm256_add_epi32(half(0), more),
            _mm256_add_epi32(half(8), more),
        ]
    }

    #[inline(always)]
    unsafe fn dot<const BITS: usize>(
        mut sums: [__m256i; 2],
        weights: &[[__m256i; 2]; 4],
        activations: *const i8,
    ) -> [__m256i; 2] {
        // As many groups as fit 16 bits together: 4 * 2 * 31 * 127 and 2 * 2 * 63 * 127 do.
        let together = match BITS {
            4 | 5 => 4,
            6 => 2,
            _ => 1,
        };
        let ones = _mm256_set1_epi16(1);
        for side in 0..2 {
            for first in (0..4).step_by(together) {
                let mut pairs = _mm256_setzero_si256();
                for group in first..first + together {
                    let four = activations.add(4 * group).cast::<i32>().read_unaligned();
                    let (four, weights) = (_mm256_set1_epi32(four), weights[group][side]);
                    let products = if BITS == 8 {
                        let weights = _mm256_xor_si256(weights, _mm256_set1_epi8(-128));
                        let signed = _mm256_sign_epi8(four, weights);
                        _mm256_maddubs_epi16(_mm256_abs_epi8(weights), signed)
                    } else {
                        _mm256_maddubs_epi16(weights, four)
                    };
                    pairs = _mm256_add_epi16(pairs, products);
                }
                sums[side] = _mm256_add_epi32(sums[side], _mm256_madd_epi16(pairs, ones));
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn weight<const BITS: usize>(bytes: [__m256i; 2], at: usize, zero: i32) -> [__m256; 2] {
        [weight256(bytes[0], at, zero), weight256(bytes[1], at, zero)]
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> [__m256; 2] {
        [_mm256_set1_ps(x); 2]
    }

    #[inline(always)]
    unsafe fn to_floats(x: [__m256i; 2]) -> [__m256; 2] {
        [_mm256_cvtepi32_ps(x[0]), _mm256_cvtepi32_ps(x[1])]
    }

    #[inline(always)]
    unsafe fn numbers(from: *const f32) -> [__m256; 2] {
        [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))]
    }

    #[inline(always)]
    unsafe fn halves(from: *const u8) -> [__m256; 2] {
        [
            _mm256_cvtph_ps(_mm_loadu_si128(from.cast())),
            _mm256_cvtph_ps(_mm_loadu_si128(from.add(16).cast())),
        ]
    }

    #[inline(always)]
    unsafe fn small(from: *const u8) -> [__m256; 2] {
        Self::to_floats([
            _mm256_cvtepi8_epi32(_mm_loadl_epi64(from.cast())),
            _mm256_cvtepi8_epi32(_mm_loadl_epi64(from.add(8).cast())),
        ])
    }

    #[inline(always)]
    unsafe fn mul(x: [__m256; 2], y: [__m256; 2]) -> [__m256; 2] {
        [_mm256_mul_ps(x[0], y[0]), _mm256_mul_ps(x[1], y[1])]
    }

    #[inline(always)]
    unsafe fn add(x: [__m256; 2], y: [__m256; 2]) -> [__m256; 2] {
        [_mm256_add_ps(x[0], y[0]), _mm256_add_ps(x[1], y[1])]
    }

    #[inline(always)]
    unsafe fn mul_add(x: [__m256; 2], y: [__m256; 2], z: [__m256; 2]) -> [__m256; 2] {
        [
            _mm256_fmadd_ps(x[0], y[0], z[0]),
            _mm256_fmadd_ps(x[1], y[1], z[1]),
        ]
    }

    #[inline(always)]
    unsafe fn lanes(x: [__m256; 2]) -> [f32; 16] {
        let mut lanes = [0.0; 16];
        _mm256_storeu_ps(lanes.as_mut_ptr(), x[0]);
        _mm256_storeu_ps(lanes.as_mut_ptr().add(8), x[1]);
        lanes
    }

    #[inline(always)]
    unsafe fn prefetch(address: *const u8) {
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
}

/// See [`Unit::weight`].
#[inline(always)]
unsafe fn weight256(bytes: __m256i, at: usize, zero: i32) -> __m256 {
    let moved = _mm256_srl_epi32(bytes, _mm_cvtsi32_si128(8 * at as i32));
    let weights = _mm256_and_si256(moved, _mm256_set1_epi32(255));
    _mm256_cvtepi32_ps(_mm256_sub_epi32(weights, _mm256_set1_epi32(zero)))
}

/// See [`Unit::bits`]. No closure: its body would not be compiled for the features.
#[inline(always)]
unsafe fn bits256(bytes: __m256i, from: u32, to: u32, mask: u8) -> __m256i {
    let moved = match (from < to, from.abs_diff(to)) {
        (_, 0) => bytes,
        (true, by) => _mm256_sll_epi32(bytes, _mm_cvtsi32_si128(by as i32)),
        (false, by) => _mm256_srl_epi32(bytes, _mm_cvtsi32_si128(by as i32)),
    };
    _mm256_and_si256(moved, _mm256_set1_epi8(mask.cast_signed()))
}
