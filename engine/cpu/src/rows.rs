//! Which kernels read whole rows of a parameter at positions that are data: embeddings.
//!
//! Of quantized numbers only the rows that are read need to be decoded. Where the positions
//! lie in memory before the kernel runs, these rows are known then.

use girih_graph::DType;
use girih_plan::kernel::{Access, Kernel, StepOp};
use girih_plan::plan::{BufferId, KernelLaunch};

/// Rows of a buffer that a kernel reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    /// The buffer that is read.
    pub(crate) buffer: BufferId,
    /// Elements of a row.
    pub(crate) row: usize,
    /// `i64`: every position that is read is one of its elements.
    pub(crate) positions: BufferId,
}

/// How a kernel reads a buffer: rows at positions in other buffers, one for each place that reads.
/// `None` if it reads it otherwise.
pub(crate) fn rows(kernel: &Kernel, launch: &KernelLaunch, buffer: BufferId) -> Option<Vec<Rows>> {
    let mut found = Vec::new();
    let own = |access: &Access| launch.buffers.get(access.buffer) == Some(&buffer);
    if kernel.stores.iter().any(|store| own(&store.access)) {
        return None;
    }
    for step in &kernel.steps {
        let StepOp::Load(access) = &step.op else {
            continue;
        };
        if !own(access) {
            continue;
        }
        let [(position, factor)] = access.address.steps.as_slice() else {
            return None;
        };
        let row = factor.as_constant().filter(|row| *row > 0)?;
        let mut last = access
            .address
            .offset
            .as_constant()
            .filter(|offset| *offset >= 0)?;
        for (id, factor) in &access.address.loops {
            let factor = factor.as_constant().filter(|factor| *factor >= 0)?;
            let extent = kernel.loops[*id].extent.as_constant()?;
            last = last.checked_add(factor.checked_mul((extent - 1).max(0))?)?;
        }
        let StepOp::Load(from) = &kernel.steps[*position].op else {
            return None;
        };
        if last >= row || kernel.buffers[from.buffer] != DType::I64 {
            return None;
        }
        found.push(Rows {
            buffer,
            row: usize::try_from(row).ok()?,
            positions: *launch.buffers.get(from.buffer)?,
        });
    }
    Some(found)
}
