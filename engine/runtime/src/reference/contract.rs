//! `contract`: Σ over axes of a product, as a batch of matrix products.
//!
//! Axes that both operands keep are the batch, those of one operand its rows or
//! columns. Operands are read where they lie if each of these groups can be
//! walked as one axis; else they are copied once. `f16` and `bf16` are
//! multiplied and summed in `f32` and rounded once.

use candle_core::backend::BackendStorage;
use candle_core::{Layout, Shape};
use girih_graph::{AxisId, DType, ValueType};
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use super::array::Array;
use super::elementwise;
use super::number::Wide;
use super::scope::{Scope, Value};
use super::walk::{self, cell_count};
use crate::backend::RunError;

/// Multiplications from which a product is worth another thread.
const PARALLEL: usize = 1 << 15;

/// Multiplications up to which calling the library costs more than multiplying.
const SMALL: usize = 512;

pub(super) fn contract(
    scope: &Scope<'_>,
    over: &[AxisId],
    x: Value<'_>,
    y: Value<'_>,
    out: &ValueType,
) -> Result<Array, RunError> {
    let kept = |axis: &AxisId| !over.contains(axis);
    let own = x.axes().iter().copied().filter(kept);
    let (batch, rows): (Vec<AxisId>, Vec<AxisId>) = own.partition(|axis| y.ty.has(*axis));
    let others = y.axes().iter().copied().filter(kept);
    let columns: Vec<AxisId> = others.filter(|axis| !x.ty.has(*axis)).collect();

    if x.array.shape().contains(&0) || y.array.shape().contains(&0) {
        return Ok(Array::zeros(out.dtype, scope.shape(&out.axes)?));
    }
    let left = Matrices::new(scope, x, [&batch, &rows, over])?;
    let right = Matrices::new(scope, y, [&batch, over, &columns])?;
    let axes = [batch, rows, columns].concat();
    let shape = scope.shape(&axes)?;
    let product = match left.array.dtype() {
        DType::F64 => Array::new(DType::F64, shape, product::<f64>(&left, &right)?),
        _ => Array::new(DType::F32, shape, product::<f32>(&left, &right)?),
    };
    // The result's own order of axes.
    let order = out.axes.iter().map(|axis| {
        let place = axes.iter().position(|own| own == axis);
        place.expect("a contraction keeps exactly these axes")
    });
    Ok(elementwise::cast(&product, out.dtype).permuted(order))
}

/// A batch of `f32` or `f64` matrices.
struct Matrices {
    array: Array,
    /// Batch, rows, columns.
    shape: [usize; 3],
    strides: [isize; 3],
}

impl Matrices {
    /// The groups of axes are batch, rows and columns.
    fn new(scope: &Scope<'_>, x: Value<'_>, groups: [&[AxisId]; 3]) -> Result<Self, RunError> {
        let mut shape = [0; 3];
        for (extent, group) in shape.iter_mut().zip(groups) {
            *extent = cell_count(&scope.shape(group)?);
        }
        let narrow = matches!(x.ty.dtype, DType::F16 | DType::BF16);
        if let [Some(batch), Some(row), Some(column)] = groups.map(|group| x.joined(group))
            && !narrow
            && [batch, row, column].iter().all(|stride| *stride >= 0)
        {
            return Ok(Self {
                array: x.array.clone(),
                shape,
                strides: [batch, row, column],
            });
        }
        let axes = groups.concat();
        let array = x.over(&axes, &scope.shape(&axes)?);
        let array = if narrow {
            elementwise::cast(&array, DType::F32)
        } else {
            array.contiguous()
        };
        Ok(Self::contiguous(array, shape))
    }

    fn contiguous(array: Array, shape: [usize; 3]) -> Self {
        let [_, rows, columns] = shape.map(|extent| extent as isize);
        Self {
            array,
            shape,
            strides: [rows.saturating_mul(columns), columns, 1],
        }
    }

    fn copied(&self) -> Self {
        let view = self
            .array
            .view(self.shape.to_vec(), self.strides.to_vec(), 0);
        Self::contiguous(view.contiguous(), self.shape)
    }

    fn layout(&self) -> Layout {
        let strides = self.strides.map(|stride| stride as usize).to_vec();
        let shape = Shape::from(self.shape.to_vec());
        Layout::new(shape, strides, self.array.offset() as usize)
    }

    /// One matrix of the batch, transposed if asked.
    fn matrix<T: Wide>(&self, batch: usize, transposed: bool) -> Matrix<'_, T> {
        let [step, row, column] = self.strides;
        let strides = if transposed {
            [column, row]
        } else {
            [row, column]
        };
        Matrix {
            cells: self.array.cells(),
            start: self.array.offset() + step * batch as isize,
            strides,
        }
    }
}

/// `[batch, m, n]` from `[batch, m, k]` and `[batch, k, n]`.
fn product<T: Wide>(x: &Matrices, y: &Matrices) -> Result<Vec<T>, RunError> {
    let [batch, m, k] = x.shape;
    let [_, _, n] = y.shape;
    let multiplications = m.saturating_mul(n).saturating_mul(k);
    if multiplications <= SMALL || m == 1 || n == 1 {
        let mut out = vec![T::ZERO; cell_count(&[batch, m, n])];
        for (at, out) in out.chunks_exact_mut(m * n).enumerate() {
            if n == 1 {
                let vector = y.matrix(at, true).row(0, k);
                times_vector(&x.matrix(at, false), &vector, out, multiplications);
                continue;
            }
            let matrix = y.matrix(at, true);
            for (row, out) in out.chunks_exact_mut(n).enumerate() {
                let vector = x.matrix(at, false).row(row, k);
                times_vector(&matrix, &vector, out, multiplications);
            }
        }
        return Ok(out);
    }
    let [step, row, column] = x.strides;
    // The library takes a repeated right side as a sign that the left one is contiguous.
    let repeated = batch > 1 && y.strides[0] == 0 && step == (m * k) as isize;
    if repeated && (row != k as isize || column != 1) {
        return library(&x.copied(), y);
    }
    library(x, y)
}

fn library<T: Wide>(x: &Matrices, y: &Matrices) -> Result<Vec<T>, RunError> {
    let ([batch, m, k], [_, _, n]) = (x.shape, y.shape);
    let (left, right) = (x.array.storage(), y.array.storage());
    let product = left.matmul(right, (batch, m, n, k), &x.layout(), &y.layout());
    let failed = |error: candle_core::Error| RunError::Library {
        op: "contract",
        reason: error.to_string(),
    };
    let product = product.map_err(failed)?;
    let cells = T::take(product);
    Ok(cells.expect("a product has the dtype of its factors"))
}

/// A matrix in place.
struct Matrix<'a, T> {
    cells: &'a [T],
    start: isize,
    strides: [isize; 2],
}

impl<T: Wide> Matrix<'_, T> {
    fn row(&self, row: usize, length: usize) -> Vec<T> {
        let [down, right] = self.strides;
        let start = self.start + down * row as isize;
        walk::row(self.cells, start, length, right).collect()
    }

    /// Products of rows from `first` on with the vector.
    fn times(&self, vector: &[T], first: usize, out: &mut [T]) {
        let [down, right] = self.strides;
        let start = self.start + down * first as isize;
        if right != 1 && down == 1 {
            out.fill(T::ZERO);
            for (position, factor) in vector.iter().enumerate() {
                let start = start + right * position as isize;
                let column = &self.cells[start as usize..][..out.len()];
                for (out, cell) in out.iter_mut().zip(column) {
                    *out += *factor * *cell;
                }
            }
            return;
        }
        for (row, out) in out.iter_mut().enumerate() {
            let start = start + down * row as isize;
            *out = if right == 1 {
                dot(&self.cells[start as usize..][..vector.len()], vector)
            } else {
                let row = walk::row(self.cells, start, vector.len(), right);
                row.zip(vector).fold(T::ZERO, |sum, (x, y)| sum + x * *y)
            };
        }
    }
}

/// The matrix times the vector, on several threads where that pays.
fn times_vector<T: Wide>(
    matrix: &Matrix<'_, T>,
    vector: &[T],
    out: &mut [T],
    multiplications: usize,
) {
    if multiplications < 2 * PARALLEL {
        matrix.times(vector, 0, out);
        return;
    }
    let threads = rayon::current_num_threads();
    let length = out
        .len()
        .div_ceil(threads)
        .max(PARALLEL.div_ceil(vector.len()));
    out.par_chunks_mut(length)
        .enumerate()
        .for_each(|(chunk, out)| matrix.times(vector, chunk * length, out));
}

fn dot<T: Wide>(x: &[T], y: &[T]) -> T {
    // As many sums as fill the vector registers of any machine.
    const LANES: usize = 16;
    let mut sums = [T::ZERO; LANES];
    let (x_blocks, x_rest) = x.as_chunks::<LANES>();
    let (y_blocks, y_rest) = y.as_chunks::<LANES>();
    for (x, y) in x_blocks.iter().zip(y_blocks) {
        for (sum, (x, y)) in sums.iter_mut().zip(x.iter().zip(y)) {
            *sum += *x * *y;
        }
    }
    let rest = x_rest.iter().zip(y_rest);
    let rest = rest.fold(T::ZERO, |sum, (x, y)| sum + *x * *y);
    sums.into_iter().fold(rest, |sum, part| sum + part)
}
