//! Sine and cosine.
//!
//! `x` is taken apart into `n pi / 2 + r` in f64, so that `r` is right even where `x` is close to a multiple of pi;
//! sine and cosine of `r` are polynomials (minimax fits made for this file), chosen and signed by `n`. Beyond
//! [`FAR`], where that loses digits, the standard library is asked, element by element.
#![expect(unsafe_code, reason = "routines work on raw blocks of elements")]

use super::{Arithmetic, apply};

/// The greatest size of `x` that is taken apart here.
const FAR: f32 = 1_048_576.0;
/// Adding it rounds to an integer, which the low bits of the sum then hold: 1.5 * 2^52.
const ROUND: f64 = 6_755_399_441_055_744.0;
/// The upper 32 bits of pi / 2: multiples of it by `n` are exact.
const HALF_PI_UPPER: f64 = 1.570_796_326_734_125_6;
/// pi / 2 without [`HALF_PI_UPPER`].
const HALF_PI_LOWER: f64 = 6.077_100_506_506_192e-11;

/// Sine of `x + turns * pi / 2`.
#[inline(always)]
fn sin_turned<A: Arithmetic>(x: f32, turns: u32) -> f32 {
    let x = f64::from(x);
    let shifted = x * std::f64::consts::FRAC_2_PI + ROUND;
    let n = shifted - ROUND;
    let r = A::mul_add_f64(n, -HALF_PI_LOWER, A::mul_add_f64(n, -HALF_PI_UPPER, x)) as f32;
    let quarter = (shifted.to_bits() as u32).wrapping_add(turns);
    let square = r * r;
    let sin = A::polynomial(square, [-0.166_666_55, 0.008_332_178, -0.000_195_172_3]);
    let sin = A::mul_add(square * r, sin, r);
    let cos = A::polynomial(square, [0.041_666_646, -0.001_388_736_6, 0.000_024_438_372]);
    let cos = A::mul_add(square * square, cos, A::mul_add(square, -0.5, 1.0));
    let y = if quarter & 1 == 0 { sin } else { cos };
    f32::from_bits(y.to_bits() ^ (quarter & 2) << 30)
}

/// Whether `x` is not taken apart here; NaN included.
#[inline(always)]
fn is_far(x: f32) -> bool {
    let near = x.abs() <= FAR;
    !near
}

/// Sines of a block.
///
/// # Safety
///
/// As [`crate::table::UnaryF32`].
#[inline(always)]
pub(super) unsafe fn sin_block<A: Arithmetic>(x: *const f32, y: *mut f32, n: usize) {
    let (fast, exact) = (|x| sin_turned::<A>(x, 0), |x| f64::from(x).sin() as f32);
    // SAFETY: the obligations are the same.
    unsafe { apply::unary_checked(x, y, n, fast, is_far, exact) };
}

/// Cosines of a block.
///
/// # Safety
///
/// As [`crate::table::UnaryF32`].
#[inline(always)]
pub(super) unsafe fn cos_block<A: Arithmetic>(x: *const f32, y: *mut f32, n: usize) {
    let (fast, exact) = (|x| sin_turned::<A>(x, 1), |x| f64::from(x).cos() as f32);
    // SAFETY: the obligations are the same.
    unsafe { apply::unary_checked(x, y, n, fast, is_far, exact) };
}
