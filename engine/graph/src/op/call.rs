//! `call`: an operation of a plugin, with what it means in primitives where that is known.
//!
//! A kernel works on the *core* axes of its operands and results; every other axis is
//! lifted: the operation is done for each of its positions. The regions beside it – the
//! body, the gradient – are over whole values, lifted axes included, so that they can stand
//! in place of the node as they are.

use std::sync::Arc;

use super::region::takes;
use super::{OpError, distinct, has};
use crate::axis::{AxisId, AxisTable, ValueType};
use crate::graph::Region;

const OP: &str = "call";

/// An operation of a plugin. Operands and results: as `takes` and `gives` say.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Its full name: `org.example.flashkit/sparsemax@1`.
    pub callee: Arc<str>,
    /// What is fixed, by name, in the operation's order.
    pub attributes: Vec<(Arc<str>, Attribute)>,
    /// The core axes of each operand, in the kernel's order.
    pub takes: Vec<Vec<AxisId>>,
    /// Each result, and its core axes in the kernel's order.
    pub gives: Vec<(ValueType, Vec<AxisId>)>,
    /// The body if there is one, then the gradient if there is one.
    pub(super) regions: Vec<Region>,
    pub(super) has_body: bool,
}

/// What is fixed about a call.
#[derive(Clone, Debug)]
pub enum Attribute {
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A real number.
    Real(f64),
    /// Text.
    Text(Arc<str>),
}

impl PartialEq for Attribute {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bool(own), Self::Bool(theirs)) => own == theirs,
            (Self::Int(own), Self::Int(theirs)) => own == theirs,
            (Self::Real(own), Self::Real(theirs)) => {
                own.to_bits() == theirs.to_bits() || own.is_nan() && theirs.is_nan()
            }
            (Self::Text(own), Self::Text(theirs)) => own == theirs,
            (Self::Bool(_) | Self::Int(_) | Self::Real(_) | Self::Text(_), _) => false,
        }
    }
}

impl Eq for Attribute {}

/// What becomes of a call where the graph around it is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallAs {
    /// It stays as it is.
    Itself,
    /// It stays, without what it means: whoever computes it has a kernel.
    Kernel,
    /// Its body takes its place. Without a body it stays as it is.
    Body,
}

impl Call {
    /// A call of which nothing is known but its types.
    pub fn new(
        callee: Arc<str>,
        attributes: Vec<(Arc<str>, Attribute)>,
        takes: Vec<Vec<AxisId>>,
        gives: Vec<(ValueType, Vec<AxisId>)>,
    ) -> Self {
        Self {
            callee,
            attributes,
            takes,
            gives,
            regions: Vec::new(),
            has_body: false,
        }
    }

    /// The same call with a body: its parameters are the operands, its results the results.
    #[must_use]
    pub fn with_body(mut self, body: Region) -> Self {
        if self.has_body {
            self.regions.remove(0);
        }
        self.regions.insert(0, body);
        self.has_body = true;
        self
    }

    /// The same call with a gradient. Its parameters are the operands, the results, then the
    /// cotangents of the real results; its results are cotangents of the real operands, which
    /// may have lifted axes that the operand lacks.
    #[must_use]
    pub fn with_gradient(mut self, gradient: Region) -> Self {
        self.regions.truncate(usize::from(self.has_body));
        self.regions.push(gradient);
        self
    }

    /// The same call without body and gradient.
    #[must_use]
    pub fn bare(&self) -> Self {
        Self {
            regions: Vec::new(),
            has_body: false,
            ..self.clone()
        }
    }

    /// What it computes, in primitives.
    pub fn body(&self) -> Option<&Region> {
        self.regions.first().filter(|_| self.has_body)
    }

    /// The cotangents of its operands.
    pub fn gradient(&self) -> Option<&Region> {
        self.regions.get(usize::from(self.has_body))
    }

    /// The plugin's id and the operation's name with its version.
    pub fn names(&self) -> (&str, &str) {
        self.callee.split_once('/').unwrap_or(("", &self.callee))
    }

    /// The axes that the kernel works on; some may come twice.
    pub fn core_axes(&self) -> impl Iterator<Item = AxisId> {
        let given = self.gives.iter().map(|(_, core)| core);
        self.takes.iter().chain(given).flatten().copied()
    }

    /// Whether `axis` is one that the kernel works on.
    pub fn is_core(&self, axis: AxisId) -> bool {
        self.core_axes().any(|own| own == axis)
    }

    /// The lifted axes of the results, in the order of the first one.
    pub fn lifted(&self) -> Vec<AxisId> {
        self.gives
            .first()
            .map_or_else(Vec::new, |(ty, core)| ty.without(core))
    }
}

fn broken(call: &Call, reason: &str) -> OpError {
    OpError::Rule {
        op: OP,
        reason: format!("`{}` {reason}", call.callee),
    }
}

pub(super) fn infer(
    table: &AxisTable,
    call: &Call,
    operands: &[&ValueType],
) -> Result<Vec<ValueType>, OpError> {
    if operands.len() != call.takes.len() {
        return Err(OpError::Operands {
            op: OP,
            wanted: call.takes.len(),
            found: operands.len(),
        });
    }
    if call.gives.is_empty() {
        return Err(broken(call, "gives nothing"));
    }
    let mut lifted: Vec<AxisId> = Vec::new();
    for (operand, core) in operands.iter().zip(&call.takes) {
        distinct(OP, table, core)?;
        for axis in core {
            has(OP, table, operand, *axis)?;
        }
        for axis in operand.without(core) {
            if !lifted.contains(&axis) {
                lifted.push(axis);
            }
        }
    }
    if let Some(axis) = lifted.iter().find(|axis| call.is_core(**axis)) {
        return Err(OpError::Twice {
            op: OP,
            axis: table.name(*axis).to_owned(),
        });
    }
    for (ty, core) in &call.gives {
        distinct(OP, table, &ty.axes)?;
        distinct(OP, table, core)?;
        for axis in core.iter().chain(&lifted) {
            has(OP, table, ty, *axis)?;
        }
        if ty.axes.len() != core.len() + lifted.len() {
            return Err(broken(
                call,
                "gives an axis that is neither its own nor lifted",
            ));
        }
    }
    let results: Vec<ValueType> = call.gives.iter().map(|(ty, _)| ty.clone()).collect();
    let given: Vec<ValueType> = operands.iter().map(|ty| (*ty).clone()).collect();
    if let Some(body) = call.body() {
        takes(OP, table, body, &given)?;
        let made = body.results().iter().map(|value| body.ty(*value));
        if !made.eq(&results) {
            return Err(broken(call, "gives other results than its body"));
        }
    }
    if let Some(gradient) = call.gradient() {
        let real = |ty: &&ValueType| ty.dtype.is_real();
        let cotangents = results.iter().filter(real);
        let all: Vec<ValueType> = given
            .iter()
            .chain(&results)
            .chain(cotangents)
            .cloned()
            .collect();
        takes(OP, table, gradient, &all)?;
        let wanted: Vec<&ValueType> = given.iter().filter(real).collect();
        if gradient.results().len() != wanted.len() {
            return Err(broken(call, "has not one cotangent for each real operand"));
        }
        for (value, operand) in gradient.results().iter().zip(wanted) {
            let ty = gradient.ty(*value);
            let known = |axis: &AxisId| operand.has(*axis) || lifted.contains(axis);
            if ty.dtype != operand.dtype || !ty.axes.iter().all(known) {
                return Err(broken(call, "has a cotangent that is unlike its operand"));
            }
        }
    }
    Ok(results)
}
