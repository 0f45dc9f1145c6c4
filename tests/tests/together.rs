//! Sessions that step together give what each gives alone, wherever each one is; what fails leaves all as they were.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use girih_cpu::{Cpu, CpuOptions};
use girih_graph::text;
use girih_runtime::backend::{Backend, BoxError, Data, ParamData, ParamSource, RunError, silent};
use girih_runtime::reference::Reference;
use girih_runtime::session::{Opening, Session, SessionError, StreamModel};
use girih_runtime::tensor::Tensor;
use girih_runtime::weights::{Blocks, Quantization};
use girih_transform::stream;
use proptest::collection::vec;
use proptest::test_runner::{Config, TestRunner};

/// Causal attention between weights.
const ATTENTION: &str = "girih-graph 1
axis t time
axis i=t over t time
axis j=t over t time
graph attention(ids: i64[t]) -> (y: f32[t, v=40]) {
  param out: f32[v=40, e=64]
  param table: f32[v=40, d=64]
  param w: f32[e=64, d=64]
  %0 = gather table, ids {axis: v} : f32[t, d=64]
  %1 = contract %0, w {over: d} : f32[t, e=64]
  %2 = rename %1 {axes: [t: i]} : f32[i=t, e=64]
  %3 = rename %1 {axes: [t: j]} : f32[j=t, e=64]
  %4 = contract %2, %3 {over: e} : f32[i=t, j=t]
  %5 = index {axis: j} : i64[j=t]
  %6 = index {axis: i} : i64[i=t]
  %7 = le %5, %6 : bool[j=t, i=t]
  %8 = softmax %4, %7 {over: j} : f32[i=t, j=t]
  %9 = contract %8, %3 {over: j} : f32[i=t, e=64]
  %10 = rename %9 {axes: [i: t]} : f32[t, e=64]
  %11 = contract %10, out {over: e} : f32[t, v=40]
  return %11
}
";

/// A recurrence that multiplies what it carries.
const RECURRENCE: &str = "girih-graph 1
axis t time
graph recurrence(ids: i64[t]) -> (y: f32[t, v=40]) {
  param out: f32[v=40, e=64]
  param table: f32[v=40, d=64]
  param u: f32[f=64, e=64]
  param w: f32[e=64, d=64]
  %0 = gather table, ids {axis: v} : f32[t, d=64]
  %1 = contract %0, w {over: d} : f32[t, e=64]
  %2 = const 0.0 : f32
  %3 = expand %2 {axes: e} : f32[e=64]
  %4, %5 = recurrence {axis: t} : f32[e=64], f32[t, e=64] {
    carry %6 = %3 : f32[e=64]
    slice %7 = %1 : f32[e=64]
    keep %8 = u : f32[f=64, e=64]
    %9 = contract %8, %6 {over: e} : f32[f=64]
    %10 = rename %9 {axes: [f: e]} : f32[e=64]
    %11 = add %10, %7 : f32[e=64]
    %12 = tanh %11 : f32[e=64]
    return %12, %12
  }
  %13 = contract %5, out {over: e} : f32[t, v=40]
  return %13
}
";

/// Several rows of each session, a weight whose sums are two matrices, and one with a matrix for each group.
const GROUPS: &str = "girih-graph 1
axis t time
graph groups(ids: i64[b=3, t]) -> (y: f32[b=3, t, g=2, e=40]) {
  param each: f32[g=2, e=40, d=64]
  param mix: f32[c=32, h=2, d=64]
  param table: f32[v=40, h=2, c=32]
  %0 = gather table, ids {axis: v} : f32[b=3, t, h=2, c=32]
  %1 = contract %0, mix {over: [h, c]} : f32[b=3, t, d=64]
  %2 = tanh %1 : f32[b=3, t, d=64]
  %3 = cumulate %2 {axis: t, combine: sum} : f32[b=3, t, d=64]
  %4 = contract %3, each {over: d} : f32[b=3, t, g=2, e=40]
  return %4
}
";

const ALL: [&str; 3] = [ATTENTION, RECURRENCE, GROUPS];

/// Where parameters come from: numbers, or where a row is whole blocks, 8 bits with a scale.
struct Source {
    shapes: BTreeMap<String, Vec<usize>>,
    quantized: bool,
}

impl ParamSource for Source {
    fn param(&mut self, path: &str) -> Result<ParamData, BoxError> {
        let shape = self.shapes.get(path).ok_or("no such parameter")?.clone();
        let count: usize = shape.iter().product();
        let step = path.len() + 5;
        let bytes = (0..count).map(|at| ((at * step + at * at % 59) % 127) as i8 - 63);
        if self.quantized && shape.len() == 2 {
            // A scale of 2^-9, then the numbers.
            let bytes: Vec<u8> = bytes.map(i8::cast_unsigned).collect();
            let blocks = bytes
                .chunks(32)
                .flat_map(|own| [&[0x00, 0x18], own].concat());
            let blocks: Vec<u8> = blocks.collect();
            return Ok(ParamData::Blocks(Blocks::new(
                Quantization::Q8_0,
                shape,
                &blocks,
            )?));
        }
        let numbers = bytes.map(|byte| f32::from(byte) / 512.0).collect();
        Ok(ParamData::Tensor(Tensor::new(shape, numbers)?))
    }
}

fn cpu(threads: usize) -> Cpu {
    Cpu::new(CpuOptions {
        threads: Some(threads),
        ..CpuOptions::default()
    })
}

fn model(graph: &str, backend: &dyn Backend, quantized: bool) -> Arc<StreamModel> {
    let graph = text::parse(graph).unwrap_or_else(|error| panic!("{error}"));
    let params = graph.params().into_iter();
    let shape = |value| {
        let axes = graph.root.ty(value).axes.iter();
        let extents = axes.map(|axis| graph.axes.extent(*axis).as_constant());
        extents.map(|extent| extent.map_or(0, |extent| extent as usize))
    };
    let shapes = params.map(|(path, value)| (path.to_owned(), shape(value).collect()));
    let mut source = Source {
        shapes: shapes.collect(),
        quantized,
    };
    let own = stream(&graph, "t").expect("it streams");
    let mut model = StreamModel::compile(backend, own).expect("it runs every graph");
    model.load(&mut source, &mut silent).expect("it fits");
    Arc::new(model)
}

fn open(model: &Arc<StreamModel>) -> Session {
    Session::open(model, Opening::default()).expect("it has no inputs")
}

/// The ids of a lane, from a position on.
fn ids(session: &Session, lane: usize, count: usize) -> BTreeMap<String, Data> {
    let first = session.position() as usize;
    let own = |at: usize| ((lane * 17 + at * 7 + at * at % 5) % 40) as i64;
    let rank_2 = session.model().stream().step.name.contains("groups");
    let ids = if rank_2 {
        let rows = (0..3).flat_map(|row| (first..first + count).map(move |at| own(at + 11 * row)));
        Tensor::new([3, count], rows.collect())
    } else {
        Tensor::new([count], (first..first + count).map(own).collect())
    };
    let ids = ids.expect("as many as positions");
    BTreeMap::from([("ids".to_owned(), ids.into())])
}

/// Steps some sessions: those with a count. Gives their results.
fn step(
    sessions: &mut [Session],
    counts: &[usize],
    together: bool,
) -> Result<Vec<Tensor>, SessionError> {
    let lanes = sessions.iter_mut().zip(counts).enumerate();
    let lanes = lanes.filter(|(_, (_, count))| **count > 0);
    let mut given: Vec<(&mut Session, BTreeMap<String, Data>)> = lanes
        .map(|(lane, (session, count))| {
            let ids = ids(session, lane, *count);
            (session, ids)
        })
        .collect();
    let mut steps: Vec<_> = given
        .iter_mut()
        .map(|(own, ids)| (&mut **own, &*ids))
        .collect();
    let outputs = if together {
        Session::step_together(&mut steps, &mut silent)?
    } else {
        let each = steps.iter_mut();
        each.map(|(own, ids)| own.step(ids, &mut silent))
            .collect::<Result<_, _>>()?
    };
    let result = |own: &girih_runtime::backend::Outputs| own.tensor("y").map_err(Into::into);
    outputs.iter().map(result).collect()
}

/// Sessions that begin with so many positions, then step in rounds, one by one or together.
fn play(
    model: &Arc<StreamModel>,
    begun: &[usize],
    rounds: &[Vec<usize>],
    together: bool,
) -> Vec<Tensor> {
    let mut sessions: Vec<Session> = begun.iter().map(|_| open(model)).collect();
    let mut all = Vec::new();
    for counts in std::iter::once(begun).chain(rounds.iter().map(Vec::as_slice)) {
        let found = step(&mut sessions, counts, together && counts != begun);
        all.extend(found.unwrap_or_else(|error| panic!("{error}")));
    }
    all
}

fn bits(all: &[Tensor]) -> Vec<Vec<u64>> {
    let one = |own: &Tensor| own.to_f64_vec().into_iter().map(f64::to_bits).collect();
    all.iter().map(one).collect()
}

#[track_caller]
fn agree(found: &[Tensor], expected: &[Tensor]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.shape(), expected.shape());
        for (x, y) in found.to_f64_vec().iter().zip(expected.to_f64_vec()) {
            assert!((x - y).abs() <= 1e-5 * y.abs().max(1.0), "{x} for {y}");
        }
    }
}

#[test]
fn sessions_that_step_together_are_sessions() {
    for (graph, quantized) in ALL.into_iter().flat_map(|own| [(own, false), (own, true)]) {
        let reference = model(graph, &Reference, quantized);
        let compiled = [1, 2, 3].map(|threads| model(graph, &cpu(threads), quantized));
        let script = (vec(1..9_usize, 2..7), vec(vec(0..3_usize, 6), 1..4));
        let mut runner = TestRunner::new(Config::with_cases(8));
        let done = runner.run(&script, |(begun, mut rounds)| {
            // Steps of all sessions by one position, which is what most are.
            rounds.insert(0, vec![1; 6]);
            rounds.push(vec![1; 6]);
            let expected = play(&reference, &begun, &rounds, false);
            let again = play(&reference, &begun, &rounds, true);
            assert_eq!(bits(&again), bits(&expected), "nothing is shared");
            let [one, two, three] = compiled
                .each_ref()
                .map(|own| play(own, &begun, &rounds, true));
            agree(&one, &expected);
            agree(&one, &play(&compiled[0], &begun, &rounds, false));
            assert_eq!(bits(&one), bits(&two), "threads change nothing");
            assert_eq!(bits(&one), bits(&three), "threads change nothing");
            Ok(())
        });
        done.unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn few_quantized_rows_are_what_each_row_is_alone() {
    for graph in [ATTENTION, RECURRENCE] {
        let compiled = model(graph, &cpu(2), true);
        let (begun, rounds) = ([1, 5, 2, 9], vec![vec![1; 4]; 6]);
        let together = play(&compiled, &begun, &rounds, true);
        assert_eq!(
            bits(&together),
            bits(&play(&compiled, &begun, &rounds, false))
        );
    }
}

#[test]
fn forks_step_together() {
    for graph in ALL {
        let compiled = model(graph, &cpu(2), false);
        let mut first = [open(&compiled)];
        step(&mut first, &[5], false).expect("it runs");
        let mut forks = vec![first[0].fork(); 3];
        let mut others = forks.clone();
        for _ in 0..4 {
            let found = step(&mut forks, &[1; 3], true).expect("they run");
            let expected = step(&mut others, &[1; 3], false).expect("they run");
            agree(&found, &expected);
        }
    }
}

#[test]
fn what_fails_in_one_leaves_all_as_they_were() {
    for (graph, threads) in ALL.into_iter().flat_map(|own| [(own, 1), (own, 2)]) {
        let compiled = model(graph, &cpu(threads), false);
        let begun = [4, 1, 6];
        let mut sessions: Vec<Session> = begun.iter().map(|_| open(&compiled)).collect();
        step(&mut sessions, &begun, false).expect("they run");
        let given: Vec<_> = (sessions.iter().enumerate())
            .map(|(lane, own)| ids(own, lane, 1))
            .collect();
        let together = |sessions: &mut [Session], given: &[BTreeMap<String, Data>], stop| {
            let mut steps: Vec<_> = sessions.iter_mut().zip(given).collect();
            let mut told = 0;
            Session::step_together(&mut steps, &mut |_| {
                told += 1;
                if told > stop {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })
        };
        for stop in 0..4 {
            let cancelled = together(&mut sessions, &given, stop);
            assert!(matches!(
                cancelled,
                Err(SessionError::Run(RunError::Cancelled))
            ));
        }
        // One reads beyond the table.
        let mut wrong = given.clone();
        let shape = given[1]["ids"].shape().to_vec();
        let count = shape.iter().product();
        let beyond = Tensor::new(shape, vec![40_i64; count]).expect("as many as positions");
        wrong[1].insert("ids".to_owned(), beyond.into());
        let refused = together(&mut sessions, &wrong, usize::MAX);
        assert!(refused.is_err_and(|error| error.to_string().contains("40")));
        // One may not hold more.
        let limit = compiled
            .bytes_at(3, &BTreeMap::new())
            .expect("sizes are known");
        let opening = Opening {
            limit,
            ..Opening::default()
        };
        let mut short = Session::open(&compiled, opening).expect("it has no inputs");
        short
            .step(&ids(&short, 1, 3), &mut silent)
            .expect("it fits");
        let whole = std::mem::replace(&mut sessions[1], short);
        if graph == ATTENTION {
            let refused = together(&mut sessions, &given, usize::MAX);
            assert!(matches!(
                refused,
                Err(SessionError::Limit { position: 4, .. })
            ));
        }
        sessions[1] = whole;
        // One is of another model.
        let other = open(&model(graph, &cpu(1), false));
        let whole = std::mem::replace(&mut sessions[1], other);
        let refused = together(&mut sessions, &given, usize::MAX);
        assert!(matches!(refused, Err(SessionError::Models)));
        sessions[1] = whole;

        assert_eq!(
            sessions.iter().map(Session::position).collect::<Vec<_>>(),
            [4, 1, 6]
        );
        let found = step(&mut sessions, &[1; 3], true).expect("they run");
        let mut others: Vec<Session> = begun.iter().map(|_| open(&compiled)).collect();
        step(&mut others, &begun, false).expect("they run");
        agree(
            &found,
            &step(&mut others, &[1; 3], false).expect("they run"),
        );
    }
    let none = Session::step_together(&mut [], &mut silent).expect("nothing fails");
    assert!(none.is_empty());
}
