//! What a device is to the host: memory, and regions that it compiles and runs.
//!
//! A device of a plugin is one ([`plugin`](crate::plugin)), and so is anything else that implements [`Device`]. What is
//! asked of one device happens in the order in which it was asked, whatever thread asked; only [`read`](Device::read) and
//! [`wait`](Device::wait) are done when they return. Implementors promise not to panic, and to check what they are
//! given: memory and regions of another device are an error.

use std::any::Any;
use std::fmt;

use crate::plugin::native::NativeCode;

/// A device that is open.
pub trait Device: fmt::Debug + Send + Sync {
    /// What it is.
    fn info(&self) -> &Info;

    /// Memory of `bytes`, 1 at least, with any content; it is given back when it is dropped.
    ///
    /// # Errors
    ///
    /// [`NativeCode::Memory`] where there is not enough.
    fn alloc(&self, bytes: u64) -> Result<Memory, DeviceError>;

    /// Copies from the host.
    ///
    /// # Errors
    ///
    /// The place is not of this device or too short, or the device fails.
    fn write(&self, to: Place<'_>, from: &[u8]) -> Result<(), DeviceError>;

    /// Copies to the host, after all that was asked before.
    ///
    /// # Errors
    ///
    /// The place is not of this device or too short, or the device fails, also in what was asked before.
    fn read(&self, from: Place<'_>, to: &mut [u8]) -> Result<(), DeviceError>;

    /// Copies from place to place, which do not overlap.
    ///
    /// # Errors
    ///
    /// A place is not of this device or too short, or the device fails.
    fn copy(&self, to: Place<'_>, from: Place<'_>, bytes: u64) -> Result<(), DeviceError>;

    /// Returns when all that was asked is done.
    ///
    /// # Errors
    ///
    /// The device failed in what was asked.
    fn wait(&self) -> Result<(), DeviceError>;

    /// Makes code for a region.
    ///
    /// # Errors
    ///
    /// [`NativeCode::Unsupported`] with what the device lacks; everything else is a failure.
    fn compile(&self, text: &str) -> Result<Code, DeviceError>;

    /// Runs a region.
    ///
    /// # Errors
    ///
    /// The region or a place is not of this device, or the device fails.
    fn run(&self, code: &Code, call: &RegionCall<'_>) -> Result<(), DeviceError>;
}

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// For people.
    pub name: String,
    /// Memory that there is in all, in bytes; 0 where nobody knows.
    pub bytes: u64,
}

/// Memory of a device. Dropping it gives it back.
pub struct Memory {
    bytes: u64,
    handle: Box<dyn Any + Send + Sync>,
}

impl Memory {
    /// Memory of so many bytes that its device knows by `handle`.
    pub fn new<T: Send + Sync + 'static>(bytes: u64, handle: T) -> Self {
        Self {
            bytes,
            handle: Box::new(handle),
        }
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What its device knows it by, if that is a `T`.
    pub fn handle<T: 'static>(&self) -> Option<&T> {
        self.handle.downcast_ref()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes)
    }
}

/// A region with its code.
pub struct Code(Box<dyn Any + Send + Sync>);

impl Code {
    /// What its device knows by `handle`.
    pub fn new<T: Send + Sync + 'static>(handle: T) -> Self {
        Self(Box::new(handle))
    }

    /// What its device knows it by, if that is a `T`.
    pub fn handle<T: 'static>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("code")
    }
}

/// Memory from a byte on.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The memory.
    pub memory: &'a Memory,
    /// In bytes.
    pub offset: u64,
}

impl Place<'_> {
    /// Whether so many bytes lie from it on.
    pub fn has(&self, bytes: u64) -> bool {
        let end = self.offset.checked_add(bytes);
        end.is_some_and(|end| end <= self.memory.bytes)
    }
}

/// One run of a region.
#[derive(Clone, Copy, Debug)]
pub struct RegionCall<'a> {
    /// One for each buffer of the region's outermost section. What is written overlaps nothing else but at the element that
    /// the same point of a kernel reads.
    pub buffers: &'a [Place<'a>],
    /// One for each of the region's symbols.
    pub symbols: &'a [i64],
    /// Where a guard that fails writes a [`Failure`], unless another one has written there.
    pub failure: Place<'a>,
}

/// A guard that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The guard's own, from 1 on.
    pub status: i64,
    /// That was outside.
    pub position: i64,
    /// The first position outside.
    pub extent: i64,
    /// Which of the region's launches of kernels.
    pub launch: i64,
}

impl Failure {
    /// Bytes that it has on a device.
    pub const BYTES: usize = 32;

    /// What a device wrote, if it wrote anything.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (words, _) = bytes.as_chunks::<8>();
        let &[status, position, extent, launch] = words else {
            return None;
        };
        let [status, position, extent, launch] =
            [status, position, extent, launch].map(i64::from_ne_bytes);
        (status != 0).then_some(Self {
            status,
            position,
            extent,
            launch,
        })
    }
}

/// A device that failed, or lacks something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("device `{device}`: {message}")]
pub struct DeviceError {
    /// What kind.
    pub code: NativeCode,
    /// As written after `--backend`.
    pub device: String,
    /// What happened.
    pub message: String,
}
