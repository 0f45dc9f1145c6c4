//! Runs generated code without a device: compiled as C++ by the system's compiler, with
//! `emulator.h` in place of CUDA, and loaded as a library.
//!
//! Memory ends where a page begins that nobody may touch, so that code that leaves it ends the
//! process; what was not written yet is NaN or −1.

use std::collections::hash_map::DefaultHasher;
use std::ffi::{OsString, c_int, c_uint, c_void};
use std::fmt::Write as _;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libloading::Library;

use super::product::Shape;
use super::{Call, Driver, DriverError, Grid, Info, Module, Recorded, own};
use crate::source::{PRELUDE, Program, THREADS};

mod memory;
mod product;

use memory::Memory;

/// What stands in place of CUDA.
const HEADER: &str = include_str!("emulator.h");

/// How an entry is called.
type Entry = unsafe extern "C" fn(*mut *const c_void, c_uint, c_uint, c_uint, c_int) -> c_int;

/// One launch at a time: libraries keep the state of a grid in variables.
static TURN: Mutex<()> = Mutex::new(());

/// The emulated device.
#[derive(Debug)]
pub struct Emulator {
    info: Info,
    memory: Arc<Memory>,
    /// Where libraries are kept, if the person said so.
    kept: Option<PathBuf>,
    /// What the compiler is to look for while code runs, if the person said so.
    sanitizers: Option<String>,
}

/// A library with what it was asked for.
struct Emulated {
    entries: Vec<(Entry, bool)>,
    /// Keeps the functions.
    _library: Library,
}

impl Emulator {
    /// An emulated device.
    ///
    /// # Errors
    ///
    /// There is no C++ compiler.
    pub fn new() -> Result<Self, DriverError> {
        let version = Command::new(compiler()).arg("--version").output();
        if !version.is_ok_and(|output| output.status.success()) {
            let name = compiler();
            let name = name.to_string_lossy();
            return Err(DriverError::Absent(format!(
                "there is no C++ compiler `{name}`"
            )));
        }
        Ok(Self {
            info: Info {
                name: "emulated on this machine's processor".to_owned(),
                memory: 0,
                products: Some("loops".to_owned()),
            },
            memory: Arc::default(),
            kept: std::env::var_os("GIRIH_CUDA_EMULATOR_FOLDER").map(PathBuf::from),
            sanitizers: std::env::var("GIRIH_CUDA_SANITIZE").ok(),
        })
    }

    /// The library of a text.
    fn library(&self, text: &str) -> Result<Library, DriverError> {
        if let Some(folder) = &self.kept {
            make_folder(folder)?;
            return load(&self.known(folder, text)?);
        }
        let folder = new_folder()?;
        let library = self
            .compiled(&folder, "code", text)
            .and_then(|path| load(&path));
        // What was loaded stays; nobody else needs the files.
        std::fs::remove_dir_all(&folder).map_err(|error| failed("removing a folder", &error))?;
        library
    }

    /// The library of a text in a folder, which may have it already.
    fn known(&self, folder: &Path, text: &str) -> Result<PathBuf, DriverError> {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let name = format!("{:016x}", hasher.finish());
        let known = |ending: &str| folder.join(&name).with_extension(ending);
        let (source, library) = (known("cpp"), known("so"));
        let same = std::fs::read_to_string(&source).is_ok_and(|known| known == text);
        if same && library.exists() {
            return Ok(library);
        }
        let made = self.compiled(folder, &format!("{name}-{}", std::process::id()), text)?;
        let placed = std::fs::rename(&made, &library)
            .and_then(|()| std::fs::rename(made.with_extension("cpp"), &source));
        placed.map_err(|error| failed("placing the library", &error))?;
        Ok(library)
    }

    /// Compiles a text in a folder.
    fn compiled(&self, folder: &Path, name: &str, text: &str) -> Result<PathBuf, DriverError> {
        let source = folder.join(name).with_extension("cpp");
        let library = source.with_extension("so");
        std::fs::write(&source, text).map_err(|error| failed("writing the source", &error))?;
        let output = Command::new(compiler())
            .args([
                "-std=c++17",
                "-O1",
                "-shared",
                "-fPIC",
                "-w",
                "-U_FORTIFY_SOURCE",
            ])
            // As on the device: integers wrap around, and a product is rounded before it is added.
            .args(["-fwrapv", "-ffp-contract=off", "-fno-strict-aliasing"])
            .args(fused())
            .args(self.sanitizers.iter().flat_map(|own| {
                [
                    format!("-fsanitize={own}"),
                    "-fno-sanitize-recover=all".to_owned(),
                ]
            }))
            .arg("-o")
            .args([&library, &source])
            .output()
            .map_err(|error| failed("starting the compiler", &error))?;
        if output.status.success() {
            return Ok(library);
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(DriverError::Compile(said))
    }
}

fn load(path: &Path) -> Result<Library, DriverError> {
    // SAFETY: the library was compiled from generated code, or is in a folder that the person named
    // for it; it has no code that runs when it is loaded.
    unsafe { Library::new(path) }.map_err(|error| failed("loading the library", &error))
}

impl Driver for Emulator {
    fn info(&self) -> &Info {
        &self.info
    }

    fn alloc(&self, bytes: u64) -> Result<u64, DriverError> {
        self.memory
            .allocate(bytes)
            .ok_or(DriverError::Memory(bytes))
    }

    unsafe fn free(&self, address: u64, bytes: u64) {
        // SAFETY: as the caller vouches.
        unsafe { self.memory.free(address, bytes) };
    }

    unsafe fn write(&self, to: u64, from: &[u8]) -> Result<(), DriverError> {
        // SAFETY: the caller vouches for the memory; it is this process', and not the slice's.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to as *mut u8, from.len()) };
        Ok(())
    }

    unsafe fn read(&self, from: u64, to: &mut [u8]) -> Result<(), DriverError> {
        // SAFETY: as for `write`.
        unsafe { std::ptr::copy_nonoverlapping(from as *const u8, to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    unsafe fn copy(&self, to: u64, from: u64, bytes: u64) -> Result<(), DriverError> {
        // SAFETY: the caller vouches for both, and that they are apart.
        unsafe {
            std::ptr::copy_nonoverlapping(from as *const u8, to as *mut u8, bytes as usize);
        }
        Ok(())
    }

    fn wait(&self) -> Result<(), DriverError> {
        Ok(())
    }

    fn compile(&self, program: &Program) -> Result<Arc<dyn Module>, DriverError> {
        // Who keeps libraries tells them apart by their text.
        let sanitizers = self.sanitizers.as_deref().unwrap_or("nothing");
        let mut text = format!(
            "// Looks for {sanitizers}.\n{HEADER}\n{PRELUDE}\n{}",
            program.text
        );
        for entry in &program.entries {
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "GIRIH_ENTRY({})", entry.name);
        }
        let library = self.library(&text)?;
        let mut entries = Vec::new();
        for entry in &program.entries {
            let name = format!("emulate_{}\0", entry.name);
            // SAFETY: the macro of the header defines the function with this type.
            let function = unsafe { library.get::<Entry>(name.as_bytes()) }
                .map_err(|error| failed("looking for a function", &error))?;
            entries.push((*function, entry.synchronizes));
        }
        Ok(Arc::new(Emulated {
            entries,
            _library: library,
        }))
    }

    fn multiplies(&self, shape: &Shape) -> bool {
        shape.columns().is_some()
    }

    unsafe fn launch(&self, call: &Call) -> Result<(), DriverError> {
        // SAFETY: as the caller vouches.
        unsafe { launch(call, &self.memory) }
    }

    unsafe fn record(&self, calls: &[Call]) -> Result<Box<dyn Recorded>, DriverError> {
        Ok(Box::new(Calls {
            calls: Mutex::new(calls.to_vec()),
            memory: Arc::clone(&self.memory),
        }))
    }
}

/// What was recorded.
struct Calls {
    calls: Mutex<Vec<Call>>,
    memory: Arc<Memory>,
}

impl Calls {
    fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorded for Calls {
    unsafe fn replay(&self) -> Result<(), DriverError> {
        for call in &*self.calls() {
            // SAFETY: as the caller vouches.
            unsafe { launch(call, &self.memory) }?;
        }
        Ok(())
    }

    unsafe fn change(&self, at: usize, grid: &Grid) -> Result<(), DriverError> {
        match self.calls().get_mut(at) {
            Some(Call::Grid(own)) if own.is_of_code(grid) => {
                *own = grid.clone();
                Ok(())
            }
            _ => Err(DriverError::Call {
                what: "changing a recorded launch",
                why: "another entry was recorded".to_owned(),
            }),
        }
    }
}

impl Module for Emulated {}

/// # Safety
///
/// As for [`Driver::launch`].
unsafe fn launch(call: &Call, memory: &Memory) -> Result<(), DriverError> {
    match call {
        // SAFETY: as the caller vouches.
        Call::Grid(grid) => unsafe { run(grid) },
        // SAFETY: as the caller vouches.
        Call::Product(product) => unsafe { product::multiply(product, memory) },
    }
}

/// # Safety
///
/// As for [`Driver::launch`].
unsafe fn run(call: &Grid) -> Result<(), DriverError> {
    let (function, synchronizes) = own::<Emulated>(&call.module)?.entries[call.entry];
    let mut places: Vec<*const c_void> = (call.arguments.iter())
        .map(|argument| std::ptr::from_ref(argument).cast())
        .collect();
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let [x, y] = call.grid;
    let waits = c_int::from(synchronizes);
    // SAFETY: the caller gives as many arguments as the function takes, each of eight bytes,
    // and vouches for the addresses among them.
    let status = unsafe { function(places.as_mut_ptr(), x, y, THREADS, waits) };
    drop(turn);
    if status == 0 {
        return Ok(());
    }
    Err(DriverError::Call {
        what: "an emulated launch",
        why: "threads of a block wait for others that never come".to_owned(),
    })
}

fn failed(what: &'static str, why: &dyn std::fmt::Display) -> DriverError {
    DriverError::Call {
        what,
        why: why.to_string(),
    }
}

/// The C++ compiler.
fn compiler() -> OsString {
    std::env::var_os("CXX").unwrap_or_else(|| "c++".into())
}

/// What lets `fma` be an instruction.
fn fused() -> &'static [&'static str] {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("fma") {
        return &["-mfma"];
    }
    &[]
}

/// A folder that nobody else has.
fn new_folder() -> Result<PathBuf, DriverError> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_nanos());
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("girih-cuda-{}-{now}-{count}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(&path)
        .map_err(|error| failed("making a folder", &error))?;
    Ok(path)
}

fn make_folder(path: &Path) -> Result<(), DriverError> {
    std::fs::create_dir_all(path).map_err(|error| failed("making a folder", &error))
}
