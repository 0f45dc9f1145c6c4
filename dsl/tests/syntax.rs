//! The syntax as a whole: examples, wrong files, mutated files.

use girih_dsl::diag::{Sink, render};
use girih_dsl::parse::parse_file;
use girih_dsl::source::SourceMap;

#[test]
fn examples_are_read() {
    for entry in std::fs::read_dir("tests/syntax/examples").unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut sources = SourceMap::new();
        let file = sources.add(path.file_name().unwrap().to_string_lossy(), text);
        let mut sink = Sink::new();
        let tree = parse_file(&sources, file, &mut sink);
        let found: Vec<_> = sink
            .sorted()
            .iter()
            .map(|found| render(&sources, found))
            .collect();
        assert!(found.is_empty(), "{}", found.join("\n\n"));
        assert!(!tree.items.is_empty());
    }
}
