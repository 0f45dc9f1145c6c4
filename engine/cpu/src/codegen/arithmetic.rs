//! Elementwise operations in generated code, as the primitives define them.
//!
//! Everything but what is a call of a precompiled routine. Reals of 16 bits are computed as
//! `f32` and rounded; integers of 8 bits are computed in 32 and wrapped. The maximum and minimum
//! with `NaN` is `NaN`; an integer quotient by 0 is 0; shifts are modulo the width.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F64, I32, I64};
use cranelift_codegen::ir::{InstBuilder, Type, Value};
use girih_graph::DType;
use girih_graph::op::{Binary, Combine, Unary};

use super::lanes::{Form, Kind, Lanes, Writer};

impl Writer<'_> {
    /// A function of one value; none of those that routines compute.
    pub(super) fn unary(&mut self, op: Unary, dtype: DType, form: Form, x: Lanes) -> Lanes {
        let kind = Kind::of(dtype);
        match op {
            Unary::PopCount => self.each(form, &[(kind, x)], kind, |this, x| {
                let bits = if dtype.size() == 1 {
                    this.and(x[0], 0xff)
                } else {
                    x[0]
                };
                this.builder.ins().popcnt(bits)
            }),
            Unary::Not if dtype == DType::Bool => self.not(form, x),
            Unary::Not => {
                let flipped = x.map(|x| self.builder.ins().bnot(x));
                self.wrapped(dtype, flipped)
            }
            Unary::Neg | Unary::Abs | Unary::Sign if !dtype.is_real() => {
                let value = x.map(|x| match op {
                    Unary::Neg => self.builder.ins().ineg(x),
                    Unary::Abs => self.builder.ins().iabs(x),
                    _ => self.integer_sign(x),
                });
                self.wrapped(dtype, value)
            }
            _ => {
                let value = x.map(|x| self.unary_real(op, x));
                match op {
                    Unary::Sqrt | Unary::Rsqrt => self.rounded(dtype, value),
                    _ => value,
                }
            }
        }
    }

    fn not(&mut self, form: Form, x: Lanes) -> Lanes {
        match form {
            Form::Scalar => {
                let one = self.iconst(cranelift_codegen::ir::types::I8, 1);
                x.map(|x| self.builder.ins().bxor(x, one))
            }
            Form::Vector => x.map(|x| self.builder.ins().bnot(x)),
        }
    }

    fn unary_real(&mut self, op: Unary, x: Value) -> Value {
        let ty = self.builder.func.dfg.value_type(x);
        match op {
            Unary::Neg => self.builder.ins().fneg(x),
            Unary::Abs => self.builder.ins().fabs(x),
            Unary::Sqrt => self.builder.ins().sqrt(x),
            Unary::Rsqrt => {
                let root = self.builder.ins().sqrt(x);
                let one = self.real(ty, 1.0);
                self.builder.ins().fdiv(one, root)
            }
            Unary::Floor if self.features.rounding => self.builder.ins().floor(x),
            Unary::Ceil if self.features.rounding => self.builder.ins().ceil(x),
            Unary::Round if self.features.rounding => self.builder.ins().nearest(x),
            Unary::Round => self.nearest(x),
            Unary::Floor => {
                let near = self.nearest(x);
                let one = self.real(ty, 1.0);
                let less = self.builder.ins().fsub(near, one);
                let above = self.builder.ins().fcmp(FloatCC::GreaterThan, near, x);
                self.choose(above, less, near)
            }
            Unary::Ceil => {
                // As the floor of the negative, so that −0 comes out where it belongs.
                let negative = self.builder.ins().fneg(x);
                let floor = self.unary_real(Unary::Floor, negative);
                self.builder.ins().fneg(floor)
            }
            Unary::Sign => {
                let zero = self.real(ty, 0.0);
                let one = self.real(ty, 1.0);
                let minus = self.real(ty, -1.0);
                let above = self.builder.ins().fcmp(FloatCC::GreaterThan, x, zero);
                let below = self.builder.ins().fcmp(FloatCC::LessThan, x, zero);
                let nan = self.builder.ins().fcmp(FloatCC::Unordered, x, x);
                let rest = self.choose(nan, x, zero);
                let rest = self.choose(below, minus, rest);
                self.choose(above, one, rest)
            }
            Unary::Exp
            | Unary::Log
            | Unary::Log1p
            | Unary::Sin
            | Unary::Cos
            | Unary::Tanh
            | Unary::Sigmoid
            | Unary::Erf
            | Unary::Not
            | Unary::PopCount => unreachable!("`{}` is a call or no function of reals", op.word()),
        }
    }

    /// The nearest integer, ties to even, without an instruction for it: adding and taking away
    /// the number from which on every real is an integer.
    fn nearest(&mut self, x: Value) -> Value {
        let ty = self.builder.func.dfg.value_type(x);
        let limit = if ty.lane_type() == F64 {
            2.0_f64.powi(52)
        } else {
            2.0_f64.powi(23)
        };
        let limit = self.real(ty, limit);
        let magnitude = self.builder.ins().fabs(x);
        let moved = self.builder.ins().fadd(magnitude, limit);
        let near = self.builder.ins().fsub(moved, limit);
        let bits_type = integers(ty);
        let bits = self.bits(bits_type, x);
        let sign = if ty.lane_type() == F64 {
            i64::MIN
        } else {
            i64::from(i32::MIN)
        };
        let sign = self.and(bits, sign);
        let near = self.bits(bits_type, near);
        let signed = self.builder.ins().bor(near, sign);
        let signed = self.bits(ty, signed);
        let small = self.builder.ins().fcmp(FloatCC::LessThan, magnitude, limit);
        self.choose(small, signed, x)
    }

    fn integer_sign(&mut self, x: Value) -> Value {
        let ty = self.builder.func.dfg.value_type(x);
        let zero = self.int(ty, 0);
        let above = self.builder.ins().icmp(IntCC::SignedGreaterThan, x, zero);
        let below = self.builder.ins().icmp(IntCC::SignedLessThan, x, zero);
        if ty.is_vector() {
            return self.builder.ins().isub(below, above);
        }
        let above = self.builder.ins().uextend(ty, above);
        let below = self.builder.ins().uextend(ty, below);
        self.builder.ins().isub(above, below)
    }

    /// A function of two values of one dtype; none of those that routines compute. `amount` is
    /// the second one as a scalar, if it is the same in all lanes.
    pub(super) fn binary(
        &mut self,
        op: Binary,
        dtype: DType,
        form: Form,
        (x, y): (Lanes, Lanes),
        amount: Option<Value>,
    ) -> Lanes {
        let kind = Kind::of(dtype);
        match op {
            Binary::Eq | Binary::Ne | Binary::Lt | Binary::Le | Binary::Gt | Binary::Ge => {
                let raw = x.zip(y, |x, y| self.compared(op, kind, x, y));
                self.truth(raw)
            }
            Binary::And => x.zip(y, |x, y| self.builder.ins().band(x, y)),
            Binary::Or => x.zip(y, |x, y| self.builder.ins().bor(x, y)),
            Binary::Xor => x.zip(y, |x, y| self.builder.ins().bxor(x, y)),
            Binary::Max | Binary::Min => self.larger(op == Binary::Max, kind, (x, y)),
            _ if dtype.is_real() => {
                let value = x.zip(y, |x, y| self.binary_real(op, x, y));
                self.rounded(dtype, value)
            }
            Binary::Add | Binary::Sub | Binary::Mul => {
                let value = x.zip(y, |x, y| match op {
                    Binary::Add => self.builder.ins().iadd(x, y),
                    Binary::Sub => self.builder.ins().isub(x, y),
                    _ => self.builder.ins().imul(x, y),
                });
                self.wrapped(dtype, value)
            }
            Binary::Shl | Binary::Shr if amount.is_some() => {
                let amount = amount.unwrap_or(y.low);
                let value = x.map(|x| self.shifted(op, dtype, x, amount));
                self.wrapped(dtype, value)
            }
            _ => {
                let value = self.each(form, &[(kind, x), (kind, y)], kind, |this, xy| match op {
                    Binary::Shl | Binary::Shr => this.shifted(op, dtype, xy[0], xy[1]),
                    _ => this.divided(op == Binary::FloorDiv, xy[0], xy[1]),
                });
                self.wrapped(dtype, value)
            }
        }
    }

    fn binary_real(&mut self, op: Binary, x: Value, y: Value) -> Value {
        match op {
            Binary::Add => self.builder.ins().fadd(x, y),
            Binary::Sub => self.builder.ins().fsub(x, y),
            Binary::Mul => self.builder.ins().fmul(x, y),
            Binary::Div => self.builder.ins().fdiv(x, y),
            Binary::FloorDiv => {
                let quotient = self.builder.ins().fdiv(x, y);
                self.unary_real(Unary::Floor, quotient)
            }
            _ => unreachable!("`{}` is a call or no function of reals", op.word()),
        }
    }

    /// The raw condition of a part.
    fn compared(&mut self, op: Binary, kind: Kind, x: Value, y: Value) -> Value {
        if matches!(kind, Kind::F32 | Kind::F64) {
            let condition = match op {
                Binary::Eq => FloatCC::Equal,
                Binary::Ne => FloatCC::NotEqual,
                Binary::Lt => FloatCC::LessThan,
                Binary::Le => FloatCC::LessThanOrEqual,
                Binary::Gt => FloatCC::GreaterThan,
                _ => FloatCC::GreaterThanOrEqual,
            };
            return self.builder.ins().fcmp(condition, x, y);
        }
        let condition = match op {
            Binary::Eq => IntCC::Equal,
            Binary::Ne => IntCC::NotEqual,
            Binary::Lt => IntCC::SignedLessThan,
            Binary::Le => IntCC::SignedLessThanOrEqual,
            Binary::Gt => IntCC::SignedGreaterThan,
            _ => IntCC::SignedGreaterThanOrEqual,
        };
        self.builder.ins().icmp(condition, x, y)
    }

    /// The larger or the smaller one; `NaN` if one is.
    fn larger(&mut self, larger: bool, kind: Kind, (x, y): (Lanes, Lanes)) -> Lanes {
        let op = if larger { Binary::Gt } else { Binary::Lt };
        x.zip(y, |x, y| {
            if kind == Kind::Bool {
                let ins = self.builder.ins();
                return if larger {
                    ins.bor(x, y)
                } else {
                    ins.band(x, y)
                };
            }
            let better = self.compared(op, kind, x, y);
            let value = self.choose(better, x, y);
            if matches!(kind, Kind::F32 | Kind::F64) {
                let nan = self.builder.ins().fcmp(FloatCC::Unordered, x, x);
                self.choose(nan, x, value)
            } else {
                value
            }
        })
    }

    /// A shift by the low bits of a scalar amount.
    fn shifted(&mut self, op: Binary, dtype: DType, x: Value, amount: Value) -> Value {
        let width = dtype.size() as i64 * 8;
        let amount = self.and(amount, width - 1);
        if op == Binary::Shl {
            return self.builder.ins().ishl(x, amount);
        }
        let bits = if width == 8 { self.and(x, 0xff) } else { x };
        self.builder.ins().ushr(bits, amount)
    }

    /// The quotient toward −∞, or the remainder with the divisor's sign; 0 for a zero divisor.
    fn divided(&mut self, quotient: bool, x: Value, y: Value) -> Value {
        let ty = self.builder.func.dfg.value_type(x);
        let zero = self.iconst(ty, 0);
        let one = self.iconst(ty, 1);
        let by_zero = self.builder.ins().icmp(IntCC::Equal, y, zero);
        let minus = self.iconst(ty, -1);
        let least = self.iconst(
            ty,
            if ty == I64 {
                i64::MIN
            } else {
                i64::from(i32::MIN)
            },
        );
        let is_minus = self.builder.ins().icmp(IntCC::Equal, y, minus);
        let is_least = self.builder.ins().icmp(IntCC::Equal, x, least);
        let overflow = self.builder.ins().band(is_minus, is_least);
        let unsafe_divisor = self.builder.ins().bor(by_zero, overflow);
        // `MIN / 1` is what `MIN / −1` wraps to, with the same remainder.
        let divisor = self.builder.ins().select(unsafe_divisor, one, y);
        let toward_zero = self.builder.ins().sdiv(x, divisor);
        let product = self.builder.ins().imul(toward_zero, divisor);
        let rest = self.builder.ins().isub(x, product);
        let has_rest = self.builder.ins().icmp(IntCC::NotEqual, rest, zero);
        let signs = self.builder.ins().bxor(rest, divisor);
        let differ = self.builder.ins().icmp(IntCC::SignedLessThan, signs, zero);
        let adjust = self.builder.ins().band(has_rest, differ);
        let value = if quotient {
            let less = self.builder.ins().iadd(toward_zero, minus);
            self.builder.ins().select(adjust, less, toward_zero)
        } else {
            let more = self.builder.ins().iadd(rest, divisor);
            self.builder.ins().select(adjust, more, rest)
        };
        self.builder.ins().select(by_zero, zero, value)
    }

    /// The second where the first, else the third.
    pub(super) fn select(
        &mut self,
        dtype: DType,
        form: Form,
        condition: Lanes,
        (x, y): (Lanes, Lanes),
    ) -> Lanes {
        let conditions = self.conditions(condition, Kind::of(dtype), form);
        let low = self.choose(conditions.low, x.low, y.low);
        let high = match (conditions.high, x.high, y.high) {
            (Some(condition), Some(x), Some(y)) => Some(self.choose(condition, x, y)),
            _ => None,
        };
        Lanes { low, high }
    }

    /// One more element combined, without rounding to a narrow dtype.
    pub(super) fn combined(
        &mut self,
        combine: Combine,
        dtype: DType,
        (sum, x): (Lanes, Lanes),
    ) -> Lanes {
        let kind = Kind::of(dtype);
        match combine {
            Combine::Max => self.larger(true, kind, (sum, x)),
            Combine::Min => self.larger(false, kind, (sum, x)),
            Combine::Any => sum.zip(x, |sum, x| self.builder.ins().bor(sum, x)),
            Combine::All => sum.zip(x, |sum, x| self.builder.ins().band(sum, x)),
            Combine::Sum if dtype.is_real() => sum.zip(x, |sum, x| self.builder.ins().fadd(sum, x)),
            Combine::Prod if dtype.is_real() => {
                sum.zip(x, |sum, x| self.builder.ins().fmul(sum, x))
            }
            Combine::Sum => sum.zip(x, |sum, x| self.builder.ins().iadd(sum, x)),
            Combine::Prod => sum.zip(x, |sum, x| self.builder.ins().imul(sum, x)),
        }
    }

    /// `sum + x·y`, rounded once where the machine can.
    pub(super) fn multiplied_in(&mut self, sum: Lanes, (x, y): (Lanes, Lanes)) -> Lanes {
        let fma = self.features.fma;
        let mut part = |sum, x, y| {
            if fma {
                self.builder.ins().fma(x, y, sum)
            } else {
                let product = self.builder.ins().fmul(x, y);
                self.builder.ins().fadd(sum, product)
            }
        };
        let low = part(sum.low, x.low, y.low);
        let high = match (sum.high, x.high, y.high) {
            (Some(sum), Some(x), Some(y)) => Some(part(sum, x, y)),
            _ => None,
        };
        Lanes { low, high }
    }

    /// What an empty reduction gives.
    pub(super) fn identity(&mut self, combine: Combine, dtype: DType, form: Form) -> Lanes {
        let kind = Kind::of(dtype);
        let scalar = match (kind, combine) {
            (Kind::Bool, _) => {
                let truth = matches!(combine, Combine::All | Combine::Min | Combine::Prod);
                self.iconst(cranelift_codegen::ir::types::I8, i64::from(truth))
            }
            (Kind::F32 | Kind::F64, _) => {
                let value = match combine {
                    Combine::Prod | Combine::All => 1.0,
                    Combine::Max => f64::NEG_INFINITY,
                    Combine::Min => f64::INFINITY,
                    Combine::Sum | Combine::Any => 0.0,
                };
                self.real(kind.part(Form::Scalar), value)
            }
            (Kind::I32 | Kind::I64, _) => {
                let value = match combine {
                    Combine::Sum | Combine::Any => 0,
                    Combine::Prod | Combine::All => 1,
                    Combine::Max => least(dtype),
                    Combine::Min => greatest(dtype),
                };
                self.iconst(kind.part(Form::Scalar), value)
            }
        };
        self.spread(kind, form, scalar)
    }

    /// All lanes as one element.
    pub(super) fn folded(&mut self, combine: Combine, dtype: DType, lanes: Lanes) -> Lanes {
        let kind = Kind::of(dtype);
        let elements = [0, 1, 2, 3].map(|lane| Lanes::one(self.take(kind, lanes, lane)));
        let [a, b, c, d] = elements;
        let left = self.combined(combine, dtype, (a, b));
        let right = self.combined(combine, dtype, (c, d));
        self.combined(combine, dtype, (left, right))
    }
}

/// Integers of the same width and number.
fn integers(ty: Type) -> Type {
    let lane = if ty.lane_type() == F64 { I64 } else { I32 };
    if ty.is_vector() {
        lane.by(ty.lane_count()).unwrap_or(lane)
    } else {
        lane
    }
}

/// The least integer of a dtype.
pub(super) fn least(dtype: DType) -> i64 {
    match dtype {
        DType::I64 => i64::MIN,
        DType::I32 => i64::from(i32::MIN),
        DType::I8 => i64::from(i8::MIN),
        _ => 0,
    }
}

/// The greatest integer of a dtype.
pub(super) fn greatest(dtype: DType) -> i64 {
    match dtype {
        DType::I64 => i64::MAX,
        DType::I32 => i64::from(i32::MAX),
        DType::I8 => i64::from(i8::MAX),
        DType::U8 => i64::from(u8::MAX),
        _ => 1,
    }
}
