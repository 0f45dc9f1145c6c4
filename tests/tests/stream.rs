//! A stream gives what the whole gives, wherever the transform accepts a graph: random graphs
//! run as a whole and cut in every way.

use std::collections::BTreeMap;
use std::sync::Arc;

use girih_cpu::{Cpu, CpuOptions};
use girih_graph::stream::{Source, Stream, StreamResult};
use girih_graph::{AxisId, Graph, text, verify};
use girih_runtime::backend::{Backend, Bindings, BoxError, Data, Output, silent};
use girih_runtime::reference::Reference;
use girih_runtime::session::{Opening, Session, StreamModel};
use girih_runtime::tensor::Tensor;
use girih_tests::causal_graph;
use girih_tests::compare::tensor;
use girih_tests::random_graph::{Options, RandomGraph, seeded_graph, seeded_words};
use girih_transform::stream;

/// Positions of every sequence.
const LENGTH: i64 = 17;

/// Ways to cut it.
const CHUNKS: [usize; 5] = [1, 2, 3, 7, 64];

/// Every tensor that the graph takes.
fn data(random: &RandomGraph) -> BTreeMap<String, Tensor> {
    let numbers = random.data(5);
    numbers
        .iter()
        .map(|(name, own)| (name.clone(), tensor(own)))
        .collect()
}

fn whole(random: &RandomGraph, graph: &Graph) -> BTreeMap<String, Tensor> {
    let mut bindings = Bindings::new();
    let data = data(random);
    for (name, size) in &random.sizes {
        bindings = bindings.symbol(name, *size);
    }
    for name in graph.inputs().keys() {
        bindings = bindings.input(name, data[*name].clone());
    }
    for name in graph.params().keys() {
        bindings = bindings.param(name, data[*name].clone());
    }
    for name in graph.states().keys() {
        bindings = bindings.state(name, data[*name].clone());
    }
    let executable = Reference.compile(graph).expect("it runs every graph");
    let outputs = executable.run(&bindings, &mut silent);
    let outputs = outputs.unwrap_or_else(|error| panic!("{error}\n{random:?}"));
    let host = |output: &Output| output.data.to_host().expect("it is in memory");
    let results = outputs.results.iter();
    let mut all: BTreeMap<String, Tensor> = results
        .map(|(name, output)| (name.clone(), host(output)))
        .collect();
    for (path, output) in &outputs.states {
        // In the state's order of axes.
        let state = graph.root.ty(graph.states()[path.as_str()]).axes.iter();
        let place = |axis: &AxisId| {
            let name = graph.axes.name(*axis);
            output.axes.iter().position(|own| own == name)
        };
        let order: Option<Vec<usize>> = state.map(place).collect();
        let order = order.expect("it has the axes of its state");
        let value = host(output).permute(&order).expect("it is an order");
        all.insert(path.clone(), value);
    }
    all
}

/// A session before its first position.
fn open(random: &RandomGraph, model: &Arc<StreamModel>) -> Session {
    let data = data(random);
    let own = model.stream();
    let graph = [&own.once, &own.step];
    let mut opening = Opening::default();
    for name in model.opening_inputs() {
        opening
            .inputs
            .insert(name.to_owned(), data[name].clone().into());
    }
    for graph in graph {
        for name in graph.states().keys() {
            opening
                .states
                .insert((*name).to_owned(), data[*name].clone().into());
        }
    }
    for (name, size) in &random.sizes {
        if *name != own.new {
            opening.symbols.insert(name.clone(), *size);
        }
    }
    Session::open(model, opening).expect("its inputs are the model's")
}

/// The results of the stream, joined; `None` if more positions would have to come together.
fn streamed(
    random: &RandomGraph,
    model: &Arc<StreamModel>,
    chunk: usize,
) -> Option<BTreeMap<String, Tensor>> {
    let data = data(random);
    let own = model.stream();
    let mut session = open(random, model);
    // Positions that read one another come together.
    let together = session.first_piece().expect("it is computed");
    if together > LENGTH.cast_unsigned() {
        return None;
    }
    let mut joined: BTreeMap<String, Tensor> = BTreeMap::new();
    let mut first = 0;
    while first < LENGTH as usize {
        let size = if first == 0 {
            chunk.max(together as usize)
        } else {
            chunk
        };
        let last = (first + size).min(LENGTH as usize);
        let inputs: BTreeMap<String, Data> = own
            .inputs
            .iter()
            .map(|(name, place)| {
                let piece = data[name].slice(*place, first..last);
                (
                    name.clone(),
                    piece.expect("it has so many positions").into(),
                )
            })
            .collect();
        let outputs = session.step(&inputs, &mut silent);
        let outputs = outputs.unwrap_or_else(|error| {
            panic!(
                "{error}\n{random:?}\n{}\n{}",
                text::print(&own.once),
                text::print(&own.step)
            )
        });
        for result in &own.results {
            if result.source == Source::Latest && result.latency > 0 {
                assert!(!outputs.results.contains_key(&result.name));
                continue;
            }
            let new = outputs.tensor(&result.name).expect("every result is there");
            join(&mut joined, result, new);
            if let Source::Positions(place) = result.source {
                // Every position comes exactly so much later.
                let given = joined[&result.name].shape()[place];
                assert_eq!(
                    given,
                    last.saturating_sub(result.latency as usize),
                    "{random:?}"
                );
            }
        }
        first = last;
    }
    let rest = session.flush(&mut silent);
    let rest = rest.unwrap_or_else(|error| panic!("{error}\n{random:?}\n{:?}", own.flush));
    for result in own.results.iter().filter(|result| result.latency > 0) {
        let new = rest
            .tensor(&result.name)
            .expect("what is late comes at the end");
        join(&mut joined, result, new);
    }
    assert_eq!(session.bytes_at(session.position()), Some(session.bytes()));
    for (path, data) in session.finish().expect("it has run") {
        joined.insert(path, data.to_host().expect("it is in memory"));
    }
    Some(joined)
}

/// Puts what has come of a result behind what has come before.
fn join(joined: &mut BTreeMap<String, Tensor>, result: &StreamResult, new: Tensor) {
    let all = match (result.source, joined.get(&result.name)) {
        (Source::Positions(place), Some(old)) => {
            Tensor::concat(&[old, &new], place).expect("pieces fit")
        }
        _ => new,
    };
    joined.insert(result.name.clone(), all);
}

fn agree(one: &Tensor, other: &Tensor) -> bool {
    let pairs = one.to_f64_vec().into_iter().zip(other.to_f64_vec());
    one.shape() == other.shape()
        && pairs.into_iter().all(|(x, y)| {
            x.to_bits() == y.to_bits()
                || x.is_nan() && y.is_nan()
                || (x - y).abs() <= 2e-5 * x.abs().max(1.0)
        })
}

/// Whether the graph can be streamed; then it must agree with the whole.
fn check(random: &RandomGraph) -> Option<Stream> {
    check_on(random, &Reference)
}

fn check_on(random: &RandomGraph, backend: &dyn Backend) -> Option<Stream> {
    let mut graph = random.graph.clone();
    // The sizes that they compare are given as they must be.
    graph.checks.clear();
    let own = stream(&graph, "t").ok()?;
    // Without a streamed input there is nothing to take.
    if own.inputs.is_empty() {
        return None;
    }
    for graph in [&own.once, &own.step].into_iter().chain(&own.flush) {
        verify(graph).unwrap_or_else(|error| panic!("{error}\n{}", text::print(graph)));
        let printed = text::print(graph);
        // Axes that nothing has are not printed.
        let parsed = text::parse(&printed).map(|graph| text::print(&graph));
        assert_eq!(parsed.as_ref(), Ok(&printed));
    }
    let expected = whole(random, &graph);
    let mut model = StreamModel::compile(backend, own.clone()).expect("it runs every graph");
    let data = data(random);
    let mut source = |path: &str| -> Result<Tensor, BoxError> { Ok(data[path].clone()) };
    model.load(&mut source, &mut silent).expect("they fit");
    let model = Arc::new(model);
    for chunk in CHUNKS {
        let found = streamed(random, &model, chunk)?;
        for (name, expected) in &expected {
            let found = found.get(name);
            assert!(
                found.is_some_and(|found| agree(found, expected)),
                "`{name}` in pieces of {chunk}: {found:?} for {expected:?}\n{random:?}\n{}\n{}",
                text::print(&own.once),
                text::print(&own.step),
            );
        }
    }
    let last = own.last().unwrap_or_else(|error| panic!("{error}"));
    verify(&last).unwrap_or_else(|error| panic!("{error}\n{}", text::print(&last)));
    check_read(random, &model, &expected);
    Some(own)
}

/// Read in one piece for what comes after it, a sequence gives what the whole gives at its last position.
fn check_read(random: &RandomGraph, model: &Arc<StreamModel>, expected: &BTreeMap<String, Tensor>) {
    let data = data(random);
    let own = model.stream();
    let inputs = own.inputs.iter();
    let inputs = inputs.map(|(name, _)| (name.clone(), data[name].clone().into()));
    let mut session = open(random, model);
    let outputs = session.prefill(&inputs.collect(), LENGTH as usize, &mut silent);
    let outputs = outputs.unwrap_or_else(|error| panic!("{error}\n{random:?}"));
    for result in own.results.iter().filter(|result| result.latency == 0) {
        let found = outputs.tensor(&result.name).expect("every result is there");
        let expected = &expected[&result.name];
        let end = LENGTH as usize;
        let expected = match result.source {
            Source::Positions(place) => expected.slice(place, end - 1..end),
            _ => Ok(expected.clone()),
        };
        let expected = expected.expect("it has so many positions");
        assert!(
            agree(&found, &expected),
            "`{}`: {found:?} for {expected:?}\n{random:?}\n{}",
            result.name,
            own.last()
                .map_or_else(|error| error.to_string(), |last| text::print(&last)),
        );
    }
}

#[test]
fn causal_graphs_agree() {
    let mut accepted = 0;
    let count = 300;
    for seed in 0..count {
        let words = seeded_words(seed);
        let random = causal_graph::grow(&words[..words.len() / 2], LENGTH);
        accepted += usize::from(check(&random).is_some());
    }
    // Everything in them is causal: what is refused is an input or result that is not there.
    assert!(
        accepted * 10 >= count as usize * 9,
        "{accepted} of {count} are accepted"
    );
}

#[test]
fn random_graphs_agree_where_they_are_accepted() {
    let mut accepted = 0;
    for seed in 0..1500 {
        let mut random = seeded_graph(seed, Options::default());
        random.sizes.insert("t".to_owned(), LENGTH);
        random.sizes.insert("tt".to_owned(), 2 * LENGTH);
        accepted += usize::from(check(&random).is_some());
    }
    assert!(accepted > 20, "{accepted} are accepted");
}

#[test]
fn graphs_that_read_ahead_agree() {
    let cpu = Cpu::new(CpuOptions::default());
    let (mut accepted, mut late) = (0, 0);
    let count = 400;
    for seed in 0..count {
        let words = seeded_words(seed);
        let random = causal_graph::grow_ahead(&words[..words.len() / 2], LENGTH);
        let found = if seed % 4 == 0 {
            check_on(&random, &cpu)
        } else {
            check(&random)
        };
        accepted += usize::from(found.is_some());
        late += usize::from(found.is_some_and(|stream| stream.latency() > 0));
    }
    assert!(
        accepted * 10 >= count as usize * 9 && late * 2 >= accepted,
        "{accepted} of {count} are accepted, {late} are late"
    );
}
