//! Products with quantized and with bf16 weights beside a plain read of the same bytes, and beside f32 products, as
//! ratios within one run.
//!
//! `cargo bench -p girih-kernels --bench quant -- [part of a name]`
#![expect(unsafe_code, reason = "products take pointers and strides")]

mod timing;

use girih_kernels::bf16::{Bf16Matrix, bf16_matmul};
use girih_kernels::gemm::{Finish, Packed, View, ViewMut, gemm_packed};
use girih_kernels::level::{self, Level};
use girih_kernels::quant::{QuantKind, QuantMatrix, quant_matmul};
use girih_kernels::{Pool, routines};
use timing::compare;

/// Blocks of any bits; all factors are small numbers.
fn weights(kind: QuantKind, n: usize, k: usize) -> QuantMatrix {
    let count = n * k / kind.block_elements() * kind.block_bytes();
    let bytes: Vec<u8> = (0..count as u32)
        .map(|i| (i.wrapping_mul(2_654_435_769) >> 24) as u8 & 0x3f)
        .collect();
    match QuantMatrix::pack(kind, n, k, &bytes) {
        Ok(weights) => weights,
        Err(error) => unreachable!("{error}"),
    }
}

fn numbers(count: usize) -> Vec<f32> {
    (0..count as u32)
        .map(|i| (i.wrapping_mul(2_654_435_769) >> 8) as f32 / 8_388_608.0 - 1.0)
        .collect()
}

fn view(elements: &[f32], cols: usize) -> View<f32> {
    View {
        ptr: elements.as_ptr(),
        row: cols as isize,
        col: 1,
    }
}

fn view_mut(elements: &mut [f32], cols: usize) -> ViewMut<f32> {
    ViewMut {
        ptr: elements.as_mut_ptr(),
        row: cols as isize,
        col: 1,
    }
}

/// One row: bytes of weights in a second, beside reading as many.
fn vector(kind: QuantKind, n: usize, k: usize, threads: usize) {
    let (pool, best) = (Pool::new(threads), level::detected());
    let (b, a) = (weights(kind, n, k), numbers(k));
    let same = numbers(b.bytes() / 4);
    let (mut c0, mut c1) = (vec![0.0; n], vec![0.0; n]);
    let run = |level: Level, c: &mut [f32]| {
        // SAFETY: the level is available, and the matrices have as many elements.
        unsafe {
            quant_matmul(
                level,
                &pool,
                1,
                view(&a, k),
                &b,
                view_mut(c, n),
                Finish::default(),
            );
        };
    };
    let sum = routines(best).sum_f32;
    compare(
        &format!("{kind:?} 1 x {n} x {k}, {threads} threads"),
        b.bytes() as f64,
        "B",
        &mut [
            ("product", &mut || run(best, &mut c0)),
            ("avx2", &mut || run(Level::Avx2.min(best), &mut c1)),
            ("reading as many bytes", &mut || {
                pool.split(same.len(), 1024, &|range, _| {
                    // SAFETY: the level is available, and the range is inside.
                    std::hint::black_box(unsafe { sum(same[range.clone()].as_ptr(), range.len()) });
                });
            }),
        ],
    );
}

/// Several rows: operations in a second, beside f32 weights.
fn matrix(kind: QuantKind, m: usize, n: usize, k: usize, threads: usize) {
    let (pool, best) = (Pool::new(threads), level::detected());
    let (b, a) = (weights(kind, n, k), numbers(m * k));
    let plain = numbers(k * n);
    // SAFETY: `plain` has as many elements.
    let packed = unsafe { Packed::pack(k, n, view(&plain, n)) };
    let (mut c0, mut c1, mut c2) = (vec![0.0; m * n], vec![0.0; m * n], vec![0.0; m * n]);
    let run = |level: Level, c: &mut [f32]| {
        // SAFETY: the level is available, and the matrices have as many elements.
        unsafe {
            quant_matmul(
                level,
                &pool,
                m,
                view(&a, k),
                &b,
                view_mut(c, n),
                Finish::default(),
            );
        };
    };
    compare(
        &format!("{kind:?} {m} x {n} x {k}, {threads} threads"),
        2.0 * (m * n * k) as f64,
        "op",
        &mut [
            ("product", &mut || run(best, &mut c0)),
            ("avx2", &mut || run(Level::Avx2.min(best), &mut c1)),
            ("f32 weights", &mut || {
                let c = view_mut(&mut c2, n);
                // SAFETY: as above.
                unsafe { gemm_packed(best, &pool, m, view(&a, k), &packed, c, Finish::default()) };
            }),
        ],
    );
}

/// Brain floats: operations in a second, beside f32 weights.
fn brains(m: usize, n: usize, k: usize, threads: usize) {
    let (pool, best) = (Pool::new(threads), level::detected());
    let (plain, a) = (numbers(k * n), numbers(m * k));
    // SAFETY: `plain` has as many elements.
    let b = unsafe { Bf16Matrix::pack(k, n, view(&plain, n)) };
    // SAFETY: as above.
    let packed = unsafe { Packed::pack(k, n, view(&plain, n)) };
    let (mut c0, mut c1, mut c2) = (vec![0.0; m * n], vec![0.0; m * n], vec![0.0; m * n]);
    let run = |level: Level, c: &mut [f32]| {
        // SAFETY: the level is available, and the matrices have as many elements.
        unsafe {
            bf16_matmul(
                level,
                &pool,
                m,
                view(&a, k),
                &b,
                view_mut(c, n),
                Finish::default(),
            );
        };
    };
    compare(
        &format!("bf16 {m} x {n} x {k}, {threads} threads"),
        2.0 * (m * n * k) as f64,
        "flop",
        &mut [
            ("product", &mut || run(best, &mut c0)),
            ("avx2", &mut || run(Level::Avx2.min(best), &mut c1)),
            ("f32 weights", &mut || {
                let c = view_mut(&mut c2, n);
                // SAFETY: as above.
                unsafe { gemm_packed(best, &pool, m, view(&a, k), &packed, c, Finish::default()) };
            }),
        ],
    );
}

fn main() {
    let wanted = std::env::args()
        .skip(1)
        .find(|word| !word.starts_with('-'))
        .unwrap_or_default();
    let want = |name: &str| wanted.is_empty() || name.contains(&wanted);
    for threads in [1, Pool::machine_threads()] {
        if want("vector") {
            for kind in [
                QuantKind::Q4_0,
                QuantKind::Q4K,
                QuantKind::Q6K,
                QuantKind::Q8_0,
            ] {
                // In the second-level cache, the third, and in memory.
                vector(kind, 1024, 1024, threads);
                vector(kind, 4096, 4096, threads);
                vector(kind, 32_768, 8192, threads);
            }
        }
        if want("brains") {
            for m in [1, 4, 128] {
                brains(m, 1536, 384, threads);
            }
            brains(512, 3072, 768, threads);
            brains(1, 16_384, 4096, threads);
        }
        if want("matrix") {
            for kind in QuantKind::ALL {
                matrix(kind, 128, 1536, 512, threads);
            }
            for m in [2, 4, 8, 16, 512] {
                matrix(QuantKind::Q4K, m, 3072, 768, threads);
            }
        }
    }
}
