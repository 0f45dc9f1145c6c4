//! The syntax as a whole: examples, wrong files, mutated files.

#[path = "syntax/deep.rs"]
mod deep;
#[path = "syntax/mutate.rs"]
mod mutate;
#[path = "syntax/pages.rs"]
mod pages;
#[path = "syntax/trees.rs"]
mod trees;
mod wrong;

use girih_dsl::ast;
use girih_dsl::diag::{Sink, render};
use girih_dsl::format::format_file;
use girih_dsl::parse::parse_file;
use girih_dsl::source::SourceMap;
use wrong::{BLESS, check_wrong_files, files, source_of};

/// The tree of a text and what is said about it.
fn read(name: &str, text: &str) -> (ast::File, Vec<String>) {
    let mut sources = SourceMap::new();
    let file = sources.add(name, text);
    let mut sink = Sink::new();
    let tree = parse_file(&sources, file, &mut sink);
    (
        tree,
        sink.sorted()
            .iter()
            .map(|found| render(&sources, found))
            .collect(),
    )
}

#[test]
fn examples_are_read() {
    for (path, text) in files("tests/syntax/examples") {
        let (tree, found) = read(&path.file_name().unwrap().to_string_lossy(), &text);
        assert!(found.is_empty(), "{}", found.join("\n\n"));
        assert!(!tree.items.is_empty());
    }
}

#[test]
fn wrong_files_are_explained() {
    check_wrong_files("../tests/suite/lang/syntax", |name, text| {
        read(name, text).1
    });
}

/// Checks that a text is formatted to itself after one round, keeps its tree and its comments.
fn check_format(name: &str, text: &str) -> String {
    let formatted = format(name, text);
    assert_eq!(
        format(name, &formatted),
        formatted,
        "{name}: formatting again changes the text"
    );
    let (before, _) = read(name, text);
    let (after, _) = read(name, &formatted);
    assert_eq!(
        before.items, after.items,
        "{name}: formatting changes the tree\n{formatted}"
    );
    assert_eq!(before.edition, after.edition, "{name}");
    assert_eq!(
        words_of_comments(&before),
        words_of_comments(&after),
        "{name}\n{formatted}"
    );
    formatted
}

fn format(name: &str, text: &str) -> String {
    let mut sources = SourceMap::new();
    let file = sources.add(name, text);
    format_file(&sources, file).unwrap_or_else(|sink| {
        let found: Vec<_> = sink
            .sorted()
            .iter()
            .map(|found| render(&sources, found))
            .collect();
        panic!("{name}: {}\n{text}", found.join("\n\n"))
    })
}

/// What the comments say, in any order.
fn words_of_comments(tree: &ast::File) -> Vec<String> {
    let mut words: Vec<_> = tree
        .comments
        .iter()
        .map(|comment| comment.text.trim_start_matches('#').trim().to_owned())
        .collect();
    words.sort();
    words
}

#[test]
fn examples_are_formatted() {
    for (path, text) in files("tests/syntax/examples") {
        let name = path.file_name().unwrap().to_string_lossy();
        let formatted = check_format(&name, &text);
        if std::env::var_os(BLESS).is_some() {
            std::fs::write(&path, formatted).unwrap();
        } else {
            assert_eq!(
                formatted, text,
                "{name} is not formatted; set {BLESS} to rewrite it"
            );
        }
    }
}

#[test]
fn trees_are_printed() {
    let (path, text) = files("tests/syntax/examples")
        .into_iter()
        .find(|(path, _)| path.ends_with("gpt2.girih"))
        .unwrap();
    let (tree, _) = read("gpt2.girih", &text);
    let printed = ast::print_syntax(&tree);
    let path = path.with_extension("syntax");
    if std::env::var_os(BLESS).is_some() {
        std::fs::write(&path, printed).unwrap();
    } else {
        assert_eq!(printed, std::fs::read_to_string(&path).unwrap());
    }
}
