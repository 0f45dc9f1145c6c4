//! Whether a loop is faster in chunks, and how long they should be, or in blocks.
//!
//! Costs are in elements that a step of a loop computes; sizes that are not known are taken as long.

use girih_graph::{AxisId, AxisTable, DType};

use super::build::split;
use super::element::Scan;
use super::form::axes_of;
use super::recognize::Linear;
use super::scan::SHORTEST;
use crate::lower::{Wants, part};

/// Chunk lengths that are tried.
const LENGTHS: [u32; 3] = [64, 32, 16];

/// Multiply-adds of a matrix product that take the time of one element elsewhere.
const PRODUCT: f64 = 8.0;

/// What an element of the products of decays between two steps costs: they are made one by one.
const BETWEEN: f64 = 30.0;

/// What starting a launch costs.
const LAUNCH: f64 = 4000.0;

/// Multiply-adds of a step that take the time of one element elsewhere, if the loop is cut into parts whose states stay
/// in the cache.
const NEAR: f64 = 10.0;

/// Elements of the largest state that stays there.
const NEAR_ELEMENTS: f64 = 12_288.0;

/// Elements of a part, if its positions have fewer.
const PART_ELEMENTS: f64 = 6_144.0;

/// What starting a part's step costs.
const PART_LAUNCH: f64 = 400.0;

/// Columns of a state below which its steps do not fill vectors.
const FEW_COLUMNS: f64 = 32.0;

/// How much faster chunks should be than steps: what is counted here is not all.
const MARGIN: f64 = 1.25;

/// What a size counts that is not known.
const UNKNOWN: f64 = 256.0;

/// Loops of fewer steps stay as they are.
const FEW_STEPS: i64 = 32;

/// Loops of fewer steps do not go in blocks.
const MANY_STEPS: i64 = 1024;

/// Elements of all states up to which a step is mostly what it costs to start it: at 16 blocks take half the time, at 32
/// twice.
const FEW_ELEMENTS: f64 = 16.0;

/// The chunk length – `given`, if that is one – or why there should be none. Chunks that are
/// `wanted` need not be faster than steps.
pub(super) fn length(
    axes: &AxisTable,
    linear: &Linear<'_>,
    given: Option<u32>,
    wanted: bool,
    wants: Wants,
) -> Result<u32, &'static str> {
    let steps = axes.extent(linear.recurrence.axis).as_constant();
    if !wanted && steps.is_some_and(|steps| steps < FEW_STEPS) {
        return Err("it has few steps");
    }
    let by_steps = steps_cost(axes, linear, wants);
    let lengths = given.map_or(LENGTHS.to_vec(), |length| vec![length]);
    let costs = lengths
        .into_iter()
        .map(|length| (length, chunk_cost(axes, linear, f64::from(length))));
    match costs.min_by(|one, other| one.1.total_cmp(&other.1)) {
        Some((length, cost)) if wanted || cost * MARGIN < by_steps => Ok(length),
        _ => Err("chunks would compute more than its steps do"),
    }
}

/// Whether a loop should go in blocks of its steps – of `length` steps, if that is given –, or why not.
/// Blocks that are `wanted` need not be faster than steps.
pub(super) fn blocks(
    axes: &AxisTable,
    scan: &Scan<'_>,
    length: Option<u32>,
    wanted: bool,
) -> Result<(), &'static str> {
    let steps = axes.extent(scan.recurrence.axis).as_constant();
    let least = length.map_or(SHORTEST, i64::from);
    if steps.is_some_and(|steps| steps < if wanted { least } else { MANY_STEPS }) {
        return Err("it has few steps");
    }
    let body = &scan.recurrence.body;
    let states = &body.params()[..scan.recurrence.carried];
    let elements: f64 = states
        .iter()
        .map(|own| size(axes, &body.ty(*own).axes))
        .sum();
    if !wanted && elements > FEW_ELEMENTS {
        return Err("its steps have many elements");
    }
    Ok(())
}

fn size(axes: &AxisTable, of: &[AxisId]) -> f64 {
    let sizes = of.iter().map(|axis| axes.extent(*axis).as_constant());
    sizes
        .map(|size| size.map_or(UNKNOWN, |size| size as f64))
        .product()
}

/// Each axis once.
fn union(parts: &[&[AxisId]]) -> Vec<AxisId> {
    let mut all: Vec<AxisId> = parts.concat();
    all.sort();
    all.dedup();
    all
}

/// One step of the loop.
fn steps_cost(axes: &AxisTable, linear: &Linear<'_>, wants: Wants) -> f64 {
    let body = &linear.recurrence.body;
    let state = |carried: usize| size(axes, &body.ty(body.params()[carried]).axes);
    let near = || near_parts(axes, linear);
    if let Some(parts) = (!wants.far_states).then(near).flatten() {
        let updates = linear.states.iter().enumerate().map(|(carried, own)| {
            let fades = f64::from(u8::from(own.decay.is_some()));
            state(carried) * (1.0 + fades) / NEAR + parts * PART_LAUNCH
        });
        let terms = linear.readouts.iter().flat_map(|readout| &readout.terms);
        let reads = terms
            .filter_map(|term| term.base)
            .map(|base| state(base.carried) / NEAR);
        return updates.chain(reads).sum();
    }
    let updates = linear.states.iter().enumerate().map(|(carried, own)| {
        let fades = f64::from(u8::from(own.decay.is_some()));
        state(carried) * (2.0 + fades) + LAUNCH
    });
    let terms = linear.readouts.iter().flat_map(|readout| &readout.terms);
    let reads = terms
        .filter_map(|term| term.base)
        .map(|base| state(base.carried) * 2.0);
    updates.chain(reads).sum()
}

/// Into how many parts the loop is cut, if one routine computes their steps and their states stay in the cache.
fn near_parts(axes: &AxisTable, linear: &Linear<'_>) -> Option<f64> {
    let recurrence = linear.recurrence;
    let part = part::found(recurrence, &|axis| axes.extent(axis).clone())?;
    let body = &recurrence.body;
    let mut elements = 0.0;
    for (carried, param) in body.params()[..recurrence.carried].iter().enumerate() {
        let ty = body.ty(*param);
        let over = linear.over(carried);
        let mut columns = ty.without(&over);
        if columns.len() > 1 {
            columns.retain(|axis| *axis != part);
        }
        if ty.dtype != DType::F32 || size(axes, &columns) < FEW_COLUMNS {
            return None;
        }
        elements += size(axes, &ty.axes);
    }
    let own = elements / size(axes, &[part]);
    (own <= NEAR_ELEMENTS).then(|| (elements / own.max(PART_ELEMENTS)).max(1.0))
}

/// One step's share of a chunk.
fn chunk_cost(axes: &AxisTable, linear: &Linear<'_>, length: f64) -> f64 {
    let body = &linear.recurrence.body;
    let all = |axes: &[girih_graph::ValueId]| axes_of(body, axes.iter().copied());
    let mut cost = 0.0;
    let mut launches = 4.0;
    for (carried, state) in linear.states.iter().enumerate() {
        let own = &body.ty(body.params()[carried]).axes;
        let decay = linear.decay_axes(carried);
        let over = linear.over(carried);
        if state.decay.is_some() {
            cost += BETWEEN * length * size(axes, &decay);
            launches += 6.0;
        }
        cost += size(axes, own) * 2.0 / length;
        for update in &state.updates {
            let [k, v] = split(body, &update.factors, &over).map(|own| all(&own));
            cost += size(axes, &union(&[&k, &v])) / PRODUCT + size(axes, &k) + size(axes, &v);
            launches += 2.0;
        }
    }
    for term in linear.readouts.iter().flat_map(|readout| &readout.terms) {
        let Some(base) = term.base else { continue };
        let own = &body.ty(body.params()[base.carried]).axes;
        let decay = linear.decay_axes(base.carried);
        let [q, _] = split(body, &term.factors, &term.over).map(|own| all(&own));
        cost += size(axes, &union(&[&q, own])) / PRODUCT;
        launches += 4.0;
        for update in &linear.states[base.carried].updates {
            let [k, v] = split(body, &update.factors, &term.over).map(|own| all(&own));
            let products = union(&[&q, &k, &term.over]);
            let mut scores = union(&[&q, &k, &decay]);
            if decay.iter().any(|axis| term.over.contains(axis)) {
                cost += 3.0 * length * size(axes, &union(&[&products, &decay]));
            } else {
                cost += length * size(axes, &products) / PRODUCT;
            }
            scores.retain(|axis| !term.over.contains(axis));
            cost += length * size(axes, &scores);
            cost += length * size(axes, &union(&[&scores, &v])) / PRODUCT;
            launches += 3.0;
        }
    }
    cost + launches * LAUNCH / length
}
