//! Builds graphs: the only way to make a node, which infers its results' types.

use std::sync::Arc;

use crate::axis::{AxisId, AxisTable, ValueType};
use crate::dtype::DType;
use crate::extent::Extent;
use crate::graph::{Check, Definition, Graph, Node, NodeId, Origin, Region, ValueId};
use crate::op::{Binary, Combine, Literal, Op, OpError, Unary};

/// A graph under construction. Nodes go into the innermost open region.
#[derive(Debug, Default)]
pub struct Builder {
    /// The axes; add freely.
    pub axes: AxisTable,
    name: String,
    root: Region,
    open: Vec<Region>,
    level: usize,
    checks: Vec<Check>,
    origin: Option<Arc<Origin>>,
}

impl Builder {
    /// An empty graph.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// Continues a graph that exists: its results and updates are dropped, everything else is kept.
    pub fn resume(graph: Graph) -> Self {
        let mut root = graph.root;
        root.results.clear();
        Self {
            axes: graph.axes,
            name: graph.name,
            root,
            checks: graph.checks,
            ..Self::default()
        }
    }

    /// The region that receives nodes: the innermost open one, unless [`Builder::set_level`] chose another.
    pub fn region(&self) -> &Region {
        self.region_at(self.level)
    }

    /// The open region with `level` regions around it; 0 is the root.
    pub fn region_at(&self, level: usize) -> &Region {
        level
            .checked_sub(1)
            .and_then(|inner| self.open.get(inner))
            .unwrap_or(&self.root)
    }

    fn region_mut(&mut self) -> &mut Region {
        self.level
            .checked_sub(1)
            .and_then(|inner| self.open.get_mut(inner))
            .unwrap_or(&mut self.root)
    }

    /// The level of the region that receives nodes.
    pub const fn level(&self) -> usize {
        self.level
    }

    /// Sends the nodes that follow to an open region further out: what does not depend on a
    /// loop is computed once, before it.
    pub fn set_level(&mut self, level: usize) {
        self.level = level.min(self.open.len());
    }

    /// How many regions are open inside the root.
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    /// The origin of the nodes that follow.
    pub fn set_origin(&mut self, origin: Option<Arc<Origin>>) {
        self.origin = origin;
    }

    /// Opens a region; the nodes that follow go into it.
    pub fn open_region(&mut self) {
        self.open.push(Region::default());
        self.level = self.open.len();
    }

    /// Adds a parameter to the innermost region.
    pub fn add_parameter(&mut self, ty: ValueType) -> ValueId {
        let region = self.region_mut();
        let value = ValueId(region.values.len() as u32);
        let definition = Definition::Parameter(region.params.len());
        region.values.push((ty, definition));
        region.params.push(value);
        value
    }

    /// Closes the innermost open region. Without an open one, gives an empty region.
    pub fn close_region(&mut self, results: Vec<ValueId>) -> Region {
        let mut region = self.open.pop().unwrap_or_default();
        self.level = self.open.len();
        region.results = results;
        region
    }

    /// Puts the parameters of the innermost open region in this order; those that are not
    /// listed keep theirs, at the end.
    pub fn order_parameters(&mut self, first: &[ValueId]) {
        let Some(region) = self.open.last_mut() else {
            return;
        };
        let rest = region.params.iter().filter(|own| !first.contains(own));
        let ordered: Vec<ValueId> = first.iter().chain(rest).copied().collect();
        for (position, value) in ordered.iter().enumerate() {
            region.values[value.index()].1 = Definition::Parameter(position);
        }
        region.params = ordered;
    }

    /// Puts the parameters of a closed region in this order; every one must be listed.
    pub fn order_parameters_of(region: &mut Region, order: &[ValueId]) {
        for (position, value) in order.iter().enumerate() {
            region.values[value.index()].1 = Definition::Parameter(position);
        }
        region.params = order.to_vec();
    }

    /// The type of a value of the innermost region.
    pub fn ty(&self, value: ValueId) -> &ValueType {
        self.region().ty(value)
    }

    /// Says what the model calls a value of the innermost region, beside where it comes from.
    pub fn set_name(&mut self, value: ValueId, name: &str) {
        let region = self.region_mut();
        let Definition::Result(node, slot) = region.definition(value) else {
            return;
        };
        if let Some(Some(origin)) = region.origins.get_mut(node.index()) {
            // Other nodes of the statement have no part in it.
            let names = &mut Arc::make_mut(origin).names;
            names.retain(|(own, _)| *own != slot);
            names.push((slot, Arc::from(name)));
        }
    }

    /// Adds a node with any number of results.
    ///
    /// # Errors
    ///
    /// The rule of the primitive that is broken.
    pub fn node(&mut self, op: Op, operands: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
        let region = self.region();
        let types: Vec<&ValueType> = operands.iter().map(|value| region.ty(*value)).collect();
        let types = op.infer(&self.axes, &types)?;
        let origin = self.origin.clone();
        let region = self.region_mut();
        let node = NodeId(region.nodes.len() as u32);
        let first = region.values.len() as u32;
        for (slot, ty) in types.into_iter().enumerate() {
            region.values.push((ty, Definition::Result(node, slot)));
        }
        let results: Vec<ValueId> = (first..region.values.len() as u32).map(ValueId).collect();
        region.nodes.push(Node {
            op,
            operands: operands.to_vec(),
            results: results.clone(),
        });
        region.origins.push(origin);
        Ok(results)
    }

    /// Adds a node with one result.
    ///
    /// # Errors
    ///
    /// The rule of the primitive that is broken.
    pub fn value(&mut self, op: Op, operands: &[ValueId]) -> Result<ValueId, OpError> {
        let name = op.name();
        self.node(op, operands)?
            .first()
            .copied()
            .ok_or_else(|| OpError::Rule {
                op: name,
                reason: "it has no result".to_owned(),
            })
    }

    /// A scalar of `dtype` with the nearest representable `number`.
    pub fn number(&mut self, dtype: DType, number: f64) -> ValueId {
        let literal = match dtype {
            DType::Bool => Literal::Bool(number != 0.0),
            real if real.is_real() => Literal::Real(real, number),
            DType::I8 => Literal::Int(dtype, (number as i8).into()),
            DType::U8 => Literal::Int(dtype, (number as u8).into()),
            DType::I32 => Literal::Int(dtype, (number as i32).into()),
            _ => Literal::Int(dtype, number as i64),
        };
        self.value(Op::Const(literal), &[])
            .expect("a constant has no operands to be wrong")
    }

    /// A function of one value.
    ///
    /// # Errors
    ///
    /// A dtype the function does not take.
    pub fn unary(&mut self, op: Unary, x: ValueId) -> Result<ValueId, OpError> {
        self.value(Op::Unary(op), &[x])
    }

    /// A function of two values.
    ///
    /// # Errors
    ///
    /// Dtypes that differ or that the function does not take.
    pub fn binary(&mut self, op: Binary, x: ValueId, y: ValueId) -> Result<ValueId, OpError> {
        self.value(Op::Binary(op), &[x, y])
    }

    /// `condition ? x : y`.
    ///
    /// # Errors
    ///
    /// A condition that is no truth value, unlike dtypes.
    pub fn select(
        &mut self,
        condition: ValueId,
        x: ValueId,
        y: ValueId,
    ) -> Result<ValueId, OpError> {
        self.value(Op::Select, &[condition, x, y])
    }

    /// `x` itself if it has the dtype already.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn cast(&mut self, x: ValueId, dtype: DType) -> Result<ValueId, OpError> {
        if self.ty(x).dtype == dtype {
            return Ok(x);
        }
        self.value(Op::Cast(dtype), &[x])
    }

    /// Combines over axes; `x` itself over none.
    ///
    /// # Errors
    ///
    /// An axis that is missing, a dtype the combination does not take.
    pub fn reduce(
        &mut self,
        combine: Combine,
        x: ValueId,
        over: &[AxisId],
    ) -> Result<ValueId, OpError> {
        if over.is_empty() {
            return Ok(x);
        }
        self.value(Op::Reduce(combine, over.to_vec()), &[x])
    }

    /// `x` under other axes; pairs that change nothing are left out.
    ///
    /// # Errors
    ///
    /// An axis that is missing or would occur twice, unequal extents.
    pub fn rename(&mut self, x: ValueId, pairs: &[(AxisId, AxisId)]) -> Result<ValueId, OpError> {
        let pairs: Vec<_> = pairs
            .iter()
            .copied()
            .filter(|(old, new)| old != new)
            .collect();
        if pairs.is_empty() {
            return Ok(x);
        }
        self.value(Op::Rename(pairs), &[x])
    }

    /// An extent as an `i64` scalar.
    pub fn size(&mut self, extent: Extent) -> ValueId {
        self.value(Op::Size(extent), &[])
            .expect("a size has no operands to be wrong")
    }

    /// Records that two extents must be equal; nothing if they are.
    pub fn check_equal(&mut self, left: &Extent, right: &Extent, reason: &str) {
        let check = Check {
            left: left.clone(),
            right: right.clone(),
            reason: reason.to_owned(),
        };
        if left != right && !self.checks.contains(&check) {
            self.checks.push(check);
        }
    }

    /// The graph with these results and next values of states, all values of the root region.
    pub fn finish(
        mut self,
        results: Vec<(String, ValueId)>,
        updates: Vec<(Arc<str>, ValueId)>,
    ) -> Graph {
        let (names, mut values): (Vec<String>, Vec<ValueId>) = results.into_iter().unzip();
        let (paths, next): (Vec<Arc<str>>, Vec<ValueId>) = updates.into_iter().unzip();
        values.extend(next);
        self.root.results = values;
        Graph {
            name: self.name,
            axes: self.axes,
            root: self.root,
            results: names,
            updates: paths,
            checks: self.checks,
        }
    }
}
