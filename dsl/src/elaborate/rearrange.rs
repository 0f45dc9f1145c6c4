//! The built-in functions that move positions: `unstack`, `concat`, `scatter`.

use girih_graph::{Combine, DType, Extent, Op};

use super::Elaborator;
use super::builtin::{Args, take_opt};
use super::value::{Eval, Value};
use crate::span::Span;

impl Elaborator<'_> {
    /// `unstack(x, z)`: one value for each position of an axis of known size.
    pub(crate) fn unstack(&mut self, args: &mut Args) -> Eval<Value> {
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
    pub(crate) fn concat(&mut self, args: &mut Args) -> Eval<Value> {
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
    pub(crate) fn scatter(&mut self, args: &mut Args) -> Eval<Value> {
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

fn take_named(args: &mut Args, name: &str) -> Option<(Value, Span)> {
    let at = args
        .given
        .iter()
        .position(|(own, ..)| own.as_deref() == Some(name))?;
    let (_, value, span) = args.given.remove(at);
    Some((value, span))
}
