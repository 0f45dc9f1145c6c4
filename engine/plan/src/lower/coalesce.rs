//! Fewer loops: loops of one position go, and neighbors that memory does not
//! tell apart become one.

use girih_graph::Extent;

use crate::kernel::{Affine, Kernel, Loop, LoopId, LoopKind, StepOp};

/// The kernel with its loops in order – outer, walk, inner – and as few as possible.
pub(super) fn coalesced(mut kernel: Kernel, mut names: Vec<String>) -> (Kernel, Vec<String>) {
    let mut order: Vec<LoopId> = (0..kernel.loops.len()).collect();
    order.sort_by_key(|id| kernel.loops[*id].kind);
    permute(&mut kernel, &mut names, &order);
    let one = Extent::constant(1);
    while let Some(id) = (0..kernel.loops.len()).find(|id| {
        let own = &kernel.loops[*id];
        own.extent == one && own.kind == LoopKind::Outer
    }) {
        let rest: Vec<LoopId> = (0..kernel.loops.len()).filter(|own| *own != id).collect();
        permute(&mut kernel, &mut names, &rest);
    }
    while let Some(id) = (1..kernel.loops.len()).find(|id| joins(&kernel, *id)) {
        let [outer, inner] = [kernel.loops[id - 1].clone(), kernel.loops[id].clone()];
        kernel.loops[id] = Loop {
            extent: outer.extent.times(&inner.extent),
            kind: inner.kind,
        };
        names[id] = format!("{}·{}", names[id - 1], names[id]);
        let rest: Vec<LoopId> = (0..kernel.loops.len())
            .filter(|own| *own != id - 1)
            .collect();
        permute(&mut kernel, &mut names, &rest);
    }
    (kernel, names)
}

/// Whether loop `id` continues the loop around it in every affine position.
fn joins(kernel: &Kernel, id: LoopId) -> bool {
    let (outer, inner) = (&kernel.loops[id - 1], &kernel.loops[id]);
    let kinds = match (outer.kind, inner.kind) {
        (LoopKind::Outer, LoopKind::Outer) => true,
        (LoopKind::Outer, LoopKind::Inner) => !kernel.reduces_inner(),
        _ => false,
    };
    // Steps that are alike at all positions of one loop only stay computed there.
    kinds
        && affines(kernel)
            .all(|affine| affine.factor(id - 1) == affine.factor(id).times(&inner.extent))
}

fn affines(kernel: &Kernel) -> impl Iterator<Item = &Affine> {
    let steps = kernel.steps.iter().flat_map(|step| match &step.op {
        StepOp::Load(access) => {
            let guards = access.guards.iter().map(|guard| &guard.index);
            guards.chain([&access.address]).collect()
        }
        StepOp::Position(affine) => vec![affine],
        _ => Vec::new(),
    });
    let stores = kernel.stores.iter().map(|store| &store.access.address);
    steps.chain(stores)
}

/// Puts the loops in this order and drops those that are not named.
fn permute(kernel: &mut Kernel, names: &mut Vec<String>, order: &[LoopId]) {
    let place = |id: LoopId| order.iter().position(|own| *own == id);
    let renumber = |affine: &mut Affine| {
        let loops = std::mem::take(&mut affine.loops);
        affine.loops = loops
            .into_iter()
            .filter_map(|(id, factor)| Some((place(id)?, factor)))
            .collect();
        affine.loops.sort_by_key(|(id, _)| *id);
    };
    for step in &mut kernel.steps {
        match &mut step.op {
            StepOp::Load(access) => {
                renumber(&mut access.address);
                for guard in &mut access.guards {
                    renumber(&mut guard.index);
                }
            }
            StepOp::Position(affine) => renumber(affine),
            _ => {}
        }
    }
    for store in &mut kernel.stores {
        renumber(&mut store.access.address);
    }
    kernel.loops = order.iter().map(|id| kernel.loops[*id].clone()).collect();
    *names = order.iter().map(|id| names[*id].clone()).collect();
}
