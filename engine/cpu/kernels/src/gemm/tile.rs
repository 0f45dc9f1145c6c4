//! The innermost loop: one tile of `C`, held in registers while it sums over `k`.
//!
//! Written once over [`Lanes`] and compiled per level by `kernels`. An element's sum is one chain of multiply-adds in
//! the order of `k`, whatever the tile's height and width, so that a row of `C` has the same bits in every tile.
#![expect(
    unsafe_code,
    reason = "vector instructions exist only on some machines"
)]
#![expect(
    unsafe_op_in_unsafe_fn,
    reason = "a kernel's whole body works under its own obligations"
)]

use crate::lanes::Lanes;

/// Columns of `B` that lie together when packed.
pub(crate) const PANEL: usize = 32;

/// Steps of `k` that lie together in the rows of a packed strip of `A`: see [`Tile::a`].
pub(super) const STEPS: usize = 16;

/// Rows of `B` that are fetched before they are read: 4 KiB of a panel of f32, some hundred cycles.
const AHEAD: usize = 32;

/// What a tile is computed from.
#[derive(Clone, Copy)]
pub(super) struct Tile<E> {
    /// Length of the sums.
    pub(super) k: usize,
    /// A strip of `A` with as many rows as the tile: `[k / STEPS][rows][STEPS]`, the last steps absent where `k` ends.
    pub(super) a: *const E,
    /// The first row of `B` at the tile's first column.
    pub(super) b: *const E,
    /// From a row of `B` to the next.
    pub(super) b_row: usize,
    /// From a panel of [`PANEL`] columns to the next; a tile that is wider than a panel begins with one.
    pub(super) b_panel: usize,
    /// Whether this tile is the first that reads its part of `B`, which is then fetched some rows ahead.
    pub(super) fetches: bool,
    /// What is read after this panel's part: the first row that this tile brings nearer.
    pub(super) next: *const E,
    /// Rows from there that it brings nearer for every [`STEPS`] of its own.
    pub(super) next_rows: usize,
    /// The tile's columns in `C`; also those in `B`, for a masked tile. Others read all columns of their width.
    pub(super) cols: usize,
    /// The tile's place in `C`.
    pub(super) c: *mut E,
    pub(super) c_row: isize,
    pub(super) c_col: isize,
    /// Whether to add to what is there.
    pub(super) accumulate: bool,
}

/// Computes a tile of `R` rows and up to `V` vectors. A `MASKED` one touches no column of `B` from `cols` on.
///
/// # Safety
///
/// - Those of [`Lanes`].
/// - What `tile` describes is valid for reading, and its elements of `C` for writing.
#[inline(always)]
pub(super) unsafe fn tile<L: Lanes, const R: usize, const V: usize, const MASKED: bool>(
    tile: &Tile<L::Element>,
) {
    let in_vector = |v: usize| tile.cols.saturating_sub(v * L::COUNT).min(L::COUNT);
    if tile.c_col == 1 {
        // They are written, perhaps read, when the sums are done.
        for r in 0..R {
            let row = tile.c.wrapping_offset(r as isize * tile.c_row);
            for v in 0..V {
                L::fetch(row.wrapping_add(v * L::COUNT).cast_const());
            }
        }
    }
    let mut sums = [[L::splat(L::Element::default()); V]; R];
    let (mut a, mut b, mut left) = (tile.a, tile.b, tile.k);
    let mut next = tile.next;
    while left > 0 {
        let steps = left.min(STEPS);
        for _ in 0..tile.next_rows {
            for line in (0..PANEL).step_by(64 / size_of::<L::Element>()) {
                L::fetch_far(next.wrapping_add(line));
            }
            next = next.wrapping_add(tile.b_row);
        }
        if steps == STEPS && !tile.fetches {
            for four in (0..STEPS).step_by(4) {
                for step in four..four + 4 {
                    add::<L, R, V, MASKED, false>(tile, &mut sums, a.wrapping_add(step), b);
                    b = b.wrapping_add(tile.b_row);
                }
            }
        } else {
            for step in 0..steps {
                if tile.fetches {
                    add::<L, R, V, MASKED, true>(tile, &mut sums, a.wrapping_add(step), b);
                } else {
                    add::<L, R, V, MASKED, false>(tile, &mut sums, a.wrapping_add(step), b);
                }
                b = b.wrapping_add(tile.b_row);
            }
        }
        a = a.wrapping_add(R * STEPS);
        left -= steps;
    }
    if tile.c_col == 1 {
        for (r, sums) in sums.iter().enumerate() {
            let row = tile.c.wrapping_offset(r as isize * tile.c_row);
            for (v, &sum) in sums.iter().enumerate() {
                let (at, count) = (row.wrapping_add(v * L::COUNT), in_vector(v));
                if count == L::COUNT {
                    let sum = if tile.accumulate {
                        L::add(L::load(at), sum)
                    } else {
                        sum
                    };
                    L::store(at, sum);
                } else if count > 0 {
                    let sum = if tile.accumulate {
                        L::add(L::load_first(at, count), sum)
                    } else {
                        sum
                    };
                    L::store_first(at, sum, count);
                }
            }
        }
    } else {
        scatter::<L, R, V>(tile, &sums);
    }
}

/// Adds the products of one step, the row of `B` at `b`.
#[inline(always)]
unsafe fn add<L: Lanes, const R: usize, const V: usize, const MASKED: bool, const FETCHES: bool>(
    tile: &Tile<L::Element>,
    sums: &mut [[L::Vector; V]; R],
    a: *const L::Element,
    b: *const L::Element,
) {
    let row: [L::Vector; V] = std::array::from_fn(|v| {
        let panel = v / (PANEL / L::COUNT) * tile.b_panel;
        let at = b.wrapping_add(panel + v % (PANEL / L::COUNT) * L::COUNT);
        if FETCHES {
            L::fetch(at.wrapping_add(AHEAD * tile.b_row));
        }
        if MASKED {
            L::load_first(at, tile.cols.saturating_sub(v * L::COUNT).min(L::COUNT))
        } else {
            L::load(at)
        }
    });
    #[expect(clippy::needless_range_loop, reason = "keeps the sums in registers")]
    for r in 0..R {
        let factor = L::splat(*a.add(r * STEPS));
        for v in 0..V {
            sums[r][v] = L::mul_add(factor, row[v], sums[r][v]);
        }
    }
}

/// Stores to elements of `C` that do not lie side by side.
#[inline(always)]
unsafe fn scatter<L: Lanes, const R: usize, const V: usize>(
    tile: &Tile<L::Element>,
    sums: &[[L::Vector; V]; R],
) {
    /// Rows and columns that are exchanged at a time, in registers.
    const SQUARE: usize = 4;
    // No tile is wider.
    let mut staged = [[L::Element::default(); 128]; R];
    for (staged, sums) in staged.iter_mut().zip(sums) {
        for (v, &sum) in sums.iter().enumerate() {
            L::store(staged.as_mut_ptr().add(v * L::COUNT), sum);
        }
    }
    let mut turned = 0;
    if tile.c_row == 1 && !tile.accumulate {
        // Columns are contiguous.
        turned = tile.cols - tile.cols % SQUARE;
        for j in (0..turned).step_by(SQUARE) {
            for r in (0..R - R % SQUARE).step_by(SQUARE) {
                for column in 0..SQUARE {
                    let line: [L::Element; SQUARE] =
                        std::array::from_fn(|row| staged[r + row][j + column]);
                    let to = tile.c.wrapping_offset((j + column) as isize * tile.c_col);
                    let to = to.wrapping_add(r);
                    to.cast::<[L::Element; SQUARE]>().write_unaligned(line);
                }
            }
        }
    }
    for (r, staged) in staged.iter().enumerate() {
        let row = tile.c.wrapping_offset(r as isize * tile.c_row);
        let done = if r < R - R % SQUARE { turned } else { 0 };
        for (j, &value) in staged.iter().enumerate().take(tile.cols).skip(done) {
            let at = row.wrapping_offset(j as isize * tile.c_col);
            *at = if tile.accumulate { *at + value } else { value };
        }
    }
}
