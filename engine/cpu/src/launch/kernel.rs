//! Runs a generated function, its points shared among threads.

#![expect(unsafe_code, reason = "generated code is entered here")]

use std::sync::{Mutex, PoisonError};

use girih_graph::ExtentError;
use girih_plan::kernel::{Access, Affine, Kernel, StepOp};
use girih_plan::plan::KernelLaunch;
use girih_runtime::backend::RunError;

use super::Run;
use crate::bind::{Binder, Bound};
use crate::block::Base;
use crate::codegen::{CompiledKernel, KernelFailure};
use crate::frame::Frame;

/// Below so many steps of one element, starting other threads costs more than it saves: about
/// ten microseconds of work.
const WORTHWHILE: usize = 20_000;

/// Steps of one element that a thread takes at least.
const GRAIN: usize = 8_000;

/// Buffers of a launch whose addresses need no memory of their own.
const FEW: usize = 16;

/// A kernel launch with numbers for its sizes.
#[derive(Clone, Debug)]
pub(crate) struct BoundKernel {
    sizes: Vec<i64>,
    points: usize,
    /// Points that a thread takes at least; all of them where sharing is not worth it.
    grain: usize,
    /// Bytes for each thread.
    pub(super) scratch: usize,
}

impl BoundKernel {
    /// Whether one thread does all of it.
    pub(super) fn is_small(&self) -> bool {
        self.grain >= self.points
    }
}

pub(super) fn bind(
    binder: &Binder<'_>,
    bound: &Bound,
    launch: &KernelLaunch,
) -> Result<BoundKernel, RunError> {
    let kernel = &binder.plan.kernels[launch.kernel];
    let mut empty = false;
    for (at, own) in kernel.loops.iter().enumerate() {
        let name = || launch.loops.get(at).cloned().unwrap_or_default();
        empty |= binder.numbers.positions(&own.extent, name)? == 0;
    }
    let compiled = binder.code.kernel(launch.kernel);
    let size = |extent| match binder.numbers.number(extent) {
        // Beside an extent of 0, distances may be too large for any number.
        Err(RunError::Size {
            source: ExtentError::Overflow(_),
            ..
        }) if empty => Ok(0),
        other => other,
    };
    let sizes: Vec<i64> = compiled
        .sizes()
        .iter()
        .map(size)
        .collect::<Result<_, _>>()?;
    if cfg!(debug_assertions) && !empty {
        check_accesses(binder, bound, launch, kernel)?;
    }
    let points = compiled.points(&sizes);
    let cost = compiled.point_cost(&sizes).max(1);
    let grain = if points.saturating_mul(cost) < WORTHWHILE {
        points.max(1)
    } else {
        (GRAIN / cost).max(1)
    };
    let scratch = compiled.scratch_bytes(&sizes);
    Ok(BoundKernel {
        sizes,
        points,
        grain,
        scratch,
    })
}

/// Runs a kernel over all its points.
pub(super) fn run(
    run: &Run<'_>,
    launch: &KernelLaunch,
    bound: &BoundKernel,
    frame: &Frame<'_>,
) -> Result<(), RunError> {
    let mut few = [Base::NOWHERE; FEW];
    let many: Vec<Base>;
    let buffers = if let Some(few) = few.get_mut(..launch.buffers.len()) {
        for (slot, buffer) in few.iter_mut().zip(&launch.buffers) {
            *slot = frame.base(*buffer);
        }
        &*few
    } else {
        many = launch.buffers.iter().map(|own| frame.base(*own)).collect();
        &many
    };
    let buffers = Base::addresses(buffers);
    let kernel = run.code.kernel(launch.kernel);
    let (scratch, stride) = run.scratch.get();
    let failed: Mutex<Option<(usize, KernelFailure)>> = Mutex::new(None);
    run.pool.split(bound.points, bound.grain, &|part, thread| {
        let start = part.start;
        let scratch = scratch.at((stride * thread).cast_signed());
        // SAFETY: every buffer is as large as its views and kernels reach, which was checked
        // when the section was bound, and nothing else touches it during this launch, as
        // whoever made the frame vouched; each thread has scratch memory of its own, aligned
        // and as long as any kernel of the section wants.
        let result = unsafe { kernel.run(buffers.get(), &bound.sizes, part, scratch.0) };
        if let Err(failure) = result {
            let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
            if failed.as_ref().is_none_or(|(first, _)| start < *first) {
                *failed = Some((start, failure));
            }
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    match failed {
        None => Ok(()),
        Some((_, failure)) => Err(position_error(launch, &failure)),
    }
}

/// A small kernel that a loop launches at every step, each time with its buffers further on.
pub(super) struct Repeated<'a> {
    launch: &'a KernelLaunch,
    bound: &'a BoundKernel,
    kernel: &'a CompiledKernel,
    scratch: Base,
    buffers: Vec<Base>,
    /// Bytes from a step to the next.
    moves: Vec<isize>,
}

impl<'a> Repeated<'a> {
    /// `bases` are all buffers of the section at the first step, `moves` how far they are from one to the next. The
    /// calling thread runs all steps, inside a region.
    pub(super) fn new(
        run: &'a Run<'_>,
        launch: &'a KernelLaunch,
        bound: &'a BoundKernel,
        (bases, moves): (&[Base], &[isize]),
    ) -> Self {
        let own = launch.buffers.iter().map(|own| own.index());
        Self {
            launch,
            bound,
            kernel: run.code.kernel(launch.kernel),
            scratch: run.scratch.get().0,
            buffers: own.clone().map(|own| bases[own]).collect(),
            moves: own.map(|own| moves[own]).collect(),
        }
    }

    /// Runs all points and goes on.
    pub(super) fn step(&mut self) -> Result<(), RunError> {
        let buffers = Base::addresses(&self.buffers).get();
        let (sizes, points) = (&self.bound.sizes, 0..self.bound.points);
        // SAFETY: as in `run`; whoever made it vouches for the buffers at every step, and this thread alone runs
        // with its scratch memory.
        let result = unsafe { self.kernel.run(buffers, sizes, points, self.scratch.0) };
        for (buffer, bytes) in self.buffers.iter_mut().zip(&self.moves) {
            *buffer = buffer.at(*bytes);
        }
        result.map_err(|failure| position_error(self.launch, &failure))
    }
}

pub(super) fn position_error(launch: &KernelLaunch, failure: &KernelFailure) -> RunError {
    let status = (failure.status as usize).wrapping_sub(1);
    let known = launch.failures.get(status);
    RunError::Position {
        axis: known.map_or_else(String::new, |failure| failure.axis.clone()),
        position: failure.position,
        extent: usize::try_from(failure.extent).unwrap_or_default(),
    }
}

/// Where addresses depend on loops alone, they stay inside the buffers. Run in debug builds: a
/// violation is a bug of whoever made the kernel.
fn check_accesses(
    binder: &Binder<'_>,
    bound: &Bound,
    launch: &KernelLaunch,
    kernel: &Kernel,
) -> Result<(), RunError> {
    let loads = kernel.steps.iter().filter_map(|step| match &step.op {
        StepOp::Load(access) => Some(access),
        _ => None,
    });
    let stores = kernel.stores.iter().map(|store| &store.access);
    for access in loads.chain(stores) {
        let Access {
            buffer,
            address,
            guards,
        } = access;
        if !guards.is_empty() || !address.steps.is_empty() {
            continue;
        }
        let Some(own) = launch.buffers.get(*buffer) else {
            continue;
        };
        let dtype = kernel.buffers[*buffer];
        let elements = bound.bytes[own.index()] / dtype.size();
        let (first, last) = reach(binder, kernel, address)?;
        assert!(
            first >= 0 && last.cast_unsigned() < elements as u64,
            "kernel {} reads {first}..={last} of a buffer of {elements} elements",
            launch.kernel
        );
    }
    Ok(())
}

fn reach(binder: &Binder<'_>, kernel: &Kernel, address: &Affine) -> Result<(i64, i64), RunError> {
    let offset = binder.numbers.number(&address.offset)?;
    let (mut first, mut last) = (offset, offset);
    for (own, factor) in &address.loops {
        let positions = binder.numbers.number(&kernel.loops[*own].extent)?;
        let reach = binder.numbers.number(factor)?.saturating_mul(positions - 1);
        first = first.saturating_add(reach.min(0));
        last = last.saturating_add(reach.max(0));
    }
    Ok((first, last))
}
