//! Numbers rounded to a few bits, with a scale for each group of neighbors.

use half::f16;

use super::{Blocks, BlocksError, Quantization};
use crate::tensor::Tensor;

/// Elements of a block of the formats that are written here.
const BLOCK: usize = 32;

/// What numbers are rounded to; `s` is the group's scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// `s · q` with `q` from -127 to 127; `s` is the greatest magnitude over 127.
    Int8,
    /// `s · q` with `q` from -7 to 7; `s` is the greatest magnitude over 7.
    Int4,
    /// `s` or `-s`, the mean magnitude with the sign of each; 0 counts as positive. Kept in 4 bits.
    Bit,
}

/// Why numbers cannot be rounded.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    /// A group that blocks or rows do not hold.
    #[error(
        "groups of {group} do not fit rows of {row}: a group has a multiple of {BLOCK}, and rows are whole groups"
    )]
    Group {
        /// Elements that share a scale.
        group: usize,
        /// Elements of a row.
        row: usize,
    },
    /// The blocks are none.
    #[error(transparent)]
    Blocks(#[from] BlocksError),
}

impl Blocks {
    /// Rounds a tensor whose elements are rows of `row` elements, with a scale in f16 for each `group`.
    /// A group with a NaN becomes NaN; infinity counts as the greatest number that such a scale allows.
    ///
    /// # Errors
    ///
    /// Rows that are not whole groups, groups that are not in whole blocks of 32.
    pub fn rounded(
        tensor: &Tensor,
        rounding: Rounding,
        row: usize,
        group: usize,
    ) -> Result<Self, RoundError> {
        let fits = |whole: usize, part: usize| part > 0 && whole > 0 && whole.is_multiple_of(part);
        if !fits(group, BLOCK) || !fits(row, group) || !fits(tensor.count(), row) {
            return Err(RoundError::Group { group, row });
        }
        let numbers = tensor.to_dtype(girih_graph::DType::F32);
        let numbers = numbers.as_slice::<f32>().map_err(BlocksError::from)?;
        let quantization = match rounding {
            Rounding::Int8 => Quantization::Q8_0,
            Rounding::Int4 | Rounding::Bit => Quantization::Q4_0,
        };
        let mut bytes = Vec::with_capacity(numbers.len() / BLOCK * quantization.block_bytes());
        for group in numbers.chunks_exact(group) {
            let scale = f16::from_f32(scale(rounding, group));
            for block in group.as_chunks::<BLOCK>().0 {
                bytes.extend(scale.to_le_bytes());
                let quants = block.map(|x| quant(rounding, x, scale.to_f32()));
                match rounding {
                    Rounding::Int8 => bytes.extend(quants.map(i8::cast_unsigned)),
                    Rounding::Int4 | Rounding::Bit => {
                        let (low, high) = quants.split_at(BLOCK / 2);
                        let nibble = |quant: i8| (quant + 8).cast_unsigned();
                        let pairs = low.iter().zip(high);
                        bytes.extend(pairs.map(|(low, high)| nibble(*low) | nibble(*high) << 4));
                    }
                }
            }
        }
        let rows = [numbers.len() / row, row];
        let blocks = Self::new(quantization, rows, &bytes)?;
        let order: Vec<u32> = (0..blocks.rows() as u32).collect();
        Ok(Self::arranged(&[blocks], &order, tensor.shape())?)
    }
}

/// The scale of a group, as far as f16 goes; NaN if a number is.
fn scale(rounding: Rounding, group: &[f32]) -> f32 {
    if group.iter().any(|x| x.is_nan()) {
        return f32::NAN;
    }
    let greatest = group.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let scale = match rounding {
        Rounding::Int8 => greatest / 127.0,
        Rounding::Int4 => greatest / 7.0,
        Rounding::Bit => {
            let sum: f64 = group.iter().map(|x| f64::from(x.abs())).sum();
            (sum / group.len() as f64) as f32
        }
    };
    scale.min(f16::MAX.to_f32())
}

/// What a number is in units of its scale.
fn quant(rounding: Rounding, x: f32, scale: f32) -> i8 {
    let most = match rounding {
        Rounding::Int8 => 127.0,
        Rounding::Int4 => 7.0,
        Rounding::Bit => return if x < 0.0 { -1 } else { 1 },
    };
    // A scale of 0 or NaN gives 0.
    (x / scale).round_ties_even().clamp(-most, most) as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rounding: Rounding, group: usize, allowed: f32) {
        let numbers: Vec<f32> = (0..256)
            .map(|i| ((i * 37 % 101) as f32 - 50.0) / 40.0)
            .collect();
        let tensor = Tensor::new([2, 2, 64], numbers.clone()).expect("as many numbers");
        let rounded = Blocks::rounded(&tensor, rounding, 128, group).expect("groups fit");
        assert_eq!(rounded.shape(), [2, 2, 64]);
        let decoded = rounded.decode().expect("it can be decoded");
        let decoded = decoded.as_slice::<f32>().expect("they are `f32`");
        for (group, decoded) in numbers.chunks(group).zip(decoded.chunks(group)) {
            let greatest = group.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            for (x, y) in group.iter().zip(decoded) {
                assert!(
                    (x - y).abs() <= greatest * allowed,
                    "{rounding:?}: {x} became {y}"
                );
            }
        }
    }

    #[test]
    fn numbers_are_off_by_half_a_step() {
        for group in [32, 64, 128] {
            check(Rounding::Int8, group, 0.5 / 127.0 + 1e-3);
            check(Rounding::Int4, group, 0.5 / 7.0 + 1e-3);
            check(Rounding::Bit, group, 1.0);
        }
    }

    #[test]
    fn bits_keep_signs_and_mean_magnitudes() {
        let numbers: Vec<f32> = (0..32)
            .map(|i| if i % 3 == 0 { -0.5 } else { 1.25 })
            .collect();
        let tensor = Tensor::new([32], numbers.clone()).expect("as many numbers");
        let rounded = Blocks::rounded(&tensor, Rounding::Bit, 32, 32).expect("one group");
        let decoded = rounded.decode().expect("it can be decoded");
        let mean = numbers.iter().map(|x| x.abs()).sum::<f32>() / 32.0;
        for (x, y) in numbers
            .iter()
            .zip(decoded.as_slice::<f32>().expect("they are `f32`"))
        {
            assert!((y - mean * x.signum()).abs() < 1e-3, "{x} became {y}");
        }
    }

    #[test]
    fn zeros_stay_and_what_is_not_finite_spreads() {
        for rounding in [Rounding::Int8, Rounding::Int4, Rounding::Bit] {
            let decode = |numbers: Vec<f32>| {
                let tensor = Tensor::new([64], numbers).expect("as many numbers");
                let rounded = Blocks::rounded(&tensor, rounding, 64, 32).expect("two groups");
                rounded
                    .decode()
                    .expect("it can be decoded")
                    .into_vec::<f32>()
                    .expect("they are `f32`")
            };
            assert!(decode(vec![0.0; 64]).iter().all(|x| *x == 0.0));
            let mut numbers = vec![1.0; 64];
            numbers[3] = f32::NAN;
            let found = decode(numbers);
            assert!(found[..32].iter().all(|x| x.is_nan()) && found[32..].iter().all(|x| *x > 0.9));
        }
    }

    #[test]
    fn groups_that_do_not_fit_are_refused() {
        let tensor = Tensor::new([4, 48], vec![1.0_f32; 192]).expect("as many numbers");
        for (row, group) in [(48, 32), (48, 48), (48, 0), (0, 32), (96, 16), (384, 32)] {
            assert!(
                Blocks::rounded(&tensor, Rounding::Int8, row, group).is_err(),
                "{row} {group}"
            );
        }
    }
}
