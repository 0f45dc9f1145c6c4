//! `exp` and what is one `exp` away: `tanh`, `sigmoid`, `silu`, `gelu` by `tanh`.
//!
//! `x` is taken apart into `n ln 2 + r` with an integer `n` and `|r| <= ln 2 / 2`; `exp(r)` is a polynomial, and `n` is
//! added to the exponent's bits. Polynomial coefficients are minimax fits made for this file.

use super::Arithmetic;

/// The least `x` whose exponential is a normal number.
const LEAST: f32 = -87.336_54;
/// The greatest `x` whose exponential is finite.
const GREATEST: f32 = 88.722_83;
/// Adding it rounds to an integer, which the low bits of the sum then hold: 1.5 * 2^23.
const ROUND: f32 = 12_582_912.0;
/// The upper 9 bits of ln 2: multiples of it by `n` are exact.
const LN2_UPPER: f32 = 0.693_359_4;
/// ln 2 without [`LN2_UPPER`].
const LN2_LOWER: f32 = -2.121_944_4e-4;

/// `x = n ln 2 + r`: returns the bits of `n` in the place of an exponent, `r`, and `(exp(r) - 1 - r) / r^2`.
#[inline(always)]
fn reduce<A: Arithmetic>(x: f32) -> (u32, f32, f32) {
    let shifted = A::mul_add(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = A::mul_add(n, -LN2_LOWER, A::mul_add(n, -LN2_UPPER, x));
    let q = A::polynomial(
        r,
        [
            0.5,
            0.166_665_18,
            0.041_666_205,
            0.008_368_955,
            0.001_395_059_4,
        ],
    );
    (shifted.to_bits() << 23, r, q)
}

/// `e^x`.
#[inline(always)]
pub(super) fn exp<A: Arithmetic>(x: f32) -> f32 {
    let (n, r, q) = reduce::<A>(x);
    let power = A::mul_add(r * r, q, r) + 1.0;
    let y = f32::from_bits(power.to_bits().wrapping_add(n));
    let y = if x < LEAST { 0.0 } else { y };
    let y = if x > GREATEST { f32::INFINITY } else { y };
    if x.is_nan() { x } else { y }
}

/// Hyperbolic tangent, by `exp(2 |x|) - 1`, which keeps its accuracy near 0.
#[inline(always)]
pub(super) fn tanh<A: Arithmetic>(x: f32) -> f32 {
    // From here on the result rounds to 1. Written so that NaN stays.
    let size = if x.abs() > 10.0 { 10.0 } else { x.abs() };
    let (n, r, q) = reduce::<A>(2.0 * size);
    let scale = f32::from_bits(n.wrapping_add(127 << 23));
    let less_one = A::mul_add(scale, A::mul_add(r * r, q, r), scale - 1.0);
    let y = (less_one / (less_one + 2.0)).copysign(x);
    if x.is_nan() { x } else { y }
}

/// `1 / (1 + exp(-x))`.
#[inline(always)]
pub(super) fn sigmoid<A: Arithmetic>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<A>(-x))
}

/// `x * sigmoid(x)`.
#[inline(always)]
pub(super) fn silu<A: Arithmetic>(x: f32) -> f32 {
    x / (1.0 + exp::<A>(-x))
}

/// `x / 2 * (1 + tanh(u))` with `u = sqrt(2 / pi) * (x + 0.044715 x^3)`, as `x * sigmoid(2 u)`.
#[inline(always)]
pub(super) fn gelu_tanh<A: Arithmetic>(x: f32) -> f32 {
    const LINEAR: f32 = -1.595_769;
    const CUBIC: f32 = LINEAR * 0.044_715;
    let minus_two_u = x * A::mul_add(x * x, CUBIC, LINEAR);
    x / (1.0 + exp::<A>(minus_two_u))
}
