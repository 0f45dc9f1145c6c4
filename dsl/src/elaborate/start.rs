//! How parameters start, and the constants that everything is made with.

use std::sync::Arc;

use girih_graph::{AxisId, Builder, DType, Distribution, Graph, Op};

use super::Elaborator;
use super::scope::Env;
use super::value::{Eval, Tensor, Value};
use crate::span::Span;

impl Elaborator<'_> {
    /// The graph of the parameters' starting values.
    pub(crate) fn build_init(&mut self) -> Eval<Graph> {
        let mut init = Builder::new("init");
        init.axes = self.b.axes.clone();
        let outer = std::mem::replace(&mut self.b, init);
        let mut results = Vec::new();
        for index in 0..self.params.len() {
            let (instance, expr) = self.inits[index].clone();
            let info = &self.params[index];
            let axes: Vec<AxisId> = info.stored.iter().flatten().copied().collect();
            let (path, dtype, span) = (info.path.clone(), info.dtype, info.span);
            let mut env = Env::of_instance(self, instance);
            env.path = None;
            env.lifted.clone_from(&axes);
            env.locals
                .insert("$key".to_owned(), Value::Text(path.clone()));
            let start = match &expr {
                Some(expr) => {
                    let value = self.eval(&mut env, expr)?;
                    self.tensor(value, dtype, expr.span)?
                }
                None if dtype.is_real() => {
                    let op =
                        Op::Random(Distribution::Normal, Arc::from(path.as_str()), axes.clone());
                    let draw = self.op(op, &[], span)?;
                    let scale = self.number(DType::F32, 0.02);
                    self.op(Op::Binary(girih_graph::Binary::Mul), &[draw, scale], span)?
                }
                None => self.number(dtype, 0.0),
            };
            let start = self.cast(start, dtype, span)?;
            let start = self.expand_to(start, &axes, span)?;
            results.push((path, start.id));
        }
        let init = std::mem::replace(&mut self.b, outer);
        Ok(init.finish(results, Vec::new()))
    }

    pub(crate) fn number(&mut self, dtype: DType, number: f64) -> Tensor {
        self.b.set_level(0);
        Tensor {
            level: 0,
            id: self.b.number(dtype, number),
        }
    }

    /// Repeats a value along the axes it lacks.
    pub(crate) fn expand_to(&mut self, value: Tensor, axes: &[AxisId], span: Span) -> Eval<Tensor> {
        let own = self.ty(value).axes.clone();
        let missing: Vec<AxisId> = axes
            .iter()
            .copied()
            .filter(|axis| !own.contains(axis))
            .collect();
        if missing.is_empty() {
            return Ok(value);
        }
        self.op(Op::Expand(missing), &[value], span)
    }
}
