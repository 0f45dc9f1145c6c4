//! NVIDIA's driver: one context and one stream for each device.
//!
//! Memory is allocated in the order of the stream, so that giving it back waits for nothing. Kernels
//! of a stream run one after another. What is recorded becomes a graph (`graph`). Products are cuBLASLt's, where it is
//! installed.

use std::ffi::{CString, c_void};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cudarc::driver::sys::CUdevice_attribute_enum as Attribute;
use cudarc::driver::{result, sys};

use super::cublaslt::Multiplier;
use super::product::Shape;
use super::{Call, Driver, DriverError, Grid, Info, Module, Recorded, nvrtc, own};
use crate::source::{Program, THREADS};

mod graph;

use graph::Graph;

/// A device of this machine.
pub struct Cuda {
    shared: Arc<Shared>,
    info: Info,
    /// Compute capability, `10·major + minor`.
    capability: i32,
}

/// What compiled code keeps alive.
struct Shared {
    device: sys::CUdevice,
    context: sys::CUcontext,
    stream: sys::CUstream,
    /// Where calls are captured, by one thread at a time.
    capturing: Mutex<Handle>,
    /// If cuBLASLt is there.
    multiplier: Option<Multiplier>,
}

/// A stream that nothing is done on.
struct Handle(sys::CUstream);

// SAFETY: handles of the driver may be used by any thread.
unsafe impl Send for Handle {}

// SAFETY: handles of the driver may be used by any thread; each call makes the context current first.
unsafe impl Send for Shared {}
// SAFETY: as above, and the driver's functions may be called by several threads at once.
unsafe impl Sync for Shared {}

struct Loaded {
    shared: Arc<Shared>,
    module: sys::CUmodule,
    entries: Vec<sys::CUfunction>,
}

// SAFETY: as for `Shared`.
unsafe impl Send for Loaded {}
// SAFETY: as for `Shared`.
unsafe impl Sync for Loaded {}

/// How many devices the machine has.
///
/// # Errors
///
/// The driver or NVRTC is absent, or the driver does not start.
pub fn count() -> Result<u32, DriverError> {
    static FOUND: OnceLock<Result<u32, DriverError>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            let mut names = cudarc::get_lib_name_candidates("cuda");
            names.extend(cudarc::get_lib_name_candidates("nvcuda"));
            super::found("the CUDA driver", None, &names, "cuInit")?;
            nvrtc::load()?;
            result::init().map_err(|error| failed("starting the CUDA driver", error))?;
            let count = result::device::get_count();
            let count = count.map_err(|error| failed("counting CUDA devices", error))?;
            match u32::try_from(count) {
                Ok(0) | Err(_) => Err(DriverError::Absent("there is no CUDA device".to_owned())),
                Ok(count) => Ok(count),
            }
        })
        .clone()
}

impl Cuda {
    /// The device with this number.
    ///
    /// # Errors
    ///
    /// There is none, or it does not start.
    pub fn new(number: u32) -> Result<Self, DriverError> {
        let count = count()?;
        if number >= count {
            return Err(DriverError::Absent(format!(
                "there is no CUDA device {number}: this machine has {count}"
            )));
        }
        let device = result::device::get(number.cast_signed());
        let device = device.map_err(|error| failed("opening a CUDA device", error))?;
        let name = result::device::get_name(device);
        let name = name.map_err(|error| failed("asking for the device's name", error))?;
        // SAFETY: the driver gave the device.
        let memory = unsafe { result::device::total_mem(device) };
        let memory = memory.map_err(|error| failed("asking for the device's memory", error))?;
        let attribute = |which| {
            // SAFETY: as above.
            let value = unsafe { result::device::get_attribute(device, which) };
            value.map_err(|error| failed("asking for the compute capability", error))
        };
        let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        // SAFETY: as above.
        let context = unsafe { result::primary_ctx::retain(device) };
        let context = context.map_err(|error| failed("making a context", error))?;
        // SAFETY: the context was just retained.
        unsafe { result::ctx::set_current(context) }
            .map_err(|error| failed("entering a context", error))?;
        let stream = || {
            let stream = result::stream::create(result::stream::StreamKind::NonBlocking);
            stream.map_err(|error| failed("making a stream", error))
        };
        let (stream, capturing) = (stream()?, Mutex::new(Handle(stream()?)));
        keep_memory(device)?;
        let multiplier = multiplier(stream);
        Ok(Self {
            info: Info {
                name,
                memory: memory as u64,
                products: multiplier.is_some().then(|| "cuBLASLt".to_owned()),
            },
            shared: Arc::new(Shared {
                device,
                context,
                stream,
                capturing,
                multiplier,
            }),
            capability: major * 10 + minor,
        })
    }
}

/// Has the pool keep what is given back, for whoever asks next.
fn keep_memory(device: sys::CUdevice) -> Result<(), DriverError> {
    // SAFETY: the driver gave the device.
    let pool = unsafe { result::device::get_default_mem_pool(device) };
    let pool = pool.map_err(|error| failed("asking for the memory pool", error))?;
    let mut threshold = u64::MAX;
    let which = sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the attribute is a number of 64 bits.
    let set = unsafe { sys::cuMemPoolSetAttribute(pool, which, (&raw mut threshold).cast()) };
    set.result()
        .map_err(|error| failed("setting the memory pool's threshold", error))
}

/// What multiplies on a stream, if cuBLASLt is there and starts; generated code needs nobody.
fn multiplier(stream: sys::CUstream) -> Option<Multiplier> {
    super::cublaslt::load().ok()?;
    // SAFETY: the stream was just made.
    let workspace = unsafe { result::malloc_async(stream, Multiplier::WORKSPACE) }.ok()?;
    // SAFETY: so much was just allocated, in the order of the stream on which all products are.
    let multiplier = unsafe { Multiplier::new(workspace) };
    if multiplier.is_err() {
        // SAFETY: as above, and nobody has it.
        let _ = unsafe { result::free_async(workspace, stream) };
    }
    multiplier.ok()
}

impl Shared {
    fn enter(&self) -> Result<(), DriverError> {
        // SAFETY: the context is retained as long as this is.
        unsafe { result::ctx::set_current(self.context) }
            .map_err(|error| failed("entering a context", error))
    }

    /// # Safety
    ///
    /// As for [`Driver::launch`], in the context, on the stream or on the one that captures for it.
    unsafe fn ask(&self, call: &Call, stream: sys::CUstream) -> Result<(), DriverError> {
        match (call, &self.multiplier) {
            // SAFETY: as the caller vouches.
            (Call::Grid(grid), _) => unsafe { run(grid, stream) },
            (Call::Product(product), Some(multiplier)) => {
                // SAFETY: as the caller vouches; calls of one device follow one another.
                unsafe { multiplier.multiply(product, stream.cast()) }
            }
            (Call::Product(_), None) => Err(DriverError::Call {
                what: "a product",
                why: "cuBLASLt is not there".to_owned(),
            }),
        }
    }

    fn wait(&self) -> Result<(), DriverError> {
        self.enter()?;
        // SAFETY: the stream lives as long as this does.
        unsafe { result::stream::synchronize(self.stream) }
            .map_err(|error| failed("waiting for the device", error))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Nobody is left to tell of a failure.
        let _ = self.wait();
        if let Some(multiplier) = self.multiplier.take() {
            // SAFETY: nothing of it runs any more, and nobody else has it.
            let _ = unsafe { result::free_async(multiplier.workspace(), self.stream) };
        }
        let capturing = self
            .capturing
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        for stream in [self.stream, capturing.0] {
            // SAFETY: nobody else has the stream.
            let _ = unsafe { result::stream::destroy(stream) };
        }
        // SAFETY: it was retained once.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

impl Driver for Cuda {
    fn info(&self) -> &Info {
        &self.info
    }

    fn alloc(&self, bytes: u64) -> Result<u64, DriverError> {
        self.shared.enter()?;
        let size = usize::try_from(bytes).map_err(|_| DriverError::Memory(bytes))?;
        // SAFETY: the stream lives; whoever uses the memory writes it first.
        let memory = unsafe { result::malloc_async(self.shared.stream, size.max(1)) };
        memory.map_err(|error| match error.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => DriverError::Memory(bytes),
            _ => failed("allocating memory", error),
        })
    }

    unsafe fn free(&self, address: u64, _bytes: u64) {
        if self.shared.enter().is_ok() {
            // SAFETY: the caller's memory, which nothing uses after this in the stream.
            let _ = unsafe { result::free_async(address, self.shared.stream) };
        }
    }

    unsafe fn write(&self, to: u64, from: &[u8]) -> Result<(), DriverError> {
        if from.is_empty() {
            return Ok(());
        }
        self.shared.enter()?;
        // SAFETY: the caller vouches for the memory; pageable memory is copied before the call returns.
        let written = unsafe { result::memcpy_htod_async(to, from, self.shared.stream) };
        written.map_err(|error| failed("copying to the device", error))
    }

    unsafe fn read(&self, from: u64, to: &mut [u8]) -> Result<(), DriverError> {
        if to.is_empty() {
            return Ok(());
        }
        self.shared.enter()?;
        // SAFETY: the caller vouches for the memory; the stream is waited for before the slice is used.
        let read = unsafe { result::memcpy_dtoh_async(to, from, self.shared.stream) };
        let waited = self.shared.wait();
        read.map_err(|error| failed("copying from the device", error))?;
        waited
    }

    unsafe fn copy(&self, to: u64, from: u64, bytes: u64) -> Result<(), DriverError> {
        if bytes == 0 {
            return Ok(());
        }
        self.shared.enter()?;
        // SAFETY: the caller vouches for both places.
        let copied =
            unsafe { result::memcpy_dtod_async(to, from, bytes as usize, self.shared.stream) };
        copied.map_err(|error| failed("copying on the device", error))
    }

    fn wait(&self) -> Result<(), DriverError> {
        self.shared.wait()
    }

    fn compile(&self, program: &Program) -> Result<Arc<dyn Module>, DriverError> {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let image = nvrtc::compile(&program.text, self.capability)?;
        drop(turn);
        self.shared.enter()?;
        // SAFETY: the compiler made the image.
        let module = unsafe { result::module::load_data(image.bytes.as_ptr().cast()) };
        let module = module.map_err(|error| failed("loading code", error))?;
        let mut loaded = Loaded {
            shared: Arc::clone(&self.shared),
            module,
            entries: Vec::new(),
        };
        for entry in &program.entries {
            let name = CString::new(entry.name.as_str()).unwrap_or_default();
            // SAFETY: the module was just loaded.
            let function = unsafe { result::module::get_function(module, name) };
            let function = function.map_err(|error| failed("looking for a function", error))?;
            loaded.entries.push(function);
        }
        Ok(Arc::new(loaded))
    }

    fn multiplies(&self, shape: &Shape) -> bool {
        let multiplier = self.shared.multiplier.as_ref();
        self.shared.enter().is_ok() && multiplier.is_some_and(|own| own.takes(shape))
    }

    unsafe fn launch(&self, call: &Call) -> Result<(), DriverError> {
        self.shared.enter()?;
        // SAFETY: as the caller vouches; the stream lives.
        unsafe { self.shared.ask(call, self.shared.stream) }
    }

    unsafe fn record(&self, calls: &[Call]) -> Result<Box<dyn Recorded>, DriverError> {
        // SAFETY: as the caller vouches.
        Ok(Box::new(unsafe { Graph::of(&self.shared, calls) }?))
    }
}

impl Module for Loaded {}

/// # Safety
///
/// As for [`Driver::launch`], on a stream of the context that is current.
unsafe fn run(call: &Grid, stream: sys::CUstream) -> Result<(), DriverError> {
    let (function, mut places) = (function(call)?, places(call));
    let [x, y] = call.grid;
    // SAFETY: the function takes so many arguments of eight bytes, which the call copies; the
    // caller vouches for the memory among them.
    let launched = unsafe {
        result::launch_kernel(function, (x, y, 1), (THREADS, 1, 1), 0, stream, &mut places)
    };
    launched.map_err(|error| failed("a launch", error))
}

fn function(call: &Grid) -> Result<sys::CUfunction, DriverError> {
    let loaded: &Loaded = own(&call.module)?;
    Ok(loaded.entries[call.entry])
}

/// Where each argument of a call is.
fn places(call: &Grid) -> Vec<*mut c_void> {
    let place = |argument| std::ptr::from_ref::<u64>(argument).cast_mut().cast();
    call.arguments.iter().map(place).collect()
}

impl Drop for Loaded {
    fn drop(&mut self) {
        if self.shared.wait().is_ok() {
            // SAFETY: nothing of it runs any more, and nobody else has it.
            let _ = unsafe { result::module::unload(self.module) };
        }
    }
}

fn failed(what: &'static str, error: result::DriverError) -> DriverError {
    let words = error.error_string();
    let why = words.map_or_else(
        |_| format!("{:?}", error.0),
        |own| own.to_string_lossy().into_owned(),
    );
    DriverError::Call { what, why }
}
