//! The canonical text of a file.
//!
//! [`format_file`] keeps every comment, is idempotent, and never changes the tree:
//! what it prints parses to what was read. Two spaces of indentation, a hundred
//! columns, at most one blank line where there was one, `=` aligned in runs of
//! short declarations. A file with mistakes is not touched.
//!
//! Comments stay at the statement, member, entry or argument they stand at; one in
//! the middle of an operator chain moves before its statement.

mod block;
mod comments;
mod doc;
mod expr;
mod item;
mod lines;
mod list;
mod run;

use crate::ast;
use crate::diag::Sink;
use crate::parse::{brackets, parse_file};
use crate::source::SourceMap;
use crate::span::{FileId, Span};
use comments::Comments;
use doc::Doc;
use lines::{Align, Lines};

/// The longest line that is written where it can be avoided, in characters.
const WIDTH: usize = 100;

/// Files with brackets nested deeper get no parentheses that they do not need: the parser
/// bounds nesting.
const MOST_NESTING: usize = 32;

/// The canonical text of a file, or what is wrong with its syntax.
pub fn format_file(sources: &SourceMap, file: FileId) -> Result<String, Sink> {
    let mut sink = Sink::new();
    let tree = parse_file(sources, file, &mut sink);
    if sink.has_errors() {
        return Err(sink);
    }
    let source = sources.text(file);
    let mut printer = Printer::new(source, &tree.comments, brackets(file, source));
    printer.file(&tree);
    Ok(printer.lines.finish())
}

/// The canonical text of a tree, with its `##` lines and without other comments.
pub fn format_tree(tree: &ast::File) -> String {
    let mut printer = Printer::new("", &[], Vec::new());
    printer.docs = true;
    printer.file(tree);
    printer.lines.finish()
}

/// Writes a tree.
struct Printer<'a> {
    source: &'a str,
    comments: Comments<'a>,
    /// Opening and closing brackets of the source, by the opening one.
    brackets: Vec<(usize, usize)>,
    /// Whether `##` lines come from the tree and not from the comments.
    docs: bool,
    /// Whether parentheses are written that only help a reader.
    clear: bool,
    lines: Lines,
    /// Where the last thing that was written ends in the source.
    done: usize,
    /// Whether something was written in the current braces.
    begun: bool,
    /// Comments before the braces whose head is being built.
    held: Vec<comments::Found<'a>>,
}

impl<'a> Printer<'a> {
    fn new(source: &'a str, comments: &'a [ast::Comment], brackets: Vec<(usize, usize)>) -> Self {
        Self {
            source,
            comments: Comments::new(source, comments),
            docs: false,
            clear: nesting(&brackets) < MOST_NESTING,
            brackets,
            lines: Lines::default(),
            done: 0,
            begun: false,
            held: Vec::new(),
        }
    }

    fn file(&mut self, tree: &ast::File) {
        if let Some(edition) = &tree.edition {
            self.element(edition.span, None, |_| {
                Doc::text(format!("girih {}", edition.text))
            });
        }
        let mut before: Option<&ast::ItemKind> = None;
        for item in &tree.items {
            if before.is_some_and(|before| has_body(before) || has_body(&item.kind)) {
                self.lines.blank();
            }
            self.doc_lines(item.doc.as_deref());
            self.item(item);
            before = Some(&item.kind);
        }
        self.leading(self.source.len());
    }

    fn doc_lines(&mut self, doc: Option<&str>) {
        if self.docs
            && let Some(doc) = doc
        {
            for line in doc.split('\n') {
                let text = if line.is_empty() {
                    "##".to_owned()
                } else {
                    format!("## {line}")
                };
                self.lines.push(text);
            }
        }
    }

    /// Writes something that has no body of its own: comments before it, itself, a comment after it.
    fn element(&mut self, span: Span, align: Option<Align>, build: impl FnOnce(&mut Self) -> Doc) {
        let (start, end) = (span.start as usize, span.end as usize);
        let leading = self.comments.take_before(start);
        let doc = build(self);
        let inner = self.comments.take_before(end);
        let blank = leading.first().map_or(start, |first| first.start);
        self.gap(blank);
        self.hoist(&inner);
        self.write_comments(&leading);
        self.gap(start);
        self.lines.write(&doc, align);
        self.begun = true;
        self.done = self.done.max(end);
        self.trailing(end);
    }

    /// Writes `head {`, what `inside` writes, and `}`.
    fn braces(
        &mut self,
        span: Span,
        open: Option<usize>,
        head: Doc,
        inside: impl FnOnce(&mut Self),
    ) {
        self.joined_braces(false, span, open, head, inside);
    }

    /// The same; with `join`, on the line of the closing brace before it: `} else {`.
    fn joined_braces(
        &mut self,
        join: bool,
        span: Span,
        open: Option<usize>,
        head: Doc,
        inside: impl FnOnce(&mut Self),
    ) {
        let start = span.start as usize;
        let close = open.map_or(span.end as usize, |open| self.closing(open));
        let open = open.unwrap_or(start);
        let inner = self.comments.take_before(open);
        let held = std::mem::take(&mut self.held);
        if !join {
            self.gap(held.first().map_or(start, |first| first.start));
        }
        self.hoist(&inner);
        self.write_comments(&held);
        if !join {
            self.gap(start);
        }
        let head = Doc::concat([head, Doc::text(" {")]);
        if join {
            self.lines.write_joined(&head);
        } else {
            self.lines.write(&head, None);
        }
        self.done = self.done.max(open + 1);
        self.trailing_on_line(open);
        let first = self.lines.len();
        self.begun = false;
        self.lines.indent();
        inside(self);
        self.leading(close);
        self.lines.outdent();
        let is_empty = self.lines.len() == first;
        if !is_empty || !self.lines.glue("}") {
            self.lines.push("}".to_owned());
        }
        self.begun = true;
        self.done = self.done.max(close + 1);
    }

    /// Keeps the comments before a place until the head that follows them is written.
    fn hold(&mut self, span: Span) {
        self.held = self.comments.take_before(span.start as usize);
    }

    /// Comments that stand before a place, each on a line.
    fn leading(&mut self, place: usize) {
        let comments = self.comments.take_before(place);
        self.write_comments(&comments);
    }

    fn write_comments(&mut self, comments: &[comments::Found<'a>]) {
        for comment in comments {
            self.gap(comment.start);
            self.lines.push(comment.text.to_owned());
            self.begun = true;
            self.done = self.done.max(comment.end);
        }
    }

    /// Comments from inside something, before it. They document nothing there.
    fn hoist(&mut self, comments: &[comments::Found<'a>]) {
        for comment in comments {
            let text = comment.text.trim_start_matches('#');
            self.lines.push(format!("#{text}"));
            self.begun = true;
        }
    }

    /// A comment on the line on which something ended.
    fn trailing(&mut self, end: usize) {
        if let Some(comment) = self.comments.take_after(end) {
            self.lines.comment(comment.text);
            self.done = self.done.max(comment.end);
        }
    }

    /// A comment right after an opening brace.
    fn trailing_on_line(&mut self, open: usize) {
        self.trailing(open + 1);
    }

    /// A blank line if the source has one before this place.
    fn gap(&mut self, start: usize) {
        let between = self.source.get(self.done..start).unwrap_or("");
        if self.begun && between.bytes().filter(|&byte| byte == b'\n').count() > 1 {
            self.lines.blank();
        }
    }

    /// The bracket that closes the one at this place.
    fn closing(&self, open: usize) -> usize {
        let found = self.brackets.binary_search_by_key(&open, |&(open, _)| open);
        found.map_or(open, |at| self.brackets[at].1)
    }

    /// The first brace at or after a place.
    fn brace_after(&self, place: usize) -> usize {
        let first = self.brackets.partition_point(|&(open, _)| open < place);
        let braces = self.brackets[first..].iter().map(|&(open, _)| open);
        braces
            .into_iter()
            .find(|&open| self.source.as_bytes().get(open) == Some(&b'{'))
            .unwrap_or(place)
    }

    /// Where the innermost brackets around a place close.
    fn close_after(&self, place: usize) -> Option<usize> {
        let after = self.brackets.partition_point(|&(open, _)| open < place);
        self.brackets[..after]
            .iter()
            .rev()
            .map(|&(_, close)| close)
            .find(|&close| close >= place)
    }

    /// The brace that a closing brace before `end` closes.
    fn brace_of(&self, end: usize) -> usize {
        let close = end.saturating_sub(1);
        self.brackets
            .iter()
            .find(|&&(_, at)| at == close)
            .map_or(end, |&(open, _)| open)
    }

    /// What stands at a span.
    fn slice(&self, span: Span) -> &'a str {
        self.source
            .get(span.start as usize..span.end as usize)
            .unwrap_or("")
    }
}

fn has_body(item: &ast::ItemKind) -> bool {
    match item {
        ast::ItemKind::Use(_)
        | ast::ItemKind::Plugin(_)
        | ast::ItemKind::Axis(_)
        | ast::ItemKind::Let(..) => false,
        ast::ItemKind::Fn(function) => function.body.is_some() && !function.short,
        _ => true,
    }
}

/// How deep brackets nest.
fn nesting(brackets: &[(usize, usize)]) -> usize {
    let (mut open, mut most) = (Vec::new(), 0);
    for &(start, end) in brackets {
        while open.last().is_some_and(|&close| close < start) {
            open.pop();
        }
        open.push(end);
        most = most.max(open.len());
    }
    most
}
