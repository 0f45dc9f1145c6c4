//! What an author writes for one kind of device, and the table that the border wants of it.
//!
//! A device compiles regions, which are texts, and runs them on its memory. What it refuses with
//! [`Error::unsupported`] the host computes otherwise, so that a device may begin with what is easy.
#![expect(unsafe_code, reason = "what the host calls gets its pointers")]

use std::ffi::{CStr, c_char, c_void};

use crate::error::{Error, caught};
use crate::raw::{self, Failure};
use crate::spec::slice;

/// A kind of device; a value of it is one that is open.
///
/// What is asked of one device happens in the order in which it was asked, whatever thread asked; only [`read`](Self::read)
/// and [`wait`](Self::wait) must be done when they return.
pub trait Device: Sized + Send + Sync + 'static {
    /// As written after `--backend`: lower-case letters, digits, `-`.
    const NAME: &'static CStr;

    /// Memory of the device; dropping it gives it back, after what was asked before.
    type Memory: Send + Sync + 'static;

    /// A region with its code.
    type Region: Send + Sync + 'static;

    /// How well this machine serves: larger than 0, and 1 for what is as good as a processor.
    ///
    /// # Errors
    ///
    /// Why this machine cannot serve, as without a driver.
    fn score() -> Result<f64, Error>;

    /// Opens the device of a number, from 0 on.
    ///
    /// # Errors
    ///
    /// There is none of this number, or it does not answer.
    fn open(number: u32) -> Result<Self, Error>;

    /// What it is.
    ///
    /// # Errors
    ///
    /// It does not answer.
    fn info(&self) -> Result<Info, Error>;

    /// Memory of `bytes`, 1 at least, aligned to 64 at least, with any content.
    ///
    /// # Errors
    ///
    /// [`Error::memory`] where there is not enough.
    fn alloc(&self, bytes: u64) -> Result<Self::Memory, Error>;

    /// Copies from the host.
    ///
    /// # Errors
    ///
    /// The device fails; the memory is then unspecified.
    fn write(&self, to: Place<'_, Self::Memory>, from: &[u8]) -> Result<(), Error>;

    /// Copies to the host, after all that was asked before.
    ///
    /// # Errors
    ///
    /// The device fails, now or in what was asked before.
    fn read(&self, from: Place<'_, Self::Memory>, to: &mut [u8]) -> Result<(), Error>;

    /// Copies from place to place, which do not overlap.
    ///
    /// # Errors
    ///
    /// The device fails; the memory is then unspecified.
    fn copy(
        &self,
        to: Place<'_, Self::Memory>,
        from: Place<'_, Self::Memory>,
        bytes: u64,
    ) -> Result<(), Error>;

    /// Returns when all that was asked is done.
    ///
    /// # Errors
    ///
    /// The device failed in what was asked.
    fn wait(&self) -> Result<(), Error>;

    /// Makes code for a region. The host asks once for equal texts: for every launch alone, and then for neighbors of
    /// which all were taken.
    ///
    /// # Errors
    ///
    /// [`Error::unsupported`] with what is lacking makes the host compute the region otherwise, everything else ends
    /// what the host was about.
    fn compile(&self, text: &str) -> Result<Self::Region, Error>;

    /// Runs a region of this device.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from running; it may be run again.
    fn run(&self, region: &Self::Region, call: &RegionCall<'_, Self::Memory>) -> Result<(), Error>;
}

/// What an open device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// For people; what is longer than 111 bytes is cut.
    pub name: String,
    /// Memory that there is in all, in bytes; 0 where nobody knows.
    pub bytes: u64,
}

/// Memory from a byte on. It is aligned for the element type of what lies there and no more.
#[derive(Debug)]
pub struct Place<'a, M> {
    /// The memory.
    pub memory: &'a M,
    /// In bytes.
    pub offset: u64,
}

impl<M> Clone for Place<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Place<'_, M> {}

impl<M> Place<'_, M> {
    /// # Safety
    ///
    /// The memory is one that `alloc` of a device with this type of memory gave, and lives as long.
    unsafe fn new(raw: raw::Place) -> Self {
        Self {
            // SAFETY: as the caller says.
            memory: unsafe { &*raw.memory.cast_const().cast::<M>() },
            offset: raw.offset,
        }
    }
}

/// One run of a region.
#[derive(Debug)]
pub struct RegionCall<'a, M> {
    /// Where the buffers of the region's outermost section lie, in order. Launches happen one after another. What one
    /// writes overlaps nothing else that it touches but at the element that the same point of a kernel reads; buffers that
    /// no launch touches both may share memory. One without elements has a place that nobody may touch.
    pub buffers: Vec<Place<'a, M>>,
    /// The values of the region's symbols, in order.
    pub symbols: &'a [i64],
    /// Where a guard that fails writes a [`Failure`], unless another one has written there.
    pub failure: Place<'a, M>,
}

/// Bytes of a [`Failure`].
pub const FAILURE_BYTES: usize = size_of::<Failure>();

/// The table of a device.
pub const fn table<D: Device>() -> raw::DeviceTable {
    raw::DeviceTable {
        struct_size: size_of::<raw::DeviceTable>() as u32,
        flags: 0,
        name: D::NAME.as_ptr(),
        score: Some(score::<D>),
        open: Some(open::<D>),
        close: Some(close::<D>),
        describe: Some(describe::<D>),
        alloc: Some(alloc::<D>),
        free: Some(free::<D>),
        write: Some(write::<D>),
        read: Some(read::<D>),
        copy: Some(copy::<D>),
        wait: Some(wait::<D>),
        compile: Some(compile::<D>),
        run: Some(run::<D>),
        release: Some(release::<D>),
    }
}

/// What functions of a device are given.
struct Opened<D> {
    device: D,
    host: *const raw::Host,
}

/// What functions of a region are given.
struct Compiled<D: Device> {
    region: D::Region,
    opened: *const Opened<D>,
}

/// # Safety
///
/// `host` is null or valid.
unsafe fn status(done: Result<(), Error>, host: *const raw::Host) -> raw::Status {
    match done {
        Ok(()) => std::ptr::null_mut(),
        // SAFETY: as the caller says.
        Err(error) => unsafe { error.into_status(host) },
    }
}

/// Runs `body` with an open device.
///
/// # Safety
///
/// `open` made the device, and it was not closed.
unsafe fn with<D: Device>(
    device: *mut c_void,
    body: impl FnOnce(&D) -> Result<(), Error>,
) -> raw::Status {
    // SAFETY: as the caller says.
    let opened = unsafe { &*device.cast_const().cast::<Opened<D>>() };
    let done = caught(|| body(&opened.device));
    // SAFETY: the host's table is valid forever.
    unsafe { status(done, opened.host) }
}

/// What is at `from`, of so many bytes.
///
/// # Safety
///
/// So many bytes are valid for `'a`.
unsafe fn bytes<'a>(from: *const c_void, count: u64) -> Result<&'a [u8], Error> {
    let count = usize::try_from(count).map_err(|_| Error::internal("more bytes than there are"))?;
    if count == 0 {
        return Ok(&[]);
    }
    // SAFETY: as the caller says.
    Ok(unsafe { std::slice::from_raw_parts(from.cast(), count) })
}

/// # Safety
///
/// As `score` in the header.
unsafe extern "C" fn score<D: Device>(
    _plugin: *mut c_void,
    host: *const raw::Host,
    out: *mut f64,
) -> raw::Status {
    let done = caught(|| {
        let score = D::score()?;
        // SAFETY: the host gives a valid place.
        unsafe { out.write(score) };
        Ok(())
    });
    // SAFETY: the host's table is valid.
    unsafe { status(done, host) }
}

/// # Safety
///
/// As `open` in the header.
unsafe extern "C" fn open<D: Device>(
    _plugin: *mut c_void,
    host: *const raw::Host,
    number: u32,
    out: *mut *mut c_void,
) -> raw::Status {
    let done = caught(|| {
        let device = D::open(number)?;
        let opened = Box::into_raw(Box::new(Opened { device, host }));
        // SAFETY: the host gives a valid place.
        unsafe { out.write(opened.cast()) };
        Ok(())
    });
    // SAFETY: the host's table is valid.
    unsafe { status(done, host) }
}

/// # Safety
///
/// `owned` is a box of a `T` that nobody else has.
unsafe fn end<T>(owned: *mut c_void) {
    // SAFETY: as the caller says.
    let owned = unsafe { Box::from_raw(owned.cast::<T>()) };
    // Nobody can be told of a panic here.
    let _ = caught(|| {
        drop(owned);
        Ok(())
    });
}

/// # Safety
///
/// As `close` in the header.
unsafe extern "C" fn close<D: Device>(device: *mut c_void) {
    // SAFETY: `open` made it, and it is closed once.
    unsafe { end::<Opened<D>>(device) };
}

/// # Safety
///
/// As `describe` in the header.
unsafe extern "C" fn describe<D: Device>(
    device: *mut c_void,
    out: *mut raw::DeviceInfo,
) -> raw::Status {
    let body = |device: &D| {
        let info = device.info()?;
        // SAFETY: the host gives a valid place; every host has these fields.
        let out = unsafe { &mut *out };
        out.bytes = info.bytes;
        let most = out.name.len() - 1;
        let mut length = info.name.len().min(most);
        while !info.name.is_char_boundary(length) {
            length -= 1;
        }
        out.name = [0; _];
        out.name[..length].copy_from_slice(&info.name.as_bytes()[..length]);
        Ok(())
    };
    // SAFETY: the host gives an open device.
    unsafe { with(device, body) }
}

/// # Safety
///
/// As `alloc` in the header.
unsafe extern "C" fn alloc<D: Device>(
    device: *mut c_void,
    count: u64,
    out: *mut *mut c_void,
) -> raw::Status {
    let body = |device: &D| {
        let memory = Box::into_raw(Box::new(device.alloc(count)?));
        // SAFETY: the host gives a valid place.
        unsafe { out.write(memory.cast()) };
        Ok(())
    };
    // SAFETY: the host gives an open device.
    unsafe { with(device, body) }
}

/// # Safety
///
/// As `free` in the header.
unsafe extern "C" fn free<D: Device>(_device: *mut c_void, memory: *mut c_void) {
    // SAFETY: `alloc` made it, and it is freed once.
    unsafe { end::<D::Memory>(memory) };
}

/// # Safety
///
/// As `write` in the header.
unsafe extern "C" fn write<D: Device>(
    device: *mut c_void,
    to: raw::Place,
    from: *const c_void,
    count: u64,
) -> raw::Status {
    let body = |device: &D| {
        // SAFETY: the host gives so many bytes.
        let from = unsafe { bytes(from, count) }?;
        // SAFETY: memory that `alloc` made.
        device.write(unsafe { Place::new(to) }, from)
    };
    // SAFETY: the host gives an open device.
    unsafe { with(device, body) }
}

/// # Safety
///
/// As `read` in the header.
unsafe extern "C" fn read<D: Device>(
    device: *mut c_void,
    from: raw::Place,
    to: *mut c_void,
    count: u64,
) -> raw::Status {
    let body = |device: &D| {
        let count = usize::try_from(count);
        let count = count.map_err(|_| Error::internal("more bytes than there are"))?;
        if count == 0 {
            return Ok(());
        }
        // SAFETY: the host gives so many bytes, which nobody else sees.
        let to = unsafe { std::slice::from_raw_parts_mut(to.cast(), count) };
        // SAFETY: memory that `alloc` made.
        device.read(unsafe { Place::new(from) }, to)
    };
    // SAFETY: the host gives an open device.
    unsafe { with(device, body) }
}

/// # Safety
///
/// As `copy` in the header.
unsafe extern "C" fn copy<D: Device>(
    device: *mut c_void,
    to: raw::Place,
    from: raw::Place,
    count: u64,
) -> raw::Status {
    let body = |device: &D| {
        // SAFETY: memory that `alloc` made.
        let to = unsafe { Place::new(to) };
        // SAFETY: memory that `alloc` made.
        device.copy(to, unsafe { Place::new(from) }, count)
    };
    // SAFETY: the host gives an open device.
    unsafe { with(device, body) }
}

/// # Safety
///
/// As `wait` in the header.
unsafe extern "C" fn wait<D: Device>(device: *mut c_void) -> raw::Status {
    // SAFETY: the host gives an open device.
    unsafe { with(device, D::wait) }
}

/// # Safety
///
/// As `compile` in the header.
unsafe extern "C" fn compile<D: Device>(
    device: *mut c_void,
    text: *const c_char,
    length: u64,
    out: *mut *mut c_void,
) -> raw::Status {
    let body = |own: &D| {
        // SAFETY: the host gives so many bytes.
        let text = std::str::from_utf8(unsafe { bytes(text.cast(), length) }?);
        let text = text.map_err(|error| Error::internal(error.to_string()))?;
        let region = own.compile(text)?;
        let opened = device.cast_const().cast::<Opened<D>>();
        let compiled = Box::into_raw(Box::new(Compiled { region, opened }));
        // SAFETY: the host gives a valid place.
        unsafe { out.write(compiled.cast()) };
        Ok(())
    };
    // SAFETY: the host gives an open device.
    unsafe { with(device, body) }
}

/// # Safety
///
/// As `run` in the header.
unsafe extern "C" fn run<D: Device>(
    region: *mut c_void,
    call: *const raw::RegionCall,
) -> raw::Status {
    // SAFETY: `compile` made it, and it was not released.
    let compiled = unsafe { &*region.cast_const().cast::<Compiled<D>>() };
    let body = |device: &D| {
        // SAFETY: the host gives a valid call.
        let call = unsafe { &*call };
        // SAFETY: the host gives as many as it counts.
        let buffers = unsafe { slice(call.buffers, call.buffer_count) };
        let call = RegionCall {
            // SAFETY: memory that `alloc` made.
            buffers: (buffers.iter())
                .map(|place| unsafe { Place::new(*place) })
                .collect(),
            // SAFETY: the host gives as many as it counts.
            symbols: unsafe { slice(call.symbols, call.symbol_count) },
            // SAFETY: memory that `alloc` made.
            failure: unsafe { Place::new(call.failure) },
        };
        device.run(&compiled.region, &call)
    };
    // SAFETY: a device lives longer than its regions.
    unsafe { with(compiled.opened.cast_mut().cast(), body) }
}

/// # Safety
///
/// As `release` in the header.
unsafe extern "C" fn release<D: Device>(region: *mut c_void) {
    // SAFETY: `compile` made it, and it is released once.
    unsafe { end::<Compiled<D>>(region) };
}
