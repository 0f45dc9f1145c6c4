//! What a statement does: equations (their left sides are in `left`), returns, static loops
//! and choices.

use std::collections::BTreeSet;

use super::mentioned::{defined_names, stmt_names};
use super::scope::Env;
use super::value::{Eval, Reported, Value};
use super::{Elaborator, LIMIT};
use crate::ast::{self, Expr, ExprKind, Place, Stmt, StmtKind};
use crate::span::Span;

impl Elaborator<'_> {
    /// Runs a body and gives what it returns.
    pub(crate) fn run_body(&mut self, env: &mut Env, body: &ast::Block, name: Span) -> Eval<Value> {
        let tail = BTreeSet::new();
        match self.run_block(env, &body.stmts, &tail)? {
            Some(value) => Ok(value),
            // A method that only writes states returns nothing.
            None if env.instance.is_some() && !env.next.is_empty() => Ok(Value::None),
            None => self.error_help(
                404,
                name,
                "the body returns nothing",
                "a value is expected",
                "end it with `return …`",
            ),
        }
    }

    /// Runs statements. One that is wrong does not hide the mistakes of the others: what it
    /// would have defined is marked. `tail` holds the names that are used afterwards.
    pub(crate) fn run_block(
        &mut self,
        env: &mut Env,
        stmts: &[Stmt],
        tail: &BTreeSet<String>,
    ) -> Eval<Option<Value>> {
        let mut broken = false;
        for (position, stmt) in stmts.iter().enumerate() {
            match self.run_stmt(env, stmt, &stmts[position + 1..], tail) {
                Ok(Some(value)) if !broken => return Ok(Some(value)),
                Ok(_) => {}
                Err(Reported) => {
                    broken = true;
                    let mut names = Vec::new();
                    defined_names(&stmt.kind, &mut names);
                    for name in names {
                        env.locals.insert(name, Value::Poison);
                    }
                    if let StmtKind::Bind { places, .. } = &stmt.kind {
                        self.poison_indices(env, places)?;
                    }
                }
            }
        }
        if broken { Err(Reported) } else { Ok(None) }
    }

    /// Index variables that a broken equation would have bound are not reported as unknown later.
    fn poison_indices(&mut self, env: &mut Env, places: &[Place]) -> Eval<()> {
        for index in places
            .iter()
            .filter_map(|place| place.indices.as_ref())
            .flatten()
        {
            if let ast::Index::At(expr) = index
                && let ExprKind::Name(name) = &expr.kind
                && self.lookup(env, name, expr.span)?.is_none()
            {
                env.locals.insert(name.clone(), Value::Poison);
            }
        }
        Ok(())
    }

    fn run_stmt(
        &mut self,
        env: &mut Env,
        stmt: &Stmt,
        following: &[Stmt],
        tail: &BTreeSet<String>,
    ) -> Eval<Option<Value>> {
        let Some(promises) = self.promises(env, stmt)? else {
            return self.run_kind(env, stmt, following, tail);
        };
        let outer = self.promises.replace(promises);
        let result = self.run_kind(env, stmt, following, tail);
        self.promises = outer;
        result
    }

    fn run_kind(
        &mut self,
        env: &mut Env,
        stmt: &Stmt,
        following: &[Stmt],
        tail: &BTreeSet<String>,
    ) -> Eval<Option<Value>> {
        match &stmt.kind {
            StmtKind::Return(expr) => {
                let mut inner = env.clone();
                let value = self.equation(&mut inner, expr);
                env.indices = inner.indices;
                value.map(Some)
            }
            StmtKind::Bind { places, value } => {
                self.bind(env, places, value, stmt.span)?;
                Ok(None)
            }
            StmtKind::Recurrence {
                over,
                reverse,
                body,
            } => {
                let mut used = tail.clone();
                for stmt in following {
                    stmt_names(stmt, &mut used);
                }
                self.run_recurrence(env, over, *reverse, body, &used, stmt.span)?;
                Ok(None)
            }
            StmtKind::For { var, over, body } => {
                let mut used = tail.clone();
                for stmt in following.iter().chain(&body.stmts) {
                    stmt_names(stmt, &mut used);
                }
                self.run_for(env, var, over, body, &used)
            }
            StmtKind::If { cond, then, other } => {
                let mut used = tail.clone();
                for stmt in following {
                    stmt_names(stmt, &mut used);
                }
                match self.eval(env, cond)? {
                    Value::Bool(true) => self.run_block(env, &then.stmts, &used),
                    Value::Bool(false) => match other {
                        Some(block) => self.run_block(env, &block.stmts, &used),
                        None => Ok(None),
                    },
                    Value::Poison => Err(Reported),
                    other => self.error_help(
                        405,
                        cond.span,
                        format!(
                            "the condition is {}, known only when the model runs",
                            other.kind()
                        ),
                        "a statement is chosen when the model is built",
                        "choose values instead: `y = if c then a else b`",
                    ),
                }
            }
            StmtKind::State(state) => self.error_help(
                405,
                state.name.span,
                "a `state` stands in a recurrence or in a module",
                "not in a body",
                "put it into `recurrence over t { … }`",
            ),
            StmtKind::While { cond, .. } => self.error_help(
                405,
                cond.span,
                "`while` stands in procedures only",
                "a model has no loop of unknown length",
                "use `for`, or `recurrence over k { … }`",
            ),
            StmtKind::Emit(expr) => self.error(
                405,
                expr.span,
                "`emit` stands in procedures only",
                "a model returns its results",
            ),
            StmtKind::Do(expr) => {
                let mut inner = env.clone();
                match self.eval(&mut inner, expr)? {
                    // A call for its effect: `mem.write(x)`.
                    Value::None => Ok(None),
                    _ => self.error_help(
                        405,
                        expr.span,
                        "the value of this line is lost",
                        "nothing receives it",
                        "give it a name: `y = …`, or `return` it",
                    ),
                }
            }
        }
    }

    /// Evaluates the right side of an equation: index variables are bound first.
    pub(crate) fn equation(&mut self, env: &mut Env, expr: &Expr) -> Eval<Value> {
        self.bind_indices(env, expr)?;
        self.eval(env, expr)
    }

    fn run_for(
        &mut self,
        env: &mut Env,
        var: &ast::Name,
        over: &Expr,
        body: &ast::Block,
        tail: &BTreeSet<String>,
    ) -> Eval<Option<Value>> {
        let elements: Vec<Value> = match self.eval(env, over)? {
            Value::Stack(instances) => instances.iter().map(|own| Value::Instance(*own)).collect(),
            Value::Experts(_, instances) => {
                instances.iter().map(|own| Value::Instance(*own)).collect()
            }
            Value::List(parts) | Value::Tuple(parts) => parts,
            Value::Int(extent) => match extent.as_constant() {
                Some(count) if count as usize <= LIMIT => (0..count)
                    .map(|turn| Value::Int(girih_graph::Extent::constant(turn)))
                    .collect(),
                Some(count) => {
                    return self.error(
                        307,
                        over.span,
                        format!("{count} turns are too many"),
                        format!("at most {LIMIT}"),
                    );
                }
                None => {
                    return self.error_help(
                        309,
                        over.span,
                        format!(
                            "`{extent}` turns: the count has to be known before the model runs"
                        ),
                        "a `for` is unrolled",
                        "walk an axis with `recurrence over t { … }`",
                    );
                }
            },
            Value::Axes(_) => {
                return self.error_help(
                    405,
                    over.span,
                    "a `for` counts or walks a list",
                    "this is an axis",
                    "walk an axis with `recurrence over t { … }`, or count: `for i in size(t)`",
                );
            }
            Value::Poison => return Err(Reported),
            other => {
                return self.error(
                    405,
                    over.span,
                    format!("a `for` counts or walks a list, not {}", other.kind()),
                    format!("this is {}", other.kind()),
                );
            }
        };
        let before = env.locals.get(&var.text).cloned();
        for element in elements {
            self.spend(over.span, 1)?;
            env.locals.insert(var.text.clone(), element);
            if let Some(value) = self.run_block(env, &body.stmts, tail)? {
                return Ok(Some(value));
            }
        }
        match before {
            Some(value) => env.locals.insert(var.text.clone(), value),
            None => env.locals.remove(&var.text),
        };
        Ok(None)
    }
}
