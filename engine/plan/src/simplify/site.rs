//! What a rule sees: one node and what it reads.

use girih_graph::op::{Literal, Op};
use girih_graph::{AxisTable, DType, Extent, Node, Region, Term, ValueId, ValueType};

/// A node with one result, in its region.
pub(super) struct Site<'a> {
    pub(super) axes: &'a AxisTable,
    pub(super) region: &'a Region,
    pub(super) node: &'a Node,
    /// Its result.
    pub(super) value: ValueId,
}

impl<'a> Site<'a> {
    /// The op that defines `value`, and its operands; `None` for parameters of the region.
    pub(super) fn read(&self, value: ValueId) -> Option<(&'a Op, &'a [ValueId])> {
        let node = self.region.defining_node(value)?;
        Some((&node.op, &node.operands))
    }

    /// The node's op and its operands, if there are `N`.
    pub(super) fn operands<const N: usize>(&self) -> Option<[ValueId; N]> {
        <[ValueId; N]>::try_from(self.node.operands.as_slice()).ok()
    }

    pub(super) fn dtype(&self, value: ValueId) -> DType {
        self.region.ty(value).dtype
    }

    pub(super) fn extent(&self, axis: girih_graph::AxisId) -> &'a Extent {
        self.axes.extent(axis)
    }

    /// The number that `value` holds at every position.
    pub(super) fn literal(&self, mut value: ValueId) -> Option<Literal> {
        loop {
            match self.read(value)? {
                (Op::Const(literal), []) => return Some(*literal),
                (Op::Expand(_) | Op::Rename(_), [inner]) => value = *inner,
                _ => return None,
            }
        }
    }

    /// `literal` at every position of the node's result.
    pub(super) fn filled(&self, literal: Literal) -> Term {
        let number = Term::Node(Op::Const(literal), Vec::new());
        match &self.region.ty(self.value).axes {
            axes if axes.is_empty() => number,
            axes => Term::Node(Op::Expand(axes.clone()), vec![number]),
        }
    }

    /// The type of a term; `None` if it has none.
    pub(super) fn ty(&self, term: &Term) -> Option<ValueType> {
        match term {
            Term::Value(value) => Some(self.region.ty(*value).clone()),
            Term::Node(op, operands) => {
                let types = operands.iter().map(|operand| self.ty(operand));
                let types: Vec<ValueType> = types.collect::<Option<_>>()?;
                let types: Vec<&ValueType> = types.iter().collect();
                match op.infer(self.axes, &types).ok()?.as_slice() {
                    [ty] => Some(ty.clone()),
                    _ => None,
                }
            }
        }
    }
}

/// One node over old values.
pub(super) fn node(op: Op, operands: &[ValueId]) -> Term {
    Term::Node(op, operands.iter().copied().map(Term::Value).collect())
}
