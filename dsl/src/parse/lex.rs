//! Tokens and comments of a file, and slips in single characters.
//!
//! Characters that the language does not have are reported and replaced in a
//! copy of the text by what was meant, byte for byte, so that reading goes on
//! and every place stays what it was.

mod clean;
mod numbers;

use pest::Parser;

use super::grammar::{Girih, Rule};
use crate::ast::Comment;
use crate::diag::Diagnostic;
use crate::span::{FileId, Span};

/// A file cut into tokens.
pub(super) struct Lexed {
    /// Without comments, in order.
    pub(super) tokens: Vec<Token>,
    /// In order.
    pub(super) comments: Vec<Comment>,
    /// The text with foreign characters replaced; same length, same lines.
    pub(super) clean: String,
    /// Slips in characters, texts and numbers.
    pub(super) found: Vec<Diagnostic>,
}

/// A token of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: Kind,
    /// Whether it is the first of its line.
    pub(super) first: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Number,
    Text,
    /// A text that its line does not close.
    OpenText,
    Symbol,
    /// A character that is no part of the language.
    Stray,
}

impl Token {
    /// What stands there, in a part of the file that begins at `base`.
    pub(super) fn text(self, source: &str, base: usize) -> &str {
        let (start, end) = (self.start.checked_sub(base), self.end.checked_sub(base));
        start
            .zip(end)
            .and_then(|(start, end)| source.get(start..end))
            .unwrap_or("")
    }
}

/// Cuts a text into tokens.
pub(super) fn lex(file: FileId, source: &str) -> Lexed {
    let mut found = Vec::new();
    let (tokens, comments) = cut(file, source);
    let mut clean = clean::clean(file, source, &tokens, &mut found);
    let (mut tokens, comments) = if clean == source {
        (tokens, comments)
    } else {
        cut(file, &clean)
    };
    if numbers::check(file, &mut clean, &tokens, &mut found) {
        tokens = cut(file, &clean).0;
    }
    Lexed {
        tokens,
        comments,
        clean,
        found,
    }
}

fn cut(file: FileId, source: &str) -> (Vec<Token>, Vec<Comment>) {
    let (mut tokens, mut comments) = (Vec::new(), Vec::new());
    let pairs = Girih::parse(Rule::tokens, source).expect("every character is some token");
    let mut first = true;
    let mut done = 0;
    for pair in pairs.flat_map(pest::iterators::Pair::into_inner) {
        let (start, end) = (pair.as_span().start(), pair.as_span().end());
        first |= source[done..start].contains('\n');
        done = end;
        let kind = match pair.as_rule() {
            Rule::comment => {
                let text = pair.as_str().trim_end();
                let span = Span::new(file, start as u32, (start + text.len()) as u32);
                comments.push(Comment {
                    text: text.to_owned(),
                    span,
                    own_line: first,
                });
                continue;
            }
            Rule::EOI => continue,
            Rule::word => Kind::Word,
            Rule::number | Rule::digits => Kind::Number,
            Rule::text => Kind::Text,
            Rule::open_text => Kind::OpenText,
            Rule::stray => Kind::Stray,
            _ => Kind::Symbol,
        };
        tokens.push(Token {
            start,
            end,
            kind,
            first,
        });
        first = false;
    }
    (tokens, comments)
}
