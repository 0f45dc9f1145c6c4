//! Along which axis a loop can be cut: one whose positions never see one another.

use girih_graph::op::{Op, Recurrence};
use girih_graph::{AxisId, Extent};

/// The axis, if there is one: the outermost long one of what is carried.
pub(super) fn found(recurrence: &Recurrence, extent: &dyn Fn(AxisId) -> Extent) -> Option<AxisId> {
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
            && extent(*axis).as_constant() != Some(1)
    };
    let axes: Vec<AxisId> = body.ty(*first).axes.iter().copied().filter(free).collect();
    let long = |axis: &AxisId| extent(*axis).as_constant().is_some_and(|size| size >= 4);
    axes.iter()
        .copied()
        .find(long)
        .or_else(|| axes.first().copied())
}

/// Whether an operation treats every position of `axis` alone.
fn is_free(op: &Op, axis: AxisId) -> bool {
    match op {
        Op::Input(..) | Op::Param(..) | Op::State(_) | Op::Const(_) | Op::Unary(_) => true,
        Op::Size(_) | Op::Binary(_) | Op::Select | Op::Cast(_) | Op::GradAs => true,
        Op::Table(_, axes, _) => !axes.contains(&axis),
        Op::Index(own) => *own != axis,
        Op::Contract(over) | Op::Reduce(_, over) | Op::Softmax(over) => !over.contains(&axis),
        Op::Cumulate { axis: own, .. } | Op::Gather { axis: own, .. } => *own != axis,
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
        // Draws depend on the position.
        Op::Random(..) | Op::Recurrence(_) | Op::Route(_) => false,
    }
}
