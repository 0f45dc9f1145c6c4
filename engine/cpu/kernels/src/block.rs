//! Elementwise functions and reductions on contiguous elements, compiled once per CPU level.
//!
//! A function of one element is a plain Rust function (`exponential`, `logarithm`, …), generic only over whether
//! multiply-add is one instruction; the compiler vectorizes the loop around it (`apply`) with the features of the
//! level's module, made here. Reductions and conversions need vector instructions by name and are in `reduce` and
//! `convert`.
#![expect(unsafe_code, reason = "routines work on raw blocks of elements")]

mod apply;
mod arithmetic;
mod convert;
mod double;
mod error_function;
mod exponential;
mod fade;
mod logarithm;
mod power;
mod reduce;
mod stride;
mod trigonometric;

use crate::table::{FadeArguments, Routines, fill};
use arithmetic::Arithmetic;

/// Makes the module of one level: its name, its arithmetic, its vectors of f32 and f64, how it converts half
/// precision, and the attribute that enables its CPU features.
macro_rules! level {
    ($level:ident, $arithmetic:ty, $f32:ty, $f64:ty, $half:ident, $feature:tt) => {
        pub(crate) mod $level {
            use super::*;

            type A = $arithmetic;

            pub(crate) static ROUTINES: Routines = fill!();

            level! { @unary $feature f32
                exp_f32: exponential::exp::<A>,
                log_f32: logarithm::log::<A>,
                log1p_f32: logarithm::log1p::<A>,
                tanh_f32: exponential::tanh::<A>,
                sigmoid_f32: exponential::sigmoid::<A>,
                erf_f32: error_function::erf::<A>,
                silu_f32: exponential::silu::<A>,
                gelu_erf_f32: error_function::gelu_erf::<A>,
                gelu_tanh_f32: exponential::gelu_tanh::<A>,
                softplus_f32: logarithm::softplus::<A>,
            }
            level! { @binary $feature f32
                silu_mul_f32: |x, y| exponential::silu::<A>(x) * y,
            }
            level! { @unary $feature f64
                exp_f64: f64::exp,
                log_f64: f64::ln,
                log1p_f64: f64::ln_1p,
                sin_f64: f64::sin,
                cos_f64: f64::cos,
                tanh_f64: f64::tanh,
                sigmoid_f64: double::sigmoid,
                erf_f64: libm::erf,
                silu_f64: double::silu,
                gelu_erf_f64: double::gelu_erf,
                gelu_tanh_f64: double::gelu_tanh,
                softplus_f64: double::softplus,
            }
            level! { @binary $feature f64
                pow_f64: f64::powf,
                silu_mul_f64: |x, y| double::silu(x) * y,
            }
            level! { @call $feature
                sin_f32(x: *const f32, y: *mut f32, n: usize): trigonometric::sin_block::<A>;
                cos_f32(x: *const f32, y: *mut f32, n: usize): trigonometric::cos_block::<A>;
                pow_f32(x: *const f32, y: *const f32, z: *mut f32, n: usize): power::pow_block::<A>;
                sum_f32(x: *const f32, n: usize) -> f32: reduce::sum::<$f32>;
                max_f32(x: *const f32, n: usize) -> f32: reduce::max::<$f32>;
                min_f32(x: *const f32, n: usize) -> f32: reduce::min::<$f32>;
                prod_f32(x: *const f32, n: usize) -> f32: reduce::prod::<$f32>;
                sum_squares_f32(x: *const f32, n: usize) -> f32: reduce::sum_squares::<$f32>;
                dot_f32(x: *const f32, y: *const f32, n: usize) -> f32: reduce::dot::<$f32>;
                exp_sum_f32(x: *const f32, y: *mut f32, n: usize, m: f32) -> f32: reduce::exp_sum::<A, $f32>;
                scale_f32(y: *mut f32, factor: f32, n: usize): apply::scale;
                f16_to_f32(x: *const u16, y: *mut f32, n: usize): convert::$half::widen;
                f32_to_f16(x: *const f32, y: *mut u16, n: usize): convert::$half::narrow;
                bf16_to_f32(x: *const u16, y: *mut f32, n: usize): convert::bf16_widen;
                f32_to_bf16(x: *const f32, y: *mut u16, n: usize): convert::bf16_narrow;
                strided_gather_f32(x: *const f32, stride: isize, y: *mut f32, n: usize): stride::gather;
                strided_scatter_f32(x: *const f32, y: *mut f32, stride: isize, n: usize): stride::scatter;
                sum_f64(x: *const f64, n: usize) -> f64: reduce::sum::<$f64>;
                max_f64(x: *const f64, n: usize) -> f64: reduce::max::<$f64>;
                min_f64(x: *const f64, n: usize) -> f64: reduce::min::<$f64>;
                prod_f64(x: *const f64, n: usize) -> f64: reduce::prod::<$f64>;
                sum_squares_f64(x: *const f64, n: usize) -> f64: reduce::sum_squares::<$f64>;
                dot_f64(x: *const f64, y: *const f64, n: usize) -> f64: reduce::dot::<$f64>;
                fade_f32(arguments: *const FadeArguments): fade::step::<A, $f32>;
            }
        }
    };
    (@unary $feature:tt $type:ident $($name:ident: $function:expr,)*) => { $(
        # $feature
        unsafe extern "C" fn $name(x: *const $type, y: *mut $type, n: usize) {
            // SAFETY: the obligations of `UnaryF32`.
            unsafe { apply::unary(x, y, n, $function) };
        }
    )* };
    (@binary $feature:tt $type:ident $($name:ident: $function:expr,)*) => { $(
        # $feature
        unsafe extern "C" fn $name(x: *const $type, y: *const $type, z: *mut $type, n: usize) {
            // SAFETY: the obligations of `BinaryF32`.
            unsafe { apply::binary(x, y, z, n, $function) };
        }
    )* };
    (@call $feature:tt $($name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?: $function:expr;)*) => { $(
        # $feature
        unsafe extern "C" fn $name($($argument: $type),*) $(-> $result)? {
            // SAFETY: the obligations of the entry's type in the table.
            unsafe { $function($($argument),*) }
        }
    )* };
}

#[cfg(target_arch = "x86_64")]
level!(
    avx512,
    arithmetic::Fused,
    crate::lanes::Avx512F32,
    crate::lanes::Avx512F64,
    half_avx512,
    [target_feature(
        enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,f16c"
    )]
);
#[cfg(target_arch = "x86_64")]
level!(
    avx2,
    arithmetic::Fused,
    crate::lanes::Avx2F32,
    crate::lanes::Avx2F64,
    half_avx2,
    [target_feature(enable = "avx2,fma,f16c")]
);
level!(
    baseline, arithmetic::Native, crate::lanes::Portable<f32, 4>, crate::lanes::Portable<f64, 2>, half_portable,
    [inline]
);

#[cfg(test)]
mod tests;
