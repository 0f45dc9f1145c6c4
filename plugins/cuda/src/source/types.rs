//! How dtypes are written.

use girih_graph::DType;
use girih_graph::op::Combine;
use girih_plan::kernel::Constant;

/// The type of an element in memory.
pub(super) const fn stored(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "double",
        DType::F32 => "float",
        DType::F16 => "f16",
        DType::BF16 => "bf16",
        DType::I64 => "i64",
        DType::I32 => "int",
        DType::I8 => "i8",
        DType::U8 | DType::Bool => "u8",
    }
}

/// The type of a value while it is computed.
pub(super) const fn held(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "double",
        DType::F32 | DType::F16 | DType::BF16 => "float",
        DType::I64 => "i64",
        DType::I32 | DType::I8 | DType::U8 => "int",
        DType::Bool => "bool",
    }
}

/// The type of a value while others are combined with it.
pub(super) const fn running(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "int",
        other => held(other),
    }
}

/// A value as it is stored.
pub(super) fn to_stored(dtype: DType, value: &str) -> String {
    match dtype {
        DType::F64 | DType::F32 | DType::I64 | DType::I32 => value.to_owned(),
        DType::F16 => format!("to_f16({value})"),
        DType::BF16 => format!("to_bf16({value})"),
        DType::I8 => format!("(i8){value}"),
        DType::U8 | DType::Bool => format!("(u8){value}"),
    }
}

/// A value rounded or wrapped to a dtype that is held in a wider type.
pub(super) fn fitted(dtype: DType, value: String) -> String {
    match dtype {
        DType::F64 | DType::F32 | DType::I64 | DType::I32 | DType::Bool => value,
        DType::F16 => format!("round_f16({value})"),
        DType::BF16 => format!("round_bf16({value})"),
        DType::I8 => format!("wrap_i8({value})"),
        DType::U8 => format!("wrap_u8({value})"),
    }
}

/// The name of a function of reals.
pub(super) fn function(name: &str, dtype: DType) -> String {
    match dtype {
        DType::F64 => name.to_owned(),
        _ => format!("{name}f"),
    }
}

/// A number as it is held.
pub(super) fn real(dtype: DType, value: f64) -> String {
    if dtype == DType::F64 {
        return if value.is_finite() {
            format!("{value:?}")
        } else {
            format!("__longlong_as_double({:#x}ll)", value.to_bits())
        };
    }
    let value = value as f32;
    if !value.is_finite() {
        return format!("__int_as_float({:#x})", value.to_bits());
    }
    fitted(dtype, format!("{value:?}f"))
}

/// An integer.
pub(super) fn int(value: i64) -> String {
    match value {
        i64::MIN => "(-9223372036854775807ll - 1)".to_owned(),
        _ if i32::try_from(value).is_ok_and(|own| own != i32::MIN) => value.to_string(),
        _ => format!("{value}ll"),
    }
}

/// A constant of a step.
pub(super) fn constant(dtype: DType, constant: Constant) -> String {
    match constant {
        Constant::Real(bits) => real(dtype, f64::from_bits(bits)),
        Constant::Int(value) => int(value),
        Constant::Bool(value) => value.to_string(),
    }
}

/// What a combination of nothing is.
pub(super) fn identity(combine: Combine, dtype: DType) -> String {
    let least = |least: bool| match dtype {
        DType::F64 | DType::F32 | DType::F16 | DType::BF16 => real(
            dtype,
            if least {
                f64::NEG_INFINITY
            } else {
                f64::INFINITY
            },
        ),
        DType::I64 => int(if least { i64::MIN } else { i64::MAX }),
        DType::I32 => int(i64::from(if least { i32::MIN } else { i32::MAX })),
        DType::I8 => int(i64::from(if least { i8::MIN } else { i8::MAX })),
        DType::U8 => int(i64::from(if least { u8::MIN } else { u8::MAX })),
        DType::Bool => int(i64::from(!least)),
    };
    match combine {
        Combine::Sum if dtype.is_real() => real(dtype, 0.0),
        Combine::Prod if dtype.is_real() => real(dtype, 1.0),
        Combine::Sum | Combine::Any => "0".to_owned(),
        Combine::Prod | Combine::All => "1".to_owned(),
        Combine::Max => least(true),
        Combine::Min => least(false),
    }
}

/// The prelude's type for a combination.
pub(super) const fn combiner(combine: Combine) -> &'static str {
    match combine {
        Combine::Sum => "Sum",
        Combine::Prod => "Prod",
        Combine::Max => "Max",
        Combine::Min => "Min",
        Combine::Any => "Any",
        Combine::All => "All",
    }
}

/// Two values combined, as they are held.
pub(super) fn combined(combine: Combine, dtype: DType, x: &str, y: &str) -> String {
    match combine {
        Combine::Sum if dtype.is_real() => format!("{x} + {y}"),
        Combine::Prod if dtype.is_real() => format!("{x} * {y}"),
        Combine::Sum => format!("add({x}, {y})"),
        Combine::Prod => format!("mul({x}, {y})"),
        Combine::Max => format!("larger({x}, {y})"),
        Combine::Min => format!("smaller({x}, {y})"),
        Combine::Any => format!("{x} || {y}"),
        Combine::All => format!("{x} && {y}"),
    }
}
