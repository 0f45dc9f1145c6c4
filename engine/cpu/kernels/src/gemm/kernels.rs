//! The innermost loops of products, compiled for each CPU level and element type.
#![expect(
    unsafe_code,
    reason = "vector instructions exist only on some machines"
)]

use super::View;
use super::dots::{Dots, dots};
use super::row::{OneRow, row};
use super::strip::pack_strip;
use super::tile::{Tile, tile};
use crate::lanes::Portable;
#[cfg(target_arch = "x86_64")]
use crate::lanes::{Avx2F32, Avx2F64, Avx512F32, Avx512F64};
use crate::level::Level;

/// Computes one tile; see [`tile`].
type ComputeTile<E> = unsafe fn(&Tile<E>);

/// The innermost loops of one level for one element type.
pub(crate) struct Kernels<E: 'static> {
    /// Columns of a tile.
    pub(super) cols: usize,
    /// By height less one. The greatest height keeps all sums in registers.
    pub(super) tiles: &'static [ComputeTile<E>],
    /// As `tiles`, where the last columns of `B` are not there.
    pub(super) masked: &'static [ComputeTile<E>],
    /// Columns of a wide tile.
    pub(super) wide_cols: usize,
    /// As `tiles`, wide: for so few rows that a tile of usual width would wait for its own sums.
    pub(super) wide: &'static [ComputeTile<E>],
    /// See [`pack_strip`].
    pub(super) pack: unsafe fn(rows: usize, k: usize, View<E>, to: *mut E),
    /// One row of `C` from contiguous rows of `B`.
    pub(super) row: unsafe fn(&OneRow<E>),
    /// Elements of `C` from rows of `A` and columns of `B` that are both contiguous; by rows less one.
    pub(super) dots: &'static [unsafe fn(&Dots<E>)],
}

/// An element type that has kernels.
pub(crate) trait Element:
    Copy + Default + Send + Sync + PartialEq + std::fmt::Debug + std::ops::Add<Output = Self> + 'static
{
    /// The kernels of a level. The machine has to have the level when they are called.
    fn kernels(level: Level) -> &'static Kernels<Self>;
}

macro_rules! kernels {
    ($level:ident, $element:ty, $lanes:ty, [$($rows:literal)*], [$($wide_rows:literal)*], $wide:literal,
     [$($dot_rows:literal $dot_cols:literal),*], $feature:tt) => {
        mod $level {
            use super::*;
            use crate::lanes::Lanes;

            type L = $lanes;

            # $feature
            unsafe fn compute<const R: usize, const V: usize, const MASKED: bool>(at: &Tile<$element>) {
                // SAFETY: the obligations of `tile`.
                unsafe { tile::<L, R, V, MASKED>(at) };
            }

            # $feature
            unsafe fn pack(rows: usize, k: usize, a: View<$element>, to: *mut $element) {
                // SAFETY: the obligations of `pack_strip`.
                unsafe { pack_strip(rows, k, a, to) };
            }

            # $feature
            unsafe fn one_row(at: &OneRow<$element>) {
                // SAFETY: the obligations of `row`.
                unsafe { row::<L>(at) };
            }

            # $feature
            unsafe fn by_dots<const R: usize, const C: usize>(at: &Dots<$element>) {
                // SAFETY: the obligations of `dots`.
                unsafe { dots::<L, R, C>(at) };
            }

            pub(super) static KERNELS: Kernels<$element> = Kernels {
                cols: 2 * L::COUNT,
                tiles: &[$(compute::<$rows, 2, false>),*],
                masked: &[$(compute::<$rows, 2, true>),*],
                wide_cols: $wide * L::COUNT,
                wide: &[$(compute::<$wide_rows, $wide, false>),*],
                pack,
                row: one_row,
                dots: &[$(by_dots::<$dot_rows, $dot_cols>),*],
            };
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernels!(
    avx512_f32, f32, Avx512F32, [1 2 3 4 5 6 7 8 9 10 11 12], [1 2 3], 8, [1 8, 2 8, 3 6, 4 4],
    [target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,f16c")]
);
#[cfg(target_arch = "x86_64")]
kernels!(
    avx512_f64, f64, Avx512F64, [1 2 3 4 5 6 7 8 9 10 11 12], [1 2 3], 8, [1 8, 2 8, 3 6, 4 4],
    [target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,f16c")]
);
#[cfg(target_arch = "x86_64")]
kernels!(
    avx2_f32, f32, Avx2F32, [1 2 3 4 5 6], [1], 8, [1 8, 2 4, 3 3, 4 2],
    [target_feature(enable = "avx2,fma,f16c")]
);
#[cfg(target_arch = "x86_64")]
kernels!(
    avx2_f64, f64, Avx2F64, [1 2 3 4 5 6], [1], 8, [1 8, 2 4, 3 3, 4 2],
    [target_feature(enable = "avx2,fma,f16c")]
);
kernels!(baseline_f32, f32, Portable<f32, 4>, [1 2 3 4], [1], 8, [1 8, 2 4, 3 3, 4 2], [inline]);
kernels!(baseline_f64, f64, Portable<f64, 2>, [1 2 3 4], [1], 8, [1 8, 2 4, 3 3, 4 2], [inline]);

macro_rules! element {
    ($element:ty, $avx512:ident, $avx2:ident, $baseline:ident) => {
        impl Element for $element {
            fn kernels(level: Level) -> &'static Kernels<Self> {
                match level {
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx512 | Level::Amx => &$avx512::KERNELS,
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 => &$avx2::KERNELS,
                    #[cfg(not(target_arch = "x86_64"))]
                    Level::Avx512 | Level::Amx | Level::Avx2 => &$baseline::KERNELS,
                    Level::Baseline | Level::Neon => &$baseline::KERNELS,
                }
            }
        }
    };
}
element!(f32, avx512_f32, avx2_f32, baseline_f32);
element!(f64, avx512_f64, avx2_f64, baseline_f64);
