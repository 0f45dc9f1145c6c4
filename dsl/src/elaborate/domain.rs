//! What does a `where` make of the value before it?
//!
//! It governs the outermost reducer of its expression and the result: a sum skips what is
//! outside, a softmax gives zeros there, and where the domain holds nothing the result is 0,
//! or what `else` says.

use girih_graph::{AxisId, Combine, DType, Extent, Op};

use super::Elaborator;
use super::scope::Env;
use super::value::{Eval, Tensor, Value};
use crate::ast::{BinaryOp, Expr, ExprKind, Reducer};
use crate::span::Span;

impl Elaborator<'_> {
    /// `value where domain else other`.
    pub(crate) fn eval_where(
        &mut self,
        env: &mut Env,
        value: &Expr,
        domain: &Expr,
        other: Option<&Expr>,
        span: Span,
    ) -> Eval<Value> {
        let mut facts = Vec::new();
        self.facts(env, domain, &mut facts)?;
        let kept = self.eval(env, domain)?;
        let kept = match kept {
            // A domain that is known now takes all or nothing.
            Value::Bool(true) => return self.eval(env, value),
            kept => self.tensor(kept, DType::Bool, domain.span)?,
        };
        if self.ty(kept).dtype != DType::Bool {
            return self.error_help(
                302,
                domain.span,
                "a domain is a truth value",
                format!("this is `{}`", self.b.axes.show(self.ty(kept))),
                "compare: `where j <= i`",
            );
        }
        let mut inner = env.clone();
        inner.facts.extend(facts);
        inner.guarded = true;
        inner.domain = Some(kept);
        let result = self.eval(&mut inner, value)?;
        let result = self.tensor(result, DType::F32, value.span)?;
        let empty_is_zero = inner.domain.is_none() && is_masked_by_itself(value);
        let result_axes = self.ty(result).axes.clone();
        let reduced: Vec<AxisId> = (self.ty(kept).axes.iter().copied())
            .filter(|axis| inner.domain.is_none() && !result_axes.contains(axis))
            .collect();
        if empty_is_zero && other.is_none() {
            return Ok(Value::Tensor(result));
        }
        let inside = self.op_any(kept, &reduced, domain.span)?;
        let dtype = self.ty(result).dtype;
        let outside = match other {
            None => Value::Int(Extent::constant(0)),
            Some(other) => self.eval(env, other)?,
        };
        let outside = match (outside, dtype) {
            (Value::Int(_), DType::Bool) => Value::Bool(false),
            (outside, _) => outside,
        };
        let outside = self.tensor(outside, dtype, span)?;
        if let Some(other) = other
            && self.ty(outside).dtype != dtype
        {
            let found = self.ty(outside).dtype;
            return self.error_help(
                302,
                other.span,
                format!("the value is `{dtype}` inside the domain and `{found}` outside it"),
                format!("this is `{found}`"),
                format!("write a `{dtype}` value after `else`"),
            );
        }
        self.op(Op::Select, &[inside, result, outside], span)
            .map(Value::Tensor)
    }

    fn op_any(&mut self, kept: Tensor, over: &[AxisId], span: Span) -> Eval<Tensor> {
        if over.is_empty() {
            return Ok(kept);
        }
        self.op(Op::Reduce(Combine::Any, over.to_vec()), &[kept], span)
    }

    /// `x` with `other` outside the domain.
    pub(crate) fn masked(
        &mut self,
        x: Tensor,
        kept: Option<Tensor>,
        other: f64,
        span: Span,
    ) -> Eval<Tensor> {
        let Some(kept) = kept else {
            return Ok(x);
        };
        let dtype = self.ty(x).dtype;
        let other = match (dtype, other) {
            (DType::I64, f64::INFINITY) => {
                self.tensor(Value::Int(Extent::constant(i64::MAX)), dtype, span)?
            }
            (DType::I64, f64::NEG_INFINITY) => {
                self.tensor(Value::Int(Extent::constant(i64::MIN + 1)), dtype, span)?
            }
            _ => self.number(dtype, other),
        };
        self.op(Op::Select, &[kept, x, other], span)
    }
}

/// Whether the value of a reducer is 0 already where its domain is empty.
fn is_masked_by_itself(value: &Expr) -> bool {
    match &value.kind {
        ExprKind::Reduce { reducer, .. } => matches!(
            reducer,
            Reducer::Sum
                | Reducer::Mean
                | Reducer::Count
                | Reducer::Any
                | Reducer::Softmax
                | Reducer::LogSoftmax
                | Reducer::TopK
        ),
        ExprKind::Binary(BinaryOp::Mul | BinaryOp::Div, left, _) => is_masked_by_itself(left),
        _ => false,
    }
}
