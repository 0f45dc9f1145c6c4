//! Products with weights that stay quantized: [`QuantMatrix`] keeps the block formats of GGUF files packed for the
//! kernels, [`quant_matmul`] multiplies with it. [`Int8Matrix`] rounds f32 weights itself.
//!
//! [`quant_matmul_f32`] decodes weights in registers and takes activations as they are. For the others, these are
//! rounded to 8 bits with a scale for each 32 elements of a row, once per call; within a block, products are then summed as integers, so that the rounding of activations is the only error beyond that of an f32
//! sum. Weights are not rounded again: all formats keep their scales. See [`quant_matmul`] for the bound.
//!
//! Work is shared by output rows only: the number of threads changes no bit of a result, nor does the number of rows.
#![expect(unsafe_code, reason = "matrices are pointers and strides")]

mod activation;
mod exact;
mod int8;
mod kernels;
mod kind;
mod matrix;
mod product;
mod stored;
mod strip;
mod tiled;
mod unit;
#[cfg(target_arch = "x86_64")]
mod unit_x86;

use crate::gemm::{Finish, View, ViewMut};
use crate::level::Level;
use crate::pool::Pool;
pub use int8::Int8Matrix;
pub use kind::QuantKind;
pub use matrix::QuantMatrix;
use product::Target;

/// Why bytes are no quantized weights.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantError {
    /// A row would end within a block.
    #[error("a row of {k} elements is not in whole blocks of {kind:?}, which have {}", .kind.block_elements())]
    Blocks {
        /// The format.
        kind: QuantKind,
        /// Contracted elements.
        k: usize,
    },
    /// The bytes are not those of so many rows.
    #[error("{found} bytes are not {n} rows of {k} elements in {kind:?}")]
    Bytes {
        /// The format.
        kind: QuantKind,
        /// Output rows.
        n: usize,
        /// Contracted elements.
        k: usize,
        /// How many bytes there were.
        found: usize,
    },
}

/// `C[m, n] = A[m, k] B`, where `B` are the weights `[n, k]`, turned; `n` and `k` are those of `b`.
///
/// Element `(i, j)` differs from the exact product with the dequantized weights `w` by at most the sum over blocks of
/// 32 of `max |a| / 254 * sum |w|`, and the rounding of an f32 sum. A NaN or infinity in a row of `A` makes that row
/// of `C` NaN; a block of `A` with nothing above 1e-36 counts as zero. Rows of `A` with contiguous elements are
/// fastest. An epilogue gets tiles before they are stored: at most 8 rows of 16 columns.
///
/// # Safety
///
/// - The machine runs `level`.
/// - Every element that the views name is valid for reading, those of `C` for writing; nobody else writes any of them
///   during the call.
/// - Elements of `C` share no place with each other or with `A`.
/// - The epilogue keeps to the tiles it is given.
pub unsafe fn quant_matmul(
    level: Level,
    pool: &Pool,
    m: usize,
    a: View<f32>,
    b: &QuantMatrix,
    c: ViewMut<f32>,
    finish: Finish<'_>,
) {
    let target = Target {
        factors: None,
        c,
        finish,
    };
    if b.k() == 0 || m == 0 {
        // SAFETY: the obligations are the same.
        return unsafe { target.clear(m, b.n()) };
    }
    // SAFETY: the obligations are the same.
    unsafe { product::multiply(level, pool, m, a, (b.k(), b), &target) };
}

/// As [`quant_matmul`], of activations that are not rounded: the result differs from that of an f32 product with the
/// dequantized weights by the order of sums only.
///
/// # Safety
///
/// As for [`quant_matmul`].
pub unsafe fn quant_matmul_f32(
    level: Level,
    pool: &Pool,
    m: usize,
    a: View<f32>,
    b: &QuantMatrix,
    c: ViewMut<f32>,
    finish: Finish<'_>,
) {
    let target = Target {
        factors: None,
        c,
        finish,
    };
    if b.k() == 0 || m == 0 {
        // SAFETY: the obligations are the same.
        return unsafe { target.clear(m, b.n()) };
    }
    // SAFETY: the obligations are the same.
    unsafe { exact::multiply(level, pool, m, a, b, &target) };
}

/// `C[m, n] = A[m, k] B` with weights rounded to 8 bits; `n` and `k` are those of `b`. Activations are rounded as for
/// [`quant_matmul`].
///
/// # Safety
///
/// As for [`quant_matmul`].
pub unsafe fn int8_matmul(
    level: Level,
    pool: &Pool,
    m: usize,
    a: View<f32>,
    b: &Int8Matrix,
    c: ViewMut<f32>,
    finish: Finish<'_>,
) {
    let target = Target {
        factors: Some(b.scales()),
        c,
        finish,
    };
    if b.k() == 0 || m == 0 {
        // SAFETY: the obligations are the same.
        return unsafe { target.clear(m, b.n()) };
    }
    // SAFETY: the obligations are the same; there is a scale for each column of `C`.
    unsafe { product::multiply(level, pool, m, a, (b.k(), b.quants()), &target) };
}

#[cfg(test)]
mod tests;
