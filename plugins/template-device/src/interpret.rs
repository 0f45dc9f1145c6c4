//! Runs a kernel, step by step at every point.
//!
//! At a point of the outer loops come first the steps that neither vary along the walk nor wait for what it gives; then,
//! for every position of the walk, those that vary along it; then the others. A step that varies along the inner loop has
//! a number for each of its positions.

use girih_graph::op::Combine;
use girih_plan::kernel::{Constant, GuardOutside, Kernel, LoopKind, StepOp, Store};
use girih_plugin::Error;

use crate::bound::{Bound, BoundStep, Line};
use crate::memory::Held;
use crate::number::{Number, binary, combined, identity, unary};

/// A guard that failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopped {
    pub(crate) status: u32,
    pub(crate) position: i64,
    pub(crate) extent: i64,
}

/// Why a point is not computed.
enum Break {
    Stopped(Stopped),
    Failed(Error),
}

impl From<Error> for Break {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Runs a kernel on `places`, positions among the buffers that are held; a guard that fails stops it.
pub(crate) fn run(
    kernel: &Kernel,
    bound: &Bound,
    places: &[usize],
    held: &mut Held<'_>,
) -> Result<Option<Stopped>, Error> {
    let count = |kind: LoopKind| {
        let found = kernel.loops.iter().position(|own| own.kind == kind);
        (found, found.map_or(1, |at| bound.loops[at]))
    };
    let ((walk, walk_count), (inner, inner_count)) =
        (count(LoopKind::Walk), count(LoopKind::Inner));
    let outer: Vec<usize> = (0..kernel.loops.len())
        .filter(|at| kernel.loops[*at].kind == LoopKind::Outer)
        .collect();
    let mut waits = vec![false; kernel.steps.len()];
    for (id, step) in kernel.steps.iter().enumerate() {
        waits[id] = matches!(step.op, StepOp::Reduce(_, _, LoopKind::Walk))
            || step.operands().iter().any(|operand| waits[*operand]);
    }
    let lanes = |id: usize| {
        if kernel.steps[id].inner {
            usize::try_from(inner_count).unwrap_or(0)
        } else {
            1
        }
    };
    let numbers = (0..kernel.steps.len()).map(|id| vec![Number::Whole(0); lanes(id)]);
    let mut point = Point {
        kernel,
        bound,
        places,
        inner,
        inner_count,
        at: vec![0; kernel.loops.len()],
        numbers: numbers.collect(),
    };
    let points: i64 = outer.iter().map(|at| bound.loops[*at]).product();
    for number in 0..points {
        let mut rest = number;
        for at in outer.iter().rev() {
            point.at[*at] = rest % bound.loops[*at];
            rest /= bound.loops[*at];
        }
        match point.run(held, (walk, walk_count), &waits) {
            Ok(()) => {}
            Err(Break::Stopped(stopped)) => return Ok(Some(stopped)),
            Err(Break::Failed(error)) => return Err(error),
        }
    }
    Ok(None)
}

/// One point of the outer loops.
struct Point<'a> {
    kernel: &'a Kernel,
    bound: &'a Bound,
    places: &'a [usize],
    inner: Option<usize>,
    inner_count: i64,
    /// Position of each loop.
    at: Vec<i64>,
    /// Of each step, for each position of the inner loop if it varies along it.
    numbers: Vec<Vec<Number>>,
}

impl Point<'_> {
    fn run(
        &mut self,
        held: &mut Held<'_>,
        (walk, count): (Option<usize>, i64),
        waits: &[bool],
    ) -> Result<(), Break> {
        let kernel = self.kernel;
        let steps = || kernel.steps.iter().enumerate();
        for (id, step) in steps() {
            match &step.op {
                StepOp::Reduce(combine, of, LoopKind::Walk) => {
                    let first = identity(*combine, kernel.steps[*of].dtype);
                    self.numbers[id].fill(first);
                }
                _ if !step.walked && !waits[id] => self.step(held, id)?,
                _ => {}
            }
        }
        for position in 0..count {
            let Some(walk) = walk else { break };
            self.at[walk] = position;
            for (id, step) in steps() {
                if step.walked {
                    self.step(held, id)?;
                }
            }
            for (id, step) in steps() {
                if let StepOp::Reduce(combine, of, LoopKind::Walk) = step.op {
                    for lane in 0..self.numbers[id].len() {
                        let sum = self.numbers[id][lane];
                        self.numbers[id][lane] = combined(combine, sum, self.number(of, lane));
                    }
                }
            }
            self.store_walked(held)?;
        }
        for (id, step) in steps() {
            match step.op {
                StepOp::Reduce(_, _, LoopKind::Walk) => {
                    for number in &mut self.numbers[id] {
                        *number = number.fitted(step.dtype);
                    }
                }
                _ if waits[id] => self.step(held, id)?,
                _ => {}
            }
        }
        self.store_others(held, (walk, count))
    }

    /// The number of a step at a position of the inner loop.
    fn number(&self, step: usize, lane: usize) -> Number {
        let numbers = &self.numbers[step];
        numbers[if self.kernel.steps[step].inner {
            lane
        } else {
            0
        }]
    }

    /// Where a line is at a position of the inner loop.
    fn place(&self, line: &Line, lane: usize) -> i64 {
        let mut place = line.offset;
        for (id, factor) in &line.loops {
            let at = if Some(*id) == self.inner {
                lane as i64
            } else {
                self.at[*id]
            };
            place = place.wrapping_add(factor.wrapping_mul(at));
        }
        for (step, factor) in &line.steps {
            let at = self.number(*step, lane).whole();
            place = place.wrapping_add(factor.wrapping_mul(at));
        }
        place
    }

    /// Computes a step at all positions of the inner loop.
    fn step(&mut self, held: &Held<'_>, id: usize) -> Result<(), Break> {
        for lane in 0..self.numbers[id].len() {
            let number = self.lane(held, id, lane)?;
            self.numbers[id][lane] = number;
        }
        Ok(())
    }

    fn lane(&self, held: &Held<'_>, id: usize, lane: usize) -> Result<Number, Break> {
        let step = &self.kernel.steps[id];
        let number = match (&step.op, &self.bound.steps[id]) {
            (StepOp::Load(access), BoundStep::Load(address, guards)) => {
                for (index, extent, outside) in guards {
                    let position = self.place(index, lane);
                    if (0..*extent).contains(&position) {
                        continue;
                    }
                    match outside {
                        GuardOutside::Zero => return Ok(Number::zero(step.dtype)),
                        GuardOutside::Fail(status) => {
                            return Err(Break::Stopped(Stopped {
                                status: *status,
                                position,
                                extent: *extent,
                            }));
                        }
                    }
                }
                let dtype = self.kernel.buffers[access.buffer];
                let (buffer, index) = (self.places[access.buffer], self.place(address, lane));
                let bytes = held.element(buffer, index, dtype.size())?;
                let short = || Error::internal("an element of another size");
                Number::read(dtype, bytes).ok_or_else(short)?
            }
            (StepOp::Position(_), BoundStep::Position(line)) => {
                Number::Whole(self.place(line, lane))
            }
            (StepOp::Size(_), BoundStep::Size(size)) => Number::Whole(*size),
            (StepOp::Constant(constant), _) => match constant {
                Constant::Real(bits) => Number::Real(f64::from_bits(*bits)).cast(step.dtype),
                Constant::Int(value) => Number::Whole(*value).cast(step.dtype),
                Constant::Bool(truth) => Number::Whole((*truth).into()).cast(step.dtype),
            },
            (StepOp::Unary(op, x), _) => {
                let dtype = self.kernel.steps[*x].dtype;
                unary(*op, dtype, self.number(*x, lane))?
            }
            (StepOp::Binary(op, x, y), _) => {
                let dtype = self.kernel.steps[*x].dtype;
                binary(*op, dtype, self.number(*x, lane), self.number(*y, lane))?
            }
            (StepOp::Select(c, x, y), _) => {
                let chosen = if self.number(*c, lane).is_true() {
                    x
                } else {
                    y
                };
                self.number(*chosen, lane)
            }
            (StepOp::Cast(x), _) => self.number(*x, lane).cast(step.dtype),
            (StepOp::Reduce(combine, of, _), _) => self.reduced(*combine, *of),
            _ => return Err(Error::internal("a step was bound as another one").into()),
        };
        Ok(number.fitted(step.dtype))
    }

    /// A step combined over the inner loop.
    fn reduced(&self, combine: Combine, of: usize) -> Number {
        let first = identity(combine, self.kernel.steps[of].dtype);
        (0..usize::try_from(self.inner_count).unwrap_or(0)).fold(first, |sum, lane| {
            combined(combine, sum, self.number(of, lane))
        })
    }

    /// Writes what varies along the walk, at one of its positions.
    fn store_walked(&self, held: &mut Held<'_>) -> Result<(), Break> {
        for (store, line) in self.kernel.stores.iter().zip(&self.bound.stores) {
            if self.kernel.steps[store.step].walked {
                self.store(held, store, line)?;
            }
        }
        Ok(())
    }

    /// Writes what does not vary along the walk: at all of its positions where the elements do.
    fn store_others(
        &mut self,
        held: &mut Held<'_>,
        (walk, count): (Option<usize>, i64),
    ) -> Result<(), Break> {
        for (store, line) in self.kernel.stores.iter().zip(&self.bound.stores) {
            if self.kernel.steps[store.step].walked {
                continue;
            }
            match walk.filter(|walk| line.loops.iter().any(|(id, _)| id == walk)) {
                Some(walk) => {
                    for position in 0..count {
                        self.at[walk] = position;
                        self.store(held, store, line)?;
                    }
                }
                None => self.store(held, store, line)?,
            }
        }
        Ok(())
    }

    /// Writes a number at all positions of the inner loop that have an element of their own.
    fn store(&self, held: &mut Held<'_>, store: &Store, line: &Line) -> Result<(), Break> {
        let along = |(id, _): &(usize, i64)| Some(*id) == self.inner;
        let lanes = if self.kernel.steps[store.step].inner || line.loops.iter().any(along) {
            usize::try_from(self.inner_count).unwrap_or(0)
        } else {
            1
        };
        let dtype = self.kernel.buffers[store.access.buffer];
        for lane in 0..lanes {
            let (bytes, size) = self.number(store.step, lane).bytes(dtype);
            let buffer = self.places[store.access.buffer];
            held.set(buffer, self.place(line, lane), &bytes[..size])?;
        }
        Ok(())
    }
}
