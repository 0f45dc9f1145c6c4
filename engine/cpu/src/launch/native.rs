//! Runs an operation of a plugin: once for every position of the lifted axes.
//!
//! The kernel is made when sizes become known and kept with them. What it does not take as
//! it lies in memory is packed in the order of its axes, and results that lie otherwise are
//! written from there. Many positions are shared among threads; of few, each has all threads.

#![expect(unsafe_code, reason = "a kernel sees the elements of tensors as bytes")]

use std::fmt;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use girih_graph::{AxisId, DType};
use girih_kernels::Pool;
use girih_plan::plan::{NativeLaunch, TensorId};
use girih_runtime::backend::RunError;
use girih_runtime::plugin::native::{
    Kernel, NativeCall, NativeError, Operand, Parallel, Spec, TensorSpec, Workspace, Written,
};

use super::Run;
use crate::bind::{Binder, Bound};
use crate::block::Base;
use crate::frame::Frame;
use crate::memory::aligned;
use crate::view::{View, count, dense_steps};
use crate::walk;

/// Elements that a thread takes at least: what is done with one is not known.
const GRAIN: usize = 4_000;

/// A kernel for these sizes, and where its operands and results lie.
pub(crate) struct BoundNative {
    kernel: Box<dyn Kernel>,
    /// Extents of the lifted axes.
    lifted: Vec<usize>,
    /// Positions of the lifted axes.
    count: usize,
    /// Positions that a thread takes at least.
    grain: usize,
    reads: Vec<Side>,
    writes: Vec<Side>,
    /// Where the workspace starts in a thread's memory.
    workspace: usize,
    /// Bytes for each thread.
    scratch: usize,
}

impl fmt::Debug for BoundNative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("BoundNative");
        shown.field("lifted", &self.lifted);
        shown.field("reads", &self.reads);
        shown.field("writes", &self.writes).finish_non_exhaustive()
    }
}

impl BoundNative {
    pub(super) fn scratch(&self) -> usize {
        self.scratch
    }
}

/// An operand or a result at one position of the lifted axes.
#[derive(Debug)]
struct Side {
    tensor: TensorId,
    dtype: DType,
    /// Over the core axes, in the kernel's order.
    shape: Vec<usize>,
    /// In elements of the tensor.
    steps: Vec<isize>,
    /// As the kernel is told.
    strides: Vec<usize>,
    /// Along the lifted axes, in elements.
    lifted: Vec<isize>,
    offset: isize,
    /// What the kernel sees.
    bytes: usize,
    /// Where in a thread's memory it is packed, if it has to be.
    packed: Option<usize>,
}

impl Side {
    /// `strided` if the kernel takes any strides.
    fn new(
        view: &View,
        tensor: TensorId,
        core: &[AxisId],
        lifted: &[AxisId],
        strided: bool,
    ) -> Self {
        let extent = |axis: &AxisId| view.line(*axis).map_or(1, |line| line.extent);
        let shape: Vec<usize> = core.iter().map(extent).collect();
        let steps = view.steps(core.iter().copied());
        let dense = dense_steps(&shape);
        let mut lines = shape.iter().zip(&steps);
        let empty = shape.contains(&0);
        let is_dense = lines
            .clone()
            .zip(&dense)
            .all(|((extent, step), dense)| *extent == 1 || step == dense);
        let as_it_lies = empty || is_dense || strided && lines.all(|(_, step)| *step >= 0);
        let told = if is_dense || empty || !as_it_lies {
            &dense
        } else {
            &steps
        };
        let strides: Vec<usize> = told.iter().map(|step| step.unsigned_abs()).collect();
        let reach = shape
            .iter()
            .zip(&strides)
            .fold(1, |reach: usize, (extent, stride)| {
                reach.saturating_add(extent.saturating_sub(1).saturating_mul(*stride))
            });
        Self {
            tensor,
            dtype: view.dtype,
            lifted: view.steps(lifted.iter().copied()),
            offset: view.offset,
            bytes: if empty {
                0
            } else {
                reach.saturating_mul(view.dtype.size())
            },
            packed: (!as_it_lies).then_some(0),
            shape,
            steps,
            strides,
        }
    }

    fn spec(&self) -> TensorSpec {
        TensorSpec {
            dtype: self.dtype,
            shape: self.shape.clone(),
        }
    }

    /// Where the elements of a position start, from that of the tensor's buffer.
    fn start(&self, extents: &[usize], position: usize) -> isize {
        let lines = extents.iter().zip(&self.lifted).rev();
        let (_, offset) = lines.fold((position, self.offset), |(rest, offset), (extent, step)| {
            (rest / extent, offset + (rest % extent) as isize * step)
        });
        offset * self.dtype.size() as isize
    }

    /// Copies between the tensor and where it is packed.
    ///
    /// # Safety
    ///
    /// Both are memory of the side's elements that nobody else writes or, where it is written,
    /// touches.
    unsafe fn copy(&self, lies: Base, packed: Base, pack: bool) {
        let size = self.dtype.size();
        let dense = dense_steps(&self.shape);
        let steps = [&*self.steps, &*dense];
        walk::rows(&self.shape, steps, [0, 0], |[i, o], length, [s, t]| {
            for k in 0..length as isize {
                let own = lies.at((i + k * s) * size as isize).0;
                let other = packed.at((o + k * t) * size as isize).0;
                let (from, to) = if pack { (own, other) } else { (other, own) };
                // SAFETY: an element of each, as the caller vouched; memory of a thread's own
                // and a tensor's never overlap.
                unsafe { std::ptr::copy_nonoverlapping(from, to, size) };
            }
        });
    }
}

pub(super) fn bind(
    binder: &Binder<'_>,
    bound: &Bound,
    launch: &NativeLaunch,
) -> Result<BoundNative, RunError> {
    let located = |error: RunError| match &launch.origin {
        None => error,
        Some(origin) => RunError::Within {
            op: "call",
            origin: Box::new(origin.clone()),
            source: Box::new(error),
        },
    };
    let callee = launch.callee.to_string();
    let native = binder.natives.native(&callee);
    let native = native.ok_or_else(|| {
        let callee = callee.clone();
        located(RunError::NoNative { callee })
    })?;
    let sides = |all: &[(TensorId, Vec<AxisId>)]| -> Vec<Side> {
        let side = |(tensor, core): &(TensorId, Vec<AxisId>)| {
            let view = &bound.views[tensor.index()];
            Side::new(view, *tensor, core, &launch.lifted, false)
        };
        all.iter().map(side).collect()
    };
    let mut reads = sides(&launch.reads);
    let mut writes = sides(&launch.writes);
    let spec = Spec {
        attributes: launch.attributes.clone(),
        operands: reads.iter().map(Side::spec).collect(),
        results: writes.iter().map(Side::spec).collect(),
        threads: binder.threads,
    };
    let failed = |source: NativeError| located(RunError::Native { callee, source });
    let kernel = native.prepare(&spec).map_err(failed)?;
    if kernel.strided() {
        // Beside a result in one buffer, what lies between an operand's elements may be written.
        let buffer = |tensor: TensorId| bound.views[tensor.index()].buffer;
        let written = |own| {
            launch
                .writes
                .iter()
                .any(|(tensor, _)| buffer(*tensor) == own)
        };
        for (read, side) in launch.reads.iter().zip(&mut reads) {
            if !written(buffer(read.0)) {
                let view = &bound.views[read.0.index()];
                *side = Side::new(view, read.0, &read.1, &launch.lifted, true);
            }
        }
    }
    let lifted: Vec<usize> = match launch.writes.first() {
        Some((tensor, _)) => {
            let view = &bound.views[tensor.index()];
            let extent = |axis: &AxisId| view.line(*axis).map_or(1, |line| line.extent);
            launch.lifted.iter().map(extent).collect()
        }
        None => Vec::new(),
    };
    let mut scratch = 0_usize;
    for side in reads.iter_mut().chain(&mut writes) {
        if side.packed.is_some() {
            side.packed = Some(scratch);
            scratch = scratch.saturating_add(aligned(side.bytes));
        }
    }
    let elements: usize = (reads.iter().chain(&writes))
        .map(|side| count(&side.shape))
        .sum();
    let own = kernel.workspace();
    let workspace = scratch;
    let slack = own.align.min(Workspace::MOST_ALIGN);
    let scratch = scratch.saturating_add(own.bytes).saturating_add(slack);
    binder.numbers.check_limit(
        &bound.views,
        &bound.bytes,
        scratch.saturating_mul(binder.threads) as u64,
    )?;
    Ok(BoundNative {
        count: count(&lifted),
        grain: (GRAIN / elements.max(1)).max(1),
        lifted,
        kernel,
        reads,
        writes,
        workspace,
        scratch,
    })
}

pub(super) fn run(
    run: &Run<'_>,
    launch: &NativeLaunch,
    bound: &BoundNative,
    frame: &Frame<'_>,
) -> Result<(), RunError> {
    let (scratch, stride) = run.scratch.get();
    let threads = Threads(run.pool);
    let failed: Mutex<Option<(usize, NativeError)>> = Mutex::new(None);
    let part = |positions: Range<usize>, thread: usize| {
        let own = scratch.at((stride * thread).cast_signed());
        let start = positions.start;
        // SAFETY: each thread has memory of its own, as long as any launch of the section wants;
        // positions are positions of the lifted axes, and each is one thread's.
        let result = unsafe { run_positions(bound, frame, positions, own, &threads) };
        if let Err(error) = result {
            let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
            if failed.as_ref().is_none_or(|(first, _)| start < *first) {
                *failed = Some((start, error));
            }
        }
    };
    if bound.count < run.pool.threads() {
        part(0..bound.count, 0);
    } else {
        run.pool.split(bound.count, bound.grain, &part);
    }
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    let Some((_, source)) = failed else {
        return Ok(());
    };
    let error = RunError::Native {
        callee: launch.callee.to_string(),
        source,
    };
    Err(match &launch.origin {
        None => error,
        Some(origin) => RunError::Within {
            op: "call",
            origin: Box::new(origin.clone()),
            source: Box::new(error),
        },
    })
}

/// Runs the kernel at some positions of the lifted axes.
///
/// # Safety
///
/// `own` is memory of this thread's own, as long as the launch wants and aligned for every
/// dtype; results at these positions are touched by nobody else.
unsafe fn run_positions(
    bound: &BoundNative,
    frame: &Frame<'_>,
    positions: Range<usize>,
    own: Base,
    threads: &Threads<'_>,
) -> Result<(), NativeError> {
    let wanted = bound.kernel.workspace();
    let workspace = own.at(bound.workspace.cast_signed());
    let skipped = workspace.0.align_offset(wanted.align.max(1));
    let bytes = wanted.bytes.min(bound.scratch - bound.workspace);
    // SAFETY: memory of this thread's own, with room for the alignment.
    let workspace =
        unsafe { std::slice::from_raw_parts_mut(workspace.at(skipped.cast_signed()).0, bytes) };
    let read = |side: &Side| Operand {
        dtype: side.dtype,
        shape: &[],
        strides: &[],
        bytes: &[],
    };
    let mut operands: Vec<Operand<'_>> = bound.reads.iter().map(read).collect();
    for position in positions {
        let place = |side: &Side| {
            let lies = frame.base(frame.view(side.tensor).buffer);
            let lies = lies.at(side.start(&bound.lifted, position));
            (lies, side.packed.map(|at| own.at(at.cast_signed())))
        };
        for (side, operand) in bound.reads.iter().zip(&mut operands) {
            let (lies, packed) = place(side);
            if let Some(packed) = packed {
                // SAFETY: the elements of an operand, and memory of this thread's own.
                unsafe { side.copy(lies, packed, true) };
            }
            let start = packed.unwrap_or(lies).0;
            operand.shape = &side.shape;
            operand.strides = &side.strides;
            // SAFETY: from the first to the last element, which nobody writes meanwhile.
            operand.bytes = unsafe { bytes_at(start, side.bytes) };
        }
        let make = |side| {
            let (lies, packed) = place(side);
            // SAFETY: the elements of a result at this position, which lie together, or memory
            // of this thread's own.
            unsafe { written(side, packed.unwrap_or(lies)) }
        };
        match bound.writes.as_slice() {
            // Most operations have one result: no list is made for it.
            [only] => run_once(bound, &operands, &mut [make(only)], workspace, threads)?,
            all => {
                let mut results: Vec<Written<'_>> = all.iter().map(make).collect();
                run_once(bound, &operands, &mut results, workspace, threads)?;
            }
        }
        for side in &bound.writes {
            let (lies, packed) = place(side);
            if side.dtype == DType::Bool {
                // SAFETY: as before; what the kernel saw is gone.
                let bytes = unsafe { bytes_of(packed.unwrap_or(lies).0, side.bytes) };
                // Whatever a kernel writes, a truth value is 0 or 1.
                for byte in bytes {
                    *byte = u8::from(*byte != 0);
                }
            }
            if let Some(packed) = packed {
                // SAFETY: the elements of a result at this position, and memory of this
                // thread's own.
                unsafe { side.copy(lies, packed, false) };
            }
        }
    }
    Ok(())
}

fn run_once<'a>(
    bound: &BoundNative,
    operands: &'a [Operand<'a>],
    results: &'a mut [Written<'a>],
    workspace: &'a mut [u8],
    parallel: &'a dyn Parallel,
) -> Result<(), NativeError> {
    bound.kernel.run(&mut NativeCall {
        operands,
        results,
        workspace,
        parallel,
    })
}

/// A result as a kernel sees it.
///
/// # Safety
///
/// So many bytes as the side has from `start` on are initialized, live as long as the side and
/// are nobody else's.
unsafe fn written(side: &Side, start: Base) -> Written<'_> {
    Written {
        dtype: side.dtype,
        shape: &side.shape,
        // SAFETY: as the caller vouched.
        bytes: unsafe { bytes_of(start.0, side.bytes) },
    }
}

/// # Safety
///
/// So many bytes from `start` on are initialized, live long enough and are not written.
unsafe fn bytes_at<'a>(start: *mut u8, count: usize) -> &'a [u8] {
    if count == 0 {
        return &[];
    }
    // SAFETY: as the caller vouched.
    unsafe { std::slice::from_raw_parts(start, count) }
}

/// # Safety
///
/// So many bytes from `start` on are initialized, live long enough and are nobody else's.
unsafe fn bytes_of<'a>(start: *mut u8, count: usize) -> &'a mut [u8] {
    if count == 0 {
        return &mut [];
    }
    // SAFETY: as the caller vouched.
    unsafe { std::slice::from_raw_parts_mut(start, count) }
}

/// The threads of the backend. Inside a shared launch everything runs on one.
struct Threads<'a>(&'a Pool);

impl Parallel for Threads<'_> {
    fn threads(&self) -> usize {
        self.0.threads()
    }

    fn run(&self, items: usize, body: &(dyn Fn(usize, usize) + Sync)) {
        self.0.run(items, body);
    }
}
