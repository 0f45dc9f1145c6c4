//! Neighbors that go through the same memory become one kernel.
//!
//! What a loop reads from its state is a sum over the state's rows, its next state is made of the
//! same rows one by one: two values in memory, which nothing else makes one kernel of. The kernel
//! without a walk does its work along the other's.

use super::Shared;
use crate::kernel::{Affine, GuardOutside, Kernel, LoopKind, StepId, StepOp, Store, varies};
use crate::plan::{BufferId, KernelLaunch, Launch, Work};

/// Joins neighbors as long as there are some.
pub(super) fn joined(launches: Vec<Launch>, shared: &mut Shared<'_>) -> Vec<Launch> {
    let mut kept: Vec<Launch> = Vec::with_capacity(launches.len());
    for launch in launches {
        let one = kept.last().and_then(|last| pair(last, &launch, shared));
        if let (Some(work), Some(last)) = (one, kept.last_mut()) {
            last.work = Work::Kernel(work);
            last.stops.extend(launch.stops);
        } else {
            kept.push(launch);
        }
    }
    kept
}

fn pair(first: &Launch, second: &Launch, shared: &mut Shared<'_>) -> Option<KernelLaunch> {
    let (Work::Kernel(first), Work::Kernel(second)) = (&first.work, &second.work) else {
        return None;
    };
    let [one, two] = [first, second].map(|own| &shared.kernels[own.kernel]);
    let joined = if one.walk().is_some() {
        join((first, one), (second, two))
    } else {
        join((second, two), (first, one))
    };
    let (kernel, mut launch) = joined?;
    launch.kernel = shared.kernel(kernel);
    Some(launch)
}

/// The kernel with a walk, with what the other one does.
fn join(
    (walked, host): (&KernelLaunch, &Kernel),
    (other, guest): (&KernelLaunch, &Kernel),
) -> Option<(Kernel, KernelLaunch)> {
    let walk = host.walk()?;
    let alike = host.loops.len() == guest.loops.len()
        && host
            .loops
            .iter()
            .zip(&guest.loops)
            .enumerate()
            .all(|(id, (own, theirs))| {
                let kind = if id == walk {
                    LoopKind::Outer
                } else {
                    own.kind
                };
                own.extent == theirs.extent && theirs.kind == kind
            });
    let sums = guest
        .steps
        .iter()
        .any(|step| matches!(step.op, StepOp::Reduce(..)));
    if !alike || sums || host.reduces_inner() || !is_apart(walked, other) {
        return None;
    }
    let mut kernel = host.clone();
    let mut launch = walked.clone();
    let places: Vec<usize> = other
        .buffers
        .iter()
        .zip(&other.writes)
        .enumerate()
        .map(|(at, (buffer, written))| {
            let known = launch.buffers.iter().position(|own| own == buffer);
            known.unwrap_or_else(|| {
                launch.buffers.push(*buffer);
                launch.writes.push(*written);
                kernel.buffers.push(guest.buffers[at]);
                launch.buffers.len() - 1
            })
        })
        .collect();
    let failures = launch.failures.len() as u32;
    launch.failures.extend(other.failures.iter().cloned());
    let mut steps: Vec<StepId> = Vec::new();
    let mut shares = false;
    for step in &guest.steps {
        let mut step = step.clone();
        step.op.rename(&places, &steps, failures);
        (step.walked, step.inner) =
            varies(&step.op, &kernel.steps, (kernel.walk(), kernel.inner()));
        let known = kernel.steps.iter().position(|own| *own == step);
        shares |=
            known.is_some() && step.walked && step.inner && matches!(step.op, StepOp::Load(_));
        steps.push(known.unwrap_or_else(|| {
            kernel.steps.push(step);
            kernel.steps.len() - 1
        }));
    }
    for store in &guest.stores {
        let mut store = store.clone();
        store.rename(&places, &steps);
        kernel.stores.push(store);
    }
    (shares && kernel.check().is_ok()).then_some((kernel, launch))
}

/// Whether neither writes what the other touches.
fn is_apart(one: &KernelLaunch, other: &KernelLaunch) -> bool {
    let written = |launch: &KernelLaunch| -> Vec<BufferId> {
        let buffers = launch.buffers.iter().zip(&launch.writes);
        buffers
            .filter(|(_, written)| **written)
            .map(|(own, _)| *own)
            .collect()
    };
    let touches = |launch: &KernelLaunch, buffers: Vec<BufferId>| {
        buffers.iter().any(|buffer| launch.buffers.contains(buffer))
    };
    !touches(other, written(one)) && !touches(one, written(other))
}

impl Store {
    fn rename(&mut self, places: &[usize], steps: &[StepId]) {
        self.step = steps[self.step];
        self.access.buffer = places[self.access.buffer];
        self.access.address.rename(steps);
    }
}

impl StepOp {
    /// Gives what it refers to other numbers; statuses of guards start behind `failures`.
    fn rename(&mut self, places: &[usize], steps: &[StepId], failures: u32) {
        match self {
            Self::Load(access) => {
                access.buffer = places[access.buffer];
                access.address.rename(steps);
                for guard in &mut access.guards {
                    guard.index.rename(steps);
                    if let GuardOutside::Fail(status) = &mut guard.outside {
                        *status += failures;
                    }
                }
            }
            Self::Position(affine) => affine.rename(steps),
            Self::Constant(_) | Self::Size(_) => {}
            Self::Unary(_, x) | Self::Cast(x) | Self::Reduce(_, x, _) => *x = steps[*x],
            Self::Binary(_, x, y) => {
                *x = steps[*x];
                *y = steps[*y];
            }
            Self::Select(c, x, y) => {
                for own in [c, x, y] {
                    *own = steps[*own];
                }
            }
        }
    }
}

impl Affine {
    fn rename(&mut self, steps: &[StepId]) {
        for (step, _) in &mut self.steps {
            *step = steps[*step];
        }
    }
}
