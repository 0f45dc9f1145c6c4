//! `log` and what is one `log` away: `log1p`, `softplus`.
//!
//! `x` is taken apart into `2^e m` with `sqrt(1/2) <= m < sqrt(2)`; `log(m)` is a polynomial in `m - 1`, a minimax fit
//! made for this file.

use super::{Arithmetic, exponential};

/// The bits of `sqrt(1/2)`.
const SQRT_HALF: u32 = 0x3f35_04f3;

/// `log(x + correction)` for a normal `x > 0` and a correction below its last bits.
#[inline(always)]
fn log_of_normal<A: Arithmetic>(x: f32, correction: f32) -> f32 {
    let bits = x.to_bits().wrapping_sub(SQRT_HALF);
    let exponent = bits.cast_signed() >> 23;
    let mantissa = f32::from_bits((bits & 0x007f_ffff).wrapping_add(SQRT_HALF));
    let f = mantissa - 1.0;
    let p = A::polynomial(
        f,
        [
            0.333_333_25,
            -0.250_015_86,
            0.200_019_85,
            -0.166_090_47,
            0.141_816_22,
            -0.132_430_33,
            0.129_055_82,
            -0.076_230_32,
        ],
    );
    // ln 2 in two parts: multiples of the first by an exponent are exact.
    let e = exponent as f32;
    let square = f * f;
    let tail = A::mul_add(e, -2.121_944_4e-4, A::mul_add(square * f, p, correction));
    let small = A::mul_add(-0.5, square, tail);
    A::mul_add(e, 0.693_359_4, f + small)
}

/// Natural logarithm.
#[inline(always)]
pub(super) fn log<A: Arithmetic>(x: f32) -> f32 {
    let y = log_of_normal::<A>(x, 0.0);
    let y = if x < f32::MIN_POSITIVE {
        f32::NEG_INFINITY
    } else {
        y
    };
    let y = if x < 0.0 { f32::NAN } else { y };
    // Infinity and NaN are their own logarithms.
    if x < f32::INFINITY { y } else { x }
}

/// `log(1 + x)`: the logarithm of the rounded sum, plus what rounding took.
#[inline(always)]
pub(super) fn log1p<A: Arithmetic>(x: f32) -> f32 {
    let sum = 1.0 + x;
    let lost = if x < 1.0 {
        x - (sum - 1.0)
    } else {
        1.0 - (sum - x)
    };
    let y = log_of_normal::<A>(sum, lost / sum);
    let y = if sum <= 0.0 { f32::NEG_INFINITY } else { y };
    let y = if sum < 0.0 { f32::NAN } else { y };
    // Keeps the sign of zero, and denormals.
    let y = if x.abs() < f32::EPSILON / 4.0 { x } else { y };
    if x < f32::INFINITY { y } else { x }
}

/// `log(1 + exp(x))`.
#[inline(always)]
pub(super) fn softplus<A: Arithmetic>(x: f32) -> f32 {
    let linear = if x > 0.0 { x } else { 0.0 };
    linear + log1p::<A>(exponential::exp::<A>(-x.abs()))
}
