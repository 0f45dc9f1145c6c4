//! Regions of the host's own: copies between layouts, and what a route does with its items.
//!
//! A device that has code for kernels has code for these. Sizes and distances are symbols, so that each is made once for
//! a number of axes and a dtype.

use std::collections::BTreeMap;
use std::sync::Arc;

use girih_graph::op::Binary;
use girih_graph::{AxisTable, DType, Extent};
use girih_plan::kernel::{
    Access, Affine, Constant, Guard, GuardOutside, Kernel, Loop, LoopKind, Step, StepId, StepOp,
    Store,
};
use girih_plan::plan::{Buffer, BufferId, BufferKind, KernelLaunch, Launch, Plan, Section, Work};
use girih_plan::region::Region;
use girih_runtime::backend::RunError;
use girih_runtime::device::{Code, Place, RegionCall};

use crate::context::{Context, lock};

/// What such a region does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Own {
    /// `to[i…] = from[i…]` over so many axes. Places: `from`, `to`.
    Copy(usize),
    /// `to[i] = from[i]`, as `f32`. Places: `from`, `to`.
    Widen,
    /// `to[k, r…] = from[at[k] + r…]`, with so many axes beside the items'. Places: `from`, `at`, `to`.
    Gather(usize),
    /// `out[i…, r…] += weights[i…] · made[row[i…], r…]` where `row` is not negative, over so many axes of items and so
    /// many others. Places: `row`, `made`, `weights`, `out`.
    Add(usize, usize),
}

/// A region with the names of its sizes.
#[derive(Debug)]
pub(crate) struct OwnCode {
    code: Arc<Code>,
    symbols: Vec<Arc<str>>,
}

/// Sizes of a call by their names: `n0`, `n1`, … are extents, a letter and a number the distance of a place along an axis.
pub(crate) type Sizes = BTreeMap<String, i64>;

/// The region; `None` if the device refuses it.
pub(crate) fn code(
    context: &Context,
    own: Own,
    dtype: DType,
) -> Result<Option<Arc<OwnCode>>, RunError> {
    if let Some(known) = lock(&context.own).get(&(own, dtype)) {
        return Ok(known.clone());
    }
    let plan = plan(kernel(own, dtype));
    let mut made = None;
    if let Some((region, buffers)) = Region::new(&plan, &plan.root, 0..1)
        && buffers.iter().map(|id| id.index()).eq(0..buffers.len())
        && let Ok(code) = context.region(&region.to_text())?
    {
        made = Some(Arc::new(OwnCode {
            code,
            symbols: region.symbols,
        }));
    }
    lock(&context.own).insert((own, dtype), made.clone());
    Ok(made)
}

/// Runs such a region. `spare` is where a guard could write; none of these fails.
pub(crate) fn run(
    context: &Context,
    own: &OwnCode,
    places: &[Place<'_>],
    sizes: &Sizes,
    spare: Place<'_>,
) -> Result<(), RunError> {
    let value = |symbol: &Arc<str>| sizes.get(&**symbol).copied().unwrap_or_default();
    let symbols: Vec<i64> = own.symbols.iter().map(value).collect();
    let call = RegionCall {
        buffers: places,
        symbols: &symbols,
        failure: spare,
    };
    Ok(context.device.run(&own.code, &call)?)
}

/// An address over loops, with the distances of a place.
fn over(loops: impl Iterator<Item = usize>, place: &str) -> Affine {
    let factor = |at| (at, Extent::symbol(&format!("{place}{at}")));
    Affine {
        offset: Extent::constant(0),
        loops: loops.map(factor).collect(),
        steps: Vec::new(),
    }
}

fn access(buffer: usize, address: Affine) -> Access {
    Access {
        buffer,
        address,
        guards: Vec::new(),
    }
}

/// Steps of a kernel whose innermost loop is `inner`.
struct Steps {
    inner: usize,
    steps: Vec<Step>,
}

impl Steps {
    fn push(&mut self, op: StepOp, dtype: DType, operands: &[StepId]) -> StepId {
        let mut inner = operands.iter().any(|operand| self.steps[*operand].inner);
        if let StepOp::Load(access) = &op {
            inner |= access.address.loops.iter().any(|(id, _)| *id == self.inner);
        }
        self.steps.push(Step {
            op,
            dtype,
            walked: false,
            inner,
        });
        self.steps.len() - 1
    }
}

fn kernel(own: Own, dtype: DType) -> Kernel {
    let rank = match own {
        Own::Copy(rank) => rank,
        Own::Widen => 1,
        Own::Gather(rest) => 1 + rest,
        Own::Add(items, rest) => items + rest,
    };
    let mut steps = Steps {
        inner: rank.saturating_sub(1),
        steps: Vec::new(),
    };
    let (stored, to, buffers) = match own {
        Own::Copy(_) => {
            let load = StepOp::Load(access(0, over(0..rank, "s")));
            let stored = steps.push(load, dtype, &[]);
            (stored, access(1, over(0..rank, "t")), vec![dtype; 2])
        }
        Own::Widen => {
            let load = StepOp::Load(access(0, over(0..1, "s")));
            let narrow = steps.push(load, dtype, &[]);
            let stored = steps.push(StepOp::Cast(narrow), DType::F32, &[narrow]);
            let to = access(1, over(0..1, "t"));
            (stored, to, vec![dtype, DType::F32])
        }
        Own::Gather(_) => {
            let load = StepOp::Load(access(1, over(0..1, "p")));
            let at = steps.push(load, DType::I64, &[]);
            let mut from = over(1..rank, "s");
            from.steps.push((at, Extent::constant(1)));
            let stored = steps.push(StepOp::Load(access(0, from)), dtype, &[at]);
            let to = access(2, over(0..rank, "t"));
            (stored, to, vec![dtype, DType::I64, dtype])
        }
        Own::Add(items, _) => {
            let load = StepOp::Load(access(0, over(0..items, "v")));
            let row = steps.push(load, DType::I64, &[]);
            let zero = StepOp::Constant(Constant::Int(0));
            let zero = steps.push(zero, DType::I64, &[]);
            let is_chosen = StepOp::Binary(Binary::Ge, row, zero);
            let is_chosen = steps.push(is_chosen, DType::Bool, &[row, zero]);
            let mut made = access(1, over(items..rank, "m"));
            made.address.steps.push((row, Extent::symbol("k")));
            made.guards.push(Guard {
                index: Affine {
                    offset: Extent::constant(0),
                    loops: Vec::new(),
                    steps: vec![(row, Extent::constant(1))],
                },
                extent: Extent::symbol("c"),
                outside: GuardOutside::Zero,
            });
            let made = steps.push(StepOp::Load(made), dtype, &[row]);
            let weight = StepOp::Load(access(2, over(0..items, "w")));
            let weight = steps.push(weight, dtype, &[]);
            let times = |x, y| StepOp::Binary(Binary::Mul, x, y);
            let part = steps.push(times(weight, made), dtype, &[weight, made]);
            let before = StepOp::Load(access(3, over(0..rank, "o")));
            let before = steps.push(before, dtype, &[]);
            let sum = StepOp::Binary(Binary::Add, before, part);
            let sum = steps.push(sum, dtype, &[before, part]);
            let chosen = StepOp::Select(is_chosen, sum, before);
            let stored = steps.push(chosen, dtype, &[is_chosen, sum, before]);
            let to = access(3, over(0..rank, "o"));
            (stored, to, vec![DType::I64, dtype, dtype, dtype])
        }
    };
    let one = |at: usize| Loop {
        extent: Extent::symbol(&format!("n{at}")),
        kind: if at + 1 == rank {
            LoopKind::Inner
        } else {
            LoopKind::Outer
        },
    };
    Kernel {
        loops: (0..rank).map(one).collect(),
        steps: steps.steps,
        stores: vec![Store {
            step: stored,
            access: to,
        }],
        buffers,
    }
}

/// A plan of one kernel.
fn plan(kernel: Kernel) -> Plan {
    let buffer = |dtype: &DType| Buffer {
        dtype: *dtype,
        elements: Extent::constant(0),
        kind: BufferKind::Bound,
    };
    let count = kernel.buffers.len();
    let launch = KernelLaunch {
        kernel: 0,
        buffers: (0..count).map(|at| BufferId(at as u32)).collect(),
        // What is written comes last.
        writes: (0..count).map(|at| at + 1 == count).collect(),
        loops: vec![String::new(); kernel.loops.len()],
        failures: Vec::new(),
    };
    Plan {
        name: "own".to_owned(),
        axes: AxisTable::default(),
        root: Section {
            buffers: kernel.buffers.iter().map(buffer).collect(),
            launches: vec![Launch {
                work: Work::Kernel(launch),
                label: String::new(),
                stops: Vec::new(),
            }],
            ..Section::default()
        },
        kernels: vec![kernel],
        given: Vec::new(),
        results: Vec::new(),
        checks: Vec::new(),
        choices: Vec::new(),
        broken: Vec::new(),
        calls: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_keep_the_guarantees_of_kernels() {
        for own in [
            Own::Copy(0),
            Own::Copy(3),
            Own::Widen,
            Own::Gather(0),
            Own::Gather(2),
            Own::Add(1, 0),
            Own::Add(2, 2),
        ] {
            for dtype in [DType::F16, DType::BF16] {
                let kernel = kernel(own, dtype);
                assert_eq!(kernel.check(), Ok(()), "{own:?}");
                let plan = plan(kernel);
                let (region, _) = Region::new(&plan, &plan.root, 0..1).expect("it is a kernel");
                assert_eq!(Region::from_text(&region.to_text()).ok(), Some(region));
            }
        }
    }
}
