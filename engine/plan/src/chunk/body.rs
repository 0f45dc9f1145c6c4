//! The body of the loop over chunks: one chunk at once.

use std::collections::BTreeMap;

use girih_graph::op::{Binary, Combine, Op};
use girih_graph::{AxisId, Builder, ValueId};

use super::build::{Built, Time, added, missing};
use super::lift::{self, fitted};
use super::walk::{Given, Slot, Walked, walk};

/// `± k ⊗ v`; an absent factor is 1.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) negative: bool,
    pub(super) k: Option<Slot>,
    pub(super) v: Option<Slot>,
}

/// A term of a read-out.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) carried: usize,
    pub(super) after: bool,
    pub(super) over: Vec<AxisId>,
    pub(super) q: Option<Slot>,
    /// As the term's sums split them.
    pub(super) updates: Vec<Update>,
}

/// Decays, updates and read-outs.
type Steps<'a> = (
    &'a [Option<(Slot, Vec<AxisId>)>],
    &'a [Vec<Update>],
    &'a [Read],
);

/// The loop over chunks: final states, then what is read, by chunks.
pub(super) fn run(
    b: &mut Builder,
    reverse: bool,
    time: Time,
    starts: &[ValueId],
    given: &Given,
    (decays, updates, reads): Steps<'_>,
) -> Built<Vec<ValueId>> {
    walk(
        b,
        (time.chunks, reverse),
        starts,
        given,
        |b, states, walked| {
            let mut chunk = Chunk {
                time,
                reverse,
                walked,
                between: BTreeMap::new(),
            };
            let mut results = Vec::new();
            for ((state, decay), updates) in states.iter().zip(decays).zip(updates) {
                results.push(chunk.next(b, *state, decay.as_ref(), updates)?);
            }
            for read in reads {
                let decay = decays[read.carried].as_ref();
                results.push(chunk.read(b, states[read.carried], decay, read)?);
            }
            Ok(results)
        },
    )
}

/// The body of the loop over chunks.
struct Chunk<'a> {
    time: Time,
    reverse: bool,
    walked: Walked<'a>,
    /// Products of decays between two steps, by state and whether the later step counts.
    between: BTreeMap<(usize, bool), ValueId>,
}

impl Chunk<'_> {
    /// The value with the steps of the chunk under the name `axis`.
    fn along(&self, b: &mut Builder, slot: Slot, axis: AxisId) -> Built<ValueId> {
        let value = self.walked.value(slot);
        self.renamed(b, value, axis)
    }

    fn renamed(&self, b: &mut Builder, value: ValueId, axis: AxisId) -> Built<ValueId> {
        if b.ty(value).has(self.time.steps) {
            b.rename(value, &[(self.time.steps, axis)])
        } else {
            Ok(value)
        }
    }

    /// The state after the chunk.
    fn next(
        &mut self,
        b: &mut Builder,
        state: ValueId,
        decay: Option<&(Slot, Vec<AxisId>)>,
        updates: &[Update],
    ) -> Built<ValueId> {
        let (steps, read) = (self.time.steps, self.time.read);
        let mut sum = Some(state);
        let mut later = None;
        if let Some((slot, _)) = decay {
            let decays = self.walked.value(*slot);
            let whole = b.reduce(Combine::Prod, decays, &[steps])?;
            sum = Some(b.binary(Binary::Mul, state, whole)?);
            let running = running(b, (decays, steps), !self.reverse, true)?;
            later = Some(self.renamed(b, running, read)?);
        }
        for update in updates {
            let mut k = update.k.map(|k| self.along(b, k, read)).transpose()?;
            let mut v = update.v.map(|v| self.along(b, v, read)).transpose()?;
            if let Some(later) = later {
                // To the factor that has its axes, so that none becomes larger.
                let has = |x: ValueId| {
                    let missing = |axis: &&AxisId| **axis != read && !b.ty(x).has(**axis);
                    b.ty(later).axes.iter().filter(missing).count()
                };
                match (k, v) {
                    (Some(own), None) => k = Some(b.binary(Binary::Mul, own, later)?),
                    (Some(own), Some(other)) if has(own) < has(other) => {
                        k = Some(b.binary(Binary::Mul, own, later)?);
                    }
                    (_, Some(own)) => v = Some(b.binary(Binary::Mul, own, later)?),
                    (None, None) => return Err(missing("update")),
                }
            }
            // In memory as the state lies, whose last axis is the last factor's.
            let last = b.ty(state).axes.last().copied();
            let turned = |b: &Builder| {
                let has = |x: Option<ValueId>| last.zip(x).is_some_and(|(a, x)| b.ty(x).has(a));
                has(k) && !has(v)
            };
            let (k, v) = if turned(b) { (v, k) } else { (k, v) };
            let own = summed(b, k, v, read)?;
            sum = Some(added(b, sum, own, update.negative)?);
        }
        sum.ok_or_else(|| missing("state"))
    }

    /// What a term reads at every step of the chunk.
    fn read(
        &mut self,
        b: &mut Builder,
        state: ValueId,
        decay: Option<&(Slot, Vec<AxisId>)>,
        read: &Read,
    ) -> Built<ValueId> {
        let time = self.time;
        let dtype = b.ty(state).dtype;
        let one = b.number(dtype, 1.0);
        let q = read.q.map_or(Ok(one), |q| self.along(b, q, time.reading))?;
        let q = lift::having(b, q, &read.over)?;
        let summed_over = |axes: &[AxisId]| axes.iter().any(|axis| read.over.contains(axis));
        let faded_sums = decay.is_some_and(|(_, axes)| summed_over(axes));
        // What was there before the chunk.
        let mut fading = None;
        if let Some((slot, _)) = decay {
            let decays = self.walked.value(*slot);
            let running = running(b, (decays, time.steps), self.reverse, !read.after)?;
            fading = Some(self.renamed(b, running, time.reading)?);
        }
        let mut left = q;
        if let Some(fading) = fading.filter(|_| faded_sums) {
            left = b.binary(Binary::Mul, q, fading)?;
        }
        let mut sum = b.value(Op::Contract(read.over.clone()), &[left, state])?;
        if let Some(fading) = fading.filter(|_| !faded_sums) {
            sum = b.binary(Binary::Mul, sum, fading)?;
        }
        // What the chunk itself adds.
        let zero = b.number(dtype, 0.0);
        let seen = self.seen(b, read.after)?;
        for update in &read.updates {
            let k = update.k.map_or(Ok(one), |k| self.along(b, k, time.read))?;
            let k = lift::having(b, k, &read.over)?;
            let between = decay
                .map(|decay| self.between(b, (read.carried, read.after), decay))
                .transpose()?;
            let scores = match between.filter(|_| faded_sums) {
                Some(between) => {
                    let pairs = b.binary(Binary::Mul, between, k)?;
                    let pairs = b.binary(Binary::Mul, pairs, q)?;
                    b.reduce(Combine::Sum, pairs, &read.over)?
                }
                None => b.value(Op::Contract(read.over.clone()), &[q, k])?,
            };
            let scores = match between.filter(|_| !faded_sums) {
                Some(between) => b.binary(Binary::Mul, between, scores)?,
                None => scores,
            };
            let scores = b.select(seen, scores, zero)?;
            let mut axes = b.ty(scores).without(&[time.reading, time.read]);
            axes.extend([time.reading, time.read]);
            let scores = fitted(b, scores, &axes)?;
            let v = update.v.map(|v| self.along(b, v, time.read)).transpose()?;
            let own = summed(b, Some(scores), v, time.read)?;
            sum = added(b, Some(sum), own, update.negative)?;
        }
        lift::having(b, sum, &[time.reading])
    }

    /// Which steps a step sees: earlier ones, itself too if it reads `after` the update.
    fn seen(&self, b: &mut Builder, after: bool) -> Built<ValueId> {
        let reading = b.value(Op::Index(self.time.reading), &[])?;
        let read = b.value(Op::Index(self.time.read), &[])?;
        let op = match (self.reverse, after) {
            (false, true) => Binary::Ge,
            (false, false) => Binary::Gt,
            (true, true) => Binary::Le,
            (true, false) => Binary::Lt,
        };
        b.binary(op, reading, read)
    }

    /// The product of the decays after the step that is read, up to the one that reads.
    fn between(
        &mut self,
        b: &mut Builder,
        key: (usize, bool),
        (slot, axes): &(Slot, Vec<AxisId>),
    ) -> Built<ValueId> {
        if let Some(known) = self.between.get(&key) {
            return Ok(*known);
        }
        let time = self.time;
        let decays = self.along(b, *slot, time.reading)?;
        let later = self.seen(b, false)?;
        let one = b.number(b.ty(decays).dtype, 1.0);
        let factors = b.select(later, decays, one)?;
        let mut order = axes.clone();
        order.extend([time.reading, time.read]);
        let factors = fitted(b, factors, &order)?;
        let between = running(b, (factors, time.reading), self.reverse, !key.1)?;
        self.between.insert(key, between);
        Ok(between)
    }
}

/// The running product of decays, `exclusive` of the step's own.
fn running(
    b: &mut Builder,
    (x, axis): (ValueId, AxisId),
    reverse: bool,
    exclusive: bool,
) -> Built<ValueId> {
    let cumulate = Op::Cumulate {
        combine: Combine::Prod,
        axis,
        reverse,
        exclusive,
    };
    b.value(cumulate, &[x])
}

/// Σ over `axis` of the product of two factors, of which at least one has it.
fn summed(b: &mut Builder, k: Option<ValueId>, v: Option<ValueId>, axis: AxisId) -> Built<ValueId> {
    match (k, v) {
        (Some(k), Some(v)) => {
            let [one, other] = [k, v].map(|own| b.ty(own).has(axis));
            match (one, other) {
                (true, true) => b.value(Op::Contract(vec![axis]), &[k, v]),
                (true, false) => {
                    let k = b.reduce(Combine::Sum, k, &[axis])?;
                    b.binary(Binary::Mul, k, v)
                }
                _ => {
                    let v = b.reduce(Combine::Sum, v, &[axis])?;
                    b.binary(Binary::Mul, k, v)
                }
            }
        }
        (Some(only), None) | (None, Some(only)) => b.reduce(Combine::Sum, only, &[axis]),
        (None, None) => Err(missing("sum")),
    }
}
