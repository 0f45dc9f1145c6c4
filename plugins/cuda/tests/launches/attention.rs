//! Softmax attention: masks of every kind, few rows and many, empty domains.

use crate::host::{assert_close, emulator, noise, plan, run};

/// Whether a query sees a key.
type Sees<'a> = &'a dyn Fn(usize, usize) -> bool;

const HEADS: usize = 2;
const WIDTH: usize = 8;
const VALUES: usize = 5;

/// Attention whose scores are masked by the steps in `mask`, which end in `%kept`.
fn check(name: &str, mask: &str, sizes: &[(usize, usize)], sees: Sees<'_>) {
    let Some(emulator) = emulator() else { return };
    let softmax = if mask.is_empty() {
        "softmax %1 {over: s}".to_owned()
    } else {
        "softmax %1, %9 {over: s}".to_owned()
    };
    let graph = format!(
        "axis t\naxis s\naxis h={HEADS}\naxis d={WIDTH}\naxis f={VALUES}\n\
         graph g(q: f32[h={HEADS}, t, d={WIDTH}], k: f32[h={HEADS}, s, d={WIDTH}], v: f32[h={HEADS}, s, f={VALUES}]) \
         -> (y: f32[h={HEADS}, t, f={VALUES}]) {{\n\
         %0 = contract q, k {{over: d}} : f32[h={HEADS}, t, s]\n\
         %20 = const 0.5 : f32\n\
         %1 = mul %0, %20 : f32[h={HEADS}, t, s]\n\
         {mask}\
         %10 = {softmax} : f32[h={HEADS}, t, s]\n\
         %11 = contract %10, v {{over: s}} : f32[h={HEADS}, t, f={VALUES}]\n\
         return %11\n}}\n"
    );
    let plan = plan(&graph);
    let launches = &plan.root.launches;
    let is_attention = |launch: &girih_plan::plan::Launch| {
        matches!(launch.work, girih_plan::plan::Work::Attention(_))
    };
    assert!(launches.iter().any(is_attention), "{name} is attention");
    for (t, s) in sizes.iter().copied() {
        let mut expected = Vec::new();
        for h in 0..HEADS {
            for i in 0..t {
                let score = |j: usize| {
                    let dot: f64 = (0..WIDTH)
                        .map(|e| {
                            noise("q", (h * t + i) * WIDTH + e)
                                * noise("k", (h * s + j) * WIDTH + e)
                        })
                        .sum();
                    0.5 * dot
                };
                let kept: Vec<usize> = (0..s).filter(|j| sees(i, *j)).collect();
                let top = kept
                    .iter()
                    .map(|j| score(*j))
                    .fold(f64::NEG_INFINITY, f64::max);
                let weights: Vec<f64> = kept.iter().map(|j| (score(*j) - top).exp()).collect();
                let total: f64 = weights.iter().sum();
                for f in 0..VALUES {
                    let own = kept.iter().zip(&weights);
                    let sum: f64 = own
                        .map(|(j, w)| w * noise("v", (h * s + j) * VALUES + f))
                        .sum();
                    expected.push(if kept.is_empty() { 0.0 } else { sum / total });
                }
            }
        }
        let found = run(
            &emulator,
            &plan,
            &[("t", t as i64), ("s", s as i64)],
            &noise,
        )
        .unwrap();
        assert_close(&format!("{name} {t} {s}"), &found[0], &expected);
    }
}

const SIZES: &[(usize, usize)] = &[
    (1, 1),
    (1, 300),
    (3, 33),
    (5, 5),
    (40, 70),
    (70, 40),
    (33, 300),
];

#[test]
fn every_key_counts() {
    check("all", "", SIZES, &|_, _| true);
}

#[test]
fn earlier_keys_count() {
    let mask = "%2 = index {axis: t} : i64[t]\n%3 = index {axis: s} : i64[s]\n%9 = le %3, %2 : bool[s, t]\n";
    check("causal", mask, SIZES, &|i, j| j <= i);
}

#[test]
fn keys_of_a_window_count_and_some_rows_see_none() {
    let mask = "%2 = index {axis: t} : i64[t]\n%3 = index {axis: s} : i64[s]\n%4 = const 9 : i64\n\
                %5 = add %3, %4 : i64[s]\n%6 = lt %3, %2 : bool[s, t]\n%7 = gt %5, %2 : bool[s, t]\n\
                %9 = and %6, %7 : bool[s, t]\n";
    check("window", mask, SIZES, &|i, j| j < i && j + 9 > i);
}

#[test]
fn keys_count_that_nothing_is_known_of() {
    let mask = "%2 = index {axis: t} : i64[t]\n%3 = index {axis: s} : i64[s]\n%4 = add %2, %3 : i64[t, s]\n\
                %5 = const 3 : i64\n%6 = rem %4, %5 : i64[t, s]\n%7 = const 1 : i64\n%9 = eq %6, %7 : bool[t, s]\n";
    check("every third", mask, SIZES, &|i, j| (i + j) % 3 == 1);
}

/// Rows and keys whose labels are equal, of documents one behind another.
#[test]
fn keys_of_the_same_document_count() {
    let mask = "%2 = index {axis: t} : i64[t]\n%3 = index {axis: s} : i64[s]\n%4 = const 37 : i64\n\
                %5 = floor_div %2, %4 : i64[t]\n%6 = floor_div %3, %4 : i64[s]\n%9 = eq %5, %6 : bool[t, s]\n";
    check("documents", mask, SIZES, &|i, j| i / 37 == j / 37);
}
