//! Gradients of random graphs.
//!
//! Graphs grow by attempts: a primitive with random attributes on random values,
//! left out where its rule refuses. What may grow is squashed, so that
//! differences stay exact enough.

use std::sync::Arc;

use girih_graph::{
    AxisId, Binary, Builder, Combine, DType, Extent, Graph, Op, OpError, Outside, Patch,
    Recurrence, Route, Unary, ValueId, ValueType,
};

use crate::check::{check_first, check_graph};

#[test]
fn gradients_of_random_graphs() {
    for seed in 0..50 {
        check_first(&random_graph(seed));
    }
}

#[test]
fn second_derivatives_of_random_graphs() {
    for seed in 0..5 {
        check_graph(&random_graph(seed));
    }
}

fn random_graph(seed: u64) -> Graph {
    let mut b = Builder::new(&format!("random{seed}"));
    let extents = [("i", 2), ("j", 3), ("k", 3), ("t", 4), ("m", 6), ("e", 2)];
    let axes = extents.map(|(name, extent)| b.axes.add(name, Extent::from(extent), None, false));
    let mut draw = Draw(seed);
    let mut values = Vec::new();
    for name in ["x", "y", "z", "w"] {
        let ty = ValueType::new(DType::F64, draw.some_of(&axes));
        let input = b.value(Op::Input(name.into(), ty), &[]);
        values.push(input.expect("an input has no operands"));
    }
    grow(&mut b, &mut draw, &axes, &mut values, (12, 0));
    let last = values.iter().rev().take(3);
    let results = last
        .enumerate()
        .map(|(at, value)| (format!("r{at}"), *value));
    let results = results.collect();
    let whole = b.finish(results, Vec::new());
    let patched = Patch::new(&whole).apply();
    patched.expect("nothing is replaced").graph
}

/// Linear congruential numbers: the same on every machine.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) as usize % bound
    }

    fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// At most three.
    fn some_of(&mut self, axes: &[AxisId]) -> Vec<AxisId> {
        let mut chosen = Vec::new();
        for _ in 0..self.below(4) {
            let axis = self.one_of(axes);
            if !chosen.contains(&axis) {
                chosen.push(axis);
            }
        }
        chosen
    }

    fn truth(&mut self) -> bool {
        self.below(2) == 1
    }
}

/// Adds values; `(steps, depth)` says how many and how deep the region lies.
fn grow(
    b: &mut Builder,
    draw: &mut Draw,
    axes: &[AxisId],
    values: &mut Vec<ValueId>,
    (steps, depth): (usize, usize),
) {
    let wanted = values.len() + steps;
    // Most attempts are refused.
    for _ in 0..steps * 20 {
        if values.len() >= wanted {
            break;
        }
        let Ok(value) = attempt(b, draw, axes, values, depth) else {
            continue;
        };
        // Values of rank 4 and more are left aside.
        if b.ty(value).axes.len() < 4 {
            values.push(value);
        }
    }
}

fn attempt(
    b: &mut Builder,
    draw: &mut Draw,
    axes: &[AxisId],
    values: &[ValueId],
    depth: usize,
) -> Result<ValueId, OpError> {
    let (x, y, z) = (
        draw.one_of(values),
        draw.one_of(values),
        draw.one_of(values),
    );
    let (axis, other) = (draw.one_of(axes), draw.one_of(axes));
    let some = draw.some_of(axes);
    let combine = draw.one_of(&[Combine::Sum, Combine::Prod, Combine::Max, Combine::Min]);
    let (flag, second) = (draw.truth(), draw.truth());
    let extent = |b: &Builder, axis| b.axes.extent(axis).as_constant().unwrap_or(1) as usize;
    let joined = b.axes.find("m").expect("it was added");
    let value = match draw.below(20) {
        0 => b.unary(
            draw.one_of(&[Unary::Sin, Unary::Sigmoid, Unary::Erf, Unary::Abs]),
            x,
        )?,
        1 => b.binary(draw.one_of(&[Binary::Add, Binary::Sub]), x, y)?,
        2 => b.binary(draw.one_of(&[Binary::Mul, Binary::Max, Binary::Min]), x, y)?,
        3 => {
            let condition = b.binary(Binary::Gt, x, y)?;
            b.select(condition, y, z)?
        }
        4 | 5 => b.value(Op::Contract(some), &[x, y])?,
        6 => b.value(Op::Reduce(combine, some), &[x])?,
        7 => b.value(Op::Softmax(some), &[x])?,
        8 => {
            let domain = b.binary(Binary::Lt, x, y)?;
            b.value(Op::Softmax(some), &[z, domain])?
        }
        9 => {
            let exclusive = flag && matches!(combine, Combine::Sum | Combine::Prod);
            let cumulate = Op::Cumulate {
                combine,
                axis,
                reverse: second,
                exclusive,
            };
            b.value(cumulate, &[x])?
        }
        10 => {
            let count = extent(b, other);
            let bound = extent(b, axis) + 1;
            let data: Arc<[f64]> = (0..count).map(|_| draw.below(bound) as f64).collect();
            let positions = b.value(Op::Table(DType::I64, vec![other], data), &[])?;
            let outside = Outside::Zero;
            b.value(Op::Gather { axis, outside }, &[x, positions])?
        }
        11 => {
            let count = extent(b, other);
            let bound = extent(b, axis) + 1;
            let data: Arc<[f64]> = (0..count).map(|_| draw.below(bound) as f64).collect();
            let positions = b.value(Op::Table(DType::I64, vec![other], data), &[])?;
            let over = vec![other];
            let scatter = Op::Scatter {
                axis,
                over,
                combine,
            };
            b.value(scatter, &[positions, x])?
        }
        12 => {
            let stride = |draw: &mut Draw| Extent::from(draw.below(5) as i64 - 2);
            let into = some.iter().map(|axis| (*axis, stride(draw))).collect();
            let offset = stride(draw);
            b.value(Op::Window { axis, into, offset }, &[x])?
        }
        13 => {
            let stride = |draw: &mut Draw| Extent::from(draw.below(5) as i64 - 2);
            let from = some.iter().map(|axis| (*axis, stride(draw))).collect();
            let offset = stride(draw);
            b.value(Op::Fold { from, axis, offset }, &[x])?
        }
        14 => b.value(Op::Split(axis, some), &[x])?,
        15 => b.value(Op::Merge(some, axis), &[x])?,
        16 => b.value(Op::Concat(vec![axis, other], joined), &[x, y])?,
        17 => b.value(Op::Rename(vec![(axis, other)]), &[x])?,
        18 if depth < 2 => recurrence(b, draw, axes, values, (axis, flag, depth))?,
        _ if depth < 2 => route(b, draw, axes, values, depth)?,
        _ => b.value(Op::Expand(vec![axis]), &[x])?,
    };
    b.unary(Unary::Tanh, value)
}

fn recurrence(
    b: &mut Builder,
    draw: &mut Draw,
    axes: &[AxisId],
    values: &[ValueId],
    (axis, reverse, depth): (AxisId, bool, usize),
) -> Result<ValueId, OpError> {
    let with = |b: &Builder, has: bool| -> Vec<ValueId> {
        let fits = values.iter().filter(|value| b.ty(**value).has(axis) == has);
        fits.copied().collect()
    };
    let (sequences, starts) = (with(b, true), with(b, false));
    if sequences.is_empty() || starts.is_empty() {
        return Err(OpError::Rule {
            op: "recurrence",
            reason: "there is nothing to walk".to_owned(),
        });
    }
    let starts = [draw.one_of(&starts), draw.one_of(&starts)];
    let operands = [&starts[..], &[draw.one_of(&sequences), draw.one_of(values)]].concat();
    let types: Vec<ValueType> = operands.iter().map(|value| b.ty(*value).clone()).collect();
    b.open_region();
    let mut inner = Vec::new();
    for (position, ty) in types.into_iter().enumerate() {
        let slice = ValueType::new(ty.dtype, ty.without(&[axis]));
        inner.push(b.add_parameter(if position == 2 { slice } else { ty }));
    }
    let params = inner.clone();
    grow(b, draw, axes, &mut inner, (4, depth + 1));
    let mut results = Vec::new();
    for param in &params[..2] {
        let own = &b.ty(*param).axes;
        let fits = inner.iter().rev().find(|value| {
            let axes = &b.ty(**value).axes;
            axes.len() == own.len() && axes.iter().all(|axis| own.contains(axis))
        });
        results.push(*fits.unwrap_or(param));
    }
    let output = inner.iter().rev().find(|value| !b.ty(**value).has(axis));
    results.push(*output.unwrap_or(&params[0]));
    let body = b.close_region(results);
    let recurrence = Recurrence {
        axis,
        reverse,
        carried: 2,
        sequences: 1,
        body,
    };
    let results = b.node(Op::Recurrence(Box::new(recurrence)), &operands)?;
    Ok(draw.one_of(&results))
}

/// Two branches over the positions of `t`, elementwise in them.
fn route(
    b: &mut Builder,
    draw: &mut Draw,
    axes: &[AxisId],
    values: &[ValueId],
    depth: usize,
) -> Result<ValueId, OpError> {
    let named = |name: &str| b.axes.find(name).expect("it was added");
    let (items, branch) = (named("t"), named("e"));
    let (weights, x, y) = (
        draw.one_of(values),
        draw.one_of(values),
        draw.one_of(values),
    );
    let zero = b.number(DType::F64, 0.0);
    let kept = b.binary(Binary::Gt, weights, zero)?;
    let types = [b.ty(x).clone(), b.ty(y).clone()];
    // A branch must not look at other items: it sees only axes that are not walked.
    let inside: Vec<AxisId> = axes.iter().copied().filter(|axis| *axis != items).collect();
    let mut branches = Vec::new();
    for _ in 0..2 {
        b.open_region();
        let mut inner: Vec<ValueId> = types.iter().map(|ty| b.add_parameter(ty.clone())).collect();
        let first = inner[0];
        grow(b, draw, &inside, &mut inner, (3, depth + 1));
        let own = b.ty(first).axes.clone();
        let fits = inner.iter().rev().find(|value| b.ty(**value).axes == own);
        let result = *fits.unwrap_or(&first);
        branches.push(b.close_region(vec![result]));
    }
    let route = Route::sharing(branch, vec![items], branches, 2);
    b.value(Op::Route(Box::new(route)), &[weights, kept, x, y])
}
