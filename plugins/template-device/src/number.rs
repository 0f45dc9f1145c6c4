//! Numbers while they are computed: reals as `f64`, everything else as `i64`, rounded to their dtype after every step.

use girih_graph::DType;
use girih_graph::op::{Binary, Combine, Unary};
use girih_plugin::Error;
use half::{bf16, f16};

/// A number of some dtype.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    /// Of a real dtype.
    Real(f64),
    /// Of an integer dtype, or 0 or 1 for a truth value.
    Whole(i64),
}

use Number::{Real, Whole};

impl Number {
    pub(crate) fn zero(dtype: DType) -> Self {
        if dtype.is_real() { Real(0.0) } else { Whole(0) }
    }

    /// As an integer: reals toward zero, `NaN` is 0.
    pub(crate) fn whole(self) -> i64 {
        match self {
            Real(x) => x as i64,
            Whole(x) => x,
        }
    }

    pub(crate) fn is_true(self) -> bool {
        self != Whole(0) && self != Real(0.0)
    }

    /// The number in memory.
    pub(crate) fn read(dtype: DType, bytes: &[u8]) -> Option<Self> {
        Some(match dtype {
            DType::F64 => Real(f64::from_ne_bytes(bytes.try_into().ok()?)),
            DType::F32 => Real(f32::from_ne_bytes(bytes.try_into().ok()?).into()),
            DType::F16 => Real(f16::from_ne_bytes(bytes.try_into().ok()?).to_f64()),
            DType::BF16 => Real(bf16::from_ne_bytes(bytes.try_into().ok()?).to_f64()),
            DType::I64 => Whole(i64::from_ne_bytes(bytes.try_into().ok()?)),
            DType::I32 => Whole(i32::from_ne_bytes(bytes.try_into().ok()?).into()),
            DType::I8 => Whole(i8::from_ne_bytes(bytes.try_into().ok()?).into()),
            DType::U8 | DType::Bool => Whole(u8::from_ne_bytes(bytes.try_into().ok()?).into()),
        })
    }

    /// The number as it lies in memory; `dtype` is its own.
    pub(crate) fn bytes(self, dtype: DType) -> ([u8; 8], usize) {
        fn padded<const N: usize>(bytes: [u8; N]) -> ([u8; 8], usize) {
            let mut all = [0; 8];
            all[..N].copy_from_slice(&bytes);
            (all, N)
        }
        let real = match self {
            Real(x) => x,
            Whole(x) => x as f64,
        };
        match dtype {
            DType::F64 => padded(real.to_ne_bytes()),
            DType::F32 => padded((real as f32).to_ne_bytes()),
            DType::F16 => padded(f16::from_f64(real).to_ne_bytes()),
            DType::BF16 => padded(bf16::from_f64(real).to_ne_bytes()),
            DType::I64 => padded(self.whole().to_ne_bytes()),
            DType::I32 => padded((self.whole() as i32).to_ne_bytes()),
            DType::I8 => padded((self.whole() as i8).to_ne_bytes()),
            DType::U8 | DType::Bool => padded([self.whole() as u8]),
        }
    }

    /// Rounded to a dtype; integers wrap around.
    pub(crate) fn fitted(self, dtype: DType) -> Self {
        match (self, dtype) {
            (Real(x), DType::F32) => Real(f64::from(x as f32)),
            (Real(x), DType::F16) => Real(f16::from_f64(x).to_f64()),
            (Real(x), DType::BF16) => Real(bf16::from_f64(x).to_f64()),
            (Whole(x), DType::I32) => Whole(i64::from(x as i32)),
            (Whole(x), DType::I8) => Whole(i64::from(x as i8)),
            (Whole(x), DType::U8 | DType::Bool) => Whole(i64::from(x as u8)),
            (own, _) => own,
        }
    }

    /// Another dtype: reals to integers toward zero, what does not fit is clamped, `NaN` becomes 0, and everything but
    /// 0 is true.
    pub(crate) fn cast(self, dtype: DType) -> Self {
        let clamped = |least: i64, greatest: i64| Whole(self.whole().clamp(least, greatest));
        match dtype {
            DType::Bool => Whole(i64::from(self.is_true())),
            DType::I64 => Whole(self.whole()),
            DType::I32 => clamped(i32::MIN.into(), i32::MAX.into()),
            DType::I8 => clamped(i8::MIN.into(), i8::MAX.into()),
            DType::U8 => clamped(0, u8::MAX.into()),
            DType::F32 => match self {
                Real(_) => self.fitted(dtype),
                Whole(x) => Real(f64::from(x as f32)),
            },
            DType::F64 | DType::F16 | DType::BF16 => match self {
                Real(_) => self.fitted(dtype),
                Whole(x) => Real(x as f64).fitted(dtype),
            },
        }
    }
}

fn mistyped(op: &str) -> Error {
    Error::internal(format!("`{op}` of numbers that have none"))
}

fn sign(x: f64) -> f64 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else if x.is_nan() {
        x
    } else {
        0.0
    }
}

/// `op` of a number of `dtype`, before it is rounded.
pub(crate) fn unary(op: Unary, dtype: DType, x: Number) -> Result<Number, Error> {
    Ok(match x {
        Real(x) => Real(match op {
            Unary::Neg => -x,
            Unary::Abs => x.abs(),
            Unary::Sign => sign(x),
            Unary::Exp => x.exp(),
            Unary::Log => x.ln(),
            Unary::Log1p => x.ln_1p(),
            Unary::Sqrt => x.sqrt(),
            Unary::Rsqrt => 1.0 / x.sqrt(),
            Unary::Sin => x.sin(),
            Unary::Cos => x.cos(),
            Unary::Tanh => x.tanh(),
            Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Unary::Erf => libm::erf(x),
            Unary::Floor => x.floor(),
            Unary::Ceil => x.ceil(),
            Unary::Round => x.round_ties_even(),
            Unary::Not | Unary::PopCount => return Err(mistyped(op.word())),
        }),
        Whole(x) => Whole(match op {
            Unary::Neg => x.wrapping_neg(),
            Unary::Abs => x.wrapping_abs(),
            Unary::Sign => x.signum(),
            Unary::Not if dtype == DType::Bool => 1 - x,
            Unary::Not => !x,
            Unary::PopCount => i64::from(unsigned(x, dtype).count_ones()),
            Unary::Exp
            | Unary::Log
            | Unary::Log1p
            | Unary::Sqrt
            | Unary::Rsqrt
            | Unary::Sin
            | Unary::Cos
            | Unary::Tanh
            | Unary::Sigmoid
            | Unary::Erf
            | Unary::Floor
            | Unary::Ceil
            | Unary::Round => return Err(mistyped(op.word())),
        }),
    })
}

/// The bits of an integer, zeros above its dtype's.
fn unsigned(x: i64, dtype: DType) -> u64 {
    let bits = 8 * dtype.size() as u32;
    x.cast_unsigned() & (u64::MAX >> (64 - bits))
}

/// `op` of two numbers of `dtype`, before it is rounded.
pub(crate) fn binary(op: Binary, dtype: DType, x: Number, y: Number) -> Result<Number, Error> {
    let truth = |truth: bool| Ok(Whole(i64::from(truth)));
    let compared =
        |ordering: &dyn Fn(f64, f64) -> bool, whole: &dyn Fn(i64, i64) -> bool| match (x, y) {
            (Real(x), Real(y)) => truth(ordering(x, y)),
            (Whole(x), Whole(y)) => truth(whole(x, y)),
            _ => Err(mistyped(op.word())),
        };
    match op {
        Binary::Eq => return compared(&|x, y| x.eq(&y), &|x, y| x == y),
        Binary::Ne => return compared(&|x, y| x.ne(&y), &|x, y| x != y),
        Binary::Lt => return compared(&|x, y| x < y, &|x, y| x < y),
        Binary::Le => return compared(&|x, y| x <= y, &|x, y| x <= y),
        Binary::Gt => return compared(&|x, y| x > y, &|x, y| x > y),
        Binary::Ge => return compared(&|x, y| x >= y, &|x, y| x >= y),
        _ => {}
    }
    match (x, y) {
        (Real(x), Real(y)) => real(op, x, y).map(Real),
        (Whole(x), Whole(y)) => whole(op, dtype, x, y).map(Whole),
        _ => Err(mistyped(op.word())),
    }
}

fn larger(x: f64, y: f64) -> f64 {
    if x > y || x.is_nan() { x } else { y }
}

fn smaller(x: f64, y: f64) -> f64 {
    if x < y || x.is_nan() { x } else { y }
}

fn real(op: Binary, x: f64, y: f64) -> Result<f64, Error> {
    Ok(match op {
        Binary::Add => x + y,
        Binary::Sub => x - y,
        Binary::Mul => x * y,
        Binary::Div => x / y,
        Binary::FloorDiv => (x / y).floor(),
        Binary::Rem => {
            let rest = x % y;
            if rest != 0.0 && (rest < 0.0) != (y < 0.0) {
                rest + y
            } else {
                rest
            }
        }
        Binary::Pow => x.powf(y),
        Binary::Max => larger(x, y),
        Binary::Min => smaller(x, y),
        _ => return Err(mistyped(op.word())),
    })
}

fn whole(op: Binary, dtype: DType, x: i64, y: i64) -> Result<i64, Error> {
    let bits = 8 * dtype.size() as u32;
    let amount = y as u32 & (bits - 1);
    Ok(match op {
        Binary::Add => x.wrapping_add(y),
        Binary::Sub => x.wrapping_sub(y),
        Binary::Mul => x.wrapping_mul(y),
        Binary::FloorDiv | Binary::Rem if y == 0 => 0,
        Binary::FloorDiv => {
            let quotient = x.wrapping_div(y);
            let rest = x.wrapping_rem(y);
            quotient.wrapping_sub(i64::from(rest != 0 && (rest < 0) != (y < 0)))
        }
        Binary::Rem => {
            let rest = x.wrapping_rem(y);
            if rest != 0 && (rest < 0) != (y < 0) {
                rest.wrapping_add(y)
            } else {
                rest
            }
        }
        Binary::Max => x.max(y),
        Binary::Min => x.min(y),
        Binary::And => x & y,
        Binary::Or => x | y,
        Binary::Xor => x ^ y,
        Binary::Shl => x.wrapping_shl(amount),
        Binary::Shr => (unsigned(x, dtype) >> amount).cast_signed(),
        _ => return Err(mistyped(op.word())),
    })
}

/// What combining nothing gives.
pub(crate) fn identity(combine: Combine, dtype: DType) -> Number {
    let (least, greatest) = match dtype {
        DType::I64 => (i64::MIN, i64::MAX),
        DType::I32 => (i32::MIN.into(), i32::MAX.into()),
        DType::I8 => (i8::MIN.into(), i8::MAX.into()),
        _ => (0, u8::MAX.into()),
    };
    let own = |real: f64, whole: i64| {
        if dtype.is_real() {
            Real(real)
        } else {
            Whole(whole)
        }
    };
    match combine {
        Combine::Sum | Combine::Any => own(0.0, 0),
        Combine::Prod | Combine::All => own(1.0, 1),
        Combine::Max => own(f64::NEG_INFINITY, least),
        Combine::Min => own(f64::INFINITY, greatest),
    }
}

/// One more number combined; sums and products are rounded at the end alone.
pub(crate) fn combined(combine: Combine, sum: Number, x: Number) -> Number {
    match (sum, x) {
        (Real(sum), Real(x)) => Real(match combine {
            Combine::Sum => sum + x,
            Combine::Prod => sum * x,
            Combine::Max | Combine::Any => larger(sum, x),
            Combine::Min | Combine::All => smaller(sum, x),
        }),
        (sum, x) => {
            let (sum, x) = (sum.whole(), x.whole());
            Whole(match combine {
                Combine::Sum => sum.wrapping_add(x),
                Combine::Prod => sum.wrapping_mul(x),
                Combine::Max | Combine::Any => sum.max(x),
                Combine::Min | Combine::All => sum.min(x),
            })
        }
    }
}
