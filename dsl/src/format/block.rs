//! Blocks and statements.

use super::Printer;
use super::doc::Doc;
use crate::ast::{Attribute, Block, Place, StateDecl, Stmt, StmtKind};
use crate::span::Span;

impl Printer<'_> {
    /// Writes `head { … }`.
    pub(super) fn block(&mut self, start: Span, head: Doc, block: &Block) {
        self.joined_block(false, start, head, block);
    }

    fn joined_block(&mut self, join: bool, start: Span, head: Doc, block: &Block) {
        let open = block.span.start as usize;
        self.joined_braces(join, start.to(block.span), Some(open), head, |printer| {
            for stmt in &block.stmts {
                printer.stmt(stmt);
            }
        });
    }

    /// Writes a statement with its attributes.
    pub(super) fn stmt(&mut self, stmt: &Stmt) {
        for attribute in &stmt.attributes {
            let span = self.attribute_span(attribute);
            self.element(span, None, |printer| printer.attribute(attribute));
        }
        match &stmt.kind {
            StmtKind::Recurrence {
                over,
                reverse,
                body,
            } => {
                self.hold(stmt.span);
                let reverse = if *reverse { " reverse" } else { "" };
                let head = Doc::text(format!("recurrence over {}{reverse}", over.text));
                self.block(stmt.span, head, body);
                self.trailing(stmt.span.end as usize);
            }
            StmtKind::For { var, over, body } => {
                self.hold(stmt.span);
                let over = self.expr(over);
                let head = Doc::concat([Doc::text(format!("for {} in ", var.text)), over]);
                self.block(stmt.span, head, body);
                self.trailing(stmt.span.end as usize);
            }
            StmtKind::While { cond, limit, body } => {
                self.hold(stmt.span);
                let (cond, limit) = (self.expr(cond), self.expr(limit));
                let head = Doc::concat([Doc::text("while "), cond, Doc::text(" limit "), limit]);
                self.block(stmt.span, head, body);
                self.trailing(stmt.span.end as usize);
            }
            StmtKind::If { .. } => {
                self.hold(stmt.span);
                self.if_stmt(stmt);
                self.trailing(stmt.span.end as usize);
            }
            _ => self.element(stmt.span, None, |printer| printer.simple(&stmt.kind)),
        }
    }

    /// From the `@` to the closing parenthesis.
    pub(super) fn attribute_span(&self, attribute: &Attribute) -> Span {
        let name = attribute.name.span;
        let last = attribute.args.last().map(|last| last.value.span.end);
        let close = last.and_then(|last| self.close_after(last as usize));
        let end = close.map_or(name.end, |close| close as u32 + 1);
        Span {
            start: name.start.saturating_sub(1),
            end,
            ..name
        }
    }

    pub(super) fn attribute(&mut self, attribute: &Attribute) -> Doc {
        let name = Doc::text(format!("@{}", attribute.name.text));
        if attribute.args.is_empty() {
            return name;
        }
        Doc::concat([name, self.args(&attribute.args)])
    }

    fn if_stmt(&mut self, stmt: &Stmt) {
        let (mut stmt, mut is_else) = (stmt, false);
        while let StmtKind::If { cond, then, other } = &stmt.kind {
            let word = if is_else { "else if " } else { "if " };
            let head = Doc::concat([Doc::text(word), self.expr(cond)]);
            self.joined_block(is_else, stmt.span, head, then);
            let Some(block) = other else { return };
            match block.stmts.as_slice() {
                [next]
                    if next.attributes.is_empty() && matches!(next.kind, StmtKind::If { .. }) =>
                {
                    (stmt, is_else) = (next, true);
                }
                _ => {
                    self.joined_block(true, block.span, Doc::text("else"), block);
                    return;
                }
            }
        }
    }

    fn simple(&mut self, kind: &StmtKind) -> Doc {
        match kind {
            StmtKind::Bind { places, value } => {
                let mut parts = Vec::new();
                for (at, place) in places.iter().enumerate() {
                    if at > 0 {
                        parts.push(Doc::text(", "));
                    }
                    parts.push(self.place(place));
                }
                parts.push(self.defined(value));
                Doc::Concat(parts)
            }
            StmtKind::Return(value) => Doc::concat([Doc::text("return "), self.returned(value)]),
            StmtKind::State(state) => self.state(state),
            StmtKind::Emit(value) => Doc::concat([Doc::text("emit "), self.expr(value)]),
            StmtKind::Do(value) => self.expr(value),
            _ => Doc::text(""),
        }
    }

    fn place(&mut self, place: &Place) -> Doc {
        let prime = if place.next { "'" } else { "" };
        let name = Doc::text(format!("{}{prime}", place.name.text));
        match &place.indices {
            Some(indices) => Doc::concat([name, self.index(indices)]),
            None => name,
        }
    }

    /// `state name: type = init`.
    pub(super) fn state(&mut self, state: &StateDecl) -> Doc {
        let shared = if state.shared { "shared " } else { "" };
        let name = Doc::text(format!("{shared}state {}: ", state.name.text));
        let ty = self.ty(&state.ty);
        Doc::concat([name, ty, Doc::text(" = "), self.expr(&state.init)])
    }
}
