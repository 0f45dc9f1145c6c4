//! The built-in functions: which there are, how they take their arguments, and what those do
//! that have no file of their own. Everything that can be said with them is library code in
//! Girih.

use girih_graph::{AxisId, Binary, DType, Extent, Op, Unary};

use super::call::Given;
use super::pointwise::{binary, unary};
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
                match super::value::axes_of(&value) {
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
                let Some(axes) = super::value::axes_of(&value) else {
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

    pub(crate) fn take_axis(&mut self, args: &mut Args, name: &str) -> Eval<AxisId> {
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
