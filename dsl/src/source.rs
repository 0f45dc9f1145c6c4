//! The texts that are being read, and where a byte of them stands.
//!
//! A [`SourceMap`] owns every file of one check. Files are never removed, so a
//! [`Span`] stays meaningful as long as the map lives. Reading files from disk
//! is the loader's work, not done here.

use std::sync::Arc;

use crate::span::{FileId, Span};

/// Source files by [`FileId`].
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    /// Shared: a program begins with the files of another one.
    files: Vec<Arc<SourceFile>>,
}

#[derive(Debug)]
struct SourceFile {
    name: String,
    text: String,
    /// The first byte of every line.
    lines: Vec<u32>,
}

/// A place as a person counts: both from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The character of the line, from 1.
    pub column: usize,
}

impl SourceMap {
    /// A map without files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file under the name that diagnostics show.
    ///
    /// Offsets are 32 bits wide: of a text beyond 4 GiB only the beginning can
    /// be pointed at. The parser refuses far smaller ones.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        let text = text.into();
        let mut lines = vec![0];
        for (offset, byte) in text.bytes().enumerate() {
            if byte == b'\n' {
                match u32::try_from(offset + 1) {
                    Ok(start) => lines.push(start),
                    Err(_) => break,
                }
            }
        }
        let file = FileId(u32::try_from(self.files.len()).expect("fewer than 2^32 files"));
        self.files.push(Arc::new(SourceFile {
            name: name.into(),
            text,
            lines,
        }));
        file
    }

    /// The name a file was added under; empty for a file of another map.
    pub fn name(&self, file: FileId) -> &str {
        self.file(file).map_or("", |found| &found.name)
    }

    /// The whole text of a file; empty for a file of another map.
    pub fn text(&self, file: FileId) -> &str {
        self.file(file).map_or("", |found| &found.text)
    }

    /// The files in the order they were added.
    pub fn files(&self) -> impl Iterator<Item = FileId> + use<> {
        (0..self.files.len()).map(|index| FileId(index as u32))
    }

    /// What stands at `span`; empty where the span does not lie in its file.
    pub fn slice(&self, span: Span) -> &str {
        self.text(span.file)
            .get(span.start as usize..span.end as usize)
            .unwrap_or("")
    }

    /// Line and column where `span` begins.
    pub fn position(&self, span: Span) -> Position {
        self.position_of(span.file, span.start)
    }

    /// Line and column of a byte. Past the end it is the end of the text.
    pub fn position_of(&self, file: FileId, offset: u32) -> Position {
        let Some(found) = self.file(file) else {
            return Position { line: 1, column: 1 };
        };
        let line = found.lines.partition_point(|&start| start <= offset).max(1);
        let start = found.lines[line - 1] as usize;
        let mut end = (offset as usize).min(found.text.len());
        while !found.text.is_char_boundary(end) {
            end -= 1;
        }
        let column = found
            .text
            .get(start..end)
            .map_or(1, |before| before.chars().count() + 1);
        Position { line, column }
    }

    fn file(&self, file: FileId) -> Option<&SourceFile> {
        self.files.get(file.0 as usize).map(Arc::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters_from_one() {
        let mut sources = SourceMap::new();
        let file = sources.add("a.girih", "ab\nπ x\n");
        let check = |offset, line, column| {
            assert_eq!(sources.position_of(file, offset), Position { line, column });
        };
        check(0, 1, 1);
        check(2, 1, 3);
        check(3, 2, 1);
        check(5, 2, 2);
        check(6, 2, 3);
        check(8, 3, 1);
        check(999, 3, 1);
        assert_eq!(
            sources.position_of(FileId(7), 3),
            Position { line: 1, column: 1 }
        );
        assert_eq!(sources.slice(Span::new(file, 3, 5)), "π");
        assert_eq!(sources.slice(Span::new(file, 4, 5)), "");
    }
}
