//! What is said to a person about what they wrote.
//!
//! A [`Diagnostic`] is data: code, message, labelled places, notes, help. Every
//! stage reports to a [`Sink`] and goes on. [`render()`] turns one into text, and
//! [`explain`] finds the page of a code. What may be said belongs to the stages.

mod code;
mod render;
mod sink;

pub use code::{Code, explain};
pub use render::{Colors, render, render_with};
pub use sink::Sink;

use crate::span::Span;

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Which kind of mistake; has a page.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// What is wrong, lower case, no period, code in backticks.
    pub message: String,
    /// What is true at each place. The primary one first.
    pub labels: Vec<Label>,
    /// Facts that belong to no place.
    pub notes: Vec<String>,
    /// What to write instead.
    pub help: Option<String>,
}

/// A place and what is true there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What; may be empty.
    pub text: String,
    /// Whether the mistake is here (`^`) or only its reason (`-`).
    pub primary: bool,
}

/// How bad a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Probably not meant.
    Warning,
    /// The file means nothing as it stands.
    Error,
}

impl Diagnostic {
    /// A mistake. Places, notes and help are chained on.
    ///
    /// ```
    /// # use girih_dsl::{diag::{Code, Diagnostic}, span::{FileId, Span}};
    /// # let (here, there) = (Span::new(FileId(0), 0, 1), Span::new(FileId(0), 2, 3));
    /// let diagnostic = Diagnostic::error(Code::new(301), "axis `d` is 512 in `x` and 256 in `w`")
    ///     .at(here, "has `d` = 256")
    ///     .also(there, "256, declared here")
    ///     .help("declare `w: f32[d, e]`");
    /// assert_eq!(diagnostic.labels.len(), 2);
    /// ```
    #[must_use]
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, message)
    }

    /// Something that was probably not meant.
    #[must_use]
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, message)
    }

    /// Something worth knowing.
    #[must_use]
    pub fn info(code: Code, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Note, message)
    }

    fn new(code: Code, severity: Severity, message: impl Into<String>) -> Self {
        Self {
            code,
            severity,
            message: message.into(),
            labels: Vec::new(),
            notes: Vec::new(),
            help: None,
        }
    }

    /// Where the mistake is; the label may be empty.
    #[must_use]
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.labels.push(Label {
            span,
            text: label.into(),
            primary: true,
        });
        self
    }

    /// A place that explains the mistake.
    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.labels.push(Label {
            span,
            text: label.into(),
            primary: false,
        });
        self
    }

    /// A fact that belongs to no place.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// What to write instead.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// The first primary place.
    pub fn span(&self) -> Option<Span> {
        self.labels
            .iter()
            .find(|label| label.primary)
            .map(|label| label.span)
    }
}
