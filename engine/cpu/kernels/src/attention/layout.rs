//! Where an item keeps its numbers in the scratch memory of its thread.
//!
//! Offsets are in floats. Rows of queries and of weighted values are padded to
//! whole vectors; nothing depends on the number of keys.

use super::Attention;
use super::score::TILE;
use super::stored::Stretch;
use super::tile::STRIP;

/// Where things are in the scratch memory of an item, in floats.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// Row stride of the queries in a block.
    pub(super) q_stride: usize,
    /// Row stride of weighted values in a block, and of copied values.
    pub(super) o_stride: usize,
    /// Of one block.
    pub(super) block: BlockLayout,
    pub(super) scores: usize,
    pub(super) keys: usize,
    pub(super) panel: usize,
    pub(super) values: usize,
    pub(super) total: usize,
}

/// Where things are in the memory of one block, in floats.
#[derive(Clone, Copy)]
pub(super) struct BlockLayout {
    pub(super) weighted: usize,
    pub(super) sum: usize,
    pub(super) maximum: usize,
    pub(super) factor: usize,
    pub(super) total: usize,
}

impl Layout {
    /// For items of `item_blocks` blocks of `block_rows` rows.
    pub(super) fn new(attention: &Attention, block_rows: usize, item_blocks: usize) -> Self {
        let q_stride = attention.features.next_multiple_of(STRIP);
        let o_stride = attention.values.next_multiple_of(STRIP);
        let padded_rows = block_rows + STRIP;
        let weighted = block_rows * q_stride;
        let sum = weighted + block_rows * o_stride;
        let maximum = sum + block_rows * STRIP;
        let factor = maximum + padded_rows;
        let block = BlockLayout {
            weighted,
            sum,
            maximum,
            factor,
            total: factor + padded_rows,
        };
        let scores = item_blocks * block.total;
        let keys = scores + block_rows * TILE;
        let unpacked = if Stretch::of_keys(attention, 0).plain() {
            0
        } else {
            TILE * q_stride
        };
        let panel = keys + unpacked;
        let values = panel + TILE * q_stride;
        Self {
            q_stride,
            o_stride,
            block,
            scores,
            keys,
            panel,
            values,
            total: values + TILE * o_stride,
        }
    }
}
