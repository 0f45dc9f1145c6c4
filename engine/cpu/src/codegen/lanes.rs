//! Values of generated code: one element, or four of them in vectors.
//!
//! `f16` and `bf16` are held as `f32`, `i8` and `u8` as 32-bit integers, truth values as one
//! byte of 0 and 1 or as vectors of 32-bit masks. Four 64-bit elements are two vectors. Here is
//! how such values are made, taken apart, read and written; what operations do with them is in
//! `arithmetic` and `cast`.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{
    F32, F32X4, F64, F64X2, I8, I8X16, I16X8, I32, I32X4, I64, I64X2,
};
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

/// Memory that is there and need not be aligned.
pub(super) fn memory() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
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
    fn mask_bits(&mut self, truth: Value) -> Value {
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

    /// Elements `address + offset` of a buffer, contiguous.
    pub(super) fn load(&mut self, dtype: DType, form: Form, address: Value, offset: i32) -> Lanes {
        let flags = memory();
        if form == Form::Scalar {
            return Lanes::one(self.load_scalar(dtype, address, offset));
        }
        match dtype {
            DType::F32 | DType::I32 => {
                let ty = Kind::of(dtype).part(form);
                Lanes::one(self.builder.ins().load(ty, flags, address, offset))
            }
            DType::F64 | DType::I64 => {
                let ty = Kind::of(dtype).part(form);
                let low = self.builder.ins().load(ty, flags, address, offset);
                let high = self.builder.ins().load(ty, flags, address, offset + 16);
                Lanes {
                    low,
                    high: Some(high),
                }
            }
            DType::F16 | DType::BF16 => {
                let bits = self.load_words(address, offset);
                Lanes::one(self.widen_bits(dtype, bits))
            }
            DType::I8 | DType::U8 | DType::Bool => {
                let bits = self.builder.ins().load(I32, flags, address, offset);
                let zero = self.int(I32X4, 0);
                let vector = self.builder.ins().insertlane(zero, bits, 0);
                let bytes = self.bits(I8X16, vector);
                let wide = if dtype == DType::I8 {
                    let words = self.builder.ins().swiden_low(bytes);
                    self.builder.ins().swiden_low(words)
                } else {
                    let words = self.builder.ins().uwiden_low(bytes);
                    self.builder.ins().uwiden_low(words)
                };
                if dtype == DType::Bool {
                    let nonzero = self.builder.ins().icmp(IntCC::NotEqual, wide, zero);
                    return Lanes::one(nonzero);
                }
                Lanes::one(wide)
            }
        }
    }

    /// Four 16-bit elements as 32-bit lanes.
    fn load_words(&mut self, address: Value, offset: i32) -> Value {
        let bits = self.builder.ins().load(I64, memory(), address, offset);
        let zero = self.int(I64X2, 0);
        let vector = self.builder.ins().insertlane(zero, bits, 0);
        let words = self.bits(I16X8, vector);
        self.builder.ins().uwiden_low(words)
    }

    fn load_scalar(&mut self, dtype: DType, address: Value, offset: i32) -> Value {
        let flags = memory();
        let ins = self.builder.ins();
        match dtype {
            DType::F64 => ins.load(F64, flags, address, offset),
            DType::F32 => ins.load(F32, flags, address, offset),
            DType::I64 => ins.load(I64, flags, address, offset),
            DType::I32 => ins.load(I32, flags, address, offset),
            DType::I8 => ins.sload8(I32, flags, address, offset),
            DType::U8 => ins.uload8(I32, flags, address, offset),
            DType::Bool => {
                let byte = ins.load(I8, flags, address, offset);
                self.is_nonzero(byte)
            }
            DType::F16 | DType::BF16 => {
                let bits = ins.uload16(I32, flags, address, offset);
                self.widen_bits(dtype, bits)
            }
        }
    }

    /// Writes contiguous elements of a buffer.
    pub(super) fn store(
        &mut self,
        dtype: DType,
        form: Form,
        lanes: Lanes,
        address: Value,
        offset: i32,
    ) {
        let flags = memory();
        if form == Form::Scalar {
            return self.store_scalar(dtype, lanes.low, address, offset);
        }
        match dtype {
            DType::F32 | DType::I32 | DType::F64 | DType::I64 => {
                self.builder.ins().store(flags, lanes.low, address, offset);
                if let Some(high) = lanes.high {
                    self.builder.ins().store(flags, high, address, offset + 16);
                }
            }
            DType::F16 | DType::BF16 => {
                let bits = self.narrow_bits(dtype, lanes.low);
                // As signed, so that packing with saturation keeps all 16 bits.
                let amount = self.iconst(I32, 16);
                let up = self.builder.ins().ishl(bits, amount);
                let signed = self.builder.ins().sshr(up, amount);
                let words = self.builder.ins().snarrow(signed, signed);
                let pairs = self.bits(I64X2, words);
                let low = self.builder.ins().extractlane(pairs, 0);
                self.builder.ins().store(flags, low, address, offset);
            }
            DType::I8 | DType::U8 | DType::Bool => {
                let one = self.int(I32X4, 1);
                let value = match dtype {
                    DType::Bool => self.builder.ins().band(lanes.low, one),
                    _ => lanes.low,
                };
                let words = self.builder.ins().snarrow(value, value);
                let bytes = if dtype == DType::U8 {
                    self.builder.ins().unarrow(words, words)
                } else {
                    self.builder.ins().snarrow(words, words)
                };
                let four = self.bits(I32X4, bytes);
                let low = self.builder.ins().extractlane(four, 0);
                self.builder.ins().store(flags, low, address, offset);
            }
        }
    }

    fn store_scalar(&mut self, dtype: DType, value: Value, address: Value, offset: i32) {
        let flags = memory();
        match dtype {
            DType::F64 | DType::F32 | DType::I64 | DType::I32 | DType::Bool => {
                self.builder.ins().store(flags, value, address, offset);
            }
            DType::I8 | DType::U8 => {
                self.builder.ins().istore8(flags, value, address, offset);
            }
            DType::F16 | DType::BF16 => {
                let bits = self.narrow_bits(dtype, value);
                self.builder.ins().istore16(flags, bits, address, offset);
            }
        }
    }

    /// Reads contiguous elements of a slot.
    pub(super) fn load_slot(
        &mut self,
        kind: Kind,
        form: Form,
        address: Value,
        offset: i32,
    ) -> Lanes {
        let dtype = slot_dtype(kind);
        let lanes = self.load(dtype, form, address, offset);
        if kind == Kind::Bool && form == Form::Scalar {
            return Lanes::one(self.is_nonzero(lanes.low));
        }
        lanes
    }

    /// Writes contiguous elements of a slot.
    pub(super) fn store_slot(
        &mut self,
        kind: Kind,
        form: Form,
        lanes: Lanes,
        address: Value,
        offset: i32,
    ) {
        let lanes = if kind == Kind::Bool && form == Form::Scalar {
            Lanes::one(self.mask_bits(lanes.low))
        } else {
            lanes
        };
        self.store(slot_dtype(kind), form, lanes, address, offset);
    }

    /// `f32` from the bits of a 16-bit real in 32-bit lanes.
    fn widen_bits(&mut self, dtype: DType, bits: Value) -> Value {
        let ty = self.builder.func.dfg.value_type(bits);
        let real = if ty.is_vector() { F32X4 } else { F32 };
        if dtype == DType::BF16 {
            let amount = self.iconst(I32, 16);
            let shifted = self.builder.ins().ishl(bits, amount);
            return self.bits(real, shifted);
        }
        // Exponent and fraction moved into place, then the exponent's bias corrected: once more
        // for infinity and NaN, by a subtraction that normalizes for denormals.
        let magnitude = self.and(bits, 0x7fff);
        let moved = self.shl(magnitude, 13);
        let exponent = self.and(moved, 0x0f80_0000);
        let bias = self.int(ty, 112 << 23);
        let normal = self.builder.ins().iadd(moved, bias);
        let special = self.builder.ins().iadd(normal, bias);
        let top = self.int(ty, 0x0f80_0000);
        let is_special = self.builder.ins().icmp(IntCC::Equal, exponent, top);
        let zero = self.int(ty, 0);
        let is_small = self.builder.ins().icmp(IntCC::Equal, exponent, zero);
        let next = self.int(ty, 113 << 23);
        let small = self.builder.ins().bor(moved, next);
        let small = self.bits(real, small);
        let least = self.bits(real, next);
        let small = self.builder.ins().fsub(small, least);
        let small = self.bits(ty, small);
        let value = self.choose(is_special, special, normal);
        let value = self.choose(is_small, small, value);
        let sign = self.and(bits, 0x8000);
        let sign = self.shl(sign, 16);
        let value = self.builder.ins().bor(value, sign);
        self.bits(real, value)
    }

    /// The bits of the nearest 16-bit real, ties to even, in 32-bit lanes.
    fn narrow_bits(&mut self, dtype: DType, value: Value) -> Value {
        let vector = self.builder.func.dfg.value_type(value).is_vector();
        let ty = if vector { I32X4 } else { I32 };
        let bits = self.bits(ty, value);
        let is_nan = self.builder.ins().fcmp(FloatCC::Unordered, value, value);
        if dtype == DType::BF16 {
            let odd = self.shr(bits, 16);
            let odd = self.and(odd, 1);
            let half = self.int(ty, 0x7fff);
            let rounded = self.builder.ins().iadd(bits, half);
            let rounded = self.builder.ins().iadd(rounded, odd);
            let quiet = self.int(ty, 0x0040_0000);
            let nan = self.builder.ins().bor(bits, quiet);
            let chosen = self.choose(is_nan, nan, rounded);
            return self.shr(chosen, 16);
        }
        let real = if vector { F32X4 } else { F32 };
        let sign = self.and(bits, i64::from(0x8000_0000_u32));
        let magnitude = self.and(bits, 0x7fff_ffff);
        // Below the smallest normal: adding a power of two rounds where the bits belong.
        let magic = self.int(ty, (127 - 15 + 23 - 10 + 1) << 23);
        let magic_real = self.bits(real, magic);
        let small = self.bits(real, magnitude);
        let small = self.builder.ins().fadd(small, magic_real);
        let small = self.bits(ty, small);
        let small = self.builder.ins().isub(small, magic);
        let odd = self.shr(magnitude, 13);
        let odd = self.and(odd, 1);
        let bias = self.int(ty, ((15 - 127) << 23) + 0xfff);
        let normal = self.builder.ins().iadd(magnitude, bias);
        let normal = self.builder.ins().iadd(normal, odd);
        let normal = self.shr(normal, 13);
        let least = self.int(ty, 113 << 23);
        let is_small = self
            .builder
            .ins()
            .icmp(IntCC::SignedLessThan, magnitude, least);
        let value = self.choose(is_small, small, normal);
        let limit = self.int(ty, ((127 + 16) << 23) - 1);
        let is_large = self
            .builder
            .ins()
            .icmp(IntCC::SignedGreaterThan, magnitude, limit);
        let infinity = self.int(ty, 0x7c00);
        let value = self.choose(is_large, infinity, value);
        let nan = self.int(ty, 0x7e00);
        let value = self.choose(is_nan, nan, value);
        let sign = self.shr(sign, 16);
        self.builder.ins().bor(value, sign)
    }

    /// A real rounded to a dtype that is held as `f32`.
    pub(super) fn rounded(&mut self, dtype: DType, lanes: Lanes) -> Lanes {
        match dtype {
            DType::F16 | DType::BF16 => lanes.map(|value| {
                let bits = self.narrow_bits(dtype, value);
                self.widen_bits(dtype, bits)
            }),
            _ => lanes,
        }
    }

    /// An integer wrapped to a dtype that is held in 32 bits.
    pub(super) fn wrapped(&mut self, dtype: DType, lanes: Lanes) -> Lanes {
        match dtype {
            DType::I8 => lanes.map(|value| {
                let up = self.shl(value, 24);
                let amount = self.iconst(I32, 24);
                self.builder.ins().sshr(up, amount)
            }),
            DType::U8 => lanes.map(|value| self.and(value, 0xff)),
            _ => lanes,
        }
    }

    /// Rounded or wrapped to a dtype.
    pub(super) fn fitted(&mut self, dtype: DType, lanes: Lanes) -> Lanes {
        let rounded = self.rounded(dtype, lanes);
        self.wrapped(dtype, rounded)
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

/// The dtype that is stored as slots store a kind.
fn slot_dtype(kind: Kind) -> DType {
    match kind {
        Kind::F32 => DType::F32,
        Kind::F64 => DType::F64,
        Kind::I32 | Kind::Bool => DType::I32,
        Kind::I64 => DType::I64,
    }
}
