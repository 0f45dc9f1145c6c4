//! Checks what every other part of the engine relies on.
//!
//! A verified graph guarantees, in the root and in every region inside:
//!
//! 1. Every id is in range; every axis stands behind the one it ranges over.
//! 2. Operands and results of a region are its own values and are defined before
//!    they are used; a region sees nothing of the region around it.
//! 3. Parameters and results of nodes are numbered as they are defined.
//! 4. The type of every value is the one that [`Op::infer`] gives for its
//!    operands; so the extents of a region are those of its node.
//! 5. No axis occurs twice in a type.
//! 6. Inputs, parameters and states are nodes of the root, and no two share a name.
//! 7. The root has no parameters; it has one result per result name and one per
//!    update; result names are unique; updates name different states of the graph
//!    and have their dtypes and axes, in any order.
//! 8. Constant extents are neither negative nor past [`Extent::LIMIT`]; a branch
//!    axis counts its branches.
//! 9. Constants and numbers of tables are numbers of their dtype.
//!
//! Not checked: that symbolic extents agree with `checks` or with anything at run
//! time, and that a branch of a `route` treats its items apart.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::axis::{AxisId, AxisTable, ValueType};
use crate::dtype::DType;
use crate::extent::Extent;
use crate::graph::{Definition, Graph, Node, NodeId, Region, ValueId};
use crate::op::{Literal, Op, OpError};

/// A guarantee that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}{fault}")]
pub struct VerifyError {
    /// Where.
    pub place: Place,
    /// What.
    #[source]
    pub fault: Fault,
}

/// A node, by the nodes and regions around it. Without nodes: the whole graph.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Place(Vec<(NodeId, &'static str, usize)>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (node, op, region)) in self.0.iter().enumerate() {
            write!(f, "node {} (`{op}`)", node.index())?;
            if position + 1 < self.0.len() {
                write!(f, ", region {region}, ")?;
            } else {
                f.write_str(": ")?;
            }
        }
        Ok(())
    }
}

/// Which guarantee does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A value is no value of the region, or is used before it is defined.
    #[error("value {0} is not defined before this in this region")]
    UnknownValue(usize),
    /// Numbering and definitions disagree.
    #[error("value {0} is not numbered as it is defined")]
    Numbering(usize),
    /// An axis is not in the graph's table.
    #[error("axis number {0} does not exist")]
    UnknownAxis(usize),
    /// An axis ranges over itself or a later one.
    #[error("axis `{0}` ranges over an axis that was not defined before it")]
    OverOrder(String),
    /// An axis occurs twice in a type.
    #[error("axis `{0}` occurs twice in one type")]
    AxisTwice(String),
    /// A constant extent that nothing can have.
    #[error("axis `{axis}` has extent {extent}")]
    Extent {
        /// Which axis.
        axis: String,
        /// Its extent.
        extent: i64,
    },
    /// The primitive refuses its operands.
    #[error(transparent)]
    Op(#[from] OpError),
    /// The recorded type is not the inferred one.
    #[error("result {slot} is recorded as `{recorded}` and is `{inferred}`")]
    Type {
        /// Which result.
        slot: usize,
        /// As recorded.
        recorded: String,
        /// As inferred.
        inferred: String,
    },
    /// The number of results is not the inferred one.
    #[error("{recorded} results are recorded, the primitive has {inferred}")]
    Results {
        /// As recorded.
        recorded: usize,
        /// As inferred.
        inferred: usize,
    },
    /// An input, parameter or state stands inside a region.
    #[error("`{0}` stands inside a region")]
    InnerLeaf(String),
    /// A name is given twice.
    #[error("{what} `{name}` is given twice")]
    Twice {
        /// Input, result, …
        what: &'static str,
        /// Which one.
        name: String,
    },
    /// The root has parameters.
    #[error("the graph has region parameters instead of inputs")]
    RootParameters,
    /// Names of results and updates do not count the root's results.
    #[error("{names} results and updates are named, {values} values are given")]
    Names {
        /// Names.
        names: usize,
        /// Values.
        values: usize,
    },
    /// An update names no state.
    #[error("there is no state `{0}` to update")]
    UnknownState(String),
    /// An update is of another type than its state.
    #[error("state `{path}` is `{state}`, its next value `{next}`")]
    Update {
        /// Which state.
        path: String,
        /// Its type.
        state: String,
        /// That of the next value.
        next: String,
    },
    /// A number that its dtype does not have.
    #[error("`{number}` is no `{dtype}`")]
    Number {
        /// As written.
        number: String,
        /// The dtype.
        dtype: DType,
    },
}

/// Checks every guarantee listed above.
///
/// # Errors
///
/// The first one that does not hold, and where.
pub fn verify(graph: &Graph) -> Result<(), VerifyError> {
    let mut check = Verifier {
        axes: &graph.axes,
        place: Place::default(),
        names: BTreeSet::new(),
    };
    let found = check.graph(graph);
    found.map_err(|fault| VerifyError {
        place: check.place,
        fault,
    })
}

struct Verifier<'a> {
    axes: &'a AxisTable,
    /// The node that is being checked; kept where a check fails.
    place: Place,
    /// Of inputs, parameters and states.
    names: BTreeSet<Arc<str>>,
}

impl Verifier<'_> {
    fn graph(&mut self, graph: &Graph) -> Result<(), Fault> {
        self.table()?;
        if !graph.root.params().is_empty() {
            return Err(Fault::RootParameters);
        }
        self.region(&graph.root, true)?;
        let names = graph.results.len() + graph.updates.len();
        let values = graph.root.results();
        if names != values.len() {
            return Err(Fault::Names {
                names,
                values: values.len(),
            });
        }
        unique("result", graph.results.iter().map(String::as_str))?;
        unique("update", graph.updates.iter().map(|path| &**path))?;
        let states = graph.states();
        for (path, next) in graph.updates.iter().zip(&values[graph.results.len()..]) {
            let Some(state) = states.get(&**path) else {
                return Err(Fault::UnknownState(path.to_string()));
            };
            let (state, next) = (graph.root.ty(*state), graph.root.ty(*next));
            if !state.is_permuted(next) {
                return Err(Fault::Update {
                    path: path.to_string(),
                    state: self.axes.show(state),
                    next: self.axes.show(next),
                });
            }
        }
        Ok(())
    }

    fn table(&self) -> Result<(), Fault> {
        for (id, axis) in self.axes.iter() {
            if axis.over.is_some_and(|over| over >= id) {
                return Err(Fault::OverOrder(axis.name.to_string()));
            }
            match axis.extent.as_constant() {
                Some(extent) if !(0..=Extent::LIMIT).contains(&extent) => {
                    return Err(Fault::Extent {
                        axis: axis.name.to_string(),
                        extent,
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn region(&mut self, region: &Region, root: bool) -> Result<(), Fault> {
        let mut defined = vec![false; region.value_count()];
        for (position, param) in region.params().iter().enumerate() {
            let index = param.index();
            match region.values.get(index) {
                Some((ty, Definition::Parameter(own))) if *own == position => self.ty(ty)?,
                _ => return Err(Fault::Numbering(index)),
            }
            if std::mem::replace(&mut defined[index], true) {
                return Err(Fault::Numbering(index));
            }
        }
        let mut last = None;
        for (id, node) in region.nodes() {
            self.place.0.push((id, node.op.name(), 0));
            self.node(region, id, node, root, &defined)?;
            for (slot, result) in node.results.iter().enumerate() {
                let index = result.index();
                let numbered = last.is_none_or(|last| last < *result)
                    && matches!(region.values.get(index),
                        Some((_, Definition::Result(own, at))) if (*own, *at) == (id, slot));
                if !numbered || std::mem::replace(&mut defined[index], true) {
                    return Err(Fault::Numbering(index));
                }
                last = Some(*result);
            }
            self.place.0.pop();
        }
        if let Some(index) = defined.iter().position(|defined| !defined) {
            return Err(Fault::Numbering(index));
        }
        used(region.results(), &defined)
    }

    fn node(
        &mut self,
        region: &Region,
        id: NodeId,
        node: &Node,
        root: bool,
        defined: &[bool],
    ) -> Result<(), Fault> {
        used(&node.operands, defined)?;
        let own_axes = node.op.attribute_axes();
        if let Some(axis) = own_axes.iter().find(|axis| axis.index() >= self.axes.len()) {
            return Err(Fault::UnknownAxis(axis.index()));
        }
        self.leaf(&node.op, root)?;
        for (position, inner) in node.op.regions().iter().enumerate() {
            if let Some((_, _, region)) = self.place.0.last_mut() {
                *region = position;
            }
            self.region(inner, false)?;
        }
        let operands: Vec<&ValueType> = node.operands.iter().map(|v| region.ty(*v)).collect();
        let inferred = node.op.infer(self.axes, &operands)?;
        if inferred.len() != node.results.len() {
            return Err(Fault::Results {
                recorded: node.results.len(),
                inferred: inferred.len(),
            });
        }
        for (slot, (result, inferred)) in node.results.iter().zip(&inferred).enumerate() {
            let recorded = match region.values.get(result.index()) {
                Some((ty, definition)) if *definition == Definition::Result(id, slot) => ty,
                _ => return Err(Fault::Numbering(result.index())),
            };
            self.ty(recorded)?;
            if recorded != inferred {
                return Err(Fault::Type {
                    slot,
                    recorded: self.axes.show(recorded),
                    inferred: self.axes.show(inferred),
                });
            }
        }
        Ok(())
    }

    fn ty(&self, ty: &ValueType) -> Result<(), Fault> {
        let mut seen: Vec<AxisId> = Vec::with_capacity(ty.axes.len());
        for axis in &ty.axes {
            if axis.index() >= self.axes.len() {
                return Err(Fault::UnknownAxis(axis.index()));
            }
            if seen.contains(axis) {
                return Err(Fault::AxisTwice(self.axes.name(*axis).to_owned()));
            }
            seen.push(*axis);
        }
        Ok(())
    }

    /// What only leaves can break.
    fn leaf(&mut self, op: &Op, root: bool) -> Result<(), Fault> {
        match op {
            Op::Input(name, ty) | Op::Param(name, ty) => {
                self.ty(ty)?;
                self.named(op.name(), name, root)
            }
            Op::State(name) => self.named(op.name(), name, root),
            Op::Const(literal) if !literal.fits() => Err(Fault::Number {
                number: match literal {
                    Literal::Real(_, number) => number.to_string(),
                    Literal::Int(_, number) => number.to_string(),
                    Literal::Bool(truth) => truth.to_string(),
                },
                dtype: literal.dtype(),
            }),
            Op::Table(dtype, _, data) => {
                let wrong = data.iter().find(|number| !is_number_of(*dtype, **number));
                wrong.map_or(Ok(()), |number| {
                    Err(Fault::Number {
                        number: number.to_string(),
                        dtype: *dtype,
                    })
                })
            }
            Op::Const(_)
            | Op::Index(_)
            | Op::Size(_)
            | Op::Random(..)
            | Op::Unary(_)
            | Op::Binary(_)
            | Op::Select
            | Op::Cast(_)
            | Op::Contract(_)
            | Op::Reduce(..)
            | Op::Softmax(_)
            | Op::Cumulate { .. }
            | Op::Order { .. }
            | Op::Gather { .. }
            | Op::Scatter { .. }
            | Op::Window { .. }
            | Op::Fold { .. }
            | Op::Split(..)
            | Op::Merge(..)
            | Op::Concat(..)
            | Op::Rename(_)
            | Op::Expand(_)
            | Op::GradAs
            | Op::Recurrence(_)
            | Op::Route(_)
            | Op::Call(_) => Ok(()),
        }
    }

    fn named(&mut self, what: &'static str, name: &Arc<str>, root: bool) -> Result<(), Fault> {
        if !root {
            return Err(Fault::InnerLeaf(name.to_string()));
        }
        if !self.names.insert(name.clone()) {
            let name = name.to_string();
            return Err(Fault::Twice { what, name });
        }
        Ok(())
    }
}

fn used(values: &[ValueId], defined: &[bool]) -> Result<(), Fault> {
    let unknown = |value: &&ValueId| defined.get(value.index()) != Some(&true);
    match values.iter().find(unknown) {
        None => Ok(()),
        Some(value) => Err(Fault::UnknownValue(value.index())),
    }
}

fn unique<'a>(what: &'static str, names: impl Iterator<Item = &'a str>) -> Result<(), Fault> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            let name = name.to_owned();
            return Err(Fault::Twice { what, name });
        }
    }
    Ok(())
}

/// Whether a table of `dtype` may hold `number`: any real, an integer in range, 0 or 1.
fn is_number_of(dtype: DType, number: f64) -> bool {
    match dtype {
        DType::F64 | DType::F32 | DType::F16 | DType::BF16 => true,
        DType::Bool => matches!(number, 0.0 | 1.0),
        // 2⁶³ is the first real above every `i64`.
        DType::I64 => number.fract() == 0.0 && number.abs() < 9_223_372_036_854_775_808.0,
        DType::I32 | DType::I8 | DType::U8 => {
            number.fract() == 0.0 && Literal::Int(dtype, number as i64).fits()
        }
    }
}

#[cfg(test)]
mod tests;
