//! What does a member of a module declare: axes, static values, parameters, inner instances,
//! states?

use std::rc::Rc;
use std::sync::Arc;

use girih_graph::{AxisId, Extent, Op, ValueType};

use super::instance::{join, plain_path, unsized_axis};
use super::scope::Env;
use super::value::{Eval, InstanceId, Reported, Value};
use super::{Elaborator, LIMIT};
use crate::ast::{self, ItemKind, MemberKind};
use crate::model::ParamInfo;
use crate::span::Span;

impl Elaborator<'_> {
    pub(crate) fn declare_member(&mut self, id: InstanceId, member: &ast::Member) -> Eval<()> {
        let mut env = Env::of_instance(self, id);
        match &member.kind {
            MemberKind::Axis(axis) => {
                let time = self.is_time(axis)?;
                let extent = match &axis.extent {
                    None => Extent::symbol(&axis.name.text),
                    Some(expr) => self.eval_extent(&mut env, expr)?,
                };
                if self.instances[id.0].members.contains_key(&axis.name.text) {
                    return self.twice(&axis.name);
                }
                if extent
                    .as_constant()
                    .is_some_and(|size| !(0..=Extent::LIMIT).contains(&size))
                {
                    return self.error(
                        307,
                        axis.name.span,
                        unsized_axis(&axis.name.text, &extent),
                        format!("sizes lie between 0 and {}", Extent::LIMIT),
                    );
                }
                self.declare_axis(&mut env, &axis.name.text, &extent, time);
            }
            MemberKind::Let(name, expr) => {
                let value = self.eval(&mut env, expr)?;
                self.insert_member(id, name, value)?;
            }
            MemberKind::Param(param) => self.declare_param(id, &mut env, param)?,
            MemberKind::Sub(sub) => {
                let value = self.eval(&mut env, &sub.value)?;
                let name = plain_path(&sub.path);
                let stored = sub.rename.as_ref().map_or(name.as_str(), |text| &text.text);
                let value = self.sub_value(id, value, &name, stored, sub.value.span)?;
                self.insert_path(id, &name, sub.path.span, value)?;
            }
            MemberKind::Stack(stack) => self.declare_stack(id, &mut env, stack)?,
            MemberKind::Experts(experts) => self.declare_experts(id, &mut env, experts)?,
            MemberKind::State(state) => {
                self.tensor_type(&mut env, &state.ty)?;
                let found = &self.instances[id.0];
                let name = &state.name.text;
                if found.states.contains_key(name) || found.members.contains_key(name) {
                    return self.twice(&state.name);
                }
                let found = &mut self.instances[id.0];
                found.states.insert(state.name.text.clone(), state.clone());
            }
            MemberKind::Method(method) => {
                let decl = self.instances[id.0].decl;
                let ItemKind::Module(module) = &self.program.item(decl).kind else {
                    return Err(Reported);
                };
                let first = module.members.iter().find_map(|member| match &member.kind {
                    MemberKind::Method(own) if own.name.text == method.name.text => {
                        Some(own.name.span)
                    }
                    _ => None,
                });
                if first.is_some_and(|first| first.key() != method.name.span.key()) {
                    return self.twice(&method.name);
                }
            }
            MemberKind::Setting(setting) => {
                if !matches!(setting.name.text.as_str(), "order" | "grad" | "evict") {
                    return self.error_help(
                        203,
                        setting.name.span,
                        format!("`{}` is no setting of a module", setting.name.text),
                        "not known",
                        "settings are `order`, `grad` and `evict`; a static value is written `let name = …`",
                    );
                }
            }
        }
        Ok(())
    }

    pub(crate) fn twice<T>(&mut self, name: &ast::Name) -> Eval<T> {
        self.error(
            201,
            name.span,
            format!("`{}` is declared twice in this module", name.text),
            "declared again",
        )
    }

    fn insert_member(&mut self, id: InstanceId, name: &ast::Name, value: Value) -> Eval<()> {
        self.insert_path(id, &name.text, name.span, value)
    }

    fn insert_path(&mut self, id: InstanceId, name: &str, span: Span, value: Value) -> Eval<()> {
        if self.instances[id.0].members.contains_key(name) {
            return self.error(
                201,
                span,
                format!("`{name}` is declared twice in this module"),
                "declared again",
            );
        }
        self.instances[id.0].members.insert(name.to_owned(), value);
        Ok(())
    }

    /// A module value becomes an instance; an instance that is passed in is shared; `none` stays.
    pub(crate) fn sub_value(
        &mut self,
        id: InstanceId,
        value: Value,
        name: &str,
        stored: &str,
        span: Span,
    ) -> Eval<Value> {
        match value {
            Value::Module(module) => {
                let path = join(&self.instances[id.0].path, name);
                let stored_path = join(&self.instances[id.0].stored_path, stored);
                let instance = self.instantiate(&module, &path, &stored_path, Some(id), span)?;
                Ok(Value::Instance(instance))
            }
            Value::Instance(_) | Value::None | Value::Function(_) | Value::Builtin(_) => Ok(value),
            Value::Poison => Err(Reported),
            other => self.error_help(
                205,
                span,
                format!("a module is needed here, not {}", other.kind()),
                format!("this is {}", other.kind()),
                "write a module with its arguments: `Linear(d -> e)`",
            ),
        }
    }

    fn declare_param(&mut self, id: InstanceId, env: &mut Env, param: &ast::ParamDecl) -> Eval<()> {
        let (dtype, stored) = self.tensor_type(env, &param.ty)?;
        let name = plain_path(&param.path);
        let path = join(&self.instances[id.0].path, &name);
        let stored_name = join(
            &self.instances[id.0].stored_path,
            param
                .rename
                .as_ref()
                .map_or(name.as_str(), |text| &text.text),
        );
        let axes: Vec<AxisId> = stored.iter().flatten().copied().collect();
        let op = Op::Param(Arc::from(path.as_str()), ValueType::new(dtype, axes));
        let tensor = self.op(op, &[], param.path.span)?;
        let shape = stored
            .iter()
            .map(|group| {
                group.iter().fold(Extent::constant(1), |size, axis| {
                    size.times(self.b.axes.extent(*axis))
                })
            })
            .collect();
        let storage = match &param.storage {
            None => None,
            Some(storage) => {
                let group = match &storage.group {
                    None => None,
                    Some(expr) => Some(self.eval_constant(env, expr)?),
                };
                let known = ["bit", "int4", "int8", "f16", "bf16", "f32"];
                if !known.contains(&storage.kind.text.as_str()) {
                    return self.error_help(
                        203,
                        storage.kind.span,
                        format!("`{}` is no storage", storage.kind.text),
                        "not known",
                        format!("write one of {}", known.join(", ")),
                    );
                }
                Some((storage.kind.text.clone(), group))
            }
        };
        self.insert_path(id, &name, param.path.span, Value::Tensor(tensor))?;
        self.params.push(ParamInfo {
            path,
            stored_name,
            dtype,
            stored,
            shape,
            frozen: param.frozen,
            storage,
            span: param.path.span,
        });
        self.inits.push((id, param.init.clone()));
        Ok(())
    }

    fn count(&mut self, env: &mut Env, expr: &ast::Expr) -> Eval<usize> {
        let count = self.eval_constant(env, expr)?;
        match usize::try_from(count) {
            Ok(count) if count <= LIMIT => Ok(count),
            _ => self.error(
                307,
                expr.span,
                format!("{count} is no number of modules"),
                format!("between 0 and {LIMIT}"),
            ),
        }
    }

    fn declare_stack(&mut self, id: InstanceId, env: &mut Env, stack: &ast::StackDecl) -> Eval<()> {
        let count = self.count(env, &stack.count)?;
        let name = plain_path(&stack.path);
        let stored = stack
            .rename
            .as_ref()
            .map_or(name.as_str(), |text| &text.text);
        let mut made = Vec::with_capacity(count);
        let mut layers = Vec::new();
        for index in 0..count {
            let mut inner = env.clone();
            if let Some(var) = &stack.var {
                inner
                    .locals
                    .insert(var.text.clone(), Value::Int(Extent::constant(index as i64)));
            }
            let value = self.eval(&mut inner, &stack.value)?;
            let (name, stored) = (format!("{name}.{index}"), format!("{stored}.{index}"));
            match self.layer(&mut layers, id, value, (&name, &stored), stack.value.span)? {
                Value::Instance(instance) => made.push(instance),
                _ => {
                    return self.error(
                        205,
                        stack.value.span,
                        "a stack is made of modules",
                        "no module",
                    );
                }
            }
        }
        self.insert_path(id, &name, stack.path.span, Value::Stack(Rc::new(made)))
    }

    fn declare_experts(
        &mut self,
        id: InstanceId,
        env: &mut Env,
        experts: &ast::ExpertsDecl,
    ) -> Eval<()> {
        let group = &experts.name.text;
        self.all_distinct(experts.branches.iter().map(|own| &own.name), "the branch")?;
        let mut made = Vec::new();
        for branch in &experts.branches {
            let count = match &branch.count {
                None => 1,
                Some(expr) => self.count(env, expr)?,
            };
            for index in 0..count {
                let mut inner = env.clone();
                if let Some(var) = &branch.var {
                    inner
                        .locals
                        .insert(var.text.clone(), Value::Int(Extent::constant(index as i64)));
                }
                let value = self.eval(&mut inner, &branch.value)?;
                // Alike branches of one kind need no word of their own: `experts.3`.
                let name = match (&branch.count, experts.branches.len()) {
                    (Some(_), 1) => format!("{group}.{index}"),
                    (Some(_), _) => format!("{group}.{}.{index}", branch.name.text),
                    (None, _) => format!("{group}.{}", branch.name.text),
                };
                match self.sub_value(id, value, &name, &name, branch.value.span)? {
                    Value::Instance(instance) => made.push(instance),
                    _ => {
                        return self.error(
                            205,
                            branch.value.span,
                            "an expert is a module",
                            "no module",
                        );
                    }
                }
            }
        }
        let extent = Extent::constant(made.len() as i64);
        let axis = self.fresh_axis(id, group, &extent);
        self.instances[id.0].own_axes.insert(axis);
        self.insert_path(
            id,
            group,
            experts.name.span,
            Value::Experts(axis, Rc::new(made)),
        )
    }
}

pub(crate) fn member_names(kind: &MemberKind) -> Vec<String> {
    match kind {
        MemberKind::Axis(axis) => vec![axis.name.text.clone()],
        MemberKind::Let(name, _) => vec![name.text.clone()],
        MemberKind::Param(param) => vec![plain_path(&param.path)],
        MemberKind::Sub(sub) => vec![plain_path(&sub.path)],
        MemberKind::Stack(stack) => vec![plain_path(&stack.path)],
        MemberKind::Experts(experts) => vec![experts.name.text.clone()],
        MemberKind::State(state) => vec![state.name.text.clone()],
        MemberKind::Method(_) | MemberKind::Setting(_) => Vec::new(),
    }
}
