//! A plain interpreter of kernels: one element at a time, in the dtype's own arithmetic.
//!
//! Sums and products of reals are accumulated in `f64` and rounded once. Says with every result
//! how large its error may be.

use std::collections::BTreeMap;

use girih_graph::op::{Binary, Combine, Unary};
use girih_graph::{DType, Extent};
use girih_plan::kernel::{
    Access, Affine, Constant, GuardOutside, Kernel, LoopKind, StepId, StepOp,
};
use half::{bf16, f16};

/// An element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Real(f64),
    Int(i64),
}

impl Number {
    pub(crate) fn real(self) -> f64 {
        match self {
            Self::Real(value) => value,
            Self::Int(value) => value as f64,
        }
    }

    pub(crate) fn int(self) -> i64 {
        match self {
            Self::Real(value) => value as i64,
            Self::Int(value) => value,
        }
    }
}

/// The value as the dtype holds it; integers wrap.
pub(crate) fn held(dtype: DType, value: Number) -> Number {
    match dtype {
        DType::F64 => Number::Real(value.real()),
        DType::F32 => Number::Real(f64::from(value.real() as f32)),
        DType::F16 => Number::Real(f16::from_f64(value.real()).to_f64()),
        DType::BF16 => Number::Real(bf16::from_f64(value.real()).to_f64()),
        DType::I64 => value,
        DType::I32 => Number::Int(i64::from(value.int() as i32)),
        DType::I8 => Number::Int(i64::from(value.int() as i8)),
        DType::U8 => Number::Int(i64::from(value.int() as u8)),
        DType::Bool => Number::Int(i64::from(value.int() != 0)),
    }
}

pub(crate) fn read(dtype: DType, bytes: &[u8], position: usize) -> Number {
    let at = position * dtype.size();
    let bytes = &bytes[at..at + dtype.size()];
    macro_rules! of {
        ($type:ty) => {
            <$type>::from_le_bytes(bytes.try_into().unwrap())
        };
    }
    match dtype {
        DType::F64 => Number::Real(of!(f64)),
        DType::F32 => Number::Real(f64::from(of!(f32))),
        DType::F16 => Number::Real(f16::from_bits(of!(u16)).to_f64()),
        DType::BF16 => Number::Real(bf16::from_bits(of!(u16)).to_f64()),
        DType::I64 => Number::Int(of!(i64)),
        DType::I32 => Number::Int(i64::from(of!(i32))),
        DType::I8 => Number::Int(i64::from(of!(i8))),
        DType::U8 | DType::Bool => Number::Int(i64::from(of!(u8))),
    }
}

pub(crate) fn write(dtype: DType, bytes: &mut [u8], position: usize, value: Number) {
    let at = position * dtype.size();
    let place = &mut bytes[at..at + dtype.size()];
    match dtype {
        DType::F64 => place.copy_from_slice(&value.real().to_le_bytes()),
        DType::F32 => place.copy_from_slice(&(value.real() as f32).to_le_bytes()),
        DType::F16 => place.copy_from_slice(&f16::from_f64(value.real()).to_le_bytes()),
        DType::BF16 => place.copy_from_slice(&bf16::from_f64(value.real()).to_le_bytes()),
        DType::I64 => place.copy_from_slice(&value.int().to_le_bytes()),
        DType::I32 => place.copy_from_slice(&(value.int() as i32).to_le_bytes()),
        DType::I8 => place.copy_from_slice(&(value.int() as i8).to_le_bytes()),
        DType::U8 | DType::Bool => place.copy_from_slice(&(value.int() as u8).to_le_bytes()),
    }
}

/// A function of a real, in the precision that the dtype is computed in.
fn unary_real(dtype: DType, op: Unary, x: f64) -> f64 {
    let wide = dtype == DType::F64;
    macro_rules! f {
        ($name:ident) => {
            if wide {
                x.$name()
            } else {
                f64::from((x as f32).$name())
            }
        };
    }
    match op {
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Sign if x.is_nan() => x,
        Unary::Sign => f64::from(u8::from(x > 0.0)) - f64::from(u8::from(x < 0.0)),
        Unary::Exp => x.exp(),
        Unary::Log => x.ln(),
        Unary::Log1p => x.ln_1p(),
        Unary::Sqrt => f!(sqrt),
        Unary::Rsqrt if wide => 1.0 / x.sqrt(),
        Unary::Rsqrt => f64::from(1.0 / (x as f32).sqrt()),
        Unary::Sin => x.sin(),
        Unary::Cos => x.cos(),
        Unary::Tanh => x.tanh(),
        Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Unary::Erf => libm::erf(x),
        Unary::Floor => x.floor(),
        Unary::Ceil => x.ceil(),
        Unary::Round => x.round_ties_even(),
        Unary::Not | Unary::PopCount => unreachable!(),
    }
}

fn width(dtype: DType) -> u32 {
    dtype.size() as u32 * 8
}

fn unary_int(dtype: DType, op: Unary, x: i64) -> i64 {
    match op {
        Unary::Neg => x.wrapping_neg(),
        Unary::Abs => x.wrapping_abs(),
        Unary::Sign => x.signum(),
        Unary::Not if dtype == DType::Bool => 1 - x,
        Unary::Not => !x,
        Unary::PopCount => {
            let mask = u64::MAX >> (64 - width(dtype));
            i64::from((x as u64 & mask).count_ones())
        }
        _ => unreachable!(),
    }
}

fn larger(x: f64, y: f64) -> f64 {
    if x > y || x.is_nan() { x } else { y }
}

fn smaller(x: f64, y: f64) -> f64 {
    if x < y || x.is_nan() { x } else { y }
}

fn binary_real(dtype: DType, op: Binary, x: f64, y: f64) -> f64 {
    let narrow = |value: f64| {
        if dtype == DType::F64 {
            value
        } else {
            f64::from(value as f32)
        }
    };
    match op {
        Binary::Add => narrow(x + y),
        Binary::Sub => narrow(x - y),
        Binary::Mul => narrow(x * y),
        Binary::Div => narrow(x / y),
        Binary::FloorDiv => narrow(x / y).floor(),
        Binary::Rem => {
            let rest = x % y;
            let differs = rest != 0.0 && (rest < 0.0) != (y < 0.0);
            if differs { narrow(rest + y) } else { rest }
        }
        Binary::Pow => x.powf(y),
        Binary::Max => larger(x, y),
        Binary::Min => smaller(x, y),
        _ => unreachable!(),
    }
}

fn binary_int(dtype: DType, op: Binary, x: i64, y: i64) -> i64 {
    let amount = y as u32 & (width(dtype) - 1);
    let mask = u64::MAX >> (64 - width(dtype));
    match op {
        Binary::Add => x.wrapping_add(y),
        Binary::Sub => x.wrapping_sub(y),
        Binary::Mul => x.wrapping_mul(y),
        Binary::FloorDiv | Binary::Rem if y == 0 => 0,
        Binary::FloorDiv => {
            let quotient = x.wrapping_div(y);
            let rest = x.wrapping_rem(y);
            let differs = rest != 0 && (rest < 0) != (y < 0);
            if differs {
                quotient.wrapping_sub(1)
            } else {
                quotient
            }
        }
        Binary::Rem => {
            let rest = x.wrapping_rem(y);
            let differs = rest != 0 && (rest < 0) != (y < 0);
            if differs { rest.wrapping_add(y) } else { rest }
        }
        Binary::Max => x.max(y),
        Binary::Min => x.min(y),
        Binary::And => x & y,
        Binary::Or => x | y,
        Binary::Xor => x ^ y,
        Binary::Shl => x.wrapping_shl(amount),
        Binary::Shr => ((x as u64 & mask) >> amount) as i64,
        _ => unreachable!(),
    }
}

fn compared(op: Binary, x: Number, y: Number) -> Option<bool> {
    let order = match (x, y) {
        (Number::Int(x), Number::Int(y)) => Some(x.cmp(&y)),
        _ => x.real().partial_cmp(&y.real()),
    };
    Some(match op {
        Binary::Eq => order.is_some_and(std::cmp::Ordering::is_eq),
        Binary::Ne => order.is_none_or(std::cmp::Ordering::is_ne),
        Binary::Lt => order.is_some_and(std::cmp::Ordering::is_lt),
        Binary::Le => order.is_some_and(std::cmp::Ordering::is_le),
        Binary::Gt => order.is_some_and(std::cmp::Ordering::is_gt),
        Binary::Ge => order.is_some_and(std::cmp::Ordering::is_ge),
        _ => return None,
    })
}

pub(crate) fn unary(dtype: DType, op: Unary, x: Number) -> Number {
    let value = match x {
        Number::Real(x) => Number::Real(unary_real(dtype, op, x)),
        Number::Int(x) => Number::Int(unary_int(dtype, op, x)),
    };
    held(dtype, value)
}

pub(crate) fn binary(dtype: DType, op: Binary, x: Number, y: Number) -> Number {
    if let Some(truth) = compared(op, x, y) {
        return Number::Int(i64::from(truth));
    }
    let value = match (x, y) {
        (Number::Int(x), Number::Int(y)) => Number::Int(binary_int(dtype, op, x, y)),
        _ => Number::Real(binary_real(dtype, op, x.real(), y.real())),
    };
    held(dtype, value)
}

pub(crate) fn cast(to: DType, x: Number) -> Number {
    if to == DType::Bool {
        let truth = match x {
            Number::Real(x) => x != 0.0,
            Number::Int(x) => x != 0,
        };
        return Number::Int(i64::from(truth));
    }
    if to.is_real() {
        let value = match (to, x) {
            // One rounding.
            (DType::F32, Number::Int(x)) => f64::from(x as f32),
            _ => x.real(),
        };
        return held(to, Number::Real(value));
    }
    let x = x.int();
    Number::Int(match to {
        DType::I32 => x.clamp(i32::MIN.into(), i32::MAX.into()),
        DType::I8 => x.clamp(i8::MIN.into(), i8::MAX.into()),
        DType::U8 => x.clamp(0, u8::MAX.into()),
        _ => x,
    })
}

pub(crate) fn identity(dtype: DType, combine: Combine) -> Number {
    let (least, greatest) = match dtype {
        DType::I64 => (i64::MIN, i64::MAX),
        DType::I32 => (i32::MIN.into(), i32::MAX.into()),
        DType::I8 => (i8::MIN.into(), i8::MAX.into()),
        DType::U8 => (0, 255),
        _ => (0, 1),
    };
    let real = dtype.is_real();
    match combine {
        Combine::Sum if real => Number::Real(0.0),
        Combine::Prod if real => Number::Real(1.0),
        Combine::Max if real => Number::Real(f64::NEG_INFINITY),
        Combine::Min if real => Number::Real(f64::INFINITY),
        Combine::Sum | Combine::Any => Number::Int(0),
        Combine::Prod | Combine::All => Number::Int(1),
        Combine::Max => Number::Int(least),
        Combine::Min => Number::Int(greatest),
    }
}

fn combined(combine: Combine, x: Number, y: Number) -> Number {
    match (x, y) {
        (Number::Int(x), Number::Int(y)) => Number::Int(match combine {
            Combine::Sum => x.wrapping_add(y),
            Combine::Prod => x.wrapping_mul(y),
            Combine::Max | Combine::Any => x.max(y),
            Combine::Min | Combine::All => x.min(y),
        }),
        _ => Number::Real(match combine {
            Combine::Sum => x.real() + y.real(),
            Combine::Prod => x.real() * y.real(),
            Combine::Max | Combine::Any => larger(x.real(), y.real()),
            Combine::Min | Combine::All => smaller(x.real(), y.real()),
        }),
    }
}

/// A guard that failed: status, position, extent.
pub(crate) type Failure = (u32, i64, i64);

/// Values of sizes by name.
pub(crate) type Sizes = BTreeMap<String, i64>;

pub(crate) fn size(extent: &Extent, sizes: &Sizes) -> i64 {
    extent.evaluate(&|name| sizes.get(name).copied()).unwrap()
}

struct Interpreter<'a> {
    kernel: &'a Kernel,
    sizes: &'a Sizes,
    buffers: &'a [Vec<u8>],
    memo: BTreeMap<(StepId, i64, i64), Number>,
    outer: Vec<i64>,
}

/// What the kernel writes into buffers, or the failures that it may report.
pub(crate) fn run(
    kernel: &Kernel,
    sizes: &Sizes,
    buffers: &[Vec<u8>],
) -> Result<Vec<Vec<u8>>, Failure> {
    let extents: Vec<i64> = kernel
        .loops
        .iter()
        .map(|own| size(&own.extent, sizes))
        .collect();
    let outer = kernel
        .loops
        .iter()
        .filter(|own| own.kind == LoopKind::Outer)
        .count();
    let points: i64 = extents[..outer].iter().product();
    let along = |id: Option<usize>| id.map_or(1, |id| extents[id]);
    let mut written = buffers.to_vec();
    for point in 0..points {
        let mut rest = point;
        let mut places = vec![0; outer];
        for id in (0..outer).rev() {
            places[id] = rest % extents[id];
            rest /= extents[id];
        }
        let mut interpreter = Interpreter {
            kernel,
            sizes,
            buffers,
            memo: BTreeMap::new(),
            outer: places,
        };
        for store in &kernel.stores {
            let step = &kernel.steps[store.step];
            let varies = |id: Option<usize>, own: bool| {
                own || store
                    .access
                    .address
                    .loops
                    .iter()
                    .any(|(own, _)| Some(*own) == id)
            };
            let walk = if varies(kernel.walk(), step.walked) {
                along(kernel.walk())
            } else {
                1
            };
            let inner = if varies(kernel.inner(), step.inner) {
                along(kernel.inner())
            } else {
                1
            };
            for w in 0..walk {
                for i in 0..inner {
                    let value = interpreter.value(store.step, w, i)?;
                    let address = interpreter.affine(&store.access.address, w, i)?;
                    let dtype = kernel.buffers[store.access.buffer];
                    write(
                        dtype,
                        &mut written[store.access.buffer],
                        address as usize,
                        value,
                    );
                }
            }
        }
    }
    Ok(written)
}

impl Interpreter<'_> {
    fn affine(&mut self, affine: &Affine, w: i64, i: i64) -> Result<i64, Failure> {
        let mut sum = size(&affine.offset, self.sizes);
        for (id, factor) in &affine.loops {
            let position = match self.kernel.loops[*id].kind {
                LoopKind::Outer => self.outer[*id],
                LoopKind::Walk => w,
                LoopKind::Inner => i,
            };
            sum += position * size(factor, self.sizes);
        }
        for (id, factor) in &affine.steps {
            let position = self.value(*id, w, i)?.int();
            sum = sum.wrapping_add(position.wrapping_mul(size(factor, self.sizes)));
        }
        Ok(sum)
    }

    fn load(&mut self, access: &Access, w: i64, i: i64) -> Result<Number, Failure> {
        let dtype = self.kernel.buffers[access.buffer];
        let mut zero = false;
        for guard in &access.guards {
            let index = self.affine(&guard.index, w, i)?;
            let extent = size(&guard.extent, self.sizes);
            if !(0..extent).contains(&index) {
                match guard.outside {
                    GuardOutside::Zero => zero = true,
                    GuardOutside::Fail(status) => return Err((status, index, extent)),
                }
            }
        }
        if zero {
            return Ok(held(dtype, Number::Int(0)));
        }
        let address = self.affine(&access.address, w, i)?;
        Ok(read(dtype, &self.buffers[access.buffer], address as usize))
    }

    fn value(&mut self, id: StepId, w: i64, i: i64) -> Result<Number, Failure> {
        let kernel = self.kernel;
        let step = &kernel.steps[id];
        let (w, i) = (
            if step.walked { w } else { 0 },
            if step.inner { i } else { 0 },
        );
        if let Some(value) = self.memo.get(&(id, w, i)) {
            return Ok(*value);
        }
        let dtype = step.dtype;
        let value = match &step.op {
            StepOp::Load(access) => self.load(access, w, i)?,
            StepOp::Position(affine) => Number::Int(self.affine(affine, w, i)?),
            StepOp::Constant(Constant::Real(bits)) => {
                held(dtype, Number::Real(f64::from_bits(*bits)))
            }
            StepOp::Constant(Constant::Int(value)) => held(dtype, Number::Int(*value)),
            StepOp::Constant(Constant::Bool(value)) => Number::Int(i64::from(*value)),
            StepOp::Size(extent) => Number::Int(size(extent, self.sizes)),
            StepOp::Unary(op, x) => unary(dtype, *op, self.value(*x, w, i)?),
            StepOp::Binary(op, x, y) => {
                let from = kernel.steps[*x].dtype;
                binary(from, *op, self.value(*x, w, i)?, self.value(*y, w, i)?)
            }
            StepOp::Select(c, x, y) => {
                let (c, x, y) = (
                    self.value(*c, w, i)?,
                    self.value(*x, w, i)?,
                    self.value(*y, w, i)?,
                );
                if c.int() != 0 { x } else { y }
            }
            StepOp::Cast(x) => cast(dtype, self.value(*x, w, i)?),
            StepOp::Reduce(combine, x, over) => {
                let id = if *over == LoopKind::Walk {
                    kernel.walk()
                } else {
                    kernel.inner()
                };
                let extent = size(&kernel.loops[id.unwrap()].extent, self.sizes);
                let mut sum = identity(dtype, *combine);
                for position in 0..extent {
                    let (w, i) = if *over == LoopKind::Walk {
                        (position, i)
                    } else {
                        (w, position)
                    };
                    let value = self.value(*x, w, i)?;
                    sum = combined(*combine, sum, value);
                }
                held(dtype, sum)
            }
        };
        self.memo.insert((id, w, i), value);
        Ok(value)
    }
}
