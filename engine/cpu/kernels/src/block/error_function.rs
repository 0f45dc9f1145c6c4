//! The error function and the `gelu` made of it.
//!
//! Near 0 an odd polynomial; elsewhere `1 - exp(p(|x|))`, where `p` fits the logarithm of the complement. Both are
//! minimax fits made for this file.

use super::{Arithmetic, exponential};

/// Where the two fits meet.
const BORDER: f32 = 0.95;

/// Error function.
#[inline(always)]
pub(super) fn erf<A: Arithmetic>(x: f32) -> f32 {
    let square = x * x;
    let near = A::polynomial(
        square,
        [
            0.128_379_14,
            -0.376_124_47,
            0.112_813_21,
            -0.026_748_862,
            0.004_967_504,
            -0.000_586_207_15,
        ],
    );
    let near = A::mul_add(near, x, x);
    // From here on the result rounds to 1. Written so that NaN stays.
    let size = if x.abs() > 3.95 { 3.95 } else { x.abs() };
    let log_complement = A::polynomial(
        size,
        [
            -0.000_256_408_9,
            -1.127_426_3,
            -0.637_599_77,
            -0.103_567_146,
            0.022_052_126,
            -0.002_999_574_6,
            0.000_191_507_78,
        ],
    );
    let far = (1.0 - exponential::exp::<A>(log_complement)).copysign(x);
    if x.abs() < BORDER { near } else { far }
}

/// `x / 2 * (1 + erf(x / sqrt(2)))`.
#[inline(always)]
pub(super) fn gelu_erf<A: Arithmetic>(x: f32) -> f32 {
    0.5 * x * (1.0 + erf::<A>(x * std::f32::consts::FRAC_1_SQRT_2))
}
