//! Compiled code computes what the reference backend computes: random graphs run on both, at
//! every CPU level that the machine has, on one and two threads.
//! `GIRIH_GRAPHS` says how many graphs to try.

use std::collections::BTreeMap;

use girih_cpu::{Cpu, CpuOptions, Level};
use girih_graph::text;
use girih_plan::chunk_recurrences;
use girih_template_device::Template;
use girih_tests::compare::{Tried, difference, failures};
use girih_tests::direct::{direct, refusing};
use girih_tests::random_graph::{Options, RandomGraph, grow, seeded_words};

/// Graphs that are tried unless `GIRIH_GRAPHS` says otherwise.
const GRAPHS: u64 = 200;

/// Most attempts to make a failing graph smaller.
const ATTEMPTS: usize = 3000;

/// The compiled backends that this machine can run, and devices that refuse all, and all but kernels.
fn backends() -> Vec<Tried> {
    let refusing: Tried = (
        "a device that refuses all".to_owned(),
        Box::new(refusing::<Template>()),
    );
    let mut backends = vec![refusing];
    for level in girih_cpu::levels() {
        for threads in [1, 2] {
            let options = CpuOptions {
                threads: Some(threads),
                level: Some(level),
                ..CpuOptions::default()
            };
            backends.push((name(level, threads), Box::new(Cpu::new(options))));
        }
    }
    backends.push(("a device".to_owned(), Box::new(direct::<Template>())));
    backends
}

fn name(level: Level, threads: usize) -> String {
    format!("{} with {threads} threads", level.name())
}

#[test]
fn random_graphs_compute_what_the_reference_does() {
    let graphs = std::env::var("GIRIH_GRAPHS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(GRAPHS);
    let failures = failures(&backends(), 0..graphs, ATTEMPTS);
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    let chunked = (0..graphs).any(|seed| {
        let random = grow(&seeded_words(seed), Options::default());
        let (_, choices) = chunk_recurrences(&random.graph, Some(2));
        choices.iter().any(|own| own.chunk.is_some())
    });
    assert!(chunked, "no graph has a linear recurrence");
}

#[test]
fn an_input_of_a_route_may_lack_the_first_item_axis() {
    let printed = "girih-graph 1
axis t time
axis i=t over t time
graph route(
  weights: f32[a=1, t, i=t],
  kept: bool[a=1, t, i=t],
  own: f32[i=t],
) -> (
  y: f32[t, i=t],
) {
  %0 = route weights, kept, own {branch: a, items: [t, i]} : f32[t, i=t] {
    branch(%1 = own: f32[i=t]) {
      %2 = tanh %1                     : f32[i=t]
      %3 = expand %2 {axes: t}         : f32[t, i=t]
      return %3
    }
  }
  return %0
}
";
    let graph = text::parse(printed).expect("it is well-formed");
    for (seed, size) in (0..20).zip([3, 5, 1, 0].into_iter().cycle()) {
        let random = RandomGraph {
            graph: graph.clone(),
            sizes: BTreeMap::from([("t".to_owned(), size)]),
        };
        assert_eq!(difference(&backends(), &random, seed), None, "{size}");
    }
}

/// The same in a process whose memory has fences: pages that nobody may touch around every buffer.
#[test]
fn no_kernel_leaves_its_memory() {
    let own = std::env::current_exe().expect("this test runs from a file");
    let run = std::process::Command::new(own)
        .args(["random_graphs_compute_what_the_reference_does", "--exact"])
        .env("GIRIH_CPU_FENCES", "1")
        .env("GIRIH_GRAPHS", "150")
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{}\n{said}", run.status);
}
