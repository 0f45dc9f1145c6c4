//! Calls of precompiled routines: where operands lie, and what comes back.

use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{AbiParam, InstBuilder, Signature, Type, Value};
use cranelift_frontend::Variable;
use girih_plan::kernel::StepId;

use super::{Emitter, Key, Span, kind};
use crate::codegen::lanes::{Form, Kind};
use crate::codegen::memory::memory;
use crate::codegen::routine::{Place as Entry, Routine};
use crate::codegen::schedule::{BLOCK, Slot};

impl Emitter<'_> {
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
    pub(super) fn operand_address(
        &mut self,
        feed: (StepId, usize),
        operand: StepId,
        low: Value,
    ) -> Value {
        let own = kind(self.kernel, operand);
        let schedule = self.schedule;
        let slot = schedule.feeds.get(&feed);
        if let Some(slot) = slot.or_else(|| schedule.slots.get(&operand)) {
            return self.slot_address(*slot, own, low);
        }
        self.element_of(Key::Load(operand), own, low)
    }

    /// Address of an element of a contiguous access, whose elements are of this kind.
    pub(super) fn element_of(&mut self, key: Key, own: Kind, index: Value) -> Value {
        let address = self.pointer(key);
        let along = self.scaled(index, own.slot_size());
        self.add(address, along)
    }

    pub(super) fn call_block(&mut self, id: StepId, span: Span, brought: &[(StepId, Variable)]) {
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
        let result = match schedule.lands.get(&id) {
            Some(store) => self.element_of(Key::Store(*store), own, span.low),
            None => self.slot_address(schedule.slots[&id], own, span.low),
        };
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

    pub(super) fn call_routine(
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
}
