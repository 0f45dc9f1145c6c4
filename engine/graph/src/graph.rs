//! Graphs and regions: nodes in an arena, operands pointing backwards.
//!
//! A [`Region`] is a scope of its own: it sees its parameters and its own values,
//! nothing of the region around it. The [`Builder`](crate::Builder) is the only
//! way to make one. Origins lie beside the nodes; equality never sees them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::axis::{AxisTable, ValueType};
use crate::extent::Extent;
use crate::op::Op;
use crate::promise::Promises;

/// A value of one region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) u32);

impl ValueId {
    /// Position among the region's values.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A node of one region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    /// Position among the region's nodes.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One use of a primitive.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The primitive with its attributes.
    pub op: Op,
    /// Values of the same region that were defined before.
    pub operands: Vec<ValueId>,
    /// Its results, in order; consecutive.
    pub results: Vec<ValueId>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Definition {
    /// The region's parameter with this position.
    Parameter(usize),
    /// A result of a node.
    Result(NodeId, usize),
}

/// What in a model a node came from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The path of the module instance: `layers.3.attn`.
    pub path: Arc<str>,
    /// The source file, as numbered by whoever built the graph.
    pub file: u32,
    /// First byte there.
    pub start: u32,
    /// One past the last byte there.
    pub end: u32,
    /// What the statement's attributes promise.
    pub promises: Option<Arc<Promises>>,
    /// What the model calls results of the node, by their place.
    pub names: Vec<(usize, Arc<str>)>,
}

impl Origin {
    /// What the model calls a result of the node: `layers.3.attn.key`.
    pub fn name(&self, slot: usize) -> Option<&str> {
        let mut names = self.names.iter();
        let found = names.find(|(own, _)| *own == slot);
        found.map(|(_, name)| &**name)
    }
}

/// A scope of nodes with parameters and results.
#[derive(Clone, Debug, Default)]
pub struct Region {
    pub(crate) params: Vec<ValueId>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) values: Vec<(ValueType, Definition)>,
    pub(crate) results: Vec<ValueId>,
    pub(crate) origins: Vec<Option<Arc<Origin>>>,
}

impl PartialEq for Region {
    fn eq(&self, other: &Self) -> bool {
        self.params == other.params
            && self.nodes == other.nodes
            && self.values == other.values
            && self.results == other.results
    }
}

impl Region {
    /// The parameters, in order.
    pub fn params(&self) -> &[ValueId] {
        &self.params
    }

    /// The results, in order.
    pub fn results(&self) -> &[ValueId] {
        &self.results
    }

    /// Every node, in order of definition.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes
            .iter()
            .enumerate()
            .map(|(index, node)| (NodeId(index as u32), node))
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// How many values there are.
    pub fn value_count(&self) -> usize {
        self.values.len()
    }

    /// The type of `value`.
    pub fn ty(&self, value: ValueId) -> &ValueType {
        &self.values[value.index()].0
    }

    /// What defines `value`.
    pub fn definition(&self, value: ValueId) -> Definition {
        self.values[value.index()].1
    }

    /// The node that defines `value`; `None` for parameters.
    pub fn defining_node(&self, value: ValueId) -> Option<&Node> {
        match self.definition(value) {
            Definition::Parameter(_) => None,
            Definition::Result(node, _) => Some(self.node(node)),
        }
    }

    /// A node.
    pub fn node(&self, node: NodeId) -> &Node {
        &self.nodes[node.index()]
    }

    /// What `node` came from, if known.
    pub fn origin(&self, node: NodeId) -> Option<&Origin> {
        self.origins.get(node.index())?.as_deref()
    }
}

/// A condition on sizes that could not be proved; checked at entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// One side.
    pub left: Extent,
    /// The other.
    pub right: Extent,
    /// Why they must be equal, in the user's words.
    pub reason: String,
}

/// A whole model: one region without parameters, named results and states.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Graph {
    /// As printed.
    pub name: String,
    /// The axes of all regions.
    pub axes: AxisTable,
    /// Inputs, parameters and states are nodes of it; its `results` are those of `results`
    /// and then those of `updates`, in order.
    pub root: Region,
    /// Names of the results.
    pub results: Vec<String>,
    /// Paths of the states whose next values follow the results.
    pub updates: Vec<Arc<str>>,
    /// Conditions on sizes.
    pub checks: Vec<Check>,
}

impl Graph {
    /// The value of the result called `name`.
    pub fn result(&self, name: &str) -> Option<ValueId> {
        let position = self.results.iter().position(|own| own == name)?;
        self.root.results.get(position).copied()
    }

    /// Inputs, parameters or states: the leaves for which `pick` gives a name.
    fn leaves<'a>(
        &'a self,
        pick: impl Fn(&'a Op) -> Option<&'a Arc<str>>,
    ) -> BTreeMap<&'a str, ValueId> {
        let named = |node: &'a Node| Some((&**pick(&node.op)?, *node.results.first()?));
        self.root.nodes.iter().filter_map(named).collect()
    }

    /// The inputs by name.
    pub fn inputs(&self) -> BTreeMap<&str, ValueId> {
        self.leaves(|op| match op {
            Op::Input(name, _) => Some(name),
            _ => None,
        })
    }

    /// The parameters by path.
    pub fn params(&self) -> BTreeMap<&str, ValueId> {
        self.leaves(|op| match op {
            Op::Param(name, _) => Some(name),
            _ => None,
        })
    }

    /// The states by path.
    pub fn states(&self) -> BTreeMap<&str, ValueId> {
        self.leaves(|op| match op {
            Op::State(name) => Some(name),
            _ => None,
        })
    }
}
