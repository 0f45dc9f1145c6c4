//! NVIDIA's runtime compiler: CUDA C to code for an architecture.
//!
//! The bindings panic where the library is absent, so it is looked for first. `GIRIH_NVRTC` may name
//! the library's file.

use std::ffi::{CString, c_char, c_int};
use std::sync::OnceLock;

use cudarc::nvrtc::{result, sys};
use libloading::Library;

use super::DriverError;
use crate::source::{DEVICE, PRELUDE};

/// Code, as the driver takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Machine code, or PTX that ends with a zero.
    pub bytes: Vec<u8>,
}

/// Finds the library.
///
/// # Errors
///
/// Why there is none.
pub fn load() -> Result<(), DriverError> {
    static FOUND: OnceLock<Result<(), DriverError>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            super::found_toolkit("NVRTC", "GIRIH_NVRTC", "nvrtc", "nvrtcCompileProgram")
        })
        .clone()
}

/// Code of a text for devices of compute capability `major.minor`, given as `10·major + minor`.
///
/// # Errors
///
/// The library is absent, or does not compile the text.
pub fn compile(text: &str, capability: i32) -> Result<Image, DriverError> {
    load()?;
    let known = architectures()?;
    let older = known.iter().copied().filter(|own| *own <= capability);
    let newest = older.max().ok_or_else(|| {
        DriverError::Absent(format!(
            "NVRTC makes no code for compute capability {}.{}",
            capability / 10,
            capability % 10
        ))
    })?;
    // A device that is newer than the library gets what the driver can translate.
    let exact = newest == capability;
    let kind = if exact { "sm" } else { "compute" };
    let options = [
        format!("--gpu-architecture={kind}_{newest}"),
        "--std=c++17".to_owned(),
        // Every step is rounded.
        "--fmad=false".to_owned(),
    ];
    let all = CString::new(format!("{DEVICE}\n{PRELUDE}\n{text}"))
        .map_err(|error| failed("reading the text", &error))?;
    let program = result::create_program(&all, Some(c"girih.cu"))
        .map_err(|error| failed("making a program", &error))?;
    // SAFETY: the program was just made.
    let compiled = unsafe { result::compile_program(program, &options) };
    let image = if compiled.is_ok() {
        image(program, exact)
    } else {
        Err(DriverError::Compile(log(program)))
    };
    // SAFETY: the program is not used any more.
    let destroyed = unsafe { result::destroy_program(program) };
    destroyed.map_err(|error| failed("dropping a program", &error))?;
    image
}

/// What the compiler said.
fn log(program: sys::nvrtcProgram) -> String {
    // SAFETY: whoever made the program has not dropped it.
    let log = unsafe { result::get_program_log(program) }.unwrap_or_default();
    let bytes: Vec<u8> = log.iter().map(|own| own.cast_unsigned()).collect();
    let text = String::from_utf8_lossy(&bytes);
    text.trim_end_matches('\0').to_owned()
}

fn image(program: sys::nvrtcProgram, exact: bool) -> Result<Image, DriverError> {
    let mut size = 0;
    let asked = if exact {
        // SAFETY: the program is compiled, and the size is the caller's.
        unsafe { sys::nvrtcGetCUBINSize(program, &raw mut size) }
    } else {
        // SAFETY: as above.
        unsafe { sys::nvrtcGetPTXSize(program, &raw mut size) }
    };
    asked
        .result()
        .map_err(|error| failed("asking for code", &error))?;
    let mut bytes: Vec<u8> = vec![0; size];
    let place = bytes.as_mut_ptr().cast::<c_char>();
    let taken = if exact {
        // SAFETY: the program is compiled, and there is as much memory as it asked for.
        unsafe { sys::nvrtcGetCUBIN(program, place) }
    } else {
        // SAFETY: as above.
        unsafe { sys::nvrtcGetPTX(program, place) }
    };
    taken
        .result()
        .map_err(|error| failed("taking code", &error))?;
    Ok(Image { bytes })
}

fn architectures() -> Result<Vec<c_int>, DriverError> {
    let mut count: c_int = 0;
    // SAFETY: the library is there, and the number is the caller's.
    let asked = unsafe { sys::nvrtcGetNumSupportedArchs(&raw mut count) };
    asked
        .result()
        .map_err(|error| failed("asking for architectures", &error))?;
    let mut all = vec![0; usize::try_from(count).unwrap_or(0)];
    // SAFETY: as above, with room for so many.
    let taken = unsafe { sys::nvrtcGetSupportedArchs(all.as_mut_ptr()) };
    taken
        .result()
        .map_err(|error| failed("asking for architectures", &error))?;
    Ok(all)
}

fn failed(what: &'static str, why: &dyn std::fmt::Display) -> DriverError {
    DriverError::Call {
        what,
        why: why.to_string(),
    }
}

/// Keeps a library for good.
pub(super) fn keep(library: Library) {
    // Bindings find what is loaded by its name, and keep functions of it.
    std::mem::forget(library);
}
