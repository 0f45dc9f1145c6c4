//! How parameters start, and the constants that everything is made with.

use girih_graph::{AxisId, Builder, DType, Distribution, Graph, Op, ValueId};

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
        // What was made in the model's graph says nothing here.
        let alike = self.alike.take();
        let lets = std::mem::take(&mut self.file_lets);
        self.starting = true;
        let results = self.starts();
        self.starting = false;
        self.alike = alike;
        self.file_lets = lets;
        let init = std::mem::replace(&mut self.b, outer);
        Ok(init.finish(results?, Vec::new()))
    }

    /// The starting value of each parameter, with its path.
    fn starts(&mut self) -> Eval<Vec<(String, ValueId)>> {
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
                    let op = Op::random(Distribution::Normal, &path, &axes);
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
        Ok(results)
    }

    /// A start reads numbers and draws, never a value of the model.
    pub(crate) fn require_before_model(
        &mut self,
        name: &str,
        value: &Value,
        span: Span,
    ) -> Eval<()> {
        fn holds_tensor(value: &Value) -> bool {
            match value {
                Value::Tensor(_) => true,
                Value::List(parts) | Value::Tuple(parts) => parts.iter().any(holds_tensor),
                Value::Record(fields) => fields.iter().any(|(_, value)| holds_tensor(value)),
                _ => false,
            }
        }
        if !self.starting || !holds_tensor(value) {
            return Ok(());
        }
        self.error_help(
            405,
            span,
            format!("the start of a parameter reads `{name}`, a value of the model"),
            "it has no value before the model runs",
            "start with numbers and draws, such as `normal(0.02)`; a function gives the same table to both",
        )
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
