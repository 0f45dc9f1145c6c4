//! Casts and constants in generated code.
//!
//! Reals are rounded to nearest, reals to integers toward zero; integers that do not fit are
//! clamped, `NaN` becomes 0; everything but 0 is true.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32, F64, I32, I64};
use cranelift_codegen::ir::{InstBuilder, Value};
use girih_graph::DType;
use girih_plan::kernel::Constant;

use super::arithmetic::{greatest, least};
use super::lanes::{Form, Kind, Lanes, Writer};

impl Writer<'_> {
    /// A constant of a dtype in all lanes.
    pub(super) fn constant(&mut self, constant: Constant, dtype: DType, form: Form) -> Lanes {
        let kind = Kind::of(dtype);
        let real = match constant {
            Constant::Real(bits) => f64::from_bits(bits),
            Constant::Int(value) => value as f64,
            Constant::Bool(truth) => f64::from(u8::from(truth)),
        };
        let integer = match constant {
            Constant::Real(bits) => f64::from_bits(bits) as i64,
            Constant::Int(value) => value,
            Constant::Bool(truth) => i64::from(truth),
        };
        let scalar = match kind {
            Kind::F32 | Kind::F64 => self.real(kind.part(Form::Scalar), real),
            Kind::I32 | Kind::I64 => self.iconst(kind.part(Form::Scalar), integer),
            Kind::Bool => self.iconst(kind.part(Form::Scalar), i64::from(real != 0.0)),
        };
        let scalar = self.fitted(dtype, Lanes::one(scalar)).low;
        self.spread(kind, form, scalar)
    }

    /// Another dtype.
    pub(super) fn cast(&mut self, from: DType, to: DType, form: Form, x: Lanes) -> Lanes {
        if from == to {
            return x;
        }
        let (own, new) = (Kind::of(from), Kind::of(to));
        match (own, new) {
            (_, Kind::Bool) => self.nonzero(own, x),
            (Kind::Bool, _) => self.numbers_of_truth(new, form, x),
            (Kind::F32, Kind::F32) => self.rounded(to, x),
            (Kind::F32, Kind::F64) => self.promoted(form, x),
            (Kind::F64, Kind::F32) => {
                let narrow = self.each(form, &[(own, x)], new, |this, x| {
                    this.builder.ins().fdemote(F32, x[0])
                });
                self.rounded(to, narrow)
            }
            (Kind::F64, Kind::F64) | (Kind::I64, Kind::I64) => x,
            (Kind::F32, Kind::I32) => {
                let ty = new.part(form);
                let value = x.map(|x| self.builder.ins().fcvt_to_sint_sat(ty, x));
                self.clamped(to, value)
            }
            (Kind::F32 | Kind::F64, Kind::I32 | Kind::I64) => {
                let ty = new.part(Form::Scalar);
                let value = self.each(form, &[(own, x)], new, |this, x| {
                    this.builder.ins().fcvt_to_sint_sat(ty, x[0])
                });
                self.clamped(to, value)
            }
            (Kind::I32, Kind::F32) => {
                let ty = new.part(form);
                let value = x.map(|x| self.builder.ins().fcvt_from_sint(ty, x));
                self.rounded(to, value)
            }
            (Kind::I32 | Kind::I64, Kind::F32 | Kind::F64) => {
                let ty = if new == Kind::F64 { F64 } else { F32 };
                let value = self.each(form, &[(own, x)], new, |this, x| {
                    this.builder.ins().fcvt_from_sint(ty, x[0])
                });
                self.rounded(to, value)
            }
            (Kind::I32, Kind::I32) => self.clamped(to, x),
            (Kind::I32, Kind::I64) if form == Form::Vector && self.features.rounding => Lanes {
                low: self.builder.ins().swiden_low(x.low),
                high: Some(self.builder.ins().swiden_high(x.low)),
            },
            (Kind::I32, Kind::I64) => self.each(form, &[(own, x)], new, |this, x| {
                this.builder.ins().sextend(I64, x[0])
            }),
            (Kind::I64, Kind::I32) => self.each(form, &[(own, x)], new, |this, x| {
                let inside = this.clamp(x[0], least(to), greatest(to));
                this.builder.ins().ireduce(I32, inside)
            }),
        }
    }

    fn nonzero(&mut self, kind: Kind, x: Lanes) -> Lanes {
        let raw = x.map(|x| {
            let ty = self.builder.func.dfg.value_type(x);
            if matches!(kind, Kind::F32 | Kind::F64) {
                let zero = self.real(ty, 0.0);
                self.builder.ins().fcmp(FloatCC::NotEqual, x, zero)
            } else {
                let zero = self.int(ty, 0);
                self.builder.ins().icmp(IntCC::NotEqual, x, zero)
            }
        });
        self.truth(raw)
    }

    fn numbers_of_truth(&mut self, kind: Kind, form: Form, x: Lanes) -> Lanes {
        let ty = kind.part(form);
        let (one, zero) = if matches!(kind, Kind::F32 | Kind::F64) {
            (self.real(ty, 1.0), self.real(ty, 0.0))
        } else {
            (self.int(ty, 1), self.int(ty, 0))
        };
        let conditions = self.conditions(x, kind, form);
        conditions.map(|condition| self.choose(condition, one, zero))
    }

    fn promoted(&mut self, form: Form, x: Lanes) -> Lanes {
        if form == Form::Scalar {
            return x.map(|x| self.builder.ins().fpromote(F64, x));
        }
        let upper = self.shuffle_words(x.low, [2, 3, 2, 3]);
        Lanes {
            low: self.builder.ins().fvpromote_low(x.low),
            high: Some(self.builder.ins().fvpromote_low(upper)),
        }
    }

    /// Integers held in 32 bits within what the dtype can say.
    fn clamped(&mut self, dtype: DType, x: Lanes) -> Lanes {
        match dtype {
            DType::I8 | DType::U8 => x.map(|x| self.clamp(x, least(dtype), greatest(dtype))),
            _ => x,
        }
    }

    fn clamp(&mut self, x: Value, low: i64, high: i64) -> Value {
        let ty = self.builder.func.dfg.value_type(x);
        let (low, high) = (self.int(ty, low), self.int(ty, high));
        let below = self.builder.ins().icmp(IntCC::SignedLessThan, x, low);
        let x = self.choose(below, low, x);
        let above = self.builder.ins().icmp(IntCC::SignedGreaterThan, x, high);
        self.choose(above, high, x)
    }
}
