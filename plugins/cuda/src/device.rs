//! What the host is offered: a device of the plugin border.
//!
//! Launches are compiled once for equal programs, whatever region they come in.

#![expect(unsafe_code, reason = "the host says where buffers lie")]

use std::collections::HashMap;
use std::ffi::CStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use girih_plan::region::Region as PlanRegion;
use girih_plugin::device::{Info, Place, RegionCall};
use girih_plugin::{Device, Error};

use crate::driver::cuda::Cuda;
use crate::driver::emulator::Emulator;
use crate::driver::{self, Driver, DriverError, Module};
use crate::region::{Code, Region};
use crate::run::{Products, RunError};
use crate::source;

/// An NVIDIA GPU, or its emulation where `GIRIH_CUDA=emulate` asks for it.
pub struct Gpu {
    driver: Arc<dyn Driver>,
    /// Code by its text.
    modules: Mutex<HashMap<String, Arc<dyn Module>>>,
    /// Launches by the texts of their regions.
    codes: Mutex<HashMap<String, Arc<Code>>>,
    settings: Settings,
}

/// Memory of the device.
pub struct Memory {
    driver: Arc<dyn Driver>,
    pub(crate) address: u64,
    bytes: u64,
}

/// A GPU against a processor: what the border calls a score.
const SCORE: f64 = 100.0;

/// The emulator is for tests.
const SCORE_EMULATED: f64 = 0.01;

/// Whether the emulator is asked for.
///
/// # Errors
///
/// The variable says something else.
fn emulates() -> Result<bool, Error> {
    chosen("GIRIH_CUDA", false, &[("emulate", true)])
}

/// What a person may choose, to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether runs that come again are recorded.
    pub records: bool,
    /// Which products are the driver's.
    pub products: Products,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            records: true,
            products: Products::default(),
        }
    }
}

impl Settings {
    /// What the person's variables say.
    ///
    /// # Errors
    ///
    /// One of them says what it cannot.
    fn of_variables() -> Result<Self, Error> {
        let usual = Self::default();
        Ok(Self {
            records: chosen("GIRIH_CUDA_GRAPHS", usual.records, &[("off", false)])?,
            products: chosen(
                "GIRIH_CUDA_PRODUCTS",
                usual.products,
                &[("off", Products::Off), ("all", Products::All)],
            )?,
        })
    }
}

/// What a variable chooses by a word.
fn chosen<T: Copy>(variable: &str, usual: T, words: &[(&str, T)]) -> Result<T, Error> {
    let Some(value) = std::env::var_os(variable) else {
        return Ok(usual);
    };
    let known = words.iter().find(|(word, _)| value == *word);
    known.map(|(_, choice)| *choice).ok_or_else(|| {
        let words: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        Error::invalid(format!(
            "`{variable}` is `{}`; it may be {}",
            value.to_string_lossy(),
            words.join(" or ")
        ))
    })
}

impl Gpu {
    /// A device over a driver.
    pub fn over(driver: Arc<dyn Driver>) -> Self {
        Self::with(driver, Settings::default())
    }

    /// A device over a driver, as a person wants it.
    pub fn with(driver: Arc<dyn Driver>, settings: Settings) -> Self {
        Self {
            driver,
            modules: Mutex::default(),
            codes: Mutex::default(),
            settings,
        }
    }
}

impl Device for Gpu {
    const NAME: &'static CStr = c"cuda";

    type Memory = Memory;
    type Region = Region;

    fn score() -> Result<f64, Error> {
        if emulates()? {
            Emulator::new().map_err(told)?;
            return Ok(SCORE_EMULATED);
        }
        driver::cuda::count().map_err(told)?;
        Ok(SCORE)
    }

    fn open(number: u32) -> Result<Self, Error> {
        let driver: Arc<dyn Driver> = if emulates()? {
            if number > 0 {
                return Err(Error::invalid("one device is emulated, number 0"));
            }
            Arc::new(Emulator::new().map_err(told)?)
        } else {
            Arc::new(Cuda::new(number).map_err(told)?)
        };
        Ok(Self::with(driver, Settings::of_variables()?))
    }

    fn info(&self) -> Result<Info, Error> {
        let driver::Info {
            name,
            memory,
            products,
        } = self.driver.info();
        let products = products.as_deref();
        let products = products.filter(|_| self.settings.products != Products::Off);
        Ok(Info {
            name: format!(
                "{name}, products by {}",
                products.unwrap_or("generated code")
            ),
            bytes: *memory,
        })
    }

    fn alloc(&self, bytes: u64) -> Result<Memory, Error> {
        Memory::new(&self.driver, bytes).map_err(told)
    }

    fn write(&self, to: Place<'_, Memory>, from: &[u8]) -> Result<(), Error> {
        let address = within(to, from.len() as u64)?;
        // SAFETY: so many bytes from there are in the memory.
        unsafe { self.driver.write(address, from) }.map_err(told)
    }

    fn read(&self, from: Place<'_, Memory>, to: &mut [u8]) -> Result<(), Error> {
        let address = within(from, to.len() as u64)?;
        // SAFETY: so many bytes from there are in the memory.
        unsafe { self.driver.read(address, to) }.map_err(told)
    }

    fn copy(
        &self,
        to: Place<'_, Memory>,
        from: Place<'_, Memory>,
        bytes: u64,
    ) -> Result<(), Error> {
        let (to, from) = (within(to, bytes)?, within(from, bytes)?);
        // SAFETY: so many bytes from both are in their memories, and the host says that they are apart.
        unsafe { self.driver.copy(to, from, bytes) }.map_err(told)
    }

    fn wait(&self) -> Result<(), Error> {
        self.driver.wait().map_err(told)
    }

    fn compile(&self, text: &str) -> Result<Region, Error> {
        let region =
            PlanRegion::from_text(text).map_err(|error| Error::internal(error.to_string()))?;
        Region::new(&region, &mut |part| self.code(part))
    }

    fn run(&self, region: &Region, call: &RegionCall<'_, Memory>) -> Result<(), Error> {
        let buffers: Vec<u64> = call.buffers.iter().map(|place| start(*place)).collect();
        let failure = start(call.failure);
        // SAFETY: the host gives memory that is as long as the buffers of the region under these
        // symbols, and waits before it uses it otherwise.
        unsafe {
            region.run(
                &self.driver,
                (call.symbols, &buffers, failure),
                self.settings,
            )
        }
    }
}

impl Gpu {
    /// The code of a region of one launch.
    fn code(&self, part: &PlanRegion) -> Result<Arc<Code>, Error> {
        let text = part.to_text();
        if let Some(known) = lock(&self.codes).get(&text) {
            return Ok(Arc::clone(known));
        }
        let program = source::program(&part.kernels, &part.section)
            .map_err(|refusal| Error::unsupported(refusal.to_string()))?;
        let known = lock(&self.modules).get(&program.text).cloned();
        let module = if let Some(module) = known {
            module
        } else {
            // Others may compile meanwhile; the first of equal ones is kept.
            let module = self.driver.compile(&program).map_err(told)?;
            let mut modules = lock(&self.modules);
            Arc::clone(modules.entry(program.text.clone()).or_insert(module))
        };
        let code = Arc::new(Code::new(program, part.symbols.clone(), module));
        let mut codes = lock(&self.codes);
        Ok(Arc::clone(codes.entry(text).or_insert(code)))
    }
}

impl Memory {
    pub(crate) fn new(driver: &Arc<dyn Driver>, bytes: u64) -> Result<Self, DriverError> {
        Ok(Self {
            address: driver.alloc(bytes)?,
            driver: Arc::clone(driver),
            bytes,
        })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: `alloc` gave it, and whoever had it asks for nothing more with it.
        unsafe { self.driver.free(self.address, self.bytes) };
    }
}

/// The address of a place whose bytes from there on are in its memory.
fn within(place: Place<'_, Memory>, bytes: u64) -> Result<u64, Error> {
    let end = place.offset.checked_add(bytes);
    if end.is_none_or(|end| end > place.memory.bytes) {
        return Err(Error::invalid(format!(
            "{bytes} bytes from {} on are not in a memory of {}",
            place.offset, place.memory.bytes
        )));
    }
    Ok(start(place))
}

fn start(place: Place<'_, Memory>) -> u64 {
    place.memory.address.wrapping_add(place.offset)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is kept is valid after any panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn told(error: impl Into<RunError>) -> Error {
    let error = error.into();
    match &error {
        RunError::Driver(DriverError::Memory(_)) => Error::memory(error.to_string()),
        RunError::Driver(DriverError::Absent(_)) => Error::unsupported(error.to_string()),
        RunError::Size(_) => Error::invalid(error.to_string()),
        RunError::Driver(DriverError::Compile(_) | DriverError::Call { .. }) => {
            Error::internal(error.to_string())
        }
    }
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gpu")
            .field("info", self.driver.info())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { address, bytes, .. } = self;
        f.debug_struct("Memory")
            .field("address", address)
            .field("bytes", bytes)
            .finish_non_exhaustive()
    }
}

girih_plugin::export! {
    id: "org.girih.cuda",
    version: "0.1.0",
    license: "MIT OR Apache-2.0",
    url: "https://github.com/girih/girih",
    source: "",
    ops: [],
    devices: [Gpu],
}
