//! How does an expression over variables become a graph?
//!
//! A statement is elaborated as in a model's body, with an input in place of every variable
//! that it mentions and an instance in place of every model. Axes are those of the file and
//! of the models, by name and size.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use girih_graph::{AxisId, Builder, DType, Extent, Graph, Op, Patch, ValueId, ValueType};

use super::Writer;
use super::names::{Known, Names};
use crate::ast::{self, Stmt};
use crate::diag::{Code, Diagnostic};
use crate::elaborate::mentioned::stmt_names;
use crate::elaborate::scope::Env;
use crate::elaborate::value::{Axes, Eval, Reported, Tensor, Value};
use crate::elaborate::{Elaborator, Request, is_builtin};
use crate::procedure::{AxisType, Constant, ModelSlot, Place, Type, Variable};
use crate::program::Program;
use crate::span::Span;

/// What a statement computes.
pub(super) struct Computed {
    pub(super) graph: Graph,
    pub(super) inputs: Vec<(String, Place)>,
    /// For each name that was asked for.
    pub(super) made: Vec<Made>,
}

/// One value of a statement.
pub(super) enum Made {
    /// Known as the file is read.
    Constant(Constant),
    /// Results of the graph.
    Tensors(Type),
}

/// What the elaboration of one statement sees.
struct Around<'a> {
    program: &'a Program,
    models: &'a [ModelSlot],
    variables: &'a [Variable],
    free: &'a BTreeSet<String>,
    names: &'a Names,
    file: usize,
}

impl Writer<'_> {
    /// The graph of one statement and what it gives the names in `defines`.
    pub(super) fn compute(
        &mut self,
        names: &Names,
        stmt: &Stmt,
        defines: &[String],
    ) -> Eval<Computed> {
        let mut mentioned = BTreeSet::new();
        stmt_names(stmt, &mut mentioned);
        self.require_known(names, &mentioned, stmt.span)?;
        let request = Request::default();
        let around = Around {
            program: self.program,
            models: &self.models,
            variables: &self.variables,
            free: &self.free,
            names,
            file: self.file,
        };
        let mut elaborator = Elaborator::new(self.program, &request, &mut *self.sink);
        let result = around.statement(&mut elaborator, stmt, &mentioned, defines);
        let failed = elaborator.failed;
        self.failed |= failed || result.is_err();
        result.and_then(|computed| if failed { Err(Reported) } else { Ok(computed) })
    }

    /// A declared type.
    pub(super) fn declared(&mut self, names: &Names, ty: &ast::Type) -> Eval<Type> {
        match &ty.kind {
            ast::TypeKind::Record(fields) => {
                let mut own = Vec::new();
                for (name, ty) in fields {
                    own.push((name.text.clone(), self.declared(names, ty)?));
                }
                return Ok(Type::Record(own));
            }
            ast::TypeKind::Tuple(types) => {
                let types: Eval<Vec<Type>> =
                    types.iter().map(|ty| self.declared(names, ty)).collect();
                return types.map(Type::List);
            }
            ast::TypeKind::Tensor { name, axes } => match name.text.as_str() {
                "text" if axes.is_empty() => return Ok(Type::Text),
                "int" if axes.is_empty() => return Ok(Type::scalar(DType::I64)),
                "real" if axes.is_empty() => return Ok(Type::scalar(DType::F32)),
                _ => {}
            },
        }
        let mut mentioned = BTreeSet::new();
        if let ast::TypeKind::Tensor { axes, .. } = &ty.kind {
            for axis in axes {
                if let ast::Index::At(expr) | ast::Index::Bind(_, expr) = axis {
                    crate::elaborate::mentioned::expr_names(expr, &mut mentioned);
                }
            }
        }
        let request = Request::default();
        let around = Around {
            program: self.program,
            models: &self.models,
            variables: &[],
            free: &self.free,
            names,
            file: self.file,
        };
        let mut elaborator = Elaborator::new(self.program, &request, &mut *self.sink);
        let result = around.typed(&mut elaborator, ty, &mentioned);
        self.failed |= elaborator.failed || result.is_err();
        result
    }

    /// Names that have a value on some ways only are told before anything else goes wrong.
    fn require_known(
        &mut self,
        names: &Names,
        mentioned: &BTreeSet<String>,
        span: Span,
    ) -> Eval<()> {
        for name in mentioned {
            match names.get(name) {
                Some(Known::Poison) => return Err(Reported),
                Some(Known::Sometimes(place)) => {
                    return self.fail(
                        Diagnostic::error(
                            Code::new(411),
                            format!("`{name}` has no value on some way to here"),
                        )
                        .at(span, format!("`{name}` is read here"))
                        .also(place, "given a value here, but not on every way")
                        .help(format!("give `{name}` a value before, of the same type")),
                    );
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Around<'_> {
    fn statement(
        &self,
        elaborator: &mut Elaborator<'_>,
        stmt: &Stmt,
        mentioned: &BTreeSet<String>,
        defines: &[String],
    ) -> Eval<Computed> {
        let mut inputs = BTreeMap::new();
        let mut env = self.scope(elaborator, mentioned, &mut inputs, stmt.span)?;
        let tail: BTreeSet<String> = defines.iter().cloned().collect();
        if elaborator
            .run_block(&mut env, std::slice::from_ref(stmt), &tail)?
            .is_some()
        {
            return Err(Reported);
        }
        let mut outputs = Vec::new();
        let mut made = Vec::new();
        for (at, name) in defines.iter().enumerate() {
            let Some(value) = env.locals.get(name).cloned() else {
                return Err(Reported);
            };
            made.push(self.leave(elaborator, value, at, stmt.span, &mut outputs)?);
        }
        let updates = elaborator.updates.iter();
        let updates = updates
            .map(|(path, tensor)| (Arc::from(path.as_str()), tensor.id))
            .collect();
        let graph = std::mem::take(&mut elaborator.b).finish(outputs, updates);
        let graph = Patch::new(&graph).apply();
        let graph = graph
            .expect("a patch without replacements has none that does not fit")
            .graph;
        let used = graph.inputs();
        let inputs = inputs
            .into_iter()
            .filter(|(name, _)| used.contains_key(name.as_str()))
            .collect();
        Ok(Computed {
            graph,
            inputs,
            made,
        })
    }

    fn typed(
        &self,
        elaborator: &mut Elaborator<'_>,
        ty: &ast::Type,
        mentioned: &BTreeSet<String>,
    ) -> Eval<Type> {
        let mut env = self.scope(elaborator, mentioned, &mut BTreeMap::new(), ty.span)?;
        env.is_static = true;
        let (dtype, groups) = elaborator.tensor_type(&mut env, ty)?;
        let axes: Vec<AxisId> = groups.into_iter().flatten().collect();
        self.type_of(elaborator, &ValueType::new(dtype, axes), ty.span)
    }

    /// Where a statement stands: its file, the variables and the models that it mentions.
    fn scope(
        &self,
        elaborator: &mut Elaborator<'_>,
        mentioned: &BTreeSet<String>,
        inputs: &mut BTreeMap<String, Place>,
        span: Span,
    ) -> Eval<Env> {
        elaborator.b = Builder::new("procedure");
        elaborator.collect_file_axes(self.file)?;
        let mut env = Env::of_file(self.file);
        env.is_static = false;
        let mut indices: BTreeMap<String, AxisId> = BTreeMap::new();
        let model = |name: &String| match self.names.get(name) {
            Some(Known::Model(at)) => Some((name.clone(), at)),
            _ => None,
        };
        let mut models: Vec<(String, usize)> = mentioned.iter().filter_map(model).collect();
        let is_open = |name: &String| {
            self.names.get(name).is_none()
                && self.program.find(self.file, name).is_none()
                && !is_builtin(name)
        };
        let own_axes = |name: &String| {
            mentioned
                .iter()
                .filter_map(|other| self.names.variable(other))
                .any(|id| {
                    self.variables
                        .get(id.0)
                        .is_some_and(|own| mentions(&own.ty, name))
                })
        };
        if mentioned
            .iter()
            .any(|name| is_open(name) && !own_axes(name))
        {
            // A name that nothing else has may be an axis of some model.
            let all = self.names.all().map(|(name, _)| name);
            for (name, at) in all.filter_map(model) {
                if !models.contains(&(name.clone(), at)) {
                    models.push((name, at));
                }
            }
        }
        for (name, at) in models {
            let slot = &self.models[at];
            let module = Writer::module_value(self.program, slot, span).ok_or(Reported)?;
            let path = &slot.name;
            let instance = elaborator.instantiate(&module, path, path, None, span)?;
            for (member, value) in &elaborator.instances[instance.0].members {
                if let Value::Axes(Axes::One(axis)) = value {
                    indices.entry(member.clone()).or_insert(*axis);
                }
            }
            env.locals.insert(name, Value::Instance(instance));
        }
        for name in mentioned {
            let Some(id) = self.names.variable(name) else {
                continue;
            };
            let Some(variable) = self.variables.get(id.0) else {
                continue;
            };
            let place = Place {
                variable: id,
                path: Vec::new(),
            };
            let value = self.enter(
                elaborator,
                &variable.ty,
                (name, place),
                inputs,
                &mut indices,
                span,
            )?;
            env.locals.insert(name.clone(), value);
        }
        let is_open = |(name, axis): (&String, &AxisId)| {
            let symbol = elaborator.b.axes.extent(*axis).as_symbol().is_some();
            (symbol && !indices.contains_key(name)).then(|| name.clone())
        };
        elaborator.open = elaborator.file_axes.iter().filter_map(is_open).collect();
        for (name, axis) in indices {
            if !elaborator.file_axes.contains_key(&name) {
                env.indices.insert(name, axis);
            }
        }
        Ok(env)
    }

    /// A variable as a value of the graph.
    fn enter(
        &self,
        elaborator: &mut Elaborator<'_>,
        ty: &Type,
        (name, place): (&str, Place),
        inputs: &mut BTreeMap<String, Place>,
        indices: &mut BTreeMap<String, AxisId>,
        span: Span,
    ) -> Eval<Value> {
        let part = |word: &str| {
            let mut path = place.path.clone();
            path.push(word.to_owned());
            (
                format!("{name}.{word}"),
                Place {
                    variable: place.variable,
                    path,
                },
            )
        };
        Ok(match ty {
            Type::None => Value::None,
            Type::Text | Type::Session(_) => Value::Held(ty.kind()),
            Type::Tensor { dtype, axes } => {
                let mut own = Vec::new();
                for axis in axes {
                    let id = self.enter_axis(elaborator, axis, span)?;
                    indices.insert(axis.name.clone(), id);
                    own.push(id);
                }
                let op = Op::Input(Arc::from(name), ValueType::new(*dtype, own));
                inputs.insert(name.to_owned(), place);
                Value::Tensor(elaborator.op(op, &[], span)?)
            }
            Type::Record(fields) => {
                let mut own = Vec::new();
                for (word, ty) in fields {
                    let (name, place) = part(word);
                    let value =
                        self.enter(elaborator, ty, (&name, place), inputs, indices, span)?;
                    own.push((word.clone(), value));
                }
                Value::Record(own)
            }
            Type::List(types) => {
                let mut own = Vec::new();
                for (at, ty) in types.iter().enumerate() {
                    let (name, place) = part(&at.to_string());
                    own.push(self.enter(elaborator, ty, (&name, place), inputs, indices, span)?);
                }
                Value::List(own)
            }
        })
    }

    /// The axis of a graph that a variable's axis is: that of the files, else one of a model.
    fn enter_axis(
        &self,
        elaborator: &mut Elaborator<'_>,
        axis: &AxisType,
        span: Span,
    ) -> Eval<AxisId> {
        let extent = match &axis.size {
            Some(size) => size.clone(),
            None => Extent::symbol(&axis.name),
        };
        let file = Env::of_file(self.file);
        if let Some(id) = elaborator.axis_named(&file, &axis.name, span)?
            && (axis.size.is_none() || *elaborator.b.axes.extent(id) == extent)
        {
            return Ok(id);
        }
        let taken = elaborator.taken_axes(None);
        Ok(elaborator.pooled_axis(&axis.name, &extent, None, false, &taken))
    }

    /// What a name is given: a constant, or results of the graph.
    fn leave(
        &self,
        elaborator: &mut Elaborator<'_>,
        value: Value,
        at: usize,
        span: Span,
        outputs: &mut Vec<(String, ValueId)>,
    ) -> Eval<Made> {
        let constant = match &value {
            Value::None => Some(Constant::None),
            Value::Int(extent) => extent.as_constant().map(Constant::Int),
            Value::Real(number) => Some(Constant::Real(*number)),
            Value::Bool(truth) => Some(Constant::Bool(*truth)),
            Value::Text(text) => Some(Constant::Text(text.clone())),
            _ => None,
        };
        match constant {
            Some(constant) => Ok(Made::Constant(constant)),
            None => self
                .results(elaborator, value, &at.to_string(), span, outputs)
                .map(Made::Tensors),
        }
    }

    fn results(
        &self,
        elaborator: &mut Elaborator<'_>,
        value: Value,
        name: &str,
        span: Span,
        outputs: &mut Vec<(String, ValueId)>,
    ) -> Eval<Type> {
        Ok(match value {
            Value::None => Type::None,
            Value::Record(fields) => {
                let mut own = Vec::new();
                for (field, value) in fields {
                    let name = format!("{name}.{field}");
                    own.push((
                        field,
                        self.results(elaborator, value, &name, span, outputs)?,
                    ));
                }
                Type::Record(own)
            }
            Value::List(parts) | Value::Tuple(parts) => {
                let mut own = Vec::new();
                for (at, value) in parts.into_iter().enumerate() {
                    let name = format!("{name}.{at}");
                    own.push(self.results(elaborator, value, &name, span, outputs)?);
                }
                Type::List(own)
            }
            Value::Held(kind) => {
                return elaborator.error_help(
                    303,
                    span,
                    format!("{kind} is no part of what is computed"),
                    "it stands in an expression",
                    "give it a name of its own",
                );
            }
            Value::Int(extent) => {
                let tensor = elaborator.tensor(Value::Int(extent), DType::I64, span)?;
                self.result(elaborator, tensor, name, span, outputs)?
            }
            other => {
                let tensor = elaborator.tensor(other, DType::F32, span)?;
                self.result(elaborator, tensor, name, span, outputs)?
            }
        })
    }

    fn result(
        &self,
        elaborator: &mut Elaborator<'_>,
        tensor: Tensor,
        name: &str,
        span: Span,
        outputs: &mut Vec<(String, ValueId)>,
    ) -> Eval<Type> {
        let tensor = elaborator.at_root(tensor, span)?;
        let ty = elaborator.ty(tensor).clone();
        outputs.push((name.to_owned(), tensor.id));
        self.type_of(elaborator, &ty, span)
    }

    fn type_of(&self, elaborator: &mut Elaborator<'_>, ty: &ValueType, span: Span) -> Eval<Type> {
        let mut axes: Vec<AxisType> = Vec::new();
        for axis in &ty.axes {
            let found = &elaborator.b.axes[*axis];
            // A graph numbers axes of one name; sizes tell them apart here.
            let name = found.name.split('.').next().unwrap_or_default().to_owned();
            if axes.iter().any(|own| own.name == name) {
                return elaborator.error_help(
                    305,
                    span,
                    format!("the value has two axes called `{name}`"),
                    format!("this is `{}`", elaborator.b.axes.show(ty)),
                    format!("give one of them another name: `y[{name}2] = x[{name} = {name}2]`"),
                );
            }
            let mut symbols = found.extent.symbols().into_iter();
            let is_fixed = symbols.all(|symbol| self.free.contains(&*symbol))
                && !elaborator.listed.contains(&name);
            let size = is_fixed.then(|| found.extent.clone());
            axes.push(AxisType { name, size });
        }
        Ok(Type::Tensor {
            dtype: ty.dtype,
            axes,
        })
    }
}

fn mentions(ty: &Type, name: &str) -> bool {
    match ty {
        Type::Tensor { axes, .. } => axes.iter().any(|axis| axis.name == name),
        Type::Record(fields) => fields.iter().any(|(_, ty)| mentions(ty, name)),
        Type::List(types) => types.iter().any(|ty| mentions(ty, name)),
        Type::None | Type::Text | Type::Session(_) => false,
    }
}
