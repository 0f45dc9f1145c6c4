//! Which index variables does an equation bind, and over what do they range?

use std::collections::BTreeMap;

use girih_graph::{AxisId, Extent, Op};

use super::Elaborator;
use super::affine::Affine;
use super::index::children;
use super::scope::Env;
use super::value::{Axes, Eval, Value};
use crate::ast::{self, BinaryOp, Expr, ExprKind};
use crate::span::Span;

impl Elaborator<'_> {
    /// Finds the index variables that an equation binds: `i` of `q[t = i]` ranges over `t`.
    pub(crate) fn bind_indices(&mut self, env: &mut Env, expr: &Expr) -> Eval<()> {
        let mut bounds = Vec::new();
        constant_bounds(expr, &mut bounds);
        let mut fresh: BTreeMap<String, AxisId> = BTreeMap::new();
        self.bind_in(env, expr, &mut fresh)?;
        for (name, bound, inclusive) in bounds {
            if fresh.contains_key(name) || self.means_something(env, name)? {
                continue;
            }
            let Some(Affine { terms, constant }) = self.affine(env, bound)? else {
                continue;
            };
            if !terms.is_empty() {
                continue;
            }
            let extent = constant.plus(&Extent::constant(i64::from(inclusive)));
            let taken = self.index_taken(env);
            let axis = self.pooled_axis(name, &extent, None, false, &taken);
            env.indices.insert(name.to_owned(), axis);
        }
        Ok(())
    }

    fn index_taken(&self, env: &Env) -> std::collections::BTreeSet<AxisId> {
        let mut taken = self.taken_axes(env.instance);
        taken.extend(env.lifted.iter().copied());
        taken
    }

    fn means_something(&mut self, env: &Env, name: &str) -> Eval<bool> {
        let span = Span::new(crate::span::FileId(0), 0, 0);
        Ok(self.lookup(env, name, span)?.is_some())
    }

    fn bind_in(
        &mut self,
        env: &mut Env,
        expr: &Expr,
        fresh: &mut BTreeMap<String, AxisId>,
    ) -> Eval<()> {
        if let ExprKind::Index { base, items } = &expr.kind {
            self.bind_in(env, base, fresh)?;
            for item in items {
                let ast::Index::Bind(axis_name, index) = item else {
                    continue;
                };
                self.bind_in(env, index, fresh)?;
                let ExprKind::Name(variable) = &index.kind else {
                    continue;
                };
                if fresh.contains_key(variable) {
                    continue;
                }
                let poisoned = matches!(env.locals.get(variable), Some(Value::Poison));
                let rebound = poisoned || env.indices.contains_key(variable);
                if !rebound && self.means_something(env, variable)? {
                    continue;
                }
                if env.locals.contains_key(variable) && !poisoned {
                    continue;
                }
                // The base is evaluated once more when the equation is; equal values merge later.
                let tensor = match self.eval(env, base)? {
                    Value::Tensor(tensor) => tensor,
                    Value::Axes(Axes::One(axis)) => self.op(Op::Index(axis), &[], base.span)?,
                    Value::Record(fields) => match fields.into_iter().next() {
                        Some((_, Value::Tensor(tensor))) => tensor,
                        _ => continue,
                    },
                    _ => continue,
                };
                let axis = self.axis_of(env, tensor, &axis_name.text, axis_name.span)?;
                if env.indices.get(variable) == Some(&axis) {
                    continue;
                }
                let found = self.b.axes[axis].clone();
                let over = self.b.axes.root(axis);
                let taken = self.index_taken(env);
                let index =
                    self.pooled_axis(variable, &found.extent, Some(over), found.time, &taken);
                if poisoned {
                    env.locals.remove(variable);
                }
                env.indices.insert(variable.clone(), index);
                fresh.insert(variable.clone(), index);
            }
            return Ok(());
        }
        for part in children(expr) {
            self.bind_in(env, part, fresh)?;
        }
        Ok(())
    }
}

/// `w < n` and `w <= n` for names `w`, anywhere in the domains of an expression.
fn constant_bounds<'a>(expr: &'a Expr, bounds: &mut Vec<(&'a str, &'a Expr, bool)>) {
    if let ExprKind::Where { domain, .. } = &expr.kind {
        conjunct_bounds(domain, bounds);
    }
    for part in children(expr) {
        constant_bounds(part, bounds);
    }
}

fn conjunct_bounds<'a>(domain: &'a Expr, bounds: &mut Vec<(&'a str, &'a Expr, bool)>) {
    match &domain.kind {
        ExprKind::Binary(BinaryOp::And, left, right) => {
            conjunct_bounds(left, bounds);
            conjunct_bounds(right, bounds);
        }
        ExprKind::Binary(op @ (BinaryOp::Lt | BinaryOp::Le), left, right) => {
            if let ExprKind::Name(name) = &left.kind {
                bounds.push((name, right, *op == BinaryOp::Le));
            }
        }
        ExprKind::Binary(op @ (BinaryOp::Gt | BinaryOp::Ge), left, right) => {
            if let ExprKind::Name(name) = &right.kind {
                bounds.push((name, left, *op == BinaryOp::Ge));
            }
        }
        _ => {}
    }
}
