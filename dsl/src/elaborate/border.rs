//! How values cross the border of an instance.
//!
//! A formal axis that stands for a group, a record or an axis that another formal has already
//! is an axis of its own inside: values are merged, joined or renamed on the way in, and split
//! again on the way out.

use girih_graph::{AxisId, DType, Extent, Op};

use super::Elaborator;
use super::value::{Axes, Eval, InstanceId, Tensor, Value};
use crate::span::Span;

impl Elaborator<'_> {
    /// A value outside becomes one along a formal axis.
    pub(crate) fn cross_in(
        &mut self,
        value: Value,
        formal: AxisId,
        outer: &Axes,
        span: Span,
    ) -> Eval<Value> {
        match (outer, value) {
            (Axes::One(axis), value) => self.map_tensors(value, &mut |this, tensor| {
                if this.ty(tensor).has(*axis) {
                    this.op(Op::Rename(vec![(*axis, formal)]), &[tensor], span)
                } else {
                    Ok(tensor)
                }
            }),
            (Axes::Size(_), value) => Ok(value),
            (Axes::Group(_), value) => {
                let mut flat = Vec::new();
                self.flat_axes(outer, span, &mut flat)?;
                self.map_tensors(value, &mut |this, tensor| {
                    if this.ty(tensor).has(formal) {
                        return Ok(tensor);
                    }
                    this.op(Op::Merge(flat.clone(), formal), &[tensor], span)
                })
            }
            (Axes::Record(parts), Value::Record(fields)) => {
                let mut from = Vec::new();
                let mut operands = Vec::new();
                for (name, part) in parts {
                    let Some((_, value)) = fields.iter().find(|(own, _)| own == name) else {
                        return self.error(
                            304,
                            span,
                            format!("the record lacks the field `{name}`"),
                            "it is one part of the axis",
                        );
                    };
                    let extent = self.axes_extent(part);
                    let axis = match part {
                        Axes::One(axis) => *axis,
                        _ => self.part_axis(name, &extent),
                    };
                    let value = match part {
                        Axes::One(_) => value.clone(),
                        _ => self.cross_in(value.clone(), axis, part, span)?,
                    };
                    let tensor = self.tensor(value, DType::F32, span)?;
                    if !self.ty(tensor).has(axis) {
                        let shown = self.b.axes.show(self.ty(tensor));
                        return self.error(
                            304,
                            span,
                            format!(
                                "the field `{name}` needs the axis `{}`",
                                self.b.axes.show_axis(axis)
                            ),
                            format!("it is `{shown}`"),
                        );
                    }
                    from.push(axis);
                    operands.push(tensor);
                }
                Ok(Value::Tensor(self.op(
                    Op::Concat(from, formal),
                    &operands,
                    span,
                )?))
            }
            (Axes::Record(parts), value) => {
                // Already joined: its axis has the record's name for the whole.
                let tensor = self.tensor(value, DType::F32, span)?;
                if self.ty(tensor).has(formal) {
                    return Ok(Value::Tensor(tensor));
                }
                let names: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
                self.error_help(
                    304,
                    span,
                    "a record is needed here",
                    "this is one tensor",
                    format!("pass a record with the fields {}", names.join(", ")),
                )
            }
        }
    }

    fn part_axis(&mut self, name: &str, extent: &Extent) -> AxisId {
        let taken = self.file_axes.values().copied().collect();
        self.pooled_axis(name, extent, None, false, &taken)
    }

    /// Values along formal axes become values outside.
    pub(crate) fn leave_value(
        &mut self,
        instance: InstanceId,
        value: Value,
        span: Span,
    ) -> Eval<Value> {
        let borders = self.instances[instance.0].borders.clone();
        let mut value = value;
        for (formal, outer) in borders {
            value = self.leave_border(value, formal, &outer, span)?;
        }
        Ok(value)
    }

    fn leave_border(
        &mut self,
        value: Value,
        formal: AxisId,
        outer: &Axes,
        span: Span,
    ) -> Eval<Value> {
        match value {
            Value::Tensor(tensor) if self.ty(tensor).has(formal) => {
                self.cross_out(tensor, formal, outer, span)
            }
            Value::Record(fields) => {
                let mut result = Vec::new();
                for (name, value) in fields {
                    result.push((name, self.leave_border(value, formal, outer, span)?));
                }
                Ok(Value::Record(result))
            }
            Value::Tuple(parts) => {
                let mut result = Vec::new();
                for value in parts {
                    result.push(self.leave_border(value, formal, outer, span)?);
                }
                Ok(Value::Tuple(result))
            }
            other => Ok(other),
        }
    }

    fn cross_out(
        &mut self,
        tensor: Tensor,
        formal: AxisId,
        outer: &Axes,
        span: Span,
    ) -> Eval<Value> {
        match outer {
            Axes::One(axis) => {
                let renamed = self.op(Op::Rename(vec![(formal, *axis)]), &[tensor], span)?;
                Ok(Value::Tensor(renamed))
            }
            Axes::Size(_) => Ok(Value::Tensor(tensor)),
            Axes::Group(_) => {
                let mut flat = Vec::new();
                self.flat_axes(outer, span, &mut flat)?;
                Ok(Value::Tensor(self.op(
                    Op::Split(formal, flat),
                    &[tensor],
                    span,
                )?))
            }
            Axes::Record(parts) => {
                let mut offset = Extent::constant(0);
                let mut result = Vec::new();
                for (name, part) in parts {
                    let extent = self.axes_extent(part);
                    let (axis, split) = match part {
                        Axes::One(axis) => (*axis, false),
                        Axes::Size(size) if size.as_constant() == Some(1) => {
                            let op = Op::Window {
                                axis: formal,
                                into: Vec::new(),
                                offset: offset.clone(),
                            };
                            let value = self.op(op, &[tensor], span)?;
                            result.push((name.clone(), Value::Tensor(value)));
                            offset = offset.plus(&extent);
                            continue;
                        }
                        Axes::Size(_) => (self.part_axis(name, &extent), false),
                        _ => (self.part_axis(name, &extent), true),
                    };
                    let op = Op::Window {
                        axis: formal,
                        into: vec![(axis, Extent::constant(1))],
                        offset: offset.clone(),
                    };
                    let value = self.op(op, &[tensor], span)?;
                    let value = if split {
                        self.cross_out(value, axis, part, span)?
                    } else {
                        Value::Tensor(value)
                    };
                    result.push((name.clone(), value));
                    offset = offset.plus(&extent);
                }
                Ok(Value::Record(result))
            }
        }
    }

    /// Applies `change` to every tensor of a value.
    pub(crate) fn map_tensors(
        &mut self,
        value: Value,
        change: &mut dyn FnMut(&mut Self, Tensor) -> Eval<Tensor>,
    ) -> Eval<Value> {
        Ok(match value {
            Value::Tensor(tensor) => Value::Tensor(change(self, tensor)?),
            Value::Record(fields) => {
                let mut result = Vec::new();
                for (name, value) in fields {
                    result.push((name, self.map_tensors(value, change)?));
                }
                Value::Record(result)
            }
            Value::Tuple(parts) => {
                let mut result = Vec::new();
                for value in parts {
                    result.push(self.map_tensors(value, change)?);
                }
                Value::Tuple(result)
            }
            Value::List(parts) => {
                let mut result = Vec::new();
                for value in parts {
                    result.push(self.map_tensors(value, change)?);
                }
                Value::List(result)
            }
            other => other,
        })
    }
}
