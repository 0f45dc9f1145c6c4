//! Running one item: a few blocks of query rows against a chunk of keys, tile by tile.
//!
//! Each tile of keys and values is prepared once for the blocks of the item, and not
//! at all where every block skips it.
#![expect(unsafe_code, reason = "operands are pointers")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "addresses inside scratch memory stand under one obligation: the layout"
)]

use core::ops::Range;
use core::ptr::null;

use super::layout::BlockLayout;
use super::score::{Piece, SPAN, Segment, TILE, TileKind, classify_span, cut_tile};
use super::stored::{Stored, Stretch};
use super::tile::{FEW_ROWS, FewScores, Product, STRIP, Soften, Transpose};
use super::work::Work;

/// Values farther apart than this (bytes) are copied together: rows at large powers
/// of two share few sets of the first-level cache.
const FAR_VALUES: usize = 1024;

/// One item while it runs.
pub(super) struct Run<'a> {
    work: &'a Work<'a>,
    scratch: *mut f32,
    pieces: Vec<Piece>,
}

/// A block while its item runs.
struct Block {
    rows: usize,
    segments: Vec<Segment>,
    memory: *mut f32,
    kinds: [TileKind; SPAN],
}

/// A tile's keys and values, ready for the products.
struct Tile {
    keys: Range<usize>,
    /// Rows of keys with unit element stride.
    k: *const f32,
    k_stride: isize,
    /// Rows of values with unit element stride, readable to a multiple of [`STRIP`].
    v: *const f32,
    v_stride: isize,
    /// Whether the panel of transposed keys is filled.
    packed: bool,
}

impl<'a> Run<'a> {
    /// `scratch` has the size of the layout.
    pub(super) fn new(work: &'a Work<'a>, scratch: *mut f32) -> Self {
        Self {
            work,
            scratch,
            pieces: Vec::new(),
        }
    }

    /// # Safety
    /// As [`Work::run`]; the scratch has the size of the layout.
    /// Runs it.
    ///
    pub(super) unsafe fn item(&mut self, group: usize, chunk: usize, blocks: Range<usize>) {
        let work = self.work;
        let layout = &work.layout;
        let keys =
            chunk * work.chunk_keys..((chunk + 1) * work.chunk_keys).min(work.attention.keys);
        let mut running = Vec::with_capacity(blocks.len());
        for (index, block) in blocks.clone().enumerate() {
            let segments = work.segments(group, block);
            let rows = segments.last().map_or(0, |last| last.rows.end);
            // SAFETY: the layout has room for this many blocks.
            let memory = unsafe { self.scratch.add(index * layout.block.total) };
            let block = Block {
                rows,
                segments,
                memory,
                kinds: [TileKind::Skip; SPAN],
            };
            // SAFETY: handed on from the caller.
            unsafe { self.begin(&block) };
            running.push(block);
        }
        let rows = running.iter().map(|block| block.rows).sum();
        let mut start = keys.start;
        while start < keys.end {
            let span = start..(start + SPAN * TILE).min(keys.end);
            let tiles = span.len().div_ceil(TILE);
            for block in &mut running {
                let kinds = &mut block.kinds[..tiles];
                // SAFETY: handed on from the caller.
                unsafe { classify_span(&work.attention.score, &block.segments, &span, kinds) };
            }
            for index in 0..tiles {
                if running
                    .iter()
                    .all(|block| block.kinds[index] == TileKind::Skip)
                {
                    continue;
                }
                let from = span.start + index * TILE;
                // SAFETY: handed on from the caller.
                let mut tile =
                    unsafe { self.prepare(group, from..(from + TILE).min(span.end), rows) };
                for block in &running {
                    if block.kinds[index] != TileKind::Skip {
                        // SAFETY: handed on from the caller.
                        unsafe { self.tile(block, &mut tile, block.kinds[index]) };
                    }
                }
            }
            start = span.end;
        }
        for (index, block) in blocks.enumerate() {
            // SAFETY: handed on from the caller.
            unsafe { self.end(&running[index], group, block, chunk) };
        }
    }

    /// Copies the queries of a block and clears its statistics.
    ///
    /// # Safety
    /// As [`Run::item`].
    unsafe fn begin(&self, block: &Block) {
        let attention = self.work.attention;
        let layout = &self.work.layout;
        for segment in &block.segments {
            let q = attention.points[segment.point]
                .q
                .wrapping_offset(segment.query as isize * attention.q.row);
            let q = Stretch {
                start: q.cast(),
                stored: Stored::F32,
                row: attention.q.row,
                element: attention.q.element,
            };
            // SAFETY: the rows of the segment are queries of the point, and rows of the block.
            unsafe {
                let to = block.memory.add(segment.rows.start * layout.q_stride);
                q.copy(
                    self.work.routines,
                    0,
                    segment.rows.len(),
                    attention.features,
                    to,
                    layout.q_stride,
                );
            }
        }
        let BlockLayout {
            weighted,
            maximum,
            total,
            ..
        } = layout.block;
        // SAFETY: the memory of a block, initialized.
        let memory = unsafe { core::slice::from_raw_parts_mut(block.memory, total) };
        if (attention.scale - 1.0).abs() > 0.0 || attention.scale.is_nan() {
            for q in &mut memory[..block.rows * layout.q_stride] {
                *q *= attention.scale;
            }
        }
        memory[weighted..].fill(0.0);
        memory[maximum..layout.block.factor].fill(f32::NEG_INFINITY);
    }

    /// # Safety
    /// As [`Run::item`]; the keys are keys of the problem.
    unsafe fn prepare(&self, group: usize, keys: Range<usize>, rows: usize) -> Tile {
        let attention = self.work.attention;
        let layout = &self.work.layout;
        let point = group * self.work.group;
        let mut tile = Tile {
            keys,
            k: null(),
            k_stride: 0,
            v: null(),
            v_stride: 0,
            packed: false,
        };
        let (first, count) = (tile.keys.start, tile.keys.len());
        let k = Stretch::of_keys(attention, point);
        (tile.k, tile.k_stride) = if k.plain() {
            (k.at(first).cast(), k.row)
        } else {
            // SAFETY: room for a tile of keys.
            let to = unsafe { self.scratch.add(layout.keys) };
            // SAFETY: as above, and the keys are the caller's.
            unsafe {
                k.copy(
                    self.work.routines,
                    first,
                    count,
                    attention.features,
                    to,
                    layout.q_stride,
                );
            }
            (to.cast_const(), layout.q_stride as isize)
        };
        let v = Stretch::of_values(attention, point);
        let far = v.row.unsigned_abs() * size_of::<f32>() >= FAR_VALUES && rows > 2 * FEW_ROWS;
        (tile.v, tile.v_stride) = if v.plain() && attention.values.is_multiple_of(STRIP) && !far {
            (v.at(first).cast(), v.row)
        } else {
            // SAFETY: room for a tile of values.
            let to = unsafe { self.scratch.add(layout.values) };
            // SAFETY: as above, and the values are the caller's.
            unsafe {
                v.copy(
                    self.work.routines,
                    first,
                    count,
                    attention.values,
                    to,
                    layout.o_stride,
                );
            }
            (to.cast_const(), layout.o_stride as isize)
        };
        tile
    }

    /// Adds a tile of keys to a block.
    ///
    /// # Safety
    /// As [`Run::item`].
    unsafe fn tile(&mut self, block: &Block, tile: &mut Tile, kind: TileKind) {
        let mut pieces = core::mem::take(&mut self.pieces);
        // SAFETY: handed on from the caller.
        unsafe {
            cut_tile(
                &self.work.attention.score,
                &block.segments,
                &tile.keys,
                kind,
                &mut pieces,
            );
        }
        // Neighbors with the same columns go through the kernels together.
        for run in pieces.chunk_by(|a, b| a.columns == b.columns && a.rows.end == b.rows.start) {
            // SAFETY: handed on from the caller.
            unsafe { self.pieces(block, tile, run) };
        }
        self.pieces = pieces;
    }

    /// Adds consecutive pieces with the same columns.
    ///
    /// # Safety
    /// As [`Run::item`].
    unsafe fn pieces(&self, block: &Block, tile: &mut Tile, pieces: &[Piece]) {
        let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else {
            return;
        };
        let columns = first.columns.clone();
        let padded = columns.len().next_multiple_of(STRIP);
        let (top, rows) = (first.rows.start, last.rows.end - first.rows.start);
        let layout = &self.work.layout;
        let BlockLayout {
            weighted,
            sum,
            maximum,
            factor,
            ..
        } = layout.block;
        let kernels = self.work.kernels;
        // SAFETY: the rows are rows of the block, the columns columns of the tile; all
        // addresses are inside scratch memory as the layout describes it.
        unsafe {
            let scores = self.scratch.add(layout.scores + top * TILE + columns.start);
            self.scores(block, tile, top..top + rows, &columns, scores);
            for piece in pieces {
                let at = scores.add((piece.rows.start - top) * TILE);
                let keys = tile.keys.start + columns.start..tile.keys.start + columns.end;
                self.work.attention.score.apply(piece, keys, at, TILE);
            }
            for row in 0..rows {
                for column in columns.len()..padded {
                    *scores.add(row * TILE + column) = f32::NEG_INFINITY;
                }
            }
            (kernels.soften)(&Soften {
                scores,
                stride: TILE,
                rows,
                columns: padded,
                maximum: block.memory.add(maximum + top),
                sum: block.memory.add(sum + top * STRIP),
                factor: block.memory.add(factor + top),
            });
            (kernels.product)(&Product {
                a: scores,
                a_stride: TILE,
                b: tile
                    .v
                    .wrapping_offset(columns.start as isize * tile.v_stride),
                b_stride: tile.v_stride,
                c: block.memory.add(weighted + top * layout.o_stride),
                c_stride: layout.o_stride,
                factor: block.memory.add(factor + top),
                rows,
                columns: layout.o_stride,
                depth: columns.len(),
            });
        }
    }

    /// # Safety
    /// As [`Run::item`]; `scores` has the rows and the padded columns.
    unsafe fn scores(
        &self,
        block: &Block,
        tile: &mut Tile,
        rows: Range<usize>,
        columns: &Range<usize>,
        scores: *mut f32,
    ) {
        let features = self.work.attention.features;
        let layout = &self.work.layout;
        let kernels = self.work.kernels;
        // SAFETY: as in `pieces`.
        unsafe {
            let q = block.memory.add(rows.start * layout.q_stride);
            if block.rows <= FEW_ROWS {
                let k = tile
                    .k
                    .wrapping_offset(columns.start as isize * tile.k_stride);
                return (kernels.few_scores)(&FewScores {
                    q,
                    q_stride: layout.q_stride,
                    k,
                    k_stride: tile.k_stride,
                    scores,
                    scores_stride: TILE,
                    rows: rows.len(),
                    keys: columns.len(),
                    depth: features,
                });
            }
            let panel = self.scratch.add(layout.panel);
            if !tile.packed {
                (kernels.transpose)(&Transpose {
                    keys: tile.k,
                    stride: tile.k_stride,
                    count: tile.keys.len(),
                    depth: features,
                    panel,
                    width: TILE,
                });
                tile.packed = true;
            }
            (kernels.product)(&Product {
                a: q,
                a_stride: layout.q_stride,
                b: panel.add(columns.start),
                b_stride: TILE as isize,
                c: scores,
                c_stride: TILE,
                factor: null(),
                rows: rows.len(),
                columns: columns.len().next_multiple_of(STRIP),
                depth: features,
            });
        }
    }

    /// Writes the results of a block, or its partial results.
    ///
    /// # Safety
    /// As [`Run::item`].
    unsafe fn end(&self, running: &Block, group: usize, block: usize, chunk: usize) {
        let values = self.work.attention.values;
        let layout = &self.work.layout;
        // SAFETY: the memory of a block, initialized.
        let memory = unsafe { core::slice::from_raw_parts(running.memory, layout.block.total) };
        for segment in &running.segments {
            for row in segment.rows.clone() {
                let weighted = &memory[layout.block.weighted + row * layout.o_stride..][..values];
                let sum = total(&memory[layout.block.sum + row * STRIP..][..STRIP]);
                let maximum = memory[layout.block.maximum + row];
                if let Some(partials) = &self.work.partials {
                    let row = self.work.partial_row(group, block, chunk, row);
                    // SAFETY: this item alone writes this row.
                    let part = unsafe { partials.row_mut(row, values) };
                    (part[0], part[1]) = (maximum, sum);
                    part[2..].copy_from_slice(weighted);
                } else {
                    let query = segment.query + row - segment.rows.start;
                    // SAFETY: this item alone writes this row.
                    unsafe {
                        self.work
                            .finish(segment.point, query, maximum, sum, weighted);
                    }
                }
            }
        }
    }
}

/// The sum of a strip, halves added to each other: one after the other they would wait.
fn total(strip: &[f32]) -> f32 {
    let mut sums = [0.0; STRIP];
    sums.copy_from_slice(strip);
    let mut half = STRIP / 2;
    while half > 0 {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
        half /= 2;
    }
    sums[0]
}
