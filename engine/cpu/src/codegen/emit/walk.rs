//! The walk: in order over its positions, with sums in registers where it can be so.

use std::collections::BTreeMap;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value};
use cranelift_frontend::Variable;
use girih_plan::kernel::{Guard, GuardOutside, LoopId, StepId, StepOp};

use super::element::Group;
use super::{Emitter, Key, Span, kind};
use crate::codegen::lanes::{Form, Lanes};
use crate::codegen::normal::operands;
use crate::codegen::schedule::{Phase, Place, Stretch};

/// Positions of a long walk that are visited for all tiles before the next ones.
const CHUNK: i64 = 16;

/// What the tiles of a walk do.
struct Tiles<'a> {
    walk: LoopId,
    uniform: &'a [StepId],
    stretch: &'a Stretch,
    guarded: Vec<StepId>,
}

/// Variables of what is summed: for each vector or element its parts.
type Sums = BTreeMap<StepId, Vec<Vec<Variable>>>;

impl Emitter<'_> {
    pub(super) fn walk(&mut self, span: Span) {
        let Some(walk) = self.kernel.walk() else {
            return;
        };
        let schedule = self.schedule;
        if let Some(fade) = &schedule.fade {
            return self.fade(fade, walk, span);
        }
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
        self.each_walked(walk, None, &mut |this| {
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

    /// `body` at every position, or at those of a part, with the addresses of what is accessed
    /// there.
    fn each_walked(
        &mut self,
        walk: LoopId,
        part: Option<(Value, Value)>,
        body: &mut dyn FnMut(&mut Self),
    ) {
        let (first, extent) = match part {
            Some(part) => part,
            None => (self.int(0), self.extent(&self.kernel.loops[walk].extent)),
        };
        let position = self.var(first);
        self.positions.insert(walk, position);
        let mut strides = Vec::new();
        for key in self.keys() {
            let factor = self.access(key).address.factor(walk);
            if factor.as_constant() == Some(0) {
                continue;
            }
            let size = self.int(self.element_size(key));
            let stride = self.times(size, &factor);
            let mut address = self.get(self.bases[&key]);
            if part.is_some() {
                let bytes = self.writer.builder.ins().imul(first, stride);
                address = self.add(address, bytes);
            }
            let variable = self.var(address);
            self.walked.insert(key, variable);
            strides.push((variable, stride));
        }
        let (inside, after) = (self.block(), self.block());
        let some = self
            .writer
            .builder
            .ins()
            .icmp(IntCC::SignedLessThan, first, extent);
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
        let tiles = Tiles {
            walk,
            uniform: &pass.uniform,
            stretch,
            guarded: self.guarded_loads(),
        };
        let extent = &self.kernel.loops[walk].extent;
        let short = extent.as_constant().is_some_and(|count| count <= 2 * CHUNK);
        if short || span.known.is_some() || stretch.sums.is_empty() {
            return self.all_tiles(&tiles, span, None);
        }
        // A few positions of the walk at a time, so that what the next tile reads is still near.
        self.clear_sums(&stretch.sums, span);
        let extent = self.extent(extent);
        let zero = self.int(0);
        let start = self.var(zero);
        let (inside, after) = (self.block(), self.block());
        let more = |this: &mut Self, from: Value| {
            let more = IntCC::SignedLessThan;
            let some = this.writer.builder.ins().icmp(more, from, extent);
            this.branch(some, inside, after);
        };
        more(self, zero);
        self.writer.builder.switch_to_block(inside);
        let from = self.get(start);
        let end = self.plus(from, CHUNK);
        let to = self.smaller(end, extent);
        self.all_tiles(&tiles, span, Some((from, to)));
        self.set(start, end);
        more(self, end);
        self.writer.builder.switch_to_block(after);
    }

    fn all_tiles(&mut self, tiles: &Tiles<'_>, span: Span, part: Option<(Value, Value)>) {
        let vectors = self.tile_vectors(tiles.stretch);
        self.each_group(span, vectors, &mut |this, form, index| {
            let place = Place {
                phase: Phase::Walk,
                pass: 0,
                stage: 0,
            };
            let mut group = Group::new(place, form, index);
            this.tile(tiles, part, &mut group);
        });
    }

    /// Loads in the walk that read 0 at some of its positions, all along the inner loop.
    fn guarded_loads(&self) -> Vec<StepId> {
        let guarded = |id: &StepId| {
            let step = &self.kernel.steps[*id];
            let StepOp::Load(access) = &step.op else {
                return false;
            };
            let zero =
                |guard: &Guard| guard.outside == GuardOutside::Zero && !self.index_varies(guard);
            self.schedule.live[*id] && step.walked && step.inner && access.guards.iter().any(zero)
        };
        (0..self.kernel.steps.len()).filter(guarded).collect()
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

    fn tile(&mut self, tiles: &Tiles<'_>, part: Option<(Value, Value)>, group: &mut Group) {
        let stretch = tiles.stretch;
        // What does not vary along the walk is computed before it.
        for id in self.constants_of_walk(stretch) {
            self.value(id, group);
        }
        let mut sums: Sums = BTreeMap::new();
        for id in &stretch.sums {
            let StepOp::Reduce(combine, _, _) = self.kernel.steps[*id].op else {
                continue;
            };
            let dtype = self.kernel.steps[*id].dtype;
            let before = if part.is_some() {
                let slot = self.schedule.slots[id];
                self.read_slot(slot, kind(self.kernel, *id), group)
            } else {
                let identity = self.writer.identity(combine, dtype, group.form);
                vec![identity; group.offsets.len()]
            };
            let variables = before
                .into_iter()
                .map(|lanes| lanes.values().map(|value| self.var(value)).collect());
            let variables = variables.collect();
            sums.insert(*id, variables);
        }
        self.each_walked(tiles.walk, part, &mut |this| {
            for id in tiles.uniform {
                let value = this.uniform_value(*id);
                this.uniform.insert(*id, value);
            }
            let Some(whole) = this.all_inside(&tiles.guarded) else {
                return this.tile_position(stretch, &sums, &mut group.again());
            };
            let (fast, slow, after) = (this.block(), this.block(), this.block());
            this.branch(whole, fast, slow);
            this.writer.builder.switch_to_block(fast);
            this.inside.clone_from(&tiles.guarded);
            this.tile_position(stretch, &sums, &mut group.again());
            this.inside.clear();
            this.jump(after);
            this.writer.builder.switch_to_block(slow);
            this.tile_position(stretch, &sums, &mut group.again());
            this.jump(after);
            this.writer.builder.switch_to_block(after);
        });
        for (id, variables) in &sums {
            let bundle: Vec<Lanes> = variables.iter().map(|own| self.lanes(own)).collect();
            let slot = self.schedule.slots[id];
            self.write_slot(slot, kind(self.kernel, *id), &bundle, group);
        }
    }

    /// Whether no guarded load reads 0 at this position of the walk.
    fn all_inside(&mut self, guarded: &[StepId]) -> Option<Value> {
        let mut whole: Option<Value> = None;
        for id in guarded {
            let access = self.access(Key::Load(*id));
            for guard in &access.guards {
                if guard.outside != GuardOutside::Zero || self.index_varies(guard) {
                    continue;
                }
                let index = self.affine(&guard.index);
                let extent = self.extent(&guard.extent);
                let inside = self.inside(index, extent);
                whole = Some(match whole {
                    Some(others) => self.writer.builder.ins().band(others, inside),
                    None => inside,
                });
            }
        }
        whole
    }

    /// One position of the walk.
    fn tile_position(&mut self, stretch: &Stretch, sums: &Sums, group: &mut Group) {
        let stores = stretch.stores.iter();
        let stored: Vec<_> = stores
            .map(|store| self.value(self.kernel.stores[*store].step, group))
            .collect();
        for (id, variables) in sums {
            self.add_to_sums(*id, variables, group);
        }
        for (store, bundle) in stretch.stores.iter().zip(stored) {
            self.write_store(*store, &bundle, group);
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
