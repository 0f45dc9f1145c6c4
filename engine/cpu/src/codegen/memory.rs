//! Elements of buffers and slots in generated code, read and written without alignment.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F32, F64, I8, I8X16, I16X8, I32, I32X4, I64, I64X2};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value};
use girih_graph::DType;

use super::lanes::{Form, Kind, Lanes, Writer};

/// Memory that is there and need not be aligned.
pub(super) fn memory() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

impl Writer<'_> {
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
