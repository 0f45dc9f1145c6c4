//! Products in brain floats against f64 products of the rounded numbers.
#![expect(clippy::float_cmp, reason = "equal bits are what is promised")]

use std::ffi::c_void;

use super::product::Target;
use super::tiles::multiply;
use super::{Bf16Matrix, Finish, bf16_matmul};
use crate::gemm::{Epilogue, View, ViewMut};
use crate::guarded::Guarded;
use crate::level::{Level, available};
use crate::pool::Pool;
use crate::tiles::emulated::Emulated;

/// Numbers between -1 and 1 with more bits than bf16 has.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    (0..count as u32)
        .map(|i| ((i + seed).wrapping_mul(2_654_435_769) >> 8) as f32 / 8_388_608.0 - 1.0)
        .collect()
}

/// The nearest bf16, ties to even.
fn rounded(x: f32) -> f64 {
    let bits = x.to_bits();
    let below = f32::from_bits(bits & 0xffff_0000);
    let above = f32::from_bits((bits & 0xffff_0000) + 0x1_0000);
    let (under, over) = ((x - below).abs(), (above - x).abs());
    let down = under < over || under == over && bits >> 16 & 1 == 0;
    f64::from(if down { below } else { above })
}

fn view(elements: &[f32], row: usize, col: usize) -> View<f32> {
    View {
        ptr: elements.as_ptr(),
        row: row as isize,
        col: col as isize,
    }
}

/// What computes.
#[derive(Clone, Copy, Debug)]
enum By {
    Level(Level),
    /// Tiles, by a unit in plain Rust.
    Tiles,
}

/// All levels of the machine, and tiles, which few machines have.
fn all() -> impl Iterator<Item = By> {
    available().into_iter().map(By::Level).chain([By::Tiles])
}

/// One product of rows as they lie, or turned; operands touch guard pages.
fn product(
    by: By,
    threads: usize,
    m: usize,
    a: &[f32],
    b: &Bf16Matrix,
    turned: bool,
    epilogue: Option<&Epilogue>,
) -> Vec<f32> {
    let (k, n) = (b.k(), b.n());
    let step = |rows: usize, cols: usize| if turned { (1, rows) } else { (cols, 1) };
    let ((a_row, a_col), (c_row, c_col)) = (step(m, k), step(m, n));
    let (mut source, mut target) = (
        Guarded::<f32>::new(m * k, threads % 2 == 1),
        Guarded::<f32>::new(m * n, threads % 2 == 1),
    );
    for (i, &element) in a.iter().enumerate() {
        source.elements()[i / k * a_row + i % k * a_col] = element;
    }
    let c = ViewMut {
        ptr: target.elements().as_mut_ptr(),
        row: c_row as isize,
        col: c_col as isize,
    };
    let (pool, a) = (Pool::new(threads), view(source.elements(), a_row, a_col));
    let finish = Finish {
        accumulate: false,
        epilogue,
    };
    match by {
        // SAFETY: the machine has the level; the elements are there.
        By::Level(level) => unsafe { bf16_matmul(level, &pool, m, a, b, c, finish) },
        By::Tiles => {
            let target = Target { c, finish };
            let level = Level::Baseline;
            // SAFETY: every machine has the unit and the level; the elements are there.
            unsafe { multiply::<Emulated>(level, &pool, m, a, b, &target) };
        }
    }
    let c = target.elements();
    (0..m * n)
        .map(|i| c[i / n * c_row + i % n * c_col])
        .collect()
}

/// Adds the row and a hundredth of the column.
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
            let at = tile.wrapping_offset(i as isize * ld + j as isize);
            // SAFETY: inside the tile.
            unsafe { *at += place(row + i, col + j) };
        }
    }
}

fn place(row: usize, col: usize) -> f32 {
    row as f32 + col as f32 / 128.0
}

fn check(m: usize, n: usize, k: usize) {
    let (a, b) = (numbers(m * k, 1), numbers(k * n, 77));
    // SAFETY: `b` has as many elements.
    let packed = unsafe { Bf16Matrix::pack(k, n, view(&b, n, 1)) };
    assert_eq!((packed.k(), packed.n()), (k, n));
    assert_eq!(
        packed.bytes(),
        k.next_multiple_of(32) * n.next_multiple_of(32) * 2
    );
    let epilogue = Epilogue {
        context: std::ptr::null_mut(),
        call: add_place,
    };
    for by in all() {
        let what = format!("{m} x {n} x {k} {by:?}");
        let c = product(by, 1, m, &a, &packed, false, None);
        for (i, &c) in c.iter().enumerate() {
            let term = |d| rounded(a[i / n * k + d]) * rounded(b[d * n + i % n]);
            let exact: f64 = (0..k).map(term).sum();
            assert!(
                (f64::from(c) - exact).abs() <= 3e-7 * (k + 1) as f64,
                "{what}: {c} {exact}"
            );
        }
        for threads in [2, 3] {
            assert_eq!(
                c,
                product(by, threads, m, &a, &packed, threads == 3, None),
                "{what}"
            );
        }
        for (row, c) in a.chunks_exact(k).zip(c.chunks_exact(n)).step_by(5) {
            assert_eq!(
                c,
                product(by, 1, 1, row, &packed, false, None),
                "{what}, one row"
            );
        }
        for turned in [false, true] {
            let finished = product(by, 2, m, &a, &packed, turned, Some(&epilogue));
            for (i, (finished, c)) in finished.iter().zip(&c).enumerate() {
                assert_eq!(*finished, c + place(i / n, i % n), "{what}, epilogue");
            }
        }
    }
}

#[test]
fn products_of_rounded_numbers() {
    for (m, n, k) in [
        (1, 1, 1),
        (1, 33, 2),
        (3, 32, 65),
        (7, 31, 64),
        (13, 100, 40),
        (40, 70, 129),
        (1, 500, 300),
    ] {
        check(m, n, k);
    }
}

#[test]
fn nan_and_infinity_spread() {
    let (m, n, k) = (9, 40, 30);
    for bad in [f32::NAN, f32::INFINITY] {
        let (mut a, mut b) = (vec![1.0; m * k], vec![1.0; k * n]);
        a[4 * k + 7] = bad;
        b[9 * n + 35] = bad;
        // SAFETY: `b` has as many elements.
        let packed = unsafe { Bf16Matrix::pack(k, n, view(&b, n, 1)) };
        for by in all() {
            for (i, c) in product(by, 2, m, &a, &packed, false, None)
                .iter()
                .enumerate()
            {
                let meets = i / n == 4 || i % n == 35;
                let wanted = if meets { bad } else { k as f32 };
                assert!(*c == wanted || wanted.is_nan() && c.is_nan(), "{i}: {c}");
            }
        }
    }
}

#[test]
fn empty_products() {
    for (m, n, k) in [(0, 3, 4), (2, 0, 4)] {
        let b = numbers(k * n, 3);
        // SAFETY: `b` has as many elements.
        let packed = unsafe { Bf16Matrix::pack(k, n, view(&b, n, 1)) };
        for by in all() {
            let c = product(by, 2, m, &numbers(m * k, 1), &packed, false, None);
            assert!(c.is_empty());
        }
    }
    // A sum of nothing is 0.
    // SAFETY: there are no elements.
    let packed = unsafe { Bf16Matrix::pack(0, 5, view(&[], 5, 1)) };
    for by in all() {
        assert_eq!(product(by, 1, 2, &[], &packed, false, None), [0.0; 10]);
    }
}
