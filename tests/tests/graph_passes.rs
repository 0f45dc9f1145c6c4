//! Passes change no bit of any result, and random graphs stay within bounds: every
//! graph runs on the reference backend before and after.

use std::collections::BTreeMap;

use girih_graph::{DType, Graph, Op, text};
use girih_plan::{passes, simplify_all};
use girih_runtime::backend::{Backend, Bindings, Outputs, silent};
use girih_runtime::reference::Reference;
use girih_runtime::tensor::Tensor;
use girih_tests::random_graph::{Options, RandomGraph, random_graph, seeded_graph};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn bindings(random: &RandomGraph) -> Bindings {
    let mut bindings = Bindings::new();
    for (name, size) in &random.sizes {
        bindings = bindings.symbol(name, *size);
    }
    let data = random.data(7);
    for (_, node) in random.graph.root.nodes() {
        let (Op::Input(name, _) | Op::Param(name, _) | Op::State(name)) = &node.op else {
            continue;
        };
        let numbers = &data[&**name];
        let floats = || {
            numbers
                .data
                .iter()
                .map(|number| *number as f32)
                .collect::<Vec<_>>()
        };
        let shape = numbers.shape.clone();
        let tensor = match numbers.ty.dtype {
            DType::F32 => Tensor::new(shape, floats()),
            DType::Bool => Tensor::new(shape, numbers.data.iter().map(|x| *x != 0.0).collect()),
            _ => Tensor::new(shape, numbers.data.iter().map(|x| *x as i64).collect()),
        };
        let tensor = tensor.expect("as many numbers as positions");
        bindings = match node.op {
            Op::Input(..) => bindings.input(name, tensor),
            Op::Param(..) => bindings.param(name, tensor),
            _ => bindings.state(name, tensor),
        };
    }
    bindings
}

/// Bytes of every result and next state by name.
fn run(graph: &Graph, bindings: &Bindings) -> BTreeMap<String, Tensor> {
    let executable = Reference.compile(graph).expect("it runs every graph");
    let outputs = executable.run(bindings, &mut silent);
    let Outputs { results, states } =
        outputs.unwrap_or_else(|error| panic!("{error}\n{}", text::print(graph)));
    let states = states
        .into_iter()
        .map(|(name, output)| (format!("state {name}"), output));
    let all = results.into_iter().chain(states);
    all.map(|(name, output)| (name, output.data.to_host().expect("it is in memory")))
        .collect()
}

fn check_same(random: &RandomGraph, new: &Graph, bindings: &Bindings) {
    let (before, after) = (run(&random.graph, bindings), run(new, bindings));
    for (name, tensor) in &before {
        assert_eq!(
            tensor.bytes(),
            after[name].bytes(),
            "`{name}` of\n{}\nbecame\n{}",
            text::print(&random.graph),
            text::print(new)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0),
        ..ProptestConfig::with_cases(300)
    })]

    #[test]
    fn no_pass_changes_a_bit(random in random_graph(Options::default())) {
        let bindings = bindings(&random);
        for pass in passes() {
            check_same(&random, &(pass.run)(&random.graph), &bindings);
        }
        check_same(&random, &simplify_all(&random.graph), &bindings);
    }
}

#[test]
fn random_graphs_stay_within_bounds() {
    for seed in 0..300 {
        for smooth in [false, true] {
            let random = seeded_graph(seed, Options { smooth });
            for (name, tensor) in run(&random.graph, &bindings(&random)) {
                if tensor.dtype() == DType::F32 {
                    let numbers = tensor.as_slice::<f32>().expect("it is f32");
                    let moderate = numbers.iter().all(|number| number.abs() <= 20.0);
                    assert!(moderate, "`{name}` is {numbers:?} in\n{random:?}");
                }
            }
        }
    }
}
