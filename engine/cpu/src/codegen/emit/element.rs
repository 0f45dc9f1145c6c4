//! Values of steps for a few positions of the inner loop at once.

use std::collections::BTreeMap;

use cranelift_codegen::ir::{InstBuilder, Value};
use girih_graph::op::Binary;
use girih_plan::kernel::{Affine, LoopKind, StepId, StepOp};

use super::{Emitter, Key, kind};
use crate::codegen::lanes::{Form, Kind, Lanes};
use crate::codegen::schedule::{Place, Slot};

/// A value for every vector or element of a group.
pub(super) type Bundle = Vec<Lanes>;

/// A position of the inner loop, none for 0, and distances from it.
pub(super) type Positions = (Option<Value>, Vec<i64>);

/// Positions of the inner loop that are computed together, with what was computed for them.
pub(super) struct Group {
    pub(super) place: Place,
    pub(super) form: Form,
    /// First position; none is 0.
    pub(super) index: Option<Value>,
    /// First position of every vector or element, less the index.
    pub(super) offsets: Vec<i64>,
    values: BTreeMap<StepId, Bundle>,
}

impl Group {
    pub(super) fn new(place: Place, form: Form, (index, offsets): Positions) -> Self {
        Self {
            place,
            form,
            index,
            offsets,
            values: BTreeMap::new(),
        }
    }

    /// The same positions, with what is known so far.
    pub(super) fn again(&self) -> Self {
        Self {
            place: self.place,
            form: self.form,
            index: self.index,
            offsets: self.offsets.clone(),
            values: self.values.clone(),
        }
    }

    pub(super) fn has(&self, id: StepId) -> bool {
        self.values.contains_key(&id)
    }
}

impl Emitter<'_> {
    /// A step at the positions of a group: computed, or read where it is kept.
    pub(super) fn value(&mut self, id: StepId, group: &mut Group) -> Bundle {
        if let Some(bundle) = group.values.get(&id) {
            return bundle.clone();
        }
        let own = kind(self.kernel, id);
        let step = &self.kernel.steps[id];
        let bundle = if !step.inner {
            let scalar = self.uniform[&id];
            let lanes = self.writer.spread(own, group.form, scalar);
            vec![lanes; group.offsets.len()]
        } else if let Some(slot) = self.kept(id, group.place) {
            let read = self.read_slot(slot, own, group);
            read.into_iter()
                .map(|lanes| self.writer.fitted(step.dtype, lanes))
                .collect()
        } else {
            self.computed(id, group)
        };
        group.values.insert(id, bundle.clone());
        bundle
    }

    /// The slot that holds a step at a place, unless it is computed there.
    pub(super) fn kept(&self, id: StepId, place: Place) -> Option<Slot> {
        let home = self.schedule.homes.get(&id);
        let slot = self.schedule.slots.get(&id).copied()?;
        (home != Some(&place)).then_some(slot)
    }

    fn computed(&mut self, id: StepId, group: &mut Group) -> Bundle {
        let kernel = self.kernel;
        let step = &kernel.steps[id];
        let (form, dtype) = (group.form, step.dtype);
        match &step.op {
            StepOp::Load(_) => self.read(id, group),
            StepOp::Position(affine) => self.indices(affine, group),
            StepOp::Constant(constant) => {
                let lanes = self.writer.constant(*constant, dtype, form);
                vec![lanes; group.offsets.len()]
            }
            StepOp::Size(extent) => {
                let scalar = self.extent(extent);
                let lanes = self.writer.spread(Kind::I64, form, scalar);
                vec![lanes; group.offsets.len()]
            }
            StepOp::Unary(op, x) => {
                let x = self.value(*x, group);
                x.into_iter()
                    .map(|x| self.writer.unary(*op, dtype, form, x))
                    .collect()
            }
            StepOp::Binary(op, x, y) => {
                let shift = matches!(op, Binary::Shl | Binary::Shr) && !kernel.steps[*y].inner;
                let amount = if shift {
                    self.uniform.get(y).copied()
                } else {
                    None
                };
                let own = kernel.steps[*x].dtype;
                if *op == Binary::Div && self.schedule.calls.sum.contains(&Some(*y)) {
                    return self.divided_by_sum(*x, *y, group);
                }
                let (x, y) = (self.value(*x, group), self.value(*y, group));
                let pairs = x.into_iter().zip(y);
                pairs
                    .map(|pair| self.writer.binary(*op, own, form, pair, amount))
                    .collect()
            }
            StepOp::Select(condition, x, y) => {
                let condition = self.value(*condition, group);
                let (x, y) = (self.value(*x, group), self.value(*y, group));
                let pairs = condition.into_iter().zip(x.into_iter().zip(y));
                pairs
                    .map(|(condition, pair)| self.writer.select(dtype, form, condition, pair))
                    .collect()
            }
            StepOp::Cast(x) => {
                let from = kernel.steps[*x].dtype;
                let x = self.value(*x, group);
                x.into_iter()
                    .map(|x| self.writer.cast(from, dtype, form, x))
                    .collect()
            }
            StepOp::Reduce(..) => {
                unreachable!("a reduction is kept or does not vary along the inner loop")
            }
        }
    }

    /// A softmax's numerators over its denominator, which lies between 1 and their number: one
    /// quotient, and products, half a unit in the last place further off.
    fn divided_by_sum(&mut self, x: StepId, sum: StepId, group: &mut Group) -> Bundle {
        let x = self.value(x, group);
        let sum = self.uniform[&sum];
        let one = self.writer.builder.ins().f32const(1.0);
        let factor = self.writer.builder.ins().fdiv(one, sum);
        let factor = self.writer.spread(Kind::F32, group.form, factor);
        let products = x.into_iter();
        products
            .map(|x| x.zip(factor, |x, y| self.writer.builder.ins().fmul(x, y)))
            .collect()
    }

    /// A step that does not vary along the inner loop.
    pub(super) fn uniform_value(&mut self, id: StepId) -> Value {
        let kernel = self.kernel;
        let step = &kernel.steps[id];
        let dtype = step.dtype;
        let own = Kind::of(dtype);
        if let Some(call) = self.schedule.calls.of[id].as_ref() {
            let operands: Vec<Value> = call.operands.iter().map(|id| self.uniform[id]).collect();
            let value = self.call_once(call.routine, own, &operands);
            return self.writer.fitted(dtype, Lanes::one(value)).low;
        }
        let lanes = |this: &Self, id: &StepId| Lanes::one(this.uniform[id]);
        let form = Form::Scalar;
        let value = match &step.op {
            StepOp::Load(_) => {
                let group = &mut Group::new(NOWHERE, form, (None, vec![0]));
                self.read(id, group)[0]
            }
            StepOp::Position(affine) => Lanes::one(self.affine(affine)),
            StepOp::Constant(constant) => self.writer.constant(*constant, dtype, form),
            StepOp::Size(extent) => Lanes::one(self.extent(extent)),
            StepOp::Unary(op, x) => {
                let x = lanes(self, x);
                self.writer.unary(*op, dtype, form, x)
            }
            StepOp::Binary(op, x, y) => {
                let from = kernel.steps[*x].dtype;
                let pair = (lanes(self, x), lanes(self, y));
                self.writer.binary(*op, from, form, pair, None)
            }
            StepOp::Select(condition, x, y) => {
                let pair = (lanes(self, x), lanes(self, y));
                let condition = lanes(self, condition);
                self.writer.select(dtype, form, condition, pair)
            }
            StepOp::Cast(x) => {
                let from = kernel.steps[*x].dtype;
                let x = lanes(self, x);
                self.writer.cast(from, dtype, form, x)
            }
            StepOp::Reduce(..) => unreachable!("a reduction is scheduled as such"),
        };
        value.low
    }

    /// An affine form without what varies along the inner loop.
    pub(super) fn affine(&mut self, affine: &Affine) -> Value {
        let mut sum = self.outer_part(affine);
        for (id, factor) in &affine.loops {
            if self.kernel.loops[*id].kind == LoopKind::Walk
                && let Some(position) = self.positions.get(id).copied()
            {
                let position = self.get(position);
                let term = self.times(position, factor);
                sum = self.add(sum, term);
            }
        }
        for (id, factor) in &affine.steps {
            if !self.kernel.steps[*id].inner {
                let term = self.times(self.uniform[id], factor);
                sum = self.add(sum, term);
            }
        }
        sum
    }

    /// An affine form at every position of a group.
    pub(super) fn indices(&mut self, affine: &Affine, group: &mut Group) -> Bundle {
        let base = self.affine(affine);
        let factor = self.kernel.inner().map(|inner| affine.factor(inner));
        let factor = factor.filter(|factor| factor.as_constant() != Some(0));
        let mut bundle = Vec::new();
        for offset in group.offsets.clone() {
            let Some(factor) = &factor else {
                bundle.push(self.writer.spread(Kind::I64, group.form, base));
                continue;
            };
            let index = self.index(group.index, offset);
            let along = self.times(index, factor);
            let first = self.add(base, along);
            bundle.push(match group.form {
                Form::Scalar => Lanes::one(first),
                Form::Vector => {
                    // Distances of the lanes are the same in every iteration.
                    let distances = [0, 1, 2, 3].map(|lane| {
                        let lane = self.int(lane);
                        self.times(lane, factor)
                    });
                    let distances = self.writer.join(Kind::I64, distances);
                    let first = self.writer.spread(Kind::I64, group.form, first);
                    first.zip(distances, |x, y| self.writer.builder.ins().iadd(x, y))
                }
            });
        }
        for (id, factor) in &affine.steps {
            if self.kernel.steps[*id].inner {
                let data = self.value(*id, group);
                let factor = self.extent(factor);
                let factor = self.writer.spread(Kind::I64, group.form, factor);
                for (lanes, data) in bundle.iter_mut().zip(data) {
                    let term = data.zip(factor, |x, y| self.writer.builder.ins().imul(x, y));
                    *lanes = lanes.zip(term, |x, y| self.writer.builder.ins().iadd(x, y));
                }
            }
        }
        bundle
    }

    /// A position of the inner loop.
    pub(super) fn index(&mut self, index: Option<Value>, offset: i64) -> Value {
        match index {
            Some(index) => self.plus(index, offset),
            None => self.int(offset),
        }
    }

    /// Address of an access without what varies along the inner loop.
    pub(super) fn pointer(&mut self, key: Key) -> Value {
        let variable = self
            .walked
            .get(&key)
            .or_else(|| self.bases.get(&key))
            .copied();
        let variable = variable.unwrap_or_else(|| unreachable!("every access has an address"));
        let mut address = self.get(variable);
        let access = self.access(key);
        let size = self.element_size(key);
        for (id, factor) in &access.address.steps {
            if !self.kernel.steps[*id].inner {
                let term = self.times(self.uniform[id], factor);
                let bytes = self.scaled(term, size);
                address = self.add(address, bytes);
            }
        }
        address
    }

    pub(super) fn read_slot(&mut self, slot: Slot, own: Kind, group: &Group) -> Bundle {
        let start = self.index(group.index, 0);
        let address = self.slot_address(slot, own, start);
        let offsets = group.offsets.iter();
        offsets
            .map(|offset| {
                let bytes = (offset * own.slot_size()) as i32;
                self.writer.load_slot(own, group.form, address, bytes)
            })
            .collect()
    }

    pub(super) fn write_slot(&mut self, slot: Slot, own: Kind, bundle: &[Lanes], group: &Group) {
        let start = self.index(group.index, 0);
        let address = self.slot_address(slot, own, start);
        for (offset, lanes) in group.offsets.iter().zip(bundle) {
            let bytes = (offset * own.slot_size()) as i32;
            self.writer
                .store_slot(own, group.form, *lanes, address, bytes);
        }
    }
}

/// The place of steps that do not vary along the inner loop: nothing is kept there.
const NOWHERE: Place = Place {
    phase: crate::codegen::schedule::Phase::Before,
    pass: usize::MAX,
    stage: 0,
};
