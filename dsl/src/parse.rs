//! Text to syntax tree.
//!
//! [`parse_file`] never fails: it reports what is wrong and returns what could be
//! read. A file is cut into tokens (`lex`), then into items (`split`); each item
//! is recognized alone by the grammar and built (`build`, `item`, `block`, `expr`,
//! `run`). Where the grammar stops, `failure` says why; then the statement or
//! member at fault is blanked and the item is tried again, so that one mistake
//! hides no other. An item in which anything was found is left out of the tree,
//! and its name is kept in [`ast::File::broken`].
//!
//! Nothing a file says can exhaust the stack: its size, the depth of its brackets
//! and the depth of its expressions are bounded, each by a diagnostic.

mod block;
mod build;
mod chain;
mod code;
mod expr;
mod failure;
mod grammar;
mod item;
mod lex;
mod run;
mod slip;
mod split;

use pest::Parser;

use crate::ast;
use crate::diag::{Diagnostic, Sink};
use crate::source::SourceMap;
use crate::span::{FileId, Span};
use build::Builder;
use grammar::{Girih, Rule};
use lex::{Kind, Lexed};
use split::{Outline, Part};

/// The largest file that is read, in bytes: some thirty thousand lines.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// How often an item is tried again after a statement was blanked.
const MAX_RETRIES: usize = 24;

/// Reads one file.
///
/// What is wrong goes to `sink`; the tree holds every item in which nothing was
/// found. A file larger than [`MAX_FILE_BYTES`] is refused with a diagnostic.
pub fn parse_file(sources: &SourceMap, file: FileId, sink: &mut Sink) -> ast::File {
    let source = sources.text(file);
    if source.len() > MAX_FILE_BYTES {
        sink.report(slip::too_large(
            Span::new(file, 0, 0),
            source.len(),
            MAX_FILE_BYTES,
        ));
        return ast::File::default();
    }
    let Lexed {
        tokens,
        comments,
        clean,
        found: mut lexical,
    } = lex::lex(file, source);
    lexical.sort_by_key(|found| found.span().map(Span::key));
    let outline = Outline::new(file, &clean, &tokens);
    let has_t = (1..tokens.len()).any(|at| outline.text(at) == ":" && outline.text(at - 1) == "T");
    let mut reader = Reader {
        file,
        clean: &clean,
        tokens: &tokens,
        outline: &outline,
        has_t,
        lexical,
    };
    let mut tree = ast::File {
        comments,
        ..ast::File::default()
    };
    let mut diagnostics: Vec<_> = reader.lexical.clone();
    diagnostics.extend(outline.found.iter().cloned());
    for (place, &part) in outline.parts.iter().enumerate() {
        let before = tree.items.len();
        let found = if part.unbalanced {
            Vec::new()
        } else if part.is_item {
            reader.item(part, &mut tree)
        } else {
            reader.between(part, place == 0, &mut tree)
        };
        let broken = part.unbalanced
            || !found.is_empty()
            || tree.items.len() == before
            || reader.touches_lexical(part);
        if broken && part.is_item {
            tree.items.truncate(before);
            tree.broken.extend(reader.declared(part));
        }
        diagnostics.extend(found);
    }
    diagnostics.sort_by_key(|found| found.span().map(Span::key));
    for diagnostic in diagnostics {
        sink.report(diagnostic);
    }
    attach_docs(source, &mut tree);
    tree
}

/// The brackets of a text that fit, by the opening one: byte places of both.
pub(crate) fn brackets(file: FileId, source: &str) -> Vec<(usize, usize)> {
    let lexed = lex::lex(file, source);
    let outline = Outline::new(file, &lexed.clean, &lexed.tokens);
    let pair = |token: usize| {
        let close = outline.partner(token).filter(|&close| close > token)?;
        Some((lexed.tokens[token].start, lexed.tokens[close].start))
    };
    (0..lexed.tokens.len()).filter_map(pair).collect()
}

/// Reads the parts of one file.
struct Reader<'a> {
    file: FileId,
    clean: &'a str,
    tokens: &'a [lex::Token],
    outline: &'a Outline<'a>,
    /// Whether some record, parameter or module is named `T`.
    has_t: bool,
    /// Slips in characters, by place.
    lexical: Vec<Diagnostic>,
}

impl Reader<'_> {
    /// Reads an item; adds it to the tree if nothing was found.
    fn item(&mut self, part: Part, tree: &mut ast::File) -> Vec<Diagnostic> {
        let (start, end) = self.bytes(part.first, part.end);
        let mut text = self.clean[start..end].to_owned();
        let mut found: Vec<Diagnostic> = Vec::new();
        let mut blanked: Option<(usize, usize)> = None;
        for _ in 0..MAX_RETRIES {
            let error = match Girih::parse(Rule::one_item, &text) {
                Ok(mut pairs) => {
                    let pair = pairs.next().expect("the grammar says one item");
                    let mut builder =
                        Builder::new(self.file, start, &text, self.tokens, self.has_t);
                    let span = builder.span(&pair);
                    let kind = builder.item(pair);
                    let slips = !builder.found.is_empty();
                    let told = |slip: &Diagnostic| {
                        slip.span().is_some_and(|span| self.is_lexical_line(span))
                    };
                    found.extend(
                        builder
                            .found
                            .into_iter()
                            .filter(|slip| self.lexical.is_empty() || !told(slip)),
                    );
                    if found.is_empty() && !slips {
                        tree.items.push(ast::Item {
                            doc: None,
                            kind,
                            span,
                        });
                    }
                    return found;
                }
                Err(error) => error,
            };
            let at = start + failure::place(&error);
            let failure = failure::explain(self.outline, part, at, &error);
            let chunk = failure.chunk.filter(|&chunk| blanked != Some(chunk));
            if !self.is_lexical(failure.chunk.unwrap_or((part.first, part.end))) {
                found.push(failure.diagnostic);
            }
            let Some((first, after)) = chunk else { break };
            blanked = chunk;
            let (from, to) = self.bytes(first, after);
            blank(&mut text, from - start, to - start);
        }
        found
    }

    /// What stands between items: `girih 0.1` at the beginning, otherwise a mistake.
    fn between(&mut self, part: Part, is_first: bool, tree: &mut ast::File) -> Vec<Diagnostic> {
        let outline = self.outline;
        let mut first = part.first;
        if is_first && outline.text(first) == "girih" {
            let version = first + 1;
            if version < part.end && outline.kind(version) == Some(Kind::Number) {
                let text = outline.text(version).to_owned();
                tree.edition = Some(ast::Name {
                    text,
                    span: outline.span(version),
                });
                first += 2;
            } else {
                return vec![slip::edition(outline.span(first))];
            }
        }
        if first >= part.end || self.is_lexical((first, part.end)) {
            return Vec::new();
        }
        vec![failure::not_an_item(outline, first, part.end)]
    }

    /// The name that an item declares.
    fn declared(&self, part: Part) -> Option<ast::Name> {
        let words = part.first..part.end;
        let head = match self.outline.text(part.first) {
            "@" => words
                .into_iter()
                .find(|at| self.outline.text(*at) == "fn")?,
            _ => part.first,
        };
        let word = head + 1;
        let is_word = word < part.end && self.outline.kind(word) == Some(Kind::Word);
        is_word.then(|| ast::Name {
            text: self.outline.text(word).to_owned(),
            span: self.outline.span(word),
        })
    }

    fn bytes(&self, first: usize, after: usize) -> (usize, usize) {
        let end = after.checked_sub(1).map_or(0, |last| self.tokens[last].end);
        (self.tokens[first].start, end)
    }

    fn touches_lexical(&self, part: Part) -> bool {
        part.end > part.first && self.is_lexical((part.first, part.end))
    }

    /// Whether a slip in a character lies among these tokens: what follows from it is
    /// not told again.
    fn is_lexical(&self, (first, after): (usize, usize)) -> bool {
        let start = first
            .checked_sub(1)
            .map_or(0, |before| self.tokens[before].end);
        let end = self
            .tokens
            .get(after)
            .map_or(self.clean.len(), |next| next.start);
        let place = |found: &Diagnostic| found.span().map_or(0, |span| span.start as usize);
        let next = self.lexical.partition_point(|found| place(found) < start);
        self.lexical
            .get(next)
            .is_some_and(|found| place(found) < end)
    }

    /// Whether a slip in a character stands on the line of a place.
    fn is_lexical_line(&self, span: Span) -> bool {
        let at = (span.start as usize).min(self.clean.len());
        let start = self.clean[..at].rfind('\n').map_or(0, |end| end + 1);
        let end = self.clean[at..]
            .find('\n')
            .map_or(self.clean.len(), |end| at + end);
        let place = |found: &Diagnostic| found.span().map_or(0, |span| span.start as usize);
        let next = self.lexical.partition_point(|found| place(found) < start);
        self.lexical
            .get(next)
            .is_some_and(|found| place(found) < end)
    }
}

/// Replaces a range by spaces; lines stay.
fn blank(text: &mut String, start: usize, end: usize) {
    let spaces: String = text[start..end]
        .bytes()
        .map(|byte| if byte == b'\n' { '\n' } else { ' ' })
        .collect();
    text.replace_range(start..end, &spaces);
}

/// Gives items and members the `##` lines right before them.
fn attach_docs(source: &str, tree: &mut ast::File) {
    let docs: Vec<_> = tree
        .comments
        .iter()
        .filter(|comment| comment.own_line && comment.text.starts_with("##"))
        .collect();
    let doc_before = |span: Span| {
        let mut start = span.start as usize;
        let mut lines = Vec::new();
        let mut next = docs.partition_point(|comment| comment.span.start < span.start);
        while next > 0 {
            let comment = docs[next - 1];
            let between = &source[comment.span.end as usize..start];
            if !between.trim().is_empty() || between.matches('\n').count() != 1 {
                break;
            }
            lines.push(
                comment.text[2..]
                    .strip_prefix(' ')
                    .unwrap_or(&comment.text[2..]),
            );
            start = comment.span.start as usize;
            next -= 1;
        }
        lines.reverse();
        (!lines.is_empty()).then(|| lines.join("\n"))
    };
    for item in &mut tree.items {
        item.doc = doc_before(item.span);
        if let ast::ItemKind::Module(module) = &mut item.kind {
            for member in &mut module.members {
                member.doc = doc_before(member.span);
            }
        }
    }
}
