//! Results that read ahead come exactly so much later; a flush gives what is left.

use std::collections::BTreeMap;
use std::sync::Arc;

use girih_cpu::{Cpu, CpuOptions};
use girih_graph::stream::Stream;
use girih_graph::text;
use girih_runtime::backend::{Backend, Bindings, BoxError, Data, Outputs, silent};
use girih_runtime::reference::Reference;
use girih_runtime::session::{Opening, Session, SessionError, StreamModel};
use girih_runtime::tensor::Tensor;
use girih_template_device::Template;
use girih_tests::direct::direct;
use girih_transform::stream;

/// Positions of every sequence.
const LENGTH: usize = 37;

const HEADER: &str = "girih-graph 1
axis t time
axis i=t over t time
axis j=t over t time
";

/// A centered convolution of three positions, `y` of `x`.
fn centered(y: &str, x: &str) -> String {
    format!(
        "%{y}0 = window {x} {{axis: t, into: [i: 1, k: 1], offset: -1}} : f32[i=t, k=3, d=2]
         %{y}1 = reduce %{y}0 {{combine: sum, over: k}} : f32[i=t, d=2]
         %{y}2 = rename %{y}1 {{axes: [i: t]}} : f32[t, d=2]
         %{y}3 = tanh %{y}2 : f32[t, d=2]\n"
    )
}

/// A running mean of `x` over what `mask`, the value `%{y}9` over `i` and `j`, lets in.
fn masked(y: &str, x: &str, mask: &str) -> String {
    format!(
        "%{y}0 = rename {x} {{axes: [t: i]}} : f32[i=t, d=2]
         %{y}1 = rename {x} {{axes: [t: j]}} : f32[j=t, d=2]
         %{y}2 = contract %{y}0, %{y}1 {{over: d}} : f32[i=t, j=t]
         %{y}3 = index {{axis: i}} : i64[i=t]
         %{y}4 = index {{axis: j}} : i64[j=t]
         {mask}
         %{y}10 = softmax %{y}2, %{y}9 {{over: j}} : f32[i=t, j=t]
         %{y}11 = contract %{y}10, %{y}1 {{over: j}} : f32[i=t, d=2]
         %{y}12 = rename %{y}11 {{axes: [i: t]}} : f32[t, d=2]\n"
    )
}

/// `⌊j / 8⌋ = ⌊i / 8⌋`.
fn own_block(y: &str) -> String {
    format!(
        "%{y}5 = const 8 : i64
         %{y}6 = floor_div %{y}3, %{y}5 : i64[i=t]
         %{y}7 = floor_div %{y}4, %{y}5 : i64[j=t]
         %{y}9 = eq %{y}7, %{y}6 : bool[j=t, i=t]"
    )
}

/// A graph from `x` to `y`, with a parameter and the values that it returns.
fn graph(results: &str, body: &str, returned: &str) -> String {
    format!(
        "{HEADER}graph late(x: f32[t, d=2]) -> ({results}) {{
           param w: f32[d=2]
           {body}
           return {returned}
         }}"
    )
}

/// Convolutions on convolutions, with what is not late beside them.
fn layers() -> String {
    let body = format!(
        "{}{}%40 = add x, %23 : f32[t, d=2] %41 = mul %40, w : f32[t, d=2]",
        centered("1", "x"),
        centered("2", "%13"),
    );
    graph("y: f32[t, d=2]", &body, "%41")
}

/// Block attention twice: the second reads to the end of the same blocks.
fn blocks() -> String {
    let body = format!(
        "{}{}%40 = add x, %212 : f32[t, d=2] %41 = mul %40, w : f32[t, d=2]",
        masked("1", "x", &own_block("1")),
        masked("2", "%112", &own_block("2")),
    );
    graph("y: f32[t, d=2]", &body, "%41")
}

/// Attention to three later positions on a convolution, with a recurrence, a running sum and
/// a sum of all behind it.
fn mixed() -> String {
    let mask =
        "%25 = const 3 : i64 %26 = add %23, %25 : i64[i=t] %29 = le %24, %26 : bool[j=t, i=t]";
    let body = format!(
        "{}{}
         %40 = const 0.0 : f32
         %41 = expand %40 {{axes: d}} : f32[d=2]
         %42, %43 = recurrence {{axis: t}} : f32[d=2], f32[t, d=2] {{
           carry %44 = %41 : f32[d=2]
           slice %45 = %212 : f32[d=2]
           slice %49 = x : f32[d=2]
           keep %46 = w : f32[d=2]
           %47 = mul %44, %46 : f32[d=2]
           %48 = add %47, %45 : f32[d=2]
           %50 = add %48, %49 : f32[d=2]
           return %50, %50
         }}
         %51 = cumulate %43 {{axis: t, combine: sum}} : f32[t, d=2]
         %52 = reduce %51 {{combine: max, over: t}} : f32[d=2]",
        centered("1", "x"),
        masked("2", "%13", mask),
    );
    graph(
        "y: f32[t, d=2], early: f32[t, d=2], end: f32[d=2]",
        &body,
        "%51, x, %52",
    )
}

fn stream_of(graph: &str) -> Stream {
    let graph = text::parse(graph).unwrap_or_else(|error| panic!("{error}\n{graph}"));
    stream(&graph, "t").unwrap_or_else(|whole| panic!("{whole}"))
}

fn weight(_: &str) -> Result<Tensor, BoxError> {
    Ok(Tensor::new([2], vec![0.5_f32, 0.25])?)
}

fn model(graph: &str, backend: &dyn Backend) -> Arc<StreamModel> {
    let mut model = StreamModel::compile(backend, stream_of(graph)).expect("it compiles");
    model.load(&mut weight, &mut silent).expect("it fits");
    Arc::new(model)
}

fn open(model: &Arc<StreamModel>) -> Session {
    Session::open(model, Opening::default()).expect("it has no other inputs")
}

/// The sequence.
fn numbers() -> Vec<f32> {
    let all = 0..2 * LENGTH;
    all.map(|at| ((at * 7 % 23) as f32) / 8.0 - 1.0).collect()
}

fn positions(all: &[f32], range: std::ops::Range<usize>) -> BTreeMap<String, Data> {
    let own = all[2 * range.start..2 * range.end].to_vec();
    let x = Tensor::new([range.len(), 2], own).expect("as many as positions");
    BTreeMap::from([("x".to_owned(), x.into())])
}

fn of(outputs: &Outputs, name: &str) -> Vec<f64> {
    outputs.tensor(name).expect("it is a result").to_f64_vec()
}

fn whole(text: &str, backend: &dyn Backend, numbers: &[f32]) -> Outputs {
    let graph = text::parse(text).expect("it is well-formed");
    let executable = backend.compile(&graph).expect("it compiles");
    let mut bindings = Bindings::new().param("w", weight("w").expect("it is a tensor"));
    bindings.inputs = positions(numbers, 0..numbers.len() / 2);
    executable.run(&bindings, &mut silent).expect("it runs")
}

fn close(one: &[f64], other: &[f64]) -> bool {
    let pairs = one.iter().zip(other);
    one.len() == other.len()
        && pairs
            .into_iter()
            .all(|(x, y)| (x - y).abs() <= 2e-5 * x.abs().max(1.0))
}

fn backends() -> [Box<dyn Backend>; 3] {
    [
        Box::new(Reference),
        Box::new(Cpu::new(CpuOptions::default())),
        Box::new(direct::<Template>()),
    ]
}

/// What a session gives for the positions from where it is.
fn rest(session: &mut Session, all: &[f32], piece: usize, name: &str) -> Vec<f64> {
    let first = session.position() as usize;
    let inputs = positions(all, first..all.len() / 2);
    let outputs = session.run_to_end(&inputs, piece, &mut silent);
    of(&outputs.expect("it runs"), name)
}

#[test]
fn pieces_and_a_flush_are_the_whole() {
    let all = numbers();
    for backend in backends() {
        for (text, latency) in [(layers(), 2), (blocks(), 7), (mixed(), 4)] {
            let expected = whole(&text, backend.as_ref(), &all);
            let model = model(&text, backend.as_ref());
            assert_eq!(model.stream().latency(), latency);
            for piece in [1, 2, 3, 7, 64] {
                let mut session = open(&model);
                let inputs = positions(&all, 0..LENGTH);
                let outputs = session.run_to_end(&inputs, piece, &mut silent);
                let outputs = outputs.expect("it runs");
                for result in &model.stream().results {
                    let (own, other) = (of(&outputs, &result.name), of(&expected, &result.name));
                    assert!(
                        close(&own, &other),
                        "{} in {piece}: {own:?} for {other:?}",
                        result.name
                    );
                }
                let known = session.bytes_at(session.position());
                assert_eq!(known, Some(session.bytes()));
            }
        }
    }
}

#[test]
fn a_sequence_may_be_shorter_than_the_latency() {
    for backend in backends() {
        for text in [layers(), blocks(), mixed()] {
            let model = model(&text, backend.as_ref());
            for length in 1..6 {
                let all = &numbers()[..2 * length];
                let mut session = open(&model);
                let found = rest(&mut session, all, 2, "y");
                let expected = of(&whole(&text, backend.as_ref(), all), "y");
                assert!(
                    close(&found, &expected),
                    "{length}: {found:?} for {expected:?}"
                );
            }
        }
    }
}

#[test]
fn every_position_comes_exactly_so_much_later() {
    let all = numbers();
    let model = model(&blocks(), &Reference);
    let mut session = open(&model);
    let mut given = 0;
    for (first, count) in [(0, 1), (1, 5), (6, 1), (7, 1), (8, 20), (28, 1)] {
        let outputs = session.step(&positions(&all, first..first + count), &mut silent);
        given += of(&outputs.expect("it runs"), "y").len() / 2;
        assert_eq!(given, (first + count).saturating_sub(7));
    }
}

/// The first and the last position of `y` that depend on `position` of `x`.
fn changed(text: &str, position: usize) -> (usize, usize) {
    let all = numbers();
    let mut other = all.clone();
    other[2 * position] += 0.5;
    let (one, other) = (
        whole(text, &Reference, &all),
        whole(text, &Reference, &other),
    );
    let (one, other) = (of(&one, "y"), of(&other, "y"));
    let rows = one.chunks(2).zip(other.chunks(2));
    let moved: Vec<usize> = rows
        .enumerate()
        .filter(|(_, (x, y))| x != y)
        .map(|(row, _)| row)
        .collect();
    (moved[0], moved[moved.len() - 1])
}

#[test]
fn latency_and_reach_are_exact() {
    // Ahead by two, and back again: neither late nor looking back.
    let shift = |y: &str, x: &str, offset: i64| {
        format!(
            "%{y}0 = window {x} {{axis: t, into: [i: 1], offset: {offset}}} : f32[i=t, d=2]
             %{y}1 = rename %{y}0 {{axes: [i: t]}} : f32[t, d=2]\n"
        )
    };
    let there = format!("{}{}", shift("1", "x", 2), shift("2", "%11", -2));
    let back = graph("y: f32[t, d=2]", &there, "%21");
    let there = format!("{}{}", shift("1", "x", 5), shift("2", "%11", -2));
    let ahead = graph("y: f32[t, d=2]", &there, "%21");
    // A block is read ahead from its first position, and back from its last.
    for (text, latency, reach, (first, second)) in [
        (layers(), 2, Some(2), (20, 20)),
        (back, 0, Some(0), (20, 20)),
        (ahead, 3, Some(0), (20, 20)),
        (mixed(), 4, None, (20, 20)),
        (blocks(), 7, Some(7), (23, 16)),
    ] {
        let own = stream_of(&text);
        let result = &own.results[0];
        assert_eq!((result.latency, result.reach), (latency, reach));
        assert_eq!(changed(&text, first).0, first - latency as usize);
        if let Some(reach) = reach
            && latency != 3
        {
            assert_eq!(changed(&text, second).1, second + reach as usize);
        }
    }
}

#[test]
fn a_flush_leaves_the_session_as_it_is() {
    let all = numbers();
    for backend in backends() {
        let model = model(&mixed(), backend.as_ref());
        let mut session = open(&model);
        assert!(
            session
                .flush(&mut silent)
                .expect("nothing runs")
                .results
                .is_empty()
        );
        let step = session
            .step(&positions(&all, 0..9), &mut silent)
            .expect("it runs");
        assert!(!step.results.contains_key("end"), "it is not settled");
        let flushed = session.flush(&mut silent).expect("it runs");
        assert!(!flushed.results.contains_key("early"), "it is not late");
        let expected = whole(&mixed(), backend.as_ref(), &all[..18]);
        assert!(close(&of(&flushed, "end"), &of(&expected, "end")));
        let last = of(&expected, "y");
        assert!(close(&of(&flushed, "y"), &last[2 * (9 - 4)..]));
        let again = session.flush(&mut silent).expect("it runs");
        assert_eq!(of(&again, "y"), of(&flushed, "y"));
        let mut other = open(&model);
        other
            .step(&positions(&all, 0..9), &mut silent)
            .expect("it runs");
        assert_eq!(
            rest(&mut session, &all, 3, "y"),
            rest(&mut other, &all, 3, "y")
        );
    }
}

#[test]
fn forks_ways_back_and_files_go_on() {
    let all = numbers();
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("session");
    for backend in backends() {
        for text in [layers(), blocks(), mixed()] {
            let own = model(&text, backend.as_ref());
            // Before the first result, in the middle of a block, and later.
            for start in [1, 11, 20] {
                let mut session = open(&own);
                session
                    .step(&positions(&all, 0..start), &mut silent)
                    .expect("it runs");
                session.mark();
                session.save(&file).expect("it can be written");
                let mut fork = session.fork();
                let expected = rest(&mut session, &all, 3, "y");
                assert_eq!(rest(&mut fork, &all, 3, "y"), expected);
                session.roll_back(start as u64).expect("it is marked");
                assert_eq!(rest(&mut session, &all, 3, "y"), expected);
                let again = model(&text, backend.as_ref());
                let restored = Session::restore(&again, &file, u64::MAX);
                let mut restored = restored.expect("it is whole");
                assert_eq!(rest(&mut restored, &all, 3, "y"), expected);
            }
        }
    }
}

#[test]
fn caches_of_late_values_go_back() {
    let mask =
        "%25 = const 3 : i64 %26 = add %23, %25 : i64[i=t] %29 = le %24, %26 : bool[j=t, i=t]";
    let caches = graph("y: f32[t, d=2]", &masked("2", "x", mask), "%212");
    let all = numbers();
    for backend in backends() {
        // What waits is a part of what is held.
        let model = model(&caches, backend.as_ref());
        let mut session = open(&model);
        session
            .step(&positions(&all, 0..20), &mut silent)
            .expect("it runs");
        session.roll_back(10).expect("all of it is held");
        let mut other = open(&model);
        other
            .step(&positions(&all, 0..10), &mut silent)
            .expect("it runs");
        assert_eq!(
            rest(&mut session, &all, 5, "y"),
            rest(&mut other, &all, 5, "y")
        );
    }
    for backend in backends() {
        // The last positions are held: of an input 2, of what is made of it as many.
        let model = model(&layers(), backend.as_ref());
        let mut session = open(&model);
        session
            .step(&positions(&all, 0..20), &mut silent)
            .expect("it runs");
        match session.roll_back(19) {
            Err(SessionError::Lost { position: 19, .. }) => {}
            other => panic!("{other:?}"),
        }
        let mut short = open(&model);
        short
            .step(&positions(&all, 0..2), &mut silent)
            .expect("it runs");
        short.roll_back(1).expect("all of it is held");
        let mut other = open(&model);
        other
            .step(&positions(&all, 0..1), &mut silent)
            .expect("it runs");
        assert_eq!(
            rest(&mut short, &all, 5, "y"),
            rest(&mut other, &all, 5, "y")
        );
    }
}
