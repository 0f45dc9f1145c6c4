//! Primitives with a routine of their own.

use crate::host::{assert_close, emulator, noise, plan, run};

/// Runs a graph over `x: DTYPE[r, n]`, and more inputs if the text has them.
fn results(
    graph: &str,
    r: usize,
    n: usize,
    given: &dyn Fn(&str, usize) -> f64,
) -> Option<Vec<f64>> {
    let emulator = emulator()?;
    let plan = plan(graph);
    let sizes = [("r", r as i64), ("n", n as i64)];
    Some(run(&emulator, &plan, &sizes, given).unwrap().remove(0))
}

const SHAPES: &[(usize, usize)] = &[(3, 7), (1, 1), (2, 300), (0, 4), (5, 0)];

/// Rows that are sorted in one stretch of memory, in several, and up to a border.
const LONG: &[(usize, usize)] = &[(2, 5000), (1, 2048), (3, 65)];

#[test]
fn running_combinations() {
    type Combine = fn(f64, f64) -> f64;
    let larger = |x: f64, y: f64| if x > y || x.is_nan() { x } else { y };
    let all: [(&str, &str, Combine, f64); 4] = [
        ("f32", "sum", |x, y| x + y, 0.0),
        ("f32", "prod", |x, y| x * y, 1.0),
        ("f32", "max", larger, f64::NEG_INFINITY),
        ("i32", "sum", |x, y| x + y, 0.0),
    ];
    for (dtype, word, combine, identity) in all {
        for (exclusive, reverse) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut flags = String::new();
            if exclusive {
                flags.push_str(", exclusive");
            }
            if reverse {
                flags.push_str(", reverse");
            }
            let graph = format!(
                "axis r\naxis n\ngraph g(x: {dtype}[r, n]) -> (y: {dtype}[r, n]) {{\n\
                 %0 = cumulate x {{axis: n, combine: {word}{flags}}} : {dtype}[r, n]\nreturn %0\n}}\n"
            );
            for (r, n) in SHAPES.iter().copied() {
                let given = |name: &str, at: usize| {
                    let own = noise(name, at);
                    match dtype {
                        "i32" => (own * 100.0).trunc(),
                        _ if word == "prod" => 1.0 + own / 8.0,
                        // One that is no number, past which running sums are none.
                        _ if word == "max" && n == 300 && at == 200 => f64::NAN,
                        _ => own,
                    }
                };
                let given = |name: &str, at: usize| f64::from(given(name, at) as f32);
                let mut expected = vec![0.0; r * n];
                for row in 0..r {
                    let mut sum = identity;
                    for place in 0..n {
                        let place = if reverse { n - 1 - place } else { place };
                        let next = combine(sum, given("x", row * n + place));
                        expected[row * n + place] = if exclusive { sum } else { next };
                        sum = next;
                    }
                }
                let Some(found) = results(&graph, r, n, &given) else {
                    return;
                };
                assert_close(&format!("{word} {dtype}{flags} {r} {n}"), &found, &expected);
            }
        }
    }
}

#[test]
fn order_with_ties_and_no_numbers() {
    for descending in [false, true] {
        let flag = if descending { ", descending" } else { "" };
        let graph = format!(
            "axis r\naxis n\naxis k=n over n\ngraph g(x: f32[r, n]) -> (y: i64[r, k=n]) {{\n\
             %0 = order x {{axis: n{flag}, into: k}} : i64[r, k=n]\nreturn %0\n}}\n"
        );
        for (r, n) in SHAPES.iter().chain(LONG).copied() {
            let given = |name: &str, at: usize| {
                if at % 13 == 5 {
                    f64::NAN
                } else {
                    (noise(name, at) * 4.0).round()
                }
            };
            let mut expected = Vec::new();
            for row in 0..r {
                let mut places: Vec<usize> = (0..n).collect();
                places.sort_by(|a, b| {
                    let (x, y) = (given("x", row * n + a), given("x", row * n + b));
                    let order = x
                        .partial_cmp(&y)
                        .map(|own| if descending { own.reverse() } else { own });
                    order
                        .unwrap_or_else(|| x.is_nan().cmp(&y.is_nan()))
                        .then(a.cmp(b))
                });
                expected.extend(places.into_iter().map(|place| place as f64));
            }
            let Some(found) = results(&graph, r, n, &given) else {
                return;
            };
            assert_close(&format!("order{flag} {r} {n}"), &found, &expected);
        }
    }
}

/// The largest few, of rows that are not walked one behind another; integers, whose equals are told apart by position.
#[test]
fn the_first_of_long_rows() {
    let graph = "axis k=5\ngraph g(x: i32[n=4500, r=3]) -> (y: i64[r=3, k=5]) {\n\
                 %0 = order x {axis: n, descending, into: k} : i64[r=3, k=5]\nreturn %0\n}\n";
    let given = |_: &str, at: usize| (at * 7919 % 1000) as f64;
    let Some(found) = results(graph, 0, 0, &given) else {
        return;
    };
    let mut expected = Vec::new();
    for row in 0..3 {
        let mut places: Vec<usize> = (0..4500).collect();
        places.sort_by_key(|at| (std::cmp::Reverse(given("x", at * 3 + row) as i64), *at));
        expected.extend(places[..5].iter().map(|place| *place as f64));
    }
    assert_eq!(found, expected);
}

/// Positions differ along one axis of the result and are shared along another one.
#[test]
fn positions_of_each_row() {
    let graph = "axis r\naxis n\n\
                 graph g(at: i64[q=3, n], x: f32[r, n]) -> (y: f32[r, q=3, v=70]) {\n\
                 %0 = scatter at, x {axis: v, combine: sum, over: n} : f32[r, q=3, v=70]\nreturn %0\n}\n";
    for (r, n) in [(2, 10), (4, 3000), (1, 0)] {
        let at = |q: usize, place: usize| ((place * 31 + q * 7) % 73) as f64 - 1.0;
        let given = |name: &str, place: usize| match name {
            "at" => at(place / n, place % n),
            _ => noise(name, place),
        };
        let mut expected = vec![0.0; 3 * r * 70];
        for (q, row) in (0..3).flat_map(|q| (0..r).map(move |row| (q, row))) {
            for place in 0..n {
                let to = at(q, place);
                if (0.0..70.0).contains(&to) {
                    expected[(row * 3 + q) * 70 + to as usize] += noise("x", row * n + place);
                }
            }
        }
        let Some(found) = results(graph, r, n, &given) else {
            return;
        };
        assert_close(&format!("scatter of rows {r} {n}"), &found, &expected);
    }
}

#[test]
fn values_at_positions_that_are_data() {
    for (word, dtype) in [
        ("sum", "f32"),
        ("sum", "bf16"),
        ("max", "f32"),
        ("prod", "f32"),
        ("sum", "i8"),
    ] {
        let graph = format!(
            "axis r\naxis n\naxis v=6\ngraph g(at: i64[n], x: {dtype}[n, r]) -> (y: {dtype}[r, v=6]) {{\n\
             %0 = scatter at, x {{axis: v, combine: {word}, over: n}} : {dtype}[r, v=6]\nreturn %0\n}}\n"
        );
        for (r, n) in SHAPES.iter().chain(LONG).copied() {
            // Some positions are outside.
            let given = |name: &str, at: usize| {
                if name == "at" {
                    (at * 5 % 9) as f64 - 1.0
                } else if dtype == "i8" {
                    (at % 11) as f64 - 5.0
                } else {
                    f64::from(half::bf16::from_f64(noise(name, at) + 1.0))
                }
            };
            let mut expected: Vec<Option<f64>> = vec![None; r * 6];
            for place in 0..n {
                let at = given("at", place);
                if !(0.0..6.0).contains(&at) {
                    continue;
                }
                for row in 0..r {
                    let x = given("x", place * r + row);
                    let sum = &mut expected[row * 6 + at as usize];
                    *sum = Some(match (*sum, word) {
                        (None, _) => x,
                        (Some(sum), "sum") => sum + x,
                        (Some(sum), "prod") => sum * x,
                        (Some(sum), _) => sum.max(x),
                    });
                }
            }
            let expected: Vec<f64> = expected
                .into_iter()
                .map(|own| own.unwrap_or(0.0))
                .map(|own| match dtype {
                    "bf16" => half::bf16::from_f64(own).to_f64(),
                    "i8" => f64::from(own as i64 as i8),
                    _ => own,
                })
                .collect();
            let Some(found) = results(&graph, r, n, &given) else {
                return;
            };
            assert_close(
                &format!("scatter {word} {dtype} {r} {n}"),
                &found,
                &expected,
            );
        }
    }
}

#[test]
fn windows_are_added_back() {
    let graph = "axis r\naxis n\naxis k=3\naxis i=n over n\n\
                 graph g(x: f32[i=n, k=3, r]) -> (y: f32[n, r]) {\n\
                 %0 = fold x {axis: n, from: [i: 1, k: -2], offset: 1} : f32[n, r]\nreturn %0\n}\n";
    for (r, n) in SHAPES.iter().copied() {
        let mut expected = vec![0.0; n * r];
        for i in 0..n {
            for k in 0..3 {
                let place = i as i64 - 2 * k as i64 + 1;
                if !(0..n as i64).contains(&place) {
                    continue;
                }
                for row in 0..r {
                    expected[place as usize * r + row] += noise("x", (i * 3 + k) * r + row);
                }
            }
        }
        let Some(found) = results(graph, r, n, &noise) else {
            return;
        };
        assert_close(&format!("fold {r} {n}"), &found, &expected);
    }
}

/// `SplitMix64`'s mix of the words before and the next one.
fn absorb(hash: u64, word: u64) -> u64 {
    let mut z = hash.wrapping_add((word + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[test]
fn draws_depend_on_the_key_and_the_position() {
    assert_eq!(absorb(0, 0), 0xE220_A839_7B1D_CDAF, "as published");
    let unit = 1.0 / f64::from(1 << 24);
    let first = 0xF123_4567_89AB_CDEF_u64;
    for normal in [false, true] {
        let word = if normal { "normal" } else { "uniform" };
        let graph = format!(
            "axis r\naxis n\ngraph g(x: f32[r, n]) -> (y: f32[r, n]) {{\n\
             %0 = random {{distribution: {word}, key: \"a.b\"}} : f32[r, n]\nreturn %0\n}}\n"
        );
        let plan = plan(&graph);
        for (r, n) in SHAPES.iter().copied() {
            let Some(emulator) = emulator() else {
                return;
            };
            let sizes = [
                ("r", r as i64),
                ("n", n as i64),
                ("#draw a.b", first.cast_signed()),
            ];
            let found = run(&emulator, &plan, &sizes, &noise).unwrap().remove(0);
            let places = (0..r as u64).flat_map(|row| (0..n as u64).map(move |at| (row, at)));
            let expected: Vec<f64> = places
                .map(|(row, at)| {
                    let word = absorb(absorb(first, row), at);
                    if normal {
                        let radius = ((word >> 40) + 1) as f64 * unit;
                        let angle = ((word >> 16) & 0xFF_FFFF) as f64 * unit;
                        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
                    } else {
                        (word >> 40) as f64 * unit
                    }
                })
                .collect();
            assert_close(&format!("{word} {r} {n}"), &found, &expected);
        }
    }
}
