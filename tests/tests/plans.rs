//! What graphs are planned as: kernels that keep their guarantees, whatever the graph.

use girih_plan::region::Region;
use girih_plan::{lower, simplify_all};
use girih_tests::random_graph::{Options, seeded_graph};

/// How many random graphs.
const GRAPHS: u64 = 400;

#[test]
fn every_graph_has_a_plan_whose_kernels_keep_their_guarantees() {
    for seed in 0..GRAPHS {
        let graph = seeded_graph(seed, Options::default()).graph;
        for graph in [&graph, &simplify_all(&graph)] {
            let plan = lower(graph);
            for kernel in &plan.kernels {
                assert_eq!(kernel.check(), Ok(()), "seed {seed}\n{plan}");
            }
        }
    }
}

#[test]
fn every_launch_reads_as_it_was_written() {
    for seed in 0..GRAPHS {
        let plan = lower(&simplify_all(&seeded_graph(seed, Options::default()).graph));
        for at in 0..plan.root.launches.len() {
            if let Some((region, _)) = Region::new(&plan, &plan.root, at..at + 1) {
                let text = region.to_text();
                let read = Region::from_text(&text);
                let read =
                    read.unwrap_or_else(|error| panic!("seed {seed}: {error}\n{text}\n{plan}"));
                assert_eq!(read, region, "seed {seed}");
            }
        }
    }
}
