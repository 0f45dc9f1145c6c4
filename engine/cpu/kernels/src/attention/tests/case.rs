//! Running a problem at every level with several numbers of threads, and its definition.

use core::ops::Range;
use core::ptr::null_mut;

use super::super::*;
use super::domain::{Domain, Rule, Told, bias, classify, edge, interior};
use super::memory::{Operand, Order, for_each};
use crate::level::available;

/// One problem; `fill` gives the elements of q, k and v (operand 0, 1, 2).
#[derive(Clone)]
pub(super) struct Case {
    pub(super) points: usize,
    pub(super) group: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) features: usize,
    pub(super) values: usize,
    pub(super) scale: f32,
    pub(super) orders: [Order; 4],
    pub(super) stored: Stored,
    pub(super) rule: Option<Rule>,
    pub(super) statistics: bool,
    pub(super) at_end: bool,
    pub(super) seed: u64,
    pub(super) fill: fn(&mut Random, operand: usize, row: usize) -> f32,
}

impl Case {
    pub(super) fn new(
        points: usize,
        queries: usize,
        keys: usize,
        features: usize,
        values: usize,
    ) -> Self {
        Self {
            points,
            group: 1,
            queries,
            keys,
            features,
            values,
            scale: 1.0,
            orders: [Order::PointFirst; 4],
            stored: Stored::F32,
            rule: None,
            statistics: true,
            at_end: true,
            seed: 1,
            fill: |random, _, _| random.unit(),
        }
    }

    pub(super) fn domain(self, domain: Domain, told: Told) -> Self {
        Self {
            rule: Some(Rule {
                domain,
                slope: 0.0,
                told,
                first_query: 0,
            }),
            ..self
        }
    }

    pub(super) fn describe(&self) -> String {
        format!(
            "points {} group {} queries {} keys {} features {} values {} scale {} {:?} {:?} {:?} at end {} seed {}",
            self.points,
            self.group,
            self.queries,
            self.keys,
            self.features,
            self.values,
            self.scale,
            self.orders,
            self.stored,
            self.rule,
            self.at_end,
            self.seed
        )
    }
}

/// Largest difference of a result or a statistic, where the values are of unit size.
pub(super) const TOLERANCE: f64 = 2e-5;

/// Runs a case at every level with 1 to 3 threads and holds it against the definition.
pub(super) fn check(case: &Case) {
    let group = case.group.clamp(1, case.points.max(1));
    let sources = case.points.div_ceil(group);
    let new = |shape: [usize; 3], order, stored| Operand::new(shape, order, stored, case.at_end);
    let q = new(
        [case.points, case.queries, case.features],
        case.orders[0],
        Stored::F32,
    );
    let k = new(
        [sources, case.keys, case.features],
        case.orders[1],
        case.stored,
    );
    let v = new(
        [sources, case.keys, case.values],
        case.orders[2],
        case.stored,
    );
    let o = new(
        [case.points, case.queries, case.values],
        case.orders[3],
        Stored::F32,
    );
    let statistics = new(
        [2, case.points, case.queries],
        Order::PointFirst,
        Stored::F32,
    );
    let mut random = Random(case.seed);
    for (operand, shape) in [
        (&q, [case.points, case.queries, case.features]),
        (&k, [sources, case.keys, case.features]),
        (&v, [sources, case.keys, case.values]),
    ]
    .into_iter()
    .enumerate()
    {
        for_each(shape.1, |at| {
            shape.0.set(at, (case.fill)(&mut random, operand, at[1]));
        });
    }
    let expected = define(case, &q, &k, &v);
    let points: Vec<Point> = (0..case.points)
        .map(|point| Point {
            q: q.at(point, 0, 0).cast(),
            k: k.at(point / group, 0, 0).cast(),
            v: v.at(point / group, 0, 0).cast(),
            o: o.at(point, 0, 0).cast(),
            maximum: if case.statistics {
                statistics.at(0, point, 0).cast()
            } else {
                null_mut()
            },
            log_sum_exp: if case.statistics {
                statistics.at(1, point, 0).cast()
            } else {
                null_mut()
            },
        })
        .collect();
    let score = case.rule.as_ref().map_or(Score::NONE, |rule| Score {
        ctx: (&raw const *rule).cast(),
        interior: Some(interior),
        edge: Some(edge),
        classify: (rule.told != Told::NotAtAll).then_some(classify as Classify),
    });
    let attention = Attention {
        points: &points,
        group: case.group,
        queries: case.queries,
        keys: case.keys,
        features: case.features,
        values: case.values,
        scale: case.scale,
        q: q.strides(),
        k: k.strides(),
        v: v.strides(),
        o: o.strides(),
        statistics: 1,
        stored: case.stored,
        score,
    };
    for level in available() {
        let mut first: Option<Vec<u32>> = None;
        for threads in 1..=3 {
            for_each([case.points, case.queries, case.values], |at| {
                o.set(at, 77.0);
            });
            let pool = Pool::new(threads);
            // SAFETY: operands and score functions are as described; the level is available.
            unsafe { attention_f32(level, &pool, &attention) };
            let mut found = Vec::new();
            for_each([case.points, case.queries, case.values], |at| {
                found.push(o.get(at));
            });
            if case.statistics {
                for_each([2, case.points, case.queries], |at| {
                    found.push(statistics.get(at));
                });
            }
            for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let found = f64::from(*found);
                let near = (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0);
                assert!(
                    near || found.total_cmp(expected).is_eq()
                        || found.is_nan() && expected.is_nan(),
                    "number {index} is {found} instead of {expected}: {level:?}, {threads} threads, {}",
                    case.describe()
                );
            }
            let bits: Vec<u32> = found.iter().map(|x| x.to_bits()).collect();
            let first = first.get_or_insert_with(|| bits.clone());
            assert!(
                *first == bits,
                "{threads} threads change the result: {level:?}, {}",
                case.describe()
            );
        }
    }
}

/// The definition in f64: results, then maxima, then log-sum-exps.
fn define(case: &Case, q: &Operand, k: &Operand, v: &Operand) -> Vec<f64> {
    let group = case.group.clamp(1, case.points.max(1));
    let (mut results, mut maxima, mut sums) = (Vec::new(), Vec::new(), Vec::new());
    for point in 0..case.points {
        for i in 0..case.queries {
            let score = |j: usize| {
                let dot: f64 = (0..case.features)
                    .map(|e| {
                        f64::from(q.get([point, i, e])) * f64::from(k.get([point / group, j, e]))
                    })
                    .sum();
                let score = dot * f64::from(case.scale);
                match &case.rule {
                    None => score,
                    Some(rule) if rule.domain.keeps(i + rule.first_query, j) => {
                        score + f64::from(bias(rule, i, j, point))
                    }
                    Some(_) => f64::NEG_INFINITY,
                }
            };
            let scores: Vec<f64> = (0..case.keys).map(score).collect();
            let maximum = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores
                .iter()
                .map(|s| {
                    if *s == f64::NEG_INFINITY {
                        0.0
                    } else {
                        (s - maximum).exp()
                    }
                })
                .collect();
            let sum: f64 = weights.iter().sum();
            for f in 0..case.values {
                let weighted: f64 = (0..case.keys)
                    .filter(|&j| weights[j] != 0.0)
                    .map(|j| weights[j] * f64::from(v.get([point / group, j, f])))
                    .sum();
                results.push(if sum == 0.0 { 0.0 } else { weighted / sum });
            }
            maxima.push(if sum.is_nan() { sum } else { maximum });
            sums.push(if sum == 0.0 {
                f64::NEG_INFINITY
            } else {
                maximum + sum.ln()
            });
        }
    }
    results.into_iter().chain(maxima).chain(sums).collect()
}

/// Numbers that are the same in every run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(super) fn below(&mut self, range: Range<usize>) -> usize {
        range.start + (self.next() % range.len() as u64) as usize
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(0..from.len())]
    }

    /// In -1..1.
    pub(super) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}
