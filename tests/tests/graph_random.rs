//! Laws of graphs, over random ones: their text reads back, they stay valid under
//! every pass and at every real dtype, and random graphs reach every primitive.

use std::collections::BTreeSet;

use girih_graph::{DType, Graph, Op, Region, cost, text, verify};
use girih_plan::{passes, simplify_all};
use girih_tests::random_graph::{Options, random_graph, seeded_graph};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn check_text(graph: &Graph) {
    let printed = text::print(graph);
    let read = match text::parse(&printed) {
        Ok(read) => read,
        Err(error) => panic!("{error}\n{printed}"),
    };
    assert_eq!(read, text::canonical(graph), "{printed}");
    assert_eq!(text::print(&read), printed);
}

fn check_valid(graph: &Graph) {
    if let Err(error) = verify(graph) {
        panic!("{error}\n{}", text::print(graph));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0),
        ..ProptestConfig::with_cases(300)
    })]

    #[test]
    fn text_reads_back(random in random_graph(Options::default())) {
        check_text(&random.graph);
    }

    #[test]
    fn passes_keep_graphs_valid_and_their_border(random in random_graph(Options::default())) {
        for pass in passes() {
            let new = (pass.run)(&random.graph);
            check_valid(&new);
            check_text(&new);
            prop_assert_eq!(border(&new), border(&random.graph));
        }
        let simple = simplify_all(&random.graph);
        prop_assert_eq!(&simplify_all(&simple), &simple);
    }

    #[test]
    fn every_real_dtype_is_valid(random in random_graph(Options::default())) {
        for dtype in [DType::F64, DType::F16, DType::BF16] {
            let new = random.graph.with_real(dtype);
            check_valid(&new);
            check_text(&new);
        }
    }

    #[test]
    fn a_changed_text_is_read_or_refused(
        random in random_graph(Options::default()),
        at in any::<prop::sample::Index>(),
        byte in "[ -~\n]",
    ) {
        let mut printed = text::print(&random.graph);
        let boundaries: Vec<usize> = printed.char_indices().map(|(at, _)| at).collect();
        let at = *at.get(&boundaries);
        let end = at + printed[at..].chars().next().map_or(0, char::len_utf8);
        printed.replace_range(at..end, &byte);
        if let Ok(graph) = text::parse(&printed) {
            check_text(&graph);
        }
    }

    #[test]
    fn costs_are_numbers_at_every_size(random in random_graph(Options::default())) {
        let cost = cost::of(&random.graph);
        let lookup = |symbol: &str| random.sizes.get(symbol).copied();
        for extent in [cost.flops, cost.bytes, cost.params, cost.state] {
            prop_assert!(extent.evaluate(&lookup).is_ok_and(|number| number >= 0), "{extent}");
        }
    }
}

/// What a caller sees of a graph: names and types of inputs, parameters, states and results.
fn border(graph: &Graph) -> Vec<String> {
    let leaves = [graph.inputs(), graph.params(), graph.states()];
    let leaves = leaves
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.to_owned(), value));
    let results = graph
        .results
        .iter()
        .cloned()
        .zip(graph.root.results().iter().copied());
    let show = |(name, value)| format!("{name}: {}", graph.axes.show(graph.root.ty(value)));
    leaves.chain(results).map(show).collect()
}

/// Where a random graph never goes, nothing is tested.
#[test]
fn random_graphs_reach_every_primitive() {
    fn collect<'g>(region: &'g Region, found: &mut BTreeSet<&'g str>) {
        for (_, node) in region.nodes() {
            found.insert(node.op.name());
            for inner in node.op.regions() {
                collect(inner, found);
            }
        }
    }
    let graphs: Vec<Graph> = (0..1000)
        .map(|seed| seeded_graph(seed, Options::default()).graph)
        .collect();
    let mut found = BTreeSet::new();
    for graph in &graphs {
        collect(&graph.root, &mut found);
    }
    let mut wanted: Vec<&str> = [
        "input",
        "param",
        "state",
        "const",
        "table",
        "index",
        "size",
        "random",
        "select",
        "cast",
        "contract",
        "reduce",
        "softmax",
        "cumulate",
        "order",
        "gather",
        "scatter",
        "window",
        "fold",
        "split",
        "merge",
        "concat",
        "rename",
        "expand",
        "grad_as",
        "recurrence",
        "route",
    ]
    .into();
    wanted.extend(girih_graph::Unary::ALL.iter().map(|op| op.word()));
    wanted.extend(girih_graph::Binary::ALL.iter().map(|op| op.word()));
    let missing: Vec<&str> = wanted
        .into_iter()
        .filter(|name| !found.contains(name))
        .collect();
    assert!(missing.is_empty(), "never made: {missing:?}");
    let regions_in_regions = graphs
        .iter()
        .flat_map(|graph| graph.root.nodes())
        .any(|(_, node)| {
            let inner = node.op.regions().iter().flat_map(Region::nodes);
            inner
                .into_iter()
                .any(|(_, node)| matches!(node.op, Op::Recurrence(_)))
        });
    assert!(regions_in_regions);
}
