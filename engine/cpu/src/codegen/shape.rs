//! Sizes of a kernel, and what of it depends on them outside the code: points and memory.

use girih_graph::Extent;
use girih_plan::kernel::{Affine, Kernel, LoopId, LoopKind, StepOp};

use super::schedule::{BLOCK, Schedule};

/// Sizes that are not constants, and how points are counted with them.
#[derive(Debug)]
pub(super) struct Shape {
    /// In the order in which their values are given.
    pub(super) sizes: Vec<Extent>,
    outer: Vec<Extent>,
    inner: Option<Extent>,
    walk: Option<Extent>,
    cut: bool,
    rows: usize,
    blocks: usize,
    cost: usize,
}

impl Shape {
    pub(super) fn new(kernel: &Kernel, schedule: &Schedule) -> Self {
        let mut sizes = Vec::new();
        for extent in extents(kernel) {
            if extent.as_constant().is_none() && !sizes.contains(extent) {
                sizes.push(extent.clone());
            }
        }
        let of_kind = |kind| {
            let own = kernel.loops.iter().filter(move |own| own.kind == kind);
            own.map(|own| own.extent.clone())
        };
        let live = |id: &usize| schedule.live[*id];
        let weight = |id: usize| match (&schedule.calls.of[id], &kernel.steps[id].op) {
            (Some(_), _) => 8,
            (None, StepOp::Constant(_) | StepOp::Size(_)) => 0,
            _ => 1,
        };
        let mut shape = Self {
            sizes,
            outer: of_kind(LoopKind::Outer).collect(),
            inner: of_kind(LoopKind::Inner).next(),
            walk: of_kind(LoopKind::Walk).next(),
            cut: false,
            rows: schedule.rows,
            blocks: schedule.blocks,
            cost: (0..kernel.steps.len()).filter(live).map(weight).sum(),
        };
        shape.cut = Self::cut(kernel, schedule).is_some();
        shape
    }

    /// Place of a size among [`Self::sizes`].
    pub(super) fn size(&self, extent: &Extent) -> Option<usize> {
        self.sizes.iter().position(|own| own == extent)
    }

    /// The inner loop, if its blocks are points of their own.
    pub(super) fn cut(kernel: &Kernel, schedule: &Schedule) -> Option<LoopId> {
        let inner = kernel.inner().filter(|_| !schedule.whole_rows)?;
        let count = kernel.loops[inner].extent.as_constant();
        count.is_none_or(|count| count > BLOCK).then_some(inner)
    }

    /// The number that an extent is under `values`; at least 0.
    fn value(&self, extent: &Extent, values: &[i64]) -> usize {
        let found = extent
            .as_constant()
            .or_else(|| values.get(self.size(extent)?).copied());
        usize::try_from(found.unwrap_or(0)).unwrap_or(0)
    }

    pub(super) fn points(&self, values: &[i64]) -> usize {
        let outer = self.outer.iter().map(|extent| self.value(extent, values));
        let outer = outer.fold(1_usize, usize::saturating_mul);
        match (&self.inner, self.cut) {
            (Some(inner), true) => {
                outer.saturating_mul(self.value(inner, values).div_ceil(BLOCK as usize))
            }
            _ => outer,
        }
    }

    pub(super) fn point_cost(&self, values: &[i64]) -> usize {
        let along = |extent: &Option<Extent>| extent.as_ref().map_or(1, |e| self.value(e, values));
        let inner = along(&self.inner);
        let inner = if self.cut {
            inner.min(BLOCK as usize)
        } else {
            inner
        };
        let all = inner.saturating_mul(along(&self.walk));
        all.saturating_mul(self.cost).max(1)
    }

    pub(super) fn scratch_bytes(&self, values: &[i64]) -> usize {
        let inner = self.inner.as_ref().map_or(1, |e| self.value(e, values));
        let row = inner.saturating_mul(4).saturating_add(63) & !63;
        let rows = row.saturating_mul(self.rows);
        rows.saturating_add(self.blocks * BLOCK as usize * 4)
    }
}

/// Every extent of a kernel.
fn extents(kernel: &Kernel) -> Vec<&Extent> {
    fn of_affine(affine: &Affine) -> impl Iterator<Item = &Extent> {
        let loops = affine.loops.iter().map(|(_, factor)| factor);
        let steps = affine.steps.iter().map(|(_, factor)| factor);
        std::iter::once(&affine.offset).chain(loops).chain(steps)
    }
    let mut found: Vec<&Extent> = kernel.loops.iter().map(|own| &own.extent).collect();
    let loads = kernel.steps.iter().filter_map(|step| match &step.op {
        StepOp::Load(access) => Some(access),
        _ => None,
    });
    for access in loads.chain(kernel.stores.iter().map(|store| &store.access)) {
        found.extend(of_affine(&access.address));
        for guard in &access.guards {
            found.extend(of_affine(&guard.index));
            found.push(&guard.extent);
        }
    }
    for step in &kernel.steps {
        match &step.op {
            StepOp::Position(affine) => found.extend(of_affine(affine)),
            StepOp::Size(extent) => found.push(extent),
            _ => {}
        }
    }
    found
}
