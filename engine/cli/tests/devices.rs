//! A device of an installed plugin is a backend by its name: in every command that has one.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is how a test fails")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

// The library is built because this is a dependency.
use girih_plugin::Device as _;
use girih_template_device::Template;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The library of a device: beside the tests.
fn library(name: &str) -> String {
    let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let own = std::env::current_exe().unwrap();
    let own = own.with_file_name(format!("{prefix}girih_{name}{suffix}"));
    own.to_str().unwrap().to_owned()
}

/// The program with its own data folder.
fn command(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_girih"));
    command
        .args(arguments)
        .env("GIRIH_DATA", data)
        .env_remove("GIRIH_PLUGIN_PATH")
        .current_dir(root());
    command
}

/// Runs it; its status, and what it said.
fn girih(data: &Path, arguments: &[&str]) -> (i32, String) {
    said(&command(data, arguments).output().unwrap())
}

fn said(output: &std::process::Output) -> (i32, String) {
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output.status.code().unwrap(), said)
}

/// A data folder with the device that interprets kernels in it.
fn installed() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    add(folder.path(), "template_device");
    folder
}

fn add(data: &Path, name: &str) {
    let (status, said) = girih(data, &["plugin", "add", "--yes", &library(name)]);
    assert_eq!(status, 0, "{said}");
}

#[test]
fn a_device_is_there_when_its_plugin_is() {
    let name = Template::NAME.to_str().unwrap();
    let none = tempfile::tempdir().unwrap();
    let model = "examples/quickstart/gated.girih";
    let (status, said) = girih(none.path(), &["test", model, "--backend", name]);
    assert_ne!(status, 0, "{said}");
    assert!(
        said.contains("there is no backend `template`; there is `cpu`, `reference`"),
        "{said}"
    );

    let data = installed();
    let (status, said) = girih(data.path(), &["plugin", "list"]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("device `template`, score 0.001"), "{said}");
    let (_, said) = girih(data.path(), &["plugin", "list", "--json"]);
    assert!(said.contains("\"name\": \"template\""), "{said}");

    let check = |backend: &str, status: i32, wanted: &str| {
        let (found, said) = girih(data.path(), &["test", model, "--backend", backend]);
        assert_eq!(found, status, "{backend}: {said}");
        assert!(said.contains(wanted), "{backend}: {said}");
    };
    check("template", 0, "0 failed");
    check("template:0", 0, "0 failed");
    check("template:1", 1, "there is one device, number 0");
    check("template:x", 2, "what follows `:` is its number");
    check("chalk", 2, "there is `cpu`, `reference`, `template`");
}

#[test]
fn what_a_device_takes_is_explained() {
    let data = installed();
    let model = "examples/language/mamba2.girih";
    let (status, said) = girih(data.path(), &["explain", model, "--backend", "template"]);
    assert_eq!(status, 0, "{said}");
    assert!(said.starts_with("the device takes "), "{said}");
    assert!(
        said.contains("× product: processor: products of matrices: there is no code for them"),
        "{said}"
    );
    let (status, said) = girih(data.path(), &["explain", model, "--backend", "reference"]);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("has no plan to explain"), "{said}");
}

/// Recurrences, routes, attention, embeddings, whole sequences and pieces of them, over the border of plugins.
#[test]
fn a_device_agrees_with_independent_numbers() {
    let data = installed();
    for (model, answers) in [
        ("hf/llama", "conformance/llama"),
        ("hf/mamba", "conformance/mamba"),
        ("hf/mixtral", "conformance/mixtral"),
        (
            "papers/06-rnn-review/model",
            "goldens/06-rnn-review.safetensors",
        ),
        ("papers/16-duo-llm/model", "goldens/16-duo-llm.safetensors"),
        ("papers/24-hydra/model", "goldens/24-hydra.safetensors"),
        ("bench/delta_rule", "bench/delta_rule.safetensors"),
    ] {
        let model = format!("examples/{model}.girih");
        let answers = format!("tests/data/{answers}");
        let (status, said) = girih(
            data.path(),
            &["verify", &model, &answers, "--backend", "template"],
        );
        assert_eq!(status, 0, "{model}: {said}");
    }
}

/// The device in C, broken in a way.
fn broken(folder: &Path, how: &str) -> PathBuf {
    let library = folder.join(format!("{how}{}", std::env::consts::DLL_SUFFIX));
    let output = Command::new("cc")
        .args(["-std=c99", "-O1", "-shared", "-fPIC"])
        .arg(format!("-DBROKEN={how}"))
        .arg("-I")
        .arg(root().join("plugins/api/include"))
        .arg("-o")
        .arg(&library)
        .arg(root().join("tests/data/plugins/device.c"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    library
}

#[test]
fn devices_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let check = |library: &Path| {
        let library = library.to_str().unwrap();
        girih(folder.path(), &["plugin", "check", library, "--seed", "1"])
    };
    let (status, said) = check(Path::new(&library("template_device")));
    assert_eq!(status, 0, "{said}");
    for probe in ["metadata", "versions", "device", "regions"] {
        let holds = |line: &str| line.starts_with("ok") && line.contains(probe);
        assert!(said.lines().any(holds), "{probe}: {said}");
    }
    for (how, wanted) in [
        ("NONE", "`slate` has no code for anything that was tried"),
        ("NO_DRIVER", "there is no driver"),
    ] {
        let (status, said) = check(&broken(folder.path(), how));
        assert_eq!(status, 0, "{said}");
        assert!(said.contains(wanted), "{how}: {said}");
    }
    for (how, wanted) in [
        ("SHORT_COPY", "are not what is read there"),
        ("LAZY", "FAILS    regions"),
        ("RUN_FAILS", "it caught fire"),
    ] {
        let (status, said) = check(&broken(folder.path(), how));
        assert_eq!(status, 1, "{said}");
        assert!(said.contains(wanted), "{how}: {said}");
    }
}

#[test]
fn claims_hold_on_a_device() {
    let data = installed();
    for file in std::fs::read_dir(root().join("tests/suite/run")).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_some_and(|own| own == "girih") {
            let file = file.to_str().unwrap();
            let (status, said) = girih(data.path(), &["test", file, "--backend", "template"]);
            assert_eq!(status, 0, "{file}: {said}");
        }
    }
}

/// What a procedure and a talk give, which the processor gives, too. `set` readies the program.
fn check_use(data: &Path, backend: &str, set: impl Fn(&mut Command)) {
    let tokenizer = data.join("tokenizer.json");
    let words: Vec<String> = (0..128).map(|id| format!("\"w{id}\":{id}")).collect();
    let text = format!(
        r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
        "pre_tokenizer":{{"type":"Whitespace"}},"post_processor":null,"decoder":null,
        "model":{{"type":"WordLevel","vocab":{{{}}},"unk_token":"w0"}}}}"#,
        words.join(",")
    );
    std::fs::write(&tokenizer, text).unwrap();
    let template =
        r#"{"chat_template": "{% for m in messages %}{{ m.content + ' ' }}{% endfor %}"}"#;
    std::fs::write(tokenizer.with_file_name("tokenizer_config.json"), template).unwrap();
    let tokenizer = tokenizer.to_str().unwrap();
    let weights = "tests/data/conformance/llama";
    let model = "examples/papers/26-dualformer/model.girih";
    for (line, input) in [
        (
            ["run", model, "--procedure", "fast", "--set", "limit=3"].as_slice(),
            "",
        ),
        (
            &["chat", "examples/hf/llama.girih", "--weights", weights],
            "w3 w4\nw5\n/new\nw7\n",
        ),
    ] {
        let rest: &[&str] = match line[0] {
            "run" => &["--set", "maze=[1,3,9,10,4,12,11,2]"],
            _ => &["--tokenizer", tokenizer, "--max-tokens", "3"],
        };
        let answer = |backend: &str| {
            let mut command = command(data, line);
            command.args(rest).args(["--backend", backend]);
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            set(command.stderr(Stdio::piped()));
            let mut child = command.spawn().unwrap();
            let stdin = child.stdin.take().unwrap();
            { stdin }.write_all(input.as_bytes()).unwrap();
            let (status, said) = said(&child.wait_with_output().unwrap());
            assert_eq!(status, 0, "{line:?} {backend}: {said}");
            said
        };
        assert_eq!(answer(backend), answer("cpu"), "{line:?} {backend}");
    }
}

#[test]
fn what_a_person_does_runs_on_a_device() {
    check_use(installed().path(), "template", |_| ());
}

/// Without a driver the plugin says so; nothing crashes.
#[test]
fn a_gpu_is_there_or_it_is_said_why_not() {
    let data = tempfile::tempdir().unwrap();
    add(data.path(), "cuda");
    let (status, said) = girih(data.path(), &["plugin", "list"]);
    assert_eq!(status, 0, "{said}");
    let serves = said.contains("device `cuda`, score ");
    let lacks = said.contains("device `cuda` cannot serve here: ");
    assert!(serves || lacks, "{said}");
}

/// Models whose every launch is code for a GPU, emulated, over the border of plugins.
#[test]
fn an_emulated_gpu_agrees_with_independent_numbers() {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    if Command::new(compiler).arg("--version").output().is_err() {
        let said = b"SKIPPED: no model runs on an emulated gpu: there is no C++ compiler\n";
        // Past the test harness, which keeps what passing tests print.
        std::io::stderr().write_all(said).unwrap();
        return;
    }
    let data = tempfile::tempdir().unwrap();
    add(data.path(), "cuda");
    let kept = data.path().join("emulator");
    let emulated = |command: &mut Command| {
        command
            .env("GIRIH_CUDA", "emulate")
            .env("GIRIH_CUDA_EMULATOR_FOLDER", &kept);
    };
    // The products of such small models are worth a call only where all are asked for.
    for (model, answers, products) in [
        ("hf/distilbert", "conformance/distilbert", Some("off")),
        ("hf/distilbert", "conformance/distilbert", Some("all")),
        ("hf/qwen3-moe", "conformance/qwen3-moe", None),
        ("bench/minilm", "bench/minilm.safetensors", Some("all")),
        ("bench/delta_rule", "bench/delta_rule.safetensors", None),
    ] {
        let model = format!("examples/{model}.girih");
        let answers = format!("tests/data/{answers}");
        let mut command = command(
            data.path(),
            &["verify", &model, &answers, "--backend", "cuda"],
        );
        emulated(&mut command);
        command.envs(products.map(|own| ("GIRIH_CUDA_PRODUCTS", own)));
        let (status, said) = said(&command.output().unwrap());
        assert_eq!(status, 0, "{model}: {said}");
    }
    check_use(data.path(), "cuda", emulated);

    let mut listing = command(data.path(), &["plugin", "list"]);
    emulated(&mut listing);
    let (status, listed) = said(&listing.output().unwrap());
    assert!(
        status == 0 && listed.contains("products by loops"),
        "{listed}"
    );
    for (products, wanted) in [
        (None, (0, "products by loops")),
        (Some("off"), (0, "products by generated code")),
        (Some("on"), (1, "it may be `off` or `all`")),
    ] {
        let model = "examples/bench/minilm.girih";
        let mut command = command(data.path(), &["explain", model, "--backend", "cuda"]);
        emulated(&mut command);
        command.envs(products.map(|own| ("GIRIH_CUDA_PRODUCTS", own)));
        let (status, said) = said(&command.output().unwrap());
        assert!(
            status == wanted.0 && said.contains(wanted.1),
            "{status}: {said}"
        );
    }
}
