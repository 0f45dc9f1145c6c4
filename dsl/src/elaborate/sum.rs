//! Sums: products contract without ever being made where two factors are left.

use girih_graph::{AxisId, Binary, Combine, DType, Op};

use super::Elaborator;
use super::scope::Env;
use super::value::{Eval, Reported, Tensor, Value};
use crate::ast::{BinaryOp, Expr, ExprKind};
use crate::span::Span;

impl Elaborator<'_> {
    /// Σ over axes of a product.
    pub(crate) fn sum(
        &mut self,
        env: &mut Env,
        axes: &[AxisId],
        body: &Expr,
        kept: Option<Tensor>,
        span: Span,
    ) -> Eval<Tensor> {
        let mut factors = Vec::new();
        let mut divisors = Vec::new();
        flatten(body, &mut factors, &mut divisors);
        let mut inside: Vec<Tensor> = Vec::new();
        let mut outside: Vec<(Binary, Tensor)> = Vec::new();
        let mut values = Vec::new();
        for (factor, is_divisor) in
            (factors.iter().map(|f| (*f, false))).chain(divisors.iter().map(|d| (*d, true)))
        {
            values.push((self.eval(env, factor)?, factor.span, is_divisor));
        }
        if values.len() == 1 {
            let (value, place, _) = values.remove(0);
            let value = if let Value::Axes(_) = value {
                Value::Tensor(self.tensor(value, DType::I64, place)?)
            } else {
                value
            };
            let tensor = self.tensor(value, DType::F32, place)?;
            return self.sum_one(tensor, axes, kept, span);
        }
        let any_real = values.iter().any(|(value, ..)| match value {
            Value::Tensor(tensor) => self.ty(*tensor).dtype.is_real(),
            Value::Real(_) => true,
            _ => false,
        });
        if !any_real {
            // Products of integers have no contraction.
            let value = self.eval(env, body)?;
            let tensor = self.tensor(value, DType::F32, body.span)?;
            return self.sum_one(tensor, axes, kept, span);
        }
        let real = values.iter().find_map(|(value, ..)| match value {
            Value::Tensor(tensor) if self.ty(*tensor).dtype.is_real() => {
                Some(self.ty(*tensor).dtype)
            }
            _ => None,
        });
        let real = real.unwrap_or(DType::F32);
        for (value, place, is_divisor) in values {
            let tensor = self.tensor(value, real, place)?;
            let found = self.ty(tensor).dtype;
            if found != real {
                return self.error_help(
                    302,
                    place,
                    format!("a factor is `{found}`, another `{real}`"),
                    format!("`{found}` values"),
                    if found == DType::Bool {
                        "write the condition as a domain: `sum(j) x where c`, or `real(c)`"
                    } else {
                        "write `real(x)`; the size of an axis is `size(e)`"
                    },
                );
            }
            let has = axes.iter().any(|axis| self.ty(tensor).has(*axis));
            match (has, is_divisor) {
                (true, false) => inside.push(tensor),
                (true, true) => {
                    let one = self.number(real, 1.0);
                    inside.push(self.op(Op::Binary(Binary::Div), &[one, tensor], place)?);
                }
                (false, true) => outside.push((Binary::Div, tensor)),
                (false, false) => outside.push((Binary::Mul, tensor)),
            }
        }
        let mut result = self.contract_all(inside, axes, kept, real, span)?;
        for (op, factor) in outside {
            result = self.op(Op::Binary(op), &[result, factor], span)?;
        }
        Ok(result)
    }

    fn sum_one(
        &mut self,
        tensor: Tensor,
        axes: &[AxisId],
        kept: Option<Tensor>,
        span: Span,
    ) -> Eval<Tensor> {
        let tensor = self.with_axes(tensor, axes, kept, span)?;
        let tensor = match self.ty(tensor).dtype {
            DType::Bool => self.cast(tensor, DType::I64, span)?,
            _ => tensor,
        };
        let tensor = self.masked(tensor, kept, 0.0, span)?;
        self.op(Op::Reduce(Combine::Sum, axes.to_vec()), &[tensor], span)
    }

    fn contract_all(
        &mut self,
        mut factors: Vec<Tensor>,
        axes: &[AxisId],
        kept: Option<Tensor>,
        real: DType,
        span: Span,
    ) -> Eval<Tensor> {
        let mut kept = kept;
        // The domain is applied to the first factor, or product of factors, that has its axes.
        let covers = |this: &Self, tensor: Tensor, kept: Tensor| {
            this.ty(kept)
                .axes
                .iter()
                .all(|axis| this.ty(tensor).has(*axis))
        };
        if let Some(domain) = kept {
            for factor in &mut factors {
                if covers(self, *factor, domain) {
                    *factor = self.masked(*factor, Some(domain), 0.0, span)?;
                    kept = None;
                    break;
                }
            }
        }
        if factors.len() < 2 || kept.is_some() {
            let mut product = match factors.first() {
                Some(first) => *first,
                None => self.number(real, 1.0),
            };
            let mut rest = factors.into_iter().skip(1).peekable();
            while rest.peek().is_some() && kept.is_some_and(|domain| !covers(self, product, domain))
            {
                if let Some(next) = rest.next() {
                    product = self.op(Op::Binary(Binary::Mul), &[product, next], span)?;
                }
            }
            let rest: Vec<Tensor> = rest.collect();
            if rest.is_empty() {
                return self.sum_one(product, axes, kept, span);
            }
            let product = self.masked(product, kept, 0.0, span)?;
            let mut factors = vec![product];
            factors.extend(rest);
            return self.contract_all(factors, axes, None, real, span);
        }
        // Two factors at a time; an axis that is summed and that later factors lack goes at once.
        let mut left = factors.remove(0);
        while !factors.is_empty() {
            let right = factors.remove(0);
            let needed =
                |this: &Self, axis: AxisId| factors.iter().any(|factor| this.ty(*factor).has(axis));
            let done: Vec<AxisId> = axes
                .iter()
                .copied()
                .filter(|axis| !needed(self, *axis))
                .collect();
            let (l, r) = (self.ty(left).clone(), self.ty(right).clone());
            let both: Vec<AxisId> = done
                .iter()
                .copied()
                .filter(|axis| l.has(*axis) && r.has(*axis))
                .collect();
            let only_left: Vec<AxisId> = done
                .iter()
                .copied()
                .filter(|axis| l.has(*axis) && !r.has(*axis))
                .collect();
            let only_right: Vec<AxisId> = done
                .iter()
                .copied()
                .filter(|axis| !l.has(*axis) && r.has(*axis))
                .collect();
            let mut a = left;
            let mut b = right;
            if !only_left.is_empty() {
                a = self.op(Op::Reduce(Combine::Sum, only_left), &[a], span)?;
            }
            if !only_right.is_empty() {
                b = self.op(Op::Reduce(Combine::Sum, only_right), &[b], span)?;
            }
            left = if both.is_empty() {
                self.op(Op::Binary(Binary::Mul), &[a, b], span)?
            } else {
                self.op(Op::Contract(both), &[a, b], span)?
            };
        }
        let missing: Vec<AxisId> = axes
            .iter()
            .copied()
            .filter(|axis| self.ty(left).has(*axis))
            .collect();
        if !missing.is_empty() {
            return Err(Reported);
        }
        Ok(left)
    }
}

/// Factors and divisors of a product chain.
fn flatten<'a>(expr: &'a Expr, factors: &mut Vec<&'a Expr>, divisors: &mut Vec<&'a Expr>) {
    match &expr.kind {
        ExprKind::Binary(BinaryOp::Mul, left, right) => {
            flatten(left, factors, divisors);
            flatten(right, factors, divisors);
        }
        ExprKind::Binary(BinaryOp::Div, left, right) => {
            flatten(left, factors, divisors);
            divisors.push(right);
        }
        _ => factors.push(expr),
    }
}
