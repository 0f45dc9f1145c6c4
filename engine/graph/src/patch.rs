//! Changes to a graph: the only way to make another one of it.
//!
//! A [`Patch`] collects labelled replacements and applies them at once: every use
//! of a value reads another value instead, an old one or one that new nodes
//! compute. What nothing needs any more is dropped, inside regions too; inputs,
//! parameters and states stay, used or not. The result says what was done.
//!
//! A replacement has exactly the type of what it replaces, axis order included, so
//! nothing else needs to change.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::axis::{AxisTable, ValueType};
use crate::build::Builder;
use crate::dead::drop_dead;
use crate::graph::{Graph, NodeId, Region, ValueId};
use crate::op::{Op, OpError};

/// A region of a graph: the nodes around it, outermost first, each with the position of the
/// region inside. The root is empty.
pub type RegionPath = Vec<(NodeId, usize)>;

/// What replaces a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// A value of the same region that is defined before the replaced one, with its own
    /// replacement if it has one; or the replaced value itself, as it was.
    Value(ValueId),
    /// The one result of a new node.
    Node(Op, Vec<Term>),
}

/// Replacements that are made together.
#[derive(Clone, Debug)]
pub struct Patch<'g> {
    graph: &'g Graph,
    /// The axes of the new graph; add freely.
    pub axes: AxisTable,
    edits: BTreeMap<RegionPath, BTreeMap<ValueId, (Term, String)>>,
}

/// A new graph, and how it came to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Patched {
    /// Without dead nodes.
    pub graph: Graph,
    /// The labels of the replacements, in the order of the graph.
    pub log: Vec<String>,
}

/// Why a patch cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// A region or value does not exist.
    #[error("`{0}` replaces a value that the graph does not have")]
    Nothing(String),
    /// A term uses a value that is not defined there.
    #[error("`{0}` uses a value that is not defined before the one it replaces")]
    Undefined(String),
    /// A new node cannot be made.
    #[error("`{label}`: {cause}")]
    Op {
        /// Of the replacement.
        label: String,
        /// Why.
        #[source]
        cause: OpError,
    },
    /// The replacement has another type.
    #[error("`{label}` replaces `{old}` by `{new}`")]
    Type {
        /// Of the replacement.
        label: String,
        /// Of the replaced value.
        old: String,
        /// Of the new one.
        new: String,
    },
}

impl<'g> Patch<'g> {
    /// No replacement yet.
    pub fn new(graph: &'g Graph) -> Self {
        Self {
            graph,
            axes: graph.axes.clone(),
            edits: BTreeMap::new(),
        }
    }

    /// Every use of `value` in `region` – by nodes, results and updates – reads `by` instead. A
    /// second replacement of one value takes the place of the first.
    pub fn replace(
        &mut self,
        region: &[(NodeId, usize)],
        value: ValueId,
        by: Term,
        label: impl Into<String>,
    ) {
        let edits = self.edits.entry(region.to_vec()).or_default();
        edits.insert(value, (by, label.into()));
    }

    /// How many replacements there are.
    pub fn len(&self) -> usize {
        self.edits.values().map(BTreeMap::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// The new graph. A patch without replacements drops dead nodes.
    ///
    /// # Errors
    ///
    /// A replacement that does not fit. The old graph is as it was.
    pub fn apply(mut self) -> Result<Patched, PatchError> {
        if self.edits.is_empty() {
            return Ok(Patched {
                graph: drop_dead(self.graph),
                log: Vec::new(),
            });
        }
        let mut builder = Builder::new(&self.graph.name);
        builder.axes = std::mem::take(&mut self.axes);
        let mut copier = Copier {
            builder,
            edits: self.edits,
            path: Vec::new(),
            log: Vec::new(),
        };
        let old = self.graph;
        let values = copier.region(&old.root)?;
        if let Some((_, left)) = copier.edits.pop_first() {
            let label = left.into_values().next().map(|(_, label)| label);
            return Err(PatchError::Nothing(label.unwrap_or_default()));
        }
        let mut values = values.into_iter();
        let named = old.results.iter().cloned().zip(values.by_ref()).collect();
        let updates = old.updates.iter().map(Arc::clone).zip(values).collect();
        let mut graph = copier.builder.finish(named, updates);
        graph.checks.clone_from(&old.checks);
        Ok(Patched {
            graph: drop_dead(&graph),
            log: copier.log,
        })
    }
}

struct Copier {
    builder: Builder,
    edits: BTreeMap<RegionPath, BTreeMap<ValueId, (Term, String)>>,
    path: RegionPath,
    log: Vec<String>,
}

type Values = Vec<Option<ValueId>>;

impl Copier {
    /// Copies a region into the open one and gives its results.
    fn region(&mut self, region: &Region) -> Result<Vec<ValueId>, PatchError> {
        let mut edits = self.edits.remove(&self.path).unwrap_or_default();
        let mut values: Values = vec![None; region.value_count()];
        for param in region.params() {
            values[param.index()] = Some(self.builder.add_parameter(region.ty(*param).clone()));
        }
        for param in region.params() {
            self.edit(region, &mut edits, *param, &mut values)?;
        }
        for (id, node) in region.nodes() {
            let mut regions = Vec::new();
            for (position, inner) in node.op.regions().iter().enumerate() {
                self.path.push((id, position));
                self.builder.open_region();
                let results = self.region(inner)?;
                regions.push(self.builder.close_region(results));
                self.path.pop();
            }
            let origin = region.origins.get(id.index()).cloned().flatten();
            self.builder.set_origin(origin);
            let operands = defined(&node.operands, &values);
            let op = node.op.with_regions(regions);
            let results = self
                .builder
                .node(op, &operands)
                .expect("a replacement has the type of what it replaces");
            for (old, new) in node.results.iter().zip(results) {
                values[old.index()] = Some(new);
            }
            for old in &node.results {
                self.edit(region, &mut edits, *old, &mut values)?;
            }
        }
        match edits.pop_first() {
            Some((_, (_, label))) => Err(PatchError::Nothing(label)),
            None => Ok(defined(region.results(), &values)),
        }
    }

    fn edit(
        &mut self,
        region: &Region,
        edits: &mut BTreeMap<ValueId, (Term, String)>,
        value: ValueId,
        values: &mut Values,
    ) -> Result<(), PatchError> {
        let Some((term, label)) = edits.remove(&value) else {
            return Ok(());
        };
        let new = self.term(term, &label, values)?;
        let (old_ty, new_ty): (&ValueType, &ValueType) = (region.ty(value), self.builder.ty(new));
        if old_ty != new_ty {
            return Err(PatchError::Type {
                old: self.builder.axes.show(old_ty),
                new: self.builder.axes.show(new_ty),
                label,
            });
        }
        values[value.index()] = Some(new);
        self.log.push(label);
        Ok(())
    }

    fn term(&mut self, term: Term, label: &str, values: &Values) -> Result<ValueId, PatchError> {
        match term {
            Term::Value(value) => {
                let new = values.get(value.index()).copied().flatten();
                new.ok_or_else(|| PatchError::Undefined(label.to_owned()))
            }
            Term::Node(op, operands) => {
                let operands = operands
                    .into_iter()
                    .map(|term| self.term(term, label, values));
                let operands: Vec<ValueId> = operands.collect::<Result<_, _>>()?;
                let new = self.builder.value(op, &operands);
                new.map_err(|cause| PatchError::Op {
                    label: label.to_owned(),
                    cause,
                })
            }
        }
    }
}

fn defined(old: &[ValueId], values: &Values) -> Vec<ValueId> {
    let new = old.iter().map(|value| values[value.index()]);
    new.map(|new| new.expect("operands are defined before they are used"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{Binary, Literal, Unary};
    use crate::{DType, text};

    const LOOP: &str = "girih-graph 1
graph g(x: f32[t], z: f32[t]) -> (y: f32[t]) {
  %0 = const 0.0 : f32
  %1 = const 1.0 : f32
  %2, %3, %4, %5 = recurrence {axis: t} : f32, f32, f32[t], f32[t] {
    carry %6 = %0 : f32
    carry %7 = %1 : f32
    slice %8 = x : f32
    slice %9 = z : f32
    keep %10 = %1 : f32
    %11 = add %6, %8 : f32
    %12 = mul %7, %9 : f32
    %13 = neg %10 : f32
    return %11, %12, %11, %13
  }
  %14 = exp %5 : f32[t]
  return %4
}
";

    fn check(text: &str, change: impl FnOnce(&mut Patch<'_>), expected: &str) {
        let graph = text::parse(text).unwrap();
        let mut patch = Patch::new(&graph);
        change(&mut patch);
        let found = match patch.apply() {
            Ok(patched) => {
                assert_eq!(crate::verify::verify(&patched.graph), Ok(()));
                let text = text::print(&patched.graph);
                text.lines()
                    .skip(2)
                    .map(|l| l.split(" : ").next().unwrap().trim_end().to_owned() + "\n")
                    .collect()
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn what_nothing_needs_is_dropped_inside_recurrences_too() {
        check(
            LOOP,
            |_| {},
            "  %0 = const 0.0
  %1, %2 = recurrence {axis: t}
    carry %3 = %0
    slice %4 = x
    %5 = add %3, %4
    return %5, %5
  }
  return %2
}
",
        );
    }

    const LINE: &str = "girih-graph 1
graph g(x: f32[t], z: f32[t]) -> (y: f32[t]) {
  %0 = exp x : f32[t]
  %1 = add %0, %0 : f32[t]
  return %1
}
";

    fn number(x: f64) -> Term {
        Term::Node(Op::Const(Literal::Real(DType::F32, x)), Vec::new())
    }

    #[test]
    fn uses_are_replaced_and_a_value_may_wrap_itself() {
        let (x, z, e) = (ValueId(0), ValueId(1), ValueId(2));
        check(
            LINE,
            |p| p.replace(&[], e, Term::Value(z), "z"),
            "  %0 = add z, z\n  return %0\n}\n",
        );
        let half = Term::Node(Op::Binary(Binary::Mul), vec![Term::Value(e), number(0.5)]);
        check(
            LINE,
            |p| {
                p.replace(&[], e, half, "half");
                p.replace(
                    &[],
                    x,
                    Term::Node(Op::Unary(Unary::Neg), vec![Term::Value(x)]),
                    "neg",
                );
            },
            "  %0 = neg x\n  %1 = exp %0\n  %2 = const 0.5\n  %3 = mul %1, %2\n  %4 = add %3, %3\n  return %4\n}\n",
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_by_label() {
        let (z, e, sum) = (ValueId(1), ValueId(2), ValueId(3));
        check(
            LINE,
            |p| p.replace(&[], e, number(1.0), "one"),
            "`one` replaces `f32[t]` by `f32`",
        );
        check(
            LINE,
            |p| p.replace(&[], e, Term::Value(sum), "later"),
            "`later` uses a value that is not defined before the one it replaces",
        );
        check(
            LINE,
            |p| p.replace(&[(NodeId(0), 0)], e, Term::Value(z), "inner"),
            "`inner` replaces a value that the graph does not have",
        );
        check(
            LINE,
            |p| p.replace(&[], ValueId(9), Term::Value(z), "nothing"),
            "`nothing` replaces a value that the graph does not have",
        );
        check(
            LINE,
            |p| p.replace(&[], e, Term::Node(Op::Select, vec![]), "select"),
            "`select`: `select` takes 3 operands, not 0",
        );
    }

    #[test]
    fn values_inside_regions_are_replaced() {
        let inner = [(NodeId(4), 0)];
        check(
            LOOP,
            |p| p.replace(&inner, ValueId(5), Term::Value(ValueId(3)), "slice z"),
            "  %0 = recurrence {axis: t}\n    slice %1 = z\n    return %1\n  }\n  return %0\n}\n",
        );
    }
}
