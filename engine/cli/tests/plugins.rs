//! `girih plugin`: what is new builds and passes, what is wrong is found, what was not agreed to is not run.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is how a test fails")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs the command in a folder, with the person's data there: status and everything it said.
fn girih(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_girih"))
        .args(arguments)
        .current_dir(folder)
        .env("GIRIH_DATA", folder.join("data"))
        .env_remove("GIRIH_PLUGIN_PATH")
        .output()
        .unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), said)
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Builds a C file of the repository as a library called `name`.
fn build(folder: &Path, source: &str, flags: &[&str], name: &str) -> String {
    let library = folder.join(name);
    run(Command::new("cc")
        .args([
            "-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC",
        ])
        .args(flags)
        .arg("-I")
        .arg(root().join("plugins/api/include"))
        .arg("-o")
        .arg(&library)
        .arg(root().join(source)));
    library.display().to_string()
}

#[test]
fn a_new_plugin_in_c_builds_and_passes_and_is_added() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (status, said) = girih(folder, &["plugin", "new", "--lang", "c", "smooth"]);
    assert_eq!(status, 0, "{said}");
    // The commands that it says, as they stand there.
    let commands: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .collect();
    assert!(commands[0].starts_with("cc "), "{said}");
    run(Command::new("sh")
        .args(["-c", commands[0]])
        .current_dir(folder));
    let check: Vec<&str> = commands[1].split(' ').skip(1).collect();
    let (status, said) = girih(folder, &check);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("nothing wrong (seed 0)"), "{said}");
    for probe in ["values", "bounds", "threads", "gradient", "stream"] {
        let held = said
            .lines()
            .any(|line| line.starts_with("ok ") && line.split_whitespace().nth(1) == Some(probe));
        assert!(held, "{probe} was not tried:\n{said}");
    }

    let library = check[2];
    let (status, said) = girih(folder, &["plugin", "list", "--plugin", library]);
    assert_eq!(status, 0, "{said}");
    assert!(
        said.contains("nobody has agreed to run this file"),
        "{said}"
    );
    // Nobody answers, so nobody agrees.
    let (status, said) = girih(folder, &["plugin", "add", library]);
    assert_eq!(status, 1, "{said}");
    assert!(
        said.contains("sha256") && said.contains("nothing was added"),
        "{said}"
    );
    let (status, said) = girih(folder, &["plugin", "list"]);
    assert_eq!(
        (status, said.as_str()),
        (0, "no plugins; `girih plugin add PATH` adds one\n")
    );
    let (status, said) = girih(folder, &["plugin", "add", library, "--yes"]);
    assert_eq!(status, 0, "{said}");
    let (status, said) = girih(folder, &["plugin", "list"]);
    assert_eq!(status, 0, "{said}");
    assert!(
        said.starts_with("org.example.smooth 1.0.0  girih.op/1") && !said.contains("not used"),
        "{said}"
    );

    // A library that was changed behind the list's back is another one.
    let installed = folder
        .join("data/plugins/org.example.smooth")
        .with_extension("smooth.so");
    let mut bytes = std::fs::read(&installed).unwrap();
    bytes.push(0);
    std::fs::write(&installed, bytes).unwrap();
    let (_, said) = girih(folder, &["plugin", "list", "--json"]);
    assert!(said.contains("nobody has agreed"), "{said}");
}

#[test]
fn a_new_plugin_in_rust_builds_and_passes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (status, said) = girih(folder, &["plugin", "new", "smooth_rs"]);
    assert_eq!(status, 0, "{said}");
    run(Command::new(env!("CARGO"))
        .args([
            "build",
            "--offline",
            "--manifest-path",
            "smooth_rs/Cargo.toml",
        ])
        .env_remove("CARGO_TARGET_DIR")
        .env("RUSTFLAGS", "-D warnings")
        .current_dir(folder));
    let library = "smooth_rs/target/debug/libsmooth_rs.so";
    let (status, said) = girih(folder, &["plugin", "check", library, "--seed", "7"]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("nothing wrong (seed 7)"), "{said}");
}

/// A model that names the plugin of the template.
const MODEL: &str = r#"plugin "org.example.smooth"

axis t: time
axis d

model Averaged() {
  param rate: f32[d] = normal(1.0)
  forward(x: f32[t, d]) -> f32[t, d] {
    return smooth(x, sigmoid(rate))
  }
}

test "an average" {
  t = 3
  d = 1
  x[t, d] = tensor([[1.0], [3.0], [0.0]], t, d)
  half[d] = tensor([0.5], d)
  y = smooth(x, half)
  expect y == tensor([[0.5], [1.75], [0.875]], t, d) within 1e-6
}
"#;

#[test]
fn a_model_names_a_plugin_and_runs_where_somebody_agreed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("model.girih"), MODEL).unwrap();
    let (status, said) = girih(folder, &["check", "model.girih"]);
    assert_eq!(status, 1, "{said}");
    assert!(
        said.contains("there is no plugin `org.example.smooth`"),
        "{said}"
    );

    let (_, said) = girih(folder, &["plugin", "new", "--lang", "c", "smooth"]);
    let build = said
        .lines()
        .find_map(|line| line.strip_prefix("  cc "))
        .unwrap();
    run(Command::new("sh")
        .args(["-c", &format!("cc {build}")])
        .current_dir(folder));
    let library = "smooth/libsmooth.so";
    let (status, said) = girih(folder, &["check", "model.girih", "--plugin", library]);
    assert_eq!(status, 1, "{said}");
    assert!(
        said.contains("nobody has agreed to run this file"),
        "{said}"
    );

    let (status, said) = girih(folder, &["plugin", "add", "--yes", library]);
    assert_eq!(status, 0, "{said}");
    let (status, said) = girih(folder, &["check", "model.girih"]);
    assert_eq!(status, 0, "{said}");
    for backend in ["reference", "cpu"] {
        let (status, said) = girih(folder, &["test", "model.girih", "--backend", backend]);
        assert_eq!(status, 0, "{backend}: {said}");
        assert!(said.contains("ok   an average"), "{backend}: {said}");
    }
}

/// The commands of the README's section about plugins do what it says.
#[test]
fn the_readme_makes_a_plugin() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let section = readme
        .split("## Write a plugin in ten minutes")
        .nth(1)
        .unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = |kind: &str| -> Vec<&str> {
        let start = format!("```{kind}\n");
        let blocks = section.split(&start).skip(1);
        blocks.map(|own| own.split("```").next().unwrap()).collect()
    };
    let script = blocks("sh").concat();
    assert_eq!(script.lines().count(), 8, "{script}");
    let ([model], [says]) = (&blocks("girih")[..], &blocks("text")[..]) else {
        panic!("one model, and what is said: {section}");
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("averaged.girih"), model).unwrap();
    let own = Path::new(env!("CARGO_BIN_EXE_girih")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let output = Command::new("sh")
        .args(["-e", "-c", &script])
        .current_dir(folder.path())
        .env("PATH", format!("{}:{path}", own.display()))
        .env("GIRIH_DATA", folder.path().join("data"))
        .output()
        .unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("nothing wrong (seed 0)"), "{said}");
    assert!(said.contains("org.example.smooth 1.0.0"), "{said}");
    assert!(said.contains(says), "{said}");
    let (status, said) = girih(folder.path(), &["fmt", "--check", "averaged.girih"]);
    assert_eq!(status, 0, "{said}");
}

/// The plugin of this repository that is there to be used.
#[test]
fn assignments_are_those_of_their_text() {
    let folder = tempfile::tempdir().unwrap();
    run(Command::new(env!("CARGO"))
        .args(["build", "--offline", "--manifest-path"])
        .arg(root().join("plugins/assign/Cargo.toml"))
        .arg("--target-dir")
        .arg(folder.path().join("target"))
        .env("RUSTFLAGS", "-D warnings"));
    let (status, said) = girih(
        folder.path(),
        &["plugin", "check", "target/debug/libgirih_assign.so"],
    );
    assert_eq!(status, 0, "{said}");
    let held = |probe: &str| {
        said.lines()
            .any(|line| line.starts_with("ok ") && line.split_whitespace().nth(1) == Some(probe))
    };
    assert!(
        ["values", "small", "bounds", "threads", "memory"]
            .into_iter()
            .all(held),
        "{said}"
    );
    let library = "target/debug/libgirih_assign.so";
    let (status, said) = girih(folder.path(), &["plugin", "add", "--yes", library]);
    assert_eq!(status, 0, "{said}");
    let model = root().join("plugins/assign/57-croc/model.girih");
    let answers = root().join("tests/data/goldens/57-croc.safetensors");
    let [model, answers] = [&model, &answers].map(|path| path.to_str().unwrap());
    for backend in ["reference", "cpu"] {
        let line = ["verify", model, answers, "--backend", backend];
        let (status, said) = girih(folder.path(), &line);
        assert_eq!(status, 0, "{backend}: {said}");
    }
    let (_, said) = girih(folder.path(), &["explain", model]);
    let told = "`org.girih.assign/assign@1`, once: by its plugin's kernel";
    assert!(said.contains(told), "{said}");
}

#[test]
fn names_that_are_none_and_folders_that_exist_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["../up", "Loud", "", "a b", "-x"] {
        let (status, said) = girih(folder.path(), &["plugin", "new", "--", name]);
        assert_eq!(status, 2, "{name}: {said}");
    }
    std::fs::create_dir(folder.path().join("there")).unwrap();
    let (status, said) = girih(folder.path(), &["plugin", "new", "there"]);
    assert_eq!(
        (status, said.contains("`there` exists")),
        (1, true),
        "{said}"
    );
}

/// A defect, the probe that has to find it, and what it says.
const DEFECTS: &[(&str, &str, &str)] = &[
    ("WRONG_VALUES", "values", "instead of"),
    ("WRONG_GRADIENT", "gradient", "a cotangent is"),
    (
        "WRITES_BEYOND",
        "bounds",
        "touching memory that is not its own",
    ),
    (
        "WRITES_OPERAND",
        "bounds",
        "touching memory that is not its own",
    ),
    ("NEVER_ENDS", "values", "it did not end in"),
    ("ABORTS", "values", "ended by an abort"),
    ("LEAKS", "memory", "the process grows by"),
    ("LEAKS_HOST", "memory", "blocks of the host's memory"),
    (
        "DIRTY_RESULT",
        "dirt",
        "depend on what was in memory before",
    ),
    ("THREAD_NUMBER", "threads", "threads give other bits"),
    ("SHARED_STATE", "threads", "give other bits"),
    ("NEEDS_ALIGNMENT", "bounds", "not aligned to 64 bytes"),
    ("IGNORES_STRIDES", "strides", "depend on strides"),
    ("EMPTY_AXIS", "small", "nothing to do"),
    ("HIDES_NAN", "nan", "instead of NaN"),
    (
        "ALLOCATES_IN_RUN",
        "memory",
        "a run asks the host for memory",
    ),
    (
        "LYING_NAME",
        "text",
        "a kernel `mixed` and no `@native fn mixed`",
    ),
    ("LYING_TYPE", "values", "instead of"),
    (
        "ALWAYS_NEWEST",
        "versions",
        "a host of version 0.0 gets tables of 0.2",
    ),
    ("ABSURD_COST", "cost", "claims to cost -3 operations"),
    ("HALF_DTYPE", "dtypes", "a result is"),
    ("SHARED_OPERANDS", "sharing", "depend on where operands lie"),
];

#[test]
fn every_planted_defect_is_found_by_the_probe_that_looks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut missed = Vec::new();
    for (defect, probe, wanted) in DEFECTS {
        let library = build(
            folder,
            "tests/data/plugins/defect.c",
            &[&format!("-DDEFECT={defect}")],
            &format!("{defect}.so"),
        );
        let (status, said) = girih(
            folder,
            &[
                "plugin", "check", &library, "--only", probe, "--limit", "20",
            ],
        );
        if status != 1 || !said.contains(wanted) {
            missed.push(format!("{defect}: {probe} says\n{said}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn the_same_plugin_without_a_defect_passes_with_every_probe() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let library = build(
        folder,
        "tests/data/plugins/defect.c",
        &["-DDEFECT=NONE"],
        "none.so",
    );
    for seed in ["0", "1"] {
        let (status, said) = girih(
            folder,
            &["plugin", "check", &library, "--seed", seed, "--json"],
        );
        assert_eq!(status, 0, "{said}");
        let rows = said.matches("\"outcome\": \"ok\"").count();
        assert!(rows >= 14, "{rows} probes hold:\n{said}");
    }
}

#[test]
fn what_is_no_plugin_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("note.so"), "hello").unwrap();
    let (status, said) = girih(folder, &["plugin", "check", "note.so"]);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("no Girih plugin: it holds no note"), "{said}");
    let (status, said) = girih(folder, &["plugin", "add", "note.so"]);
    assert_eq!(
        (status, said.contains("no Girih plugin")),
        (1, true),
        "{said}"
    );
    let (status, said) = girih(folder, &["plugin", "check", "note.so", "--only", "taste"]);
    assert_eq!(
        (status, said.contains("there is no such probe")),
        (2, true),
        "{said}"
    );
}
