//! `include/girih_plugin.h` in Rust: the same structs, field for field.
//!
//! What each field and function means – state, thread, lifetime, errors – is said there, once. `tests/layout.rs` holds
//! both against each other with a C compiler. Function pointers are `Option`s because what comes over the border may be
//! null.

mod device;

use std::ffi::{c_char, c_void};

pub use device::{
    AllocFn, CompileFn, CopyFn, DescribeFn, DeviceInfo, DeviceTable, Devices, EndFn, Failure,
    FreeFn, OpenFn, Place, ReadFn, RegionCall, RunRegionFn, ScoreFn, WaitFn, WriteFn,
};

/// Changes when plugins break.
pub const MAJOR: u16 = 0;
/// Grows when something is appended.
pub const MINOR: u16 = 2;

/// The capability of operations.
pub const OPS: &std::ffi::CStr = c"girih.op/1";

/// The capability of devices.
pub const DEVICES: &std::ffi::CStr = c"girih.device/1";

/// Name of the exported function.
pub const QUERY: &std::ffi::CStr = c"girih_plugin_query";

/// The longest text of a plugin, in bytes.
pub const SOURCE_LIMIT: usize = 16 << 20;

/// The largest alignment of memory and workspaces.
pub const MOST_ALIGN: usize = 4096;

/// `device_type` of the processor's memory.
pub const DL_CPU: i32 = 1;
/// Signed integers.
pub const DL_INT: u8 = 0;
/// Unsigned integers.
pub const DL_UINT: u8 = 1;
/// IEEE 754 numbers.
pub const DL_FLOAT: u8 = 2;
/// Brain floats.
pub const DL_BFLOAT: u8 = 4;
/// Truth values.
pub const DL_BOOL: u8 = 6;

/// Where data lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct DlDevice {
    /// [`DL_CPU`].
    pub device_type: i32,
    /// 0.
    pub device_id: i32,
}

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct DlDataType {
    /// [`DL_FLOAT`], …
    pub code: u8,
    /// 8, 16, 32 or 64.
    pub bits: u8,
    /// 1.
    pub lanes: u16,
}

/// A tensor.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct DlTensor {
    /// First element.
    pub data: *mut c_void,
    /// Where it lies.
    pub device: DlDevice,
    /// Number of axes.
    pub ndim: i32,
    /// Element type.
    pub dtype: DlDataType,
    /// Extents.
    pub shape: *mut i64,
    /// In elements.
    pub strides: *mut i64,
    /// Always 0.
    pub byte_offset: u64,
}

/// The host's.
#[repr(C)]
pub struct ErrorObject {
    private: [u8; 0],
}

/// Null: done.
pub type Status = *mut ErrorObject;

/// See [`Code`](crate::Code).
pub const UNSUPPORTED: u32 = 1;
/// See [`Code`](crate::Code).
pub const INVALID: u32 = 2;
/// See [`Code`](crate::Code).
pub const MEMORY: u32 = 3;
/// See [`Code`](crate::Code).
pub const INTERNAL: u32 = 4;

/// What a plugin may ask its host for.
#[derive(Debug)]
#[repr(C)]
pub struct Host {
    /// Size where the host was built.
    pub struct_size: u32,
    /// The host's version.
    pub major: u16,
    /// The host's version.
    pub minor: u16,
    /// Makes an error.
    pub error: Option<unsafe extern "C" fn(*const Host, u32, *const c_char) -> Status>,
    /// Memory for a kernel.
    pub alloc: Option<unsafe extern "C" fn(*const Host, u64, u32) -> *mut c_void>,
    /// Gives it back.
    pub free: Option<unsafe extern "C" fn(*const Host, *mut c_void)>,
}

/// Who asks.
#[derive(Debug)]
#[repr(C)]
pub struct HostInfo {
    /// Size where the host was built.
    pub struct_size: u32,
    /// The newest version it speaks.
    pub major: u16,
    /// The newest version it speaks.
    pub minor: u16,
    /// `girih`.
    pub name: *const c_char,
    /// `0.1.0`.
    pub version: *const c_char,
}

/// Dtype and extents.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Type {
    /// Element type.
    pub dtype: DlDataType,
    /// Number of axes.
    pub rank: u32,
    /// Extents, outermost axis first.
    pub shape: *const i64,
}

/// [`Attr::integer`] is a truth value.
pub const ATTR_BOOL: u32 = 1;
/// [`Attr::integer`] holds it.
pub const ATTR_INT: u32 = 2;
/// [`Attr::real`] holds it.
pub const ATTR_REAL: u32 = 3;
/// [`Attr::text`] holds it.
pub const ATTR_TEXT: u32 = 4;

/// A static argument.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Attr {
    /// Its name.
    pub name: *const c_char,
    /// [`ATTR_BOOL`], …
    pub kind: u32,
    /// 0.
    pub unused: u32,
    /// Integers and truth values.
    pub integer: i64,
    /// Real numbers.
    pub real: f64,
    /// Text.
    pub text: *const c_char,
}

/// What a kernel is made for.
#[derive(Debug)]
#[repr(C)]
pub struct Spec {
    /// Size where the host was built.
    pub struct_size: u32,
    /// Number of [`Spec::attrs`].
    pub attr_count: u32,
    /// Number of [`Spec::operands`].
    pub operand_count: u32,
    /// Number of [`Spec::results`].
    pub result_count: u32,
    /// The most threads.
    pub threads: u32,
    /// 0.
    pub unused: u32,
    /// Static arguments.
    pub attrs: *const Attr,
    /// Their types.
    pub operands: *const Type,
    /// Their types.
    pub results: *const Type,
    /// The host.
    pub host: *const Host,
}

/// A kernel.
#[derive(Debug)]
#[repr(C)]
pub struct Prepared {
    /// Size where the host was built.
    pub struct_size: u32,
    /// Of the workspace.
    pub workspace_align: u32,
    /// Of the workspace.
    pub workspace_bytes: u64,
    /// The plugin's.
    pub kernel: *mut c_void,
}

/// One item of shared work: data, item, thread.
pub type Body = unsafe extern "C" fn(*mut c_void, u64, u32);

/// What one run reads and writes.
#[derive(Debug)]
#[repr(C)]
pub struct Call {
    /// Size where the host was built.
    pub struct_size: u32,
    /// Number of [`Call::operands`].
    pub operand_count: u32,
    /// Number of [`Call::results`].
    pub result_count: u32,
    /// The most threads.
    pub threads: u32,
    /// Read.
    pub operands: *const DlTensor,
    /// Written.
    pub results: *const DlTensor,
    /// Scratch memory.
    pub workspace: *mut c_void,
    /// The host.
    pub host: *const Host,
    /// Shares work out.
    pub parallel_for: Option<unsafe extern "C" fn(*const Call, u64, Option<Body>, *mut c_void)>,
}

/// What a run costs.
#[derive(Debug)]
#[repr(C)]
pub struct Cost {
    /// Size where the host was built.
    pub struct_size: u32,
    /// 0.
    pub unused: u32,
    /// On numbers.
    pub operations: f64,
    /// Read and written.
    pub bytes: f64,
}

/// Operands may have any strides.
pub const STRIDED: u32 = 1;

/// `prepare` of [`OpTable`].
pub type PrepareFn = unsafe extern "C" fn(*mut c_void, *const Spec, *mut Prepared) -> Status;
/// `run` of [`OpTable`].
pub type RunFn = unsafe extern "C" fn(*mut c_void, *const Call) -> Status;
/// `release` of [`OpTable`].
pub type ReleaseFn = unsafe extern "C" fn(*mut c_void);
/// `cost` of [`OpTable`].
pub type CostFn = unsafe extern "C" fn(*mut c_void, *const Spec, *mut Cost) -> Status;

/// The kernels of one function.
#[derive(Debug)]
#[repr(C)]
pub struct OpTable {
    /// Size where the plugin was built.
    pub struct_size: u32,
    /// [`STRIDED`].
    pub flags: u32,
    /// The function.
    pub name: *const c_char,
    /// Makes a kernel.
    pub prepare: Option<PrepareFn>,
    /// Runs it.
    pub run: Option<RunFn>,
    /// Ends it.
    pub release: Option<ReleaseFn>,
    /// Since minor 1.
    pub cost: Option<CostFn>,
}

/// All operations.
#[derive(Debug)]
#[repr(C)]
pub struct Ops {
    /// Size where the plugin was built.
    pub struct_size: u32,
    /// Number of [`Ops::ops`].
    pub count: u32,
    /// One table each.
    pub ops: *const *const OpTable,
}

/// First bytes of a [`Note`].
pub const MAGIC_PARTS: [&[u8]; 2] = [b"\x7fGIRIH\x1f", b"plugin\r\n\x1a"];

/// Size of a [`Note`].
pub const NOTE_SIZE: u32 = 512;

/// Who the plugin is.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Note {
    /// [`MAGIC_PARTS`], joined.
    pub magic: [u8; 16],
    /// [`NOTE_SIZE`].
    pub size: u32,
    /// The newest version spoken.
    pub major: u16,
    /// The newest version spoken.
    pub minor: u16,
    /// The oldest one of it.
    pub oldest_minor: u16,
    /// 0.
    pub unused: u16,
    /// 0.
    pub reserved: u32,
    /// Unique.
    pub id: [u8; 96],
    /// The plugin's own.
    pub version: [u8; 32],
    /// Of the code.
    pub license: [u8; 32],
    /// Where to ask.
    pub url: [u8; 128],
    /// What it was built for.
    pub target: [u8; 48],
    /// What it offers.
    pub capabilities: [u8; 144],
}

/// The plugin.
#[derive(Debug)]
#[repr(C)]
pub struct Plugin {
    /// Size where the plugin was built.
    pub struct_size: u32,
    /// The version that the tables speak.
    pub major: u16,
    /// The version that the tables speak.
    pub minor: u16,
    /// Who it is.
    pub note: *const Note,
    /// Its text.
    pub source: *const c_char,
    /// What it cannot do without.
    pub needs: *const *const c_char,
    /// Begins.
    pub init: Option<unsafe extern "C" fn(*const Host, *mut *mut c_void) -> Status>,
    /// Ends.
    pub deinit: Option<unsafe extern "C" fn(*mut c_void)>,
    /// A capability's table.
    pub get: Option<unsafe extern "C" fn(*mut c_void, *const c_char) -> *const c_void>,
}

/// The exported function.
pub type QueryFn = unsafe extern "C" fn(*const HostInfo) -> *const Plugin;

// SAFETY: a plugin's tables and its note are constant for as long as the process lives; the border demands it.
#[expect(unsafe_code, reason = "constant tables with pointers are shared")]
unsafe impl Sync for Plugin {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "constant tables with pointers are shared")]
unsafe impl Sync for Ops {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "constant tables with pointers are shared")]
unsafe impl Sync for OpTable {}
