//! Rows of activations in 8 bits, with a scale for each 32 elements.
//!
//! An element is off by at most 1/254 of the greatest magnitude in its block. A block with an element that is not
//! finite gets the scale NaN, which reaches every product of its row; a block with nothing above 1e-36 is zero.
//! The same bits at every level.
#![expect(unsafe_code, reason = "matrices are pointers and strides")]

use super::kind::Shape;
use super::matrix::BLOCK;
use crate::gemm::View;

/// 32 quantized elements of a row.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Activations {
    /// Between -127 and 127.
    pub(super) quants: [i8; BLOCK],
    /// An element is its quant times this.
    pub(super) scale: f32,
    _unused: u32,
    /// For each part of the block, what its sum of products begins with so that the weights' zero is 0; or, for
    /// weights with least values, the bits of what these are multiplied with: the sum of the part's elements as f32.
    /// With one part, the second is not used.
    pub(super) begin: [i32; 2],
}

/// Below this, 127 over the magnitude would not be finite.
const LEAST_MAGNITUDE: f32 = 1e-36;

/// Blocks whose scales are computed together: divisions take as long for all of them as for one.
const TOGETHER: usize = 16;

/// Quantizes a row of `k` elements and writes its blocks `stride` apart, the last one filled up with zeros.
///
/// # Safety
///
/// - The `k` elements of the row are valid for reading.
/// - `to` is valid for writing as many blocks.
#[inline(always)]
pub(super) unsafe fn quantize_row(
    shape: &Shape,
    signed: bool,
    row: View<f32>,
    k: usize,
    to: *mut Activations,
    stride: usize,
) {
    let mut block = 0;
    while block < k.div_ceil(BLOCK) {
        let source = row.at(0, block * BLOCK);
        let left = k - block * BLOCK;
        let own = to.wrapping_add(block * stride);
        if row.col == 1 && left >= TOGETHER * BLOCK {
            // SAFETY: contiguous elements of the row, which nobody writes.
            let blocks = unsafe { &*source.ptr.cast::<[[f32; BLOCK]; TOGETHER]>() };
            // SAFETY: inside what the caller vouches for.
            unsafe { quantize_together(shape, signed, blocks, own, stride) };
            block += TOGETHER;
            continue;
        }
        let mut elements = [0.0_f32; BLOCK];
        for (i, element) in elements.iter_mut().enumerate().take(left) {
            // SAFETY: inside the row.
            *element = unsafe { *source.at(0, i).ptr };
        }
        let (factor, scale) = scales(magnitude(&elements));
        let quantized = quantize(shape, signed, &elements, factor, scale);
        // SAFETY: inside what the caller vouches for.
        unsafe { own.write(quantized) };
        block += 1;
    }
}

/// # Safety
///
/// - `to` is valid for writing as many blocks, `stride` apart.
#[inline(always)]
unsafe fn quantize_together(
    shape: &Shape,
    signed: bool,
    blocks: &[[f32; BLOCK]; TOGETHER],
    to: *mut Activations,
    stride: usize,
) {
    let (mut factors, mut steps) = ([0.0; TOGETHER], [0.0; TOGETHER]);
    for (factor, block) in factors.iter_mut().zip(blocks) {
        *factor = magnitude(block);
    }
    for (factor, step) in factors.iter_mut().zip(&mut steps) {
        (*factor, *step) = scales(*factor);
    }
    for (i, block) in blocks.iter().enumerate() {
        let quantized = quantize(shape, signed, block, factors[i], steps[i]);
        // SAFETY: inside what the caller vouches for.
        unsafe { to.wrapping_add(i * stride).write(quantized) };
    }
}

/// The greatest magnitude; NaN if there is one.
#[inline(always)]
fn magnitude(elements: &[f32; BLOCK]) -> f32 {
    // Magnitudes order as their bits do, NaN above infinity.
    let bits = elements.iter().fold(0_i32, |most, element| {
        most.max((element.to_bits() & 0x7fff_ffff).cast_signed())
    });
    f32::from_bits(bits.cast_unsigned())
}

/// What elements are multiplied with to be quants, and what quants are multiplied with to be elements.
#[inline(always)]
fn scales(magnitude: f32) -> (f32, f32) {
    if magnitude.is_finite() && magnitude > LEAST_MAGNITUDE {
        (127.0 / magnitude, magnitude / 127.0)
    } else if magnitude.is_finite() {
        (0.0, 0.0)
    } else {
        (0.0, f32::NAN)
    }
}

#[inline(always)]
fn quantize(
    shape: &Shape,
    signed: bool,
    elements: &[f32; BLOCK],
    factor: f32,
    scale: f32,
) -> Activations {
    let mut activations = Activations {
        quants: [0; BLOCK],
        scale,
        _unused: 0,
        begin: [0; 2],
    };
    let mut sums = [0_i32; 2];
    if factor > 0.0 {
        // As integers of 32 bits, which vectors round and add; bytes would be added one by one.
        let mut quants = [0_i32; BLOCK];
        for (quant, element) in quants.iter_mut().zip(elements) {
            *quant = nearest(element * factor);
        }
        for (to, quant) in activations.quants.iter_mut().zip(&quants) {
            *to = *quant as i8;
        }
        let (first, second) = quants.split_at(BLOCK / 2);
        if shape.parts == 1 {
            sums[0] = first.iter().zip(second).map(|(x, y)| x + y).sum();
        } else {
            sums = [first.iter().sum(), second.iter().sum()];
        }
    }
    activations.begin = if shape.least {
        sums.map(|sum| (sum as f32 * scale).to_bits().cast_signed())
    } else if signed && shape.bits == 8 {
        [0; 2]
    } else {
        sums.map(|sum| -shape.zero * sum)
    };
    activations
}

/// The nearest integer, ties to even, of a number between -128 and 127.
#[inline(always)]
fn nearest(x: f32) -> i32 {
    // At this magnitude the unit of an f32 is 1, so that the addition rounds.
    const UNIT: f32 = 12_582_912.0;
    (x + UNIT).to_bits().cast_signed() - UNIT.to_bits().cast_signed()
}
