//! Values of a loop's body for all its steps at once.
//!
//! What does not depend on the loop's state is computed before it, what depends on what is read
//! from the state after it, both with the operations of the body: an operation that is given the
//! walked axis besides does the same at every position of it.

use girih_graph::op::{Binary, Combine, Op};
use girih_graph::{AxisId, Builder, OpError, Region, ValueId};

use super::build::{added, missing, split};
use super::form::{Term, computed};
use super::recognize::Linear;

/// For each value of the body, what it is for all steps.
pub(super) type Lifted = Vec<Option<ValueId>>;

/// Everything that is needed and does not depend on what is carried.
pub(super) fn free(
    b: &mut Builder,
    linear: &Linear<'_>,
    operands: &[ValueId],
) -> Result<Lifted, OpError> {
    let body = &linear.recurrence.body;
    let mut lifted = vec![None; body.value_count()];
    for (param, operand) in body
        .params()
        .iter()
        .zip(operands)
        .skip(linear.recurrence.carried)
    {
        lifted[param.index()] = Some(*operand);
    }
    let wanted = |at: usize| linear.needed[at] && !linear.forms.depends[at];
    nodes(b, body, &mut lifted, wanted)?;
    Ok(lifted)
}

/// Read-outs, one output of the loop for each of their terms, and everything that is needed besides.
pub(super) fn rest(
    b: &mut Builder,
    linear: &Linear<'_>,
    lifted: &mut Lifted,
    outputs: &[ValueId],
) -> Result<(), OpError> {
    let body = &linear.recurrence.body;
    let mut outputs = outputs.iter();
    for readout in &linear.readouts {
        let mut sum = None;
        for term in &readout.terms {
            let output = *outputs.next().ok_or_else(|| missing("read-out"))?;
            let [_, gain] = split(body, &term.factors, &term.over);
            let own = match product(b, &gain, lifted)? {
                Some(gain) => b.binary(Binary::Mul, output, gain)?,
                None => output,
            };
            sum = Some(added(b, sum, own, term.negative)?);
        }
        for term in &readout.free {
            let own = free_term(b, linear, lifted, term)?;
            sum = Some(added(b, sum, own, term.negative)?);
        }
        let sum = sum.ok_or_else(|| missing("read-out"))?;
        let axes = body.ty(readout.value).axes.clone();
        lifted[readout.value.index()] = Some(having(b, sum, &axes)?);
    }
    let wanted = |at: usize| linear.needed[at] && linear.forms.depends[at];
    nodes(b, body, lifted, wanted)
}

/// The nodes that make wanted values, by their numbers in the body, where these are not there yet.
pub(super) fn nodes(
    b: &mut Builder,
    body: &Region,
    lifted: &mut Lifted,
    wanted: impl Fn(usize) -> bool,
) -> Result<(), OpError> {
    for (_, node) in body.nodes() {
        let is_missing = |value: &ValueId| wanted(value.index()) && lifted[value.index()].is_none();
        if !node.results.iter().any(is_missing) {
            continue;
        }
        let operands = computed(node).iter().map(|own| lifted[own.index()]);
        let operands: Option<Vec<ValueId>> = operands.collect();
        let operands = operands.ok_or_else(|| missing("operand"))?;
        let results = match node.op {
            Op::GradAs => operands,
            _ => b.node(node.op.clone(), &operands)?,
        };
        for (old, new) in node.results.iter().zip(results) {
            lifted[old.index()] = Some(new);
        }
    }
    Ok(())
}

/// A term without a state: the factors that are summed apart from the others.
fn free_term(
    b: &mut Builder,
    linear: &Linear<'_>,
    lifted: &[Option<ValueId>],
    term: &Term,
) -> Result<ValueId, OpError> {
    let body = &linear.recurrence.body;
    let [inside, outside] = split(body, &term.factors, &term.over);
    let outside = product(b, &outside, lifted)?;
    if term.over.is_empty() {
        return outside.ok_or_else(|| missing("term"));
    }
    let inside = product(b, &inside, lifted)?;
    let inside = match (inside, outside) {
        (Some(inside), _) => inside,
        (None, Some(outside)) => b.number(b.ty(outside).dtype, 1.0),
        (None, None) => return Err(missing("term")),
    };
    let inside = having(b, inside, &term.over)?;
    let sum = b.reduce(Combine::Sum, inside, &term.over)?;
    match outside {
        Some(outside) => b.binary(Binary::Mul, sum, outside),
        None => Ok(sum),
    }
}

/// The product of lifted factors; `None` of none.
pub(super) fn product(
    b: &mut Builder,
    factors: &[ValueId],
    lifted: &[Option<ValueId>],
) -> Result<Option<ValueId>, OpError> {
    let mut product = None;
    for factor in factors {
        let factor = lifted[factor.index()].ok_or_else(|| missing("factor"))?;
        product = Some(match product {
            None => factor,
            Some(product) => b.binary(Binary::Mul, product, factor)?,
        });
    }
    Ok(product)
}

/// `x` repeated along axes that it does not have.
pub(super) fn repeated(b: &mut Builder, x: ValueId, axes: &[AxisId]) -> Result<ValueId, OpError> {
    if axes.is_empty() {
        return Ok(x);
    }
    b.value(Op::Expand(axes.to_vec()), &[x])
}

/// `x` with all of these axes.
pub(super) fn having(b: &mut Builder, x: ValueId, axes: &[AxisId]) -> Result<ValueId, OpError> {
    let missing: Vec<AxisId> = axes
        .iter()
        .copied()
        .filter(|axis| !b.ty(x).has(*axis))
        .collect();
    repeated(b, x, &missing)
}

/// `x` with exactly these axes in this order: those that it lacks it is repeated along.
pub(super) fn fitted(b: &mut Builder, x: ValueId, axes: &[AxisId]) -> Result<ValueId, OpError> {
    let x = having(b, x, axes)?;
    if b.ty(x).axes == axes {
        return Ok(x);
    }
    // An operand with the wanted order tells an operation that changes nothing.
    let dtype = b.ty(x).dtype;
    if dtype == girih_graph::DType::Bool {
        let no = b.number(dtype, 0.0);
        let no = repeated(b, no, axes)?;
        return b.binary(Binary::Or, no, x);
    }
    let nothing = b.number(dtype, if dtype.is_real() { -0.0 } else { 0.0 });
    let nothing = repeated(b, nothing, axes)?;
    b.binary(Binary::Add, nothing, x)
}
