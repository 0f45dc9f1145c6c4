//! What the attributes before a statement promise: `@require(…)` before an equation,
//! `@algorithm(…)` before a `recurrence`.
//!
//! Promises stand in the origins of the statement's nodes. What the statement calls
//! has promises of its own; the steps of a loop do, too.

use std::collections::BTreeSet;
use std::sync::Arc;

use girih_graph::{Promise, Promised, Promises, Way};

use super::Elaborator;
use super::mentioned::stmt_names;
use super::scope::Env;
use super::value::{Eval, Value};
use crate::ast::{Arg, Attribute, Expr, ExprKind, Stmt, StmtKind};
use crate::span::Span;

/// Largest block or chunk that can be promised.
const LARGEST: i64 = 1 << 20;

const REQUIRE: &str = "write `@require(fused)` or `@require(block_sparse(j, 64))`";
const ALGORITHM: &str = "write `@algorithm(auto)`, `@algorithm(recurrent)`, `@algorithm(chunked, chunk = 64)` or `@algorithm(associative)`";

impl Elaborator<'_> {
    /// What the attributes of a statement say; nothing without attributes.
    pub(super) fn promises(&mut self, env: &mut Env, stmt: &Stmt) -> Eval<Option<Arc<Promises>>> {
        let mut list = Vec::new();
        for attribute in &stmt.attributes {
            let what = match attribute.name.text.as_str() {
                "require" => self.required(env, attribute, stmt)?,
                "algorithm" => self.algorithm(env, attribute, stmt)?,
                other => {
                    return self.error_help(
                        203,
                        attribute.name.span,
                        format!("`@{other}` is no attribute"),
                        "not known",
                        "attributes are `@require`, `@algorithm`",
                    );
                }
            };
            let span = attribute.name.span;
            let end = attribute
                .args
                .last()
                .map_or(span.end, |arg| arg.value.span.end);
            list.push(Promise {
                what,
                start: span.start,
                end,
            });
        }
        if list.is_empty() {
            return Ok(None);
        }
        self.promised += 1;
        Ok(Some(Arc::new(Promises {
            statement: self.promised,
            list,
        })))
    }

    fn required(&mut self, env: &mut Env, attribute: &Attribute, stmt: &Stmt) -> Eval<Promised> {
        if !matches!(stmt.kind, StmtKind::Bind { .. } | StmtKind::Return(_)) {
            return self.misplaced(attribute, "an equation or a `return`");
        }
        let [Arg { name: None, value }] = attribute.args.as_slice() else {
            return self.unclear(attribute.name.span, REQUIRE);
        };
        match &value.kind {
            ExprKind::Name(word) if word == "fused" => Ok(Promised::Fused),
            ExprKind::Call { callee, args }
                if callee.kind == ExprKind::Name("block_sparse".to_owned()) =>
            {
                let [
                    Arg {
                        name: None,
                        value: axis,
                    },
                    Arg {
                        name: None,
                        value: size,
                    },
                ] = args.as_slice()
                else {
                    return self.unclear(value.span, REQUIRE);
                };
                let ExprKind::Name(word) = &axis.kind else {
                    return self.unclear(axis.span, REQUIRE);
                };
                let mut names = BTreeSet::new();
                stmt_names(stmt, &mut names);
                if !names.contains(word) {
                    return self.error_help(
                        201,
                        axis.span,
                        format!("`{word}` is no index of this statement"),
                        "not used there",
                        "name the axis along which blocks are hidden, as the statement calls it",
                    );
                }
                Ok(Promised::BlockSparse {
                    axis: Arc::from(word.as_str()),
                    size: self.length(env, size)?,
                })
            }
            _ => self.unclear(value.span, REQUIRE),
        }
    }

    fn algorithm(&mut self, env: &mut Env, attribute: &Attribute, stmt: &Stmt) -> Eval<Promised> {
        if !matches!(stmt.kind, StmtKind::Recurrence { .. }) {
            return self.misplaced(attribute, "a `recurrence`");
        }
        let (way, chunk) = match attribute.args.as_slice() {
            [way] => (way, None),
            [way, chunk] if chunk.name.as_ref().is_some_and(|name| name.text == "chunk") => {
                (way, Some(&chunk.value))
            }
            _ => return self.unclear(attribute.name.span, ALGORITHM),
        };
        let ExprKind::Name(word) = &way.value.kind else {
            return self.unclear(way.value.span, ALGORITHM);
        };
        let found = Way::ALL.iter().find(|own| own.word() == word);
        let (Some(way), None) = (found, &way.name) else {
            return self.unclear(way.value.span, ALGORITHM);
        };
        let chunk = chunk.map(|chunk| self.length(env, chunk)).transpose()?;
        Ok(Promised::Algorithm { way: *way, chunk })
    }

    /// A static number of positions.
    fn length(&mut self, env: &mut Env, expr: &Expr) -> Eval<u32> {
        let value = self.eval(env, expr)?;
        let number = match &value {
            Value::Int(extent) => extent.as_constant(),
            Value::Poison => return Err(super::value::Reported),
            _ => None,
        };
        match number {
            Some(number) if (1..=LARGEST).contains(&number) => Ok(number as u32),
            _ => self.error_help(
                203,
                expr.span,
                "this is no length of a block",
                format!("a number from 1 to {LARGEST} that is known when the model is built"),
                "write it out, or give the model a static parameter",
            ),
        }
    }

    fn misplaced<T>(&mut self, attribute: &Attribute, before: &str) -> Eval<T> {
        let name = &attribute.name;
        self.error_help(
            203,
            name.span,
            format!("`@{}` says nothing about this statement", name.text),
            format!("it stands before {before}"),
            "move it to the statement that it is about",
        )
    }

    fn unclear<T>(&mut self, span: Span, help: &str) -> Eval<T> {
        self.error_help(
            203,
            span,
            "this attribute promises nothing known",
            "not known",
            help,
        )
    }
}
