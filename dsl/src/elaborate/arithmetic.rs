//! How numbers, sizes, positions and tensors combine.
//!
//! Numbers and sizes stay static as long as they can: a shape is never a tensor by
//! accident. A bare axis name is its size in declarations and its position in bodies.

use girih_graph::{AxisId, Binary, DType, Extent, Op, Unary};

use super::Elaborator;
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

    fn contains(&mut self, left: &Value, right: &Value, span: Span) -> Eval<Value> {
        let Value::List(parts) = right else {
            return self.error(
                302,
                span,
                "`in` asks whether a static list holds a value",
                format!("the right side is {}", right.kind()),
            );
        };
        let found = parts
            .iter()
            .any(|part| same_thing(left, part) == Some(true));
        Ok(Value::Bool(found))
    }

    fn static_binary(
        &mut self,
        env: &Env,
        op: BinaryOp,
        left: &Value,
        right: &Value,
        span: Span,
    ) -> Eval<Option<Value>> {
        Ok(match (left, right) {
            (Value::Int(a), Value::Int(b)) => self.integers(env, op, a, b, span)?,
            (Value::Int(a), Value::Real(b)) => match a.as_constant() {
                Some(a) => Some(self.reals(op, a as f64, *b, span)?),
                None => None,
            },
            (Value::Real(a), Value::Int(b)) => match b.as_constant() {
                Some(b) => Some(self.reals(op, *a, b as f64, span)?),
                None => None,
            },
            (Value::Real(a), Value::Real(b)) => Some(self.reals(op, *a, *b, span)?),
            (Value::Bool(a), Value::Bool(b)) => match op {
                BinaryOp::And => Some(Value::Bool(*a && *b)),
                BinaryOp::Or => Some(Value::Bool(*a || *b)),
                _ => None,
            },
            // A static side decides alone where it can.
            (Value::Bool(a), other) | (other, Value::Bool(a)) => match (op, a) {
                (BinaryOp::And, true) | (BinaryOp::Or, false) => Some(other.clone()),
                (BinaryOp::And, false) => Some(Value::Bool(false)),
                (BinaryOp::Or, true) => Some(Value::Bool(true)),
                _ => None,
            },
            (Value::Text(a), Value::Text(b)) if op == BinaryOp::Add => {
                Some(Value::Text(format!("{a}{b}")))
            }
            (Value::List(a), Value::List(b)) if op == BinaryOp::Add => {
                Some(Value::List(a.iter().chain(b).cloned().collect()))
            }
            _ => None,
        })
    }

    #[expect(
        clippy::float_cmp,
        reason = "`==` on numbers of a model file means equal numbers"
    )]
    fn reals(&mut self, op: BinaryOp, a: f64, b: f64, span: Span) -> Eval<Value> {
        Ok(match op {
            BinaryOp::Add => Value::Real(a + b),
            BinaryOp::Sub => Value::Real(a - b),
            BinaryOp::Mul => Value::Real(a * b),
            BinaryOp::Div => Value::Real(a / b),
            BinaryOp::FloorDiv => Value::Real((a / b).floor()),
            BinaryOp::Rem => Value::Real(a - b * (a / b).floor()),
            BinaryOp::Pow => Value::Real(a.powf(b)),
            BinaryOp::Eq => Value::Bool(a == b),
            BinaryOp::Ne => Value::Bool(a != b),
            BinaryOp::Lt => Value::Bool(a < b),
            BinaryOp::Le => Value::Bool(a <= b),
            BinaryOp::Gt => Value::Bool(a > b),
            BinaryOp::Ge => Value::Bool(a >= b),
            BinaryOp::And | BinaryOp::Or | BinaryOp::In => {
                return self.error(
                    302,
                    span,
                    "numbers are no truth values",
                    "compare them first",
                );
            }
        })
    }

    fn integers(
        &mut self,
        env: &Env,
        op: BinaryOp,
        a: &Extent,
        b: &Extent,
        span: Span,
    ) -> Eval<Option<Value>> {
        let zero = b.as_constant() == Some(0);
        if zero && matches!(op, BinaryOp::Div | BinaryOp::FloorDiv | BinaryOp::Rem) {
            return self.error(
                307,
                span,
                format!("{a} is divided by zero"),
                "the divisor is 0",
            );
        }
        let compare = |test: fn(i64, i64) -> bool| match (a.as_constant(), b.as_constant()) {
            (Some(a), Some(b)) => Some(Value::Bool(test(a, b))),
            _ => None,
        };
        let result = match op {
            BinaryOp::Add => Some(Value::Int(a.plus(b))),
            BinaryOp::Sub => Some(Value::Int(a.minus(b))),
            BinaryOp::Mul => Some(Value::Int(a.times(b))),
            BinaryOp::Div => match a.divided_exactly(b) {
                Some(quotient) => Some(Value::Int(quotient)),
                None if a.as_constant().is_none() || b.as_constant().is_none() => {
                    let reason = format!("{a} is divided by {b}");
                    self.b
                        .check_equal(&a.remainder(b), &Extent::constant(0), &reason);
                    Some(Value::Int(a.floor_div(b)))
                }
                None => {
                    return self.error_help(
                        308,
                        span,
                        format!("{a} is not divisible by {b}"),
                        format!("this is {a} / {b}; sizes divide exactly"),
                        "choose sizes that divide, or write `//` for the floor",
                    );
                }
            },
            BinaryOp::FloorDiv => Some(Value::Int(a.floor_div(b))),
            BinaryOp::Rem => Some(Value::Int(a.remainder(b))),
            BinaryOp::Pow => match (a.as_constant(), b.as_constant()) {
                (Some(base), Some(power)) => Some(match u32::try_from(power) {
                    Ok(power) => Value::Int(Extent::constant(base.saturating_pow(power))),
                    Err(_) => Value::Real((base as f64).powf(power as f64)),
                }),
                _ => None,
            },
            BinaryOp::Eq if a == b => Some(Value::Bool(true)),
            BinaryOp::Ne if a == b => Some(Value::Bool(false)),
            BinaryOp::Eq => compare(|a, b| a == b),
            BinaryOp::Ne => compare(|a, b| a != b),
            BinaryOp::Lt => compare(|a, b| a < b),
            BinaryOp::Le => compare(|a, b| a <= b),
            BinaryOp::Gt => compare(|a, b| a > b),
            BinaryOp::Ge => compare(|a, b| a >= b),
            BinaryOp::And | BinaryOp::Or | BinaryOp::In => {
                return self.error(
                    302,
                    span,
                    "integers are no truth values",
                    "compare them first",
                );
            }
        };
        if result.is_none() && env.is_static {
            return self.error_help(
                309,
                span,
                format!("`{a}` and `{b}` cannot be compared before the sizes are known"),
                "a declaration needs the answer now",
                "give the sizes numbers: defaults, or `--set`",
            );
        }
        Ok(result)
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
                let axes = super::instance::axes_of(&Value::Tuple(parts));
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
        match super::instance::axes_of(&value) {
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

/// Whether two static things are the same, where the question makes sense without arithmetic.
#[expect(
    clippy::float_cmp,
    reason = "`==` on numbers of a model file means equal numbers"
)]
pub(crate) fn same_thing(left: &Value, right: &Value) -> Option<bool> {
    Some(match (left, right) {
        (Value::None, Value::None) => true,
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) => a.as_constant()? == b.as_constant()?,
        (Value::Real(a), Value::Real(b)) => a == b,
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_thing(a, b) == Some(true))
        }
        (Value::Record(a), Value::Record(b)) => {
            let mut same = a.len() == b.len();
            for ((name, value), (other, own)) in a.iter().zip(b) {
                same &= name == other && same_thing(value, own)?;
            }
            same
        }
        (Value::None | Value::Text(_), _)
        | (_, Value::None | Value::Text(_))
        | (Value::Record(_), Value::Int(_) | Value::Real(_) | Value::Bool(_) | Value::List(_))
        | (Value::Int(_) | Value::Real(_) | Value::Bool(_) | Value::List(_), Value::Record(_)) => {
            false
        }
        _ => return None,
    })
}
