//! How numbers, sizes, positions and tensors combine.
//!
//! Numbers and sizes stay static as long as they can (`numbers`): a shape is never a tensor by
//! accident. A bare axis name is its size in declarations and its position in bodies.

use girih_graph::{AxisId, Binary, DType, Extent, Op, Unary};

use super::Elaborator;
use super::numbers::same_thing;
use super::scope::Env;
use super::value::{Axes, Eval, Reported, Tensor, Value};
use crate::ast::{self, BinaryOp, UnaryOp};
use crate::span::Span;

impl Elaborator<'_> {
    /// The value as a tensor; a number takes `dtype` if it can.
    pub(crate) fn tensor(&mut self, value: Value, dtype: DType, span: Span) -> Eval<Tensor> {
        match value {
            Value::Tensor(tensor) => Ok(tensor),
            Value::Real(number) => {
                let dtype = if dtype.is_real() { dtype } else { DType::F32 };
                Ok(self.number(dtype, number))
            }
            Value::Int(extent) => {
                let dtype = if dtype == DType::Bool {
                    DType::I64
                } else {
                    dtype
                };
                if let Some(number) = extent.as_constant() {
                    return Ok(self.integer(dtype, number));
                }
                let size = self.op(Op::Size(extent), &[], span)?;
                self.cast(size, dtype, span)
            }
            Value::Bool(truth) => Ok(self.number(DType::Bool, f64::from(u8::from(truth)))),
            Value::Axes(Axes::One(axis)) => self.op(Op::Index(axis), &[], span),
            Value::Axes(axes) => {
                let extent = self.axes_extent(&axes);
                self.tensor(Value::Int(extent), dtype, span)
            }
            Value::Poison => Err(Reported),
            other => self.error(
                303,
                span,
                format!("a tensor or a number is needed here, not {}", other.kind()),
                format!("this is {}", other.kind()),
            ),
        }
    }

    pub(crate) fn integer(&mut self, dtype: DType, number: i64) -> Tensor {
        if dtype.is_real() {
            return self.number(dtype, number as f64);
        }
        self.b.set_level(0);
        let literal = girih_graph::Literal::Int(dtype, number);
        let id = self
            .b
            .value(Op::Const(literal), &[])
            .expect("a constant has no operands to be wrong");
        Tensor { level: 0, id }
    }

    pub(crate) fn cast(&mut self, tensor: Tensor, dtype: DType, span: Span) -> Eval<Tensor> {
        if self.ty(tensor).dtype == dtype {
            return Ok(tensor);
        }
        self.op(Op::Cast(dtype), &[tensor], span)
    }

    /// An axis as a number: its size in declarations, its position in bodies.
    fn numeric(&mut self, env: &Env, value: Value, span: Span) -> Eval<Value> {
        match value {
            Value::Axes(axes) if env.is_static => Ok(Value::Int(self.axes_extent(&axes))),
            Value::Axes(Axes::One(axis)) => self.op(Op::Index(axis), &[], span).map(Value::Tensor),
            Value::Axes(axes) => Ok(Value::Int(self.axes_extent(&axes))),
            Value::Experts(axis, _) if env.is_static => {
                Ok(Value::Int(self.b.axes.extent(axis).clone()))
            }
            Value::Experts(axis, _) => self.op(Op::Index(axis), &[], span).map(Value::Tensor),
            Value::Poison => Err(Reported),
            other => Ok(other),
        }
    }

    pub(crate) fn unary(
        &mut self,
        env: &Env,
        op: UnaryOp,
        value: Value,
        span: Span,
    ) -> Eval<Value> {
        let value = self.numeric(env, value, span)?;
        match (op, value) {
            (UnaryOp::Neg, Value::Int(extent)) => {
                Ok(Value::Int(Extent::constant(0).minus(&extent)))
            }
            (UnaryOp::Neg, Value::Real(number)) => Ok(Value::Real(-number)),
            (UnaryOp::Not, Value::Bool(truth)) => Ok(Value::Bool(!truth)),
            (op, value) => {
                let hint = if op == UnaryOp::Not {
                    DType::Bool
                } else {
                    DType::F32
                };
                let tensor = self.tensor(value, hint, span)?;
                let op = match op {
                    UnaryOp::Neg => Unary::Neg,
                    UnaryOp::Not => Unary::Not,
                };
                self.op(Op::Unary(op), &[tensor], span).map(Value::Tensor)
            }
        }
    }

    pub(crate) fn binary(
        &mut self,
        env: &Env,
        op: BinaryOp,
        (left, left_span): (Value, Span),
        (right, right_span): (Value, Span),
        span: Span,
    ) -> Eval<Value> {
        if op == BinaryOp::In {
            return self.contains(&left, &right, span);
        }
        // Things that only compare.
        if matches!(op, BinaryOp::Eq | BinaryOp::Ne)
            && let Some(equal) = same_thing(&left, &right)
        {
            return Ok(Value::Bool(equal == (op == BinaryOp::Eq)));
        }
        let left = self.numeric(env, left, left_span)?;
        let right = self.numeric(env, right, right_span)?;
        if let Some(value) = self.static_binary(env, op, &left, &right, span)? {
            return Ok(value);
        }
        let (left, right) = self.pair(left, left_span, right, right_span)?;
        let dtype = self.ty(left).dtype;
        if matches!(op, BinaryOp::Add | BinaryOp::Sub) && dtype.is_real() && !env.listed {
            self.refuse_outer_sum(env, (left, left_span), (right, right_span))?;
        }
        if op == BinaryOp::Div && !dtype.is_real() {
            return self.error_help(
                302,
                span,
                "`/` divides real values, these are integers",
                format!("`{dtype}` values"),
                "write `//` for the floor, or `real(x) / real(y)`; the size of an axis is `size(e)`",
            );
        }
        let op = match op {
            BinaryOp::Add => Binary::Add,
            BinaryOp::Sub => Binary::Sub,
            BinaryOp::Mul => Binary::Mul,
            BinaryOp::Div => Binary::Div,
            BinaryOp::FloorDiv => Binary::FloorDiv,
            BinaryOp::Rem => Binary::Rem,
            BinaryOp::Pow => Binary::Pow,
            BinaryOp::Eq => Binary::Eq,
            BinaryOp::Ne => Binary::Ne,
            BinaryOp::Lt => Binary::Lt,
            BinaryOp::Le => Binary::Le,
            BinaryOp::Gt => Binary::Gt,
            BinaryOp::Ge => Binary::Ge,
            BinaryOp::And => Binary::And,
            BinaryOp::Or => Binary::Or,
            BinaryOp::In => return Err(Reported),
        };
        if matches!(op, Binary::And | Binary::Or) && dtype != DType::Bool {
            return self.error_help(
                302,
                span,
                format!("`{}` joins truth values, not `{dtype}`", op.word()),
                "not truth values",
                "compare first, or use `bit_and(x, y)`, `bit_or(x, y)` for bits",
            );
        }
        self.op(Op::Binary(op), &[left, right], span)
            .map(Value::Tensor)
    }

    /// A sum that repeats both sides is a slip more often than meant: it needs a left side that says so.
    fn refuse_outer_sum(
        &mut self,
        env: &Env,
        (left, left_span): (Tensor, Span),
        (right, right_span): (Tensor, Span),
    ) -> Eval<()> {
        let (l, r) = (self.ty(left).clone(), self.ty(right).clone());
        let lacks = |this: &Self, own: &[AxisId], other: &girih_graph::ValueType| {
            own.iter().copied().find(|axis| {
                !other.has(*axis) && this.is_known(env, *axis) && !env.lifted.contains(axis)
            })
        };
        let (Some(only_left), Some(only_right)) =
            (lacks(self, &l.axes, &r), lacks(self, &r.axes, &l))
        else {
            return Ok(());
        };
        let (left_shown, right_shown) = (self.b.axes.show(&l), self.b.axes.show(&r));
        let (x, y) = (
            self.b.axes.name(only_left).to_owned(),
            self.b.axes.name(only_right).to_owned(),
        );
        self.fail(
            crate::diag::Diagnostic::error(
                crate::diag::Code::new(305),
                format!("each side has an axis that the other lacks: `{x}` and `{y}`"),
            )
            .at(left_span, format!("`{left_shown}`"))
            .at(right_span, format!("`{right_shown}`"))
            .help(format!(
                "if every pair is meant, list the axes: `y[{x}, {y}] = …`"
            )),
        )
    }

    /// Two operands of one dtype.
    pub(crate) fn pair(
        &mut self,
        left: Value,
        left_span: Span,
        right: Value,
        right_span: Span,
    ) -> Eval<(Tensor, Tensor)> {
        let dtype_of = |this: &Self, value: &Value| match value {
            Value::Tensor(tensor) => Some(this.ty(*tensor).dtype),
            Value::Bool(_) => Some(DType::Bool),
            _ => None,
        };
        let (l, r) = (dtype_of(self, &left), dtype_of(self, &right));
        let either_real = matches!(left, Value::Real(_)) || matches!(right, Value::Real(_));
        let hint = match (l, r) {
            (Some(l), Some(r)) if l.is_integer() && r.is_integer() => DType::I64,
            (Some(dtype), _) | (None, Some(dtype)) => dtype,
            (None, None) if either_real => DType::F32,
            (None, None) => DType::I64,
        };
        let left = self.tensor(left, l.unwrap_or(hint), left_span)?;
        let right = self.tensor(right, r.unwrap_or(hint), right_span)?;
        let (l, r) = (self.ty(left).dtype, self.ty(right).dtype);
        if l == r {
            return Ok((left, right));
        }
        if l.is_integer() && r.is_integer() {
            return Ok((
                self.cast(left, DType::I64, left_span)?,
                self.cast(right, DType::I64, right_span)?,
            ));
        }
        let (integer, span) = if l.is_real() {
            (r, right_span)
        } else {
            (l, left_span)
        };
        let other = if l.is_real() { l } else { r };
        let what = if integer == DType::Bool {
            "a truth value"
        } else {
            "an integer"
        };
        let written = self.written(span);
        let help = if integer == DType::Bool {
            format!("write `if c then x else 0`, or `real({written})`")
        } else if written.chars().count() == 1 {
            format!(
                "write `real({written})`; where `{written}` is an axis, its size is `size({written})`"
            )
        } else {
            format!("write `real({written})`")
        };
        let shown = format!("`{integer}`, the other side is `{other}`");
        self.error_help(
            302,
            span,
            format!("{what} and a `{other}` value do not mix"),
            shown,
            help,
        )
    }

    /// A static integer, maybe symbolic: a size.
    pub(crate) fn eval_extent(&mut self, env: &mut Env, expr: &ast::Expr) -> Eval<Extent> {
        let was_static = std::mem::replace(&mut env.is_static, true);
        let value = self.eval(env, expr);
        env.is_static = was_static;
        match value? {
            Value::Int(extent) => Ok(extent),
            Value::Axes(axes) => Ok(self.axes_extent(&axes)),
            Value::Tuple(parts) => {
                let axes = super::value::axes_of(&Value::Tuple(parts));
                match axes {
                    Some(axes) => Ok(self.axes_extent(&axes)),
                    None => self.error(
                        303,
                        expr.span,
                        "a size is needed here",
                        "a tuple of other things",
                    ),
                }
            }
            Value::Experts(axis, _) => Ok(self.b.axes.extent(axis).clone()),
            Value::Real(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
                Ok(Extent::constant(number as i64))
            }
            Value::Poison => Err(Reported),
            other => self.error(
                303,
                expr.span,
                format!("a size is needed here, not {}", other.kind()),
                format!("this is {}", other.kind()),
            ),
        }
    }

    /// A static integer that is known now.
    pub(crate) fn eval_constant(&mut self, env: &mut Env, expr: &ast::Expr) -> Eval<i64> {
        let extent = self.eval_extent(env, expr)?;
        match extent.as_constant() {
            Some(number) => Ok(number),
            None => self.error_help(
                309,
                expr.span,
                format!("`{extent}` has to be known before the model runs"),
                "a count of modules or turns is fixed",
                "give the size a number: a default, or `--set`",
            ),
        }
    }

    /// Axes: a name, a group, a record, a size.
    pub(crate) fn eval_axes(&mut self, env: &mut Env, expr: &ast::Expr) -> Eval<Axes> {
        if let ast::ExprKind::Name(name) = &expr.kind
            && let Some(axis) = self.axis_named(env, name, expr.span)?
        {
            return Ok(Axes::One(axis));
        }
        if let ast::ExprKind::Tuple(parts) = &expr.kind {
            let mut axes = Vec::new();
            for part in parts {
                axes.push(self.eval_axes(env, part)?);
            }
            return Ok(Axes::Group(axes));
        }
        let was_static = std::mem::replace(&mut env.is_static, true);
        let value = self.eval(env, expr);
        env.is_static = was_static;
        let value = value?;
        if matches!(value, Value::Poison) {
            return Err(Reported);
        }
        match super::value::axes_of(&value) {
            Some(axes) => Ok(axes),
            None => self.error(
                303,
                expr.span,
                format!("an axis is needed here, not {}", value.kind()),
                format!("this is {}", value.kind()),
            ),
        }
    }

    /// The single axis that an expression names.
    pub(crate) fn eval_axis(&mut self, env: &mut Env, expr: &ast::Expr) -> Eval<AxisId> {
        if let ast::ExprKind::Name(name) = &expr.kind {
            return match self.axis_named(env, name, expr.span)? {
                Some(axis) => Ok(axis),
                None => self.unknown(env, name, expr.span, "the axis"),
            };
        }
        match self.eval_axes(env, expr)? {
            Axes::One(axis) => Ok(axis),
            _ => self.error(
                303,
                expr.span,
                "one axis is needed here",
                "not the name of an axis",
            ),
        }
    }
}
