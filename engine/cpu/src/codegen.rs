//! Kernels of a plan as machine code.
//!
//! A kernel is normalized, divided into loops (`schedule`) and written as one function
//! (`emit`); transcendental functions are calls of precompiled routines over blocks. All
//! kernels of one call are compiled in parallel and share their memory, which is freed with the
//! last handle. Code holds no absolute address. Guarantees that a kernel reads only elements
//! whose guards hold, and that results do not depend on how points are divided among calls.
//! Does not know tensors or launches: buffers are addresses, sizes are numbers.

#![expect(unsafe_code, reason = "entering generated code")]

mod arithmetic;
mod cast;
mod check;
mod emit;
mod fade;
mod frame;
mod fuse;
mod lanes;
mod memory;
mod narrow;
mod normal;
mod routine;
mod schedule;
mod shape;
mod target;
mod turn;

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{AbiParam, Signature, types};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::FunctionBuilderContext;
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, Module, default_libcall_names};
use girih_graph::Extent;
use girih_kernels::level::Level;
use girih_kernels::table::{Routines, routines};
use girih_plan::kernel::Kernel;

use frame::{Entry, Frame};
use shape::Shape;
use target::Features;

/// How kernels are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeOptions {
    /// Instructions that code and routines may use; the machine must have them.
    pub level: Level,
    /// Threads that compile; at least one does.
    pub threads: usize,
}

/// Why kernels could not be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// The machine is none that code can be made for.
    #[error("no code can be made for this machine: {0}")]
    Target(String),
    /// A kernel breaks a guarantee of its maker.
    #[error("kernel {kernel} is malformed: {reason}")]
    Malformed {
        /// Position among the kernels.
        kernel: usize,
        /// Which guarantee.
        reason: &'static str,
    },
    /// The code generator cannot compile a kernel.
    #[error("kernel {kernel} cannot be compiled: {reason}")]
    Compile {
        /// Position among the kernels.
        kernel: usize,
        /// In the generator's words.
        reason: String,
    },
    /// There is no executable memory.
    #[error("no memory for code: {0}")]
    Memory(String),
}

/// A guard that did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelFailure {
    /// As in the guard.
    pub status: u32,
    /// The position that was outside.
    pub position: i64,
    /// The first position outside.
    pub extent: i64,
}

/// Compiled kernels with the memory they lie in.
pub struct Code {
    kernels: Vec<CompiledKernel>,
    /// Taken when dropped.
    module: Mutex<Option<JITModule>>,
}

/// One compiled kernel.
#[derive(Debug)]
pub struct CompiledKernel {
    entry: Entry,
    shape: Shape,
    routines: &'static Routines,
    buffers: usize,
    bytes: usize,
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Code")
            .field("kernels", &self.kernels)
            .finish_non_exhaustive()
    }
}

impl Code {
    /// Compiles kernels; their order is kept.
    ///
    /// Costs about a millisecond for a kernel of a few dozen steps.
    ///
    /// # Errors
    ///
    /// A kernel that its maker's guarantees rule out, a machine that code cannot be made for.
    pub fn compile(kernels: &[Kernel], options: &CodeOptions) -> Result<Self, CodeError> {
        let (isa, features) = target::target(options.level)?;
        let written = write_all(kernels, &*isa, features, options.threads)?;
        let (entries, module) = placed(&isa, &written)?;
        let parts = written.into_iter().zip(entries).zip(kernels);
        let kernels = parts.map(|((written, entry), kernel)| CompiledKernel {
            entry,
            bytes: written.bytes.len(),
            shape: written.shape,
            routines: routines(options.level),
            buffers: kernel.buffers.len(),
        });
        Ok(Self {
            kernels: kernels.collect(),
            module: Mutex::new(Some(module)),
        })
    }

    /// A kernel by its position.
    ///
    /// # Panics
    ///
    /// If there are not so many.
    pub fn kernel(&self, position: usize) -> &CompiledKernel {
        &self.kernels[position]
    }

    /// How many kernels there are.
    pub fn kernel_count(&self) -> usize {
        self.kernels.len()
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        let module = match self.module.get_mut() {
            Ok(module) => module.take(),
            Err(poisoned) => poisoned.into_inner().take(),
        };
        if let Some(module) = module {
            // SAFETY: functions of the module are entered through kernels only, which are
            // borrowed from `self`; so none is running, and none will be entered.
            unsafe { module.free_memory() };
        }
    }
}

impl CompiledKernel {
    /// Sizes that are not constants, in the order in which all other functions take their values.
    pub fn sizes(&self) -> &[Extent] {
        &self.shape.sizes
    }

    /// Independent pieces of work: points of the outer loops, times blocks of the inner loop
    /// where nothing combines along it.
    pub fn points(&self, sizes: &[i64]) -> usize {
        self.shape.points(sizes)
    }

    /// Steps times elements of one point, roughly; at least 1.
    pub fn point_cost(&self, sizes: &[i64]) -> usize {
        self.shape.point_cost(sizes)
    }

    /// Bytes of memory that one call needs for itself.
    pub fn scratch_bytes(&self, sizes: &[i64]) -> usize {
        self.shape.scratch_bytes(sizes)
    }

    /// Bytes of its machine code.
    pub fn code_bytes(&self) -> usize {
        self.bytes
    }

    /// Computes some points.
    ///
    /// # Errors
    ///
    /// The first guard that fails; what was written is then unspecified.
    ///
    /// # Panics
    ///
    /// If the number of buffers or of sizes is not the kernel's.
    ///
    /// # Safety
    ///
    /// - The machine has the level that the code was compiled for.
    /// - `sizes` are at least 0, and `points` lie below [`Self::points`] of them.
    /// - Every buffer is valid for the elements that the kernel's accesses name under `sizes`
    ///   where their guards hold, and aligned to its dtype.
    /// - A buffer that is written overlaps no other one, and no other thread uses the elements
    ///   that these points write.
    /// - `scratch` is valid for [`Self::scratch_bytes`], aligned to 64 bytes, and not used by
    ///   another call meanwhile.
    pub unsafe fn run(
        &self,
        buffers: &[*mut u8],
        sizes: &[i64],
        points: Range<usize>,
        scratch: *mut u8,
    ) -> Result<(), KernelFailure> {
        assert_eq!(buffers.len(), self.buffers, "number of buffers");
        assert_eq!(sizes.len(), self.shape.sizes.len(), "number of sizes");
        let mut frame = Frame {
            buffers: buffers.as_ptr(),
            sizes: sizes.as_ptr(),
            routines: self.routines,
            scratch,
            position: 0,
            extent: 0,
            remainder_f32: routine::REMAINDER_F32,
            remainder_f64: routine::REMAINDER_F64,
        };
        let (begin, end) = (points.start as i64, points.end as i64);
        // SAFETY: the function was compiled for this frame with as many buffers and sizes
        // (checked above); the caller vouches for what they name.
        let status = unsafe { (self.entry)(&raw mut frame, begin, end) };
        if status == 0 {
            return Ok(());
        }
        Err(KernelFailure {
            status: status as u32,
            position: frame.position,
            extent: frame.extent,
        })
    }
}

/// A function before it has its place.
struct Written {
    bytes: Vec<u8>,
    shape: Shape,
}

/// Writes all functions, each thread taking the next one that is left.
fn write_all(
    kernels: &[Kernel],
    isa: &dyn TargetIsa,
    features: Features,
    threads: usize,
) -> Result<Vec<Written>, CodeError> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        let mut context = FunctionBuilderContext::new();
        loop {
            let position = next.fetch_add(1, Ordering::Relaxed);
            let Some(kernel) = kernels.get(position) else {
                return done;
            };
            done.push((
                position,
                write(position, kernel, isa, features, &mut context),
            ));
        }
    };
    let threads = threads.clamp(1, kernels.len().max(1));
    let mut all = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(worker)).collect();
        let mut all = worker();
        for other in others {
            match other.join() {
                Ok(done) => all.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    all.sort_by_key(|(position, _)| *position);
    all.into_iter().map(|(_, written)| written).collect()
}

fn write(
    position: usize,
    kernel: &Kernel,
    isa: &dyn TargetIsa,
    features: Features,
    builder: &mut FunctionBuilderContext,
) -> Result<Written, CodeError> {
    let malformed = |reason| CodeError::Malformed {
        kernel: position,
        reason,
    };
    check::check(kernel).map_err(malformed)?;
    let kernel = normal::normalized(kernel);
    let schedule = schedule::schedule(&kernel);
    let shape = Shape::new(&kernel, &schedule);
    let mut context = Context::new();
    emit::emit(
        isa,
        features,
        &kernel,
        &schedule,
        &shape,
        &mut context.func,
        builder,
    );
    let failed = |reason: String| CodeError::Compile {
        kernel: position,
        reason,
    };
    let code = context
        .compile(isa, &mut ControlPlane::default())
        .map_err(|error| failed(format!("{:?}", error.inner)))?;
    if let Some(relocation) = code.buffer.relocs().first() {
        // Everything outside the function is reached through the frame.
        return Err(failed(format!("it names {relocation:?}")));
    }
    Ok(Written {
        bytes: code.code_buffer().to_vec(),
        shape,
    })
}

/// Puts all functions into executable memory.
fn placed(
    isa: &Arc<dyn TargetIsa>,
    written: &[Written],
) -> Result<(Vec<Entry>, JITModule), CodeError> {
    let failed = |error: cranelift_module::ModuleError| CodeError::Memory(error.to_string());
    let mut module = JITModule::new(JITBuilder::with_isa(isa.clone(), default_libcall_names()));
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params.extend([AbiParam::new(types::I64); 3]);
    signature.returns.push(AbiParam::new(types::I32));
    let alignment = u64::from(isa.function_alignment().preferred);
    let mut ids: Vec<FuncId> = Vec::new();
    for (position, written) in written.iter().enumerate() {
        let name = format!("kernel{position}");
        let id = module
            .declare_function(&name, Linkage::Local, &signature)
            .map_err(failed)?;
        module
            .define_function_bytes(id, alignment, &written.bytes, &[])
            .map_err(failed)?;
        ids.push(id);
    }
    module.finalize_definitions().map_err(failed)?;
    let entries = ids.into_iter().map(|id| {
        let address = module.get_finalized_function(id);
        // SAFETY: the address is that of a function that was written with this signature and
        // the platform's calling convention.
        unsafe { std::mem::transmute::<*const u8, Entry>(address) }
    });
    Ok((entries.collect(), module))
}
