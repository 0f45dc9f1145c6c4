//! Factors of 16 bits, widened before products read them.
//!
//! For who multiplies 32 bits alone and is given a launch of a plan that was made for somebody else.

use girih_graph::{DType, Extent};

use crate::kernel::{Access, Affine, Kernel, Loop, LoopKind, Step, StepOp, Store, varies};
use crate::plan::{
    Buffer, BufferId, BufferKind, KernelLaunch, Launch, Section, Stride, Tensor, TensorId, Work,
};

/// Has every product of the section, and of the sections inside it, read factors of 32 bits or more: before one that
/// does not stand kernels that write its factors to temporary buffers. `kernels` are those that the launches name.
pub fn widen_factors(section: &mut Section, kernels: &mut Vec<Kernel>) {
    let mut launches = Vec::with_capacity(section.launches.len());
    for mut launch in std::mem::take(&mut section.launches) {
        match &mut launch.work {
            Work::Contract(own) if own.is_narrow(&section.tensors) => {
                for factor in [&mut own.left, &mut own.right] {
                    let (wide, work) = widened(section, *factor, kernels);
                    *factor = wide;
                    launches.push(Launch {
                        work: Work::Kernel(work),
                        label: launch.label.clone(),
                        stops: Vec::new(),
                    });
                }
            }
            Work::Recurrence(own) => widen_factors(&mut own.body, kernels),
            Work::Route(own) => {
                for branch in &mut own.branches {
                    widen_factors(&mut branch.section, kernels);
                }
            }
            Work::Kernel(_)
            | Work::Contract(_)
            | Work::Attention(_)
            | Work::Routine(_)
            | Work::Native(_) => {}
        }
        launches.push(launch);
    }
    section.launches = launches;
}

/// A tensor as `f32`, row-major in a buffer of its own, and what writes it.
fn widened(
    section: &mut Section,
    narrow: TensorId,
    kernels: &mut Vec<Kernel>,
) -> (TensorId, KernelLaunch) {
    let from = section.tensors[narrow.index()].clone();
    let buffer = BufferId(section.buffers.len() as u32);
    let mut step = Extent::constant(1);
    let mut axes = from.axes.clone();
    for (_, own) in axes.iter_mut().rev() {
        own.step = step.clone();
        step = step.times(&own.extent);
    }
    section.buffers.push(Buffer {
        dtype: DType::F32,
        elements: step,
        kind: BufferKind::Temporary,
    });
    let wide = TensorId(section.tensors.len() as u32);
    let to = Tensor {
        buffer,
        dtype: DType::F32,
        offset: Extent::constant(0),
        axes,
    };
    let launch = KernelLaunch {
        kernel: numbered(kernels, widening(&from, &to)),
        buffers: vec![from.buffer, buffer],
        writes: vec![false, true],
        loops: vec![String::new(); from.axes.len()],
        failures: Vec::new(),
    };
    section.tensors.push(to);
    (wide, launch)
}

/// `to[i…] = from[i…]`.
fn widening(from: &Tensor, to: &Tensor) -> Kernel {
    let last = from.axes.len().checked_sub(1);
    let one = |(at, (_, own)): (usize, &(_, Stride))| Loop {
        extent: own.extent.clone(),
        kind: if Some(at) == last {
            LoopKind::Inner
        } else {
            LoopKind::Outer
        },
    };
    let loops: Vec<Loop> = from.axes.iter().enumerate().map(one).collect();
    let load = StepOp::Load(access(0, from));
    let (_, inner) = varies(&load, &[], (None, last));
    let step = |op, dtype| Step {
        op,
        dtype,
        walked: false,
        inner,
    };
    Kernel {
        loops,
        steps: vec![step(load, from.dtype), step(StepOp::Cast(0), to.dtype)],
        stores: vec![Store {
            step: 1,
            access: access(1, to),
        }],
        buffers: vec![from.dtype, to.dtype],
    }
}

/// The element of a tensor at a point of loops over its axes.
fn access(buffer: usize, tensor: &Tensor) -> Access {
    let nothing = Extent::constant(0);
    let steps = tensor.axes.iter().map(|(_, own)| own.step.clone());
    let factors = steps.enumerate().filter(|(_, step)| *step != nothing);
    Access {
        buffer,
        address: Affine {
            offset: tensor.offset.clone(),
            loops: factors.collect(),
            steps: Vec::new(),
        },
        guards: Vec::new(),
    }
}

/// The kernel's number, a new one unless an equal one has one.
fn numbered(kernels: &mut Vec<Kernel>, kernel: Kernel) -> usize {
    let known = kernels.iter().position(|own| *own == kernel);
    known.unwrap_or_else(|| {
        kernels.push(kernel);
        kernels.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use girih_graph::text;

    use super::*;
    use crate::plan::Plan;
    use crate::{Wants, lower, lower_for};

    /// A product, and one in a loop, of 16 bits; one of both kinds.
    const GRAPH: &str = "girih-graph 1
axis t time
axis d=32
axis e=32 over d
graph g(x: bf16[t, d=32], s: bf16[b=2, d=32], w: bf16[e=32, d=32], z: f32[t, d=32]) -> (y: bf16[t, e=32], last: bf16[b=2, d=32], m: f32[t, e=32]) {
  %0 = contract x, w {over: d} : bf16[t, e=32]
  %1 = recurrence {axis: t} : bf16[b=2, d=32] {
    carry %2 = s : bf16[b=2, d=32]
    keep %3 = w : bf16[e=32, d=32]
    %4 = contract %2, %3 {over: d} : bf16[b=2, e=32]
    %5 = rename %4 {axes: [e: d]} : bf16[b=2, d=32]
    %6 = tanh %5 : bf16[b=2, d=32]
    return %6
  }
  %7 = cast w : f32[e=32, d=32]
  %8 = contract z, %7 {over: d} : f32[t, e=32]
  return %0, %1, %8
}
";

    fn plan(narrow_factors: bool) -> Plan {
        let graph = text::parse(GRAPH).unwrap_or_else(|error| panic!("{error}"));
        let wants = Wants {
            narrow_factors,
            ..Wants::default()
        };
        lower_for(&graph, wants)
    }

    /// Products with factors of 16 bits, and all.
    fn products(section: &Section) -> (usize, usize) {
        section
            .launches
            .iter()
            .fold((0, 0), |(narrow, all), launch| {
                let (own, inside) = match &launch.work {
                    Work::Contract(own) => (usize::from(own.is_narrow(&section.tensors)), 1),
                    Work::Recurrence(own) => products(&own.body),
                    _ => (0, 0),
                };
                (narrow + own, all + inside)
            })
    }

    #[test]
    fn factors_stay_narrow_where_that_is_asked_for() {
        assert_eq!(products(&plan(true).root), (2, 3));
        assert_eq!(products(&plan(false).root), (0, 3));
        let graph = text::parse(GRAPH).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(lower(&graph), plan(false));
    }

    #[test]
    fn factors_are_widened_for_who_wants_them_wide() {
        let mut plan = plan(true);
        let launches = plan.root.launches.len();
        let known = plan.kernels.len();
        widen_factors(&mut plan.root, &mut plan.kernels);
        assert_eq!(products(&plan.root), (0, 3));
        // Both factors of the product outside of the loop.
        assert_eq!(plan.root.launches.len(), launches + 2);
        assert!(plan.kernels.len() > known);
        for kernel in &plan.kernels {
            assert_eq!(kernel.check(), Ok(()));
        }
        let all = plan.root.clone();
        widen_factors(&mut plan.root, &mut plan.kernels);
        assert_eq!(plan.root, all, "there is nothing left to be widened");
    }
}
