//! Compiled code computes what the reference backend computes: random graphs run on both, at
//! every CPU level that the machine has, on one and two threads.
//! `GIRIH_GRAPHS` says how many graphs to try.

use std::collections::BTreeMap;

use girih_cpu::{Cpu, CpuOptions, Level};
use girih_graph::{Way, text};
use girih_plan::{How, chunk_recurrences};
use girih_runtime::backend::{Backend, Bindings};
use girih_runtime::reference::Reference;
use girih_runtime::tensor::Tensor;
use girih_template_device::Template;
use girih_tests::compare::{Tried, agree, difference, failures, run};
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
    for way in [Way::Chunked, Way::Associative] {
        let rebuilt = (0..graphs).any(|seed| {
            let random = grow(&seeded_words(seed), Options::default());
            let (_, choices) = chunk_recurrences(&random.graph, Some((way, 2)));
            choices.iter().any(|own| own.how != How::Steps)
        });
        assert!(rebuilt, "no graph has a loop that can be {}", way.word());
    }
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

/// A loop over `t` with a matrix for each head, whose next value and what is read of it these lines make.
fn heads(reverse: &str, state: &str, body: &str) -> RandomGraph {
    let printed = format!(
        "girih-graph 1
graph heads(
  q: f32[h, t, e],
  k: f32[h, t, e],
  v: f32[h, t, f],
  a: f32[h, t, e],
) -> (
  y: f32[t, h, f],
  last: f32[{state}],
) {{
  %0 = const 0.25                : f32
  %1 = expand %0 {{axes: [{state}]}} : f32[{state}]
  %2 = mul k, %0                 : f32[h, t, e]
  %3, %4 = recurrence {{axis: t{reverse}}} : f32[{state}], f32[t, h, f] {{
    carry %5 = %1                : f32[{state}]
    slice %6 = q                 : f32[h, e]
    slice %7 = %2                : f32[h, e]
    slice %8 = v                 : f32[h, f]
    slice %9 = a                 : f32[h, e]
{body}  }}
  return %4, %3
}}
"
    );
    RandomGraph {
        graph: text::parse(&printed).expect("it is well-formed"),
        sizes: BTreeMap::new(),
    }
}

#[test]
fn steps_of_matrices_of_many_heads_are_those_of_the_reference() {
    let faded = "    %10 = mul %7, %8             : f32[h, e, f]
    %11 = add %5, %10            : f32[h, e, f]
    %12 = contract %6, %11 {over: e} : f32[h, f]
    %13 = mul %9, %5             : f32[h, e, f]
    %14 = add %13, %10           : f32[h, e, f]
    return %14, %12
";
    let corrected = "    %10 = contract %7, %5 {over: e} : f32[h, f]
    %11 = sub %8, %10            : f32[h, f]
    %12 = mul %7, %11            : f32[h, e, f]
    %13 = add %5, %12            : f32[h, e, f]
    %14 = contract %6, %13 {over: e} : f32[h, f]
    return %13, %14
";
    let summed_along = "    %10 = mul %8, %7             : f32[h, f, e]
    %11 = add %5, %10            : f32[h, f, e]
    %12 = contract %6, %11 {over: e} : f32[h, f]
    return %11, %12
";
    let bodies = [
        ("h, e, f", faded),
        ("h, e, f", corrected),
        ("h, f, e", summed_along),
    ];
    // One step and none, heads for one thread and for several, columns that fill vectors and that do not.
    let sizes = [
        (1, 1, 3, 5),
        (0, 2, 3, 5),
        (3, 0, 3, 5),
        (3, 2, 0, 5),
        (3, 2, 3, 0),
        (9, 5, 4, 64),
        (2, 7, 33, 70),
    ];
    for (state, body) in bodies {
        for reverse in ["", ", reverse"] {
            let mut random = heads(reverse, state, body);
            for (seed, (t, h, e, f)) in (0..).zip(sizes) {
                let named = [("t", t), ("h", h), ("e", e), ("f", f)];
                random.sizes = named.map(|(axis, size)| (axis.to_owned(), size)).into();
                assert_eq!(
                    difference(&backends(), &random, seed),
                    None,
                    "{:?}",
                    random.sizes
                );
            }
        }
    }
}

/// Decays, what is added, and where the state starts, of one narrow loop.
type Loop = (Vec<f64>, Vec<f64>, f64);

/// Sequences with what is hard for states at borders of blocks: resets, infinities, products of decays
/// that under- and overflow.
fn hard_loops() -> Vec<Loop> {
    let inf = f64::INFINITY;
    let ramp = |count: usize| -> Vec<f64> { (0..count).map(|at| at as f64 - 3.5).collect() };
    let with = |mut all: Vec<f64>, at: usize, value: f64| {
        all[at] = value;
        all
    };
    let mut loops: Vec<Loop> = [0, 1, 2, 3, 4, 5, 8, 11]
        .map(|count| (vec![0.75; count], ramp(count), 2.0))
        .to_vec();
    for at in [0, 3, 4, 6, 11] {
        let decays = vec![-0.5; 13];
        loops.push((with(decays.clone(), at, 0.0), ramp(13), inf));
        loops.push((with(decays.clone(), at, f64::NAN), ramp(13), 1.0));
        for value in [inf, -inf, f64::NAN] {
            loops.push((decays.clone(), with(ramp(13), at, value), 1.0));
        }
        loops.push((with(decays, at, 0.0), with(ramp(13), 2, -inf), 1.0));
    }
    // Their products are 0 and infinite, and the steps' are not.
    loops.push((vec![1e-120; 13], ramp(13), -inf));
    loops.push((vec![-1e-120; 13], ramp(13), inf));
    loops.push((vec![1e120; 13], vec![0.0; 13], 0.0));
    loops.push((vec![1e120; 4], vec![0.0, 1.0, 2.0, inf], 0.0));
    loops
}

#[test]
fn blocks_of_steps_meet_what_is_not_finite_as_steps_do() {
    for (reverse, next) in [
        ("", "%5 = mul %3, %2 : f64\n    %6 = add %5, %4 : f64"),
        (
            ", reverse",
            "%5 = mul %3, %2 : f64\n    %6 = add %5, %4 : f64",
        ),
        ("", "%5 = add %2, %3 : f64\n    %6 = add %5, %4 : f64"),
        ("", "%5 = mul %3, %4 : f64\n    %6 = max %5, %2 : f64"),
        (
            ", reverse",
            "%5 = mul %3, %4 : f64\n    %6 = min %2, %5 : f64",
        ),
    ] {
        let printed = format!(
            "girih-graph 1
graph g(a: f64[t], x: f64[t], s: f64) -> (last: f64, y: f64[t], z: f64[t]) {{
  %0, %1, %7 = recurrence {{axis: t{reverse}}} : f64, f64[t], f64[t] {{
    carry %2 = s : f64
    slice %3 = a : f64
    slice %4 = x : f64
    {next}
    %8 = tanh %2 : f64
    %9 = mul %8, %4 : f64
    return %6, %6, %9
  }}
  return %0, %1, %7
}}
"
        );
        let graph = text::parse(&printed).unwrap_or_else(|error| panic!("{error}\n{printed}"));
        let (blocks, choices) = chunk_recurrences(&graph, Some((Way::Associative, 4)));
        assert_eq!(choices[0].how, How::Blocks(Some(4)), "{choices:?}");
        for (decays, added, start) in hard_loops() {
            let count = decays.len();
            let given = Bindings::new()
                .input(
                    "a",
                    Tensor::new(vec![count], decays.clone()).expect("its shape"),
                )
                .input(
                    "x",
                    Tensor::new(vec![count], added.clone()).expect("its shape"),
                )
                .input("s", Tensor::new(vec![], vec![start]).expect("its shape"));
            let expected = run(&Reference, &graph, &given).expect("it runs");
            for backend in [&Reference as &dyn Backend, &Cpu::default()] {
                let found = run(backend, &blocks, &given).expect("it runs");
                for (name, tensor) in &expected {
                    assert!(
                        agree(tensor, &found[name]),
                        "{next}{reverse}, {decays:?}, {added:?}, {start}: `{name}` is {:?} where {:?} is right",
                        found[name].to_f64_vec(),
                        tensor.to_f64_vec()
                    );
                }
            }
        }
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
