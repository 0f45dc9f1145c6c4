//! The fused functions in f64, from the standard library's.

use libm::erf;

/// `1 / (1 + exp(-x))`.
pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `x * sigmoid(x)`.
pub(super) fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

/// `x / 2 * (1 + erf(x / sqrt(2)))`.
pub(super) fn gelu_erf(x: f64) -> f64 {
    0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2))
}

/// `x / 2 * (1 + tanh(u))` with `u = sqrt(2 / pi) * (x + 0.044715 x^3)`, as `x * sigmoid(2 u)`.
pub(super) fn gelu_tanh(x: f64) -> f64 {
    let sqrt_two_over_pi = std::f64::consts::FRAC_2_PI.sqrt();
    let u = sqrt_two_over_pi * x * (1.0 + 0.044_715 * x * x);
    x / (1.0 + (-2.0 * u).exp())
}

/// `log(1 + exp(x))`.
pub(super) fn softplus(x: f64) -> f64 {
    // Not `max`, which drops NaN.
    let linear = if x > 0.0 { x } else { 0.0 };
    linear + (-x.abs()).exp().ln_1p()
}
