//! Products with every format against f64 products of weights dequantized by loops of their own.
#![expect(clippy::float_cmp, reason = "equal bits are what is promised")]

use super::{
    Finish, Int8Matrix, QuantError, QuantKind, QuantMatrix, int8_matmul, quant_matmul,
    quant_matmul_f32,
};
use crate::gemm::{View, ViewMut};
use crate::guarded::Guarded;
use crate::level::{Level, available};
use crate::pool::Pool;

/// Integers that look random.
fn mixed(seed: usize, i: usize) -> u32 {
    let mixed = (seed * 7919 + i * 104_729 + 1) as u32;
    let mixed = mixed.wrapping_mul(2_654_435_769);
    (mixed ^ mixed >> 15).wrapping_mul(0x2c1b_3c6d)
}

/// Where blocks have their f16 factors.
fn factors(kind: QuantKind) -> &'static [usize] {
    match kind {
        QuantKind::Q4_0 | QuantKind::Q5_0 | QuantKind::Q8_0 => &[0],
        QuantKind::Q4_1 | QuantKind::Q5_1 | QuantKind::Q4K | QuantKind::Q5K => &[0, 2],
        QuantKind::Q2K => &[80, 82],
        QuantKind::Q3K => &[108],
        QuantKind::Q6K => &[208],
    }
}

/// Blocks of any bits, with factors between 2^-9 and 2^-6 of either sign, or all of them 2^-6.
fn blocks(kind: QuantKind, count: usize, plain: bool) -> Vec<u8> {
    let size = kind.block_bytes();
    let mut bytes: Vec<u8> = (0..count * size)
        .map(|i| (mixed(1, i) >> 24) as u8)
        .collect();
    for (i, block) in bytes.chunks_exact_mut(size).enumerate() {
        for &at in factors(kind) {
            let bits = mixed(2, i + at);
            let exponent = if plain { 9 } else { 6 + bits % 3 };
            let rest = if plain { 0 } else { bits >> 16 & 0x83ff };
            let factor = (exponent << 10 | rest) as u16;
            block[at..at + 2].copy_from_slice(&factor.to_le_bytes());
        }
    }
    bytes
}

/// Dequantizes in the order of ggml's own loops.
fn dequantized(kind: QuantKind, bytes: &[u8]) -> Vec<f32> {
    let mut weights = Vec::new();
    for block in bytes.chunks_exact(kind.block_bytes()) {
        dequantize_block(kind, block, &mut weights);
    }
    weights
}

/// An f16 that is normal.
fn half(bytes: &[u8]) -> f32 {
    let bits = u16::from_le_bytes([bytes[0], bytes[1]]);
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    let size = (1.0 + fraction / 1024.0) * 2.0_f32.powi(exponent - 15);
    if bits >> 15 == 1 { -size } else { size }
}

fn dequantize_block(kind: QuantKind, block: &[u8], to: &mut Vec<f32>) {
    let d = half(&block[factors(kind)[0]..]);
    let least = factors(kind).get(1).map_or(0.0, |&at| half(&block[at..]));
    let bit = |byte: u8, bit: usize| f32::from(byte >> bit & 1);
    let (low, high) = (
        |byte: u8| f32::from(byte & 15),
        |byte: u8| f32::from(byte >> 4),
    );
    match kind {
        QuantKind::Q4_0 | QuantKind::Q4_1 => {
            let qs = &block[block.len() - 16..];
            let value = |q: f32| {
                if kind == QuantKind::Q4_0 {
                    d * (q - 8.0)
                } else {
                    d * q + least
                }
            };
            to.extend(qs.iter().map(|&q| value(low(q))));
            to.extend(qs.iter().map(|&q| value(high(q))));
        }
        QuantKind::Q5_0 | QuantKind::Q5_1 => {
            let (qh, qs) = block[block.len() - 20..].split_at(4);
            let value = |q: f32| {
                if kind == QuantKind::Q5_0 {
                    d * (q - 16.0)
                } else {
                    d * q + least
                }
            };
            for j in 0..16 {
                to.push(value(low(qs[j]) + 16.0 * bit(qh[j / 8], j % 8)));
            }
            for j in 0..16 {
                to.push(value(high(qs[j]) + 16.0 * bit(qh[2 + j / 8], j % 8)));
            }
        }
        QuantKind::Q8_0 => to.extend(block[2..].iter().map(|&q| d * f32::from(q.cast_signed()))),
        QuantKind::Q2K => {
            let (scales, qs) = block[..80].split_at(16);
            let mut scales = scales.iter();
            for q in qs.chunks_exact(32) {
                for shift in [0, 2, 4, 6] {
                    for q in q.chunks_exact(16) {
                        let scale = *scales.next().unwrap();
                        let value = |q: &u8| {
                            d * low(scale) * f32::from(q >> shift & 3) - least * high(scale)
                        };
                        to.extend(q.iter().map(value));
                    }
                }
            }
        }
        QuantKind::Q3K => {
            let (mask, qs, packed) = (&block[..32], &block[32..96], &block[96..108]);
            let scale = |i: usize| {
                let low = if i < 8 {
                    packed[i] & 15
                } else {
                    packed[i - 8] >> 4
                };
                let high = packed[8 + i % 4] >> (2 * (i / 4)) & 3;
                f32::from(low + 16 * high) - 32.0
            };
            let mut i = 0;
            for (n, q) in qs.chunks_exact(32).enumerate() {
                for j in 0..4 {
                    for (q, mask) in q.chunks_exact(16).zip(mask.chunks_exact(16)) {
                        for (q, &mask) in q.iter().zip(mask) {
                            let missing = 4.0 - 4.0 * bit(mask, 4 * n + j);
                            to.push(d * scale(i) * (f32::from(q >> (2 * j) & 3) - missing));
                        }
                        i += 1;
                    }
                }
            }
        }
        QuantKind::Q4K | QuantKind::Q5K => {
            let packed = &block[4..16];
            let scale = |j: usize| match j {
                0..4 => (packed[j] & 63, packed[j + 4] & 63),
                _ => (
                    packed[j + 4] & 15 | (packed[j - 4] >> 6) << 4,
                    packed[j + 4] >> 4 | (packed[j] >> 6) << 4,
                ),
            };
            let qs = &block[block.len() - 128..];
            for (j, qs) in qs.chunks_exact(32).enumerate() {
                for side in 0..2 {
                    let (scale, minimum) = scale(2 * j + side);
                    for (l, &q) in qs.iter().enumerate() {
                        let mut q = if side == 0 { low(q) } else { high(q) };
                        if kind == QuantKind::Q5K {
                            q += 16.0 * bit(block[16 + l], 2 * j + side);
                        }
                        to.push(d * f32::from(scale) * q - least * f32::from(minimum));
                    }
                }
            }
        }
        QuantKind::Q6K => {
            for n in 0..2 {
                let (ql, qh) = (&block[64 * n..][..64], &block[128 + 32 * n..][..32]);
                let scales = &block[192 + 8 * n..][..8];
                for quarter in 0..4 {
                    for l in 0..32 {
                        let q = ql[l + 32 * (quarter % 2)];
                        let q = if quarter < 2 { q & 15 } else { q >> 4 };
                        let q = q | (qh[l] >> (2 * quarter) & 3) << 4;
                        let scale = scales[l / 16 + 2 * quarter].cast_signed();
                        to.push(d * f32::from(scale) * (f32::from(q) - 32.0));
                    }
                }
            }
        }
    }
}

/// Rows of activations: numbers around 1, with a few much larger ones.
fn activations(m: usize, k: usize) -> Vec<f32> {
    (0..m * k)
        .map(|i| {
            let bits = mixed(3, i);
            let number = (bits >> 8) as f32 / 8_388_608.0 - 1.0;
            if bits.is_multiple_of(97) {
                number * 20.0
            } else {
                number
            }
        })
        .collect()
}

/// One product, with `gap` elements between rows of `A` and `C`, or turned; all operands touch guard pages.
fn product(
    level: Level,
    threads: usize,
    m: usize,
    a: &[f32],
    b: &QuantMatrix,
    gap: usize,
    turned: bool,
) -> Vec<f32> {
    let (n, k) = (b.n(), b.k());
    let pool = Pool::new(threads);
    let (a_row, a_col) = if turned { (1, m) } else { (k + gap, 1) };
    let (c_row, c_col) = if turned { (1, m) } else { (n + gap, 1) };
    let span = |row: usize, col: usize, cols: usize| {
        m.saturating_sub(1) * row + cols.saturating_sub(1) * col + usize::from(m * cols > 0)
    };
    let mut source = Guarded::<f32>::new(span(a_row, a_col, k), threads % 2 == 1);
    let source = source.elements();
    for (i, row) in a.chunks_exact(k.max(1)).enumerate() {
        for (j, &element) in row.iter().enumerate() {
            source[i * a_row + j * a_col] = element;
        }
    }
    let mut target = Guarded::<f32>::new(span(c_row, c_col, n), threads % 2 == 1);
    let target = target.elements();
    target.fill(-7.5);
    let a = View {
        ptr: source.as_ptr(),
        row: a_row as isize,
        col: a_col as isize,
    };
    let c = ViewMut {
        ptr: target.as_mut_ptr(),
        row: c_row as isize,
        col: c_col as isize,
    };
    // SAFETY: the machine has the level; the elements are there.
    unsafe { quant_matmul(level, &pool, m, a, b, c, Finish::default()) };
    if !turned && gap > 0 {
        for row in target.chunks(c_row).take(m.saturating_sub(1)) {
            assert!(row[n..].iter().all(|&between| between == -7.5));
        }
    }
    (0..m * n)
        .map(|i| target[i / n * c_row + i % n * c_col])
        .collect()
}

/// The product with dequantized weights, and how far a product may be from it.
fn exact(m: usize, n: usize, k: usize, a: &[f32], weights: &[f32]) -> Vec<(f64, f64)> {
    (0..m * n)
        .map(|at| {
            let (a, w) = (&a[at / n * k..][..k], &weights[at % n * k..][..k]);
            let (mut sum, mut bound) = (0.0, 0.0);
            for (a, w) in a.as_chunks::<32>().0.iter().zip(w.as_chunks::<32>().0) {
                let most = a.iter().fold(0.0, |most: f32, a| most.max(a.abs()));
                let size: f64 = w.iter().map(|w| f64::from(w.abs())).sum();
                sum += a
                    .iter()
                    .zip(w)
                    .map(|(a, w)| f64::from(*a) * f64::from(*w))
                    .sum::<f64>();
                bound += f64::from(most) * size * (1.0 / 254.0 + 1e-5);
            }
            (sum, bound)
        })
        .collect()
}

/// Every level is within the bound, levels agree with each other to a few units in the last place of their greatest
/// partial sums, and neither threads nor strides nor other rows change a bit.
fn check(kind: QuantKind, m: usize, n: usize, k: usize) {
    let bytes = blocks(kind, n * k / kind.block_elements(), false);
    let (a, weights) = (activations(m, k), dequantized(kind, &bytes));
    let b = QuantMatrix::pack(kind, n, k, &bytes).unwrap();
    assert_eq!((b.kind(), b.n(), b.k()), (kind, n, k));
    let exact = exact(m, n, k, &a, &weights);
    let mut first: Option<Vec<f32>> = None;
    for level in available() {
        let what = format!("{kind:?} {m} x {n} x {k} {}", level.name());
        let c = product(level, 1, m, &a, &b, 0, false);
        for (i, (c, (sum, bound))) in c.iter().zip(&exact).enumerate() {
            assert!(
                (f64::from(*c) - sum).abs() <= *bound,
                "{what}: {i} is {c}, not {sum}"
            );
        }
        for (c, (first, (_, bound))) in c.iter().zip(first.iter().flatten().zip(&exact)) {
            assert!(
                f64::from((c - first).abs()) <= bound * 254.0 * 1e-6,
                "{what}: {c} {first}"
            );
        }
        for threads in [2, 3] {
            assert_eq!(c, product(level, threads, m, &a, &b, 3, false), "{what}");
        }
        assert_eq!(c, product(level, 2, m, &a, &b, 0, true), "{what}, turned");
        for (row, c) in a.chunks_exact(k).zip(c.chunks_exact(n)).step_by(3) {
            assert_eq!(
                c,
                product(level, 1, 1, row, &b, 0, false),
                "{what}, one row"
            );
        }
        first.get_or_insert(c);
    }
}

/// Products of activations that are not rounded are those of f32, and neither threads nor other rows change a bit.
fn check_exact(kind: QuantKind, m: usize, n: usize, k: usize) {
    let bytes = blocks(kind, n * k / kind.block_elements(), false);
    let (a, weights) = (activations(m, k), dequantized(kind, &bytes));
    let b = QuantMatrix::pack(kind, n, k, &bytes).unwrap();
    let multiply = |level: Level, threads: usize, a: &[f32], finish: Finish<'_>, c: &mut [f32]| {
        let m = a.len() / k;
        let a = View {
            ptr: a.as_ptr(),
            row: k as isize,
            col: 1,
        };
        let c = ViewMut {
            ptr: c.as_mut_ptr(),
            row: n as isize,
            col: 1,
        };
        // SAFETY: the machine has the level; the elements are there.
        unsafe { quant_matmul_f32(level, &Pool::new(threads), m, a, &b, c, finish) };
    };
    let exact = exact(m, n, k, &a, &weights);
    for level in available() {
        let mut c = vec![f32::NAN; m * n];
        multiply(level, 1, &a, Finish::default(), &mut c);
        for (i, (c, (sum, bound))) in c.iter().zip(&exact).enumerate() {
            // The bound is that of 8 bits: 254 times as much is the greatest sum of magnitudes.
            assert!(
                (f64::from(*c) - sum).abs() <= bound * 254.0 * 1e-6,
                "{kind:?} {m} x {n} x {k} {}: {i} is {c}, not {sum}",
                level.name()
            );
        }
        let mut again = c.clone();
        let add = Finish {
            accumulate: true,
            epilogue: None,
        };
        multiply(level, 3, &a, add, &mut again);
        for (twice, (sum, bound)) in again.iter().zip(&exact) {
            assert!((f64::from(*twice) - 2.0 * sum).abs() <= 2.0 * bound * 254.0 * 1e-6);
        }
        let few = if m < 12 { m } else { 0 };
        for (row, c) in a
            .chunks_exact(k)
            .zip(c.chunks_exact(n))
            .take(few)
            .step_by(3)
        {
            let mut alone = vec![f32::NAN; n];
            multiply(level, 2, row, Finish::default(), &mut alone);
            assert_eq!(alone, c, "{kind:?}, one row");
        }
    }
}

#[test]
fn products_of_activations_as_they_are() {
    for kind in QuantKind::ALL {
        let block = kind.block_elements();
        for (m, n, k) in [
            (1, 37, 2 * block),
            (5, 16, block),
            (13, 40, 3 * block),
            (30, 300, 5 * block),
        ] {
            check_exact(kind, m, n, k);
        }
    }
}

#[test]
fn products_are_as_close_as_8_bits_allow() {
    for kind in QuantKind::ALL {
        let block = kind.block_elements();
        for (m, n, k) in [
            (1, 1, block),
            (1, 16, 2 * block),
            (1, 37, 3 * block),
            (2, 15, block),
            (3, 33, 2 * block),
            (7, 20, block),
            (13, 40, 2 * block),
            (24, 17, block),
        ] {
            check(kind, m, n, k);
        }
    }
}

#[test]
fn large_products_are_shared() {
    for kind in [
        QuantKind::Q4_0,
        QuantKind::Q4K,
        QuantKind::Q6K,
        QuantKind::Q8_0,
    ] {
        check(kind, 1, 1000, 1024);
        check(kind, 75, 129, 512);
    }
}

/// Where nothing has to be rounded, nothing is: every level gives the exact integers.
#[test]
fn integers_are_exact_at_every_level() {
    let (m, n, k) = (5, 35, 256);
    // The greatest of each block is 127, so that the scale is 1.
    let a: Vec<f32> = (0..m * k)
        .map(|i| match (i % 32 == i / 32 % 32, mixed(4, i) % 7) {
            (true, sign) => {
                if sign < 3 {
                    -127.0
                } else {
                    127.0
                }
            }
            (false, small) => small as f32 - 3.0,
        })
        .collect();
    for kind in QuantKind::ALL {
        let bytes = blocks(kind, n * k / kind.block_elements(), true);
        let b = QuantMatrix::pack(kind, n, k, &bytes).unwrap();
        let exact = exact(m, n, k, &a, &dequantized(kind, &bytes));
        for level in available() {
            let c = product(level, 2, m, &a, &b, 0, false);
            for (c, (sum, _)) in c.iter().zip(&exact) {
                assert_eq!(f64::from(*c), *sum, "{kind:?} {}", level.name());
            }
        }
    }
}

/// The greatest products of every format fit the integers of every level.
#[test]
fn extreme_quants_do_not_overflow() {
    for kind in QuantKind::ALL {
        for byte in [0x00, 0x7f, 0x80, 0xff] {
            let (n, k) = (16, 256);
            let mut bytes = blocks(kind, n * k / kind.block_elements(), true);
            for block in bytes.chunks_exact_mut(kind.block_bytes()) {
                for (i, to) in block.iter_mut().enumerate() {
                    if !factors(kind).iter().any(|at| (*at..at + 2).contains(&i)) {
                        *to = byte;
                    }
                }
            }
            let b = QuantMatrix::pack(kind, n, k, &bytes).unwrap();
            for sign in [127.0, -127.0] {
                let a = vec![sign; k];
                let exact = exact(1, n, k, &a, &dequantized(kind, &bytes));
                for level in available() {
                    for (c, (sum, _)) in product(level, 1, 1, &a, &b, 0, false).iter().zip(&exact) {
                        let error = (f64::from(*c) - sum).abs();
                        assert!(error <= sum.abs() * 1e-6, "{kind:?} {byte} {c} {sum}");
                    }
                }
            }
        }
    }
}

#[test]
fn zeros_huge_numbers_and_nan() {
    let (m, n, k) = (11, 18, 256);
    for kind in QuantKind::ALL {
        let bytes = blocks(kind, n * k / kind.block_elements(), false);
        let b = QuantMatrix::pack(kind, n, k, &bytes).unwrap();
        let mut a = activations(m, k);
        a[..k].fill(0.0);
        a[k..2 * k].fill(1e-40);
        a[2 * k..3 * k].iter_mut().for_each(|a| *a *= 1e33);
        a[3 * k + 40] = f32::NAN;
        a[4 * k + 255] = f32::INFINITY;
        a[5 * k] = f32::NEG_INFINITY;
        a[6 * k..7 * k].iter_mut().for_each(|a| *a *= 1e-30);
        let exact = exact(m, n, k, &a, &dequantized(kind, &bytes));
        for level in available() {
            let c = product(level, 2, m, &a, &b, 0, false);
            for (i, (c, (sum, bound))) in c.iter().zip(&exact).enumerate() {
                let row = i / n;
                match row {
                    0 | 1 => assert_eq!(*c, 0.0, "row {row}"),
                    3..=5 => assert!(c.is_nan(), "row {row}"),
                    _ => assert!(
                        (f64::from(*c) - sum).abs() <= *bound,
                        "row {row}: {c} {sum}"
                    ),
                }
            }
        }
    }
}

#[test]
fn empty_products() {
    let kind = QuantKind::Q4_0;
    for (m, n, k) in [(0, 5, 32), (3, 0, 32), (2, 3, 0), (0, 0, 0)] {
        let b = QuantMatrix::pack(kind, n, k, &blocks(kind, n * k / 32, false)).unwrap();
        for level in available() {
            let c = product(level, 2, m, &activations(m, k), &b, 0, false);
            assert_eq!(c, vec![0.0; m * n]);
        }
    }
}

#[test]
fn bytes_that_are_no_weights_are_refused() {
    let whole = blocks(QuantKind::Q4K, 6, false);
    for (n, k, count) in [
        (2, 3 * 256, whole.len() - 1),
        (2, 3 * 256, 0),
        (3, 3 * 256, whole.len()),
        (usize::MAX, 512, whole.len()),
        (1 << 40, 1 << 62, whole.len()),
    ] {
        let error = QuantMatrix::pack(QuantKind::Q4K, n, k, &whole[..count]).unwrap_err();
        assert!(matches!(error, QuantError::Bytes { .. }), "{error}");
    }
    let error = QuantMatrix::pack(QuantKind::Q4K, 6, 32, &whole).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a row of 32 elements is not in whole blocks of Q4K, which have 256"
    );
    // No bytes, whatever the number of rows.
    let empty = QuantMatrix::pack(QuantKind::Q4K, usize::MAX, 0, &[]).unwrap();
    assert_eq!(empty.bytes(), 0);
}

/// Weights that are rounded here, of any length and size: the bound has a part for them and a part for activations.
fn check_int8(m: usize, n: usize, k: usize) {
    let (a, mut weights) = (activations(m, k), activations(k, n));
    for (i, weight) in weights.iter_mut().enumerate() {
        // Output rows of very different magnitudes, one of zeros.
        *weight *= [1e-9, 3.0, 0.0, 1e9][i % n % 4];
    }
    let source = View {
        ptr: weights.as_ptr(),
        row: n as isize,
        col: 1,
    };
    // SAFETY: there are as many elements.
    let b = unsafe { Int8Matrix::pack(k, n, source) };
    assert_eq!((b.k(), b.n()), (k, n));
    for level in available() {
        let mut bits: Option<Vec<f32>> = None;
        for threads in [1, 2, 3] {
            let mut c = Guarded::<f32>::new(m * n, true);
            let c_view = ViewMut {
                ptr: c.elements().as_mut_ptr(),
                row: n as isize,
                col: 1,
            };
            let mut from = Guarded::<f32>::new(m * k, true);
            from.elements().copy_from_slice(&a);
            let a_view = View {
                ptr: from.elements().as_ptr(),
                row: k as isize,
                col: 1,
            };
            // SAFETY: the machine has the level; the elements are there.
            unsafe {
                int8_matmul(
                    level,
                    &Pool::new(threads),
                    m,
                    a_view,
                    &b,
                    c_view,
                    Finish::default(),
                );
            };
            let c = c.elements();
            for (i, &c) in c.iter().enumerate() {
                let row = &a[i / n * k..][..k];
                let column: Vec<f32> = (0..k).map(|d| weights[d * n + i % n]).collect();
                let most = |of: &[f32]| of.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
                let size = |of: &[f32]| of.iter().map(|x| f64::from(x.abs())).sum::<f64>();
                let exact: f64 = row
                    .iter()
                    .zip(&column)
                    .map(|(a, w)| f64::from(*a) * f64::from(*w))
                    .sum();
                let bound =
                    f64::from(most(row)) * size(&column) + f64::from(most(&column)) * size(row);
                assert!(
                    (f64::from(c) - exact).abs() <= bound * (1.01 / 254.0),
                    "{m} x {n} x {k}: {c} {exact}"
                );
            }
            assert_eq!(*bits.get_or_insert_with(|| c.to_vec()), c);
        }
    }
}

#[test]
fn f32_weights_are_rounded_to_8_bits() {
    for (m, n, k) in [
        (1, 1, 1),
        (1, 20, 31),
        (3, 16, 32),
        (5, 37, 100),
        (40, 50, 129),
    ] {
        check_int8(m, n, k);
    }
}

#[test]
fn f32_weights_that_are_not_finite_spread() {
    let (n, k) = (18, 40);
    let mut weights = vec![1.0_f32; k * n];
    weights[3 * n + 2] = f32::NAN;
    weights[39 * n + 17] = f32::NEG_INFINITY;
    let source = View {
        ptr: weights.as_ptr(),
        row: n as isize,
        col: 1,
    };
    // SAFETY: there are as many elements.
    let b = unsafe { Int8Matrix::pack(k, n, source) };
    let a = vec![1.0_f32; k];
    let a = View {
        ptr: a.as_ptr(),
        row: k as isize,
        col: 1,
    };
    for level in available() {
        let mut c = vec![0.0; n];
        let c_view = ViewMut {
            ptr: c.as_mut_ptr(),
            row: n as isize,
            col: 1,
        };
        // SAFETY: the machine has the level; the elements are there.
        unsafe { int8_matmul(level, &Pool::new(1), 1, a, &b, c_view, Finish::default()) };
        for (i, c) in c.iter().enumerate() {
            let spoiled = i == 2 || i == 17;
            assert_eq!(c.is_nan(), spoiled, "column {i}");
            assert!(spoiled || (c - 40.0).abs() < 1e-4, "{c}");
        }
    }
}
