//! Products of every shape and stride against f64, and what they promise about bits, NaN and memory.
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "calls on the same memory stand under one obligation"
)]
#![expect(clippy::float_cmp, reason = "equal bits are what is promised")]

use std::ffi::c_void;

use super::{
    Epilogue, Finish, Gemm, Group, Packed, View, ViewMut, gemm_f32, gemm_f64, gemm_grouped,
    gemm_packed,
};
use crate::guarded::Guarded;
use crate::level::{Level, available};
use crate::pool::Pool;

/// How a matrix lies in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lie {
    Rows,
    Columns,
    /// Rows with room between them.
    Wide,
    /// Every other element.
    Sparse,
    /// From the last row to the first, from the last column to the first.
    Backwards,
    /// All rows in one place.
    OneRow,
    /// All elements in one place.
    OnePlace,
}

/// Strides, the offset of element `(0, 0)`, and the number of elements.
fn strides(lie: Lie, rows: usize, cols: usize) -> (isize, isize, usize, usize) {
    let (r, c) = (rows.max(1) as isize, cols.max(1) as isize);
    let span = |row: isize, col: isize| ((r - 1) * row.abs() + (c - 1) * col.abs()) as usize + 1;
    match lie {
        Lie::Rows => (c, 1, 0, span(c, 1)),
        Lie::Columns => (1, r, 0, span(1, r)),
        Lie::Wide => (c + 5, 1, 0, span(c + 5, 1)),
        Lie::Sparse => (2 * c, 2, 0, span(2 * c, 2)),
        Lie::Backwards => (-c, -1, span(c, 1) - 1, span(c, 1)),
        Lie::OneRow => (0, 1, 0, c as usize),
        Lie::OnePlace => (0, 0, 0, 1),
    }
}

/// Numbers between -1 and 1 that all differ.
fn number(seed: usize, i: usize, j: usize) -> f64 {
    let mixed = (seed * 7919 + i * 104_729 + j * 1_299_709).wrapping_mul(2_654_435_769) as u32;
    f64::from(mixed >> 8) / f64::from(1 << 23) - 1.0
}

macro_rules! product_check {
    ($name:ident, $type:ident, $gemm:ident, $tolerance:expr) => {
        /// Compares a product with f64, for every level; all numbers of threads give the same bits. Elements touch
        /// pages that nobody may access.
        fn $name(m: usize, n: usize, k: usize, lies: [Lie; 3], accumulate: bool, batch: usize) {
            let place = |lie: Lie, rows: usize, cols: usize, seed: usize, at_end: bool| {
                let (row, col, first, count) = strides(lie, rows, cols);
                let mut memory = Guarded::<$type>::new(count * batch, at_end);
                for (i, value) in memory.elements().iter_mut().enumerate() {
                    *value = number(seed, i, 0) as $type;
                }
                (memory, row, col, first, count)
            };
            for (at_end, level) in available().into_iter().enumerate() {
                let at_end = at_end % 2 == 0;
                let (mut a, a_row, a_col, a_first, a_count) = place(lies[0], m, k, 1, at_end);
                let (mut b, b_row, b_col, b_first, b_count) = place(lies[1], k, n, 2, at_end);
                let mut bits: Option<Vec<$type>> = None;
                for threads in [1, 2, 3, 5] {
                    let (mut c, c_row, c_col, c_first, c_count) = place(lies[2], m, n, 3, at_end);
                    let before = c.elements().to_vec();
                    let (a, b) = (a.elements(), b.elements());
                    let gemm = Gemm {
                        m,
                        n,
                        k,
                        accumulate,
                        batch,
                        a: View {
                            ptr: a.as_ptr().wrapping_add(a_first),
                            row: a_row,
                            col: a_col,
                        },
                        b: View {
                            ptr: b.as_ptr().wrapping_add(b_first),
                            row: b_row,
                            col: b_col,
                        },
                        c: ViewMut {
                            ptr: c.elements().as_mut_ptr().wrapping_add(c_first),
                            row: c_row,
                            col: c_col,
                        },
                        batch_a: a_count as isize,
                        batch_b: b_count as isize,
                        batch_c: c_count as isize,
                    };
                    // SAFETY: the machine has the level; the strides stay inside the memory, and `C` lies apart.
                    unsafe { $gemm(level, &Pool::new(threads), &gemm) };
                    let c = c.elements();
                    if let Some(bits) = &bits {
                        assert_eq!(bits.as_slice(), &*c, "{threads} threads");
                        continue;
                    }
                    let mut touched = vec![false; c.len()];
                    let at =
                        |start: usize, first: usize, i: usize, row: isize, j: usize, col: isize| {
                            start + first.wrapping_add_signed(i as isize * row + j as isize * col)
                        };
                    for index in 0..batch {
                        for i in 0..m {
                            for j in 0..n {
                                let to = at(index * c_count, c_first, i, c_row, j, c_col);
                                let mut sum = if accumulate {
                                    f64::from(before[to])
                                } else {
                                    0.0
                                };
                                for depth in 0..k {
                                    let left =
                                        a[at(index * a_count, a_first, i, a_row, depth, a_col)];
                                    let right =
                                        b[at(index * b_count, b_first, depth, b_row, j, b_col)];
                                    sum += f64::from(left) * f64::from(right);
                                }
                                touched[to] = true;
                                let error = (f64::from(c[to]) - sum).abs();
                                assert!(
                                    error <= $tolerance * (k + 1) as f64,
                                    "{m}x{n}x{k} {lies:?} {}: C[{i}, {j}] = {}, not {sum}",
                                    level.name(),
                                    c[to]
                                );
                            }
                        }
                    }
                    for ((&touched, &now), &before) in touched.iter().zip(&*c).zip(&before) {
                        assert!(
                            touched || now == before,
                            "{m}x{n}x{k} {lies:?}: wrote between the elements"
                        );
                    }
                    bits = Some(c.to_vec());
                }
            }
        }
    };
}
product_check!(check_f32, f32, gemm_f32, 4e-7);
product_check!(check_f64, f64, gemm_f64, 8e-16);

const LIES: [[Lie; 3]; 12] = [
    [Lie::Rows, Lie::Rows, Lie::Rows],
    [Lie::Rows, Lie::Columns, Lie::Rows],
    [Lie::Columns, Lie::Rows, Lie::Rows],
    [Lie::Columns, Lie::Columns, Lie::Columns],
    [Lie::Rows, Lie::Rows, Lie::Columns],
    [Lie::Wide, Lie::Wide, Lie::Wide],
    [Lie::Sparse, Lie::Sparse, Lie::Sparse],
    [Lie::Backwards, Lie::Backwards, Lie::Backwards],
    [Lie::OneRow, Lie::Rows, Lie::Rows],
    [Lie::Rows, Lie::OneRow, Lie::Wide],
    [Lie::OnePlace, Lie::OnePlace, Lie::Sparse],
    [Lie::Rows, Lie::Backwards, Lie::Rows],
];

#[test]
fn small_products_of_any_stride() {
    for lies in LIES {
        for (m, n, k) in [
            (0, 3, 2),
            (3, 0, 2),
            (2, 3, 0),
            (1, 1, 1),
            (1, 5, 7),
            (5, 1, 7),
            (3, 3, 3),
            (2, 33, 17),
            (13, 31, 16),
            (4, 64, 9),
            (7, 65, 40),
            (12, 130, 3),
            (25, 16, 33),
            (1, 300, 20),
            (40, 2, 50),
        ] {
            check_f32(m, n, k, lies, m % 2 == 0, 1);
            check_f64(m, n, k, lies, m % 2 == 1, 1);
        }
    }
}

#[test]
fn batches_of_products() {
    for lies in [LIES[0], LIES[1], LIES[3], LIES[6], LIES[7]] {
        for (m, n, k, batch) in [
            (3, 4, 5, 7),
            (16, 16, 16, 2),
            (64, 64, 64, 3),
            (1, 40, 33, 5),
            (50, 70, 20, 12),
        ] {
            check_f32(m, n, k, lies, batch % 2 == 0, batch);
        }
    }
    check_f64(20, 33, 17, LIES[1], true, 5);
}

#[test]
fn large_products() {
    for lies in [LIES[0], LIES[1], LIES[2], LIES[4], LIES[7]] {
        for (m, n, k) in [
            (1, 700, 300),
            (5, 520, 270),
            (3, 1024, 600),
            (12, 300, 530),
            (20, 400, 200),
            (60, 300, 240),
            (97, 290, 300),
            (130, 70, 1030),
            (13, 515, 257),
        ] {
            check_f32(m, n, k, lies, k % 2 == 0, 1);
        }
    }
    check_f64(60, 300, 280, LIES[1], true, 1);
}

/// `A`, `[m, k]`, and `B`, `[k, n]`, as they lie row after row.
fn matrices(m: usize, n: usize, k: usize) -> (Vec<f32>, Vec<f32>) {
    let a = (0..m * k).map(|i| number(4, i, 0) as f32).collect();
    let b = (0..k * n).map(|i| number(5, i, 0) as f32).collect();
    (a, b)
}

fn by_rows(elements: &[f32], cols: usize) -> View<f32> {
    View {
        ptr: elements.as_ptr(),
        row: cols as isize,
        col: 1,
    }
}

fn by_rows_mut(elements: &mut [f32], cols: usize) -> ViewMut<f32> {
    ViewMut {
        ptr: elements.as_mut_ptr(),
        row: cols as isize,
        col: 1,
    }
}

/// Adds ten times the row and a tenth of the column to every element.
unsafe extern "C" fn add_place(
    context: *mut c_void,
    tile: *mut f32,
    ld: isize,
    row: usize,
    col: usize,
    rows: usize,
    cols: usize,
) {
    assert!(context.is_null());
    for i in 0..rows {
        for j in 0..cols {
            // SAFETY: inside the tile.
            unsafe {
                *tile.offset(i as isize * ld + j as isize) +=
                    (row + i) as f32 * 10.0 + (col + j) as f32 / 8.0;
            };
        }
    }
}

/// Products with packed weights have the bits of any other number of rows and threads, and the epilogue sees every
/// element once.
fn check_packed(m: usize, n: usize, k: usize) {
    let (a, b) = matrices(m, n, k);
    // SAFETY: `b` has as many elements.
    let packed = unsafe { Packed::pack(k, n, by_rows(&b, n)) };
    let turned: Vec<f32> = (0..n * k).map(|i| b[i % k * n + i / k]).collect();
    // SAFETY: as above, column after column.
    let again = unsafe { Packed::pack(k, n, by_rows(&turned, k).transposed()) };
    assert_eq!((packed.k(), packed.n()), (k, n));
    let mut back = vec![f32::NAN; k * n];
    // SAFETY: as many elements.
    unsafe { packed.unpack(by_rows_mut(&mut back, n)) };
    assert_eq!(back, b);
    let last: Vec<f32> = b.iter().skip(n - 1).step_by(n).copied().collect();
    assert_eq!(packed.column(n - 1), last);
    assert!(packed.bytes() >= k * n * 4);
    let epilogue = Epilogue {
        context: std::ptr::null_mut(),
        call: add_place,
    };
    for level in available() {
        let mut bits: Option<Vec<f32>> = None;
        for threads in [1, 2, 3, 5] {
            let pool = Pool::new(threads);
            let multiply = |rows: usize,
                            a: &[f32],
                            weights: &Packed,
                            epilogue: Option<&Epilogue>,
                            turn: bool| {
                let mut c = vec![f32::NAN; rows * n];
                let mut view = by_rows_mut(&mut c, n);
                if turn {
                    view = ViewMut {
                        ptr: view.ptr,
                        row: 1,
                        col: rows as isize,
                    };
                }
                // SAFETY: the machine has the level; the matrices have as many elements.
                unsafe {
                    gemm_packed(
                        level,
                        &pool,
                        rows,
                        by_rows(a, k),
                        weights,
                        view,
                        Finish {
                            accumulate: false,
                            epilogue,
                        },
                    );
                };
                c
            };
            let c = multiply(m, &a, &packed, None, false);
            if let Some(bits) = &bits {
                assert_eq!(*bits, c, "{threads} threads");
            } else {
                for (i, &sum) in c.iter().enumerate() {
                    let (row, col) = (i / n, i % n);
                    let exact: f64 = (0..k)
                        .map(|d| f64::from(a[row * k + d]) * f64::from(b[d * n + col]))
                        .sum();
                    assert!(
                        (f64::from(sum) - exact).abs() <= 4e-7 * (k + 1) as f64,
                        "{m}x{n}x{k} {}",
                        level.name()
                    );
                }
                assert_eq!(c, multiply(m, &a, &again, None, false));
                bits = Some(c.clone());
            }
            for (i, row) in a.chunks_exact(k).enumerate().step_by(7) {
                assert_eq!(
                    multiply(1, row, &packed, None, false),
                    c[i * n..][..n],
                    "row {i} alone"
                );
            }
            let mut twice = c.clone();
            let finish = Finish {
                accumulate: true,
                epilogue: None,
            };
            let view = by_rows_mut(&mut twice, n);
            // SAFETY: the machine has the level; the matrices have as many elements.
            unsafe { gemm_packed(level, &pool, m, by_rows(&a, k), &packed, view, finish) };
            let near =
                |(twice, once): (&f32, &f32)| (twice - 2.0 * once).abs() <= 1e-5 * (k + 1) as f32;
            assert!(twice.iter().zip(&c).all(near), "added to what is there");
            let finished = multiply(m, &a, &packed, Some(&epilogue), false);
            let turned = multiply(m, &a, &packed, Some(&epilogue), true);
            for (i, &sum) in c.iter().enumerate() {
                let expected = sum + ((i / n) as f32 * 10.0 + (i % n) as f32 / 8.0);
                assert_eq!(finished[i], expected);
                assert_eq!(turned[i % n * m + i / n], expected);
            }
        }
    }
}

#[test]
fn packed_weights() {
    for (m, n, k) in [
        (1, 1, 1),
        (1, 129, 40),
        (2, 300, 33),
        (3, 260, 20),
        (11, 96, 300),
        (100, 100, 100),
        (200, 600, 64),
    ] {
        check_packed(m, n, k);
    }
}

#[test]
fn groups_have_weights_of_their_own() {
    let (m, n, k) = (60, 70, 50);
    let (a, b) = matrices(m, 3 * n, k);
    let weights: Vec<Packed> = (0..3)
        // SAFETY: `b` has three times as many elements.
        .map(|i| unsafe { Packed::pack(k, n, by_rows(&b[i * k * n..], n)) })
        .collect();
    for level in available() {
        for threads in [1, 3] {
            let pool = Pool::new(threads);
            let mut c = vec![-5.0; m * n];
            let rows = [0..7, 7..7, 10..11, 11..55];
            let groups: Vec<Group> = rows
                .iter()
                .zip([0, 1, 2, 1])
                .map(|(rows, i)| Group {
                    rows: rows.clone(),
                    weights: &weights[i],
                })
                .collect();
            // SAFETY: the machine has the level; the matrices have as many elements.
            unsafe {
                gemm_grouped(
                    level,
                    &pool,
                    &groups,
                    by_rows(&a, k),
                    by_rows_mut(&mut c, n),
                    Finish::default(),
                );
            };
            for (i, row) in c.chunks_exact(n).enumerate() {
                let Some(group) = groups.iter().find(|group| group.rows.contains(&i)) else {
                    assert!(row.iter().all(|&v| v == -5.0));
                    continue;
                };
                let mut alone = vec![0.0; n];
                let (a, alone_view) = (by_rows(&a[i * k..], k), by_rows_mut(&mut alone, n));
                // SAFETY: as above.
                unsafe {
                    gemm_packed(
                        level,
                        &pool,
                        1,
                        a,
                        group.weights,
                        alone_view,
                        Finish::default(),
                    );
                };
                assert_eq!(alone, row);
            }
            // SAFETY: as above; there is nothing to do.
            unsafe {
                gemm_grouped(
                    level,
                    &pool,
                    &[],
                    by_rows(&a, k),
                    by_rows_mut(&mut c, n),
                    Finish::default(),
                );
            };
        }
    }
}

/// One NaN, or an infinity against zeros, reaches exactly its row and column.
fn check_spreads(level: Level, m: usize, n: usize, k: usize, turned: bool) {
    let pool = Pool::new(2);
    for (bad, other) in [(f32::NAN, 1.0), (f32::INFINITY, 0.0)] {
        let (i, d, j) = (m / 2, k - 1, n - 1);
        let mut a = vec![other; m * k];
        let mut b = vec![other; k * n];
        a[i * k + d] = bad;
        b[if turned { j * k + d } else { d * n + j }] = bad;
        let view = if turned {
            by_rows(&b, k).transposed()
        } else {
            by_rows(&b, n)
        };
        let mut c = vec![0.0; m * n];
        let gemm = Gemm {
            m,
            n,
            k,
            a: by_rows(&a, k),
            b: view,
            c: by_rows_mut(&mut c, n),
            accumulate: false,
            batch: 1,
            batch_a: 0,
            batch_b: 0,
            batch_c: 0,
        };
        // SAFETY: the machine has the level; the matrices have as many elements.
        unsafe { gemm_f32(level, &pool, &gemm) };
        // SAFETY: as above.
        let packed = unsafe { Packed::pack(k, n, view) };
        let mut again = vec![0.0; m * n];
        // SAFETY: as above.
        unsafe {
            gemm_packed(
                level,
                &pool,
                m,
                by_rows(&a, k),
                &packed,
                by_rows_mut(&mut again, n),
                Finish::default(),
            );
        };
        for c in [c, again] {
            for (at, sum) in c.iter().enumerate() {
                let meets = at / n == i || at % n == j;
                // Where both infinities meet, the product is infinite.
                let both = bad.is_infinite() && at / n == i && at % n == j;
                assert_eq!(
                    sum.is_nan(),
                    meets && (!both || k > 1 && other.is_nan()),
                    "{m}x{n}x{k} {at}"
                );
            }
        }
    }
}

#[test]
fn nan_and_infinity_spread() {
    for level in available() {
        for turned in [false, true] {
            for (m, n, k) in [
                (1, 40, 20),
                (3, 200, 400),
                (8, 33, 17),
                (64, 64, 64),
                (40, 300, 300),
            ] {
                check_spreads(level, m, n, k, turned);
            }
        }
    }
}
