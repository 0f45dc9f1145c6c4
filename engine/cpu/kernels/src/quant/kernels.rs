//! The innermost loops, compiled for each CPU level and block format.
#![expect(
    unsafe_code,
    reason = "vector instructions exist only on some machines"
)]

use super::QuantKind;
use super::activation::{Activations, quantize_row};
use super::kind::Shape;
use super::product::Target;
use super::strip::{
    ExactStrip, Format, Strip, Unpacked, decode, multiply, multiply_exact, multiply_unpacked,
    unpack,
};
use super::tiled;
use super::unit::Portable;
#[cfg(target_arch = "x86_64")]
use super::unit_x86::{Avx2, Avx512Vnni};
use crate::gemm::View;
use crate::level::Level;
#[cfg(target_arch = "x86_64")]
use crate::tiles::amx::Amx;

/// The most rows of activations of one tile, where [`Kernels::sixteen`] does not take twice as many.
pub(super) const MOST_ROWS: usize = 8;

/// Computes one tile; see [`multiply`].
pub(super) type Multiply = unsafe fn(&Strip, &mut [[f32; 16]]);

/// Computes one tile of 16 rows; see [`multiply_unpacked`].
pub(super) type MultiplySixteen = unsafe fn(&Unpacked, &mut [[f32; 16]]);

/// Computes one tile of activations that are not rounded; see [`multiply_exact`].
pub(super) type MultiplyExact = unsafe fn(&ExactStrip, &mut [[f32; 16]]);

/// The innermost loops for one format at one level.
pub(super) struct Kernels {
    /// For 1, 2, 4 and 8 rows of activations.
    pub(super) by_rows: [Multiply; 4],
    /// For 16 rows, where there are registers for so many.
    pub(super) sixteen: Option<MultiplySixteen>,
    /// See [`unpack`].
    pub(super) unpack: unsafe fn(quants: *const u8, scales: *const u8, blocks: usize, to: *mut u8),
    /// As `by_rows`.
    pub(super) exact: [MultiplyExact; 4],
    /// See [`decode`].
    pub(super) decode:
        unsafe fn(quants: *const u8, scales: *const u8, blocks: usize, to: *mut f32, stride: usize),
    /// See [`Target::store`].
    pub(super) store:
        unsafe fn(&Target, sums: &mut [[f32; 16]], row: usize, strip: usize, n: usize),
    /// See [`quantize_row`].
    pub(super) quantize:
        unsafe fn(&Shape, row: View<f32>, k: usize, to: *mut Activations, stride: usize),
}

macro_rules! formats {
    ($($kind:ident $bits:literal),*) => {
        $(
            struct $kind;

            impl Format for $kind {
                const SHAPE: Shape = {
                    let shape = QuantKind::$kind.shape();
                    assert!(shape.bits == $bits, "the kernel reads as many bits as are packed");
                    shape
                };
            }
        )*

        macro_rules! kernels {
            ($level:ident, $unit:ty, $sixteen:literal, $feature:tt) => {
                mod $level {
                    use super::*;
                    use crate::quant::unit::Unit;

                    # $feature
                    unsafe fn quantize(
                        shape: &Shape,
                        row: View<f32>,
                        k: usize,
                        to: *mut Activations,
                        stride: usize,
                    ) {
                        // SAFETY: the obligations of `quantize_row`.
                        unsafe { quantize_row(shape, <$unit>::SIGNED, row, k, to, stride) };
                    }

                    # $feature
                    unsafe fn store(
                        target: &Target,
                        sums: &mut [[f32; 16]],
                        row: usize,
                        strip: usize,
                        n: usize,
                    ) {
                        // SAFETY: the obligations of `Target::store`.
                        unsafe { target.store(sums, row, strip, n) };
                    }

                    # $feature
                    unsafe fn compute<F: Format, const BITS: usize, const R: usize>(
                        strip: &Strip,
                        to: &mut [[f32; 16]],
                    ) {
                        // SAFETY: the obligations of `multiply`.
                        unsafe { multiply::<$unit, F, BITS, R>(strip, to) };
                    }

                    # $feature
                    unsafe fn compute_unpacked<F: Format, const BITS: usize>(
                        strip: &Unpacked,
                        to: &mut [[f32; 16]],
                    ) {
                        // SAFETY: the obligations of `multiply_unpacked`.
                        unsafe { multiply_unpacked::<$unit, F, BITS>(strip, to) };
                    }

                    # $feature
                    unsafe fn bytes<F: Format, const BITS: usize>(
                        quants: *const u8,
                        scales: *const u8,
                        blocks: usize,
                        to: *mut u8,
                    ) {
                        // SAFETY: the obligations of `unpack`.
                        unsafe { unpack::<$unit, F, BITS>(quants, scales, blocks, to) };
                    }

                    # $feature
                    unsafe fn exact<F: Format, const BITS: usize, const R: usize>(
                        strip: &ExactStrip,
                        to: &mut [[f32; 16]],
                    ) {
                        // SAFETY: the obligations of `multiply_exact`.
                        unsafe { multiply_exact::<$unit, F, BITS, R>(strip, to) };
                    }

                    # $feature
                    unsafe fn numbers<F: Format, const BITS: usize>(
                        quants: *const u8,
                        scales: *const u8,
                        blocks: usize,
                        to: *mut f32,
                        stride: usize,
                    ) {
                        // SAFETY: the obligations of `decode`.
                        unsafe { decode::<$unit, F, BITS>(quants, scales, blocks, to, stride) };
                    }

                    pub(super) fn kernels(kind: QuantKind) -> Kernels {
                        let by_rows: [Multiply; 4] = match kind {
                            $(QuantKind::$kind => [
                                compute::<super::$kind, $bits, 1>,
                                compute::<super::$kind, $bits, 2>,
                                compute::<super::$kind, $bits, 4>,
                                compute::<super::$kind, $bits, 8>,
                            ],)*
                        };
                        let sixteen: MultiplySixteen = match kind {
                            $(QuantKind::$kind => compute_unpacked::<super::$kind, $bits>,)*
                        };
                        let unpack = match kind {
                            $(QuantKind::$kind => bytes::<super::$kind, $bits>
                                as unsafe fn(*const u8, *const u8, usize, *mut u8),)*
                        };
                        let exact: [MultiplyExact; 4] = match kind {
                            $(QuantKind::$kind => [
                                exact::<super::$kind, $bits, 1>,
                                exact::<super::$kind, $bits, 2>,
                                exact::<super::$kind, $bits, 4>,
                                exact::<super::$kind, $bits, 8>,
                            ],)*
                        };
                        let decode = match kind {
                            $(QuantKind::$kind => numbers::<super::$kind, $bits>
                                as unsafe fn(*const u8, *const u8, usize, *mut f32, usize),)*
                        };
                        let sixteen = $sixteen.then_some(sixteen);
                        Kernels { by_rows, sixteen, unpack, exact, decode, store, quantize }
                    }
                }
            };
        }

        macro_rules! tiled {
            ($name:ident, $tiles:ty, $unit:ty, $feature:tt) => {
                mod $name {
                    use super::*;

                    # $feature
                    unsafe fn compute<F: Format>(strip: &Unpacked, to: &mut [[f32; 16]]) {
                        // SAFETY: the obligations of `tiled::multiply`.
                        unsafe { tiled::multiply::<$tiles, $unit, F>(strip, to) };
                    }

                    pub(in crate::quant) fn sixteen(kind: QuantKind) -> MultiplySixteen {
                        match kind {
                            $(QuantKind::$kind => compute::<super::$kind>,)*
                        }
                    }
                }
            };
        }
    };
}

formats!(Q4_0 4, Q4_1 4, Q5_0 5, Q5_1 5, Q8_0 8, Q2K 4, Q3K 4, Q4K 4, Q5K 5, Q6K 6);

#[cfg(target_arch = "x86_64")]
kernels!(
    avx512_vnni,
    Avx512Vnni,
    true,
    [target_feature(
        enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"
    )]
);
#[cfg(target_arch = "x86_64")]
kernels!(
    avx2,
    Avx2,
    false,
    [target_feature(enable = "avx2,fma,f16c")]
);
kernels!(baseline, Portable, false, [inline]);

#[cfg(target_arch = "x86_64")]
tiled!(
    amx,
    Amx,
    Avx512Vnni,
    [target_feature(
        enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"
    )]
);
#[cfg(test)]
tiled!(
    emulated,
    crate::tiles::emulated::Emulated,
    Portable,
    [inline]
);

/// The baseline's loops with tiles in plain Rust.
#[cfg(test)]
pub(super) fn with_tiles(kind: QuantKind) -> Kernels {
    Kernels {
        sixteen: Some(emulated::sixteen(kind)),
        ..baseline::kernels(kind)
    }
}

/// The loops for a format at a level. A machine with AVX-512 that has no dot products of bytes gets those of AVX2.
pub(super) fn kernels(level: Level, kind: QuantKind) -> Kernels {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Amx if std::arch::is_x86_feature_detected!("avx512vnni") => {
            let mut kernels = avx512_vnni::kernels(kind);
            if level == Level::Amx {
                kernels.sixteen = Some(amx::sixteen(kind));
            }
            kernels
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Amx | Level::Avx2 => avx2::kernels(kind),
        _ => baseline::kernels(kind),
    }
}
