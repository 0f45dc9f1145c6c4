//! Checkpoints in sessions on the compiled backend: forks, files, and the same bits as the whole.

use std::collections::BTreeMap;
use std::path::Path;

use girih::backend::{Options, by_name};
use girih::checkpoint::Checkpoint;
use girih::session::{Session, Setup, Streaming, choose_model};
use girih_dsl::diag::Colors;
use girih_runtime::backend::{Data, Outputs, silent};
use girih_runtime::session;
use girih_runtime::tensor::Tensor;
use girih_runtime::weights::{self, write_safetensors};

use super::{girih, repository};

/// Calls `with` with a conformance model that is ready.
fn with_setup<T>(name: &str, with: impl FnOnce(&Setup<'_>) -> T) -> T {
    let file = repository(&format!("examples/hf/{name}.girih"));
    let weights = repository(&format!("tests/data/conformance/{name}"));
    let chosen = choose_model(&file, Some(Path::new(&weights)), None, Colors::No, false).unwrap();
    let checkpoint = Checkpoint::open(Path::new(&weights)).unwrap();
    let backend = by_name("cpu", &Options::default()).unwrap();
    with(&Setup {
        program: &chosen.program,
        checkpoint: Some(&checkpoint),
        backend: backend.as_ref(),
        set: &[],
        seed: 0,
        colors: Colors::No,
        watched: false,
    })
}

/// Reads tokens; gives the logits of what follows, as bits.
fn read(
    session: &mut session::Session,
    streaming: &Streaming,
    ids: &[i64],
    piece: usize,
) -> Vec<u64> {
    let tokens = Tensor::new([ids.len()], ids.to_vec()).unwrap();
    let inputs = streaming.step_inputs(BTreeMap::from([("ids".to_owned(), tokens)]));
    let outputs = session.prefill(&inputs, piece, &mut silent).unwrap();
    last(&outputs)
}

fn last(outputs: &Outputs) -> Vec<u64> {
    let logits = outputs.tensor("out").unwrap();
    let end = logits.shape()[0];
    let row = logits.slice(0, end - 1..end).unwrap();
    row.to_f64_vec().into_iter().map(f64::to_bits).collect()
}

/// The likeliest next token, again and again.
fn greedy(
    session: &mut session::Session,
    streaming: &Streaming,
    mut logits: Vec<u64>,
    count: usize,
) -> Vec<i64> {
    let mut ids = Vec::new();
    while ids.len() < count {
        let numbers = logits.iter().map(|bits| f64::from_bits(*bits));
        let best = numbers
            .enumerate()
            .fold((0, f64::NEG_INFINITY), |best, (at, number)| {
                if number > best.1 { (at, number) } else { best }
            });
        ids.push(best.0 as i64);
        logits = read(session, streaming, &[best.0 as i64], 1);
    }
    ids
}

fn begin(streaming: &Streaming) -> session::Session {
    streaming.begin(BTreeMap::new(), 0).unwrap().0
}

const PROMPT: [i64; 7] = [3, 14, 15, 92, 65, 35, 89];

#[test]
fn forked_and_restored_sessions_go_on_as_if_nothing_had_been() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["llama", "gemma3-text", "mamba", "mamba2", "rwkv"] {
        let file = folder.path().join(name);
        let (kept, saved) = with_setup(name, |setup| {
            let streaming = Streaming::open(setup, None).unwrap();
            let mut one = begin(&streaming);
            let logits = read(&mut one, &streaming, &PROMPT, 3);
            let begun = greedy(&mut one, &streaming, logits, 20);
            one.save(&file).unwrap();
            // Two ways to go on, each as a session of its own would.
            let mut other = one.fork();
            let ways = [(&mut one, 5), (&mut other, 77)].map(|(session, token)| {
                let logits = read(session, &streaming, &[token], 1);
                (token, greedy(session, &streaming, logits, 10))
            });
            for (token, expected) in &ways {
                let mut alone = begin(&streaming);
                let logits = read(&mut alone, &streaming, &PROMPT, 64);
                assert_eq!(greedy(&mut alone, &streaming, logits, 20), begun, "{name}");
                let logits = read(&mut alone, &streaming, &[*token], 1);
                assert_eq!(
                    &greedy(&mut alone, &streaming, logits, 10),
                    expected,
                    "{name}"
                );
            }
            let [first, _] = ways;
            (first, one.bytes_at(20))
        });
        // Everything anew, as in another process.
        with_setup(name, |setup| {
            let streaming = Streaming::open(setup, None).unwrap();
            let mut restored =
                session::Session::restore(&streaming.shared, &file, u64::MAX).unwrap();
            assert_eq!(restored.position(), 27, "{name}");
            assert_eq!(restored.bytes_at(20), saved, "{name}");
            let (token, expected) = kept;
            let logits = read(&mut restored, &streaming, &[token], 1);
            assert_eq!(
                greedy(&mut restored, &streaming, logits, 10),
                expected,
                "{name}"
            );
        });
    }
}

#[test]
fn sessions_of_a_checkpoint_that_step_together_are_sessions() {
    let names = [
        "deepseek-v3",
        "gemma3-text",
        "gpt-neox",
        "gpt2",
        "llama",
        "mamba",
        "mamba2",
        "mixtral",
        "phi3",
        "qwen3",
        "qwen3-moe",
        "rwkv",
    ];
    for name in names {
        let [one, two] = [1, 2].map(|threads| {
            let options = Options {
                threads: Some(threads),
                ..Options::default()
            };
            let backend = by_name("cpu", &options).unwrap();
            with_setup(name, |setup| {
                let setup = Setup {
                    backend: backend.as_ref(),
                    ..*setup
                };
                let streaming = Streaming::open(&setup, None).unwrap();
                let mut own: Vec<_> = [2, 7, 1, 4, 3]
                    .map(|count| {
                        let mut session = begin(&streaming);
                        read(&mut session, &streaming, &PROMPT[..count], 64);
                        session
                    })
                    .into();
                let mut alone = own.clone();
                let mut all = Vec::new();
                for round in 0..4_i64 {
                    let ids = (0..5).map(|lane| vec![(round * 31 + lane * 7) % 128]);
                    let ids: Vec<Vec<i64>> = ids.collect();
                    let inputs: Vec<_> = (ids.iter())
                        .map(|ids| {
                            let ids = Tensor::new([1], ids.clone()).unwrap();
                            streaming.step_inputs(BTreeMap::from([("ids".to_owned(), ids)]))
                        })
                        .collect();
                    let mut steps: Vec<_> = own.iter_mut().zip(&inputs).collect();
                    let outputs = session::Session::step_together(&mut steps, &mut silent).unwrap();
                    for ((outputs, alone), ids) in outputs.iter().zip(&mut alone).zip(&ids) {
                        let (found, expected) = (last(outputs), read(alone, &streaming, ids, 1));
                        for (x, y) in found.iter().zip(expected) {
                            let (x, y) = (f64::from_bits(*x), f64::from_bits(y));
                            assert!(
                                (x - y).abs() <= 1e-4 * y.abs().max(1.0),
                                "{name}: {x} for {y}"
                            );
                        }
                        all.push(found);
                    }
                }
                all
            })
        });
        assert_eq!(one, two, "{name}: threads change nothing");
    }
}

#[test]
fn a_session_of_another_checkpoint_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session");
    with_setup("llama", |setup| {
        let streaming = Streaming::open(setup, None).unwrap();
        let mut session = begin(&streaming);
        read(&mut session, &streaming, &PROMPT, 3);
        session.save(&file).unwrap();
    });
    with_setup("qwen3", |setup| {
        let streaming = Streaming::open(setup, None).unwrap();
        let found = session::Session::restore(&streaming.shared, &file, u64::MAX);
        let text = found.unwrap_err().to_string();
        assert!(text.contains("of another model"), "{text}");
    });
}

#[test]
fn what_a_stream_carries_is_what_its_formula_says() {
    with_setup("llama", |setup| {
        let streaming = Streaming::open(setup, None).unwrap();
        let mut session = begin(&streaming);
        for piece in [1, 7, 64, 500] {
            let ids: Vec<i64> = (0..piece).map(|at| at * 31 % 128).collect();
            read(&mut session, &streaming, &ids, 128);
            assert_eq!(session.bytes_at(session.position()), Some(session.bytes()));
        }
        assert_eq!(session.position(), 572);
        let whole = Session::open(setup, None).unwrap();
        let ids: Vec<i64> = [1, 7, 64, 500]
            .into_iter()
            .flat_map(|piece| (0..piece).map(|at| at * 31 % 128))
            .collect();
        let tokens = Tensor::new([ids.len()], ids.clone()).unwrap();
        let inputs = BTreeMap::from([("ids".to_owned(), tokens)]);
        let expected = whole.run(inputs, 0).unwrap();
        let mut again = begin(&streaming);
        let own = read(&mut again, &streaming, &ids, 128);
        let near = own.iter().zip(last(&expected)).all(|(x, y)| {
            let (x, y) = (f64::from_bits(*x), f64::from_bits(y));
            (x - y).abs() <= 1e-4 * y.abs().max(1.0)
        });
        assert!(near);
        let held: Vec<&Data> = again.carried().values().collect();
        assert!(held.iter().all(|data| data.shape().contains(&572)));
    });
}

#[test]
fn a_run_in_pieces_is_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.safetensors");
    let ids = Tensor::new([2, 9], (0..18).map(|at| at * 7 % 128).collect::<Vec<i64>>()).unwrap();
    write_safetensors(&input, [("ids", &ids)], &BTreeMap::new()).unwrap();
    let file = repository("examples/hf/mamba.girih");
    let weights = repository("tests/data/conformance/mamba");
    let output = |name: &str, more: &[&str]| {
        let path = folder.path().join(name);
        let mut line = vec![
            "run",
            &file,
            "--weights",
            &weights,
            "--backend",
            "reference",
        ];
        line.extend([
            "--input",
            input.to_str().unwrap(),
            "--output",
            path.to_str().unwrap(),
        ]);
        line.extend(more);
        let (status, _, problems) = girih(&line);
        assert_eq!((status, problems.as_str()), (0, ""));
        let written = weights::open(&path).unwrap();
        written.tensor("out").unwrap().to_f64_vec()
    };
    let whole = output("whole", &[]);
    for piece in ["1", "4"] {
        let pieces = output(piece, &["--mode", "step", "--piece", piece]);
        assert_eq!(pieces.len(), whole.len());
        let near = |(x, y): (&f64, &f64)| (x - y).abs() <= 1e-5 * y.abs().max(1.0);
        assert!(pieces.iter().zip(&whole).all(near), "in pieces of {piece}");
    }
}

#[test]
fn steps_are_measured_behind_a_sequence() {
    let file = repository("examples/bench/attention_causal.girih");
    let mut line = vec!["bench", &file, "--mode", "step", "--extent", "t=8"];
    line.extend(["--seconds", "0", "--runs", "3", "--json"]);
    let (status, text, problems) = girih(&line);
    assert_eq!((status, problems.as_str()), (0, ""));
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["mode"], "step");
    assert_eq!(report["tokens"], 1);
    line.extend(["--lanes", "3"]);
    let (status, text, problems) = girih(&line);
    assert_eq!((status, problems.as_str()), (0, ""));
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["tokens"], 3);
    let (status, _, problems) = girih(&["bench", &file, "--lanes", "3"]);
    assert_eq!(status, 2);
    assert!(problems.contains("`--mode step`"), "{problems}");
}
