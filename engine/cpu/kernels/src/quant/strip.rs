//! The innermost loop: 16 output rows times a few rows of activations.
//!
//! Within a block, products are summed as integers, which is exact; blocks are added in f32 in the order of the
//! contracted axis, whatever the number of rows. So a row has the same bits in every tile, and all levels have the
//! same integers.
#![expect(
    unsafe_code,
    reason = "vector instructions exist only on some machines"
)]
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "a kernel's whole body works under its own obligations"
)]

use super::activation::Activations;
use super::kind::Shape;
use super::matrix::{BLOCK, QUANTS};
use super::unit::Unit;

/// A block format at compile time.
pub(super) trait Format: 'static {
    const SHAPE: Shape;
}

/// How far ahead of a lone row of activations weights are asked for, in bytes. A core has to have so much under way
/// to be as fast as memory.
const AHEAD: usize = 2048;

/// What a strip is computed from.
#[derive(Clone, Copy)]
pub(super) struct Strip {
    /// See [`super::matrix::QuantMatrix::strip`].
    pub(super) quants: *const u8,
    /// As `quants`.
    pub(super) scales: *const u8,
    /// Along the contracted axis.
    pub(super) blocks: usize,
    /// `[blocks][R]`
    pub(super) activations: *const Activations,
}

/// A strip as [`unpack`] leaves it: what many rows of activations are multiplied with.
#[derive(Clone, Copy)]
pub(super) struct Unpacked {
    /// Along the contracted axis, [`Shape::unpacked_bytes`] for each block.
    pub(super) records: *const u8,
    pub(super) blocks: usize,
    /// `[blocks][R]`
    pub(super) activations: *const Activations,
}

/// Sums of 16 output rows for each of `R` rows of activations.
///
/// # Safety
///
/// - Those of [`Unit`].
/// - What `strip` describes is valid for reading, in the format `F`.
#[inline(always)]
pub(super) unsafe fn multiply<U: Unit, F: Format, const BITS: usize, const R: usize>(
    strip: &Strip,
    to: &mut [[f32; 16]],
) {
    let shape = const { F::SHAPE };
    let mut sums = [U::splat(0.0); R];
    let Strip {
        mut quants,
        mut scales,
        mut activations,
        ..
    } = *strip;
    for _ in 0..strip.blocks / shape.run() {
        let factor = U::halves(scales);
        let least_factor = if shape.least {
            U::halves(scales.add(32))
        } else {
            factor
        };
        let mut small = scales.add(shape.factor_bytes());
        for _ in 0..shape.run() {
            if R == 1 {
                let mut line = 0;
                while line < shape.quant_bytes() {
                    U::prefetch(quants.wrapping_add(AHEAD + line));
                    line += 64;
                }
            }
            let weights = [half::<U, BITS>(quants, 0), half::<U, BITS>(quants, 1)];
            let mut scales = [factor; 4];
            for (part, scale) in scales.iter_mut().enumerate().take(shape.scales()) {
                let factor = if part < shape.parts {
                    factor
                } else {
                    least_factor
                };
                *scale = of_part::<U>(&shape, factor, small, part);
            }
            add_block::<U, BITS, R>(&shape, &mut sums, &weights, &scales, activations);
            quants = quants.add(shape.quant_bytes());
            small = small.add(shape.small_bytes());
            activations = activations.add(R);
        }
        scales = scales.add(shape.scale_bytes());
    }
    for (sum, to) in sums.iter().zip(to) {
        *to = U::lanes(*sum);
    }
}

/// As [`multiply`], of 16 rows and a strip that is unpacked.
///
/// # Safety
///
/// - Those of [`Unit`].
/// - What `strip` describes is valid for reading, from the format `F`.
#[inline(always)]
pub(super) unsafe fn multiply_unpacked<U: Unit, F: Format, const BITS: usize>(
    strip: &Unpacked,
    to: &mut [[f32; 16]],
) {
    let shape = const { F::SHAPE };
    // Two loops over eight rows become straight code, one over sixteen does not.
    let mut sums = [[U::splat(0.0); 8]; 2];
    let mut record = strip.records;
    let mut activations = strip.activations;
    for _ in 0..strip.blocks {
        let weights = [half::<U, 8>(record, 0), half::<U, 8>(record, 1)];
        let mut scales = [U::splat(0.0); 4];
        for (part, scale) in scales.iter_mut().enumerate().take(shape.scales()) {
            *scale = U::numbers(record.add(QUANTS + 64 * part).cast());
        }
        let [first, second] = &mut sums;
        add_block::<U, BITS, 8>(&shape, first, &weights, &scales, activations);
        add_block::<U, BITS, 8>(&shape, second, &weights, &scales, activations.add(8));
        record = record.add(shape.unpacked_bytes());
        activations = activations.add(16);
    }
    for (sum, to) in sums.as_flattened().iter().zip(to) {
        *to = U::lanes(*sum);
    }
}

/// Brings a strip into records: the quants of a block as bytes, then its scales and its least values as numbers.
///
/// # Safety
///
/// - Those of [`Unit`].
/// - The blocks are valid for reading, in the format `F`, and `to` for writing as many records.
#[inline(always)]
pub(super) unsafe fn unpack<U: Unit, F: Format, const BITS: usize>(
    mut quants: *const u8,
    mut scales: *const u8,
    blocks: usize,
    mut to: *mut u8,
) {
    let shape = const { F::SHAPE };
    for _ in 0..blocks / shape.run() {
        let factor = U::halves(scales);
        let least_factor = if shape.least {
            U::halves(scales.add(32))
        } else {
            factor
        };
        let mut small = scales.add(shape.factor_bytes());
        for _ in 0..shape.run() {
            for side in 0..2 {
                for (i, bytes) in half::<U, BITS>(quants, side).into_iter().enumerate() {
                    let to = to.add(64 * (4 * side + i));
                    to.cast::<U::Bytes>().write_unaligned(bytes);
                }
            }
            for part in 0..shape.scales() {
                let factor = if part < shape.parts {
                    factor
                } else {
                    least_factor
                };
                let numbers = U::lanes(of_part::<U>(&shape, factor, small, part));
                let bytes = numbers.as_ptr().cast::<u8>();
                bytes.copy_to_nonoverlapping(to.add(QUANTS + 64 * part), 64);
            }
            quants = quants.add(shape.quant_bytes());
            small = small.add(shape.small_bytes());
            to = to.add(shape.unpacked_bytes());
        }
        scales = scales.add(shape.scale_bytes());
    }
}

/// Adds the products of a block to the sums of `R` rows. `scales` are those of the parts, then their least values.
#[inline(always)]
unsafe fn add_block<U: Unit, const BITS: usize, const R: usize>(
    shape: &Shape,
    sums: &mut [U::Floats; R],
    weights: &[[U::Bytes; 4]; 2],
    scales: &[U::Floats; 4],
    activations: *const Activations,
) {
    for (r, sum) in sums.iter_mut().enumerate() {
        let block = activations.add(r);
        let step = U::splat((*block).scale);
        let begin = (&raw const (*block).begin).cast::<i32>();
        let quants = (&raw const (*block).quants).cast::<i8>();
        let first = U::dot::<BITS>(start::<U>(shape, begin, 0), &weights[0], quants);
        if shape.parts == 1 {
            let both = U::dot::<BITS>(first, &weights[1], quants.add(16));
            *sum = U::mul_add(U::to_floats(both), U::mul(scales[0], step), *sum);
        } else {
            let second = U::dot::<BITS>(start::<U>(shape, begin, 1), &weights[1], quants.add(16));
            *sum = U::mul_add(U::to_floats(first), U::mul(scales[0], step), *sum);
            *sum = U::mul_add(U::to_floats(second), U::mul(scales[1], step), *sum);
        }
        if shape.least {
            for part in 0..shape.parts {
                let elements = U::splat(f32::from_bits((*begin.add(part)).cast_unsigned()));
                *sum = U::mul_add(scales[shape.parts + part], elements, *sum);
            }
        }
    }
}

/// What a strip is computed from when activations stay as they are.
#[derive(Clone, Copy)]
pub(super) struct ExactStrip {
    /// As for [`Strip`].
    pub(super) quants: *const u8,
    /// As `quants`.
    pub(super) scales: *const u8,
    /// Along the contracted axis.
    pub(super) blocks: usize,
    /// Rows of activations, then the sums of each half of their blocks.
    pub(super) rows: *const f32,
    /// From a row to the next.
    pub(super) stride: usize,
}

/// As [`multiply`], of activations that are not rounded: an element is the sum over blocks, in order, of the scale
/// times the sums of each half.
///
/// # Safety
///
/// - Those of [`Unit`].
/// - What `strip` describes is valid for reading, in the format `F`.
#[inline(always)]
pub(super) unsafe fn multiply_exact<U: Unit, F: Format, const BITS: usize, const R: usize>(
    strip: &ExactStrip,
    to: &mut [[f32; 16]],
) {
    let shape = const { F::SHAPE };
    let zero = if shape.least { 0 } else { shape.zero };
    let mut sums = [U::splat(0.0); R];
    let ExactStrip {
        mut quants,
        mut scales,
        mut rows,
        ..
    } = *strip;
    let mut totals = strip.rows.add(strip.blocks * BLOCK);
    for _ in 0..strip.blocks / shape.run() {
        let factor = U::halves(scales);
        let least_factor = if shape.least {
            U::halves(scales.add(32))
        } else {
            factor
        };
        let mut small = scales.add(shape.factor_bytes());
        for _ in 0..shape.run() {
            if R == 1 {
                let mut line = 0;
                while line < shape.quant_bytes() {
                    U::prefetch(quants.wrapping_add(AHEAD + line));
                    line += 64;
                }
            }
            let mut own = [[U::splat(0.0); R]; 2];
            for (side, own) in own.iter_mut().enumerate() {
                for (i, bytes) in half::<U, BITS>(quants, side).into_iter().enumerate() {
                    for at in 0..4 {
                        let weight = U::weight::<BITS>(bytes, at, zero);
                        let element = rows.add(side * 16 + i * 4 + at);
                        for (r, own) in own.iter_mut().enumerate() {
                            *own =
                                U::mul_add(weight, U::splat(*element.add(r * strip.stride)), *own);
                        }
                    }
                }
            }
            for part in 0..shape.parts {
                let scale = of_part::<U>(&shape, factor, small, part);
                for (r, sum) in sums.iter_mut().enumerate() {
                    let own = if shape.parts == 1 {
                        U::add(own[0][r], own[1][r])
                    } else {
                        own[part][r]
                    };
                    *sum = U::mul_add(own, scale, *sum);
                    if shape.least {
                        let least = of_part::<U>(&shape, least_factor, small, shape.parts + part);
                        let totals = totals.add(r * strip.stride);
                        let total = if shape.parts == 1 {
                            *totals + *totals.add(1)
                        } else {
                            *totals.add(part)
                        };
                        *sum = U::mul_add(least, U::splat(total), *sum);
                    }
                }
            }
            quants = quants.add(shape.quant_bytes());
            small = small.add(shape.small_bytes());
            rows = rows.add(BLOCK);
            totals = totals.add(2);
        }
        scales = scales.add(shape.scale_bytes());
    }
    for (sum, to) in sums.iter().zip(to) {
        *to = U::lanes(*sum);
    }
}

/// Writes the weights of some blocks of a strip as numbers: 16 for each contracted element, `stride` apart.
///
/// # Safety
///
/// - Those of [`Unit`].
/// - The blocks are valid for reading, in the format `F`, and `to` for writing.
#[inline(always)]
pub(super) unsafe fn decode<U: Unit, F: Format, const BITS: usize>(
    mut quants: *const u8,
    mut scales: *const u8,
    blocks: usize,
    mut to: *mut f32,
    stride: usize,
) {
    let shape = const { F::SHAPE };
    let zero = if shape.least { 0 } else { shape.zero };
    for _ in 0..blocks / shape.run() {
        let factor = U::halves(scales);
        let least_factor = if shape.least {
            U::halves(scales.add(32))
        } else {
            U::splat(0.0)
        };
        let mut small = scales.add(shape.factor_bytes());
        for _ in 0..shape.run() {
            for side in 0..2 {
                let part = side.min(shape.parts - 1);
                let scale = of_part::<U>(&shape, factor, small, part);
                let least = if shape.least {
                    of_part::<U>(&shape, least_factor, small, shape.parts + part)
                } else {
                    least_factor
                };
                for bytes in half::<U, BITS>(quants, side) {
                    for at in 0..4 {
                        let weight = U::weight::<BITS>(bytes, at, zero);
                        let numbers = U::lanes(U::mul_add(weight, scale, least));
                        to.cast::<[f32; 16]>().write_unaligned(numbers);
                        to = to.wrapping_add(stride);
                    }
                }
            }
            quants = quants.add(shape.quant_bytes());
            small = small.add(shape.small_bytes());
        }
        scales = scales.add(shape.scale_bytes());
    }
}

/// The weights of half a block, a byte each: see the note of [`super::matrix`].
#[inline(always)]
pub(super) unsafe fn half<U: Unit, const BITS: usize>(
    quants: *const u8,
    half: usize,
) -> [U::Bytes; 4] {
    [
        group::<U, BITS>(quants, half, 0),
        group::<U, BITS>(quants, half, 1),
        group::<U, BITS>(quants, half, 2),
        group::<U, BITS>(quants, half, 3),
    ]
}

#[inline(always)]
unsafe fn group<U: Unit, const BITS: usize>(quants: *const u8, half: usize, i: usize) -> U::Bytes {
    if BITS == 8 {
        return U::load(quants.add((4 * half + i) * 64));
    }
    let low = U::bits(U::load(quants.add(i * 64)), 4 * half as u32, 0, 15);
    match BITS {
        5 => {
            let line = U::load(quants.add(256));
            U::or(low, U::bits(line, (4 * half + i) as u32, 4, 0x10))
        }
        6 => {
            let line = U::load(quants.add(256 + 64 * half));
            U::or(low, U::bits(line, 2 * i as u32, 4, 0x30))
        }
        _ => low,
    }
}

/// The factors of one part, from the small integers of a block if scales are nested.
#[inline(always)]
pub(super) unsafe fn of_part<U: Unit>(
    shape: &Shape,
    factor: U::Floats,
    small: *const u8,
    part: usize,
) -> U::Floats {
    if shape.nested {
        U::mul(factor, U::small(small.add(16 * part)))
    } else {
        factor
    }
}

/// What the sum of a part begins with.
#[inline(always)]
unsafe fn start<U: Unit>(shape: &Shape, begin: *const i32, part: usize) -> U::Ints {
    if shape.least {
        U::splat_int(0)
    } else {
        U::splat_int(*begin.add(part))
    }
}
