//! Text that knows where its lines may be broken.
//!
//! The layout of Wadler's “A prettier printer” (2003): a group is written on one
//! line if it fits, otherwise all its own breaks become line ends.

/// A piece of text.
#[derive(Clone, Debug)]
pub(super) enum Doc {
    /// Without line ends.
    Text(String),
    Concat(Vec<Doc>),
    /// Written flat if it fits.
    Group(Box<Doc>),
    /// Line ends inside are indented by two more spaces.
    Indent(Box<Doc>),
    /// A space, or a line end.
    Line,
    /// Nothing, or a line end.
    Soft,
    /// A line end.
    Hard,

    /// Text that is written only where the group around it is broken.
    IfBroken(&'static str),
    /// A comment that ends its line.
    Comment(String),
}

/// A line of output: indentation relative to the statement, code, comment.
pub(super) struct Line {
    pub(super) indent: usize,
    pub(super) code: String,
    pub(super) comment: Option<String>,
}

impl Doc {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn concat(parts: impl IntoIterator<Item = Doc>) -> Self {
        Self::Concat(parts.into_iter().collect())
    }

    pub(super) fn group(self) -> Self {
        Self::Group(Box::new(self))
    }

    pub(super) fn indent(self) -> Self {
        Self::Indent(Box::new(self))
    }
}

/// Lays a text out in lines of at most `width` characters where it can.
pub(super) fn layout(doc: &Doc, width: usize) -> Vec<Line> {
    let mut lines = vec![Line {
        indent: 0,
        code: String::new(),
        comment: None,
    }];
    let mut column = 0;
    // What is still to be written: indentation, whether broken, what. The last one is next.
    let mut rest = vec![(0, true, doc)];
    while let Some((indent, broken, doc)) = rest.pop() {
        let mut end_line = |column: &mut usize| {
            lines.push(Line {
                indent,
                code: String::new(),
                comment: None,
            });
            *column = indent;
        };
        match doc {
            Doc::Text(text) => {
                column += text.chars().count();
                if let Some(line) = lines.last_mut() {
                    line.code.push_str(text);
                }
            }
            Doc::Concat(parts) => {
                rest.extend(parts.iter().rev().map(|part| (indent, broken, part)));
            }
            Doc::Indent(inner) => rest.push((indent + 2, broken, inner)),
            Doc::Group(inner) => {
                let fits = fits(inner, &rest, width.saturating_sub(column));
                rest.push((indent, !fits, inner));
            }
            Doc::Line | Doc::Soft if broken => end_line(&mut column),
            Doc::Hard => end_line(&mut column),
            Doc::Line => {
                column += 1;
                if let Some(line) = lines.last_mut() {
                    line.code.push(' ');
                }
            }
            Doc::Soft => {}

            Doc::IfBroken(text) => {
                if broken && let Some(line) = lines.last_mut() {
                    line.code.push_str(text);
                }
            }
            Doc::Comment(text) => {
                if let Some(line) = lines.last_mut() {
                    line.comment = Some(text.clone());
                }
            }
        }
    }
    lines
}

/// Whether a group fits on the line, together with what follows it up to the next line end.
fn fits(group: &Doc, rest: &[(usize, bool, &Doc)], width: usize) -> bool {
    let mut left = width;
    let mut own = vec![group];
    while let Some(doc) = own.pop() {
        let length = match doc {
            Doc::Text(text) => text.chars().count(),
            Doc::Concat(parts) => {
                own.extend(parts.iter().rev());
                0
            }
            Doc::Group(inner) | Doc::Indent(inner) => {
                own.push(inner);
                0
            }
            Doc::Line => 1,
            Doc::Soft | Doc::IfBroken(_) => 0,
            Doc::Hard | Doc::Comment(_) => return false,
        };
        if length > left {
            return false;
        }
        left -= length;
    }
    let mut after: Vec<(bool, &Doc)> = Vec::new();
    let mut waiting = rest.iter().rev();
    loop {
        let Some((broken, doc)) = after
            .pop()
            .or_else(|| waiting.next().map(|&(_, broken, doc)| (broken, doc)))
        else {
            return true;
        };
        let length = match doc {
            Doc::Text(text) => text.chars().count(),
            Doc::Concat(parts) => {
                after.extend(parts.iter().rev().map(|part| (broken, part)));
                0
            }
            Doc::Indent(inner) => {
                after.push((broken, inner));
                0
            }
            // A later group may be broken: only what stands before its first break counts.
            Doc::Group(inner) => {
                after.push((true, inner));
                0
            }
            Doc::Line | Doc::Soft if broken => return true,
            Doc::Line => 1,
            Doc::Soft => 0,
            Doc::IfBroken(text) => {
                if broken {
                    text.len()
                } else {
                    0
                }
            }
            Doc::Hard | Doc::Comment(_) => return true,
        };
        if length > left {
            return false;
        }
        left -= length;
    }
}
