//! Makes kernels for tests, with the flags that the compiler relies on.

use girih_graph::op::{Binary, Combine, Unary};
use girih_graph::{DType, Extent};
use girih_plan::kernel::{
    Access, Affine, Constant, Kernel, Loop, LoopId, LoopKind, Step, StepId, StepOp, Store,
};

/// A kernel in the making.
#[derive(Clone, Debug)]
pub(crate) struct Maker(pub(crate) Kernel);

/// `offset + Σ factor·loop`.
pub(crate) fn affine(offset: i64, loops: &[(LoopId, i64)]) -> Affine {
    let factors = loops.iter().filter(|(_, factor)| *factor != 0);
    Affine {
        offset: Extent::constant(offset),
        loops: factors
            .map(|(id, factor)| (*id, Extent::constant(*factor)))
            .collect(),
        steps: Vec::new(),
    }
}

/// An unguarded access.
pub(crate) fn access(buffer: usize, address: Affine) -> Access {
    Access {
        buffer,
        address,
        guards: Vec::new(),
    }
}

impl Maker {
    pub(crate) fn new(loops: &[(LoopKind, i64)]) -> Self {
        let loops = loops.iter().map(|(kind, extent)| Loop {
            extent: Extent::constant(*extent),
            kind: *kind,
        });
        Self(Kernel {
            loops: loops.collect(),
            steps: Vec::new(),
            stores: Vec::new(),
            buffers: Vec::new(),
        })
    }

    pub(crate) fn buffer(&mut self, dtype: DType) -> usize {
        self.0.buffers.push(dtype);
        self.0.buffers.len() - 1
    }

    pub(crate) fn step(&mut self, op: StepOp, dtype: DType) -> StepId {
        let of = |id: StepId| (self.0.steps[id].walked, self.0.steps[id].inner);
        let along = |affine: &Affine| {
            let kind = |id: LoopId| self.0.loops[id].kind;
            let mut flags = (
                affine
                    .loops
                    .iter()
                    .any(|(id, _)| kind(*id) == LoopKind::Walk),
                affine
                    .loops
                    .iter()
                    .any(|(id, _)| kind(*id) == LoopKind::Inner),
            );
            for (id, _) in &affine.steps {
                flags = (flags.0 | of(*id).0, flags.1 | of(*id).1);
            }
            flags
        };
        let either = |x: (bool, bool), y: (bool, bool)| (x.0 | y.0, x.1 | y.1);
        let (walked, inner) = match &op {
            StepOp::Load(access) => access
                .guards
                .iter()
                .fold(along(&access.address), |flags, guard| {
                    either(flags, along(&guard.index))
                }),
            StepOp::Position(affine) => along(affine),
            StepOp::Constant(_) | StepOp::Size(_) => (false, false),
            StepOp::Unary(_, x) | StepOp::Cast(x) => of(*x),
            StepOp::Binary(_, x, y) => either(of(*x), of(*y)),
            StepOp::Select(c, x, y) => either(of(*c), either(of(*x), of(*y))),
            StepOp::Reduce(_, x, LoopKind::Walk) => (false, of(*x).1),
            StepOp::Reduce(_, x, _) => (of(*x).0, false),
        };
        self.0.steps.push(Step {
            op,
            dtype,
            walked,
            inner,
        });
        self.0.steps.len() - 1
    }

    pub(crate) fn load(&mut self, access: Access) -> StepId {
        let dtype = self.0.buffers[access.buffer];
        self.step(StepOp::Load(access), dtype)
    }

    pub(crate) fn real(&mut self, dtype: DType, value: f64) -> StepId {
        self.step(StepOp::Constant(Constant::Real(value.to_bits())), dtype)
    }

    pub(crate) fn unary(&mut self, op: Unary, x: StepId) -> StepId {
        self.step(StepOp::Unary(op, x), self.0.steps[x].dtype)
    }

    pub(crate) fn binary(&mut self, op: Binary, x: StepId, y: StepId) -> StepId {
        let test = matches!(
            op,
            Binary::Eq | Binary::Ne | Binary::Lt | Binary::Le | Binary::Gt | Binary::Ge
        );
        let dtype = if test {
            DType::Bool
        } else {
            self.0.steps[x].dtype
        };
        self.step(StepOp::Binary(op, x, y), dtype)
    }

    pub(crate) fn reduce(&mut self, combine: Combine, x: StepId, over: LoopKind) -> StepId {
        self.step(StepOp::Reduce(combine, x, over), self.0.steps[x].dtype)
    }

    pub(crate) fn store(&mut self, step: StepId, access: Access) {
        self.0.stores.push(Store { step, access });
    }
}
