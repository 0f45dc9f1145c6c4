//! What attention needs of a vector beyond [`Lanes`]: exponentials, sums across lanes, transposition.
//!
//! The portable implementation is here; the x86 ones are in `lanes_x86`.
#![expect(unsafe_code, reason = "squares are read and written through pointers")]

use crate::lanes::{Lanes, Portable};

/// A vector of f32 for tiles.
///
/// # Safety
///
/// The obligations of every method are those of [`Lanes`].
pub(super) unsafe trait TileLanes: Lanes<Element = f32> {
    /// Rows of the micro-tile that a product keeps in registers, at most 6.
    const ROWS: usize;
    /// Vectors in one row of that micro-tile, at most 4.
    const VECTORS: usize;

    /// `a − b`.
    ///
    /// # Safety
    /// The trait's obligations.
    unsafe fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The greater, in one instruction: a NaN in `b` is kept, a NaN in `a` is lost.
    ///
    /// # Safety
    /// The trait's obligations.
    unsafe fn larger(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// e to the power of each lane, for lanes ≤ 0: 0 below −87.3, NaN for NaN.
    ///
    /// # Safety
    /// The trait's obligations.
    unsafe fn exp(x: Self::Vector) -> Self::Vector;
    /// The largest lane; a NaN may be lost.
    ///
    /// # Safety
    /// The trait's obligations.
    unsafe fn largest(x: Self::Vector) -> f32;
    /// The sum of all lanes.
    ///
    /// # Safety
    /// The trait's obligations.
    unsafe fn total(x: Self::Vector) -> f32;
    /// Transposes a square of as many rows as lanes; strides in elements.
    ///
    /// # Safety
    /// The trait's obligations; the squares do not overlap.
    unsafe fn transpose(from: *const f32, from_stride: isize, to: *mut f32, to_stride: usize);
}

/// Below this, e^x is no normal f32.
pub(super) const EXP_LOWEST: f32 = -87.3;

/// Coefficients of 2^r for |r| ≤ 1/2, the highest power first; relative error 4e-9.
///
/// Minimax by Remez' algorithm, with the constant term rounded to 1 and the linear
/// one, ln 2, to the nearest f32.
pub(super) const EXP2: [f32; 7] = [
    0.000_153_458_12,
    0.001_339_993_1,
    0.009_618_489,
    0.055_503_288,
    0.240_226_47,
    core::f32::consts::LN_2,
    1.0,
];

/// 1.5 · 2²³: adding it leaves the nearest integer in the low mantissa bits.
pub(super) const ROUND: f32 = 12_582_912.0;

/// Four lanes: what every architecture has.
pub(super) type Plain = Portable<f32, 4>;

// SAFETY: no feature is needed, and addresses stay inside the squares.
unsafe impl TileLanes for Plain {
    const ROWS: usize = 4;
    const VECTORS: usize = 2;

    #[inline(always)]
    unsafe fn sub(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        core::array::from_fn(|lane| a[lane] - b[lane])
    }

    #[inline(always)]
    unsafe fn larger(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        core::array::from_fn(|lane| if a[lane] > b[lane] { a[lane] } else { b[lane] })
    }

    #[inline(always)]
    unsafe fn exp(x: [f32; 4]) -> [f32; 4] {
        x.map(|x| {
            let scaled = x * core::f32::consts::LOG2_E;
            let shifted = scaled + ROUND;
            let r = scaled - (shifted - ROUND);
            let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
            let poly = EXP2.iter().fold(0.0, |sum, c| sum * r + c);
            if x < EXP_LOWEST { 0.0 } else { poly * power }
        })
    }

    #[inline(always)]
    unsafe fn largest(x: [f32; 4]) -> f32 {
        x.iter()
            .fold(f32::NEG_INFINITY, |a, b| if a > *b { a } else { *b })
    }

    #[inline(always)]
    unsafe fn total(x: [f32; 4]) -> f32 {
        (x[0] + x[1]) + (x[2] + x[3])
    }

    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_stride: isize, to: *mut f32, to_stride: usize) {
        // SAFETY: four rows of four elements are readable.
        let rows: [[f32; 4]; 4] = core::array::from_fn(|row| unsafe {
            Self::load(from.wrapping_offset(row as isize * from_stride))
        });
        let [first, second, third, fourth] = rows;
        let columns = first.into_iter().zip(second).zip(third).zip(fourth);
        for (column, (((a, b), c), d)) in columns.enumerate() {
            // SAFETY: four rows of four elements are writable.
            unsafe { Self::store(to.wrapping_add(column * to_stride), [a, b, c, d]) };
        }
    }
}
