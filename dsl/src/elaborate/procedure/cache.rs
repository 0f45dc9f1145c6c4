//! What does a session carry, and what can go on from it?
//!
//! A cache is a record: `at`, the position of each entry, and every value that is carried, by its
//! path. Whoever elaborates a procedure is told by somebody else what a model carries; where
//! nobody says it, the walk ends quietly at the place that asks.

use super::Writer;
use crate::diag::{Code, Diagnostic};
use crate::elaborate::scope::nearest;
use crate::elaborate::value::{Eval, Reported};
use crate::procedure::{AxisType, Place, Type};
use crate::span::Span;

impl Writer<'_> {
    /// `cache(s)`.
    pub(super) fn cache_type(&mut self, session: &Place, span: Span) -> Eval<Type> {
        let Type::Session(form) = self.session_type(session, span)? else {
            return Err(Reported);
        };
        if self.sessions[form].steps.is_empty() {
            let opened = self.sessions[form].span;
            return self.fail(
                Diagnostic::error(Code::new(412), "a session carries nothing before it begins")
                    .at(span, "it has taken no position yet")
                    .also(opened, "opened here")
                    .help("give it positions first: `s(ids)`"),
            );
        }
        self.carried_type(form)
    }

    /// What sessions of a form carry.
    fn carried_type(&mut self, form: usize) -> Eval<Type> {
        let own = &self.sessions[form];
        if let Some(ty) = &own.carried {
            return Ok(ty.clone());
        }
        let Some(carried) = self.carried else {
            self.failed = true;
            return Err(Reported);
        };
        let streamed = own.streamed(&self.models, &self.variables);
        let Some(ty) = carried(&streamed, self.sink) else {
            self.failed = true;
            return Err(Reported);
        };
        let ty = self.settled(ty);
        self.sessions[form].carried = Some(ty.clone());
        Ok(ty)
    }

    /// The type without sizes that may be others tomorrow.
    fn settled(&self, ty: Type) -> Type {
        match ty {
            Type::Tensor { dtype, axes } => {
                let open = |axis: AxisType| AxisType {
                    size: axis.size.filter(|size| {
                        let mut symbols = size.symbols().into_iter();
                        symbols.all(|symbol| self.free.contains(&*symbol))
                    }),
                    ..axis
                };
                Type::Tensor {
                    dtype,
                    axes: axes.into_iter().map(open).collect(),
                }
            }
            Type::Record(fields) => Type::Record(
                fields
                    .into_iter()
                    .map(|(name, ty)| (name, self.settled(ty)))
                    .collect(),
            ),
            Type::List(parts) => Type::List(parts.into_iter().map(|ty| self.settled(ty)).collect()),
            other => other,
        }
    }

    /// The cache that a session goes on from has all that it carries, and nothing else.
    pub(super) fn require_cache(&mut self, form: usize, called: Span) -> Eval<()> {
        let Some(from) = self.sessions[form].from.clone() else {
            return Ok(());
        };
        let wanted = self.carried_type(form)?;
        let opened = self.sessions[form].span;
        let leaves = |ty: &Type| {
            let mut leaves = Vec::new();
            ty.leaves("", &mut leaves);
            let bare = |name: String| name.trim_start_matches('.').to_owned();
            let leaves = leaves.into_iter().map(|(name, ty)| (bare(name), ty));
            leaves.collect::<Vec<(String, Type)>>()
        };
        let (own, others) = (leaves(&wanted), leaves(&from));
        for (name, ty) in &own {
            let found = others.iter().find(|(other, _)| other == name);
            let (message, help) = match found {
                Some((_, other)) if ty.takes(other) => continue,
                Some((_, other)) => (
                    format!("`{name}` of a cache of this model is `{ty}`, not `{other}`"),
                    "make it fit, or read the positions with this model".to_owned(),
                ),
                None => {
                    let names = others.iter().map(|(other, _)| other.as_str());
                    let help = nearest(name, names).map_or_else(
                        || "add it: a cache is a record, as `cache(s)` gives it".to_owned(),
                        |near| format!("`{near}` is there; it has to be called `{name}`"),
                    );
                    (format!("the cache lacks `{name}: {ty}`"), help)
                }
            };
            return self.misfit(message, opened, called, help);
        }
        let more = others
            .iter()
            .find(|(name, _)| !own.iter().any(|own| own.0 == *name));
        match more {
            None => Ok(()),
            Some((name, _)) => self.misfit(
                format!("a session of this model carries no `{name}`"),
                opened,
                called,
                "leave it out".to_owned(),
            ),
        }
    }

    fn misfit<T>(&mut self, message: String, opened: Span, called: Span, help: String) -> Eval<T> {
        self.fail(
            Diagnostic::error(Code::new(303), message)
                .at(opened, "the session goes on from a cache here")
                .also(called, "and takes positions here")
                .help(help),
        )
    }
}
