//! What does a dotted path lead to: a member, a field, a position, an instance of a stack?

use super::Elaborator;
use super::scope::Env;
use super::value::{Eval, Reported, Value};
use crate::ast::{self, Expr, ExprKind};
use crate::diag::{Code, Diagnostic};
use crate::span::Span;

impl Elaborator<'_> {
    /// The value of a path if it exists; no diagnostic if it does not.
    pub(crate) fn try_static(&mut self, env: &mut Env, expr: &Expr) -> Eval<Option<Value>> {
        match &expr.kind {
            ExprKind::Name(name) => self.lookup(env, name, expr.span),
            ExprKind::Field { .. } => {
                let Some(words) = dotted(expr) else {
                    return Ok(None);
                };
                let (value, rest) = self.resolve_words(env, &words)?;
                Ok(value.filter(|_| rest == words.len()))
            }
            ExprKind::Index { base, items } => {
                match (self.try_static(env, base)?, items.as_slice()) {
                    (Some(Value::Stack(instances)), [ast::Index::At(position)]) => {
                        let position = self.eval_constant(env, position)?;
                        let instance = usize::try_from(position)
                            .ok()
                            .and_then(|at| instances.get(at));
                        Ok(instance.map(|instance| Value::Instance(*instance)))
                    }
                    _ => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    pub(crate) fn eval_field(&mut self, env: &mut Env, expr: &Expr) -> Eval<Value> {
        let ExprKind::Field { base, name } = &expr.kind else {
            return Err(Reported);
        };
        if let Some(words) = dotted(expr) {
            let (value, used) = self.resolve_words(env, &words)?;
            match value {
                Some(Value::Poison) => return Err(Reported),
                Some(value) if used == words.len() => return Ok(value),
                Some(value) => {
                    let (word, span) = words[used];
                    return self.no_field(&value, word, span);
                }
                None => {
                    let (word, span) = words[0];
                    return self.unknown(env, word, span, "the name");
                }
            }
        }
        let value = self.eval(env, base)?;
        match self.step(&value, &[(name.text.as_str(), name.span)])? {
            Some((Value::Poison, _)) => Err(Reported),
            Some((value, _)) => Ok(value),
            None => self.no_field(&value, &name.text, name.span),
        }
    }

    fn no_field<T>(&mut self, value: &Value, word: &str, span: Span) -> Eval<T> {
        let mut names: Vec<String> = match value {
            Value::Record(fields) => fields.iter().map(|(name, _)| name.clone()).collect(),
            Value::Instance(instance) => {
                self.instances[instance.0].members.keys().cloned().collect()
            }
            Value::Poison => return Err(Reported),
            _ => Vec::new(),
        };
        let owner = match value {
            Value::Instance(instance) => {
                let decl = self.instances[instance.0].decl;
                match &self.program.item(decl).kind {
                    ast::ItemKind::Module(module) => {
                        names.extend(module.members.iter().filter_map(
                            |member| match &member.kind {
                                ast::MemberKind::Method(method) => Some(method.name.text.clone()),
                                _ => None,
                            },
                        ));
                        format!("`{}`", module.name.text)
                    }
                    _ => value.kind().to_owned(),
                }
            }
            Value::Tensor(tensor) => {
                format!("a tensor `{}`", self.b.axes.show(self.ty(*tensor)))
            }
            value => value.kind().to_owned(),
        };
        let nearest = super::scope::nearest(word, names.iter().map(String::as_str));
        let mut diagnostic = Diagnostic::error(Code::new(202), format!("{owner} has no `{word}`"))
            .at(span, "not there");
        if let Some(nearest) = nearest {
            diagnostic = diagnostic.help(format!("did you mean `{nearest}`?"));
        } else if !names.is_empty() {
            diagnostic = diagnostic.note(format!("it has {}", names.join(", ")));
        }
        self.fail(diagnostic)
    }

    /// Follows words as far as they lead: the value and how many were used.
    fn resolve_words(
        &mut self,
        env: &mut Env,
        words: &[(&str, Span)],
    ) -> Eval<(Option<Value>, usize)> {
        let (first, span) = words[0];
        let mut used = 1;
        let mut value = None;
        if !env.locals.contains_key(first)
            && let Some(instance) = env.instance
            && let Some((found, count)) = self.step(&Value::Instance(instance), words)?
        {
            value = Some(found);
            used = count;
        }
        let mut value = match value {
            Some(value) => value,
            None => match self.lookup(env, first, span)? {
                Some(value) => value,
                None => return Ok((None, 0)),
            },
        };
        while used < words.len() {
            match self.step(&value, &words[used..])? {
                Some((next, count)) => {
                    value = next;
                    used += count;
                }
                None => break,
            }
        }
        Ok((Some(value), used))
    }

    /// One step into a value: the longest dotted member, a field, a position.
    fn step(&mut self, value: &Value, words: &[(&str, Span)]) -> Eval<Option<(Value, usize)>> {
        let (first, span) = words[0];
        Ok(match value {
            Value::Instance(instance) => {
                for count in (1..=words.len()).rev() {
                    let joined: Vec<&str> = words[..count].iter().map(|(word, _)| *word).collect();
                    if let Some(found) = self.member(*instance, &joined.join("."), span)? {
                        return Ok(Some((found, count)));
                    }
                }
                None
            }
            Value::Record(fields) => {
                let found = fields.iter().find(|(name, _)| name == first);
                found.map(|(_, value)| (value.clone(), 1))
            }
            Value::Tuple(parts) | Value::List(parts) => {
                let position: Option<usize> = first.parse().ok();
                position
                    .and_then(|at| parts.get(at))
                    .map(|value| (value.clone(), 1))
            }
            Value::Stack(instances) => {
                let position: Option<usize> = first.parse().ok();
                let found = position.and_then(|at| instances.get(at));
                found.map(|instance| (Value::Instance(*instance), 1))
            }
            Value::Poison => return Err(Reported),
            _ => None,
        })
    }
}

/// `a.b.c` as words with their places; `None` if something else is inside.
fn dotted(expr: &Expr) -> Option<Vec<(&str, Span)>> {
    match &expr.kind {
        ExprKind::Name(name) => Some(vec![(name, expr.span)]),
        ExprKind::Field { base, name } => {
            let mut words = dotted(base)?;
            words.push((&name.text, name.span));
            Some(words)
        }
        _ => None,
    }
}
