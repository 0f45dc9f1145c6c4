//! 16-bit reals as `f32`, and 8-bit integers in 32 bits: widened, rounded, wrapped.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32, F32X4, I32, I32X4};
use cranelift_codegen::ir::{InstBuilder, Value};
use girih_graph::DType;

use super::lanes::{Lanes, Writer};

impl Writer<'_> {
    /// `f32` from the bits of a 16-bit real in 32-bit lanes.
    pub(super) fn widen_bits(&mut self, dtype: DType, bits: Value) -> Value {
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
    pub(super) fn narrow_bits(&mut self, dtype: DType, value: Value) -> Value {
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
}
