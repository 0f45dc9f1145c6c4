//! Elementwise steps as expressions over the variables of their operands.

use girih_graph::DType;
use girih_graph::op::{Binary, Unary};

use super::types::{fitted, function, real};

/// A function of one value.
pub(super) fn unary(op: Unary, dtype: DType, x: &str) -> String {
    if dtype.is_real() {
        return unary_real(op, dtype, x);
    }
    let eight = dtype.size() == 1;
    let value = match op {
        Unary::Not if dtype == DType::Bool => return format!("!{x}"),
        Unary::Not => format!("~{x}"),
        Unary::Neg if dtype == DType::I64 => format!("sub(0ll, {x})"),
        Unary::Neg => format!("sub(0, {x})"),
        Unary::Abs => format!("magnitude({x})"),
        Unary::Sign => return format!("sign({x})"),
        Unary::PopCount if dtype == DType::I64 => return format!("(i64)__popcll((u64){x})"),
        Unary::PopCount if eight => return format!("__popc((u32){x} & 255u)"),
        _ => return format!("__popc((u32){x})"),
    };
    fitted(dtype, value)
}

fn unary_real(op: Unary, dtype: DType, x: &str) -> String {
    let call = |name: &str| format!("{}({x})", function(name, dtype));
    let one = if dtype == DType::F64 { "1.0" } else { "1.0f" };
    let value = match op {
        Unary::Neg => return format!("-{x}"),
        Unary::Abs => return call("fabs"),
        Unary::Sign => return format!("sign({x})"),
        Unary::Exp => call("exp"),
        Unary::Log => call("log"),
        Unary::Log1p => call("log1p"),
        Unary::Sqrt => call("sqrt"),
        Unary::Rsqrt => format!("{one} / {}", call("sqrt")),
        Unary::Sin => call("sin"),
        Unary::Cos => call("cos"),
        Unary::Tanh => call("tanh"),
        Unary::Sigmoid => format!("sigmoid({x})"),
        Unary::Erf => call("erf"),
        Unary::Floor => call("floor"),
        Unary::Ceil => call("ceil"),
        Unary::Round => call("rint"),
        // Whoever makes kernels has them for integers only.
        Unary::Not | Unary::PopCount => real(dtype, f64::NAN),
    };
    fitted(dtype, value)
}

/// A function of two values of one dtype.
pub(super) fn binary(op: Binary, dtype: DType, x: &str, y: &str) -> String {
    let whole = !dtype.is_real();
    let low = dtype.size() * 8 - 1;
    let value = match op {
        Binary::Eq => return format!("{x} == {y}"),
        Binary::Ne => return format!("{x} != {y}"),
        Binary::Lt => return format!("{x} < {y}"),
        Binary::Le => return format!("{x} <= {y}"),
        Binary::Gt => return format!("{x} > {y}"),
        Binary::Ge => return format!("{x} >= {y}"),
        Binary::Max => return format!("larger({x}, {y})"),
        Binary::Min => return format!("smaller({x}, {y})"),
        Binary::And => return format!("{x} & {y}"),
        Binary::Or => return format!("{x} | {y}"),
        Binary::Xor => return format!("{x} ^ {y}"),
        Binary::Add if whole => format!("add({x}, {y})"),
        Binary::Sub if whole => format!("sub({x}, {y})"),
        Binary::Mul if whole => format!("mul({x}, {y})"),
        Binary::FloorDiv if whole => format!("floor_div({x}, {y})"),
        Binary::Shl => format!("shl({x}, {y}, {low})"),
        Binary::Shr if dtype.size() == 1 => format!("shr({x} & 255, {y}, {low})"),
        Binary::Shr => format!("shr({x}, {y}, {low})"),
        Binary::Rem => format!("floor_rem({x}, {y})"),
        Binary::Add => format!("{x} + {y}"),
        Binary::Sub => format!("{x} - {y}"),
        Binary::Mul => format!("{x} * {y}"),
        Binary::Div => format!("{x} / {y}"),
        Binary::FloorDiv => format!("{}({x} / {y})", function("floor", dtype)),
        Binary::Pow => format!("{}({x}, {y})", function("pow", dtype)),
    };
    fitted(dtype, value)
}

/// A value of one dtype in another one.
pub(super) fn cast(from: DType, to: DType, x: &str) -> String {
    let whole = |x: String| match to {
        DType::I64 => x,
        DType::I32 => format!("clamp_i32({x})"),
        DType::I8 => format!("clamp_i8({x})"),
        _ => format!("clamp_u8({x})"),
    };
    match (from, to) {
        _ if from == to => x.to_owned(),
        (DType::Bool, DType::F64) => format!("(double){x}"),
        (DType::Bool, _) if to.is_real() => format!("(float){x}"),
        (DType::Bool, _) => format!("({}){x}", super::types::held(to)),
        (_, DType::Bool) => format!("{x} != 0"),
        (_, DType::F64) => format!("(double){x}"),
        (_, DType::F32) => format!("(float){x}"),
        (_, DType::F16 | DType::BF16) => fitted(to, format!("(float){x}")),
        (_, DType::I64 | DType::I32 | DType::I8 | DType::U8) if from.is_real() => {
            whole(format!("whole_i64((double){x})"))
        }
        (_, DType::I64 | DType::I32 | DType::I8 | DType::U8) => whole(format!("(i64){x}")),
    }
}
