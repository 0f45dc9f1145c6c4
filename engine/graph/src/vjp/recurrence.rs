//! The derivative of `recurrence`: a recurrence the other way.
//!
//! It walks from the last step to the first, carries the cotangents of the
//! carried values and the sums of those of the invariants, and gives those of
//! the sequences step by step. Each step runs the forward body again on the
//! values that were carried into it; a second run of the forward recurrence
//! stacks those that are needed.

use super::copy::{copy_through, live_values};
use super::fit::{fresh, zeros};
use super::{Cotangents, Use, active_values, drops, pull_back_since, reaching_values};
use crate::axis::{AxisId, ValueType};
use crate::build::Builder;
use crate::graph::{Region, ValueId};
use crate::op::{Binary, Op, OpError, Recurrence};

pub(super) fn recurrence(
    b: &mut Builder,
    at: &Use,
    forward: &Recurrence,
) -> Result<Cotangents, OpError> {
    let params = parameters(b, at, forward)?;
    let backward = build_backward(b, at, forward, params)?;
    let stacked = stack_carried(b, at, forward, &backward)?;
    b.set_origin(at.origin.clone());
    run_backward(b, at, forward, backward, &stacked)
}

/// What a parameter of the backward body receives; numbers are positions of operands or results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    /// The cotangent of a carried value behind the step.
    Carried(usize),
    /// The cotangent of an operand that all steps share, summed so far. A carried value cannot
    /// have the walked axis: another one stands for it where the operand has it.
    Sum(usize, Option<AxisId>),
    /// The value carried into the step.
    Before(usize),
    /// A slice of an operand.
    Slice(usize),
    /// A slice of the cotangent of a result.
    Cotangent(usize),
    /// An operand that all steps share.
    Shared(usize),
}

/// A parameter of the backward body.
struct Parameter {
    given: Given,
    ty: ValueType,
    /// What a carried one starts as.
    start: Option<ValueId>,
}

/// The backward body, with what its parameters receive and whose cotangents come out step by step.
struct Backward {
    body: Region,
    params: Vec<Parameter>,
    outputs: Vec<usize>,
}

/// Which carried values have a cotangent: those that depend on a wanted operand, at some
/// step, and that a result with a cotangent depends on.
fn carried_with_cotangent(at: &Use, forward: &Recurrence) -> Vec<bool> {
    let Recurrence { carried, body, .. } = forward;
    let mut varies = at.wanted.to_vec();
    let mut counts: Vec<bool> = at.cotangents.iter().map(Option::is_some).collect();
    loop {
        let active = active_values(body, 0, &chosen(body.params(), &varies));
        let reaching = reaching_values(body, &chosen(body.results(), &counts));
        let before = (varies.clone(), counts.clone());
        for slot in 0..*carried {
            varies[slot] |= active[body.results()[slot].index()];
            counts[slot] |= reaching[body.params()[slot].index()];
        }
        if before == (varies.clone(), counts.clone()) {
            break;
        }
    }
    let real = |slot: usize| body.ty(body.params()[slot]).dtype.is_real();
    let has = |slot: usize| varies[slot] && counts[slot] && real(slot);
    (0..*carried).map(has).collect()
}

fn chosen(values: &[ValueId], pick: &[bool]) -> Vec<ValueId> {
    let picked = values.iter().zip(pick).filter(|(_, pick)| **pick);
    picked.map(|(value, _)| *value).collect()
}

/// Every parameter that the backward body may need, in the order of a recurrence's operands.
fn parameters(b: &mut Builder, at: &Use, forward: &Recurrence) -> Result<Vec<Parameter>, OpError> {
    let Recurrence { axis, carried, .. } = *forward;
    let shared = carried + forward.sequences;
    let count = at.node.operands.len();
    let body = &forward.body;
    let types: Vec<ValueType> = body.params().iter().map(|p| body.ty(*p).clone()).collect();
    let mut params = Vec::new();
    let carries = carried_with_cotangent(at, forward);
    for slot in (0..carried).filter(|slot| carries[*slot]) {
        let start = match at.cotangents[slot] {
            Some(cotangent) => cotangent,
            None => zeros(b, &types[slot])?,
        };
        params.push(Parameter {
            given: Given::Carried(slot),
            ty: b.ty(start).clone(),
            start: Some(start),
        });
    }
    for slot in (shared..count).filter(|slot| at.wanted[*slot]) {
        let mut ty = types[slot].clone();
        let mut stand_in = None;
        if let Some(walked) = ty.axes.iter_mut().find(|own| **own == axis) {
            *walked = *stand_in.insert(fresh(b, axis));
        }
        params.push(Parameter {
            given: Given::Sum(slot, stand_in),
            start: Some(zeros(b, &ty)?),
            ty,
        });
    }
    let mut receive = |given: Given, ty: ValueType| {
        let start = None;
        params.push(Parameter { given, ty, start });
    };
    for (slot, ty) in types.iter().enumerate().take(carried) {
        receive(Given::Before(slot), ty.clone());
    }
    for (slot, ty) in types.iter().enumerate().take(shared).skip(carried) {
        receive(Given::Slice(slot), ty.clone());
    }
    for (slot, cotangent) in at.cotangents.iter().enumerate().skip(carried) {
        if let Some(cotangent) = cotangent {
            let ty = b.ty(*cotangent);
            let slice = ValueType::new(ty.dtype, ty.without(&[axis]));
            receive(Given::Cotangent(slot), slice);
        }
    }
    for (slot, ty) in types.iter().enumerate().skip(shared) {
        receive(Given::Shared(slot), ty.clone());
    }
    Ok(params)
}

/// One step backwards, reduced to the parameters that it needs.
fn build_backward(
    b: &mut Builder,
    at: &Use,
    forward: &Recurrence,
    params: Vec<Parameter>,
) -> Result<Backward, OpError> {
    b.open_region();
    let values: Vec<ValueId> = params
        .iter()
        .map(|p| b.add_parameter(p.ty.clone()))
        .collect();
    let given = |what: Given| {
        let position = params.iter().position(|param| param.given == what);
        position.map(|position| values[position])
    };
    let operand = |slot: usize| {
        given(Given::Before(slot))
            .or_else(|| given(Given::Slice(slot)))
            .or_else(|| given(Given::Shared(slot)))
    };
    let behind =
        |slot: usize| given(Given::Carried(slot)).or_else(|| given(Given::Cotangent(slot)));

    let results = forward.body.results();
    let operands: Vec<Option<ValueId>> = (0..at.node.operands.len()).map(operand).collect();
    let seeded = (0..results.len()).filter_map(|slot| Some((results[slot], behind(slot)?)));
    let seeded: Vec<(ValueId, ValueId)> = seeded.collect();
    let roots: Vec<ValueId> = seeded.iter().map(|(result, _)| *result).collect();
    let copies = copy_through(b, &forward.body, &operands, &roots, &mut |_, _, value| {
        Ok(value)
    })?;
    let seeds = seeded.iter().filter_map(|(result, cotangent)| {
        let copy = copies[result.index()]?;
        Some((copy, *cotangent))
    });
    let seeds: Vec<(ValueId, ValueId)> = seeds.collect();

    // A carried value without a cotangent is not differentiated by, though it may be wanted.
    let asked = |slot: &usize| {
        if *slot < forward.carried {
            given(Given::Carried(*slot)).is_some()
        } else {
            at.wanted[*slot]
        }
    };
    let asked: Vec<usize> = (0..at.node.operands.len()).filter(asked).collect();
    let wanted: Vec<ValueId> = asked.iter().filter_map(|slot| operands[*slot]).collect();
    let masked = at.masked || drops(at.node);
    let moved = pull_back_since(b, 0, &seeds, &wanted, masked)?;
    b.set_origin(at.origin.clone());

    let (mut next, mut outputs, mut stacked) = (Vec::new(), Vec::new(), Vec::new());
    let mut carried = Vec::new();
    for (slot, cotangent) in asked.into_iter().zip(moved) {
        if let Some(position) = params.iter().position(|p| p.given == Given::Carried(slot)) {
            let ty = params[position].ty.clone();
            next.push(match cotangent {
                Some(cotangent) => cotangent,
                None => zeros(b, &ty)?,
            });
            carried.push(position);
        } else if let Some(cotangent) = cotangent {
            let sum = |param: &Parameter| match param.given {
                Given::Sum(own, stand_in) if own == slot => Some(stand_in),
                _ => None,
            };
            let sum = params
                .iter()
                .enumerate()
                .find_map(|(at, p)| Some((at, sum(p)?)));
            if let Some((position, stand_in)) = sum {
                let cotangent = match stand_in {
                    Some(stand_in) => b.rename(cotangent, &[(forward.axis, stand_in)])?,
                    None => cotangent,
                };
                next.push(b.binary(Binary::Add, values[position], cotangent)?);
                carried.push(position);
            } else {
                stacked.push(cotangent);
                outputs.push(slot);
            }
        }
    }
    next.extend(stacked);
    let full = b.close_region(next);
    let live = live_values(&full, full.results());
    let keep = |(position, value): (usize, &ValueId)| {
        carried.contains(&position) || (live[value.index()] && params[position].start.is_none())
    };
    let keep: Vec<bool> = values.iter().enumerate().map(keep).collect();
    let body = narrowed(b, &full, full.results(), &keep)?;
    let kept = params.into_iter().zip(keep).filter(|(_, keep)| *keep);
    Ok(Backward {
        body,
        params: kept.map(|(param, _)| param).collect(),
        outputs,
    })
}

/// Runs the forward recurrence for the values carried into each step that the backward body
/// needs, in order.
fn stack_carried(
    b: &mut Builder,
    at: &Use,
    forward: &Recurrence,
    backward: &Backward,
) -> Result<Vec<ValueId>, OpError> {
    let before = |param: &Parameter| match param.given {
        Given::Before(slot) => Some(slot),
        _ => None,
    };
    let needed: Vec<usize> = backward.params.iter().filter_map(before).collect();
    if needed.is_empty() {
        return Ok(Vec::new());
    }
    let body = &forward.body;
    let mut results = body.results()[..forward.carried].to_vec();
    results.extend(needed.iter().map(|slot| body.params()[*slot]));
    let live = live_values(body, &results);
    let keep = |(slot, param): (usize, &ValueId)| slot < forward.carried || live[param.index()];
    let keep: Vec<bool> = body.params().iter().enumerate().map(keep).collect();
    let sequences = keep[forward.carried..][..forward.sequences].iter();
    let again = Recurrence {
        axis: forward.axis,
        reverse: forward.reverse,
        carried: forward.carried,
        sequences: sequences.filter(|keep| **keep).count(),
        body: narrowed(b, body, &results, &keep)?,
    };
    let operands = chosen(&at.node.operands, &keep);
    b.set_origin(at.origin.clone());
    let results = b.node(Op::Recurrence(Box::new(again)), &operands)?;
    Ok(results[forward.carried..].to_vec())
}

fn run_backward(
    b: &mut Builder,
    at: &Use,
    forward: &Recurrence,
    backward: Backward,
    stacked: &[ValueId],
) -> Result<Cotangents, OpError> {
    let Backward {
        body,
        params,
        outputs,
    } = backward;
    let mut stacked = stacked.iter().copied();
    let (mut operands, mut sequences) = (Vec::new(), 0);
    for param in &params {
        let (operand, sequence) = match param.given {
            Given::Carried(_) | Given::Sum(..) => (param.start, false),
            Given::Before(_) => (stacked.next(), true),
            Given::Slice(slot) => (Some(at.node.operands[slot]), true),
            Given::Cotangent(slot) => (at.cotangents[slot], true),
            Given::Shared(slot) => (Some(at.node.operands[slot]), false),
        };
        operands.extend(operand);
        sequences += usize::from(sequence);
    }
    let carried = params.iter().filter(|param| param.start.is_some()).count();
    let node = Recurrence {
        axis: forward.axis,
        reverse: !forward.reverse,
        carried,
        sequences,
        body,
    };
    let results = b.node(Op::Recurrence(Box::new(node)), &operands)?;
    let (finals, steps) = results.split_at(carried);

    let mut cotangents = vec![None; at.node.operands.len()];
    for (param, total) in params.iter().zip(finals) {
        match param.given {
            Given::Carried(slot) | Given::Sum(slot, None) => cotangents[slot] = Some(*total),
            Given::Sum(slot, Some(stand_in)) => {
                cotangents[slot] = Some(b.rename(*total, &[(stand_in, forward.axis)])?);
            }
            Given::Before(_) | Given::Slice(_) | Given::Cotangent(_) | Given::Shared(_) => {}
        }
    }
    for (slot, stack) in outputs.into_iter().zip(steps) {
        cotangents[slot] = Some(*stack);
    }
    Ok(cotangents)
}

/// The region with these results and only the parameters in `keep`.
fn narrowed(
    b: &mut Builder,
    region: &Region,
    results: &[ValueId],
    keep: &[bool],
) -> Result<Region, OpError> {
    b.open_region();
    let params = region.params().iter().zip(keep);
    let params =
        params.map(|(param, keep)| keep.then(|| b.add_parameter(region.ty(*param).clone())));
    let params: Vec<Option<ValueId>> = params.collect();
    let copies = copy_through(b, region, &params, results, &mut |_, _, value| Ok(value))?;
    let results = results.iter().filter_map(|result| copies[result.index()]);
    let results = results.collect();
    Ok(b.close_region(results))
}
