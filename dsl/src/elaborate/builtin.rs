//! The built-in functions. Everything that can be said with them is library code in Girih.

use girih_graph::{AxisId, Binary, Combine, DType, Extent, Op, Unary};

use super::call::Given;
use super::scope::Env;
use super::value::{Axes, Eval, Reported, Value};
use super::{Elaborator, LIMIT};
use crate::span::Span;

/// Every built-in function.
pub(crate) const NAMES: &[&str] = &[
    "abs",
    "append",
    "bit_and",
    "bit_or",
    "bit_xor",
    "blocks",
    "bool",
    "ceil",
    "concat",
    "cos",
    "erf",
    "exp",
    "floor",
    "full",
    "index",
    "int",
    "length",
    "log",
    "log1p",
    "log_uniform",
    "maximum",
    "minimum",
    "normal",
    "ones",
    "popcount",
    "random_normal",
    "random_uniform",
    "range",
    "real",
    "reverse",
    "round",
    "rsqrt",
    "scatter",
    "shift_left",
    "shift_right",
    "sigmoid",
    "sign",
    "sin",
    "size",
    "sqrt",
    "stop",
    "tanh",
    "tensor",
    "through",
    "uniform",
    "unstack",
    "zeros",
];

/// The function of one value that a name stands for.
fn unary(name: &str) -> Option<Unary> {
    Some(match name {
        "abs" => Unary::Abs,
        "sign" => Unary::Sign,
        "exp" => Unary::Exp,
        "log" => Unary::Log,
        "log1p" => Unary::Log1p,
        "sqrt" => Unary::Sqrt,
        "rsqrt" => Unary::Rsqrt,
        "sin" => Unary::Sin,
        "cos" => Unary::Cos,
        "tanh" => Unary::Tanh,
        "sigmoid" => Unary::Sigmoid,
        "erf" => Unary::Erf,
        "floor" => Unary::Floor,
        "ceil" => Unary::Ceil,
        "round" => Unary::Round,
        "popcount" => Unary::PopCount,
        _ => return None,
    })
}

/// The number that a function of one value makes of a static number.
fn fold(op: Unary, x: f64) -> Option<f64> {
    Some(match op {
        Unary::Abs => x.abs(),
        Unary::Sign if x == 0.0 => 0.0,
        Unary::Sign => x.signum(),
        Unary::Exp => x.exp(),
        Unary::Log => x.ln(),
        Unary::Log1p => x.ln_1p(),
        Unary::Sqrt => x.sqrt(),
        Unary::Rsqrt => x.sqrt().recip(),
        Unary::Sin => x.sin(),
        Unary::Cos => x.cos(),
        Unary::Tanh => x.tanh(),
        Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Unary::Floor => x.floor(),
        Unary::Ceil => x.ceil(),
        Unary::Round => x.round_ties_even(),
        Unary::Erf | Unary::Neg | Unary::Not | Unary::PopCount => return None,
    })
}

fn binary(name: &str) -> Option<Binary> {
    Some(match name {
        "maximum" => Binary::Max,
        "minimum" => Binary::Min,
        "bit_and" => Binary::And,
        "bit_or" => Binary::Or,
        "bit_xor" => Binary::Xor,
        "shift_left" => Binary::Shl,
        "shift_right" => Binary::Shr,
        _ => return None,
    })
}

/// Arguments by position and by name.
pub(crate) struct Args {
    pub(crate) name: &'static str,
    pub(crate) span: Span,
    pub(crate) given: Vec<Given>,
}

impl Elaborator<'_> {
    /// Calls a built-in function.
    pub(crate) fn call_builtin(
        &mut self,
        env: &mut Env,
        name: &'static str,
        given: Vec<Given>,
        span: Span,
    ) -> Eval<Value> {
        let mut args = Args { name, span, given };
        if let Some(op) = unary(name) {
            let (value, place) = self.take(&mut args, "x")?;
            self.done(&args)?;
            return self.apply_unary(op, value, place);
        }
        if let Some(op) = binary(name) {
            let (x, x_span) = self.take(&mut args, "x")?;
            let (y, y_span) = self.take(&mut args, "y")?;
            self.done(&args)?;
            return self.apply_binary(op, (x, x_span), (y, y_span), span);
        }
        let result = match name {
            "size" => {
                let (value, place) = self.take(&mut args, "axis")?;
                match super::instance::axes_of(&value) {
                    Some(axes) => Value::Int(self.axes_extent(&axes)),
                    None => return self.not_an_axis(&value, place),
                }
            }
            "index" => {
                let axis = self.take_axis(&mut args, "axis")?;
                Value::Tensor(self.op(Op::Index(axis), &[], span)?)
            }
            "blocks" => {
                let (value, place) = self.take(&mut args, "axis")?;
                let (size, size_span) = self.take(&mut args, "size")?;
                let Some(axes) = super::instance::axes_of(&value) else {
                    return self.not_an_axis(&value, place);
                };
                match size {
                    Value::Int(size) if size.as_constant() != Some(0) => {
                        Value::Int(self.axes_extent(&axes).ceil_div(&size))
                    }
                    other => {
                        return self.error(
                            303,
                            size_span,
                            "the size of a block is a positive integer",
                            format!("this is {}", other.kind()),
                        );
                    }
                }
            }
            "length" => match self.take(&mut args, "list")? {
                (Value::List(parts) | Value::Tuple(parts), _) => {
                    Value::Int(Extent::constant(parts.len() as i64))
                }
                (Value::Stack(parts), _) => Value::Int(Extent::constant(parts.len() as i64)),
                (Value::Record(fields), _) => Value::Int(Extent::constant(fields.len() as i64)),
                (other, place) => {
                    return self.error(
                        303,
                        place,
                        format!("{} has no length", other.kind()),
                        "not a list",
                    );
                }
            },
            "range" => {
                let (value, place) = self.take(&mut args, "count")?;
                let Value::Int(extent) = value else {
                    return self.error(
                        303,
                        place,
                        "`range` takes a static count",
                        "not an integer",
                    );
                };
                match extent.as_constant() {
                    Some(count) if (0..=LIMIT as i64).contains(&count) => Value::List(
                        (0..count)
                            .map(|at| Value::Int(Extent::constant(at)))
                            .collect(),
                    ),
                    _ => {
                        return self.error(
                            309,
                            place,
                            "`range` takes a static count",
                            format!("this is {extent}"),
                        );
                    }
                }
            }
            "reverse" => {
                let (value, place) = self.take(&mut args, "x")?;
                let (factor, factor_span) = self.take(&mut args, "factor")?;
                let x = self.tensor(value, DType::F32, place)?;
                let dtype = self.ty(x).dtype;
                let factor = self.tensor(factor, dtype, factor_span)?;
                let proxy = self.op(Op::Binary(Binary::Mul), &[factor, x], span)?;
                let proxy = self.op(Op::Unary(Unary::Neg), &[proxy], span)?;
                Value::Tensor(self.op(Op::GradAs, &[x, proxy], span)?)
            }
            "stop" => {
                let (value, _) = self.take(&mut args, "x")?;
                self.map_tensors(value, &mut |this, x| {
                    let dtype = this.ty(x).dtype;
                    if !dtype.is_real() {
                        return Ok(x);
                    }
                    let zero = this.number(dtype, 0.0);
                    this.op(Op::GradAs, &[x, zero], span)
                })?
            }
            "through" => {
                let (value, value_span) = self.take(&mut args, "value")?;
                let (proxy, proxy_span) = self.take(&mut args, "proxy")?;
                let value = self.tensor(value, DType::F32, value_span)?;
                let proxy = self.tensor(proxy, DType::F32, proxy_span)?;
                let wanted = self.ty(proxy).axes.clone();
                let value = self.expand_to(value, &wanted, span)?;
                Value::Tensor(self.op(Op::GradAs, &[value, proxy], span)?)
            }
            "real" => {
                let (value, place) = self.take(&mut args, "x")?;
                match value {
                    Value::Int(extent) => match extent.as_constant() {
                        Some(number) => Value::Real(number as f64),
                        None => {
                            Value::Tensor(self.tensor(Value::Int(extent), DType::F32, place)?)
                        }
                    },
                    Value::Real(number) => Value::Real(number),
                    value => {
                        let x = self.tensor(value, DType::F32, place)?;
                        let x = if self.ty(x).dtype.is_real() {
                            x
                        } else {
                            self.cast(x, DType::F32, span)?
                        };
                        Value::Tensor(x)
                    }
                }
            }
            "int" => {
                let (value, place) = self.take(&mut args, "x")?;
                match value {
                    Value::Int(extent) => Value::Int(extent),
                    Value::Real(number) if number.abs() < 1e15 => {
                        Value::Int(Extent::constant(number as i64))
                    }
                    Value::Bool(truth) => Value::Int(Extent::constant(i64::from(truth))),
                    value => {
                        let x = self.tensor(value, DType::I64, place)?;
                        let x = if self.ty(x).dtype.is_integer() {
                            x
                        } else {
                            self.cast(x, DType::I64, span)?
                        };
                        Value::Tensor(x)
                    }
                }
            }
            "bool" => {
                let (value, place) = self.take(&mut args, "x")?;
                let x = self.tensor(value, DType::I64, place)?;
                Value::Tensor(self.cast(x, DType::Bool, span)?)
            }
            "append" => {
                let (list, place) = self.take(&mut args, "list")?;
                let (value, _) = self.take(&mut args, "value")?;
                match list {
                    Value::List(mut parts) => {
                        parts.push(value);
                        Value::List(parts)
                    }
                    other => {
                        return self.error(
                            303,
                            place,
                            "`append` takes a list",
                            format!("this is {}", other.kind()),
                        );
                    }
                }
            }
            "unstack" => self.unstack(&mut args)?,
            "concat" => self.concat(&mut args)?,
            "scatter" => self.scatter(&mut args)?,
            "tensor" => self.table(&mut args)?,
            "zeros" | "ones" | "full" => self.filled(&mut args)?,
            "uniform" | "normal" | "log_uniform" => self.init_draw(env, &mut args)?,
            "random_uniform" | "random_normal" => self.draw(env, &mut args)?,
            _ => return Err(Reported),
        };
        self.done(&args)?;
        Ok(result)
    }

    pub(crate) fn take(&mut self, args: &mut Args, name: &str) -> Eval<(Value, Span)> {
        match take_opt(args, name) {
            Some((Value::Poison, _)) => Err(Reported),
            Some(found) => Ok(found),
            None if matches!(args.name, "maximum" | "minimum") => self.error_help(
                205,
                args.span,
                format!("`{}` compares two values", args.name),
                "one is given",
                "along an axis write `max(j) x` or `min(j) x`",
            ),
            None => self.error(
                205,
                args.span,
                format!("`{}` needs its argument `{name}`", args.name),
                "not given",
            ),
        }
    }

    fn done(&mut self, args: &Args) -> Eval<()> {
        match args.given.first() {
            None => Ok(()),
            Some((Some(name), _, span)) => self.error(
                205,
                *span,
                format!("`{}` has no argument `{name}`", args.name),
                "not known",
            ),
            Some((None, _, span)) => {
                let help = match args.name {
                    "maximum" | "minimum" => {
                        "two values are compared; along an axis write `max(j) x`"
                    }
                    _ => "leave it out",
                };
                self.error_help(
                    205,
                    *span,
                    format!("`{}` takes fewer arguments", args.name),
                    "one too many",
                    help,
                )
            }
        }
    }

    fn not_an_axis<T>(&mut self, value: &Value, span: Span) -> Eval<T> {
        if matches!(value, Value::Poison) {
            return Err(Reported);
        }
        self.error(
            303,
            span,
            format!("an axis is needed here, not {}", value.kind()),
            format!("this is {}", value.kind()),
        )
    }

    fn take_axis(&mut self, args: &mut Args, name: &str) -> Eval<AxisId> {
        let (value, span) = self.take(args, name)?;
        self.as_axis(&value, span)
    }

    pub(crate) fn as_axis(&mut self, value: &Value, span: Span) -> Eval<AxisId> {
        match value {
            Value::Axes(Axes::One(axis)) | Value::Experts(axis, _) => Ok(*axis),
            other => self.not_an_axis(other, span),
        }
    }

    pub(crate) fn as_axis_list(&mut self, value: &Value, span: Span) -> Eval<Vec<AxisId>> {
        match value {
            Value::Tuple(parts) | Value::List(parts) => {
                parts.iter().map(|part| self.as_axis(part, span)).collect()
            }
            other => Ok(vec![self.as_axis(other, span)?]),
        }
    }

    fn apply_unary(&mut self, op: Unary, value: Value, span: Span) -> Eval<Value> {
        let number = match &value {
            Value::Real(number) => Some(*number),
            Value::Int(extent) => extent.as_constant().map(|number| number as f64),
            _ => None,
        };
        if let (Value::Int(extent), Unary::Abs) = (&value, op)
            && let Some(number) = extent.as_constant()
        {
            return Ok(Value::Int(Extent::constant(number.saturating_abs())));
        }
        if let Some(result) = number.and_then(|number| fold(op, number)) {
            let whole = matches!(op, Unary::Floor | Unary::Ceil | Unary::Round);
            return Ok(if whole && result.abs() < 1e15 {
                Value::Int(Extent::constant(result as i64))
            } else {
                Value::Real(result)
            });
        }
        if let Value::Axes(Axes::One(axis)) = &value {
            let name = self.b.axes.name(*axis).to_owned();
            return self.error_help(
                302,
                span,
                format!("`{name}` is a position here, an integer"),
                format!("`{}` takes real values", op.word()),
                format!("the size of the axis is `size({name})`; a position as a number is `real({name})`"),
            );
        }
        if let Value::Record(_) | Value::Tuple(_) = &value {
            return self.map_tensors(value, &mut |this, tensor| {
                this.op(Op::Unary(op), &[tensor], span)
            });
        }
        let tensor = self.tensor(value, DType::F32, span)?;
        let dtype = self.ty(tensor).dtype;
        if !dtype.is_real()
            && !matches!(
                op,
                Unary::Abs | Unary::Neg | Unary::Sign | Unary::Not | Unary::PopCount
            )
        {
            let shown = self.b.axes.show(self.ty(tensor));
            let help = format!("convert: `{}(real({}))`", op.word(), self.written(span));
            return self.error_help(
                302,
                span,
                format!("`{}` takes real values, not `{dtype}`", op.word()),
                format!("this is `{shown}`"),
                help,
            );
        }
        self.op(Op::Unary(op), &[tensor], span).map(Value::Tensor)
    }

    fn apply_binary(
        &mut self,
        op: Binary,
        (x, x_span): (Value, Span),
        (y, y_span): (Value, Span),
        span: Span,
    ) -> Eval<Value> {
        let constant = |value: &Value| match value {
            Value::Int(extent) => extent.as_constant(),
            _ => None,
        };
        match (&x, &y, op) {
            (Value::Int(a), Value::Int(b), Binary::Max) => return Ok(Value::Int(a.maximum(b))),
            (Value::Int(a), Value::Int(b), Binary::Min) => return Ok(Value::Int(a.minimum(b))),
            (Value::Real(a), Value::Real(b), Binary::Max) => return Ok(Value::Real(a.max(*b))),
            (Value::Real(a), Value::Real(b), Binary::Min) => return Ok(Value::Real(a.min(*b))),
            _ => {}
        }
        if let (Some(a), Some(b)) = (constant(&x), constant(&y)) {
            let result = match op {
                Binary::And => Some(a & b),
                Binary::Or => Some(a | b),
                Binary::Xor => Some(a ^ b),
                Binary::Shl => a.checked_shl(b as u32),
                _ => None,
            };
            if let Some(result) = result {
                return Ok(Value::Int(Extent::constant(result)));
            }
        }
        let (x, y) = self.pair(x, x_span, y, y_span)?;
        self.op(Op::Binary(op), &[x, y], span).map(Value::Tensor)
    }

    /// `unstack(x, z)`: one value for each position of an axis of known size.
    fn unstack(&mut self, args: &mut Args) -> Eval<Value> {
        let (value, place) = self.take(args, "x")?;
        let axis = self.take_axis(args, "axis")?;
        let tensor = self.tensor(value, DType::F32, place)?;
        let extent = self.b.axes.extent(axis).clone();
        let name = self.b.axes.name(axis).to_owned();
        if !self.ty(tensor).has(axis) {
            let shown = self.b.axes.show(self.ty(tensor));
            return self.error(
                304,
                place,
                format!("the value has no axis `{name}` to take apart"),
                format!("it is `{shown}`"),
            );
        }
        let Some(count) = extent.as_constant() else {
            return self.error_help(
                309,
                args.span,
                format!("the size of `{name}` has to be known before the model runs"),
                "`unstack` gives one value for each position",
                format!("read a position, `x[{name} = 0]`, or walk the axis: `recurrence over {name} {{ … }}`"),
            );
        };
        if count > 1024 {
            return self.error(
                307,
                args.span,
                format!("`unstack` would make {count} values"),
                "at most 1024",
            );
        }
        let mut parts = Vec::new();
        for position in 0..count {
            let op = Op::Window {
                axis,
                into: Vec::new(),
                offset: Extent::constant(position),
            };
            parts.push(Value::Tensor(self.op(op, &[tensor], args.span)?));
        }
        Ok(Value::Tuple(parts))
    }

    /// `concat(x, y, from = (s, t), into = u)`: joined along axes into a declared axis. A part
    /// without its axis counts as one position: `from = (none, t)`.
    fn concat(&mut self, args: &mut Args) -> Eval<Value> {
        let Some((from, from_span)) = take_named(args, "from") else {
            return self.error_help(
                205,
                args.span,
                "`concat` needs the axis of each part",
                "not given",
                "write `concat(x, y, from = (s, t), into = u)` with a declared axis `u`",
            );
        };
        let Some((into, into_span)) = take_named(args, "into") else {
            return self.error_help(
                205,
                args.span,
                "`concat` needs the axis of the result",
                "not given",
                "declare it, `axis u = size(s) + size(t)`, and write `into = u`",
            );
        };
        let into = self.as_axis(&into, into_span)?;
        let mut parts = Vec::new();
        while let Some((value, span)) = take_opt(args, "x") {
            parts.push((value, span));
        }
        let from: Vec<Value> = match from {
            Value::Tuple(list) | Value::List(list) => list,
            one => vec![one; parts.len()],
        };
        if from.len() != parts.len() || parts.is_empty() {
            return self.error(
                303,
                from_span,
                format!("{} parts, but {} axes", parts.len(), from.len()),
                "one axis for each part",
            );
        }
        let mut hint = DType::F32;
        for (value, _) in &parts {
            if let Value::Tensor(tensor) = value {
                hint = self.ty(*tensor).dtype;
            }
        }
        let mut axes = Vec::new();
        let mut operands = Vec::new();
        for ((value, span), axis) in parts.into_iter().zip(from) {
            let tensor = self.tensor(value, hint, span)?;
            let axis = match axis {
                Value::None => {
                    let taken = self.ty(tensor).axes.iter().copied().collect();
                    self.pooled_axis("one", &Extent::constant(1), None, false, &taken)
                }
                axis => self.as_axis(&axis, from_span)?,
            };
            // A part may be the same at every position, or have just one.
            operands.push(self.expand_to(tensor, &[axis], span)?);
            axes.push(axis);
        }
        let total = axes.iter().fold(Extent::constant(0), |sum, axis| {
            sum.plus(self.b.axes.extent(*axis))
        });
        let wanted = self.b.axes.extent(into).clone();
        if total != wanted {
            let name = self.b.axes.name(into).to_owned();
            return self.error_help(
                301,
                into_span,
                format!("axis `{name}` is {wanted}, the parts together {total}"),
                format!("`{name}` has size {wanted}"),
                format!("declare `axis {name} = {total}`"),
            );
        }
        self.op(Op::Concat(axes, into), &operands, args.span)
            .map(Value::Tensor)
    }

    /// `scatter(x, at = positions, into = slots, over = n)`: sums `x` into positions of `slots`.
    fn scatter(&mut self, args: &mut Args) -> Eval<Value> {
        let (value, place) = self.take(args, "x")?;
        let (at, at_span) = self.take(args, "at")?;
        let into = self.take_axis(args, "into")?;
        let (over, over_span) = self.take(args, "over")?;
        let over = self.as_axis_list(&over, over_span)?;
        let combine = match take_named(args, "combine") {
            None => Combine::Sum,
            Some((Value::Text(word), span)) => {
                match Combine::ALL.iter().find(|own| own.word() == word) {
                    Some(combine) => *combine,
                    None => {
                        return self.error(
                            203,
                            span,
                            format!("`{word}` is no combination"),
                            "sum, prod, max, min, any, all",
                        );
                    }
                }
            }
            Some((_, span)) => {
                return self.error(
                    303,
                    span,
                    "`combine` is a text",
                    "sum, prod, max, min, any, all",
                );
            }
        };
        let x = self.tensor(value, DType::F32, place)?;
        let at = self.tensor(at, DType::I64, at_span)?;
        let op = Op::Scatter {
            axis: into,
            over,
            combine,
        };
        self.op(op, &[at, x], args.span).map(Value::Tensor)
    }
}

pub(crate) fn take_opt(args: &mut Args, name: &str) -> Option<(Value, Span)> {
    let named = args
        .given
        .iter()
        .position(|(own, ..)| own.as_deref() == Some(name));
    let at = named.or_else(|| args.given.iter().position(|(own, ..)| own.is_none()))?;
    let (_, value, span) = args.given.remove(at);
    Some((value, span))
}

fn take_named(args: &mut Args, name: &str) -> Option<(Value, Span)> {
    let at = args
        .given
        .iter()
        .position(|(own, ..)| own.as_deref() == Some(name))?;
    let (_, value, span) = args.given.remove(at);
    Some((value, span))
}
