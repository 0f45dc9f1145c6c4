//! Matrix products beside the `gemm` crate and a plain read of memory, as ratios within one run.
//!
//! `cargo bench -p girih-kernels --bench products -- [part of a name]`
#![expect(unsafe_code, reason = "products take pointers and strides")]

mod timing;

use girih_kernels::Pool;
use girih_kernels::gemm::{self, Finish, Gemm, Packed, View, ViewMut, gemm_packed};
use girih_kernels::level::{self, Level};
use timing::compare;

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

/// The `gemm` crate on one thread, or on its own. Computes the transpose, as that crate prefers columns.
fn peer(m: usize, n: usize, k: usize, a: &[f32], b: View<f32>, c: &mut [f32], threads: usize) {
    let parallelism = match threads {
        1 => gemm_common::Parallelism::None,
        _ => gemm_common::Parallelism::Rayon(threads),
    };
    let multiply = gemm_f32::gemm::f32::get_gemm_fn();
    // SAFETY: the matrices have as many elements as the shapes say.
    unsafe {
        multiply(
            n,
            m,
            k,
            c.as_mut_ptr(),
            n as isize,
            1,
            false,
            b.ptr,
            b.row,
            b.col,
            a.as_ptr(),
            k as isize,
            1,
            0.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// One product: packed weights at every level, weights as they lie in both orders, and the peer.
fn product(m: usize, n: usize, k: usize, threads: usize) {
    let (pool, best) = (Pool::new(threads), level::detected());
    let (a, b) = (numbers(m * k), numbers(k * n));
    let (by_rows, by_cols) = (view(&b, n), view(&b, k).transposed());
    // SAFETY: `b` has as many elements.
    let packed = unsafe { Packed::pack(k, n, by_rows) };
    let c = || vec![0.0_f32; m * n];
    let (mut c0, mut c1, mut c2, mut c3, mut c4, mut c5) = (c(), c(), c(), c(), c(), c());
    let run_packed = |level: Level, c: &mut [f32]| {
        // SAFETY: the level is available, and the matrices have as many elements.
        unsafe {
            gemm_packed(
                level,
                &pool,
                m,
                view(&a, k),
                &packed,
                view_mut(c, n),
                Finish::default(),
            );
        };
    };
    let run = |b: View<f32>, c: &mut [f32]| {
        let gemm = Gemm {
            m,
            n,
            k,
            a: view(&a, k),
            b,
            c: view_mut(c, n),
            accumulate: false,
            batch: 1,
            batch_a: 0,
            batch_b: 0,
            batch_c: 0,
        };
        // SAFETY: as above.
        unsafe { gemm::gemm_f32(best, &pool, &gemm) };
    };
    let mut levels = level::available().into_iter();
    let below = levels.rfind(|level| *level < best).unwrap_or(best);
    compare(
        &format!("{m} x {n} x {k}, {threads} threads"),
        2.0 * (m * n * k) as f64,
        "flop",
        &mut [
            ("packed", &mut || run_packed(best, &mut c0)),
            (below.name(), &mut || run_packed(below, &mut c1)),
            ("weights [k, n]", &mut || run(by_rows, &mut c2)),
            ("weights [n, k]", &mut || run(by_cols, &mut c3)),
            ("gemm crate, weights [k, n]", &mut || {
                peer(m, n, k, &a, by_rows, &mut c4, threads);
            }),
            ("gemm crate, weights [n, k]", &mut || {
                peer(m, n, k, &a, by_cols, &mut c5, threads);
            }),
            ("reading the weights", &mut || {
                read(&pool, best, &b);
            }),
        ],
    );
}

/// Products with one set of weights after the other, as a model's layers have them: none is in the
/// cache when it is needed.
fn layers(count: usize, m: usize, n: usize, k: usize) {
    let (pool, best) = (Pool::new(1), level::detected());
    let a = numbers(m * k);
    let weights: Vec<Vec<f32>> = (0..count).map(|_| numbers(k * n)).collect();
    let pack = |b: &Vec<f32>| {
        // SAFETY: `b` has as many elements.
        unsafe { Packed::pack(k, n, view(b, n)) }
    };
    let packed: Vec<Packed> = weights.iter().map(pack).collect();
    let (mut c, mut d) = (vec![0.0_f32; m * n], vec![0.0_f32; m * n]);
    compare(
        &format!("{count} layers of {m} x {n} x {k}"),
        2.0 * (count * m * n * k) as f64,
        "flop",
        &mut [
            ("packed", &mut || {
                for packed in &packed {
                    let (a, c) = (view(&a, k), view_mut(&mut c, n));
                    // SAFETY: the level is available, and the matrices have as many elements.
                    unsafe { gemm_packed(best, &pool, m, a, packed, c, Finish::default()) };
                }
            }),
            ("gemm crate", &mut || {
                for b in &weights {
                    peer(m, n, k, &a, view(b, n), &mut d, 1);
                }
            }),
            ("reading the weights", &mut || {
                for b in &weights {
                    read(&pool, best, b);
                }
            }),
            ("multiply-adds alone", &mut || {
                multiply_adds(count * m * n * k);
            }),
        ],
    );
}

/// As many multiply-adds as a core does at a time, on nothing but registers: what no product is faster than.
fn multiply_adds(count: usize) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the machine has the instructions.
        unsafe { multiply_adds_avx512(count / 16) };
        return;
    }
    let mut sums = [0.0_f32; 64];
    for _ in 0..count / sums.len() {
        for sum in &mut sums {
            *sum = sum.mul_add(0.5, 1.0);
        }
    }
    std::hint::black_box(sums);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn multiply_adds_avx512(count: usize) {
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_set1_ps};
    let (half, one) = (
        std::hint::black_box(_mm512_set1_ps(0.5)),
        std::hint::black_box(_mm512_set1_ps(1.0)),
    );
    let mut sums = [_mm512_set1_ps(0.0); 24];
    for _ in 0..count / sums.len() {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, half, one);
        }
    }
    std::hint::black_box(sums);
}

/// Sums all elements, each thread its part.
fn read(pool: &Pool, level: Level, elements: &[f32]) {
    let sum = girih_kernels::routines(level).sum_f32;
    pool.split(elements.len(), 1024, &|range, _| {
        // SAFETY: the level is available, and the range is inside.
        std::hint::black_box(unsafe { sum(elements[range.clone()].as_ptr(), range.len()) });
    });
}

/// A batch of small products, as chunks of linear attention have.
fn batch(count: usize, size: usize, turned: bool) {
    let (pool, best) = (Pool::new(1), level::detected());
    let square = size * size;
    let (a, b) = (numbers(count * square), numbers(count * square));
    let (mut c, mut d) = (vec![0.0; count * square], vec![0.0; count * square]);
    let lie = |b: &[f32]| {
        if turned {
            view(b, size).transposed()
        } else {
            view(b, size)
        }
    };
    compare(
        &format!(
            "{count} products {size} x {size} x {size}{}",
            if turned { ", B turned" } else { "" }
        ),
        2.0 * (count * square * size) as f64,
        "flop",
        &mut [
            ("ours", &mut || {
                let stride = square as isize;
                let gemm = Gemm {
                    m: size,
                    n: size,
                    k: size,
                    a: view(&a, size),
                    b: lie(&b),
                    c: view_mut(&mut c, size),
                    accumulate: false,
                    batch: count,
                    batch_a: stride,
                    batch_b: stride,
                    batch_c: stride,
                };
                // SAFETY: the level is available, and the matrices have as many elements.
                unsafe { gemm::gemm_f32(best, &pool, &gemm) };
            }),
            ("gemm crate", &mut || {
                for ((a, b), d) in a
                    .chunks(square)
                    .zip(b.chunks(square))
                    .zip(d.chunks_mut(square))
                {
                    peer(size, size, size, a, lie(b), d, 1);
                }
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
        if want("large") {
            product(128, 1536, 384, threads);
            product(512, 3072, 768, threads);
            product(1024, 1024, 1024, threads);
            product(100, 1000, 1001, threads);
        }
        if want("few") {
            for m in [2, 4, 8, 16] {
                product(m, 1536, 576, threads);
            }
        }
        if want("vector") {
            product(1, 1536, 576, threads);
            product(1, 4096, 4096, threads);
            product(1, 16384, 8192, threads);
        }
    }
    if want("layers") {
        layers(4, 16, 2048, 512);
        layers(36, 128, 384, 384);
        layers(12, 128, 1536, 384);
        layers(12, 128, 384, 1536);
        layers(12, 512, 3072, 768);
    }
    if want("batch") {
        for turned in [false, true] {
            batch(64, 16, turned);
            batch(32, 64, turned);
            batch(8, 128, turned);
        }
    }
}
