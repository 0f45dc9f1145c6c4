//! Devices without a library between: one of the plugins' SDK as the host's, and backends over such.

use std::fmt;
use std::sync::Arc;

use girih_cpu::Cpu;
use girih_device::OnDevice;
use girih_plugin::Code as ErrorCode;
use girih_plugin::device as sdk;
use girih_runtime::device::{Code, Device, DeviceError, Info, Memory, Place, RegionCall};
use girih_runtime::plugin::native::NativeCode;

/// The backend over a device of a plugin.
///
/// # Panics
///
/// It does not open.
pub fn direct<D: sdk::Device>() -> OnDevice {
    let device = Direct::<D>::open().expect("it opens");
    OnDevice::new("direct", device, Cpu::default())
}

/// The backend over the same device that has no code for anything: the host walks and computes.
///
/// # Panics
///
/// As [`direct`].
pub fn refusing<D: sdk::Device>() -> OnDevice {
    let device = Direct::<D>::open().expect("it opens");
    OnDevice::new("refusing", Arc::new(Refusing(device)), Cpu::default())
}

/// A device that refuses every region.
#[derive(Debug)]
struct Refusing(Arc<dyn Device>);

impl Device for Refusing {
    fn info(&self) -> &Info {
        self.0.info()
    }

    fn alloc(&self, bytes: u64) -> Result<Memory, DeviceError> {
        self.0.alloc(bytes)
    }

    fn write(&self, to: Place<'_>, from: &[u8]) -> Result<(), DeviceError> {
        self.0.write(to, from)
    }

    fn read(&self, from: Place<'_>, to: &mut [u8]) -> Result<(), DeviceError> {
        self.0.read(from, to)
    }

    fn copy(&self, to: Place<'_>, from: Place<'_>, bytes: u64) -> Result<(), DeviceError> {
        self.0.copy(to, from, bytes)
    }

    fn wait(&self) -> Result<(), DeviceError> {
        self.0.wait()
    }

    fn compile(&self, _: &str) -> Result<Code, DeviceError> {
        Err(DeviceError {
            code: NativeCode::Unsupported,
            device: "refusing".to_owned(),
            message: "nothing is known here".to_owned(),
        })
    }

    fn run(&self, code: &Code, call: &RegionCall<'_>) -> Result<(), DeviceError> {
        self.0.run(code, call)
    }
}

/// An open device.
pub struct Direct<D: sdk::Device> {
    device: D,
    info: Info,
}

impl<D: sdk::Device> fmt::Debug for Direct<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.info.name)
    }
}

impl<D: sdk::Device> Direct<D> {
    /// The device of number 0.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    pub fn open() -> Result<Arc<dyn Device>, girih_plugin::Error> {
        Self::over(D::open(0)?)
    }

    /// A device that is open.
    ///
    /// # Errors
    ///
    /// It does not say what it is.
    pub fn over(device: D) -> Result<Arc<dyn Device>, girih_plugin::Error> {
        let sdk::Info { name, bytes } = device.info()?;
        let info = Info { name, bytes };
        Ok(Arc::new(Self { device, info }))
    }

    fn place<'a>(place: &Place<'a>) -> Result<sdk::Place<'a, D::Memory>, DeviceError> {
        let memory = place.memory.handle::<D::Memory>();
        let memory = memory.ok_or_else(|| DeviceError {
            code: NativeCode::Internal,
            device: D::NAME.to_string_lossy().into_owned(),
            message: "memory of another device was given".to_owned(),
        })?;
        Ok(sdk::Place {
            memory,
            offset: place.offset,
        })
    }
}

fn failed<D: sdk::Device>(error: girih_plugin::Error) -> DeviceError {
    DeviceError {
        code: match error.code {
            ErrorCode::Unsupported => NativeCode::Unsupported,
            ErrorCode::Invalid => NativeCode::Invalid,
            ErrorCode::Memory => NativeCode::Memory,
            ErrorCode::Internal => NativeCode::Internal,
        },
        device: D::NAME.to_string_lossy().into_owned(),
        message: error.message,
    }
}

impl<D: sdk::Device> Device for Direct<D> {
    fn info(&self) -> &Info {
        &self.info
    }

    fn alloc(&self, bytes: u64) -> Result<Memory, DeviceError> {
        let memory = self.device.alloc(bytes).map_err(failed::<D>)?;
        Ok(Memory::new(bytes, memory))
    }

    fn write(&self, to: Place<'_>, from: &[u8]) -> Result<(), DeviceError> {
        let to = Self::place(&to)?;
        self.device.write(to, from).map_err(failed::<D>)
    }

    fn read(&self, from: Place<'_>, to: &mut [u8]) -> Result<(), DeviceError> {
        let from = Self::place(&from)?;
        self.device.read(from, to).map_err(failed::<D>)
    }

    fn copy(&self, to: Place<'_>, from: Place<'_>, bytes: u64) -> Result<(), DeviceError> {
        let (to, from) = (Self::place(&to)?, Self::place(&from)?);
        self.device.copy(to, from, bytes).map_err(failed::<D>)
    }

    fn wait(&self) -> Result<(), DeviceError> {
        self.device.wait().map_err(failed::<D>)
    }

    fn compile(&self, text: &str) -> Result<Code, DeviceError> {
        self.device
            .compile(text)
            .map(Code::new)
            .map_err(failed::<D>)
    }

    fn run(&self, code: &Code, call: &RegionCall<'_>) -> Result<(), DeviceError> {
        let region = code.handle::<D::Region>().ok_or_else(|| DeviceError {
            code: NativeCode::Internal,
            device: D::NAME.to_string_lossy().into_owned(),
            message: "a region of another device was given".to_owned(),
        })?;
        let buffers = call.buffers.iter().map(Self::place);
        let call = sdk::RegionCall {
            buffers: buffers.collect::<Result<_, _>>()?,
            symbols: call.symbols,
            failure: Self::place(&call.failure)?,
        };
        self.device.run(region, &call).map_err(failed::<D>)
    }
}
