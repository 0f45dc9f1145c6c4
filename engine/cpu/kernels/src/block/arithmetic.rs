//! Multiply-add, in one instruction or in two.
//!
//! On a CPU without the instruction, `f32::mul_add` is a slow call; elementwise functions are therefore generic over
//! which of the two they use, and stay accurate with both.

/// How `a * b + c` is computed.
pub(super) trait Arithmetic {
    /// `a * b + c`, rounded once or twice.
    fn mul_add(a: f32, b: f32, c: f32) -> f32;
    /// `a * b + c`, rounded once or twice.
    fn mul_add_f64(a: f64, b: f64, c: f64) -> f64;

    /// `c[0] + c[1] x + c[2] x^2 + …`
    #[inline(always)]
    fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
        let mut sum = coefficients[N - 1];
        for &coefficient in coefficients[..N - 1].iter().rev() {
            sum = Self::mul_add(sum, x, coefficient);
        }
        sum
    }

    /// `c[0] + c[1] x + c[2] x^2 + …`
    #[inline(always)]
    fn polynomial_f64<const N: usize>(x: f64, coefficients: [f64; N]) -> f64 {
        let mut sum = coefficients[N - 1];
        for &coefficient in coefficients[..N - 1].iter().rev() {
            sum = Self::mul_add_f64(sum, x, coefficient);
        }
        sum
    }
}

/// One instruction, rounded once.
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    expect(dead_code, reason = "only levels with the instruction use it")
)]
pub(super) struct Fused;

impl Arithmetic for Fused {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
    #[inline(always)]
    fn mul_add_f64(a: f64, b: f64, c: f64) -> f64 {
        a.mul_add(b, c)
    }
}

/// Two instructions, rounded twice.
#[cfg(not(target_arch = "aarch64"))]
pub(super) struct Separate;

#[cfg(not(target_arch = "aarch64"))]
impl Arithmetic for Separate {
    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
    #[inline(always)]
    fn mul_add_f64(a: f64, b: f64, c: f64) -> f64 {
        a * b + c
    }
}

/// What every CPU of the architecture has.
#[cfg(target_arch = "aarch64")]
pub(super) type Native = Fused;
/// What every CPU of the architecture has.
#[cfg(not(target_arch = "aarch64"))]
pub(super) type Native = Separate;
