//! Copies as kernels: what one tensor sees to where another one sees it.

use girih_graph::Extent;
use girih_plan::kernel::{Access, Affine, Kernel, Loop, LoopKind, Step, StepOp, Store};
use girih_plan::plan::Tensor;

use super::lines;

/// A kernel that reads `from` (buffer 0) and writes `to` (buffer 1), over the axes of `to`, along
/// which `from` is repeated where it lacks them. Both start at their first element.
pub(super) fn kernel(from: &Tensor, to: &Tensor) -> Kernel {
    let loops = to.axes.iter().map(|(_, stride)| Loop {
        extent: stride.extent.clone(),
        kind: LoopKind::Outer,
    });
    let access = |buffer: usize, tensor: &Tensor| {
        let factors = to.axes.iter().enumerate();
        let factors = factors.map(|(at, (axis, _))| (at, lines::step(tensor, *axis)));
        Access {
            buffer,
            address: Affine {
                offset: Extent::constant(0),
                loops: factors
                    .filter(|(_, step)| step.as_constant() != Some(0))
                    .collect(),
                steps: Vec::new(),
            },
            guards: Vec::new(),
        }
    };
    Kernel {
        loops: loops.collect(),
        steps: vec![Step {
            op: StepOp::Load(access(0, from)),
            dtype: to.dtype,
            walked: false,
            inner: false,
        }],
        stores: vec![Store {
            step: 0,
            access: access(1, to),
        }],
        buffers: vec![from.dtype, to.dtype],
    }
}
