//! A matrix of weights in the order of a kernel, in one of the forms that kernels have.

#![expect(unsafe_code, reason = "matrix routines take addresses")]

use girih_kernels::bf16::{Bf16Matrix, bf16_matmul};
use girih_kernels::gemm::{Finish, Packed, View, ViewMut, gemm_packed};
use girih_kernels::quant::{
    Int8Matrix, QuantKind, QuantMatrix, int8_matmul, quant_matmul, quant_matmul_f32,
};
use girih_kernels::{Level, Pool};
use girih_runtime::weights::{Blocks, Quantization};

use crate::backend::Compute;
use crate::weights::Form;

/// A matrix `[k, n]`.
#[derive(Clone, Debug)]
pub(crate) enum Pack {
    /// As it is.
    F32(Packed),
    /// Rounded to brain floats.
    Bf16(Bf16Matrix),
    /// Rounded to 8 bits with a scale for each column.
    Int8(Int8Matrix),
    /// In blocks of a file's format.
    Blocks(QuantMatrix),
    /// The same, with what is multiplied rounded to 8 bits.
    Rounding(QuantMatrix),
}

impl Pack {
    /// Packs numbers.
    ///
    /// # Safety
    ///
    /// - Every element that `source` names, `[k, n]`, is valid for reading.
    pub(crate) unsafe fn of(compute: Compute, k: usize, n: usize, source: View<f32>) -> Self {
        match compute {
            // SAFETY: the obligations are the same.
            Compute::F32 => Self::F32(unsafe { Packed::pack(k, n, source) }),
            // SAFETY: as above.
            Compute::Bf16 => Self::Bf16(unsafe { Bf16Matrix::pack(k, n, source) }),
            // SAFETY: as above.
            Compute::Int8 => Self::Int8(unsafe { Int8Matrix::pack(k, n, source) }),
        }
    }

    /// Packs one matrix of a form of quantized numbers, without decoding them. `None` if the
    /// columns of the matrix are not whole blocks.
    pub(crate) fn of_blocks(
        compute: Compute,
        blocks: &Blocks,
        form: &Form,
        offset: isize,
    ) -> Option<Self> {
        let kind = kind(blocks.quantization())?;
        let block = kind.block_elements();
        let row = blocks.row_elements();
        let [offset, column] = [offset, form.column].map(usize::try_from);
        let (offset, column) = (offset.ok()?, column.ok()?);
        // Columns of `B` lie along the blocks, and none begins or ends within one.
        let aligned = [offset, column, form.k, row]
            .iter()
            .all(|at| at.is_multiple_of(block));
        if !aligned || form.row != 1 || row == 0 {
            return None;
        }
        let (bytes, of_row) = (kind.block_bytes(), row / block);
        let mut whole = true;
        let read = |to: usize, at: usize, target: &mut [u8]| {
            let block = (offset + to * column) / block + at;
            let from = block % of_row * bytes;
            let source = blocks.row(block / of_row).get(from..from + bytes);
            match source {
                Some(source) => target.copy_from_slice(source),
                None => whole = false,
            }
        };
        let matrix = QuantMatrix::pack_with(kind, form.n, form.k, read).ok()?;
        whole.then_some(match compute {
            Compute::F32 | Compute::Bf16 => Self::Blocks(matrix),
            Compute::Int8 => Self::Rounding(matrix),
        })
    }

    /// `C[m, n] = A[m, k] B[k, n]`, or as `finish` says.
    ///
    /// # Safety
    ///
    /// - The machine runs `level`.
    /// - Every element that the views name is valid for reading, those of `C` for writing; nobody
    ///   else writes any of them during the call.
    /// - Elements of `C` share no place with each other or with `A`.
    /// - The epilogue keeps to the tiles it is given.
    pub(crate) unsafe fn multiply(
        &self,
        level: Level,
        pool: &Pool,
        m: usize,
        a: View<f32>,
        c: ViewMut<f32>,
        finish: Finish<'_>,
    ) {
        match self {
            // SAFETY: the obligations are the same.
            Self::F32(b) => unsafe { gemm_packed(level, pool, m, a, b, c, finish) },
            // SAFETY: as above.
            Self::Bf16(b) => unsafe { bf16_matmul(level, pool, m, a, b, c, finish) },
            // SAFETY: as above.
            Self::Int8(b) => unsafe { int8_matmul(level, pool, m, a, b, c, finish) },
            // SAFETY: as above.
            Self::Blocks(b) => unsafe { quant_matmul_f32(level, pool, m, a, b, c, finish) },
            // SAFETY: as above.
            Self::Rounding(b) => unsafe { quant_matmul(level, pool, m, a, b, c, finish) },
        }
    }
}

/// The kernels' format of a file's. `None` for two that files hardly have, which are decoded.
fn kind(quantization: Quantization) -> Option<QuantKind> {
    Some(match quantization {
        Quantization::Q4_0 => QuantKind::Q4_0,
        Quantization::Q4_1 => QuantKind::Q4_1,
        Quantization::Q5_0 => QuantKind::Q5_0,
        Quantization::Q5_1 => QuantKind::Q5_1,
        Quantization::Q8_0 => QuantKind::Q8_0,
        Quantization::Q2K => QuantKind::Q2K,
        Quantization::Q3K => QuantKind::Q3K,
        Quantization::Q4K => QuantKind::Q4K,
        Quantization::Q5K => QuantKind::Q5K,
        Quantization::Q6K => QuantKind::Q6K,
        Quantization::Q8_1 | Quantization::Q8K => return None,
    })
}
