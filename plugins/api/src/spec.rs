//! What a kernel is made for: dtypes, extents, static arguments.
#![expect(unsafe_code, reason = "reads the host's tables")]

use std::ffi::CStr;

use crate::error::Error;
use crate::raw::{self, DlDataType};

/// Rust types that are elements of tensors.
pub trait Element: Copy + Send + Sync + sealed::Sealed + 'static {
    /// The dtype as the border has it.
    const DTYPE: DlDataType;
    /// As written in model files.
    const NAME: &'static str;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! elements {
    ($($rust:ty, $code:ident, $bits:literal, $name:literal;)*) => {$(
        impl sealed::Sealed for $rust {}
        impl Element for $rust {
            const DTYPE: DlDataType = DlDataType { code: raw::$code, bits: $bits, lanes: 1 };
            const NAME: &'static str = $name;
        }
    )*};
}

elements! {
    f64, DL_FLOAT, 64, "f64";
    f32, DL_FLOAT, 32, "f32";
    i64, DL_INT, 64, "i64";
    i32, DL_INT, 32, "i32";
    i8, DL_INT, 8, "i8";
    u8, DL_UINT, 8, "u8";
}

/// Element type and extents of one tensor.
#[derive(Clone, Copy, Debug)]
pub struct Type<'a>(&'a raw::Type);

impl<'a> Type<'a> {
    /// Whether elements are `T`.
    pub fn is<T: Element>(&self) -> bool {
        self.0.dtype == T::DTYPE
    }

    /// The element type as the border has it.
    pub fn dtype(&self) -> DlDataType {
        self.0.dtype
    }

    /// Extents, outermost axis first; any may be 0.
    pub fn shape(&self) -> &'a [i64] {
        // SAFETY: the host gives `rank` extents.
        unsafe { slice(self.0.shape, self.0.rank) }
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        self.shape()
            .iter()
            .map(|&extent| usize::try_from(extent).unwrap_or(0))
            .product()
    }
}

/// A static argument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Attribute<'a> {
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A real number.
    Real(f64),
    /// Text.
    Text(&'a str),
}

/// What a kernel is made for. Its operands and results will have exactly these types.
#[derive(Clone, Copy, Debug)]
pub struct Spec<'a>(&'a raw::Spec);

impl<'a> Spec<'a> {
    /// # Safety
    ///
    /// `raw` and all it points at are valid for `'a`, as the border says.
    pub(crate) unsafe fn new(raw: &'a raw::Spec) -> Self {
        Self(raw)
    }

    /// Types of the operands, in order, without the axes that the function does not mention.
    pub fn operands(&self) -> impl ExactSizeIterator<Item = Type<'a>> + use<'a> {
        // SAFETY: the host gives as many as it counts.
        unsafe { slice(self.0.operands, self.0.operand_count) }
            .iter()
            .map(Type)
    }

    /// Types of the results, in order.
    pub fn results(&self) -> impl ExactSizeIterator<Item = Type<'a>> + use<'a> {
        // SAFETY: the host gives as many as it counts.
        unsafe { slice(self.0.results, self.0.result_count) }
            .iter()
            .map(Type)
    }

    /// Type of one operand.
    ///
    /// # Errors
    ///
    /// There are fewer.
    pub fn operand(&self, at: usize) -> Result<Type<'a>, Error> {
        self.operands()
            .nth(at)
            .ok_or_else(|| missing("operand", at))
    }

    /// Type of one result.
    ///
    /// # Errors
    ///
    /// There are fewer.
    pub fn result(&self, at: usize) -> Result<Type<'a>, Error> {
        self.results().nth(at).ok_or_else(|| missing("result", at))
    }

    /// The static argument `name`.
    pub fn attribute(&self, name: &str) -> Option<Attribute<'a>> {
        // SAFETY: the host gives as many as it counts.
        let all = unsafe { slice(self.0.attrs, self.0.attr_count) };
        all.iter().find_map(|attr| {
            // SAFETY: the host's texts end with zero.
            let found = unsafe { text(attr.name) }?;
            if found != name {
                return None;
            }
            match attr.kind {
                raw::ATTR_BOOL => Some(Attribute::Bool(attr.integer != 0)),
                raw::ATTR_INT => Some(Attribute::Int(attr.integer)),
                raw::ATTR_REAL => Some(Attribute::Real(attr.real)),
                // SAFETY: as above.
                raw::ATTR_TEXT => unsafe { text(attr.text) }.map(Attribute::Text),
                _ => None,
            }
        })
    }

    /// The most threads that [`Call::parallel`](crate::Call::parallel) uses.
    pub fn threads(&self) -> usize {
        (self.0.threads as usize).max(1)
    }

    /// Refuses everything but `f32` in operands and results, so that the host computes the text.
    ///
    /// # Errors
    ///
    /// [`Code::Unsupported`](crate::Code::Unsupported).
    pub fn expect_f32(&self) -> Result<(), Error> {
        if self
            .operands()
            .chain(self.results())
            .all(|ty| ty.is::<f32>())
        {
            Ok(())
        } else {
            Err(Error::unsupported("there is a kernel for `f32` only"))
        }
    }
}

pub(crate) fn missing(what: &str, at: usize) -> Error {
    Error::internal(format!("there is no {what} {at}"))
}

/// `count` elements, none if the pointer is null.
///
/// # Safety
///
/// `pointer` is null or valid for `count` elements for `'a`.
pub(crate) unsafe fn slice<'a, T>(pointer: *const T, count: u32) -> &'a [T] {
    if pointer.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: not null, and the rest is the caller's.
    unsafe { std::slice::from_raw_parts(pointer, count as usize) }
}

/// A text of the host, if it is one.
///
/// # Safety
///
/// `pointer` is null or a text that ends with zero and is valid for `'a`.
unsafe fn text<'a>(pointer: *const std::ffi::c_char) -> Option<&'a str> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: not null, and the rest is the caller's.
    unsafe { CStr::from_ptr(pointer) }.to_str().ok()
}
