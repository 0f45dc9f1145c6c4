//! What is a state before a call, and what after it?

use std::sync::Arc;

use girih_graph::{AxisId, DType, Op};

use super::Elaborator;
use super::instance::join;
use super::mentioned::next_place;
use super::scope::Env;
use super::value::{Eval, InstanceId, Reported, Tensor};
use crate::ast;
use crate::span::Span;

impl Elaborator<'_> {
    /// The value of a state before the call. `lifted` axes get a state each.
    pub(crate) fn state_value(
        &mut self,
        instance: InstanceId,
        name: &str,
        lifted: &[AxisId],
        span: Span,
    ) -> Eval<Tensor> {
        self.state_uses += 1;
        if self.starting {
            return self.error(
                405,
                span,
                format!("the start of a parameter reads the state `{name}`"),
                "it has no value before the model runs",
            );
        }
        let path = join(&self.instances[instance.0].path, name);
        if let Some(state) = self.states.get(&path) {
            return Ok(*state);
        }
        let Some(decl) = self.instances[instance.0].states.get(name).cloned() else {
            return Err(Reported);
        };
        let mut env = Env::of_instance(self, instance);
        let (dtype, groups) = self.tensor_type(&mut env, &decl.ty)?;
        let value = self.eval(&mut env, &decl.init)?;
        let mut start = self.tensor(value, dtype, decl.init.span)?;
        let mut wanted: Vec<AxisId> = if decl.shared {
            Vec::new()
        } else {
            lifted.to_vec()
        };
        wanted.extend(groups.into_iter().flatten());
        start = self.expand_to(start, &wanted, decl.init.span)?;
        let state = self.op(Op::State(Arc::from(path.as_str())), &[start], span)?;
        self.states.insert(path, state);
        Ok(state)
    }

    /// The next values of an instance's own states take effect after the call.
    pub(crate) fn commit_states(
        &mut self,
        env: &mut Env,
        instance: InstanceId,
        method: &ast::Method,
    ) -> Eval<()> {
        let next: Vec<(String, Tensor)> = env
            .next
            .iter()
            .map(|(name, next)| (name.clone(), *next))
            .collect();
        for (name, next) in next {
            let span = method.name.span;
            let old = self.state_value(instance, &name, &env.lifted, span)?;
            let mut next = next;
            if let Some(when) = &method.when {
                let value = self.eval(env, when)?;
                let condition = self.tensor(value, DType::Bool, when.span)?;
                self.require_truth(condition, when.span)?;
                next = self.op(Op::Select, &[condition, next, old], when.span)?;
            }
            let wanted = self.ty(old).axes.clone();
            let extra: Vec<AxisId> = self.ty(next).without(&wanted);
            if let Some(axis) = extra.first() {
                let axis = self.b.axes.show_axis(*axis);
                let place = next_place(&method.body.stmts, &name).unwrap_or(span);
                return self.error_help(
                    403,
                    place,
                    format!("the next value of `{name}` has the axis `{axis}`, the state has not"),
                    format!("`{name}` is `{}`", self.b.axes.show(self.ty(old))),
                    "reduce it, or declare it with the state",
                );
            }
            let next = self.expand_to(next, &wanted, span)?;
            let path = &self.instances[instance.0].path;
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            // A later call in the same run reads what this one wrote.
            self.states.insert(path.clone(), next);
            self.updates.insert(path, next);
        }
        Ok(())
    }
}
