//! Steps, accesses and stores of a kernel whose values are decided.

use std::collections::HashMap;

use girih_graph::op::{Binary, Outside};
use girih_graph::{AxisId, DType, Extent, ValueType};

use super::Planner;
use super::coalesce::coalesced;
use super::grow::{Grown, at};
use super::value::{Form, ValueIx, View};
use super::view::{self, Map, position, restricted};
use crate::kernel::{
    Access, Affine, Constant, Guard, GuardOutside, Kernel, Loop, LoopKind, Step, StepId, StepOp,
    Store, varies,
};
use crate::plan::{BufferId, KernelLaunch, Launch, ReadFailure, Stop, TensorId, Work, tile};

/// How often a kernel reads what is worth a copy in another order.
const AGAIN: i64 = 64;

/// A tile of scores, which a kernel reads and rewrites in place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile {
    /// What it holds at first.
    pub(super) base: ValueIx,
    pub(super) rows: AxisId,
    pub(super) keys: AxisId,
}

/// A kernel under construction.
struct Emitter {
    tile: Option<Tile>,
    grown: Grown,
    steps: Vec<Step>,
    by_step: HashMap<Step, StepId>,
    done: HashMap<(ValueIx, Map, Vec<Guard>), StepId>,
    stores: Vec<Store>,
    buffers: Vec<BufferId>,
    dtypes: Vec<DType>,
    writes: Vec<bool>,
    failures: Vec<ReadFailure>,
}

impl Planner<'_, '_> {
    /// Plans the kernel that computes `root` and writes it to `target`, whose axes are the
    /// root's, or those of a part of a concatenation that the root lacks some of.
    pub(super) fn kernel(&mut self, root: ValueIx, target: TensorId) {
        let home = self.home.get(&root).copied();
        let is_copy = match self.values.all[root].form {
            Form::Given(_) => true,
            _ => home.is_some_and(|home| home != target),
        };
        if let Form::View(View::Merge(from, axis)) = self.values.all[root].form.clone()
            && !is_copy
            && from.len() > 1
        {
            // Written as what it is merged from; whoever reads it later finds it there.
            self.home.entry(root).or_insert(target);
            let operand = self.values.all[root].operands[0];
            let target = self.unmerged(target, &from, axis);
            self.group[root] = Some(self.groups.len());
            self.groups.push(vec![operand]);
            self.write(operand, target);
            return;
        }
        let axes: Vec<AxisId> = self.section.tensors[target.index()]
            .axes
            .iter()
            .map(|(axis, _)| *axis)
            .collect();
        let mut everywhere: Map = axes
            .iter()
            .enumerate()
            .map(|(id, axis)| (*axis, at(id)))
            .collect();
        let mut address = view::zero();
        let tensor = &self.section.tensors[target.index()];
        address.offset = tensor.offset.clone();
        for ((_, stride), (_, own)) in tensor.axes.iter().zip(&everywhere) {
            address.add_scaled(own, &stride.step);
        }
        if let Some(place) = self.sliced.get(&target) {
            // Another axis of a concatenation may have the name of the part's own.
            everywhere.swap(0, *place);
        }
        let map = restricted(&everywhere, self.values.ty(root));
        let grown = self.grow(root, &axes, &map, is_copy);
        self.order_products(&grown, &axes);
        let mut emitter = Emitter::new(grown);
        let members: Vec<(ValueIx, Map)> = emitter.grown.members.clone().into_iter().collect();
        let step = self.emit(&mut emitter, root, &map, &[]);
        self.store(&mut emitter, step, target, address);
        let group = self.groups.len();
        for (member, map) in members {
            if member == root || !self.is_written(&emitter.grown, member) {
                continue;
            }
            let home = self.demand(member);
            let step = self.emit(&mut emitter, member, &map, &[]);
            let address = self.address(home, &map);
            self.store(&mut emitter, step, home, address);
            self.group[member] = Some(group);
        }
        let reads = emitter.grown.loaded.keys().copied().collect();
        let stops = self.stops(&emitter.grown);
        if home == Some(target) {
            let work = Work::Kernel(self.kernel_launch(emitter));
            self.launch(root, work, reads, stops);
        } else {
            self.groups.push(reads);
            let label = self.label(root);
            let work = Work::Kernel(self.kernel_launch(emitter));
            self.launches.push((root, Launch { work, label, stops }));
        }
    }

    /// What a kernel reads and why, for people.
    fn stops(&self, grown: &Grown) -> Vec<Stop> {
        let stops = grown.loaded.iter().map(|(ix, why)| Stop {
            what: self.describe(*ix),
            why: *why,
        });
        stops.collect()
    }

    /// Products that the kernel reads element by element lie as what it writes.
    fn order_products(&mut self, grown: &Grown, axes: &[AxisId]) {
        for ix in grown.loaded.keys() {
            let value = &self.values.all[*ix];
            let wanted = ValueType::new(value.ty.dtype, axes.to_vec());
            let placed = self.home.contains_key(ix);
            if !placed && matches!(value.form, Form::Contract(_)) && value.ty.is_permuted(&wanted) {
                self.demand_ordered(*ix, axes);
            }
        }
    }

    /// The kernel that makes scores of a tile, −∞ where `kept` is false.
    pub(super) fn tile_kernel(
        &mut self,
        tile: &Tile,
        scores: ValueIx,
        kept: Option<ValueIx>,
        map: &Map,
    ) -> KernelLaunch {
        let roots: Vec<ValueIx> = [scores].into_iter().chain(kept).collect();
        let mut emitter = Emitter::new(self.grow_tile(tile, &roots, map));
        emitter.tile = Some(*tile);
        // Buffer 0 is the tile; its number in the section is never used.
        emitter.buffers.push(BufferId(u32::MAX));
        emitter.dtypes.push(DType::F32);
        emitter.writes.push(true);
        let inner = restricted(map, self.values.ty(scores));
        let mut step = self.emit(&mut emitter, scores, &inner, &[]);
        if let Some(kept) = kept {
            let inner = restricted(map, self.values.ty(kept));
            let kept = self.emit(&mut emitter, kept, &inner, &[]);
            let least = Constant::Real(f64::NEG_INFINITY.to_bits());
            let least = emitter.push(StepOp::Constant(least), DType::F32);
            step = emitter.push(StepOp::Select(kept, step, least), DType::F32);
        }
        emitter.stores.push(Store {
            step,
            access: Emitter::tile_access(),
        });
        self.kernel_launch(emitter)
    }

    fn kernel_launch(&mut self, emitter: Emitter) -> KernelLaunch {
        let names = |own: &super::grow::Around| self.shared.axes.name(own.axis).to_owned();
        let loops: Vec<String> = emitter.grown.loops.iter().map(names).collect();
        let kernel = Kernel {
            loops: emitter
                .grown
                .loops
                .iter()
                .map(|own| Loop {
                    extent: own.extent.clone(),
                    kind: own.kind,
                })
                .collect(),
            steps: emitter.steps,
            stores: emitter.stores,
            buffers: emitter.dtypes,
        };
        let (kernel, loops) = coalesced(kernel, loops);
        KernelLaunch {
            kernel: self.shared.kernel(kernel),
            buffers: emitter.buffers,
            writes: emitter.writes,
            loops,
            failures: emitter.failures,
        }
    }

    fn store(&self, emitter: &mut Emitter, step: StepId, target: TensorId, address: Affine) {
        let buffer = emitter.buffer(self, target, true);
        emitter.stores.push(Store {
            step,
            access: Access {
                buffer,
                address,
                guards: Vec::new(),
            },
        });
    }

    fn address(&self, tensor: TensorId, map: &Map) -> Affine {
        let tensor = &self.section.tensors[tensor.index()];
        let mut address = view::zero();
        address.offset = tensor.offset.clone();
        for (axis, stride) in &tensor.axes {
            address.add_scaled(&position(map, *axis), &stride.step);
        }
        address
    }

    /// The step that is the value at `map`, 0 where a guard does not hold.
    fn emit(&mut self, emitter: &mut Emitter, ix: ValueIx, map: &Map, guards: &[Guard]) -> StepId {
        let key = (ix, map.clone(), guards.to_vec());
        if let Some(known) = emitter.done.get(&key) {
            return *known;
        }
        let step = self.emit_fresh(emitter, ix, map, guards);
        emitter.done.insert(key, step);
        step
    }

    fn emit_fresh(
        &mut self,
        emitter: &mut Emitter,
        ix: ValueIx,
        map: &Map,
        guards: &[Guard],
    ) -> StepId {
        if emitter.tile.is_some_and(|tile| tile.base == ix) {
            return emitter.push(StepOp::Load(Emitter::tile_access()), DType::F32);
        }
        let value = self.values.all[ix].clone();
        if emitter.grown.loaded.contains_key(&ix) {
            let tensor = match self.turned(&emitter.grown, ix, map) {
                Some(order) => self.demand_ordered(ix, &order),
                None => self.demand(ix),
            };
            return self.load(emitter, tensor, map, guards);
        }
        let dtype = value.ty.dtype;
        match &value.form {
            Form::View(view) => {
                let operand = value.operands[0];
                let extents = &self.extents;
                let extent = |axis: AxisId| extents[axis.index()].clone();
                let (inner, new) = view::through(view, self.values.ty(operand), map, &extent)
                    .expect("a view that is not affine is loaded");
                if new.is_empty() {
                    return self.emit(emitter, operand, &inner, guards);
                }
                let mut all = guards.to_vec();
                all.extend_from_slice(&new);
                let step = self.emit(emitter, operand, &inner, &all);
                if self.reads_memory(emitter, operand) {
                    return step;
                }
                let zero = emitter.zero(dtype);
                let inside = emitter.holds(&new);
                emitter.push(StepOp::Select(inside, step, zero), dtype)
            }
            Form::Reduce(combine, axis) => {
                let id = emitter.grown.reduced[&ix];
                let operand = value.operands[0];
                let mut inside = restricted(map, self.values.ty(operand));
                for (own, affine) in &mut inside {
                    if own == axis {
                        *affine = at(id);
                    }
                }
                let step = self.emit(emitter, operand, &inside, guards);
                let kind = emitter.grown.loops[id].kind;
                emitter.push(StepOp::Reduce(*combine, step, kind), dtype)
            }
            Form::Gather(axis, outside) => {
                let [source, positions] = [value.operands[0], value.operands[1]];
                let inner = restricted(map, self.values.ty(positions));
                let mut step = self.emit(emitter, positions, &inner, guards);
                if self.values.ty(positions).dtype != Self::POSITION {
                    step = emitter.push(StepOp::Cast(step), Self::POSITION);
                }
                let mut index = view::zero();
                index.steps.push((step, Extent::constant(1)));
                let mut at: Map = restricted(map, self.values.ty(source));
                for (own, affine) in &mut at {
                    if own == axis {
                        *affine = index.clone();
                    }
                }
                let outside = match outside {
                    Outside::Zero => GuardOutside::Zero,
                    Outside::Error => {
                        emitter.failures.push(ReadFailure {
                            axis: self.shared.axes.name(*axis).to_owned(),
                        });
                        GuardOutside::Fail(emitter.failures.len() as u32)
                    }
                };
                let mut all = guards.to_vec();
                all.push(Guard {
                    index,
                    extent: self.extent(*axis),
                    outside,
                });
                let tensor = self.demand(source);
                self.load(emitter, tensor, &at, &all)
            }
            Form::Position(axis) => {
                emitter.push(StepOp::Position(position(map, *axis)), Self::POSITION)
            }
            Form::Size(size) => emitter.push(StepOp::Size(size.clone()), dtype),
            Form::Constant(constant) => emitter.push(StepOp::Constant(*constant), dtype),
            Form::Unary(op) => {
                let x = self.emit_operand(emitter, value.operands[0], map, guards);
                emitter.push(StepOp::Unary(*op, x), dtype)
            }
            Form::Binary(op) => {
                let x = self.emit_operand(emitter, value.operands[0], map, guards);
                let y = self.emit_operand(emitter, value.operands[1], map, guards);
                emitter.push(StepOp::Binary(*op, x, y), dtype)
            }
            Form::Select => {
                let c = self.emit_operand(emitter, value.operands[0], map, guards);
                let x = self.emit_operand(emitter, value.operands[1], map, guards);
                let y = self.emit_operand(emitter, value.operands[2], map, guards);
                emitter.push(StepOp::Select(c, x, y), dtype)
            }
            Form::Cast => {
                let x = self.emit_operand(emitter, value.operands[0], map, guards);
                emitter.push(StepOp::Cast(x), dtype)
            }
            Form::Given(_) | Form::Contract(_) | Form::Concat(..) | Form::Launched(..) => {
                unreachable!("what a kernel does not compute is loaded")
            }
        }
    }

    /// The order in which something given should lie, if a kernel reads it again and again and its neighbors are not
    /// neighbors in memory.
    fn turned(&self, grown: &Grown, ix: ValueIx, map: &Map) -> Option<Vec<AxisId>> {
        let inner = grown.inner()?;
        let along = map.iter().find(|(_, own)| *own == at(inner));
        let (axis, _) = along?;
        let axes = &self.values.ty(ix).axes;
        let known = |axis: &AxisId| self.extent(*axis).as_constant();
        let again = grown.loops.iter().enumerate().any(|(id, own)| {
            let ignored = !map
                .iter()
                .any(|(_, affine)| affine.loops.iter().any(|(own, _)| *own == id));
            own.kind == LoopKind::Outer
                && ignored
                && own.extent.as_constant().is_none_or(|size| size >= AGAIN)
        });
        let given = matches!(self.values.all[ix].form, Form::Given(_));
        // Inside a loop the copy would be made at every step.
        let whole = self.shared.depth == 0 && axes.iter().all(|axis| known(axis).is_some());
        if !given || !whole || !again || self.innermost(ix) == Some(*axis) {
            return None;
        }
        let mut order: Vec<AxisId> = axes.iter().copied().filter(|own| own != axis).collect();
        order.push(*axis);
        Some(order)
    }

    fn emit_operand(
        &mut self,
        emitter: &mut Emitter,
        operand: ValueIx,
        map: &Map,
        guards: &[Guard],
    ) -> StepId {
        let inner = restricted(map, self.values.ty(operand));
        self.emit(emitter, operand, &inner, guards)
    }

    /// Whether the value is read from memory here, perhaps through views: guards then give 0.
    fn reads_memory(&self, emitter: &Emitter, ix: ValueIx) -> bool {
        let mut ix = ix;
        loop {
            if emitter.grown.loaded.contains_key(&ix) {
                return true;
            }
            match self.values.all[ix].form {
                Form::View(_) => ix = self.values.all[ix].operands[0],
                Form::Gather(..) => return true,
                _ => return false,
            }
        }
    }

    fn load(
        &mut self,
        emitter: &mut Emitter,
        tensor: TensorId,
        map: &Map,
        guards: &[Guard],
    ) -> StepId {
        let buffer = emitter.buffer(self, tensor, false);
        let address = self.address(tensor, map);
        let dtype = self.section.tensors[tensor.index()].dtype;
        let access = Access {
            buffer,
            address,
            guards: guards.to_vec(),
        };
        emitter.push(StepOp::Load(access), dtype)
    }
}

impl Emitter {
    fn new(grown: Grown) -> Self {
        Self {
            tile: None,
            grown,
            steps: Vec::new(),
            by_step: HashMap::new(),
            done: HashMap::new(),
            stores: Vec::new(),
            buffers: Vec::new(),
            dtypes: Vec::new(),
            writes: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// The element of the tile at a point of the loops.
    fn tile_access() -> Access {
        let mut address = view::zero();
        address.loops.push((0, Extent::symbol(tile::STEP)));
        address.loops.push((1, Extent::constant(1)));
        Access {
            buffer: 0,
            address,
            guards: Vec::new(),
        }
    }

    fn buffer(&mut self, planner: &Planner<'_, '_>, tensor: TensorId, written: bool) -> usize {
        let tensor = &planner.section.tensors[tensor.index()];
        let known = self.buffers.iter().position(|own| *own == tensor.buffer);
        let place = known.unwrap_or_else(|| {
            self.buffers.push(tensor.buffer);
            self.dtypes.push(tensor.dtype);
            self.writes.push(false);
            self.buffers.len() - 1
        });
        self.writes[place] |= written;
        place
    }

    fn push(&mut self, op: StepOp, dtype: DType) -> StepId {
        let loops = (self.grown.walk(), self.grown.inner());
        let (walked, inner) = varies(&op, &self.steps, loops);
        let step = Step {
            op,
            dtype,
            walked,
            inner,
        };
        if let Some(known) = self.by_step.get(&step) {
            return *known;
        }
        self.steps.push(step.clone());
        self.by_step.insert(step, self.steps.len() - 1);
        self.steps.len() - 1
    }

    fn zero(&mut self, dtype: DType) -> StepId {
        let constant = if dtype == DType::Bool {
            Constant::Bool(false)
        } else if dtype.is_real() {
            Constant::Real(0)
        } else {
            Constant::Int(0)
        };
        self.push(StepOp::Constant(constant), dtype)
    }

    /// A `bool` step: all guards hold.
    fn holds(&mut self, guards: &[Guard]) -> StepId {
        let position = DType::I64;
        let mut all = self.push(StepOp::Constant(Constant::Bool(true)), DType::Bool);
        for guard in guards {
            let mut place = guard.index.clone();
            let steps = std::mem::take(&mut place.steps);
            let mut index = self.push(StepOp::Position(place), position);
            for (step, factor) in steps {
                let size = self.push(StepOp::Size(factor), position);
                let term = self.push(StepOp::Binary(Binary::Mul, step, size), position);
                index = self.push(StepOp::Binary(Binary::Add, index, term), position);
            }
            let zero = self.push(StepOp::Constant(Constant::Int(0)), position);
            let end = self.push(StepOp::Size(guard.extent.clone()), position);
            let from = self.push(StepOp::Binary(Binary::Ge, index, zero), DType::Bool);
            let to = self.push(StepOp::Binary(Binary::Lt, index, end), DType::Bool);
            let inside = self.push(StepOp::Binary(Binary::And, from, to), DType::Bool);
            all = self.push(StepOp::Binary(Binary::And, all, inside), DType::Bool);
        }
        all
    }
}
