//! The same kernel with loops that are better to compile.
//!
//! Loops of one position go away, loops that are one loop in memory become one, and a kernel
//! without an inner loop gets one: the walk or an outer loop, whichever most accesses are
//! contiguous along. An inner loop along which positions turn over is divided where they do.
//! Guarantees an inner loop wherever there is a loop at all, outer loops before the walk before
//! the inner loop, and step flags that say exactly what a step depends on. What is computed
//! stays the same; reductions may be in another order.

use girih_graph::Extent;
use girih_plan::kernel::{Access, Affine, Kernel, Loop, LoopId, LoopKind, StepOp};

use super::turn;

/// An equal kernel.
pub(super) fn normalized(kernel: &Kernel) -> Kernel {
    let mut kernel = kernel.clone();
    drop_single_positions(&mut kernel);
    if kernel.inner().is_none() {
        choose_inner(&mut kernel);
        mark(&mut kernel);
    }
    turn::divide(&mut kernel);
    while merge_one(&mut kernel) {}
    order(&mut kernel);
    mark(&mut kernel);
    kernel
}

/// Every affine form of a kernel: addresses, guards and positions.
fn affines(kernel: &mut Kernel) -> Vec<&mut Affine> {
    fn of_access(access: &mut Access) -> impl Iterator<Item = &mut Affine> {
        let guards = access.guards.iter_mut().map(|guard| &mut guard.index);
        std::iter::once(&mut access.address).chain(guards)
    }
    let mut found = Vec::new();
    for step in &mut kernel.steps {
        match &mut step.op {
            StepOp::Load(access) => found.extend(of_access(access)),
            StepOp::Position(affine) => found.push(affine),
            _ => {}
        }
    }
    for store in &mut kernel.stores {
        found.extend(of_access(&mut store.access));
    }
    found
}

/// Takes a loop out; its uses must be gone.
fn remove(kernel: &mut Kernel, id: LoopId) {
    kernel.loops.remove(id);
    for affine in affines(kernel) {
        for (own, _) in &mut affine.loops {
            if *own > id {
                *own -= 1;
            }
        }
    }
}

/// Outer loops of one position.
fn drop_single_positions(kernel: &mut Kernel) {
    let single = |own: &Loop| own.kind == LoopKind::Outer && own.extent.as_constant() == Some(1);
    while let Some(id) = kernel.loops.iter().position(single) {
        for affine in affines(kernel) {
            affine.loops.retain(|(own, _)| *own != id);
        }
        remove(kernel, id);
    }
}

/// Makes the walk or an outer loop the inner loop.
fn choose_inner(kernel: &mut Kernel) {
    let mut best: Option<(usize, bool, LoopId)> = None;
    for id in 0..kernel.loops.len() {
        let walk = kernel.loops[id].kind == LoopKind::Walk;
        let candidate = (contiguous_along(kernel, id), walk, id);
        if best.is_none_or(|best| candidate >= best) {
            best = Some(candidate);
        }
    }
    let Some((_, walk, id)) = best else { return };
    kernel.loops[id].kind = LoopKind::Inner;
    if walk {
        for step in &mut kernel.steps {
            if let StepOp::Reduce(_, _, over) = &mut step.op {
                *over = LoopKind::Inner;
            }
        }
    }
}

/// How many accesses advance by one element along a loop.
fn contiguous_along(kernel: &Kernel, id: LoopId) -> usize {
    let loads = kernel.steps.iter().filter_map(|step| match &step.op {
        StepOp::Load(access) => Some(access),
        _ => None,
    });
    let stores = kernel.stores.iter().map(|store| &store.access);
    let one = Extent::constant(1);
    let unit = |access: &&Access| access.address.factor(id) == one;
    loads.chain(stores).filter(unit).count()
}

/// Makes one loop of an outer loop and another one of which it is the continuation everywhere.
fn merge_one(kernel: &mut Kernel) -> bool {
    let reduces_inner = kernel.reduces_inner();
    for outer in 0..kernel.loops.len() {
        for part in 0..kernel.loops.len() {
            let mergeable = match kernel.loops[part].kind {
                LoopKind::Outer => true,
                LoopKind::Inner => !reduces_inner,
                LoopKind::Walk => false,
            };
            if outer != part
                && mergeable
                && kernel.loops[outer].kind == LoopKind::Outer
                && continues(kernel, outer, part)
            {
                let extent = kernel.loops[outer].extent.times(&kernel.loops[part].extent);
                kernel.loops[part].extent = extent;
                for affine in affines(kernel) {
                    affine.loops.retain(|(own, _)| *own != outer);
                }
                remove(kernel, outer);
                return true;
            }
        }
    }
    false
}

/// Whether one position of `outer` is all positions of `part` everywhere.
fn continues(kernel: &mut Kernel, outer: LoopId, part: LoopId) -> bool {
    let extent = kernel.loops[part].extent.clone();
    affines(kernel)
        .into_iter()
        .all(|affine| affine.factor(outer) == affine.factor(part).times(&extent))
}

/// Outer loops, walk, inner loop.
fn order(kernel: &mut Kernel) {
    let mut ids: Vec<LoopId> = (0..kernel.loops.len()).collect();
    ids.sort_by_key(|id| kernel.loops[*id].kind);
    let mut places = vec![0; ids.len()];
    for (place, id) in ids.iter().enumerate() {
        places[*id] = place;
    }
    kernel.loops = ids.iter().map(|id| kernel.loops[*id].clone()).collect();
    for affine in affines(kernel) {
        for (id, _) in &mut affine.loops {
            *id = places[*id];
        }
    }
}

/// Operands of a step, address positions among them.
pub(super) fn operands(op: &StepOp) -> Vec<usize> {
    let data = |affine: &Affine| affine.steps.iter().map(|(id, _)| *id).collect::<Vec<_>>();
    match op {
        StepOp::Load(access) => access_operands(access),
        StepOp::Position(affine) => data(affine),
        StepOp::Constant(_) | StepOp::Size(_) => Vec::new(),
        StepOp::Unary(_, x) | StepOp::Cast(x) | StepOp::Reduce(_, x, _) => vec![*x],
        StepOp::Binary(_, x, y) => vec![*x, *y],
        StepOp::Select(c, x, y) => vec![*c, *x, *y],
    }
}

/// Steps that an address or its guards depend on.
pub(super) fn access_operands(access: &Access) -> Vec<usize> {
    let guards = access.guards.iter().map(|guard| &guard.index);
    let affines = std::iter::once(&access.address).chain(guards);
    affines
        .flat_map(|affine| affine.steps.iter().map(|(id, _)| *id))
        .collect()
}

/// Whether an access varies along a loop by itself.
pub(super) fn access_varies(access: &Access, id: Option<LoopId>) -> bool {
    let guards = access.guards.iter().map(|guard| &guard.index);
    let mut affines = std::iter::once(&access.address).chain(guards);
    affines.any(|affine| affine.loops.iter().any(|(own, _)| Some(*own) == id))
}

/// Says of every step which loops it varies along.
fn mark(kernel: &mut Kernel) {
    let (walk, inner) = (kernel.walk(), kernel.inner());
    for id in 0..kernel.steps.len() {
        let op = &kernel.steps[id].op;
        let own = |wanted: Option<LoopId>| match op {
            StepOp::Load(access) => access_varies(access, wanted),
            StepOp::Position(affine) => affine.loops.iter().any(|(own, _)| Some(*own) == wanted),
            _ => false,
        };
        let operands = operands(op);
        let over = match op {
            StepOp::Reduce(_, _, over) => Some(*over),
            _ => None,
        };
        let walked = own(walk) || operands.iter().any(|id| kernel.steps[*id].walked);
        let along = own(inner) || operands.iter().any(|id| kernel.steps[*id].inner);
        kernel.steps[id].walked = walked && over != Some(LoopKind::Walk);
        kernel.steps[id].inner = along && over != Some(LoopKind::Inner);
    }
}
