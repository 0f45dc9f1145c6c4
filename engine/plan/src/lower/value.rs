//! What the planner plans: the values of one region in a few simple forms.
//!
//! Primitives that other forms can say are taken apart here: a softmax is a
//! maximum, exponentials and a sum; a reduction over several axes is several
//! reductions; a contraction that no matrix product should do is a product and
//! a sum. Every operand stands before the values that use it.

use std::collections::{BTreeMap, BTreeSet};

use girih_graph::axis::align;
use girih_graph::op::{Binary, Combine, Op, Outside, Unary};
use girih_graph::{AxisId, DType, Extent, NodeId, Region, ValueId, ValueType};

use super::contract::{self, Product};
use crate::kernel::Constant;
use crate::plan::{TensorId, is_narrow};

/// Position in [`Values::all`].
pub(super) type ValueIx = usize;

/// A value in the planner's form.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) ty: ValueType,
    pub(super) form: Form,
    pub(super) operands: Vec<ValueIx>,
    /// The node of the region that it comes from, for labels.
    pub(super) node: Option<NodeId>,
}

impl Value {
    /// The value that this one is with more bits, if it is a real of 16 bits as `f32`: its operand.
    pub(super) fn widened(&self, all: &[Self]) -> Option<ValueIx> {
        let (Form::Cast, DType::F32, [operand]) = (&self.form, self.ty.dtype, &self.operands[..])
        else {
            return None;
        };
        is_narrow(all[*operand].ty.dtype).then_some(*operand)
    }
}

/// How a value is computed.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Form {
    /// It is in memory before anything runs.
    Given(TensorId),
    /// Element by element.
    Unary(Unary),
    Binary(Binary),
    Select,
    Cast,
    Constant(Constant),
    Position(AxisId),
    Size(Extent),
    /// Element by element, from positions that are data.
    Gather(AxisId, Outside),
    /// Another view of the operand.
    View(View),
    /// Combined along one axis of the operand.
    Reduce(Combine, AxisId),
    /// A product of matrices.
    Contract(Product),
    /// Operands side by side: operand k along its own axis.
    Concat(Vec<AxisId>, AxisId),
    /// Result `1` of a primitive that has a launch of its own.
    Launched(NodeId, usize),
}

/// Views: positions of the result as positions of the operand.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum View {
    Rename(Vec<(AxisId, AxisId)>),
    Split(AxisId, Vec<AxisId>),
    Merge(Vec<AxisId>, AxisId),
    Expand,
    Window {
        axis: AxisId,
        into: Vec<(AxisId, Extent)>,
        offset: Extent,
    },
}

impl Form {
    /// Whether a consumer may compute it where it reads it.
    pub(super) fn is_pointwise(&self) -> bool {
        matches!(
            self,
            Self::Unary(_)
                | Self::Binary(_)
                | Self::Select
                | Self::Cast
                | Self::Constant(_)
                | Self::Position(_)
                | Self::Size(_)
                | Self::Gather(..)
        )
    }
}

/// The values of a region.
#[derive(Debug, Default)]
pub(super) struct Values {
    pub(super) all: Vec<Value>,
    /// For each value of the region, its position here.
    pub(super) of: Vec<Option<ValueIx>>,
    /// Parameters, in loops too.
    pub(super) stored: BTreeSet<ValueIx>,
    /// Results of softmaxes over one axis, as they were written.
    pub(super) softmaxes: BTreeMap<ValueIx, Softmax>,
}

/// A softmax before it was taken apart.
#[derive(Clone, Debug)]
pub(super) struct Softmax {
    pub(super) scores: ValueIx,
    /// Its domain.
    pub(super) kept: Option<ValueIx>,
    pub(super) axis: AxisId,
}

impl Values {
    pub(super) fn push(
        &mut self,
        ty: ValueType,
        form: Form,
        operands: Vec<ValueIx>,
        node: Option<NodeId>,
    ) -> ValueIx {
        self.all.push(Value {
            ty,
            form,
            operands,
            node,
        });
        self.all.len() - 1
    }

    pub(super) fn ty(&self, value: ValueIx) -> &ValueType {
        &self.all[value].ty
    }

    /// Whether the value is a parameter, or a view of one.
    pub(super) fn is_stored(&self, value: ValueIx) -> bool {
        self.stored.contains(&self.behind_views(value))
    }

    /// The value behind views, if there are any.
    pub(super) fn behind_views(&self, mut value: ValueIx) -> ValueIx {
        while let Form::View(_) = self.all[value].form {
            value = self.all[value].operands[0];
        }
        value
    }

    fn unary(&mut self, op: Unary, x: ValueIx, node: Option<NodeId>) -> ValueIx {
        self.push(self.ty(x).clone(), Form::Unary(op), vec![x], node)
    }

    fn binary(&mut self, op: Binary, x: ValueIx, y: ValueIx, node: Option<NodeId>) -> ValueIx {
        let axes = align(&[&self.ty(x).axes, &self.ty(y).axes]);
        let dtype = match op {
            Binary::Eq | Binary::Ne | Binary::Lt | Binary::Le | Binary::Gt | Binary::Ge => {
                DType::Bool
            }
            _ => self.ty(x).dtype,
        };
        let ty = ValueType::new(dtype, axes);
        self.push(ty, Form::Binary(op), vec![x, y], node)
    }

    fn select(&mut self, operands: [ValueIx; 3], node: Option<NodeId>) -> ValueIx {
        let [c, x, y] = operands.map(|value| self.ty(value).axes.clone());
        let ty = ValueType::new(self.ty(operands[1]).dtype, align(&[&x, &y, &c]));
        self.push(ty, Form::Select, operands.to_vec(), node)
    }

    fn real(&mut self, dtype: DType, value: f64, node: Option<NodeId>) -> ValueIx {
        let constant = Form::Constant(Constant::Real(value.to_bits()));
        self.push(ValueType::scalar(dtype), constant, Vec::new(), node)
    }

    /// A reduction over several axes: the one that lies innermost in memory first.
    pub(super) fn reduce(
        &mut self,
        combine: Combine,
        over: &[AxisId],
        mut x: ValueIx,
        node: Option<NodeId>,
    ) -> ValueIx {
        let order: Vec<AxisId> = self.ty(x).axes.iter().rev().copied().collect();
        for axis in order.into_iter().filter(|axis| over.contains(axis)) {
            let own = self.ty(x);
            let ty = ValueType::new(own.dtype, own.without(&[axis]));
            x = self.push(ty, Form::Reduce(combine, axis), vec![x], node);
        }
        x
    }

    /// exp(x − max x) / Σ exp(x − max x) over `over`, within `kept`; 0 where nothing is kept.
    fn softmax(
        &mut self,
        over: &[AxisId],
        x: ValueIx,
        kept: Option<ValueIx>,
        node: Option<NodeId>,
    ) -> ValueIx {
        let dtype = self.ty(x).dtype;
        let scores = match kept {
            None => x,
            Some(kept) => {
                let least = self.real(dtype, f64::NEG_INFINITY, node);
                self.select([kept, x, least], node)
            }
        };
        let max = self.reduce(Combine::Max, over, scores, node);
        let shifted = self.binary(Binary::Sub, x, max, node);
        let mut weights = self.unary(Unary::Exp, shifted, node);
        let zero = self.real(dtype, 0.0, node);
        if let Some(kept) = kept {
            weights = self.select([kept, weights, zero], node);
        }
        let mut sum = self.reduce(Combine::Sum, over, weights, node);
        if kept.is_some() {
            // An empty domain sums to 0, and its weights are 0.
            let empty = self.binary(Binary::Eq, sum, zero, node);
            let one = self.real(dtype, 1.0, node);
            sum = self.select([empty, one, sum], node);
        }
        let result = self.binary(Binary::Div, weights, sum, node);
        if let [axis] = over {
            let softmax = Softmax {
                scores: x,
                kept,
                axis: *axis,
            };
            self.softmaxes.insert(result, softmax);
        }
        result
    }

    /// The exponent, if it is a constant that a few products replace.
    fn small_power(&self, exponent: ValueIx) -> Option<usize> {
        match self.all[exponent].form {
            Form::Constant(Constant::Real(bits)) => [1usize, 2, 3, 4]
                .into_iter()
                .find(|own| (*own as f64).to_bits() == bits),
            _ => None,
        }
    }

    /// Adds a node's results.
    pub(super) fn add(
        &mut self,
        region: &Region,
        id: NodeId,
        extent: &dyn Fn(AxisId) -> Extent,
        table: &mut dyn FnMut(&ValueType, &[f64]) -> TensorId,
    ) {
        let node = region.node(id);
        let results: Vec<&ValueType> = node.results.iter().map(|r| region.ty(*r)).collect();
        let operands: Vec<ValueIx> = node
            .operands
            .iter()
            .map(|operand| self.of[operand.index()].expect("operands are defined first"))
            .collect();
        let first = || results[0].clone();
        let from = Some(id);
        let plain = |form: Form| Some((first(), form, operands.clone()));
        let view = |view: View| plain(Form::View(view));
        let simple = match &node.op {
            Op::Input(..) | Op::Param(..) | Op::State(_) => {
                // Whoever plans the section has put them in already.
                return;
            }
            Op::Const(literal) => plain(Form::Constant((*literal).into())),
            Op::Table(_, _, data) => {
                let tensor = table(&first(), data);
                plain(Form::Given(tensor))
            }
            Op::Index(axis) => plain(Form::Position(*axis)),
            Op::Size(size) => plain(Form::Size(size.clone())),
            Op::Unary(op) => plain(Form::Unary(*op)),
            Op::Binary(Binary::Pow) if self.small_power(operands[1]).is_some() => {
                let power = self.small_power(operands[1]).unwrap_or(1);
                let mut value = operands[0];
                for _ in 1..power {
                    value = self.binary(Binary::Mul, value, operands[0], from);
                }
                self.finish(node.results[0], value, &first(), from);
                return;
            }
            Op::Binary(op) => plain(Form::Binary(*op)),
            Op::Select => plain(Form::Select),
            Op::Cast(_) => plain(Form::Cast),
            Op::GradAs => {
                self.bind(node.results[0], operands[0]);
                return;
            }
            Op::Gather { axis, outside } => plain(Form::Gather(*axis, *outside)),
            Op::Rename(pairs) => view(View::Rename(pairs.clone())),
            Op::Split(axis, into) => view(View::Split(*axis, into.clone())),
            Op::Merge(from, axis) => view(View::Merge(from.clone(), *axis)),
            Op::Expand(_) => view(View::Expand),
            Op::Window { axis, into, offset } => view(View::Window {
                axis: *axis,
                into: into.clone(),
                offset: offset.clone(),
            }),
            Op::Concat(from, axis) => plain(Form::Concat(from.clone(), *axis)),
            Op::Reduce(combine, over) => {
                let value = self.reduce(*combine, over, operands[0], from);
                self.finish(node.results[0], value, &first(), from);
                return;
            }
            Op::Softmax(over) => {
                let kept = operands.get(1).copied();
                let value = self.softmax(over, operands[0], kept, from);
                self.finish(node.results[0], value, &first(), from);
                return;
            }
            Op::Contract(over) => {
                let value = contract::add(self, over, [operands[0], operands[1]], extent, from);
                if self.ty(value).is_permuted(&first()) {
                    // The order of axes is for us to say.
                    self.bind(node.results[0], value);
                } else {
                    self.finish(node.results[0], value, &first(), from);
                }
                return;
            }
            Op::Random(..)
            | Op::Cumulate { .. }
            | Op::Order { .. }
            | Op::Scatter { .. }
            | Op::Fold { .. }
            | Op::Recurrence(_)
            | Op::Route(_)
            | Op::Call(_) => None,
        };
        if let Some((ty, form, operands)) = simple {
            let value = self.push(ty, form, operands, from);
            self.bind(node.results[0], value);
            return;
        }
        for (position, result) in node.results.iter().enumerate() {
            let form = Form::Launched(id, position);
            let value = self.push(results[position].clone(), form, operands.clone(), from);
            self.bind(*result, value);
        }
    }

    /// Binds a value of the region to one here, whose axes may stand in another order.
    fn finish(&mut self, result: ValueId, value: ValueIx, ty: &ValueType, node: Option<NodeId>) {
        let value = if self.ty(value) == ty {
            value
        } else {
            self.push(ty.clone(), Form::View(View::Expand), vec![value], node)
        };
        self.bind(result, value);
    }

    pub(super) fn bind(&mut self, result: ValueId, value: ValueIx) {
        self.of[result.index()] = Some(value);
    }

    /// For each value the values that use it.
    pub(super) fn users(&self) -> Vec<Vec<ValueIx>> {
        let mut users = vec![Vec::new(); self.all.len()];
        for (user, value) in self.all.iter().enumerate() {
            for operand in &value.operands {
                if users[*operand].last() != Some(&user) {
                    users[*operand].push(user);
                }
            }
        }
        users
    }
}
