//! What do the declared types of a function take?
//!
//! A name in a type of a parameter is an axis parameter, an axis of the file, or a formal: an
//! axis of the argument. Which one is said by name in the call (`f(x, n = vocab)`), or is the one
//! of that name, or the only one that is left. The order of axes says nothing. All other axes
//! ride along. Formals are distinct: one that is given an axis that another one has, or that
//! rides along elsewhere, is a name of its own for it inside.

use std::collections::{BTreeMap, BTreeSet};

use girih_graph::{AxisId, DType, Op};

use super::Elaborator;
use super::call::Given;
use super::scope::{Env, type_word};
use super::value::{Axes, Eval, Tensor, Value};
use crate::ast::{self, ExprKind, Index, ItemKind, TypeKind};
use crate::diag::{Code, Diagnostic};
use crate::program::ItemRef;
use crate::span::Span;

/// A tensor that a function is given.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    /// The parameter's name.
    pub(crate) name: String,
    pub(crate) tensor: Tensor,
    /// The axes of the declared type, in its order.
    pub(crate) core: Vec<AxisId>,
}

/// The arguments of one call.
#[derive(Debug)]
pub(crate) struct Bound {
    /// Where the body stands, without the tensors.
    pub(crate) env: Env,
    pub(crate) taken: Vec<Taken>,
    /// Everything else that was given, in order; axes are in `axes`.
    pub(crate) statics: Vec<(String, Value, Span)>,
    /// Axis parameters and formals by name.
    pub(crate) axes: BTreeMap<String, AxisId>,
    /// Axes outside, and what they are called inside.
    pub(crate) renames: Vec<(AxisId, AxisId)>,
}

/// An argument for a tensor before its axes are known.
struct Argument<'a> {
    parameter: &'a ast::Parameter,
    ty: &'a ast::Type,
    names: Vec<String>,
    tensor: Tensor,
    span: Span,
}

impl Elaborator<'_> {
    pub(crate) fn bind_signature(
        &mut self,
        place: ItemRef,
        function: &ast::FnDecl,
        args: Vec<Given>,
        span: Span,
    ) -> Eval<Bound> {
        let mut env = Env::of_file(place.file);
        let mut axes: BTreeMap<String, AxisId> = BTreeMap::new();
        let formals = self.formals(function)?;
        let mut rest = Vec::new();
        for (name, value, at) in args {
            match name {
                Some(name) if formals.contains(&name) => {
                    let axis = self.axis_given(&name, &value, at)?;
                    axes.insert(name, axis);
                }
                name => rest.push((name, value, at)),
            }
        }
        let given = self.match_args(&function.name, &function.params, rest)?;
        let mut arguments = Vec::new();
        let mut statics = Vec::new();
        for (parameter, given) in function.params.iter().zip(given) {
            let (value, at) = match (given, &parameter.default) {
                (Some(given), _) => given,
                (None, Some(default)) => (self.eval(&mut env, default)?, default.span),
                (None, None) => return self.missing_arg(&function.name, parameter, span),
            };
            let name = parameter.name.text.clone();
            if let Some((ty, dtype)) = tensor_parameter(parameter) {
                let tensor = self.tensor(value, dtype, at)?;
                let tensor = self.as_declared(tensor, dtype, parameter, at)?;
                arguments.push(Argument {
                    parameter,
                    ty,
                    names: self.axis_names(ty)?,
                    tensor,
                    span: at,
                });
                continue;
            }
            if parameter.ty.as_ref().and_then(type_word) == Some("axis") {
                let axis = self.axis_given(&name, &value, at)?;
                axes.insert(name.clone(), axis);
            } else {
                statics.push((name.clone(), value.clone(), at));
            }
            env.locals.insert(name, value);
        }
        // All operands meet in one region.
        let level = arguments.iter().map(|own| own.tensor.level).max();
        for own in &mut arguments {
            let level = level.unwrap_or(0);
            own.tensor = Tensor {
                level,
                id: self.import(own.tensor, level),
            };
        }
        self.bind_formals(&env, function, &arguments, &mut axes)?;
        let renames = self.separate_formals(&mut arguments, &mut axes)?;
        for (name, axis) in &axes {
            let value = Value::Axes(Axes::One(*axis));
            env.locals.insert(name.clone(), value);
        }
        let mut taken = Vec::new();
        for own in &arguments {
            let (_, groups) = self.tensor_type(&mut env, own.ty)?;
            taken.push(Taken {
                name: own.parameter.name.text.clone(),
                tensor: own.tensor,
                core: groups.into_iter().flatten().collect(),
            });
        }
        for own in &taken {
            env.declared.extend(own.core.iter().copied());
            for axis in self.ty(own.tensor).without(&own.core) {
                if !env.lifted.contains(&axis) {
                    env.lifted.push(axis);
                }
            }
        }
        env.is_static = false;
        Ok(Bound {
            env,
            taken,
            statics,
            axes,
            renames,
        })
    }

    fn axis_given(&mut self, name: &str, value: &Value, span: Span) -> Eval<AxisId> {
        match value {
            Value::Axes(Axes::One(axis)) | Value::Experts(axis, _) => Ok(*axis),
            Value::Poison => Err(super::value::Reported),
            other => self.error(
                303,
                span,
                format!("`{name}` is one axis, not {}", other.kind()),
                format!("this is {}", other.kind()),
            ),
        }
    }

    /// Names in types that are no parameters.
    pub(crate) fn formals(&mut self, function: &ast::FnDecl) -> Eval<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for parameter in &function.params {
            if let Some((ty, _)) = tensor_parameter(parameter) {
                names.extend(self.axis_names(ty)?);
            }
        }
        for parameter in &function.params {
            names.remove(&parameter.name.text);
        }
        Ok(names)
    }

    /// The axes of a type by name, each once.
    fn axis_names(&mut self, ty: &ast::Type) -> Eval<Vec<String>> {
        let TypeKind::Tensor { axes, .. } = &ty.kind else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for index in axes {
            let name = match index {
                Index::Bind(name, _) => &name.text,
                Index::At(expr) => match &expr.kind {
                    ExprKind::Name(name) => name,
                    _ => return self.no_name(expr.span),
                },
                Index::All(span) => return self.no_name(*span),
            };
            names.push(name.clone());
        }
        Ok(names)
    }

    fn no_name<T>(&mut self, span: Span) -> Eval<T> {
        self.error_help(
            702,
            span,
            "an axis in the type of a function is a name",
            "this is none",
            "write one axis for each direction: `f32[h, e]`",
        )
    }

    fn bind_formals(
        &mut self,
        env: &Env,
        function: &ast::FnDecl,
        arguments: &[Argument<'_>],
        axes: &mut BTreeMap<String, AxisId>,
    ) -> Eval<()> {
        for own in arguments {
            for name in &own.names {
                if axes.contains_key(name) {
                    continue;
                }
                let place = self.program.find(env.file, name);
                let is_axis = |place| matches!(self.program.item(place).kind, ItemKind::Axis(_));
                if place.is_some_and(is_axis) {
                    if let Some(axis) = self.axis_named(env, name, own.ty.span)? {
                        axes.insert(name.clone(), axis);
                    }
                    continue;
                }
                let same = (self.ty(own.tensor).axes.iter().copied())
                    .find(|axis| self.b.axes.name(*axis) == name);
                if let Some(axis) = same {
                    axes.insert(name.clone(), axis);
                }
            }
        }
        // What is left follows where one axis is left for one name; that may leave one elsewhere.
        while let Some((name, axis)) = arguments.iter().find_map(|own| self.left(own, axes)) {
            axes.insert(name, axis);
        }
        for own in arguments {
            let mut seen = BTreeSet::new();
            for name in &own.names {
                let Some(axis) = axes.get(name).copied() else {
                    return self.which_axis(function, own, name);
                };
                if !self.ty(own.tensor).has(axis) {
                    let shown = self.b.axes.show(self.ty(own.tensor));
                    let wanted = self.b.axes.show_axis(axis);
                    let input = &own.parameter.name;
                    return self.fail(
                        Diagnostic::error(
                            Code::new(304),
                            format!("the input `{}` needs the axis `{wanted}`", input.text),
                        )
                        .at(own.span, format!("this is `{shown}`"))
                        .also(input.span, "declared here"),
                    );
                }
                if !seen.insert(axis) {
                    let axis = self.b.axes.name(axis).to_owned();
                    return self.error(
                        305,
                        own.span,
                        format!(
                            "the axis `{axis}` is given for two of `{}`",
                            own.parameter.name.text
                        ),
                        "axes of one tensor are distinct",
                    );
                }
            }
        }
        Ok(())
    }

    /// The one name of a type without an axis, and the one axis without a name.
    fn left(
        &self,
        own: &Argument<'_>,
        axes: &BTreeMap<String, AxisId>,
    ) -> Option<(String, AxisId)> {
        let mut names = own.names.iter().filter(|name| !axes.contains_key(*name));
        let bound: Vec<AxisId> = own
            .names
            .iter()
            .filter_map(|name| axes.get(name).copied())
            .collect();
        let free = self.ty(own.tensor).without(&bound);
        match (names.next(), names.next(), free.as_slice()) {
            (Some(name), None, [axis]) => Some((name.clone(), *axis)),
            _ => None,
        }
    }

    fn which_axis<T>(&mut self, function: &ast::FnDecl, own: &Argument<'_>, name: &str) -> Eval<T> {
        let shown = self.b.axes.show(self.ty(own.tensor));
        let input = &own.parameter.name;
        let first = self.ty(own.tensor).axes.last().copied();
        let first = first.map_or("…".to_owned(), |axis| self.b.axes.name(axis).to_owned());
        let callee = &function.name.text;
        self.fail(
            Diagnostic::error(
                Code::new(702),
                format!("which axis of `{}` is `{name}`?", input.text),
            )
            .at(own.span, format!("this is `{shown}`"))
            .also(own.ty.span, "declared here")
            .help(format!("say it: `{callee}(…, {name} = {first})`")),
        )
    }

    /// Gives formals that share an axis, or whose axis rides along elsewhere, axes of their own.
    fn separate_formals(
        &mut self,
        arguments: &mut [Argument<'_>],
        axes: &mut BTreeMap<String, AxisId>,
    ) -> Eval<Vec<(AxisId, AxisId)>> {
        let mut taken: BTreeSet<AxisId> = axes.values().copied().collect();
        for own in arguments.iter() {
            taken.extend(self.ty(own.tensor).axes.iter().copied());
        }
        taken.extend(self.file_axes.values().copied());
        let mut renames = Vec::new();
        let mut first: BTreeSet<AxisId> = BTreeSet::new();
        for (name, outer) in axes.clone() {
            let named = arguments.iter().any(|own| own.names.contains(&name));
            let rides = arguments.iter().any(|own| {
                let says = own.names.iter().any(|own| axes.get(own) == Some(&outer));
                self.ty(own.tensor).has(outer) && !says
            });
            if !named || first.insert(outer) && !rides {
                continue;
            }
            let found = self.b.axes[outer].clone();
            let inner = self.pooled_axis(&name, &found.extent, Some(outer), found.time, &taken);
            taken.insert(inner);
            renames.push((outer, inner));
            axes.insert(name.clone(), inner);
            for own in arguments.iter_mut().filter(|own| own.names.contains(&name)) {
                let rename = Op::Rename(vec![(outer, inner)]);
                own.tensor = self.op(rename, &[own.tensor], own.span)?;
            }
        }
        Ok(renames)
    }

    /// What a call gives, under the names that axes have outside.
    pub(crate) fn leave_signature(
        &mut self,
        value: Value,
        renames: &[(AxisId, AxisId)],
        span: Span,
    ) -> Eval<Value> {
        self.map_tensors(value, &mut |this, tensor| {
            let mut tensor = tensor;
            for (outer, inner) in renames {
                if !this.ty(tensor).has(*inner) {
                    continue;
                }
                if this.ty(tensor).has(*outer) {
                    let name = this.b.axes.name(*outer).to_owned();
                    return this.error_help(
                        305,
                        span,
                        format!("the result would have the axis `{name}` twice"),
                        "axes of one tensor are distinct",
                        format!("give one operand another index: `x[{name} = j]`"),
                    );
                }
                tensor = this.op(Op::Rename(vec![(*inner, *outer)]), &[tensor], span)?;
            }
            Ok(tensor)
        })
    }
}

/// The type of a parameter that takes a tensor, and its dtype. A `bool` without axes is a static
/// truth value.
fn tensor_parameter(parameter: &ast::Parameter) -> Option<(&ast::Type, DType)> {
    let ty = parameter.ty.as_ref()?;
    let TypeKind::Tensor { name, axes } = &ty.kind else {
        return None;
    };
    let dtype = name.text.parse::<DType>().ok()?;
    (dtype != DType::Bool || !axes.is_empty()).then_some((ty, dtype))
}
