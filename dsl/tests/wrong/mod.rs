//! Wrong files and what is said about them: a source, then its expected diagnostics as the last
//! comment block. What is run on a source belongs to the tests that use this.

use std::path::{Path, PathBuf};

/// Set to rewrite the expectations of the wrong files; read the difference afterwards.
pub(crate) const BLESS: &str = "GIRIH_BLESS";

/// Begins the last comment block of a wrong file.
const EXPECTED: &str = "# == errors\n";

/// The `.girih` files of a folder of this package, by name.
pub(crate) fn files(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder of the test files is there")
        .map(|entry| entry.expect("its entries are readable").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "girih")
        })
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a test file is text");
            (path, text)
        })
        .collect()
}

/// A wrong file without its expectations.
pub(crate) fn source_of(text: &str) -> &str {
    text.find(EXPECTED)
        .map_or(text, |at| &text[..at])
        .trim_end()
}

/// Checks that `found`, given name and source, says of each file of `folder` what the file expects.
pub(crate) fn check_wrong_files(folder: &str, found: impl Fn(&str, &str) -> Vec<String>) {
    let mut wrong = Vec::new();
    for (path, text) in files(folder) {
        let source = source_of(&text);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let found = found(&name, &format!("{source}\n"));
        let lines: String = found
            .join("\n\n")
            .lines()
            .map(|line| format!("# {line}").trim_end().to_owned() + "\n")
            .collect();
        let whole = format!("{source}\n\n{EXPECTED}{lines}");
        if std::env::var_os(BLESS).is_some() {
            std::fs::write(&path, whole).expect("a test file can be rewritten");
        } else if whole != text {
            wrong.push(format!("{name}: expected\n{text}\nbut found\n{whole}"));
        }
        if found.is_empty() {
            wrong.push(format!("{name}: nothing was found"));
        }
    }
    assert!(
        wrong.is_empty(),
        "set {BLESS} to accept:\n{}",
        wrong.join("\n")
    );
}

/// The example of a code's page that follows a word on its own line.
pub(crate) fn example<'a>(page: &'a str, word: &str) -> &'a str {
    let after = page
        .split(word)
        .nth(1)
        .unwrap_or_else(|| panic!("no `{word}` in\n{page}"));
    after
        .split("```girih\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("an example is a block of code")
}
