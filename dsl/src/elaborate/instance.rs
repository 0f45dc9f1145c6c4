//! How a module with arguments becomes an instance: static parameters and formal axes bound;
//! its members are in `member`.
//!
//! Axes of a module's signature are formals. One that is given a plain axis *is* that axis;
//! one that is given a group, a record, or an axis that another formal has already, is an
//! axis of its own, and [`Instance::borders`] says how values cross (see `border`).

use std::collections::{BTreeMap, BTreeSet};

use girih_graph::{AxisId, Extent};

use super::member::member_names;
use super::scope::{Env, type_word};
use super::value::{Axes, Eval, InstanceId, ModuleValue, Reported, Value, axes_of, from_static};
use super::{DEPTH, Elaborator, LIMIT};
use crate::ast::{self, ItemKind, MemberKind};
use crate::diag::{Code, Diagnostic};
use crate::program::ItemRef;
use crate::span::Span;

/// One use of a module.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) decl: ItemRef,
    /// `h.3.attn`; empty for the entry.
    pub(crate) path: String,
    /// The same with the names that `as` gives.
    pub(crate) stored_path: String,
    pub(crate) parent: Option<InstanceId>,
    /// Static parameters, axes, parameters, inner instances, by (dotted) name.
    pub(crate) members: BTreeMap<String, Value>,
    /// States by name.
    pub(crate) states: BTreeMap<String, ast::StateDecl>,
    /// Axes that only this instance speaks of, formals included.
    pub(crate) own_axes: BTreeSet<AxisId>,
    /// Formals that stand for something else outside.
    pub(crate) borders: Vec<(AxisId, Axes)>,
}

pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else if name.is_empty() {
        path.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// What is wrong with an axis whose size lies outside what a size can be.
pub(crate) fn unsized_axis(name: &str, extent: &Extent) -> String {
    match extent.as_constant() {
        Some(size) if size < 0 => format!("axis `{name}` would have size {size}"),
        _ => format!("axis `{name}` would be too large"),
    }
}

/// A path of plain words.
pub(crate) fn plain_path(path: &ast::Path) -> String {
    let words = path.segments.iter().filter_map(|segment| match segment {
        ast::Segment::Name(name) => Some(name.text.as_str()),
        _ => None,
    });
    words.collect::<Vec<_>>().join(".")
}

impl Elaborator<'_> {
    /// A member of an instance, if it has one of this name.
    pub(crate) fn member(
        &mut self,
        instance: InstanceId,
        name: &str,
        span: Span,
    ) -> Eval<Option<Value>> {
        if let Some(value) = self.instances[instance.0].members.get(name) {
            let value = value.clone();
            self.require_before_model(name, &value, span)?;
            return Ok(Some(value));
        }
        if self.instances[instance.0].states.contains_key(name) {
            return self
                .state_value(instance, name, &[], span)
                .map(|state| Some(Value::Tensor(state)));
        }
        Ok(None)
    }

    /// The entry's instance: arguments come from the request; axes that nothing gives are symbols.
    pub(crate) fn instantiate_entry(&mut self, decl: ItemRef) -> Eval<InstanceId> {
        let ast = self.program.ast(decl.file);
        let ItemKind::Module(module) = &ast.items[decl.item].kind else {
            return Err(Reported);
        };
        for (name, _) in &self.request.statics {
            if !module
                .params
                .iter()
                .any(|parameter| parameter.name.text == *name)
            {
                let names = module
                    .params
                    .iter()
                    .map(|parameter| parameter.name.text.as_str());
                let nearest = super::scope::nearest(name, names);
                let mut diagnostic = Diagnostic::error(
                    Code::new(205),
                    format!("`{}` has no parameter `{name}`", module.name.text),
                )
                .at(module.name.span, "declared here");
                if let Some(nearest) = nearest {
                    diagnostic = diagnostic.help(format!("did you mean `{nearest}`?"));
                }
                return self.fail(diagnostic);
            }
        }
        let mut args = Vec::new();
        for parameter in &module.params {
            let name = &parameter.name.text;
            let given = self.request.statics.iter().find(|(own, _)| own == name);
            if let Some((_, value)) = given {
                args.push((name.clone(), from_static(value)));
                continue;
            }
            if parameter.default.is_some() {
                continue;
            }
            match parameter.ty.as_ref().and_then(type_word) {
                Some("axis") => {
                    args.push((name.clone(), Value::Axes(Axes::Size(Extent::symbol(name)))));
                }
                None | Some("int") => args.push((name.clone(), Value::Int(Extent::symbol(name)))),
                Some(word) => {
                    return self.error_help(
                        205,
                        parameter.name.span,
                        format!("the parameter `{name}` needs a value"),
                        format!("a `{word}` without a default"),
                        format!("give it with `--set {name}=…`, or write a default"),
                    );
                }
            }
        }
        let span = module.name.span;
        self.instantiate(&ModuleValue { decl, args, span }, "", "", None, span)
    }

    /// Makes an instance.
    pub(crate) fn instantiate(
        &mut self,
        module: &ModuleValue,
        path: &str,
        stored_path: &str,
        parent: Option<InstanceId>,
        span: Span,
    ) -> Eval<InstanceId> {
        self.spend(span, 1)?;
        let mut depth = 0;
        let mut next = parent;
        while let Some(instance) = next {
            depth += 1;
            next = self.instances[instance.0].parent;
        }
        if depth > DEPTH {
            return self.endless(module.decl, parent, span);
        }
        if self.instance_count() >= LIMIT {
            return self.error(
                408,
                span,
                "the model has too many instances",
                format!("past {LIMIT}"),
            );
        }
        let ast = self.program.ast(module.decl.file);
        let ItemKind::Module(declared) = &ast.items[module.decl.item].kind else {
            return Err(Reported);
        };
        let id = InstanceId(self.instances.len());
        self.instances.push(Instance {
            decl: module.decl,
            path: path.to_owned(),
            stored_path: stored_path.to_owned(),
            parent,
            members: BTreeMap::new(),
            states: BTreeMap::new(),
            own_axes: BTreeSet::new(),
            borders: Vec::new(),
        });
        for parameter in &declared.params {
            let name = &parameter.name.text;
            let given = module.args.iter().find(|(own, _)| own == name);
            let value = match (given, &parameter.default) {
                (Some((_, value)), _) => value.clone(),
                (None, Some(default)) => {
                    let mut env = Env::of_instance(self, id);
                    self.eval(&mut env, default)?
                }
                (None, None) => {
                    let diagnostic = Diagnostic::error(
                        Code::new(205),
                        format!("`{}` needs its parameter `{name}`", declared.name.text),
                    )
                    .at(module.span, "not given here")
                    .also(parameter.name.span, "declared without a default");
                    return self.fail(diagnostic);
                }
            };
            if self.instances[id.0].members.contains_key(name) {
                self.twice(&parameter.name)?;
            }
            self.bind_static(id, parameter, value, module.span)?;
        }
        // A broken member does not hide the mistakes of the others.
        for member in &declared.members {
            if self.declare_member(id, member).is_err() {
                for name in member_names(&member.kind) {
                    self.instances[id.0].members.insert(name, Value::Poison);
                }
            }
        }
        Ok(id)
    }

    /// Modules that contain one another are told once, at the first of them.
    fn endless<T>(&mut self, decl: ItemRef, parent: Option<InstanceId>, span: Span) -> Eval<T> {
        let mut circle = vec![decl];
        let mut next = parent;
        while let Some(instance) = next {
            let found = &self.instances[instance.0];
            if found.decl == decl {
                break;
            }
            circle.insert(0, found.decl);
            next = found.parent;
        }
        let mut names = Vec::new();
        for place in &circle {
            if let ItemKind::Module(module) = &self.program.item(*place).kind {
                names.push(module.name.clone());
            }
        }
        let first = (0..names.len()).min_by_key(|at| names[*at].span.key());
        let Some(first) = first.filter(|_| next.is_some()) else {
            return self.error_help(
                409,
                span,
                "modules nest without end",
                format!("more than {DEPTH} modules inside one another"),
                "a module cannot contain itself; write a `stack`",
            );
        };
        names.rotate_left(first);
        let mut shown = names
            .iter()
            .skip(1)
            .map(|name| format!("`{}`", name.text))
            .collect::<Vec<_>>();
        shown.push(if names.len() == 1 {
            "itself".to_owned()
        } else {
            format!("`{}`", names[0].text)
        });
        let name = names[0].clone();
        self.error_help(
            409,
            name.span,
            format!(
                "`{}` contains {}",
                name.text,
                shown.join(", which contains ")
            ),
            "it would never end",
            "a module cannot contain itself; repeat its layers with `stack h[n] = …`",
        )
    }

    fn bind_static(
        &mut self,
        id: InstanceId,
        parameter: &ast::Parameter,
        value: Value,
        span: Span,
    ) -> Eval<()> {
        let name = &parameter.name.text;
        let word = parameter.ty.as_ref().and_then(type_word);
        let wrong = |this: &mut Self, wanted: &str, value: &Value| {
            let diagnostic = Diagnostic::error(
                Code::new(205),
                format!(
                    "the parameter `{name}` takes {wanted}, not {}",
                    value.kind()
                ),
            )
            .at(span, format!("given {}", value.kind()))
            .also(parameter.name.span, "declared here");
            this.fail::<()>(diagnostic)
        };
        let value = match (word, value) {
            (_, Value::Poison) => return Err(Reported),
            (Some("axis"), value) => {
                let axes = match value {
                    Value::Axes(axes) => axes,
                    Value::Int(extent) => Axes::Size(extent),
                    Value::Tuple(_) | Value::Record(_) => match axes_of(&value) {
                        Some(axes) => axes,
                        None => return wrong(self, "an axis", &value),
                    },
                    Value::Experts(axis, _) => Axes::One(axis),
                    Value::None => {
                        self.instances[id.0]
                            .members
                            .insert(name.clone(), Value::None);
                        return Ok(());
                    }
                    other => return wrong(self, "an axis", &other),
                };
                let axis = self.bind_axis(id, name, axes, span)?;
                Value::Axes(Axes::One(axis))
            }
            (Some("int"), Value::Axes(axes)) => Value::Int(self.axes_extent(&axes)),
            (Some("int"), value @ Value::Int(_)) => value,
            (Some("int"), other) => return wrong(self, "an integer", &other),
            (Some("real"), Value::Int(extent)) => match extent.as_constant() {
                Some(number) => Value::Real(number as f64),
                None => return wrong(self, "a number", &Value::Int(extent)),
            },
            (Some("bool"), value) if !matches!(value, Value::Bool(_)) => {
                return wrong(self, "a truth value", &value);
            }
            (Some("module"), value)
                if !matches!(
                    value,
                    Value::Module(_)
                        | Value::Instance(_)
                        | Value::None
                        | Value::Function(_)
                        | Value::Builtin(_)
                ) =>
            {
                return wrong(self, "a module", &value);
            }
            (_, value) => value,
        };
        self.instances[id.0].members.insert(name.clone(), value);
        Ok(())
    }

    /// Binds a formal axis.
    pub(crate) fn bind_axis(
        &mut self,
        id: InstanceId,
        name: &str,
        axes: Axes,
        span: Span,
    ) -> Eval<AxisId> {
        let is_entry =
            self.instances[id.0].parent.is_none() && self.instances[id.0].path.is_empty();
        let extent = self.axes_extent(&axes);
        if extent
            .as_constant()
            .is_some_and(|size| !(0..=Extent::LIMIT).contains(&size))
        {
            return self.error(
                307,
                span,
                unsized_axis(name, &extent),
                format!("sizes lie between 0 and {}", Extent::LIMIT),
            );
        }
        let (axis, border) = match axes {
            Axes::One(axis) if !self.instances[id.0].own_axes.contains(&axis) => (axis, None),
            Axes::Size(size) if is_entry => (self.fresh_axis(id, name, &size), None),
            Axes::Size(size) if size.as_constant() == Some(1) => (
                self.fresh_axis(id, name, &size),
                Some(Axes::Group(Vec::new())),
            ),
            Axes::Size(size) => (self.fresh_axis(id, name, &size), None),
            other => (self.fresh_axis(id, name, &extent), Some(other)),
        };
        let instance = &mut self.instances[id.0];
        instance.own_axes.insert(axis);
        if let Some(border) = border {
            instance.borders.push((axis, border));
        }
        Ok(axis)
    }

    pub(crate) fn fresh_axis(&mut self, id: InstanceId, name: &str, extent: &Extent) -> AxisId {
        let taken = self.taken_axes(Some(id));
        self.pooled_axis(name, extent, None, false, &taken)
    }

    /// The number of positions of a group.
    pub(crate) fn axes_extent(&self, axes: &Axes) -> Extent {
        match axes {
            Axes::One(axis) => self.b.axes.extent(*axis).clone(),
            Axes::Size(extent) => extent.clone(),
            Axes::Group(parts) => parts.iter().fold(Extent::constant(1), |size, part| {
                size.times(&self.axes_extent(part))
            }),
            Axes::Record(parts) => parts.iter().fold(Extent::constant(0), |size, (_, part)| {
                size.plus(&self.axes_extent(part))
            }),
        }
    }
}

impl<'p> Elaborator<'p> {
    /// The method called `name` of a module.
    pub(crate) fn find_method(&mut self, decl: ItemRef, name: &str) -> Eval<&'p ast::Method> {
        let program = self.program;
        let ItemKind::Module(module) = &program.item(decl).kind else {
            return Err(Reported);
        };
        let methods = module
            .members
            .iter()
            .filter_map(|member| match &member.kind {
                MemberKind::Method(method) => Some(method),
                _ => None,
            });
        let mut names = Vec::new();
        for method in methods {
            if method.name.text == name {
                return Ok(method);
            }
            names.push(format!("`{}`", method.name.text));
        }
        let owner = &module.name.text;
        let diagnostic =
            Diagnostic::error(Code::new(207), format!("`{owner}` has no method `{name}`"))
                .at(module.name.span, "declared here");
        self.fail(if names.is_empty() {
            diagnostic.help(format!(
                "declare one: `{name}(x: f32[d]) -> f32[d] {{ … }}`"
            ))
        } else {
            diagnostic.note(format!("it has {}", names.join(", ")))
        })
    }
}
