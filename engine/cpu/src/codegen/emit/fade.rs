//! The walk as one call.

use std::mem::{offset_of, size_of};

use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{InstBuilder, StackSlotData, StackSlotKind, Value};
use girih_kernels::table::{FadeArguments, Seen};
use girih_plan::kernel::{LoopId, StepId};

use super::{Emitter, Key, Span, kind};
use crate::codegen::fade::{self, Decay, Fade};
use crate::codegen::lanes::Kind;
use crate::codegen::routine::Routine;

impl Emitter<'_> {
    /// Calls the routine for the columns of the span.
    pub(super) fn fade(&mut self, fade: &Fade, walk: LoopId, span: Span) {
        let null = self.int(0);
        let mut fields: Vec<(usize, Value)> = Vec::new();
        let rows = self.extent(&self.kernel.loops[walk].extent);
        fields.push((offset_of!(FadeArguments, rows), rows));
        let columns = self.writer.builder.ins().isub(span.high, span.low);
        fields.push((offset_of!(FadeArguments, columns), columns));
        let state = self.rows_of(fade.state, walk, span);
        fields.push((offset_of!(FadeArguments, state), state.0));
        fields.push((offset_of!(FadeArguments, state_row), state.1));
        let decay = match fade.decay {
            Decay::Row(decay) => self.strided(decay, walk),
            Decay::Nothing | Decay::Exponential { .. } => (null, null),
        };
        fields.push((offset_of!(FadeArguments, fade), decay.0));
        fields.push((offset_of!(FadeArguments, fade_row), decay.1));
        let (rates, times) = match fade.decay {
            Decay::Exponential { times, rates } => (
                self.rows_of(rates, walk, span),
                self.columns_of(times, span),
            ),
            Decay::Nothing | Decay::Row(_) => ((null, null), null),
        };
        fields.push((offset_of!(FadeArguments, rates), rates.0));
        fields.push((offset_of!(FadeArguments, rates_row), rates.1));
        fields.push((offset_of!(FadeArguments, times), times));
        let (k, x) = match fade.added {
            Some(added) => (self.strided(added.k, walk), self.columns_of(added.x, span)),
            None => ((null, null), null),
        };
        let then = match fade.added.and_then(|added| added.then) {
            Some(then) => self.columns_of(then, span),
            None => null,
        };
        fields.push((offset_of!(FadeArguments, then), then));
        fields.push((offset_of!(FadeArguments, k), k.0));
        fields.push((offset_of!(FadeArguments, k_row), k.1));
        fields.push((offset_of!(FadeArguments, x), x));
        let (q, out, seen) = match fade.read {
            Some(read) => {
                let slot = self.schedule.slots[&read.sum];
                let out = self.slot_address(slot, Kind::F32, span.low);
                let seen = match read.seen {
                    fade::Seen::After => Seen::After,
                    fade::Seen::Before | fade::Seen::Bonus(..) => Seen::Before,
                };
                (self.strided(read.q, walk), out, seen)
            }
            None => ((null, null), null, Seen::Nothing),
        };
        let (bonus, gain) = match fade.read.map(|read| read.seen) {
            Some(fade::Seen::Bonus(bonus, gain)) => {
                (self.strided(bonus, walk), self.columns_of(gain, span))
            }
            _ => ((null, null), null),
        };
        fields.push((offset_of!(FadeArguments, bonus), bonus.0));
        fields.push((offset_of!(FadeArguments, bonus_row), bonus.1));
        fields.push((offset_of!(FadeArguments, gain), gain));
        fields.push((offset_of!(FadeArguments, q), q.0));
        fields.push((offset_of!(FadeArguments, q_row), q.1));
        fields.push((offset_of!(FadeArguments, out), out));
        let seen = self.int(seen as i64);
        fields.push((offset_of!(FadeArguments, seen), seen));
        let writes = self.int(i64::from(fade.store.is_some()));
        fields.push((offset_of!(FadeArguments, writes), writes));
        let bytes = size_of::<FadeArguments>() as u32;
        let kind = StackSlotKind::ExplicitSlot;
        let builder = &mut self.writer.builder;
        let slot = builder.create_sized_stack_slot(StackSlotData::new(kind, bytes, 3));
        for (offset, value) in fields {
            builder.ins().stack_store(I64, value, slot, offset as i32);
        }
        let arguments = builder.ins().stack_addr(I64, slot, 0);
        self.call_routine(Routine::Fade, false, &[arguments], None);
    }

    /// Where the span's part of the first row lies, and the distance of two rows in elements.
    fn rows_of(&mut self, load: StepId, walk: LoopId, span: Span) -> (Value, Value) {
        let address = self.element_of(Key::Load(load), kind(self.kernel, load), span.low);
        (address, self.row_step(load, walk))
    }

    fn row_step(&mut self, load: StepId, walk: LoopId) -> Value {
        let factor = self.access(Key::Load(load)).address.factor(walk);
        let one = self.int(1);
        self.times(one, &factor)
    }

    /// A step that is alike along the inner loop: where its first row's number lies, and the
    /// distance to the next one's.
    fn strided(&mut self, id: StepId, walk: LoopId) -> (Value, Value) {
        if self.kernel.steps[id].walked {
            let address = self.pointer(Key::Load(id));
            return (address, self.row_step(id, walk));
        }
        let value = self.uniform[&id];
        (self.cell(value), self.int(0))
    }

    /// Where one number lies.
    fn cell(&mut self, value: Value) -> Value {
        let builder = &mut self.writer.builder;
        let kind = StackSlotKind::ExplicitSlot;
        let slot = builder.create_sized_stack_slot(StackSlotData::new(kind, 4, 2));
        builder.ins().stack_store(I64, value, slot, 0);
        builder.ins().stack_addr(I64, slot, 0)
    }

    /// Where the span's part of a step that is alike along the walk lies.
    fn columns_of(&mut self, id: StepId, span: Span) -> Value {
        match self.schedule.slots.get(&id) {
            Some(slot) => self.slot_address(*slot, Kind::F32, span.low),
            None => self.element_of(Key::Load(id), kind(self.kernel, id), span.low),
        }
    }
}
