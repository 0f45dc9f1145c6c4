//! Random kernels: loops, strides, guards, walks, reductions and several passes.

use girih_graph::op::{Binary, Combine, Unary};
use girih_graph::{DType, Extent};
use girih_plan::kernel::{
    Access, Affine, Constant, Guard, GuardOutside, Kernel, LoopKind, StepId, StepOp,
};

use crate::case::Cases;
use crate::interpret::{self, Number, Sizes};
use crate::maker::{Maker, access, affine};

/// Choices from random bytes; zeros when they are used up.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn below(&mut self, count: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % count
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// A kernel in the making, with its sizes and the elements that each buffer needs.
struct Case {
    maker: Maker,
    sizes: Sizes,
    counts: Vec<i64>,
    extents: Vec<i64>,
}

/// Loop extents as numbers; some become symbols.
fn start(choices: &mut Choices<'_>) -> Case {
    let small = [0, 1, 2, 3, 5];
    let long = [
        0, 1, 2, 3, 4, 5, 8, 15, 16, 17, 32, 37, 64, 255, 256, 257, 300,
    ];
    let mut loops = Vec::new();
    for _ in 0..choices.below(3) {
        loops.push((LoopKind::Outer, choices.one_of(&small)));
    }
    if choices.chance(50) {
        loops.push((LoopKind::Walk, choices.one_of(&[0, 1, 2, 3, 7, 9])));
    }
    if choices.chance(85) {
        loops.push((LoopKind::Inner, choices.one_of(&long)));
    }
    let extents: Vec<i64> = loops.iter().map(|(_, extent)| *extent).collect();
    let mut maker = Maker::new(&loops);
    let mut sizes = Sizes::new();
    for (id, own) in maker.0.loops.iter_mut().enumerate() {
        if choices.chance(40) {
            let name = format!("n{id}");
            own.extent = Extent::symbol(&name);
            sizes.insert(name, extents[id]);
        }
    }
    Case {
        maker,
        sizes,
        counts: Vec::new(),
        extents,
    }
}

impl Case {
    fn buffer(&mut self, dtype: DType, count: i64) -> usize {
        self.counts.push(count.max(0));
        self.maker.buffer(dtype)
    }

    /// A number as an extent, sometimes under a name.
    fn sized(&mut self, choices: &mut Choices<'_>, value: i64) -> Extent {
        if value != 0 && choices.chance(30) {
            let name = format!("s{value}");
            let symbol = if value < 0 {
                format!("m{}", -value)
            } else {
                name
            };
            self.sizes.insert(symbol.clone(), value);
            return Extent::symbol(&symbol);
        }
        Extent::constant(value)
    }

    /// An address over some loops: row-major with gaps, sometimes backwards; with the number of
    /// elements it spans.
    fn address(&mut self, choices: &mut Choices<'_>, ids: &[usize]) -> (Affine, i64) {
        let mut stride = if choices.chance(75) {
            1
        } else {
            choices.one_of(&[2, 3])
        };
        let mut order = ids.to_vec();
        if choices.chance(25) {
            order.reverse();
        }
        let mut address = affine(0, &[]);
        let mut offset = 0;
        let mut span = 1;
        for id in order.iter().rev() {
            let last = (self.extents[*id] - 1).max(0);
            let backwards = choices.chance(10);
            let factor = if backwards { -stride } else { stride };
            if backwards {
                offset += last * stride;
            }
            address.loops.push((*id, self.sized(choices, factor)));
            span += last * stride;
            stride = span + choices.one_of(&[0, 0, 1]);
        }
        address.offset = Extent::constant(offset);
        (address, span)
    }

    /// A load over some of the loops, sometimes guarded.
    fn load(&mut self, choices: &mut Choices<'_>, dtype: DType) -> StepId {
        let all: Vec<usize> = (0..self.extents.len()).collect();
        let ids: Vec<usize> = all.into_iter().filter(|_| choices.chance(70)).collect();
        let (mut address, span) = self.address(choices, &ids);
        if !choices.chance(30) || ids.is_empty() {
            let buffer = self.buffer(dtype, span);
            return self.maker.load(access(buffer, address));
        }
        // Shifted, so that a part lies outside; the guard is on the whole address.
        let shift = choices.one_of(&[-3, -1, 0, 2, 5]);
        let before = address.offset.as_constant().unwrap();
        address.offset = Extent::constant(before + shift);
        let buffer = self.buffer(dtype, span);
        let outside = if choices.chance(10) {
            GuardOutside::Fail(7)
        } else {
            GuardOutside::Zero
        };
        let extent = self.sized(choices, span);
        let guard = Guard {
            index: address.clone(),
            extent,
            outside,
        };
        let mut access = access(buffer, address);
        access.guards.push(guard);
        self.maker.load(access)
    }

    /// A load at positions that are data.
    fn gather(&mut self, choices: &mut Choices<'_>, dtype: DType, at: StepId) -> StepId {
        let rows = choices.one_of(&[5, 16]);
        let buffer = self.buffer(dtype, rows);
        let mut address = affine(0, &[]);
        address.steps.push((at, Extent::constant(1)));
        let outside = if choices.chance(15) {
            GuardOutside::Fail(7)
        } else {
            GuardOutside::Zero
        };
        let guard = Guard {
            index: address.clone(),
            extent: Extent::constant(rows),
            outside,
        };
        let mut access = access(buffer, address);
        access.guards.push(guard);
        self.maker.load(access)
    }

    fn store(&mut self, choices: &mut Choices<'_>, id: StepId) {
        let step = self.maker.0.steps[id].clone();
        let kinds = self
            .maker
            .0
            .loops
            .iter()
            .map(|own| own.kind)
            .collect::<Vec<_>>();
        let ids: Vec<usize> = (0..self.extents.len())
            .filter(|id| match kinds[*id] {
                LoopKind::Outer => true,
                LoopKind::Walk => step.walked,
                LoopKind::Inner => step.inner,
            })
            .collect();
        if choices.chance(30)
            && let Some(read) = self.readable_in_place(step.dtype, &ids)
        {
            return self.maker.store(id, read);
        }
        let (address, span) = self.address(choices, &ids);
        let buffer = self.buffer(step.dtype, span);
        self.maker.store(id, access(buffer, address));
    }
}

impl Case {
    /// An access that reads one element per position of exactly these loops from a buffer that
    /// nothing is written into yet.
    fn readable_in_place(&self, dtype: DType, ids: &[usize]) -> Option<Access> {
        let kernel = &self.maker.0;
        let fits = |access: &Access| {
            let mut own: Vec<usize> = access.address.loops.iter().map(|(id, _)| *id).collect();
            own.sort_unstable();
            let written = kernel
                .stores
                .iter()
                .any(|store| store.access.buffer == access.buffer);
            let plain = access.guards.is_empty() && access.address.steps.is_empty();
            kernel.buffers[access.buffer] == dtype && own == ids && plain && !written
        };
        kernel.steps.iter().find_map(|step| match &step.op {
            StepOp::Load(access) if fits(access) => Some(access.clone()),
            _ => None,
        })
    }
}

/// Whether a step is the result of a walk's sum.
fn after_walk(kernel: &Kernel, id: StepId) -> bool {
    match &kernel.steps[id].op {
        StepOp::Reduce(_, _, LoopKind::Walk) => true,
        StepOp::Unary(_, x) | StepOp::Cast(x) | StepOp::Reduce(_, x, _) => after_walk(kernel, *x),
        StepOp::Binary(_, x, y) => after_walk(kernel, *x) || after_walk(kernel, *y),
        StepOp::Select(c, x, y) => [c, x, y].into_iter().any(|id| after_walk(kernel, *id)),
        StepOp::Load(access) => access
            .address
            .steps
            .iter()
            .any(|(id, _)| after_walk(kernel, *id)),
        _ => false,
    }
}

/// One step more, if what was chosen is allowed.
fn grow(case: &mut Case, choices: &mut Choices<'_>, dtype: DType) -> Option<()> {
    let count = case.maker.0.steps.len();
    let pick = |choices: &mut Choices<'_>, case: &Case, wanted: DType| {
        let steps = &case.maker.0.steps;
        let found: Vec<StepId> = (0..count).filter(|id| steps[*id].dtype == wanted).collect();
        (!found.is_empty()).then(|| choices.one_of(&found))
    };
    let joins = |case: &Case, ids: &[StepId]| {
        let kernel = &case.maker.0;
        let walked = ids.iter().any(|id| kernel.steps[*id].walked);
        !(walked && ids.iter().any(|id| after_walk(kernel, *id)))
    };
    match choices.below(12) {
        0 | 1 => {
            case.load(choices, dtype);
        }
        2 | 3 => {
            let x = pick(choices, case, dtype)?;
            let op = if dtype.is_real() {
                choices.one_of(&[
                    Unary::Neg,
                    Unary::Abs,
                    Unary::Tanh,
                    Unary::Sigmoid,
                    Unary::Sin,
                    Unary::Erf,
                    Unary::Round,
                    Unary::Sign,
                ])
            } else {
                choices.one_of(&[Unary::Neg, Unary::Not, Unary::Sign, Unary::PopCount])
            };
            case.maker.unary(op, x);
        }
        4..=6 => {
            let (x, y) = (pick(choices, case, dtype)?, pick(choices, case, dtype)?);
            if !joins(case, &[x, y]) {
                return None;
            }
            let op = if dtype.is_real() {
                choices.one_of(&[
                    Binary::Add,
                    Binary::Sub,
                    Binary::Mul,
                    Binary::Max,
                    Binary::Min,
                ])
            } else {
                choices.one_of(&[
                    Binary::Add,
                    Binary::Mul,
                    Binary::Xor,
                    Binary::Rem,
                    Binary::FloorDiv,
                    Binary::Shr,
                ])
            };
            case.maker.binary(op, x, y);
        }
        7 => {
            let (x, y) = (pick(choices, case, dtype)?, pick(choices, case, dtype)?);
            if !joins(case, &[x, y]) {
                return None;
            }
            let condition = case.maker.binary(Binary::Lt, x, y);
            case.maker.step(StepOp::Select(condition, y, x), dtype);
        }
        8 | 9 => {
            let x = pick(choices, case, dtype)?;
            let step = case.maker.0.steps[x].clone();
            let combine = choices.one_of(&[Combine::Sum, Combine::Max, Combine::Min]);
            let over = if step.inner && choices.chance(50) {
                LoopKind::Inner
            } else if step.walked {
                LoopKind::Walk
            } else if step.inner {
                LoopKind::Inner
            } else {
                return None;
            };
            case.maker.reduce(combine, x, over);
        }
        10 => {
            // Σ exp(x − max x), as a softmax has it; kept small.
            let x = pick(choices, case, dtype)?;
            if !dtype.is_real() || !case.maker.0.steps[x].inner {
                return None;
            }
            let most = case.maker.reduce(Combine::Max, x, LoopKind::Inner);
            let less = case.maker.binary(Binary::Sub, x, most);
            let exp = case.maker.unary(Unary::Exp, less);
            let sum = case.maker.reduce(Combine::Sum, exp, LoopKind::Inner);
            case.maker.binary(Binary::Div, exp, sum);
        }
        _ => {
            let inner = case.maker.0.inner().filter(|_| choices.chance(30));
            let at = if let Some(inner) = inner {
                // Turns over within the loop.
                let first = choices.one_of(&[0, 3, 8]);
                let position = StepOp::Position(affine(first, &[(inner, 1)]));
                let position = case.maker.step(position, DType::I64);
                let count = choices.one_of(&[8, 16, 24]);
                let count = StepOp::Constant(Constant::Int(count));
                let count = case.maker.step(count, DType::I64);
                case.maker.binary(Binary::Rem, position, count)
            } else if choices.chance(50) {
                let ids: Vec<usize> = (0..case.extents.len()).collect();
                let factors: Vec<(usize, i64)> = ids.into_iter().map(|id| (id, 1)).collect();
                let position = affine(-1, &factors);
                case.maker.step(StepOp::Position(position), DType::I64)
            } else {
                let data = case.load(choices, DType::I64);
                let kernel = &case.maker.0;
                matches!(kernel.steps[data].op, StepOp::Load(_)).then_some(data)?
            };
            case.gather(choices, dtype, at);
        }
    }
    Some(())
}

fn case(bytes: &[u8]) -> Case {
    let mut choices = Choices(bytes.iter());
    let dtype = choices.one_of(&[
        DType::F32,
        DType::F32,
        DType::F32,
        DType::F32,
        DType::F64,
        DType::F16,
        DType::BF16,
        DType::I64,
        DType::I32,
        DType::I8,
    ]);
    let mut case = start(&mut choices);
    case.load(&mut choices, dtype);
    let steps = 1 + choices.below(9);
    for _ in 0..steps {
        grow(&mut case, &mut choices, dtype);
    }
    let count = case.maker.0.steps.len();
    let last = (0..count)
        .rev()
        .find(|id| case.maker.0.steps[*id].dtype == dtype);
    case.store(&mut choices, last.unwrap());
    for _ in 0..choices.below(3) {
        let id = choices.below(count);
        case.store(&mut choices, id);
    }
    case
}

/// Elements between −1 and 1, or positions of which some lie outside.
fn contents(case: &Case) -> Vec<Vec<u8>> {
    let buffers = case.maker.0.buffers.iter().zip(&case.counts);
    let mut state = 1_u64;
    buffers
        .map(|(dtype, count)| {
            let mut bytes = vec![0; *count as usize * dtype.size()];
            for position in 0..*count as usize {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let value = if dtype.is_real() {
                    Number::Real((state >> 40) as f64 / f64::from(1 << 23) - 1.0)
                } else {
                    Number::Int((state >> 40) as i64 % 7 - 1)
                };
                interpret::write(*dtype, &mut bytes, position, value);
            }
            bytes
        })
        .collect()
}

/// Adds the kernel that bytes stand for.
pub(crate) fn add(cases: &mut Cases, bytes: &[u8]) {
    let case = case(bytes);
    let scale = case
        .extents
        .iter()
        .fold(8.0, |scale, extent| scale * (*extent).max(1) as f64);
    cases.add_close(
        "random",
        &case.maker.0,
        &case.sizes,
        &contents(&case),
        scale.min(1e4),
    );
}
