//! Models that go on from a text.

use std::fmt::Write as _;
use std::path::Path;

use girih_runtime::weights;
use serde_json::Value;

use super::{girih, girih_hears, repository};

/// A tokenizer whose tokens are `w0`, `w1`, … with these ids.
fn tokenizer(folder: &Path) -> String {
    let mut vocabulary = String::new();
    for id in 0..128 {
        let comma = if id == 0 { "" } else { "," };
        write!(vocabulary, "{comma}\"w{id}\":{id}").unwrap();
    }
    let text = format!(
        r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
        "pre_tokenizer":{{"type":"Whitespace"}},"post_processor":null,"decoder":null,
        "model":{{"type":"WordLevel","vocab":{{{vocabulary}}},"unk_token":"w0"}}}}"#
    );
    let path = folder.join("tokenizer.json");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A conformance model with what it is told, and its answers.
struct Model {
    file: String,
    weights: String,
    tokenizer: String,
    _folder: tempfile::TempDir,
}

impl Model {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            file: repository(&format!("examples/hf/{name}.girih")),
            weights: repository(&format!("tests/data/conformance/{name}")),
            tokenizer: tokenizer(folder.path()),
            _folder: folder,
        }
    }

    /// The first row of a tensor of the answers.
    fn row(&self, name: &str) -> Vec<i64> {
        let path = Path::new(&self.weights).join("io.safetensors");
        let tensor = weights::open(&path).unwrap().tensor(name).unwrap();
        tensor.to_i64_vec()[..tensor.shape()[1]].to_vec()
    }

    fn line<'a>(&'a self, command: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
        let mut line = vec![command, &self.file, "--weights", &self.weights];
        line.extend(["--tokenizer", &self.tokenizer]);
        line.extend(rest);
        line
    }

    fn generate(&self, rest: &[&str]) -> Value {
        let (status, out, err) = girih(&self.line("generate", rest));
        assert_eq!(status, 0, "{out}{err}");
        serde_json::from_str(&out).unwrap()
    }
}

fn words(ids: &[i64]) -> String {
    let words: Vec<String> = ids.iter().map(|id| format!("w{id}")).collect();
    words.join(" ")
}

fn ids(said: &Value) -> Vec<i64> {
    let ids = said["ids"].as_array().unwrap().iter();
    ids.filter_map(Value::as_i64).collect()
}

#[test]
fn a_checkpoint_goes_on_as_it_should() {
    let llama = Model::new("llama");
    let prompt = words(&llama.row("input_ids"));
    let wanted = llama.row("greedy_ids");
    let most = wanted.len().to_string();
    let ask = |rest: &[&str]| {
        let mut line = vec![
            "--prompt",
            &prompt,
            "--max-tokens",
            &most,
            "--past-end",
            "--json",
        ];
        line.extend(rest);
        llama.generate(&line)
    };
    let plain = ask(&[]);
    assert_eq!(ids(&plain), wanted);
    assert_eq!(plain["reason"], "length");
    assert_eq!(ids(&ask(&["--beams", "1"])), wanted);
    let best = ask(&["--beams", "4", "--length-penalty", "0"]);
    let score = |said: &Value| said["log_probability"].as_f64().unwrap();
    assert!(score(&best) >= score(&plain), "{best} {plain}");
    let stop = format!("w{} w{}", wanted[2], wanted[3]);
    let stopped = ask(&["--stop", &stop]);
    assert_eq!(stopped["reason"], "stop");
    assert_eq!(stopped["text"], words(&wanted[..2]) + " ");
    let forbidden = format!("w{}", wanted[0]);
    assert!(!ids(&ask(&["--forbid", &forbidden])).contains(&wanted[0]));
    assert!(ids(&ask(&["--begin", "w7 w8"])).starts_with(&[7, 8]));
    let drawn = |seed: &str| ids(&ask(&["--temperature", "3", "--seed", seed]));
    assert_eq!(drawn("1"), drawn("1"));
    assert_ne!(drawn("1"), drawn("2"));
    let both = ask(&["--prompt", &prompt]);
    assert_eq!((ids(&both[0]), ids(&both[1])), (wanted.clone(), wanted));
}

#[test]
fn texts_are_printed_in_the_order_of_their_prompts() {
    let llama = Model::new("llama");
    let all = llama.row("input_ids");
    // More than are answered together, which are over at unequal places.
    let prompts: Vec<String> = (0..19).map(|at| words(&all[..=at % all.len()])).collect();
    let stop = llama.row("greedy_ids")[2];
    let stop = format!("w{stop}");
    let mut line = vec!["--max-tokens", "6", "--past-end", "--stop", &stop];
    line.extend(prompts.iter().flat_map(|own| ["--prompt", own.as_str()]));
    let (status, printed, problems) = girih(&llama.line("generate", &line));
    assert_eq!((status, problems.as_str()), (0, ""));
    line.push("--json");
    let said = llama.generate(&line);
    let mut expected = String::new();
    for (at, prompt) in prompts.iter().enumerate() {
        writeln!(expected, "{prompt}{}", said[at]["text"].as_str().unwrap()).unwrap();
    }
    assert_eq!(printed, expected);
    let stopped = |at: &usize| said[*at]["reason"] == "stop";
    let count = (0..prompts.len()).filter(stopped).count();
    assert!(count > 0 && count < prompts.len(), "{said}");
}

#[test]
fn unequal_prompts_are_answered_as_each_alone() {
    for name in ["llama", "mamba"] {
        let model = Model::new(name);
        let all = model.row("input_ids");
        let prompts: Vec<String> = [1, 3, all.len()].map(|count| words(&all[..count])).into();
        for more in [&[][..], &["--beams", "3"], &["--temperature", "2"]] {
            let ask = |prompts: &[String]| {
                let mut line = vec!["--max-tokens", "9", "--past-end", "--json"];
                line.extend(more);
                line.extend(prompts.iter().flat_map(|own| ["--prompt", own.as_str()]));
                model.generate(&line)
            };
            let together = ask(&prompts);
            for (at, prompt) in prompts.iter().enumerate() {
                let alone = ask(std::slice::from_ref(prompt));
                assert_eq!(ids(&alone).len(), 9);
                // Texts that are drawn are drawn for their places.
                if at == 0 || more.first() != Some(&"--temperature") {
                    assert_eq!(ids(&together[at]), ids(&alone), "{name} {prompt}");
                }
            }
        }
    }
}

#[test]
fn an_encoder_reads_the_prompt() {
    let t5 = Model::new("t5");
    let source = t5.row("input_ids");
    let target = t5.row("decoder_input_ids");
    assert_eq!(target[0], 0, "the start of every target");
    let begin = words(&target[1..]);
    let most = target.len().to_string();
    let line = [
        "--begin",
        &begin,
        "--max-tokens",
        &most,
        "--past-end",
        "--json",
    ];
    let mut line = line.to_vec();
    let prompt = words(&source);
    line.extend(["--prompt", &prompt]);
    let path = Path::new(&t5.weights).join("io.safetensors");
    let answers = weights::open(&path).unwrap();
    let logits = answers.tensor("logits").unwrap();
    let [_, count, size] = *logits.shape() else {
        panic!("{:?}", logits.shape())
    };
    let last = &logits.to_f64_vec()[(count - 1) * size..count * size];
    let best = (0..size)
        .max_by(|a, b| last[*a].total_cmp(&last[*b]))
        .unwrap();
    let said = ids(&t5.generate(&line));
    assert_eq!(said.last(), Some(&(best as i64)), "{said:?}");
}

#[test]
fn a_conversation_is_read_once_and_goes_on() {
    let llama = Model::new("llama");
    let template =
        r#"{"chat_template": "{% for m in messages %}{{ m.content + ' ' }}{% endfor %}"}"#;
    let beside = Path::new(&llama.tokenizer).with_file_name("tokenizer_config.json");
    std::fs::write(beside, template).unwrap();
    let line = llama.line("chat", &["--max-tokens", "3"]);
    let (status, out, err) = girih_hears("w3 w4\n\nw5\n/new\nw3 w4\n/end\nw9\n", &line);
    assert_eq!(status, 0, "{out}{err}");
    let answers: Vec<&str> = out.lines().collect();
    let [first, second, again] = answers.as_slice() else {
        panic!("{out}")
    };
    assert_eq!(first, again);
    let prompt = format!("w3 w4 {first} w5");
    let (_, whole, _) = girih(&llama.line("generate", &["--prompt", &prompt, "--max-tokens", "3"]));
    assert_eq!(whole, format!("{prompt}{second}\n"));
}

#[test]
fn wishes_that_mean_nothing_are_refused() {
    let llama = Model::new("llama");
    for (rest, said) in [
        (
            vec!["--prompt", "w1", "--top-p", "2"],
            "top-p is 0 to 1, not 2",
        ),
        (
            vec!["--prompt", "w1", "--temperature", "nan"],
            "a temperature is 0 to",
        ),
        (vec!["--prompt", "w1", "--beams", "0"], "at least one beam"),
        (vec!["--prompt", ""], "the prompt has no tokens"),
        (vec!["--prompt", "w1", "--chat"], "has no chat template"),
    ] {
        let (status, _, err) = girih(&llama.line("generate", &rest));
        assert!(
            status == 2 && err.contains(said),
            "{rest:?}: {status} {err}"
        );
    }
}
