//! Results equal those of the plainest loops, and transposes are transposes.

use girih_graph::{AxisId, Combine, DType, Extent, Op, Outside, ValueId, ValueType};
use girih_runtime::tensor::Tensor;
use proptest::prelude::*;

use super::{Case, cases};

/// Small integers as reals, so that sums are exact in any order.
fn numbers(count: usize, seed: i64) -> Vec<f32> {
    (0..count as i64)
        .map(|i| ((i * 7 + seed * 13) % 11 - 5) as f32)
        .collect()
}

/// Every position of a shape, row-major.
fn positions(shape: &[usize]) -> Vec<Vec<usize>> {
    shape.iter().fold(vec![Vec::new()], |all, extent| {
        let longer = |start: &Vec<usize>| {
            let start = start.clone();
            (0..*extent).map(move |index| [start.clone(), vec![index]].concat())
        };
        all.iter().flat_map(longer).collect()
    })
}

/// A tensor that is read by named indices.
struct Named {
    axes: Vec<AxisId>,
    shape: Vec<usize>,
    data: Vec<f64>,
}

impl Named {
    fn new(case: &Case, value: ValueId, tensor: &Tensor) -> Self {
        let ValueType { axes, .. } = case.b.ty(value).clone();
        let shape = case.shape(&axes);
        assert_eq!(tensor.shape(), shape);
        Self {
            axes,
            shape,
            data: tensor.to_f64_vec(),
        }
    }

    fn at(&self, index: &dyn Fn(AxisId) -> usize) -> f64 {
        let indices = self.axes.iter().zip(&self.shape);
        self.data[indices.fold(0, |at, (axis, extent)| at * extent + index(*axis))]
    }
}

/// A case with axes a, b, c, d of these extents, and a value over some of them.
fn case(extents: &[usize]) -> (Case, Vec<AxisId>) {
    let mut c = Case::new();
    let names = ["a", "b", "c", "d"].iter().zip(extents);
    let axes = names.map(|(name, extent)| c.axis(name, *extent)).collect();
    (c, axes)
}

/// An input over the axes whose bit in `mask` is set, in an order that `turn` decides.
fn input(c: &mut Case, axes: &[AxisId], mask: usize, turn: usize, seed: i64) -> (ValueId, Named) {
    let mut own: Vec<AxisId> = axes
        .iter()
        .enumerate()
        .filter(|(bit, _)| mask >> bit & 1 == 1)
        .map(|(_, a)| *a)
        .collect();
    if !own.is_empty() {
        let turn = turn % own.len();
        own.rotate_left(turn);
    }
    let shape = c.shape(&own);
    let data = numbers(shape.iter().product(), seed);
    let value = c.input(&own, &data);
    let tensor = Tensor::new(shape, data).unwrap();
    let named = Named::new(c, value, &tensor);
    (value, named)
}

fn run_one(c: Case, value: ValueId) -> Named {
    let axes = c.b.ty(value).axes.clone();
    let shape = c.shape(&axes);
    let tensor = c.run(&[value]).unwrap().remove(0);
    assert_eq!(tensor.shape(), shape);
    Named {
        axes,
        shape,
        data: tensor.to_f64_vec(),
    }
}

/// Compares a result, whose elements `expected` computes from named indices.
fn compare(found: &Named, expected: impl Fn(&dyn Fn(AxisId) -> usize) -> f64) {
    for position in positions(&found.shape) {
        let index = |axis: AxisId| {
            let place = found.axes.iter().position(|own| *own == axis);
            place.map_or(usize::MAX, |place| position[place])
        };
        let (found, expected) = (found.at(&index), expected(&index));
        // All numbers are small integers, exact in any order.
        let wrong = found.total_cmp(&expected).is_ne() && found.abs() + expected.abs() > 0.0;
        assert!(!wrong, "{found} is not {expected} at {position:?}");
    }
}

fn extents() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0_usize..4, 4)
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn contractions_are_sums_of_products(
        extents in extents(),
        (x, y, over) in (0_usize..16, 0_usize..16, 0_usize..16),
        turn in 0_usize..4,
    ) {
        let (mut c, axes) = case(&extents);
        let over: Vec<AxisId> = axes.iter().enumerate()
            .filter(|(bit, _)| (x & y & over) >> bit & 1 == 1).map(|(_, a)| *a).collect();
        let (x, x_named) = input(&mut c, &axes, x, turn, 1);
        let (y, y_named) = input(&mut c, &axes, y, turn + 1, 2);
        let z = c.b.value(Op::Contract(over.clone()), &[x, y]).unwrap();
        let over_shape = c.shape(&over);
        let found = run_one(c, z);
        compare(&found, |index| {
            positions(&over_shape).iter().map(|position| {
                let index = |axis| match over.iter().position(|own| *own == axis) {
                    Some(place) => position[place],
                    None => index(axis),
                };
                x_named.at(&index) * y_named.at(&index)
            }).sum()
        });
    }

    #[test]
    fn products_of_any_layout_are_the_same(
        (m, n, k) in (1_usize..70, 1_usize..70, 1_usize..40),
        (batch, repeated) in (1_usize..3, any::<bool>()),
        turns in (0_usize..3, 0_usize..3),
    ) {
        // Large enough for the library, with operands laid out in any order.
        let (mut c, axes) = case(&[batch, m, n, k]);
        let (x, x_named) = input(&mut c, &axes, 0b1011, turns.0, 1);
        let (y, y_named) = input(&mut c, &axes, if repeated { 0b1100 } else { 0b1101 }, turns.1, 2);
        let y = if repeated { c.b.value(Op::Expand(vec![axes[0]]), &[y]).unwrap() } else { y };
        let z = c.b.value(Op::Contract(vec![axes[3]]), &[x, y]).unwrap();
        let found = run_one(c, z);
        compare(&found, |index| (0..k).map(|at| {
            let index = |axis| if axis == axes[3] { at } else { index(axis) };
            x_named.at(&index) * y_named.at(&index)
        }).sum());
    }

    #[test]
    fn reductions_combine_every_position(
        extents in extents(),
        (mask, over) in (0_usize..16, 0_usize..16),
        turn in 0_usize..4,
        combine in prop::sample::select(vec![
            (Combine::Sum, 0.0_f64), (Combine::Prod, 1.0),
            (Combine::Max, f64::NEG_INFINITY), (Combine::Min, f64::INFINITY),
        ]),
    ) {
        let (mut c, axes) = case(&extents);
        let over: Vec<AxisId> = axes.iter().enumerate()
            .filter(|(bit, _)| (mask & over) >> bit & 1 == 1).map(|(_, a)| *a).collect();
        let (x, named) = input(&mut c, &axes, mask, turn, 3);
        // In f64, so that products of small integers are exact.
        let x = c.b.cast(x, DType::F64).unwrap();
        let (combine, identity) = combine;
        let y = c.b.value(Op::Reduce(combine, over.clone()), &[x]).unwrap();
        let over_shape = c.shape(&over);
        let found = run_one(c, y);
        compare(&found, |index| {
            positions(&over_shape).iter().fold(identity, |sum, position| {
                let x = named.at(&|axis| match over.iter().position(|own| *own == axis) {
                    Some(place) => position[place],
                    None => index(axis),
                });
                match combine {
                    Combine::Sum => sum + x,
                    Combine::Prod => sum * x,
                    Combine::Max | Combine::Any => sum.max(x),
                    Combine::Min | Combine::All => sum.min(x),
                }
            })
        });
    }

    #[test]
    fn a_fold_is_the_transpose_of_its_window(
        (extent, d) in (0_usize..6, 0_usize..3),
        into in prop::collection::vec((0_usize..4, -3_i64..4), 0..3),
        offset in -4_i64..6,
        turn in 0_usize..4,
    ) {
        let mut c = Case::new();
        let (t, d) = (c.axis("t", extent), c.axis("d", d));
        let new: Vec<AxisId> = into.iter().map(|(extent, _)| c.axis("i", *extent)).collect();
        let strides = into.iter().map(|(_, stride)| Extent::from(*stride));
        let into: Vec<(AxisId, Extent)> = new.iter().copied().zip(strides).collect();
        let (x, x_named) = input(&mut c, &[t, d], 0b11, turn, 1);
        let y_axes = [new.clone(), vec![d]].concat();
        let (y, _) = input(&mut c, &y_axes, (1 << y_axes.len()) - 1, turn, 2);
        let offset_extent = Extent::from(offset);
        let window = Op::Window { axis: t, into: into.clone(), offset: offset_extent.clone() };
        let window = c.b.value(window, &[x]).unwrap();
        let fold = c.b.value(Op::Fold { from: into.clone(), axis: t, offset: offset_extent }, &[y]).unwrap();
        let all = c.b.axes.iter().map(|(axis, _)| axis);
        let all: Vec<AxisId> = all.filter(|axis| *axis != t).collect();
        let left = c.b.value(Op::Contract(all), &[window, y]).unwrap();
        let right = c.b.value(Op::Contract(vec![t, d]), &[x, fold]).unwrap();

        let results = c.run(&[window, left, right]).unwrap();
        prop_assert_eq!(&results[1], &results[2], "⟨window x, y⟩ = ⟨x, fold y⟩");

        let found = Named {
            axes: x_named.axes.iter().flat_map(|axis| if *axis == t { new.clone() } else { vec![d] }).collect(),
            shape: results[0].shape().to_vec(),
            data: results[0].to_f64_vec(),
        };
        compare(&found, |index| {
            let at = into.iter().zip(&new).fold(offset, |at, ((_, stride), axis)| {
                at + stride.as_constant().unwrap() * index(*axis) as i64
            });
            if !(0..extent as i64).contains(&at) {
                return 0.0;
            }
            x_named.at(&|axis| if axis == t { at as usize } else { index(axis) })
        });
    }

    #[test]
    fn a_scatter_is_the_transpose_of_its_gather(
        (v, d, t, b) in (0_usize..4, 0_usize..3, 0_usize..4, 0_usize..3),
        aligned in any::<bool>(),
        turn in 0_usize..4,
        seed in 0_i64..50,
    ) {
        let mut c = Case::new();
        let (v, d, t, b) = (c.axis("v", v), c.axis("d", d), c.axis("t", t), c.axis("b", b));
        let (x, x_named) = input(&mut c, &[v, d, b], 0b111, turn, 1);
        // Positions are from −1 to 4: some are outside.
        let position_axes = if aligned { vec![b, t] } else { vec![t] };
        let shape = c.shape(&position_axes);
        let count: usize = shape.iter().product();
        let at: Vec<i64> = (0..count as i64).map(|i| (i * 5 + seed) % 6 - 1).collect();
        let at_value = c.input(&position_axes, &at);
        let at_named = Named::new(&c, at_value, &Tensor::new(shape, at).unwrap());
        let (y, _) = input(&mut c, &[t, d, b], 0b111, turn + 1, 2);

        let gather = Op::Gather { axis: v, outside: Outside::Zero };
        let gather = c.b.value(gather, &[x, at_value]).unwrap();
        let scatter = Op::Scatter { axis: v, over: vec![t], combine: Combine::Sum };
        let scatter = c.b.value(scatter, &[at_value, y]).unwrap();
        let left = c.b.value(Op::Contract(vec![t, d, b]), &[gather, y]).unwrap();
        let right = c.b.value(Op::Contract(vec![v, d, b]), &[x, scatter]).unwrap();
        let axes = c.b.ty(gather).axes.clone();
        let extent = c.extents[v.index()];
        let results = c.run(&[gather, left, right]).unwrap();
        prop_assert_eq!(&results[1], &results[2], "⟨gather x, y⟩ = ⟨x, scatter y⟩");

        let found = Named { axes, shape: results[0].shape().to_vec(), data: results[0].to_f64_vec() };
        compare(&found, |index| {
            let at = at_named.at(index);
            if at < 0.0 || at >= extent as f64 {
                return 0.0;
            }
            x_named.at(&|axis| if axis == v { at as usize } else { index(axis) })
        });
    }
}
