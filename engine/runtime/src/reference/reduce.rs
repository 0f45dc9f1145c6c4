//! `reduce` and `softmax`: combinations along axes.
//!
//! Sums and products of reals are accumulated in `f64` and rounded once. The
//! maximum and minimum of anything with `NaN` is `NaN`. Softmax subtracts
//! the largest element of the domain before `exp`, so that no finite element
//! overflows; what is outside the domain is not read.

use girih_graph::{AxisId, Combine, DType};
use half::{bf16, f16};

use super::array::Array;
use super::number::{Number, Real, Wide, per_number};
use super::scope::Value;
use super::walk::{self, Strided, cell_count, row_major};

/// Combines all positions of `over`; `kept` are the other axes of `x` and `shape` their
/// extents.
pub(super) fn reduce(combine: Combine, x: Value<'_>, kept: &[AxisId], shape: &[usize]) -> Array {
    let dtype = x.ty.dtype;
    let along = places(x, kept, shape);
    per_number!(dtype, T => {
        let into = Into { along: &along, count: cell_count(shape) };
        let x_shape = x.array.shape();
        let cells = reduced::<T>(combine, x_shape, x.array.strided(), into);
        Array::new(dtype, shape.to_vec(), cells)
    })
}

/// For each axis of `x` its stride in the result; 0 along what is combined.
fn places(x: Value<'_>, kept: &[AxisId], shape: &[usize]) -> Vec<isize> {
    let strides = row_major(shape);
    let place = |axis: &AxisId| kept.iter().position(|own| own == axis);
    let stride = |axis| place(axis).map_or(0, |place| strides[place]);
    x.axes().iter().map(stride).collect()
}

/// Where results lie: strides along the axes of the operand, and their number.
#[derive(Clone, Copy)]
struct Into<'a> {
    along: &'a [isize],
    count: usize,
}

fn reduced<T: Number>(
    combine: Combine,
    shape: &[usize],
    x: Strided<'_, T>,
    into: Into<'_>,
) -> Vec<T> {
    let zero = T::default().to_sum();
    let rounded = |sums: Vec<T::Sum>| sums.into_iter().map(T::from_sum).collect();
    match combine {
        Combine::Sum => rounded(accumulated(shape, x, into, zero, T::to_sum, T::add)),
        Combine::Prod => rounded(accumulated(
            shape,
            x,
            into,
            T::ONE.to_sum(),
            T::to_sum,
            T::mul,
        )),
        Combine::Max => accumulated(shape, x, into, T::LEAST, |x| x, T::larger),
        Combine::Min => accumulated(shape, x, into, T::GREATEST, |x| x, T::smaller),
        Combine::Any => accumulated(shape, x, into, T::default(), |x| x, T::larger),
        Combine::All => accumulated(shape, x, into, T::ONE, |x| x, T::smaller),
    }
}

fn accumulated<T: Copy, A: Copy>(
    shape: &[usize],
    x: Strided<'_, T>,
    into: Into<'_>,
    identity: A,
    lift: impl Fn(T) -> A,
    combine: impl Fn(A, A) -> A,
) -> Vec<A> {
    const LANES: usize = 8;
    let mut sums = vec![identity; into.count];
    let strides = [x.strides, into.along];
    walk::rows(
        shape,
        strides,
        [x.offset, 0],
        |[i, o], length, steps| match steps {
            [1, 0] => {
                // Several partial results, which need not wait for one another.
                let (blocks, rest) = x.run(i, length).as_chunks::<LANES>();
                let mut lanes = [identity; LANES];
                for block in blocks {
                    for (lane, x) in lanes.iter_mut().zip(block) {
                        *lane = combine(*lane, lift(*x));
                    }
                }
                let rest = rest.iter().map(|x| lift(*x));
                let sum = &mut sums[o as usize];
                *sum = lanes.into_iter().chain(rest).fold(*sum, &combine);
            }
            [s, t] => {
                for (k, x) in walk::row(x.cells, i, length, s).enumerate() {
                    let sum = &mut sums[(o + k as isize * t) as usize];
                    *sum = combine(*sum, lift(x));
                }
            }
        },
    );
    sums
}

/// Softmax along `over`; `kept` are the other axes of `x` and `shape` their extents.
pub(super) fn softmax(
    x: Value<'_>,
    domain: Option<Value<'_>>,
    kept: &[AxisId],
    shape: &[usize],
) -> Array {
    match x.ty.dtype {
        DType::F64 => softmax_real::<f64>(x, domain, kept, shape),
        DType::F16 => softmax_real::<f16>(x, domain, kept, shape),
        DType::BF16 => softmax_real::<bf16>(x, domain, kept, shape),
        // The builder lets real dtypes through only.
        _ => softmax_real::<f32>(x, domain, kept, shape),
    }
}

fn softmax_real<T: Real>(
    x: Value<'_>,
    domain: Option<Value<'_>>,
    kept: &[AxisId],
    kept_shape: &[usize],
) -> Array {
    let shape = x.array.shape();
    if shape.contains(&0) {
        return Array::zeros(x.ty.dtype, shape.to_vec());
    }
    let along = places(x, kept, kept_shape);
    let groups = cell_count(kept_shape);
    let everywhere = Array::filled(DType::Bool, Vec::new(), 1_u8);
    let domain_strides = domain.map_or(vec![0; shape.len()], |domain| domain.strides(x.axes()));
    let domain = domain.map_or(&everywhere, |domain| domain.array);
    let (inside, start) = (domain.cells::<u8>(), domain.offset());
    let x_cells = x.array.strided::<T>();
    let strides = [x_cells.strides, &along, &domain_strides];
    let offsets = [x_cells.offset, 0, start];

    let mut largest = vec![T::Wide::LEAST; groups];
    walk::rows(shape, strides, offsets, |[i, o, d], length, [s, t, r]| {
        let domain = walk::row(inside, d, length, r);
        for (k, (x, inside)) in walk::row(x_cells.cells, i, length, s)
            .zip(domain)
            .enumerate()
        {
            let largest = &mut largest[(o + k as isize * t) as usize];
            if inside != 0 && x.wide() > *largest {
                *largest = x.wide();
            }
        }
    });
    let mut sums = vec![T::Wide::ZERO.to_sum(); groups];
    let mut exps = Vec::with_capacity(cell_count(shape));
    walk::rows(shape, strides, offsets, |[i, o, d], length, [s, t, r]| {
        let domain = walk::row(inside, d, length, r);
        for (k, (x, inside)) in walk::row(x_cells.cells, i, length, s)
            .zip(domain)
            .enumerate()
        {
            let group = (o + k as isize * t) as usize;
            if inside == 0 {
                exps.push(T::Wide::ZERO);
                continue;
            }
            let exp = (x.wide() - largest[group]).exp();
            sums[group] = T::Wide::add(sums[group], exp.to_sum());
            exps.push(exp);
        }
    });
    let sums: Vec<T::Wide> = sums.into_iter().map(T::Wide::from_sum).collect();
    let mut cells = Vec::with_capacity(exps.len());
    let own = row_major(shape);
    let strides = [&*own, &along, &domain_strides];
    walk::rows(
        shape,
        strides,
        [0, 0, start],
        |[i, o, d], length, [s, t, r]| {
            let domain = walk::row(inside, d, length, r);
            for (k, (exp, inside)) in walk::row(&exps, i, length, s).zip(domain).enumerate() {
                let sum = sums[(o + k as isize * t) as usize];
                cells.push(if inside == 0 {
                    T::default()
                } else {
                    T::narrow(exp / sum)
                });
            }
        },
    );
    Array::new(x.ty.dtype, shape.to_vec(), cells)
}
