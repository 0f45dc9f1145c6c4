//! Where diagnostics are collected: one for one mistake.

use std::collections::HashSet;

use super::{Code, Diagnostic, Severity};

/// Collects what the stages report.
///
/// A second diagnostic with the code and the primary place of an earlier one is
/// dropped: it is the same mistake seen again, for instance from another
/// instance of the same module.
#[derive(Clone, Debug, Default)]
pub struct Sink {
    reported: Vec<Diagnostic>,
    seen: HashSet<(Code, (u32, u32, u32))>,
}

impl Sink {
    /// An empty sink.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a diagnostic, unless the same was reported before.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        if let Some(span) = diagnostic.span()
            && !self.seen.insert((diagnostic.code, span.key()))
        {
            return;
        }
        self.reported.push(diagnostic);
    }

    /// Whether a mistake was reported, not only warnings and notes.
    pub fn has_errors(&self) -> bool {
        self.error_count() > 0
    }

    /// How many mistakes were reported.
    pub fn error_count(&self) -> usize {
        self.reported
            .iter()
            .filter(|found| found.severity == Severity::Error)
            .count()
    }

    /// Whether nothing at all was reported.
    pub fn is_empty(&self) -> bool {
        self.reported.is_empty()
    }

    /// In the order they were reported.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.reported
    }

    /// By file and place; those without a place first.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut all: Vec<_> = self.reported.iter().collect();
        all.sort_by_key(|found| found.span().map(|span| (span.key(), found.code)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::{FileId, Span};

    #[test]
    fn the_same_mistake_is_told_once() {
        let mut sink = Sink::new();
        let place = |start| Span::new(FileId(0), start, start + 1);
        for (code, start) in [(101, 5), (101, 5), (102, 5), (101, 1)] {
            sink.report(Diagnostic::error(Code::new(code), "m").at(place(start), ""));
        }
        assert_eq!(sink.error_count(), 3);
        let starts: Vec<_> = sink
            .sorted()
            .iter()
            .filter_map(|found| found.span())
            .map(|span| span.start)
            .collect();
        assert_eq!(starts, [1, 5, 5]);
    }
}
