//! The walk: in order over its positions, with sums in registers where it can be so.

use std::collections::BTreeMap;

use cranelift_codegen::ir::InstBuilder;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_frontend::Variable;
use girih_plan::kernel::{LoopId, StepId, StepOp};

use super::element::Group;
use super::{Emitter, Span, kind};
use crate::codegen::lanes::{Form, Lanes};
use crate::codegen::normal::operands;
use crate::codegen::schedule::{Phase, Place, Stretch};

impl Emitter<'_> {
    pub(super) fn walk(&mut self, span: Span) {
        let Some(walk) = self.kernel.walk() else {
            return;
        };
        let schedule = self.schedule;
        let passes = schedule.passes(Phase::Walk);
        if schedule.tiled {
            return self.tiles(walk, span);
        }
        for pass in passes {
            for id in &pass.uniform_sums {
                if let StepOp::Reduce(combine, _, _) = self.kernel.steps[*id].op {
                    let dtype = self.kernel.steps[*id].dtype;
                    let identity = self.writer.identity(combine, dtype, Form::Scalar);
                    let variable = self.var(identity.low);
                    self.sums.insert(*id, variable);
                }
            }
            for stretch in &pass.stretches {
                self.clear_sums(&stretch.sums, span);
            }
        }
        self.each_walked(walk, &mut |this| {
            for (number, pass) in passes.iter().enumerate() {
                this.pass(Phase::Walk, number, pass, span);
            }
        });
        for pass in passes {
            for id in &pass.uniform_sums {
                let sum = Lanes::one(self.get(self.sums[id]));
                let value = self.writer.fitted(self.kernel.steps[*id].dtype, sum);
                self.uniform.insert(*id, value.low);
            }
        }
    }

    /// `body` at every position, with the addresses of what is accessed there.
    fn each_walked(&mut self, walk: LoopId, body: &mut dyn FnMut(&mut Self)) {
        let zero = self.int(0);
        let position = self.var(zero);
        self.positions.insert(walk, position);
        let mut strides = Vec::new();
        for key in self.keys() {
            let factor = self.access(key).address.factor(walk);
            if factor.as_constant() == Some(0) {
                continue;
            }
            let size = self.int(self.element_size(key));
            let stride = self.times(size, &factor);
            let base = self.get(self.bases[&key]);
            let variable = self.var(base);
            self.walked.insert(key, variable);
            strides.push((variable, stride));
        }
        let extent = self.extent(&self.kernel.loops[walk].extent);
        let (inside, after) = (self.block(), self.block());
        let some = self
            .writer
            .builder
            .ins()
            .icmp(IntCC::SignedLessThan, zero, extent);
        self.branch(some, inside, after);
        self.writer.builder.switch_to_block(inside);
        body(self);
        for (variable, stride) in strides {
            let address = self.get(variable);
            let next = self.add(address, stride);
            self.set(variable, next);
        }
        let own = self.get(position);
        let next = self.plus(own, 1);
        self.set(position, next);
        let more = self
            .writer
            .builder
            .ins()
            .icmp(IntCC::SignedLessThan, next, extent);
        self.branch(more, inside, after);
        self.writer.builder.switch_to_block(after);
        self.walked.clear();
        self.positions.remove(&walk);
    }

    /// The walk for a few positions of the inner loop at a time.
    fn tiles(&mut self, walk: LoopId, span: Span) {
        let schedule = self.schedule;
        let passes = schedule.passes(Phase::Walk);
        let Some(pass) = passes.first() else { return };
        let Some(stretch) = pass.stretches.first() else {
            return;
        };
        let uniform = pass.uniform.clone();
        let vectors = self.tile_vectors(stretch);
        self.each_group(span, vectors, &mut |this, form, index| {
            let place = Place {
                phase: Phase::Walk,
                pass: 0,
                stage: 0,
            };
            let mut group = Group::new(place, form, index);
            this.tile(walk, &uniform, stretch, &mut group);
        });
    }

    /// How many vectors of a tile keep the registers busy without spilling.
    fn tile_vectors(&self, stretch: &Stretch) -> usize {
        let parts = stretch.sums.iter().map(|id| self.parts(*id, Form::Vector));
        let registers: usize = parts.sum();
        let varying = |id: &usize| {
            let step = &self.kernel.steps[*id];
            self.schedule.live[*id] && step.walked && step.inner
        };
        let steps = (0..self.kernel.steps.len()).filter(varying).count();
        let most = if steps > 10 {
            2
        } else if steps > 5 {
            4
        } else {
            8
        };
        (8 / registers.max(1)).clamp(1, most)
    }

    fn tile(&mut self, walk: LoopId, uniform: &[StepId], stretch: &Stretch, group: &mut Group) {
        // What does not vary along the walk is computed before it.
        for id in self.constants_of_walk(stretch) {
            self.value(id, group);
        }
        let mut sums: BTreeMap<StepId, Vec<Vec<Variable>>> = BTreeMap::new();
        for id in &stretch.sums {
            if let StepOp::Reduce(combine, _, _) = self.kernel.steps[*id].op {
                let dtype = self.kernel.steps[*id].dtype;
                let identity = self.writer.identity(combine, dtype, group.form);
                let one =
                    |this: &mut Self| identity.values().map(|value| this.var(value)).collect();
                let all = group.offsets.iter().map(|_| one(self)).collect();
                sums.insert(*id, all);
            }
        }
        self.each_walked(walk, &mut |this| {
            for id in uniform {
                let value = this.uniform_value(*id);
                this.uniform.insert(*id, value);
            }
            let mut group = group.again();
            let stores = stretch.stores.iter();
            let stored: Vec<_> = stores
                .map(|store| this.value(this.kernel.stores[*store].step, &mut group))
                .collect();
            for (id, variables) in &sums {
                this.add_to_sums(*id, variables, &mut group);
            }
            for (store, bundle) in stretch.stores.iter().zip(stored) {
                this.write_store(*store, &bundle, &mut group);
            }
        });
        for (id, variables) in &sums {
            let bundle: Vec<Lanes> = variables.iter().map(|own| self.lanes(own)).collect();
            let slot = self.schedule.slots[id];
            self.write_slot(slot, kind(self.kernel, *id), &bundle, group);
        }
    }

    fn lanes(&mut self, variables: &[Variable]) -> Lanes {
        let low = self.get(variables[0]);
        let high = variables.get(1).map(|high| self.get(*high));
        Lanes { low, high }
    }

    fn add_to_sums(&mut self, id: StepId, variables: &[Vec<Variable>], group: &mut Group) {
        let StepOp::Reduce(combine, x, _) = self.kernel.steps[id].op else {
            return;
        };
        let dtype = self.kernel.steps[id].dtype;
        let old: Vec<Lanes> = variables.iter().map(|own| self.lanes(own)).collect();
        let new = self.combined_in(combine, dtype, x, &old, group);
        for (variables, lanes) in variables.iter().zip(new) {
            for (variable, value) in variables.iter().zip(lanes.values()) {
                self.set(*variable, value);
            }
        }
    }

    /// Steps that the walk uses at every position alike, along the inner loop.
    fn constants_of_walk(&self, stretch: &Stretch) -> Vec<StepId> {
        let steps = &self.kernel.steps;
        let mut found = Vec::new();
        let mut open: Vec<StepId> = stretch.sums.clone();
        for store in &stretch.stores {
            open.push(self.kernel.stores[*store].step);
        }
        let mut seen = vec![false; steps.len()];
        while let Some(id) = open.pop() {
            if std::mem::replace(&mut seen[id], true) {
                continue;
            }
            let sums = stretch.sums.contains(&id);
            if !steps[id].walked && steps[id].inner && !sums {
                found.push(id);
            } else {
                open.extend(operands(&steps[id].op));
            }
        }
        found.sort_unstable();
        found
    }
}
