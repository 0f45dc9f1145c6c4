//! Do procedures give what the same calls by hand would? On every backend.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use girih::backend::{NAMES, Options, by_name};
use girih::command::{Streams, run};
use girih::procedure::{Around, Ready, Setup, json, models_of};
use girih_dsl::diag::Colors;
use girih_dsl::model::Static;
use girih_graph::{DType, Graph};
use girih_runtime::backend::{
    Backend, Bindings, CompileError, Done, Executable, Outputs, ParamSource, Params, Progress,
    RunError, silent,
};
use girih_runtime::reference::Reference;
use girih_runtime::tensor::Tensor;
use girih_runtime::weights::{self, write_safetensors};
use serde_json::{Value, json as value};

fn paper(name: &str) -> String {
    let place = format!("../../examples/papers/{name}/model.girih");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(place);
    path.to_str().unwrap().to_owned()
}

/// What a command line says: status, standard output, standard error.
fn girih(events: &str, line: &[&str]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut input: &[u8] = events.as_bytes();
    let mut streams = Streams {
        input: &mut input,
        out: &mut out,
        err: &mut err,
        colors: Colors::No,
        watched: false,
    };
    let words = std::iter::once("girih").chain(line.iter().copied());
    let status = run(words.map(Into::into), &mut streams);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status, text(out), text(err))
}

/// What a procedure emits and what it returns.
fn told(model: &str, procedure: &str, backend: &str, rest: &[&str]) -> (Vec<Value>, Value) {
    told_after("", model, procedure, backend, rest)
}

fn told_after(
    events: &str,
    model: &str,
    procedure: &str,
    backend: &str,
    rest: &[&str],
) -> (Vec<Value>, Value) {
    let mut line = vec![
        "run",
        model,
        "--procedure",
        procedure,
        "--backend",
        backend,
        "--json",
    ];
    line.extend(rest);
    let (status, out, err) = girih(events, &line);
    assert_eq!(status, 0, "{procedure} on {backend}\n{out}{err}");
    let mut emitted = Vec::new();
    let mut returned = Value::Null;
    for line in out.lines() {
        let mut said: Value = serde_json::from_str(line).unwrap();
        match said.get_mut("emit") {
            Some(own) => emitted.push(own.take()),
            None => returned = said["return"].take(),
        }
    }
    (emitted, returned)
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(parts) => parts.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap()],
    }
}

/// The same, where they are whole.
fn ids(value: &Value) -> Vec<i64> {
    numbers(value)
        .into_iter()
        .map(|number| number as i64)
        .collect()
}

#[track_caller]
fn close(ours: &Value, theirs: &Value) {
    let (a, b) = (numbers(ours), numbers(theirs));
    assert_eq!(a.len(), b.len());
    let worst = a
        .iter()
        .zip(&b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f64::max);
    assert!(worst < 1e-5, "{worst}: {ours} {theirs}");
}

/// A model file of its own.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.girih");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn what_is_read_again_is_the_prompt_written_again() {
    let model = paper("28-re-reading");
    for (backend, readings) in NAMES.iter().flat_map(|own| [(own, 1), (own, 2), (own, 3)]) {
        let readings = format!("readings={readings}");
        let rest = [
            "--set",
            "question=[5,6,7,8,2]",
            "--set",
            &readings,
            "--seed",
            "4",
        ];
        let (texts, own) = told(&model, "re_read", backend, &rest);
        let (_, whole) = told(&model, "at_once", backend, &rest);
        close(&own["logits"], &whole["logits"]);
        let text = whole["text"].as_array().unwrap();
        assert_eq!(own["read"].as_u64().unwrap() as usize, text.len());
        // The question stands there as often as it is read.
        let question = [5, 6, 7, 8, 2].map(|id| value!(id));
        let count = text.windows(5).filter(|part| *part == question).count();
        assert_eq!(readings, format!("readings={count}"));
        // The answer is the most frequent one, of several the first.
        let answers = own["answers"].as_array().unwrap();
        assert_eq!((answers.len(), texts.len()), (5, 5));
        let votes = |id: &Value| answers.iter().filter(|own| *own == id).count();
        let most = answers.iter().map(votes).max().unwrap();
        let first = answers.iter().find(|own| votes(own) == most).unwrap();
        assert_eq!(&own["answer"], first);
    }
}

#[test]
fn what_is_drawn_depends_on_the_seed_alone() {
    let model = paper("28-re-reading");
    let mut all = Vec::new();
    for backend in NAMES {
        for seed in ["4", "4", "5"] {
            let rest = [
                "--set",
                "question=[5,6]",
                "--set",
                "samples=3",
                "--seed",
                seed,
            ];
            all.push(told(&model, "re_read", backend, &rest).0);
        }
    }
    for threads in ["1", "2"] {
        let rest = [
            "--set",
            "question=[5,6]",
            "--set",
            "samples=3",
            "--seed",
            "4",
        ];
        let rest = [&rest[..], &["--threads", threads]].concat();
        all.push(told(&model, "re_read", "cpu", &rest).0);
    }
    for other in [1, 3, 4, 6, 7] {
        assert_eq!(all[0], all[other]);
    }
    assert_ne!(all[0], all[2]);
}

#[test]
fn a_prompt_that_is_read_twice_is_the_doubled_prompt() {
    let model = paper("43-jrt");
    for backend in NAMES {
        let rest = ["--set", "context=[5,6,7,8]", "--set", "question=[3,4]"];
        let (said, own) = told(&model, "just_read_twice", backend, &rest);
        let text = "text=[5,6,7,8,3,4,5,6,7,8,3,4]";
        let (_, whole) = told(&model, "at_once", backend, &["--set", text]);
        close(&own["logits"], &whole["logits"]);
        assert_eq!(own["answer"], whole["answer"]);
        assert_eq!(Value::Array(said), own["answer"]);
    }
}

#[test]
fn a_word_at_a_time_is_the_same_question_asked_again() {
    let model = paper("04-sap");
    let begins: Vec<u8> = (0..24).map(|id| u8::from(id % 3 == 0)).collect();
    let begins = format!("begins={begins:?}");
    for backend in NAMES {
        let rest = ["--set", "prompt=[4,5,6,7]", "--set", &begins, "--seed", "2"];
        let (turns, own) = told(&model, "word_by_word", backend, &rest);
        let mut text = vec![4, 5, 6, 7];
        let mut words = Vec::new();
        for turn in &turns {
            let asked = format!("text={text:?}");
            let statics = [
                "vocab=24",
                "d=16",
                "depth=2",
                "decoder_depth=2",
                "heads=2",
                "e=8",
                "ff=32",
                "longest=5",
                "gap=23",
                "close=22",
                "stop=1",
                "start=0",
            ];
            let mut rest = vec!["--set", &asked, "--seed", "2"];
            rest.extend(statics.iter().flat_map(|own| ["--set", own]));
            let (_, span) = told(&model, "fill", backend, &rest);
            assert_eq!(turn["span"], span);
            let word = ids(&turn["word"]);
            let span = ids(&span);
            // A word ends before a sentinel, and before what begins another one.
            let ends =
                |(at, id): (usize, &i64)| matches!(*id, 1 | 22 | 23) || at > 0 && id % 3 == 0;
            let end = span.iter().enumerate().position(ends).unwrap_or(span.len());
            assert_eq!(word.len(), end);
            text.extend(&word);
            words.extend(word);
        }
        assert_eq!(own["generated"], value!(words));
        assert!(turns.len() > 1, "one turn shows no loop");
    }
}

#[test]
fn words_are_written_when_their_source_has_been_read() {
    let model = paper("23-group-position-encoding");
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    // Source words of 2, 1, 2 tokens, target words of 1, 2, 1, 1.
    let count = 10;
    let rows: Vec<f32> = (0..2 * count * 8)
        .map(|at| (at as f32 * 0.7).sin())
        .collect();
    let x = Tensor::new([2, count, 8], rows).unwrap();
    let (source, target) = ([2i64, 1, 2].to_vec(), [1i64, 2, 1, 1].to_vec());
    let source = Tensor::new([3], source).unwrap();
    let target = Tensor::new([4], target).unwrap();
    let inputs = [("x", &x), ("source", &source), ("target", &target)];
    let given = place("in.safetensors");
    write_safetensors(Path::new(&given), inputs, &BTreeMap::new()).unwrap();
    for (backend, wait) in NAMES
        .iter()
        .flat_map(|own| (1..=5).map(move |wait| (own, wait)))
    {
        let asked = format!("wait={wait}");
        let rest = [
            "--set", "d=8", "--set", "heads=2", "--set", &asked, "--input", &given,
        ];
        let (events, own) = told(&model, "read_and_write", backend, &rest);
        let first = &events[0]["word"].as_u64().unwrap();
        for event in &events {
            let word = event["word"].as_u64().unwrap();
            assert_eq!(
                event["read"].as_u64().unwrap(),
                (wait + word).min(3),
                "{event}"
            );
        }
        // The first row already predicts what comes after the first token.
        assert_eq!(events.len() as u64, 4 - first);
        // The masked pass over the whole gives the same.
        let out = place("out.safetensors");
        let mut line = vec!["run", &model, "--backend", backend, "--output", &out];
        line.extend(rest);
        let (status, said, err) = girih("", &line);
        assert_eq!(status, 0, "{said}{err}");
        let whole = weights::open(Path::new(&out)).unwrap();
        let whole = whole.tensor("streaming.out").unwrap();
        // Rows come first in what was appended.
        let whole = whole.transpose(0, 1).unwrap().to_f64_vec();
        // What the target never waits for is read by nobody.
        let read = (wait + 3).min(3);
        if read == 3 {
            close(&own["out"], &value!(whole));
        }
    }
}

/// The tensors of a golden file that a procedure gives are compared in its `golden` blocks; here the
/// auxiliary model is the base and the maps change nothing.
#[test]
fn a_cache_that_is_handed_over_is_the_cache_of_the_whole() {
    let path = PathBuf::from(paper("38-kv-prediction"));
    let (program, sink) = girih::source::load(&path).unwrap();
    assert!(!sink.has_errors());
    let list =
        |numbers: &[i64]| Static::List(numbers.iter().map(|own| Static::Int(*own)).collect());
    let set: Vec<(String, Static)> = [
        ("vocab", Static::Int(13)),
        ("d", Static::Int(8)),
        ("aux_d", Static::Int(8)),
        ("e", Static::Int(4)),
        ("heads", list(&[2, 4])),
        ("groups", list(&[1, 2])),
        ("ff", list(&[8, 8])),
        ("aux_heads", list(&[2, 4])),
        ("aux_groups", list(&[1, 2])),
        ("aux_ff", list(&[8, 8])),
        ("map", list(&[0, 1])),
        (
            "ids",
            Static::List(vec![list(&[3, 1, 4, 1, 5]), list(&[9, 2, 6, 5, 3])]),
        ),
        ("limit", Static::Int(5)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    for name in NAMES {
        let backend = by_name(name, &Options::default()).unwrap();
        let none = BTreeMap::new();
        let weights = BTreeMap::new();
        let setup = |procedure, params| Setup {
            program: &program,
            name: Some(procedure),
            backend: backend.as_ref(),
            weights: &weights,
            params,
            set: &set,
            seed: 3,
            colors: Colors::No,
            tokenizer: None,
        };
        let models = models_of(&setup("hand_over", &none)).unwrap();
        let mut params: BTreeMap<String, Tensor> = BTreeMap::new();
        for info in &models[0].1.params {
            let shape: Vec<usize> = info
                .shape
                .iter()
                .map(|extent| extent.as_constant().unwrap() as usize)
                .collect();
            let count: usize = shape.iter().product();
            // The same numbers on both sides, whatever the model is called.
            let own = info.path.replace("auxiliary.", "base.");
            let key: usize = own.bytes().map(usize::from).sum();
            let numbers: Vec<f32> = if own.contains("_transforms") {
                let size = shape[0];
                (0..count)
                    .map(|at| f32::from(u8::from(shape.len() == 2 && at / size == at % size)))
                    .collect()
            } else {
                (0..count)
                    .map(|at| ((at + key) as f32 * 1.3).sin() * 0.6)
                    .collect()
            };
            let tensor = Tensor::new(shape, numbers).unwrap().to_dtype(DType::F32);
            params.insert(format!("m.{}", info.path), tensor);
        }
        let said = |procedure| {
            let setup = setup(procedure, &params);
            let ready = Ready::new(&setup).unwrap();
            let (ty, own) = ready
                .run(
                    &BTreeMap::new(),
                    &mut Around {
                        emit: &mut |_, _| Ok(()),
                        wait: &mut || Ok(None),
                        progress: &mut silent,
                        limit: Bindings::LIMIT,
                    },
                )
                .unwrap()
                .unwrap();
            json(&own, &ty).unwrap()
        };
        assert_eq!(said("hand_over")["tokens"], said("alone"), "{name}");
    }
}

#[test]
fn a_mode_is_what_an_answer_begins_with() {
    let model = paper("26-dualformer");
    let maze = "maze=[1,3,9,10,4,12,11,2]";
    let mut all = Vec::new();
    for backend in NAMES {
        for (mode, begun) in [("auto", &[1][..]), ("fast", &[1, 8]), ("slow", &[1, 6])] {
            let (_, own) = told(&model, mode, backend, &["--set", maze, "--seed", "5"]);
            let text = ids(&own["text"]);
            assert_eq!(text[..begun.len()], *begun);
            let count = |id: i64| text.iter().filter(|own| **own == id).count() as u64;
            assert_eq!(own["creates"].as_u64().unwrap(), count(6));
            assert_eq!(own["plans"].as_u64().unwrap(), count(8));
            all.push(own);
        }
    }
    let (first, second) = all.split_at(3);
    assert_eq!(first, second);
}

#[test]
fn few_rows_are_read_by_cheap_steps() {
    let model = paper("27-recycled-attention");
    let folder = tempfile::tempdir().unwrap();
    let given = folder.path().join("in.safetensors");
    let table = |shape: &[usize], by: f32| {
        let count: usize = shape.iter().product();
        let numbers: Vec<f32> = (0..count).map(|at| (at as f32 * by).sin()).collect();
        Tensor::new(shape, numbers).unwrap()
    };
    let (q, k, v) = (
        table(&[6, 1, 2, 4], 0.9),
        table(&[26, 1, 4], 1.7),
        table(&[26, 1, 4], 0.3),
    );
    write_safetensors(&given, [("q", &q), ("k", &k), ("v", &v)], &BTreeMap::new()).unwrap();
    let given = given.to_str().unwrap();
    for backend in NAMES {
        let decode = |stride: &str, keep: &str| {
            let rest = ["kv=1", "g=2", "e=4", keep, stride, "prompt=20"];
            let mut line = vec!["--input", given];
            line.extend(rest.iter().flat_map(|own| ["--set", own]));
            told(&model, "decode", backend, &line)
        };
        // 21 in the first step, then 5 kept and what came since.
        let (steps, own) = decode("stride=6", "keep=5");
        let rows: Vec<i64> = steps
            .iter()
            .map(|own| own["rows"].as_i64().unwrap())
            .collect();
        assert_eq!(rows, [21, 27, 34, 42, 51, 61]);
        assert_eq!(own["full"], value!([1, 0, 0, 0, 0, 0]));
        // What keeps everything is full attention.
        let (_, all) = decode("stride=6", "keep=21");
        let (_, full) = decode("stride=1", "keep=5");
        close(&all["out"], &full["out"]);
        assert_ne!(own["out"], full["out"]);
    }
}

const READER: &str = "
axis t: time
axis v
model Reader(vocab: axis = 9, d: axis = 6) {
  param embed: f32[vocab, d] = normal(1.0)
  forward(ids: i64[t]) -> f32[t, vocab] {
    x[t, d] = cumsum(t) embed[vocab = ids]
    a[i, j] = softmax(j) (sum(d) x[t = i] * x[t = j]) where j <= i
    y[t, d] = sum(j) a[i = t] * x[t = j]
    logits[t, vocab] = sum(d) y * embed
    return logits
  }
}
";

#[test]
fn forks_go_on_alone_and_back_is_where_it_was() {
    let procedures = "
      procedure forked(m: Reader = Reader(), ids: i64[t], one: i64[t], two: i64[t]) {
        s = session(m)
        s(ids)
        other = s
        a = s(one)
        b = other(two)
        return { a: a, b: b, at: position(s), other: position(other) }
      }
      procedure returned(m: Reader = Reader(), ids: i64[t], one: i64[t], two: i64[t]) {
        s = session(m)
        s(ids)
        before = s
        a = s(one)
        s = before
        b = s(two)
        return { a: a, b: b, at: position(s) }
      }
      procedure apart(m: Reader = Reader(), ids: i64[t], one: i64[t], two: i64[t]) {
        first = session(m)
        first(append(ids, one))
        s = session(m)
        s(ids)
        again = session(m)
        again(ids)
        return { a: s(one), b: again(two), at: position(first) }
      }
      procedure single(m: Reader = Reader(), ids: i64[t]) {
        s = session(m)
        last = m(ids)[t = size(t) - 1]
        for n in length(ids) {
          last = s(ids[t = n])
        }
        return { own: last, whole: m(ids)[t = size(t) - 1] }
      }";
    let (_folder, model) = file(&format!("{READER}{procedures}"));
    for backend in NAMES {
        let rest = [
            "--set",
            "ids=[1,2,3]",
            "--set",
            "one=[4,5]",
            "--set",
            "two=[6]",
        ];
        let (_, forked) = told(&model, "forked", backend, &rest);
        let (_, returned) = told(&model, "returned", backend, &rest);
        let (_, apart) = told(&model, "apart", backend, &rest);
        for (part, other) in [
            ("a", &forked),
            ("b", &forked),
            ("a", &returned),
            ("b", &returned),
        ] {
            assert_eq!(apart[part], other[part], "{part}");
        }
        assert_eq!((&forked["at"], &forked["other"]), (&value!(5), &value!(4)));
        assert_eq!((&returned["at"], &apart["at"]), (&value!(4), &value!(5)));
        let (_, single) = told(&model, "single", backend, &["--set", "ids=[1,2,3]"]);
        close(&single["own"], &single["whole"]);
    }
}

#[test]
fn events_are_waited_for_and_texts_are_told() {
    let text = "
      axis t: time
      axis w
      procedure listen(limit = 9) {
        total = 0
        heard = tokens(w)
        word = wait(t)
        while length(word) > 0 limit limit {
          total = total + sum(t) word
          append(heard, length(word))
          emit join(\"heard \", length(word), \" tokens\")
          word = wait(t)
        }
        return { total: total, heard: heard }
      }";
    let (_folder, model) = file(text);
    for backend in NAMES {
        let events = "[1, 2]\n\n[3]\n";
        let (told, own) = told_after(events, &model, "listen", backend, &[]);
        assert_eq!(told, ["heard 2 tokens", "heard 1 tokens"]);
        assert_eq!(own, value!({ "total": 6, "heard": [2, 1] }));
        let line = ["run", &model, "--procedure", "listen", "--backend", backend];
        let (status, _, err) = girih("[1, x]", &line);
        assert!(status == 1 && err.contains("is no event"), "{err}");
    }
}

#[test]
fn what_goes_wrong_is_told_with_its_place() {
    let procedures = "
      procedure cut(ids: i64[t], to = 9) {
        return slice(ids, 0, to)
      }
      procedure back(m: Reader = Reader(), ids: i64[t]) {
        s = session(m)
        s(ids)
        roll_back(s, 7)
        return position(s)
      }
      procedure far(m: Reader = Reader(), ids: i64[t]) {
        return m(ids)
      }
      procedure pick(logits: f32[v], heat = -1.0) {
        return sample(logits, temperature = heat)
      }";
    let (_folder, model) = file(&format!("{READER}{procedures}"));
    let check = |procedure: &str, rest: &[&str], status: u8, words: &[&str]| {
        for backend in NAMES {
            let mut line = vec![
                "run",
                &model,
                "--procedure",
                procedure,
                "--backend",
                backend,
            ];
            line.extend(rest);
            let (found, out, err) = girih("", &line);
            assert_eq!(found, status, "{out}{err}");
            for word in words {
                assert!(err.contains(word), "{word}: {err}");
            }
        }
    };
    check(
        "cut",
        &["--set", "ids=[1,2]"],
        1,
        &["positions 0 to 9 of `t`, which has 2", "model.girih:"],
    );
    check(
        "back",
        &["--set", "ids=[1,2]"],
        1,
        &["7", "roll_back(s, 7)"],
    );
    check("far", &["--set", "ids=[1,99]"], 1, &["m(ids)"]);
    check(
        "pick",
        &["--set", "logits=[1.0,2.0]"],
        1,
        &["a temperature is 0"],
    );
    check("cut", &[], 2, &["the procedure needs `ids: i64[t]`"]);
    check(
        "cut",
        &["--set", "ids=[[1],[2]]"],
        2,
        &["the input `ids` is `i64[t]`"],
    );
    check(
        "cut",
        &["--set", "ids=[1.5]"],
        2,
        &["the input `ids` is `i64[t]`"],
    );
    check(
        "cut",
        &["--set", "ids=[1]", "--set", "other=true"],
        2,
        &["`other`"],
    );
    check(
        "cot",
        &["--set", "ids=[1]"],
        1,
        &["no procedure `cot`", "did you mean `cut`?"],
    );
    check("far", &["--set", "m.d=0.5", "--set", "ids=[1]"], 1, &["E0"]);
    check(
        "far",
        &["--set", "x.d=2", "--set", "ids=[1]"],
        2,
        &["no model `x`"],
    );
}

#[test]
fn a_model_that_needs_its_sequence_as_a_whole_is_no_session() {
    let text = "
      axis t: time
      model Ahead(d: axis = 2) {
        forward(x: f32[t, d]) -> f32[t, d] {
          total[d] = sum(t) x
          return x + total
        }
      }
      procedure read(m: Ahead = Ahead(), x: f32[t, d]) {
        s = session(m)
        return s(x)
      }";
    let (_folder, model) = file(text);
    let (status, _, err) = girih("", &["check", &model]);
    assert!(status == 1 && err.contains("E042"), "{err}");
    let (status, _, err) = girih(
        "",
        &["run", &model, "--procedure", "read", "--set", "x=[[1,2]]"],
    );
    assert!(
        status == 1 && err.contains("E042") && err.contains("as a whole"),
        "{err}"
    );
}

#[test]
fn a_model_that_comes_late_is_no_session() {
    let text = "
      axis t: time
      model Near(d: axis = 2) {
        forward(x: f32[t, d]) -> f32[t, d] {
          return x[t = t + 2] where t + 2 < size(t)
        }
      }
      procedure read(m: Near = Near(), x: f32[t, d]) {
        s = session(m)
        return s(x)
      }";
    let (_folder, model) = file(text);
    let run = ["run", &model, "--procedure", "read", "--set", "x=[[1,2]]"];
    for line in [&["check", &model][..], &run] {
        let (status, _, err) = girih("", line);
        assert!(
            status == 1 && err.contains("E0420") && err.contains("comes 2 positions late"),
            "{err}"
        );
    }
}

#[test]
fn texts_become_tokens_and_tokens_texts() {
    let text = "
      axis t: time
      procedure twice(text = \"w3 w1\") {
        ids = encode(text, t)
        return { ids: ids, again: decode(slice(ids, 1, length(ids))) }
      }
      procedure shown(ids: i64[t]) {
        return decode(ids)
      }";
    let (folder, model) = file(text);
    let tokenizer = folder.path().join("tokenizer.json");
    let words = (0..5).map(|id| format!("\"w{id}\":{id}"));
    let words: Vec<String> = words.collect();
    let json = format!(
        r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
        "pre_tokenizer":{{"type":"Whitespace"}},"post_processor":null,"decoder":null,
        "model":{{"type":"WordLevel","vocab":{{{}}},"unk_token":"w0"}}}}"#,
        words.join(",")
    );
    std::fs::write(&tokenizer, json).unwrap();
    let tokenizer = tokenizer.to_str().unwrap();
    let (_, own) = told(&model, "twice", "reference", &["--tokenizer", tokenizer]);
    assert_eq!(own, value!({ "ids": [3, 1], "again": "w1" }));
    let refused = |rest: &[&str], words: &str| {
        let mut line = vec!["run", &model, "--procedure", "shown"];
        line.extend(rest);
        let (status, _, err) = girih("", &line);
        assert!(
            status == 1 && err.contains(words) && err.contains("decode(ids)"),
            "{err}"
        );
    };
    refused(&["--set", "ids=[1]"], "which tokenizer?");
    refused(&["--set", "ids=[-1]", "--tokenizer", tokenizer], "below 0");
}

/// What a procedure without models gives, told of progress and with a limit for what it appends.
fn around(
    model: &str,
    progress: &mut dyn FnMut(Done) -> ControlFlow<()>,
    limit: u64,
) -> Result<(), String> {
    let (program, _) = girih::source::load(Path::new(model)).unwrap();
    let backend = by_name("reference", &Options::default()).unwrap();
    let setup = Setup {
        program: &program,
        name: None,
        backend: backend.as_ref(),
        weights: &BTreeMap::new(),
        params: &BTreeMap::new(),
        set: &[],
        seed: 0,
        colors: Colors::No,
        tokenizer: None,
    };
    let ready = Ready::new(&setup).unwrap();
    let mut around = Around {
        emit: &mut |_, _| Ok(()),
        wait: &mut || Ok(None),
        progress,
        limit,
    };
    let done = ready.run(&BTreeMap::new(), &mut around);
    done.map(drop).map_err(|failure| failure.to_string())
}

#[test]
fn what_grows_has_a_limit_and_what_runs_can_be_stopped() {
    let text = "
      axis t: time
      procedure grow() {
        own = tokens(t, 1, 2)
        for i in 20 { own = append(own, own + i) }
        return sum(t) own
      }";
    let (_folder, model) = file(text);
    around(&model, &mut silent, u64::MAX).unwrap();
    // 2 · 8 bytes, doubled 20 times.
    around(&model, &mut silent, 16 << 20).unwrap();
    let refused = around(&model, &mut silent, (16 << 20) - 1).unwrap_err();
    assert!(
        refused.contains("more than 16777215 bytes") && refused.contains("append(own"),
        "{refused}"
    );
    let mut left = 9;
    let mut stop = |_: Done| {
        left -= 1;
        if left == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let stopped = around(&model, &mut stop, u64::MAX).unwrap_err();
    assert!(stopped.contains("cancelled"), "{stopped}");
}

/// Counts what is read of parameters.
struct Counting(Arc<AtomicUsize>);

struct Counted(Box<dyn Executable>, Arc<AtomicUsize>);

impl Backend for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn compile(&self, graph: &Graph) -> Result<Box<dyn Executable>, CompileError> {
        let own = Reference.compile(graph)?;
        Ok(Box::new(Counted(own, Arc::clone(&self.0))))
    }
}

impl Executable for Counted {
    fn load(
        &self,
        source: &mut dyn ParamSource,
        progress: &mut Progress<'_>,
    ) -> Result<Params, RunError> {
        let params = self.0.load(source, progress)?;
        self.1.fetch_add(params.len(), Ordering::Relaxed);
        Ok(params)
    }

    fn run(&self, bindings: &Bindings, progress: &mut Progress<'_>) -> Result<Outputs, RunError> {
        self.0.run(bindings, progress)
    }
}

#[test]
fn a_model_that_is_called_at_several_places_is_loaded_once() {
    let procedures = "
      procedure twice(m: Reader = Reader(), ids: i64[t]) {
        s = session(m)
        a = s(ids)
        b = m(ids)
        c = m(ids) + m(ids)
        other = session(m)
        d = other(ids)
        return { a: a, b: b, c: c, d: d }
      }";
    let (_folder, model) = file(&format!("{READER}{procedures}"));
    let (program, _) = girih::source::load(Path::new(&model)).unwrap();
    let read = Arc::new(AtomicUsize::new(0));
    let backend = Counting(Arc::clone(&read));
    let set = [(
        "ids".to_owned(),
        Static::List(vec![Static::Int(1), Static::Int(2)]),
    )];
    let setup = Setup {
        program: &program,
        name: Some("twice"),
        backend: &backend,
        weights: &BTreeMap::new(),
        params: &BTreeMap::new(),
        set: &set,
        seed: 0,
        colors: Colors::No,
        tokenizer: None,
    };
    let ready = Ready::new(&setup).unwrap();
    let mut around = Around {
        emit: &mut |_, _| Ok(()),
        wait: &mut || Ok(None),
        progress: &mut silent,
        limit: Bindings::LIMIT,
    };
    let (ty, own) = ready.run(&BTreeMap::new(), &mut around).unwrap().unwrap();
    let own = json(&own, &ty).unwrap();
    close(&own["a"], &own["b"]);
    close(&own["a"], &own["d"]);
    assert_eq!(
        read.load(Ordering::Relaxed),
        1,
        "the model has one parameter"
    );
}

#[test]
fn an_example_procedure_runs_with_the_model_that_it_is_given() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/language/probes.girih");
    let path = path.to_str().unwrap();
    let mut all = Vec::new();
    for backend in NAMES {
        let rest = [
            "m=Gpt2",
            "ids=[1,2,3]",
            "vocab=12",
            "ctx=32",
            "d=24",
            "layers=2",
            "limit=5",
        ];
        let mut line = vec!["--seed", "6"];
        line.extend(rest.iter().flat_map(|own| ["--set", own]));
        let (emitted, own) = told(path, "draw", backend, &line);
        let text = ids(&own);
        assert_eq!(text[..3], [1, 2, 3]);
        let said: Vec<i64> = emitted.iter().flat_map(ids).collect();
        assert_eq!(&text[3..], said);
        all.push(own);
    }
    assert_eq!(all[0], all[1]);
}

#[test]
fn weights_say_what_a_model_is() {
    let model = paper("28-re-reading");
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/conformance/llama");
    let answers = weights::open(&data.join("io.safetensors")).unwrap();
    let ids = answers.tensor("input_ids").unwrap();
    let logits = answers.tensor("logits").unwrap();
    // The whole of the first prompt, read in three parts.
    let row = ids.slice(0, 0..1).unwrap().to_i64_vec();
    let (first, rest) = row.split_at(3);
    let (second, third) = rest.split_at(2);
    let vocab = *logits.shape().last().unwrap();
    let theirs = logits.to_f64_vec();
    let theirs = &theirs[(row.len() - 1) * vocab..row.len() * vocab];
    let place = data.to_str().unwrap();
    let parts = [
        format!("question={first:?}"),
        format!("again={second:?}"),
        format!("ask={third:?}"),
    ];
    for (backend, given) in NAMES
        .iter()
        .flat_map(|own| [(own, place.to_owned()), (own, format!("m={place}"))])
    {
        let mut line = vec![
            "--weights",
            given.as_str(),
            "--set",
            "readings=1",
            "--set",
            "samples=1",
        ];
        // One reading: the question, then what asks, which is the rest of the prompt here.
        let ask = format!("ask={:?}", [second, third].concat());
        line.extend(["--set", &parts[0], "--set", &ask]);
        let (_, own) = told(&model, "re_read", backend, &line);
        close(&own["logits"], &value!(theirs));
    }
    let line = [
        "run",
        &model,
        "--procedure",
        "re_read",
        "--weights",
        "x=nowhere",
    ];
    let (status, _, err) = girih("", &line);
    assert!(status != 0 && err.contains("nowhere"), "{err}");
}
