//! Cutting an attention into independent items, and finishing rows.
//!
//! The queries of all points of a group, one point after the other, are the rows
//! of that group; 96 consecutive ones (fewer where features or values are long) are
//! a block. How rows are cut into blocks and keys into chunks depends on the problem
//! alone; the number of threads decides only how many blocks one item takes, and no
//! block sees its neighbors.
#![expect(
    unsafe_code,
    reason = "results and partial results are written through pointers"
)]

use super::Attention;
use super::item::Run;
use super::layout::Layout;
use super::merge::factors;
use super::score::{Segment, TILE};
use super::scratch::with_scratch;
use super::tile::{Kernels, kernels};
use crate::{Level, Routines, routines};

/// Rows of a block: 16 micro-tiles of 6; scores of a tile then take 24 KiB.
const BLOCK_ROWS: usize = 96;
/// Blocks of an item; each takes a few percent less packing than the one before.
const ITEM_BLOCKS: usize = 4;
/// Keys are cut only until there are so many items.
const ENOUGH_ITEMS: usize = 64;
/// The least number of keys in a chunk.
const CHUNK_KEYS: usize = 512;

/// An attention, and how it is cut into items.
pub(super) struct Work<'a> {
    pub(super) attention: &'a Attention<'a>,
    pub(super) kernels: &'static Kernels,
    pub(super) routines: &'static Routines,
    pub(super) group: usize,
    pub(super) groups: usize,
    pub(super) block_rows: usize,
    pub(super) group_blocks: usize,
    pub(super) item_blocks: usize,
    pub(super) chunks: usize,
    pub(super) chunk_keys: usize,
    pub(super) layout: Layout,
    pub(super) partials: Option<Partials>,
}

/// Unfinished rows of all chunks: per chunk and row the maximum, the sum and the weighted values.
pub(super) struct Partials {
    start: *mut f32,
    stride: usize,
    _memory: Vec<f32>,
}

// SAFETY: items write disjoint rows, and are read only after all of them ended.
unsafe impl Sync for Work<'_> {}

impl<'a> Work<'a> {
    pub(super) fn new(level: Level, threads: usize, attention: &'a Attention<'a>) -> Self {
        let group = attention.group.clamp(1, attention.points.len().max(1));
        let groups = attention.points.len().div_ceil(group);
        let group_rows = group * attention.queries;
        // Long features or values take fewer rows, so that a block stays in the second-level cache.
        let longest = attention.features.max(attention.values).max(1);
        let block_rows = (BLOCK_ROWS * 1024 / longest / 6 * 6)
            .clamp(6, BLOCK_ROWS)
            .min(group_rows.max(1));
        let group_blocks = group_rows.div_ceil(block_rows);
        let blocks = groups * group_blocks;
        let chunks = match blocks {
            0 => 1,
            _ => ENOUGH_ITEMS
                .div_ceil(blocks)
                .min(attention.keys / CHUNK_KEYS)
                .max(1),
        };
        let chunk_keys = attention.keys.div_ceil(chunks).next_multiple_of(TILE);
        let chunks = attention.keys.div_ceil(chunk_keys.max(1)).max(1);
        // Four items per thread balance; results do not depend on this.
        let item_blocks = (blocks * chunks / (threads.max(1) * 4)).clamp(1, ITEM_BLOCKS);
        let layout = Layout::new(attention, block_rows, item_blocks);
        let partials =
            (chunks > 1).then(|| Partials::new(groups * group_rows * chunks, attention.values));
        Self {
            attention,
            kernels: kernels(level),
            routines: routines(level),
            group,
            groups,
            block_rows,
            group_blocks,
            item_blocks,
            chunks,
            chunk_keys,
            layout,
            partials,
        }
    }

    /// Number of independent items.
    pub(super) fn items(&self) -> usize {
        self.groups * self.chunks * self.group_blocks.div_ceil(self.item_blocks)
    }

    /// Number of blocks that have to be merged after all items.
    pub(super) fn merges(&self) -> usize {
        if self.partials.is_some() {
            self.groups * self.group_blocks
        } else {
            0
        }
    }

    /// Runs one item.
    ///
    /// # Safety
    /// As [`super::attention_f32`]; each item runs once.
    pub(super) unsafe fn run(&self, item: usize) {
        let stretches = self.group_blocks.div_ceil(self.item_blocks);
        let (item, chunk) = (item / self.chunks, item % self.chunks);
        let group = item / stretches;
        // Late queries first: under a causal domain they have the most keys.
        let stretch = stretches - 1 - item % stretches;
        let first = stretch * self.item_blocks;
        let blocks = first..(first + self.item_blocks).min(self.group_blocks);
        with_scratch(self.layout.total, |scratch| {
            let mut run = Run::new(self, scratch);
            // SAFETY: handed on from the caller; the scratch has the size of the layout.
            unsafe { run.item(group, chunk, blocks) };
        });
    }

    /// Merges the chunks of one block and writes its results.
    ///
    /// # Safety
    /// As [`super::attention_f32`]; after all items, each block once.
    pub(super) unsafe fn merge(&self, block: usize) {
        let Some(partials) = &self.partials else {
            return;
        };
        let (group, block) = (block / self.group_blocks, block % self.group_blocks);
        let values = self.attention.values;
        with_scratch(values, |sum| {
            for segment in self.segments(group, block) {
                for row in segment.rows.clone() {
                    let query = segment.query + row - segment.rows.start;
                    // SAFETY: `values` floats of scratch.
                    let weighted = unsafe { core::slice::from_raw_parts_mut(sum, values) };
                    weighted.fill(0.0);
                    let (mut maximum, mut sum) = (f32::NEG_INFINITY, 0.0);
                    for chunk in 0..self.chunks {
                        // SAFETY: this row of this chunk was written by its item.
                        let part = unsafe {
                            partials.row(self.partial_row(group, block, chunk, row), values)
                        };
                        let (old, new) = factors(maximum, part[0]);
                        maximum = if maximum > part[0] { maximum } else { part[0] };
                        sum = sum * old + part[1] * new;
                        for (a, b) in weighted.iter_mut().zip(&part[2..]) {
                            *a = *a * old + b * new;
                        }
                    }
                    // SAFETY: this row is written by nobody else.
                    unsafe { self.finish(segment.point, query, maximum, sum, weighted) };
                }
            }
        });
    }

    /// The row of partial results for a row of a block.
    pub(super) fn partial_row(
        &self,
        group: usize,
        block: usize,
        chunk: usize,
        row: usize,
    ) -> usize {
        let rows = self.group * self.attention.queries;
        (chunk * self.groups + group) * rows + block * self.block_rows + row
    }

    /// Writes a finished row.
    ///
    /// # Safety
    /// As [`super::attention_f32`]; nobody else writes this row.
    pub(super) unsafe fn finish(
        &self,
        point: usize,
        query: usize,
        maximum: f32,
        sum: f32,
        weighted: &[f32],
    ) {
        let attention = self.attention;
        let point = &attention.points[point];
        let inverse = if sum == 0.0 { 0.0 } else { 1.0 / sum };
        let query = query as isize;
        let o = point.o.wrapping_offset(query * attention.o.row);
        if attention.o.element == 1 {
            // SAFETY: the result row, which lies together and nobody else uses.
            let row = unsafe { core::slice::from_raw_parts_mut(o, weighted.len()) };
            for (o, a) in row.iter_mut().zip(weighted) {
                *o = a * inverse;
            }
        } else {
            for (f, a) in weighted.iter().enumerate() {
                // SAFETY: an element of the result row.
                unsafe { *o.wrapping_offset(f as isize * attention.o.element) = a * inverse };
            }
        }
        // A row with a NaN weight has no maximum either.
        let maximum = if sum.is_nan() { sum } else { maximum };
        let statistic = query * attention.statistics;
        if !point.maximum.is_null() {
            // SAFETY: the statistic of this row.
            unsafe { *point.maximum.wrapping_offset(statistic) = maximum };
        }
        if !point.log_sum_exp.is_null() {
            let lse = if sum == 0.0 {
                f32::NEG_INFINITY
            } else {
                maximum + sum.ln()
            };
            // SAFETY: the statistic of this row.
            unsafe { *point.log_sum_exp.wrapping_offset(statistic) = lse };
        }
    }

    /// The rows of a block, by point.
    pub(super) fn segments(&self, group: usize, block: usize) -> Vec<Segment> {
        let queries = self.attention.queries;
        let points = self
            .group
            .min(self.attention.points.len() - group * self.group);
        let first = (block * self.block_rows).min(points * queries);
        let end = (first + self.block_rows).min(points * queries);
        let mut segments = Vec::new();
        let mut row = first;
        while row < end {
            let (point, query) = (row / queries, row % queries);
            let next = end.min((point + 1) * queries);
            segments.push(Segment {
                rows: row - first..next - first,
                query,
                point: group * self.group + point,
            });
            row = next;
        }
        segments
    }
}

impl Partials {
    fn new(rows: usize, values: usize) -> Self {
        let stride = values + 2;
        let mut memory = vec![0.0; rows * stride];
        Self {
            start: memory.as_mut_ptr(),
            stride,
            _memory: memory,
        }
    }

    /// # Safety
    /// The row exists and nobody writes it now.
    unsafe fn row(&self, row: usize, values: usize) -> &[f32] {
        // SAFETY: handed on from the caller.
        unsafe {
            core::slice::from_raw_parts(self.start.wrapping_add(row * self.stride), values + 2)
        }
    }

    /// # Safety
    /// The row exists and nobody else uses it now.
    #[expect(
        clippy::mut_from_ref,
        reason = "items share the memory, each writes its own rows"
    )]
    pub(super) unsafe fn row_mut(&self, row: usize, values: usize) -> &mut [f32] {
        // SAFETY: handed on from the caller.
        unsafe {
            core::slice::from_raw_parts_mut(self.start.wrapping_add(row * self.stride), values + 2)
        }
    }
}
