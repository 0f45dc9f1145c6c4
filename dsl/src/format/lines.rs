//! Lines of output: indentation, and the columns of `=` and of comments.

use super::WIDTH;
use super::doc::{Doc, layout};

/// Declarations whose `=` are aligned with those of their neighbors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// `sub`, `stack`, branches of experts.
    Part,
    /// `param`.
    Param,
    /// `name = value`.
    Setting,
    /// Entries of weights and goldens.
    Entry,
}

/// The most spaces that alignment puts before a `=` or a comment.
const MOST_SPACES: usize = 40;

/// What was written.
#[derive(Default)]
pub(super) struct Lines {
    lines: Vec<Written>,
    level: usize,
}

#[derive(Default)]
struct Written {
    indent: usize,
    code: String,
    comment: Option<String>,
    align: Option<Align>,
}

impl Lines {
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    pub(super) fn indent(&mut self) {
        self.level += 1;
    }

    pub(super) fn outdent(&mut self) {
        self.level -= 1;
    }

    /// A line of its own.
    pub(super) fn push(&mut self, code: String) {
        let indent = 2 * self.level;
        self.lines.push(Written {
            indent,
            code,
            ..Written::default()
        });
    }

    /// A blank line, unless one is there or nothing is.
    pub(super) fn blank(&mut self) {
        if self
            .lines
            .last()
            .is_some_and(|line| !line.code.is_empty() || line.comment.is_some())
        {
            self.lines.push(Written::default());
        }
    }

    /// A text, on as many lines as it needs.
    pub(super) fn write(&mut self, doc: &Doc, align: Option<Align>) {
        let base = 2 * self.level;
        let written = layout(doc, WIDTH.saturating_sub(base));
        let align = align.filter(|_| written.len() == 1);
        for line in written {
            let is_empty = line.code.is_empty() && line.comment.is_none();
            let indent = if is_empty { 0 } else { base + line.indent };
            self.lines.push(Written {
                indent,
                code: line.code,
                comment: line.comment,
                align,
            });
        }
    }

    /// A text that goes on with the last line if that is a closing brace.
    pub(super) fn write_joined(&mut self, doc: &Doc) {
        let is_brace = self
            .lines
            .last()
            .is_some_and(|line| is_closing(&line.code) && line.comment.is_none());
        let before = self.lines.len();
        self.write(doc, None);
        if is_brace {
            let code = format!(
                "{} {}",
                self.lines[before - 1].code,
                self.lines[before].code
            );
            self.lines[before].code = code;
            self.lines.remove(before - 1);
        }
    }

    /// A comment at the end of the last line.
    pub(super) fn comment(&mut self, text: &str) {
        match self.lines.last_mut() {
            Some(line) if line.comment.is_none() => line.comment = Some(text.to_owned()),
            _ => self.push(text.to_owned()),
        }
    }

    /// Adds to the last line if it has no comment; says whether it did.
    pub(super) fn glue(&mut self, text: &str) -> bool {
        match self.lines.last_mut() {
            Some(line) if line.comment.is_none() => {
                line.code.push_str(text);
                true
            }
            _ => false,
        }
    }

    /// The whole text.
    pub(super) fn finish(mut self) -> String {
        while self
            .lines
            .last()
            .is_some_and(|line| line.code.is_empty() && line.comment.is_none())
        {
            self.lines.pop();
        }
        for (start, end) in runs(&self.lines, |line| {
            line.align.map(|align| (align as usize, line.indent))
        }) {
            align_equals(&mut self.lines[start..end]);
        }
        for (start, end) in runs(&self.lines, |line| {
            line.comment.as_ref().map(|_| (line.indent, 0))
        }) {
            align_comments(&mut self.lines[start..end]);
        }
        let mut text = String::new();
        for line in &self.lines {
            let whole = format!("{}{}", " ".repeat(line.indent), line.code);
            match &line.comment {
                Some(comment) if line.code.trim().is_empty() => {
                    text.push_str(&" ".repeat(line.indent));
                    text.push_str(comment);
                }
                Some(comment) => {
                    text.push_str(&whole);
                    text.push_str(comment);
                }
                None => text.push_str(whole.trim_end()),
            }
            text.push('\n');
        }
        text
    }
}

/// `}` alone, or an empty body.
fn is_closing(code: &str) -> bool {
    code == "}" || code.ends_with("{}")
}

/// Ranges of neighboring lines with the same key.
fn runs<K: PartialEq>(
    lines: &[Written],
    key: impl Fn(&Written) -> Option<K>,
) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut start = 0;
    while start < lines.len() {
        let Some(first) = key(&lines[start]) else {
            start += 1;
            continue;
        };
        let length = lines[start..]
            .iter()
            .take_while(|line| key(line).as_ref() == Some(&first))
            .count();
        found.push((start, start + length));
        start += length;
    }
    found
}

/// Puts the ` = ` of neighboring lines into one column, as long as the lines stay short enough.
fn align_equals(lines: &mut [Written]) {
    let mut rest = lines;
    while !rest.is_empty() {
        let (mut most, mut least, mut tail, mut count) = (0, usize::MAX, 0, 0);
        for line in rest.iter() {
            let Some((_, place)) = equals_place(&line.code) else {
                count += 1;
                continue;
            };
            let after = line.indent + line.code.chars().count() - place;
            let (next_most, next_least) = (most.max(place), least.min(place));
            let next_tail = tail.max(after);
            let fits = next_most + next_tail <= WIDTH && next_most - next_least <= MOST_SPACES;
            if most > 0 && !fits {
                break;
            }
            (most, least, tail) = (next_most, next_least, next_tail);
            count += 1;
        }
        let (run, others) = rest.split_at_mut(count);
        for line in run {
            if let Some((place, width)) = equals_place(&line.code) {
                line.code.insert_str(place, &" ".repeat(most - width));
            }
        }
        rest = others;
    }
}

/// Where ` = ` stands outside of brackets and texts: in bytes and in characters.
fn equals_place(code: &str) -> Option<(usize, usize)> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (width, (place, c)) in code.char_indices().enumerate() {
        match c {
            _ if in_text => {
                in_text = escaped || c != '"';
                escaped = !escaped && c == '\\';
            }
            '"' => in_text = true,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            ' ' if depth == 0 && code[place..].starts_with(" = ") => return Some((place, width)),
            _ => {}
        }
    }
    None
}

/// Puts the comments of neighboring lines into one column, two spaces after the longest code.
fn align_comments(lines: &mut [Written]) {
    let width = |line: &Written| line.code.chars().count();
    let (most, least) = (lines.iter().map(width).max(), lines.iter().map(width).min());
    let aligned = most
        .zip(least)
        .filter(|(most, least)| most - least <= MOST_SPACES);
    for line in lines {
        if line.code.is_empty() {
            continue;
        }
        let spaces = aligned.map_or(0, |(most, _)| most - width(line));
        line.code.push_str(&" ".repeat(spaces + 2));
    }
}
