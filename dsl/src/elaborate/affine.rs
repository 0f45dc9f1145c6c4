//! Index expressions that are sums of positions with static factors, and what is proved of them.

use std::collections::BTreeMap;

use girih_graph::{AxisId, Extent};

use super::Elaborator;
use super::scope::Env;
use super::value::{Eval, Value};
use crate::ast::{BinaryOp, Expr, ExprKind, UnaryOp};

/// Σ factor · position + constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Affine {
    pub(crate) terms: BTreeMap<AxisId, Extent>,
    pub(crate) constant: Extent,
}

impl Affine {
    pub(crate) fn constant(constant: Extent) -> Self {
        Self {
            terms: BTreeMap::new(),
            constant,
        }
    }

    pub(crate) fn plus(&self, other: &Self, sign: i64) -> Self {
        let sign = Extent::constant(sign);
        let mut result = self.clone();
        for (axis, factor) in &other.terms {
            let entry = result
                .terms
                .entry(*axis)
                .or_insert_with(|| Extent::constant(0));
            *entry = entry.plus(&factor.times(&sign));
        }
        result
            .terms
            .retain(|_, factor| factor.as_constant() != Some(0));
        result.constant = result.constant.plus(&other.constant.times(&sign));
        result
    }

    pub(crate) fn times(&self, factor: &Extent) -> Self {
        let mut result = self.clone();
        for own in result.terms.values_mut() {
            *own = own.times(factor);
        }
        result.constant = result.constant.times(factor);
        result
    }
}

impl Elaborator<'_> {
    /// An expression as an affine form, where it is one.
    pub(crate) fn affine(&mut self, env: &mut Env, expr: &Expr) -> Eval<Option<Affine>> {
        Ok(match &expr.kind {
            ExprKind::Int(number) => Some(Affine::constant(Extent::constant(*number))),
            ExprKind::Name(name) => {
                if !matches!(env.locals.get(name), Some(value) if !matches!(value, Value::Axes(_)))
                    && let Some(axis) = self.axis_named(env, name, expr.span)?
                {
                    return Ok(Some(Affine {
                        terms: BTreeMap::from([(axis, Extent::constant(1))]),
                        constant: Extent::constant(0),
                    }));
                }
                match self.lookup(env, name, expr.span)? {
                    Some(Value::Int(extent)) => Some(Affine::constant(extent)),
                    _ => None,
                }
            }
            ExprKind::Unary(UnaryOp::Neg, inner) => self
                .affine(env, inner)?
                .map(|form| form.times(&Extent::constant(-1))),
            ExprKind::Binary(op @ (BinaryOp::Add | BinaryOp::Sub), left, right) => {
                let sign = if *op == BinaryOp::Add { 1 } else { -1 };
                match (self.affine(env, left)?, self.affine(env, right)?) {
                    (Some(left), Some(right)) => Some(left.plus(&right, sign)),
                    _ => None,
                }
            }
            ExprKind::Binary(BinaryOp::Mul, left, right) => {
                match (self.affine(env, left)?, self.affine(env, right)?) {
                    (Some(left), Some(right)) if left.terms.is_empty() => {
                        Some(right.times(&left.constant))
                    }
                    (Some(left), Some(right)) if right.terms.is_empty() => {
                        Some(left.times(&right.constant))
                    }
                    _ => None,
                }
            }
            ExprKind::Binary(
                op @ (BinaryOp::Div | BinaryOp::FloorDiv | BinaryOp::Rem),
                left,
                right,
            ) => match (self.affine(env, left)?, self.affine(env, right)?) {
                (Some(left), Some(right))
                    if left.terms.is_empty()
                        && right.terms.is_empty()
                        && right.constant.as_constant() != Some(0) =>
                {
                    let (a, b) = (left.constant, right.constant);
                    match op {
                        BinaryOp::Div => a.divided_exactly(&b).map(Affine::constant),
                        BinaryOp::FloorDiv => Some(Affine::constant(a.floor_div(&b))),
                        _ => Some(Affine::constant(a.remainder(&b))),
                    }
                }
                _ => None,
            },
            ExprKind::Call { callee, .. } if is_name(callee, "size") => {
                match self.eval(env, expr)? {
                    Value::Int(extent) => Some(Affine::constant(extent)),
                    _ => None,
                }
            }
            ExprKind::Call { callee, args } if is_name(callee, "index") => match args.as_slice() {
                [arg] => self.affine(env, &arg.value)?,
                _ => None,
            },
            ExprKind::Field { .. } => match self.eval(env, expr)? {
                Value::Int(extent) => Some(Affine::constant(extent)),
                _ => None,
            },
            _ => None,
        })
    }

    /// The inequalities `≥ 0` that a domain grants.
    pub(crate) fn facts(
        &mut self,
        env: &mut Env,
        domain: &Expr,
        facts: &mut Vec<Affine>,
    ) -> Eval<()> {
        let ExprKind::Binary(op, left, right) = &domain.kind else {
            return Ok(());
        };
        if *op == BinaryOp::And {
            self.facts(env, left, facts)?;
            return self.facts(env, right, facts);
        }
        if !matches!(
            op,
            BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge | BinaryOp::Eq
        ) {
            return Ok(());
        }
        if !is_plain(left) || !is_plain(right) {
            return Ok(());
        }
        let (Some(left), Some(right)) = (self.affine(env, left)?, self.affine(env, right)?) else {
            return Ok(());
        };
        let one = Affine::constant(Extent::constant(1));
        let up = right.plus(&left, -1);
        let down = left.plus(&right, -1);
        match op {
            BinaryOp::Le => facts.push(up),
            BinaryOp::Lt => facts.push(up.plus(&one, -1)),
            BinaryOp::Ge => facts.push(down),
            BinaryOp::Gt => facts.push(down.plus(&one, -1)),
            _ => facts.extend([up, down]),
        }
        Ok(())
    }

    /// The least value over all positions, if the signs are known.
    pub(crate) fn least(&self, form: &Affine) -> Option<Extent> {
        let mut least = form.constant.clone();
        for (axis, factor) in &form.terms {
            if factor.is_at_least(0) {
                continue;
            }
            if !Extent::constant(0).minus(factor).is_at_least(0) {
                return None;
            }
            let last = self.b.axes.extent(*axis).minus(&Extent::constant(1));
            least = least.plus(&factor.times(&last));
        }
        Some(least)
    }

    pub(crate) fn is_nonnegative(&self, env: &Env, form: &Affine) -> bool {
        let proved = |form: &Affine| self.least(form).is_some_and(|least| least.is_at_least(0));
        proved(form)
            || env.facts.iter().any(|fact| {
                proved(&form.plus(fact, -1))
                    // Two inequalities together, for `0 <= i + k - p` with both bounds written.
                    || env.facts.iter().any(|other| proved(&form.plus(fact, -1).plus(other, -1)))
            })
    }

    pub(crate) fn show_affine(&self, form: &Affine) -> String {
        let mut text = String::new();
        for (axis, factor) in &form.terms {
            let name = self.b.axes.name(*axis);
            let (sign, factor) = match factor.as_constant() {
                Some(number) if number < 0 => ("-", Extent::constant(number.saturating_neg())),
                _ => ("+", factor.clone()),
            };
            match (text.is_empty(), sign) {
                (true, "+") => {}
                (true, _) => text.push('-'),
                (false, sign) => text.extend([" ", sign, " "]),
            }
            if factor.as_constant() == Some(1) {
                text.push_str(name);
            } else {
                text.extend([factor.to_string().as_str(), "*", name]);
            }
        }
        match form.constant.as_constant() {
            Some(0) if !text.is_empty() => {}
            Some(number) if number < 0 && !text.is_empty() => {
                text.extend([" - ", number.unsigned_abs().to_string().as_str()]);
            }
            _ if text.is_empty() => text.push_str(&form.constant.to_string()),
            _ => text.extend([" + ", form.constant.to_string().as_str()]),
        }
        text
    }
}

fn is_name(expr: &Expr, name: &str) -> bool {
    matches!(&expr.kind, ExprKind::Name(own) if own == name)
}

/// Whether an expression can only be arithmetic on indices and sizes.
fn is_plain(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Int(_) | ExprKind::Name(_) | ExprKind::Field { .. } => true,
        ExprKind::Unary(_, inner) => is_plain(inner),
        ExprKind::Binary(_, left, right) => is_plain(left) && is_plain(right),
        ExprKind::Call { callee, .. } => is_name(callee, "size") || is_name(callee, "index"),
        _ => false,
    }
}
