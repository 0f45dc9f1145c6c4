//! What do static values combine to: numbers, sizes, truth values, texts, lists?

use girih_graph::Extent;

use super::Elaborator;
use super::scope::Env;
use super::value::{Eval, Value};
use crate::ast::BinaryOp;
use crate::span::Span;

impl Elaborator<'_> {
    pub(crate) fn contains(&mut self, left: &Value, right: &Value, span: Span) -> Eval<Value> {
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

    pub(crate) fn static_binary(
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
