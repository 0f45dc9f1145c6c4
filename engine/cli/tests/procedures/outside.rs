//! What comes from outside, what goes there, and who may stop it?

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use girih::backend::{NAMES, Options, by_name};
use girih::procedure::{Around, Ready, Setup};
use girih_dsl::diag::Colors;
use girih_runtime::backend::{Done, silent};
use serde_json::json as value;

use crate::{file, girih, told, told_after};

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
