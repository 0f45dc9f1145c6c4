//! A linear recurrence as a loop over chunks of its steps.
//!
//! With decays `a`, updates `k ⊗ v` and read-outs `y = Σ q·S`, a chunk that starts from `S₀` has
//!
//! `yᵢ = Dᵢ · Σ qᵢ·S₀ + Σⱼ (Σ qᵢ·kⱼ) · Pᵢⱼ · vⱼ`,  `S = D · S₀ + Σⱼ Eⱼ · kⱼ ⊗ vⱼ`,
//!
//! where `Pᵢⱼ`, `Dᵢ`, `Eⱼ` and `D` are products of the decays between two steps. They are made as
//! products, from ones: nothing is divided and no logarithm is taken, so any decay will do – 0,
//! negative, above 1 – and nothing over- or underflows that would not in steps. A last chunk that
//! is not full is filled with decays of 1 and updates of 0.

use std::collections::BTreeMap;

use girih_graph::op::{Binary, Combine, Op, Recurrence};
use girih_graph::{AxisId, Builder, Extent, OpError, Region, ValueId};

use super::form::{Form, axes_of};
use super::lift::{self, fitted, product, repeated};
use super::recognize::Linear;

type Built<T> = Result<T, OpError>;

/// Factors with an axis that is summed over, and the others.
pub(super) fn split(body: &Region, factors: &[ValueId], over: &[AxisId]) -> [Vec<ValueId>; 2] {
    let summed = |value: &ValueId| body.ty(*value).axes.iter().any(|axis| over.contains(axis));
    let (one, other) = factors.iter().copied().partition(summed);
    [one, other]
}

/// The axes that time becomes.
#[derive(Clone, Copy, Debug)]
struct Time {
    /// All steps.
    whole: AxisId,
    /// As many as fill all chunks.
    padded: AxisId,
    /// Chunks.
    chunks: AxisId,
    /// Steps of a chunk.
    steps: AxisId,
    /// Steps of a chunk that read.
    reading: AxisId,
    /// Steps of a chunk that are read.
    read: AxisId,
}

/// A value that the loop over chunks is given.
#[derive(Clone, Copy, Debug)]
enum Slot {
    Sequence(usize),
    Invariant(usize),
}

/// What the loop over chunks is given, in the region around it.
#[derive(Debug, Default)]
struct Given {
    sequences: Vec<ValueId>,
    invariants: Vec<ValueId>,
}

/// `± k ⊗ v`; an absent factor is 1.
#[derive(Debug)]
struct Update {
    negative: bool,
    k: Option<Slot>,
    v: Option<Slot>,
}

/// A term of a read-out.
#[derive(Debug)]
struct Read {
    carried: usize,
    after: bool,
    over: Vec<AxisId>,
    q: Option<Slot>,
    /// As the term's sums split them.
    updates: Vec<Update>,
}

/// Builds the loop over chunks of `length` steps for the recurrence with these operands, and
/// gives what replaces its results.
///
/// # Errors
///
/// None: every operation has the operands that it wants.
pub(super) fn chunked(
    b: &mut Builder,
    linear: &Linear<'_>,
    operands: &[ValueId],
    length: u32,
) -> Built<Vec<ValueId>> {
    let recurrence = linear.recurrence;
    let time = time(b, recurrence.axis, length);
    let mut lifted = lift::free(b, linear, operands)?;
    let mut given = Given::default();
    let (body, states) = (&recurrence.body, &linear.states);
    let mut decays = Vec::new();
    let mut updates = Vec::new();
    for (carried, state) in states.iter().enumerate() {
        decays.push(match &state.decay {
            Some(terms) => Some(decay(b, &mut given, time, &lifted, (body, carried), terms)?),
            None => None,
        });
        let over = linear.over(carried);
        updates.push(split_updates(
            b,
            &mut given,
            time,
            &lifted,
            (body, &over),
            &state.updates,
        )?);
    }
    let mut reads = Vec::new();
    for term in linear.readouts.iter().flat_map(|readout| &readout.terms) {
        let Some(base) = term.base else { continue };
        let [q, _] = split(body, &term.factors, &term.over);
        let q = product(b, &q, &lifted)?;
        let terms = &states[base.carried].updates;
        reads.push(Read {
            carried: base.carried,
            after: base.after,
            over: term.over.clone(),
            q: match q {
                Some(q) => Some(given.add(b, time, q)?),
                None => None,
            },
            updates: split_updates(b, &mut given, time, &lifted, (body, &term.over), terms)?,
        });
    }
    let starts = &operands[..recurrence.carried];
    let results = run(
        b,
        recurrence,
        time,
        starts,
        &given,
        (&decays, &updates, &reads),
    )?;
    let mut outputs = Vec::new();
    for output in &results[recurrence.carried..] {
        let merge = Op::Merge(vec![time.chunks, time.reading], time.padded);
        let merged = b.value(merge, &[*output])?;
        outputs.push(window(b, merged, time.padded, time.whole)?);
    }
    lift::rest(b, linear, &mut lifted, &outputs)?;
    let mut replaced = results[..recurrence.carried].to_vec();
    for output in &body.results()[recurrence.carried..] {
        let mut axes = vec![time.whole];
        axes.extend_from_slice(&body.ty(*output).axes);
        let value = lifted[output.index()].ok_or_else(|| missing("output"))?;
        replaced.push(fitted(b, value, &axes)?);
    }
    Ok(replaced)
}

/// What is wrong where a value should be and is not.
pub(super) fn missing(what: &str) -> OpError {
    OpError::Rule {
        op: "recurrence",
        reason: format!("the {what} of a chunk is not there"),
    }
}

fn time(b: &mut Builder, whole: AxisId, length: u32) -> Time {
    let (name, steps) = (b.axes.name(whole).to_owned(), b.axes.extent(whole).clone());
    let one = Extent::constant(1);
    // Chunks of nearly equal length, none longer than asked for: a short sequence is one short chunk.
    let chunks = steps
        .ceil_div(&Extent::constant(length.into()))
        .maximum(&one);
    let steps = steps.ceil_div(&chunks);
    let mut add = |part: &str, extent: &Extent| {
        b.axes
            .add(&format!("{name}_{part}"), extent.clone(), None, false)
    };
    Time {
        whole,
        padded: add("padded", &chunks.times(&steps)),
        chunks: add("chunk", &chunks),
        steps: add("step", &steps),
        reading: add("at", &steps),
        read: add("from", &steps),
    }
}

/// Positions of one axis under another that may be longer, 0 behind its end.
fn window(b: &mut Builder, x: ValueId, from: AxisId, into: AxisId) -> Built<ValueId> {
    let window = Op::Window {
        axis: from,
        into: vec![(into, Extent::constant(1))],
        offset: Extent::constant(0),
    };
    b.value(window, &[x])
}

impl Given {
    /// A value by chunks, if it is another at every step.
    fn add(&mut self, b: &mut Builder, time: Time, x: ValueId) -> Built<Slot> {
        if !b.ty(x).has(time.whole) {
            return Ok(Slot::Invariant(place(&mut self.invariants, x)));
        }
        let padded = window(b, x, time.whole, time.padded)?;
        self.add_padded(b, time, padded)
    }

    fn add_padded(&mut self, b: &mut Builder, time: Time, x: ValueId) -> Built<Slot> {
        let parts = Op::Split(time.padded, vec![time.chunks, time.steps]);
        let x = b.value(parts, &[x])?;
        Ok(Slot::Sequence(place(&mut self.sequences, x)))
    }
}

fn place(all: &mut Vec<ValueId>, x: ValueId) -> usize {
    all.iter().position(|own| *own == x).unwrap_or_else(|| {
        all.push(x);
        all.len() - 1
    })
}

/// The decays of a state by chunks, 1 behind the end, and their axes beside time.
fn decay(
    b: &mut Builder,
    given: &mut Given,
    time: Time,
    lifted: &[Option<ValueId>],
    (body, carried): (&Region, usize),
    terms: &Form,
) -> Built<(Slot, Vec<AxisId>)> {
    let dtype = body.ty(body.params()[carried]).dtype;
    let one = b.number(dtype, 1.0);
    let mut sum: Option<ValueId> = None;
    for term in terms {
        let own = product(b, &term.factors, lifted)?.unwrap_or(one);
        sum = Some(added(b, sum, own, term.negative)?);
    }
    let mut decay = sum.unwrap_or(one);
    if b.ty(decay).has(time.whole) {
        decay = window(b, decay, time.whole, time.padded)?;
    }
    let axes = b.ty(decay).without(&[time.padded]);
    let position = b.value(Op::Index(time.padded), &[])?;
    let steps = b.axes.extent(time.whole).clone();
    let steps = b.size(steps);
    let inside = b.binary(Binary::Lt, position, steps)?;
    let decay = b.select(inside, decay, one)?;
    Ok((given.add_padded(b, time, decay)?, axes))
}

/// Updates as products of a factor with an axis of `over` and one without. At least one of them
/// is another at every step, so that it is 0 behind the end.
fn split_updates(
    b: &mut Builder,
    given: &mut Given,
    time: Time,
    lifted: &[Option<ValueId>],
    (body, over): (&Region, &[AxisId]),
    terms: &Form,
) -> Built<Vec<Update>> {
    let mut updates = Vec::new();
    for term in terms {
        let [k, v] = split(body, &term.factors, over);
        let (k, v) = (product(b, &k, lifted)?, product(b, &v, lifted)?);
        let timed = |b: &Builder, x: Option<ValueId>| x.is_some_and(|x| b.ty(x).has(time.whole));
        let [k, v] = if timed(b, k) || timed(b, v) {
            [k, v]
        } else if let Some(v) = v {
            [k, Some(repeated(b, v, &[time.whole])?)]
        } else {
            let k = k.ok_or_else(|| missing("update"))?;
            [Some(repeated(b, k, &[time.whole])?), None]
        };
        let mut slot = |x: Option<ValueId>| x.map(|x| given.add(b, time, x)).transpose();
        updates.push(Update {
            negative: term.negative,
            k: slot(k)?,
            v: slot(v)?,
        });
    }
    Ok(updates)
}

type Steps<'a> = (
    &'a [Option<(Slot, Vec<AxisId>)>],
    &'a [Vec<Update>],
    &'a [Read],
);

/// The loop over chunks: final states, then what is read, by chunks.
fn run(
    b: &mut Builder,
    recurrence: &Recurrence,
    time: Time,
    starts: &[ValueId],
    given: &Given,
    (decays, updates, reads): Steps<'_>,
) -> Built<Vec<ValueId>> {
    let slices = given.sequences.iter().map(|own| {
        let ty = b.ty(*own);
        girih_graph::ValueType::new(ty.dtype, ty.without(&[time.chunks]))
    });
    let types: Vec<_> = starts
        .iter()
        .map(|own| b.ty(*own).clone())
        .chain(slices)
        .collect();
    let kept: Vec<_> = given
        .invariants
        .iter()
        .map(|own| b.ty(*own).clone())
        .collect();
    b.open_region();
    let params = types
        .into_iter()
        .chain(kept)
        .map(|ty| b.add_parameter(ty))
        .collect::<Vec<_>>();
    let (states, rest) = params.split_at(starts.len());
    let (slices, kept) = rest.split_at(given.sequences.len());
    let mut chunk = Chunk {
        time,
        reverse: recurrence.reverse,
        slices,
        kept,
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
    let body = b.close_region(results);
    let operands = [starts, &given.sequences, &given.invariants].concat();
    let op = Op::Recurrence(Box::new(Recurrence {
        axis: time.chunks,
        reverse: recurrence.reverse,
        carried: starts.len(),
        sequences: given.sequences.len(),
        body,
    }));
    b.node(op, &operands)
}

/// The body of the loop over chunks.
struct Chunk<'a> {
    time: Time,
    reverse: bool,
    slices: &'a [ValueId],
    kept: &'a [ValueId],
    /// Products of decays between two steps, by state and whether the later step counts.
    between: BTreeMap<(usize, bool), ValueId>,
}

impl Chunk<'_> {
    fn value(&self, slot: Slot) -> ValueId {
        match slot {
            Slot::Sequence(place) => self.slices[place],
            Slot::Invariant(place) => self.kept[place],
        }
    }

    /// The value with the steps of the chunk under the name `axis`.
    fn along(&self, b: &mut Builder, slot: Slot, axis: AxisId) -> Built<ValueId> {
        let value = self.value(slot);
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
            let decays = self.value(*slot);
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
            let decays = self.value(*slot);
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

/// `sum ± own`.
pub(super) fn added(
    b: &mut Builder,
    sum: Option<ValueId>,
    own: ValueId,
    negative: bool,
) -> Built<ValueId> {
    match (sum, negative) {
        (None, false) => Ok(own),
        (None, true) => b.unary(girih_graph::Unary::Neg, own),
        (Some(sum), false) => b.binary(Binary::Add, sum, own),
        (Some(sum), true) => b.binary(Binary::Sub, sum, own),
    }
}

impl Linear<'_> {
    /// The axes of a state's decay.
    pub(super) fn decay_axes(&self, carried: usize) -> Vec<AxisId> {
        let terms = self.states[carried].decay.iter().flatten();
        let factors = terms.flat_map(|term| term.factors.iter().copied());
        axes_of(&self.recurrence.body, factors)
    }

    /// The axes that the first read-out of a state sums over; none if
    /// nothing reads it.
    pub(super) fn over(&self, carried: usize) -> Vec<AxisId> {
        let terms = self.readouts.iter().flat_map(|readout| &readout.terms);
        let mut own = terms.filter(|term| term.base.is_some_and(|own| own.carried == carried));
        own.next().map_or_else(Vec::new, |term| term.over.clone())
    }
}
