//! Gradients: reverse mode, graph to graph.
//!
//! The new graph computes all the old one did and the gradients beside it.
//! Only what lies between the objective and what it is differentiated by is
//! differentiated, and dead nodes are dropped. The rules of the primitives, with
//! what they do where there is no derivative, are in [`girih_graph::vjp`].
//!
//! Left out: next states. A gradient ends where the call ends.

mod error;

use std::collections::BTreeMap;

use girih_graph::vjp::{ordered, pull_back, zeros};
use girih_graph::{Builder, Graph, Op, Patch, ValueId};

use crate::nearest::nearest_name;
pub use error::GradError;

/// What is differentiated: the sum of everything named here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objective {
    /// Results that are one real number each.
    pub scalars: Vec<String>,
    /// Real results of any type, each multiplied elementwise by a new input
    /// `cotangent.<result>` of the same type, and summed.
    pub paired: Vec<String>,
}

impl Objective {
    /// One scalar result.
    pub fn scalar(result: &str) -> Self {
        Self {
            scalars: vec![result.to_owned()],
            paired: Vec::new(),
        }
    }

    /// The sum of result · cotangent over several results.
    pub fn paired<'a>(results: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            scalars: Vec::new(),
            paired: results.into_iter().map(str::to_owned).collect(),
        }
    }
}

/// The graph with the gradients of `objective` by the inputs, parameters and states in `wrt`.
///
/// For each path in `wrt` there is a new result `grad.<path>` with the type of what the path
/// names, zeros where the objective does not depend on it. If the graph has such a result
/// already, being a gradient itself, all new ones are called `grad2.<path>`, then `grad3.…`.
/// A path that names both an input and a parameter or state means the input.
///
/// Cost: a few times that of the graph. Recurrences run once more, to stack the values
/// they carry; routes run every branch on all items.
///
/// # Errors
///
/// Names that are not there, values that are not real, an objective that is not one number.
///
/// ```
/// use girih_transform::{Objective, grad};
///
/// let square = girih_graph::text::parse(
///     "girih-graph 1
///      graph square(x: f32[d=2]) -> (y: f32) {
///        %0 = contract x, x {over: d} : f32
///        return %0
///      }",
/// )?;
/// let backward = grad(&square, &Objective::scalar("y"), &["x".to_owned()])?;
/// assert_eq!(backward.results, ["y", "grad.x"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn grad(graph: &Graph, objective: &Objective, wrt: &[String]) -> Result<Graph, GradError> {
    let leaves = leaves(graph);
    let mut sources: Vec<(&str, ValueId)> = Vec::new();
    for name in wrt {
        let (name, value) =
            leaves
                .get_key_value(name.as_str())
                .ok_or_else(|| GradError::UnknownLeaf {
                    name: name.clone(),
                    nearest: nearest_name(name, leaves.keys().copied()).map(str::to_owned),
                })?;
        require_real(graph, name, *value)?;
        if sources.iter().all(|(other, _)| other != name) {
            sources.push((name, *value));
        }
    }
    let targets = targets(graph, objective)?;

    let mut b = Builder::resume(graph.clone());
    let seeds = seeds(&mut b, graph, &targets)?;
    let wanted: Vec<ValueId> = sources.iter().map(|(_, value)| *value).collect();
    let gradients = pull_back(&mut b, &seeds, &wanted)?;

    let own = graph.root.results().iter().copied();
    let mut results: Vec<(String, ValueId)> = graph.results.iter().cloned().zip(own).collect();
    let prefix = free_prefix(graph, &sources);
    for ((name, value), gradient) in sources.iter().zip(gradients) {
        let ty = b.ty(*value).clone();
        let gradient = match gradient {
            Some(gradient) => ordered(&mut b, gradient, &ty.axes)?,
            None => zeros(&mut b, &ty)?,
        };
        results.push((format!("{prefix}.{name}"), gradient));
    }
    let updates = graph.root.results().iter().skip(graph.results.len());
    let updates = graph.updates.iter().cloned().zip(updates.copied());
    let whole = b.finish(results, updates.collect());
    // Some of what the rules computed turns out not to be needed.
    let patched = Patch::new(&whole).apply();
    Ok(patched
        .expect("a patch without replacements has none that does not fit")
        .graph)
}

/// Inputs, parameters and states by name.
fn leaves(graph: &Graph) -> BTreeMap<&str, ValueId> {
    let mut leaves = graph.states();
    leaves.extend(graph.params());
    leaves.extend(graph.inputs());
    leaves
}

/// A part of the objective.
struct Target<'a> {
    name: &'a str,
    value: ValueId,
    /// Whether it is multiplied by cotangents that come in.
    paired: bool,
}

fn targets<'a>(graph: &Graph, objective: &'a Objective) -> Result<Vec<Target<'a>>, GradError> {
    let scalars = objective.scalars.iter().map(|name| (name, false));
    let paired = objective.paired.iter().map(|name| (name, true));
    let mut targets = Vec::new();
    for (name, paired) in scalars.chain(paired) {
        let value = graph.result(name).ok_or_else(|| {
            let names = graph.results.iter().map(String::as_str);
            GradError::UnknownResult {
                name: name.clone(),
                nearest: nearest_name(name, names).map(str::to_owned),
            }
        })?;
        require_real(graph, name, value)?;
        let ty = graph.root.ty(value);
        if !paired && !ty.axes.is_empty() {
            return Err(GradError::NotScalar {
                name: name.clone(),
                ty: graph.axes.show(ty),
            });
        }
        targets.push(Target {
            name,
            value,
            paired,
        });
    }
    if targets.is_empty() {
        return Err(GradError::NoObjective);
    }
    Ok(targets)
}

fn require_real(graph: &Graph, name: &str, value: ValueId) -> Result<(), GradError> {
    let dtype = graph.root.ty(value).dtype;
    if dtype.is_real() {
        return Ok(());
    }
    Err(GradError::NotReal {
        name: name.to_owned(),
        dtype,
    })
}

/// The cotangents that the targets start with.
fn seeds(
    b: &mut Builder,
    graph: &Graph,
    targets: &[Target],
) -> Result<Vec<(ValueId, ValueId)>, GradError> {
    // A gradient that is differentiated again may have the input already.
    let mut inputs: BTreeMap<String, ValueId> = graph
        .inputs()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let mut seeds = Vec::new();
    for target in targets {
        let ty = b.ty(target.value).clone();
        let seed = if target.paired {
            let name = format!("cotangent.{}", target.name);
            match inputs.get(&name).copied() {
                Some(own) if *b.ty(own) == ty => own,
                Some(_) => return Err(GradError::Taken { name }),
                None => {
                    let own = b.value(Op::Input(name.as_str().into(), ty), &[])?;
                    inputs.insert(name, own);
                    own
                }
            }
        } else {
            b.number(ty.dtype, 1.0)
        };
        seeds.push((target.value, seed));
    }
    Ok(seeds)
}

/// `grad`, or the first of `grad2`, `grad3`, … under which nothing is taken.
fn free_prefix(graph: &Graph, sources: &[(&str, ValueId)]) -> String {
    let mut prefix = "grad".to_owned();
    for order in 2.. {
        let taken =
            |(name, _): &(&str, ValueId)| graph.result(&format!("{prefix}.{name}")).is_some();
        if !sources.iter().any(taken) {
            break;
        }
        prefix = format!("grad{order}");
    }
    prefix
}
