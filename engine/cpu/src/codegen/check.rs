//! Whether a kernel keeps what its maker guarantees, as far as compiling relies on it.
//!
//! Dtypes of operands, names of buffers, loops and steps. Addresses are not checked: they
//! depend on sizes and data.

use girih_graph::DType;
use girih_graph::op::{Binary, Combine, Unary};
use girih_plan::kernel::{Access, Affine, Kernel, LoopKind, Step, StepOp};

use super::normal::operands;

/// The first guarantee that is broken.
pub(super) fn check(kernel: &Kernel) -> Result<(), &'static str> {
    let once = |kind| kernel.loops.iter().filter(|own| own.kind == kind).count() <= 1;
    ensure(once(LoopKind::Walk), "it walks twice")?;
    ensure(once(LoopKind::Inner), "it has two inner loops")?;
    for (id, step) in kernel.steps.iter().enumerate() {
        let earlier = operands(&step.op).iter().all(|operand| *operand < id);
        ensure(earlier, "an operand stands after its step")?;
        ensure(fits(kernel, step), "an operand has another dtype")?;
        match &step.op {
            StepOp::Load(access) => {
                check_access(kernel, access)?;
                let same = kernel.buffers[access.buffer] == step.dtype;
                ensure(same, "a buffer has another dtype")?;
            }
            StepOp::Position(affine) => check_affine(kernel, affine)?,
            StepOp::Reduce(_, _, over) => {
                ensure(*over != LoopKind::Outer, "it reduces over an outer loop")?;
                let there = kernel.loops.iter().any(|own| own.kind == *over);
                ensure(there, "it reduces over a loop that is not there")?;
            }
            _ => {}
        }
    }
    for store in &kernel.stores {
        ensure(store.step < kernel.steps.len(), "a store has no step")?;
        check_access(kernel, &store.access)?;
        let same = kernel.buffers[store.access.buffer] == kernel.steps[store.step].dtype;
        ensure(same, "a buffer has another dtype")?;
    }
    Ok(())
}

fn ensure(holds: bool, reason: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(reason) }
}

fn check_access(kernel: &Kernel, access: &Access) -> Result<(), &'static str> {
    ensure(
        access.buffer < kernel.buffers.len(),
        "a buffer is not there",
    )?;
    check_affine(kernel, &access.address)?;
    access
        .guards
        .iter()
        .try_for_each(|guard| check_affine(kernel, &guard.index))
}

fn check_affine(kernel: &Kernel, affine: &Affine) -> Result<(), &'static str> {
    let count = kernel.loops.len();
    let loops = affine.loops.iter().all(|(id, _)| *id < count);
    ensure(loops, "a loop is not there")?;
    let position = |id: usize| {
        kernel
            .steps
            .get(id)
            .is_some_and(|step| step.dtype == DType::I64)
    };
    let steps = affine.steps.iter().all(|(id, _)| position(*id));
    ensure(steps, "a position is no `i64`")
}

/// Whether a step's operands have the dtypes that it needs.
fn fits(kernel: &Kernel, step: &Step) -> bool {
    let of = |id: &usize| kernel.steps[*id].dtype;
    let own = step.dtype;
    match &step.op {
        StepOp::Load(_) | StepOp::Constant(_) | StepOp::Cast(_) => true,
        StepOp::Position(_) | StepOp::Size(_) => own == DType::I64,
        StepOp::Unary(op, x) => {
            of(x) == own
                && match op {
                    Unary::Neg | Unary::Abs | Unary::Sign => own != DType::Bool,
                    Unary::Not => !own.is_real(),
                    Unary::PopCount => own.is_integer(),
                    _ => own.is_real(),
                }
        }
        StepOp::Binary(op, x, y) => {
            let from = of(x);
            of(y) == from
                && match op {
                    Binary::Eq | Binary::Ne => own == DType::Bool,
                    Binary::Lt | Binary::Le | Binary::Gt | Binary::Ge => {
                        own == DType::Bool && from != DType::Bool
                    }
                    Binary::And | Binary::Or | Binary::Xor => own == from && !own.is_real(),
                    Binary::Shl | Binary::Shr => own == from && own.is_integer(),
                    Binary::Div | Binary::Pow => own == from && own.is_real(),
                    _ => own == from && own != DType::Bool,
                }
        }
        StepOp::Select(condition, x, y) => {
            of(condition) == DType::Bool && of(x) == own && of(y) == own
        }
        StepOp::Reduce(combine, x, _) => {
            let truths = matches!(combine, Combine::Any | Combine::All);
            of(x) == own && truths == (own == DType::Bool)
        }
    }
}
