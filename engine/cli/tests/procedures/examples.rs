//! Do the examples' procedures do what their papers say?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use girih::backend::{NAMES, Options, by_name};
use girih::procedure::{Around, Ready, Setup, json, models_of};
use girih_dsl::diag::Colors;
use girih_dsl::model::Static;
use girih_graph::DType;
use girih_runtime::backend::{Bindings, silent};
use girih_runtime::tensor::Tensor;
use girih_runtime::weights::{self, write_safetensors};
use serde_json::{Value, json as value};

use crate::{close, girih, ids, paper, told, told_after};

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
fn a_listener_tells_what_it_knows_and_at_the_end_the_rest() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/language/listener.girih");
    let path = path.to_str().unwrap();
    let frames: Vec<Vec<f32>> = (0..19)
        .map(|at| {
            (0..8)
                .map(|own| ((at * 8 + own) as f32 * 0.7).sin())
                .collect()
        })
        .collect();
    let x = format!("x={}", value!(frames));
    for backend in NAMES {
        let (_, whole) = told(path, "recorded", backend, &["--set", &x]);
        for piece in ["1", "5", "100"] {
            let piece = format!("piece={piece}");
            let rest = ["--set", &x, "--set", &piece];
            let (known, own) = told(path, "listen", backend, &rest);
            close(&own, &whole);
            // Chunks of 8 frames wait for their end and one more frame: 10 are known of 18.
            let known: i64 = known.iter().flat_map(ids).sum();
            assert!((1..19).contains(&known), "{known}");
        }
    }
}

#[test]
fn questions_read_the_memory_of_their_moment() {
    let model = paper("46-omnilive");
    // Three scenes of 4, 3 and 2 frames: a clip ends where frames are unlike.
    let scenes = [0, 0, 0, 0, 1, 1, 1, 2, 2];
    let frame = |(at, scene): (usize, &usize)| {
        let number = |own: usize| {
            let noise = ((at * 96 + own) as f64 * 1.7).sin() * 0.1;
            noise + if own % 6 == 2 * scene { 2.0 } else { 0.0 }
        };
        let patches = (0..16).map(|patch| (0..6).map(|own| number(patch * 6 + own)).collect());
        patches.collect()
    };
    let frames: Vec<Vec<Vec<f64>>> = scenes.iter().enumerate().map(frame).collect();
    let question = "{\"question\": [1, 2, 3, 4]}\n";
    let seen = |range: std::ops::Range<usize>| format!("{}\n", value!({ "frames": frames[range] }));
    let all = [
        question.to_owned(),
        seen(0..4),
        question.to_owned(),
        seen(4..6),
        seen(6..9),
        question.to_owned(),
    ];
    let rest = ["--set", "prompt=[6,9,3]", "--seed", "3"];
    let mut each = Vec::new();
    for backend in NAMES {
        let (answers, own) = told_after(&all.concat(), &model, "live", backend, &rest);
        // Nobody answers from an empty memory.
        let counts: Vec<(&Value, &Value)> = answers
            .iter()
            .map(|own| (&own["clips"], &own["seen"]))
            .collect();
        assert_eq!(counts, [(&value!(1), &value!(4)), (&value!(3), &value!(9))]);
        assert_eq!(own["starts"], value!([0, 4, 7]));
        // However the frames come, the memory is that of all of them; questions leave it as it is.
        let (_, whole) = told_after(&seen(0..9), &model, "live", backend, &rest);
        assert_eq!(whole["starts"], own["starts"]);
        close(&whole["summaries"], &own["summaries"]);
        each.push(own["summaries"].clone());
    }
    close(&each[0], &each[1]);
    let line = ["run", &model, "--procedure", "live", "--set", "prompt=[6]"];
    let (status, _, err) = girih("{\"sound\": [1]}", &line);
    let words = "no event has `sound`; `frames`, `question` are waited for";
    assert!(status == 1 && err.contains(words), "{err}");
}
