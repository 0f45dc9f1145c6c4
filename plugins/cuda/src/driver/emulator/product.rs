//! Products of matrices in plain loops, in memory that is the emulated device's.

use girih_graph::DType;

use super::memory::Memory;
use crate::driver::DriverError;
use crate::driver::product::{Product, Steps};

/// A matrix of a product.
struct Matrix {
    dtype: DType,
    address: u64,
    steps: Steps,
}

impl Matrix {
    fn place(&self, [batch, row, column]: [u64; 3]) -> u64 {
        let Steps {
            row: down,
            column: along,
            batch: next,
        } = self.steps;
        let element = batch * next + row * down + column * along;
        self.address + element * self.dtype.size() as u64
    }

    /// # Safety
    ///
    /// The position is one of the matrix, whose elements lie in memory that nobody writes.
    unsafe fn get(&self, position: [u64; 3]) -> f64 {
        let place = self.place(position);
        match self.dtype {
            // SAFETY: as the caller vouches, here and below.
            DType::F64 => unsafe { (place as *const f64).read_unaligned() },
            // SAFETY: as above.
            DType::F32 => unsafe { (place as *const f32).read_unaligned() }.into(),
            // SAFETY: as above.
            DType::F16 => unsafe { (place as *const half::f16).read_unaligned() }.to_f64(),
            // SAFETY: as above.
            _ => unsafe { (place as *const half::bf16).read_unaligned() }.to_f64(),
        }
    }

    /// # Safety
    ///
    /// As for `get`, and nobody else uses the memory.
    unsafe fn put(&self, position: [u64; 3], value: f64) {
        let place = self.place(position);
        match self.dtype {
            // SAFETY: as the caller vouches, here and below.
            DType::F64 => unsafe { (place as *mut f64).write_unaligned(value) },
            // SAFETY: as above.
            DType::F32 => unsafe { (place as *mut f32).write_unaligned(value as f32) },
            DType::F16 => {
                let value = half::f16::from_f64(value);
                // SAFETY: as above.
                unsafe { (place as *mut half::f16).write_unaligned(value) };
            }
            _ => {
                let value = half::bf16::from_f64(value);
                // SAFETY: as above.
                unsafe { (place as *mut half::bf16).write_unaligned(value) };
            }
        }
    }
}

/// Carries a product out: sums of `f64` in `f64`, all others in `f32`, rounded once.
///
/// # Errors
///
/// No library has it, or it leaves the memory of the device.
///
/// # Safety
///
/// Nobody else uses the memory.
pub(super) unsafe fn multiply(product: &Product, memory: &Memory) -> Result<(), DriverError> {
    let Product { shape, addresses } = product;
    let wrong = |why: &str| DriverError::Call {
        what: "an emulated product",
        why: why.to_owned(),
    };
    if shape.columns().is_none() {
        return Err(wrong("no library has one of this shape"));
    }
    let (rows, columns, inner) = (shape.rows, shape.columns, shape.inner);
    let all = [
        (shape.left, shape.factors, rows, inner),
        (shape.right, shape.factors, inner, columns),
        (shape.result, shape.out, rows, columns),
    ];
    let mut matrices = Vec::new();
    for ((steps, dtype, rows, columns), address) in all.into_iter().zip(*addresses) {
        let reach = shape.reach(steps, rows, columns);
        let bytes = reach.and_then(|count| count.checked_mul(dtype.size() as u64));
        if !bytes.is_some_and(|bytes| memory.has(address, bytes)) {
            return Err(wrong("a matrix leaves the memory that it starts in"));
        }
        if address % dtype.size() as u64 > 0 {
            return Err(wrong("a matrix is not aligned for its elements"));
        }
        matrices.push(Matrix {
            dtype,
            address,
            steps,
        });
    }
    let [left, right, out] = &matrices[..] else {
        return Err(wrong("it has other than three matrices"));
    };
    for batch in 0..shape.batches {
        // Every column once, as it is used for every row.
        let mut factors: Vec<f64> = Vec::new();
        for column in 0..columns {
            // SAFETY: the positions reach no further than was checked.
            let own = (0..inner).map(|k| unsafe { right.get([batch, k, column]) });
            factors.extend(own);
        }
        for row in 0..rows {
            // SAFETY: as above.
            let own = (0..inner).map(|k| unsafe { left.get([batch, row, k]) });
            let own: Vec<f64> = own.collect();
            for (column, factors) in factors.chunks_exact(own.len()).enumerate() {
                let terms = own.iter().zip(factors);
                let sum = if shape.factors == DType::F64 {
                    terms.map(|(x, y)| x * y).sum()
                } else {
                    // Two factors of 16 bits are multiplied exactly.
                    let terms = terms.map(|(x, y)| *x as f32 * *y as f32);
                    f64::from(terms.sum::<f32>())
                };
                // SAFETY: as above; the caller vouches for who else has the memory.
                unsafe { out.put([batch, row, column as u64], sum) };
            }
        }
    }
    Ok(())
}
