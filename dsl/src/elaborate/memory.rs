//! How a memory is stepped along an axis: `mem.step(x, over = t)` calls its methods at every
//! position, in the order that its `order` setting gives (`read, write` without one), with the
//! states that the position before left.

use girih_graph::{AxisId, DType, ValueId};

use super::Elaborator;
use super::call::Given;
use super::recurrence::Frame;
use super::scope::Env;
use super::value::{Axes, Eval, InstanceId, Reported, Tensor, Value};
use crate::ast::{ExprKind, ItemKind, MemberKind};
use crate::span::Span;

impl Elaborator<'_> {
    /// Steps a memory; gives what its first method that returns something returned, at every position.
    pub(crate) fn step_memory(
        &mut self,
        env: &Env,
        instance: InstanceId,
        args: Vec<Given>,
        span: Span,
    ) -> Eval<Tensor> {
        let mut over = None;
        let mut inputs = Vec::new();
        for (name, value, place) in args {
            match (name.as_deref(), value) {
                (Some("over"), Value::Axes(Axes::One(axis))) => over = Some(axis),
                (_, value) => {
                    let tensor = self.tensor(value, DType::F32, place)?;
                    inputs.push((name, tensor, place));
                }
            }
        }
        let Some(axis) = over else {
            return self.error_help(
                205,
                span,
                "`step` needs the axis that it walks",
                "not given",
                "write `mem.step(x, over = t)`",
            );
        };
        let order = self.method_order(instance)?;
        for method in &order {
            if !self.has_method(instance, method) {
                return self.error_help(
                    207,
                    span,
                    format!("`step` calls {} at each position, and there is no `{method}`", order.join(", then ")),
                    format!("the memory lacks `{method}`"),
                    format!("declare it, or say in the memory what is called: `order = write` without `{method}`"),
                );
            }
        }
        let names: Vec<String> = self.instances[instance.0].states.keys().cloned().collect();
        let mut lifted: Vec<AxisId> = Vec::new();
        for (_, tensor, _) in &inputs {
            for own in &self.ty(*tensor).axes {
                if *own != axis && env.lifted.contains(own) && !lifted.contains(own) {
                    lifted.push(*own);
                }
            }
        }
        let mut starts = Vec::new();
        for name in &names {
            starts.push(self.state_value(instance, name, &lifted, span)?);
        }
        let level = self.frames.len() + 1;
        self.b.open_region();
        self.frames.push(Frame::of_loop(axis, span, self.depth));
        let walked = self.walk_memory(instance, &order, &names, &starts, &inputs, level, span);
        let results = match walked {
            Ok(results) => results,
            Err(reported) => {
                self.b.close_region(Vec::new());
                self.frames.pop();
                return Err(reported);
            }
        };
        let made = self.close_loop((axis, false), &starts, results, span)?;
        let path = self.instances[instance.0].path.clone();
        for (name, state) in names.iter().zip(&made) {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            self.states.insert(path.clone(), *state);
            self.updates.insert(path, *state);
        }
        made.get(names.len()).copied().ok_or(Reported)
    }

    /// The methods in the order of the `order` setting.
    fn method_order(&mut self, instance: InstanceId) -> Eval<Vec<String>> {
        let decl = self.instances[instance.0].decl;
        let ast = self.program.ast(decl.file);
        let ItemKind::Module(module) = &ast.items[decl.item].kind else {
            return Err(Reported);
        };
        for member in &module.members {
            let MemberKind::Setting(setting) = &member.kind else {
                continue;
            };
            if setting.name.text != "order" {
                continue;
            }
            let mut order = Vec::new();
            for value in &setting.values {
                let ExprKind::Name(name) = &value.kind else {
                    return self.error(303, value.span, "`order` lists methods", "not a method");
                };
                order.push(name.clone());
            }
            return Ok(order);
        }
        Ok(vec!["read".to_owned(), "write".to_owned()])
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one position of a memory: its methods, states and inputs"
    )]
    fn walk_memory(
        &mut self,
        instance: InstanceId,
        order: &[String],
        names: &[String],
        starts: &[Tensor],
        inputs: &[(Option<String>, Tensor, Span)],
        level: usize,
        span: Span,
    ) -> Eval<Vec<ValueId>> {
        let path = self.instances[instance.0].path.clone();
        let full = |name: &str| {
            if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            }
        };
        for (name, start) in names.iter().zip(starts) {
            let ty = self.ty(*start).clone();
            self.b.set_level(level);
            let id = self.b.add_parameter(ty);
            self.states.insert(full(name), Tensor { level, id });
        }
        let mut slices = Vec::new();
        for (name, tensor, place) in inputs {
            let id = self.import(*tensor, level);
            slices.push((name.clone(), Value::Tensor(Tensor { level, id }), *place));
        }
        let mut output = None;
        for method in order {
            let value = self.call_named(instance, method, slices.clone(), span)?;
            if let (Value::Tensor(tensor), None) = (value, output) {
                output = Some(tensor);
            }
        }
        let Some(output) = output else {
            return self.error(
                404,
                span,
                "no method of the memory returns a value",
                "nothing to give",
            );
        };
        let mut results = Vec::new();
        for name in names {
            let next = self.states.get(&full(name)).copied().ok_or(Reported)?;
            results.push(self.import(next, level));
        }
        results.push(self.import(output, level));
        Ok(results)
    }
}
