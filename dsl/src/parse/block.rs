//! Blocks and statements.

use pest::iterators::Pair;

use super::build::{Builder, Parts, only};
use super::grammar::Rule;
use super::slip;
use crate::ast::{Attribute, Block, Expr, ExprKind, Place, StateDecl, Stmt, StmtKind};
use crate::span::Span;

impl Builder<'_> {
    /// `{ statement … }`.
    pub(super) fn block(&mut self, pair: Pair<'_, Rule>) -> Block {
        let span = self.span(&pair);
        let mut stmts = Vec::new();
        for stmt in Parts::of(pair) {
            let stmt = self.stmt(stmt, stmts.last());
            stmts.push(stmt);
        }
        Block { stmts, span }
    }

    /// One statement; `before` is the one before it, if any.
    pub(super) fn stmt(&mut self, pair: Pair<'_, Rule>, before: Option<&Stmt>) -> Stmt {
        let mut parts = Parts::of(pair);
        let attributes = parts
            .all(Rule::attribute)
            .into_iter()
            .map(|pair| self.attribute(pair))
            .collect();
        let pair = parts.part();
        let span = self.span(&pair);
        let kind = match pair.as_rule() {
            Rule::bind => self.bind(pair),
            Rule::return_stmt => StmtKind::Return(self.returned(pair, span)),
            Rule::state_decl => StmtKind::State(self.state_decl(pair)),
            Rule::recurrence => self.recurrence(pair),
            Rule::for_stmt => {
                let mut parts = Parts::of(pair);
                let var = self.declared(&parts.part());
                let over = self.expr(parts.part());
                StmtKind::For {
                    var,
                    over,
                    body: self.block(parts.part()),
                }
            }
            Rule::if_stmt => self.if_stmt(pair),
            Rule::while_stmt => {
                let mut parts = Parts::of(pair);
                let cond = self.expr(parts.part());
                let limit = self.expr(parts.part());
                StmtKind::While {
                    cond,
                    limit,
                    body: self.block(parts.part()),
                }
            }
            Rule::emit => StmtKind::Emit(self.expr(only(pair))),
            _ => self.effect(pair, before),
        };
        Stmt {
            attributes,
            kind,
            span,
        }
    }

    pub(super) fn attribute(&mut self, pair: Pair<'_, Rule>) -> Attribute {
        let mut parts = Parts::of(pair);
        let name = self.word(&parts.part());
        let args = parts.next().map(|args| self.args(args)).unwrap_or_default();
        Attribute { name, args }
    }

    fn bind(&mut self, pair: Pair<'_, Rule>) -> StmtKind {
        let mut parts = Parts::of(pair);
        let places: Vec<_> = parts
            .all(Rule::place)
            .into_iter()
            .map(|place| self.place(place))
            .collect();
        if let Some(typed) = parts.maybe(Rule::slip_type) {
            let found = slip::typed_equation(&places[0].name, self.span(&typed));
            self.report(found);
        }
        let op = parts.part();
        if op.as_str() != "=" {
            let place = places[0].span;
            let found = slip::foreign_assignment(self.slice(place), op.as_str(), self.span(&op));
            self.report(found);
        }
        StmtKind::Bind {
            places,
            value: self.expr(parts.part()),
        }
    }

    fn place(&mut self, pair: Pair<'_, Rule>) -> Place {
        let span = self.span(&pair);
        let mut parts = Parts::of(pair);
        let name = self.declared(&parts.part());
        let next = parts.maybe(Rule::prime).is_some();
        let indices = parts.next().map(|indices| self.index_items(indices));
        Place {
            name,
            next,
            indices,
            span,
        }
    }

    fn returned(&mut self, pair: Pair<'_, Rule>, span: Span) -> Expr {
        let mut items: Vec<_> = Parts::of(pair).map(|item| self.expr(item)).collect();
        if items.len() == 1 {
            return items.remove(0);
        }
        let span = items[0].span.to(span);
        Expr {
            kind: ExprKind::Tuple(items),
            span,
        }
    }

    /// `state name: type = init`.
    pub(super) fn state_decl(&mut self, pair: Pair<'_, Rule>) -> StateDecl {
        let shared = pair
            .clone()
            .into_inner()
            .any(|part| part.as_rule() == Rule::kw_shared);
        let mut parts = Parts::of(pair);
        let name = self.declared(&parts.part());
        let ty = self.ty(parts.part());
        StateDecl {
            name,
            ty,
            init: self.expr(parts.part()),
            shared,
        }
    }

    fn recurrence(&mut self, pair: Pair<'_, Rule>) -> StmtKind {
        let reverse = pair
            .clone()
            .into_inner()
            .any(|part| part.as_rule() == Rule::kw_reverse);
        let mut parts = Parts::of(pair);
        let over = self.word(&parts.part());
        StmtKind::Recurrence {
            over,
            reverse,
            body: self.block(parts.part()),
        }
    }

    fn if_stmt(&mut self, pair: Pair<'_, Rule>) -> StmtKind {
        let whole = pair.clone();
        let mut parts = Parts::of(pair);
        let cond = self.expr(parts.part());
        let then = self.block(parts.part());
        let arms = parts.all(Rule::else_if);
        let mut other = parts.next().map(only);
        if self.too_deep(arms.len(), &whole) {
            return StmtKind::If {
                cond,
                then,
                other: None,
            };
        }
        self.depth += arms.len();
        let mut rest = other.take().map(|block| self.block(block));
        for arm in arms.into_iter().rev() {
            let span = self.span(&arm);
            let mut parts = Parts::of(arm);
            let cond = self.expr(parts.part());
            let then = self.block(parts.part());
            let kind = StmtKind::If {
                cond,
                then,
                other: rest,
            };
            let stmt = Stmt {
                attributes: Vec::new(),
                kind,
                span,
            };
            rest = Some(Block {
                stmts: vec![stmt],
                span,
            });
            self.depth -= 1;
        }
        StmtKind::If {
            cond,
            then,
            other: rest,
        }
    }

    /// An expression as a statement: a call for its effect, otherwise a slip.
    fn effect(&mut self, pair: Pair<'_, Rule>, before: Option<&Stmt>) -> StmtKind {
        let chain = only(pair);
        let defines = chain
            .clone()
            .into_inner()
            .find(|part| part.as_rule() == Rule::infix && part.as_str() == "=");
        if let Some(equals) = defines {
            let (start, end) = (self.span(&chain), self.span(&equals));
            self.report(slip::left_side(
                Span {
                    end: end.start,
                    ..start
                },
                self.slice(start),
            ));
            return StmtKind::Do(self.nothing(&chain));
        }
        let expr = self.chain(chain);
        let joined = before.filter(|before| !self.line_between(before.span, expr.span));
        if let Some(before) = joined {
            let found = slip::two_on_a_line(self, before, &expr);
            self.report(found);
            self.hush(expr.span);
            if matches!(&expr.kind, ExprKind::Name(word) if word == "elif") {
                self.hush_all(expr.span);
            }
        } else if !matches!(expr.kind, ExprKind::Call { .. }) {
            let found = slip::no_effect(self, &expr);
            self.report(found);
            self.hush(expr.span);
        }
        StmtKind::Do(expr)
    }
}
