//! How does a native function of a plugin become a call?
//!
//! The call has the types of the function's signature. Its body, and its gradient, are
//! elaborated apart from the model, for the types that this call has: with all axes that ride
//! along, so that they can stand in place of the call as they are.

use std::sync::Arc;

use girih_graph::{Attribute, AxisId, Builder, Call, DType, Op, Region, ValueId, ValueType};

use super::Elaborator;
use super::call::Given;
use super::scope::Env;
use super::signature::{Bound, Taken};
use super::value::{Axes, Eval, Reported, Tensor, Value};
use crate::ast::{self, ExprKind, ItemKind, TypeKind};
use crate::diag::{Code, Diagnostic};
use crate::program::ItemRef;
use crate::span::Span;

/// What the attributes of a native function say.
struct Native {
    callee: Arc<str>,
    gradient: Option<(ItemRef, Span)>,
}

/// A result: its dtype and its own axes.
type Declared = (DType, Vec<AxisId>);

impl Elaborator<'_> {
    /// Calls a function that has a signature: one with a result type, or a native one.
    pub(crate) fn call_typed(
        &mut self,
        place: ItemRef,
        function: &ast::FnDecl,
        args: Vec<Given>,
        span: Span,
    ) -> Eval<Value> {
        let of_plugin = self.program.plugin(place.file).is_some();
        if of_plugin {
            self.plugin_calls.push(span);
        }
        let result = self.call_bound(place, function, args, span);
        if of_plugin {
            self.plugin_calls.pop();
        }
        result
    }

    fn call_bound(
        &mut self,
        place: ItemRef,
        function: &ast::FnDecl,
        args: Vec<Given>,
        span: Span,
    ) -> Eval<Value> {
        let native = self.native(place, function)?;
        let mut bound = self.bind_signature(place, function, args, span)?;
        let value = match (native, &function.body) {
            (Some(native), _) => self.call_native(&native, place, function, &mut bound, span)?,
            (None, Some(body)) => {
                let params: Vec<Tensor> = bound.taken.iter().map(|own| own.tensor).collect();
                self.run_signature(function, &mut bound, &params, body)?
            }
            (None, None) => {
                return self.error_help(
                    702,
                    function.name.span,
                    format!("`{}` has no body", function.name.text),
                    "only a native function may leave it out",
                    "write `@native` before `fn`, or what the function computes behind it",
                );
            }
        };
        self.leave_signature(value, &bound.renames, span)
    }

    /// What the body makes of these tensors, as the result is declared.
    fn run_signature(
        &mut self,
        function: &ast::FnDecl,
        bound: &mut Bound,
        params: &[Tensor],
        body: &ast::Block,
    ) -> Eval<Value> {
        for (own, tensor) in bound.taken.iter().zip(params) {
            let value = Value::Tensor(*tensor);
            bound.env.locals.insert(own.name.clone(), value);
        }
        let value = self.run_body(&mut bound.env, body, function.name.span)?;
        match &function.result {
            None => Ok(value),
            Some(ty) => {
                let lifted = bound.env.lifted.clone();
                self.check_result(&mut bound.env, value, ty, &lifted, body)
            }
        }
    }

    /// What the attributes of a function say: `None` for one that is not native.
    fn native(&mut self, place: ItemRef, function: &ast::FnDecl) -> Eval<Option<Native>> {
        let mut version = None;
        let mut gradient = None;
        for attribute in &function.attributes {
            let name = &attribute.name;
            match (name.text.as_str(), attribute.args.as_slice()) {
                ("native", []) => version = Some(1),
                ("native", [arg]) if arg.name.is_none() => match &arg.value.kind {
                    ExprKind::Int(number) if *number > 0 => version = Some(*number),
                    _ => {
                        return self.error_help(
                            702,
                            arg.value.span,
                            "the version of an operation is a positive number",
                            "not one",
                            "write `@native(2)`, or `@native` for the first version",
                        );
                    }
                },
                ("gradient", [arg]) if arg.name.is_none() => {
                    gradient = Some((self.function_named(place, &arg.value)?, arg.value.span));
                }
                _ => {
                    return self.error_help(
                        203,
                        name.span,
                        format!("`@{}` is no attribute of a function", name.text),
                        "not known like this",
                        "attributes of functions are `@native`, `@native(2)` and `@gradient(name)`",
                    );
                }
            }
        }
        let Some(version) = version else {
            return match function.attributes.first() {
                None => Ok(None),
                Some(alone) => self.error_help(
                    702,
                    alone.name.span,
                    "only a native function has a gradient of its own",
                    "the gradient of other functions is derived",
                    "write `@native` before it, or leave `@gradient` out",
                ),
            };
        };
        let Some(plugin) = self.program.plugin(place.file) else {
            return self.error_help(
                702,
                function.name.span,
                format!("`{}` is native outside of a plugin", function.name.text),
                "no library has a kernel for it",
                "native functions stand in the text that a plugin's library carries",
            );
        };
        Ok(Some(Native {
            callee: Arc::from(format!("{plugin}/{}@{version}", function.name.text)),
            gradient,
        }))
    }

    fn function_named(&mut self, place: ItemRef, expr: &ast::Expr) -> Eval<ItemRef> {
        let found = match &expr.kind {
            ExprKind::Name(name) => self.program.find(place.file, name),
            _ => None,
        };
        let is_fn = |place: &ItemRef| matches!(self.program.item(*place).kind, ItemKind::Fn(_));
        match found.filter(is_fn) {
            Some(found) => Ok(found),
            None => self.error(
                202,
                expr.span,
                "a gradient is a function of the same text",
                "no function of this name",
            ),
        }
    }

    fn call_native(
        &mut self,
        native: &Native,
        place: ItemRef,
        function: &ast::FnDecl,
        bound: &mut Bound,
        span: Span,
    ) -> Eval<Value> {
        let Some(result) = &function.result else {
            return self.error_help(
                702,
                function.name.span,
                format!("`{}` does not say what it gives", function.name.text),
                "a native function has a result type",
                format!("write `fn {}(…) -> f32[n]`", function.name.text),
            );
        };
        let operands: Vec<Tensor> = bound.taken.iter().map(|own| own.tensor).collect();
        let types: Vec<ValueType> = operands.iter().map(|own| self.ty(*own).clone()).collect();
        let attributes = self.attributes(&bound.statics)?;
        let (body, given) = if let Some(block) = &function.body {
            let (region, given) = self.body_region(function, bound, &types, block, result)?;
            (Some(region), given)
        } else {
            (None, self.declared_results(&mut bound.env, result)?)
        };
        let lifted = bound.env.lifted.clone();
        let gives: Vec<(ValueType, Vec<AxisId>)> = (given.into_iter().enumerate())
            .map(|(position, (dtype, core))| {
                let own = || ValueType::new(dtype, [lifted.as_slice(), &core].concat());
                let made = body.as_ref().and_then(|body| {
                    let value = body.results().get(position)?;
                    Some(body.ty(*value).clone())
                });
                (made.unwrap_or_else(own), core)
            })
            .collect();
        let results: Vec<ValueType> = gives.iter().map(|(ty, _)| ty.clone()).collect();
        let takes = bound.taken.iter().map(|own| own.core.clone()).collect();
        let mut call = Call::new(Arc::clone(&native.callee), attributes, takes, gives);
        if let Some(body) = body {
            call = call.with_body(body);
        }
        // A gradient that leads back to itself is derived from the body there.
        if let Some((gradient, at)) = native.gradient
            && !self.open_gradients.contains(&place)
        {
            self.open_gradients.push(place);
            let region = self.gradient_region((gradient, at), bound, &types, &results, span);
            self.open_gradients.pop();
            call = call.with_gradient(region?);
        }
        let made = self.ops(Op::Call(Box::new(call)), &operands, span)?;
        rebuilt(result, &mut made.into_iter()).ok_or(Reported)
    }

    /// Static arguments as a kernel gets them.
    fn attributes(
        &mut self,
        statics: &[(String, Value, Span)],
    ) -> Eval<Vec<(Arc<str>, Attribute)>> {
        let mut attributes = Vec::new();
        for (name, value, at) in statics {
            let own = match value {
                Value::Bool(truth) => Some(Attribute::Bool(*truth)),
                Value::Int(extent) => extent.as_constant().map(Attribute::Int),
                Value::Real(number) => Some(Attribute::Real(*number)),
                Value::Text(text) => Some(Attribute::Text(Arc::from(text.as_str()))),
                Value::Poison => return Err(Reported),
                _ => None,
            };
            let Some(own) = own else {
                return self.error_help(
                    702,
                    *at,
                    format!("a kernel cannot be given {} for `{name}`", value.kind()),
                    format!("this is {}", value.kind()),
                    "give a number, a truth value or a text; a tensor needs a declared type such as `x: f32[n]`",
                );
            };
            attributes.push((Arc::from(name.as_str()), own));
        }
        Ok(attributes)
    }

    /// The results that a type declares, in order.
    fn declared_results(&mut self, env: &mut Env, ty: &ast::Type) -> Eval<Vec<Declared>> {
        let parts: Vec<&ast::Type> = match &ty.kind {
            TypeKind::Tensor { .. } => {
                env.is_static = true;
                let typed = self.tensor_type(env, ty);
                env.is_static = false;
                let (dtype, groups) = typed?;
                return Ok(vec![(dtype, groups.into_iter().flatten().collect())]);
            }
            TypeKind::Tuple(parts) => parts.iter().collect(),
            TypeKind::Record(fields) => fields.iter().map(|(_, part)| part).collect(),
        };
        let mut all = Vec::new();
        for part in parts {
            all.extend(self.declared_results(env, part)?);
        }
        Ok(all)
    }

    fn body_region(
        &mut self,
        function: &ast::FnDecl,
        bound: &mut Bound,
        types: &[ValueType],
        block: &ast::Block,
        result: &ast::Type,
    ) -> Eval<(Region, Vec<Declared>)> {
        self.apart(types, |this, params| {
            let value = this.run_signature(function, bound, &params, block)?;
            let given = this.declared_results(&mut bound.env, result)?;
            let mut tensors = Vec::new();
            flatten(&value, &mut tensors);
            let mut results = Vec::new();
            for (tensor, (_, core)) in tensors.into_iter().zip(&given) {
                let all = [bound.env.lifted.as_slice(), core].concat();
                results.push(this.expand_to(tensor, &all, result.span)?);
            }
            Ok((results, given))
        })
    }

    fn gradient_region(
        &mut self,
        (gradient, at): (ItemRef, Span),
        bound: &Bound,
        types: &[ValueType],
        results: &[ValueType],
        span: Span,
    ) -> Eval<Region> {
        let ast = self.program.ast(gradient.file);
        let ItemKind::Fn(function) = &ast.items[gradient.item].kind else {
            return Err(Reported);
        };
        let real = |ty: &&ValueType| ty.dtype.is_real();
        let cotangents = results.iter().filter(real);
        let all: Vec<ValueType> = types
            .iter()
            .chain(results)
            .chain(cotangents)
            .cloned()
            .collect();
        let wanted: Vec<&ValueType> = types.iter().filter(real).collect();
        let taken: Vec<&Taken> = bound.taken.iter().collect();
        let (region, ()) = self.apart(&all, |this, params| {
            let mut args: Vec<Given> = params
                .into_iter()
                .map(|tensor| (None, Value::Tensor(tensor), span))
                .collect();
            let formals = this.formals(function)?;
            for (name, axis) in &bound.axes {
                if formals.contains(name) {
                    let axis = Value::Axes(Axes::One(*axis));
                    args.push((Some(name.clone()), axis, span));
                }
            }
            for (name, value, _) in &bound.statics {
                if function.params.iter().any(|own| own.name.text == *name) {
                    args.push((Some(name.clone()), value.clone(), span));
                }
            }
            let value = this.call_function(&Env::of_file(gradient.file), gradient, args, span)?;
            let mut tensors = Vec::new();
            flatten(&value, &mut tensors);
            let fits = tensors.len() == wanted.len()
                && tensors.iter().zip(&wanted).all(|(own, wanted)| {
                    let ty = this.ty(*own);
                    let known =
                        |axis: &AxisId| wanted.has(*axis) || bound.env.lifted.contains(axis);
                    ty.dtype == wanted.dtype && ty.axes.iter().all(known)
                });
            if !fits {
                let shown = |ty: &ValueType| format!("`{}`", this.b.axes.show(ty));
                let names: Vec<String> = (taken.iter().zip(types))
                    .filter(|(_, ty)| ty.dtype.is_real())
                    .map(|(own, ty)| format!("{} for `{}`", shown(ty), own.name))
                    .collect();
                let made: Vec<String> = tensors.iter().map(|own| shown(this.ty(*own))).collect();
                let name = &function.name.text;
                return this.fail(
                    Diagnostic::error(
                        Code::new(702),
                        format!("`{name}` does not give the cotangents of the operands"),
                    )
                    .at(at, format!("it gives {}", listed(&made)))
                    .note(format!("cotangents are {}", listed(&names))),
                );
            }
            Ok((tensors, ()))
        })?;
        Ok(region)
    }

    /// A region of its own whose parameters have these types. It sees nothing of the model.
    fn apart<T>(
        &mut self,
        types: &[ValueType],
        build: impl FnOnce(&mut Self, Vec<Tensor>) -> Eval<(Vec<Tensor>, T)>,
    ) -> Eval<(Region, T)> {
        let mut own = Builder::new("call");
        own.axes = std::mem::take(&mut self.b.axes);
        let outer = std::mem::replace(&mut self.b, own);
        let frames = std::mem::take(&mut self.frames);
        // What was made in the model's graph says nothing here.
        let alike = self.alike.take();
        let lets = std::mem::take(&mut self.file_lets);
        let promises = self.promises.take();
        let mut params = Vec::new();
        for ty in types {
            params.push(Tensor {
                level: 0,
                id: self.b.add_parameter(ty.clone()),
            });
        }
        let made = build(self, params);
        let mut own = std::mem::replace(&mut self.b, outer);
        self.b.axes = std::mem::take(&mut own.axes);
        self.frames = frames;
        self.alike = alike;
        self.file_lets = lets;
        self.promises = promises;
        let (results, rest) = made?;
        let named = results.iter().enumerate();
        let named: Vec<(String, ValueId)> = named
            .map(|(position, tensor)| (position.to_string(), tensor.id))
            .collect();
        Ok((own.finish(named, Vec::new()).root, rest))
    }
}

/// `a`, `b` and `c`; nothing.
fn listed(parts: &[String]) -> String {
    match parts {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The tensors of a value, in order.
fn flatten(value: &Value, found: &mut Vec<Tensor>) {
    match value {
        Value::Tensor(tensor) => found.push(*tensor),
        Value::Tuple(parts) | Value::List(parts) => {
            for part in parts {
                flatten(part, found);
            }
        }
        Value::Record(fields) => {
            for (_, part) in fields {
                flatten(part, found);
            }
        }
        _ => {}
    }
}

/// The value of a type whose tensors are these.
fn rebuilt(ty: &ast::Type, tensors: &mut dyn Iterator<Item = Tensor>) -> Option<Value> {
    Some(match &ty.kind {
        TypeKind::Tensor { .. } => Value::Tensor(tensors.next()?),
        TypeKind::Tuple(parts) => {
            let parts = parts.iter().map(|part| rebuilt(part, tensors));
            Value::Tuple(parts.collect::<Option<_>>()?)
        }
        TypeKind::Record(fields) => {
            let fields = fields.iter();
            let field = |(name, part): &(ast::Name, ast::Type)| {
                Some((name.text.clone(), rebuilt(part, tensors)?))
            };
            Value::Record(fields.map(field).collect::<Option<_>>()?)
        }
    })
}
