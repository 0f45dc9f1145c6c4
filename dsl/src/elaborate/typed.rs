//! Which values does a declared type take?
//!
//! On the way in, a group of axes that a formal stands for is merged, a record becomes its
//! parts, and axes that the type does not mention ride along. What is returned has to be what
//! was declared.

use girih_graph::{AxisId, DType, Op};

use super::Elaborator;
use super::scope::Env;
use super::value::{Axes, Eval, InstanceId, Reported, Tensor, Value};
use crate::ast::{self, TypeKind};
use crate::diag::{Code, Diagnostic};
use crate::span::Span;

impl Elaborator<'_> {
    pub(crate) fn enter_value(
        &mut self,
        env: &mut Env,
        instance: InstanceId,
        parameter: &ast::Parameter,
        value: Value,
        span: Span,
        renames: &mut Vec<(AxisId, AxisId)>,
    ) -> Eval<Value> {
        let Some(ty) = &parameter.ty else {
            return Ok(value);
        };
        self.enter_typed(env, instance, parameter, ty, value, span, renames)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one value with everything its border depends on"
    )]
    fn enter_typed(
        &mut self,
        env: &mut Env,
        instance: InstanceId,
        parameter: &ast::Parameter,
        ty: &ast::Type,
        value: Value,
        span: Span,
        renames: &mut Vec<(AxisId, AxisId)>,
    ) -> Eval<Value> {
        match (&ty.kind, value) {
            (_, Value::Poison) => Err(Reported),
            (_, Value::None) if parameter.default.is_some() => Ok(Value::None),
            (TypeKind::Record(fields), Value::Record(values)) => {
                self.all_distinct(fields.iter().map(|(name, _)| name), "the field")?;
                let mut result = Vec::new();
                for (name, ty) in fields {
                    let Some((_, value)) = values.iter().find(|(own, _)| *own == name.text) else {
                        return self.error(
                            304,
                            span,
                            format!("the record lacks the field `{}`", name.text),
                            format!("`{}` takes it", parameter.name.text),
                        );
                    };
                    let value = self.enter_typed(
                        env,
                        instance,
                        parameter,
                        ty,
                        value.clone(),
                        span,
                        renames,
                    )?;
                    result.push((name.text.clone(), value));
                }
                Ok(Value::Record(result))
            }
            (TypeKind::Tuple(types), Value::Tuple(values)) if types.len() == values.len() => {
                let mut result = Vec::new();
                for (ty, value) in types.iter().zip(values) {
                    result.push(
                        self.enter_typed(env, instance, parameter, ty, value, span, renames)?,
                    );
                }
                Ok(Value::Tuple(result))
            }
            (TypeKind::Tensor { name, .. }, value) if name.text.parse::<DType>().is_err() => {
                match name.text.as_str() {
                    "axis" | "int" | "real" | "text" | "list" | "module" => Ok(value),
                    other => {
                        self.error(303, name.span, format!("`{other}` is no type"), "not known")
                    }
                }
            }
            (TypeKind::Tensor { .. }, value) => {
                let (dtype, groups) = self.tensor_type(env, ty)?;
                let axes: Vec<AxisId> = groups.iter().flatten().copied().collect();
                let tensor = self.enter_tensor(instance, &axes, value, dtype, parameter, span)?;
                let tensor = self.separate(env, instance, &axes, tensor, renames, span)?;
                env.declared.extend(axes.iter().copied());
                for axis in self.ty(tensor).axes.clone() {
                    if !axes.contains(&axis) && !env.lifted.contains(&axis) {
                        env.lifted.push(axis);
                    }
                }
                Ok(Value::Tensor(tensor))
            }
            (_, value) => self.error(
                303,
                span,
                format!(
                    "the input `{}` does not take {}",
                    parameter.name.text,
                    value.kind()
                ),
                format!("this is {}", value.kind()),
            ),
        }
    }

    /// A lifted axis that the instance also speaks of gets another name inside.
    fn separate(
        &mut self,
        env: &Env,
        instance: InstanceId,
        axes: &[AxisId],
        tensor: Tensor,
        renames: &mut Vec<(AxisId, AxisId)>,
        span: Span,
    ) -> Eval<Tensor> {
        let mut tensor = tensor;
        for axis in self.ty(tensor).axes.clone() {
            let clash =
                !axes.contains(&axis) && self.instances[instance.0].own_axes.contains(&axis);
            if !clash {
                continue;
            }
            let known = renames
                .iter()
                .find(|(original, _)| *original == axis)
                .map(|pair| pair.1);
            let fresh = known.unwrap_or_else(|| {
                let found = self.b.axes[axis].clone();
                let mut taken = self.taken_axes(Some(instance));
                taken.extend(env.lifted.iter().copied());
                taken.extend(self.ty(tensor).axes.iter().copied());
                self.pooled_axis(&found.name, &found.extent, found.over, found.time, &taken)
            });
            if known.is_none() {
                renames.push((axis, fresh));
            }
            tensor = self.op(Op::Rename(vec![(axis, fresh)]), &[tensor], span)?;
        }
        Ok(tensor)
    }

    fn enter_tensor(
        &mut self,
        instance: InstanceId,
        axes: &[AxisId],
        value: Value,
        dtype: DType,
        parameter: &ast::Parameter,
        span: Span,
    ) -> Eval<Tensor> {
        let borders: Vec<(AxisId, Axes)> = (self.instances[instance.0].borders.iter())
            .filter(|(formal, _)| axes.contains(formal))
            .cloned()
            .collect();
        let mut value = value;
        for (formal, outer) in borders {
            value = self.cross_in(value, formal, &outer, span)?;
        }
        let tensor = self.tensor(value, dtype, span)?;
        let tensor = self.as_declared(tensor, dtype, parameter, span)?;
        for axis in axes {
            if !self.ty(tensor).has(*axis) {
                let shown = self.b.axes.show(self.ty(tensor));
                let wanted = self.b.axes.show_axis(*axis);
                let mut diagnostic = Diagnostic::error(
                    Code::new(304),
                    format!(
                        "the input `{}` needs the axis `{wanted}`",
                        parameter.name.text
                    ),
                )
                .at(span, format!("this is `{shown}`"))
                .also(parameter.name.span, "declared here");
                let extent = self.b.axes.extent(*axis).clone();
                let similar = (self.ty(tensor).axes.iter().copied())
                    .find(|own| *self.b.axes.extent(*own) == extent && !axes.contains(own));
                if let Some(similar) = similar {
                    let name = self.b.axes.name(similar);
                    diagnostic = diagnostic.help(format!(
                        "`{name}` has the same size: pass `…[{name} = {}]` if it is meant",
                        self.b.axes.name(*axis)
                    ));
                }
                return self.fail(diagnostic);
            }
        }
        Ok(tensor)
    }

    /// A value with the dtype that a parameter declares.
    pub(crate) fn as_declared(
        &mut self,
        tensor: Tensor,
        dtype: DType,
        parameter: &ast::Parameter,
        span: Span,
    ) -> Eval<Tensor> {
        let found = self.ty(tensor).clone();
        match (found.dtype, dtype) {
            (found, wanted) if found == wanted => Ok(tensor),
            (found, wanted) if found.is_integer() && wanted.is_integer() => {
                self.cast(tensor, wanted, span)
            }
            (found, wanted) => self.fail(
                Diagnostic::error(
                    Code::new(302),
                    format!(
                        "the input `{}` takes `{wanted}` values, not `{found}`",
                        parameter.name.text
                    ),
                )
                .at(
                    span,
                    format!("this is `{}`", self.b.axes.show(self.ty(tensor))),
                )
                .also(parameter.name.span, "declared here")
                .help(format!("convert it: `{}`", conversion(wanted))),
            ),
        }
    }

    pub(crate) fn check_result(
        &mut self,
        env: &mut Env,
        value: Value,
        ty: &ast::Type,
        lifted: &[AxisId],
        body: &ast::Block,
    ) -> Eval<Value> {
        match (&ty.kind, value) {
            (TypeKind::Record(fields), Value::Record(values)) => {
                self.all_distinct(fields.iter().map(|(name, _)| name), "the field")?;
                let mut result = Vec::new();
                for (name, ty) in fields {
                    let Some((_, value)) = values.iter().find(|(own, _)| *own == name.text) else {
                        return self.error(
                            303,
                            name.span,
                            format!("the returned record lacks the field `{}`", name.text),
                            "declared here",
                        );
                    };
                    let value = self.check_result(env, value.clone(), ty, lifted, body)?;
                    result.push((name.text.clone(), value));
                }
                Ok(Value::Record(result))
            }
            (TypeKind::Tuple(types), Value::Tuple(values)) if types.len() == values.len() => {
                let mut result = Vec::new();
                for (ty, value) in types.iter().zip(values) {
                    result.push(self.check_result(env, value, ty, lifted, body)?);
                }
                Ok(Value::Tuple(result))
            }
            (
                TypeKind::Tensor { .. },
                value @ (Value::Tensor(_)
                | Value::Int(_)
                | Value::Real(_)
                | Value::Bool(_)
                | Value::Axes(_)),
            ) => {
                env.is_static = true;
                let typed = self.tensor_type(env, ty);
                env.is_static = false;
                let (dtype, groups) = typed?;
                let tensor = self.tensor(value, dtype, ty.span)?;
                let found = self.ty(tensor).clone();
                let declared: Vec<AxisId> = groups.into_iter().flatten().collect();
                let missing = declared.iter().any(|axis| !found.has(*axis));
                let surplus = (found.axes.iter())
                    .any(|axis| !declared.contains(axis) && !lifted.contains(axis));
                let retyped =
                    found.dtype != dtype && !(found.dtype.is_integer() && dtype.is_integer());
                if missing || surplus || retyped {
                    let end = body.stmts.last().map_or(body.span, |stmt| stmt.span);
                    let shown = self.b.axes.show(&found);
                    let wanted = self
                        .b
                        .axes
                        .show(&girih_graph::ValueType::new(dtype, declared));
                    return self.fail(
                        Diagnostic::error(
                            Code::new(303),
                            format!("`{wanted}` is declared to be returned, and `{shown}` is"),
                        )
                        .at(end, format!("this is `{shown}`"))
                        .also(ty.span, "declared here")
                        .help(format!("declare `-> {shown}`, or make the value fit")),
                    );
                }
                let tensor = if found.dtype == dtype {
                    tensor
                } else {
                    self.cast(tensor, dtype, ty.span)?
                };
                Ok(Value::Tensor(tensor))
            }
            (_, Value::Poison) => Err(Reported),
            (_, value) => self.error(
                303,
                ty.span,
                format!("{} is returned where this type is declared", value.kind()),
                "declared here",
            ),
        }
    }
}

fn conversion(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "bool(x)",
        dtype if dtype.is_real() => "real(x)",
        _ => "int(x)",
    }
}
