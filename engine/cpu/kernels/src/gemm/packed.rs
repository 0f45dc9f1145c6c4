//! Weights in the order of the kernel, and products with them.
#![expect(unsafe_code, reason = "matrices are pointers and strides")]

use super::{Epilogue, Group, View, ViewMut};
use crate::level::Level;
use crate::pool::Pool;

/// Columns that lie together.
pub(super) const PANEL: usize = 32;

/// Weights `[k, n]` in panels of 32 columns: a panel holds its columns' part of every row, row after row. The last
/// one is filled up with zeros. The same for every level.
#[derive(Clone, Debug)]
pub struct Packed {
    k: usize,
    n: usize,
    data: Vec<f32>,
}

impl Packed {
    /// Packs the weights that `source` shows.
    ///
    /// # Safety
    ///
    /// - Every element that `source` names, `[k, n]`, is valid for reading.
    pub unsafe fn pack(k: usize, n: usize, source: View<f32>) -> Self {
        let panels = n.div_ceil(PANEL);
        let mut data = vec![0.0; panels * k * PANEL];
        for panel in 0..panels {
            let first = panel * PANEL;
            for row in 0..k {
                let to = (panel * k + row) * PANEL;
                for col in first..n.min(first + PANEL) {
                    // SAFETY: the caller vouches for every element.
                    data[to + col - first] = unsafe { *source.at(row, col).ptr };
                }
            }
        }
        Self { k, n, data }
    }

    /// Rows.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Columns.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Memory it takes.
    pub fn bytes(&self) -> usize {
        size_of_val(self.data.as_slice())
    }
}

/// # Safety
///
/// As for [`super::gemm_grouped`].
pub(super) unsafe fn gemm_grouped(
    _level: Level,
    pool: &Pool,
    groups: &[Group],
    a: View<f32>,
    c: ViewMut<f32>,
    epilogue: Option<&Epilogue>,
) {
    for group in groups {
        let b = group.weights;
        pool.run(group.rows.len(), &|item, _| {
            let i = group.rows.start + item;
            let mut row = vec![0.0_f32; b.n];
            for (j, sum) in row.iter_mut().enumerate() {
                for depth in 0..b.k {
                    // SAFETY: the caller vouches for every element.
                    let left = unsafe { *a.at(i, depth).ptr };
                    *sum += left * b.data[(j / PANEL * b.k + depth) * PANEL + j % PANEL];
                }
            }
            if let Some(epilogue) = epilogue {
                // SAFETY: the tile is `row`.
                unsafe {
                    (epilogue.call)(
                        epilogue.context,
                        row.as_mut_ptr(),
                        b.n as isize,
                        i,
                        0,
                        1,
                        b.n,
                    );
                }
            }
            for (j, &sum) in row.iter().enumerate() {
                // SAFETY: the caller vouches for every element.
                unsafe { *c.at(i, j).ptr = sum };
            }
        });
    }
}
