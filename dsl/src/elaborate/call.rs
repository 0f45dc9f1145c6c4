//! What is called, with which arguments: methods, functions, stacks, module values.
//!
//! Axes that the declared types of a method do not mention ride along: the method is lifted
//! over them. What a declared type does with a value is in `typed`.

use girih_graph::{DType, Op};

use super::scope::{Env, snake};
use super::value::{Eval, InstanceId, ModuleValue, Reported, Value};
use super::{DEPTH, Elaborator};
use crate::ast::{self, ItemKind};
use crate::diag::{Code, Diagnostic};
use crate::program::ItemRef;
use crate::span::Span;

/// An argument: its name if written, its value, its place.
pub(crate) type Given = (Option<String>, Value, Span);

impl Elaborator<'_> {
    /// Calls what a name or an expression stands for.
    pub(crate) fn call_value(
        &mut self,
        env: &mut Env,
        callee: Value,
        args: Vec<Given>,
        span: Span,
    ) -> Eval<Value> {
        match callee {
            Value::Instance(instance) => self.call_named(instance, "forward", args, span),
            Value::Stack(instances) => {
                let mut args = args;
                let mut last = Value::None;
                for (turn, instance) in instances.iter().enumerate() {
                    if turn > 0 {
                        match args.first_mut() {
                            Some(first) => first.1 = last,
                            None => {
                                return self.error(
                                    205,
                                    span,
                                    "a stack needs an input",
                                    "nothing to pass on",
                                );
                            }
                        }
                    }
                    last = self.call_named(*instance, "forward", args.clone(), span)?;
                }
                if instances.is_empty() {
                    last = args
                        .into_iter()
                        .next()
                        .map_or(Value::None, |(_, value, _)| value);
                }
                Ok(last)
            }
            Value::Function(place) => self.call_function(env, place, args, span),
            Value::Builtin(name) => self.call_builtin(env, name, args, span),
            Value::Module(module) if env.is_static || !is_applied(&args) => {
                let module = self.apply_statics(&module, args, span)?;
                Ok(Value::Module(std::rc::Rc::new(module)))
            }
            Value::Module(module) => {
                // A module without parameters can be used on the spot: `Softcap(30.0)(x)`.
                let before = self.params.len();
                let path = env.path.clone().unwrap_or_default();
                let name = match &self.program.item(module.decl).kind {
                    ItemKind::Module(declared) => snake(&declared.name.text),
                    _ => String::new(),
                };
                let path = if path.is_empty() {
                    name
                } else {
                    format!("{path}.{name}")
                };
                let instance = self.instantiate(&module, &path, &path, env.instance, span)?;
                if self.params.len() > before {
                    return self.error_help(
                        401,
                        span,
                        "a module with parameters is used without a name",
                        "its parameters would have no place in a checkpoint",
                        "declare it in the module: `sub name = …`, and call `name(x)`",
                    );
                }
                self.call_named(instance, "forward", args, span)
            }
            Value::None => self.error_help(
                205,
                span,
                "`none` is called",
                "nothing was given for this",
                "ask first: `if f == none then x else f(x)`",
            ),
            Value::Poison => Err(Reported),
            other => self.error(
                205,
                span,
                format!("{} cannot be called", other.kind()),
                format!("this is {}", other.kind()),
            ),
        }
    }

    fn apply_statics(
        &mut self,
        module: &ModuleValue,
        args: Vec<Given>,
        span: Span,
    ) -> Eval<ModuleValue> {
        let ast = self.program.ast(module.decl.file);
        let ItemKind::Module(declared) = &ast.items[module.decl.item].kind else {
            return Err(Reported);
        };
        let mut result = ModuleValue {
            span,
            ..module.clone()
        };
        let names: Vec<&str> = declared
            .params
            .iter()
            .map(|p| p.name.text.as_str())
            .collect();
        let mut position = 0;
        let mut here: Vec<String> = Vec::new();
        for (name, value, place) in args {
            let name = if let Some(name) = name {
                name
            } else {
                while names
                    .get(position)
                    .is_some_and(|name| result.args.iter().any(|(own, _)| own == name))
                {
                    position += 1;
                }
                match names.get(position) {
                    Some(name) => (*name).to_owned(),
                    None => {
                        return self.fail(
                            Diagnostic::error(
                                Code::new(205),
                                format!(
                                    "`{}` takes {}",
                                    declared.name.text,
                                    counted(names.len(), "parameter")
                                ),
                            )
                            .at(place, "one too many")
                            .also(declared.name.span, "declared here"),
                        );
                    }
                }
            };
            if here.contains(&name) {
                return self.error(
                    205,
                    place,
                    format!("the parameter `{name}` is given twice"),
                    "again",
                );
            }
            here.push(name.clone());
            if !names.contains(&name.as_str()) {
                let mut diagnostic = Diagnostic::error(
                    Code::new(205),
                    format!("`{}` has no parameter `{name}`", declared.name.text),
                )
                .at(place, "not a parameter")
                .also(declared.name.span, "declared here");
                if let Some(nearest) = super::scope::nearest(&name, names.iter().copied()) {
                    diagnostic = diagnostic.help(format!("did you mean `{nearest}`?"));
                } else {
                    diagnostic = diagnostic.note(format!("its parameters: {}", names.join(", ")));
                }
                return self.fail(diagnostic);
            }
            result.args.retain(|(own, _)| *own != name);
            result.args.push((name, value));
        }
        Ok(result)
    }

    /// Calls a method by name.
    pub(crate) fn call_named(
        &mut self,
        instance: InstanceId,
        name: &str,
        args: Vec<Given>,
        span: Span,
    ) -> Eval<Value> {
        let decl = self.instances[instance.0].decl;
        let method = self.find_method(decl, name)?;
        self.call_once(instance, method, args, span)
    }

    fn enter(&mut self, span: Span) -> Eval<()> {
        self.depth += 1;
        // Instances nest up to `DEPTH`; what nests deeper has been reported there.
        if self.depth > 2 * DEPTH {
            self.depth -= 1;
            return self.error_help(
                409,
                span,
                "calls nest without end",
                format!("more than {} calls inside one another", 2 * DEPTH),
                "nothing can call itself: count with `for`, or walk an axis with `recurrence over t { … }`",
            );
        }
        Ok(())
    }

    /// Calls a method.
    pub(crate) fn call_method(
        &mut self,
        instance: InstanceId,
        method: &ast::Method,
        args: Vec<Given>,
        span: Span,
    ) -> Eval<Value> {
        self.enter(span)?;
        let path = std::sync::Arc::from(self.instances[instance.0].path.as_str());
        let outer = std::mem::replace(&mut self.here, path);
        let promises = self.promises.take();
        let result = self.call_inner(instance, method, args, span);
        self.promises = promises;
        self.here = outer;
        self.depth -= 1;
        result
    }

    fn call_inner(
        &mut self,
        instance: InstanceId,
        method: &ast::Method,
        args: Vec<Given>,
        span: Span,
    ) -> Eval<Value> {
        let mut env = Env::of_instance(self, instance);
        let mut renames = Vec::new();
        let given = self.match_args(&method.name, &method.params, args)?;
        for (parameter, given) in method.params.iter().zip(given) {
            let value = match given {
                Some((value, place)) => {
                    self.enter_value(&mut env, instance, parameter, value, place, &mut renames)?
                }
                None => match &parameter.default {
                    Some(default) => {
                        let value = self.eval(&mut env, default)?;
                        match (&parameter.ty, value) {
                            (_, Value::None) => Value::None,
                            (Some(_), value) => self.enter_value(
                                &mut env,
                                instance,
                                parameter,
                                value,
                                default.span,
                                &mut renames,
                            )?,
                            (None, value) => value,
                        }
                    }
                    None => return self.missing_arg(&method.name, parameter, span),
                },
            };
            env.locals.insert(parameter.name.text.clone(), value);
        }
        env.is_static = false;
        let value = self.run_body(&mut env, &method.body, method.name.span)?;
        self.commit_states(&mut env, instance, method)?;
        let value = match &method.result {
            None => value,
            Some(ty) => {
                let lifted = env.lifted.clone();
                self.check_result(&mut env, value, ty, &lifted, &method.body)?
            }
        };
        let mut value = self.leave_value(instance, value, span)?;
        for (original, fresh) in renames {
            value = self.map_tensors(value, &mut |this, tensor| {
                if this.ty(tensor).has(fresh) {
                    this.op(Op::Rename(vec![(fresh, original)]), &[tensor], span)
                } else {
                    Ok(tensor)
                }
            })?;
        }
        let name = match method.name.text.as_str() {
            "forward" => "out",
            own => own,
        };
        if let Some(path) = env.path_of(name) {
            self.name_value(&path, &value);
        }
        Ok(value)
    }

    /// Makes a value addressable by path.
    pub(crate) fn name_value(&mut self, path: &str, value: &Value) {
        match value {
            Value::Tensor(tensor) if tensor.level == 0 => {
                self.values.insert(path.to_owned(), *tensor);
            }
            Value::Record(fields) => {
                for (name, value) in fields {
                    self.name_value(&format!("{path}.{name}"), value);
                }
            }
            Value::Tuple(parts) | Value::List(parts) => {
                for (position, value) in parts.iter().enumerate() {
                    self.name_value(&format!("{path}.{position}"), value);
                }
            }
            // A number that is known while the model is built is a tensor only for who asks for it.
            Value::Int(extent) if self.request.keep.iter().any(|kept| kept == path) => {
                if let Some(number) = extent.as_constant() {
                    let tensor = self.integer(DType::I64, number);
                    self.values.insert(path.to_owned(), tensor);
                }
            }
            Value::Real(number) if self.request.keep.iter().any(|kept| kept == path) => {
                let tensor = self.number(DType::F32, *number);
                self.values.insert(path.to_owned(), tensor);
            }
            _ => {}
        }
    }

    pub(crate) fn match_args(
        &mut self,
        owner: &ast::Name,
        params: &[ast::Parameter],
        args: Vec<Given>,
    ) -> Eval<Vec<Option<(Value, Span)>>> {
        self.all_distinct(params.iter().map(|own| &own.name), "the input")?;
        let mut given: Vec<Option<(Value, Span)>> = vec![None; params.len()];
        let mut position = 0;
        for (name, value, place) in args {
            let index = if let Some(name) = &name {
                params
                    .iter()
                    .position(|parameter| parameter.name.text == *name)
            } else {
                let index = position;
                position += 1;
                Some(index).filter(|index| *index < params.len())
            };
            let Some(index) = index else {
                let names: Vec<&str> = params.iter().map(|p| p.name.text.as_str()).collect();
                let message = match &name {
                    Some(name) => format!("`{}` has no input `{name}`", owner.text),
                    None => format!("`{}` takes {}", owner.text, counted(params.len(), "input")),
                };
                let nearest = name
                    .as_deref()
                    .and_then(|name| super::scope::nearest(name, names.iter().copied()));
                let mut diagnostic = Diagnostic::error(Code::new(205), message)
                    .at(
                        place,
                        if name.is_some() {
                            "not an input"
                        } else {
                            "one too many"
                        },
                    )
                    .also(owner.span, "declared here");
                if let Some(nearest) = nearest {
                    diagnostic = diagnostic.help(format!("did you mean `{nearest}`?"));
                }
                return self.fail(diagnostic);
            };
            if given[index].is_some() {
                return self.error(
                    205,
                    place,
                    format!("the input `{}` is given twice", params[index].name.text),
                    "again",
                );
            }
            given[index] = Some((value, place));
        }
        Ok(given)
    }

    pub(crate) fn missing_arg<T>(
        &mut self,
        owner: &ast::Name,
        parameter: &ast::Parameter,
        span: Span,
    ) -> Eval<T> {
        self.fail(
            Diagnostic::error(
                Code::new(205),
                format!("`{}` needs its input `{}`", owner.text, parameter.name.text),
            )
            .at(span, "not given here")
            .also(parameter.name.span, "declared without a default"),
        )
    }

    /// Calls a function.
    pub(crate) fn call_function(
        &mut self,
        caller: &Env,
        place: ItemRef,
        args: Vec<Given>,
        span: Span,
    ) -> Eval<Value> {
        let ast = self.program.ast(place.file);
        let ItemKind::Fn(function) = &ast.items[place.item].kind else {
            return Err(Reported);
        };
        self.enter(span)?;
        let result = self.call_function_inner(caller, place, function, args, span);
        self.depth -= 1;
        result
    }

    fn call_function_inner(
        &mut self,
        caller: &Env,
        place: ItemRef,
        function: &ast::FnDecl,
        args: Vec<Given>,
        span: Span,
    ) -> Eval<Value> {
        if function.result.is_some() || !function.attributes.is_empty() {
            return self.call_typed(place, function, args, span);
        }
        let Some(body) = &function.body else {
            return Err(Reported);
        };
        let mut env = Env::of_file(place.file);
        env.is_static = caller.is_static;
        env.lifted.clone_from(&caller.lifted);
        let given = self.match_args(&function.name, &function.params, args)?;
        for (parameter, given) in function.params.iter().zip(given) {
            let value = match (given, &parameter.default) {
                (Some((value, _)), _) => value,
                (None, Some(default)) => self.eval(&mut env, default)?,
                (None, None) => return self.missing_arg(&function.name, parameter, span),
            };
            env.locals.insert(parameter.name.text.clone(), value);
        }
        // The body does not see the caller's index variables: axes come in as arguments.
        self.run_body(&mut env, body, function.name.span)
    }
}

/// `1 input`, `2 inputs`.
fn counted(count: usize, word: &str) -> String {
    if count == 1 {
        format!("1 {word}")
    } else {
        format!("{count} {word}s")
    }
}

/// Whether arguments are values to run on rather than static parameters.
fn is_applied(args: &[Given]) -> bool {
    fn is_tensor(value: &Value) -> bool {
        match value {
            Value::Tensor(_) => true,
            Value::Record(fields) => fields.iter().any(|(_, value)| is_tensor(value)),
            Value::Tuple(parts) => parts.iter().any(is_tensor),
            _ => false,
        }
    }
    args.iter().any(|(_, value, _)| is_tensor(value))
}
