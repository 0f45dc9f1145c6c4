//! Which precompiled routine computes a step.
//!
//! Generated code gets the table by pointer and loads an entry by its offset, so that no
//! address is part of the code. What the table lacks, the remainder of reals, is here and lies
//! in the frame of a call.

#![expect(
    unsafe_code,
    reason = "routines are functions over raw blocks that generated code calls"
)]

use std::mem::offset_of;

use girih_graph::DType;
use girih_graph::op::{Binary, Unary};
use girih_kernels::table::{BinaryF32, BinaryF64, Routines};

use super::frame::Frame;

/// A function of whole blocks of `f32`, or of `f64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Routine {
    Exp,
    Log,
    Log1p,
    Sin,
    Cos,
    Tanh,
    Sigmoid,
    Erf,
    Silu,
    GeluErf,
    GeluTanh,
    Softplus,
    Pow,
    Remainder,
    /// `exp(x - m)` with the sum of all; `f32` only.
    ExpSum,
    /// Combinations of all elements of a block.
    Sum,
    Product,
    Largest,
    Smallest,
    SumSquares,
    Dot,
    /// A step of a linear recurrence; `f32` only.
    Fade,
}

/// Where an entry lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Bytes from the beginning of [`Routines`].
    Table(usize),
    /// Bytes from the beginning of [`Frame`].
    Frame(usize),
}

impl Routine {
    /// The routine that computes a function of one real.
    pub(super) fn of_unary(op: Unary) -> Option<Self> {
        Some(match op {
            Unary::Exp => Self::Exp,
            Unary::Log => Self::Log,
            Unary::Log1p => Self::Log1p,
            Unary::Sin => Self::Sin,
            Unary::Cos => Self::Cos,
            Unary::Tanh => Self::Tanh,
            Unary::Sigmoid => Self::Sigmoid,
            Unary::Erf => Self::Erf,
            Unary::Neg
            | Unary::Abs
            | Unary::Sign
            | Unary::Sqrt
            | Unary::Rsqrt
            | Unary::Floor
            | Unary::Ceil
            | Unary::Round
            | Unary::Not
            | Unary::PopCount => return None,
        })
    }

    /// The routine that computes a function of two values.
    pub(super) fn of_binary(op: Binary, dtype: DType) -> Option<Self> {
        match op {
            Binary::Pow => Some(Self::Pow),
            Binary::Rem if dtype.is_real() => Some(Self::Remainder),
            _ => None,
        }
    }

    /// Operands in blocks.
    pub(super) fn arity(self) -> usize {
        match self {
            Self::Pow | Self::Remainder | Self::Dot => 2,
            _ => 1,
        }
    }

    /// Where its entry for `f64`, or else `f32`, lies.
    pub(super) fn place(self, wide: bool) -> Place {
        macro_rules! entry {
            ($narrow:ident, $wide:ident) => {
                Place::Table(if wide {
                    offset_of!(Routines, $wide)
                } else {
                    offset_of!(Routines, $narrow)
                })
            };
        }
        match self {
            Self::Exp => entry!(exp_f32, exp_f64),
            Self::Log => entry!(log_f32, log_f64),
            Self::Log1p => entry!(log1p_f32, log1p_f64),
            Self::Sin => entry!(sin_f32, sin_f64),
            Self::Cos => entry!(cos_f32, cos_f64),
            Self::Tanh => entry!(tanh_f32, tanh_f64),
            Self::Sigmoid => entry!(sigmoid_f32, sigmoid_f64),
            Self::Erf => entry!(erf_f32, erf_f64),
            Self::Silu => entry!(silu_f32, silu_f64),
            Self::GeluErf => entry!(gelu_erf_f32, gelu_erf_f64),
            Self::GeluTanh => entry!(gelu_tanh_f32, gelu_tanh_f64),
            Self::Softplus => entry!(softplus_f32, softplus_f64),
            Self::Pow => entry!(pow_f32, pow_f64),
            Self::Sum => entry!(sum_f32, sum_f64),
            Self::Product => entry!(prod_f32, prod_f64),
            Self::Largest => entry!(max_f32, max_f64),
            Self::Smallest => entry!(min_f32, min_f64),
            Self::SumSquares => entry!(sum_squares_f32, sum_squares_f64),
            Self::Dot => entry!(dot_f32, dot_f64),
            Self::ExpSum => Place::Table(offset_of!(Routines, exp_sum_f32)),
            Self::Fade => Place::Table(offset_of!(Routines, fade_f32)),
            Self::Remainder if wide => Place::Frame(offset_of!(Frame, remainder_f64)),
            Self::Remainder => Place::Frame(offset_of!(Frame, remainder_f32)),
        }
    }
}

macro_rules! remainder {
    ($name:ident, $function:ident, $real:ty, $type:ty) => {
        /// Remainders with the divisor's sign.
        pub(super) const $name: $type = $function;

        unsafe extern "C" fn $function(x: *const $real, y: *const $real, z: *mut $real, n: usize) {
            for i in 0..n {
                // SAFETY: the caller gives `n` elements of each block.
                let x = unsafe { *x.add(i) };
                // SAFETY: as above.
                let y = unsafe { *y.add(i) };
                let rest = x % y;
                let other_sign = rest != 0.0 && (rest < 0.0) != (y < 0.0);
                // SAFETY: as above.
                unsafe { *z.add(i) = if other_sign { rest + y } else { rest } };
            }
        }
    };
}

remainder!(REMAINDER_F32, remainder_f32, f32, BinaryF32);
remainder!(REMAINDER_F64, remainder_f64, f64, BinaryF64);
