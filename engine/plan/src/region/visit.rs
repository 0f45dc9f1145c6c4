//! Everything that a launch refers to, in a fixed order.

use girih_graph::{AxisId, Extent};

use crate::kernel::{Access, Affine, Kernel, StepOp};
use crate::plan::{
    Attention, BranchLaunch, BufferId, Contract, Domain, KernelLaunch, Launch, NativeLaunch,
    RecurrenceLaunch, RouteLaunch, Routine, Section, TensorId, Work,
};

/// What is done with it.
pub(super) trait Visit {
    /// A tensor of the section that is walked.
    fn tensor(&mut self, id: &mut TensorId);
    /// A buffer of the section that is walked, which no tensor stands for.
    fn buffer(&mut self, id: &mut BufferId);
    /// An axis.
    fn axis(&mut self, id: &mut AxisId);
    /// A kernel.
    fn kernel(&mut self, id: &mut usize);
    /// A size.
    fn extent(&mut self, extent: &mut Extent);
    /// A section inside, which has tensors and buffers of its own.
    fn inside(&mut self, section: &mut Section);
}

/// Visits a launch.
pub(super) fn launch(launch: &mut Launch, visit: &mut dyn Visit) {
    match &mut launch.work {
        Work::Kernel(own) => kernel_launch(own, 0, visit),
        Work::Contract(own) => contract(own, visit),
        Work::Attention(own) => attention(own, visit),
        Work::Recurrence(own) => recurrence(own, visit),
        Work::Route(own) => route(own, visit),
        Work::Routine(own) => routine(own, visit),
        Work::Native(own) => {
            let NativeLaunch {
                lifted,
                reads,
                writes,
                ..
            } = &mut **own;
            axes(lifted, visit);
            for (tensor, own) in reads.iter_mut().chain(writes) {
                visit.tensor(tensor);
                axes(own, visit);
            }
        }
    }
}

/// Visits what a section's tensors and buffers say of themselves.
pub(super) fn memory(section: &mut Section, visit: &mut dyn Visit) {
    for buffer in &mut section.buffers {
        visit.extent(&mut buffer.elements);
    }
    for tensor in &mut section.tensors {
        visit.extent(&mut tensor.offset);
        for (axis, stride) in &mut tensor.axes {
            visit.axis(axis);
            visit.extent(&mut stride.extent);
            visit.extent(&mut stride.step);
        }
    }
}

/// Visits the sizes of a kernel.
pub(super) fn kernel(kernel: &mut Kernel, visit: &mut dyn FnMut(&mut Extent)) {
    for own in &mut kernel.loops {
        visit(&mut own.extent);
    }
    for step in &mut kernel.steps {
        match &mut step.op {
            StepOp::Load(own) => access(own, visit),
            StepOp::Position(own) => affine(own, visit),
            StepOp::Size(own) => visit(own),
            StepOp::Constant(_)
            | StepOp::Unary(..)
            | StepOp::Binary(..)
            | StepOp::Select(..)
            | StepOp::Cast(_)
            | StepOp::Reduce(..) => {}
        }
    }
    for store in &mut kernel.stores {
        access(&mut store.access, visit);
    }
}

fn access(access: &mut Access, visit: &mut dyn FnMut(&mut Extent)) {
    affine(&mut access.address, visit);
    for guard in &mut access.guards {
        affine(&mut guard.index, visit);
        visit(&mut guard.extent);
    }
}

fn affine(affine: &mut Affine, visit: &mut dyn FnMut(&mut Extent)) {
    visit(&mut affine.offset);
    for (_, factor) in affine.loops.iter_mut().chain(&mut affine.steps) {
        visit(factor);
    }
}

fn kernel_launch(launch: &mut KernelLaunch, skipped: usize, visit: &mut dyn Visit) {
    visit.kernel(&mut launch.kernel);
    for buffer in launch.buffers.iter_mut().skip(skipped) {
        visit.buffer(buffer);
    }
}

fn contract(contract: &mut Contract, visit: &mut dyn Visit) {
    for tensor in [&mut contract.left, &mut contract.right, &mut contract.out] {
        visit.tensor(tensor);
    }
    for own in [
        &mut contract.batch,
        &mut contract.rows,
        &mut contract.columns,
        &mut contract.inner,
    ] {
        axes(own, visit);
    }
}

fn attention(attention: &mut Attention, visit: &mut dyn Visit) {
    for tensor in [
        &mut attention.q,
        &mut attention.k,
        &mut attention.v,
        &mut attention.out,
    ] {
        visit.tensor(tensor);
    }
    axes(&mut attention.points, visit);
    for axis in [
        &mut attention.rows,
        &mut attention.keys,
        &mut attention.width,
        &mut attention.value,
    ] {
        visit.axis(axis);
    }
    let kernels = [
        &mut attention.interior,
        &mut attention.edge,
        &mut attention.mask,
    ];
    for own in kernels.into_iter().flatten() {
        // The first buffer is the tile, which is in no section.
        kernel_launch(own, 1, visit);
    }
    domain(&mut attention.domain, visit);
}

fn domain(own: &mut Domain, visit: &mut dyn Visit) {
    match own {
        Domain::Unknown | Domain::All => {}
        Domain::Affine { offset, .. } => visit.extent(offset),
        Domain::SameLabel(rows, keys) => {
            visit.tensor(rows);
            visit.tensor(keys);
        }
        Domain::And(x, y) | Domain::Or(x, y) => {
            domain(x, visit);
            domain(y, visit);
        }
    }
}

fn recurrence(launch: &mut RecurrenceLaunch, visit: &mut dyn Visit) {
    visit.extent(&mut launch.extent);
    if let Some(part) = &mut launch.part {
        visit.axis(&mut part.axis);
        visit.extent(&mut part.extent);
    }
    let finals = launch.finals.iter_mut().flatten();
    for tensor in launch.carried.iter_mut().chain(finals) {
        visit.tensor(tensor);
    }
    for (tensor, step) in launch.sequences.iter_mut().chain(&mut launch.outputs) {
        visit.tensor(tensor);
        visit.extent(step);
    }
    for tensor in &mut launch.invariants {
        visit.tensor(tensor);
    }
    visit.inside(&mut launch.body);
}

fn route(route: &mut RouteLaunch, visit: &mut dyn Visit) {
    for tensor in [&mut route.weights, &mut route.kept, &mut route.out] {
        visit.tensor(tensor);
    }
    visit.axis(&mut route.branch);
    axes(&mut route.items, visit);
    for BranchLaunch { section, inputs } in &mut route.branches {
        for tensor in inputs {
            visit.tensor(tensor);
        }
        visit.inside(section);
    }
}

fn routine(routine: &mut Routine, visit: &mut dyn Visit) {
    match routine {
        Routine::Order {
            operand,
            out,
            axis,
            into,
            ..
        } => {
            visit.tensor(operand);
            visit.tensor(out);
            visit.axis(axis);
            visit.axis(into);
        }
        Routine::Cumulate {
            operand, out, axis, ..
        } => {
            visit.tensor(operand);
            visit.tensor(out);
            visit.axis(axis);
        }
        Routine::Scatter {
            positions,
            operand,
            out,
            axis,
            over,
            ..
        } => {
            visit.tensor(positions);
            visit.tensor(operand);
            visit.tensor(out);
            visit.axis(axis);
            axes(over, visit);
        }
        Routine::Fold {
            operand,
            out,
            from,
            axis,
            offset,
        } => {
            visit.tensor(operand);
            visit.tensor(out);
            for (own, step) in from {
                visit.axis(own);
                visit.extent(step);
            }
            visit.axis(axis);
            visit.extent(offset);
        }
        Routine::Random { out, from, .. } => {
            visit.tensor(out);
            for (own, first) in from {
                visit.axis(own);
                visit.extent(first);
            }
        }
    }
}

fn axes(axes: &mut [AxisId], visit: &mut dyn Visit) {
    for axis in axes {
        visit.axis(axis);
    }
}
