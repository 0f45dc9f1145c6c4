//! Sixteen rows of activations at a time, their integers summed by instructions for tiles (AMX).
//!
//! An unpacked block is a tile of `B`. Rows of activations are a tile of `A`. Sums of a block are exact, and what comes of them is added as
//! [`multiply_unpacked`](super::strip::multiply_unpacked) adds it: a row has the same bits as there.
#![expect(
    unsafe_code,
    reason = "vector instructions exist only on some machines"
)]
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "a kernel's whole body works under its own obligations"
)]

use super::activation::Activations;
use super::matrix::QUANTS;
use super::strip::{Format, Unpacked};
use super::unit::Unit;
use crate::tiles::{Config, SIDE, Tiles};

/// Rows of activations.
pub(super) const ROWS: usize = SIDE;

/// Sums of 0 and 1, then activations, then weights, of a block or of its halves.
static WHOLE: Config = shapes(8);
static HALVES: Config = shapes(4);

const fn shapes(fours: usize) -> Config {
    let (sums, a, b) = ((SIDE, 4 * SIDE), (SIDE, 4 * fours), (fours, 4 * SIDE));
    let none = (0, 0);
    Config::new([sums, sums, a, a, b, b, none, none])
}

/// As [`multiply_unpacked`](super::strip::multiply_unpacked), of 16 rows.
///
/// # Safety
///
/// - Those of [`Unit`] and of [`Tiles`].
/// - What `strip` describes is valid for reading, from the format `F`.
#[inline(always)]
pub(super) unsafe fn multiply<T: Tiles, U: Unit, F: Format>(
    strip: &Unpacked,
    to: &mut [[f32; 16]],
) {
    let shape = const { F::SHAPE };
    let whole = shape.parts == 1;
    let row = size_of::<Activations>();
    let mut sums = [U::splat(0.0); ROWS];
    T::begin(if whole { &WHOLE } else { &HALVES });
    for block in 0..strip.blocks {
        let record = strip.records.add(block * shape.unpacked_bytes());
        let activations = strip.activations.add(block * ROWS);
        let mut integers = [[[0_i32; 16]; ROWS]; 2];
        let [first, second] = integers.each_mut().map(|own| own.as_mut_ptr().cast::<u8>());
        let rows = activations.cast::<u8>();
        T::zero::<0>();
        T::load::<2>(rows, row);
        T::load::<4>(record, 64);
        T::dot_bytes::<0, 2, 4>();
        T::store::<0>(first, 64);
        if !whole {
            T::zero::<1>();
            T::load::<3>(rows.add(16), row);
            T::load::<5>(record.add(256), 64);
            T::dot_bytes::<1, 3, 5>();
            T::store::<1>(second, 64);
        }
        let number = |part: usize| U::numbers(record.add(QUANTS + 64 * part).cast());
        for (part, integers) in integers.iter().enumerate().take(shape.parts) {
            let scale = number(part);
            for (r, sum) in sums.iter_mut().enumerate() {
                let block = &*activations.add(r);
                let begin = if shape.least { 0 } else { block.begin[part] };
                let own = U::ints(&integers[r], begin);
                let step = U::splat(block.scale);
                *sum = U::mul_add(U::to_floats(own), U::mul(scale, step), *sum);
            }
        }
        if shape.least {
            for part in 0..shape.parts {
                let least = number(shape.parts + part);
                for (r, sum) in sums.iter_mut().enumerate() {
                    let begin = (*activations.add(r)).begin[part];
                    let elements = U::splat(f32::from_bits(begin.cast_unsigned()));
                    *sum = U::mul_add(least, elements, *sum);
                }
            }
        }
    }
    T::end();
    for (sum, to) in sums.iter().zip(to) {
        *to = U::lanes(*sum);
    }
}

#[cfg(test)]
mod tests {
    use super::super::kernels::{Kernels, kernels, with_tiles};
    use super::super::product::{Target, multiply_with};
    use super::super::{QuantKind, QuantMatrix};
    use crate::gemm::{Finish, View, ViewMut};
    use crate::guarded::Guarded;
    use crate::level::Level;
    use crate::pool::Pool;

    fn mixed(i: usize) -> u32 {
        let bits = (i as u32).wrapping_mul(2_654_435_769);
        (bits ^ bits >> 15).wrapping_mul(2_246_822_519)
    }

    /// Every operand ends at a guard page.
    fn product(kernels: &Kernels, threads: usize, a: &[f32], b: &QuantMatrix) -> Vec<u32> {
        let (n, k) = (b.n(), b.k());
        let m = a.len() / k;
        let mut source = Guarded::<f32>::new(m * k, true);
        source.elements().copy_from_slice(a);
        let mut target = Guarded::<f32>::new(m * n, true);
        let a = View {
            ptr: source.elements().as_ptr(),
            row: k as isize,
            col: 1,
        };
        let target_view = Target {
            factors: None,
            c: ViewMut {
                ptr: target.elements().as_mut_ptr(),
                row: n as isize,
                col: 1,
            },
            finish: Finish::default(),
        };
        // SAFETY: every machine runs these kernels; the elements are there.
        unsafe { multiply_with(kernels, &Pool::new(threads), m, a, (k, b), &target_view) };
        target.elements().iter().map(|x| x.to_bits()).collect()
    }

    #[test]
    fn tiles_change_no_bit() {
        for kind in QuantKind::ALL {
            let (n, k) = (37, 3 * kind.block_elements());
            let bytes = k / kind.block_elements() * kind.block_bytes() * n;
            // Scales are halves; no exponent of theirs is that of infinity.
            let bytes: Vec<u8> = (0..bytes).map(|i| (mixed(i) >> 24) as u8 & 0xbb).collect();
            let b = QuantMatrix::pack(kind, n, k, &bytes).unwrap();
            for m in [15, 16, 17, 47] {
                let mut a: Vec<f32> = (0..m * k)
                    .map(|i| mixed(i + 7) as f32 / 2_147_483_648.0 - 1.0)
                    .collect();
                a[3 * k + 5] = f32::NAN;
                a[2 * k + 40 % k] = 1e30;
                let plain = product(&kernels(Level::Baseline, kind), 1, &a, &b);
                let finite = plain.iter().filter(|x| f32::from_bits(**x).is_finite());
                assert!(finite.count() > plain.len() / 2, "{kind:?}");
                for threads in [1, 3] {
                    let tiled = product(&with_tiles(kind), threads, &a, &b);
                    assert_eq!(tiled, plain, "{kind:?}, {m} rows");
                }
            }
        }
    }
}
