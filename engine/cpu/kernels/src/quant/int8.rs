//! Weights in f32 that are rounded to 8 bits with one scale for each output row.
#![expect(unsafe_code, reason = "matrices are pointers and strides")]

use super::QuantKind;
use super::matrix::{BLOCK, QuantMatrix};
use crate::gemm::View;

/// Weights `[n, k]`, rounded to 8 bits: an element is off by at most 1/254 of the greatest magnitude in its output
/// row. A row with an element that is not finite makes its column of every product NaN.
#[derive(Clone, Debug)]
pub struct Int8Matrix {
    k: usize,
    /// Rows filled up with zeros; every block has the scale 1.
    quants: QuantMatrix,
    /// One for each output row.
    scales: Vec<f32>,
}

/// The number 1 in f16.
const ONE: u16 = 0x3c00;

impl Int8Matrix {
    /// Rounds and packs the weights that `source` shows, `[k, n]`: columns of `source` are output rows.
    ///
    /// # Safety
    ///
    /// - Every element that `source` names is valid for reading.
    pub unsafe fn pack(k: usize, n: usize, source: View<f32>) -> Self {
        // SAFETY: the caller vouches for the elements; only such are asked for.
        let element = |row: usize, i: usize| unsafe { *source.at(i, row).ptr };
        let magnitude = |row: usize| {
            (0..k).fold(0.0_f32, |most, i| match element(row, i).abs() {
                size if size > most || size.is_nan() => size,
                _ => most,
            })
        };
        let scales: Vec<f32> = (0..n)
            .map(|row| match magnitude(row) {
                most if most.is_finite() => most / 127.0,
                _ => f32::NAN,
            })
            .collect();
        let padded = k.next_multiple_of(BLOCK);
        let read = |row: usize, block: usize, bytes: &mut [u8]| {
            let (factor, quants) = bytes.split_at_mut(2);
            factor.copy_from_slice(&ONE.to_le_bytes());
            for (i, quant) in (block * BLOCK..).zip(quants) {
                let scaled = if i < k {
                    element(row, i) / scales[row]
                } else {
                    0.0
                };
                // A scale of 0 or NaN gives 0.
                *quant = (scaled.round_ties_even() as i8).cast_unsigned();
            }
        };
        Self {
            k,
            quants: QuantMatrix::pack_blocks(QuantKind::Q8_0, n, padded, read),
            scales,
        }
    }

    /// Contracted elements.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Output rows.
    pub fn n(&self) -> usize {
        self.quants.n()
    }

    /// Memory it takes.
    pub fn bytes(&self) -> usize {
        self.quants.bytes() + size_of_val(self.scales.as_slice())
    }

    pub(super) fn quants(&self) -> &QuantMatrix {
        &self.quants
    }

    pub(super) fn scales(&self) -> &[f32] {
        &self.scales
    }
}
