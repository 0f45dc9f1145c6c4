//! Why an operation did not give its results, and how that crosses the border.
#![expect(unsafe_code, reason = "errors are made by a function of the host")]

use std::any::Any;
use std::ffi::CString;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::raw;

/// What kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Code {
    /// These dtypes, sizes or attributes are not for this operation, or this region not for this device; the host
    /// computes it otherwise.
    Unsupported = raw::UNSUPPORTED,
    /// The numbers are such that there is no result.
    Invalid = raw::INVALID,
    /// Not enough memory.
    Memory = raw::MEMORY,
    /// A mistake of the plugin itself.
    Internal = raw::INTERNAL,
}

/// A failure: its kind and a text for people, lower case, without a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What kind.
    pub code: Code,
    /// What happened.
    pub message: String,
}

impl Error {
    /// There is no kernel or code for this; the host computes it otherwise.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Code::Unsupported, message)
    }

    /// The numbers are such that there is no result.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::Invalid, message)
    }

    /// Not enough memory.
    pub fn memory(message: impl Into<String>) -> Self {
        Self::new(Code::Memory, message)
    }

    /// A mistake of the plugin itself.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The host's object for it. Null, which says "done", if there is no host to ask: it then has broken the border first.
    ///
    /// # Safety
    ///
    /// `host` is null or valid.
    pub(crate) unsafe fn into_status(self, host: *const raw::Host) -> raw::Status {
        let text = self.message.replace('\0', " ");
        let text = CString::new(text).unwrap_or_default();
        // SAFETY: valid unless null, by the caller.
        let Some(make) = (unsafe { host.as_ref() }).and_then(|host| host.error) else {
            return std::ptr::null_mut();
        };
        // SAFETY: the host's function, with its own table and a text that ends with zero.
        unsafe { make(host, self.code as u32, text.as_ptr()) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Runs `body`; a panic in it is an error.
pub(crate) fn caught<T>(body: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // Nothing that the closure touched is looked at after a panic but by the plugin's own code.
    catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|payload| Err(Error::internal(panic_text(payload.as_ref()))))
}

/// What a panic said.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let said = (payload.downcast_ref::<&str>().copied())
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", said.unwrap_or("without a text"))
}
