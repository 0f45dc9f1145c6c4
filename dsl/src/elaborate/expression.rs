//! The value of an expression.

use girih_graph::{DType, Extent, Op};

use super::call::Given;
use super::scope::Env;
use super::value::{Axes, Eval, InstanceId, Reported, Tensor, Value};
use super::{Elaborator, builtin};
use crate::ast::{self, Expr, ExprKind};
use crate::span::Span;

impl Elaborator<'_> {
    /// Evaluates an expression.
    pub(crate) fn eval(&mut self, env: &mut Env, expr: &Expr) -> Eval<Value> {
        let span = expr.span;
        match &expr.kind {
            ExprKind::Int(number) => Ok(Value::Int(Extent::constant(*number))),
            ExprKind::Float(text) => match text.replace('_', "").parse() {
                Ok(number) => Ok(Value::Real(number)),
                Err(_) => self.error(303, span, format!("`{text}` is no number"), "not a number"),
            },
            ExprKind::Text(text) => Ok(Value::Text(text.text.clone())),
            ExprKind::Bool(truth) => Ok(Value::Bool(*truth)),
            ExprKind::Name(name) => self.eval_name(env, name, span),
            ExprKind::Next(name) => self.eval_next(env, name, span),
            ExprKind::Unary(op, operand) => {
                let value = self.eval(env, operand)?;
                self.unary(env, *op, value, span)
            }
            ExprKind::Binary(op, left, right) => {
                let left_value = self.eval(env, left)?;
                let right_value = self.eval(env, right)?;
                self.binary(
                    env,
                    *op,
                    (left_value, left.span),
                    (right_value, right.span),
                    span,
                )
            }
            ExprKind::Reduce {
                reducer,
                args,
                body,
                ..
            } => self.eval_reduce(env, *reducer, args, body, span),
            ExprKind::Where {
                value,
                domain,
                other,
            } => self.eval_where(env, value, domain, other.as_deref(), span),
            ExprKind::If { cond, then, other } => self.eval_if(env, cond, then, other, span),
            ExprKind::Call { callee, args } => self.eval_call(env, callee, args, span),
            ExprKind::Index { base, items } => self.eval_index(env, base, items, span),
            ExprKind::Field { .. } => self.eval_field(env, expr),
            ExprKind::Record(fields) => {
                self.all_distinct(fields.iter().map(|(name, _)| name), "the field")?;
                let mut result = Vec::new();
                for (name, value) in fields {
                    result.push((name.text.clone(), self.eval(env, value)?));
                }
                Ok(Value::Record(result))
            }
            ExprKind::Tuple(parts) => {
                let mut result = Vec::new();
                for part in parts {
                    result.push(self.eval(env, part)?);
                }
                Ok(Value::Tuple(result))
            }
            ExprKind::List(parts) => {
                let mut result = Vec::new();
                for part in parts {
                    result.push(self.eval(env, part)?);
                }
                Ok(Value::List(result))
            }
            ExprKind::Arrow(..) => self.error_help(
                203,
                span,
                "`->` stands between two arguments only",
                "not an argument",
                "write `Linear(d -> e)`",
            ),
            ExprKind::Route {
                items,
                experts,
                settings,
            } => self.eval_route(env, items, experts, settings, span),
        }
    }

    fn eval_name(&mut self, env: &Env, name: &str, span: Span) -> Eval<Value> {
        if let (Some(instance), false) = (env.instance, env.locals.contains_key(name))
            && self.instances[instance.0].states.contains_key(name)
        {
            let state = self.state_value(instance, name, &env.lifted, span)?;
            return Ok(Value::Tensor(state));
        }
        if let Some(value) = self.lookup(env, name, span)? {
            return match value {
                Value::Poison => Err(Reported),
                value => Ok(value),
            };
        }
        if let Some(name) = builtin::NAMES.iter().find(|own| **own == name) {
            return Ok(Value::Builtin(name));
        }
        self.unknown(env, name, span, "the name")
    }

    fn eval_next(&mut self, env: &Env, name: &str, span: Span) -> Eval<Value> {
        if let Some(next) = env.next.get(name) {
            return Ok(Value::Tensor(*next));
        }
        if let Some(value) = env.locals.get(&format!("{name}'")) {
            return match value {
                Value::Poison => Err(Reported),
                value => Ok(value.clone()),
            };
        }
        self.error_help(
            402,
            span,
            format!("the next value of `{name}` is not set yet"),
            "read before it is written",
            format!("write `{name}' = …` above this line"),
        )
    }

    fn eval_if(
        &mut self,
        env: &mut Env,
        cond: &Expr,
        then: &Expr,
        other: &Expr,
        span: Span,
    ) -> Eval<Value> {
        match self.eval(env, cond)? {
            Value::Bool(true) => self.eval(env, then),
            Value::Bool(false) => self.eval(env, other),
            condition => {
                let condition = self.tensor(condition, DType::Bool, cond.span)?;
                self.require_truth(condition, cond.span)?;
                let x = self.eval(env, then)?;
                let y = self.eval(env, other)?;
                let (x, y) = self.pair(x, then.span, y, other.span)?;
                self.op(Op::Select, &[condition, x, y], span)
                    .map(Value::Tensor)
            }
        }
    }

    /// A condition holds or it does not.
    pub(crate) fn require_truth(
        &mut self,
        condition: super::value::Tensor,
        span: Span,
    ) -> Eval<()> {
        if self.ty(condition).dtype == DType::Bool {
            return Ok(());
        }
        let shown = self.b.axes.show(self.ty(condition));
        let help = format!("compare: `{} > 0`", self.written(span));
        self.error_help(
            302,
            span,
            "a condition is a truth value",
            format!("this is `{shown}`"),
            help,
        )
    }

    /// Arguments in order; `a -> b` counts as two.
    pub(crate) fn eval_args(&mut self, env: &mut Env, args: &[ast::Arg]) -> Eval<Vec<Given>> {
        let mut given = Vec::new();
        for arg in args {
            if let ExprKind::Arrow(from, to) = &arg.value.kind {
                for part in [from, to] {
                    let value = self.eval(env, part)?;
                    given.push((None, value, part.span));
                }
                continue;
            }
            let value = self.eval(env, &arg.value)?;
            let name = arg.name.as_ref().map(|name| name.text.clone());
            given.push((name, value, arg.value.span));
        }
        Ok(given)
    }

    fn eval_call(
        &mut self,
        env: &mut Env,
        callee: &Expr,
        args: &[ast::Arg],
        span: Span,
    ) -> Eval<Value> {
        // `inst.method(x)`.
        if let ExprKind::Field { base, name } = &callee.kind
            && let Some(instance) = self.method_owner(env, base, &name.text)?
        {
            let args = self.eval_args(env, args)?;
            return self.call_named(instance, &name.text, args, span);
        }
        // `mem.step(x, over = t)`.
        if let ExprKind::Field { base, name } = &callee.kind
            && name.text == "step"
            && let Some(Value::Instance(instance)) = self.try_static(env, base)?
            && !self.instances[instance.0].states.is_empty()
        {
            let args = self.eval_args(env, args)?;
            return self
                .step_memory(env, instance, args, span)
                .map(Value::Tensor);
        }
        // `encode(x)`: another method of the same instance.
        if let (ExprKind::Name(name), Some(instance)) = (&callee.kind, env.instance)
            && !env.locals.contains_key(name)
            && !self.instances[instance.0].members.contains_key(name)
            && self.has_method(instance, name)
        {
            let args = self.eval_args(env, args)?;
            return self.call_named(instance, name, args, span);
        }
        let callee = self.eval(env, callee)?;
        let args = self.eval_args(env, args)?;
        self.call_value(env, callee, args, span)
    }

    /// The instance, if `base` is one that has the method and no member of that name.
    fn method_owner(
        &mut self,
        env: &mut Env,
        base: &Expr,
        method: &str,
    ) -> Eval<Option<InstanceId>> {
        let instance = match &base.kind {
            ExprKind::Name(_) | ExprKind::Field { .. } | ExprKind::Index { .. } => {
                match self.try_static(env, base)? {
                    Some(Value::Instance(instance)) => instance,
                    _ => return Ok(None),
                }
            }
            _ => return Ok(None),
        };
        if self.instances[instance.0].members.contains_key(method) {
            return Ok(None);
        }
        Ok(self.has_method(instance, method).then_some(instance))
    }

    pub(crate) fn has_method(&self, instance: InstanceId, name: &str) -> bool {
        let decl = self.instances[instance.0].decl;
        let ast::ItemKind::Module(module) = &self.program.item(decl).kind else {
            return false;
        };
        module.members.iter().any(
            |member| matches!(&member.kind, ast::MemberKind::Method(own) if own.name.text == name),
        )
    }

    fn eval_index(
        &mut self,
        env: &mut Env,
        base: &Expr,
        items: &[ast::Index],
        span: Span,
    ) -> Eval<Value> {
        let value = self.eval(env, base)?;
        match value {
            Value::Tensor(tensor) => self
                .index_tensor(env, tensor, items, span)
                .map(Value::Tensor),
            Value::Record(_) | Value::List(_) | Value::Tuple(_) if is_bound(items) => {
                let mut read = 0;
                let parts = self.index_parts(env, value, (items, span), &mut read)?;
                let Some(ast::Index::Bind(name, _)) = items.first().filter(|_| read == 0) else {
                    return Ok(parts);
                };
                self.error(
                    304,
                    name.span,
                    format!("no value in it has an axis `{}`", name.text),
                    "read along it here",
                )
            }
            Value::List(parts) | Value::Tuple(parts) => {
                let position = self.position(env, items, parts.len(), span)?;
                Ok(parts[position].clone())
            }
            Value::Stack(instances) => {
                let position = self.position(env, items, instances.len(), span)?;
                Ok(Value::Instance(instances[position]))
            }
            Value::Axes(Axes::One(axis)) => {
                let tensor = self.op(Op::Index(axis), &[], base.span)?;
                self.index_tensor(env, tensor, items, span)
                    .map(Value::Tensor)
            }
            Value::Poison => Err(Reported),
            other => self.error(
                303,
                base.span,
                format!("{} cannot be indexed", other.kind()),
                format!("this is {}", other.kind()),
            ),
        }
    }

    /// Reads every tensor of a record or a list that has one of the axes; how many that were is added to `read`.
    fn index_parts(
        &mut self,
        env: &mut Env,
        value: Value,
        (items, span): (&[ast::Index], Span),
        read: &mut usize,
    ) -> Eval<Value> {
        let mut all = |this: &mut Self, parts: Vec<Value>| -> Eval<Vec<Value>> {
            let parts = parts.into_iter();
            parts
                .map(|part| this.index_parts(env, part, (items, span), read))
                .collect()
        };
        Ok(match value {
            Value::Record(fields) => {
                let (names, parts): (Vec<String>, Vec<Value>) = fields.into_iter().unzip();
                Value::Record(names.into_iter().zip(all(self, parts)?).collect())
            }
            Value::List(parts) => Value::List(all(self, parts)?),
            Value::Tuple(parts) => Value::Tuple(all(self, parts)?),
            Value::Tensor(tensor) if items.iter().any(|item| self.reads(tensor, item)) => {
                *read += 1;
                Value::Tensor(self.index_tensor(env, tensor, items, span)?)
            }
            other => other,
        })
    }

    fn reads(&self, tensor: Tensor, item: &ast::Index) -> bool {
        let ast::Index::Bind(name, _) = item else {
            return false;
        };
        let mut axes = self.ty(tensor).axes.iter();
        axes.any(|axis| self.b.axes.name(*axis).split('.').next() == Some(name.text.as_str()))
    }

    fn position(
        &mut self,
        env: &mut Env,
        items: &[ast::Index],
        count: usize,
        span: Span,
    ) -> Eval<usize> {
        let [ast::Index::At(expr)] = items else {
            return self.error(
                303,
                span,
                "a list takes one static position",
                "not one position",
            );
        };
        let position = self.eval_constant(env, expr)?;
        match usize::try_from(position) {
            Ok(position) if position < count => Ok(position),
            _ => self.error(
                307,
                expr.span,
                format!("position {position} is outside a list of {count}"),
                "positions count from 0",
            ),
        }
    }
}

/// Whether an index says along which axes it reads.
fn is_bound(items: &[ast::Index]) -> bool {
    let bound = |item: &ast::Index| matches!(item, ast::Index::Bind(..));
    items.iter().all(bound)
}
