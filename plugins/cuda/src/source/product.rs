//! Which contractions a library multiplies.
//!
//! Those whose factors and result have at most one direction each for rows, columns, sums and
//! batches, once neighbors are one; a second direction of rows or columns is a batch where there is
//! none. Whether elements lie together as a library needs them is known with the sizes.

use girih_graph::{DType, Extent};
use girih_plan::plan::BufferId;

use super::contract;
use super::lines::Line;

/// A product for a library, as formulas over sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// Of both factors.
    pub factors: DType,
    /// Of the result.
    pub result: DType,
    /// Products of matrices.
    pub batches: Extent,
    /// Rows of the left factor and of the result.
    pub rows: Extent,
    /// Columns of the right factor and of the result.
    pub columns: Extent,
    /// Terms of a sum.
    pub inner: Extent,
    /// The left factor.
    pub left: Matrix,
    /// The right factor.
    pub right: Matrix,
    /// The result.
    pub out: Matrix,
}

/// Where a matrix lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// In what.
    pub buffer: BufferId,
    /// Its first element.
    pub offset: Extent,
    /// Elements from a row to the next one.
    pub row: Extent,
    /// Elements from a column to the next one.
    pub column: Extent,
    /// Elements from a batch to the next one.
    pub batch: Extent,
}

/// Rows or columns that are few: generated code has a way of its own for them.
pub const FEW: u64 = contract::FEW;

/// Multiplications of a matrix that are worth a call: a tile of the generated code.
pub const LEAST: u64 = (contract::TILE * contract::TILE * contract::DEPTH) as u64;

/// What a contraction is for a library, if it is anything.
pub(super) fn of(product: &contract::Product<'_>) -> Option<Product> {
    let contract::Product {
        tensors,
        factors,
        dtype,
        batch,
        rows,
        columns,
        inner,
    } = product;
    let outer = [rows, columns].into_iter();
    let outer = outer.flat_map(|lines| lines.iter().rev().skip(1));
    let mut batches = batch.iter().chain(outer);
    let (batch, row, column, term) = (batches.next(), rows.last(), columns.last(), inner.last());
    if batches.next().is_some() || inner.len() > 1 {
        return None;
    }
    let extent =
        |line: Option<&Line>| line.map_or_else(|| Extent::constant(1), |own| own.extent.clone());
    let matrix = |tensor: usize, row: Option<&Line>, column: Option<&Line>| {
        let step = |line: Option<&Line>| {
            line.map_or_else(|| Extent::constant(0), |own| own.steps[tensor].clone())
        };
        Matrix {
            buffer: tensors[tensor].buffer,
            offset: tensors[tensor].offset.clone(),
            row: step(row),
            column: step(column),
            batch: step(batch),
        }
    };
    Some(Product {
        factors: *factors,
        result: *dtype,
        batches: extent(batch),
        rows: extent(row),
        columns: extent(column),
        inner: extent(term),
        left: matrix(contract::LEFT, row, term),
        right: matrix(contract::RIGHT, term, column),
        out: matrix(contract::OUT, row, column),
    })
}
