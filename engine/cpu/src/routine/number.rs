//! What routines ask of an element type.
//!
//! As in the reference backend: sums and products of reals are accumulated in `f64`
//! and rounded once, integers wrap around, `bool` is a byte of 0 or 1.

use half::{bf16, f16};

use crate::frame::Plain;

/// Elements of one dtype.
pub(crate) trait Number: Plain + PartialOrd + Default {
    /// In which sums and products are accumulated.
    type Sum: Copy + Send + Sync;

    /// Identity of the product.
    const ONE: Self;
    /// Identity of the maximum.
    const LEAST: Self;
    /// Identity of the minimum.
    const GREATEST: Self;

    fn to_sum(self) -> Self::Sum;
    fn from_sum(sum: Self::Sum) -> Self;
    fn add(x: Self::Sum, y: Self::Sum) -> Self::Sum;
    fn mul(x: Self::Sum, y: Self::Sum) -> Self::Sum;
    fn is_nan(self) -> bool;

    /// The larger one; `NaN` if one is.
    fn larger(self, other: Self) -> Self {
        if self > other || self.is_nan() {
            self
        } else {
            other
        }
    }

    /// The smaller one; `NaN` if one is.
    fn smaller(self, other: Self) -> Self {
        if self < other || self.is_nan() {
            self
        } else {
            other
        }
    }
}

macro_rules! real {
    ($type:ident, $one:expr, $to:expr, $from:expr) => {
        impl Number for $type {
            type Sum = f64;
            const ONE: Self = $one;
            const LEAST: Self = $type::NEG_INFINITY;
            const GREATEST: Self = $type::INFINITY;

            fn to_sum(self) -> f64 {
                $to(self)
            }

            fn from_sum(sum: f64) -> Self {
                $from(sum)
            }

            fn add(x: f64, y: f64) -> f64 {
                x + y
            }

            fn mul(x: f64, y: f64) -> f64 {
                x * y
            }

            fn is_nan(self) -> bool {
                $type::is_nan(self)
            }
        }
    };
}

real!(f64, 1.0, |x| x, |x| x);
real!(f32, 1.0, f64::from, |x| x as f32);
real!(f16, f16::ONE, f16::to_f64, f16::from_f64);
real!(bf16, bf16::ONE, bf16::to_f64, bf16::from_f64);

macro_rules! whole {
    ($($type:ident)*) => {
        $(impl Number for $type {
            type Sum = Self;
            const ONE: Self = 1;
            const LEAST: Self = $type::MIN;
            const GREATEST: Self = $type::MAX;

            fn to_sum(self) -> Self {
                self
            }

            fn from_sum(sum: Self) -> Self {
                sum
            }

            fn add(x: Self, y: Self) -> Self {
                x.wrapping_add(y)
            }

            fn mul(x: Self, y: Self) -> Self {
                x.wrapping_mul(y)
            }

            fn is_nan(self) -> bool {
                false
            }
        })*
    };
}

whole!(i64 i32 i8 u8);

/// Evaluates an expression with `$type` standing for the stored type of a dtype.
macro_rules! per_number {
    ($dtype:expr, $type:ident => $body:expr) => {
        match $dtype {
            girih_graph::DType::F64 => {
                type $type = f64;
                $body
            }
            girih_graph::DType::F32 => {
                type $type = f32;
                $body
            }
            girih_graph::DType::F16 => {
                type $type = half::f16;
                $body
            }
            girih_graph::DType::BF16 => {
                type $type = half::bf16;
                $body
            }
            girih_graph::DType::I64 => {
                type $type = i64;
                $body
            }
            girih_graph::DType::I32 => {
                type $type = i32;
                $body
            }
            girih_graph::DType::I8 => {
                type $type = i8;
                $body
            }
            girih_graph::DType::U8 | girih_graph::DType::Bool => {
                type $type = u8;
                $body
            }
        }
    };
}
pub(crate) use per_number;

/// Evaluates an expression with `$type` standing for words of an element's size, for
/// whoever only moves elements.
macro_rules! per_word {
    ($dtype:expr, $type:ident => $body:expr) => {
        match $dtype.size() {
            8 => {
                type $type = u64;
                $body
            }
            4 => {
                type $type = u32;
                $body
            }
            2 => {
                type $type = u16;
                $body
            }
            _ => {
                type $type = u8;
                $body
            }
        }
    };
}
pub(crate) use per_word;
