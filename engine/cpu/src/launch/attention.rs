//! Softmax of scores, then the weighted sum of values, without all scores in memory.
//!
//! The tiled routine calls back with every tile: generated kernels rewrite its
//! scores, and `domain` says which tiles the mask leaves out, and which scores of a tile where it is all of the
//! mask; where it does not know, the mask of the tile is computed before the tile is. A tile kernel's
//! sizes are affine in the tile's symbols; their factors are found once, so that
//! a tile costs a few products.

#![expect(
    unsafe_code,
    reason = "the routine takes addresses and calls back with tiles"
)]

mod domain;

use core::ffi::c_void;
use std::cell::RefCell;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use girih_graph::{AxisId, Extent};
use girih_kernels::attention::{Point, Score, Stored, Strides, TileKind, attention_f32};
use girih_plan::plan::{Attention, KernelLaunch, TensorId, tile};
use girih_runtime::backend::RunError;

use super::{Run, kernel};
use crate::bind::{Binder, Bound};
use crate::block::{Base, Block};
use crate::codegen::{CompiledKernel, KernelFailure};
use crate::frame::Frame;
use crate::view::View;
use domain::{Known, Spans};

/// Rows and keys of the largest tile that the routine asks for.
const TILE: (usize, usize) = (96, 64);

/// Symbols of a tile beside the points: step, rows, keys, first row, first key.
const SYMBOLS: [&str; 5] = [tile::STEP, tile::ROWS, tile::KEYS, tile::ROW, tile::KEY];

/// An attention launch with numbers for its sizes.
#[derive(Debug)]
pub(crate) struct BoundAttention {
    /// Extents of the point axes.
    points: Vec<usize>,
    interior: Option<TileKernel>,
    edge: Option<TileKernel>,
    mask: Option<TileKernel>,
}

/// A tile kernel's sizes: `start + Σ factor · symbol`.
#[derive(Debug)]
struct TileKernel {
    start: Vec<i64>,
    /// For each size, a factor for each of [`SYMBOLS`], then for each point axis.
    factors: Vec<Vec<i64>>,
    /// Bytes for one call.
    scratch: usize,
}

pub(super) fn bind(
    binder: &Binder<'_>,
    bound: &Bound,
    launch: &Attention,
) -> Result<BoundAttention, RunError> {
    let out = &bound.views[launch.out.index()];
    let q = &bound.views[launch.q.index()];
    let extent = |axis: &AxisId| {
        let line = out.line(*axis).or_else(|| q.line(*axis));
        line.map_or(1, |line| line.extent)
    };
    let points: Vec<usize> = launch.points.iter().map(extent).collect();
    let tile = |kernel: &Option<KernelLaunch>| {
        let bind = |kernel| bind_tile(binder, kernel, points.len());
        kernel.as_ref().map(bind).transpose()
    };
    Ok(BoundAttention {
        interior: tile(&launch.interior)?,
        edge: tile(&launch.edge)?,
        mask: tile(&launch.mask)?,
        points,
    })
}

/// Finds the factors of a tile kernel's sizes by evaluating them where one symbol is 1.
fn bind_tile(
    binder: &Binder<'_>,
    launch: &KernelLaunch,
    points: usize,
) -> Result<TileKernel, RunError> {
    let compiled = binder.code.kernel(launch.kernel);
    let names: Vec<String> = SYMBOLS
        .iter()
        .map(|name| (*name).to_owned())
        .chain((0..points).map(tile::point))
        .collect();
    let evaluate = |extent: &Extent, at: &dyn Fn(usize) -> i64| {
        let value = extent.evaluate(&|symbol| {
            let own = names.iter().position(|name| name == symbol);
            own.map_or_else(
                || binder.numbers.symbols.get(symbol).copied(),
                |own| Some(at(own)),
            )
        });
        value.map_err(|source| RunError::Size {
            what: format!("`{extent}`"),
            source,
        })
    };
    let mut start = Vec::new();
    let mut factors = Vec::new();
    for extent in compiled.sizes() {
        let zero = evaluate(extent, &|_| 0)?;
        let own: Vec<i64> = (0..names.len())
            .map(|symbol| Ok(evaluate(extent, &|at| i64::from(at == symbol))? - zero))
            .collect::<Result<_, RunError>>()?;
        if cfg!(debug_assertions) {
            let value = evaluate(extent, &|at| at as i64 + 2)?;
            let sum: i64 = own.iter().zip(2..).map(|(factor, at)| factor * at).sum();
            assert_eq!(
                value,
                zero + sum,
                "`{extent}` is affine in the tile's symbols"
            );
        }
        start.push(zero);
        factors.push(own);
    }
    let mut kernel = TileKernel {
        start,
        factors,
        scratch: 0,
    };
    let mut symbols = vec![0; names.len()];
    symbols[..3].copy_from_slice(&[TILE.1 as i64, TILE.0 as i64, TILE.1 as i64]);
    let largest: Vec<i64> = kernel.sizes(&symbols).collect();
    kernel.scratch = compiled.scratch_bytes(&largest);
    Ok(kernel)
}

impl TileKernel {
    /// The sizes where the symbols have these values.
    fn sizes<'a>(&'a self, symbols: &'a [i64]) -> impl Iterator<Item = i64> + 'a {
        self.start
            .iter()
            .zip(&self.factors)
            .map(move |(start, factors)| {
                let terms = factors
                    .iter()
                    .zip(symbols)
                    .map(|(factor, value)| factor * value);
                terms.fold(*start, i64::wrapping_add)
            })
    }
}

/// What the callbacks of one run see.
struct Context<'a> {
    interior: Option<Tiles<'a>>,
    edge: Option<Tiles<'a>>,
    mask: Option<Tiles<'a>>,
    domain: Known,
    /// Where the domain is the mask and leaves keys that lie together.
    spans: Option<Spans>,
    /// Whether the domain is the mask, so that no code is needed to know which scores of a tile count.
    exact: bool,
    /// Positions along the point axes, point after point.
    positions: &'a [i64],
    axes: usize,
    failed: Mutex<Option<(usize, KernelFailure)>>,
}

/// A tile kernel with what it reads.
struct Tiles<'a> {
    bound: &'a TileKernel,
    compiled: &'a CompiledKernel,
    /// Of its buffers but the first, which is the tile.
    bases: Vec<Base>,
}

pub(super) fn run(
    run: &Run<'_>,
    launch: &Attention,
    bound: &BoundAttention,
    frame: &Frame<'_>,
) -> Result<(), RunError> {
    let [q, k, v, out] =
        [launch.q, launch.k, launch.v, launch.out].map(|tensor| frame.view(tensor));
    let positions = positions(&bound.points);
    let count: usize = bound.points.iter().product();
    let axes = bound.points.len();
    let start = |tensor: TensorId, point: usize| {
        let view = frame.view(tensor);
        let own = &positions[point * axes..(point + 1) * axes];
        let along = launch.points.iter().zip(own);
        let moved: isize = along
            .map(|(axis, at)| view.step(*axis) * *at as isize)
            .sum();
        let bytes = (view.offset + moved) * view.dtype.size() as isize;
        frame.base(view.buffer).at(bytes)
    };
    let points: Vec<Point> = (0..count)
        .map(|point| Point {
            q: start(launch.q, point).0.cast_const().cast(),
            k: start(launch.k, point).0.cast_const().cast(),
            v: start(launch.v, point).0.cast_const().cast(),
            o: start(launch.out, point).0.cast(),
            maximum: std::ptr::null_mut(),
            log_sum_exp: std::ptr::null_mut(),
        })
        .collect();
    let size = |view: &View, axis: AxisId| view.line(axis).map_or(1, |line| line.extent);
    let (queries, keys) = (size(out, launch.rows), size(k, launch.keys));
    let domain = Known::of(&launch.domain, launch, frame)?;
    // Scores outside of the domain are computed then: they must not fail.
    let exact = !launch.domain.is_open()
        && (launch.interior.as_ref()).is_none_or(|own| own.failures.is_empty());
    let spans = || Spans::of(&domain, count, queries, keys);
    let context = Context {
        spans: (exact && launch.edge.is_some()).then(spans).flatten(),
        interior: tiles(
            run,
            frame,
            launch.interior.as_ref(),
            bound.interior.as_ref(),
        ),
        edge: tiles(run, frame, launch.edge.as_ref(), bound.edge.as_ref()),
        mask: tiles(run, frame, launch.mask.as_ref(), bound.mask.as_ref()),
        domain,
        exact,
        positions: &positions,
        axes,
        failed: Mutex::new(None),
    };
    let strides = |view: &View, row: AxisId, element: AxisId| Strides {
        row: view.step(row),
        element: view.step(element),
    };
    let attention = girih_kernels::attention::Attention {
        points: &points,
        group: group(launch, &bound.points, k, v),
        queries,
        keys,
        features: size(q, launch.width),
        values: size(v, launch.value),
        scale: launch.scale as f32,
        q: strides(q, launch.rows, launch.width),
        k: strides(k, launch.keys, launch.width),
        v: strides(v, launch.keys, launch.value),
        o: strides(out, launch.rows, launch.value),
        statistics: 0,
        stored: Stored::F32,
        score: Score {
            ctx: std::ptr::from_ref(&context).cast(),
            interior: launch.interior.as_ref().map(|_| interior as _),
            edge: launch.edge.as_ref().map(|_| edge as _),
            classify: launch.edge.as_ref().map(|_| classify as _),
        },
    };
    // SAFETY: the views of the frame stay inside their buffers for all points, rows, keys and
    // elements; the result overlaps nothing that is read, as the planner gives it a buffer of its
    // own; the callbacks keep to their description and the context outlives the call; the level
    // was chosen for this machine.
    unsafe { attention_f32(run.level, run.pool, &attention) };
    let failed = context
        .failed
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let launches = [&launch.interior, &launch.edge, &launch.mask];
    match failed {
        None => Ok(()),
        Some((which, failure)) => Err(launches[which].as_ref().map_or_else(
            || RunError::Cancelled,
            |launch| kernel::position_error(launch, &failure),
        )),
    }
}

fn tiles<'a>(
    run: &'a Run<'_>,
    frame: &Frame<'_>,
    launch: Option<&KernelLaunch>,
    bound: Option<&'a TileKernel>,
) -> Option<Tiles<'a>> {
    let launch = launch?;
    let buffers = launch.buffers.iter().skip(1);
    Some(Tiles {
        bound: bound?,
        compiled: run.code.kernel(launch.kernel),
        bases: buffers.map(|own| frame.base(*own)).collect(),
    })
}

/// How many consecutive points share keys and values: the last point axes, as far as neither has
/// them.
fn group(launch: &Attention, extents: &[usize], k: &View, v: &View) -> usize {
    let axes = launch.points.iter().zip(extents).rev();
    let shared = axes
        .take_while(|(axis, extent)| **extent == 1 || (k.step(**axis) == 0 && v.step(**axis) == 0));
    shared.map(|(_, extent)| *extent).product::<usize>().max(1)
}

/// Positions along the axes, point after point, the last axis fastest.
fn positions(extents: &[usize]) -> Vec<i64> {
    let count: usize = extents.iter().product();
    let mut all = Vec::with_capacity(count * extents.len());
    for point in 0..count {
        let start = all.len();
        let mut rest = point;
        for extent in extents.iter().rev() {
            all.push((rest % extent) as i64);
            rest /= extent;
        }
        all[start..].reverse();
    }
    all
}

unsafe extern "C" fn interior(
    ctx: *const c_void,
    tile: *mut f32,
    ld: usize,
    i0: usize,
    i1: usize,
    j0: usize,
    j1: usize,
    point: usize,
) {
    // SAFETY: the routine hands on the context of `run`, which waits for it.
    let context = unsafe { &*ctx.cast::<Context<'_>>() };
    context.rewrite(0, tile, [ld, i0, i1, j0, j1], point);
}

unsafe extern "C" fn edge(
    ctx: *const c_void,
    tile: *mut f32,
    ld: usize,
    i0: usize,
    i1: usize,
    j0: usize,
    j1: usize,
    point: usize,
) {
    // SAFETY: as for `interior`.
    let context = unsafe { &*ctx.cast::<Context<'_>>() };
    if !context.exact || j1 - j0 > TILE.1 {
        return context.rewrite(1, tile, [ld, i0, i1, j0, j1], point);
    }
    context.rewrite(0, tile, [ld, i0, i1, j0, j1], point);
    for row in i0..i1 {
        let first = tile.wrapping_add((row - i0) * ld);
        // SAFETY: the routine gives the tile with rows `ld` elements apart, which nobody else has meanwhile.
        let scores = unsafe { std::slice::from_raw_parts_mut(first, j1 - j0) };
        if let Some(spans) = &context.spans {
            let span = spans.of_row(point, row);
            let [from, to] = [span.start, span.end].map(|at| at.clamp(j0, j1) - j0);
            scores[..from].fill(f32::NEG_INFINITY);
            scores[to.max(from)..].fill(f32::NEG_INFINITY);
        } else {
            leave(scores, context.domain.of_row(point, row, &(j0..j1)));
        }
    }
}

/// Takes the scores out of which `bits` has none.
fn leave(scores: &mut [f32], bits: u64) {
    let count = scores.len();
    let first = (bits.trailing_zeros() as usize).min(count);
    let after = (u64::BITS - bits.leading_zeros()) as usize;
    let (before, rest) = scores.split_at_mut(first);
    before.fill(f32::NEG_INFINITY);
    let (inside, behind) = rest.split_at_mut(after.min(count).saturating_sub(first));
    behind.fill(f32::NEG_INFINITY);
    let mut holes = !(bits >> (first % 64));
    holes &= u64::MAX.checked_shr(64 - inside.len() as u32).unwrap_or(0);
    while holes != 0 {
        inside[holes.trailing_zeros() as usize] = f32::NEG_INFINITY;
        holes &= holes - 1;
    }
}

unsafe extern "C" fn classify(
    ctx: *const c_void,
    point: usize,
    i0: usize,
    i1: usize,
    j0: usize,
    j1: usize,
) -> TileKind {
    // SAFETY: as for `interior`.
    let context = unsafe { &*ctx.cast::<Context<'_>>() };
    let known = context.domain.of_tile(point, i0..i1, j0..j1);
    match known.or_else(|| context.look(i0..i1, j0..j1, point)) {
        Some(true) => TileKind::Interior,
        Some(false) => TileKind::Skip,
        None => TileKind::Edge,
    }
}

/// Memory of tile kernels on one thread, kept from tile to tile.
#[derive(Default)]
struct Memory {
    scratch: Option<Block>,
    symbols: Vec<i64>,
    sizes: Vec<i64>,
    buffers: Vec<*mut u8>,
    /// A tile that is looked at before it is computed.
    looked: Vec<f32>,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

impl Context<'_> {
    /// Whether all of a tile is in the domain, or nothing, by asking its mask; larger pieces than
    /// tiles are not looked at.
    fn look(&self, rows: Range<usize>, keys: Range<usize>, point: usize) -> Option<bool> {
        let (height, width) = (rows.len(), keys.len());
        if self.mask.is_none() || height > TILE.0 || width > TILE.1 {
            return None;
        }
        let mut looked = MEMORY.with_borrow_mut(|memory| std::mem::take(&mut memory.looked));
        looked.clear();
        looked.resize(height * width, 0.0);
        let at = [width, rows.start, rows.end, keys.start, keys.end];
        self.rewrite(2, looked.as_mut_ptr(), at, point);
        let seen = looked.iter().filter(|score| **score == 0.0).count();
        let all = looked.len();
        MEMORY.with_borrow_mut(|memory| memory.looked = looked);
        match seen {
            0 => Some(false),
            seen => (seen == all).then_some(true),
        }
    }

    /// Runs the tile kernel with this number over a tile.
    fn rewrite(&self, which: usize, tile: *mut f32, at: [usize; 5], point: usize) {
        let Some(tiles) = [&self.interior, &self.edge, &self.mask][which] else {
            return;
        };
        let [ld, i0, i1, j0, j1] = at;
        let result = MEMORY.with_borrow_mut(|memory| {
            let Memory {
                scratch: block,
                symbols,
                sizes,
                buffers,
                ..
            } = memory;
            symbols.clear();
            symbols.extend([ld, i1 - i0, j1 - j0, i0, j0].map(|value| value as i64));
            let own = point * self.axes..(point + 1) * self.axes;
            symbols.extend_from_slice(&self.positions[own]);
            sizes.clear();
            sizes.extend(tiles.bound.sizes(symbols));
            buffers.clear();
            buffers.push(tile.cast());
            buffers.extend(tiles.bases.iter().map(|base| base.0));
            let wanted = tiles.compiled.scratch_bytes(sizes).max(tiles.bound.scratch);
            if block.as_ref().is_none_or(|block| block.bytes() < wanted) {
                *block = Block::unwritten(wanted);
            }
            let scratch = block.as_ref().map_or(Base::NOWHERE, Block::base);
            let points = tiles.compiled.points(sizes);
            // SAFETY: the kernel was planned for a tile of these rows and keys with rows `ld`
            // elements apart, which the routine owns meanwhile; its other buffers are as long as
            // the views of the section; scratch is this thread's own.
            unsafe { tiles.compiled.run(buffers, sizes, 0..points, scratch.0) }
        });
        if let Err(failure) = result {
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert((which, failure));
        }
    }
}
