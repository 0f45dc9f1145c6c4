//! How do the largest and the smallest positions along an axis become ranks?

use girih_graph::{AxisId, Binary, Combine, DType, Op};

use super::Elaborator;
use super::reduction::Words;
use super::scope::Env;
use super::value::{Eval, Tensor, Value};
use crate::ast::Expr;
use crate::span::Span;

impl Elaborator<'_> {
    pub(crate) fn order(
        &mut self,
        x: Tensor,
        axis: AxisId,
        into: AxisId,
        descending: bool,
        kept: Option<Tensor>,
        span: Span,
    ) -> Eval<Tensor> {
        let last = if descending {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        };
        let x = self.masked(x, kept, last, span)?;
        let op = Op::Order {
            axis,
            into,
            descending,
        };
        self.op(op, &[x], span)
    }

    /// The axis of ranks: declared, or as long as the one that is sorted.
    pub(crate) fn rank_axis(
        &mut self,
        env: &mut Env,
        words: &Words,
        axis: AxisId,
        span: Span,
    ) -> Eval<AxisId> {
        let Some((name, _)) = &words.into else {
            return self.error_help(
                303,
                span,
                "the ranks need an axis",
                "only the sorted axis is named",
                "write `top(j -> r) x`; declare `axis r = k` for the first k",
            );
        };
        if let Some(rank) = self.axis_named(env, name, span)? {
            return Ok(rank);
        }
        let extent = self.b.axes.extent(axis).clone();
        Ok(self.declare_axis(env, name, &extent, false))
    }

    pub(crate) fn top_k(
        &mut self,
        env: &mut Env,
        words: &Words,
        body: &Expr,
        kept: Option<Tensor>,
        span: Span,
    ) -> Eval<Tensor> {
        let axis = self.one_axis(words, span)?;
        let Some(Value::Int(count)) = words.count.clone() else {
            return self.error_help(
                303,
                span,
                "`topk` needs a static count",
                "the first argument is the count",
                "write `topk(k, j) x`",
            );
        };
        let x = self.body_tensor(env, body, DType::F32, &words.axes, kept)?;
        // Asking for more than there are takes all.
        let count = count.minimum(self.b.axes.extent(axis));
        let taken = self.ty(x).axes.iter().copied().collect();
        let rank = self.pooled_axis("rank", &count, None, false, &taken);
        let order = self.order(x, axis, rank, true, kept, span)?;
        let index = self.op(Op::Index(axis), &[], span)?;
        let hit = self.op(Op::Binary(Binary::Eq), &[order, index], span)?;
        let hit = self.op(Op::Reduce(Combine::Any, vec![rank]), &[hit], span)?;
        match kept {
            None => Ok(hit),
            Some(kept) => self.op(Op::Binary(Binary::And), &[hit, kept], span),
        }
    }
}
