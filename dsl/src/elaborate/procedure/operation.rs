//! What do the functions of procedures take and give?

use girih_graph::{DType, Extent};

use super::Writer;
use super::argument::Taken;
use super::names::Names;
use super::value::whole;
use crate::ast::{Arg, ExprKind};
use crate::elaborate::value::Eval;
use crate::procedure::{AxisType, Operation, Place, Step, StepKind, Type};
use crate::span::Span;

/// Every function that only procedures have.
pub(crate) const OPERATIONS: &[&str] = &[
    "append",
    "cache",
    "decode",
    "emitted",
    "empty",
    "encode",
    "events",
    "flush",
    "join",
    "length",
    "position",
    "rename",
    "roll_back",
    "sample",
    "session",
    "slice",
    "tokens",
    "wait",
];

/// Those that, as a line of their own, change what they are given first.
pub(super) const CHANGES: &[&str] = &["append", "rename", "roll_back", "slice"];

/// What is done with one tensor.
type Act<'a> = dyn FnMut(&mut Writer<'_>, Place, &[String], &mut Vec<Step>) -> Eval<Place> + 'a;

impl Writer<'_> {
    /// Does what a function of procedures says; `None` where a model's function of the same name is meant.
    pub(super) fn operate(
        &mut self,
        names: &mut Names,
        name: &'static str,
        args: &[Arg],
        span: Span,
        steps: &mut Vec<Step>,
    ) -> Eval<Option<Place>> {
        let mut taken = Taken {
            name,
            args: args.iter().collect(),
            span,
        };
        let (operation, ty) = match name {
            "append" => {
                let x = self.take(names, &mut taken, "x", steps)?;
                let y = self.take(names, &mut taken, "y", steps)?;
                let over = self.named_axis(&mut taken)?;
                self.all_taken(&taken)?;
                if let (Type::List(parts), None) = (self.ty(&x), &over) {
                    return Ok(Some(self.append_part(&x, &parts, y, span, steps)));
                }
                let along = over.as_ref().map(|own| own.0.as_str());
                let made = self.each(&x, along, span, steps, &mut |this, x, way, steps| {
                    let mut y = y.clone();
                    y.path.extend(way.iter().cloned());
                    let (operation, ty) = this.append(over.as_ref(), x, y, span)?;
                    Ok(this.operated(operation, ty, span, steps))
                });
                return made.map(Some);
            }
            "slice" => {
                let x = self.take(names, &mut taken, "x", steps)?;
                let over = self.named_axis(&mut taken)?;
                let from = match taken.next("from") {
                    Some(expr) => self.integer(names, expr, steps)?,
                    None => whole(self.constant(crate::procedure::Constant::Int(0), span, steps)),
                };
                let to = match taken.next("to") {
                    Some(expr) => Some(self.integer(names, expr, steps)?),
                    None => None,
                };
                self.all_taken(&taken)?;
                let along = over.as_ref().map(|own| own.0.as_str());
                let made = self.each(&x, along, span, steps, &mut |this, x, _, steps| {
                    let over = this.over(over.as_ref(), name, &x, span)?;
                    this.require_open(&x, &over, span)?;
                    let to = match &to {
                        Some(to) => to.clone(),
                        None => this.length(x.clone(), &over, span, steps),
                    };
                    let ty = this.ty(&x);
                    let from = from.clone();
                    let operation = Operation::Slice { x, from, to, over };
                    Ok(this.operated(operation, ty, span, steps))
                });
                return made.map(Some);
            }
            "length" => {
                // Of a model's list of layers the model's own function knows.
                let known = args.first().is_some_and(|arg| {
                    !matches!(&arg.value.kind, ExprKind::Field { .. } | ExprKind::Name(_))
                        || matches!(self.place(names, &arg.value), Ok(Some(_)))
                });
                if !known {
                    return Ok(None);
                }
                let x = self.take(names, &mut taken, "x", steps)?;
                if let Type::List(parts) = self.ty(&x) {
                    let count = crate::procedure::Constant::Int(parts.len() as i64);
                    return Ok(Some(whole(self.constant(count, span, steps))));
                }
                let over = self.named_axis(&mut taken)?;
                let over = self.over(over.as_ref(), name, &x, span)?;
                self.all_taken(&taken)?;
                return Ok(Some(self.length(x, &over, span, steps)));
            }
            "rename" => {
                let x = self.take(names, &mut taken, "x", steps)?;
                let axes = self.arrow(&mut taken)?;
                self.all_taken(&taken)?;
                let along = Some(axes.0.as_str());
                let made = self.each(&x, along, span, steps, &mut |this, x, _, steps| {
                    let ty = this.renamed(&axes, &x, span)?;
                    Ok(this.operated(Operation::Rename(x), ty, span, steps))
                });
                return made.map(Some);
            }
            "tokens" => {
                let axis = self.axis_name(&mut taken, "axis")?;
                let mut parts = Vec::new();
                while let Some(expr) = taken.next("") {
                    parts.push(self.integer(names, expr, steps)?);
                }
                (Operation::Tokens(parts), Type::tokens(&axis))
            }
            "empty" => {
                let x = self.take(names, &mut taken, "x", steps)?;
                let axis = self.axis_name(&mut taken, "axis")?;
                let ty = self.ty(&x);
                let is_new = !ty.axes().iter().any(|own| own.name == axis);
                if !matches!(ty, Type::Tensor { .. }) || !is_new {
                    return self.error(
                        305,
                        span,
                        format!("`empty` gives a tensor another axis, `{axis}`"),
                        format!("this is `{ty}`"),
                        "",
                    );
                }
                (Operation::Empty(x), Self::with_axis(&ty, &axis))
            }
            "wait" => {
                let first = args.first().map(|arg| &arg.value.kind);
                let is_axis =
                    matches!(first, Some(ExprKind::Name(own)) if names.get(own).is_none());
                let like = if is_axis {
                    let axis = self.axis_name(&mut taken, "axis")?;
                    let none = Operation::Tokens(Vec::new());
                    self.operated(none, Type::tokens(&axis), span, steps)
                } else {
                    self.take(names, &mut taken, "axis", steps)?
                };
                let ty = self.ty(&like);
                (Operation::Wait(like), ty)
            }
            "events" | "emitted" if !self.is_test => {
                return self.error(
                    405,
                    span,
                    format!("`{name}` stands in tests"),
                    "this is a procedure",
                    "`wait` reads what comes, `emit` tells",
                );
            }
            "events" => {
                let mut parts = Vec::new();
                while let Some(expr) = taken.next("") {
                    parts.push(self.value(names, expr, steps)?);
                }
                (Operation::Events(parts), Type::None)
            }
            "emitted" => match taken.next("n") {
                Some(expr) => {
                    let place = self.integer(names, expr, steps)?;
                    (Operation::Emitted(Some(place)), Type::Text)
                }
                None => (Operation::Emitted(None), Type::scalar(DType::I64)),
            },
            "sample" => self.sample(names, &mut taken, steps)?,
            "join" => {
                let mut parts = Vec::new();
                while let Some(expr) = taken.next("") {
                    let part = self.value(names, expr, steps)?;
                    let ty = self.ty(&part);
                    if !matches!(&ty, Type::Text)
                        && !matches!(&ty, Type::Tensor { axes, .. } if axes.is_empty())
                    {
                        return self.error(
                            303,
                            expr.span,
                            "`join` takes texts and numbers",
                            format!("this is `{ty}`"),
                            "make a text of tokens with `decode(ids)`",
                        );
                    }
                    parts.push(part);
                }
                (Operation::Join(parts), Type::Text)
            }
            "encode" => {
                let text = self.take(names, &mut taken, "text", steps)?;
                self.require_type(&text, &Type::Text, span)?;
                let axis = self.axis_name(&mut taken, "axis")?;
                (Operation::Encode(text), Type::tokens(&axis))
            }
            "decode" => {
                let ids = self.take(names, &mut taken, "ids", steps)?;
                let ty = self.ty(&ids);
                let fits = matches!(&ty, Type::Tensor { dtype, axes } if dtype.is_integer() && axes.len() <= 1);
                if !fits {
                    return self.error(
                        303,
                        span,
                        "`decode` takes tokens along one axis",
                        format!("this is `{ty}`"),
                        "",
                    );
                }
                (Operation::Decode(ids), Type::Text)
            }
            "session" => {
                let Some(model) = taken.next("model") else {
                    return self.lacks(&taken, "model");
                };
                return self
                    .open_session(names, model, &taken.args, span, steps)
                    .map(Some);
            }
            "flush" => {
                let session = self.take(names, &mut taken, "session", steps)?;
                let ty = self.rest_type(&session, span)?;
                (Operation::Flush(session), ty)
            }
            "cache" => {
                let session = self.take(names, &mut taken, "session", steps)?;
                let ty = self.cache_type(&session, span)?;
                (Operation::Cache(session), ty)
            }
            "roll_back" => {
                let session = self.take(names, &mut taken, "session", steps)?;
                let ty = self.session_type(&session, span)?;
                let Some(expr) = taken.next("position") else {
                    return self.lacks(&taken, "position");
                };
                let position = self.integer(names, expr, steps)?;
                (Operation::RollBack { session, position }, ty)
            }
            // The last one.
            _ => {
                let session = self.take(names, &mut taken, "session", steps)?;
                self.session_type(&session, span)?;
                (Operation::Position(session), Type::scalar(DType::I64))
            }
        };
        self.all_taken(&taken)?;
        Ok(Some(self.operated(operation, ty, span, steps)))
    }

    pub(super) fn operated(
        &mut self,
        operation: Operation,
        ty: Type,
        span: Span,
        steps: &mut Vec<Step>,
    ) -> Place {
        let id = self.variable("", ty, span);
        steps.push(Step {
            kind: StepKind::Operate(operation, id),
            span,
        });
        whole(id)
    }

    fn length(&mut self, x: Place, over: &str, span: Span, steps: &mut Vec<Step>) -> Place {
        let over = over.to_owned();
        let ty = Type::scalar(DType::I64);
        self.operated(Operation::Length { x, over }, ty, span, steps)
    }

    /// Does the same with every tensor of a record or a list, of which those stay what they are that lack
    /// the axis, if others have it. What is done is told the way to each.
    fn each(
        &mut self,
        x: &Place,
        along: Option<&str>,
        span: Span,
        steps: &mut Vec<Step>,
        act: &mut Act<'_>,
    ) -> Eval<Place> {
        let mut leaves = Vec::new();
        self.ty(x).leaves("", &mut leaves);
        let has = |ty: &Type, along: &str| ty.axes().iter().any(|axis| axis.name == along);
        let along = along.filter(|along| leaves.iter().any(|(_, ty)| has(ty, along)));
        let mut act = |this: &mut Writer<'_>, x: Place, way: &[String], steps: &mut Vec<Step>| {
            if along.is_some_and(|along| !has(&this.ty(&x), along)) {
                return Ok(x);
            }
            act(this, x, way, steps)
        };
        self.each_at(x, &mut Vec::new(), span, steps, &mut act)
    }

    fn each_at(
        &mut self,
        x: &Place,
        way: &mut Vec<String>,
        span: Span,
        steps: &mut Vec<Step>,
        act: &mut Act<'_>,
    ) -> Eval<Place> {
        let words: Vec<String> = match self.ty(x) {
            Type::Record(fields) => fields.into_iter().map(|(name, _)| name).collect(),
            Type::List(parts) => (0..parts.len()).map(|at| at.to_string()).collect(),
            _ => return act(self, x.clone(), way, steps),
        };
        let mut places = Vec::new();
        let mut types = Vec::new();
        for word in &words {
            let mut part = x.clone();
            part.path.push(word.clone());
            way.push(word.clone());
            let made = self.each_at(&part, way, span, steps, act);
            way.pop();
            let made = made?;
            types.push(self.ty(&made));
            places.push(made);
        }
        let ty = match self.ty(x) {
            Type::Record(_) => Type::Record(words.into_iter().zip(types).collect()),
            _ => Type::List(types),
        };
        let id = self.variable("", ty, span);
        steps.push(Step {
            kind: StepKind::Gather(places, id),
            span,
        });
        Ok(whole(id))
    }

    /// The axis that `over` names; that of a value with one axis if it is left out.
    fn over(
        &mut self,
        named: Option<&(String, Span)>,
        name: &str,
        x: &Place,
        whole: Span,
    ) -> Eval<String> {
        let ty = self.ty(x);
        let axes = ty.axes();
        match (named, axes) {
            (Some((own, _)), _) if axes.iter().any(|axis| axis.name == *own) => Ok(own.clone()),
            (Some((own, span)), _) => self.error(
                304,
                *span,
                format!("`{name}` along `{own}`, which the value does not have"),
                format!("this is `{ty}`"),
                "",
            ),
            (None, [axis]) => Ok(axis.name.clone()),
            (None, _) => self.error(
                304,
                whole,
                format!("`{name}` along which axis?"),
                format!("this is `{ty}`"),
                "say it: `over = t`",
            ),
        }
    }

    /// An axis that may have another size tomorrow.
    fn require_open(&mut self, x: &Place, over: &str, span: Span) -> Eval<()> {
        let ty = self.ty(x);
        let fixed = ty.axes().iter().find(|axis| axis.name == over);
        match fixed.and_then(|axis| axis.size.as_ref()) {
            None => Ok(()),
            Some(size) => self.error(
                301,
                span,
                format!("the axis `{over}` has {size} positions, never more or fewer"),
                format!("this is `{ty}`"),
                format!("give it another name first: `rename(x, {over} -> t)`"),
            ),
        }
    }

    fn append(
        &mut self,
        over: Option<&(String, Span)>,
        x: Place,
        y: Place,
        span: Span,
    ) -> Eval<(Operation, Type)> {
        let over = self.over(over, "append", &x, span)?;
        self.require_open(&x, &over, span)?;
        let (ty, more) = (self.ty(&x), self.ty(&y));
        let Type::Tensor { dtype, axes } = &ty else {
            return self.error(
                303,
                span,
                "a list or a tensor grows",
                format!("this is `{ty}`"),
                "",
            );
        };
        let Type::Tensor {
            dtype: own,
            axes: others,
        } = &more
        else {
            return self.error(
                303,
                span,
                "a tensor is added",
                format!("this is `{more}`"),
                "",
            );
        };
        if dtype != own {
            return self.error(
                302,
                span,
                format!("`{own}` is added to `{dtype}`"),
                format!("`{more}` is added to `{ty}`"),
                "convert it: `real(x)`, `int(x)`",
            );
        }
        // What is added has the axes of what there is; the one that grows may be missing.
        let mut wanted: Vec<AxisType> = axes.clone();
        if !others.iter().any(|axis| axis.name == over) {
            wanted.retain(|axis| axis.name != over);
        }
        let wanted = Type::Tensor {
            dtype: *dtype,
            axes: wanted,
        };
        if !wanted.takes(&more) {
            return self.error(
                304,
                span,
                format!("`{more}` does not go on `{ty}` along `{over}`"),
                format!("`{wanted}` does"),
                "",
            );
        }
        Ok((Operation::Append { x, y, over }, ty))
    }

    fn append_part(
        &mut self,
        x: &Place,
        parts: &[Type],
        y: Place,
        span: Span,
        steps: &mut Vec<Step>,
    ) -> Place {
        let mut types = parts.to_vec();
        types.push(self.ty(&y));
        let mut places: Vec<Place> = (0..parts.len())
            .map(|at| {
                let mut place = x.clone();
                place.path.push(at.to_string());
                place
            })
            .collect();
        places.push(y);
        let id = self.variable("", Type::List(types), span);
        steps.push(Step {
            kind: StepKind::Gather(places, id),
            span,
        });
        whole(id)
    }

    fn renamed(
        &mut self,
        (from, to, place): &(String, String, Span),
        x: &Place,
        span: Span,
    ) -> Eval<Type> {
        let ty = self.ty(x);
        let Type::Tensor { dtype, mut axes } = ty.clone() else {
            return self.error(
                303,
                span,
                "a tensor has axes",
                format!("this is `{ty}`"),
                "",
            );
        };
        if axes.iter().any(|axis| axis.name == *to) {
            return self.error(
                305,
                *place,
                format!("the value has an axis `{to}` already"),
                format!("this is `{ty}`"),
                "",
            );
        }
        let Some(axis) = axes.iter_mut().find(|axis| axis.name == *from) else {
            return self.error(
                304,
                *place,
                format!("the value has no axis `{from}`"),
                format!("this is `{ty}`"),
                "",
            );
        };
        axis.name.clone_from(to);
        // Under another name it may grow.
        axis.size = None;
        Ok(Type::Tensor { dtype, axes })
    }

    fn sample(
        &mut self,
        names: &mut Names,
        taken: &mut Taken<'_>,
        steps: &mut Vec<Step>,
    ) -> Eval<(Operation, Type)> {
        let logits = self.take(names, taken, "logits", steps)?;
        let over = self.named_axis(taken)?;
        let over = self.over(over.as_ref(), taken.name, &logits, taken.span)?;
        let ty = self.ty(&logits);
        let Type::Tensor { dtype, axes } = &ty else {
            return self.lacks(taken, "logits");
        };
        if !dtype.is_real() {
            return self.error(
                302,
                taken.span,
                "logits are real numbers",
                format!("this is `{ty}`"),
                "",
            );
        }
        let mut rules = Vec::new();
        for (rule, kind) in [
            ("temperature", DType::F32),
            ("top_k", DType::I64),
            ("top_p", DType::F32),
            ("min_p", DType::F32),
        ] {
            if let Some(expr) = taken.named(rule) {
                let place = self.value(names, expr, steps)?;
                self.require_scalar(&place, kind, expr.span)?;
                rules.push((rule.to_owned(), place));
            }
        }
        let drawn = Type::Tensor {
            dtype: DType::I64,
            axes: axes
                .iter()
                .filter(|axis| axis.name != over)
                .cloned()
                .collect(),
        };
        Ok((
            Operation::Sample {
                logits,
                over,
                rules,
            },
            drawn,
        ))
    }

    /// A type with one more axis, first.
    pub(super) fn with_axis(ty: &Type, name: &str) -> Type {
        match ty {
            Type::Tensor { dtype, axes } => {
                let mut own = vec![AxisType {
                    name: name.to_owned(),
                    size: None::<Extent>,
                }];
                own.extend(axes.iter().cloned());
                Type::Tensor {
                    dtype: *dtype,
                    axes: own,
                }
            }
            other => other.clone(),
        }
    }

    /// A type without an axis.
    pub(super) fn without_axis(ty: &Type, name: &str) -> Type {
        match ty {
            Type::Tensor { dtype, axes } => Type::Tensor {
                dtype: *dtype,
                axes: axes
                    .iter()
                    .filter(|axis| axis.name != name)
                    .cloned()
                    .collect(),
            },
            Type::Record(fields) => Type::Record(
                fields
                    .iter()
                    .map(|(field, ty)| (field.clone(), Self::without_axis(ty, name)))
                    .collect(),
            ),
            Type::List(parts) => Type::List(
                parts
                    .iter()
                    .map(|ty| Self::without_axis(ty, name))
                    .collect(),
            ),
            other => other.clone(),
        }
    }
}
