//! The built-in functions of one and of two values, and what they make of static numbers.

use girih_graph::{Binary, DType, Extent, Op, Unary};

use super::Elaborator;
use super::value::{Axes, Eval, Value};
use crate::span::Span;

impl Elaborator<'_> {
    pub(crate) fn apply_unary(&mut self, op: Unary, value: Value, span: Span) -> Eval<Value> {
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

    pub(crate) fn apply_binary(
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
}

/// The function of one value that a name stands for.
pub(crate) fn unary(name: &str) -> Option<Unary> {
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

pub(crate) fn binary(name: &str) -> Option<Binary> {
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
