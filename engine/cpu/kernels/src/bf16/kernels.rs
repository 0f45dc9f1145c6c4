//! The innermost loops: 32 columns of `C` for a few rows of `A`, compiled for each CPU level.
#![expect(
    unsafe_code,
    reason = "vector instructions exist only on some machines"
)]
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "a kernel's whole body works under its own obligations"
)]

use super::COLS;
use crate::level::Level;

/// The most rows of a tile.
pub(super) const MOST_ROWS: usize = 8;

/// What a tile is computed from.
#[derive(Clone, Copy)]
pub(super) struct Strip {
    /// Pairs of rows of `B`.
    pub(super) steps: usize,
    /// `[steps][rows]`, two bf16 in each.
    pub(super) a: *const u32,
    /// `[steps][32]`
    pub(super) b: *const u32,
}

/// Computes one tile.
///
/// # Safety
///
/// - The machine has the instructions of the level.
/// - What the strip describes is valid for reading.
pub(super) type Multiply = unsafe fn(&Strip, &mut [[f32; COLS]]);

/// The loops of a level for 1, 2, 4 and 8 rows.
pub(super) type ByRows = [Multiply; 4];

/// A loop for every machine: the compiler makes vectors of it. Takes `PART` rows at a time, whose sums fit the
/// registers.
#[inline(always)]
unsafe fn widened<const R: usize, const PART: usize, const FUSED: bool>(
    strip: &Strip,
    to: &mut [[f32; COLS]],
) {
    if R < PART {
        return part::<R, R, FUSED>(strip, 0, to);
    }
    for first in (0..R).step_by(PART) {
        part::<R, PART, FUSED>(strip, first, &mut to[first..]);
    }
}

/// `PART` of a tile's `R` rows, from `first` on.
#[inline(always)]
unsafe fn part<const R: usize, const PART: usize, const FUSED: bool>(
    strip: &Strip,
    first: usize,
    to: &mut [[f32; COLS]],
) {
    let mut sums = [[0.0_f32; COLS]; PART];
    for step in 0..strip.steps {
        let row = &*strip.b.add(step * COLS).cast::<[u32; COLS]>();
        for (r, sums) in sums.iter_mut().enumerate() {
            let pair = *strip.a.add(step * R + first + r);
            let (even, odd) = (
                f32::from_bits(pair << 16),
                f32::from_bits(pair & 0xffff_0000),
            );
            for (sum, &pair) in sums.iter_mut().zip(row) {
                let low = f32::from_bits(pair << 16);
                let high = f32::from_bits(pair & 0xffff_0000);
                *sum = if FUSED {
                    odd.mul_add(high, even.mul_add(low, *sum))
                } else {
                    *sum + even * low + odd * high
                };
            }
        }
    }
    for (sums, to) in sums.iter().zip(to) {
        *to = *sums;
    }
}

#[cfg(target_arch = "x86_64")]
mod pairs {
    //! AVX-512 BF16: a lane takes two products in one instruction.

    use std::arch::x86_64::{
        __m512, __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_set1_epi32,
        _mm512_setzero_ps, _mm512_storeu_ps,
    };

    use super::{COLS, Strip};

    #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512bf16,avx2,fma")]
    pub(super) unsafe fn compute<const R: usize>(strip: &Strip, to: &mut [[f32; COLS]]) {
        let mut sums: [[__m512; 2]; R] = [[_mm512_setzero_ps(); 2]; R];
        for step in 0..strip.steps {
            let row = strip.b.add(step * COLS);
            let first = brains(_mm512_loadu_si512(row.cast()));
            let second = brains(_mm512_loadu_si512(row.add(COLS / 2).cast()));
            for (r, [left, right]) in sums.iter_mut().enumerate() {
                let pair = *strip.a.add(step * R + r);
                let pair = brains(_mm512_set1_epi32(pair.cast_signed()));
                *left = _mm512_dpbf16_ps(*left, pair, first);
                *right = _mm512_dpbf16_ps(*right, pair, second);
            }
        }
        for ([left, right], to) in sums.iter().zip(to) {
            _mm512_storeu_ps(to.as_mut_ptr(), *left);
            _mm512_storeu_ps(to.as_mut_ptr().add(COLS / 2), *right);
        }
    }

    /// The same bits.
    #[inline(always)]
    unsafe fn brains(bits: __m512i) -> __m512bh {
        std::mem::transmute(bits)
    }
}

macro_rules! level {
    ($level:ident, $part:literal, $fused:literal, $feature:tt) => {
        mod $level {
            use super::{ByRows, COLS, Strip, widened};

            # $feature
            unsafe fn compute<const R: usize>(strip: &Strip, to: &mut [[f32; COLS]]) {
                // SAFETY: the obligations of `Multiply`.
                unsafe { widened::<R, $part, $fused>(strip, to) };
            }

            pub(super) const BY_ROWS: ByRows =
                [compute::<1>, compute::<2>, compute::<4>, compute::<8>];
        }
    };
}

#[cfg(target_arch = "x86_64")]
level!(
    avx512,
    8,
    true,
    [target_feature(
        enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma"
    )]
);
#[cfg(target_arch = "x86_64")]
level!(avx2, 2, true, [target_feature(enable = "avx2,fma")]);
level!(baseline, 1, false, [inline]);

/// The loops of a level: the best that this machine has for it.
pub(super) fn by_rows(level: Level) -> ByRows {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Amx if std::arch::is_x86_feature_detected!("avx512bf16") => [
            pairs::compute::<1>,
            pairs::compute::<2>,
            pairs::compute::<4>,
            pairs::compute::<8>,
        ],
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Amx => avx512::BY_ROWS,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => avx2::BY_ROWS,
        _ => baseline::BY_ROWS,
    }
}
