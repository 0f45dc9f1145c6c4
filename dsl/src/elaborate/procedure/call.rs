//! How is a procedure called, and what is it given?
//!
//! A procedure that is called is written out at the place of the call: it has variables of
//! its own, and sees no name of the caller. What it is given are copies.

use super::Writer;
use super::names::{Known, Names};
use super::value::whole;
use crate::ast::{Arg, ExprKind, ItemKind, Parameter};
use crate::diag::{Code, Diagnostic};
use crate::elaborate::DEPTH;
use crate::elaborate::scope::nearest;
use crate::elaborate::value::{Eval, Reported};
use crate::procedure::{Place, Step, StepKind, Type};
use crate::program::ItemRef;
use crate::span::Span;

/// Most values that a procedure may have, with those that it calls.
const MOST: usize = 20_000;

impl Writer<'_> {
    /// Writes another procedure out; what it returns.
    pub(super) fn inline(
        &mut self,
        names: &mut Names,
        place: ItemRef,
        args: &[Arg],
        span: Span,
        steps: &mut Vec<Step>,
    ) -> Eval<Option<Place>> {
        if self.depth >= DEPTH {
            return self.error(
                409,
                span,
                "procedures call one another without end",
                format!("more than {DEPTH} calls inside one another"),
                "nothing can call itself: repeat with `while c limit n { … }`",
            );
        }
        if self.variables.len() > MOST {
            return self.error(
                408,
                span,
                "the procedure is too large when its calls are written out",
                format!("past {MOST} values"),
                "repeat with `for` or `while` what is called again and again",
            );
        }
        let ast = self.program.ast(place.file);
        let ItemKind::Procedure(procedure) = &ast.items[place.item].kind else {
            return Err(Reported);
        };
        let given = self.matched(&procedure.name.text, &procedure.params, args)?;
        let mut inner = Names::default();
        let mut own = Vec::new();
        for (parameter, arg) in procedure.params.iter().zip(&given) {
            if self.model_word(parameter).is_none() {
                continue;
            }
            let known = match arg.map(|arg| &arg.value.kind) {
                Some(ExprKind::Name(name)) => names.get(name),
                _ => None,
            };
            let Some(Known::Model(at)) = known else {
                return self.error(
                    205,
                    arg.map_or(span, |arg| arg.value.span),
                    format!(
                        "`{}` takes a model as `{}`",
                        procedure.name.text, parameter.name.text
                    ),
                    "not a model of this procedure",
                    "hand over a parameter that is a model",
                );
            };
            inner.insert(&parameter.name.text, Known::Model(at));
        }
        for (parameter, arg) in procedure.params.iter().zip(given) {
            if self.model_word(parameter).is_some() {
                continue;
            }
            let name = &parameter.name.text;
            let value = match (arg, &parameter.default) {
                (Some(arg), _) => self.value(names, &arg.value, &mut own)?,
                (None, Some(default)) => self.value(&mut inner, default, &mut own)?,
                (None, None) => {
                    return self.fail(
                        Diagnostic::error(
                            Code::new(205),
                            format!("`{}` needs its input `{name}`", procedure.name.text),
                        )
                        .at(span, "not given here")
                        .also(parameter.name.span, "declared without a default"),
                    );
                }
            };
            if let Some(ty) = &parameter.ty {
                let outer = std::mem::replace(&mut self.file, place.file);
                let wanted = self.declared(&inner, ty);
                self.file = outer;
                let found = self.ty(&value);
                let at = arg.map_or(span, |arg| arg.value.span);
                self.require_fits(&wanted?, &found, at, name)?;
            }
            // A variable of its own, whatever the caller does with the other.
            let id = self.variable(name, self.ty(&value), parameter.name.span);
            own.push(Step {
                kind: StepKind::Copy(value, id),
                span,
            });
            inner.insert(name, Known::Variable(id));
        }
        let outer = std::mem::replace(&mut self.file, place.file);
        self.depth += 1;
        let result = self.body(inner, procedure, &mut own);
        self.depth -= 1;
        self.file = outer;
        let result = result?;
        steps.push(Step {
            kind: StepKind::Inline { body: own, result },
            span,
        });
        Ok(result.map(whole))
    }

    /// Arguments in the order of parameters.
    pub(super) fn matched<'a>(
        &mut self,
        owner: &str,
        params: &[Parameter],
        args: &'a [Arg],
    ) -> Eval<Vec<Option<&'a Arg>>> {
        let mut given: Vec<Option<&Arg>> = vec![None; params.len()];
        let mut position = 0;
        for arg in args {
            let place = if let Some(name) = &arg.name {
                params.iter().position(|own| own.name.text == name.text)
            } else {
                position += 1;
                Some(position - 1)
            };
            let slot = place.and_then(|place| given.get_mut(place));
            let Some(slot) = slot else {
                let names = params.iter().map(|own| own.name.text.as_str());
                let (message, label, near) = match &arg.name {
                    Some(name) => (
                        format!("`{owner}` has no input `{}`", name.text),
                        "not an input",
                        nearest(&name.text, names).map(str::to_owned),
                    ),
                    None => (
                        format!("`{owner}` takes {} inputs", params.len()),
                        "one too many",
                        None,
                    ),
                };
                let help = near.map_or_else(String::new, |near| format!("did you mean `{near}`?"));
                return self.error(205, arg.value.span, message, label, help);
            };
            if slot.is_some() {
                return self.error(
                    205,
                    arg.value.span,
                    format!("an input of `{owner}` is given twice"),
                    "again",
                    "",
                );
            }
            *slot = Some(arg);
        }
        Ok(given)
    }

    /// A declared type takes a value: the same element type and axes.
    pub(super) fn require_fits(
        &mut self,
        wanted: &Type,
        found: &Type,
        span: Span,
        name: &str,
    ) -> Eval<()> {
        if wanted.takes(found) {
            return Ok(());
        }
        self.error(
            303,
            span,
            format!("the input `{name}` is `{wanted}`, not `{found}`"),
            format!("this is `{found}`"),
            format!("declare `{name}: {found}`, or make the value fit"),
        )
    }
}
