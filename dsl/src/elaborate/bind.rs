//! Which index variables does an equation bind, and over what do they range?

use std::collections::BTreeMap;

use girih_graph::{AxisId, Extent, Op};

use super::Elaborator;
use super::affine::Affine;
use super::index::children;
use super::numbers::same_thing;
use super::scope::Env;
use super::value::{Axes, Eval, Value};
use crate::ast::{self, BinaryOp, Expr, ExprKind, UnaryOp};
use crate::span::Span;

impl Elaborator<'_> {
    /// Finds the index variables that an equation binds: `i` of `q[t = i]` ranges over `t`.
    pub(crate) fn bind_indices(&mut self, env: &mut Env, expr: &Expr) -> Eval<()> {
        let mut bounds = Vec::new();
        constant_bounds(expr, &mut bounds);
        let mut fresh: BTreeMap<String, AxisId> = BTreeMap::new();
        self.bind_in(env, expr, true, &mut fresh)?;
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

    /// Binds what an expression reads. A side that is not `chosen` gives ranges, too, but is not
    /// looked at otherwise.
    fn bind_in(
        &mut self,
        env: &mut Env,
        expr: &Expr,
        chosen: bool,
        fresh: &mut BTreeMap<String, AxisId>,
    ) -> Eval<()> {
        if let ExprKind::If { cond, then, other } = &expr.kind
            && let Some(truth) = self.static_truth(env, cond)?
        {
            let (taken, left) = if truth { (then, other) } else { (other, then) };
            self.bind_in(env, taken, chosen, fresh)?;
            return self.bind_in(env, left, false, fresh);
        }
        if let ExprKind::Index { base, items } = &expr.kind {
            self.bind_in(env, base, chosen, fresh)?;
            for item in items {
                let ast::Index::Bind(axis_name, index) = item else {
                    continue;
                };
                self.bind_in(env, index, chosen, fresh)?;
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
                let Some(axis) = self.axis_read(env, base, axis_name, chosen)? else {
                    continue;
                };
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
            self.bind_in(env, part, chosen, fresh)?;
        }
        Ok(())
    }

    /// The axis along which `base` is read; `None` if `base` says nothing about it.
    fn axis_read(
        &mut self,
        env: &mut Env,
        base: &Expr,
        name: &ast::Name,
        chosen: bool,
    ) -> Eval<Option<AxisId>> {
        if !chosen && !matches!(base.kind, ExprKind::Name(_) | ExprKind::Field { .. }) {
            return self.axis_named(env, &name.text, name.span);
        }
        // The base is evaluated once more when the equation is; equal values merge later.
        let tensor = match self.eval(env, base)? {
            Value::Tensor(tensor) => tensor,
            Value::Axes(Axes::One(axis)) => self.op(Op::Index(axis), &[], base.span)?,
            Value::Record(fields) => match fields.into_iter().next() {
                Some((_, Value::Tensor(tensor))) => tensor,
                _ => return Ok(None),
            },
            // An input that was left out would have had the axis.
            Value::None => return self.axis_named(env, &name.text, name.span),
            _ => return Ok(None),
        };
        self.axis_of(env, tensor, &name.text, name.span).map(Some)
    }

    /// Whether a condition of names and constants holds, if that can be said without making
    /// anything.
    fn static_truth(&mut self, env: &Env, cond: &Expr) -> Eval<Option<bool>> {
        Ok(match &cond.kind {
            ExprKind::Unary(UnaryOp::Not, inner) => {
                self.static_truth(env, inner)?.map(|truth| !truth)
            }
            ExprKind::Binary(op @ (BinaryOp::And | BinaryOp::Or), left, right) => {
                let (l, r) = (
                    self.static_truth(env, left)?,
                    self.static_truth(env, right)?,
                );
                let decides = *op == BinaryOp::Or;
                match (l, r) {
                    (Some(l), Some(r)) => Some(if decides { l || r } else { l && r }),
                    (Some(one), None) | (None, Some(one)) if one == decides => Some(one),
                    _ => None,
                }
            }
            ExprKind::Binary(op @ (BinaryOp::Eq | BinaryOp::Ne), left, right) => {
                let (l, r) = (self.constant(env, left)?, self.constant(env, right)?);
                let equal = l.zip(r).and_then(|(l, r)| same_thing(&l, &r));
                equal.map(|equal| equal == (*op == BinaryOp::Eq))
            }
            _ => match self.constant(env, cond)? {
                Some(Value::Bool(truth)) => Some(truth),
                _ => None,
            },
        })
    }

    /// The value of a name or of a constant.
    fn constant(&mut self, env: &Env, expr: &Expr) -> Eval<Option<Value>> {
        Ok(match &expr.kind {
            ExprKind::Name(name) => self.lookup(env, name, expr.span)?,
            ExprKind::Bool(truth) => Some(Value::Bool(*truth)),
            ExprKind::Text(text) => Some(Value::Text(text.text.clone())),
            ExprKind::Int(number) => Some(Value::Int(Extent::constant(*number))),
            _ => None,
        })
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
