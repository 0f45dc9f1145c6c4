//! Streaming rules are true: where one position of an input changes, results change
//! only at positions that say they depend on it.

use std::collections::BTreeMap;

use girih_graph::stream::Spans;
use girih_graph::{AxisId, DType, Op, ValueId, text};
use girih_runtime::backend::{Backend, Bindings, Executable, silent};
use girih_runtime::reference::Reference;
use girih_tests::compare::tensor;
use girih_tests::random_graph::{Numbers, Options, RandomGraph, random_graph};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

type Data = BTreeMap<String, Numbers>;

/// The results, each row-major over its axes, as bytes of one element each.
fn run(executable: &dyn Executable, random: &RandomGraph, data: &Data) -> Vec<Vec<Vec<u8>>> {
    let mut bindings = Bindings::new();
    for (name, size) in &random.sizes {
        bindings = bindings.symbol(name, *size);
    }
    let (inputs, params) = (random.graph.inputs(), random.graph.params());
    for (name, numbers) in data {
        let tensor = tensor(numbers);
        bindings = if inputs.contains_key(name.as_str()) {
            bindings.input(name, tensor)
        } else if params.contains_key(name.as_str()) {
            bindings.param(name, tensor)
        } else {
            bindings.state(name, tensor)
        };
    }
    let outputs = executable.run(&bindings, &mut silent);
    let outputs = outputs.unwrap_or_else(|error| panic!("{error}\n{random:?}"));
    let results = random.graph.results.iter().map(|name| {
        let tensor = outputs.tensor(name).expect("every result is there");
        let element = tensor.dtype().size();
        tensor.bytes().chunks(element).map(<[u8]>::to_vec).collect()
    });
    results.collect()
}

/// Where position `index` of a row-major tensor lies.
fn places(mut index: usize, shape: &[usize]) -> Vec<usize> {
    let mut places = vec![0; shape.len()];
    for (place, extent) in places.iter_mut().zip(shape).rev() {
        *place = index % extent;
        index /= extent;
    }
    places
}

fn check(random: &RandomGraph, source: ValueId, name: &str) {
    let executable = Reference
        .compile(&random.graph)
        .expect("it runs every graph");
    let data = random.data(3);
    let before = run(&*executable, random, &data);
    let own = &data[name];
    for (along, axis) in own.ty.axes.iter().enumerate() {
        let spans = Spans::new(&random.graph.axes, &random.graph.root, source, *axis);
        for position in 0..own.shape[along] {
            // Everything at this position along the axis becomes something else.
            let mut changed = data.clone();
            let numbers = changed.get_mut(name).expect("it is the input's own");
            for (index, number) in numbers.data.iter_mut().enumerate() {
                if places(index, &own.shape)[along] == position {
                    *number = match own.ty.dtype {
                        DType::F32 => 0.875 - *number,
                        DType::Bool => 1.0 - *number,
                        _ => *number + 1.0,
                    };
                }
            }
            let after = run(&*executable, random, &changed);
            for (result, (old, new)) in before.iter().zip(&after).enumerate() {
                let value = random.graph.root.results()[result];
                let moved = (0..old.len()).filter(|index| old[*index] != new[*index]);
                for index in moved {
                    check_place(random, &spans, value, index, (*axis, position));
                }
            }
        }
    }
}

/// The element at `index` of a result has changed with the input's position.
fn check_place(
    random: &RandomGraph,
    spans: &Spans,
    value: ValueId,
    index: usize,
    (axis, position): (AxisId, usize),
) {
    let lookup = |symbol: &str| random.sizes.get(symbol).copied();
    let axes = &random.graph.root.ty(value).axes;
    let shape: Vec<usize> = axes.iter().map(|axis| random.extent(*axis)).collect();
    for (own, place) in axes.iter().zip(places(index, &shape)) {
        let span = spans.of(value, *own);
        let extent = random.extent(axis) as i64;
        let range = span
            .range(place as i64, extent, &lookup)
            .expect("every size is known");
        assert!(
            range.contains(&(position as i64)),
            "position {place} of `{}` depends on position {position} of `{}`, not only on {span:?}\n{}",
            random.graph.axes.name(*own),
            random.graph.axes.name(axis),
            text::print(&random.graph),
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0),
        ..ProptestConfig::with_cases(200)
    })]

    #[test]
    fn only_what_depends_changes(random in random_graph(Options::default())) {
        let leaves = random.graph.root.nodes().filter_map(|(_, node)| match &node.op {
            Op::Input(name, _) | Op::Param(name, _) | Op::State(name) => {
                Some((node.results[0], name.clone()))
            }
            _ => None,
        });
        for (source, name) in leaves {
            check(&random, source, &name);
        }
    }
}
