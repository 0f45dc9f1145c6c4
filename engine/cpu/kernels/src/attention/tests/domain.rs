//! Domains and biases of test problems, as the score functions a caller would compile.

use core::ffi::c_void;

use super::super::TileKind;

/// Which (query, key) positions are in the domain.
#[derive(Clone, Copy, Debug)]
pub(super) enum Domain {
    All,
    Nothing,
    Causal,
    Window(usize),
    Prefix(usize),
    Documents(usize),
    /// Every third diagonal; every fifth query keeps nothing.
    Scattered,
    /// Keys from a number on, for all queries.
    From(usize),
}

impl Domain {
    pub(super) fn keeps(self, i: usize, j: usize) -> bool {
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Causal => j <= i,
            Self::Window(keys) => j <= i && i - j < keys,
            Self::Prefix(keys) => j <= i || j < keys,
            Self::Documents(length) => j <= i && i / length == j / length,
            Self::Scattered => (i + j).is_multiple_of(3) && !i.is_multiple_of(5),
            Self::From(first) => j >= first,
        }
    }
}

/// How the domain is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Told {
    /// By a classifier that knows everything.
    Exactly,
    /// By a classifier that answers `Edge`.
    Vaguely,
    /// Without a classifier.
    NotAtAll,
}

/// What score functions get as context.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) domain: Domain,
    /// Added per point and key behind the query.
    pub(super) slope: f32,
    pub(super) told: Told,
    /// Where keys are counted from, for queries that continue a text.
    pub(super) first_query: usize,
}

pub(super) unsafe extern "C" fn classify(
    ctx: *const c_void,
    _: usize,
    i0: usize,
    i1: usize,
    j0: usize,
    j1: usize,
) -> TileKind {
    // SAFETY: the tests pass a rule.
    let rule = unsafe { &*ctx.cast::<Rule>() };
    assert!(i0 < i1 && j0 < j1);
    if rule.told == Told::Vaguely {
        return TileKind::Edge;
    }
    let kept = |i: usize| {
        (j0..j1)
            .filter(|&j| rule.domain.keeps(i + rule.first_query, j))
            .count()
    };
    match (i0..i1).map(kept).sum::<usize>() {
        0 => TileKind::Skip,
        count if count == (i1 - i0) * (j1 - j0) => TileKind::Interior,
        _ => TileKind::Edge,
    }
}

pub(super) unsafe extern "C" fn interior(
    ctx: *const c_void,
    tile: *mut f32,
    ld: usize,
    i0: usize,
    i1: usize,
    j0: usize,
    j1: usize,
    point: usize,
) {
    // SAFETY: the tests pass a rule.
    let rule = unsafe { &*ctx.cast::<Rule>() };
    for i in i0..i1 {
        // SAFETY: a row of the tile.
        let row =
            unsafe { core::slice::from_raw_parts_mut(tile.wrapping_add((i - i0) * ld), j1 - j0) };
        for (score, j) in row.iter_mut().zip(j0..j1) {
            *score += bias(rule, i, j, point);
        }
    }
}

pub(super) unsafe extern "C" fn edge(
    ctx: *const c_void,
    tile: *mut f32,
    ld: usize,
    i0: usize,
    i1: usize,
    j0: usize,
    j1: usize,
    point: usize,
) {
    // SAFETY: handed on.
    unsafe { interior(ctx, tile, ld, i0, i1, j0, j1, point) };
    // SAFETY: the tests pass a rule.
    let rule = unsafe { &*ctx.cast::<Rule>() };
    for i in i0..i1 {
        // SAFETY: a row of the tile.
        let row =
            unsafe { core::slice::from_raw_parts_mut(tile.wrapping_add((i - i0) * ld), j1 - j0) };
        for (score, j) in row.iter_mut().zip(j0..j1) {
            if !rule.domain.keeps(i + rule.first_query, j) {
                *score = f32::NEG_INFINITY;
            }
        }
    }
}

pub(super) fn bias(rule: &Rule, i: usize, j: usize, point: usize) -> f32 {
    rule.slope * (point + 1) as f32 * (j as f32 - (i + rule.first_query) as f32)
}
