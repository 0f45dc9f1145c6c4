//! What a name means at one place, and which axes can be mentioned there.

use std::collections::{BTreeMap, BTreeSet};

use girih_graph::{AxisId, DType, Extent};

use super::Elaborator;
use super::value::{Axes, Eval, InstanceId, Tensor, Value};
use crate::ast::{self, ItemKind, TypeKind};
use crate::diag::{Code, Diagnostic};
use crate::program::ItemRef;
use crate::span::Span;

/// Where an expression stands.
#[derive(Clone, Debug)]
pub(crate) struct Env {
    pub(crate) file: usize,
    pub(crate) instance: Option<InstanceId>,
    pub(crate) locals: BTreeMap<String, Value>,
    /// Index variables that equations have bound so far.
    pub(crate) indices: BTreeMap<String, AxisId>,
    /// Axes that the method's inputs are declared with.
    pub(crate) declared: BTreeSet<AxisId>,
    /// Axes that the inputs carry beyond those.
    pub(crate) lifted: Vec<AxisId>,
    /// Axis names are sizes here (declarations), not positions (bodies).
    pub(crate) is_static: bool,
    /// Next values of states, so far.
    pub(crate) next: BTreeMap<String, Tensor>,
    /// Inequalities `≥ 0` that the surrounding `where` grants.
    pub(crate) facts: Vec<super::affine::Affine>,
    /// The domain that the outermost reducer takes.
    pub(crate) domain: Option<Tensor>,
    /// Whether some `where` surrounds the expression.
    pub(crate) guarded: bool,
    /// Whether the left side lists the axes of the result.
    pub(crate) listed: bool,
    /// Path under which named values are kept; `None` inside functions.
    pub(crate) path: Option<String>,
}

impl Env {
    pub(crate) fn of_file(file: usize) -> Self {
        Self {
            file,
            instance: None,
            locals: BTreeMap::new(),
            indices: BTreeMap::new(),
            declared: BTreeSet::new(),
            lifted: Vec::new(),
            is_static: true,
            next: BTreeMap::new(),
            facts: Vec::new(),
            domain: None,
            guarded: false,
            listed: false,
            path: None,
        }
    }

    pub(crate) fn of_instance(elaborator: &Elaborator<'_>, instance: InstanceId) -> Self {
        let found = &elaborator.instances[instance.0];
        Self {
            instance: Some(instance),
            path: Some(found.path.clone()),
            ..Self::of_file(found.decl.file)
        }
    }

    /// The path from outside of a name in this body, if it has one.
    pub(crate) fn path_of(&self, name: &str) -> Option<String> {
        let path = self.path.as_deref()?;
        Some(if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        })
    }
}

impl Elaborator<'_> {
    /// What a name means, if anything.
    pub(crate) fn lookup(&mut self, env: &Env, name: &str, span: Span) -> Eval<Option<Value>> {
        if let Some(value) = env.locals.get(name) {
            return Ok(Some(value.clone()));
        }
        if let Some(axis) = env.indices.get(name) {
            return Ok(Some(Value::Axes(Axes::One(*axis))));
        }
        if let Some(instance) = env.instance
            && let Some(value) = self.member(instance, name, span)?
        {
            return Ok(Some(value));
        }
        if let Some(place) = self.program.find(env.file, name) {
            return self.item_value(place, span).map(Some);
        }
        Ok(match name {
            "none" => Some(Value::None),
            "pi" => Some(Value::Real(std::f64::consts::PI)),
            "inf" => Some(Value::Real(f64::INFINITY)),
            _ => None,
        })
    }

    fn item_value(&mut self, place: ItemRef, span: Span) -> Eval<Value> {
        match &self.program.item(place).kind {
            ItemKind::Axis(axis) => {
                let name = axis.name.text.clone();
                match self.file_axes.get(&name) {
                    Some(axis) => Ok(Value::Axes(Axes::One(*axis))),
                    None => self.declare_file_axis(place, axis),
                }
            }
            ItemKind::Let(_, expr) => {
                if let Some(value) = self.file_lets.get(&place) {
                    return Ok(value.clone());
                }
                // A value that needs itself finds this.
                self.file_lets.insert(place, Value::Poison);
                let mut env = Env::of_file(place.file);
                let value = self.eval(&mut env, expr)?;
                self.file_lets.insert(place, value.clone());
                Ok(value)
            }
            ItemKind::Fn(_) => Ok(Value::Function(place)),
            ItemKind::Module(_) => Ok(Value::Module(std::rc::Rc::new(super::value::ModuleValue {
                decl: place,
                args: Vec::new(),
                span,
            }))),
            _ => self.error(
                208,
                span,
                "a procedure cannot be used inside a model",
                "procedures call models, not the other way round",
            ),
        }
    }

    fn declare_file_axis(&mut self, place: ItemRef, axis: &ast::AxisDecl) -> Eval<Value> {
        let name = axis.name.text.clone();
        let extent = match &axis.extent {
            None => Extent::symbol(&name),
            Some(expr) => {
                let mut env = Env::of_file(place.file);
                self.eval_extent(&mut env, expr)?
            }
        };
        let time = self.is_time(axis)?;
        let id = self.b.axes.add(&name, extent, None, time);
        self.pool.entry(name.clone()).or_default().push(id);
        self.file_axes.insert(name, id);
        Ok(Value::Axes(Axes::One(id)))
    }

    pub(crate) fn is_time(&mut self, axis: &ast::AxisDecl) -> Eval<bool> {
        match &axis.kind {
            None => Ok(false),
            Some(kind) if kind.text == "time" => Ok(true),
            Some(kind) => self.error_help(
                209,
                kind.span,
                format!("`{}` is no kind of axis", kind.text),
                "not known",
                "write `: time` for an axis that is streamed, or nothing",
            ),
        }
    }

    /// The axes that the entry file declares exist from the start, so that nothing takes their names.
    pub(crate) fn collect_file_axes(&mut self, file: usize) -> Eval<()> {
        let ast = self.program.ast(file);
        for (item, found) in ast.items.iter().enumerate() {
            if let ItemKind::Axis(axis) = &found.kind
                && !self.file_axes.contains_key(&axis.name.text)
            {
                self.declare_file_axis(ItemRef { file, item }, axis)?;
            }
        }
        Ok(())
    }

    /// Reports a name that means nothing, with the nearest one that does.
    pub(crate) fn unknown<T>(&mut self, env: &Env, name: &str, span: Span, what: &str) -> Eval<T> {
        if self.program.is_broken(name) {
            self.failed = true;
            return Err(super::value::Reported);
        }
        let mut names: Vec<String> = env
            .locals
            .keys()
            .chain(env.indices.keys())
            .cloned()
            .collect();
        if let Some(instance) = env.instance {
            names.extend(self.instances[instance.0].members.keys().cloned());
        }
        names.extend(self.program.names(env.file).map(str::to_owned));
        names.extend(super::builtin::NAMES.iter().map(|name| (*name).to_owned()));
        let nearest = nearest(name, names.iter().map(String::as_str));
        let mut diagnostic =
            Diagnostic::error(Code::new(202), format!("{what} `{name}` is not known here"))
                .at(span, "not declared");
        if let Some(nearest) = nearest {
            diagnostic = diagnostic.help(format!("did you mean `{nearest}`?"));
        } else if what == "the axis" {
            diagnostic = diagnostic.help(format!(
                "declare it: `axis {name}`, or `{name}: axis` among the module's parameters"
            ));
        } else if !env.is_static && name.chars().count() == 1 && env.instance.is_none() {
            diagnostic = diagnostic.help(format!(
                "a function sees what it is given: pass the axis, `fn f(x, {name}: axis)`"
            ));
        } else if !env.is_static && name.chars().count() == 1 {
            diagnostic = diagnostic.help(format!(
                "an index gets its range from a read `x[t = {name}]`, from `axis {name} = 4`, or from `where {name} < 4`"
            ));
        }
        self.fail(diagnostic)
    }

    /// Names of one list are distinct.
    pub(crate) fn all_distinct<'a>(
        &mut self,
        names: impl Iterator<Item = &'a ast::Name>,
        what: &str,
    ) -> Eval<()> {
        let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
        for name in names {
            if let Some(first) = seen.insert(&name.text, name.span) {
                return self.fail(
                    Diagnostic::error(
                        Code::new(201),
                        format!("{what} `{}` is written twice", name.text),
                    )
                    .at(name.span, "written again")
                    .also(first, "first written here"),
                );
            }
        }
        Ok(())
    }

    /// The axis that `name` stands for.
    pub(crate) fn axis_named(&mut self, env: &Env, name: &str, span: Span) -> Eval<Option<AxisId>> {
        // An axis may share its name with a local value: the axis is meant where one is wanted.
        if let Some(axis) = env.indices.get(name) {
            return Ok(Some(*axis));
        }
        match env.locals.get(name) {
            Some(Value::Axes(Axes::One(axis))) => return Ok(Some(*axis)),
            Some(Value::Poison) => return Err(super::value::Reported),
            _ => {}
        }
        if let Some(instance) = env.instance {
            match self.member(instance, name, span)? {
                Some(Value::Axes(Axes::One(axis)) | Value::Experts(axis, _)) => {
                    return Ok(Some(axis));
                }
                Some(Value::Poison) => return Err(super::value::Reported),
                _ => {}
            }
        }
        if let Some(place) = self.program.find(env.file, name)
            && let ItemKind::Axis(_) = &self.program.item(place).kind
            && let Value::Axes(Axes::One(axis)) = self.item_value(place, span)?
        {
            return Ok(Some(axis));
        }
        Ok(None)
    }

    /// Whether the equation's left side has to mention `axis` if its value has it.
    pub(crate) fn is_known(&self, env: &Env, axis: AxisId) -> bool {
        env.declared.contains(&axis)
            || env.indices.values().any(|own| *own == axis)
            || env
                .locals
                .values()
                .any(|own| matches!(own, Value::Axes(Axes::One(own)) if *own == axis))
            || env
                .instance
                .is_some_and(|instance| self.instances[instance.0].own_axes.contains(&axis))
    }

    /// An axis called `name` with this extent, shared with other instances unless it could be
    /// confused with one of `taken`.
    pub(crate) fn pooled_axis(
        &mut self,
        name: &str,
        extent: &Extent,
        over: Option<AxisId>,
        time: bool,
        taken: &BTreeSet<AxisId>,
    ) -> AxisId {
        let known = self.pool.entry(name.to_owned()).or_default();
        for axis in known.iter() {
            let found = &self.b.axes[*axis];
            if found.extent == *extent
                && found.over == over
                && found.time == time
                && !taken.contains(axis)
                && !self.lifted.contains(axis)
            {
                return *axis;
            }
        }
        let axis = self.b.axes.add(name, extent.clone(), over, time);
        known.push(axis);
        axis
    }

    /// dtype and stored axes of a tensor type; axes declared in place are added to the instance.
    pub(crate) fn tensor_type(
        &mut self,
        env: &mut Env,
        ty: &ast::Type,
    ) -> Eval<(DType, Vec<Vec<AxisId>>)> {
        let TypeKind::Tensor { name, axes } = &ty.kind else {
            return self.error(
                303,
                ty.span,
                "one tensor type is needed here",
                "a record or a tuple",
            );
        };
        let Ok(dtype) = name.text.parse::<DType>() else {
            return self.error_help(
                303,
                name.span,
                format!("`{}` is no element type", name.text),
                "not known",
                "write one of f64, f32, f16, bf16, i64, i32, i8, u8, bool",
            );
        };
        let mut groups = Vec::new();
        for axis in axes {
            groups.push(self.stored_axis(env, axis)?);
        }
        let mut seen = BTreeSet::new();
        for axis in groups.iter().flatten() {
            if !seen.insert(*axis) {
                let name = self.b.axes.name(*axis).to_owned();
                return self.error_help(
                    305,
                    ty.span,
                    format!("the type has the axis `{name}` twice"),
                    "axes of one tensor are distinct",
                    format!(
                        "declare a second axis of the same size: `axis {name}2 = size({name})`"
                    ),
                );
            }
        }
        Ok((dtype, groups))
    }

    fn stored_axis(&mut self, env: &mut Env, axis: &ast::Index) -> Eval<Vec<AxisId>> {
        match axis {
            ast::Index::Bind(name, expr) => {
                let extent = {
                    let mut inner = env.clone();
                    inner.is_static = true;
                    self.eval_extent(&mut inner, expr)?
                };
                if let Some(axis) = self.axis_named(env, &name.text, name.span)? {
                    self.require_equal(&extent, axis, name.span)?;
                    return Ok(vec![axis]);
                }
                let axis = self.declare_axis(env, &name.text, &extent, false);
                Ok(vec![axis])
            }
            ast::Index::At(expr) => {
                let axes = self.eval_axes(env, expr)?;
                let mut flat = Vec::new();
                self.flat_axes(&axes, expr.span, &mut flat)?;
                Ok(flat)
            }
            ast::Index::All(place) => {
                self.error(303, *place, "`*` is no axis", "only probes use it")
            }
        }
    }

    fn require_equal(&mut self, extent: &Extent, axis: AxisId, span: Span) -> Eval<()> {
        let own = self.b.axes.extent(axis).clone();
        if own == *extent {
            return Ok(());
        }
        let name = self.b.axes.name(axis).to_owned();
        self.error(
            301,
            span,
            format!("axis `{name}` is {own} and {extent}"),
            format!("`{name}` has size {own} already"),
        )
    }

    /// A new axis of the current instance, or of the current function's call.
    pub(crate) fn declare_axis(
        &mut self,
        env: &mut Env,
        name: &str,
        extent: &Extent,
        time: bool,
    ) -> AxisId {
        let mut taken = self.taken_axes(env.instance);
        taken.extend(env.lifted.iter().copied());
        taken.extend(env.declared.iter().copied());
        let axis = self.pooled_axis(name, extent, None, time, &taken);
        match env.instance {
            Some(instance) if env.is_static => {
                let found = &mut self.instances[instance.0];
                found
                    .members
                    .insert(name.to_owned(), Value::Axes(Axes::One(axis)));
                found.own_axes.insert(axis);
            }
            _ => {
                env.indices.insert(name.to_owned(), axis);
            }
        }
        axis
    }

    /// Axes that belong to the instance or to those around it.
    pub(crate) fn taken_axes(&self, instance: Option<InstanceId>) -> BTreeSet<AxisId> {
        let mut taken: BTreeSet<AxisId> = self.file_axes.values().copied().collect();
        let mut next = instance;
        while let Some(instance) = next {
            let found = &self.instances[instance.0];
            taken.extend(found.own_axes.iter().copied());
            next = found.parent;
        }
        taken
    }

    /// Single axes of a group, in order; a record or a bare size has none.
    pub(crate) fn flat_axes(
        &mut self,
        axes: &Axes,
        span: Span,
        flat: &mut Vec<AxisId>,
    ) -> Eval<()> {
        match axes {
            Axes::One(axis) => flat.push(*axis),
            Axes::Group(parts) => {
                for part in parts {
                    self.flat_axes(part, span, flat)?;
                }
            }
            Axes::Record(_) | Axes::Size(_) => {
                return self.error_help(
                    303,
                    span,
                    "an axis name is needed here",
                    "this has no name",
                    "declare it: `axis k = 4`, or in place: `f32[k = 4, d]`",
                );
            }
        }
        Ok(())
    }
}

/// The word of a type without axes: `axis`, `module`, `int`, …
pub(crate) fn type_word(ty: &ast::Type) -> Option<&str> {
    match &ty.kind {
        TypeKind::Tensor { name, axes } if axes.is_empty() => Some(&name.text),
        _ => None,
    }
}

/// `Gpt2Block` as `gpt2_block`.
pub(crate) fn snake(name: &str) -> String {
    let mut text = String::new();
    let mut previous_lower = false;
    for letter in name.chars() {
        if letter.is_uppercase() && previous_lower {
            text.push('_');
        }
        previous_lower = letter.is_lowercase() || letter.is_ascii_digit();
        text.extend(letter.to_lowercase());
    }
    text
}

/// The name most like `wanted`, if one is close.
pub(crate) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // One or two letters are like everything.
    let length = wanted.chars().count();
    let limit = if length < 3 { 0 } else { (length / 3).max(1) };
    names
        .map(|name| (strsim::damerau_levenshtein(wanted, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}
