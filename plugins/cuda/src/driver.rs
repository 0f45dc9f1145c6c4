//! What a region needs of a machine: memory, compiled code, launches.
//!
//! Two drivers: the real one over NVIDIA's driver and NVRTC, and an emulator that compiles the same
//! source with the system's C++ compiler. Everything else in this package is the same for both.
//! Addresses are numbers: whoever has a driver keeps track of what they mean.

#![expect(
    unsafe_code,
    reason = "addresses of devices are numbers that the caller vouches for"
)]

pub mod cublaslt;
pub mod cuda;
pub mod emulator;
pub mod nvrtc;
pub mod product;

use std::any::Any;
use std::sync::Arc;

use product::{Product, Shape};

use crate::source::Program;

/// Why a driver did not do something, lower case, without a period.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// A library or a device is absent.
    #[error("{0}")]
    Absent(String),
    /// There is no memory for so many bytes.
    #[error("the device has no memory for {0} bytes")]
    Memory(u64),
    /// Code could not be compiled: a mistake of the generator.
    #[error("generated code does not compile: {0}")]
    Compile(String),
    /// A call failed.
    #[error("{what} failed: {why}")]
    Call {
        /// Which.
        what: &'static str,
        /// In the driver's words.
        why: String,
    },
}

/// What is known of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// For people.
    pub name: String,
    /// Bytes of memory; 0 if it is not known.
    pub memory: u64,
    /// What carries products of matrices out, for people, if anything does but generated code.
    pub products: Option<String>,
}

/// A device with one queue: what is asked for is done in order.
pub trait Driver: Send + Sync {
    /// What is known of it.
    fn info(&self) -> &Info;

    /// New memory, aligned to 256 bytes. What is in it is not known.
    ///
    /// # Errors
    ///
    /// [`DriverError::Memory`], or a call that failed.
    fn alloc(&self, bytes: u64) -> Result<u64, DriverError>;

    /// Gives memory back, after all that was asked for before is done.
    ///
    /// # Safety
    ///
    /// `address` is what [`Driver::alloc`] gave for so many bytes, and nothing that is asked for
    /// later uses it.
    unsafe fn free(&self, address: u64, bytes: u64);

    /// Copies to the device. `from` may be changed afterwards.
    ///
    /// # Errors
    ///
    /// A call that failed.
    ///
    /// # Safety
    ///
    /// So many bytes at `to` are memory of this device.
    unsafe fn write(&self, to: u64, from: &[u8]) -> Result<(), DriverError>;

    /// Copies from the device, after all that was asked for before is done.
    ///
    /// # Errors
    ///
    /// A call that failed, now or before.
    ///
    /// # Safety
    ///
    /// So many bytes at `from` are memory of this device.
    unsafe fn read(&self, from: u64, to: &mut [u8]) -> Result<(), DriverError>;

    /// Copies on the device.
    ///
    /// # Errors
    ///
    /// A call that failed.
    ///
    /// # Safety
    ///
    /// So many bytes at both places are memory of this device, and do not overlap.
    unsafe fn copy(&self, to: u64, from: u64, bytes: u64) -> Result<(), DriverError>;

    /// Waits until all that was asked for is done.
    ///
    /// # Errors
    ///
    /// A call that failed, now or before.
    fn wait(&self) -> Result<(), DriverError>;

    /// Code for this device.
    ///
    /// # Errors
    ///
    /// [`DriverError::Compile`], or a call that failed.
    fn compile(&self, program: &Program) -> Result<Arc<dyn Module>, DriverError>;

    /// Whether it carries out products of this shape. Generated code does the others.
    fn multiplies(&self, shape: &Shape) -> bool;

    /// Asks for a grid or a product.
    ///
    /// # Errors
    ///
    /// A call that failed.
    ///
    /// # Safety
    ///
    /// For a grid: the module is of this driver, the entry one of its program's; arguments are as many as it takes, and
    /// addresses among them are memory of this device that is as long as the function reaches. For a product: it
    /// [has the shape](Driver::multiplies), and all elements of its matrices are memory of this device, aligned for
    /// them; the result overlaps nothing.
    unsafe fn launch(&self, call: &Call) -> Result<(), DriverError>;

    /// Calls that are asked for together from now on.
    ///
    /// # Errors
    ///
    /// A call that failed.
    ///
    /// # Safety
    ///
    /// As for [`Driver::launch`], whenever they are [asked for](Recorded::replay).
    unsafe fn record(&self, calls: &[Call]) -> Result<Box<dyn Recorded>, DriverError>;
}

/// What is asked of a driver.
#[derive(Clone)]
pub enum Call {
    /// Generated code is run.
    Grid(Grid),
    /// Matrices are multiplied.
    Product(Product),
}

/// A grid of blocks of [`THREADS`](crate::source::THREADS) threads.
#[derive(Clone)]
pub struct Grid {
    /// Its code.
    pub module: Arc<dyn Module>,
    /// Position among the program's entries.
    pub entry: usize,
    /// Blocks along x and y.
    pub grid: [u32; 2],
    /// Each takes eight bytes.
    pub arguments: Vec<u64>,
}

impl Grid {
    /// Whether both run one entry.
    pub fn is_of_code(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.module, &other.module) && self.entry == other.entry
    }
}

impl Call {
    /// The code that it runs.
    fn module(&self) -> Option<Arc<dyn Module>> {
        match self {
            Self::Grid(grid) => Some(Arc::clone(&grid.module)),
            Self::Product(_) => None,
        }
    }
}

/// Compiled code of a driver.
pub trait Module: Any + Send + Sync {}

/// Calls that were recorded.
pub trait Recorded: Send + Sync {
    /// Asks for all of them, in order.
    ///
    /// # Errors
    ///
    /// A call that failed.
    ///
    /// # Safety
    ///
    /// As for [`Driver::launch`].
    unsafe fn replay(&self) -> Result<(), DriverError>;

    /// Has the call at a position be this one from now on: the same entry, with another grid or other arguments.
    ///
    /// # Errors
    ///
    /// The driver cannot; the recording must then not be replayed any more.
    ///
    /// # Safety
    ///
    /// As for [`Driver::launch`], whenever it is replayed.
    unsafe fn change(&self, at: usize, grid: &Grid) -> Result<(), DriverError>;
}

/// What a driver's own module is.
fn own<T: Module>(module: &Arc<dyn Module>) -> Result<&T, DriverError> {
    let module: &dyn Any = &**module;
    module.downcast_ref().ok_or_else(|| DriverError::Call {
        what: "a launch",
        why: "its code is another driver's".to_owned(),
    })
}

/// Finds a library of the toolkit, of the version that the bindings know: where `variable` says, or where the system looks.
fn found_toolkit(
    what: &str,
    variable: &str,
    library: &str,
    function: &str,
) -> Result<(), DriverError> {
    let mut names = cudarc::get_lib_name_candidates(library);
    names.retain(|name| !name.ends_with(".12") && !name.ends_with(".11"));
    found(what, std::env::var_os(variable), &names, function)
}

/// Loads the first library that is there and has a function, and keeps it.
fn found(
    what: &str,
    named: Option<std::ffi::OsString>,
    names: &[String],
    function: &str,
) -> Result<(), DriverError> {
    let named = named.into_iter();
    let all = named.chain(names.iter().map(std::ffi::OsString::from));
    for name in all {
        // SAFETY: a library of NVIDIA's, looked for where the system looks or where the person says.
        let Ok(library) = (unsafe { libloading::Library::new(&name) }) else {
            continue;
        };
        // SAFETY: the function is not called.
        let known = unsafe { library.get::<unsafe extern "C" fn()>(function.as_bytes()) }.is_ok();
        if known {
            nvrtc::keep(library);
            return Ok(());
        }
    }
    Err(DriverError::Absent(format!(
        "{what} is not installed here: no library of the name is found"
    )))
}
