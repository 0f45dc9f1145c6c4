//! Reading and writing buffers, with guards.
//!
//! Nothing is read where a guard does not hold: a guard that is the same along the inner loop
//! is a branch around the read; else a group that lies inside as a whole is read at once, and
//! elements of another are read one by one, zeros in place of what is outside.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{Block, BlockArg, InstBuilder, Value};
use girih_graph::Extent;
use girih_plan::kernel::{Access, Guard, GuardOutside, StepId};

use super::element::{Bundle, Group};
use super::{Emitter, Key, kind};
use crate::codegen::lanes::{Form, Kind, Lanes};

impl Emitter<'_> {
    /// Elements that a step loads.
    pub(super) fn read(&mut self, id: StepId, group: &mut Group) -> Bundle {
        let access = self.access(Key::Load(id));
        let (varying, same): (Vec<&Guard>, Vec<&Guard>) = access
            .guards
            .iter()
            .partition(|guard| self.index_varies(guard));
        // What indices depend on is computed before anything branches.
        for step in super::super::normal::access_operands(access) {
            if self.kernel.steps[step].inner {
                self.value(step, group);
            }
        }
        let mut zero_unless: Option<Value> = None;
        for guard in same {
            let index = self.affine(&guard.index);
            let extent = self.extent(&guard.extent);
            let inside = self.inside(index, extent);
            match guard.outside {
                GuardOutside::Fail(status) => self.check(inside, status, index, extent),
                GuardOutside::Zero if self.inside.contains(&id) => {}
                GuardOutside::Zero => {
                    zero_unless = Some(match zero_unless {
                        Some(others) => self.writer.builder.ins().band(others, inside),
                        None => inside,
                    });
                }
            }
        }
        match zero_unless {
            None => self.read_varying(id, &varying, group),
            Some(inside) => self.either(
                id,
                inside,
                group,
                |this, group| this.read_varying(id, &varying, group),
                |this, group| this.nothing(id, group),
            ),
        }
    }

    pub(super) fn index_varies(&self, guard: &Guard) -> bool {
        let inner = self.kernel.inner();
        let along = guard.index.loops.iter().any(|(own, _)| Some(*own) == inner);
        let data = guard.index.steps.iter();
        along || data.into_iter().any(|(id, _)| self.kernel.steps[*id].inner)
    }

    /// Zeros.
    fn nothing(&mut self, id: StepId, group: &Group) -> Bundle {
        let own = kind(self.kernel, id);
        let scalar = match own {
            Kind::F32 | Kind::F64 => self.writer.real(own.part(Form::Scalar), 0.0),
            _ => self.writer.iconst(own.part(Form::Scalar), 0),
        };
        let lanes = self.writer.spread(own, group.form, scalar);
        vec![lanes; group.offsets.len()]
    }

    /// `0 <= index < extent`, with one comparison of unsigned numbers.
    pub(super) fn inside(&mut self, index: Value, extent: Value) -> Value {
        self.writer
            .builder
            .ins()
            .icmp(IntCC::UnsignedLessThan, index, extent)
    }

    /// Leaves unless a condition holds.
    fn check(&mut self, inside: Value, status: u32, index: Value, extent: Value) {
        let next = self.block();
        let status = self.writer.iconst(I32, i64::from(status));
        let arguments = [status, index, extent].map(BlockArg::from);
        self.writer
            .builder
            .ins()
            .brif(inside, next, &[], self.fail, &arguments);
        self.writer.builder.switch_to_block(next);
    }

    /// One of two ways to read, by a condition.
    fn either(
        &mut self,
        id: StepId,
        condition: Value,
        group: &mut Group,
        yes: impl FnOnce(&mut Self, &mut Group) -> Bundle,
        no: impl FnOnce(&mut Self, &mut Group) -> Bundle,
    ) -> Bundle {
        let (first, second, after) = (self.block(), self.block(), self.block());
        self.branch(condition, first, second);
        let ty = kind(self.kernel, id).part(group.form);
        let parts = self.parts(id, group.form);
        for _ in 0..parts * group.offsets.len() {
            self.writer.builder.append_block_param(after, ty);
        }
        self.writer.builder.switch_to_block(first);
        let bundle = yes(self, &mut group.again());
        self.leave_with(after, &bundle);
        self.writer.builder.switch_to_block(second);
        let bundle = no(self, &mut group.again());
        self.leave_with(after, &bundle);
        self.writer.builder.switch_to_block(after);
        let params = self.writer.builder.block_params(after).to_vec();
        let bundles = params.chunks(parts);
        bundles
            .map(|chunk| Lanes {
                low: chunk[0],
                high: chunk.get(1).copied(),
            })
            .collect()
    }

    fn leave_with(&mut self, after: Block, bundle: &[Lanes]) {
        let arguments: Vec<BlockArg> = bundle
            .iter()
            .flat_map(|lanes| lanes.values())
            .map(BlockArg::from)
            .collect();
        self.writer.builder.ins().jump(after, &arguments);
    }

    fn read_varying(&mut self, id: StepId, guards: &[&Guard], group: &mut Group) -> Bundle {
        let access = self.access(Key::Load(id));
        let data =
            |steps: &[(StepId, Extent)]| steps.iter().any(|(id, _)| self.kernel.steps[*id].inner);
        let from_data = data(&access.address.steps);
        let guarded_by_data = guards.iter().any(|guard| data(&guard.index.steps));
        let unit = self.is_unit(access);
        if guards.is_empty() && !from_data && (unit || group.form == Form::Scalar) {
            return self.read_plain(id, unit, group);
        }
        if from_data || guarded_by_data || !unit || group.form == Form::Scalar {
            return self.read_one_by_one(id, guards, group);
        }
        // Indices are monotone: a group whose ends are inside is inside.
        let first = self.index(group.index, group.offsets[0]);
        let last = group.offsets[group.offsets.len() - 1] + group.form.count() - 1;
        let last = self.index(group.index, last);
        let mut whole: Option<Value> = None;
        for guard in guards {
            let base = self.affine(&guard.index);
            let extent = self.extent(&guard.extent);
            for end in [first, last] {
                let index = self.along(&guard.index, base, end);
                let inside = self.inside(index, extent);
                whole = Some(match whole {
                    Some(others) => self.writer.builder.ins().band(others, inside),
                    None => inside,
                });
            }
        }
        let Some(whole) = whole else {
            return self.read_plain(id, unit, group);
        };
        self.either(
            id,
            whole,
            group,
            |this, group| this.read_plain(id, unit, group),
            |this, group| this.read_one_by_one(id, guards, group),
        )
    }

    /// An affine form at a position of the inner loop, without data.
    fn along(&mut self, affine: &girih_plan::kernel::Affine, base: Value, index: Value) -> Value {
        let Some(inner) = self.kernel.inner() else {
            return base;
        };
        let along = self.times(index, &affine.factor(inner));
        self.add(base, along)
    }

    pub(super) fn is_unit(&self, access: &Access) -> bool {
        let inner = self.kernel.inner();
        inner.is_some_and(|inner| access.address.factor(inner) == Extent::constant(1))
    }

    /// Whole vectors, or elements at any stride.
    fn read_plain(&mut self, id: StepId, unit: bool, group: &mut Group) -> Bundle {
        let key = Key::Load(id);
        let access = self.access(key);
        let dtype = self.kernel.buffers[access.buffer];
        let size = self.element_size(key);
        let base = self.pointer(key);
        if unit {
            let address = match group.index {
                Some(index) => {
                    let bytes = self.scaled(index, size);
                    self.add(base, bytes)
                }
                None => base,
            };
            let offsets = group.offsets.iter();
            return offsets
                .map(|offset| {
                    let bytes = (offset * size) as i32;
                    self.writer.load(dtype, group.form, address, bytes)
                })
                .collect();
        }
        let mut bundle = Vec::new();
        for offset in &group.offsets {
            let index = self.index(group.index, *offset);
            let address = self.element_address(key, base, index);
            bundle.push(self.writer.load(dtype, Form::Scalar, address, 0));
        }
        bundle
    }

    /// Address of an element, without data.
    fn element_address(&mut self, key: Key, base: Value, index: Value) -> Value {
        let Some(inner) = self.kernel.inner() else {
            return base;
        };
        let access = self.access(key);
        let along = self.times(index, &access.address.factor(inner));
        let bytes = self.scaled(along, self.element_size(key));
        self.add(base, bytes)
    }

    fn read_one_by_one(&mut self, id: StepId, guards: &[&Guard], group: &mut Group) -> Bundle {
        let key = Key::Load(id);
        let access = self.access(key);
        let dtype = self.kernel.buffers[access.buffer];
        let own = Kind::of(dtype);
        let base = self.pointer(key);
        let mut indices = Vec::new();
        for guard in guards {
            let extent = self.extent(&guard.extent);
            let index = self.indices(&guard.index, group);
            indices.push((guard.outside, index, extent));
        }
        let mut bundle = Vec::new();
        for at in 0..group.offsets.len() {
            let mut elements = Vec::new();
            for lane in 0..group.form.count() {
                let form = group.form;
                let take = |this: &mut Self, lanes: Lanes| match form {
                    Form::Scalar => lanes.low,
                    Form::Vector => this.writer.take(Kind::I64, lanes, lane as u8),
                };
                let mut inside: Option<Value> = None;
                for (outside, index, extent) in &indices {
                    let index = take(self, index[at]);
                    let holds = self.inside(index, *extent);
                    match outside {
                        GuardOutside::Fail(status) => self.check(holds, *status, index, *extent),
                        GuardOutside::Zero => {
                            inside = Some(match inside {
                                Some(others) => self.writer.builder.ins().band(others, holds),
                                None => holds,
                            });
                        }
                    }
                }
                let index = self.index(group.index, group.offsets[at] + lane);
                let mut address = self.element_address(key, base, index);
                for (step, factor) in &access.address.steps {
                    if self.kernel.steps[*step].inner {
                        let data = self.value(*step, group)[at];
                        let data = take(self, data);
                        let term = self.times(data, factor);
                        let bytes = self.scaled(term, self.element_size(key));
                        address = self.add(address, bytes);
                    }
                }
                if let Some(inside) = inside {
                    let zeros = self.writer.builder.ins().stack_addr(I64, self.zeros, 0);
                    address = self.writer.builder.ins().select(inside, address, zeros);
                }
                elements.push(self.writer.load(dtype, Form::Scalar, address, 0).low);
            }
            bundle.push(match elements[..] {
                [a, b, c, d] => self.writer.join(own, [a, b, c, d]),
                _ => Lanes::one(elements[0]),
            });
        }
        bundle
    }

    /// Writes what a store writes for the positions of a group.
    pub(super) fn write_store(&mut self, store: usize, bundle: &[Lanes], group: &mut Group) {
        let key = Key::Store(store);
        let access = self.access(key);
        let dtype = self.kernel.buffers[access.buffer];
        let own = Kind::of(dtype);
        let size = self.element_size(key);
        let base = self.pointer(key);
        let from_data: Vec<&(StepId, Extent)> = access
            .address
            .steps
            .iter()
            .filter(|(id, _)| self.kernel.steps[*id].inner)
            .collect();
        if self.is_unit(access) && from_data.is_empty() {
            let address = match group.index {
                Some(index) => {
                    let bytes = self.scaled(index, size);
                    self.add(base, bytes)
                }
                None => base,
            };
            for (offset, lanes) in group.offsets.iter().zip(bundle) {
                let bytes = (offset * size) as i32;
                self.writer.store(dtype, group.form, *lanes, address, bytes);
            }
            return;
        }
        for (at, lanes) in bundle.iter().enumerate() {
            for lane in 0..group.form.count() {
                let index = self.index(group.index, group.offsets[at] + lane);
                let mut address = self.element_address(key, base, index);
                for (step, factor) in &from_data {
                    let data = self.value(*step, group)[at];
                    let data = match group.form {
                        Form::Scalar => data.low,
                        Form::Vector => self.writer.take(Kind::I64, data, lane as u8),
                    };
                    let term = self.times(data, factor);
                    let bytes = self.scaled(term, size);
                    address = self.add(address, bytes);
                }
                let element = match group.form {
                    Form::Scalar => lanes.low,
                    Form::Vector => self.writer.take(own, *lanes, lane as u8),
                };
                self.writer
                    .store(dtype, Form::Scalar, Lanes::one(element), address, 0);
            }
        }
    }
}
