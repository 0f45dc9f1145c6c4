//! Products of matrices whose rows, columns and sums may each be several axes.
//!
//! Axes of a group that lie behind one another in all tensors are one. Of what is
//! left, the longest axis of each group is that of the matrices; the rest of the
//! batch, rows and columns are loops over products, the rest of the sum adds one
//! product to another. A weight that is packed is read from its packs, see `weights`.

#![expect(unsafe_code, reason = "matrix routines take addresses")]

mod together;

use girih_graph::{AxisId, DType};
use girih_kernels::gemm::{self, Finish, Gemm};
use girih_plan::plan::Contract;

use super::Run;
use crate::bind::{Binder, Bound};
use crate::block::Base;
use crate::frame::Frame;
use crate::pack::Pack;
use crate::view::View;
use crate::walk;
use crate::weights::{Weight, Weights};
pub(crate) use together::Joined;

/// Steps of the left factor, the right factor and the result.
type Steps = [isize; 3];

/// One axis with its steps.
type Line = (usize, Steps);

/// A contraction with numbers for its sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Product {
    rows: Line,
    columns: Line,
    inner: Line,
    /// Products of one shape that a routine takes at once.
    batch: Line,
    /// Further products.
    loops: Vec<Line>,
    /// Further parts of each sum.
    sums: Vec<Line>,
    /// How it is done with a weight that is packed.
    weighted: Option<Weighted>,
}

/// A product with a weight. Its matrices are transposed if the weight is the first factor.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Weighted {
    /// Which weight of the plan.
    weight: usize,
    /// Rows: how many, and their steps in the other factor and the result.
    rows: (usize, [isize; 2]),
    /// Further rows.
    loops: Vec<(usize, [isize; 2])>,
    /// Step of the sum in the other factor.
    inner: isize,
    /// Step of the columns in the result.
    column: isize,
    /// For each of the weight's matrices, where what it is multiplied with and the result begin,
    /// and whether it adds to that.
    matrices: Vec<([isize; 2], bool)>,
}

pub(super) fn bind(binder: &Binder<'_>, bound: &Bound, contract: &Contract) -> Product {
    let views = [contract.left, contract.right, contract.out].map(|id| &bound.views[id.index()]);
    let weighted = binder.weights.number(contract).map(|number| {
        let weight = &binder.weights.all()[number];
        bind_weighted(views, contract, number, weight)
    });
    let (rows, mut loops) = longest(group(&contract.rows, views));
    let (columns, rest) = longest(group(&contract.columns, views));
    loops.extend(rest);
    let (mut inner, mut sums) = longest(group(&contract.inner, views));
    if inner.0 == 0 || sums.iter().any(|(extent, _)| *extent == 0) {
        // The routine knows what a sum over nothing is.
        inner.0 = 0;
        sums.clear();
    }
    loops.extend(group(&contract.batch, views));
    let (batch, loops) = longest(loops);
    Product {
        rows,
        columns,
        inner,
        batch,
        loops,
        sums,
        weighted,
    }
}

fn bind_weighted(views: [&View; 3], contract: &Contract, number: usize, own: &Weight) -> Weighted {
    let [left, right, out] = views;
    let (other, rows) = if own.left {
        (right, &contract.columns)
    } else {
        (left, &contract.rows)
    };
    let without = |(extent, steps): Line| {
        (
            extent,
            if own.left {
                [steps[1], steps[2]]
            } else {
                [steps[0], steps[2]]
            },
        )
    };
    let (rows, loops) = longest(group(rows, views));
    let mut matrices = vec![([0; 2], false)];
    for (at, (axis, extent)) in own.loops.iter().enumerate() {
        let steps = [other.step(*axis), out.step(*axis)];
        let sums = at >= own.loops.len() - own.sums;
        let along = |(start, adds): ([isize; 2], bool)| {
            (0..*extent).map(move |position| {
                let moved = |side: usize| start[side] + steps[side] * position as isize;
                ([moved(0), moved(1)], adds || sums && position > 0)
            })
        };
        matrices = matrices.into_iter().flat_map(along).collect();
    }
    Weighted {
        weight: number,
        rows: without(rows),
        loops: loops.into_iter().map(without).collect(),
        inner: other.step(own.inner),
        column: out.step(own.column),
        matrices,
    }
}

/// The axes of a group, those joined that lie behind one another everywhere.
fn group(axes: &[AxisId], views: [&View; 3]) -> Vec<Line> {
    let extent = |axis: AxisId| {
        let line = views.iter().find_map(|view| view.line(axis));
        line.map_or(1, |line| line.extent)
    };
    let mut lines: Vec<Line> = axes
        .iter()
        .map(|axis| (extent(*axis), views.map(|view| view.step(*axis))))
        .collect();
    // Outermost first, as the result or else a factor has them.
    lines.sort_by_key(|(_, [left, right, out])| {
        std::cmp::Reverse((
            out.unsigned_abs(),
            left.unsigned_abs(),
            right.unsigned_abs(),
        ))
    });
    let shape: Vec<usize> = lines.iter().map(|(extent, _)| *extent).collect();
    let steps =
        |operand: usize| -> Vec<isize> { lines.iter().map(|(_, steps)| steps[operand]).collect() };
    walk::joined(&shape, [&steps(0), &steps(1), &steps(2)])
}

/// The longest axis, and the others.
fn longest(mut lines: Vec<Line>) -> (Line, Vec<Line>) {
    let found = (0..lines.len()).max_by_key(|at| lines[*at].0);
    match found {
        Some(at) => (lines.remove(at), lines),
        None => ((1, [0; 3]), lines),
    }
}

pub(super) fn run(run: &Run<'_>, contract: &Contract, product: &Product, frame: &Frame<'_>) {
    let out = frame.view(contract.out);
    if out.lines.iter().any(|line| line.extent == 0) {
        return;
    }
    if let Some(weighted) = &product.weighted
        && let Some(packs) = run.packs.get(weighted.weight).and_then(Option::as_ref)
    {
        let ends = ends(run.weights, contract, weighted, frame);
        return multiply(run, weighted, packs, ends, &weighted.loops);
    }
    match out.dtype {
        DType::F64 => products(run, contract, product, frame, gemm_f64),
        DType::F32 => products(run, contract, product, frame, gemm_f32),
        other => unreachable!("a plan contracts `f32` and `f64`, not `{other}`"),
    }
}

/// Where the other factor and the result begin.
fn ends(
    weights: &Weights,
    contract: &Contract,
    product: &Weighted,
    frame: &Frame<'_>,
) -> [*mut f32; 2] {
    let left = weights.all()[product.weight].left;
    let other = if left { contract.right } else { contract.left };
    [other, contract.out].map(|id| {
        let view = frame.view(id);
        let base = frame.base(view.buffer).elements::<f32>();
        base.wrapping_offset(view.offset)
    })
}

/// Multiplies with every matrix of a weight, for every position of the further rows.
fn multiply(
    run: &Run<'_>,
    product: &Weighted,
    packs: &[Pack],
    ends: [*mut f32; 2],
    loops: &[(usize, [isize; 2])],
) {
    if let Some(((extent, steps), rest)) = loops.split_first() {
        for position in 0..*extent as isize {
            let moved = |side: usize| ends[side].wrapping_offset(steps[side] * position);
            multiply(run, product, packs, [moved(0), moved(1)], rest);
        }
        return;
    }
    let (rows, steps) = product.rows;
    for (packed, (start, accumulate)) in packs.iter().zip(&product.matrices) {
        let a = gemm::View {
            ptr: ends[0].wrapping_offset(start[0]).cast_const(),
            row: steps[0],
            col: product.inner,
        };
        let c = gemm::ViewMut {
            ptr: ends[1].wrapping_offset(start[1]),
            row: steps[1],
            col: product.column,
        };
        let finish = Finish {
            accumulate: *accumulate,
            epilogue: None,
        };
        // SAFETY: the level is one that the machine runs; the matrices are what the views of the
        // contraction see, which is memory of the frame; the result's elements are its own.
        unsafe { packed.multiply(run.level, run.pool, rows, a, c, finish) };
    }
}

fn gemm_f32(run: &Run<'_>, product: &Gemm<f32>) {
    // SAFETY: the level is one that the machine runs; the matrices are what the views of the
    // contraction see, which is memory of the frame; the result's elements are its own.
    unsafe { gemm::gemm_f32(run.level, run.pool, product) };
}

fn gemm_f64(run: &Run<'_>, product: &Gemm<f64>) {
    // SAFETY: as for `f32`.
    unsafe { gemm::gemm_f64(run.level, run.pool, product) };
}

fn products<T>(
    run: &Run<'_>,
    contract: &Contract,
    product: &Product,
    frame: &Frame<'_>,
    gemm: fn(&Run<'_>, &Gemm<T>),
) {
    let start = [contract.left, contract.right, contract.out].map(|id| {
        let view = frame.view(id);
        (frame.base(view.buffer), view.offset)
    });
    let address = |operand: usize, offset: isize| -> *mut T {
        let (Base(base), own) = start[operand];
        base.cast::<T>().wrapping_offset(own + offset)
    };
    each(&product.loops, [0; 3], &mut |offsets| {
        let mut first = true;
        let mut add = |[left, right, _]: Steps| {
            let (rows, columns, inner) = (product.rows, product.columns, product.inner);
            gemm(
                run,
                &Gemm {
                    m: rows.0,
                    n: columns.0,
                    k: inner.0,
                    a: gemm::View {
                        ptr: address(0, left),
                        row: rows.1[0],
                        col: inner.1[0],
                    },
                    b: gemm::View {
                        ptr: address(1, right),
                        row: inner.1[1],
                        col: columns.1[1],
                    },
                    c: gemm::ViewMut {
                        ptr: address(2, offsets[2]),
                        row: rows.1[2],
                        col: columns.1[2],
                    },
                    accumulate: !first,
                    batch: product.batch.0,
                    batch_a: product.batch.1[0],
                    batch_b: product.batch.1[1],
                    batch_c: product.batch.1[2],
                },
            );
            first = false;
        };
        each(&product.sums, offsets, &mut add);
    });
}

/// Calls `body` with the offsets of every position.
fn each(lines: &[Line], offsets: Steps, body: &mut dyn FnMut(Steps)) {
    let Some(((extent, steps), rest)) = lines.split_first() else {
        body(offsets);
        return;
    };
    for position in 0..*extent {
        let step = |operand: usize| offsets[operand] + steps[operand] * position as isize;
        each(rest, [step(0), step(1), step(2)], body);
    }
}
