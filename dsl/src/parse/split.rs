//! Brackets, and the borders of items and statements.
//!
//! Items are parsed apart, so that a broken one hides no other. Brackets are
//! matched first; the parser may then rely on their depth being bounded.

use super::build::is_reducer;
use super::code;
use super::lex::{Kind, Token};
use crate::diag::Diagnostic;
use crate::span::{FileId, Span};

/// How deep brackets, `if` and `route` may nest.
const MAX_NESTING: usize = 128;

/// The tokens of a file with their brackets matched.
pub(super) struct Outline<'a> {
    file: FileId,
    source: &'a str,
    tokens: &'a [Token],
    /// For an opening token the place of its closing one, and the other way round.
    partner: Vec<Option<usize>>,
    /// How many brackets are open before each token.
    depth: Vec<usize>,
    /// The line of each token, counting only lines that have tokens.
    line: Vec<usize>,
    /// Items and what stands between them, in order.
    pub(super) parts: Vec<Part>,
    /// What is wrong with brackets.
    pub(super) found: Vec<Diagnostic>,
}

/// A range of tokens: an item, or something that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) first: usize,
    /// One past the last token.
    pub(super) end: usize,
    pub(super) is_item: bool,
    /// Whether its brackets do not fit; it is reported already.
    pub(super) unbalanced: bool,
}

/// Words that begin an item which has a body in braces.
const BODIED: [&str; 11] = [
    "module",
    "model",
    "memory",
    "weights",
    "golden",
    "test",
    "snapshot",
    "train",
    "probe",
    "intervene",
    "procedure",
];
/// Words that begin a member or a statement even after a comma.
const STARTING: [&str; 9] = [
    "param", "sub", "stack", "state", "experts", "axis", "let", "forward", "return",
];
/// Words that join parts of an expression.
const JOINING: [&str; 7] = ["where", "else", "then", "not", "and", "or", "in"];
/// Words that go on with what stands before them.
const CONTINUING: [&str; 21] = [
    "where", "else", "and", "or", "not", "in", "then", "as", "stored", "frozen", "when", "to",
    "from", "optional", "within", "over", "group", "for", "on", "call", "of",
];

/// Words that begin an item.
pub(super) const ITEM_WORDS: [&str; 16] = [
    "module",
    "model",
    "memory",
    "weights",
    "golden",
    "test",
    "snapshot",
    "train",
    "probe",
    "intervene",
    "procedure",
    "use",
    "plugin",
    "axis",
    "let",
    "fn",
];

fn is_item_word(word: &str) -> bool {
    ITEM_WORDS.contains(&word)
}

impl<'a> Outline<'a> {
    /// Matches brackets and finds items.
    pub(super) fn new(file: FileId, source: &'a str, tokens: &'a [Token]) -> Self {
        let mut outline = Self {
            file,
            source,
            tokens,
            partner: vec![None; tokens.len()],
            depth: vec![0; tokens.len()],
            line: tokens
                .iter()
                .scan(0, |line, token| {
                    *line += usize::from(token.first);
                    Some(*line)
                })
                .collect(),
            parts: Vec::new(),
            found: Vec::new(),
        };
        outline.match_brackets();
        outline
    }

    pub(super) fn text(&self, token: usize) -> &'a str {
        self.tokens
            .get(token)
            .map_or("", |found| found.text(self.source, 0))
    }

    pub(super) fn token(&self, token: usize) -> Option<Token> {
        self.tokens.get(token).copied()
    }

    pub(super) fn kind(&self, token: usize) -> Option<Kind> {
        self.token(token).map(|found| found.kind)
    }

    pub(super) fn span(&self, token: usize) -> Span {
        let (start, end) = self.token(token).map_or_else(
            || (self.source.trim_end().len(), self.source.trim_end().len()),
            |found| (found.start, found.end),
        );
        Span::new(self.file, start as u32, end as u32)
    }

    /// How many brackets are open before a token.
    pub(super) fn depth(&self, token: usize) -> usize {
        self.depth.get(token).copied().unwrap_or(0)
    }

    /// The place right after a token.
    pub(super) fn after(&self, token: usize) -> Span {
        let span = self.span(token);
        Span {
            start: span.end,
            ..span
        }
    }

    /// The bracket that closes or opens the one at this place.
    pub(super) fn partner(&self, token: usize) -> Option<usize> {
        self.partner.get(token).copied().flatten()
    }

    /// Whether the token is the first of its line.
    pub(super) fn is_first(&self, token: usize) -> bool {
        self.token(token).is_some_and(|found| found.first)
    }

    /// The innermost bracket around a token that `wanted` accepts, not before `first`.
    pub(super) fn enclosing(
        &self,
        token: usize,
        first: usize,
        wanted: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        (first..token).rev().find(|&open| {
            is_open(self.text(open))
                && self.partner(open).is_none_or(|close| close >= token)
                && wanted(open)
        })
    }

    /// The statement, member or entry that holds a token: its range of tokens. `None` in
    /// the head of an item.
    pub(super) fn chunk(&self, part: Part, token: usize) -> Option<(usize, usize)> {
        let open = self.enclosing(token, part.first, |open| self.opens_body(open))?;
        let close = self.partner(open).unwrap_or(part.end);
        let depth = self.depth[open] + 1;
        let start = (open + 1..=token)
            .rev()
            .find(|&at| at == open + 1 || self.begins(at, depth))?;
        let end = (token + 1..close)
            .find(|&at| self.begins(at, depth))
            .unwrap_or(close);
        (start < end).then_some((start, end))
    }

    /// Whether a brace opens a body rather than a record.
    fn opens_body(&self, open: usize) -> bool {
        if self.text(open) != "{" {
            return false;
        }
        let Some(before) = open.checked_sub(1) else {
            return true;
        };
        let text = self.text(before);
        // `sum_{e}` opens no body, `else {` does.
        let touches = self.span(before).end == self.span(open).start;
        (!touches
            && matches!(
                self.kind(before),
                Some(Kind::Word | Kind::Number | Kind::Text | Kind::OpenText)
            )
            && text != "return")
            || matches!(text, ")" | "]" | "}" | "'")
    }

    /// Whether a token begins a statement of the body at this depth.
    pub(super) fn begins(&self, token: usize, depth: usize) -> bool {
        self.is_first(token)
            && self.depth[token] == depth
            && (self.text(token) == "@"
                || (matches!(self.kind(token), Some(Kind::Word | Kind::Text))
                    && !self.continues(token)))
    }

    /// Whether a token goes on with what stands before it.
    fn continues(&self, token: usize) -> bool {
        let word = self.text(token);
        // `as = 3` is a setting, `where (x > 0)` is none.
        let is_name = matches!(self.text(token + 1), "=" | ":" | "(") && !JOINING.contains(&word);
        let separated = token > 0 && self.text(token - 1) == "," && STARTING.contains(&word);
        (CONTINUING.contains(&word) && !is_name)
            || !separated
                && token
                    .checked_sub(1)
                    .is_some_and(|before| self.wants_more(before))
    }

    /// Whether something has to follow a token.
    pub(super) fn wants_more(&self, token: usize) -> bool {
        let text = self.text(token);
        match self.kind(token) {
            // A reducer wants its body.
            Some(Kind::Symbol) if text == ")" => self
                .partner(token)
                .and_then(|open| open.checked_sub(1))
                .is_some_and(|word| is_reducer(self.text(word))),
            Some(Kind::Symbol) => !matches!(text, ")" | "]" | "}" | "{" | "'"),
            // Not as a field: `x.in`.
            Some(Kind::Word) if token > 0 && self.text(token - 1) == "." => false,
            Some(Kind::Word) => matches!(
                text,
                "where" | "and" | "or" | "not" | "in" | "then" | "return" | "route"
            ),
            _ => false,
        }
    }

    /// Matches brackets and cuts the file into parts on the way: whether an item word
    /// at the left margin begins an item depends on the brackets that are open.
    fn match_brackets(&mut self) {
        let mut open: Vec<Open> = Vec::new();
        let mut part: Option<Part> = None;
        for token in 0..self.tokens.len() {
            self.depth[token] = open.len();
            if open.is_empty() || self.is_margin_item(token) {
                self.border(&mut part, &mut open, token);
                self.depth[token] = open.len();
            }
            let current = part.get_or_insert(Part {
                first: token,
                end: token,
                is_item: false,
                unbalanced: false,
            });
            current.end = token + 1;
            let text = self.text(token);
            if is_open(text) {
                let nested = nesting(&open);
                if nested + 1 > MAX_NESTING && !current.unbalanced {
                    current.unbalanced = true;
                    let found = too_nested(self.span(token));
                    self.found.push(found);
                }
                if open.len() <= MAX_NESTING {
                    open.push(Open { token, pending: 0 });
                }
            } else if is_close(text) {
                let told = current.unbalanced;
                current.unbalanced |= !self.close(&mut open, token, told);
                if let Some(level) = open.last_mut() {
                    level.pending = 0;
                }
                if open.is_empty()
                    && text == "}"
                    && current.is_item
                    && self.is_bodied(current.first)
                    && self.partner(token).is_none_or(|open| self.opens_body(open))
                {
                    self.parts.extend(part.take());
                }
            } else if let Some(level) = open.last_mut() {
                match text {
                    "if" | "route" => level.pending += 1,
                    "else" => level.pending = level.pending.saturating_sub(1),
                    _ => {}
                }
                let nested = nesting(&open);
                if nested > MAX_NESTING && !current.unbalanced {
                    current.unbalanced = true;
                    let found = too_nested(self.span(token));
                    self.found.push(found);
                }
            } else if matches!(text, "if" | "route") {
                // Outside of brackets only `fn` and `let` have expressions; they count as well.
                let (first, seen) = (current.first, current.unbalanced);
                let over = !seen && self.too_many(first, token);
                if let Some(current) = &mut part {
                    current.unbalanced |= over;
                }
            }
        }
        self.unclosed(&mut part, &mut open, self.tokens.len());
        self.parts.extend(part);
    }

    fn too_many(&mut self, first: usize, token: usize) -> bool {
        let count = (first..token)
            .filter(|&at| matches!(self.text(at), "if" | "route"))
            .count();
        if count == MAX_NESTING {
            let found = too_nested(self.span(token));
            self.found.push(found);
        }
        count >= MAX_NESTING
    }

    fn is_bodied(&self, token: usize) -> bool {
        BODIED.contains(&self.text(token))
    }

    /// Whether a token that follows an open bracket surely begins an item: at the left
    /// margin, with a name or a text after it.
    fn is_margin_item(&self, token: usize) -> bool {
        let Some(found) = self.token(token) else {
            return false;
        };
        let at_margin = found.start == 0 || self.source.as_bytes()[found.start - 1] == b'\n';
        at_margin
            && self.is_bodied(token)
            && matches!(self.kind(token + 1), Some(Kind::Word | Kind::Text))
            && !token
                .checked_sub(1)
                .is_some_and(|before| self.wants_more(before))
    }

    /// Ends the current part before a token that begins the next one.
    fn border(&mut self, part: &mut Option<Part>, open: &mut Vec<Open>, token: usize) {
        let text = self.text(token);
        let word = self.kind(token) == Some(Kind::Word);
        // Attributes stand before the item that they belong to.
        let attribute = text == "@" && self.kind(token + 1) == Some(Kind::Word);
        let is_item = attribute || word && is_item_word(text) && self.text(token + 1) != "=";
        let begins = match part {
            None => true,
            Some(_) if !open.is_empty() => true,
            Some(_) if !self.is_first(token) || self.continues(token) => false,
            Some(current) if current.is_item && self.is_attributes(current.first, token) => false,
            Some(current) if current.is_item && self.is_bodied(current.first) => is_item,
            Some(current) => is_item || (word && current.is_item),
        };
        if begins {
            self.unclosed(part, open, token);
            self.parts.extend(part.take());
            *part = Some(Part {
                first: token,
                end: token,
                is_item,
                unbalanced: false,
            });
        }
    }

    /// Whether there are attributes and nothing else between two tokens.
    fn is_attributes(&self, first: usize, end: usize) -> bool {
        let mut at = first;
        while at < end && self.text(at) == "@" {
            at += 2;
            if self.text(at) == "(" {
                at = self.partner(at).unwrap_or(end) + 1;
            }
        }
        at > first && at >= end
    }

    /// Closes the innermost bracket. False if it does not fit, which is told only once
    /// for a part.
    fn close(&mut self, open: &mut Vec<Open>, token: usize, told: bool) -> bool {
        let text = self.text(token);
        let opener = open.last().map(|last| last.token);
        let fits = |one: &Open, this: &Self| closing(this.text(one.token)) == text;
        let reaches = open.iter().rposition(|one| fits(one, self));
        let same_line = opener.is_some_and(|opener| self.line[opener] == self.line[token]);
        let found = match (opener, reaches) {
            (Some(_), Some(at)) if at + 1 == open.len() => {
                self.pair(open, at, token);
                return true;
            }
            // `f(x, [1, 2)]`: a bracket of the wrong kind.
            (Some(opener), _) if same_line && self.text(opener) != "{" => {
                open.pop();
                Diagnostic::error(
                    code::UNMATCHED,
                    format!("`{}` is closed by `{text}`", self.text(opener)),
                )
                .at(self.span(token), "")
                .also(self.span(opener), "opened here")
                .help(format!("write `{}` here", closing(self.text(opener))))
            }
            (Some(opener), Some(at)) => {
                self.pair(open, at, token);
                self.never_closed(opener, token)
            }
            _ => Diagnostic::error(code::UNMATCHED, format!("`{text}` closes nothing"))
                .at(self.span(token), "")
                .help("remove it, or write the bracket that it should close"),
        };
        if !told {
            self.found.push(found);
        }
        false
    }

    /// Makes partners of the open bracket `at` and the closing one; what is inside stays open no longer.
    fn pair(&mut self, open: &mut Vec<Open>, at: usize, token: usize) {
        let one = open[at].token;
        open.truncate(at);
        self.partner[one] = Some(token);
        self.partner[token] = Some(one);
    }

    fn never_closed(&self, opener: usize, at: usize) -> Diagnostic {
        let text = self.text(opener);
        let found = Diagnostic::error(code::UNCLOSED, format!("`{text}` is never closed"))
            .at(self.span(opener), "opened here");
        let found = if at < self.tokens.len() {
            found.also(self.span(at), "still open here")
        } else {
            found
        };
        found.help(format!("write `{}` where it should end", closing(text)))
    }

    /// Reports what is open where an item ends.
    fn unclosed(&mut self, part: &mut Option<Part>, open: &mut Vec<Open>, token: usize) {
        if open.is_empty() {
            return;
        }
        let told = part.is_some_and(|part| part.unbalanced);
        if !told {
            let last = open[open.len() - 1].token;
            let suspect = self.misindented(open, token).unwrap_or(last);
            let found = self.never_closed(suspect, token);
            self.found.push(found);
        }
        open.clear();
        if let Some(part) = part {
            part.unbalanced = true;
        }
    }

    /// The brace inside the open ones whose closing brace stands further left than its
    /// line: it probably took the closing brace of the open one.
    fn misindented(&self, open: &[Open], end: usize) -> Option<usize> {
        let outer = open.first()?.token;
        (outer..end).find(|&token| {
            self.text(token) == "{"
                && self.partner(token).is_some_and(|close| {
                    self.is_first(close) && self.indent(close) < self.indent(token)
                })
        })
    }

    /// How far the line of a token is indented.
    fn indent(&self, token: usize) -> usize {
        let offset = self.token(token).map_or(0, |found| found.start);
        let start = self.source[..offset].rfind('\n').map_or(0, |at| at + 1);
        self.source[start..]
            .bytes()
            .take_while(|&byte| byte == b' ')
            .count()
    }
}

/// A bracket that is open.
struct Open {
    token: usize,
    /// `if` and `route` inside it whose end has not come yet.
    pending: usize,
}

fn nesting(open: &[Open]) -> usize {
    open.iter().map(|one| 1 + one.pending).sum()
}

fn too_nested(span: Span) -> Diagnostic {
    Diagnostic::error(
        code::LIMIT,
        format!("nested deeper than {MAX_NESTING} levels"),
    )
    .at(span, "")
    .help("give the inner parts names of their own")
}

fn is_open(text: &str) -> bool {
    matches!(text, "(" | "[" | "{")
}

fn is_close(text: &str) -> bool {
    matches!(text, ")" | "]" | "}")
}

fn closing(open: &str) -> &'static str {
    match open {
        "(" => ")",
        "[" => "]",
        _ => "}",
    }
}
