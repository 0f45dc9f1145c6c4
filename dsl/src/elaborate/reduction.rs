//! What prefix operators make of what follows them, along their axes and within the domain
//! that a surrounding `where` gave (`domain`).

use girih_graph::{AxisId, Binary, Combine, DType, Extent, Op, Unary};

use super::Elaborator;
use super::scope::Env;
use super::value::{Eval, Tensor, Value};
use crate::ast::{self, Expr, ExprKind, Reducer};
use crate::diag::{Code, Diagnostic};
use crate::span::Span;

/// What the parentheses of a reducer say.
pub(crate) struct Words {
    pub(crate) axes: Vec<AxisId>,
    pub(crate) into: Option<(String, Span)>,
    pub(crate) count: Option<Value>,
    pub(crate) reverse: bool,
    pub(crate) exclusive: bool,
}

impl Elaborator<'_> {
    /// A prefix operator.
    pub(crate) fn eval_reduce(
        &mut self,
        env: &mut Env,
        reducer: Reducer,
        args: &[ast::Arg],
        body: &Expr,
        span: Span,
    ) -> Eval<Value> {
        let kept = env.domain.take();
        let words = self.words(env, reducer, args, span)?;
        let result = match reducer {
            Reducer::Sum => self.sum(env, &words.axes, body, kept, span)?,
            Reducer::Mean => {
                let total = self.sum(env, &words.axes, body, kept, span)?;
                let count = self.count_of(&words.axes, kept, self.ty(total).dtype, span)?;
                self.op(Op::Binary(Binary::Div), &[total, count], span)?
            }
            Reducer::Count => {
                let x = self.truths(env, reducer, body, &words.axes, kept)?;
                let x = self.masked(x, kept, 0.0, span)?;
                let x = self.cast(x, DType::I64, span)?;
                self.op(Op::Reduce(Combine::Sum, words.axes), &[x], span)?
            }
            Reducer::Max | Reducer::Min | Reducer::Prod | Reducer::Any | Reducer::All => {
                self.combine(env, reducer, &words.axes, body, kept, span)?
            }
            Reducer::Softmax => {
                let x = self.body_tensor(env, body, DType::F32, &words.axes, kept)?;
                self.require_real(reducer, x, body.span)?;
                match kept {
                    None => self.op(Op::Softmax(words.axes), &[x], span)?,
                    Some(kept) => {
                        let axes = self.ty(kept).axes.clone();
                        let x = self.expand_to(x, &axes, span)?;
                        self.op(Op::Softmax(words.axes), &[x, kept], span)?
                    }
                }
            }
            Reducer::LogSumExp => {
                let x = self.body_tensor(env, body, DType::F32, &words.axes, kept)?;
                self.require_real(reducer, x, body.span)?;
                self.log_sum_exp(x, &words.axes, kept, span)?
            }
            Reducer::LogSoftmax => {
                let x = self.body_tensor(env, body, DType::F32, &words.axes, kept)?;
                self.require_real(reducer, x, body.span)?;
                let norm = self.log_sum_exp(x, &words.axes, kept, span)?;
                let x = self.masked(x, kept, 0.0, span)?;
                let result = self.op(Op::Binary(Binary::Sub), &[x, norm], span)?;
                self.masked(result, kept, 0.0, span)?
            }
            Reducer::CumSum | Reducer::CumProd | Reducer::CumMax | Reducer::CumMin => {
                self.cumulate(env, reducer, &words, body, kept, span)?
            }
            Reducer::ArgMax | Reducer::ArgMin => {
                let axis = self.one_axis(&words, span)?;
                let x = self.body_tensor(env, body, DType::F32, &words.axes, kept)?;
                let taken = self.ty(x).axes.iter().copied().collect();
                let rank = self.pooled_axis("rank", &Extent::constant(1), None, false, &taken);
                let order = self.order(x, axis, rank, reducer == Reducer::ArgMax, kept, span)?;
                let op = Op::Window {
                    axis: rank,
                    into: Vec::new(),
                    offset: Extent::constant(0),
                };
                self.op(op, &[order], span)?
            }
            Reducer::TopK => self.top_k(env, &words, body, kept, span)?,
            Reducer::Top | Reducer::Bottom => {
                let axis = self.one_axis(&words, span)?;
                let x = self.body_tensor(env, body, DType::F32, &words.axes, kept)?;
                let rank = self.rank_axis(env, &words, axis, span)?;
                self.order(x, axis, rank, reducer == Reducer::Top, kept, span)?
            }
        };
        Ok(Value::Tensor(result))
    }

    fn words(
        &mut self,
        env: &mut Env,
        reducer: Reducer,
        args: &[ast::Arg],
        span: Span,
    ) -> Eval<Words> {
        let mut words = Words {
            axes: Vec::new(),
            into: None,
            count: None,
            reverse: false,
            exclusive: false,
        };
        for (position, arg) in args.iter().enumerate() {
            let cumulative = matches!(
                reducer,
                Reducer::CumSum | Reducer::CumProd | Reducer::CumMax | Reducer::CumMin
            );
            match &arg.value.kind {
                ExprKind::Name(name) if cumulative && name == "reverse" => words.reverse = true,
                ExprKind::Name(name) if cumulative && name == "exclusive" => words.exclusive = true,
                ExprKind::Arrow(from, to) if matches!(reducer, Reducer::Top | Reducer::Bottom) => {
                    words.axes.push(self.eval_axis(env, from)?);
                    let ExprKind::Name(name) = &to.kind else {
                        return self.error(303, to.span, "the new axis needs a name", "not a name");
                    };
                    words.into = Some((name.clone(), to.span));
                }
                _ if reducer == Reducer::TopK && position == 0 => {
                    let was_static = std::mem::replace(&mut env.is_static, true);
                    let count = self.eval(env, &arg.value);
                    env.is_static = was_static;
                    words.count = Some(count?);
                }
                _ => words.axes.push(self.eval_axis(env, &arg.value)?),
            }
        }
        for (position, axis) in words.axes.iter().enumerate() {
            if words.axes[..position].contains(axis) {
                let name = self.b.axes.name(*axis).to_owned();
                return self.error_help(
                    305,
                    span,
                    format!("`{}` names the axis `{name}` twice", reducer.word()),
                    "once is enough",
                    format!("write `{name}` once"),
                );
            }
        }
        self.require_whole(reducer, &words.axes, span)?;
        if reducer == Reducer::TopK && words.axes.is_empty() {
            return self.error_help(
                303,
                span,
                "`topk` needs a count and an axis",
                "one of them is missing",
                "write `topk(k, j) x`: the k largest along `j`",
            );
        }
        if words.axes.is_empty() {
            return self.error_help(
                303,
                span,
                format!("`{}` needs an axis", reducer.word()),
                "none is named",
                format!(
                    "write `{}(j) …` with the axis that it works along",
                    reducer.word()
                ),
            );
        }
        Ok(words)
    }

    /// A loop has one position of its axis at a time: nothing reduces along it there.
    fn require_whole(&mut self, reducer: Reducer, axes: &[AxisId], span: Span) -> Eval<()> {
        let walked = self.frames.iter().find_map(|frame| {
            let axis = frame.axis.filter(|axis| axes.contains(axis))?;
            Some((axis, frame.opened?))
        });
        let Some((axis, (over, depth))) = walked else {
            return Ok(());
        };
        let name = self.b.axes.name(axis).to_owned();
        let word = reducer.word();
        let help = if self.depth > depth {
            "call before the loop what needs the whole axis, and use its result in the loop"
                .to_owned()
        } else {
            format!("write `whole = {word}({name}) …` before the loop, and use `whole` in it")
        };
        self.fail(
            Diagnostic::error(
                Code::new(406),
                format!("`{word}` goes along `{name}`, and the loop walks `{name}`"),
            )
            .at(span, format!("one position of `{name}` is here at a time"))
            .also(over, "walked here")
            .help(help),
        )
    }

    fn require_real(&mut self, reducer: Reducer, x: Tensor, span: Span) -> Eval<()> {
        let dtype = self.ty(x).dtype;
        if dtype.is_real() {
            return Ok(());
        }
        let shown = self.b.axes.show(self.ty(x));
        let help = format!("convert: `real({})`", self.written(span));
        self.error_help(
            302,
            span,
            format!("`{}` takes real values, not `{dtype}`", reducer.word()),
            format!("this is `{shown}`"),
            help,
        )
    }

    pub(crate) fn one_axis(&mut self, words: &Words, span: Span) -> Eval<AxisId> {
        match words.axes.as_slice() {
            [axis] => Ok(*axis),
            _ => self.error_help(
                303,
                span,
                "this works along one axis",
                format!("{} axes are named", words.axes.len()),
                "merge them first: `y[c = (h, e)] = x` with a declared axis `c`",
            ),
        }
    }

    /// The body with every axis that is worked along; an axis that only the domain has is
    /// repeated.
    pub(crate) fn body_tensor(
        &mut self,
        env: &mut Env,
        body: &Expr,
        dtype: DType,
        axes: &[AxisId],
        kept: Option<Tensor>,
    ) -> Eval<Tensor> {
        let value = self.eval(env, body)?;
        let value = match (value, dtype) {
            (Value::Bool(truth), DType::F32) => Value::Bool(truth),
            (value, _) => value,
        };
        let tensor = self.tensor(value, dtype, body.span)?;
        self.with_axes(tensor, axes, kept, body.span)
    }

    pub(crate) fn with_axes(
        &mut self,
        tensor: Tensor,
        axes: &[AxisId],
        kept: Option<Tensor>,
        span: Span,
    ) -> Eval<Tensor> {
        let own = self.ty(tensor).axes.clone();
        let in_domain = |this: &Self, axis| kept.is_some_and(|kept| this.ty(kept).has(axis));
        for axis in axes {
            if !own.contains(axis) && !in_domain(self, *axis) && !own.is_empty() {
                let name = self.b.axes.name(*axis).to_owned();
                let shown = self.b.axes.show(self.ty(tensor));
                return self.error_help(
                    304,
                    span,
                    format!("there is no axis `{name}` to work along"),
                    format!("this is `{shown}`"),
                    format!("use an axis that it has, or bind `{name}` inside: `x[t = {name}]`"),
                );
            }
        }
        self.expand_to(tensor, axes, span)
    }

    fn count_of(
        &mut self,
        axes: &[AxisId],
        kept: Option<Tensor>,
        dtype: DType,
        span: Span,
    ) -> Eval<Tensor> {
        let Some(kept) = kept else {
            let size = axes.iter().fold(Extent::constant(1), |size, axis| {
                size.times(self.b.axes.extent(*axis))
            });
            return self.tensor(Value::Int(size), dtype, span);
        };
        let kept = self.expand_to(kept, axes, span)?;
        let ones = self.cast(kept, DType::I64, span)?;
        let count = self.op(Op::Reduce(Combine::Sum, axes.to_vec()), &[ones], span)?;
        let one = self.tensor(Value::Int(Extent::constant(1)), DType::I64, span)?;
        let count = self.op(Op::Binary(Binary::Max), &[count, one], span)?;
        self.cast(count, dtype, span)
    }

    fn combine(
        &mut self,
        env: &mut Env,
        reducer: Reducer,
        axes: &[AxisId],
        body: &Expr,
        kept: Option<Tensor>,
        span: Span,
    ) -> Eval<Tensor> {
        let (combine, identity, dtype) = match reducer {
            Reducer::Max => (Combine::Max, f64::NEG_INFINITY, DType::F32),
            Reducer::Min => (Combine::Min, f64::INFINITY, DType::F32),
            Reducer::Any => (Combine::Any, 0.0, DType::Bool),
            Reducer::All => (Combine::All, 1.0, DType::Bool),
            _ => (Combine::Prod, 1.0, DType::F32),
        };
        let x = if dtype == DType::Bool {
            self.truths(env, reducer, body, axes, kept)?
        } else {
            self.body_tensor(env, body, dtype, axes, kept)?
        };
        let x = self.masked(x, kept, identity, span)?;
        self.op(Op::Reduce(combine, axes.to_vec()), &[x], span)
    }

    /// The body of a reducer of truth values.
    fn truths(
        &mut self,
        env: &mut Env,
        reducer: Reducer,
        body: &Expr,
        axes: &[AxisId],
        kept: Option<Tensor>,
    ) -> Eval<Tensor> {
        let x = self.body_tensor(env, body, DType::Bool, axes, kept)?;
        let dtype = self.ty(x).dtype;
        if dtype == DType::Bool {
            return Ok(x);
        }
        let word = reducer.word();
        self.error_help(
            302,
            body.span,
            format!("`{word}` takes truth values, not `{dtype}`"),
            format!("this is `{}`", self.b.axes.show(self.ty(x))),
            format!("a reducer stops before a comparison: write `{word}(j) (x >= 0)`"),
        )
    }

    fn log_sum_exp(
        &mut self,
        x: Tensor,
        axes: &[AxisId],
        kept: Option<Tensor>,
        span: Span,
    ) -> Eval<Tensor> {
        let dtype = self.ty(x).dtype;
        let x = self.masked(x, kept, f64::NEG_INFINITY, span)?;
        let top = self.op(Op::Reduce(Combine::Max, axes.to_vec()), &[x], span)?;
        // The shift cancels: it only keeps exp from overflowing. An empty domain shifts by 0.
        let zero = self.number(dtype, 0.0);
        let low = self.number(dtype, f64::NEG_INFINITY);
        let empty = self.op(Op::Binary(Binary::Eq), &[top, low], span)?;
        let top = self.op(Op::Select, &[empty, zero, top], span)?;
        let top = self.op(Op::GradAs, &[top, zero], span)?;
        let shifted = self.op(Op::Binary(Binary::Sub), &[x, top], span)?;
        let powers = self.op(Op::Unary(Unary::Exp), &[shifted], span)?;
        let total = self.op(Op::Reduce(Combine::Sum, axes.to_vec()), &[powers], span)?;
        let log = self.op(Op::Unary(Unary::Log), &[total], span)?;
        self.op(Op::Binary(Binary::Add), &[log, top], span)
    }

    fn cumulate(
        &mut self,
        env: &mut Env,
        reducer: Reducer,
        words: &Words,
        body: &Expr,
        kept: Option<Tensor>,
        span: Span,
    ) -> Eval<Tensor> {
        let axis = self.one_axis(words, span)?;
        let (combine, identity) = match reducer {
            Reducer::CumSum => (Combine::Sum, 0.0),
            Reducer::CumProd => (Combine::Prod, 1.0),
            Reducer::CumMax => (Combine::Max, f64::NEG_INFINITY),
            _ => (Combine::Min, f64::INFINITY),
        };
        let x = self.body_tensor(env, body, DType::F32, &words.axes, kept)?;
        let x = self.masked(x, kept, identity, span)?;
        let x = if self.ty(x).dtype == DType::Bool && combine == Combine::Sum {
            self.cast(x, DType::I64, span)?
        } else {
            x
        };
        let op = Op::Cumulate {
            combine,
            axis,
            reverse: words.reverse,
            exclusive: words.exclusive,
        };
        self.op(op, &[x], span)
    }
}
