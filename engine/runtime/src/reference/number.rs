//! What the reference backend asks of an element type.
//!
//! `bool` is stored as `u8` of 0 and 1, `i8` as the bytes of `u8`, as the
//! storage has no such types. Sums and products of reals are accumulated in
//! `f64`, functions of `f16` and `bf16` computed in `f32`; the result is
//! rounded once. Integers wrap around.

use candle_core::CpuStorage;
use half::{bf16, f16};

/// Elements of one storage.
pub(super) trait Number: Copy + PartialOrd + Default + Send + Sync + 'static {
    /// In which sums and products are accumulated.
    type Sum: Copy + Send + Sync;

    const ONE: Self;
    /// Identity of the maximum.
    const LEAST: Self;
    /// Identity of the minimum.
    const GREATEST: Self;

    fn cells(storage: &CpuStorage) -> Option<&[Self]>;
    fn store(cells: Vec<Self>) -> CpuStorage;

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

/// Floating point elements.
pub(super) trait Real: Number {
    /// In which functions are computed.
    type Wide: Wide;

    fn wide(self) -> Self::Wide;
    fn narrow(wide: Self::Wide) -> Self;
}

/// Integer elements.
pub(super) trait Whole: Number + Eq {
    fn wrapping_neg(self) -> Self;
    fn wrapping_abs(self) -> Self;
    fn sign(self) -> Self;
    fn complement(self) -> Self;
    fn ones(self) -> Self;
    fn wrapping_add(self, other: Self) -> Self;
    fn wrapping_sub(self, other: Self) -> Self;
    fn wrapping_mul(self, other: Self) -> Self;
    /// Toward −∞; 0 for a zero divisor.
    fn floor_div(self, other: Self) -> Self;
    /// With the divisor's sign; 0 for a zero divisor.
    fn floor_rem(self, other: Self) -> Self;
    fn and(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    /// By the low bits of `other`.
    fn shl(self, other: Self) -> Self;
    /// By the low bits of `other`, zeros from the left.
    fn shr(self, other: Self) -> Self;
}

/// The dtypes that functions are computed in.
pub(super) trait Wide:
    Number
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
    + std::ops::Neg<Output = Self>
    + std::ops::AddAssign
{
    const ZERO: Self;
    fn take(storage: CpuStorage) -> Option<Vec<Self>>;
    fn abs(self) -> Self;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn ln_1p(self) -> Self;
    fn sqrt(self) -> Self;
    fn sin(self) -> Self;
    fn cos(self) -> Self;
    fn tanh(self) -> Self;
    fn floor(self) -> Self;
    fn ceil(self) -> Self;
    fn round_ties_even(self) -> Self;
    fn powf(self, other: Self) -> Self;
    fn erf(self) -> Self;

    /// −1, 0 or 1; `NaN` of `NaN`.
    fn sign(self) -> Self {
        if self > Self::ZERO {
            Self::ONE
        } else if self < Self::ZERO {
            -Self::ONE
        } else if self.is_nan() {
            self
        } else {
            Self::ZERO
        }
    }

    /// With the divisor's sign.
    fn floor_rem(self, other: Self) -> Self;
}

macro_rules! store {
    ($variant:ident) => {
        fn cells(storage: &CpuStorage) -> Option<&[Self]> {
            match storage {
                CpuStorage::$variant(cells) => Some(cells),
                _ => None,
            }
        }

        fn store(cells: Vec<Self>) -> CpuStorage {
            CpuStorage::$variant(cells)
        }
    };
}

macro_rules! real {
    ($type:ident, $variant:ident, $wide:ident, $one:expr, $least:expr, $greatest:expr, $wider:expr, $narrower:expr, $sum:expr, $from_sum:expr) => {
        impl Number for $type {
            type Sum = f64;
            const ONE: Self = $one;
            const LEAST: Self = $least;
            const GREATEST: Self = $greatest;
            store!($variant);

            fn to_sum(self) -> f64 {
                $sum(self)
            }

            fn from_sum(sum: f64) -> Self {
                $from_sum(sum)
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

        impl Real for $type {
            type Wide = $wide;

            fn wide(self) -> $wide {
                $wider(self)
            }

            fn narrow(wide: $wide) -> Self {
                $narrower(wide)
            }
        }
    };
}

real!(
    f64,
    F64,
    f64,
    1.0,
    f64::NEG_INFINITY,
    f64::INFINITY,
    |x| x,
    |x| x,
    |x| x,
    |x| x
);
real!(
    f32,
    F32,
    f32,
    1.0,
    f32::NEG_INFINITY,
    f32::INFINITY,
    |x| x,
    |x| x,
    f64::from,
    |x| x as f32
);
real!(
    f16,
    F16,
    f32,
    f16::ONE,
    f16::NEG_INFINITY,
    f16::INFINITY,
    f16::to_f32,
    f16::from_f32,
    f16::to_f64,
    f16::from_f64
);
real!(
    bf16,
    BF16,
    f32,
    bf16::ONE,
    bf16::NEG_INFINITY,
    bf16::INFINITY,
    bf16::to_f32,
    bf16::from_f32,
    bf16::to_f64,
    bf16::from_f64
);

macro_rules! wide {
    ($type:ident, $variant:ident, $erf:expr) => {
        impl Wide for $type {
            const ZERO: Self = 0.0;

            fn take(storage: CpuStorage) -> Option<Vec<Self>> {
                match storage {
                    CpuStorage::$variant(cells) => Some(cells),
                    _ => None,
                }
            }

            wide!(@functions $type: abs exp ln ln_1p sqrt sin cos tanh floor ceil round_ties_even);

            fn powf(self, other: Self) -> Self {
                $type::powf(self, other)
            }

            fn erf(self) -> Self {
                $erf(self)
            }

            fn floor_rem(self, other: Self) -> Self {
                let rest = self % other;
                if rest != 0.0 && (rest < 0.0) != (other < 0.0) {
                    rest + other
                } else {
                    rest
                }
            }
        }
    };
    (@functions $type:ident: $($name:ident)*) => {
        $(fn $name(self) -> Self { $type::$name(self) })*
    };
}

wide!(f64, F64, candle_core::cpu::erf::erf_f64);
wide!(f32, F32, candle_core::cpu::erf::erf_f32);

macro_rules! whole {
    ($type:ident, $unsigned:ident, $sign:expr, $abs:expr, $count:expr, $amount:expr, { $($store:tt)* }) => {
        impl Number for $type {
            type Sum = Self;
            const ONE: Self = 1;
            const LEAST: Self = $type::MIN;
            const GREATEST: Self = $type::MAX;
            $($store)*

            fn to_sum(self) -> Self {
                self
            }

            fn from_sum(sum: Self) -> Self {
                sum
            }

            fn add(x: Self, y: Self) -> Self {
                $type::wrapping_add(x, y)
            }

            fn mul(x: Self, y: Self) -> Self {
                $type::wrapping_mul(x, y)
            }

            fn is_nan(self) -> bool {
                false
            }
        }

        impl Whole for $type {
            fn wrapping_neg(self) -> Self {
                $type::wrapping_neg(self)
            }

            fn wrapping_abs(self) -> Self {
                $abs(self)
            }

            fn sign(self) -> Self {
                $sign(self)
            }

            fn complement(self) -> Self {
                !self
            }

            fn ones(self) -> Self {
                $count(self.count_ones())
            }

            fn wrapping_add(self, other: Self) -> Self {
                $type::wrapping_add(self, other)
            }

            fn wrapping_sub(self, other: Self) -> Self {
                $type::wrapping_sub(self, other)
            }

            fn wrapping_mul(self, other: Self) -> Self {
                $type::wrapping_mul(self, other)
            }

            fn floor_div(self, other: Self) -> Self {
                if other == 0 {
                    return 0;
                }
                let quotient = self.wrapping_div(other);
                if self.floor_rem(other) != self.wrapping_rem(other) {
                    quotient.wrapping_sub(1)
                } else {
                    quotient
                }
            }

            fn floor_rem(self, other: Self) -> Self {
                if other == 0 {
                    return 0;
                }
                let rest = self.wrapping_rem(other);
                let negative = |x: Self| !matches!($sign(x), 0 | 1);
                if rest != 0 && negative(rest) != negative(other) {
                    rest.wrapping_add(other)
                } else {
                    rest
                }
            }

            fn and(self, other: Self) -> Self {
                self & other
            }

            fn or(self, other: Self) -> Self {
                self | other
            }

            fn xor(self, other: Self) -> Self {
                self ^ other
            }

            fn shl(self, other: Self) -> Self {
                self.wrapping_shl($amount(other))
            }

            fn shr(self, other: Self) -> Self {
                (self as $unsigned).wrapping_shr($amount(other)) as Self
            }
        }
    };
}

whole!(
    i64,
    u64,
    i64::signum,
    i64::wrapping_abs,
    i64::from,
    |x| x as u32,
    {
        store!(I64);
    }
);
whole!(
    i32,
    u32,
    i32::signum,
    i32::wrapping_abs,
    |n| n as i32,
    |x| x as u32,
    {
        store!(I32);
    }
);
whole!(u8, u8, |x: u8| x.min(1), |x| x, |n| n as u8, u32::from, {
    store!(U8);
});
whole!(
    i8,
    u8,
    i8::signum,
    i8::wrapping_abs,
    |n| n as i8,
    |x| x as u32,
    {
        fn cells(storage: &CpuStorage) -> Option<&[Self]> {
            u8::cells(storage).map(bytemuck::cast_slice)
        }

        fn store(cells: Vec<Self>) -> CpuStorage {
            CpuStorage::U8(cells.into_iter().map(i8::cast_unsigned).collect())
        }
    }
);

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
pub(super) use per_number;
