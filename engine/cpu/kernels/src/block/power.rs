//! `x^y`.
//!
//! `2^(y log2 |x|)` in f64, where the product keeps the digits that f32 would lose, with polynomials that are minimax
//! fits made for this file. Zero, infinite and NaN operands, and exponents that f32 cannot hold next to their
//! neighbors, are few: the standard library is asked for those.
#![expect(unsafe_code, reason = "routines work on raw blocks of elements")]

use super::{Arithmetic, apply};

/// The bits of `sqrt(1/2)`.
const SQRT_HALF: u32 = 0x3f35_04f3;
/// Adding it rounds to an integer, which the low bits of the sum then hold: 1.5 * 2^52.
const ROUND: f64 = 6_755_399_441_055_744.0;
/// Adding it rounds a smaller f32 to an integer: 1.5 * 2^23.
const ROUND_F32: f32 = 12_582_912.0;
/// Below this size, [`ROUND_F32`] tells integers from fractions, and odd from even: 2^22.
const LARGE: f32 = 4_194_304.0;

/// `x^y` for pairs that are not special.
#[inline(always)]
fn pow<A: Arithmetic>(x: f32, y: f32) -> f32 {
    let bits = x.abs().to_bits().wrapping_sub(SQRT_HALF);
    let exponent = bits.cast_signed() >> 23;
    let mantissa = f64::from(f32::from_bits((bits & 0x007f_ffff).wrapping_add(SQRT_HALF)));
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let odd_series = A::polynomial_f64(
        s * s,
        [
            2.885_390_081_777_849,
            0.961_796_694_114_916,
            0.577_077_941_896_747_5,
            0.412_209_300_775_579_3,
            0.319_903_667_151_025_97,
            0.282_929_792_494_818_53,
        ],
    );
    let log2 = A::mul_add_f64(s, odd_series, f64::from(exponent));
    let z = f64::from(y) * log2;
    // Far beyond what f32 holds, and the exponent's bits cannot run over.
    let z = if z < -300.0 { -300.0 } else { z };
    let z = if z > 300.0 { 300.0 } else { z };
    let shifted = z + ROUND;
    let r = z - (shifted - ROUND);
    let power = A::polynomial_f64(
        r,
        [
            0.999_999_999_958_897_5,
            0.693_147_180_534_645,
            0.240_226_512_198_337_88,
            0.055_504_109_773_665_73,
            0.009_618_024_772_524_025,
            0.001_333_342_160_949_394_6,
            0.000_154_699_972_458_998_7,
            0.000_015_316_705_328_406_5,
        ],
    );
    let size = f64::from_bits(power.to_bits().wrapping_add(shifted.to_bits() << 52)) as f32;
    if x >= 0.0 {
        return size;
    }
    let rounded = y + ROUND_F32;
    let odd = rounded.to_bits() & 1;
    #[expect(clippy::float_cmp, reason = "integers are exact here")]
    let is_integer = rounded - ROUND_F32 == y;
    if is_integer {
        f32::from_bits(size.to_bits() ^ odd << 31)
    } else {
        f32::NAN
    }
}

/// Whether [`pow`] is not to be asked.
#[inline(always)]
fn is_special(x: f32, y: f32) -> bool {
    let size = x.abs();
    let usual = (f32::MIN_POSITIVE..f32::INFINITY).contains(&size) && y.abs() < LARGE;
    !usual
}

/// Powers of a block.
///
/// # Safety
///
/// As [`crate::table::BinaryF32`].
#[inline(always)]
pub(super) unsafe fn pow_block<A: Arithmetic>(x: *const f32, y: *const f32, z: *mut f32, n: usize) {
    // SAFETY: the obligations are the same.
    unsafe { apply::binary_checked(x, y, z, n, pow::<A>, is_special, f32::powf) };
}
