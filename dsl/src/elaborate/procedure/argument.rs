//! How are the arguments of a procedure's function taken, and what may they be?

use girih_graph::DType;

use super::Writer;
use super::names::Names;
use crate::ast::{Arg, Expr, ExprKind};
use crate::elaborate::value::Eval;
use crate::procedure::{Place, Step, Type};
use crate::span::Span;

/// Arguments of one call, as they are taken.
pub(super) struct Taken<'a> {
    pub(super) name: &'static str,
    pub(super) args: Vec<&'a Arg>,
    pub(super) span: Span,
}

impl<'a> Taken<'a> {
    /// The next one without a name, or the one called `name`.
    pub(super) fn next(&mut self, name: &str) -> Option<&'a Expr> {
        let named = self
            .args
            .iter()
            .position(|arg| arg.name.as_ref().is_some_and(|own| own.text == name));
        let place = named.or_else(|| self.args.iter().position(|arg| arg.name.is_none()))?;
        Some(&self.args.remove(place).value)
    }

    /// The one called `name`.
    pub(super) fn named(&mut self, name: &str) -> Option<&'a Expr> {
        let named = self
            .args
            .iter()
            .position(|arg| arg.name.as_ref().is_some_and(|own| own.text == name));
        Some(&self.args.remove(named?).value)
    }
}

impl Writer<'_> {
    pub(super) fn take(
        &mut self,
        names: &mut Names,
        taken: &mut Taken<'_>,
        name: &str,
        steps: &mut Vec<Step>,
    ) -> Eval<Place> {
        match taken.next(name) {
            Some(expr) => self.value(names, expr, steps),
            None => self.lacks(taken, name),
        }
    }

    pub(super) fn lacks<T>(&mut self, taken: &Taken<'_>, name: &str) -> Eval<T> {
        self.error(
            205,
            taken.span,
            format!("`{}` needs its input `{name}`", taken.name),
            "not given here",
            "",
        )
    }

    pub(super) fn all_taken(&mut self, taken: &Taken<'_>) -> Eval<()> {
        let Some(arg) = taken.args.first() else {
            return Ok(());
        };
        let (message, label) = match &arg.name {
            Some(name) => (
                format!("`{}` has no input `{}`", taken.name, name.text),
                "not an input",
            ),
            None => (
                format!("`{}` is given too much", taken.name),
                "one too many",
            ),
        };
        self.error(205, arg.value.span, message, label, "")
    }

    pub(super) fn integer(
        &mut self,
        names: &mut Names,
        expr: &Expr,
        steps: &mut Vec<Step>,
    ) -> Eval<Place> {
        let place = self.value(names, expr, steps)?;
        self.require_scalar(&place, DType::I64, expr.span)?;
        Ok(place)
    }

    pub(super) fn require_type(&mut self, place: &Place, wanted: &Type, span: Span) -> Eval<()> {
        let found = self.ty(place);
        if wanted.takes(&found) {
            return Ok(());
        }
        self.error(
            303,
            span,
            format!("{} is needed here", wanted.kind()),
            format!("this is `{found}`"),
            "",
        )
    }

    /// The name of an axis as an argument.
    pub(super) fn axis_name(&mut self, taken: &mut Taken<'_>, name: &str) -> Eval<String> {
        let Some(expr) = taken.next(name) else {
            return self.lacks(taken, name);
        };
        self.as_axis(expr)
    }

    pub(super) fn as_axis(&mut self, expr: &Expr) -> Eval<String> {
        match &expr.kind {
            ExprKind::Name(name) => Ok(name.clone()),
            _ => self.error(
                303,
                expr.span,
                "the name of an axis is needed here",
                "this is none",
                "write the axis alone: `wait(t)`",
            ),
        }
    }

    /// The axis after `over`.
    pub(super) fn named_axis(&mut self, taken: &mut Taken<'_>) -> Eval<Option<(String, Span)>> {
        match taken.named("over") {
            Some(expr) => Ok(Some((self.as_axis(expr)?, expr.span))),
            None => Ok(None),
        }
    }

    /// `old -> new`.
    pub(super) fn arrow(&mut self, taken: &mut Taken<'_>) -> Eval<(String, String, Span)> {
        let Some(expr) = taken.next("axes") else {
            return self.lacks(taken, "axes");
        };
        let ExprKind::Arrow(from, to) = &expr.kind else {
            return self.error(
                303,
                expr.span,
                "which axis becomes which?",
                "not `old -> new`",
                "write `rename(x, t -> s)`",
            );
        };
        Ok((self.as_axis(from)?, self.as_axis(to)?, expr.span))
    }

    pub(super) fn session_type(&mut self, place: &Place, span: Span) -> Eval<Type> {
        match self.ty(place) {
            ty @ Type::Session(_) => Ok(ty),
            other => self.error(
                303,
                span,
                "a session is needed here",
                format!("this is {}", other.kind()),
                "open one: `s = session(m)`",
            ),
        }
    }
}
