//! From the pairs of the grammar to the syntax tree: what every construct needs.
//!
//! A [`Builder`] builds one item. The grammar accepts some foreign spellings; the
//! builder reports them and builds what was probably meant. The caller drops an
//! item for which anything was reported.

use pest::iterators::{Pair, Pairs};

use super::code;
use super::grammar::Rule;
use super::lex::Token;
use crate::ast::{Name, Text};
use crate::diag::Diagnostic;
use crate::span::{FileId, Span};

/// The deepest tree, counted in expressions. Everything that walks trees by
/// recursion relies on it.
pub(super) const MAX_TREE: usize = 256;

/// Builds the tree of one item.
pub(super) struct Builder<'s> {
    file: FileId,
    /// Where the parsed text begins in the file.
    base: usize,
    /// The parsed text.
    pub(super) source: &'s str,
    /// The tokens of the whole file, without comments.
    tokens: &'s [Token],
    /// Whether some record, parameter or module of this file is named `T`.
    pub(super) has_t: bool,
    /// Expressions around the one that is being built.
    pub(super) depth: usize,
    /// The rest of a line that begins with a mistake: nothing more is told about it.
    hushed: Option<(u32, u32)>,
    /// What was found.
    pub(super) found: Vec<Diagnostic>,
}

impl<'s> Builder<'s> {
    /// `base` is where `source` begins in the file of the `tokens`.
    pub(super) fn new(
        file: FileId,
        base: usize,
        source: &'s str,
        tokens: &'s [Token],
        has_t: bool,
    ) -> Self {
        Self {
            file,
            base,
            source,
            tokens,
            has_t,
            depth: 0,
            hushed: None,
            found: Vec::new(),
        }
    }

    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        let hushed = self
            .hushed
            .zip(diagnostic.span())
            .is_some_and(|((start, end), span)| (start..end).contains(&span.start));
        if !hushed {
            self.found.push(diagnostic);
        }
    }

    /// Tells nothing more about this item after this place.
    pub(super) fn hush_all(&mut self, span: Span) {
        self.hushed = Some((span.end, u32::MAX));
    }

    /// Tells nothing more about the line that goes on after this place.
    pub(super) fn hush(&mut self, span: Span) {
        if self.hushed.is_some_and(|(_, end)| end == u32::MAX) {
            return;
        }
        let rest = self
            .source
            .get(span.end as usize - self.base..)
            .unwrap_or("");
        let length = rest.find('\n').unwrap_or(rest.len());
        self.hushed = Some((span.end, span.end + length as u32));
    }

    /// The place of a pair, without white space and comments at its end.
    pub(super) fn span(&self, pair: &Pair<'_, Rule>) -> Span {
        let (start, end) = (pair.as_span().start(), pair.as_span().end());
        let after = self
            .tokens
            .partition_point(|token| token.start < self.base + end);
        let last = after.checked_sub(1).map_or(0, |last| self.tokens[last].end);
        let end = last.saturating_sub(self.base).clamp(start, end);
        self.span_of(start, end)
    }

    /// A byte range of the parsed text.
    pub(super) fn span_of(&self, start: usize, end: usize) -> Span {
        Span::new(
            self.file,
            (self.base + start) as u32,
            (self.base + end) as u32,
        )
    }

    /// What stands at a span.
    pub(super) fn slice(&self, span: Span) -> &'s str {
        let place = |offset: u32| (offset as usize).saturating_sub(self.base);
        self.source
            .get(place(span.start)..place(span.end))
            .unwrap_or("")
    }

    /// Whether a line end stands between two places.
    pub(super) fn line_between(&self, first: Span, second: Span) -> bool {
        let between = Span {
            start: first.end,
            end: second.start.max(first.end),
            ..first
        };
        self.slice(between).contains('\n')
    }

    /// Any word.
    pub(super) fn word(&self, pair: &Pair<'_, Rule>) -> Name {
        Name {
            text: pair.as_str().to_owned(),
            span: self.span(pair),
        }
    }

    /// A word that expressions are going to use, hence not a reserved one.
    pub(super) fn declared(&mut self, pair: &Pair<'_, Rule>) -> Name {
        let name = self.word(pair);
        if is_reserved(&name.text) {
            let help = match elementwise(&name.text) {
                Some(_) => format!("take another name, such as `{}_of_x`", name.text),
                None => format!("take another name, such as `{}_`", name.text),
            };
            self.report(
                Diagnostic::error(
                    code::RESERVED,
                    format!(
                        "`{}` is a word of the language and cannot be a name",
                        name.text
                    ),
                )
                .at(name.span, "declared here")
                .help(help),
            );
        }
        name
    }

    /// A text with its escapes resolved.
    pub(super) fn text(&mut self, pair: &Pair<'_, Rule>) -> Text {
        let span = self.span(pair);
        let inner = &pair.as_str()[1..pair.as_str().len() - 1];
        let mut text = String::with_capacity(inner.len());
        let mut chars = inner.char_indices();
        while let Some((at, c)) = chars.next() {
            if c != '\\' {
                text.push(c);
                continue;
            }
            match chars.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                Some((_, other)) => {
                    let start = pair.as_span().start() + 1 + at;
                    let place = self.span_of(start, start + 1 + other.len_utf8());
                    self.report(
                        Diagnostic::error(code::TEXT, format!("`\\{other}` is not an escape"))
                            .at(place, "")
                            .help("the escapes are `\\n`, `\\t`, `\\\"` and `\\\\`; a backslash itself is `\\\\`"),
                    );
                }
                None => {}
            }
        }
        Text { text, span }
    }
}

/// The parts of a pair without keywords and punctuation.
pub(super) struct Parts<'i> {
    pairs: std::iter::Peekable<Pairs<'i, Rule>>,
}

impl<'i> Parts<'i> {
    pub(super) fn of(pair: Pair<'i, Rule>) -> Self {
        let mut parts = Self {
            pairs: pair.into_inner().peekable(),
        };
        parts.skip_tokens();
        parts
    }

    /// The next part, which the grammar says is there.
    pub(super) fn part(&mut self) -> Pair<'i, Rule> {
        self.next().expect("the grammar gives every rule its parts")
    }

    /// The next part if it is of this rule.
    pub(super) fn maybe(&mut self, rule: Rule) -> Option<Pair<'i, Rule>> {
        self.is(rule).then(|| self.part())
    }

    /// Whether the next part is of this rule.
    pub(super) fn is(&mut self, rule: Rule) -> bool {
        self.pairs.peek().is_some_and(|pair| pair.as_rule() == rule)
    }

    /// The next parts of this rule.
    pub(super) fn all(&mut self, rule: Rule) -> Vec<Pair<'i, Rule>> {
        std::iter::from_fn(|| self.maybe(rule)).collect()
    }

    fn skip_tokens(&mut self) {
        while self
            .pairs
            .peek()
            .is_some_and(|pair| is_token(pair.as_rule()))
        {
            self.pairs.next();
        }
    }
}

impl<'i> Iterator for Parts<'i> {
    type Item = Pair<'i, Rule>;

    fn next(&mut self) -> Option<Self::Item> {
        let part = self.pairs.next();
        self.skip_tokens();
        part
    }
}

/// The only part of a pair.
pub(super) fn only(pair: Pair<'_, Rule>) -> Pair<'_, Rule> {
    Parts::of(pair).part()
}

/// Keywords and punctuation: the grammar lists them together.
fn is_token(rule: Rule) -> bool {
    (Rule::kw_add..=Rule::kw_within).contains(&rule)
        || (Rule::assign..=Rule::b_close).contains(&rule)
        || rule == Rule::EOI
}

/// Whether a word cannot be read as a name in expressions.
pub(super) fn is_reserved(word: &str) -> bool {
    const WORDS: [&str; 13] = [
        "where",
        "and",
        "or",
        "not",
        "in",
        "if",
        "then",
        "else",
        "true",
        "false",
        "return",
        "recurrence",
        "route",
    ];
    WORDS.contains(&word) || is_reducer(word)
}

pub(super) fn is_reducer(word: &str) -> bool {
    crate::ast::Reducer::ALL
        .iter()
        .any(|reducer| reducer.word() == word)
}

/// The elementwise function that a reducer called with two values was meant to be.
pub(super) fn elementwise(reducer: &str) -> Option<&'static str> {
    match reducer {
        "max" => Some("maximum"),
        "min" => Some("minimum"),
        _ => None,
    }
}
