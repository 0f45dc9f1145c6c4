//! Copies of tensors from one layout to another, on the device.
//!
//! Elements that lie together are copied by the device's own copies. Where there are many pieces, a region that holds
//! nothing but a copy does it, made once for a number of axes; if the device refuses even that, the host does.

use girih_cpu::view::View;
use girih_cpu::walk;
use girih_graph::DType;
use girih_runtime::backend::RunError;
use girih_runtime::device::Place;

use crate::context::Context;
use crate::own::{self, Own};

/// Pieces that are copied one by one.
const FEW: usize = 16;

/// An axis with the distances of neighbors in both tensors.
type Axis = (usize, [isize; 2]);

/// Copies elements by the names of their axes: over the axes of `to`, along which `from` is repeated where it lacks them.
/// Places are those of the buffers that the views see; `spare` is one where a guard could write.
///
/// # Errors
///
/// The device fails.
pub(crate) fn copy(
    context: &Context,
    from: (&View, Place<'_>),
    to: (&View, Place<'_>),
    spare: Place<'_>,
) -> Result<(), RunError> {
    assert_eq!(from.0.dtype, to.0.dtype, "a copy keeps the dtype");
    let shape = to.0.shape();
    if shape.contains(&0) {
        return Ok(());
    }
    let size = to.0.dtype.size() as u64;
    let steps = [&*from.0.steps(to.0.axes()), &*to.0.own_steps()];
    let axes = walk::joined(&shape, steps);
    let from = moved(from.1, from.0.offset, size);
    let to = moved(to.1, to.0.offset, size);
    let (run, outer) = match axes.split_last() {
        Some(((length, [1, 1]), outer)) => (*length, outer),
        _ => (1, axes.as_slice()),
    };
    let pieces: usize = outer.iter().map(|(extent, _)| *extent).product();
    if pieces <= FEW {
        let mut copied = Ok(());
        each(outer, &mut |offsets| {
            let [from, to] = [moved(from, offsets[0], size), moved(to, offsets[1], size)];
            if copied.is_ok() {
                copied = context.device.copy(to, from, run as u64 * size);
            }
        });
        return Ok(copied?);
    }
    if let Some(code) = own::code(context, Own::Copy(axes.len()), dtype_of(size))? {
        let mut sizes = own::Sizes::new();
        for (at, (extent, steps)) in axes.iter().enumerate() {
            sizes.insert(format!("n{at}"), *extent as i64);
            sizes.insert(format!("s{at}"), steps[0] as i64);
            sizes.insert(format!("t{at}"), steps[1] as i64);
        }
        return own::run(context, &code, &[from, to], &sizes, spare);
    }
    by_host(context, &axes, from, to, size as usize)
}

/// Some elements further on. Views stay inside their buffers, so that no place is before its memory.
pub(crate) fn moved(place: Place<'_>, elements: isize, size: u64) -> Place<'_> {
    let bytes = elements.wrapping_mul(size.cast_signed() as isize) as i64;
    Place {
        memory: place.memory,
        offset: place.offset.wrapping_add_signed(bytes),
    }
}

/// Gives `body` the offsets of every position.
fn each(axes: &[Axis], body: &mut dyn FnMut([isize; 2])) {
    let shape: Vec<usize> = axes.iter().map(|(extent, _)| *extent).collect();
    let steps = |at: usize| -> Vec<isize> { axes.iter().map(|(_, steps)| steps[at]).collect() };
    let (from, to) = (steps(0), steps(1));
    walk::rows(&shape, [&from, &to], [0, 0], |[i, o], length, [s, t]| {
        for k in 0..length as isize {
            body([i + k * s, o + k * t]);
        }
    });
}

/// Numbers of a size: a copy does not look at them.
fn dtype_of(size: u64) -> DType {
    match size {
        8 => DType::I64,
        4 => DType::I32,
        2 => DType::F16,
        _ => DType::I8,
    }
}

/// Through the host's memory.
fn by_host(
    context: &Context,
    axes: &[Axis],
    from: Place<'_>,
    to: Place<'_>,
    size: usize,
) -> Result<(), RunError> {
    let reach = |at: usize| {
        let reach = axes
            .iter()
            .map(|(extent, steps)| steps[at] * (*extent as isize - 1));
        let (first, last) = reach.fold((0, 0), |(first, last), reach| {
            (first + reach.min(0), last + reach.max(0))
        });
        (first, vec![0_u8; (last - first + 1).cast_unsigned() * size])
    };
    let ((first, mut source), (begin, mut target)) = (reach(0), reach(1));
    let device = &context.device;
    let to = moved(to, begin, size as u64);
    device.read(moved(from, first, size as u64), &mut source)?;
    // What lies between the elements stays.
    device.read(to, &mut target)?;
    each(axes, &mut |[i, o]| {
        let [i, o] = [i - first, o - begin].map(|at| at.cast_unsigned() * size);
        target[o..o + size].copy_from_slice(&source[i..i + size]);
    });
    Ok(device.write(to, &target)?)
}
