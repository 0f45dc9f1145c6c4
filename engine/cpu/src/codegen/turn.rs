//! Positions that turn over along the inner loop, such as those of `x[e = (e + half) % width]`.
//!
//! They are known here where they are computed from the loop and constants alone. If there are equal parts of the loop
//! along each of which every such position is even – so many more at each element –, the loop becomes two: over
//! the parts, and along one. What was read element by element then lies together, and guards that are known to hold
//! go. Reductions along the loop would be in another order; kernels that have one stay as they are.

use girih_graph::op::{Binary, Literal};
use girih_graph::{DType, Extent};
use girih_plan::fold_integers;
use girih_plan::kernel::{
    Access, Affine, Constant, Kernel, Loop, LoopId, LoopKind, Step, StepId, StepOp,
};

use super::normal::{access_operands, operands};

/// A loop whose positions are looked at one by one.
const LONGEST: usize = 4096;

/// Elements of a part for which a loop of its own is worth it.
const SHORTEST: usize = 8;

/// What integers and truth values are at each element of the inner loop, where that is known.
struct Known {
    inner: LoopId,
    count: usize,
    /// For each step.
    values: Vec<Option<Vec<i64>>>,
}

/// Divides the inner loop of a kernel that has one, if that makes accesses even.
pub(super) fn divide(kernel: &mut Kernel) {
    let Some(inner) = kernel.inner().filter(|_| !kernel.reduces_inner()) else {
        return;
    };
    let extent = kernel.loops[inner].extent.as_constant();
    let Some(count) = extent.and_then(|count| usize::try_from(count).ok()) else {
        return;
    };
    if count > LONGEST || !accesses(kernel).any(|access| is_varied(kernel, access)) {
        return;
    }
    let known = Known::new(kernel, inner, count);
    let turns = accesses(kernel)
        .flat_map(access_operands)
        .any(|id| known.varies(id));
    let lengths = (2..=count / SHORTEST).filter(|parts| count.is_multiple_of(*parts));
    let even = |parts| known.slopes(kernel, count / parts);
    let found = lengths
        .filter(|_| turns)
        .find_map(|parts| Some((parts, even(parts)?)));
    if let Some((parts, slopes)) = found {
        known.rewrite(kernel, parts, &slopes);
    }
}

fn accesses(kernel: &Kernel) -> impl Iterator<Item = &Access> {
    let loads = kernel.steps.iter().filter_map(|step| match &step.op {
        StepOp::Load(access) => Some(access),
        _ => None,
    });
    loads.chain(kernel.stores.iter().map(|store| &store.access))
}

/// Whether an access is at a position that is computed at each element.
fn is_varied(kernel: &Kernel, access: &Access) -> bool {
    access_operands(access)
        .iter()
        .any(|id| kernel.steps[*id].inner)
}

impl Known {
    fn new(kernel: &Kernel, inner: LoopId, count: usize) -> Self {
        let mut known = Self {
            inner,
            count,
            values: Vec::new(),
        };
        for step in &kernel.steps {
            // Others would wrap.
            let exact = matches!(step.dtype, DType::I64 | DType::Bool);
            let values = (0..count).map(|at| known.value(&step.op, at).filter(|_| exact));
            let values = values.collect();
            known.values.push(values);
        }
        known
    }

    /// A step's value at an element, from those of earlier steps.
    fn value(&self, op: &StepOp, at: usize) -> Option<i64> {
        let of = |id: &StepId| Some(self.values[*id].as_ref()?[at]);
        match op {
            StepOp::Position(affine) => self.affine(affine, at),
            StepOp::Constant(Constant::Int(value)) => Some(*value),
            StepOp::Constant(Constant::Bool(value)) => Some(i64::from(*value)),
            StepOp::Binary(op, x, y) => binary(*op, of(x)?, of(y)?),
            StepOp::Select(condition, x, y) => of(if of(condition)? == 0 { y } else { x }),
            _ => None,
        }
    }

    fn affine(&self, affine: &Affine, at: usize) -> Option<i64> {
        let mut sum = affine.offset.as_constant()?;
        for (id, factor) in &affine.loops {
            let position = (*id == self.inner).then_some(at as i64)?;
            sum = sum.checked_add(factor.as_constant()?.checked_mul(position)?)?;
        }
        for (id, factor) in &affine.steps {
            let value = self.values[*id].as_ref()?[at];
            sum = sum.checked_add(factor.as_constant()?.checked_mul(value)?)?;
        }
        Some(sum)
    }

    fn varies(&self, id: StepId) -> bool {
        let values = self.values[id].as_ref();
        values.is_some_and(|values| values.iter().any(|value| *value != values[0]))
    }

    /// How much more each known step is at every element than at the one before it in its part, if all that
    /// others use are even. Those that are operands of unknown steps have to be the same all along a part.
    fn slopes(&self, kernel: &Kernel, part: usize) -> Option<Vec<i64>> {
        let slopes: Vec<Option<i64>> = self
            .values
            .iter()
            .map(|values| match values {
                Some(values) => slope(values, part),
                None => Some(0),
            })
            .collect();
        let whole = |id: &StepId| self.values[*id].is_none() || slopes[*id] == Some(0);
        for (id, step) in kernel.steps.iter().enumerate() {
            let fits = match &step.op {
                _ if self.values[id].is_some() => true,
                StepOp::Load(_) | StepOp::Position(_) => {
                    operands(&step.op).iter().all(|id| slopes[*id].is_some())
                }
                op => operands(op).iter().all(whole),
            };
            fits.then_some(())?;
        }
        for store in &kernel.stores {
            let even = |id: &StepId| slopes[*id].is_some();
            let fits = whole(&store.step) && access_operands(&store.access).iter().all(even);
            fits.then_some(())?;
        }
        Some(slopes.into_iter().map(|slope| slope.unwrap_or(0)).collect())
    }

    fn rewrite(&self, kernel: &mut Kernel, parts: usize, slopes: &[i64]) {
        let part = (self.count / parts) as i64;
        let outer = kernel.loops.len();
        kernel.loops.push(Loop {
            extent: Extent::constant(parts as i64),
            kind: LoopKind::Outer,
        });
        kernel.loops[self.inner].extent = Extent::constant(part);
        let divided = |affine: &mut Affine, is_known: bool| {
            let own = affine.factor(self.inner);
            affine.loops.retain(|(id, _)| *id != self.inner);
            if own != Extent::constant(0) {
                let begin = own.times(&Extent::constant(part));
                affine.loops.push((outer, begin));
            }
            // A known position is that at its part's first element from here on; who uses it adds the rest.
            let mut along = if is_known { Extent::constant(0) } else { own };
            for (id, factor) in affine.steps.iter().filter(|_| !is_known) {
                along = along.plus(&factor.times(&Extent::constant(slopes[*id])));
            }
            if along != Extent::constant(0) {
                affine.loops.push((self.inner, along));
            }
        };
        let access = |access: &mut Access| {
            access.guards.retain(|guard| {
                let extent = guard.extent.as_constant().unwrap_or(0);
                let inside = |at| {
                    self.affine(&guard.index, at)
                        .is_some_and(|i| (0..extent).contains(&i))
                };
                !(0..self.count).all(inside)
            });
            divided(&mut access.address, false);
            for guard in &mut access.guards {
                divided(&mut guard.index, false);
            }
        };
        for (Step { op, .. }, values) in kernel.steps.iter_mut().zip(&self.values) {
            match op {
                StepOp::Load(own) => access(own),
                StepOp::Position(affine) => divided(affine, values.is_some()),
                _ => {}
            }
        }
        for store in &mut kernel.stores {
            access(&mut store.access);
        }
    }
}

/// How much more each value is than the one before it in its part, if that is one number.
fn slope(values: &[i64], part: usize) -> Option<i64> {
    let step = values.get(1)?.checked_sub(values[0])?;
    let even = |own: &[i64]| {
        own.windows(2)
            .all(|two| two[1].checked_sub(two[0]) == Some(step))
    };
    values.chunks(part).all(even).then_some(step)
}

/// As steps compute it, truth values as 0 and 1.
fn binary(op: Binary, x: i64, y: i64) -> Option<i64> {
    match fold_integers(op, DType::I64, x, y)? {
        Literal::Int(_, value) => Some(value),
        Literal::Bool(truth) => Some(i64::from(truth)),
        Literal::Real(..) => None,
    }
}
