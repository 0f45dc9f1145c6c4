//! Products of every shape that a way of their own is made for, by generated code and by the driver.

use girih_cuda::run::Products;
use girih_graph::DType;

use crate::host::{Ready, assert_close, bytes, emulator, noise, numbers, plan};

/// `y[…] = Σ x · w` for shapes of named axes: `x` over b, m, k and `w` over b, k, n in some orders. Factors have this dtype
/// in memory, the result is `f64` if they are, else `f32`.
fn check(orders: [&str; 3], dtype: DType, shapes: &[[usize; 4]]) {
    let Some(emulator) = emulator() else { return };
    let result = if dtype == DType::F64 {
        DType::F64
    } else {
        DType::F32
    };
    let ty = |dtype: DType, order: &str| {
        let axes: Vec<String> = order.chars().map(|axis| axis.to_string()).collect();
        format!("{dtype}[{}]", axes.join(", "))
    };
    let [x, w, y] = orders;
    let graph = format!(
        "axis b\naxis m\naxis n\naxis k\ngraph g(x: {}, w: {}) -> (y: {y_ty}) {{\n\
         %0 = cast x : {}\n%1 = cast w : {}\n%2 = contract %0, %1 {{over: k}} : {y_ty}\nreturn %2\n}}\n",
        ty(dtype, x),
        ty(dtype, w),
        ty(result, x),
        ty(result, w),
        y_ty = ty(result, y),
    );
    let noise = |name: &str, at: usize| numbers(dtype, &bytes(dtype, &[noise(name, at)]))[0];
    let plan = plan(&graph);
    let ready = Ready::new(&emulator, &plan).unwrap();
    assert_eq!(ready.products(), [(dtype, result)]);
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
        let terms = count * k;
        for (products, wanted) in [(Products::Off, 0), (Products::All, usize::from(terms > 0))] {
            let (found, own) = ready.run(&sizes, &noise, products);
            let what = format!("{orders:?} {dtype} {b}×{m}×{n}×{k}, {products:?}");
            assert_eq!(own, wanted, "{what}");
            assert_close(&what, &found[0], &expected);
        }
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
    check(["mk", "kn", "mn"], DType::F32, SHAPES);
    check(["mk", "nk", "mn"], DType::F32, SHAPES);
    check(["km", "kn", "mn"], DType::F32, SHAPES);
    check(["km", "nk", "mn"], DType::F32, SHAPES);
}

#[test]
fn batches_and_doubles() {
    check(["bmk", "bkn", "bmn"], DType::F32, SHAPES);
    check(["mbk", "bnk", "mbn"], DType::F64, SHAPES);
}

#[test]
fn factors_of_sixteen_bits_are_read_as_they_are() {
    check(["mk", "kn", "mn"], DType::BF16, SHAPES);
    check(["mk", "nk", "mn"], DType::F16, SHAPES);
    check(["bmk", "bkn", "bmn"], DType::BF16, SHAPES);
}

/// How many products of a graph over `t` are the driver's, and whether they give what generated code does.
fn check_products(graph: &str, t: i64, products: Products, wanted: usize) {
    let Some(emulator) = emulator() else { return };
    let plan = plan(graph);
    let ready = Ready::new(&emulator, &plan).unwrap();
    let (expected, none) = ready.run(&[("t", t)], &noise, Products::Off);
    let (found, own) = ready.run(&[("t", t)], &noise, products);
    assert_eq!((none, own), (0, wanted), "{graph}");
    for (found, expected) in found.iter().zip(&expected) {
        assert_close(graph, found, expected);
    }
}

/// Weights lie head by head, what they give in one row: columns in two directions, one of them a batch.
const HEADS: &str = "axis t
graph g(x: f32[t, d=32], w: f32[h=4, d=32, e=16]) -> (y: f32[t, h=4, e=16]) {
  %0 = contract x, w {over: d} : f32[t, h=4, e=16]
  return %0
}
";

#[test]
fn a_second_direction_is_a_batch() {
    check_products(HEADS, 11, Products::All, 1);
}

/// Sums over two directions that do not lie behind one another.
const TWO_SUMS: &str = "axis t
graph g(x: f32[h=4, t, e=16], w: f32[d=32, h=4, e=16]) -> (y: f32[t, d=32]) {
  %0 = contract x, w {over: [h, e]} : f32[t, d=32]
  return %0
}
";

#[test]
fn two_sums_are_generated() {
    check_products(TWO_SUMS, 11, Products::All, 0);
}

/// Two products: of `t·64·64` multiplications, and of `t·4·64`.
const LARGE: &str = "axis t
graph g(x: f32[t, d=64], w: f32[e=64, d=64], v: f32[f=4, e=64]) -> (y: f32[t, f=4]) {
  %0 = contract x, w {over: d} : f32[t, e=64]
  %1 = contract %0, v {over: e} : f32[t, f=4]
  return %1
}
";

#[test]
fn what_is_worth_a_call_is_called() {
    // Few rows, little work, and then one of two: the other has few columns.
    check_products(LARGE, 8, Products::Large, 0);
    check_products(LARGE, 15, Products::Large, 0);
    check_products(LARGE, 16, Products::Large, 1);
    check_products(LARGE, 16, Products::All, 2);
}

/// Factors of 16 bits, products with others, and one that is joined of parts.
const NARROW: &str = "axis t
graph g(x: bf16[t, d=64], w: bf16[e=48, d=64], z: f32[t, d=64], u: f16[t, d=64]) -> (y: bf16[t, e=48], m: f32[t, e=48], o: f32[t, e=48]) {
  %0 = contract x, w {over: d} : bf16[t, e=48]
  %1 = sigmoid %0 : bf16[t, e=48]
  %2 = cast w : f32[e=48, d=64]
  %3 = contract z, %2 {over: d} : f32[t, e=48]
  %4 = cast u : f32[t, d=64]
  %5 = contract %4, %2 {over: d} : f32[t, e=48]
  return %1, %3, %5
}
";

#[test]
fn only_equal_factors_stay_narrow() {
    let Some(emulator) = emulator() else { return };
    let plan = plan(NARROW);
    let products = Ready::new(&emulator, &plan).unwrap().products();
    let wide = (DType::F32, DType::F32);
    assert_eq!(products, [(DType::BF16, DType::F32), wide, wide]);
    check_products(NARROW, 40, Products::Large, 3);
}
