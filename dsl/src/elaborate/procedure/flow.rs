//! What does a statement do?

use girih_graph::DType;

use super::Writer;
use super::names::{Known, Names};
use super::operation::CHANGES;
use super::value::whole;
use crate::ast::{self, Block, Expr, ExprKind, Stmt, StmtKind};
use crate::elaborate::mentioned::defined_names;
use crate::elaborate::value::{Eval, Reported};
use crate::procedure::{Place, Step, StepKind, Type, VariableId};
use crate::span::Span;

impl Writer<'_> {
    /// The body of a procedure; the variable of what it returns.
    pub(super) fn body(
        &mut self,
        names: Names,
        procedure: &ast::Procedure,
        steps: &mut Vec<Step>,
    ) -> Eval<Option<VariableId>> {
        self.returns.push(None);
        let mut names = names;
        let open = self.block(&mut names, &procedure.body, steps);
        let result = self.returns.pop().flatten();
        let open = open?;
        if open && (result.is_some() || procedure.result.is_some()) {
            return self.error(
                404,
                procedure.name.span,
                format!("`{}` ends on some way without a value", procedure.name.text),
                "a value is expected",
                "end every way with `return …`",
            );
        }
        if let Some(ty) = &procedure.result {
            let wanted = self.declared(&names_of_models(&names), ty)?;
            let found = result.map_or(Type::None, |id| self.variables[id.0].ty.clone());
            if !wanted.takes(&found) {
                return self.error(
                    303,
                    ty.span,
                    format!("`{wanted}` is declared to be returned, and `{found}` is"),
                    "declared here",
                    format!("declare `-> {found}`, or make the value fit"),
                );
            }
        }
        Ok(result)
    }

    /// Runs statements; whether their end is reached. One that is wrong does not hide the mistakes of others.
    fn block(&mut self, names: &mut Names, block: &Block, steps: &mut Vec<Step>) -> Eval<bool> {
        let mut broken = false;
        let mut open = true;
        for stmt in &block.stmts {
            if let Ok(goes_on) = self.statement(names, stmt, steps) {
                open &= goes_on;
                continue;
            }
            broken = true;
            let mut defined = Vec::new();
            defined_names(&stmt.kind, &mut defined);
            for name in defined {
                names.insert(&name, Known::Poison);
            }
        }
        if broken { Err(Reported) } else { Ok(open) }
    }

    pub(super) fn statement(
        &mut self,
        names: &mut Names,
        stmt: &Stmt,
        steps: &mut Vec<Step>,
    ) -> Eval<bool> {
        let span = stmt.span;
        if let (Some(attribute), false) = (
            stmt.attributes.first(),
            matches!(stmt.kind, StmtKind::Recurrence { .. }),
        ) {
            return self.error(
                405,
                attribute.name.span,
                "a procedure promises nothing about how it is computed",
                "an attribute stands here",
                "write it in the model, before the equation that it is about",
            );
        }
        match &stmt.kind {
            StmtKind::Bind { places, value } => {
                self.bind(names, places, value, span, steps)?;
                Ok(true)
            }
            StmtKind::Return(expr) => {
                let place = self.value(names, expr, steps)?;
                self.return_value(&place, expr.span)?;
                steps.push(step(StepKind::Return(Some(place)), span));
                Ok(false)
            }
            StmtKind::Emit(expr) => {
                let place = self.value(names, expr, steps)?;
                steps.push(step(StepKind::Emit(place), span));
                Ok(true)
            }
            StmtKind::Do(expr) => {
                self.for_effect(names, expr, steps)?;
                Ok(true)
            }
            StmtKind::If { cond, then, other } => {
                self.choose(names, (cond, then, other.as_ref()), span, steps)
            }
            StmtKind::While { cond, limit, body } => {
                let limit_place = self.value(names, limit, steps)?;
                self.require_scalar(&limit_place, DType::I64, limit.span)?;
                let before = names.clone();
                let mut test = Vec::new();
                let cond_place = self.value(names, cond, &mut test)?;
                self.require_scalar(&cond_place, DType::Bool, cond.span)?;
                let mut turn = Vec::new();
                self.block(names, body, &mut turn)?;
                *names = self.after_loop(&before, names, span);
                let kind = StepKind::While {
                    test,
                    cond: cond_place,
                    limit: limit_place,
                    body: turn,
                };
                steps.push(step(kind, span));
                Ok(true)
            }
            StmtKind::For { var, over, body } => {
                let count = self.value(names, over, steps)?;
                self.require_scalar(&count, DType::I64, over.span)?;
                let before = names.clone();
                let counted = Type::scalar(DType::I64);
                let own = names.variable(&var.text);
                let own = own.filter(|id| self.variables[id.0].ty == counted);
                let turn = own.unwrap_or_else(|| self.variable(&var.text, counted, var.span));
                names.insert(&var.text, Known::Variable(turn));
                let mut once = Vec::new();
                self.block(names, body, &mut once)?;
                *names = self.after_loop(&before, names, span);
                let kind = StepKind::For {
                    turn,
                    count,
                    body: once,
                };
                steps.push(step(kind, span));
                Ok(true)
            }
            StmtKind::Recurrence { .. } => {
                let mut defined = Vec::new();
                defined_names(&stmt.kind, &mut defined);
                // What a turn alone sees, and the next values of states, stay inside.
                defined.retain(|name| !name.ends_with('\''));
                defined.dedup();
                let made = self.run(names, stmt, &defined, steps)?;
                for (name, id) in defined.iter().zip(made) {
                    self.assign(names, name, whole(id), span, steps);
                }
                Ok(true)
            }
            StmtKind::State(state) => self.error(
                405,
                state.name.span,
                "a `state` stands in a recurrence or in a module",
                "not in a procedure",
                format!("a variable keeps its value: `{} = …`", state.name.text),
            ),
        }
    }

    fn bind(
        &mut self,
        names: &mut Names,
        places: &[ast::Place],
        value: &Expr,
        span: Span,
        steps: &mut Vec<Step>,
    ) -> Eval<()> {
        for place in places {
            if let Some(Known::Model(_)) = names.get(&place.name.text) {
                return self.error(
                    201,
                    place.span,
                    format!("`{}` is a model", place.name.text),
                    "a model stays what it is",
                    "use another name",
                );
            }
        }
        if let [place] = places
            && place.indices.is_none()
            && !place.next
        {
            let made = self.value(names, value, steps)?;
            self.assign(names, &place.name.text, made, span, steps);
            return Ok(());
        }
        let stmt = Stmt {
            attributes: Vec::new(),
            kind: StmtKind::Bind {
                places: places.to_vec(),
                value: self.cut(names, value, steps)?,
            },
            span,
        };
        let mut defined: Vec<String> = places.iter().map(|own| own.name.text.clone()).collect();
        defined.retain(|name| name != "_");
        let made = self.run(names, &stmt, &defined, steps)?;
        for (name, id) in defined.iter().zip(made) {
            self.assign(names, name, whole(id), span, steps);
        }
        Ok(())
    }

    /// A name gets a value: in the variable that it has, if that takes it.
    pub(super) fn assign(
        &mut self,
        names: &mut Names,
        name: &str,
        place: Place,
        span: Span,
        steps: &mut Vec<Step>,
    ) {
        let ty = self.ty(&place);
        let own = names.variable(name);
        let id = match own.filter(|id| self.variables[id.0].ty.takes(&ty)) {
            Some(id) => id,
            None => self.variable(name, ty, span),
        };
        names.insert(name, Known::Variable(id));
        steps.push(step(StepKind::Copy(place, id), span));
    }

    fn choose(
        &mut self,
        names: &mut Names,
        (cond, then, other): (&Expr, &Block, Option<&Block>),
        span: Span,
        steps: &mut Vec<Step>,
    ) -> Eval<bool> {
        let place = self.value(names, cond, steps)?;
        self.require_scalar(&place, DType::Bool, cond.span)?;
        let (mut first, mut second) = (names.clone(), names.clone());
        let (mut first_steps, mut second_steps) = (Vec::new(), Vec::new());
        let first_open = self.block(&mut first, then, &mut first_steps);
        let second_open = match other {
            Some(block) => self.block(&mut second, block, &mut second_steps),
            None => Ok(true),
        };
        let (first_open, second_open) = (first_open?, second_open?);
        *names = match (first_open, second_open) {
            (true, false) => first,
            (false, true) => second,
            _ => self.meet(&first, &second, &mut second_steps, span),
        };
        let kind = StepKind::If {
            cond: place,
            then: first_steps,
            other: second_steps,
        };
        steps.push(step(kind, span));
        Ok(first_open || second_open)
    }

    /// A line that is a call: it changes its first argument, moves a session on, or is a procedure.
    fn for_effect(&mut self, names: &mut Names, expr: &Expr, steps: &mut Vec<Step>) -> Eval<()> {
        if let ExprKind::Call { callee, args } = &expr.kind
            && let ExprKind::Name(name) = &callee.kind
            && CHANGES.contains(&name.as_str())
            && is_operation(names, self, name)
        {
            let first = args.first().map(|arg| &arg.value.kind);
            let Some(ExprKind::Name(changed)) = first else {
                return self.error(
                    405,
                    expr.span,
                    "the value of this line is lost",
                    format!("`{name}` changes the variable that it is given first"),
                    format!("give it a name: `y = {name}(…)`"),
                );
            };
            let changed = changed.clone();
            if let Some(place) = self.operation(names, expr, steps)? {
                self.assign(names, &changed, place, expr.span, steps);
            }
            return Ok(());
        }
        let made = self.operation(names, expr, steps)?;
        let is_pure = match &expr.kind {
            ExprKind::Call { callee, .. } => match &callee.kind {
                // An event that is not looked at has been waited for.
                ExprKind::Name(name) => {
                    !matches!(name.as_str(), "wait" | "events") && is_operation(names, self, name)
                }
                _ => true,
            },
            _ => true,
        };
        match made {
            Some(_) if !is_pure => Ok(()),
            made => {
                if made.is_none() {
                    // What is wrong within is told first.
                    self.value(names, expr, steps)?;
                }
                self.error(
                    405,
                    expr.span,
                    "the value of this line is lost",
                    "nothing receives it",
                    "give it a name: `y = …`, `emit` it or `return` it",
                )
            }
        }
    }

    fn return_value(&mut self, place: &Place, span: Span) -> Eval<()> {
        let ty = self.ty(place);
        let Some(last) = self.returns.last().copied() else {
            return Err(Reported);
        };
        match last {
            None => {
                let id = self.variable("", ty, span);
                if let Some(own) = self.returns.last_mut() {
                    *own = Some(id);
                }
                Ok(())
            }
            Some(id) if self.variables[id.0].ty.takes(&ty) => Ok(()),
            Some(id) => {
                let first = self.variables[id.0].clone();
                self.fail(
                    crate::diag::Diagnostic::error(
                        crate::diag::Code::new(303),
                        format!("`{ty}` is returned here and `{}` elsewhere", first.ty),
                    )
                    .at(span, format!("this is `{ty}`"))
                    .also(first.span, format!("this is `{}`", first.ty))
                    .help("return values of one type on every way"),
                )
            }
        }
    }

    /// A condition is one truth value, a count one integer.
    pub(super) fn require_scalar(&mut self, place: &Place, dtype: DType, span: Span) -> Eval<()> {
        let ty = self.ty(place);
        let fits = match &ty {
            Type::Tensor { dtype: own, axes } => {
                axes.is_empty()
                    && (*own == dtype
                        || dtype == DType::I64 && own.is_integer()
                        || dtype == DType::F32 && (own.is_real() || own.is_integer()))
            }
            _ => false,
        };
        if fits {
            return Ok(());
        }
        let wanted = match dtype {
            DType::Bool => "one truth value",
            DType::F32 => "one number",
            _ => "one integer",
        };
        let help = match dtype {
            DType::Bool => "compare, or say which of several: `any(t) c`, `all(t) c`",
            _ => "take one position: `x[t = 0]`",
        };
        self.error(
            303,
            span,
            format!("{wanted} is needed here"),
            format!("this is `{ty}`"),
            help,
        )
    }
}

/// Whether a name is a function of procedures: nothing else has it.
fn is_operation(names: &Names, writer: &Writer<'_>, name: &str) -> bool {
    names.get(name).is_none()
        && writer.program.find(writer.file, name).is_none()
        && super::OPERATIONS.contains(&name)
}

/// Names of models alone: types are declared before anything has a value.
fn names_of_models(names: &Names) -> Names {
    let mut own = Names::default();
    for (name, known) in names.all() {
        if matches!(known, Known::Model(_)) {
            own.insert(name, *known);
        }
    }
    own
}

pub(super) const fn step(kind: StepKind, span: Span) -> Step {
    Step { kind, span }
}
