//! How the division is found: when each step can be computed, who needs it where, and what is
//! dear enough to be kept.

use std::collections::{BTreeMap, BTreeSet};

use girih_graph::op::{Binary, Unary};
use girih_graph::{DType, Extent};
use girih_plan::kernel::{Access, Kernel, LoopKind, StepId, StepOp};

use super::{Phase, Place, Schedule, lies_in_blocks, store_varies};
use crate::codegen::fade::{self, Fade};
use crate::codegen::fuse::{Call, Calls};
use crate::codegen::normal::{access_operands, operands};

pub(super) struct Planner<'a> {
    kernel: &'a Kernel,
    calls: Calls,
    live: Vec<bool>,
    phase: Vec<Phase>,
    /// Where it is computed at the earliest; where its result can be used.
    time: Vec<(usize, usize)>,
    ready: Vec<(usize, usize)>,
    /// Buffers that are read and written.
    hazards: BTreeSet<usize>,
    homes: BTreeMap<StepId, Place>,
    fade: Option<Fade>,
    tiled: bool,
    has_walk: bool,
}

/// Who needs what where.
#[derive(Default)]
struct Demands {
    /// Places that compute a step.
    computed: BTreeMap<StepId, BTreeSet<Place>>,
    /// Places that read its slot.
    read: BTreeMap<StepId, BTreeSet<Place>>,
    /// Operands of calls that need a slot of their own.
    feeds: BTreeSet<(StepId, usize)>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(kernel: &'a Kernel, calls: Calls, fades: bool) -> Self {
        let count = kernel.steps.len();
        let loaded = kernel.steps.iter().filter_map(|step| match &step.op {
            StepOp::Load(access) => Some(access.buffer),
            _ => None,
        });
        let loaded: BTreeSet<usize> = loaded.collect();
        let stored = kernel.stores.iter().map(|store| store.access.buffer);
        let mut planner = Self {
            kernel,
            calls,
            live: vec![false; count],
            phase: vec![Phase::After; count],
            time: vec![(0, 0); count],
            ready: vec![(0, 0); count],
            hazards: stored.filter(|buffer| loaded.contains(buffer)).collect(),
            homes: BTreeMap::new(),
            fade: None,
            tiled: false,
            has_walk: kernel.walk().is_some(),
        };
        planner.find_live();
        planner.find_phases();
        planner.fade = fade::fade(kernel, &planner.live).filter(|_| fades);
        planner.tiled = planner.fade.is_none() && planner.can_tile();
        planner
    }

    fn call(&self, id: StepId) -> Option<&Call> {
        self.calls.of[id].as_ref()
    }

    /// What a step needs, as it is computed.
    fn needs(&self, id: StepId) -> Vec<StepId> {
        match self.call(id) {
            Some(call) => call.operands.clone(),
            None => operands(&self.kernel.steps[id].op),
        }
    }

    fn mark(&self, marks: &mut [bool], from: impl IntoIterator<Item = StepId>) {
        let mut open: Vec<StepId> = from.into_iter().collect();
        while let Some(id) = open.pop() {
            if !std::mem::replace(&mut marks[id], true) {
                open.extend(self.needs(id));
                open.extend(self.calls.sum[id]);
            }
        }
    }

    fn find_live(&mut self) {
        let mut live = vec![false; self.kernel.steps.len()];
        for store in &self.kernel.stores {
            self.mark(&mut live, [store.step]);
            self.mark(&mut live, access_operands(&store.access));
        }
        self.live = live;
    }

    fn find_phases(&mut self) {
        if !self.has_walk {
            return;
        }
        let mut needed = vec![false; self.kernel.steps.len()];
        for (id, step) in self.kernel.steps.iter().enumerate() {
            if self.live[id]
                && (step.walked || matches!(step.op, StepOp::Reduce(_, _, LoopKind::Walk)))
            {
                self.mark(&mut needed, [id]);
            }
        }
        for store in 0..self.kernel.stores.len() {
            if store_varies(self.kernel, store, LoopKind::Walk) {
                self.mark(&mut needed, [self.kernel.stores[store].step]);
                self.mark(
                    &mut needed,
                    access_operands(&self.kernel.stores[store].access),
                );
            }
        }
        for (id, step) in self.kernel.steps.iter().enumerate() {
            let sums = matches!(step.op, StepOp::Reduce(_, _, LoopKind::Walk));
            self.phase[id] = match (step.walked || sums, needed[id]) {
                (true, _) => Phase::Walk,
                (false, true) => Phase::Before,
                (false, false) => Phase::After,
            };
        }
    }

    fn steps(&self) -> impl Iterator<Item = StepId> + use<'a> {
        let live = self.live.clone();
        (0..live.len()).filter(move |id| live[*id])
    }

    fn inner(&self, id: StepId) -> bool {
        self.kernel.steps[id].inner
    }

    fn reduce(&self, id: StepId, over: LoopKind) -> Option<StepId> {
        match self.kernel.steps[id].op {
            StepOp::Reduce(_, x, own) if own == over => Some(x),
            _ => None,
        }
    }

    fn store_phase(&self, store: usize) -> Phase {
        if store_varies(self.kernel, store, LoopKind::Walk) {
            Phase::Walk
        } else {
            Phase::After
        }
    }

    /// Whether the walk can run inside short pieces of the inner loop.
    fn can_tile(&self) -> bool {
        let in_walk = |id: &StepId| self.phase[*id] == Phase::Walk;
        let blocked = self.steps().filter(in_walk).any(|id| {
            self.call(id).is_some()
                || self.reduce(id, LoopKind::Inner).is_some()
                || self.reduce(id, LoopKind::Walk).is_some() && !self.inner(id)
        });
        let uniform_store = (0..self.kernel.stores.len()).any(|store| {
            self.store_phase(store) == Phase::Walk
                && !store_varies(self.kernel, store, LoopKind::Inner)
        });
        self.has_walk && self.kernel.inner().is_some() && !blocked && !uniform_store
    }

    /// Numbers passes and stages within each phase.
    pub(super) fn find_times(&mut self) {
        for id in self.steps() {
            let phase = self.phase[id];
            let from = |operand: StepId| {
                if self.phase[operand] == phase {
                    self.ready[operand]
                } else {
                    (0, 0)
                }
            };
            let time = self.needs(id).into_iter().map(from).max().unwrap_or((0, 0));
            self.time[id] = time;
            self.ready[id] = if self.reduce(id, LoopKind::Inner).is_some() {
                (time.0 + 1, 0)
            } else if self.inner(id) && self.call(id).is_some() {
                (time.0, time.1 + 1)
            } else if self.inner(id) {
                time
            } else {
                (time.0, 0)
            };
        }
        for id in self.steps() {
            // The sum is there when the call is, at the end of its pass.
            if let Some(sum) = self.calls.sum[id] {
                self.time[sum] = self.time[id];
            }
        }
    }

    /// The sums that calls bring along.
    fn is_brought(&self, id: StepId) -> bool {
        self.calls.sum.contains(&Some(id))
    }

    fn place(&self, phase: Phase, (pass, stage): (usize, usize)) -> Place {
        let stage = if self.tiled && phase == Phase::Walk {
            0
        } else {
            stage
        };
        Place { phase, pass, stage }
    }

    fn own_place(&self, id: StepId) -> Place {
        self.place(self.phase[id], self.time[id])
    }

    /// When a step can be used in a phase.
    fn ready_in(&self, id: StepId, phase: Phase) -> (usize, usize) {
        if self.phase[id] == phase {
            self.ready[id]
        } else {
            (0, 0)
        }
    }

    /// Where a store stands.
    fn store_place(&self, store: usize) -> Place {
        let phase = self.store_phase(store);
        let target = &self.kernel.stores[store];
        let mut time = self.ready_in(target.step, phase);
        for id in access_operands(&target.access) {
            time = time.max(self.ready_in(id, phase));
        }
        if self.hazards.contains(&target.access.buffer) {
            let all = self.steps().filter(|id| self.phase[*id] == phase);
            let last = all.map(|id| {
                let brings = self.reduce(id, LoopKind::Inner).is_some();
                // A reduction that nothing uses later ends its pass, and nothing is after it.
                if brings {
                    self.time[id]
                } else {
                    self.ready[id]
                }
            });
            time = last.max().unwrap_or((0, 0)).max(time);
        }
        self.place(phase, time)
    }

    /// The roots of every loop with the steps they need there.
    fn demands(&self) -> Demands {
        let mut demands = Demands::default();
        for id in self.steps() {
            let walk = self.reduce(id, LoopKind::Walk).filter(|_| self.inner(id));
            let along = self
                .reduce(id, LoopKind::Inner)
                .filter(|_| !self.is_brought(id));
            if let Some(x) = walk.or(along) {
                let phase = self.phase[id];
                self.visit(&mut demands, x, self.place(phase, self.ready_in(x, phase)));
            }
            if self.inner(id) && self.call(id).is_some() {
                self.visit_call(&mut demands, id);
            }
        }
        for (store, target) in self.kernel.stores.iter().enumerate() {
            if store_varies(self.kernel, store, LoopKind::Inner) {
                let place = self.store_place(store);
                self.visit(&mut demands, target.step, place);
                for id in access_operands(&target.access) {
                    self.visit(&mut demands, id, place);
                }
            }
        }
        for (id, home) in &self.homes {
            if !demands.computed.contains_key(id) {
                demands.computed.entry(*id).or_default().insert(*home);
            }
        }
        demands
    }

    fn visit_call(&self, demands: &mut Demands, id: StepId) {
        let Some(call) = self.call(id) else { return };
        let place = self.own_place(id);
        for (position, operand) in call.operands.iter().take(call.routine.arity()).enumerate() {
            let result = self.inner(*operand) && self.call(*operand).is_some();
            if self.homes.contains_key(operand) || result && self.is_exact(*operand) {
                demands.read.entry(*operand).or_default().insert(place);
                self.visit(demands, *operand, place);
            } else if !lies_in_blocks(self.kernel, *operand) || self.is_hazard(*operand) {
                demands.feeds.insert((id, position));
                self.visit(demands, *operand, place);
            }
        }
    }

    /// Whether a call's result is its step's value without rounding.
    fn is_exact(&self, id: StepId) -> bool {
        matches!(self.kernel.steps[id].dtype, DType::F32 | DType::F64)
    }

    fn is_hazard(&self, id: StepId) -> bool {
        match &self.kernel.steps[id].op {
            StepOp::Load(access) => self.hazards.contains(&access.buffer),
            _ => false,
        }
    }

    fn visit(&self, demands: &mut Demands, id: StepId, place: Place) {
        if !self.inner(id) {
            return;
        }
        let sums = self.reduce(id, LoopKind::Walk).is_some();
        let kept = self.homes.get(&id).is_some_and(|home| *home != place);
        if self.call(id).is_some() || sums || kept {
            demands.read.entry(id).or_default().insert(place);
            if let Some(home) = self.homes.get(&id).filter(|_| kept) {
                self.compute(demands, id, *home);
            }
            return;
        }
        self.compute(demands, id, place);
    }

    fn compute(&self, demands: &mut Demands, id: StepId, place: Place) {
        if demands.computed.entry(id).or_default().insert(place) {
            for operand in self.needs(id) {
                self.visit(demands, operand, place);
            }
        }
    }

    /// Cheap operations to compute a step again, with what is kept as it is.
    fn cost(&self, id: StepId, memo: &mut BTreeMap<StepId, u32>) -> u32 {
        let step = &self.kernel.steps[id];
        if !step.inner || self.homes.contains_key(&id) || self.call(id).is_some() {
            return 0;
        }
        if let Some(cost) = memo.get(&id) {
            return *cost;
        }
        let below: u32 = operands(&step.op)
            .iter()
            .map(|id| self.cost(*id, memo))
            .sum();
        let narrow = matches!(step.dtype, DType::F16 | DType::I8 | DType::U8);
        let own = match &step.op {
            StepOp::Load(access) => {
                self.load_cost(access) + 4 * u32::from(step.dtype == DType::F16)
            }
            StepOp::Constant(_) | StepOp::Size(_) | StepOp::Reduce(..) => 0,
            StepOp::Unary(Unary::Sqrt | Unary::Rsqrt | Unary::PopCount, _) => 6,
            StepOp::Binary(Binary::FloorDiv | Binary::Rem, _, _) => 20,
            StepOp::Binary(Binary::Div, _, _) => 3,
            StepOp::Cast(_) => 2,
            StepOp::Position(_) | StepOp::Unary(..) | StepOp::Binary(..) | StepOp::Select(..) => 1,
        };
        let cost = below + own * if narrow { 4 } else { 1 };
        memo.insert(id, cost.min(1000));
        cost.min(1000)
    }

    fn load_cost(&self, access: &Access) -> u32 {
        let Some(inner) = self.kernel.inner() else {
            return 0;
        };
        let unit = access.address.factor(inner) == Extent::constant(1);
        if unit && access.guards.is_empty() {
            0
        } else {
            6
        }
    }

    /// Keeps steps that several places need, dearest users first.
    pub(super) fn keep_what_is_dear(&mut self) {
        loop {
            let demands = self.demands();
            let mut memo = BTreeMap::new();
            let dear = demands.computed.iter().rev().find(|(id, places)| {
                let walked_again = !self.tiled
                    && self.phase[**id] == Phase::Before
                    && places.iter().any(|place| place.phase == Phase::Walk);
                let limit = if walked_again { 0 } else { 2 };
                let several = places.len() > 1 || walked_again;
                !self.homes.contains_key(id)
                    && several
                    && (self.is_hazard(**id) || self.cost(**id, &mut memo) > limit)
            });
            let Some((id, places)) = dear else { break };
            let first = places.iter().min().copied();
            let home = match (self.phase[*id], first) {
                (Phase::Walk | Phase::After, Some(first)) => first,
                _ => self.own_place(*id),
            };
            self.homes.insert(*id, home);
        }
    }

    pub(super) fn assemble(self) -> Schedule {
        let demands = self.demands();
        let uniform_store = |store: &usize| !store_varies(self.kernel, *store, LoopKind::Inner);
        let whole_rows = self.steps().any(|id| {
            self.reduce(id, LoopKind::Inner).is_some()
                || self.reduce(id, LoopKind::Walk).is_some() && !self.inner(id)
        }) || (0..self.kernel.stores.len()).any(|store| uniform_store(&store));
        let mut schedule = Schedule {
            live: self.live.clone(),
            phases: [Vec::new(), Vec::new(), Vec::new()],
            homes: self.homes.clone(),
            slots: BTreeMap::new(),
            lands: self.lands(),
            feeds: BTreeMap::new(),
            fade: self.fade,
            tiled: self.tiled,
            whole_rows,
            rows: 0,
            blocks: 0,
            calls: self.calls.clone(),
        };
        for id in self.steps() {
            let phase = self.phase[id];
            let (pass, _) = self.time[id];
            let brought = self.is_brought(id);
            match self.kernel.steps[id].op {
                StepOp::Reduce(_, x, LoopKind::Walk) => {
                    let (pass, stage) = self.ready_in(x, phase);
                    if self.inner(id) {
                        let place = self.place(phase, (pass, stage));
                        schedule.stretch(place).sums.push(id);
                    } else {
                        schedule.pass(phase, pass).uniform_sums.push(id);
                    }
                }
                StepOp::Reduce(_, x, LoopKind::Inner) => {
                    let place = self.place(phase, self.ready_in(x, phase));
                    if !brought {
                        schedule.stretch(place).reduces.push(id);
                    }
                }
                _ if !self.inner(id) => schedule.pass(phase, pass).uniform.push(id),
                _ if self.call(id).is_some() => {
                    let place = self.own_place(id);
                    schedule.stretch(place).calls.push(id);
                }
                _ => {}
            }
        }
        for store in 0..self.kernel.stores.len() {
            let place = self.store_place(store);
            if uniform_store(&store) {
                schedule
                    .pass(place.phase, place.pass)
                    .uniform_stores
                    .push(store);
            } else if !schedule.lands.values().any(|own| *own == store) {
                schedule.stretch(place).stores.push(store);
            }
        }
        for (id, home) in &self.homes {
            schedule.stretch(*home).keeps.push(*id);
        }
        for (call, position) in &demands.feeds {
            let place = self.own_place(*call);
            schedule.stretch(place).feeds.push((*call, *position));
        }
        self.find_slots(&mut schedule, &demands);
        schedule
    }

    /// Calls whose result one store writes, as it is and block by block, and nothing else needs.
    /// Of a kernel with one store: what else a point reads may lie where that writes.
    fn lands(&self) -> BTreeMap<StepId, usize> {
        if self.kernel.stores.len() != 1 {
            return BTreeMap::new();
        }
        let mut needed = vec![0; self.kernel.steps.len()];
        for id in self.steps() {
            for operand in self.needs(id) {
                needed[operand] += 1;
            }
        }
        let mut lands = BTreeMap::new();
        for (at, store) in self.kernel.stores.iter().enumerate() {
            needed[store.step] += 1;
            for operand in access_operands(&store.access) {
                needed[operand] += 1;
            }
            lands.insert(store.step, at);
        }
        let inner = self.kernel.inner();
        lands.retain(|id, at| {
            let access = &self.kernel.stores[*at].access;
            let dtype = self.kernel.steps[*id].dtype;
            let unit = inner.is_some_and(|own| access.address.factor(own) == Extent::constant(1));
            let data = access_operands(access).iter().any(|own| self.inner(*own));
            let (store, call) = (self.store_place(*at), self.own_place(*id));
            self.inner(*id)
                && self.call(*id).is_some()
                && self.calls.sum[*id].is_none()
                && needed[*id] == 1
                && !self.homes.contains_key(id)
                && matches!(dtype, DType::F32 | DType::F64)
                && self.kernel.buffers[access.buffer] == dtype
                && !self.hazards.contains(&access.buffer)
                && (store.phase, store.pass) == (call.phase, call.pass)
                && unit
                && !data
        });
        lands
    }

    fn find_slots(&self, schedule: &mut Schedule, demands: &Demands) {
        let wide = |id: StepId| self.kernel.steps[id].dtype.size() == 8;
        for id in self.steps().filter(|id| self.inner(*id)) {
            let sums = self.reduce(id, LoopKind::Walk).is_some();
            let call = self.call(id).is_some() && !schedule.lands.contains_key(&id);
            if !(sums || call || self.homes.contains_key(&id)) {
                continue;
            }
            let own = self.homes.get(&id).copied().unwrap_or(self.own_place(id));
            let reads = demands.read.get(&id);
            let elsewhere = |place: &Place| (place.phase, place.pass) != (own.phase, own.pass);
            let far = reads.is_some_and(|places| places.iter().any(elsewhere));
            let slot = schedule.new_slot(schedule.whole_rows && (sums || far), wide(id));
            schedule.slots.insert(id, slot);
        }
        for (call, position) in &demands.feeds {
            // The result may lie where the operand lay.
            let own = schedule.slots.get(call).copied().filter(|slot| !slot.row);
            let brings = self.calls.sum[*call].is_some();
            let slot = match own {
                Some(slot) if *position == 0 && !brings => slot,
                _ => schedule.new_slot(false, wide(*call)),
            };
            schedule.feeds.insert((*call, *position), slot);
        }
    }
}
