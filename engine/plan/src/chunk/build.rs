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

use girih_graph::op::{Binary, Op};
use girih_graph::{AxisId, Builder, DType, Extent, OpError, Region, ValueId};

use super::body::{Read, Update, run};
use super::form::{Form, axes_of};
use super::lift::{self, fitted, product, repeated};
use super::recognize::Linear;
use super::walk::{Given, Slot};

/// A value that is built.
pub(super) type Built<T> = Result<T, OpError>;

/// Factors with an axis that is summed over, and the others.
pub(super) fn split(body: &Region, factors: &[ValueId], over: &[AxisId]) -> [Vec<ValueId>; 2] {
    let summed = |value: &ValueId| body.ty(*value).axes.iter().any(|axis| over.contains(axis));
    let (one, other) = factors.iter().copied().partition(summed);
    [one, other]
}

/// The axes that time becomes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    /// All steps.
    pub(super) whole: AxisId,
    /// As many as fill all chunks.
    pub(super) padded: AxisId,
    /// Chunks.
    pub(super) chunks: AxisId,
    /// Steps of a chunk.
    pub(super) steps: AxisId,
    /// Steps of a chunk that read.
    pub(super) reading: AxisId,
    /// Steps of a chunk that are read.
    pub(super) read: AxisId,
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
        recurrence.reverse,
        time,
        starts,
        &given,
        (&decays, &updates, &reads),
    )?;
    let mut outputs = Vec::new();
    for output in &results[recurrence.carried..] {
        let merge = Op::Merge(vec![time.chunks, time.reading], time.padded);
        let merged = b.value(merge, &[*output])?;
        outputs.push(first(b, merged, time.padded, time.whole)?);
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

/// Positions of one axis from `start` on under another that may be longer, 0 behind its end.
pub(super) fn window(
    b: &mut Builder,
    x: ValueId,
    from: AxisId,
    (into, start): (AxisId, &Extent),
) -> Built<ValueId> {
    let window = Op::Window {
        axis: from,
        into: vec![(into, Extent::constant(1))],
        offset: start.clone(),
    };
    b.value(window, &[x])
}

/// The first positions of one axis, or all of them and then zeros.
fn first(b: &mut Builder, x: ValueId, from: AxisId, into: AxisId) -> Built<ValueId> {
    window(b, x, from, (into, &Extent::constant(0)))
}

impl Given {
    /// A value by chunks, if it is another at every step.
    fn add(&mut self, b: &mut Builder, time: Time, x: ValueId) -> Built<Slot> {
        if !b.ty(x).has(time.whole) {
            return Ok(self.place(b, time.chunks, x));
        }
        let padded = first(b, x, time.whole, time.padded)?;
        self.add_padded(b, time, padded)
    }

    fn add_padded(&mut self, b: &mut Builder, time: Time, x: ValueId) -> Built<Slot> {
        let parts = Op::Split(time.padded, vec![time.chunks, time.steps]);
        let x = b.value(parts, &[x])?;
        Ok(self.place(b, time.chunks, x))
    }
}

/// The decay of a state at all steps: the sum of its terms.
pub(super) fn faded(
    b: &mut Builder,
    dtype: DType,
    terms: &Form,
    lifted: &[Option<ValueId>],
) -> Built<ValueId> {
    let one = b.number(dtype, 1.0);
    let mut sum: Option<ValueId> = None;
    for term in terms {
        let own = product(b, &term.factors, lifted)?.unwrap_or(one);
        sum = Some(added(b, sum, own, term.negative)?);
    }
    Ok(sum.unwrap_or(one))
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
    let mut decay = faded(b, dtype, terms, lifted)?;
    if b.ty(decay).has(time.whole) {
        decay = first(b, decay, time.whole, time.padded)?;
    }
    let one = b.number(dtype, 1.0);
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
