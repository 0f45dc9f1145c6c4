//! Products of matrices: `C = A B` or `C += A B`, for any strides.
//!
//! Three entrances: [`gemm_f32`] and [`gemm_f64`] take two matrices as they lie, [`gemm_packed`] takes weights that
//! were brought into the order of the kernel once ([`Packed`]), and [`gemm_grouped`] gives row ranges of one matrix
//! to weights of their own, as a mixture of experts does. What is finished while it lies in the cache can be worked
//! on there by an [`Epilogue`].
//!
//! Work is shared by rows and columns of `C` only, and an element's sum runs over `k` in an order that depends on
//! the shape and the level alone: the number of threads changes no bit of a result. Nothing is skipped: `0 * inf` is
//! NaN. Nothing outside the elements that the views name is read or written.
#![expect(unsafe_code, reason = "matrices are pointers and strides")]

pub(crate) mod block;
mod dots;
pub(crate) mod kernels;
mod packed;
mod panels;
mod product;
mod row;
pub(crate) mod scratch;
mod share;
mod strip;
pub(crate) mod tile;

use std::ffi::c_void;
use std::ops::Range;

use crate::level::Level;
use crate::pool::Pool;
pub use packed::Packed;

/// A matrix to read: element `(i, j)` is at `ptr + i * row + j * col`, in elements. Any strides, also 0 and negative.
#[derive(Clone, Copy, Debug)]
pub struct View<T> {
    /// Element `(0, 0)`.
    pub ptr: *const T,
    /// From a row to the next.
    pub row: isize,
    /// From a column to the next.
    pub col: isize,
}

/// A matrix to write, as [`View`]; no two elements share a place.
#[derive(Clone, Copy, Debug)]
pub struct ViewMut<T> {
    /// Element `(0, 0)`.
    pub ptr: *mut T,
    /// From a row to the next.
    pub row: isize,
    /// From a column to the next.
    pub col: isize,
}

// SAFETY: a view is an address; what is done with it is vouched for where it is used.
unsafe impl<T: Sync> Send for View<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for View<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for ViewMut<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for ViewMut<T> {}

impl<T> View<T> {
    /// The same elements with rows and columns exchanged.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            ptr: self.ptr,
            row: self.col,
            col: self.row,
        }
    }

    /// The matrix that begins at row `i` and column `j`.
    pub(crate) fn at(self, i: usize, j: usize) -> Self {
        let offset = i as isize * self.row + j as isize * self.col;
        Self {
            ptr: self.ptr.wrapping_offset(offset),
            ..self
        }
    }
}

impl<T> ViewMut<T> {
    /// The same elements with rows and columns exchanged.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            ptr: self.ptr,
            row: self.col,
            col: self.row,
        }
    }

    /// The matrix that begins at row `i` and column `j`.
    pub(crate) fn at(self, i: usize, j: usize) -> Self {
        let offset = i as isize * self.row + j as isize * self.col;
        Self {
            ptr: self.ptr.wrapping_offset(offset),
            ..self
        }
    }
}

/// One product, or a batch of products of one shape: `C[m, n] = A[m, k] B[k, n]`.
#[derive(Clone, Copy, Debug)]
pub struct Gemm<T> {
    /// Rows of `A` and `C`.
    pub m: usize,
    /// Columns of `B` and `C`.
    pub n: usize,
    /// Columns of `A`, rows of `B`. With 0, every sum is 0.
    pub k: usize,
    /// `A`, `[m, k]`.
    pub a: View<T>,
    /// `B`, `[k, n]`.
    pub b: View<T>,
    /// `C`, `[m, n]`.
    pub c: ViewMut<T>,
    /// Adds to what is in `C` instead of replacing it.
    pub accumulate: bool,
    /// How many products.
    pub batch: usize,
    /// From the `A` of a product to that of the next, in elements; 0 shares it.
    pub batch_a: isize,
    /// From the `B` of a product to that of the next, in elements; 0 shares it.
    pub batch_b: isize,
    /// From the `C` of a product to that of the next, in elements.
    pub batch_c: isize,
}

/// What is done with finished elements of `C` while they are in the cache.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue {
    /// Given back to `call`.
    pub context: *mut c_void,
    /// `call(context, tile, ld, first_row, first_col, rows, cols)`: element `(i, j)` of the tile is at
    /// `tile + i * ld + j` and is element `(first_row + i, first_col + j)` of `C`. May change the tile's elements.
    /// Every element of `C` is in one tile. Runs on any thread of the pool, several at a time; must not unwind.
    pub call: EpilogueCall,
}

/// See [`Epilogue::call`].
pub type EpilogueCall = unsafe extern "C" fn(
    context: *mut c_void,
    tile: *mut f32,
    ld: isize,
    first_row: usize,
    first_col: usize,
    rows: usize,
    cols: usize,
);

// SAFETY: whoever makes an epilogue vouches that `call` may run on any thread with this context.
unsafe impl Send for Epilogue {}
// SAFETY: as above.
unsafe impl Sync for Epilogue {}

/// What becomes of finished sums. By default they replace what is in `C`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Finish<'a> {
    /// Adds to what is in `C` instead of replacing it.
    pub accumulate: bool,
    /// What is done with the elements of `C` then.
    pub epilogue: Option<&'a Epilogue>,
}

impl<'a> Finish<'a> {
    /// Sums replace what is in `C` and are worked on.
    #[must_use]
    pub fn with(epilogue: &'a Epilogue) -> Self {
        Self {
            accumulate: false,
            epilogue: Some(epilogue),
        }
    }
}

/// Rows of `A` and `C` that have weights of their own.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// Rows of `A` and `C`. Ranges of one call do not overlap.
    pub rows: Range<usize>,
    /// Their `B`. All groups of one call have the same `k` and `n`.
    pub weights: &'a Packed,
}

/// `C = A B` or `C += A B` in f32.
///
/// # Safety
///
/// - The machine runs `level`.
/// - Every element that the views name is valid for reading, those of `C` for writing; nobody else writes any of them
///   during the call.
/// - Elements of `C` share no place with each other or with `A` and `B`, over the whole batch.
pub unsafe fn gemm_f32(level: Level, pool: &Pool, gemm: &Gemm<f32>) {
    // SAFETY: the obligations are the same.
    unsafe { product::multiply(level, pool, gemm) };
}

/// As [`gemm_f32`], in f64.
///
/// # Safety
///
/// As for [`gemm_f32`].
pub unsafe fn gemm_f64(level: Level, pool: &Pool, gemm: &Gemm<f64>) {
    // SAFETY: the obligations are the same.
    unsafe { product::multiply(level, pool, gemm) };
}

/// `C[m, n] = A[m, k] B[k, n]` with packed `B`, or as `finish` says; `k` and `n` are those of `b`.
///
/// A row of `C` has the same bits whatever `m` is: one row at a time gives what all rows at once give.
///
/// # Safety
///
/// As for [`gemm_f32`]; and the epilogue keeps to the tiles it is given.
pub unsafe fn gemm_packed(
    level: Level,
    pool: &Pool,
    m: usize,
    a: View<f32>,
    b: &Packed,
    c: ViewMut<f32>,
    finish: Finish<'_>,
) {
    let group = Group {
        rows: 0..m,
        weights: b,
    };
    // SAFETY: the obligations are the same.
    unsafe { gemm_grouped(level, pool, &[group], a, c, finish) };
}

/// `C[r, :] = A[r, :] B_g` for the rows `r` of every group `g`; other rows are left alone.
///
/// # Safety
///
/// As for [`gemm_packed`].
///
/// # Panics
///
/// If the weights of two groups differ in `k` or `n`.
pub unsafe fn gemm_grouped(
    level: Level,
    pool: &Pool,
    groups: &[Group],
    a: View<f32>,
    c: ViewMut<f32>,
    finish: Finish<'_>,
) {
    for pair in groups.windows(2) {
        let shape = |group: &Group| (group.weights.k(), group.weights.n());
        assert_eq!(
            shape(&pair[0]),
            shape(&pair[1]),
            "groups of one call have weights of one shape"
        );
    }
    // SAFETY: the obligations are the same.
    unsafe { packed::gemm_grouped(level, pool, groups, a, c, finish) };
}

#[cfg(test)]
mod tests;
