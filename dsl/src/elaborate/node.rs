//! How does a primitive become a node, and what is said where it does not fit?

use std::sync::Arc;

use girih_graph::{AxisId, Op, OpError, Origin, ValueId, ValueType};

use super::Elaborator;
use super::value::{Eval, Reported, Tensor};
use crate::diag::{Code, Diagnostic};
use crate::span::Span;

/// Primitives of the graph that have other names, or none, in the language.
const WRITTEN_NOWHERE: &[&str] = &[
    "select",
    "reduce",
    "window",
    "gather",
    "rename",
    "expand",
    "merge",
    "split",
    "route",
    "recurrence",
    "order",
    "cumulate",
    "contract",
    "dot",
    "table",
    "state",
    "call",
];

impl Elaborator<'_> {
    /// The type of a tensor.
    pub(crate) fn ty(&self, tensor: Tensor) -> &ValueType {
        self.b.region_at(tensor.level).ty(tensor.id)
    }

    /// Adds a node where its operands meet; a broken rule is reported at `span`.
    pub(crate) fn op(&mut self, op: Op, operands: &[Tensor], span: Span) -> Eval<Tensor> {
        let mut results = self.ops(op, operands, span)?;
        results.pop().ok_or(Reported)
    }

    pub(crate) fn ops(&mut self, op: Op, operands: &[Tensor], span: Span) -> Eval<Vec<Tensor>> {
        self.spend(span, 1)?;
        let mut level = operands
            .iter()
            .map(|tensor| tensor.level)
            .max()
            .unwrap_or(0);
        if self.grows(&op, operands) {
            level = self.frames.len();
        }
        let mut ids: Vec<ValueId> = Vec::with_capacity(operands.len());
        for operand in operands {
            ids.push(self.import(*operand, level));
        }
        self.b.set_level(level);
        self.mark(span);
        let result = self.b.node(op, &ids);
        match result {
            Ok(ids) => Ok(ids.into_iter().map(|id| Tensor { level, id }).collect()),
            Err(error) => self.op_error(&error, span),
        }
    }

    /// Whether an elementwise result would be larger than each operand and span a loop's axis: such a
    /// product is made step by step, inside the loop, rather than for all positions before it.
    pub(crate) fn grows(&self, op: &Op, operands: &[Tensor]) -> bool {
        let walked: Vec<AxisId> = self.frames.iter().filter_map(|frame| frame.axis).collect();
        if walked.is_empty() || !matches!(op, Op::Binary(_) | Op::Select) {
            return false;
        }
        let axes: Vec<&[AxisId]> = operands
            .iter()
            .map(|tensor| self.ty(*tensor).axes.as_slice())
            .collect();
        let union = girih_graph::axis::align(&axes);
        union.iter().any(|axis| walked.contains(axis))
            && axes.iter().all(|own| own.len() < union.len())
    }

    /// What stands at a place, to be shown within a line of advice; `x` where it is long.
    pub(crate) fn written(&self, span: Span) -> &str {
        let text = self.program.sources.slice(span);
        let short = !text.is_empty() && text.len() <= 30 && !text.contains(char::is_control);
        if short { text } else { "x" }
    }

    /// Says where the nodes that follow come from.
    pub(crate) fn mark(&mut self, span: Span) {
        self.b.set_origin(Some(Arc::new(Origin {
            path: self.here.clone(),
            file: span.file.0,
            start: span.start,
            end: span.end,
            promises: self.promises.clone(),
            names: Vec::new(),
        })));
    }

    pub(crate) fn op_error<T>(&mut self, error: &OpError, span: Span) -> Eval<T> {
        let (code, message, label, help) = match error {
            OpError::DType { op, wanted, found } => {
                let help = match *wanted {
                    wanted if wanted.starts_with("bool") => "compare: `x > 0`",
                    wanted if wanted.contains("real") => "convert with `real(x)`",
                    _ => "convert with `int(x)`",
                };
                let message = if WRITTEN_NOWHERE.contains(op) {
                    format!("{wanted} values are needed here, not `{found}`")
                } else {
                    error.to_string()
                };
                (302, message, format!("given `{found}`"), Some(help))
            }
            OpError::Mixed { left, right, .. } => (
                302,
                format!("values of one element type are needed here, not `{left}` and `{right}`"),
                "two element types".to_owned(),
                Some("convert one of them with `real(x)` or `int(x)`"),
            ),
            OpError::Missing { axis, .. } => (
                304,
                format!("the value has no axis `{axis}`"),
                "it is needed here".to_owned(),
                None,
            ),
            OpError::Twice { axis, .. } => (
                305,
                format!("the value would have the axis `{axis}` twice"),
                "axes of one tensor are distinct".to_owned(),
                Some("bind one of them to another index: `x[t = j]`"),
            ),
            OpError::Extent { wanted, found, .. } => (
                301,
                format!("{found} positions stand where {wanted} are needed"),
                format!("{found} is not {wanted}"),
                None,
            ),
            OpError::Operands { .. } | OpError::Rule { .. } => {
                (306, error.to_string(), "here".to_owned(), None)
            }
        };
        let mut diagnostic = Diagnostic::error(Code::new(code), message).at(span, label);
        if let Some(help) = help {
            diagnostic = diagnostic.help(help);
        }
        self.fail(diagnostic)
    }
}
