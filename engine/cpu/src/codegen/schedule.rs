//! In which loop every step is computed, and what lies in memory between loops.
//!
//! Work is divided three times. *Phases*: what the walk needs, the walk, the rest. *Passes*
//! over the inner loop: a reduction along it ends a pass. *Stretches* of a pass: a call ends a
//! stretch. A step that several loops need is computed again if that is cheap, and kept in
//! memory if not. Guarantees that what a place needs is computed there or kept by an earlier
//! one, and that a buffer is written only after it was read. Emits nothing.

mod planner;

use std::collections::BTreeMap;

use girih_graph::{DType, Extent};
use girih_plan::kernel::{Kernel, LoopKind, StepId, StepOp};

use super::fade::Fade;
use super::fuse::{self, Calls};
use super::normal::{access_operands, access_varies};
use planner::Planner;

/// Elements of a block: what calls work on at once.
pub(super) const BLOCK: i64 = 256;

/// Before the walk, in it, after it. Without a walk everything is after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Before,
    Walk,
    After,
}

/// A loop of a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) phase: Phase,
    pub(super) pass: usize,
    pub(super) stage: usize,
}

/// What one pass does.
#[derive(Clone, Debug, Default)]
pub(super) struct Pass {
    /// Steps that do not vary along the inner loop, computed before it.
    pub(super) uniform: Vec<StepId>,
    /// Reductions over the walk of such steps.
    pub(super) uniform_sums: Vec<StepId>,
    /// Stores of such steps.
    pub(super) uniform_stores: Vec<usize>,
    /// Loops, with calls between them.
    pub(super) stretches: Vec<Stretch>,
}

/// What one loop does, and the calls after it.
#[derive(Clone, Debug, Default)]
pub(super) struct Stretch {
    pub(super) stores: Vec<usize>,
    /// Steps put into their slots.
    pub(super) keeps: Vec<StepId>,
    /// Operands of calls put into slots: the call and which operand.
    pub(super) feeds: Vec<(StepId, usize)>,
    /// Reductions over the inner loop.
    pub(super) reduces: Vec<StepId>,
    /// Reductions over the walk, one per position of the inner loop.
    pub(super) sums: Vec<StepId>,
    pub(super) calls: Vec<StepId>,
}

impl Stretch {
    /// Whether there is a loop at all.
    pub(super) fn is_empty(&self) -> bool {
        self.stores.is_empty()
            && self.keeps.is_empty()
            && self.feeds.is_empty()
            && self.reduces.is_empty()
            && self.sums.is_empty()
    }

    /// Whether the loop would do nothing but reduce over itself.
    pub(super) fn only_reduces(&self) -> bool {
        self.stores.is_empty()
            && self.keeps.is_empty()
            && self.feeds.is_empty()
            && self.sums.is_empty()
    }
}

/// A run of elements in the scratch memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// As long as the inner loop, or else as a block.
    pub(super) row: bool,
    /// Position, in units of one `f32` per element.
    pub(super) unit: usize,
}

/// The whole division.
#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) calls: Calls,
    /// Steps that a store needs.
    pub(super) live: Vec<bool>,
    pub(super) phases: [Vec<Pass>; 3],
    /// Where kept steps are computed.
    pub(super) homes: BTreeMap<StepId, Place>,
    /// Of kept steps, results of calls and sums over the walk.
    pub(super) slots: BTreeMap<StepId, Slot>,
    /// Calls whose result goes where a store wants it, and nowhere else.
    pub(super) lands: BTreeMap<StepId, usize>,
    /// Of operands of calls that are not in memory otherwise.
    pub(super) feeds: BTreeMap<(StepId, usize), Slot>,
    /// The walk is one call.
    pub(super) fade: Option<Fade>,
    /// The walk runs inside short pieces of the inner loop, with its sums in registers.
    pub(super) tiled: bool,
    /// A point is a whole row of the inner loop, not a block of it.
    pub(super) whole_rows: bool,
    /// Units of slots that are rows, and that are blocks.
    pub(super) rows: usize,
    pub(super) blocks: usize,
}

impl Schedule {
    /// What a phase does.
    pub(super) fn passes(&self, phase: Phase) -> &[Pass] {
        &self.phases[phase as usize]
    }
}

/// Whether the buffer's elements along the inner loop can be an operand of a routine as they lie.
pub(super) fn lies_in_blocks(kernel: &Kernel, id: StepId) -> bool {
    let step = &kernel.steps[id];
    let StepOp::Load(access) = &step.op else {
        return false;
    };
    let inner = kernel.inner();
    let unit = inner.is_some_and(|inner| access.address.factor(inner) == Extent::constant(1));
    matches!(step.dtype, DType::F32 | DType::F64)
        && unit
        && access.guards.is_empty()
        && access_operands(access)
            .iter()
            .all(|id| !kernel.steps[*id].inner)
}

/// Whether a store writes one element per position of the inner loop.
pub(super) fn store_varies(kernel: &Kernel, store: usize, kind: LoopKind) -> bool {
    let store = &kernel.stores[store];
    let (own, along) = match kind {
        LoopKind::Walk => (kernel.steps[store.step].walked, kernel.walk()),
        LoopKind::Inner => (kernel.steps[store.step].inner, kernel.inner()),
        LoopKind::Outer => return false,
    };
    let data = access_operands(&store.access);
    let from_data = data.iter().any(|id| match kind {
        LoopKind::Walk => kernel.steps[*id].walked,
        _ => kernel.steps[*id].inner,
    });
    own || from_data || access_varies(&store.access, along)
}

/// Divides a normalized kernel.
pub(super) fn schedule(kernel: &Kernel) -> Schedule {
    let plan = |fades: bool| {
        let mut planner = Planner::new(kernel, fuse::calls(kernel), fades);
        planner.find_times();
        planner.keep_what_is_dear();
        planner.assemble()
    };
    let schedule = plan(true);
    match &schedule.fade {
        Some(fade) if !has_columns(kernel, &schedule, fade) => plan(false),
        _ => schedule,
    }
}

/// Whether what the call reads along the inner loop is in memory.
fn has_columns(kernel: &Kernel, schedule: &Schedule, fade: &Fade) -> bool {
    fade.columns()
        .iter()
        .all(|id| schedule.slots.contains_key(id) || lies_in_blocks(kernel, *id))
}

impl Schedule {
    fn pass(&mut self, phase: Phase, pass: usize) -> &mut Pass {
        let passes = &mut self.phases[phase as usize];
        if passes.len() <= pass {
            passes.resize_with(pass + 1, Pass::default);
        }
        &mut passes[pass]
    }

    fn stretch(&mut self, place: Place) -> &mut Stretch {
        let stretches = &mut self.pass(place.phase, place.pass).stretches;
        if stretches.len() <= place.stage {
            stretches.resize_with(place.stage + 1, Stretch::default);
        }
        &mut stretches[place.stage]
    }

    fn new_slot(&mut self, row: bool, wide: bool) -> Slot {
        let units = if row {
            &mut self.rows
        } else {
            &mut self.blocks
        };
        let unit = *units;
        *units += if wide { 2 } else { 1 };
        Slot { row, unit }
    }
}

/// Whether a pass calls anything, so that it works block by block.
pub(super) fn calls_anything(pass: &Pass) -> bool {
    pass.stretches
        .iter()
        .any(|stretch| !stretch.calls.is_empty())
}
