//! What attention needs of AVX2 and AVX-512 vectors.
//!
//! Every function is inlined into one that enables the features; none is
//! called from code without them.
#![expect(
    unsafe_code,
    reason = "vector instructions exist only on some machines"
)]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "an expression of intrinsics stands under one obligation: the CPU has the feature"
)]
#![cfg_attr(
    not(test),
    expect(clippy::wildcard_imports, reason = "dozens of intrinsics")
)]

use core::arch::x86_64::*;

use super::lanes::{EXP_LOWEST, EXP2, ROUND, TileLanes};
use crate::lanes::{Avx2F32, Avx512F32};

// SAFETY: addresses stay inside the squares of `transpose`; nothing else reads or writes memory.
unsafe impl TileLanes for Avx2F32 {
    const ROWS: usize = 6;
    const VECTORS: usize = 2;

    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the caller gives a CPU with AVX2.
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn larger(a: __m256, b: __m256) -> __m256 {
        // SAFETY: the caller gives a CPU with AVX2.
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn exp(x: __m256) -> __m256 {
        // SAFETY: the caller gives a CPU with AVX2 and FMA.
        unsafe {
            let log2e = _mm256_set1_ps(core::f32::consts::LOG2_E);
            let round = _mm256_set1_ps(ROUND);
            let shifted = _mm256_fmadd_ps(x, log2e, round);
            let whole = _mm256_sub_ps(shifted, round);
            let r = _mm256_fmsub_ps(x, log2e, whole);
            let mut poly = _mm256_set1_ps(EXP2[0]);
            for c in &EXP2[1..] {
                poly = _mm256_fmadd_ps(poly, r, _mm256_set1_ps(*c));
            }
            let exponent = _mm256_add_epi32(_mm256_castps_si256(shifted), _mm256_set1_epi32(127));
            let power = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent));
            // "Not less than" keeps NaN.
            let kept = _mm256_cmp_ps::<_CMP_NLT_UQ>(x, _mm256_set1_ps(EXP_LOWEST));
            _mm256_and_ps(kept, _mm256_mul_ps(poly, power))
        }
    }

    #[inline(always)]
    unsafe fn largest(x: __m256) -> f32 {
        // SAFETY: the caller gives a CPU with AVX2.
        unsafe {
            let four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    unsafe fn total(x: __m256) -> f32 {
        // SAFETY: the caller gives a CPU with AVX2.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_stride: isize, to: *mut f32, to_stride: usize) {
        // SAFETY: the caller gives two 8×8 squares and a CPU with AVX2.
        unsafe {
            // Rows r and r + 4 side by side: each half then transposes 4×4.
            for column in [0, 4] {
                let mut rows = [_mm256_setzero_ps(); 4];
                for (r, row) in rows.iter_mut().enumerate() {
                    let low = from.offset(r as isize * from_stride).add(column);
                    *row = _mm256_loadu2_m128(low.offset(4 * from_stride), low);
                }
                let lines = columns_256(rows);
                for (index, line) in lines.into_iter().enumerate() {
                    _mm256_storeu_ps(to.add((column + index) * to_stride), line);
                }
            }
        }
    }
}

/// Transposes 4×4 in each 128-bit lane.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn columns_256(rows: [__m256; 4]) -> [__m256; 4] {
    let [r0, r1, r2, r3] = rows;
    // SAFETY: the caller gives a CPU with AVX2.
    unsafe {
        let (a, b) = (_mm256_unpacklo_ps(r0, r1), _mm256_unpackhi_ps(r0, r1));
        let (c, d) = (_mm256_unpacklo_ps(r2, r3), _mm256_unpackhi_ps(r2, r3));
        [
            _mm256_shuffle_ps::<0x44>(a, c),
            _mm256_shuffle_ps::<0xee>(a, c),
            _mm256_shuffle_ps::<0x44>(b, d),
            _mm256_shuffle_ps::<0xee>(b, d),
        ]
    }
}

// SAFETY: addresses stay inside the squares of `transpose`; nothing else reads or writes memory.
unsafe impl TileLanes for Avx512F32 {
    const ROWS: usize = 6;
    const VECTORS: usize = 4;

    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        // SAFETY: the caller gives a CPU with AVX-512.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn larger(a: __m512, b: __m512) -> __m512 {
        // SAFETY: the caller gives a CPU with AVX-512.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn exp(x: __m512) -> __m512 {
        // SAFETY: the caller gives a CPU with AVX-512.
        unsafe {
            let log2e = _mm512_set1_ps(core::f32::consts::LOG2_E);
            let round = _mm512_set1_ps(ROUND);
            let shifted = _mm512_fmadd_ps(x, log2e, round);
            let whole = _mm512_sub_ps(shifted, round);
            let r = _mm512_fmsub_ps(x, log2e, whole);
            let mut poly = _mm512_set1_ps(EXP2[0]);
            for c in &EXP2[1..] {
                poly = _mm512_fmadd_ps(poly, r, _mm512_set1_ps(*c));
            }
            let exponent = _mm512_add_epi32(_mm512_castps_si512(shifted), _mm512_set1_epi32(127));
            let power = _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent));
            // "Not less than" keeps NaN.
            let kept = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, _mm512_set1_ps(EXP_LOWEST));
            _mm512_maskz_mul_ps(kept, poly, power)
        }
    }

    #[inline(always)]
    unsafe fn largest(x: __m512) -> f32 {
        // SAFETY: the caller gives a CPU with AVX-512, which implies AVX2.
        unsafe {
            let [low, high] = halves(x);
            Avx2F32::largest(_mm256_max_ps(low, high))
        }
    }

    #[inline(always)]
    unsafe fn total(x: __m512) -> f32 {
        // SAFETY: the caller gives a CPU with AVX-512, which implies AVX2.
        unsafe {
            let [low, high] = halves(x);
            Avx2F32::total(_mm256_add_ps(low, high))
        }
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_stride: isize, to: *mut f32, to_stride: usize) {
        // SAFETY: the caller gives two 16×16 squares and a CPU with AVX-512.
        unsafe {
            // `quads[g][c]`: in its 128-bit lane L, column 4L + c of rows 4g..4g + 4.
            // A plain loop: closures given to other functions lack the CPU features.
            let mut quads = [[_mm512_setzero_ps(); 4]; 4];
            for (g, quad) in quads.iter_mut().enumerate() {
                let rows = from.offset(4 * g as isize * from_stride);
                *quad = columns_512([
                    _mm512_loadu_ps(rows),
                    _mm512_loadu_ps(rows.offset(from_stride)),
                    _mm512_loadu_ps(rows.offset(2 * from_stride)),
                    _mm512_loadu_ps(rows.offset(3 * from_stride)),
                ]);
            }
            let [first, second, third, fourth] = quads;
            for (c, (((g0, g1), g2), g3)) in first
                .into_iter()
                .zip(second)
                .zip(third)
                .zip(fourth)
                .enumerate()
            {
                let even = [
                    _mm512_shuffle_f32x4::<0x88>(g0, g1),
                    _mm512_shuffle_f32x4::<0x88>(g2, g3),
                ];
                let odd = [
                    _mm512_shuffle_f32x4::<0xdd>(g0, g1),
                    _mm512_shuffle_f32x4::<0xdd>(g2, g3),
                ];
                let to = to.add(c * to_stride);
                _mm512_storeu_ps(to, _mm512_shuffle_f32x4::<0x88>(even[0], even[1]));
                _mm512_storeu_ps(
                    to.add(4 * to_stride),
                    _mm512_shuffle_f32x4::<0x88>(odd[0], odd[1]),
                );
                _mm512_storeu_ps(
                    to.add(8 * to_stride),
                    _mm512_shuffle_f32x4::<0xdd>(even[0], even[1]),
                );
                _mm512_storeu_ps(
                    to.add(12 * to_stride),
                    _mm512_shuffle_f32x4::<0xdd>(odd[0], odd[1]),
                );
            }
        }
    }
}

/// The lower and the upper eight lanes.
///
/// # Safety
/// The CPU has AVX-512.
#[inline(always)]
unsafe fn halves(x: __m512) -> [__m256; 2] {
    // SAFETY: the caller gives a CPU with AVX-512.
    unsafe {
        let high = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(x));
        [_mm512_castps512_ps256(x), _mm256_castpd_ps(high)]
    }
}

/// Transposes 4×4 in each 128-bit lane.
///
/// # Safety
/// The CPU has AVX-512.
#[inline(always)]
unsafe fn columns_512(rows: [__m512; 4]) -> [__m512; 4] {
    let [r0, r1, r2, r3] = rows;
    // SAFETY: the caller gives a CPU with AVX-512.
    unsafe {
        let (a, b) = (_mm512_unpacklo_ps(r0, r1), _mm512_unpackhi_ps(r0, r1));
        let (c, d) = (_mm512_unpacklo_ps(r2, r3), _mm512_unpackhi_ps(r2, r3));
        [
            _mm512_shuffle_ps::<0x44>(a, c),
            _mm512_shuffle_ps::<0xee>(a, c),
            _mm512_shuffle_ps::<0x44>(b, d),
            _mm512_shuffle_ps::<0xee>(b, d),
        ]
    }
}
