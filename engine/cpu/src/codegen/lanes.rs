//! Values of generated code: one element, or four of them in vectors.
//!
//! `f16` and `bf16` are held as `f32`, `i8` and `u8` as 32-bit integers, truth values as one
//! byte of 0 and 1 or as vectors of 32-bit masks. Four 64-bit elements are two vectors. Here is
//! how such values are made and taken apart; `memory` reads and writes them, what operations do with
//! them is in `arithmetic` and `cast`.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F32, F32X4, F64, F64X2, I8, I8X16, I32, I32X4, I64, I64X2};
use cranelift_codegen::ir::{Endianness, InstBuilder, MemFlagsData, Type, Value};
use cranelift_frontend::FunctionBuilder;
use girih_graph::DType;

use super::target::Features;

/// How many elements a value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One.
    Scalar,
    /// Four.
    Vector,
}

impl Form {
    pub(super) fn count(self) -> i64 {
        match self {
            Self::Scalar => 1,
            Self::Vector => 4,
        }
    }
}

/// What elements of a dtype are in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    F32,
    F64,
    I32,
    I64,
    Bool,
}

impl Kind {
    pub(super) fn of(dtype: DType) -> Self {
        match dtype {
            DType::F64 => Self::F64,
            DType::F32 | DType::F16 | DType::BF16 => Self::F32,
            DType::I64 => Self::I64,
            DType::I32 | DType::I8 | DType::U8 => Self::I32,
            DType::Bool => Self::Bool,
        }
    }

    /// Two vectors hold four elements.
    pub(super) fn is_wide(self) -> bool {
        matches!(self, Self::F64 | Self::I64)
    }

    pub(super) fn part(self, form: Form) -> Type {
        match (self, form) {
            (Self::F32, Form::Scalar) => F32,
            (Self::F32, Form::Vector) => F32X4,
            (Self::F64, Form::Scalar) => F64,
            (Self::F64, Form::Vector) => F64X2,
            (Self::I32, Form::Scalar) => I32,
            (Self::I32 | Self::Bool, Form::Vector) => I32X4,
            (Self::I64, Form::Scalar) => I64,
            (Self::I64, Form::Vector) => I64X2,
            (Self::Bool, Form::Scalar) => I8,
        }
    }

    /// Bytes of an element in a slot.
    pub(super) fn slot_size(self) -> i64 {
        if self.is_wide() { 8 } else { 4 }
    }
}

/// One element, or four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lanes {
    pub(super) low: Value,
    /// The upper two of four wide elements.
    pub(super) high: Option<Value>,
}

impl Lanes {
    pub(super) fn one(low: Value) -> Self {
        Self { low, high: None }
    }

    pub(super) fn map(self, mut f: impl FnMut(Value) -> Value) -> Self {
        Self {
            low: f(self.low),
            high: self.high.map(f),
        }
    }

    pub(super) fn zip(self, other: Self, mut f: impl FnMut(Value, Value) -> Value) -> Self {
        let low = f(self.low, other.low);
        let high = self.high.zip(other.high).map(|(x, y)| f(x, y));
        Self { low, high }
    }

    pub(super) fn values(self) -> impl Iterator<Item = Value> {
        std::iter::once(self.low).chain(self.high)
    }
}

/// Writes instructions on lanes.
pub(super) struct Writer<'a> {
    pub(super) builder: FunctionBuilder<'a>,
    pub(super) features: Features,
}

impl Writer<'_> {
    /// Number of vectors or scalars that hold a value.
    pub(super) fn parts(kind: Kind, form: Form) -> usize {
        if kind.is_wide() && form == Form::Vector {
            2
        } else {
            1
        }
    }

    pub(super) fn bits(&mut self, ty: Type, value: Value) -> Value {
        if self.builder.func.dfg.value_type(value) == ty {
            return value;
        }
        let flags = if ty.is_vector() {
            MemFlagsData::new().with_endianness(Endianness::Little)
        } else {
            MemFlagsData::new()
        };
        self.builder.ins().bitcast(ty, flags, value)
    }

    pub(super) fn iconst(&mut self, ty: Type, value: i64) -> Value {
        // Immediates are written without bits past the type's width.
        let value = match ty.bytes() {
            1 => i64::from(value as u8),
            2 => i64::from(value as u16),
            4 => i64::from(value as u32),
            _ => value,
        };
        self.builder.ins().iconst(ty, value)
    }

    pub(super) fn splat(&mut self, ty: Type, scalar: Value) -> Value {
        if ty.is_vector() {
            self.builder.ins().splat(ty, scalar)
        } else {
            scalar
        }
    }

    /// An integer in every lane of `ty`.
    pub(super) fn int(&mut self, ty: Type, value: i64) -> Value {
        let scalar = self.iconst(ty.lane_type(), value);
        self.splat(ty, scalar)
    }

    /// A real in every lane of `ty`.
    pub(super) fn real(&mut self, ty: Type, value: f64) -> Value {
        let scalar = if ty.lane_type() == F64 {
            self.builder.ins().f64const(value)
        } else {
            self.builder.ins().f32const(value as f32)
        };
        self.splat(ty, scalar)
    }

    /// One element in all lanes.
    pub(super) fn spread(&mut self, kind: Kind, form: Form, scalar: Value) -> Lanes {
        if form == Form::Scalar {
            return Lanes::one(scalar);
        }
        let ty = kind.part(form);
        let scalar = if kind == Kind::Bool {
            self.mask_bits(scalar)
        } else {
            scalar
        };
        let part = self.splat(ty, scalar);
        Lanes {
            low: part,
            high: kind.is_wide().then_some(part),
        }
    }

    /// 0 or −1 as `i32` of a truth value.
    pub(super) fn mask_bits(&mut self, truth: Value) -> Value {
        let wide = self.builder.ins().uextend(I32, truth);
        self.builder.ins().ineg(wide)
    }

    /// Element `lane` of four.
    pub(super) fn take(&mut self, kind: Kind, lanes: Lanes, lane: u8) -> Value {
        match lanes.high {
            Some(high) => {
                let part = if lane < 2 { lanes.low } else { high };
                self.builder.ins().extractlane(part, lane % 2)
            }
            None if kind == Kind::Bool => {
                let bits = self.builder.ins().extractlane(lanes.low, lane);
                self.is_nonzero(bits)
            }
            None => self.builder.ins().extractlane(lanes.low, lane),
        }
    }

    /// Four elements as lanes.
    pub(super) fn join(&mut self, kind: Kind, elements: [Value; 4]) -> Lanes {
        let elements = elements.map(|element| {
            if kind == Kind::Bool {
                self.mask_bits(element)
            } else {
                element
            }
        });
        let ty = kind.part(Form::Vector);
        let [a, b, c, d] = elements;
        if kind.is_wide() {
            let pair = |this: &mut Self, x, y| {
                let first = this.builder.ins().splat(ty, x);
                this.builder.ins().insertlane(first, y, 1)
            };
            return Lanes {
                low: pair(self, a, b),
                high: Some(pair(self, c, d)),
            };
        }
        let mut all = self.builder.ins().splat(ty, a);
        for (lane, element) in [(1_u8, b), (2, c), (3, d)] {
            all = self.builder.ins().insertlane(all, element, lane);
        }
        Lanes::one(all)
    }

    /// An operation on elements one by one.
    pub(super) fn each(
        &mut self,
        form: Form,
        operands: &[(Kind, Lanes)],
        result: Kind,
        mut f: impl FnMut(&mut Self, &[Value]) -> Value,
    ) -> Lanes {
        if form == Form::Scalar {
            let scalars: Vec<Value> = operands.iter().map(|(_, lanes)| lanes.low).collect();
            return Lanes::one(f(self, &scalars));
        }
        let elements = [0, 1, 2, 3].map(|lane| {
            let taken = operands
                .iter()
                .map(|(kind, lanes)| self.take(*kind, *lanes, lane));
            let scalars: Vec<Value> = taken.collect();
            f(self, &scalars)
        });
        self.join(result, elements)
    }

    /// A truth value of an integer scalar.
    pub(super) fn is_nonzero(&mut self, value: Value) -> Value {
        let zero = self.iconst(self.builder.func.dfg.value_type(value), 0);
        self.builder.ins().icmp(IntCC::NotEqual, value, zero)
    }

    /// `x` where the raw condition of a part holds, else `y`.
    pub(super) fn choose(&mut self, condition: Value, x: Value, y: Value) -> Value {
        let ty = self.builder.func.dfg.value_type(x);
        if ty.is_vector() {
            let condition = self.bits(ty, condition);
            self.builder.ins().bitselect(condition, x, y)
        } else {
            self.builder.ins().select(condition, x, y)
        }
    }

    /// Truth values from the raw conditions of parts of a kind.
    pub(super) fn truth(&mut self, condition: Lanes) -> Lanes {
        let Some(high) = condition.high else {
            return condition;
        };
        // Both halves of a 64-bit mask are alike: packing with saturation keeps one of each.
        let low = self.bits(I32X4, condition.low);
        let high = self.bits(I32X4, high);
        let packed = self.builder.ins().snarrow(low, high);
        Lanes::one(self.bits(I32X4, packed))
    }

    /// Raw conditions for parts of a kind from truth values.
    pub(super) fn conditions(&mut self, truth: Lanes, kind: Kind, form: Form) -> Lanes {
        if form == Form::Scalar || !kind.is_wide() {
            return truth;
        }
        self.doubled(truth.low)
    }

    /// Every 32-bit lane twice, as two vectors of 64-bit lanes.
    fn doubled(&mut self, x: Value) -> Lanes {
        let low = self.shuffle_words(x, [0, 0, 1, 1]);
        let high = self.shuffle_words(x, [2, 2, 3, 3]);
        Lanes {
            low: self.bits(I64X2, low),
            high: Some(self.bits(I64X2, high)),
        }
    }

    /// 32-bit lanes in another order.
    pub(super) fn shuffle_words(&mut self, x: Value, order: [u8; 4]) -> Value {
        let ty = self.builder.func.dfg.value_type(x);
        let bytes = self.bits(I8X16, x);
        let mask: Vec<u8> = order
            .iter()
            .flat_map(|word| (0..4).map(move |byte| word * 4 + byte))
            .collect();
        let mask = self
            .builder
            .func
            .dfg
            .immediates
            .push(mask.as_slice().into());
        let shuffled = self.builder.ins().shuffle(bytes, bytes, mask);
        self.bits(ty, shuffled)
    }

    pub(super) fn and(&mut self, value: Value, bits: i64) -> Value {
        let ty = self.builder.func.dfg.value_type(value);
        let bits = self.int(ty, bits);
        self.builder.ins().band(value, bits)
    }

    pub(super) fn shl(&mut self, value: Value, amount: i64) -> Value {
        let amount = self.iconst(I32, amount);
        self.builder.ins().ishl(value, amount)
    }

    pub(super) fn shr(&mut self, value: Value, amount: i64) -> Value {
        let amount = self.iconst(I32, amount);
        self.builder.ins().ushr(value, amount)
    }
}
