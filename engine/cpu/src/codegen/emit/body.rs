//! What one point does: passes over the inner loop, their stretches, and the calls between.

use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{AbiParam, InstBuilder, Signature, Type, Value};
use cranelift_frontend::Variable;
use girih_graph::DType;
use girih_graph::op::{Binary, Combine};
use girih_plan::kernel::{LoopKind, StepId, StepOp};

use super::element::{Bundle, Group};
use super::{Emitter, Key, Span, kind};
use crate::codegen::lanes::{Form, Kind, Lanes, Writer, memory};
use crate::codegen::routine::{Place as Entry, Routine};
use crate::codegen::schedule::{
    BLOCK, Pass, Phase, Place, Slot, Stretch, calls_anything, lies_in_blocks,
};

/// Vectors of a reduction that do not wait for one another.
const INDEPENDENT: usize = 4;

/// A reduction over the inner loop that is being computed.
pub(super) struct Running {
    id: StepId,
    operand: StepId,
    combine: Combine,
    /// Vectors, each with its parts, and the elements past them.
    lanes: Vec<Vec<Variable>>,
    rest: Variable,
}

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
        use cranelift_codegen::ir::condcodes::IntCC::SignedLessThan;
        let some = self
            .writer
            .builder
            .ins()
            .icmp(SignedLessThan, span.low, span.high);
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
            .icmp(SignedLessThan, end, span.high);
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

    fn start_reduction(&mut self, id: StepId, count: usize) -> Running {
        let StepOp::Reduce(combine, operand, _) = self.kernel.steps[id].op else {
            unreachable!("only reductions are scheduled as such");
        };
        let dtype = self.kernel.steps[id].dtype;
        let identity = self.writer.identity(combine, dtype, Form::Vector);
        let lanes = (0..count).map(|_| identity.values().map(|value| self.var(value)).collect());
        let lanes = lanes.collect();
        let identity = self.writer.identity(combine, dtype, Form::Scalar);
        let rest = self.var(identity.low);
        Running {
            id,
            operand,
            combine,
            lanes,
            rest,
        }
    }

    fn lanes_of(&mut self, variables: &[Variable]) -> Lanes {
        let low = self.get(variables[0]);
        let high = variables.get(1).map(|high| self.get(*high));
        Lanes { low, high }
    }

    fn set_lanes(&mut self, variables: &[Variable], lanes: Lanes) {
        for (variable, value) in variables.iter().zip(lanes.values()) {
            self.set(*variable, value);
        }
    }

    fn finish_reduction(&mut self, running: &Running) {
        let dtype = self.kernel.steps[running.id].dtype;
        let mut all: Vec<Lanes> = Vec::new();
        for variables in &running.lanes {
            let lanes = self.lanes_of(variables);
            all.push(lanes);
        }
        while all.len() > 1 {
            let upper = all.split_off(all.len().div_ceil(2));
            for (own, other) in all.iter_mut().zip(upper) {
                *own = self.writer.combined(running.combine, dtype, (*own, other));
            }
        }
        let vectors = self.writer.folded(running.combine, dtype, all[0]);
        let rest = Lanes::one(self.get(running.rest));
        let value = self
            .writer
            .combined(running.combine, dtype, (vectors, rest));
        let value = self.writer.fitted(dtype, value);
        self.uniform.insert(running.id, value.low);
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
            self.reduce_by_call(running, *routine, operands, span);
        }
        if own.is_empty() && stretch.reduces.len() == called.len() && stretch.only_reduces() {
            return;
        }
        let vectors = if own.is_empty() { 1 } else { INDEPENDENT };
        self.each_group(span, vectors, &mut |this, form, index| {
            let mut group = Group::new(place, form, index);
            this.write_stretch(stretch, &own, &mut group);
        });
    }

    /// Reductions that routines compute, with the operands as they lie, and the others. A sum
    /// goes to a routine only if the stretch does nothing else with its operands.
    fn reduced_by_calls<'r>(
        &self,
        place: Place,
        stretch: &Stretch,
        span: Span,
        all: Vec<&'r Running>,
    ) -> (Vec<(&'r Running, Routine, Vec<StepId>)>, Vec<&'r Running>) {
        let found: Vec<_> = all
            .iter()
            .map(|running| self.reducing_routine(place, running))
            .collect();
        let alone = stretch.only_reduces() && found.iter().all(Option::is_some);
        let (mut called, mut rest) = (Vec::new(), Vec::new());
        for (running, found) in all.into_iter().zip(found) {
            let ordered = matches!(running.combine, Combine::Max | Combine::Min);
            match found {
                Some((routine, operands)) if span.known.is_none() && (alone || ordered) => {
                    called.push((running, routine, operands));
                }
                _ => rest.push(running),
            }
        }
        (called, rest)
    }

    /// The routine that reduces what lies in memory.
    fn reducing_routine(&self, place: Place, running: &Running) -> Option<(Routine, Vec<StepId>)> {
        let x = running.operand;
        let step = &self.kernel.steps[x];
        if !matches!(step.dtype, DType::F32 | DType::F64) || !step.inner {
            return None;
        }
        let lies = |id: StepId| lies_in_blocks(self.kernel, id) || self.kept(id, place).is_some();
        if lies(x) {
            let routine = match running.combine {
                Combine::Sum => Routine::Sum,
                Combine::Prod => Routine::Product,
                Combine::Max => Routine::Largest,
                Combine::Min => Routine::Smallest,
                Combine::Any | Combine::All => return None,
            };
            return Some((routine, vec![x]));
        }
        match step.op {
            StepOp::Binary(Binary::Mul, a, b)
                if running.combine == Combine::Sum
                    && self.kernel.steps[a].inner
                    && self.kernel.steps[b].inner
                    && self.schedule.calls.of[x].is_none()
                    && !self.schedule.slots.contains_key(&x)
                    && lies(a)
                    && lies(b) =>
            {
                Some(if a == b {
                    (Routine::SumSquares, vec![a])
                } else {
                    (Routine::Dot, vec![a, b])
                })
            }
            _ => None,
        }
    }

    fn reduce_by_call(
        &mut self,
        running: &Running,
        routine: Routine,
        operands: &[StepId],
        span: Span,
    ) {
        let dtype = self.kernel.steps[running.id].dtype;
        let own = Kind::of(dtype);
        let mut arguments = Vec::new();
        for operand in operands {
            let address = self.operand_address((running.id, usize::MAX), *operand, span.low);
            arguments.push(address);
        }
        let count = self.writer.builder.ins().isub(span.high, span.low);
        arguments.push(count);
        let ty = own.part(Form::Scalar);
        let part = self.call_routine(routine, own == Kind::F64, &arguments, Some(ty));
        if let Some(part) = part {
            let old = Lanes::one(self.get(running.rest));
            let pair = (old, Lanes::one(part));
            let new = self.writer.combined(running.combine, dtype, pair);
            self.set(running.rest, new.low);
        }
    }

    /// `body` for vectors of the span, several at a time, then for the elements left over.
    pub(super) fn each_group(
        &mut self,
        span: Span,
        vectors: usize,
        body: &mut dyn FnMut(&mut Self, Form, (Option<Value>, Vec<i64>)),
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

    /// Old sums with one more operand each.
    pub(super) fn combined_in(
        &mut self,
        combine: Combine,
        dtype: DType,
        x: StepId,
        old: &[Lanes],
        group: &mut Group,
    ) -> Bundle {
        if let Some((a, b)) = self.product(combine, dtype, x, group) {
            let (a, b) = (self.value(a, group), self.value(b, group));
            let pairs = a.into_iter().zip(b);
            let all = old.iter().zip(pairs);
            return all
                .map(|(old, pair)| self.writer.multiplied_in(*old, pair))
                .collect();
        }
        let x = self.value(x, group);
        let pairs = old.iter().zip(x);
        pairs
            .map(|(old, x)| self.writer.combined(combine, dtype, (*old, x)))
            .collect()
    }

    /// The factors of what is summed, if it is a product that nothing else needs here.
    fn product(
        &self,
        combine: Combine,
        dtype: DType,
        x: StepId,
        group: &Group,
    ) -> Option<(StepId, StepId)> {
        let step = &self.kernel.steps[x];
        let exact = matches!(dtype, DType::F32 | DType::F64) && combine == Combine::Sum;
        let here = step.inner
            && self.schedule.calls.of[x].is_none()
            && !self.schedule.slots.contains_key(&x)
            && !group.has(x);
        match step.op {
            StepOp::Binary(Binary::Mul, a, b) if exact && here => Some((a, b)),
            _ => None,
        }
    }

    fn reduce_group(&mut self, running: &Running, group: &mut Group) {
        let dtype = self.kernel.steps[running.id].dtype;
        if group.form == Form::Scalar {
            let old: Bundle = vec![Lanes::one(self.get(running.rest))];
            let new = self.combined_in(running.combine, dtype, running.operand, &old, group);
            return self.set(running.rest, new[0].low);
        }
        let mut old = Vec::new();
        for variables in running.lanes.iter().take(group.offsets.len()) {
            let lanes = self.lanes_of(variables);
            old.push(lanes);
        }
        let new = self.combined_in(running.combine, dtype, running.operand, &old, group);
        for (variables, lanes) in running.lanes.iter().zip(new) {
            self.set_lanes(variables, lanes);
        }
    }

    /// Address of the first element of a slot's part that the span is, `start` positions on.
    pub(super) fn slot_address(&mut self, slot: Slot, kind: Kind, start: Value) -> Value {
        let unit = BLOCK * 4;
        let fixed = self.schedule.blocks as i64 * unit;
        if slot.row {
            let bytes = self.scaled(self.row_bytes, slot.unit as i64);
            let base = self.add(self.scratch, bytes);
            let base = self.plus(base, fixed);
            let along = self.scaled(start, kind.slot_size());
            return self.add(base, along);
        }
        let base = self.plus(self.scratch, slot.unit as i64 * unit);
        // Positions count from the block's first.
        let from = self.writer.builder.ins().isub(start, self.block_start);
        let along = self.scaled(from, kind.slot_size());
        self.add(base, along)
    }

    /// Where an operand of a call lies.
    fn operand_address(&mut self, feed: (StepId, usize), operand: StepId, low: Value) -> Value {
        let own = kind(self.kernel, operand);
        let schedule = self.schedule;
        let slot = schedule.feeds.get(&feed);
        if let Some(slot) = slot.or_else(|| schedule.slots.get(&operand)) {
            return self.slot_address(*slot, own, low);
        }
        let address = self.pointer(Key::Load(operand));
        let along = self.scaled(low, own.slot_size());
        self.add(address, along)
    }

    fn call_block(&mut self, id: StepId, span: Span, brought: &[(StepId, Variable)]) {
        let schedule = self.schedule;
        let Some(call) = schedule.calls.of[id].as_ref() else {
            return;
        };
        let own = kind(self.kernel, id);
        let mut arguments = Vec::new();
        for (position, operand) in call.operands.iter().take(call.routine.arity()).enumerate() {
            let address = self.operand_address((id, position), *operand, span.low);
            arguments.push(address);
        }
        let slot = schedule.slots[&id];
        let result = self.slot_address(slot, own, span.low);
        arguments.push(result);
        let count = self.writer.builder.ins().isub(span.high, span.low);
        arguments.push(count);
        let Some(sum) = schedule.calls.sum[id] else {
            self.call_routine(call.routine, own == Kind::F64, &arguments, None);
            return;
        };
        let subtracted = self.uniform[&call.operands[1]];
        arguments.push(subtracted);
        let part = self.call_routine(
            call.routine,
            false,
            &arguments,
            Some(Kind::F32.part(Form::Scalar)),
        );
        if let (Some(part), Some((_, variable))) =
            (part, brought.iter().find(|(own, _)| *own == sum))
        {
            let old = self.get(*variable);
            let new = self.writer.builder.ins().fadd(old, part);
            self.set(*variable, new);
        }
    }

    fn call_routine(
        &mut self,
        routine: Routine,
        wide: bool,
        arguments: &[Value],
        result: Option<Type>,
    ) -> Option<Value> {
        let mut signature = Signature::new(self.isa.default_call_conv());
        for argument in arguments {
            let ty = self.writer.builder.func.dfg.value_type(*argument);
            signature.params.push(AbiParam::new(ty));
        }
        signature.returns.extend(result.map(AbiParam::new));
        let signature = self.writer.builder.import_signature(signature);
        let (base, offset) = match routine.place(wide) {
            Entry::Table(offset) => (self.routines, offset),
            Entry::Frame(offset) => (self.frame, offset),
        };
        let callee = self
            .writer
            .builder
            .ins()
            .load(I64, memory(), base, offset as i32);
        let call = self
            .writer
            .builder
            .ins()
            .call_indirect(signature, callee, arguments);
        self.writer.builder.inst_results(call).first().copied()
    }

    /// A routine for one element.
    pub(super) fn call_once(&mut self, routine: Routine, own: Kind, operands: &[Value]) -> Value {
        let mut arguments = Vec::new();
        for (operand, cell) in operands.iter().zip(self.cells) {
            self.writer
                .builder
                .ins()
                .stack_store(I64, *operand, cell, 0);
            arguments.push(self.writer.builder.ins().stack_addr(I64, cell, 0));
        }
        let result = self.cells[2];
        arguments.push(self.writer.builder.ins().stack_addr(I64, result, 0));
        let one = self.int(1);
        arguments.push(one);
        self.call_routine(routine, own == Kind::F64, &arguments, None);
        self.writer
            .builder
            .ins()
            .stack_load(I64, own.part(Form::Scalar), result, 0)
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
