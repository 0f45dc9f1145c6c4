//! Loops that are built: what they are given, and what their bodies see of it.

use girih_graph::op::{Op, Recurrence};
use girih_graph::{AxisId, Builder, ValueId, ValueType};

use super::build::Built;

/// A value that a loop is given: which of them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slot {
    Sequence(usize),
    Invariant(usize),
}

/// What a loop is given beside its states, in the region around it.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) sequences: Vec<ValueId>,
    pub(super) invariants: Vec<ValueId>,
}

impl Given {
    /// A value of which a loop along `axis` is given one position at a time, if it has several.
    pub(super) fn place(&mut self, b: &Builder, axis: AxisId, x: ValueId) -> Slot {
        let (all, slot): (_, fn(usize) -> Slot) = if b.ty(x).has(axis) {
            (&mut self.sequences, Slot::Sequence)
        } else {
            (&mut self.invariants, Slot::Invariant)
        };
        let known = all.iter().position(|own| *own == x);
        slot(known.unwrap_or_else(|| {
            all.push(x);
            all.len() - 1
        }))
    }
}

/// What the body of a loop is given, at one position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walked<'a> {
    slices: &'a [ValueId],
    kept: &'a [ValueId],
}

impl Walked<'_> {
    pub(super) fn value(self, slot: Slot) -> ValueId {
        match slot {
            Slot::Sequence(place) => self.slices[place],
            Slot::Invariant(place) => self.kept[place],
        }
    }
}

/// A loop along `axis` from these states; the body is given the states, then what the loop is given, of
/// one position. The results are the last states, then what the body makes besides, by positions.
pub(super) fn walk(
    b: &mut Builder,
    (axis, reverse): (AxisId, bool),
    starts: &[ValueId],
    given: &Given,
    body: impl FnOnce(&mut Builder, &[ValueId], Walked<'_>) -> Built<Vec<ValueId>>,
) -> Built<Vec<ValueId>> {
    let operands = [starts, &given.sequences, &given.invariants].concat();
    let types: Vec<ValueType> = operands
        .iter()
        .map(|own| {
            let ty = b.ty(*own);
            ValueType::new(ty.dtype, ty.without(&[axis]))
        })
        .collect();
    b.open_region();
    let params = types.into_iter().map(|ty| b.add_parameter(ty));
    let params: Vec<ValueId> = params.collect();
    let (states, rest) = params.split_at(starts.len());
    let (slices, kept) = rest.split_at(given.sequences.len());
    let results = body(b, states, Walked { slices, kept })?;
    let body = b.close_region(results);
    let op = Op::Recurrence(Box::new(Recurrence {
        axis,
        reverse,
        carried: starts.len(),
        sequences: given.sequences.len(),
        body,
    }));
    b.node(op, &operands)
}
