//! Weights in the order of the kernel, and products with them.
#![expect(unsafe_code, reason = "matrices are pointers and strides")]

use std::ops::Range;

use super::block::{Block, Panels, compute_block};
use super::kernels::{Element, Kernels};
use super::panels::{pack_panels, panel_elements};
use super::scratch::with_scratch;
use super::share::share_blocks;
use super::tile::PANEL;
use super::{Epilogue, Finish, Group, View, ViewMut};
use crate::level::Level;
use crate::pages::Pages;
use crate::pool::Pool;

/// Weights `[k, n]` in panels of 32 columns: a panel holds its columns' part of every row, row after row. The last
/// one is filled up with zeros. The same for every level.
#[derive(Clone, Debug)]
pub struct Packed {
    k: usize,
    n: usize,
    data: Pages<f32>,
}

impl Packed {
    /// Packs the weights that `source` shows.
    ///
    /// # Safety
    ///
    /// - Every element that `source` names, `[k, n]`, is valid for reading.
    pub unsafe fn pack(k: usize, n: usize, source: View<f32>) -> Self {
        let mut data = Pages::zeros(panel_elements(k, n));
        // SAFETY: the caller vouches for the elements, and there is room for every panel.
        unsafe { pack_panels(k, n, source, data.as_mut_ptr()) };
        Self { k, n, data }
    }

    /// Writes the weights back to where `target` shows them.
    ///
    /// # Safety
    ///
    /// - Every element that `target` names, `[k, n]`, is valid for writing.
    pub unsafe fn unpack(&self, target: ViewMut<f32>) {
        for (panel, elements) in self.data.chunks_exact((self.k * PANEL).max(1)).enumerate() {
            for (i, row) in elements.chunks_exact(PANEL).enumerate() {
                let columns = PANEL.min(self.n - panel * PANEL);
                for (j, element) in row[..columns].iter().enumerate() {
                    // SAFETY: inside the weights.
                    unsafe { *target.at(i, panel * PANEL + j).ptr = *element };
                }
            }
        }
    }

    /// The elements of a column.
    ///
    /// # Panics
    ///
    /// If there are not as many columns.
    pub fn column(&self, column: usize) -> Vec<f32> {
        assert!(column < self.n, "a column of the weights");
        let panel = &self.data[column / PANEL * PANEL * self.k..][..PANEL * self.k];
        panel
            .iter()
            .skip(column % PANEL)
            .step_by(PANEL)
            .copied()
            .collect()
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
        size_of_val(&*self.data)
    }

    fn panels(&self) -> Panels<f32> {
        Panels {
            ptr: self.data.as_ptr(),
            row: PANEL,
            panel: self.k * PANEL,
            filled: true,
        }
    }
}

/// # Safety
///
/// As for [`super::gemm_grouped`].
pub(super) unsafe fn gemm_grouped(
    level: Level,
    pool: &Pool,
    groups: &[Group],
    a: View<f32>,
    c: ViewMut<f32>,
    finish: Finish<'_>,
) {
    let Some(first) = groups.first() else {
        return;
    };
    let (k, n) = (first.weights.k, first.weights.n);
    let kernels = f32::kernels(level);
    let ranges: Vec<Range<usize>> = groups.iter().map(|group| group.rows.clone()).collect();
    share_blocks(
        pool,
        &ranges,
        n,
        k,
        kernels.tiles.len(),
        &|index, rows, cols| {
            let block = Block {
                m: rows.len(),
                n: cols.len(),
                k,
                a: a.at(rows.start, 0),
                b: groups[index].weights.panels(),
                first_col: cols.start,
                c: c.at(rows.start, cols.start),
                accumulate: finish.accumulate,
            };
            match finish.epilogue {
                // SAFETY: the caller vouches for the elements; blocks do not overlap.
                None => unsafe { compute_block(kernels, &block) },
                // SAFETY: as above, and the caller vouches for the epilogue.
                Some(epilogue) => unsafe {
                    with_epilogue(kernels, epilogue, rows.start, cols.start, &block);
                },
            }
        },
    );
}

/// Computes a block and calls the epilogue with it: where it lies if its columns are contiguous, or else with a copy.
///
/// # Safety
///
/// As for [`compute_block`]; and the epilogue keeps to its tile.
unsafe fn with_epilogue(
    kernels: &Kernels<f32>,
    epilogue: &Epilogue,
    first_row: usize,
    first_col: usize,
    block: &Block<f32>,
) {
    let finish = |tile: ViewMut<f32>| {
        // SAFETY: the caller vouches for the elements.
        unsafe { compute_block(kernels, &Block { c: tile, ..*block }) };
        // SAFETY: the caller vouches for the epilogue, and the tile is finished.
        unsafe {
            (epilogue.call)(
                epilogue.context,
                tile.ptr,
                tile.row,
                first_row,
                first_col,
                block.m,
                block.n,
            );
        };
    };
    if block.c.col == 1 {
        return finish(block.c);
    }
    with_scratch(block.m * block.n, |copy: *mut f32| {
        let tile = ViewMut {
            ptr: copy,
            row: block.n as isize,
            col: 1,
        };
        finish(tile);
        for i in 0..block.m {
            for j in 0..block.n {
                // SAFETY: inside the copy, which is finished.
                let value = unsafe { *tile.at(i, j).ptr };
                // SAFETY: inside the block.
                unsafe { *block.c.at(i, j).ptr = value };
            }
        }
    });
}
