//! The derivative of `call`: the gradient that it brings, or that of its body.

use super::copy::copy_through;
use super::fit::{fit, ordered, zeros};
use super::{Cotangents, Use, pull_back_since};
use crate::build::Builder;
use crate::graph::{Region, ValueId};
use crate::op::{Binary, Call, OpError};

pub(super) fn call(b: &mut Builder, at: &Use, call: &Call) -> Result<Cotangents, OpError> {
    match (call.gradient(), call.body()) {
        (Some(gradient), _) => given(b, at, gradient),
        (None, Some(body)) => derived(b, at, body),
        (None, None) => Err(OpError::Rule {
            op: "call",
            reason: format!(
                "`{}` has neither a gradient nor a body that could be differentiated",
                call.callee
            ),
        }),
    }
}

/// Copies a region's nodes in place and gives its results.
fn run(b: &mut Builder, region: &Region, given: &[ValueId]) -> Result<Vec<ValueId>, OpError> {
    let given: Vec<Option<ValueId>> = given.iter().copied().map(Some).collect();
    let copies = copy_through(b, region, &given, region.results(), &mut |_, _, x| Ok(x))?;
    let results = region.results().iter().map(|value| copies[value.index()]);
    results.collect::<Option<_>>().ok_or_else(|| OpError::Rule {
        op: "call",
        reason: "a region does not compute its results".to_owned(),
    })
}

fn given(b: &mut Builder, at: &Use, gradient: &Region) -> Result<Cotangents, OpError> {
    let mut params = at.node.operands.clone();
    params.extend(&at.node.results);
    for (result, cotangent) in at.node.results.iter().zip(at.cotangents) {
        let ty = b.ty(*result).clone();
        if ty.dtype.is_real() {
            params.push(match cotangent {
                Some(cotangent) => ordered(b, *cotangent, &ty.axes)?,
                None => zeros(b, &ty)?,
            });
        }
    }
    let made = run(b, gradient, &params)?;
    b.set_origin(at.origin.clone());
    let mut made = made.into_iter();
    let mut cotangents = Vec::with_capacity(at.node.operands.len());
    for (operand, wanted) in at.node.operands.iter().zip(at.wanted) {
        let ty = b.ty(*operand).clone();
        let own = if ty.dtype.is_real() {
            made.next()
        } else {
            None
        };
        cotangents.push(match own.filter(|_| *wanted) {
            Some(own) => Some(fit(b, own, &ty.axes)?),
            None => None,
        });
    }
    Ok(cotangents)
}

fn derived(b: &mut Builder, at: &Use, body: &Region) -> Result<Cotangents, OpError> {
    let operands = &at.node.operands;
    let first = b.region().node_count();
    let made = run(b, body, operands)?;
    b.set_origin(at.origin.clone());
    let mut seeds: Vec<(ValueId, ValueId)> = Vec::new();
    for (value, cotangent) in made.iter().zip(at.cotangents) {
        let Some(cotangent) = *cotangent else {
            continue;
        };
        // One value may be several results.
        match seeds.iter_mut().find(|(known, _)| known == value) {
            Some((_, sum)) => *sum = b.binary(Binary::Add, *sum, cotangent)?,
            None => seeds.push((*value, cotangent)),
        }
    }
    // A value that comes in twice has one cotangent.
    let asked = |slot: &usize| at.wanted[*slot] && !operands[..*slot].contains(&operands[*slot]);
    let asked: Vec<usize> = (0..operands.len()).filter(asked).collect();
    let wanted: Vec<ValueId> = asked.iter().map(|slot| operands[*slot]).collect();
    let moved = pull_back_since(b, first, &seeds, &wanted, at.masked)?;
    let mut cotangents = vec![None; operands.len()];
    for (slot, cotangent) in asked.into_iter().zip(moved) {
        cotangents[slot] = cotangent;
    }
    Ok(cotangents)
}
