//! Caches grow where they lie: whatever forks, goes back, fails or is saved in between, a session on
//! the compiled backend gives what the reference gives for its sequence alone.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use girih_cpu::{Cpu, CpuOptions};
use girih_graph::text;
use girih_runtime::backend::{Backend, BoxError, Data, silent};
use girih_runtime::reference::Reference;
use girih_runtime::session::{Opening, Session, SessionError, StreamModel};
use girih_runtime::tensor::Tensor;
use girih_template_device::Template;
use girih_tests::direct::direct;
use girih_transform::stream;

/// Causal attention in a batch: caches of all positions, along an axis that is not the first.
const ATTENTION: &str = "girih-graph 1
axis t time
axis i=t over t time
axis j=t over t time
graph attention(x: f32[b=2, t, d=2]) -> (y: f32[b=2, t, d=2]) {
  %0 = rename x {axes: [t: i]} : f32[b=2, i=t, d=2]
  %1 = rename x {axes: [t: j]} : f32[b=2, j=t, d=2]
  %2 = contract %0, %1 {over: d} : f32[b=2, i=t, j=t]
  %3 = index {axis: j} : i64[j=t]
  %4 = index {axis: i} : i64[i=t]
  %5 = le %3, %4 : bool[j=t, i=t]
  %6 = softmax %2, %5 {over: j} : f32[b=2, i=t, j=t]
  %7 = contract %6, %1 {over: j} : f32[b=2, i=t, d=2]
  %8 = rename %7 {axes: [i: t]} : f32[b=2, t, d=2]
  return %8
}
";

/// A sum over the last five positions: what is left behind makes room.
const WINDOW: &str = "girih-graph 1
axis t time
graph window(x: f32[b=2, t, d=2]) -> (y: f32[b=2, t, d=2]) {
  %0 = mul x, x : f32[b=2, t, d=2]
  %1 = window %0 {axis: t, into: [t: 1, k: -1], offset: 0} : f32[b=2, t, k=5, d=2]
  %2 = reduce %1 {combine: sum, over: k} : f32[b=2, t, d=2]
  return %2
}
";

/// Attention to the last three positions, behind a sum of two: both are carried.
const NEAR: &str = "girih-graph 1
axis t time
axis i=t over t time
axis j=t over t time
graph near(x: f32[b=2, t, d=2]) -> (y: f32[b=2, t, d=2]) {
  %0 = window x {axis: t, into: [t: 1, k: -1], offset: 0} : f32[b=2, t, k=2, d=2]
  %1 = reduce %0 {combine: sum, over: k} : f32[b=2, t, d=2]
  %2 = rename %1 {axes: [t: i]} : f32[b=2, i=t, d=2]
  %3 = rename %1 {axes: [t: j]} : f32[b=2, j=t, d=2]
  %4 = contract %2, %3 {over: d} : f32[b=2, i=t, j=t]
  %5 = index {axis: j} : i64[j=t]
  %6 = index {axis: i} : i64[i=t]
  %7 = sub %6, %5 : i64[i=t, j=t]
  %8 = const 0 : i64
  %9 = ge %7, %8 : bool[i=t, j=t]
  %10 = const 3 : i64
  %11 = lt %7, %10 : bool[i=t, j=t]
  %12 = and %9, %11 : bool[i=t, j=t]
  %13 = softmax %4, %12 {over: j} : f32[b=2, i=t, j=t]
  %14 = contract %13, %3 {over: j} : f32[b=2, i=t, d=2]
  %15 = rename %14 {axes: [i: t]} : f32[b=2, t, d=2]
  return %15
}
";

/// A recurrence beside attention: one position has a plan of its own, without the loop.
const MIXED: &str = "girih-graph 1
axis t time
axis i=t over t time
axis j=t over t time
graph mixed(x: f32[b=2, t, d=2]) -> (y: f32[b=2, t, d=2]) {
  param rate: f32[d=2]
  %0 = const 0.0 : f32
  %1 = expand %0 {axes: [b, d]} : f32[b=2, d=2]
  %2, %3 = recurrence {axis: t} : f32[b=2, d=2], f32[t, b=2, d=2] {
    carry %4 = %1 : f32[b=2, d=2]
    slice %5 = x : f32[b=2, d=2]
    keep %6 = rate : f32[d=2]
    %7 = mul %4, %6 : f32[b=2, d=2]
    %8 = add %7, %5 : f32[b=2, d=2]
    return %8, %8
  }
  %9 = rename %3 {axes: [t: i]} : f32[i=t, b=2, d=2]
  %10 = rename %3 {axes: [t: j]} : f32[j=t, b=2, d=2]
  %11 = contract %9, %10 {over: d} : f32[i=t, b=2, j=t]
  %12 = index {axis: j} : i64[j=t]
  %13 = index {axis: i} : i64[i=t]
  %14 = le %12, %13 : bool[j=t, i=t]
  %15 = softmax %11, %14 {over: j} : f32[i=t, b=2, j=t]
  %16 = contract %15, %10 {over: j} : f32[i=t, b=2, d=2]
  %17 = rename %16 {axes: [i: t]} : f32[t, b=2, d=2]
  %18 = add x, %17 : f32[b=2, t, d=2]
  return %18
}
";

/// Attention in which positions before `p` read one another.
const PREFIX: &str = "girih-graph 1
axis t time
axis i=t over t time
axis j=t over t time
graph prefix(x: f32[b=2, t, d=2], p: i64) -> (y: f32[b=2, t, d=2]) {
  %0 = rename x {axes: [t: i]} : f32[b=2, i=t, d=2]
  %1 = rename x {axes: [t: j]} : f32[b=2, j=t, d=2]
  %2 = contract %0, %1 {over: d} : f32[b=2, i=t, j=t]
  %3 = index {axis: j} : i64[j=t]
  %4 = index {axis: i} : i64[i=t]
  %5 = le %3, %4 : bool[j=t, i=t]
  %6 = lt %3, p : bool[j=t]
  %7 = or %5, %6 : bool[j=t, i=t]
  %8 = softmax %2, %7 {over: j} : f32[b=2, i=t, j=t]
  %9 = contract %8, %1 {over: j} : f32[b=2, i=t, d=2]
  %10 = rename %9 {axes: [i: t]} : f32[b=2, t, d=2]
  return %10
}
";

const ALL: [&str; 4] = [ATTENTION, WINDOW, NEAR, MIXED];

fn cpu() -> Cpu {
    Cpu::new(CpuOptions {
        threads: Some(2),
        ..CpuOptions::default()
    })
}

/// The compiled backend, and a device.
fn backends() -> [Box<dyn Backend>; 2] {
    [Box::new(cpu()), Box::new(direct::<Template>())]
}

/// Every graph on each of them.
fn everywhere() -> impl Iterator<Item = (&'static str, Box<dyn Backend>)> {
    ALL.into_iter()
        .flat_map(|graph| backends().map(|backend| (graph, backend)))
}

fn model(graph: &str, backend: &dyn Backend) -> Arc<StreamModel> {
    let graph = text::parse(graph).unwrap_or_else(|error| panic!("{error}"));
    let own = stream(&graph, "t").expect("it streams");
    let mut model = StreamModel::compile(backend, own).expect("it runs every graph");
    let mut source =
        |_: &str| -> Result<Tensor, BoxError> { Ok(Tensor::new([2], vec![0.5_f32, 0.25])?) };
    model.load(&mut source, &mut silent).expect("it fits");
    Arc::new(model)
}

fn open(model: &Arc<StreamModel>) -> Session {
    let mut opening = Opening::default();
    for name in model.opening_inputs() {
        let four = Tensor::scalar(4_i64);
        opening.inputs.insert(name.to_owned(), four.into());
    }
    Session::open(model, opening).expect("its inputs are the model's")
}

/// A sequence, by what stands at each position.
fn inputs(sequence: &[usize]) -> BTreeMap<String, Data> {
    let places = sequence.iter().flat_map(|word| [word * 7, word * 7 + 3]);
    let one: Vec<f32> = places
        .map(|place| (place % 11) as f32 / 8.0 - 0.5)
        .collect();
    let other = one.iter().map(|x| 0.25 - x);
    let both = one.iter().copied().chain(other).collect();
    let x = Tensor::new([2, sequence.len(), 2], both).expect("as many as positions");
    BTreeMap::from([("x".to_owned(), x.into())])
}

fn step(session: &mut Session, sequence: &[usize]) -> Tensor {
    let outputs = session.step(&inputs(sequence), &mut silent);
    let outputs = outputs.unwrap_or_else(|error| panic!("{error}"));
    outputs.tensor("y").expect("it is a result")
}

/// What the reference gives for the last positions of a sequence that it takes at once.
fn expected(reference: &Arc<StreamModel>, sequence: &[usize], last: usize) -> Tensor {
    let all = step(&mut open(reference), sequence);
    let from = sequence.len() - last;
    all.slice(1, from..sequence.len()).expect("it has them")
}

#[track_caller]
fn agree(found: &Tensor, expected: &Tensor) {
    assert_eq!(found.shape(), expected.shape());
    for (x, y) in found.to_f64_vec().iter().zip(expected.to_f64_vec()) {
        assert!(
            (x - y).abs() <= 1e-5 * y.abs().max(1.0),
            "{found:?} for {expected:?}"
        );
    }
}

/// Takes positions; they give what the reference gives behind the same past.
#[track_caller]
fn go_on(
    session: &mut Session,
    past: &mut Vec<usize>,
    new: &[usize],
    reference: &Arc<StreamModel>,
) {
    let found = step(session, new);
    past.extend_from_slice(new);
    agree(&found, &expected(reference, past, new.len()));
    assert_eq!(session.bytes_at(session.position()), Some(session.bytes()));
    assert!(session.held() >= session.bytes());
}

#[test]
fn pieces_of_every_size_are_the_sequence() {
    let sequence: Vec<usize> = (0..130).collect();
    for (graph, backend) in everywhere() {
        let (compiled, reference) = (model(graph, &*backend), model(graph, &Reference));
        for piece in [1, 2, 3, 7, 64] {
            let mut session = open(&compiled);
            let outputs = session.run_all(&inputs(&sequence), piece, &mut silent);
            let found = outputs
                .expect("it runs")
                .tensor("y")
                .expect("it is a result");
            agree(&found, &expected(&reference, &sequence, sequence.len()));
        }
    }
}

#[test]
fn one_position_grows_in_place_and_a_fork_copies() {
    for backend in backends() {
        let compiled = model(ATTENTION, &*backend);
        let mut session = open(&compiled);
        let mut held = Vec::new();
        for position in 0..64 {
            step(&mut session, &[position]);
            held.push(session.held());
        }
        // Memory is found a few times, not at every step.
        held.dedup();
        assert!(held.len() <= 8, "{held:?}");
        let room = session.held() - session.bytes();
        let mut fork = session.fork();
        let mut other = session.fork();
        step(&mut session, &[64]);
        let before = fork.held();
        step(&mut fork, &[65]);
        assert!(room > 0 && fork.held() > before, "it has memory of its own");
        // Nobody holds what the others were.
        drop((session, fork));
        let before = other.held();
        step(&mut other, &[66]);
        assert_eq!(other.held(), before, "the place is free again");
    }
}

#[test]
fn forks_share_what_they_have_in_common() {
    for (graph, backend) in everywhere() {
        let (compiled, reference) = (model(graph, &*backend), model(graph, &Reference));
        let mut past = Vec::new();
        let mut session = open(&compiled);
        for position in 0..9 {
            go_on(&mut session, &mut past, &[position], &reference);
        }
        let mut forks: Vec<(Session, Vec<usize>)> =
            (0..3).map(|_| (session.fork(), past.clone())).collect();
        for round in 0..7 {
            for (own, (fork, past)) in forks.iter_mut().enumerate() {
                go_on(fork, past, &[20 + own * 10 + round], &reference);
            }
        }
        // The first one has not moved.
        go_on(&mut session, &mut past, &[5, 4, 3], &reference);
        for (fork, past) in &mut forks {
            go_on(fork, past, &[1], &reference);
        }
    }
}

#[test]
fn a_way_back_is_shorter() {
    for (graph, backend) in everywhere() {
        let (compiled, reference) = (model(graph, &*backend), model(graph, &Reference));
        let mut past = Vec::new();
        let mut session = open(&compiled);
        go_on(&mut session, &mut past, &[0, 1, 2, 3, 4, 5], &reference);
        session.mark();
        let kept = past.clone();
        for round in 0..4 {
            for position in 0..5 {
                go_on(
                    &mut session,
                    &mut past,
                    &[10 * round + position],
                    &reference,
                );
            }
            // Somebody else stands where this one turns back.
            let mut other = session.fork();
            let mut others = past.clone();
            session.roll_back(6).expect("it is marked");
            past.clone_from(&kept);
            go_on(&mut session, &mut past, &[7, 8], &reference);
            go_on(&mut other, &mut others, &[9], &reference);
        }
        if graph == ATTENTION {
            session.roll_back(3).expect("all positions are held");
            past.truncate(3);
            let held = session.held();
            go_on(&mut session, &mut past, &[6], &reference);
            assert_eq!(session.held(), held, "it goes on where it lies");
        }
    }
}

#[test]
fn what_fails_leaves_the_caches_as_they_were() {
    for (graph, backend) in everywhere() {
        let (compiled, reference) = (model(graph, &*backend), model(graph, &Reference));
        let mut past = Vec::new();
        let mut session = open(&compiled);
        for position in 0..5 {
            go_on(&mut session, &mut past, &[position], &reference);
        }
        let held = session.held();
        for stop in 0..3 {
            let cancelled = session.step(&inputs(&[9]), &mut |done| {
                if done.finished >= stop {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            assert!(cancelled.is_err());
        }
        assert_eq!(session.held(), held);
        go_on(&mut session, &mut past, &[3], &reference);
        go_on(&mut session, &mut past, &[8, 1], &reference);
    }
}

#[test]
fn saved_caches_go_on_with_room() {
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("session");
    for (graph, backend) in everywhere() {
        let (compiled, reference) = (model(graph, &*backend), model(graph, &Reference));
        let mut past = Vec::new();
        let mut session = open(&compiled);
        go_on(&mut session, &mut past, &[0, 1, 2, 3], &reference);
        go_on(&mut session, &mut past, &[4], &reference);
        session.save(&file).expect("it can be written");
        // By another process, on another backend too.
        for again in [model(graph, &*backend), model(graph, &Reference)] {
            let mut past = past.clone();
            let mut restored = Session::restore(&again, &file, u64::MAX).expect("it is whole");
            for position in [7, 6, 5] {
                go_on(&mut restored, &mut past, &[position], &reference);
            }
        }
    }
}

#[test]
fn room_is_taken_within_the_limit() {
    for backend in backends() {
        let compiled = model(ATTENTION, &*backend);
        let each = compiled
            .bytes_at(1, &BTreeMap::new())
            .expect("sizes are known");
        for limit in [20 * each, 21 * each, 1000 * each] {
            let opening = Opening {
                limit,
                ..Opening::default()
            };
            let mut session = Session::open(&compiled, opening).expect("it has no inputs");
            for position in 0..20 {
                step(&mut session, &[position]);
                assert!(session.held() <= limit, "{} of {limit}", session.held());
            }
        }
    }
}

#[test]
fn positions_that_read_one_another_come_together() {
    let sequence: Vec<usize> = (0..20).collect();
    let (compiled, reference) = (model(PREFIX, &cpu()), model(PREFIX, &Reference));
    let all = expected(&reference, &sequence, 20);
    for piece in [1, 3, 7, 64] {
        let mut session = open(&compiled);
        assert_eq!(session.first_piece().expect("it is given"), 4);
        let outputs = session.run_all(&inputs(&sequence), piece, &mut silent);
        agree(
            &outputs
                .expect("it runs")
                .tensor("y")
                .expect("it is a result"),
            &all,
        );
    }
    // The first position reads the fourth.
    let short = step(&mut open(&reference), &sequence[..4]);
    let other = step(&mut open(&reference), &[0, 1, 2, 9]);
    assert_ne!(short.slice(1, 0..1), other.slice(1, 0..1));
    let mut session = open(&compiled);
    let refused = session.step(&inputs(&sequence[..3]), &mut silent);
    assert!(matches!(refused, Err(SessionError::Together { needed: 4 })));
    let mut past = Vec::new();
    go_on(&mut session, &mut past, &sequence[..6], &reference);
    let back = session.roll_back(3);
    assert!(matches!(back, Err(SessionError::Together { needed: 4 })));
    session.roll_back(5).expect("all positions are held");
    past.truncate(5);
    go_on(&mut session, &mut past, &[17, 18], &reference);
}

/// A decaying sum: what is carried has one size.
const DECAY: &str = "girih-graph 1
axis t time
graph decay(x: f32[b=2, t, d=2]) -> (y: f32[b=2, t, d=2]) {
  param rate: f32[d=2]
  %0 = const 0.0 : f32
  %1 = expand %0 {axes: [b, d]} : f32[b=2, d=2]
  %2, %3 = recurrence {axis: t} : f32[b=2, d=2], f32[t, b=2, d=2] {
    carry %4 = %1 : f32[b=2, d=2]
    slice %5 = x : f32[b=2, d=2]
    keep %6 = rate : f32[d=2]
    %7 = mul %4, %6 : f32[b=2, d=2]
    %8 = add %7, %5 : f32[b=2, d=2]
    return %8, %8
  }
  %9 = add x, %3 : f32[b=2, t, d=2]
  return %9
}
";

#[test]
fn long_sessions_hold_what_their_formulas_say() {
    // Positions of the attention session and of the recurrent ones.
    const SHORT: usize = 4096;
    const LONG: usize = 65_536;
    for (graph, length, chunk) in [
        (ATTENTION, SHORT, 512),
        (DECAY, LONG, 1024),
        (WINDOW, LONG, 1024),
    ] {
        let compiled = model(graph, &cpu());
        let mut session = open(&compiled);
        let mut held = Vec::new();
        for first in (0..length).step_by(chunk) {
            let piece: Vec<usize> = (first..first + chunk).collect();
            let last = step(&mut session, &piece);
            assert!(last.to_f64_vec().iter().all(|number| number.is_finite()));
            assert_eq!(session.bytes_at(session.position()), Some(session.bytes()));
            held.push(session.held());
        }
        assert_eq!(session.position(), length as u64);
        let end = session.bytes_at(length as u64).expect("sizes are known");
        if graph == ATTENTION {
            // Keys and values are one value here: two numbers for each of two rows.
            assert_eq!(end, length as u64 * 2 * 2 * 4);
            assert!(session.held() <= 2 * end, "{} for {end}", session.held());
        } else {
            assert_eq!(Some(end), session.bytes_at(8));
            // Two pieces with what is before them, of 16 bytes for each position.
            let most = 2 * (chunk as u64 + 4) * 16;
            assert!(held.iter().all(|own| *own <= most), "{held:?}");
        }
    }
}
