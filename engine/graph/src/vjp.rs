//! The derivative of every primitive, and reverse mode over one region.
//!
//! [`vjp`] takes the cotangents of a node's results to cotangents of its
//! operands; [`pull_back`] does so node by node. Both only add nodes, in the
//! innermost region of the builder, beside the values they differentiate.
//!
//! Guarantees: a cotangent has the dtype and the set of axes of its value (the
//! order of axes is only layout); integers and truth values have none; `None`
//! is a cotangent of zero. The rules are made of primitives, so that gradients
//! can be differentiated again.
//!
//! See note [Where there is no derivative] and note [Zero cotangents].

mod call;
mod contract;
mod copy;
mod elementwise;
mod fit;
mod layout;
mod read;
mod recurrence;
mod reduce;
mod route;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use fit::{ordered, zeros};

use crate::build::Builder;
use crate::graph::{Node, Origin, Region, ValueId};
use crate::op::{Binary, Combine, Op, OpError, Unary};

/// One use of a primitive, seen from behind.
#[derive(Clone, Debug)]
pub struct Use<'a> {
    /// The node; its values are values of the builder's innermost region.
    pub node: &'a Node,
    /// Of each result; `None` is zero.
    pub cotangents: &'a [Option<ValueId>],
    /// Whether the cotangent of each operand is asked for.
    pub wanted: &'a [bool],
    /// Whether a cotangent may be zero because something dropped the element.
    /// See note [Zero cotangents].
    pub masked: bool,
    /// What the node came from.
    pub origin: Option<Arc<Origin>>,
}

/// Cotangents of the operands of one node, in order.
pub type Cotangents = Vec<Option<ValueId>>;

/// Moves the cotangents of a node's results to its operands.
///
/// # Errors
///
/// A cotangent that does not have the type of its result; the rule of the
/// primitive that it breaks.
pub fn vjp(b: &mut Builder, at: &Use) -> Result<Cotangents, OpError> {
    let nothing = vec![None; at.node.operands.len()];
    let wanted = at.wanted.contains(&true);
    if !wanted || at.cotangents.iter().all(Option::is_none) {
        return Ok(nothing);
    }
    if let Op::Recurrence(recurrence) = &at.node.op {
        return recurrence::recurrence(b, at, recurrence);
    }
    if let Op::Call(call) = &at.node.op {
        return call::call(b, at, call);
    }
    let Some(Some(g)) = at.cotangents.first().copied() else {
        return Ok(nothing);
    };
    match &at.node.op {
        Op::Input(..)
        | Op::Param(..)
        | Op::Const(..)
        | Op::Table(..)
        | Op::Index(..)
        | Op::Size(..)
        | Op::Random(..)
        | Op::Order { .. }
        | Op::Recurrence(..)
        | Op::Call(..) => Ok(nothing),
        // The derivative of a call that begins a stream: there the state is its start.
        Op::State(_) => Ok(vec![Some(g)]),
        Op::Unary(op) => elementwise::unary(b, at, *op, g),
        Op::Binary(op) => elementwise::binary(b, at, *op, g),
        Op::Select => elementwise::select(b, at, g),
        Op::Cast(_) => elementwise::cast(b, at, g),
        Op::Contract(_) => contract::contract(b, at, g),
        Op::Reduce(combine, over) => reduce::reduce(b, at, *combine, over, g),
        Op::Softmax(over) => reduce::softmax(b, at, over, g),
        Op::Cumulate {
            combine,
            axis,
            reverse,
            exclusive,
        } => reduce::cumulate(b, at, *combine, *axis, (*reverse, *exclusive), g),
        Op::Gather { axis, .. } => read::gather(b, at, *axis, g),
        Op::Scatter {
            axis,
            over,
            combine,
        } => read::scatter(b, at, (*axis, over, *combine), g),
        Op::Window { axis, into, offset } => layout::window(b, *axis, into, offset, g),
        Op::Fold { from, axis, offset } => layout::fold(b, from, *axis, offset, g),
        Op::Split(axis, into) => layout::split(b, *axis, into, g),
        Op::Merge(from, axis) => layout::merge(b, from, *axis, g),
        Op::Concat(from, axis) => layout::concat(b, at, from, *axis, g),
        Op::Rename(pairs) => layout::rename(b, pairs, g),
        Op::Expand(new) => layout::expand(b, new, g),
        // Everything to the stand-in, nothing to the value.
        Op::GradAs => Ok(vec![None, Some(fit::like(b, g, at.node.operands[1])?)]),
        Op::Route(route) => route::route(b, at, route, g),
    }
}

/// Cotangents of `wanted` for a function of the innermost region with cotangents `seeds`,
/// which are pairs of a value and a cotangent; several of one value are added.
///
/// Only nodes between `wanted` and the seeded values are differentiated. A value that the
/// seeded ones do not depend on gives `None`.
///
/// # Errors
///
/// A cotangent that does not have the type of its value.
pub fn pull_back(
    b: &mut Builder,
    seeds: &[(ValueId, ValueId)],
    wanted: &[ValueId],
) -> Result<Cotangents, OpError> {
    pull_back_since(b, 0, seeds, wanted, false)
}

/// [`pull_back`] over the nodes from `first` on; `masked` as in [`Use`].
fn pull_back_since(
    b: &mut Builder,
    first: usize,
    seeds: &[(ValueId, ValueId)],
    wanted: &[ValueId],
    masked: bool,
) -> Result<Cotangents, OpError> {
    let end = b.region().node_count();
    let active = active_values(b.region(), first, wanted);
    let mut found = vec![Cotangent::default(); b.region().value_count()];
    for (value, seed) in seeds {
        found[value.index()].add(b, *seed, masked)?;
    }
    for position in (first..end).rev() {
        let node = &b.region().nodes[position];
        let reached = node
            .results
            .iter()
            .any(|r| found[r.index()].value.is_some());
        if !reached || !node.results.iter().any(|r| active[r.index()]) {
            continue;
        }
        let node = node.clone();
        let origin = b.region().origins[position].clone();
        b.set_origin(origin.clone());
        let results = node.results.iter().map(|r| found[r.index()]);
        let cotangents: Cotangents = results.clone().map(|c| c.value).collect();
        let flowing = |(position, operand): (usize, &ValueId)| {
            active[operand.index()] && flows(&node.op, position)
        };
        let asked: Vec<bool> = node.operands.iter().enumerate().map(flowing).collect();
        let masked = results.clone().any(|c| c.masked);
        let at = Use {
            node: &node,
            cotangents: &cotangents,
            wanted: &asked,
            masked,
            origin,
        };
        let moved = vjp(b, &at)?;
        let masked = masked || drops(&node);
        for (slot, (operand, cotangent)) in node.operands.iter().zip(moved).enumerate() {
            if let Some(cotangent) = cotangent.filter(|_| asked[slot]) {
                found[operand.index()].add(b, cotangent, masked)?;
            }
        }
    }
    b.set_origin(None);
    Ok(wanted.iter().map(|w| found[w.index()].value).collect())
}

/// What has arrived at a value so far.
#[derive(Clone, Copy, Debug, Default)]
struct Cotangent {
    value: Option<ValueId>,
    masked: bool,
}

impl Cotangent {
    fn add(&mut self, b: &mut Builder, more: ValueId, masked: bool) -> Result<(), OpError> {
        self.masked |= masked;
        self.value = Some(match self.value {
            None => more,
            Some(sum) => b.binary(Binary::Add, sum, more)?,
        });
        Ok(())
    }
}

/// Which values have a derivative by one of `wanted`, by position; nodes before `first` are constant.
fn active_values(region: &Region, first: usize, wanted: &[ValueId]) -> Vec<bool> {
    let mut active = vec![false; region.value_count()];
    for value in wanted {
        active[value.index()] = region.ty(*value).dtype.is_real();
    }
    for node in &region.nodes[first..] {
        let mut operands = node.operands.iter().enumerate();
        if operands.any(|(slot, operand)| active[operand.index()] && flows(&node.op, slot)) {
            for result in &node.results {
                active[result.index()] |= region.ty(*result).dtype.is_real();
            }
        }
    }
    active
}

/// Which values a derivative by reaches one of `results`, by position.
fn reaching_values(region: &Region, results: &[ValueId]) -> Vec<bool> {
    let mut reaching = vec![false; region.value_count()];
    for value in results {
        reaching[value.index()] = region.ty(*value).dtype.is_real();
    }
    for node in region.nodes.iter().rev() {
        if !node.results.iter().any(|result| reaching[result.index()]) {
            continue;
        }
        for (slot, operand) in node.operands.iter().enumerate() {
            reaching[operand.index()] |=
                flows(&node.op, slot) && region.ty(*operand).dtype.is_real();
        }
    }
    reaching
}

/// Whether the derivative by this operand is anything but zero by definition.
fn flows(op: &Op, operand: usize) -> bool {
    match op {
        Op::Input(..)
        | Op::Param(..)
        | Op::Const(..)
        | Op::Table(..)
        | Op::Index(..)
        | Op::Size(..)
        | Op::Random(..)
        | Op::Order { .. } => false,
        Op::Unary(op) => match op {
            Unary::Neg
            | Unary::Abs
            | Unary::Exp
            | Unary::Log
            | Unary::Log1p
            | Unary::Sqrt
            | Unary::Rsqrt
            | Unary::Sin
            | Unary::Cos
            | Unary::Tanh
            | Unary::Sigmoid
            | Unary::Erf => true,
            Unary::Sign
            | Unary::Floor
            | Unary::Ceil
            | Unary::Round
            | Unary::Not
            | Unary::PopCount => false,
        },
        Op::Binary(op) => match op {
            Binary::Add
            | Binary::Sub
            | Binary::Mul
            | Binary::Div
            | Binary::Rem
            | Binary::Pow
            | Binary::Max
            | Binary::Min => true,
            Binary::FloorDiv
            | Binary::Eq
            | Binary::Ne
            | Binary::Lt
            | Binary::Le
            | Binary::Gt
            | Binary::Ge
            | Binary::And
            | Binary::Or
            | Binary::Xor
            | Binary::Shl
            | Binary::Shr => false,
        },
        Op::Cast(dtype) => dtype.is_real(),
        Op::Reduce(combine, _) | Op::Cumulate { combine, .. } => match combine {
            Combine::Sum | Combine::Prod | Combine::Max | Combine::Min => true,
            Combine::Any | Combine::All => false,
        },
        Op::Softmax(_) | Op::Gather { .. } => operand == 0,
        Op::Scatter { .. } | Op::GradAs => operand == 1,
        Op::Select => operand != 0,
        Op::Route(_) => operand != 1,
        Op::State(_)
        | Op::Contract(_)
        | Op::Window { .. }
        | Op::Fold { .. }
        | Op::Split(..)
        | Op::Merge(..)
        | Op::Concat(..)
        | Op::Rename(_)
        | Op::Expand(_)
        | Op::Recurrence(_)
        | Op::Call(_) => true,
    }
}

/// Whether elements of an operand may have no part in the results, however they differ.
/// See note [Zero cotangents].
fn drops(node: &Node) -> bool {
    match &node.op {
        Op::Select
        | Op::Gather { .. }
        | Op::Scatter { .. }
        | Op::Window { .. }
        | Op::Fold { .. }
        | Op::Binary(Binary::Max | Binary::Min)
        | Op::Route(_)
        | Op::Call(_) => true,
        Op::Reduce(combine, _) => matches!(combine, Combine::Max | Combine::Min),
        Op::Cumulate {
            combine, exclusive, ..
        } => *exclusive || matches!(combine, Combine::Max | Combine::Min),
        Op::Softmax(_) => node.operands.len() > 1,
        Op::Recurrence(recurrence) => recurrence.body.nodes.iter().any(drops),
        Op::Input(..)
        | Op::Param(..)
        | Op::State(_)
        | Op::Const(..)
        | Op::Table(..)
        | Op::Index(..)
        | Op::Size(..)
        | Op::Random(..)
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Cast(_)
        | Op::Contract(_)
        | Op::Order { .. }
        | Op::Split(..)
        | Op::Merge(..)
        | Op::Concat(..)
        | Op::Rename(_)
        | Op::Expand(_)
        | Op::GradAs => false,
    }
}

// Note [Where there is no derivative]
// -----------------------------------
// - `abs` at 0, `sign`, `floor`, `ceil`, `round`, `floor_div` and comparisons: 0.
// - `max` and `min` of equal values: half to each operand.
// - `reduce` and `scatter` by `max` or `min`: in equal parts to all that are equal to the
//   result. `cumulate` by `max` or `min`: to the last that is.
// - `select`: to the operand that was chosen, hence `if x > 0 then x else 0` has 0 at 0.
// - `rem`: the quotient counts as constant.
// - `sqrt`, `log`, `div`, `pow` at a pole: infinite, as the quotient says; `pow` by the
//   exponent is 0 at a base of 0, and by the base is 0 for an exponent of 0.
// - `cast` between reals passes the cotangent on; to or from anything else, nothing.
// - `state`: passes to its start, as in the call that begins a stream.
// - `scatter` by `prod` is exact at zeros; its own derivative is not, there.
//
// Note [Zero cotangents]
// ----------------------
// `where n > 0` makes `x / n` a `select` over a quotient that is computed everywhere. Behind
// the `select` the cotangent of the elements left out is 0, and 0 · ∞ would turn it into NaN.
// So behind everything that drops elements (`masked`), a product of a cotangent of 0 and a
// factor that is not finite counts as 0: `select(g == 0 and p != p, 0, p)`. Testing for `g == 0`
// alone would be wrong when gradients are differentiated again, where g is 0 by chance.
// Contractions are left alone: what they sum over was made 0 before, not after.
