//! What one point does: passes over the inner loop, their stretches, and the calls between.

use std::collections::BTreeSet;

use cranelift_codegen::ir::InstBuilder;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_frontend::Variable;
use girih_plan::kernel::{Access, LoopKind, StepId, StepOp};

use super::element::{Bundle, Group, Positions};
use super::reduce::{INDEPENDENT, Running};
use super::{Emitter, Key, Span, kind};
use crate::codegen::lanes::{Form, Lanes, Writer};
use crate::codegen::normal::operands;
use crate::codegen::schedule::{BLOCK, Pass, Phase, Place, Stretch, calls_anything};

impl Emitter<'_> {
    pub(super) fn run_point(&mut self, span: Span) {
        let schedule = self.schedule;
        self.block_start = span.low;
        for (number, pass) in schedule.passes(Phase::Before).iter().enumerate() {
            self.pass(Phase::Before, number, pass, span);
        }
        if self.kernel.walk().is_some() {
            self.block_start = span.low;
            self.walk(span);
        }
        for (number, pass) in schedule.passes(Phase::After).iter().enumerate() {
            self.pass(Phase::After, number, pass, span);
        }
    }

    pub(super) fn pass(&mut self, phase: Phase, number: usize, pass: &Pass, span: Span) {
        self.uniform_part(pass);
        if pass.stretches.is_empty() {
            return;
        }
        let vectors = span.known.map_or(INDEPENDENT, |count| count as usize / 4);
        let vectors = vectors.clamp(1, INDEPENDENT);
        let mut running = Vec::new();
        let mut brought: Vec<(StepId, Variable)> = Vec::new();
        for stretch in &pass.stretches {
            for id in &stretch.reduces {
                running.push(self.start_reduction(*id, vectors));
            }
            for call in &stretch.calls {
                if let Some(sum) = self.schedule.calls.sum[*call] {
                    let zero = self.writer.builder.ins().f32const(0.0);
                    brought.push((sum, self.var(zero)));
                }
            }
        }
        let mut stretches = |this: &mut Self, span: Span| {
            this.block_start = span.low;
            for (stage, stretch) in pass.stretches.iter().enumerate() {
                let place = Place {
                    phase,
                    pass: number,
                    stage,
                };
                this.stretch(place, stretch, span, &running);
                for call in &stretch.calls {
                    this.call_block(*call, span, &brought);
                }
            }
        };
        let short = span.known.is_some() || !self.schedule.whole_rows;
        if calls_anything(pass) && !short {
            self.each_block(span, &mut stretches);
        } else {
            stretches(self, span);
        }
        for running in running {
            self.finish_reduction(&running);
        }
        for (sum, variable) in brought {
            let value = self.get(variable);
            self.uniform.insert(sum, value);
        }
    }

    /// Blocks of a row, the last one shorter.
    fn each_block(&mut self, span: Span, body: &mut dyn FnMut(&mut Self, Span)) {
        let start = self.var(span.low);
        let (inside, after) = (self.block(), self.block());
        let some = self
            .writer
            .builder
            .ins()
            .icmp(IntCC::SignedLessThan, span.low, span.high);
        self.branch(some, inside, after);
        self.writer.builder.switch_to_block(inside);
        let low = self.get(start);
        let end = self.plus(low, BLOCK);
        let high = self.smaller(end, span.high);
        body(
            self,
            Span {
                low,
                high,
                known: None,
            },
        );
        self.set(start, end);
        let more = self
            .writer
            .builder
            .ins()
            .icmp(IntCC::SignedLessThan, end, span.high);
        self.branch(more, inside, after);
        self.writer.builder.switch_to_block(after);
    }

    /// Steps, sums and stores that do not vary along the inner loop.
    fn uniform_part(&mut self, pass: &Pass) {
        for id in &pass.uniform {
            let value = self.uniform_value(*id);
            self.uniform.insert(*id, value);
        }
        for id in &pass.uniform_sums {
            if let StepOp::Reduce(combine, x, _) = self.kernel.steps[*id].op {
                let dtype = self.kernel.steps[*id].dtype;
                let variable = self.sums[id];
                let own = Lanes::one(self.get(variable));
                let x = Lanes::one(self.uniform[&x]);
                let sum = self.writer.combined(combine, dtype, (own, x));
                self.set(variable, sum.low);
            }
        }
        for store in &pass.uniform_stores {
            let target = &self.kernel.stores[*store];
            let dtype = self.kernel.steps[target.step].dtype;
            let address = self.pointer(Key::Store(*store));
            let value = Lanes::one(self.uniform[&target.step]);
            self.writer.store(dtype, Form::Scalar, value, address, 0);
        }
    }

    fn stretch(&mut self, place: Place, stretch: &Stretch, span: Span, running: &[Running]) {
        if stretch.is_empty() {
            return;
        }
        let own = running
            .iter()
            .filter(|running| stretch.reduces.contains(&running.id));
        let (called, own) = self.reduced_by_calls(place, stretch, span, own.collect());
        for (running, routine, operands) in &called {
            self.reduce_by_call(running, *routine, operands, (place, span));
        }
        if own.is_empty() && stretch.reduces.len() == called.len() && stretch.only_reduces() {
            return;
        }
        let vectors = if own.is_empty() {
            self.unrolled(place, stretch)
        } else {
            INDEPENDENT
        };
        self.each_group(span, vectors, &mut |this, form, index| {
            let mut group = Group::new(place, form, index);
            this.write_stretch(stretch, &own, &mut group);
        });
    }

    /// How many vectors one turn of a loop computes: several where the loop itself would cost as much
    /// as what it does.
    fn unrolled(&self, place: Place, stretch: &Stretch) -> usize {
        let kernel = self.kernel;
        let stores = stretch.stores.iter();
        let mut open: Vec<StepId> = stores.map(|store| kernel.stores[*store].step).collect();
        open.extend(&stretch.keeps);
        for (call, position) in &stretch.feeds {
            let call = self.schedule.calls.of[*call].as_ref();
            open.extend(call.map(|call| call.operands[*position]));
        }
        for id in &stretch.sums {
            open.extend(operands(&kernel.steps[*id].op));
        }
        let plain = |access: &Access| access.guards.is_empty() && access.address.steps.is_empty();
        let stores = stretch.stores.iter();
        let mut stores = stores.map(|store| &kernel.stores[*store].access);
        if !stores.all(|access| plain(access) && self.is_unit(access)) {
            return 1;
        }
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            let step = &kernel.steps[id];
            if !step.inner || self.kept(id, place).is_some() || !seen.insert(id) {
                continue;
            }
            match &step.op {
                StepOp::Load(access) if !plain(access) || !self.is_unit(access) => return 1,
                op => open.extend(operands(op)),
            }
        }
        match seen.len() {
            0..=8 => INDEPENDENT,
            9..=16 => INDEPENDENT / 2,
            _ => 1,
        }
    }

    /// `body` for vectors of the span, several at a time, then for the elements left over.
    pub(super) fn each_group(
        &mut self,
        span: Span,
        vectors: usize,
        body: &mut dyn FnMut(&mut Self, Form, Positions),
    ) {
        if let Some(count) = span.known {
            let whole: Vec<i64> = (0..count / 4).map(|vector| vector * 4).collect();
            for some in whole.chunks(vectors.max(2)) {
                body(self, Form::Vector, (None, some.to_vec()));
            }
            for element in count / 4 * 4..count {
                body(self, Form::Scalar, (None, vec![element]));
            }
            return;
        }
        let mut low = span.low;
        let offsets: Vec<i64> = (0..vectors as i64).map(|vector| vector * 4).collect();
        if vectors > 1 {
            low = self.each_step(low, span.high, vectors as i64 * 4, |this, index| {
                body(this, Form::Vector, (Some(index), offsets.clone()));
            });
        }
        low = self.each_step(low, span.high, 4, |this, index| {
            body(this, Form::Vector, (Some(index), vec![0]));
        });
        self.each_step(low, span.high, 1, |this, index| {
            body(this, Form::Scalar, (Some(index), vec![0]));
        });
    }

    fn write_stretch(&mut self, stretch: &Stretch, running: &[&Running], group: &mut Group) {
        let schedule = self.schedule;
        // Everything is read before anything is written.
        let stored: Vec<Bundle> = stretch
            .stores
            .iter()
            .map(|store| self.value(self.kernel.stores[*store].step, group))
            .collect();
        let kept: Vec<Bundle> = stretch
            .keeps
            .iter()
            .map(|id| self.value(*id, group))
            .collect();
        let mut fed = Vec::new();
        for (call, position) in &stretch.feeds {
            let operand = schedule.calls.of[*call]
                .as_ref()
                .map(|call| call.operands[*position]);
            fed.push(operand.map(|operand| (operand, self.value(operand, group))));
        }
        let mut sums = Vec::new();
        for id in &stretch.sums {
            let StepOp::Reduce(combine, x, LoopKind::Walk) = self.kernel.steps[*id].op else {
                continue;
            };
            let slot = schedule.slots[id];
            let old = self.read_slot(slot, kind(self.kernel, *id), group);
            let dtype = self.kernel.steps[*id].dtype;
            let new = self.combined_in(combine, dtype, x, &old, group);
            sums.push((*id, slot, new));
        }
        for running in running {
            self.reduce_group(running, group);
        }
        for (id, slot, new) in sums {
            self.write_slot(slot, kind(self.kernel, id), &new, group);
        }
        for (id, bundle) in stretch.keeps.iter().zip(kept) {
            let slot = schedule.slots[id];
            self.write_slot(slot, kind(self.kernel, *id), &bundle, group);
        }
        for (feed, fed) in stretch.feeds.iter().zip(fed) {
            if let Some((operand, bundle)) = fed {
                let slot = schedule.feeds[feed];
                self.write_slot(slot, kind(self.kernel, operand), &bundle, group);
            }
        }
        for (store, bundle) in stretch.stores.iter().zip(stored) {
            self.write_store(*store, &bundle, group);
        }
    }

    /// Starts what is summed over the walk for every position of the span.
    pub(super) fn clear_sums(&mut self, ids: &[StepId], span: Span) {
        for id in ids {
            let StepOp::Reduce(combine, _, _) = self.kernel.steps[*id].op else {
                continue;
            };
            let slot = self.schedule.slots[id];
            let (own, dtype) = (kind(self.kernel, *id), self.kernel.steps[*id].dtype);
            let place = Place {
                phase: Phase::Walk,
                pass: 0,
                stage: 0,
            };
            self.each_group(span, 1, &mut |this, form, index| {
                let group = Group::new(place, form, index);
                let identity = this.writer.identity(combine, dtype, form);
                let bundle = vec![identity; group.offsets.len()];
                this.write_slot(slot, own, &bundle, &group);
            });
        }
    }

    /// Number of vectors or scalars that hold a step's value.
    pub(super) fn parts(&self, id: StepId, form: Form) -> usize {
        Writer::parts(kind(self.kernel, id), form)
    }
}
