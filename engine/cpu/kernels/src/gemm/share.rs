//! How the blocks of a product are shared between threads.
//!
//! Blocks are cut by rows and columns of `C` only, never along `k`: whoever computes a block, its bits are the same.

use std::ops::Range;

use super::block;
use super::tile::PANEL;
use crate::pool::Pool;

/// Multiply-adds that are not worth a second thread: some microseconds.
const SMALL: usize = 1 << 16;

/// Columns of a block: with [`block::ROWS`] rows it is 288 KiB of f32 and stays in the second-level cache.
const COLS: usize = 512;

/// Columns that a thread gets at least where there are few rows: as many as the widest tile has.
pub(super) const GRAIN: usize = 128;

/// Calls `body(rows, columns)` for blocks that cover the rows of every range and `n` columns. `height` is that of the
/// highest tile; blocks of columns begin with panels.
pub(super) fn share_blocks(
    pool: &Pool,
    ranges: &[Range<usize>],
    n: usize,
    k: usize,
    height: usize,
    body: &(dyn Fn(usize, Range<usize>, Range<usize>) + Sync),
) {
    let mut row_blocks = Vec::with_capacity(ranges.len());
    for (index, range) in ranges.iter().enumerate() {
        let blocks = range.len().div_ceil(block::ROWS).max(1);
        // Blocks of nearly equal height, made of whole strips.
        let size = range.len().div_ceil(blocks).next_multiple_of(height).max(1);
        for from in range.clone().step_by(size) {
            row_blocks.push((index, from..range.end.min(from + size)));
        }
    }
    let in_columns = |index: usize, rows: &Range<usize>, cols: Range<usize>| {
        for from in cols.clone().step_by(COLS) {
            body(index, rows.clone(), from..cols.end.min(from + COLS));
        }
    };
    let row_count: usize = ranges.iter().map(ExactSizeIterator::len).sum();
    let work = row_count.saturating_mul(n).saturating_mul(k);
    if work <= SMALL {
        pool.run(1, &|_, _| {
            for (index, rows) in &row_blocks {
                in_columns(*index, rows, 0..n);
            }
        });
    } else if let [(index, rows)] = row_blocks.as_slice() {
        // Equal ranges for equal threads, so that a thread's part of the weights may still be in its cache.
        let grain = if rows.len() > height { PANEL } else { GRAIN };
        let share = n.div_ceil(pool.threads()).next_multiple_of(PANEL);
        pool.split(n, grain.min(share), &|cols, _| {
            in_columns(*index, rows, cols);
        });
    } else {
        // Three items for each thread even out their differences.
        let wanted = (3 * pool.threads()).div_ceil(row_blocks.len().max(1));
        let cols = n
            .div_ceil(wanted)
            .next_multiple_of(2 * PANEL)
            .clamp(PANEL, COLS);
        let col_blocks = n.div_ceil(cols);
        pool.run(row_blocks.len() * col_blocks, &|item, _| {
            // Neighbors read the same columns of `B`.
            let (index, rows) = &row_blocks[item % row_blocks.len()];
            let from = item / row_blocks.len() * cols;
            body(*index, rows.clone(), from..n.min(from + cols));
        });
    }
}
