//! How is a model's stream opened and moved on?
//!
//! What a call is given and gives is found by elaborating the method over the new positions
//! alone, as in any other call of a model. Whether the method can be streamed at all is for
//! whoever transforms it.

use super::Writer;
use super::names::{Known, Names};
use super::value::whole;
use crate::ast::{
    self, Arg, Expr, ExprKind, Index, ItemKind, MemberKind, Name, Stmt, StmtKind, TypeKind,
};
use crate::diag::{Code, Diagnostic};
use crate::elaborate::scope::nearest;
use crate::elaborate::value::{Eval, Reported};
use crate::procedure::{Operation, Place, SessionForm, Step, StepKind, Type, VariableId};
use crate::program::Program;
use crate::span::Span;

use super::compute::Made;

impl Writer<'_> {
    /// `session(m)`, `session(m.decode, memory = x)`, `session(m, cache = c)`.
    pub(super) fn open_session(
        &mut self,
        names: &mut Names,
        expr: &Expr,
        args: &[&Arg],
        span: Span,
        steps: &mut Vec<Step>,
    ) -> Eval<Place> {
        let (head, method) = match &expr.kind {
            ExprKind::Field { base, name } => (&**base, name.text.clone()),
            _ => (expr, "forward".to_owned()),
        };
        let known = match &head.kind {
            ExprKind::Name(name) => names.get(name),
            _ => None,
        };
        let Some(Known::Model(model)) = known else {
            return self.error(
                303,
                expr.span,
                "a session is of a model",
                "not a model that the procedure is given",
                "write `session(m)`, or `session(m.decode)` for another method",
            );
        };
        let declared = self.method(model, &method, expr.span)?;
        let Some(axis) = self.time_axis(model, &declared) else {
            let slot = &self.models[model];
            return self.error(
                412,
                expr.span,
                format!(
                    "`{}` of `{}` takes no sequence piece by piece",
                    method, slot.module
                ),
                "none of its inputs has an axis of time",
                "mark the axis of the sequence, `axis t: time`, or call the model as a whole",
            );
        };
        let mut inputs = Vec::new();
        let mut opening = Vec::new();
        let mut cache = None;
        let mut from = None;
        for arg in args {
            let Some(name) = &arg.name else {
                return self.error(
                    205,
                    arg.value.span,
                    "an input of a session is given by its name",
                    "which input?",
                    "write `session(m, memory = x)`; positions come with calls: `s(ids)`",
                );
            };
            let is_input = declared.params.iter().any(|own| own.name.text == name.text);
            if name.text == "cache" && !is_input {
                let value = self.value(names, &arg.value, steps)?;
                from = Some(self.ty(&value));
                cache = Some(value);
                continue;
            }
            let params = declared.params.iter();
            let Some(parameter) = params.clone().find(|own| own.name.text == name.text) else {
                let near = nearest(&name.text, params.map(|own| own.name.text.as_str()));
                let help = near.map_or_else(String::new, |near| format!("did you mean `{near}`?"));
                return self.error(
                    205,
                    name.span,
                    format!("`{method}` has no input `{}`", name.text),
                    "not an input",
                    help,
                );
            };
            if is_streamed(parameter, &axis) {
                return self.error(
                    205,
                    name.span,
                    format!("`{}` has a value at every position", name.text),
                    "not known when the session is opened",
                    format!("give it with each call: `s({} = …)`", name.text),
                );
            }
            let value = self.value(names, &arg.value, steps)?;
            // The session keeps what it was opened with.
            let kept = self.variable("", self.ty(&value), arg.value.span);
            steps.push(Step {
                kind: StepKind::Copy(value, kept),
                span,
            });
            inputs.push((name.text.clone(), whole(kept)));
            opening.push((name.text.clone(), kept));
        }
        let form = self.sessions.len();
        self.sessions.push(SessionForm {
            model,
            method,
            opening,
            steps: Vec::new(),
            axis,
            result: Type::None,
            from,
            carried: None,
            span,
        });
        let operation = Operation::Open {
            form,
            inputs,
            cache,
        };
        Ok(self.operated(operation, Type::Session(form), span, steps))
    }

    /// `s(ids)`.
    pub(super) fn call_session(
        &mut self,
        names: &mut Names,
        (session, form): (VariableId, usize),
        args: &[Arg],
        span: Span,
        steps: &mut Vec<Step>,
    ) -> Eval<Place> {
        let own = self.sessions[form].clone();
        let declared = self.method(own.model, &own.method, span)?;
        let open: Vec<ast::Parameter> = declared
            .params
            .iter()
            .filter(|parameter| {
                !own.opening
                    .iter()
                    .any(|(name, _)| *name == parameter.name.text)
            })
            .cloned()
            .collect();
        let given = self.matched(&own.method, &open, args)?;
        let mut inputs = Vec::new();
        for (parameter, arg) in open.iter().zip(given) {
            let name = &parameter.name.text;
            match arg {
                Some(arg) => {
                    let streamed = is_streamed(parameter, &own.axis);
                    if !streamed {
                        return self.error(
                            205,
                            arg.value.span,
                            format!("`{name}` belongs to no position"),
                            "given with a call",
                            format!("give it when the session is opened: `session(m, {name} = …)`"),
                        );
                    }
                    let value = self.value(names, &arg.value, steps)?;
                    inputs.push((name.clone(), value, arg.value.span));
                }
                None if parameter.default.is_some() => {}
                None => {
                    return self.fail(
                        Diagnostic::error(
                            Code::new(205),
                            format!("`{}` needs its input `{name}`", own.method),
                        )
                        .at(span, "not given here")
                        .also(own.span, "nor when the session was opened"),
                    );
                }
            }
        }
        let has_axis = |ty: &Type| ty.axes().iter().any(|axis| axis.name == own.axis);
        let single = !inputs.is_empty() && !inputs.iter().any(|own| has_axis(&self.ty(&own.1)));
        let mut types = Vec::new();
        for (name, place, _) in &inputs {
            let ty = self.ty(place);
            let ty = if single {
                Self::with_axis(&ty, &own.axis)
            } else {
                ty
            };
            types.push((name.clone(), ty));
        }
        let result = if own.steps.is_empty() {
            let result = self.session_result(names, &own, &types, &inputs, span)?;
            self.sessions[form].steps.clone_from(&types);
            self.sessions[form].result = result.clone();
            self.require_cache(form, span)?;
            result
        } else {
            for ((name, ty, at), (first, wanted)) in types
                .iter()
                .zip(&inputs)
                .map(|((name, ty), input)| (name, ty, input.2))
                .zip(&own.steps)
            {
                if name != first || !wanted.takes(ty) {
                    return self.error(
                        303,
                        at,
                        format!(
                            "a session takes the same inputs at every call: `{first}: {wanted}`"
                        ),
                        format!("this is `{name}: {ty}`"),
                        "open another session for other inputs",
                    );
                }
            }
            if types.len() != own.steps.len() {
                return self.error(
                    205,
                    span,
                    "a session takes the same inputs at every call",
                    format!("{} here, {} before", types.len(), own.steps.len()),
                    "",
                );
            }
            own.result
        };
        let ty = if single {
            Self::without_axis(&result, &own.axis)
        } else {
            result
        };
        let operation = Operation::Call {
            session,
            form,
            inputs: inputs
                .into_iter()
                .map(|(name, place, _)| (name, place))
                .collect(),
            single,
        };
        Ok(self.operated(operation, ty, span, steps))
    }

    /// What a flush gives: what calls give.
    pub(super) fn rest_type(&mut self, session: &Place, span: Span) -> Eval<Type> {
        let form = match self.session_type(session, span)? {
            Type::Session(form) => self.sessions[form].clone(),
            _ => return Err(Reported),
        };
        if form.steps.is_empty() {
            return self.fail(
                Diagnostic::error(Code::new(412), "nothing is left of what has not begun")
                    .at(span, "the session is flushed before it takes a position")
                    .also(form.span, "opened here")
                    .help("give it positions first: `s(ids)`"),
            );
        }
        Ok(form.result)
    }

    /// What a call gives: the method's result over the new positions.
    fn session_result(
        &mut self,
        names: &Names,
        form: &SessionForm,
        types: &[(String, Type)],
        inputs: &[(String, Place, Span)],
        span: Span,
    ) -> Eval<Type> {
        let word = |text: &str, span: Span| Name {
            text: text.to_owned(),
            span,
        };
        let mut args: Vec<Arg> = Vec::new();
        let mut arg = |name: &str, id: VariableId, span: Span| {
            args.push(Arg {
                name: Some(word(name, span)),
                value: Expr {
                    kind: ExprKind::Name(Names::between(id)),
                    span,
                },
            });
        };
        for (name, id) in &form.opening {
            arg(name, *id, span);
        }
        for ((name, ty), (_, _, place)) in types.iter().zip(inputs) {
            let id = self.variable("", ty.clone(), *place);
            arg(name, id, *place);
        }
        // The model has its own name here, whatever it is called where the session is used.
        let model = self.models[form.model].name.clone();
        let mut inner = names.clone();
        inner.insert(&model, Known::Model(form.model));
        let callee = Expr {
            kind: ExprKind::Field {
                base: Box::new(Expr {
                    kind: ExprKind::Name(model),
                    span,
                }),
                name: word(&form.method, span),
            },
            span,
        };
        let stmt = Stmt {
            attributes: Vec::new(),
            kind: StmtKind::Bind {
                places: vec![ast::Place {
                    name: word("it", span),
                    next: false,
                    indices: None,
                    span,
                }],
                value: Expr {
                    kind: ExprKind::Call {
                        callee: Box::new(callee),
                        args,
                    },
                    span,
                },
            },
            span,
        };
        let computed = self.compute(&inner, &stmt, &["it".to_owned()])?;
        match computed.made.into_iter().next() {
            Some(Made::Tensors(ty)) => Ok(ty),
            _ => self.error(
                412,
                span,
                format!("`{}` gives the same at every position", form.method),
                "no sequence comes of it",
                "call the model as a whole",
            ),
        }
    }

    /// A method of a model of this procedure.
    fn method(&mut self, model: usize, name: &str, span: Span) -> Eval<ast::Method> {
        let slot = &self.models[model];
        let found = self.program.find(self.program.entry(), &slot.module);
        let Some(ItemKind::Module(module)) = found.map(|place| &self.program.item(place).kind)
        else {
            return Err(Reported);
        };
        let mut methods = Vec::new();
        for member in &module.members {
            if let MemberKind::Method(method) = &member.kind {
                if method.name.text == name {
                    return Ok(method.clone());
                }
                methods.push(format!("`{}`", method.name.text));
            }
        }
        let owner = module.name.text.clone();
        self.fail(
            Diagnostic::error(Code::new(207), format!("`{owner}` has no method `{name}`"))
                .at(span, "asked for here")
                .note(format!("it has {}", methods.join(", "))),
        )
    }

    /// The axis of time among a method's inputs.
    fn time_axis(&self, model: usize, method: &ast::Method) -> Option<String> {
        let place = self
            .program
            .find(self.program.entry(), &self.models[model].module)?;
        let axes = method.params.iter().flat_map(words_of);
        axes.into_iter()
            .find(|word| is_time(self.program, place.file, word))
    }
}

/// Whether an input has a value at every position.
fn is_streamed(parameter: &ast::Parameter, axis: &str) -> bool {
    words_of(parameter).iter().any(|word| word == axis)
}

/// Axes that the type of an input mentions.
fn words_of(parameter: &ast::Parameter) -> Vec<String> {
    let Some(ty) = &parameter.ty else {
        return Vec::new();
    };
    let TypeKind::Tensor { axes, .. } = &ty.kind else {
        return Vec::new();
    };
    let word = |index: &Index| match index {
        Index::At(Expr {
            kind: ExprKind::Name(name),
            ..
        }) => Some(name.clone()),
        _ => None,
    };
    axes.iter().filter_map(word).collect()
}

fn is_time(program: &Program, file: usize, word: &str) -> bool {
    program.find(file, word).is_some_and(|place| {
        matches!(&program.item(place).kind, ItemKind::Axis(axis) if axis.kind.as_ref().is_some_and(|kind| kind.text == "time"))
    })
}
