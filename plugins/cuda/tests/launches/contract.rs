//! Products of every shape that a way of their own is made for.

use crate::host::{assert_close, emulator, noise, plan, run};

/// `y[…] = Σ x · w` for shapes of named axes: `x` over b, m, k and `w` over b, k, n in some orders.
fn check(orders: [&str; 3], dtype: &str, shapes: &[[usize; 4]]) {
    let Some(emulator) = emulator() else { return };
    let ty = |order: &str| {
        let axes: Vec<String> = order.chars().map(|axis| axis.to_string()).collect();
        format!("{dtype}[{}]", axes.join(", "))
    };
    let [x, w, y] = orders;
    let graph = format!(
        "axis b\naxis m\naxis n\naxis k\ngraph g(x: {}, w: {}) -> (y: {}) {{\n  %0 = contract x, w {{over: k}} : {}\n  return %0\n}}\n",
        ty(x),
        ty(w),
        ty(y),
        ty(y)
    );
    let plan = plan(&graph);
    for [b, m, n, k] in shapes.iter().copied() {
        let extent = |axis: char| match axis {
            'b' => b,
            'm' => m,
            'n' => n,
            _ => k,
        };
        let place = |order: &str, at: [usize; 4]| {
            order.chars().fold(0, |all, axis| {
                let own = match axis {
                    'b' => at[0],
                    'm' => at[1],
                    'n' => at[2],
                    _ => at[3],
                };
                all * extent(axis) + own
            })
        };
        let count: usize = y.chars().map(extent).product();
        let mut expected = vec![0.0; count];
        let batches = if y.contains('b') { b } else { 1 };
        for bi in 0..batches {
            for mi in 0..m {
                for ni in 0..n {
                    let terms = (0..k).map(|ki| {
                        noise("x", place(x, [bi, mi, ni, ki]))
                            * noise("w", place(w, [bi, mi, ni, ki]))
                    });
                    expected[place(y, [bi, mi, ni, 0])] = terms.sum();
                }
            }
        }
        let sizes = [
            ("b", b as i64),
            ("m", m as i64),
            ("n", n as i64),
            ("k", k as i64),
        ];
        let found = run(&emulator, &plan, &sizes, &noise).unwrap();
        assert_close(
            &format!("{orders:?} {dtype} {b}×{m}×{n}×{k}"),
            &found[0],
            &expected,
        );
    }
}

const SHAPES: &[[usize; 4]] = &[
    [2, 1, 5, 40],
    [1, 3, 70, 33],
    [3, 7, 1, 65],
    [1, 130, 2, 9],
    [2, 66, 70, 17],
    [1, 9, 129, 1],
    [1, 16, 16, 0],
    [1, 0, 4, 4],
];

#[test]
fn rows_and_columns_as_they_lie() {
    check(["mk", "kn", "mn"], "f32", SHAPES);
    check(["mk", "nk", "mn"], "f32", SHAPES);
    check(["km", "kn", "mn"], "f32", SHAPES);
    check(["km", "nk", "mn"], "f32", SHAPES);
}

#[test]
fn batches_and_doubles() {
    check(["bmk", "bkn", "bmn"], "f32", SHAPES);
    check(["mbk", "bnk", "mbn"], "f64", SHAPES);
}
