//! The built-in functions that make values of nothing: numbers written in the model, constants,
//! random draws, starts of parameters.

use std::sync::Arc;

use girih_graph::{Binary, DType, Distribution, Extent, Op, Unary};

use super::Elaborator;
use super::builtin::{Args, take_opt};
use super::scope::Env;
use super::value::{Eval, Value};
use crate::span::Span;

impl Elaborator<'_> {
    /// `tensor([[1, 2], [3, 4]], i, j)`: numbers written in the model.
    pub(crate) fn table(&mut self, args: &mut Args) -> Eval<Value> {
        let (list, place) = self.take(args, "numbers")?;
        let mut shape = Vec::new();
        let mut data = Vec::new();
        let mut dtype = None;
        self.flatten_list(&list, 0, &mut shape, &mut data, &mut dtype, place)?;
        let mut axes = Vec::new();
        while let Some((value, span)) = take_opt(args, "axis") {
            axes.push(self.as_axis(&value, span)?);
        }
        if axes.len() != shape.len() {
            return self.error_help(
                303,
                args.span,
                format!(
                    "the list is {} deep, {} axes are named",
                    shape.len(),
                    axes.len()
                ),
                "one axis for each level",
                "write `tensor([1, 2, 3], t)`",
            );
        }
        let mut named = Vec::new();
        for (axis, count) in axes.iter().zip(&shape) {
            let extent = self.b.axes.extent(*axis).clone();
            let count = Extent::constant(*count as i64);
            if extent == count {
                named.push(*axis);
                continue;
            }
            let name = self.b.axes.name(*axis).to_owned();
            if self.open.contains(&name) {
                // An axis without a size has as many positions as are written.
                let taken = self.taken_axes(None);
                named.push(self.pooled_axis(&name, &count, None, false, &taken));
                self.listed.insert(name);
                continue;
            }
            return self.error(
                301,
                place,
                format!("axis `{name}` is {extent}, the list has {count}"),
                "as many numbers as positions",
            );
        }
        let op = Op::Table(dtype.unwrap_or(DType::F32), named, Arc::from(data));
        self.op(op, &[], args.span).map(Value::Tensor)
    }

    fn flatten_list(
        &mut self,
        value: &Value,
        depth: usize,
        shape: &mut Vec<usize>,
        data: &mut Vec<f64>,
        dtype: &mut Option<DType>,
        span: Span,
    ) -> Eval<()> {
        let (number, found) = match value {
            Value::List(parts) => {
                match shape.get(depth) {
                    None => shape.push(parts.len()),
                    Some(count) if *count == parts.len() => {}
                    Some(count) => {
                        return self.error(
                            303,
                            span,
                            format!("rows of {count} and of {} numbers", parts.len()),
                            "all rows are as long",
                        );
                    }
                }
                for part in parts {
                    self.flatten_list(part, depth + 1, shape, data, dtype, span)?;
                }
                return Ok(());
            }
            Value::Int(extent) => match extent.as_constant() {
                Some(number) => (number as f64, DType::I64),
                None => {
                    return self.error(
                        309,
                        span,
                        format!("`{extent}` is not known"),
                        "numbers only",
                    );
                }
            },
            Value::Real(number) => (*number, DType::F32),
            Value::Bool(truth) => (f64::from(u8::from(*truth)), DType::Bool),
            other => {
                return self.error(
                    303,
                    span,
                    format!("a list of numbers holds {}", other.kind()),
                    "numbers only",
                );
            }
        };
        *dtype = Some(match *dtype {
            None => found,
            Some(own) if own == found => own,
            Some(_) => DType::F32,
        });
        data.push(number);
        self.spend(span, 1)
    }

    /// `zeros()`, `ones()`, `full(x)`; with axes, repeated along them.
    pub(crate) fn filled(&mut self, args: &mut Args) -> Eval<Value> {
        let value = match args.name {
            "zeros" => Value::Int(Extent::constant(0)),
            "ones" => Value::Int(Extent::constant(1)),
            _ => self.take(args, "value")?.0,
        };
        let mut axes = Vec::new();
        while let Some((value, span)) = take_opt(args, "axis") {
            axes.extend(self.as_axis_list(&value, span)?);
        }
        if axes.is_empty() {
            return Ok(value);
        }
        let tensor = self.tensor(value, DType::F32, args.span)?;
        self.expand_to(tensor, &axes, args.span).map(Value::Tensor)
    }

    /// A parameter's start: `uniform(low, high)`, `normal(deviation)`, `log_uniform(low, high)`.
    pub(crate) fn init_draw(&mut self, env: &mut Env, args: &mut Args) -> Eval<Value> {
        let Some(Value::Text(key)) = env.locals.get("$key").cloned() else {
            return self.error_help(
                405,
                args.span,
                format!("`{}` starts a parameter", args.name),
                "not the start of a parameter",
                "in a body write `random_uniform(t, d)` or `random_normal(t, d)`",
            );
        };
        let axes = env.lifted.clone();
        let (distribution, low, high) = if args.name == "normal" {
            let deviation = self.real_arg(args, "deviation", 1.0)?;
            (Distribution::Normal, 0.0, deviation)
        } else {
            let low = self.real_arg(args, "low", 0.0)?;
            let high = self.real_arg(args, "high", 1.0)?;
            (Distribution::Uniform, low, high)
        };
        let span = args.span;
        let draw = self.op(Op::random(distribution, &key, &axes), &[], span)?;
        let logarithmic = args.name == "log_uniform";
        if logarithmic && (low <= 0.0 || high <= 0.0) {
            return self.error(
                307,
                span,
                "`log_uniform` takes positive bounds",
                format!("{low} to {high}"),
            );
        }
        let (low, high) = if logarithmic {
            (low.ln(), high.ln())
        } else {
            (low, high)
        };
        let scale = self.number(DType::F32, high - low);
        let offset = self.number(DType::F32, low);
        let scaled = self.op(Op::Binary(Binary::Mul), &[draw, scale], span)?;
        let moved = self.op(Op::Binary(Binary::Add), &[scaled, offset], span)?;
        if logarithmic {
            return self
                .op(Op::Unary(Unary::Exp), &[moved], span)
                .map(Value::Tensor);
        }
        Ok(Value::Tensor(moved))
    }

    fn real_arg(&mut self, args: &mut Args, name: &str, default: f64) -> Eval<f64> {
        match take_opt(args, name) {
            None => Ok(default),
            Some((Value::Real(number), _)) => Ok(number),
            Some((Value::Int(extent), span)) => match extent.as_constant() {
                Some(number) => Ok(number as f64),
                None => self.error(
                    309,
                    span,
                    format!("`{extent}` is not known"),
                    "a number is needed",
                ),
            },
            Some((other, span)) => self.error(
                303,
                span,
                format!("a number is needed here, not {}", other.kind()),
                format!("this is {}", other.kind()),
            ),
        }
    }

    /// `random_uniform(t, d)`: keyed by the place where it is written; independent along lifted axes.
    pub(crate) fn draw(&mut self, env: &mut Env, args: &mut Args) -> Eval<Value> {
        let mut axes = env.lifted.clone();
        while let Some((value, span)) = take_opt(args, "axis") {
            axes.extend(self.as_axis_list(&value, span)?);
        }
        let distribution = if args.name == "random_normal" {
            Distribution::Normal
        } else {
            Distribution::Uniform
        };
        let path = env.path.clone().unwrap_or_default();
        // The place, not its number in the text: a line added above changes nothing else.
        let key = format!("{path}#{}", self.draw_number(&path));
        self.op(Op::random(distribution, &key, &axes), &[], args.span)
            .map(Value::Tensor)
    }

    fn draw_number(&mut self, path: &str) -> usize {
        let count = self.draws.entry(path.to_owned()).or_insert(0);
        *count += 1;
        *count - 1
    }
}
