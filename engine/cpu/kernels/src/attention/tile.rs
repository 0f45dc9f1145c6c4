//! Arithmetic on one tile: products, online softmax, packing of keys.
//!
//! Written once over [`TileLanes`] and instantiated per CPU level in [`kernels`].
//! Nothing here knows points, masks or threads. Scratch operands are padded:
//! where a comment says so, a kernel reads and writes up to the next multiple
//! of [`STRIP`]; the caller's own memory is touched exactly where it is named.
#![expect(unsafe_code, reason = "tile kernels read and write through pointers")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "a kernel body stands under the one obligation of its operand struct"
)]

use super::lanes::{Plain, TileLanes};
use crate::Level;
#[cfg(target_arch = "x86_64")]
use crate::lanes::{Avx2F32, Avx512F32};

/// Columns are padded to multiples of this: the widest vector.
pub(super) const STRIP: usize = 16;

/// `C[rows, columns] = A[rows, depth] · B[depth, columns] (+ factor[row] · C)`.
///
/// All three have unit element stride; `columns` is a multiple of [`STRIP`].
pub(super) struct Product {
    pub(super) a: *const f32,
    pub(super) a_stride: usize,
    pub(super) b: *const f32,
    pub(super) b_stride: isize,
    pub(super) c: *mut f32,
    pub(super) c_stride: usize,
    /// One number per row, or null: then C is written without being read.
    pub(super) factor: *const f32,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) depth: usize,
}

/// `S[row, key] = Σ q[row, e] · k[key, e]` for at most [`FEW_ROWS`] rows: keys are
/// read as they lie (unit element stride), without packing.
pub(super) struct FewScores {
    pub(super) q: *const f32,
    pub(super) q_stride: usize,
    pub(super) k: *const f32,
    pub(super) k_stride: isize,
    pub(super) scores: *mut f32,
    pub(super) scores_stride: usize,
    pub(super) rows: usize,
    pub(super) keys: usize,
    pub(super) depth: usize,
}

/// Above this number of rows, packing the keys pays.
pub(super) const FEW_ROWS: usize = 4;

/// Turns scores into weights `exp(score − maximum)` and carries the row statistics on.
pub(super) struct Soften {
    pub(super) scores: *mut f32,
    pub(super) stride: usize,
    pub(super) rows: usize,
    /// A multiple of [`STRIP`]; what is not a key holds −∞.
    pub(super) columns: usize,
    /// Running maximum, one per row; readable up to a multiple of [`STRIP`] rows.
    pub(super) maximum: *mut f32,
    /// Running sum of weights, [`STRIP`] partial sums per row.
    pub(super) sum: *mut f32,
    /// Result: by what the sums and values so far were scaled; padded like `maximum`.
    pub(super) factor: *mut f32,
}

/// `panel[e, key] = keys[key, e]` with row stride `width`.
pub(super) struct Transpose {
    pub(super) keys: *const f32,
    pub(super) stride: isize,
    pub(super) count: usize,
    pub(super) depth: usize,
    pub(super) panel: *mut f32,
    pub(super) width: usize,
}

/// The tile kernels of one CPU level.
///
/// # Safety
/// Of every entry: the CPU has the level; the operand struct describes memory
/// that is valid for what its fields say, outputs overlapping no other operand.
pub(super) struct Kernels {
    pub(super) product: unsafe fn(&Product),
    pub(super) few_scores: unsafe fn(&FewScores),
    pub(super) soften: unsafe fn(&Soften),
    pub(super) transpose: unsafe fn(&Transpose),
}

/// The kernels of `level`; of the baseline where this architecture has no such level.
pub(super) fn kernels(level: Level) -> &'static Kernels {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Amx => &avx512::KERNELS,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => &avx2::KERNELS,
        _ => &plain::KERNELS,
    }
}

macro_rules! instantiate {
    ($name:ident, $lanes:ty $(, $features:literal)?) => {
        mod $name {
            use super::*;

            pub(super) static KERNELS: Kernels = Kernels { product, few_scores, soften, transpose };

            $(#[target_feature(enable = $features)])?
            unsafe fn product(p: &Product) {
                // SAFETY: handed on from the caller.
                unsafe { product_of::<$lanes>(p) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn few_scores(p: &FewScores) {
                // SAFETY: handed on from the caller.
                unsafe { few_scores_of::<$lanes>(p) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn soften(p: &Soften) {
                // SAFETY: handed on from the caller.
                unsafe { soften_of::<$lanes>(p) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn transpose(p: &Transpose) {
                // SAFETY: handed on from the caller.
                unsafe { transpose_of::<$lanes>(p) }
            }
        }
    };
}

instantiate!(plain, Plain);
#[cfg(target_arch = "x86_64")]
instantiate!(avx2, Avx2F32, "avx2,fma");
#[cfg(target_arch = "x86_64")]
instantiate!(avx512, Avx512F32, "avx512f,avx2,fma");

/// # Safety
/// As [`Kernels`].
#[inline(always)]
unsafe fn product_of<V: TileLanes>(p: &Product) {
    let step = V::COUNT * V::VECTORS;
    let mut column = 0;
    while column < p.columns {
        let vectors = ((p.columns - column) / V::COUNT).min(V::VECTORS);
        let mut row = 0;
        while row < p.rows {
            let rows = (p.rows - row).min(V::ROWS);
            // SAFETY: the micro-tile at (row, column) lies inside the product.
            unsafe {
                match (vectors, rows) {
                    (4, 6) => micro::<V, 6, 4>(p, row, column),
                    (4, r) => ragged::<V, 4>(p, row, column, r),
                    (3, r) => ragged::<V, 3>(p, row, column, r),
                    (2, r) => ragged::<V, 2>(p, row, column, r),
                    (_, r) => ragged::<V, 1>(p, row, column, r),
                }
            }
            row += rows;
        }
        column += step;
    }
}

/// # Safety
/// As [`Kernels`]; `rows` is 1 to 6.
#[inline(always)]
unsafe fn ragged<V: TileLanes, const N: usize>(
    p: &Product,
    row: usize,
    column: usize,
    rows: usize,
) {
    if N > V::VECTORS {
        return;
    }
    // SAFETY: handed on from the caller.
    unsafe {
        match rows {
            1 => micro::<V, 1, N>(p, row, column),
            2 => micro::<V, 2, N>(p, row, column),
            3 => micro::<V, 3, N>(p, row, column),
            4 => micro::<V, 4, N>(p, row, column),
            5 => micro::<V, 5, N>(p, row, column),
            _ => micro::<V, 6, N>(p, row, column),
        }
    }
}

/// # Safety
/// As [`Kernels`]; `R` rows and `N` vectors from (row, column) lie inside the product.
#[inline(always)]
unsafe fn micro<V: TileLanes, const R: usize, const N: usize>(
    p: &Product,
    row: usize,
    column: usize,
) {
    // SAFETY: see above; every address is inside the micro-tile or its operands' rows.
    unsafe {
        let c = p.c.add(row * p.c_stride + column);
        let mut sum = [[V::splat(0.0); N]; R];
        if !p.factor.is_null() {
            for (r, sums) in sum.iter_mut().enumerate() {
                let factor = V::splat(*p.factor.add(row + r));
                for (n, s) in sums.iter_mut().enumerate() {
                    *s = V::mul(V::load(c.add(r * p.c_stride + n * V::COUNT)), factor);
                }
            }
        }
        let a: [*const f32; R] = core::array::from_fn(|r| p.a.add((row + r) * p.a_stride));
        let mut b = p.b.add(column);
        for k in 0..p.depth {
            let line: [V::Vector; N] = core::array::from_fn(|n| V::load(b.add(n * V::COUNT)));
            for (sums, a) in sum.iter_mut().zip(&a) {
                let x = V::splat(*a.add(k));
                for (s, v) in sums.iter_mut().zip(&line) {
                    *s = V::mul_add(x, *v, *s);
                }
            }
            b = b.wrapping_offset(p.b_stride);
        }
        for (r, sums) in sum.iter().enumerate() {
            for (n, s) in sums.iter().enumerate() {
                V::store(c.add(r * p.c_stride + n * V::COUNT), *s);
            }
        }
    }
}

/// # Safety
/// As [`Kernels`].
#[inline(always)]
unsafe fn few_scores_of<V: TileLanes>(p: &FewScores) {
    // SAFETY: handed on from the caller.
    unsafe {
        match p.rows {
            0 => {}
            1 => few::<V, 1>(p),
            2 => few::<V, 2>(p),
            3 => few::<V, 3>(p),
            _ => few::<V, FEW_ROWS>(p),
        }
    }
}

/// # Safety
/// As [`Kernels`]; `R` is `p.rows`.
#[inline(always)]
unsafe fn few<V: TileLanes, const R: usize>(p: &FewScores) {
    let whole = p.depth - p.depth % V::COUNT;
    for key in 0..p.keys {
        // SAFETY: `key` is below the number of keys, `e` below the depth.
        unsafe {
            let k = p.k.offset(key as isize * p.k_stride);
            let mut sum = [V::splat(0.0); R];
            let mut e = 0;
            while e < whole {
                let line = V::load(k.add(e));
                for (r, s) in sum.iter_mut().enumerate() {
                    *s = V::mul_add(line, V::load(p.q.add(r * p.q_stride + e)), *s);
                }
                e += V::COUNT;
            }
            for (r, s) in sum.iter().enumerate() {
                let mut score = V::total(*s);
                for e in whole..p.depth {
                    score += *k.add(e) * *p.q.add(r * p.q_stride + e);
                }
                *p.scores.add(r * p.scores_stride + key) = score;
            }
        }
    }
}

/// # Safety
/// As [`Kernels`].
#[inline(always)]
unsafe fn soften_of<V: TileLanes>(p: &Soften) {
    // SAFETY: rows and columns stay below the counts of the operand struct.
    unsafe {
        // The new maximum; `factor` keeps the old one for the next loop.
        for row in 0..p.rows {
            let scores = p.scores.add(row * p.stride).cast_const();
            let mut top = V::load(scores);
            let mut column = V::COUNT;
            while column < p.columns {
                top = V::larger(top, V::load(scores.add(column)));
                column += V::COUNT;
            }
            let old = *p.maximum.add(row);
            let top = V::largest(top);
            *p.factor.add(row) = old;
            *p.maximum.add(row) = if old > top { old } else { top };
        }
        // A row without a key so far: −∞ minus this stays −∞, and exp gives 0.
        let lowest = V::splat(f32::MIN);
        let mut row = 0;
        while row < p.rows {
            let old = V::load(p.factor.add(row).cast_const());
            let new = V::load(p.maximum.add(row).cast_const());
            V::store(
                p.factor.add(row),
                V::exp(V::sub(old, V::larger(lowest, new))),
            );
            row += V::COUNT;
        }
        for row in 0..p.rows {
            let scores = p.scores.add(row * p.stride);
            let maximum = V::larger(lowest, V::splat(*p.maximum.add(row)));
            let factor = V::splat(*p.factor.add(row));
            let mut lane = 0;
            while lane < STRIP {
                let sum = p.sum.add(row * STRIP + lane);
                let mut total = V::mul(V::load(sum.cast_const()), factor);
                let mut column = lane;
                while column < p.columns {
                    let weight = V::exp(V::sub(V::load(scores.add(column).cast_const()), maximum));
                    V::store(scores.add(column), weight);
                    total = V::add(total, weight);
                    column += STRIP;
                }
                V::store(sum, total);
                lane += V::COUNT;
            }
        }
    }
}

/// # Safety
/// As [`Kernels`].
#[inline(always)]
unsafe fn transpose_of<V: TileLanes>(p: &Transpose) {
    let whole_keys = p.count - p.count % V::COUNT;
    let whole_depth = p.depth - p.depth % V::COUNT;
    // SAFETY: keys stay below the count and elements below the depth; columns of
    // the panel stay below `width`, which is at least the padded count.
    unsafe {
        let mut key = 0;
        while key < whole_keys {
            let keys = p.keys.offset(key as isize * p.stride);
            let mut e = 0;
            while e < whole_depth {
                V::transpose(
                    keys.add(e),
                    p.stride,
                    p.panel.add(e * p.width + key),
                    p.width,
                );
                e += V::COUNT;
            }
            key += V::COUNT;
        }
        for key in 0..p.count {
            let keys = p.keys.offset(key as isize * p.stride);
            let first = if key < whole_keys { whole_depth } else { 0 };
            for e in first..p.depth {
                *p.panel.add(e * p.width + key) = *keys.add(e);
            }
        }
        // Columns without a key give the score 0, which is overwritten later.
        for e in 0..p.depth {
            for key in p.count..p.count.next_multiple_of(STRIP) {
                *p.panel.add(e * p.width + key) = 0.0;
            }
        }
    }
}
