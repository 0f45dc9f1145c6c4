//! The guarantees that a kernel gives, checked: broken ones are bugs of whoever made it.

use super::{Access, Affine, Kernel, LoopId, LoopKind, Step, StepId, StepOp};

/// A kernel's walk and its inner loop.
type Loops = (Option<LoopId>, Option<LoopId>);

impl Kernel {
    /// The first guarantee of [`crate::kernel`] that the kernel breaks, in words.
    ///
    /// # Errors
    ///
    /// Which one, and where.
    pub fn check(&self) -> Result<(), String> {
        let kinds = self
            .loops
            .windows(2)
            .all(|pair| pair[0].kind <= pair[1].kind);
        let count = |kind| self.loops.iter().filter(|own| own.kind == kind).count();
        if !kinds || count(LoopKind::Walk) > 1 || count(LoopKind::Inner) > 1 {
            return Err("loops are out of order, or two are walked or inner".to_owned());
        }
        let loops = (self.walk(), self.inner());
        let mut waits = vec![false; self.steps.len()];
        for (id, step) in self.steps.iter().enumerate() {
            let operands = step.operands();
            if operands.iter().any(|operand| *operand >= id) {
                return Err(format!("step {id} uses a later one"));
            }
            let (walked, inner) = varies(&step.op, &self.steps, loops);
            if (walked, inner) != (step.walked, step.inner) {
                return Err(format!("step {id} varies otherwise than it says"));
            }
            // What is reduced over the walk, and what is computed from it.
            let after = matches!(step.op, StepOp::Reduce(_, _, LoopKind::Walk))
                || operands.iter().any(|operand| waits[*operand]);
            if after && walked {
                return Err(format!("step {id} varies along the walk it waits for"));
            }
            waits[id] = after;
        }
        // Distances beside an empty axis are 0.
        let empty = self
            .loops
            .iter()
            .any(|own| own.extent.as_constant() == Some(0));
        for store in &self.stores {
            let step = self.steps.get(store.step).ok_or("a store of no step")?;
            let written = along(&store.access.address, &self.steps, loops);
            let short = (step.walked && !written.0, step.inner && !written.1);
            if (short != (false, false) && !empty) || !store.access.guards.is_empty() {
                return Err(format!("step {} is stored at too few elements", store.step));
            }
        }
        let accesses = self.stores.iter().map(|store| &store.access);
        let loads = self.steps.iter().filter_map(|step| match &step.op {
            StepOp::Load(access) => Some(access),
            _ => None,
        });
        for access in accesses.chain(loads) {
            if access.buffer >= self.buffers.len() {
                return Err("an access of no buffer".to_owned());
            }
        }
        Ok(())
    }
}

/// Whether a step that is computed so, from those before it, varies along these loops.
pub(crate) fn varies(op: &StepOp, steps: &[Step], loops: Loops) -> (bool, bool) {
    let step = |id: &StepId| (steps[*id].walked, steps[*id].inner);
    let of = |affine: &Affine| along(affine, steps, loops);
    match op {
        StepOp::Load(access) => access.affines().map(of).fold((false, false), either),
        StepOp::Position(affine) => of(affine),
        StepOp::Constant(_) | StepOp::Size(_) => (false, false),
        StepOp::Unary(_, x) | StepOp::Cast(x) => step(x),
        StepOp::Binary(_, x, y) => either(step(x), step(y)),
        StepOp::Select(c, x, y) => either(step(c), either(step(x), step(y))),
        StepOp::Reduce(_, x, LoopKind::Walk) => (false, step(x).1),
        StepOp::Reduce(_, x, _) => (step(x).0, false),
    }
}

fn along(affine: &Affine, steps: &[Step], (walk, inner): Loops) -> (bool, bool) {
    let own = |id: Option<LoopId>| affine.loops.iter().any(|(own, _)| Some(*own) == id);
    let used = affine.steps.iter().map(|(id, _)| &steps[*id]);
    used.fold((own(walk), own(inner)), |all, step| {
        either(all, (step.walked, step.inner))
    })
}

fn either(x: (bool, bool), y: (bool, bool)) -> (bool, bool) {
    (x.0 || y.0, x.1 || y.1)
}

impl Access {
    /// The address and what the guards compare.
    fn affines(&self) -> impl Iterator<Item = &Affine> {
        let guards = self.guards.iter().map(|guard| &guard.index);
        guards.chain([&self.address])
    }
}

impl Step {
    /// The steps that it uses.
    pub fn operands(&self) -> Vec<StepId> {
        match &self.op {
            StepOp::Load(access) => {
                let affines = access.affines().flat_map(|affine| &affine.steps);
                affines.map(|(step, _)| *step).collect()
            }
            StepOp::Position(affine) => affine.steps.iter().map(|(step, _)| *step).collect(),
            StepOp::Constant(_) | StepOp::Size(_) => Vec::new(),
            StepOp::Unary(_, x) | StepOp::Cast(x) | StepOp::Reduce(_, x, _) => vec![*x],
            StepOp::Binary(_, x, y) => vec![*x, *y],
            StepOp::Select(c, x, y) => vec![*c, *x, *y],
        }
    }
}
