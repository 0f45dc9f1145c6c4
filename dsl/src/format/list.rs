//! Lists between brackets: arguments, indices, fields, parameters.
//!
//! A list stands on one line or has one entry a line. Comments stay at their entries.

use super::Printer;
use super::doc::Doc;
use crate::ast::{Arg, Expr, Index};
use crate::span::Span;

/// Something between brackets: where it is, what separates it from the one before, itself.
pub(super) struct Entry {
    pub(super) span: Span,
    pub(super) separator: &'static str,
}

impl Printer<'_> {
    /// `(a, n = 3, d -> e)`.
    pub(super) fn args(&mut self, args: &[Arg]) -> Doc {
        self.list(
            "(",
            ")",
            false,
            args,
            |arg| {
                let span = arg
                    .name
                    .as_ref()
                    .map_or(arg.value.span, |name| name.span.to(arg.value.span));
                Entry {
                    span,
                    separator: ",",
                }
            },
            |printer, arg| {
                let value = printer.expr(&arg.value);
                match &arg.name {
                    Some(name) => Doc::concat([Doc::text(format!("{} = ", name.text)), value]),
                    None => value,
                }
            },
        )
    }

    /// `[t = i, d]`.
    pub(super) fn index(&mut self, items: &[Index]) -> Doc {
        self.list(
            "[",
            "]",
            false,
            items,
            |item| {
                let span = match item {
                    Index::Bind(name, value) => name.span.to(value.span),
                    Index::At(value) => value.span,
                    Index::All(span) => *span,
                };
                Entry {
                    span,
                    separator: ",",
                }
            },
            |printer, item| match item {
                Index::Bind(name, value) => {
                    Doc::concat([Doc::text(format!("{} = ", name.text)), printer.expr(value)])
                }
                Index::At(value) => printer.expr(value),
                Index::All(_) => Doc::text("*"),
            },
        )
    }

    /// Expressions between brackets.
    pub(super) fn exprs(&mut self, open: &'static str, close: &'static str, items: &[Expr]) -> Doc {
        let entry = |item: &Expr| Entry {
            span: item.span,
            separator: ",",
        };
        self.list(open, close, false, items, entry, |printer, item| {
            printer.expr(item)
        })
    }

    /// A list between brackets: on one line, or one entry a line. Comments stay at their entries.
    pub(super) fn list<T>(
        &mut self,
        open: &'static str,
        close: &'static str,
        spaced: bool,
        items: &[T],
        entry: impl Fn(&T) -> Entry,
        write: impl Fn(&mut Self, &T) -> Doc,
    ) -> Doc {
        if items.is_empty() {
            return Doc::text(format!("{open}{close}"));
        }
        let edge = if spaced { Doc::Line } else { Doc::Soft };
        let mut parts = vec![edge.clone()];
        for (at, item) in items.iter().enumerate() {
            let Entry { span, .. } = entry(item);
            for comment in self.comments.take_before(span.start as usize) {
                parts.extend([Doc::Comment(comment.text.to_owned()), Doc::Hard]);
            }
            parts.push(write(self, item));
            let next = items.get(at + 1).map(&entry);
            match &next {
                Some(next) => parts.push(Doc::text(next.separator)),
                None => parts.push(Doc::IfBroken(",")),
            }
            let trailing = self.comments.take_after(span.end as usize);
            if let Some(comment) = trailing {
                parts.push(Doc::Comment(comment.text.to_owned()));
            }
            if next.is_some() {
                parts.push(Doc::Line);
            }
        }
        let last = items.last().map_or(0, |item| entry(item).span.end);
        if let Some(end) = self.closed_after(last) {
            for comment in self.comments.take_before(end) {
                parts.extend([Doc::Hard, Doc::Comment(comment.text.to_owned())]);
            }
        }
        Doc::concat([
            Doc::text(open),
            Doc::Concat(parts).indent(),
            edge,
            Doc::text(close),
        ])
        .group()
    }

    /// Where the brackets after the last entry close, if a comment stands before that.
    fn closed_after(&self, last: u32) -> Option<usize> {
        self.comments
            .any_before(usize::MAX)
            .then(|| self.close_after(last as usize))
            .flatten()
    }
}
