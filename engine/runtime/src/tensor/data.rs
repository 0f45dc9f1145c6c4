//! Where a tensor's elements lie, and which Rust types they are.
//!
//! Owned elements stay in the vector that they came in, mapped ones in the
//! file. A buffer and a map are always aligned for the dtype they are used
//! with; the map's alignment is checked by whoever makes the tensor.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytemuck::{AnyBitPattern, NoUninit, Pod};
use girih_graph::DType;
use half::{bf16, f16};
use memmap2::Mmap;

use super::TensorError;

/// A Rust type that is a dtype's elements.
pub trait Element: Copy + Default + NoUninit + Send + Sync + fmt::Debug + sealed::Sealed {
    /// The dtype.
    const DTYPE: DType;

    #[doc(hidden)]
    fn into_buffer(elements: Vec<Self>) -> Buffer;

    #[doc(hidden)]
    fn buffer_mut(buffer: &mut Buffer) -> Option<&mut Vec<Self>>;

    #[doc(hidden)]
    fn view(bytes: &[u8]) -> Result<&[Self], TensorError>;
}

/// An element that can be converted to any other.
///
/// Through `f64` for reals, and through `i64` for integers and `bool`, so
/// that no integer loses digits on its way to another.
pub trait Scalar: Element {
    /// Whether conversion goes through `f64`.
    const IS_REAL: bool;
    /// As a real; nearest.
    fn to_real(self) -> f64;
    /// As an integer; toward zero, clamped.
    fn to_integer(self) -> i64;
    /// Nearest element to a real. Integers: toward zero, clamped, `NaN` is 0;
    /// `bool`: not equal to 0.
    fn from_real(real: f64) -> Self;
    /// Nearest element to an integer; clamped.
    fn from_integer(integer: i64) -> Self;
}

/// A floating point element.
pub trait Real: Scalar {}

/// An integer element.
pub trait Integer: Scalar {}

mod sealed {
    pub trait Sealed {}
}

/// Owned elements.
#[derive(Clone, Debug)]
pub enum Buffer {
    F64(Vec<f64>),
    F32(Vec<f32>),
    F16(Vec<f16>),
    BF16(Vec<bf16>),
    I64(Vec<i64>),
    I32(Vec<i32>),
    I8(Vec<i8>),
    U8(Vec<u8>),
    Bool(Vec<bool>),
}

/// Shared elements, owned or mapped.
#[derive(Clone)]
pub(super) enum TensorData {
    Owned(Arc<Buffer>),
    Mapped { map: Arc<Mmap>, range: Range<usize> },
}

/// Runs an expression with the elements of a buffer, or makes a buffer of a
/// dtype, once per element type.
macro_rules! per_variant {
    ($buffer:expr, $elements:ident => $body:expr) => {
        match $buffer {
            Buffer::F64($elements) => $body,
            Buffer::F32($elements) => $body,
            Buffer::F16($elements) => $body,
            Buffer::BF16($elements) => $body,
            Buffer::I64($elements) => $body,
            Buffer::I32($elements) => $body,
            Buffer::I8($elements) => $body,
            Buffer::U8($elements) => $body,
            Buffer::Bool($elements) => $body,
        }
    };
}

/// Evaluates an expression with `$element` standing for the Rust type of a
/// dtype.
macro_rules! per_dtype {
    ($dtype:expr, $element:ident => $body:expr) => {
        match $dtype {
            girih_graph::DType::F64 => {
                type $element = f64;
                $body
            }
            girih_graph::DType::F32 => {
                type $element = f32;
                $body
            }
            girih_graph::DType::F16 => {
                type $element = half::f16;
                $body
            }
            girih_graph::DType::BF16 => {
                type $element = half::bf16;
                $body
            }
            girih_graph::DType::I64 => {
                type $element = i64;
                $body
            }
            girih_graph::DType::I32 => {
                type $element = i32;
                $body
            }
            girih_graph::DType::I8 => {
                type $element = i8;
                $body
            }
            girih_graph::DType::U8 => {
                type $element = u8;
                $body
            }
            girih_graph::DType::Bool => {
                type $element = bool;
                $body
            }
        }
    };
}
pub(super) use per_dtype;

impl Buffer {
    /// `None` when there is no memory for it.
    pub(super) fn zeros(dtype: DType, count: usize) -> Option<Self> {
        per_dtype!(dtype, E => {
            let mut elements: Vec<E> = Vec::new();
            elements.try_reserve_exact(count).ok()?;
            elements.resize(count, E::default());
            Some(E::into_buffer(elements))
        })
    }

    /// Copies whole elements; a rest that is no element is left out. A `bool`
    /// is true for every byte but 0.
    pub(super) fn from_bytes(dtype: DType, bytes: &[u8]) -> Self {
        fn copied<T: Pod>(bytes: &[u8]) -> Vec<T> {
            let mut elements = vec![T::zeroed(); bytes.len() / size_of::<T>()];
            let target: &mut [u8] = bytemuck::cast_slice_mut(&mut elements);
            let whole = target.len();
            target.copy_from_slice(&bytes[..whole]);
            elements
        }
        match dtype {
            DType::F64 => Self::F64(copied(bytes)),
            DType::F32 => Self::F32(copied(bytes)),
            DType::F16 => Self::F16(copied(bytes)),
            DType::BF16 => Self::BF16(copied(bytes)),
            DType::I64 => Self::I64(copied(bytes)),
            DType::I32 => Self::I32(copied(bytes)),
            DType::I8 => Self::I8(copied(bytes)),
            DType::U8 => Self::U8(bytes.to_vec()),
            DType::Bool => Self::Bool(bytes.iter().map(|&byte| byte != 0).collect()),
        }
    }

    fn bytes(&self) -> &[u8] {
        per_variant!(self, elements => bytemuck::cast_slice(elements))
    }
}

impl TensorData {
    pub(super) fn owned(buffer: Buffer) -> Self {
        Self::Owned(Arc::new(buffer))
    }

    /// `range` must lie within the map and be aligned for the dtype.
    pub(super) fn mapped(map: Arc<Mmap>, range: Range<usize>) -> Self {
        Self::Mapped { map, range }
    }

    pub(super) fn is_mapped(&self) -> bool {
        matches!(self, Self::Mapped { .. })
    }

    /// Gives the memory of mapped data back; tells whether they are mapped.
    pub(super) fn release(&self) -> bool {
        if let Self::Mapped { map, range } = self {
            crate::weights::map::release(map, range.clone());
        }
        self.is_mapped()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Owned(buffer) => buffer.bytes(),
            Self::Mapped { map, range } => &map[range.clone()],
        }
    }

    /// The elements for oneself, copied when mapped or shared.
    pub(super) fn make_owned(&mut self, dtype: DType) -> &mut Buffer {
        if self.is_mapped() {
            *self = Self::owned(Buffer::from_bytes(dtype, self.bytes()));
        }
        match self {
            Self::Owned(buffer) => Arc::make_mut(buffer),
            Self::Mapped { .. } => unreachable!("mapped data were copied just above"),
        }
    }
}

macro_rules! element {
    ($element:ty, $variant:ident, $view:expr) => {
        impl sealed::Sealed for $element {}

        impl Element for $element {
            const DTYPE: DType = DType::$variant;

            fn into_buffer(elements: Vec<Self>) -> Buffer {
                Buffer::$variant(elements)
            }

            fn buffer_mut(buffer: &mut Buffer) -> Option<&mut Vec<Self>> {
                match buffer {
                    Buffer::$variant(elements) => Some(elements),
                    _ => None,
                }
            }

            fn view(bytes: &[u8]) -> Result<&[Self], TensorError> {
                $view(bytes)
            }
        }
    };
}

fn view_plain<T: AnyBitPattern>(bytes: &[u8]) -> &[T] {
    bytemuck::try_cast_slice(bytes).expect("data are whole and aligned for their dtype")
}

fn view_bool(bytes: &[u8]) -> Result<&[bool], TensorError> {
    bytemuck::checked::try_cast_slice(bytes).map_err(|_| TensorError::NotBool)
}

element!(f64, F64, |bytes| Ok(view_plain(bytes)));
element!(f32, F32, |bytes| Ok(view_plain(bytes)));
element!(f16, F16, |bytes| Ok(view_plain(bytes)));
element!(bf16, BF16, |bytes| Ok(view_plain(bytes)));
element!(i64, I64, |bytes| Ok(view_plain(bytes)));
element!(i32, I32, |bytes| Ok(view_plain(bytes)));
element!(i8, I8, |bytes| Ok(view_plain(bytes)));
element!(u8, U8, |bytes| Ok(view_plain(bytes)));
element!(bool, Bool, view_bool);

macro_rules! real {
    ($element:ty, $to:expr, $from:expr, $from_integer:expr) => {
        impl Real for $element {}

        impl Scalar for $element {
            const IS_REAL: bool = true;

            fn to_real(self) -> f64 {
                $to(self)
            }

            fn to_integer(self) -> i64 {
                self.to_real() as i64
            }

            fn from_real(real: f64) -> Self {
                $from(real)
            }

            fn from_integer(integer: i64) -> Self {
                $from_integer(integer)
            }
        }
    };
}

real!(f64, |x| x, |x| x, |n: i64| n as f64);
real!(f32, f64::from, |x: f64| x as f32, |n: i64| n as f32);
// Integers past 2^53 are rounded twice; `f16` is infinite there anyway.
real!(f16, f16::to_f64, f16::from_f64, |n: i64| f16::from_f64(
    n as f64
));
real!(bf16, bf16::to_f64, bf16::from_f64, |n: i64| bf16::from_f64(
    n as f64
));

macro_rules! integer {
    ($element:ty, $to_real:expr, $to_integer:expr) => {
        impl Integer for $element {}

        impl Scalar for $element {
            const IS_REAL: bool = false;

            fn to_real(self) -> f64 {
                $to_real(self)
            }

            fn to_integer(self) -> i64 {
                $to_integer(self)
            }

            fn from_real(real: f64) -> Self {
                real as Self
            }

            fn from_integer(integer: i64) -> Self {
                Self::try_from(integer).unwrap_or(if integer < 0 { Self::MIN } else { Self::MAX })
            }
        }
    };
}

integer!(i64, |n: i64| n as f64, |n| n);
integer!(i32, f64::from, i64::from);
integer!(i8, f64::from, i64::from);
integer!(u8, f64::from, i64::from);

impl Scalar for bool {
    const IS_REAL: bool = false;

    fn to_real(self) -> f64 {
        f64::from(u8::from(self))
    }

    fn to_integer(self) -> i64 {
        i64::from(self)
    }

    fn from_real(real: f64) -> Self {
        real != 0.0
    }

    fn from_integer(integer: i64) -> Self {
        integer != 0
    }
}
