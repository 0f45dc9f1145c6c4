//! What a loop's body allows: along which axis it can be cut – one whose positions never see one
//! another – and which carried values can be written over.

use girih_graph::op::{Op, Recurrence};
use girih_graph::{AxisId, Extent, Node, Region, ValueType};

use crate::kernel::{Kernel, LoopKind, StepOp};
use crate::plan::{Section, TensorId, Work};

/// The axis, if there is one: the outermost long one of what is carried.
pub(crate) fn found(recurrence: &Recurrence, extent: &dyn Fn(AxisId) -> Extent) -> Option<AxisId> {
    let body = &recurrence.body;
    let first = body.params().first().filter(|_| recurrence.carried > 0)?;
    let everywhere = |axis: AxisId| {
        let carried = &body.params()[..recurrence.carried];
        carried
            .iter()
            .chain(body.results())
            .all(|value| body.ty(*value).has(axis))
    };
    let free = |axis: &AxisId| {
        everywhere(*axis)
            && body.nodes().all(|(_, node)| is_free(&node.op, *axis))
            && body.nodes().all(|(_, node)| is_whole(body, node, *axis))
            && extent(*axis).as_constant() != Some(1)
    };
    let axes: Vec<AxisId> = body.ty(*first).axes.iter().copied().filter(free).collect();
    let long = |axis: &AxisId| extent(*axis).as_constant().is_some_and(|size| size >= 4);
    axes.iter()
        .copied()
        .find(long)
        .or_else(|| axes.first().copied())
}

/// Whether a product of matrices stays as large if `axis` is cut: both factors have it. One without
/// it would be computed again for every part, others would be narrow.
fn is_whole(body: &Region, node: &Node, axis: AxisId) -> bool {
    let (Op::Contract(over), [x, y]) = (&node.op, node.operands.as_slice()) else {
        return true;
    };
    let [x, y] = [x, y].map(|factor| body.ty(*factor));
    let alone = |own: &ValueType, other: &ValueType| {
        let alone = |axis: &AxisId| !over.contains(axis) && !other.has(*axis);
        own.axes.iter().any(alone)
    };
    let of_matrices = alone(x, y) && alone(y, x);
    !of_matrices || x.has(axis) && y.has(axis)
}

/// Whether an operation treats every position of `axis` alone.
fn is_free(op: &Op, axis: AxisId) -> bool {
    match op {
        Op::Input(..)
        | Op::Param(..)
        | Op::State(_)
        | Op::Const(_)
        | Op::Unary(_)
        | Op::Size(_)
        | Op::Binary(_)
        | Op::Select
        | Op::Cast(_)
        | Op::GradAs => true,
        Op::Table(_, axes, _) => !axes.contains(&axis),
        Op::Index(own) | Op::Cumulate { axis: own, .. } | Op::Gather { axis: own, .. } => {
            *own != axis
        }
        Op::Contract(over) | Op::Reduce(_, over) | Op::Softmax(over) => !over.contains(&axis),
        Op::Order {
            axis: own, into, ..
        } => *own != axis && *into != axis,
        Op::Scatter {
            axis: own, over, ..
        } => *own != axis && !over.contains(&axis),
        Op::Window {
            axis: own, into, ..
        } => *own != axis && into.iter().all(|(part, _)| *part != axis),
        Op::Fold {
            from, axis: own, ..
        } => *own != axis && from.iter().all(|(part, _)| *part != axis),
        Op::Split(own, into) => *own != axis && !into.contains(&axis),
        Op::Merge(from, own) | Op::Concat(from, own) => *own != axis && !from.contains(&axis),
        Op::Rename(pairs) => pairs.iter().all(|(old, new)| *old != axis && *new != axis),
        Op::Expand(new) => !new.contains(&axis),
        // Draws depend on the position; kernels of plugins are made for whole axes.
        Op::Random(..) | Op::Recurrence(_) | Op::Route(_) | Op::Call(_) => false,
    }
}

/// Whether `next` may lie where `now` lies: one kernel writes it, at the element it reads, and
/// nobody reads `now` later.
pub(super) fn is_overwritten(
    body: &Section,
    kernels: &[Kernel],
    now: TensorId,
    next: TensorId,
) -> bool {
    let [now, next] = [now, next].map(|tensor| body.tensors[tensor.index()].buffer);
    let mut writer = None;
    let mut last_read = None;
    for (position, launch) in body.launches.iter().enumerate() {
        launch.visit_buffers(&body.tensors, &mut |buffer, written| {
            if buffer == next && written {
                // Two writers: never.
                writer = Some(writer.map_or(position, |_| usize::MAX));
            }
            if buffer == now {
                last_read = Some(position);
            }
        });
    }
    let Some(writer) = writer.filter(|writer| last_read.is_none_or(|last| last <= *writer)) else {
        return false;
    };
    let Some(Work::Kernel(launch)) = body.launches.get(writer).map(|launch| &launch.work) else {
        return last_read.is_none_or(|last| last < writer);
    };
    let kernel = &kernels[launch.kernel];
    let place = |buffer| launch.buffers.iter().position(|own| *own == buffer);
    let (Some(read), Some(written)) = (place(now), place(next)) else {
        return last_read.is_none_or(|last| last < writer);
    };
    let mut stores = kernel
        .stores
        .iter()
        .filter(|store| store.access.buffer == written);
    let (Some(store), None) = (stores.next(), stores.next()) else {
        return false;
    };
    let same = kernel.steps.iter().all(|step| match &step.op {
        StepOp::Load(access) if access.buffer == read => {
            access.address == store.access.address && access.guards.is_empty()
        }
        _ => true,
    });
    same && is_read_in_one_pass(kernel, read)
}

/// Whether nothing along the inner loop waits for a sum over it and reads `buffer`: a second pass
/// would read what the first has written.
fn is_read_in_one_pass(kernel: &Kernel, buffer: usize) -> bool {
    let mut reads = vec![false; kernel.steps.len()];
    let mut waits = vec![false; kernel.steps.len()];
    kernel.steps.iter().enumerate().all(|(id, step)| {
        let operands = step.operands();
        let any = |of: &[bool]| operands.iter().any(|operand| of[*operand]);
        let own = matches!(&step.op, StepOp::Load(access) if access.buffer == buffer);
        let sums = matches!(step.op, StepOp::Reduce(_, _, LoopKind::Inner));
        reads[id] = own || (step.inner && any(&reads));
        waits[id] = sums || any(&waits);
        !(reads[id] && waits[id] && step.inner)
    })
}
