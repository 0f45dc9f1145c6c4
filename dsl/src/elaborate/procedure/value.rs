//! Which step gives the value of an expression?

use super::compute::Made;
use super::names::{Known, Names};
use super::{OPERATIONS, Writer};
use crate::ast::{self, Expr, ExprKind, Index, ItemKind, Name, Stmt, StmtKind};
use crate::elaborate::value::Eval;
use crate::procedure::{Compute, Constant, Place, Step, StepKind, Type, VariableId};
use crate::span::Span;

use girih_graph::DType;

impl Writer<'_> {
    /// Where the value of an expression is, after the steps that make it.
    pub(super) fn value(
        &mut self,
        names: &mut Names,
        expr: &Expr,
        steps: &mut Vec<Step>,
    ) -> Eval<Place> {
        if let Some(place) = self.place(names, expr)? {
            return Ok(place);
        }
        if let Some(place) = self.operation(names, expr, steps)? {
            return Ok(place);
        }
        let parts: Option<Vec<(Option<&Name>, &Expr)>> = match &expr.kind {
            ExprKind::Record(fields) => {
                Some(fields.iter().map(|(name, own)| (Some(name), own)).collect())
            }
            ExprKind::List(parts) | ExprKind::Tuple(parts) => {
                Some(parts.iter().map(|own| (None, own)).collect())
            }
            _ => None,
        };
        if let Some(parts) = parts {
            return self.gather(names, &parts, expr.span, steps);
        }
        let expr = self.cut(names, expr, steps)?;
        // A function alone can give what is no tensor.
        if let Some(place) = self.place(names, &expr)? {
            return Ok(place);
        }
        let name = "it";
        let span = expr.span;
        let stmt = Stmt {
            attributes: Vec::new(),
            kind: StmtKind::Bind {
                places: vec![ast::Place {
                    name: Name {
                        text: name.to_owned(),
                        span,
                    },
                    next: false,
                    indices: None,
                    span,
                }],
                value: expr,
            },
            span,
        };
        let made = self.run(names, &stmt, &[name.to_owned()], steps)?;
        Ok(whole(made[0]))
    }

    /// Computes a statement: a variable for each name that it defines.
    pub(super) fn run(
        &mut self,
        names: &Names,
        stmt: &Stmt,
        defines: &[String],
        steps: &mut Vec<Step>,
    ) -> Eval<Vec<VariableId>> {
        let computed = self.compute(names, stmt, defines)?;
        let span = stmt.span;
        let mut outputs = Vec::new();
        let mut is_needed = !computed.graph.states().is_empty();
        for made in computed.made {
            let id = match made {
                Made::Constant(constant) => self.constant(constant, span, steps),
                Made::Tensors(ty) => {
                    is_needed = true;
                    self.variable("", ty, span)
                }
            };
            outputs.push(id);
        }
        if is_needed {
            let compute = Compute {
                graph: computed.graph,
                inputs: computed.inputs,
                outputs: outputs.clone(),
            };
            steps.push(Step {
                kind: StepKind::Compute(Box::new(compute)),
                span,
            });
        }
        Ok(outputs)
    }

    pub(super) fn constant(
        &mut self,
        constant: Constant,
        span: Span,
        steps: &mut Vec<Step>,
    ) -> VariableId {
        let ty = match &constant {
            Constant::None => Type::None,
            Constant::Int(_) => Type::scalar(DType::I64),
            Constant::Real(_) => Type::scalar(DType::F32),
            Constant::Bool(_) => Type::scalar(DType::Bool),
            Constant::Text(_) => Type::Text,
        };
        let id = self.variable("", ty, span);
        steps.push(Step {
            kind: StepKind::Constant(id, constant),
            span,
        });
        id
    }

    fn gather(
        &mut self,
        names: &mut Names,
        parts: &[(Option<&Name>, &Expr)],
        span: Span,
        steps: &mut Vec<Step>,
    ) -> Eval<Place> {
        let mut places = Vec::new();
        let mut fields = Vec::new();
        for (name, part) in parts {
            let place = self.value(names, part, steps)?;
            fields.push((name.map(|own| own.text.clone()), self.ty(&place)));
            places.push(place);
        }
        let is_record = fields.iter().any(|(name, _)| name.is_some());
        let ty = if is_record {
            Type::Record(
                fields
                    .into_iter()
                    .map(|(name, ty)| (name.unwrap_or_default(), ty))
                    .collect(),
            )
        } else {
            Type::List(fields.into_iter().map(|(_, ty)| ty).collect())
        };
        let id = self.variable("", ty, span);
        steps.push(Step {
            kind: StepKind::Gather(places, id),
            span,
        });
        Ok(whole(id))
    }

    /// A variable, or a part of one, that an expression names.
    pub(super) fn place(&mut self, names: &Names, expr: &Expr) -> Eval<Option<Place>> {
        let mut path = Vec::new();
        let mut at = expr;
        loop {
            match &at.kind {
                ExprKind::Field { base, name } => {
                    path.insert(0, name.text.clone());
                    at = base;
                }
                ExprKind::Index { base, items } => {
                    let [
                        Index::At(Expr {
                            kind: ExprKind::Int(number),
                            ..
                        }),
                    ] = items.as_slice()
                    else {
                        return Ok(None);
                    };
                    path.insert(0, number.to_string());
                    at = base;
                }
                _ => break,
            }
        }
        let ExprKind::Name(name) = &at.kind else {
            return Ok(None);
        };
        match names.get(name) {
            Some(Known::Variable(variable)) => {
                let place = Place { variable, path };
                let ty = &self.variables[variable.0].ty;
                // What is not there is reported where the expression is elaborated.
                Ok(ty.at(&place.path).is_some().then_some(place))
            }
            Some(Known::Model(_)) if path.is_empty() => self.error(
                405,
                expr.span,
                format!("the model `{name}` is no value"),
                "a model is called, or handed to a procedure",
                format!("call it: `{name}(…)`"),
            ),
            _ => Ok(None),
        }
    }

    /// An expression without what no graph can do: that is done in steps, and its value stands there.
    pub(super) fn cut(
        &mut self,
        names: &mut Names,
        expr: &Expr,
        steps: &mut Vec<Step>,
    ) -> Eval<Expr> {
        let mut expr = expr.clone();
        self.cut_in(names, &mut expr, steps)?;
        Ok(expr)
    }

    fn cut_in(&mut self, names: &mut Names, expr: &mut Expr, steps: &mut Vec<Step>) -> Eval<()> {
        if let Some(place) = self.operation(names, expr, steps)? {
            expr.kind = ExprKind::Name(Names::between(place.variable));
            return Ok(());
        }
        for part in parts_of(expr) {
            self.cut_in(names, part, steps)?;
        }
        Ok(())
    }

    /// Does what a call asks for, if it is a function of procedures, a procedure or a session.
    pub(super) fn operation(
        &mut self,
        names: &mut Names,
        expr: &Expr,
        steps: &mut Vec<Step>,
    ) -> Eval<Option<Place>> {
        let ExprKind::Call { callee, args } = &expr.kind else {
            return Ok(None);
        };
        let ExprKind::Name(name) = &callee.kind else {
            return Ok(None);
        };
        match names.get(name) {
            Some(Known::Variable(id)) => {
                return match self.variables[id.0].ty {
                    Type::Session(form) => self
                        .call_session(names, (id, form), args, expr.span, steps)
                        .map(Some),
                    _ => Ok(None),
                };
            }
            Some(_) => return Ok(None),
            None => {}
        }
        if let Some(place) = self.program.find(self.file, name) {
            return match &self.program.item(place).kind {
                ItemKind::Procedure(_) => {
                    let place = self.inline(names, place, args, expr.span, steps)?;
                    Ok(Some(place.unwrap_or_else(|| {
                        whole(self.constant(Constant::None, expr.span, steps))
                    })))
                }
                _ => Ok(None),
            };
        }
        match OPERATIONS.iter().find(|own| **own == name.as_str()) {
            Some(own) => self.operate(names, own, args, expr.span, steps),
            None => Ok(None),
        }
    }
}

/// All of a variable.
pub(super) const fn whole(variable: VariableId) -> Place {
    Place {
        variable,
        path: Vec::new(),
    }
}

/// Parts of an expression that are expressions of their own. Of a call not the name that is called.
fn parts_of(expr: &mut Expr) -> Vec<&mut Expr> {
    let mut parts: Vec<&mut Expr> = Vec::new();
    match &mut expr.kind {
        ExprKind::Int(_)
        | ExprKind::Float(_)
        | ExprKind::Text(_)
        | ExprKind::Bool(_)
        | ExprKind::Name(_)
        | ExprKind::Next(_) => {}
        ExprKind::Unary(_, inner) => parts.push(inner),
        ExprKind::Binary(_, left, right) | ExprKind::Arrow(left, right) => {
            parts.extend([&mut **left, &mut **right]);
        }
        ExprKind::Reduce { body, .. } => parts.push(body),
        ExprKind::Where {
            value,
            domain,
            other,
        } => {
            parts.extend([&mut **value, &mut **domain]);
            parts.extend(other.as_deref_mut());
        }
        ExprKind::If { cond, then, other } => {
            parts.extend([&mut **cond, &mut **then, &mut **other]);
        }
        ExprKind::Call { callee, args } => {
            if !matches!(callee.kind, ExprKind::Name(_)) {
                parts.push(callee);
            }
            parts.extend(args.iter_mut().map(|arg| &mut arg.value));
        }
        ExprKind::Index { base, items } => {
            parts.push(base);
            for item in items {
                if let Index::Bind(_, expr) | Index::At(expr) = item {
                    parts.push(expr);
                }
            }
        }
        ExprKind::Field { base, .. } => parts.push(base),
        ExprKind::Record(fields) => parts.extend(fields.iter_mut().map(|(_, value)| value)),
        ExprKind::Tuple(list) | ExprKind::List(list) => parts.extend(list),
        ExprKind::Route {
            items, settings, ..
        } => {
            parts.push(items);
            parts.extend(settings.iter_mut().flat_map(|setting| &mut setting.values));
        }
    }
    parts
}
