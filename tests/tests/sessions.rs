//! Sessions: forks, ways back, saved files, limits, and what is refused.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use girih_graph::stream::Stream;
use girih_graph::text;
use girih_runtime::backend::{BoxError, Data, Outputs, RunError, silent};
use girih_runtime::reference::Reference;
use girih_runtime::session::{Opening, Session, SessionError, StreamModel};
use girih_runtime::tensor::Tensor;
use girih_transform::stream;

/// Causal attention: everything that is carried holds all positions.
const ATTENTION: &str = "girih-graph 1
axis t time
axis i=t over t time
axis j=t over t time
graph attention(x: f32[t, d=2], bias: f32) -> (y: f32[t, d=2]) {
  %0 = rename x {axes: [t: i]} : f32[i=t, d=2]
  %1 = rename x {axes: [t: j]} : f32[j=t, d=2]
  %2 = contract %0, %1 {over: d} : f32[i=t, j=t]
  %3 = add %2, bias : f32[i=t, j=t]
  %4 = index {axis: j} : i64[j=t]
  %5 = index {axis: i} : i64[i=t]
  %6 = le %4, %5 : bool[j=t, i=t]
  %7 = softmax %3, %6 {over: j} : f32[i=t, j=t]
  %8 = contract %7, %1 {over: j} : f32[i=t, d=2]
  %9 = rename %8 {axes: [i: t]} : f32[t, d=2]
  return %9
}
";

/// A decaying sum: one value is carried.
const RECURRENCE: &str = "girih-graph 1
axis t time
graph decay(x: f32[t, d=2]) -> (y: f32[t, d=2]) {
  param rate: f32[d=2]
  %0 = const 0.0 : f32
  %1 = expand %0 {axes: d} : f32[d=2]
  %2, %3 = recurrence {axis: t} : f32[d=2], f32[t, d=2] {
    carry %4 = %1 : f32[d=2]
    slice %5 = x : f32[d=2]
    keep %6 = rate : f32[d=2]
    %7 = mul %4, %6 : f32[d=2]
    %8 = add %7, %5 : f32[d=2]
    return %8, %8
  }
  return %3
}
";

fn stream_of(graph: &str) -> Stream {
    let graph = text::parse(graph).expect("it is well-formed");
    stream(&graph, "t").expect("it streams")
}

fn model(graph: &str) -> Arc<StreamModel> {
    weighted(graph, 0.25)
}

/// The model with a parameter that ends with this number.
fn weighted(graph: &str, last: f32) -> Arc<StreamModel> {
    let mut model =
        StreamModel::compile(&Reference, stream_of(graph)).expect("it runs every graph");
    let mut source =
        |_: &str| -> Result<Tensor, BoxError> { Ok(Tensor::new([2], vec![0.5_f32, last])?) };
    model.load(&mut source, &mut silent).expect("it fits");
    Arc::new(model)
}

fn open(model: &Arc<StreamModel>, limit: u64) -> Session {
    let mut opening = Opening {
        limit,
        ..Opening::default()
    };
    for name in model.opening_inputs() {
        let one = Tensor::scalar(1.0_f32);
        opening.inputs.insert(name.to_owned(), one.into());
    }
    Session::open(model, opening).expect("its inputs are the model's")
}

/// `count` positions from `first` on.
fn positions(first: usize, count: usize) -> BTreeMap<String, Data> {
    let numbers = (2 * first..2 * (first + count)).map(|at| ((at * 7 % 11) as f32) / 8.0);
    let x = Tensor::new([count, 2], numbers.collect()).expect("as many as positions");
    BTreeMap::from([("x".to_owned(), x.into())])
}

fn step(session: &mut Session, first: usize, count: usize) -> Vec<f64> {
    let outputs = session.step(&positions(first, count), &mut silent);
    numbers(&outputs.expect("it runs"))
}

fn numbers(outputs: &Outputs) -> Vec<f64> {
    outputs.tensor("y").expect("it is a result").to_f64_vec()
}

#[test]
fn forks_go_on_alone() {
    for graph in [ATTENTION, RECURRENCE] {
        let model = model(graph);
        let mut one = open(&model, u64::MAX);
        step(&mut one, 0, 5);
        let mut other = one.fork();
        let left = step(&mut one, 5, 3);
        let right = step(&mut other, 9, 3);
        for (start, expected) in [(5, left), (9, right)] {
            let mut alone = open(&model, u64::MAX);
            step(&mut alone, 0, 5);
            assert_eq!(step(&mut alone, start, 3), expected);
        }
    }
}

#[test]
fn pieces_of_a_prompt_are_the_prompt() {
    let model = model(ATTENTION);
    let mut whole = open(&model, u64::MAX);
    let expected = step(&mut whole, 0, 10);
    for piece in [1, 3, 64] {
        let mut session = open(&model, u64::MAX);
        let outputs = session.prefill(&positions(0, 10), piece, &mut silent);
        let last = numbers(&outputs.expect("it runs"));
        assert_eq!(last[last.len() - 2..], expected[expected.len() - 2..]);
        assert_eq!(session.position(), 10);
    }
}

#[test]
fn caches_go_back_and_folded_values_need_a_mark() {
    let caches = model(ATTENTION);
    let mut session = open(&caches, u64::MAX);
    step(&mut session, 0, 4);
    let expected = step(&mut session, 4, 2);
    session.roll_back(4).expect("all positions are held");
    assert_eq!(step(&mut session, 4, 2), expected);
    assert!(matches!(
        session.roll_back(9),
        Err(SessionError::Ahead {
            position: 9,
            reached: 6
        })
    ));

    let folded = model(RECURRENCE);
    let mut session = open(&folded, u64::MAX);
    step(&mut session, 0, 4);
    session.mark();
    let expected = step(&mut session, 4, 2);
    match session.roll_back(3) {
        Err(SessionError::Lost {
            position: 3,
            carry,
            marks,
        }) => {
            assert_eq!((carry.as_str(), marks.as_slice()), ("carried", &[4][..]));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(session.position(), 6);
    session.roll_back(4).expect("it is marked");
    assert_eq!(step(&mut session, 4, 2), expected);
    session.roll_back(0).expect("everything begins there");
    assert_eq!((session.position(), session.bytes()), (0, 0));
}

#[test]
fn saved_sessions_go_on() {
    let folder = tempfile::tempdir().expect("there is room");
    for graph in [ATTENTION, RECURRENCE] {
        let file = folder.path().join("session");
        let first = model(graph);
        let mut session = open(&first, u64::MAX);
        step(&mut session, 0, 5);
        session.save(&file).expect("it can be written");
        let expected = step(&mut session, 5, 3);
        // As another process has it: compiled anew.
        let again = model(graph);
        let mut restored = Session::restore(&again, &file, u64::MAX).expect("it is whole");
        assert_eq!(restored.position(), 5);
        assert_eq!(step(&mut restored, 5, 3), expected);
    }
}

#[test]
fn other_files_are_refused() {
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("session");
    let mut session = open(&model(ATTENTION), u64::MAX);
    step(&mut session, 0, 5);
    session.save(&file).expect("it can be written");
    let refused = |file: &std::path::Path| {
        let found = Session::restore(&model(RECURRENCE), file, u64::MAX);
        found.expect_err("it is not of this model").to_string()
    };
    assert!(
        refused(&file).contains("of another model"),
        "{}",
        refused(&file)
    );
    // The same graph with other weights would go on from what these have computed.
    let weights = folder.path().join("weights");
    let mut session = open(&model(RECURRENCE), u64::MAX);
    step(&mut session, 0, 5);
    session.save(&weights).expect("it can be written");
    assert!(Session::restore(&weighted(RECURRENCE, 0.25), &weights, u64::MAX).is_ok());
    let found = Session::restore(&weighted(RECURRENCE, 0.125), &weights, u64::MAX);
    let found = found.expect_err("it has other weights").to_string();
    assert!(found.contains("other weights"), "{found}");
    let plain = folder.path().join("plain");
    let tensor = Tensor::scalar(1.0_f32);
    let named = [("x", &tensor)];
    girih_runtime::weights::write_safetensors(&plain, named, &BTreeMap::new()).expect("it can");
    assert!(
        refused(&plain).contains("no saved session"),
        "{}",
        refused(&plain)
    );
    let cut = folder.path().join("cut");
    let bytes = std::fs::read(&file).expect("it is there");
    std::fs::write(&cut, &bytes[..bytes.len() - 9]).expect("it can");
    assert!(Session::restore(&model(ATTENTION), &cut, u64::MAX).is_err());
    // An older layout, with everything else as it is.
    let text = String::from_utf8_lossy(&bytes[8..]).into_owned();
    assert!(text.contains(r#""girih.session":"3""#), "{text}");
    let at = bytes
        .windows(19)
        .position(|own| own == br#""girih.session":"3""#)
        .expect("it is there");
    let mut older = bytes;
    older[at + 17] = b'0';
    std::fs::write(&file, older).expect("it can");
    let found = Session::restore(&model(ATTENTION), &file, u64::MAX);
    let found = found.expect_err("it is another layout").to_string();
    assert!(found.contains("layout 0"), "{found}");
}

#[test]
fn a_session_whose_weights_nobody_knows_is_not_saved() {
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("session");
    let loaded = model(RECURRENCE);
    let mut shared =
        StreamModel::compile(&Reference, stream_of(RECURRENCE)).expect("it runs every graph");
    shared.share(loaded.params()[1]);
    let mut session = open(&Arc::new(shared), u64::MAX);
    let mut other = open(&loaded, u64::MAX);
    assert_eq!(step(&mut session, 0, 5), step(&mut other, 0, 5));
    assert!(matches!(session.save(&file), Err(SessionError::Shared)));
    assert!(!file.exists());
}

#[test]
fn memory_is_known_before_and_bounded() {
    let model = model(ATTENTION);
    // Keys and values are the same value here: 2 numbers for each position.
    let each = model
        .bytes_at(1, &BTreeMap::new())
        .expect("sizes are known");
    let mut session = open(&model, 6 * each);
    assert_eq!(session.bytes_at(32_768), Some(32_768 * each));
    step(&mut session, 0, 5);
    assert_eq!(session.bytes(), 5 * each);
    match session.step(&positions(5, 2), &mut silent) {
        Err(SessionError::Limit {
            position: 7,
            needed,
            limit,
        }) => {
            assert_eq!((needed, limit), (7 * each, 6 * each));
        }
        other => panic!("{other:?}"),
    }
    // It is still usable.
    let last = step(&mut session, 5, 1);
    let mut free = open(&model, u64::MAX);
    step(&mut free, 0, 5);
    assert_eq!(step(&mut free, 5, 1), last);
}

#[test]
fn a_recurrence_carries_the_same_bytes_at_every_position() {
    let model = model(RECURRENCE);
    let mut session = open(&model, 8);
    let mut last = Vec::new();
    for first in (0..65_536).step_by(8192) {
        last = step(&mut session, first, 8192);
        assert_eq!(session.bytes(), 8);
    }
    assert_eq!(session.position(), 65_536);
    assert!(last.iter().all(|number| number.is_finite()));
}

#[test]
fn what_fails_leaves_the_session_as_it_was() {
    let model = model(ATTENTION);
    let mut session = open(&model, u64::MAX);
    step(&mut session, 0, 4);
    let cancelled = session.step(&positions(4, 2), &mut |_| ControlFlow::Break(()));
    assert!(matches!(
        cancelled,
        Err(SessionError::Run(RunError::Cancelled))
    ));
    let cancelled = session.prefill(&positions(4, 6), 2, &mut |done| {
        if done.finished == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert!(cancelled.is_err());
    assert!(matches!(
        session.step(&BTreeMap::new(), &mut silent),
        Err(SessionError::Missing { .. })
    ));
    assert!(matches!(
        session.step(&positions(4, 0), &mut silent),
        Err(SessionError::Nothing)
    ));
    assert_eq!(session.position(), 4);
    let mut other = open(&model, u64::MAX);
    step(&mut other, 0, 4);
    assert_eq!(step(&mut session, 4, 2), step(&mut other, 4, 2));
    let opening = Opening {
        inputs: positions(0, 1),
        ..Opening::default()
    };
    let unknown = Session::open(&model, opening).map(drop);
    assert!(matches!(
        unknown,
        Err(SessionError::Run(RunError::Unknown { .. }))
    ));
}
