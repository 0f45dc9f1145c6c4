//! Diagnostics as text.
//!
//! The only place that knows how a diagnostic looks. Control characters of a
//! hostile source never reach the terminal (`annotate-snippets` replaces them);
//! spans outside their text are moved into it.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Renderer, Snippet};

use super::{Diagnostic, Severity};
use crate::source::SourceMap;
use crate::span::{FileId, Span};

/// Whether ANSI colors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Colors {
    /// Plain text.
    #[default]
    No,
    /// Colors of a terminal.
    Yes,
}

/// The diagnostic as plain text, without a line end after the last line.
pub fn render(sources: &SourceMap, diagnostic: &Diagnostic) -> String {
    render_with(sources, diagnostic, Colors::No)
}

/// The diagnostic as text, with or without colors.
pub fn render_with(sources: &SourceMap, diagnostic: &Diagnostic, colors: Colors) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = level
        .primary_title(&diagnostic.message)
        .id(diagnostic.code.to_string());
    let mut group = Group::with_title(title);
    for file in files(diagnostic) {
        group = group.element(snippet(sources, diagnostic, file));
    }
    let notes = diagnostic
        .notes
        .iter()
        .map(|text| Level::NOTE.message(text));
    let help = diagnostic.help.iter().map(|text| Level::HELP.message(text));
    group = group.elements(notes.chain(help).map(Element::from));
    let renderer = match colors {
        Colors::No => Renderer::plain(),
        Colors::Yes => Renderer::styled(),
    };
    let text = renderer.render(&[group]);
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// The files of the labels: that of the primary label first.
fn files(diagnostic: &Diagnostic) -> Vec<FileId> {
    let mut files: Vec<_> = diagnostic
        .span()
        .map(|span| span.file)
        .into_iter()
        .collect();
    for label in &diagnostic.labels {
        if !files.contains(&label.span.file) {
            files.push(label.span.file);
        }
    }
    files
}

fn snippet<'a>(
    sources: &'a SourceMap,
    diagnostic: &'a Diagnostic,
    file: FileId,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let text = sources.text(file);
    let annotations = diagnostic
        .labels
        .iter()
        .filter(|label| label.span.file == file)
        .map(|label| {
            let kind = if label.primary {
                AnnotationKind::Primary
            } else {
                AnnotationKind::Context
            };
            let annotation = kind.span(range_within(text, label.span));
            if label.text.is_empty() {
                annotation
            } else {
                annotation.label(&label.text)
            }
        });
    Snippet::source(text)
        .path(sources.name(file))
        .annotations(annotations)
}

/// The span as a range of whole characters of `text`.
fn range_within(text: &str, span: Span) -> Range<usize> {
    let place = |offset: u32| {
        let mut place = (offset as usize).min(text.len());
        while !text.is_char_boundary(place) {
            place -= 1;
        }
        place
    };
    let (start, end) = (place(span.start), place(span.end));
    start..end.max(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Code;

    #[test]
    fn a_diagnostic_shows_cause_origin_and_remedy() {
        let text = "axis t: time\nmodule Gated(d: axis) {\n  axis e = 1024\n  \
                    param w: f32[d = 256, e]\n  forward(x: f32[t, d]) -> f32[t, e] {\n    \
                    h[t, e] = sum(d) x * w\n    return h\n  }\n}\n";
        let mut sources = SourceMap::new();
        let file = sources.add("models/gated.girih", text);
        let place = |from: &str, what: &str| {
            let base = text.find(from).unwrap();
            let start = base + text[base..].find(what).unwrap();
            Span::new(file, start as u32, (start + what.len()) as u32)
        };
        let diagnostic = Diagnostic::error(Code::new(301), "axis `d` is 512 in `x` and 256 in `w`")
            .at(place("w\n", "w"), "has `d` = 256")
            .also(place("param", "d = 256"), "256, declared here")
            .also(place("x * w", "x"), "has `d` = 512, from input `x`")
            .help("declare `w: f32[d, e]`, or bind another axis: `w[d = …]`");
        let expected = "\
error[E0301]: axis `d` is 512 in `x` and 256 in `w`
 --> models/gated.girih:6:26
  |
4 |   param w: f32[d = 256, e]
  |                ------- 256, declared here
5 |   forward(x: f32[t, d]) -> f32[t, e] {
6 |     h[t, e] = sum(d) x * w
  |                      -   ^ has `d` = 256
  |                      |
  |                      has `d` = 512, from input `x`
  |
  = help: declare `w: f32[d, e]`, or bind another axis: `w[d = …]`";
        assert_eq!(render(&sources, &diagnostic), expected);
    }

    #[test]
    fn spans_outside_the_text_are_moved_into_it() {
        let mut sources = SourceMap::new();
        let file = sources.add("a.girih", "π");
        for (start, end) in [(0, 99), (1, 1), (2, 2), (99, 3), (7, 9)] {
            let diagnostic =
                Diagnostic::error(Code::new(101), "m").at(Span::new(file, start, end), "here");
            assert!(render(&sources, &diagnostic).contains("here"));
        }
        let elsewhere = Diagnostic::error(Code::new(101), "m").at(Span::new(FileId(9), 0, 1), "x");
        assert!(render(&sources, &elsewhere).contains("error[E0101]: m"));
    }
}
