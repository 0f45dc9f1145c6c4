//! Compiled kernels beside loops that are written by hand over the same routines.

#![expect(unsafe_code, reason = "kernels are run on raw buffers")]

#[path = "../tests/codegen/maker.rs"]
mod maker;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use girih_cpu::codegen::{Code, CodeOptions};
use girih_graph::DType;
use girih_graph::op::{Binary, Combine, Unary};
use girih_kernels::level;
use girih_kernels::table::{Routines, routines};
use girih_plan::kernel::{Kernel, LoopKind};

use maker::{Maker, access, affine};

/// Memory for elements, aligned as kernels want their scratch memory.
fn elements(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i % 97) as f32 / 97.0 - 0.4).collect()
}

/// Measures one run of all points of a kernel, and the same by hand.
fn measure(
    c: &mut Criterion,
    name: &str,
    kernel: &Kernel,
    counts: &[usize],
    by_hand: &mut dyn FnMut(&Routines, &mut [Vec<f32>]),
) {
    let level = level::detected();
    let options = CodeOptions { level, threads: 1 };
    let Ok(code) = Code::compile(std::slice::from_ref(kernel), &options) else {
        return;
    };
    let mut group = c.benchmark_group(name);
    let compiled = code.kernel(0);
    let mut buffers: Vec<Vec<f32>> = counts.iter().map(|count| elements(*count)).collect();
    let firsts: Vec<*mut u8> = buffers
        .iter_mut()
        .map(|own| own.as_mut_ptr().cast())
        .collect();
    let mut scratch = vec![0_u8; compiled.scratch_bytes(&[]) + 64];
    let offset = scratch.as_ptr().align_offset(64);
    let points = compiled.points(&[]);
    group.bench_function("compiled", |b| {
        b.iter(|| {
            let scratch = scratch[offset..].as_mut_ptr();
            // SAFETY: the buffers have the elements that the kernel's loops name.
            let done = unsafe { compiled.run(black_box(&firsts), &[], 0..points, scratch) };
            assert!(done.is_ok());
        });
    });
    let table = routines(level);
    group.bench_function("by hand", |b| {
        b.iter(|| by_hand(table, black_box(&mut buffers)));
    });
    group.finish();
    c.bench_function(&format!("{name}/compilation"), |b| {
        b.iter(|| Code::compile(std::slice::from_ref(kernel), &options));
    });
}

const F32: DType = DType::F32;
const OUTER: LoopKind = LoopKind::Outer;
const WALK: LoopKind = LoopKind::Walk;
const INNER: LoopKind = LoopKind::Inner;

/// `gelu(x + b) · y`, 128 × 3072.
fn gated(c: &mut Criterion) {
    let (rows, width) = (128, 3072);
    let mut maker = Maker::new(&[(OUTER, rows), (INNER, width)]);
    for _ in 0..4 {
        maker.buffer(F32);
    }
    let full: &[(usize, i64)] = &[(0, width), (1, 1)];
    let x = maker.load(access(0, affine(0, full)));
    let b = maker.load(access(1, affine(0, &[(1, 1)])));
    let y = maker.load(access(2, affine(0, full)));
    let x = maker.binary(Binary::Add, x, b);
    let half = maker.real(F32, 0.5);
    let one = maker.real(F32, 1.0);
    let root = maker.real(F32, std::f64::consts::FRAC_1_SQRT_2);
    let scaled = maker.binary(Binary::Mul, x, root);
    let erf = maker.unary(Unary::Erf, scaled);
    let sum = maker.binary(Binary::Add, one, erf);
    let halved = maker.binary(Binary::Mul, x, half);
    let gelu = maker.binary(Binary::Mul, halved, sum);
    let out = maker.binary(Binary::Mul, gelu, y);
    maker.store(out, access(3, affine(0, full)));
    let width = width as usize;
    let all = rows as usize * width;
    measure(
        c,
        "bias gelu mul 128x3072",
        &maker.0,
        &[all, width, all, all],
        &mut |table, all| {
            let [x, b, y, out] = all else { return };
            let mut block = [0_f32; 256];
            for (row, out) in out.chunks_mut(width).enumerate() {
                for start in (0..width).step_by(256) {
                    let at = row * width + start;
                    for (i, block) in block.iter_mut().enumerate() {
                        *block = x[at + i] + b[start + i];
                    }
                    // SAFETY: the block is read and written in place.
                    unsafe { (table.gelu_erf_f32)(block.as_ptr(), block.as_mut_ptr(), 256) };
                    for (i, out) in out[start..start + 256].iter_mut().enumerate() {
                        *out = block[i] * y[at + i];
                    }
                }
            }
        },
    );
}

/// Softmax of rows, 512 × 768.
fn softmax(c: &mut Criterion) {
    let (rows, width) = (512, 768);
    let mut maker = Maker::new(&[(OUTER, rows), (INNER, width)]);
    maker.buffer(F32);
    maker.buffer(F32);
    let full: &[(usize, i64)] = &[(0, width), (1, 1)];
    let x = maker.load(access(0, affine(0, full)));
    let most = maker.reduce(Combine::Max, x, INNER);
    let less = maker.binary(Binary::Sub, x, most);
    let exp = maker.unary(Unary::Exp, less);
    let sum = maker.reduce(Combine::Sum, exp, INNER);
    let out = maker.binary(Binary::Div, exp, sum);
    maker.store(out, access(1, affine(0, full)));
    let width = width as usize;
    let all = rows as usize * width;
    measure(
        c,
        "softmax 512x768",
        &maker.0,
        &[all, all],
        &mut |table, all| {
            let [x, out] = all else { return };
            for (x, out) in x.chunks(width).zip(out.chunks_mut(width)) {
                // SAFETY: a row.
                let most = unsafe { (table.max_f32)(x.as_ptr(), width) };
                // SAFETY: two rows.
                let sum = unsafe { (table.exp_sum_f32)(x.as_ptr(), out.as_mut_ptr(), width, most) };
                // SAFETY: a row.
                unsafe { (table.scale_f32)(out.as_mut_ptr(), 1.0 / sum, width) };
            }
        },
    );
}

/// Layer normalization of rows, 512 × 768.
fn layer_norm(c: &mut Criterion) {
    let (rows, width) = (512, 768);
    let mut maker = Maker::new(&[(OUTER, rows), (INNER, width)]);
    for _ in 0..4 {
        maker.buffer(F32);
    }
    let full: &[(usize, i64)] = &[(0, width), (1, 1)];
    let x = maker.load(access(0, affine(0, full)));
    let w = maker.load(access(1, affine(0, &[(1, 1)])));
    let b = maker.load(access(2, affine(0, &[(1, 1)])));
    let count = maker.real(F32, width as f64);
    let sum = maker.reduce(Combine::Sum, x, INNER);
    let mean = maker.binary(Binary::Div, sum, count);
    let centered = maker.binary(Binary::Sub, x, mean);
    let square = maker.binary(Binary::Mul, centered, centered);
    let squares = maker.reduce(Combine::Sum, square, INNER);
    let variance = maker.binary(Binary::Div, squares, count);
    let small = maker.real(F32, 1e-5);
    let variance = maker.binary(Binary::Add, variance, small);
    let scale = maker.unary(Unary::Rsqrt, variance);
    let normal = maker.binary(Binary::Mul, centered, scale);
    let weighted = maker.binary(Binary::Mul, normal, w);
    let out = maker.binary(Binary::Add, weighted, b);
    maker.store(out, access(3, affine(0, full)));
    let width = width as usize;
    let all = rows as usize * width;
    measure(
        c,
        "layer norm 512x768",
        &maker.0,
        &[all, width, width, all],
        &mut |table, all| {
            let [x, w, b, out] = all else { return };
            for (x, out) in x.chunks(width).zip(out.chunks_mut(width)) {
                // SAFETY: a row.
                let mean = unsafe { (table.sum_f32)(x.as_ptr(), width) } / width as f32;
                for (out, x) in out.iter_mut().zip(x) {
                    *out = x - mean;
                }
                // SAFETY: a row.
                let squares = unsafe { (table.sum_squares_f32)(out.as_ptr(), width) };
                let scale = 1.0 / (squares / width as f32 + 1e-5).sqrt();
                for ((out, w), b) in out.iter_mut().zip(w.iter()).zip(b.iter()) {
                    *out = *out * scale * w + b;
                }
            }
        },
    );
}

/// One step of a selective scan: 16 states of 1536 channels.
fn scan(c: &mut Criterion) {
    let (states, width) = (16, 1536);
    let mut maker = Maker::new(&[(WALK, states), (INNER, width)]);
    for _ in 0..7 {
        maker.buffer(F32);
    }
    let full: &[(usize, i64)] = &[(0, width), (1, 1)];
    let along: &[(usize, i64)] = &[(1, 1)];
    let a = maker.load(access(0, affine(0, full)));
    let s = maker.load(access(1, affine(0, full)));
    let dt = maker.load(access(2, affine(0, along)));
    let x = maker.load(access(3, affine(0, along)));
    let b = maker.load(access(4, affine(0, &[(0, 1)])));
    let read = maker.load(access(5, affine(0, &[(0, 1)])));
    let product = maker.binary(Binary::Mul, dt, a);
    let decay = maker.unary(Unary::Exp, product);
    let kept = maker.binary(Binary::Mul, decay, s);
    let given = maker.binary(Binary::Mul, dt, x);
    let given = maker.binary(Binary::Mul, given, b);
    let next = maker.binary(Binary::Add, kept, given);
    let term = maker.binary(Binary::Mul, next, read);
    let y = maker.reduce(Combine::Sum, term, WALK);
    maker.store(next, access(1, affine(0, full)));
    maker.store(y, access(6, affine(0, along)));
    let (n, d) = (states as usize, width as usize);
    let counts = [n * d, n * d, d, d, n, n, d];
    measure(
        c,
        "selective scan 16x1536",
        &maker.0,
        &counts,
        &mut |table, all| {
            let [a, s, dt, x, b, read, y] = all else {
                return;
            };
            let mut block = [0_f32; 256];
            for start in (0..d).step_by(256) {
                let y = &mut y[start..start + 256];
                y.fill(0.0);
                for n in 0..n {
                    let at = n * d + start;
                    let (a, s) = (&a[at..at + 256], &mut s[at..at + 256]);
                    let (dt, x) = (&dt[start..start + 256], &x[start..start + 256]);
                    for i in 0..256 {
                        block[i] = dt[i] * a[i];
                    }
                    // SAFETY: the block is read and written in place.
                    unsafe { (table.exp_f32)(block.as_ptr(), block.as_mut_ptr(), 256) };
                    for i in 0..256 {
                        s[i] = block[i] * s[i] + dt[i] * x[i] * b[n];
                        y[i] += s[i] * read[n];
                    }
                }
            }
        },
    );
}

/// A vector times a matrix inside of a recurrence, 768 × 768.
fn product(c: &mut Criterion) {
    let size = 768;
    let mut maker = Maker::new(&[(WALK, size), (INNER, size)]);
    for _ in 0..3 {
        maker.buffer(F32);
    }
    let a = maker.load(access(0, affine(0, &[(0, 1)])));
    let b = maker.load(access(1, affine(0, &[(0, size), (1, 1)])));
    let term = maker.binary(Binary::Mul, a, b);
    let sum = maker.reduce(Combine::Sum, term, WALK);
    maker.store(sum, access(2, affine(0, &[(1, 1)])));
    let n = size as usize;
    measure(
        c,
        "vector times matrix 768",
        &maker.0,
        &[n, n * n, n],
        &mut |_, all| {
            let [a, b, y] = all else { return };
            y.fill(0.0);
            for (a, row) in a.iter().zip(b.chunks(n)) {
                for (y, b) in y.iter_mut().zip(row) {
                    *y += a * b;
                }
            }
        },
    );
}

/// Depthwise convolution over time with zeros before the first position, 512 × 768, 4 taps.
fn convolution(c: &mut Criterion) {
    let (time, width, taps) = (512, 768, 4);
    let mut maker = Maker::new(&[(OUTER, time), (WALK, taps), (INNER, width)]);
    for _ in 0..3 {
        maker.buffer(F32);
    }
    let position = affine(1 - taps, &[(0, 1), (1, 1)]);
    let mut read = access(
        0,
        affine((1 - taps) * width, &[(0, width), (1, width), (2, 1)]),
    );
    read.guards.push(girih_plan::kernel::Guard {
        index: position,
        extent: girih_graph::Extent::constant(time),
        outside: girih_plan::kernel::GuardOutside::Zero,
    });
    let x = maker.load(read);
    let w = maker.load(access(1, affine(0, &[(1, width), (2, 1)])));
    let term = maker.binary(Binary::Mul, x, w);
    let sum = maker.reduce(Combine::Sum, term, WALK);
    maker.store(sum, access(2, affine(0, &[(0, width), (2, 1)])));
    let (t, d, k) = (time as usize, width as usize, taps as usize);
    measure(
        c,
        "depthwise convolution 512x768x4",
        &maker.0,
        &[t * d, k * d, t * d],
        &mut |_, all| {
            let [x, w, y] = all else { return };
            for (at, y) in y.chunks_mut(d).enumerate() {
                y.fill(0.0);
                for (tap, w) in w.chunks(d).enumerate() {
                    let Some(from) = (at + tap).checked_sub(k - 1) else {
                        continue;
                    };
                    for ((y, x), w) in y.iter_mut().zip(&x[from * d..(from + 1) * d]).zip(w) {
                        *y += x * w;
                    }
                }
            }
        },
    );
}

/// A gate of few elements per point: `sigmoid(x) · y`, 4096 × 4, not contiguous.
fn short(c: &mut Criterion) {
    let (rows, width) = (4096, 4);
    let mut maker = Maker::new(&[(OUTER, rows), (INNER, width)]);
    for _ in 0..3 {
        maker.buffer(F32);
    }
    let full: &[(usize, i64)] = &[(0, 8), (1, 1)];
    let x = maker.load(access(0, affine(0, full)));
    let y = maker.load(access(1, affine(0, full)));
    let gate = maker.unary(Unary::Sigmoid, x);
    let out = maker.binary(Binary::Mul, gate, y);
    maker.store(out, access(2, affine(0, &[(0, width), (1, 1)])));
    let (n, w) = (rows as usize, width as usize);
    measure(
        c,
        "short gate 4096x4",
        &maker.0,
        &[n * 8, n * 8, n * w],
        &mut |table, all| {
            let [x, y, out] = all else { return };
            let rows = x.chunks(8).zip(y.chunks(8)).zip(out.chunks_mut(w));
            for ((x, y), out) in rows {
                // SAFETY: four elements.
                unsafe { (table.sigmoid_f32)(x.as_ptr(), out.as_mut_ptr(), 4) };
                for (out, y) in out.iter_mut().zip(y) {
                    *out *= y;
                }
            }
        },
    );
}

criterion_group! {
    name = kernels;
    config = Criterion::default().sample_size(20).warm_up_time(std::time::Duration::from_millis(200)).measurement_time(std::time::Duration::from_millis(600)).without_plots();
    targets = gated, softmax, layer_norm, scan, product, convolution, short
}
criterion_main!(kernels);
