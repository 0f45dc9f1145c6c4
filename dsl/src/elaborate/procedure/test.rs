//! Which tests are walked like procedures, and how?
//!
//! A test that calls a procedure or opens a session is a procedure without inputs: `m = Mlp(8)` is
//! a model of it, an `expect` a step. What procedures wait for is given by `events(…)`.

use std::collections::BTreeSet;

use girih_graph::DType;

use super::flow::step;
use super::names::{Known, Names};
use super::{Carried, ProcedureRequest, Writer};
use crate::ast::{self, BinaryOp, Expr, ExprKind, ItemKind, Stmt, StmtKind, TestStmt};
use crate::diag::Sink;
use crate::elaborate::mentioned::{defined_names, expr_names, stmt_names};
use crate::elaborate::value::{Eval, Reported};
use crate::procedure::{Claim, ModelSlot, Place, Procedure, Step, StepKind, Type};
use crate::program::Program;
use crate::span::Span;

/// Whether a test does what procedures do alone.
pub(in crate::elaborate) fn is_walked(
    program: &Program,
    file: usize,
    test: &ast::TestBlock,
) -> bool {
    let mut mentioned = BTreeSet::new();
    for stmt in &test.stmts {
        match stmt {
            TestStmt::Stmt(stmt) => stmt_names(stmt, &mut mentioned),
            TestStmt::Expect { claim, .. } => expr_names(claim, &mut mentioned),
        }
    }
    mentioned.iter().any(|name| match program.find(file, name) {
        Some(place) => matches!(program.item(place).kind, ItemKind::Procedure(_)),
        None => name == "session",
    })
}

/// The steps of a test. Mistakes go to the sink; `None` if there was one.
pub(in crate::elaborate) fn walk_test(
    program: &Program,
    file: usize,
    test: &ast::TestBlock,
    carried: Option<&Carried<'_>>,
    sink: &mut Sink,
) -> Option<Procedure> {
    let request = ProcedureRequest::default();
    let mut writer = Writer::new(program, &request, sink, file);
    writer.carried = carried;
    writer.is_test = true;
    let procedure = writer.test(test).ok();
    let failed = writer.failed;
    procedure.filter(|_| !failed)
}

impl Writer<'_> {
    fn test(&mut self, test: &ast::TestBlock) -> Eval<Procedure> {
        let mut names = Names::default();
        let mut body = Vec::new();
        let mut broken = false;
        self.returns.push(None);
        for stmt in &test.stmts {
            let done = match stmt {
                TestStmt::Stmt(stmt) => self.test_statement(&mut names, stmt, &mut body),
                TestStmt::Expect {
                    claim,
                    within,
                    span,
                } => self.expect(&mut names, (claim, within.as_ref()), *span, &mut body),
            };
            if done.is_ok() {
                continue;
            }
            broken = true;
            if let TestStmt::Stmt(stmt) = stmt {
                let mut defined = Vec::new();
                defined_names(&stmt.kind, &mut defined);
                for name in defined {
                    names.insert(&name, Known::Poison);
                }
            }
        }
        if let Some(Some(returned)) = self.returns.pop() {
            return self.error(
                405,
                self.variables[returned.0].span,
                "a test returns nothing",
                "nobody receives it",
                "say what is expected: `expect x == y`",
            );
        }
        if broken {
            return Err(Reported);
        }
        Ok(Procedure {
            name: test.name.text.clone(),
            models: std::mem::take(&mut self.models),
            inputs: Vec::new(),
            variables: std::mem::take(&mut self.variables),
            sessions: std::mem::take(&mut self.sessions),
            body,
            result: None,
        })
    }

    fn test_statement(
        &mut self,
        names: &mut Names,
        stmt: &Stmt,
        steps: &mut Vec<Step>,
    ) -> Eval<()> {
        if let StmtKind::Bind { places, value } = &stmt.kind
            && let [place] = places.as_slice()
            && place.indices.is_none()
            && !place.next
            && self.is_model(names, value)
        {
            let name = &place.name.text;
            let (module, statics) = self.written_model(value)?;
            if self.models.iter().any(|own| own.name == *name) {
                return self.error(
                    201,
                    place.span,
                    format!("`{name}` is a model"),
                    "a model stays what it is",
                    "use another name",
                );
            }
            self.models.push(ModelSlot {
                name: name.clone(),
                module,
                statics,
            });
            names.insert(name, Known::Model(self.models.len() - 1));
            return Ok(());
        }
        self.statement(names, stmt, steps).map(drop)
    }

    /// Whether an expression is a module, perhaps with arguments.
    fn is_model(&self, names: &Names, expr: &Expr) -> bool {
        let head = match &expr.kind {
            ExprKind::Call { callee, .. } => &callee.kind,
            kind => kind,
        };
        let ExprKind::Name(name) = head else {
            return false;
        };
        let found = self.program.find(self.file, name);
        names.get(name).is_none()
            && found.is_some_and(|own| matches!(self.program.item(own).kind, ItemKind::Module(_)))
    }

    fn expect(
        &mut self,
        names: &mut Names,
        (claim, within): (&Expr, Option<&Expr>),
        span: Span,
        steps: &mut Vec<Step>,
    ) -> Eval<()> {
        let within = match within {
            Some(expr) => {
                let place = self.value(names, expr, steps)?;
                self.require_scalar(&place, DType::F32, expr.span)?;
                Some(place)
            }
            None => None,
        };
        let claim = if let ExprKind::Binary(BinaryOp::Eq, left, right) = &claim.kind {
            let left = self.value(names, left, steps)?;
            let right = self.value(names, right, steps)?;
            if !self.compares(&left, &right) {
                let (left, right) = (self.ty(&left), self.ty(&right));
                return self.error(
                    303,
                    claim.span,
                    format!("`{left}` is never `{right}`"),
                    "the two sides of a claim have the same axes, or one is a number",
                    "",
                );
            }
            Claim {
                left,
                right: Some(right),
                within,
            }
        } else {
            let left = self.value(names, claim, steps)?;
            let ty = self.ty(&left);
            if !matches!(
                ty,
                Type::Tensor {
                    dtype: DType::Bool,
                    ..
                }
            ) {
                return self.error(
                    303,
                    claim.span,
                    "a claim is a truth value, or compares: `x == y`",
                    format!("this is `{ty}`"),
                    "",
                );
            }
            Claim {
                left,
                right: None,
                within,
            }
        };
        steps.push(step(StepKind::Expect(claim), span));
        Ok(())
    }

    /// Whether two values can be held against one another.
    fn compares(&self, left: &Place, right: &Place) -> bool {
        same_form(&self.ty(left), &self.ty(right))
    }
}

fn same_form(left: &Type, right: &Type) -> bool {
    match (left, right) {
        (Type::Tensor { axes: a, .. }, Type::Tensor { axes: b, .. }) => {
            let named = |name: &str| b.iter().any(|own| own.name == name);
            a.is_empty()
                || b.is_empty()
                || a.len() == b.len() && a.iter().all(|axis| named(&axis.name))
        }
        (Type::Record(a), Type::Record(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|((name, own), (other, ty))| name == other && same_form(own, ty))
        }
        (Type::List(a), Type::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(own, other)| same_form(own, other))
        }
        (Type::Session(_), _) | (_, Type::Session(_)) => false,
        _ => left == right,
    }
}
