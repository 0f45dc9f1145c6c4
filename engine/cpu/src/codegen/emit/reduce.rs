//! Reductions over the inner loop, and one more operand for any sum.
//!
//! Several vectors are combined side by side, then all lanes, then the elements past them: the
//! order depends on nothing but the number of elements. What lies in memory as a routine wants
//! it is reduced by that routine.

use cranelift_codegen::ir::InstBuilder;
use cranelift_frontend::Variable;
use girih_graph::DType;
use girih_graph::op::{Binary, Combine};
use girih_plan::kernel::{StepId, StepOp};

use super::element::{Bundle, Group};
use super::{Emitter, Key, Span, kind};
use crate::codegen::lanes::{Form, Kind, Lanes};
use crate::codegen::routine::Routine;
use crate::codegen::schedule::{Place, Stretch, lies_in_blocks};

/// Vectors of a reduction that do not wait for one another.
pub(super) const INDEPENDENT: usize = 4;

/// A reduction over the inner loop that is being computed.
pub(super) struct Running {
    pub(super) id: StepId,
    operand: StepId,
    combine: Combine,
    /// Vectors, each with its parts, and the elements past them.
    lanes: Vec<Vec<Variable>>,
    rest: Variable,
}

/// A reduction with the routine that computes it and the operands, as they lie in memory.
type ByCall<'r> = (&'r Running, Routine, Vec<StepId>);

impl Emitter<'_> {
    pub(super) fn start_reduction(&mut self, id: StepId, count: usize) -> Running {
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

    pub(super) fn finish_reduction(&mut self, running: &Running) {
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

    /// Reductions that routines compute, with the operands as they lie, and the others. A sum
    /// goes to a routine only if the stretch does nothing else with its operands.
    pub(super) fn reduced_by_calls<'r>(
        &self,
        place: Place,
        stretch: &Stretch,
        span: Span,
        all: Vec<&'r Running>,
    ) -> (Vec<ByCall<'r>>, Vec<&'r Running>) {
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

    pub(super) fn reduce_by_call(
        &mut self,
        running: &Running,
        routine: Routine,
        operands: &[StepId],
        (place, span): (Place, Span),
    ) {
        let dtype = self.kernel.steps[running.id].dtype;
        let own = Kind::of(dtype);
        let mut arguments = Vec::new();
        for operand in operands {
            // What is kept by this very stretch is not there yet.
            let address = match self.kept(*operand, place) {
                Some(slot) => self.slot_address(slot, own, span.low),
                None => self.element_of(Key::Load(*operand), kind(self.kernel, *operand), span.low),
            };
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

    pub(super) fn reduce_group(&mut self, running: &Running, group: &mut Group) {
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
}
