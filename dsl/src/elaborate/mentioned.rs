//! Which names does a statement define, and which does it mention?

use std::collections::BTreeSet;

use super::index::children;
use crate::ast::{self, Expr, ExprKind, Stmt, StmtKind};
use crate::span::Span;

/// Where the body sets the next value of a state.
pub(crate) fn next_place(stmts: &[Stmt], name: &str) -> Option<Span> {
    stmts.iter().find_map(|stmt| match &stmt.kind {
        StmtKind::Bind { places, .. } => (places.iter())
            .find(|place| place.next && place.name.text == name)
            .map(|place| place.span),
        StmtKind::Recurrence { body, .. } | StmtKind::For { body, .. } => {
            next_place(&body.stmts, name)
        }
        StmtKind::If { then, other, .. } => {
            next_place(&then.stmts, name).or_else(|| next_place(&other.as_ref()?.stmts, name))
        }
        _ => None,
    })
}

/// Names that a statement defines.
pub(crate) fn defined_names(kind: &StmtKind, names: &mut Vec<String>) {
    match kind {
        StmtKind::Bind { places, .. } => names.extend(places.iter().map(|place| {
            if place.next {
                format!("{}'", place.name.text)
            } else {
                place.name.text.clone()
            }
        })),
        StmtKind::Recurrence { body, .. }
        | StmtKind::For { body, .. }
        | StmtKind::While { body, .. } => {
            for stmt in &body.stmts {
                defined_names(&stmt.kind, names);
            }
        }
        StmtKind::If { then, other, .. } => {
            for stmt in then
                .stmts
                .iter()
                .chain(other.iter().flat_map(|block| &block.stmts))
            {
                defined_names(&stmt.kind, names);
            }
        }
        StmtKind::State(state) => {
            names.extend([state.name.text.clone(), format!("{}'", state.name.text)]);
        }
        StmtKind::Return(_) | StmtKind::Emit(_) | StmtKind::Do(_) => {}
    }
}

/// Names that a statement mentions; `S'` as `S'`.
pub(crate) fn stmt_names(stmt: &Stmt, names: &mut BTreeSet<String>) {
    match &stmt.kind {
        StmtKind::Bind { places, value } => {
            expr_names(value, names);
            for place in places {
                names.insert(place.name.text.clone());
                for index in place.indices.iter().flatten() {
                    if let ast::Index::Bind(_, expr) | ast::Index::At(expr) = index {
                        expr_names(expr, names);
                    }
                }
            }
        }
        StmtKind::Return(expr) | StmtKind::Emit(expr) | StmtKind::Do(expr) => {
            expr_names(expr, names);
        }
        StmtKind::State(state) => expr_names(&state.init, names),
        StmtKind::Recurrence { body, .. } => {
            body.stmts.iter().for_each(|stmt| stmt_names(stmt, names));
        }
        StmtKind::For { over, body, .. } => {
            expr_names(over, names);
            body.stmts.iter().for_each(|stmt| stmt_names(stmt, names));
        }
        StmtKind::While { cond, limit, body } => {
            expr_names(cond, names);
            expr_names(limit, names);
            body.stmts.iter().for_each(|stmt| stmt_names(stmt, names));
        }
        StmtKind::If { cond, then, other } => {
            expr_names(cond, names);
            let blocks = std::iter::once(then).chain(other);
            blocks
                .flat_map(|block| &block.stmts)
                .for_each(|stmt| stmt_names(stmt, names));
        }
    }
}

/// Names that an expression mentions.
pub(crate) fn expr_names(expr: &Expr, names: &mut BTreeSet<String>) {
    match &expr.kind {
        ExprKind::Name(name) => {
            names.insert(name.clone());
        }
        ExprKind::Next(name) => {
            names.insert(format!("{name}'"));
        }
        _ => children(expr)
            .into_iter()
            .for_each(|part| expr_names(part, names)),
    }
}
