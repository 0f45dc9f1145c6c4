//! A loop whose states go on element by element, with all its blocks of steps side by side.
//!
//! A step `S' = a·S + b` is the pair (a, b), and two steps are a step: (a₁, b₁) then (a₂, b₂) is
//! (a₂·a₁, a₂·b₁ + b₂). So is a larger or smaller one of the state and something else. That is used
//! once for each block of steps, not at every step:
//!
//! 1. a loop over the steps of a block goes through all blocks at once, from 0 (or ∓∞), and leaves
//!    what a block adds; the product of its decays is a product;
//! 2. a loop over blocks gives the states at their borders;
//! 3. the loop itself, over the steps of a block, goes through all blocks at once, each from its own
//!    border, and does whatever else a step does.
//!
//! Blocks are of equal length; the steps left over follow as the loop that they are. So the arithmetic
//! within a block is that of the steps, and a sequence too short for a block is computed as before.
//!
//! What is not finite: a block that starts from a state of 0 ends as its steps do, whatever its decays
//! are; an infinite state stays infinite where decays only underflow, and is NaN after a decay of 0. A
//! block with an infinite decay ends as NaN where steps may give an infinity, and one whose decays
//! multiply to more than the largest number ends as an infinity.
//!
//! Sources: Blelloch 1990, CMU-CS-90-190 (scans, first-order recurrences); Merrill & Garland 2016,
//! NVR-2016-002 (reduce, then scan).

use std::collections::BTreeMap;

use girih_graph::op::{Binary, Combine, Op, Recurrence, Unary};
use girih_graph::{AxisId, Builder, Extent, ValueId};

use super::build::{Built, faded, missing, window};
use super::element::{Scan, Step};
use super::lift::{self, Lifted, fitted, repeated};
use super::walk::{Given, Slot, Walked, walk};

/// Blocks of a long sequence, unless their length is given: steps of few elements fill vectors and
/// threads then, and a step's slices stay in the first cache.
const BLOCKS: i64 = 256;

/// The shortest length of blocks that is chosen: a block costs a step of the loop over borders.
pub(super) const SHORTEST: i64 = 33;

/// The axes that time becomes.
struct Time {
    whole: AxisId,
    /// The steps of all blocks.
    main: AxisId,
    blocks: AxisId,
    /// Steps of a block.
    steps: AxisId,
    /// Steps that are left over: the last ones to be walked.
    rest: AxisId,
    reverse: bool,
    /// Where blocks and what is left over begin.
    starts: [Extent; 2],
}

impl Time {
    fn new(b: &mut Builder, recurrence: &Recurrence, length: Option<u32>) -> Self {
        let (whole, reverse) = (recurrence.axis, recurrence.reverse);
        let (name, size) = (b.axes.name(whole).to_owned(), b.axes.extent(whole).clone());
        // Odd, as equal steps of blocks that lie a power of two apart share few places in caches.
        let half = size.floor_div(&Extent::constant(2 * BLOCKS));
        let odd = half.times(&Extent::constant(2)).plus(&Extent::constant(1));
        let chosen = odd.maximum(&Extent::constant(SHORTEST));
        let steps = length.map_or(chosen, |length| Extent::constant(length.into()));
        let blocks = size.floor_div(&steps);
        let main = blocks.times(&steps);
        let rest = size.minus(&main);
        let mut add = |part: &str, extent: &Extent| {
            let name = format!("{name}_{part}");
            b.axes.add(&name, extent.clone(), None, false)
        };
        let none = Extent::constant(0);
        Self {
            whole,
            main: add("main", &main),
            blocks: add("block", &blocks),
            steps: add("step", &steps),
            rest: add("rest", &rest),
            reverse,
            starts: if reverse { [rest, none] } else { [none, main] },
        }
    }

    /// A value for all steps, as blocks of them.
    fn by_blocks(&self, b: &mut Builder, x: ValueId) -> Built<ValueId> {
        let main = window(b, x, self.whole, (self.main, &self.starts[0]))?;
        let parts = vec![self.blocks, self.steps];
        b.value(Op::Split(self.main, parts), &[main])
    }
}

/// Builds the three loops and the one over what is left, and gives what replaces the results of the
/// recurrence. Blocks have `length` steps.
///
/// # Errors
///
/// None: every operation has the operands that it wants.
pub(super) fn scanned(
    b: &mut Builder,
    scan: &Scan<'_>,
    operands: &[ValueId],
    length: Option<u32>,
) -> Built<Vec<ValueId>> {
    let recurrence = scan.recurrence;
    let (body, carried) = (&recurrence.body, recurrence.carried);
    let time = Time::new(b, recurrence, length);
    let mut whole: Lifted = vec![None; body.value_count()];
    for (param, operand) in body.params().iter().zip(operands).skip(carried) {
        whole[param.index()] = Some(*operand);
    }
    lift::nodes(b, body, &mut whole, |at| !scan.depends[at])?;
    let (mut blocks, mut rest) = (Given::default(), Given::default());
    let mut slots = BTreeMap::new();
    for value in scan.reads() {
        let own = whole[value.index()].ok_or_else(|| missing("operand"))?;
        let (mut parts, mut left) = (own, own);
        if b.ty(own).has(time.whole) {
            parts = time.by_blocks(b, own)?;
            left = window(b, own, time.whole, (time.rest, &time.starts[1]))?;
        }
        let slot = blocks.place(b, time.steps, parts);
        rest.place(b, time.rest, left);
        slots.insert(value, slot);
    }

    let mut starts = Vec::new();
    for (step, param) in scan.states.iter().zip(body.params()) {
        let ty = body.ty(*param);
        let start = b.number(ty.dtype, step.start());
        let axes = [[time.blocks].as_slice(), &ty.axes].concat();
        starts.push(repeated(b, start, &axes)?);
    }
    let step = |outputs: bool| {
        let slots = &slots;
        move |b: &mut Builder, states: &[ValueId], walked: Walked<'_>| {
            one_step(b, scan, slots, states, walked, outputs)
        }
    };
    let within = (time.steps, time.reverse);
    let ends = walk(b, within, &starts, &blocks, step(false))?;
    let ends = (&operands[..carried], ends.as_slice());
    let (last, borders) = borders(b, scan, &time, &whole, ends)?;
    let main = walk(b, within, &borders, &blocks, step(true))?;
    let rest = walk(b, (time.rest, time.reverse), &last, &rest, step(true))?;

    let mut replaced = rest[..carried].to_vec();
    let mut made = main[carried..].iter().zip(&rest[carried..]);
    for output in &body.results()[carried..] {
        let all = if scan.depends[output.index()] {
            let (main, rest) = made.next().ok_or_else(|| missing("output"))?;
            let merge = Op::Merge(vec![time.blocks, time.steps], time.main);
            let main = b.value(merge, &[*main])?;
            let (axes, parts) = if time.reverse {
                ([time.rest, time.main], [*rest, main])
            } else {
                ([time.main, time.rest], [main, *rest])
            };
            b.value(Op::Concat(axes.to_vec(), time.whole), &parts)?
        } else {
            whole[output.index()].ok_or_else(|| missing("output"))?
        };
        let mut axes = vec![time.whole];
        axes.extend_from_slice(&body.ty(*output).axes);
        replaced.push(fitted(b, all, &axes)?);
    }
    Ok(replaced)
}

/// One step of the body from these states: the next ones and, if asked for, outputs that depend on
/// them. An axis of blocks rides along.
fn one_step(
    b: &mut Builder,
    scan: &Scan<'_>,
    slots: &BTreeMap<ValueId, Slot>,
    states: &[ValueId],
    walked: Walked<'_>,
    outputs: bool,
) -> Built<Vec<ValueId>> {
    let (body, carried) = (&scan.recurrence.body, scan.recurrence.carried);
    let mut values: Lifted = vec![None; body.value_count()];
    for (param, state) in body.params().iter().zip(states) {
        values[param.index()] = Some(*state);
    }
    for (value, slot) in slots {
        values[value.index()] = Some(walked.value(*slot));
    }
    lift::nodes(b, body, &mut values, |at| scan.depends[at])?;
    let (next, made) = body.results().split_at(carried);
    let made = made
        .iter()
        .filter(|own| outputs && scan.depends[own.index()]);
    let results = next.iter().chain(made).map(|own| values[own.index()]);
    let results: Option<Vec<ValueId>> = results.collect();
    results.ok_or_else(|| missing("result"))
}

/// The loop over blocks: the last states, and those that blocks start from.
fn borders(
    b: &mut Builder,
    scan: &Scan<'_>,
    time: &Time,
    whole: &Lifted,
    (starts, ends): (&[ValueId], &[ValueId]),
) -> Built<(Vec<ValueId>, Vec<ValueId>)> {
    let mut given = Given::default();
    let mut slots = Vec::new();
    for (step, end) in scan.states.iter().zip(ends) {
        let fading = match step {
            Step::Fading(Some(terms)) => {
                let decay = faded(b, b.ty(*end).dtype, terms, whole)?;
                let decays = if b.ty(decay).has(time.whole) {
                    time.by_blocks(b, decay)?
                } else {
                    repeated(b, decay, &[time.steps])?
                };
                let product = b.reduce(Combine::Prod, decays, &[time.steps])?;
                let sizes = b.unary(Unary::Abs, decays)?;
                let least = b.reduce(Combine::Min, sizes, &[time.steps])?;
                Some([product, least].map(|own| given.place(b, time.blocks, own)))
            }
            Step::Fading(None) | Step::Extreme(_) => None,
        };
        slots.push((fading, given.place(b, time.blocks, *end)));
    }
    let walked = (time.blocks, time.reverse);
    let mut results = walk(b, walked, starts, &given, |b, states, walked| {
        let mut next = Vec::new();
        for ((step, state), (fading, end)) in scan.states.iter().zip(states).zip(&slots) {
            let end = walked.value(*end);
            next.push(match (step, fading) {
                (Step::Extreme(op), _) => b.binary(*op, *state, end)?,
                (Step::Fading(_), None) => b.binary(Binary::Add, *state, end)?,
                (Step::Fading(_), Some([product, least])) => {
                    let decays = (walked.value(*product), walked.value(*least));
                    after_block(b, *state, decays, end)?
                }
            });
        }
        next.extend_from_slice(states);
        Ok(next)
    })?;
    let borders = results.split_off(starts.len());
    Ok((results, borders))
}

/// `product · state + end`, where the product of decays may be what no step multiplies by: 0 by
/// underflow, or an infinity.
fn after_block(
    b: &mut Builder,
    state: ValueId,
    (product, least): (ValueId, ValueId),
    end: ValueId,
) -> Built<ValueId> {
    let dtype = b.ty(state).dtype;
    let [zero, infinity] = [0.0, f64::INFINITY].map(|number| b.number(dtype, number));
    let fades = b.binary(Binary::Mul, state, product)?;
    // An infinity of the product's sign: decays that are not 0 leave an infinite state infinite.
    let endless = b.binary(Binary::Div, state, product)?;
    let size = b.unary(Unary::Abs, state)?;
    let infinite = b.binary(Binary::Eq, size, infinity)?;
    let gone = b.binary(Binary::Eq, product, zero)?;
    let fading = b.binary(Binary::Gt, least, zero)?;
    let underflown = b.binary(Binary::And, gone, fading)?;
    let kept = b.binary(Binary::And, infinite, underflown)?;
    let fades = b.select(kept, endless, fades)?;
    let next = b.binary(Binary::Add, fades, end)?;
    // Exactly what the steps of the block gave.
    let from_nothing = b.binary(Binary::Eq, state, zero)?;
    b.select(from_nothing, end, next)
}
