//! How much of a loop a block has, and how much of a buffer a tensor sees.

use girih_graph::Extent;
use girih_plan::plan::{RecurrenceLaunch, Section, Tensor, TensorId};

use crate::source::{Refusal, THREADS};

/// Elements that are carried past which a loop that cannot be cut is too much for one block.
const MOST_CARRIED: i64 = 1 << 14;

/// Positions of the part axis in a block: so many that its threads have something to do.
pub(super) fn length(section: &Section, launch: &RecurrenceLaunch) -> Result<Extent, Refusal> {
    let others = |tensor: &TensorId| {
        let tensor: &Tensor = &section.tensors[tensor.index()];
        let one = Extent::constant(1);
        let axes = tensor.axes.iter();
        axes.filter(|(axis, _)| launch.part.as_ref().is_none_or(|part| part.axis != *axis))
            .fold(one, |all, (_, stride)| all.times(&stride.extent))
    };
    let zero = Extent::constant(0);
    let carried = launch
        .carried
        .iter()
        .fold(zero, |all, tensor| all.plus(&others(tensor)));
    let Some(part) = &launch.part else {
        let few = carried
            .as_constant()
            .is_some_and(|count| count <= MOST_CARRIED);
        return if few {
            Ok(Extent::constant(1))
        } else {
            Err(Refusal::new(
                "the loop cannot be cut, and its state is too much for one block",
            ))
        };
    };
    let own = carried.as_constant().unwrap_or(i64::from(THREADS)).max(1);
    let length = (i64::from(THREADS) / own).clamp(1, 64);
    Ok(Extent::constant(length).minimum(&part.extent.maximum(&Extent::constant(1))))
}

/// Elements from a tensor's first to the last that it sees, and one.
pub(super) fn reach(tensor: &Tensor) -> Extent {
    let one = Extent::constant(1);
    tensor.axes.iter().fold(one.clone(), |all, (_, stride)| {
        all.plus(&stride.extent.minus(&one).times(&stride.step))
    })
}
