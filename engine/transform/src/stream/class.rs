//! What every value of a graph is in a stream: known at the start, a row for each position,
//! or known after the last one.

use girih_graph::{Definition, Graph, Node, Op, Region, ValueId};

use super::role::Roles;
use super::whole::Cause;

/// When a value is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Before the first position.
    Once,
    /// Position after position.
    Streamed,
    /// After the last position; what it is so far after every step.
    Latest,
}

/// The classes of all values of a graph.
pub(super) struct Classes {
    class: Vec<Class>,
    /// Whether it depends on what is fed to the stream.
    fed: Vec<bool>,
    /// Arithmetic on positions and constants: computed again wherever it is read.
    light: Vec<bool>,
    /// It depends on how long the sequence is, and on no position.
    length: Vec<bool>,
    /// A parameter, perhaps rearranged: read where it is stored.
    stored: Vec<bool>,
}

impl Classes {
    pub(super) fn of(graph: &Graph, roles: &Roles) -> Self {
        let region = &graph.root;
        let count = region.value_count();
        let mut own = Self {
            class: vec![Class::Once; count],
            fed: vec![false; count],
            light: vec![false; count],
            length: vec![false; count],
            stored: vec![false; count],
        };
        for (_, node) in region.nodes() {
            let has = |value: &ValueId| {
                let axes = &region.ty(*value).axes;
                axes.iter()
                    .any(|axis| roles.mentions(graph.axes.extent(*axis)))
            };
            let input = matches!(node.op, Op::Input(..));
            let depends = |of: &dyn Fn(ValueId) -> bool| node.operands.iter().any(|o| of(*o));
            let late = depends(&|o| own.class(o) != Class::Once);
            let fed = depends(&|o| own.fed[o.index()]);
            let all = |flags: &[bool]| node.operands.iter().all(|o| flags[o.index()]);
            let light = is_light(&node.op) && all(&own.light);
            let stored = match node.op {
                Op::Param(..) => true,
                Op::Window { .. }
                | Op::Split(..)
                | Op::Merge(..)
                | Op::Rename(_)
                | Op::Expand(_)
                | Op::Cast(_) => all(&own.stored),
                _ => false,
            };
            let length = depends(&|o| own.length[o.index()]) || reads_length(roles, &node.op);
            for result in &node.results {
                let at = result.index();
                let rows = has(result);
                own.length[at] = length && !rows;
                own.class[at] = match (rows, late || length) {
                    (true, _) => Class::Streamed,
                    (false, true) => Class::Latest,
                    (false, false) => Class::Once,
                };
                own.fed[at] = fed || input && rows;
                own.light[at] = light;
                own.stored[at] = stored;
            }
        }
        own
    }

    pub(super) fn class(&self, value: ValueId) -> Class {
        self.class[value.index()]
    }

    /// Whether it depends on what is fed to the stream.
    pub(super) fn is_fed(&self, value: ValueId) -> bool {
        self.fed[value.index()]
    }

    /// Whether it depends on how long the sequence is, and on no position.
    pub(super) fn is_length(&self, value: ValueId) -> bool {
        self.length[value.index()]
    }

    /// Whether a step computes it from positions and constants alone.
    pub(super) fn is_light(&self, value: ValueId) -> bool {
        self.light[value.index()] && !self.fed[value.index()]
    }

    /// Whether a step has it without being told.
    pub(super) fn is_plain(&self, value: ValueId) -> bool {
        self.light[value.index()] || self.stored[value.index()]
    }
}

/// Cheap, and computed from its operands only.
fn is_light(op: &Op) -> bool {
    match op {
        Op::Const(_)
        | Op::Table(..)
        | Op::Index(_)
        | Op::Size(_)
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Select
        | Op::Cast(_)
        | Op::Window { .. }
        | Op::Split(..)
        | Op::Merge(..)
        | Op::Rename(_)
        | Op::Expand(_)
        | Op::GradAs => true,
        Op::Input(..)
        | Op::Param(..)
        | Op::State(_)
        | Op::Random(..)
        | Op::Contract(_)
        | Op::Reduce(..)
        | Op::Softmax(_)
        | Op::Cumulate { .. }
        | Op::Order { .. }
        | Op::Gather { .. }
        | Op::Scatter { .. }
        | Op::Fold { .. }
        | Op::Concat(..)
        | Op::Recurrence(_)
        | Op::Route(_)
        | Op::Call(_) => false,
    }
}

/// Whether attributes, also inside regions, mention the length.
fn reads_length(roles: &Roles, op: &Op) -> bool {
    let own = match op {
        Op::Size(extent) => roles.mentions(extent),
        Op::Window { into, offset, .. } => {
            roles.mentions(offset) || into.iter().any(|(_, stride)| roles.mentions(stride))
        }
        _ => false,
    };
    let mut regions = op.regions().iter();
    own || regions.any(|region| {
        region
            .nodes()
            .any(|(_, node)| reads_length(roles, &node.op))
    })
}

/// Why a region inside a node cannot have each position treated alone, if it cannot.
pub(super) fn mixes(graph: &Graph, roles: &Roles, node: &Node) -> Option<Cause> {
    node.op
        .regions()
        .iter()
        .find_map(|region| mixes_in(graph, roles, region))
}

fn mixes_in(graph: &Graph, roles: &Roles, region: &Region) -> Option<Cause> {
    let axis = || roles.new.clone();
    for (_, node) in region.nodes() {
        let irregular = node.results.iter().any(|result| {
            let mut axes = region.ty(*result).axes.iter();
            axes.any(|axis| roles.mentions(graph.axes.extent(*axis)) && !roles.is_streamed(*axis))
        });
        let names = || node.op.attribute_axes();
        let walks = || names().into_iter().any(|axis| roles.is_streamed(axis));
        let mixed = match &node.op {
            Op::Size(extent) if roles.mentions(extent) => return Some(Cause::Length(axis())),
            // Positions are shifted; values are repeated; a route treats its items alone.
            Op::Index(_) | Op::Expand(_) | Op::Route(_) => false,
            Op::Window { offset, into, .. } => {
                walks()
                    || roles.mentions(offset)
                    || into.iter().any(|(_, stride)| roles.mentions(stride))
            }
            _ => walks(),
        };
        if irregular || mixed {
            return Some(Cause::Inside {
                op: node.op.name(),
                axis: axis(),
            });
        }
        if let Some(cause) = mixes(graph, roles, node) {
            return Some(cause);
        }
    }
    None
}

/// Whether a region inside reads positions of the streamed axis.
pub(super) fn reads_positions(roles: &Roles, region: &Region) -> bool {
    region.nodes().any(|(_, node)| {
        matches!(node.op, Op::Index(axis) if roles.is_streamed(axis))
            || node
                .op
                .regions()
                .iter()
                .any(|inner| reads_positions(roles, inner))
    })
}

/// The node that defines `value`.
pub(super) fn maker(region: &Region, value: ValueId) -> Option<(girih_graph::NodeId, usize)> {
    match region.definition(value) {
        Definition::Parameter(_) => None,
        Definition::Result(node, slot) => Some((node, slot)),
    }
}
