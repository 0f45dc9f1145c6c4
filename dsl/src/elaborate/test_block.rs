//! `test` blocks as graphs: what is computed and what is claimed about it.
//!
//! In a test `t = 5` gives a file's axis its size, and a module value that gets a name is an
//! instance; its parameters take their starting values.
//! What procedures do alone is walked like a procedure (`procedure/test`).

use std::collections::BTreeSet;

use girih_graph::{DType, Extent};

use super::procedure::{Carried, is_walked, walk_test};
use super::scope::Env;
use super::value::{Eval, Reported, Value};
use super::{Elaborator, Request};
use crate::ast::{self, BinaryOp, ExprKind, ItemKind, StmtKind, TestStmt};
use crate::diag::Sink;
use crate::model::{Expectation, Test, TestModel};
use crate::program::{ItemRef, Program};
use crate::span::Span;

/// The tests of the entry file, in order. Mistakes go to the sink; a test that has one is absent.
pub fn elaborate_tests(
    program: &Program,
    carried: Option<&Carried<'_>>,
    sink: &mut Sink,
) -> Vec<Test> {
    let file = program.entry();
    let ast = program.ast(file);
    let mut tests = Vec::new();
    for (item, found) in ast.items.iter().enumerate() {
        let ItemKind::Test(test) = &found.kind else {
            continue;
        };
        if is_walked(program, file, test) {
            let steps = walk_test(program, file, test, carried, sink);
            tests.extend(steps.map(|procedure| Test::Steps(procedure, test.name.span)));
            continue;
        }
        let request = Request::default();
        let mut elaborator = Elaborator::new(program, &request, sink);
        if let Ok(model) = elaborator.test(ItemRef { file, item }, test) {
            tests.push(Test::Graph(Box::new(model)));
        }
    }
    tests
}

impl Elaborator<'_> {
    fn test(&mut self, place: ItemRef, test: &ast::TestBlock) -> Eval<TestModel> {
        self.b = girih_graph::Builder::new("test");
        let mut sized = Vec::new();
        for (position, stmt) in test.stmts.iter().enumerate() {
            if let Some((name, expr)) = self.size_of_axis(place.file, stmt) {
                let mut env = Env::of_file(place.file);
                let extent = Extent::constant(self.eval_constant(&mut env, expr)?);
                let time = self.is_declared_time(place.file, name);
                let axis = self.b.axes.add(name, extent, None, time);
                self.pool.entry(name.to_owned()).or_default().push(axis);
                self.file_axes.insert(name.to_owned(), axis);
                sized.push(position);
            }
        }
        self.collect_file_axes(place.file)?;
        let mut env = Env::of_file(place.file);
        env.is_static = false;
        env.path = Some(String::new());
        let mut outputs = Vec::new();
        let mut expectations = Vec::new();
        for (position, stmt) in test.stmts.iter().enumerate() {
            match stmt {
                _ if sized.contains(&position) => {}
                TestStmt::Stmt(stmt) => {
                    if self.instance_in_test(&mut env, stmt)? {
                        continue;
                    }
                    self.run_block(
                        &mut env,
                        std::slice::from_ref(stmt),
                        &all_names(&test.stmts),
                    )?;
                }
                TestStmt::Expect {
                    claim,
                    within,
                    span,
                } => {
                    let expectation =
                        self.expect(&mut env, claim, within.as_ref(), *span, &mut outputs)?;
                    expectations.push(expectation);
                }
            }
        }
        if self.failed {
            return Err(Reported);
        }
        let init = self.build_init()?;
        let builder = std::mem::take(&mut self.b);
        Ok(TestModel {
            name: test.name.text.clone(),
            graph: builder.finish(outputs, Vec::new()),
            init,
            expectations,
        })
    }

    fn is_declared_time(&self, file: usize, name: &str) -> bool {
        let Some(place) = self.program.find(file, name) else {
            return false;
        };
        matches!(&self.program.item(place).kind, ItemKind::Axis(axis) if axis.kind.is_some())
    }

    /// `t = 5` where the file declares `axis t` without a size.
    fn size_of_axis<'a>(
        &self,
        file: usize,
        stmt: &'a TestStmt,
    ) -> Option<(&'a str, &'a ast::Expr)> {
        let TestStmt::Stmt(stmt) = stmt else {
            return None;
        };
        let StmtKind::Bind { places, value } = &stmt.kind else {
            return None;
        };
        let [
            ast::Place {
                name,
                next: false,
                indices: None,
                ..
            },
        ] = places.as_slice()
        else {
            return None;
        };
        let place = self.program.find(file, &name.text)?;
        match &self.program.item(place).kind {
            ItemKind::Axis(axis) if axis.extent.is_none() => Some((&name.text, value)),
            _ => None,
        }
    }

    /// `m = Hydra(d = 32)`: an instance called `m`.
    fn instance_in_test(&mut self, env: &mut Env, stmt: &ast::Stmt) -> Eval<bool> {
        let StmtKind::Bind { places, value } = &stmt.kind else {
            return Ok(false);
        };
        let ([place], ExprKind::Call { .. } | ExprKind::Name(_)) = (places.as_slice(), &value.kind)
        else {
            return Ok(false);
        };
        if place.indices.is_some() || place.next {
            return Ok(false);
        }
        let head = match &value.kind {
            ExprKind::Call { callee, .. } => &callee.kind,
            kind => kind,
        };
        let ExprKind::Name(name) = head else {
            return Ok(false);
        };
        let found = self.program.find(env.file, name);
        let is_module =
            found.is_some_and(|place| matches!(self.program.item(place).kind, ItemKind::Module(_)));
        if !is_module || env.locals.contains_key(name) {
            return Ok(false);
        }
        env.is_static = true;
        let module = self.eval(env, value);
        env.is_static = false;
        let Value::Module(module) = module? else {
            return Ok(false);
        };
        let name = &place.name.text;
        let instance = self.instantiate(&module, name, name, None, value.span)?;
        env.locals.insert(name.clone(), Value::Instance(instance));
        Ok(true)
    }

    fn expect(
        &mut self,
        env: &mut Env,
        claim: &ast::Expr,
        within: Option<&ast::Expr>,
        span: Span,
        outputs: &mut Vec<(String, girih_graph::ValueId)>,
    ) -> Eval<Expectation> {
        let number = outputs.len();
        let tolerance = match within {
            None => None,
            Some(expr) => match self.eval(env, expr)? {
                Value::Real(number) => Some(number),
                Value::Int(extent) => extent.as_constant().map(|number| number as f64),
                other => {
                    return self.error(
                        303,
                        expr.span,
                        "a tolerance is a number",
                        format!("this is {}", other.kind()),
                    );
                }
            },
        };
        let mut keep = |this: &mut Self, value: Value, span: Span, side: &str| -> Eval<String> {
            let tensor = this.tensor(value, DType::F32, span)?;
            let tensor = this.at_root(tensor, span)?;
            let name = format!("expect.{number}.{side}");
            outputs.push((name.clone(), tensor.id));
            Ok(name)
        };
        if let ExprKind::Binary(BinaryOp::Eq, left, right) = &claim.kind {
            self.bind_indices(env, claim)?;
            let (x, y) = (self.eval(env, left)?, self.eval(env, right)?);
            if let (Value::Tensor(_), _) | (_, Value::Tensor(_)) = (&x, &y) {
                let (x, y) = self.pair(x, left.span, y, right.span)?;
                let axes = girih_graph::axis::align(&[&self.ty(x).axes, &self.ty(y).axes]);
                let x = self.expand_to(x, &axes, left.span)?;
                let y = self.expand_to(y, &axes, right.span)?;
                return Ok(Expectation {
                    left: keep(self, Value::Tensor(x), left.span, "left")?,
                    right: Some(keep(self, Value::Tensor(y), right.span, "right")?),
                    tolerance,
                    span,
                });
            }
        }
        let value = self.equation(env, claim)?;
        Ok(Expectation {
            left: keep(self, value, claim.span, "claim")?,
            right: None,
            tolerance,
            span,
        })
    }
}

fn all_names(stmts: &[TestStmt]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for stmt in stmts {
        match stmt {
            TestStmt::Stmt(stmt) => super::mentioned::stmt_names(stmt, &mut found),
            TestStmt::Expect { claim, .. } => super::mentioned::expr_names(claim, &mut found),
        }
    }
    found
}
