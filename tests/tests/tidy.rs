//! Whether the repository agrees with itself: what is listed in one place exists in the other.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is how a test fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use girih_dsl::diag::{Code, explain};

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file below `folder` whose name ends with one of `endings`, sorted; build outputs left out.
fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    fn walk(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(folder) else {
            return;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let hidden = name.starts_with('.') && name != ".ci" && name != ".cargo";
            if hidden || name.starts_with("target") {
                continue;
            }
            if path.is_dir() {
                walk(&path, endings, found);
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), endings, &mut found);
    found.sort();
    found
}

/// The file's path from the root, with `/`.
fn shown(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap()
        .to_string_lossy()
        .replace('\\', "/")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The numbers in `Code::new(…)` and in the elaborator's shorthand, as far as they are literal.
fn codes_in(text: &str) -> BTreeSet<u16> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices(|c: char| c.is_ascii_digit()) {
        let before = text[..at].trim_end();
        let digits: String = text[at..]
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        let starts = [
            "Code::new(",
            "self.error(",
            "self.error_help(",
            "this.error(",
            "this.error_help(",
        ];
        if digits.len() == 3 && starts.iter().any(|start| before.ends_with(start)) {
            found.insert(digits.parse().unwrap());
        }
    }
    found
}

#[test]
fn every_code_that_is_reported_has_a_page() {
    let mut missing = Vec::new();
    for path in files("dsl/src", &[".rs"])
        .into_iter()
        .chain(files("engine/cli/src", &[".rs"]))
    {
        let text = read(&path);
        // Tests may report whatever they like.
        let code = text.split("#[cfg(test)]").next().unwrap();
        for number in codes_in(code) {
            if explain(Code::new(number)).is_none() {
                missing.push(format!("{} reports {}", shown(&path), Code::new(number)));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "no page in dsl/src/diag/codes:\n{}",
        missing.join("\n")
    );
}

#[test]
fn every_page_is_listed_and_has_its_parts() {
    let listed: BTreeSet<String> = Code::all().map(|code| format!("{code}.md")).collect();
    let written: BTreeSet<String> = files("dsl/src/diag/codes", &[".md"])
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(listed, written, "pages that are listed, and files");
    for code in Code::all() {
        let page = explain(code).unwrap();
        assert!(page.contains("```girih"), "{code} shows no example");
    }
}

#[test]
fn primitives_are_few_and_documented() {
    let text = read(&root().join("engine/graph/src/op.rs"));
    let start = text.find("pub enum Op {").unwrap();
    let body = &text[start..start + text[start..].find("\n}\n").unwrap()];
    let mut names = Vec::new();
    let mut documented = false;
    for line in body.lines().skip(1) {
        let inner = line.strip_prefix("    ").unwrap_or(line);
        if inner.starts_with("///") {
            documented = true;
        } else if inner.starts_with(|c: char| c.is_ascii_uppercase()) {
            let name: String = inner.chars().take_while(|c| c.is_alphanumeric()).collect();
            assert!(documented, "the primitive `{name}` says nothing");
            names.push(name);
            documented = false;
        }
    }
    assert!(
        (20..40).contains(&names.len()),
        "{} primitives: {names:?}",
        names.len()
    );
}

/// Files that may use `unsafe`, with their reason in their first lines; a folder stands for all files below it.
const UNSAFE: &[&str] = &[
    "engine/cli/src/plugin/guard.rs",
    "engine/cpu/benches/",
    "engine/cpu/kernels/",
    "engine/cpu/src/",
    "engine/cpu/tests/",
    "engine/runtime/benches/",
    "engine/runtime/src/plugin/",
    "engine/runtime/src/weights/map.rs",
    "plugins/api/",
    "plugins/cuda/",
];

#[test]
fn unsafe_code_is_where_the_list_says() {
    let mut found = BTreeSet::new();
    for path in files("", &[".rs"]) {
        let name = shown(&path);
        if name != "tests/tests/tidy.rs" && read(&path).contains("unsafe_code,") {
            let folder = UNSAFE
                .iter()
                .find(|at| at.ends_with('/') && name.starts_with(**at));
            found.insert(folder.map_or(name, |folder| (*folder).to_owned()));
        }
    }
    assert_eq!(found.iter().collect::<Vec<_>>(), UNSAFE);
}

/// Which packages of the workspace a package's library may use: the table of
/// `engine/ARCHITECTURE.md`. Packages that see everything are absent.
const MAY_USE: &[(&str, &[&str])] = &[
    ("engine/graph", &[]),
    ("dsl", &["girih-graph"]),
    ("engine/transform", &["girih-graph"]),
    ("engine/plan", &["girih-graph"]),
    ("engine/runtime", &["girih-graph", "girih-plugin"]),
    ("plugins/api", &[]),
    ("plugins/assign", &["girih-plugin"]),
    (
        "plugins/cuda",
        &["girih-graph", "girih-plan", "girih-plugin"],
    ),
    ("plugins/template", &["girih-plugin"]),
    ("engine/cpu/kernels", &[]),
    (
        "engine/cpu",
        &[
            "girih-graph",
            "girih-kernels",
            "girih-plan",
            "girih-runtime",
        ],
    ),
];

#[test]
fn packages_use_only_what_the_table_allows() {
    for (folder, allowed) in MAY_USE {
        let manifest = read(&root().join(folder).join("Cargo.toml"));
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or("");
        let dependencies = dependencies.split("\n[").next().unwrap();
        for line in dependencies
            .lines()
            .filter(|line| line.starts_with("girih"))
        {
            let name = line.split([' ', '=', '.']).next().unwrap();
            assert!(allowed.contains(&name), "{folder} uses {name}");
        }
    }
}

#[test]
fn no_file_names_a_machine_or_a_registry() {
    // Built from parts, so that this file does not name them itself.
    let forbidden = [
        ["/wo", "rk/"].concat(),
        ["/ro", "ot/"].concat(),
        ["/ho", "me/"].concat(),
        ["index.", "crates.io"].concat(),
        ["pypi", ".org"].concat(),
    ];
    let endings = [
        ".rs", ".md", ".toml", ".girih", ".pest", ".snap", ".yml", ".svg", "run",
    ];
    let mut found = Vec::new();
    for path in files("", &endings) {
        if shown(&path).starts_with("tests/data/") {
            continue;
        }
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        for word in &forbidden {
            if text.contains(word.as_str()) {
                found.push(format!("{}: {word}", shown(&path)));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn files_have_a_header_and_one_question() {
    let mut bare = Vec::new();
    let mut vague = Vec::new();
    let mut long = Vec::new();
    for path in files("", &[".rs"]) {
        let (name, text) = (shown(&path), read(&path));
        if !text.trim_start().starts_with("//!") && !text.starts_with("#![") {
            bare.push(name.clone());
        }
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        if ["utils", "helpers", "common", "manager", "misc"].contains(&stem.as_str()) {
            vague.push(name.clone());
        }
        let lines = text.lines().count();
        if lines > 1000 {
            long.push(format!("{name}: {lines} lines"));
        }
    }
    assert!(
        bare.is_empty(),
        "files without a header:\n{}",
        bare.join("\n")
    );
    assert!(
        vague.is_empty(),
        "names that say nothing:\n{}",
        vague.join("\n")
    );
    assert!(
        long.is_empty(),
        "look for the second question in:\n{}",
        long.join("\n")
    );
}

#[test]
fn links_of_the_readme_lead_somewhere() {
    for page in [
        "README.md",
        "engine/ARCHITECTURE.md",
        "tests/data/README.md",
    ] {
        let text = read(&root().join(page));
        let folder = root().join(page).parent().unwrap().to_owned();
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if !target.starts_with("http") && !target.starts_with('#') {
                assert!(folder.join(target).exists(), "{page} leads to `{target}`");
            }
        }
    }
}
