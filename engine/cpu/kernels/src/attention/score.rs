//! The score function of an attention, and which part of the scores its domain leaves.
//!
//! Asks the classifier from coarse to fine: spans of keys, tiles, and inside a
//! mixed tile bands of [`BAND`] query rows whose columns are trimmed by strips.
//! What the classifier calls [`TileKind::Skip`] is neither computed nor read.
#![expect(unsafe_code, reason = "calls functions that the caller compiled")]

use core::ffi::c_void;
use core::ops::Range;

use super::tile::STRIP;

/// Keys of one tile.
pub(super) const TILE: usize = 64;
/// Tiles that are classified in one go.
pub(super) const SPAN: usize = 64;
/// Rows of a mixed tile that are classified alone.
const BAND: usize = 12;
/// A mixed piece with fewer rows is not worth trimming its columns.
const TRIM_ROWS: usize = 8;

/// What the domain of an attention leaves of a rectangle of scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum TileKind {
    /// No position is in the domain.
    Skip = 0,
    /// Every position is in the domain.
    Interior = 1,
    /// Some are, or it is not known.
    Edge = 2,
}

impl TileKind {
    fn with(self, other: Option<Self>) -> Self {
        match other {
            None => self,
            Some(other) if other == self => self,
            Some(_) => Self::Edge,
        }
    }
}

/// Rewrites the scores of queries `i0..i1` and keys `j0..j1` of one point in place.
///
/// Score (i, j) is at `tile[(i − i0) · ld + (j − j0)]`. Positions outside the
/// domain are set to −∞. Runs on any thread, several at a time; must not unwind.
pub type ScoreTile = unsafe extern "C" fn(
    ctx: *const c_void,
    tile: *mut f32,
    ld: usize,
    i0: usize,
    i1: usize,
    j0: usize,
    j1: usize,
    point: usize,
);

/// Says what the domain leaves of queries `i0..i1` and keys `j0..j1` of one point.
///
/// [`TileKind::Edge`] is always a right answer. Runs on any thread, several at a
/// time; must not unwind.
pub type Classify = unsafe extern "C" fn(
    ctx: *const c_void,
    point: usize,
    i0: usize,
    i1: usize,
    j0: usize,
    j1: usize,
) -> TileKind;

/// What happens to the scores between the product and the softmax.
#[derive(Clone, Copy, Debug)]
pub struct Score {
    /// Handed to all three functions.
    pub ctx: *const c_void,
    /// For rectangles of which every position is in the domain; `None`: scores stay as they are.
    pub interior: Option<ScoreTile>,
    /// For all others; `None`: as `interior`.
    pub edge: Option<ScoreTile>,
    /// `None`: every tile is [`TileKind::Edge`] if there is a function for those, else `Interior`.
    pub classify: Option<Classify>,
}

impl Score {
    /// Scores stay as they are, and every position is in the domain.
    pub const NONE: Self = Self {
        ctx: core::ptr::null(),
        interior: None,
        edge: None,
        classify: None,
    };

    /// # Safety
    /// The functions may be called with `ctx`; the rectangle is inside the problem.
    unsafe fn classify(&self, point: usize, i: Range<usize>, j: Range<usize>) -> TileKind {
        match self.classify {
            // SAFETY: handed on from the caller.
            Some(classify) => unsafe { classify(self.ctx, point, i.start, i.end, j.start, j.end) },
            None if self.edge.is_some() => TileKind::Edge,
            None => TileKind::Interior,
        }
    }

    /// Applies the score function to the piece of a tile; `tile` is its first score.
    ///
    /// # Safety
    /// The functions may be called with `ctx`; `tile` has the piece at the stride `ld`.
    pub(super) unsafe fn apply(&self, piece: &Piece, j: Range<usize>, tile: *mut f32, ld: usize) {
        let function = match piece.kind {
            TileKind::Edge => self.edge.or(self.interior),
            TileKind::Skip | TileKind::Interior => self.interior,
        };
        let (i0, i1) = (piece.query, piece.query + piece.rows.len());
        if let Some(function) = function {
            // SAFETY: handed on from the caller.
            unsafe { function(self.ctx, tile, ld, i0, i1, j.start, j.end, piece.point) }
        }
    }
}

/// Consecutive rows of a block that are queries of one point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Rows of the block.
    pub(super) rows: Range<usize>,
    /// The query of the first row.
    pub(super) query: usize,
    pub(super) point: usize,
}

/// Part of a tile that one call of the score function covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Rows of the block.
    pub(super) rows: Range<usize>,
    /// The query of the first row.
    pub(super) query: usize,
    pub(super) point: usize,
    /// Columns of the tile; starts at a multiple of [`STRIP`], ends at one or at the last key.
    pub(super) columns: Range<usize>,
    pub(super) kind: TileKind,
}

/// Classifies the tiles of a span: `kinds[t]` is for keys `keys.start + t · TILE` and on.
///
/// # Safety
/// As [`Score::classify`] for every segment and `keys`.
pub(super) unsafe fn classify_span(
    score: &Score,
    segments: &[Segment],
    keys: &Range<usize>,
    kinds: &mut [TileKind],
) {
    let start = keys.start;
    let range = start..(start + kinds.len() * TILE).min(keys.end);
    // SAFETY: handed on from the caller.
    let kind = unsafe { classify_block(score, segments, &range) };
    if kind != TileKind::Edge || kinds.len() <= 1 {
        kinds.fill(kind);
        return;
    }
    let (first, second) = kinds.split_at_mut(kinds.len() / 2);
    let middle = start + first.len() * TILE;
    // SAFETY: two parts of the range that the caller gives.
    unsafe { classify_span(score, segments, &(start..middle), first) };
    // SAFETY: as above.
    unsafe { classify_span(score, segments, &(middle..keys.end), second) };
}

/// # Safety
/// As [`Score::classify`] for every segment and `keys`.
unsafe fn classify_block(score: &Score, segments: &[Segment], keys: &Range<usize>) -> TileKind {
    let mut all = None;
    for segment in segments {
        let queries = segment.query..segment.query + segment.rows.len();
        // SAFETY: handed on from the caller.
        let kind = unsafe { score.classify(segment.point, queries, keys.clone()) };
        let kind = kind.with(all);
        if kind == TileKind::Edge {
            return kind;
        }
        all = Some(kind);
    }
    all.unwrap_or(TileKind::Skip)
}

/// Cuts a tile into pieces, in the order of rows; what is skipped is left out.
///
/// # Safety
/// As [`Score::classify`] for every segment and `keys`.
pub(super) unsafe fn cut_tile(
    score: &Score,
    segments: &[Segment],
    keys: &Range<usize>,
    kind: TileKind,
    pieces: &mut Vec<Piece>,
) {
    pieces.clear();
    for segment in segments {
        let whole = Piece {
            rows: segment.rows.clone(),
            query: segment.query,
            point: segment.point,
            columns: 0..keys.len(),
            kind,
        };
        if kind == TileKind::Interior || score.classify.is_none() {
            pieces.push(whole);
            continue;
        }
        let mut from = segment.rows.start;
        while from < segment.rows.end {
            let to = (from + BAND).min(segment.rows.end);
            let mut piece = Piece {
                rows: from..to,
                query: segment.query + from - segment.rows.start,
                ..whole.clone()
            };
            let queries = piece.query..piece.query + (to - from);
            // SAFETY: a part of the segment and the keys that the caller gives.
            piece.kind = unsafe { score.classify(piece.point, queries, keys.clone()) };
            if piece.kind == TileKind::Edge && to - from >= TRIM_ROWS {
                // SAFETY: as above.
                unsafe { trim_columns(score, keys, &mut piece) };
            }
            if piece.kind != TileKind::Skip && !piece.columns.is_empty() {
                pieces.push(piece);
            }
            from = to;
        }
    }
}

/// Takes strips that are skipped from both ends of the columns.
///
/// # Safety
/// As [`Score::classify`] for the piece and `keys`.
unsafe fn trim_columns(score: &Score, keys: &Range<usize>, piece: &mut Piece) {
    let skipped = |columns: Range<usize>| {
        let queries = piece.query..piece.query + piece.rows.len();
        let keys = keys.start + columns.start..keys.start + columns.end;
        // SAFETY: a part of the piece and the keys that the caller gives.
        unsafe { score.classify(piece.point, queries, keys) == TileKind::Skip }
    };
    let Range { mut start, mut end } = piece.columns;
    while start < end && skipped(start..(start + STRIP).min(end)) {
        start = (start + STRIP).min(end);
    }
    while start < end && skipped((end - 1) / STRIP * STRIP..end) {
        end = (end - 1) / STRIP * STRIP;
    }
    piece.columns = start..end;
}
