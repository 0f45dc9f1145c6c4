//! Random recurrences that go on element by element: a state that fades, is added products to and is read
//! by sums, perhaps through a function; beside it, perhaps, a largest or smallest value.

use girih_graph::op::{Binary, Combine, Op, Recurrence, Unary};
use girih_graph::{AxisId, DType, ValueId, ValueType};

use super::grow::{Grow, Known};

/// What a loop is given.
#[derive(Default)]
struct Given {
    sequences: Vec<(ValueId, ValueType)>,
    invariants: Vec<(ValueId, ValueType)>,
}

/// A value of the loop: its place among sequences or invariants.
#[derive(Clone, Copy)]
enum Slot {
    Sequence(usize),
    Invariant(usize),
}

impl Grow<'_> {
    pub(super) fn linear_recurrence(&mut self) -> Option<Known> {
        let free = |own: &Self| -> Vec<AxisId> {
            let axes = own.axes.iter().copied();
            axes.filter(|axis| !own.frozen.contains(axis)).collect()
        };
        let open = free(self);
        let axis = self.pick(&open);
        let others: Vec<AxisId> = open.into_iter().filter(|own| *own != axis).collect();
        let mut state = Vec::new();
        for _ in 0..2 + self.choose(2) {
            let own = self.pick(&others);
            if !state.contains(&own) {
                state.push(own);
            }
        }
        let count = 1 + self.choose(state.len());
        let over = state[..count].to_vec();
        if self.count(&state) * self.size(axis).max(1) > 128 {
            return None;
        }
        let reverse = self.flip();
        let mut given = Given::default();
        let start = self.factor(&state, None);
        let decay = self.flip().then(|| self.some(&state));
        let decay = decay.map(|axes| self.slot(&mut given, axis, &axes));
        let mut updates = Vec::new();
        for _ in 0..=self.choose(2) {
            let inside = [over.clone(), self.some(&state[count..])].concat();
            let outside = self.some(&state[count..]);
            let k = self.slot(&mut given, axis, &inside);
            let v = self.slot(&mut given, axis, &outside);
            updates.push((k, v, self.flip()));
        }
        let more = self.some(&others);
        let mut wide = over.clone();
        wide.extend(more.into_iter().take(1).filter(|own| !state.contains(own)));
        let query = if self.flip() { &wide } else { &over };
        let query = self.slot(&mut given, axis, query);
        let gain = self
            .flip()
            .then(|| self.slot(&mut given, axis, &state[count..]));
        let (after, bonus) = (self.flip(), self.flip());
        let curved = self.choose(4) == 1;
        let extreme = (self.choose(4) == 1).then(|| {
            let op = self.pick(&[Binary::Max, Binary::Min]);
            let with = self.slot(&mut given, axis, &state);
            (op, with, self.factor(&state, None))
        });

        let starts = [start]
            .into_iter()
            .chain(extreme.map(|(_, _, start)| start));
        let starts: Vec<ValueId> = starts.collect();
        let all = given.sequences.iter().chain(&given.invariants);
        let operands: Vec<ValueId> = starts.iter().copied().chain(all.map(|(v, _)| *v)).collect();
        let sliced = given
            .sequences
            .iter()
            .map(|(_, ty)| ValueType::new(ty.dtype, ty.without(&[axis])));
        let kept = given.invariants.iter().map(|(_, ty)| ty.clone());
        let params: Vec<ValueType> = sliced.chain(kept).collect();
        let first = given.sequences.len();
        let types: Vec<ValueType> = starts.iter().map(|own| self.b.ty(*own).clone()).collect();
        self.b.open_region();
        let held: Vec<ValueId> = types
            .into_iter()
            .map(|ty| self.b.add_parameter(ty))
            .collect();
        let params: Vec<ValueId> = params
            .into_iter()
            .map(|ty| self.b.add_parameter(ty))
            .collect();
        let value = |slot: Slot| match slot {
            Slot::Sequence(place) => params[place],
            Slot::Invariant(place) => params[first + place],
        };
        let mut next = held[0];
        if let Some(decay) = decay {
            next = self.binary_of(Binary::Mul, value(decay), next);
        }
        let mut added = None;
        for (k, v, negative) in updates {
            let own = self.binary_of(Binary::Mul, value(k), value(v));
            added = Some(own);
            let op = if negative { Binary::Sub } else { Binary::Add };
            next = self.binary_of(op, next, own);
        }
        let mut seen = if after { next } else { held[0] };
        if let Some(added) = added.filter(|_| bonus) {
            seen = self.binary_of(Binary::Add, seen, added);
        }
        if curved {
            seen = self.made(Op::Unary(Unary::Tanh), &[seen]);
        }
        let mut read = if self.flip() {
            self.made(Op::Contract(over), &[value(query), seen])
        } else {
            let product = self.binary_of(Binary::Mul, value(query), seen);
            self.made(Op::Reduce(Combine::Sum, over), &[product])
        };
        if let Some(gain) = gain {
            read = self.binary_of(Binary::Mul, read, value(gain));
        }
        if self.flip() {
            read = self.made(Op::Unary(Unary::Tanh), &[read]);
        }
        let mut results = vec![next, read];
        if let Some((op, with, _)) = extreme {
            let most = self.binary_of(op, held[1], value(with));
            results.insert(1, most);
            results.push(if after { most } else { held[1] });
        }
        let body = self.b.close_region(results);
        let recurrence = Op::Recurrence(Box::new(Recurrence {
            axis,
            reverse,
            carried: starts.len(),
            sequences: first,
            body,
        }));
        let results = self
            .b
            .node(recurrence, &operands)
            .expect("its operands are made for it");
        let mut last = None;
        for value in results {
            // Whatever it has grown to.
            last = Some(self.remember(Known {
                value,
                bound: f64::INFINITY,
            }));
        }
        last
    }

    fn binary_of(&mut self, op: Binary, x: ValueId, y: ValueId) -> ValueId {
        self.made(Op::Binary(op), &[x, y])
    }

    /// A value with these axes and perhaps the walked one.
    fn factor(&mut self, axes: &[AxisId], walked: Option<AxisId>) -> ValueId {
        let any = self.value(|_, _| true).unwrap_or_else(|| {
            let value = self.b.number(DType::F32, 0.5);
            Known { value, bound: 1.0 }
        });
        let mut all: Vec<AxisId> = walked.into_iter().collect();
        all.extend(axes.iter().filter(|own| Some(**own) != walked));
        self.fit(any, &ValueType::new(DType::F32, all))
    }

    /// A factor of the loop: another one at every step, or one for all.
    fn slot(&mut self, given: &mut Given, axis: AxisId, axes: &[AxisId]) -> Slot {
        let walked = self.choose(4) != 1;
        let value = self.factor(axes, walked.then_some(axis));
        let ty = self.b.ty(value).clone();
        let list = if walked {
            &mut given.sequences
        } else {
            &mut given.invariants
        };
        list.push((value, ty));
        let place = list.len() - 1;
        if walked {
            Slot::Sequence(place)
        } else {
            Slot::Invariant(place)
        }
    }
}
