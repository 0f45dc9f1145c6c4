//! What does a name mean at a place of a procedure, and after ways have met?

use std::collections::BTreeMap;

use super::Writer;
use crate::procedure::{Place, Step, StepKind, VariableId};
use crate::span::Span;

/// What a name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// A variable.
    Variable(VariableId),
    /// A model, by its place among the procedure's.
    Model(usize),
    /// Given a value on some ways only, or types that differ.
    Sometimes(Span),
    /// What would have defined it is reported.
    Poison,
}

/// The names at one place.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(BTreeMap<String, Known>);

impl Names {
    /// What stands for a value between steps in an expression; no word has a dot.
    const BETWEEN: &'static str = "it.";

    pub(super) fn insert(&mut self, name: &str, known: Known) {
        self.0.insert(name.to_owned(), known);
    }

    pub(super) fn get(&self, name: &str) -> Option<Known> {
        match name.strip_prefix(Self::BETWEEN) {
            Some(number) => number
                .parse()
                .ok()
                .map(|id| Known::Variable(VariableId(id))),
            None => self.0.get(name).copied(),
        }
    }

    pub(super) fn variable(&self, name: &str) -> Option<VariableId> {
        match self.get(name) {
            Some(Known::Variable(id)) => Some(id),
            _ => None,
        }
    }

    /// The name in expressions of a variable that has none.
    pub(super) fn between(id: VariableId) -> String {
        format!("{}{}", Self::BETWEEN, id.0)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&String, &Known)> {
        self.0.iter()
    }
}

impl Writer<'_> {
    /// Names after two ways have met; a value that each way has made for itself goes to one
    /// variable, at the end of the second way.
    pub(super) fn meet(
        &mut self,
        a: &Names,
        b: &Names,
        second_steps: &mut Vec<Step>,
        span: Span,
    ) -> Names {
        let mut met = Names::default();
        let names: std::collections::BTreeSet<&String> = a.0.keys().chain(b.0.keys()).collect();
        for name in names {
            let known = match (a.get(name), b.get(name)) {
                (Some(x), Some(y)) if x == y => x,
                (Some(Known::Poison), _) | (_, Some(Known::Poison)) => Known::Poison,
                (Some(Known::Variable(x)), Some(Known::Variable(y)))
                    if self.variables[x.0].ty.takes(&self.variables[y.0].ty) =>
                {
                    let from = Place {
                        variable: y,
                        path: Vec::new(),
                    };
                    second_steps.push(Step {
                        kind: StepKind::Copy(from, x),
                        span,
                    });
                    Known::Variable(x)
                }
                (Some(Known::Variable(x)), _) | (_, Some(Known::Variable(x))) => {
                    Known::Sometimes(self.variables[x.0].span)
                }
                (Some(other), _) | (_, Some(other)) => other,
                (None, None) => continue,
            };
            met.insert(name, known);
        }
        met
    }

    /// Names after a loop that may have taken no turn: what was there before still is, and has to be what
    /// it was; what the turns have made may be missing.
    pub(super) fn after_loop(&mut self, before: &Names, after: &Names, span: Span) -> Names {
        let mut met = before.clone();
        for (name, known) in after.all() {
            match (before.get(name), *known) {
                (Some(old), new) if old == new => {}
                (Some(Known::Variable(old)), Known::Variable(new)) => {
                    let (was, is) = (self.variables[old.0].clone(), self.variables[new.0].clone());
                    // It has been reported.
                    let _ = self.fail::<()>(
                        crate::diag::Diagnostic::error(
                            crate::diag::Code::new(410),
                            format!(
                                "`{name}` is {} before the loop and {} after a turn",
                                shown(&was.ty),
                                shown(&is.ty)
                            ),
                        )
                        .at(is.span, format!("now it is {}", shown(&is.ty)))
                        .also(was.span, format!("{} here", shown(&was.ty)))
                        .help("give what changes its type another name"),
                    );
                    met.insert(name, Known::Poison);
                }
                (None, Known::Variable(_)) => met.insert(name, Known::Sometimes(span)),
                (_, other) => met.insert(name, other),
            }
        }
        met
    }
}

fn shown(ty: &crate::procedure::Type) -> String {
    match ty {
        crate::procedure::Type::Tensor { .. } => format!("`{ty}`"),
        other => other.kind().to_owned(),
    }
}
