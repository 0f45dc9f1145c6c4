//! Devices of plugins: their tables are checked when a library is loaded, and what they are given when they are called.
//!
//! Memory and regions know the device that they are of, and keep it open; what is not of it, or too short, never reaches
//! the plugin. What a plugin does with its own memory cannot be checked.
#![expect(unsafe_code, reason = "calls functions of plugins with their pointers")]

use std::collections::BTreeSet;
use std::ffi::{CString, c_void};
use std::fmt;
use std::sync::Arc;

use girih_plugin::raw;

use super::host::{HOST, Said, taken};
use super::library::{Library, NAME_LIMIT, read_sized, read_text};
use super::native::NativeCode;
use crate::device::{Code, Device, DeviceError, Info, Memory, Place, RegionCall};

/// The most kinds of devices of one plugin.
const MOST_DEVICES: u32 = 64;

/// The most bytes of one piece of memory: offsets are signed somewhere.
const MOST_BYTES: u64 = i64::MAX as u64;

/// Names that are the host's own.
const OWN: [&str; 2] = ["cpu", "reference"];

/// One kind's functions.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    pub(super) name: String,
    score: raw::ScoreFn,
    open: raw::OpenFn,
    close: Option<raw::EndFn>,
    describe: raw::DescribeFn,
    alloc: raw::AllocFn,
    free: raw::FreeFn,
    write: raw::WriteFn,
    read: raw::ReadFn,
    copy: raw::CopyFn,
    wait: Option<raw::WaitFn>,
    compile: raw::CompileFn,
    run: raw::RunRegionFn,
    release: Option<raw::EndFn>,
}

/// # Safety
///
/// `devices` is null or the table of devices.
pub(super) unsafe fn read_devices(devices: *const raw::Devices) -> Result<Vec<Kind>, String> {
    if devices.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: as the caller says.
    let devices = unsafe { read_sized(devices, &[size_of::<raw::Devices>()], "girih_devices") }?;
    if devices.count > MOST_DEVICES {
        return Err(format!(
            "it claims {} devices, and may have {MOST_DEVICES}",
            devices.count
        ));
    }
    if devices.devices.is_null() && devices.count > 0 {
        return Err(format!(
            "it claims {} devices, and `devices` is null",
            devices.count
        ));
    }
    let (mut found, mut names) = (Vec::new(), BTreeSet::new());
    for at in 0..devices.count as usize {
        // SAFETY: the list has `count` pointers.
        let table = unsafe { *devices.devices.wrapping_add(at) };
        // SAFETY: the plugin gave it as the table of a device.
        let kind =
            unsafe { read_kind(table) }.map_err(|problem| format!("device {at}: {problem}"))?;
        if !names.insert(kind.name.clone()) {
            return Err(format!("two devices are called `{}`", kind.name));
        }
        found.push(kind);
    }
    Ok(found)
}

/// # Safety
///
/// `table` is null or the table of a device.
unsafe fn read_kind(table: *const raw::DeviceTable) -> Result<Kind, String> {
    // SAFETY: as the caller says.
    let table = unsafe { read_sized(table, &[size_of::<raw::DeviceTable>()], "girih_device") }?;
    // SAFETY: the plugin gave it as a name.
    let name = unsafe { read_text(table.name, NAME_LIMIT, "its name") }?;
    let word = name.starts_with(|c: char| c.is_ascii_lowercase())
        && (name.chars()).all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !word || OWN.contains(&name.as_str()) {
        return Err(format!(
            "`{name}` is no name of a device: lower-case letters, digits and `-`, and neither `cpu` nor `reference`"
        ));
    }
    macro_rules! there {
        ($($field:ident)*) => { Kind {
            $($field: table.$field.ok_or_else(|| format!("`{}` is null", stringify!($field)))?,)*
            close: table.close,
            wait: table.wait,
            release: table.release,
            name,
        } };
    }
    Ok(there!(score open describe alloc free write read copy compile run))
}

/// A device of a plugin that is open.
pub struct PluginDevice {
    open: Arc<Open>,
    info: Info,
}

impl fmt::Debug for PluginDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.open.kind().name, self.info.name)
    }
}

/// What is closed when nobody has any of it.
struct Open {
    library: Arc<Library>,
    entry: usize,
    device: *mut c_void,
}

// SAFETY: what a device is made of is only handed back to functions that any thread may call, several at once.
unsafe impl Send for Open {}
// SAFETY: as above.
unsafe impl Sync for Open {}

impl Open {
    fn kind(&self) -> &Kind {
        self.library.device_at(self.entry)
    }

    fn error(&self, code: NativeCode, message: impl Into<String>) -> DeviceError {
        error(self.kind(), code, message)
    }

    fn done(&self, status: raw::Status) -> Result<(), DeviceError> {
        done(self.kind(), status)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(close) = self.kind().close {
            // SAFETY: `open` made it; what is of it has kept it until now.
            unsafe { close(self.device) };
        }
    }
}

/// Memory of a device of a plugin.
struct Held {
    open: Arc<Open>,
    memory: *mut c_void,
}

// SAFETY: as for `Open`.
unsafe impl Send for Held {}
// SAFETY: as for `Open`.
unsafe impl Sync for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: `alloc` of this device made it, and nobody else gives it back.
        unsafe { (self.open.kind().free)(self.open.device, self.memory) };
    }
}

/// A region of a device of a plugin.
struct Made {
    open: Arc<Open>,
    region: *mut c_void,
}

// SAFETY: as for `Open`.
unsafe impl Send for Made {}
// SAFETY: as for `Open`.
unsafe impl Sync for Made {}

impl Drop for Made {
    fn drop(&mut self) {
        if let Some(release) = self.open.kind().release {
            // SAFETY: `compile` of this device made it, and nobody else releases it.
            unsafe { release(self.region) };
        }
    }
}

fn error(kind: &Kind, code: NativeCode, message: impl Into<String>) -> DeviceError {
    DeviceError {
        code,
        device: kind.name.clone(),
        message: message.into(),
    }
}

fn done(kind: &Kind, status: raw::Status) -> Result<(), DeviceError> {
    match taken(status) {
        None => Ok(()),
        Some(Said { code, message }) => Err(error(kind, code, message)),
    }
}

/// How well this machine serves a kind of device.
///
/// # Errors
///
/// Why it cannot.
pub(super) fn score(library: &Library, entry: usize) -> Result<f64, DeviceError> {
    let kind = library.device_at(entry);
    let mut score = f64::NAN;
    // SAFETY: after `init`, with the host's constant table and a place for the answer.
    let status = unsafe { (kind.score)(library.state(), &raw const HOST, &raw mut score) };
    done(kind, status)?;
    if score.is_finite() && score > 0.0 {
        return Ok(score);
    }
    Err(error(
        kind,
        NativeCode::Internal,
        format!("it says that its score is {score}"),
    ))
}

impl PluginDevice {
    /// Opens the device of a number.
    pub(super) fn open(
        library: &Arc<Library>,
        entry: usize,
        number: u32,
    ) -> Result<Self, DeviceError> {
        let kind = library.device_at(entry);
        let mut device = std::ptr::null_mut();
        let state = library.state();
        // SAFETY: after `init`, with the host's constant table and a place for the answer.
        let status = unsafe { (kind.open)(state, &raw const HOST, number, &raw mut device) };
        done(kind, status)?;
        let open = Open {
            library: Arc::clone(library),
            entry,
            device,
        };
        let mut out = raw::DeviceInfo {
            struct_size: size_of::<raw::DeviceInfo>() as u32,
            unused: 0,
            bytes: 0,
            name: [0; _],
        };
        // SAFETY: the device is open, and the place for the answer has its size.
        let status = unsafe { (kind.describe)(device, &raw mut out) };
        done(kind, status)?;
        let end = out.name.iter().position(|byte| *byte == 0);
        let Some(name) = end.and_then(|end| std::str::from_utf8(&out.name[..end]).ok()) else {
            let message = "its name is no UTF-8 that ends with zero";
            return Err(error(kind, NativeCode::Internal, message));
        };
        let shown = |c: char| if c.is_control() { ' ' } else { c };
        let info = Info {
            name: name.chars().map(shown).collect(),
            bytes: out.bytes,
        };
        Ok(Self {
            open: Arc::new(open),
            info,
        })
    }

    /// The place as the plugin has it, if so many bytes lie there.
    fn place(&self, place: &Place<'_>, bytes: u64) -> Result<raw::Place, DeviceError> {
        let held = place.memory.handle::<Held>();
        let Some(held) = held.filter(|held| Arc::ptr_eq(&held.open, &self.open)) else {
            let message = "memory of another device was given";
            return Err(self.open.error(NativeCode::Internal, message));
        };
        if !place.has(bytes) {
            let message = format!(
                "{bytes} bytes from {} on of {} were asked for",
                place.offset,
                place.memory.bytes()
            );
            return Err(self.open.error(NativeCode::Internal, message));
        }
        Ok(raw::Place {
            memory: held.memory,
            offset: place.offset,
        })
    }
}

impl Device for PluginDevice {
    fn info(&self) -> &Info {
        &self.info
    }

    fn alloc(&self, bytes: u64) -> Result<Memory, DeviceError> {
        if bytes == 0 || bytes > MOST_BYTES {
            let message = format!("{bytes} bytes were asked for");
            return Err(self.open.error(NativeCode::Memory, message));
        }
        let mut memory = std::ptr::null_mut();
        let kind = self.open.kind();
        // SAFETY: the device is open, and there is a place for the answer.
        let status = unsafe { (kind.alloc)(self.open.device, bytes, &raw mut memory) };
        self.open.done(status)?;
        if memory.is_null() {
            let message = format!("it gave nothing for memory of {bytes} bytes");
            return Err(self.open.error(NativeCode::Internal, message));
        }
        let open = Arc::clone(&self.open);
        Ok(Memory::new(bytes, Held { open, memory }))
    }

    fn write(&self, to: Place<'_>, from: &[u8]) -> Result<(), DeviceError> {
        let (write, bytes) = (self.open.kind().write, from.len() as u64);
        let to = self.place(&to, bytes)?;
        // SAFETY: the device is open, the memory is its own, and both have so many bytes.
        self.open
            .done(unsafe { write(self.open.device, to, from.as_ptr().cast(), bytes) })
    }

    fn read(&self, from: Place<'_>, to: &mut [u8]) -> Result<(), DeviceError> {
        let (read, bytes) = (self.open.kind().read, to.len() as u64);
        let from = self.place(&from, bytes)?;
        // SAFETY: the device is open, the memory is its own, and both have so many bytes.
        self.open
            .done(unsafe { read(self.open.device, from, to.as_mut_ptr().cast(), bytes) })
    }

    fn copy(&self, to: Place<'_>, from: Place<'_>, bytes: u64) -> Result<(), DeviceError> {
        let copy = self.open.kind().copy;
        let (to, from) = (self.place(&to, bytes)?, self.place(&from, bytes)?);
        // SAFETY: the device is open, the memory is its own, and both have so many bytes.
        self.open
            .done(unsafe { copy(self.open.device, to, from, bytes) })
    }

    fn wait(&self) -> Result<(), DeviceError> {
        let Some(wait) = self.open.kind().wait else {
            return Ok(());
        };
        // SAFETY: the device is open.
        self.open.done(unsafe { wait(self.open.device) })
    }

    fn compile(&self, text: &str) -> Result<Code, DeviceError> {
        let length = text.len() as u64;
        let Ok(text) = CString::new(text) else {
            let message = "the text of a region holds a zero";
            return Err(self.open.error(NativeCode::Internal, message));
        };
        let mut region = std::ptr::null_mut();
        let compile = self.open.kind().compile;
        let status =
            // SAFETY: the device is open, the text has so many bytes and a zero, and there is a place for the answer.
            unsafe { compile(self.open.device, text.as_ptr(), length, &raw mut region) };
        self.open.done(status)?;
        let open = Arc::clone(&self.open);
        Ok(Code::new(Made { open, region }))
    }

    fn run(&self, code: &Code, call: &RegionCall<'_>) -> Result<(), DeviceError> {
        let made = code.handle::<Made>();
        let Some(made) = made.filter(|made| Arc::ptr_eq(&made.open, &self.open)) else {
            let message = "a region of another device was given";
            return Err(self.open.error(NativeCode::Internal, message));
        };
        let buffers: Result<Vec<raw::Place>, _> = (call.buffers.iter())
            .map(|place| self.place(place, 0))
            .collect();
        let buffers = buffers?;
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let call = raw::RegionCall {
            struct_size: size_of::<raw::RegionCall>() as u32,
            buffer_count: count(buffers.len()),
            symbol_count: count(call.symbols.len()),
            unused: 0,
            buffers: buffers.as_ptr(),
            symbols: call.symbols.as_ptr(),
            failure: self.place(&call.failure, crate::device::Failure::BYTES as u64)?,
        };
        // SAFETY: the region is this device's and was not released; the call lives until it returns.
        self.open
            .done(unsafe { (self.open.kind().run)(made.region, &raw const call) })
    }
}
