//! Copies of tensors from one layout to another, on the device.
//!
//! Elements that lie together are copied by the device's own copies. Where there are many pieces, a region that holds
//! nothing but a copy does it, made once for a number of axes; if the device refuses even that, the host does.

use std::sync::Arc;

use girih_cpu::view::View;
use girih_cpu::walk;
use girih_graph::{AxisTable, DType, Extent};
use girih_plan::kernel::{Access, Affine, Kernel, Loop, LoopKind, Step, StepOp, Store};
use girih_plan::plan::{Buffer, BufferId, BufferKind, KernelLaunch, Launch, Plan, Section, Work};
use girih_plan::region::Region;
use girih_runtime::backend::RunError;
use girih_runtime::device::{Code, Place, RegionCall};

use crate::context::{Context, lock};

/// Pieces that are copied one by one.
const FEW: usize = 16;

/// A region that copies, with the names of its sizes.
pub(crate) struct CopyCode {
    code: Arc<Code>,
    symbols: Vec<Arc<str>>,
}

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
    let dtype = dtype_of(size);
    if let Some(code) = code(context, axes.len(), dtype)? {
        let value = |symbol: &Arc<str>| {
            let (kind, number) = symbol.split_at(1);
            let (extent, steps) = axes[number.parse::<usize>().unwrap_or_default()];
            match kind {
                "n" => extent as i64,
                "s" => steps[0] as i64,
                _ => steps[1] as i64,
            }
        };
        let symbols: Vec<i64> = code.symbols.iter().map(value).collect();
        let call = RegionCall {
            buffers: &[from, to],
            symbols: &symbols,
            failure: spare,
        };
        return Ok(context.device.run(&code.code, &call)?);
    }
    by_host(context, &axes, from, to, size as usize)
}

/// Some elements further on. Views stay inside their buffers, so that no place is before its memory.
fn moved(place: Place<'_>, elements: isize, size: u64) -> Place<'_> {
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

/// The region that copies; `None` if the device refuses it.
fn code(context: &Context, rank: usize, dtype: DType) -> Result<Option<Arc<CopyCode>>, RunError> {
    if let Some(known) = lock(&context.copies).get(&(rank, dtype)) {
        return Ok(known.clone());
    }
    let plan = plan(rank, dtype);
    let mut made = None;
    if let Some((region, _)) = Region::new(&plan, &plan.root, 0..1)
        && let Ok(code) = context.region(&region.to_text())?
    {
        made = Some(Arc::new(CopyCode {
            code,
            symbols: region.symbols,
        }));
    }
    lock(&context.copies).insert((rank, dtype), made.clone());
    Ok(made)
}

/// A plan that copies: sizes `n0`, `n1`, …, distances `s0`, … and `t0`, ….
fn plan(rank: usize, dtype: DType) -> Plan {
    let access = |buffer: usize, kind: &str| Access {
        buffer,
        address: Affine {
            offset: Extent::constant(0),
            loops: (0..rank)
                .map(|at| (at, Extent::symbol(&format!("{kind}{at}"))))
                .collect(),
            steps: Vec::new(),
        },
        guards: Vec::new(),
    };
    let one = |at: usize| Loop {
        extent: Extent::symbol(&format!("n{at}")),
        kind: if at + 1 == rank {
            LoopKind::Inner
        } else {
            LoopKind::Outer
        },
    };
    let kernel = Kernel {
        loops: (0..rank).map(one).collect(),
        steps: vec![Step {
            op: StepOp::Load(access(0, "s")),
            dtype,
            walked: false,
            inner: rank > 0,
        }],
        stores: vec![Store {
            step: 0,
            access: access(1, "t"),
        }],
        buffers: vec![dtype; 2],
    };
    let buffer = Buffer {
        dtype,
        elements: Extent::constant(0),
        kind: BufferKind::Bound,
    };
    let launch = KernelLaunch {
        kernel: 0,
        buffers: vec![BufferId(0), BufferId(1)],
        writes: vec![false, true],
        loops: vec![String::new(); rank],
        failures: Vec::new(),
    };
    Plan {
        name: "copy".to_owned(),
        axes: AxisTable::default(),
        kernels: vec![kernel],
        root: Section {
            buffers: vec![buffer.clone(), buffer],
            launches: vec![Launch {
                work: Work::Kernel(launch),
                label: String::new(),
                stops: Vec::new(),
            }],
            ..Section::default()
        },
        given: Vec::new(),
        results: Vec::new(),
        checks: Vec::new(),
        choices: Vec::new(),
        broken: Vec::new(),
        calls: Vec::new(),
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
