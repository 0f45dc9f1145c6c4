//! Layers that are alike, walked once.
//!
//! Where nobody looks at the graph (`check`), layers of one stack that are given the same
//! arguments share an instance, and a call of an instance whose arguments have the types of
//! an earlier one gives what that one gave: the same mistakes, each told once anyway. What
//! was spared still counts towards the limits. Calls that touch a state, and calls within a
//! loop or a route, are always walked.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::call::Given;
use super::value::{Eval, InstanceId, ModuleValue, Value};
use super::{Elaborator, LIMIT};
use crate::ast;
use crate::span::Span;

/// How many calls of an instance are kept: more that are not alike are not going to be.
const MOST: usize = 8;

/// What has been walked and can stand for what is alike.
#[derive(Debug, Default)]
pub(crate) struct Alike {
    calls: BTreeMap<InstanceId, Vec<Call>>,
    /// Instances that were not made because another one stands for them.
    spared: usize,
}

/// A call and what it gave.
#[derive(Debug)]
struct Call {
    method: Span,
    args: Vec<Given>,
    result: Value,
    work: usize,
}

/// A layer of a stack that was made.
#[derive(Debug)]
pub(crate) struct Layer {
    module: Rc<ModuleValue>,
    instance: InstanceId,
    /// How many instances it is, with those inside it.
    instances: usize,
    work: usize,
}

impl Elaborator<'_> {
    /// How many instances the model has.
    pub(crate) fn instance_count(&self) -> usize {
        let spared = self.alike.as_ref().map_or(0, |alike| alike.spared);
        self.instances.len() + spared
    }

    /// An instance of a stack for one more module value: another layer's where they are alike.
    pub(crate) fn layer(
        &mut self,
        layers: &mut Vec<Layer>,
        owner: InstanceId,
        value: Value,
        (name, stored): (&str, &str),
        span: Span,
    ) -> Eval<Value> {
        let Value::Module(module) = &value else {
            return self.sub_value(owner, value, name, stored, span);
        };
        let module = module.clone();
        let alike = |own: &&Layer| own.module.decl == module.decl && own.module.args == module.args;
        if let Some(layer) = layers.iter().find(alike)
            && self.instance_count() + layer.instances < LIMIT
            && self.can_spend(layer.work)
            && let Some(alike) = &mut self.alike
        {
            alike.spared += layer.instances;
            self.work += layer.work;
            return Ok(Value::Instance(layer.instance));
        }
        let (first, instances, work) = (self.instances.len(), self.instance_count(), self.work);
        let made = self.sub_value(owner, value, name, stored, span)?;
        // Every layer has states of its own.
        let without_states = self.instances[first..]
            .iter()
            .all(|own| own.states.is_empty());
        if let (Value::Instance(instance), true) = (&made, self.alike.is_some() && without_states) {
            layers.push(Layer {
                module,
                instance: *instance,
                instances: self.instance_count() - instances,
                work: self.work - work,
            });
        }
        Ok(made)
    }

    /// Calls a method, or gives what a call that is alike gave.
    pub(crate) fn call_once(
        &mut self,
        instance: InstanceId,
        method: &ast::Method,
        args: Vec<Given>,
        span: Span,
    ) -> Eval<Value> {
        if self.alike.is_none() || !self.frames.is_empty() {
            return self.call_method(instance, method, args, span);
        }
        let calls = self
            .alike
            .iter()
            .filter_map(|alike| alike.calls.get(&instance));
        let mut alike = calls.flatten().filter(|call| {
            call.method.key() == method.name.span.key() && self.given_alike(&call.args, &args)
        });
        if let Some(call) = alike.next()
            && self.can_spend(call.work)
        {
            let (result, work) = (call.result.clone(), call.work);
            self.work += work;
            return Ok(result);
        }
        let (states, work) = (self.state_uses, self.work);
        let result = self.call_method(instance, method, args.clone(), span)?;
        if let Some(alike) = &mut self.alike
            && self.state_uses == states
            && let calls = alike.calls.entry(instance).or_default()
            && calls.len() < MOST
        {
            calls.push(Call {
                method: method.name.span,
                args,
                result: result.clone(),
                work: self.work - work,
            });
        }
        Ok(result)
    }

    fn given_alike(&self, left: &[Given], right: &[Given]) -> bool {
        left.len() == right.len()
            && left
                .iter()
                .zip(right)
                .all(|((name, value, _), (other_name, other, _))| {
                    name == other_name && self.values_alike(value, other)
                })
    }

    /// Whether two values are equal but for which tensors of the same types they hold.
    fn values_alike(&self, left: &Value, right: &Value) -> bool {
        let all = |left: &[Value], right: &[Value]| {
            left.len() == right.len()
                && (left.iter().zip(right)).all(|(left, right)| self.values_alike(left, right))
        };
        match (left, right) {
            (Value::Tensor(left), Value::Tensor(right)) => {
                left.level == right.level && self.ty(*left) == self.ty(*right)
            }
            (Value::List(left), Value::List(right)) | (Value::Tuple(left), Value::Tuple(right)) => {
                all(left, right)
            }
            (Value::Record(left), Value::Record(right)) => {
                left.len() == right.len()
                    && (left.iter().zip(right)).all(|((name, left), (other, right))| {
                        name == other && self.values_alike(left, right)
                    })
            }
            _ => left == right,
        }
    }
}
