//! The streaming rule of each primitive.

use super::{Span, region};
use crate::axis::{AxisId, AxisTable};
use crate::extent::Extent;
use crate::graph::{Node, Region};
use crate::op::Op;

/// One question about one node: where position i of a result lies, and where it reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) axes: &'a AxisTable,
    /// The region the node is in.
    pub(super) region: &'a Region,
    pub(super) node: &'a Node,
    /// Which result, and the axis along which i counts.
    pub(super) result: (usize, AxisId),
    /// Which operand, and the axis along which the answer counts.
    pub(super) operand: (usize, AxisId),
    /// How many regions may still be looked into.
    pub(super) depth: usize,
}

/// Which positions of operand `operand.0` along its axis `operand.1` position i of result
/// `result.0` along its axis `result.1` may depend on. [`Span::Whole`] if either lacks the axis.
pub fn reach(
    axes: &AxisTable,
    region: &Region,
    node: &Node,
    result: (usize, AxisId),
    operand: (usize, AxisId),
) -> Span {
    answer(Question {
        axes,
        region,
        node,
        result,
        operand,
        depth: region::MAX_DEPTH,
    })
}

pub(super) fn answer(question: Question<'_>) -> Span {
    let Question {
        axes,
        region,
        node,
        result: (slot, to),
        operand: (position, from),
        ..
    } = question;
    let has = |value: Option<&crate::ValueId>, axis| value.is_some_and(|v| region.ty(*v).has(axis));
    if !has(node.results.get(slot), to) || !has(node.operands.get(position), from) {
        return region::depends(question);
    }
    let aligned = |from: AxisId| if from == to { Span::Same } else { Span::Whole };
    let zero = || Extent::constant(0);
    match &node.op {
        Op::Input(..)
        | Op::Param(..)
        | Op::Const(_)
        | Op::Table(..)
        | Op::Index(_)
        | Op::Size(_)
        | Op::Random(..) => Span::None,
        Op::Softmax(over) | Op::Scatter { over, .. } if over.contains(&from) => Span::Whole,
        Op::State(_)
        | Op::Softmax(_)
        | Op::Scatter { .. }
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Select
        | Op::Cast(_)
        | Op::Expand(_)
        | Op::Contract(_)
        | Op::Reduce(..) => aligned(from),
        Op::GradAs => match position {
            0 => aligned(from),
            _ => Span::None,
        },
        Op::Cumulate {
            axis,
            reverse,
            exclusive,
            ..
        } => match (from == to && from == *axis, reverse) {
            (true, false) => Span::Prefix {
                to: Extent::from(-i64::from(*exclusive)),
            },
            (true, true) => Span::Suffix {
                from: Extent::from(i64::from(*exclusive)),
            },
            (false, _) => aligned(from),
        },
        Op::Order { axis, .. } => {
            if from == *axis {
                Span::Whole
            } else {
                aligned(from)
            }
        }
        Op::Gather { axis, .. } => {
            if position == 0 && from == *axis {
                Span::Whole
            } else {
                aligned(from)
            }
        }
        Op::Window { axis, into, offset } => {
            let stride = into.iter().find(|(own, _)| *own == to);
            match (from == *axis, stride) {
                (false, _) => aligned(from),
                (true, None) => Span::Whole,
                (true, Some((_, stride))) => match others(axes, into, to) {
                    None => Span::Whole,
                    Some((first, last)) => {
                        Span::window(stride.clone(), offset.plus(&first), offset.plus(&last))
                    }
                },
            }
        }
        Op::Fold {
            from: walked,
            axis,
            offset,
        } => {
            let stride = walked.iter().find(|(own, _)| *own == from);
            match (to == *axis, stride) {
                (_, None) => aligned(from),
                // Position p is written from i = p − offset − what the other axes add.
                (true, Some((_, stride))) if stride.as_constant() == Some(1) => {
                    match others(axes, walked, from) {
                        None => Span::Whole,
                        Some((first, last)) => Span::lag(
                            zero().minus(offset).minus(&last),
                            zero().minus(offset).minus(&first),
                        ),
                    }
                }
                (_, Some(_)) => Span::Whole,
            }
        }
        Op::Split(axis, into) => match (from == *axis, into.split_first()) {
            (true, Some((first, rest))) if *first == to => {
                let size = product(axes, rest);
                let last = size.minus(&Extent::from(1));
                Span::window(size, zero(), last)
            }
            (true, _) => Span::Whole,
            (false, _) => aligned(from),
        },
        Op::Merge(walked, axis) => match (to == *axis, walked.split_first()) {
            (true, Some((first, rest))) if *first == from => {
                match product(axes, rest).as_constant() {
                    Some(1) => Span::Same,
                    // Position floor(i / size) is not past i.
                    _ => Span::Prefix { to: zero() },
                }
            }
            (true, _) => Span::Whole,
            (false, _) => aligned(from),
        },
        Op::Concat(along, axis) => match (to == *axis, along.get(position) == Some(&from)) {
            (true, true) => {
                let before = along[..position].iter();
                let before = before.fold(zero(), |sum, axis| sum.minus(axes.extent(*axis)));
                Span::lag(before.clone(), before)
            }
            // The result may have the joined axis of one operand from another one.
            (true, false) | (false, true) => Span::Whole,
            (false, false) => aligned(from),
        },
        Op::Rename(pairs) => {
            let pair = pairs.iter().find(|(old, _)| *old == from);
            aligned(pair.map_or(from, |(_, new)| *new))
        }
        Op::Recurrence(recurrence) => region::recurrence(question, recurrence),
        Op::Route(route) => region::route(question, route),
        Op::Call(call) => region::call(question, call),
    }
}

/// The least and greatest that all axes but `except` add to a position; `None` where a
/// stride's sign is not known.
fn others(
    axes: &AxisTable,
    strided: &[(AxisId, Extent)],
    except: AxisId,
) -> Option<(Extent, Extent)> {
    let mut first = Extent::constant(0);
    let mut last = Extent::constant(0);
    for (axis, stride) in strided.iter().filter(|(axis, _)| *axis != except) {
        let end = stride.times(&axes.extent(*axis).minus(&Extent::from(1)));
        if stride.is_at_least(0) {
            last = last.plus(&end);
        } else if Extent::constant(0).minus(stride).is_at_least(0) {
            first = first.plus(&end);
        } else {
            return None;
        }
    }
    Some((first, last))
}

fn product(axes: &AxisTable, own: &[AxisId]) -> Extent {
    own.iter().fold(Extent::constant(1), |product, axis| {
        product.times(axes.extent(*axis))
    })
}
