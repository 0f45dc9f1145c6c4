//! The structs of devices, field for field.

use std::ffi::{c_char, c_void};

use super::{Host, Status};

/// Memory of a device from a byte on.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Place {
    /// Of `alloc`.
    pub memory: *mut c_void,
    /// In bytes.
    pub offset: u64,
}

/// What an open device is.
#[derive(Debug)]
#[repr(C)]
pub struct DeviceInfo {
    /// Size where the host was built.
    pub struct_size: u32,
    /// 0.
    pub unused: u32,
    /// Memory in all.
    pub bytes: u64,
    /// For people.
    pub name: [u8; 112],
}

/// What a guard that fails writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Failure {
    /// 0: none failed.
    pub status: i64,
    /// That was outside.
    pub position: i64,
    /// The first position outside.
    pub extent: i64,
    /// Which launch of a kernel.
    pub launch: i64,
}

/// One run of a region.
#[derive(Debug)]
#[repr(C)]
pub struct RegionCall {
    /// Size where the host was built.
    pub struct_size: u32,
    /// Number of [`RegionCall::buffers`].
    pub buffer_count: u32,
    /// Number of [`RegionCall::symbols`].
    pub symbol_count: u32,
    /// 0.
    pub unused: u32,
    /// One for each buffer.
    pub buffers: *const Place,
    /// One for each symbol.
    pub symbols: *const i64,
    /// A [`Failure`].
    pub failure: Place,
}

/// `score` of [`DeviceTable`].
pub type ScoreFn = unsafe extern "C" fn(*mut c_void, *const Host, *mut f64) -> Status;
/// `open` of [`DeviceTable`].
pub type OpenFn = unsafe extern "C" fn(*mut c_void, *const Host, u32, *mut *mut c_void) -> Status;
/// `close` of [`DeviceTable`], and `release`.
pub type EndFn = unsafe extern "C" fn(*mut c_void);
/// `describe` of [`DeviceTable`].
pub type DescribeFn = unsafe extern "C" fn(*mut c_void, *mut DeviceInfo) -> Status;
/// `alloc` of [`DeviceTable`].
pub type AllocFn = unsafe extern "C" fn(*mut c_void, u64, *mut *mut c_void) -> Status;
/// `free` of [`DeviceTable`].
pub type FreeFn = unsafe extern "C" fn(*mut c_void, *mut c_void);
/// `write` of [`DeviceTable`].
pub type WriteFn = unsafe extern "C" fn(*mut c_void, Place, *const c_void, u64) -> Status;
/// `read` of [`DeviceTable`].
pub type ReadFn = unsafe extern "C" fn(*mut c_void, Place, *mut c_void, u64) -> Status;
/// `copy` of [`DeviceTable`].
pub type CopyFn = unsafe extern "C" fn(*mut c_void, Place, Place, u64) -> Status;
/// `wait` of [`DeviceTable`].
pub type WaitFn = unsafe extern "C" fn(*mut c_void) -> Status;
/// `compile` of [`DeviceTable`].
pub type CompileFn =
    unsafe extern "C" fn(*mut c_void, *const c_char, u64, *mut *mut c_void) -> Status;
/// `run` of [`DeviceTable`].
pub type RunRegionFn = unsafe extern "C" fn(*mut c_void, *const RegionCall) -> Status;

/// A kind of device.
#[derive(Debug)]
#[repr(C)]
pub struct DeviceTable {
    /// Size where the plugin was built.
    pub struct_size: u32,
    /// 0.
    pub flags: u32,
    /// As written after `--backend`.
    pub name: *const c_char,
    /// How well this machine serves.
    pub score: Option<ScoreFn>,
    /// Opens a device.
    pub open: Option<OpenFn>,
    /// Ends it.
    pub close: Option<EndFn>,
    /// What it is.
    pub describe: Option<DescribeFn>,
    /// Memory.
    pub alloc: Option<AllocFn>,
    /// Gives it back.
    pub free: Option<FreeFn>,
    /// From the host.
    pub write: Option<WriteFn>,
    /// To the host.
    pub read: Option<ReadFn>,
    /// On the device.
    pub copy: Option<CopyFn>,
    /// For all that was asked.
    pub wait: Option<WaitFn>,
    /// Makes code for a region.
    pub compile: Option<CompileFn>,
    /// Runs it.
    pub run: Option<RunRegionFn>,
    /// Ends it.
    pub release: Option<EndFn>,
}

/// All devices.
#[derive(Debug)]
#[repr(C)]
pub struct Devices {
    /// Size where the plugin was built.
    pub struct_size: u32,
    /// Number of [`Devices::devices`].
    pub count: u32,
    /// One table each.
    pub devices: *const *const DeviceTable,
}

// SAFETY: a plugin's tables are constant for as long as the process lives; the border demands it.
#[expect(unsafe_code, reason = "constant tables with pointers are shared")]
unsafe impl Sync for Devices {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "constant tables with pointers are shared")]
unsafe impl Sync for DeviceTable {}
