//! Attention beside what limits it, as ratios within one run: a packed product of the same useful
//! flops for long queries, reading keys and values once for single queries.
//!
//! `cargo bench -p girih-kernels --bench attention -- [part of a name]`
#![expect(unsafe_code, reason = "attention takes pointers and strides")]

mod timing;

use std::ffi::c_void;
use std::ptr::null_mut;

use girih_kernels::attention::{
    Attention, Classify, Point, Score, ScoreTile, Stored, Strides, TileKind, attention_f32,
};
use girih_kernels::gemm::{Finish, Packed, View, ViewMut, gemm_packed};
use girih_kernels::level::{self, Level};
use girih_kernels::{Pool, routines};
use timing::compare;

/// Length of a query, a key and a value.
const FEATURES: usize = 64;

/// Which positions are in the domain, and what is added to the scores.
#[derive(Clone, Copy)]
struct Rule {
    /// Keys from here on have to be no later than the query.
    free: usize,
    /// Queries see so many keys back.
    window: usize,
    /// Queries and keys of different stretches of this length do not meet.
    document: usize,
    /// Added per key behind the query.
    slope: f32,
}

const CAUSAL: Rule = Rule {
    free: 0,
    window: usize::MAX,
    document: usize::MAX,
    slope: 0.0,
};

impl Rule {
    fn keeps(&self, i: usize, j: usize) -> bool {
        let behind = i.saturating_sub(j);
        (j <= i || j < self.free) && behind < self.window && i / self.document == j / self.document
    }
}

/// By intervals, as a planner finds it from the domain.
unsafe extern "C" fn classify(
    ctx: *const c_void,
    _: usize,
    i0: usize,
    i1: usize,
    j0: usize,
    j1: usize,
) -> TileKind {
    // SAFETY: the benchmark passes a rule.
    let rule = unsafe { &*ctx.cast::<Rule>() };
    let (i1, j1) = (i1 - 1, j1 - 1);
    let order = (j1 <= i0 || j1 < rule.free, j0 <= i1 || j0 < rule.free);
    let window = (
        i1.saturating_sub(j0) < rule.window,
        i0.saturating_sub(j1) < rule.window,
    );
    let document = |x: usize| x / rule.document;
    let same = (
        document(i0.min(j0)) == document(i1.max(j1)),
        document(i0) <= document(j1) && document(j0) <= document(i1),
    );
    match (order.0 && window.0 && same.0, order.1 && window.1 && same.1) {
        (true, _) => TileKind::Interior,
        (_, true) => TileKind::Edge,
        (false, false) => TileKind::Skip,
    }
}

unsafe extern "C" fn slope(
    ctx: *const c_void,
    tile: *mut f32,
    ld: usize,
    i0: usize,
    i1: usize,
    j0: usize,
    j1: usize,
    _: usize,
) {
    // SAFETY: the benchmark passes a rule.
    let rule = unsafe { &*ctx.cast::<Rule>() };
    for i in i0..i1 {
        let row = tile.wrapping_add((i - i0) * ld);
        // SAFETY: a row of the tile.
        let row = unsafe { std::slice::from_raw_parts_mut(row, j1 - j0) };
        let start = rule.slope * (j0 as f32 - i as f32);
        for (index, score) in row.iter_mut().enumerate() {
            *score += start + rule.slope * index as i32 as f32;
        }
    }
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
    // SAFETY: the benchmark passes a rule.
    let rule = unsafe { &*ctx.cast::<Rule>() };
    if rule.slope > 0.0 {
        // SAFETY: handed on.
        unsafe { slope(ctx, tile, ld, i0, i1, j0, j1, point) };
    }
    for i in i0..i1 {
        let row = tile.wrapping_add((i - i0) * ld);
        // SAFETY: a row of the tile.
        let row = unsafe { std::slice::from_raw_parts_mut(row, j1 - j0) };
        for (score, j) in row.iter_mut().zip(j0..j1) {
            if !rule.keeps(i, j) {
                *score = f32::NEG_INFINITY;
            }
        }
    }
}

fn numbers(count: usize) -> Vec<f32> {
    (0..count as u32)
        .map(|i| (i.wrapping_mul(2_654_435_769) >> 8) as f32 / 8_388_608.0 - 1.0)
        .collect()
}

/// Operands of `points` heads, `group` of which share keys and values.
struct Problem {
    points: usize,
    group: usize,
    queries: usize,
    keys: usize,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

impl Problem {
    fn new(points: usize, group: usize, queries: usize, keys: usize) -> Self {
        let sources = points / group;
        Self {
            points,
            group,
            queries,
            keys,
            q: numbers(points * queries * FEATURES),
            k: numbers(sources * keys * FEATURES),
            v: numbers(sources * keys * FEATURES),
        }
    }

    fn run(&self, level: Level, pool: &Pool, rule: Option<&Rule>, o: &mut [f32]) {
        let (rows, source) = (self.queries * FEATURES, self.keys * FEATURES);
        let points: Vec<Point> = o
            .chunks_mut(rows)
            .enumerate()
            .map(|(point, o)| Point {
                q: self.q[point * rows..].as_ptr(),
                k: self.k[point / self.group * source..].as_ptr().cast(),
                v: self.v[point / self.group * source..].as_ptr().cast(),
                o: o.as_mut_ptr(),
                maximum: null_mut(),
                log_sum_exp: null_mut(),
            })
            .collect();
        let strides = Strides {
            row: FEATURES as isize,
            element: 1,
        };
        let attention = Attention {
            points: &points,
            group: self.group,
            queries: self.queries,
            keys: self.keys,
            features: FEATURES,
            values: FEATURES,
            scale: 0.125,
            q: strides,
            k: strides,
            v: strides,
            o: strides,
            statistics: 1,
            stored: Stored::F32,
            score: rule.map_or(Score::NONE, |rule| Score {
                ctx: (&raw const *rule).cast(),
                interior: (rule.slope > 0.0).then_some(slope as ScoreTile),
                edge: Some(edge),
                classify: Some(classify as Classify),
            }),
        };
        // SAFETY: operands have the sizes; the functions read the rule alone.
        unsafe { attention_f32(level, pool, &attention) };
    }
}

/// Long queries beside a product of as many useful flops.
fn prefill(name: &str, rule: Option<Rule>, threads: usize) {
    let (pool, best) = (Pool::new(threads), level::detected());
    let problem = Problem::new(8, 1, 2048, 2048);
    let kept = |i: usize| {
        let keeps = |j: &usize| rule.is_none_or(|rule| rule.keeps(i, *j));
        (0..problem.keys).filter(keeps).count()
    };
    let pairs = problem.points * (0..problem.queries).map(kept).sum::<usize>();
    let flops = (pairs * 4 * FEATURES) as f64;
    let (m, k) = (512, 512);
    let n = (flops / 2.0 / (m * k) as f64).ceil() as usize;
    let (a, b, mut c) = (numbers(m * k), numbers(k * n), vec![0.0; m * n]);
    let view = |elements: &[f32], cols: usize| View {
        ptr: elements.as_ptr(),
        row: cols as isize,
        col: 1,
    };
    // SAFETY: `b` has as many elements.
    let packed = unsafe { Packed::pack(k, n, view(&b, n)) };
    let mut limit = || {
        let c = ViewMut {
            ptr: c.as_mut_ptr(),
            row: n as isize,
            col: 1,
        };
        // SAFETY: the matrices have as many elements.
        unsafe { gemm_packed(best, &pool, m, view(&a, k), &packed, c, Finish::default()) };
    };
    let mut outputs: Vec<_> = level::available()
        .into_iter()
        .map(|level| (level, vec![0.0; problem.q.len()]))
        .collect();
    let mut runs: Vec<_> = outputs
        .iter_mut()
        .rev()
        .map(|(level, o)| {
            let (problem, pool, rule) = (&problem, &pool, &rule);
            (level.name(), move || {
                problem.run(*level, pool, rule.as_ref(), o);
            })
        })
        .collect();
    let mut alternatives: Vec<(&str, &mut dyn FnMut())> =
        vec![("product of the same flops", &mut limit)];
    for (name, run) in &mut runs {
        alternatives.push((name, run));
    }
    let what = format!("{name}: 8 heads of 64, 2048 queries and keys, {threads} threads");
    compare(&what, flops, "flop", &mut alternatives);
}

/// Single queries beside reading all keys and values.
fn decode(points: usize, group: usize, keys: usize, threads: usize) {
    let (pool, best) = (Pool::new(threads), level::detected());
    let problem = Problem::new(points, group, 1, keys);
    let sum = routines(best).sum_f32;
    let mut limit = || {
        for elements in [&problem.k, &problem.v] {
            pool.split(elements.len(), 16 * FEATURES, &|range, _| {
                // SAFETY: the range is inside the vector.
                std::hint::black_box(unsafe { sum(elements[range.clone()].as_ptr(), range.len()) });
            });
        }
    };
    let (mut o, mut o2) = (vec![0.0; problem.q.len()], vec![0.0; problem.q.len()]);
    let mut run = || problem.run(best, &pool, None, &mut o);
    let mut causal = || {
        problem.run(
            best,
            &pool,
            Some(&Rule {
                free: keys,
                ..CAUSAL
            }),
            &mut o2,
        );
    };
    let what =
        format!("one query, {points} heads of 64, {group} share {keys} keys, {threads} threads");
    let bytes = (problem.k.len() + problem.v.len()) as f64 * 4.0;
    compare(
        &what,
        bytes,
        "B",
        &mut [
            ("reading keys and values", &mut limit),
            (best.name(), &mut run),
            ("the same with a domain", &mut causal),
        ],
    );
}

fn main() {
    let part = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let wanted = |name: &str| {
        part.as_ref()
            .is_none_or(|part| name.contains(part.as_str()))
    };
    let rules = [
        ("full", None),
        ("causal", Some(CAUSAL)),
        (
            "alibi",
            Some(Rule {
                slope: 0.01,
                ..CAUSAL
            }),
        ),
        (
            "window 256",
            Some(Rule {
                window: 256,
                ..CAUSAL
            }),
        ),
        (
            "prefix 512",
            Some(Rule {
                free: 512,
                ..CAUSAL
            }),
        ),
        (
            "documents of 300",
            Some(Rule {
                document: 300,
                ..CAUSAL
            }),
        ),
    ];
    let machine = Pool::machine_threads();
    let threads: &[usize] = if machine > 1 { &[1, machine] } else { &[1] };
    for &threads in threads {
        for (name, rule) in rules {
            if wanted(name) {
                prefill(name, rule, threads);
            }
        }
        for (points, group, keys) in [(8, 1, 2048), (1, 1, 65536), (32, 4, 4096)] {
            if wanted("decode") {
                decode(points, group, keys, threads);
            }
        }
    }
}
