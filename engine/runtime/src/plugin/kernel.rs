//! A plugin's operation as a backend sees it.
//!
//! Every run is checked before the plugin hears of it: its tensors have the types that the kernel was made for, and lie in
//! the bytes that come with them. A run allocates nothing here.
#![expect(
    unsafe_code,
    reason = "calls functions of plugins with pointers to tensors"
)]

use std::ffi::{CString, c_void};
use std::mem::MaybeUninit;
use std::sync::Arc;

use girih_graph::DType;
use girih_plugin::raw::{self, DlDataType, DlDevice, DlTensor};

use super::host::{HOST, Said, taken, with_memory};
use super::library::{Entry, Library};
use super::native::{
    Attribute, Kernel, Native, NativeCall, NativeCode, NativeError, Operand, Parallel, Spec,
    TensorSpec, Workspace,
};

/// The most operands and results together.
const MOST_TENSORS: usize = 32;

/// The largest workspace, in bytes: 64 GiB.
const MOST_WORKSPACE: u64 = 1 << 36;

/// One operation of a loaded plugin.
#[derive(Clone, Debug)]
pub struct PluginNative {
    library: Arc<Library>,
    entry: usize,
}

impl PluginNative {
    /// The operation called `name`.
    pub fn new(library: &Arc<Library>, name: &str) -> Option<Self> {
        Some(Self {
            entry: library.entry(name)?,
            library: Arc::clone(library),
        })
    }

    fn table(&self) -> &Entry {
        self.library.at(self.entry)
    }

    fn error(&self, code: NativeCode, message: impl Into<String>) -> NativeError {
        NativeError {
            code,
            plugin: self.library.note().id.clone(),
            operation: self.table().name.clone(),
            message: message.into(),
        }
    }

    fn said(&self, said: Said) -> NativeError {
        self.error(said.code, said.message)
    }

    /// Operations and bytes of one run, if the plugin knows.
    ///
    /// # Errors
    ///
    /// It fails, or says what cannot be.
    pub fn cost(&self, spec: &Spec) -> Result<Option<(f64, f64)>, NativeError> {
        let Some(cost) = self.table().cost else {
            return Ok(None);
        };
        let types = Types::new(spec).map_err(|said| self.error(NativeCode::Internal, said))?;
        let mut out = raw::Cost {
            struct_size: size_of::<raw::Cost>() as u32,
            unused: 0,
            operations: -1.0,
            bytes: -1.0,
        };
        // SAFETY: after `init`; the types and `out` are valid until it returns.
        let status = unsafe { cost(self.library.state(), &raw const types.raw, &raw mut out) };
        match taken(status) {
            Some(said) if said.code == NativeCode::Unsupported => Ok(None),
            Some(said) => Err(self.said(said)),
            None if [out.operations, out.bytes]
                .iter()
                .all(|x| x.is_finite() && *x >= 0.0) =>
            {
                Ok(Some((out.operations, out.bytes)))
            }
            None => Err(self.error(
                NativeCode::Internal,
                format!(
                    "it claims to cost {} operations and {} bytes",
                    out.operations, out.bytes
                ),
            )),
        }
    }

    /// As [`Native::prepare`], with the kernel's own type.
    ///
    /// # Errors
    ///
    /// As [`Native::prepare`].
    pub fn prepare_kernel(&self, spec: &Spec) -> Result<PluginKernel, NativeError> {
        if spec.operands.len() + spec.results.len() > MOST_TENSORS {
            let message = format!("it has more than {MOST_TENSORS} operands and results");
            return Err(self.error(NativeCode::Unsupported, message));
        }
        let types = Types::new(spec).map_err(|said| self.error(NativeCode::Internal, said))?;
        let mut out = raw::Prepared {
            struct_size: size_of::<raw::Prepared>() as u32,
            workspace_align: 0,
            workspace_bytes: 0,
            kernel: std::ptr::null_mut(),
        };
        let prepare = self.table().prepare;
        let status = with_memory(|| {
            // SAFETY: after `init`; the types and `out` are valid until it returns.
            unsafe { prepare(self.library.state(), &raw const types.raw, &raw mut out) }
        });
        if let Some(said) = taken(status) {
            return Err(self.said(said));
        }
        // From here on the kernel is released, whatever is found.
        let mut kernel = PluginKernel {
            native: self.clone(),
            kernel: out.kernel,
            workspace: Workspace::NONE,
            operands: spec.operands.iter().map(Layout::new).collect(),
            results: spec.results.iter().map(Layout::new).collect(),
            run: self.table().run,
        };
        let align = (out.workspace_align as usize).max(1);
        if !align.is_power_of_two() || align > Workspace::MOST_ALIGN {
            let message = format!("it wants its workspace aligned to {align}");
            return Err(self.error(NativeCode::Internal, message));
        }
        if out.workspace_bytes > MOST_WORKSPACE {
            let message = format!("it wants a workspace of {} bytes", out.workspace_bytes);
            return Err(self.error(NativeCode::Memory, message));
        }
        kernel.workspace = Workspace {
            // Bounded above.
            bytes: out.workspace_bytes as usize,
            align,
        };
        Ok(kernel)
    }
}

impl Native for PluginNative {
    fn prepare(&self, spec: &Spec) -> Result<Box<dyn Kernel>, NativeError> {
        Ok(Box::new(self.prepare_kernel(spec)?))
    }
}

/// A kernel of a plugin, released when dropped.
#[derive(Debug)]
pub struct PluginKernel {
    native: PluginNative,
    kernel: *mut c_void,
    workspace: Workspace,
    operands: Vec<Layout>,
    results: Vec<Layout>,
    run: raw::RunFn,
}

// SAFETY: the border lets runs of one kernel overlap, and lets any thread release it.
unsafe impl Send for PluginKernel {}
// SAFETY: as above.
unsafe impl Sync for PluginKernel {}

impl Drop for PluginKernel {
    fn drop(&mut self) {
        if let Some(release) = self.native.table().release {
            // SAFETY: `prepare` made the kernel, nothing runs any more, and it is released once.
            unsafe { release(self.kernel) };
        }
    }
}

/// What a tensor of a kernel is.
#[derive(Debug)]
struct Layout {
    dtype: DType,
    dl: DlDataType,
    shape: Vec<i64>,
    strides: Vec<i64>,
    bytes: usize,
}

impl Layout {
    fn new(of: &TensorSpec) -> Self {
        let shape: Vec<i64> = of.shape.iter().map(|&extent| extent as i64).collect();
        let mut strides = vec![1; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis] * shape[axis].max(1);
        }
        let count = of.shape.iter().product::<usize>();
        Self {
            dtype: of.dtype,
            dl: dl_dtype(of.dtype),
            shape,
            strides,
            bytes: count * of.dtype.size(),
        }
    }

    fn tensor(&self, data: *const u8, strides: *const i64) -> DlTensor {
        DlTensor {
            data: data.cast_mut().cast(),
            device: DlDevice {
                device_type: raw::DL_CPU,
                device_id: 0,
            },
            // `prepare` was given as many.
            ndim: self.shape.len() as i32,
            dtype: self.dl,
            shape: self.shape.as_ptr().cast_mut(),
            strides: strides.cast_mut(),
            byte_offset: 0,
        }
    }

    fn is(&self, dtype: DType, shape: &[usize]) -> bool {
        dtype == self.dtype
            && shape.len() == self.shape.len()
            && shape.iter().zip(&self.shape).all(|(a, b)| *a as i64 == *b)
    }

    /// Bytes from the first element to the last of an operand with strides; `None` past what can be addressed.
    fn span(&self, strides: &[usize]) -> Option<usize> {
        if self.bytes == 0 {
            return Some(0);
        }
        let mut last = 0usize;
        for (&extent, &stride) in self.shape.iter().zip(strides) {
            let reach = usize::try_from(extent - 1).ok()?.checked_mul(stride)?;
            last = last.checked_add(reach)?;
        }
        last.checked_add(1)?.checked_mul(self.dtype.size())
    }
}

/// A run, and the threads that belong to it. A plugin sees the first field.
#[repr(C)]
struct Running<'a> {
    call: raw::Call,
    parallel: &'a dyn Parallel,
}

impl PluginKernel {
    fn wrong(&self, what: &str, at: usize) -> NativeError {
        let message = format!("{what} {at} is not what its kernel was made for");
        self.native.error(NativeCode::Internal, message)
    }

    /// Whether the operation takes strides.
    fn takes_strides(&self) -> bool {
        self.native.table().flags & raw::STRIDED != 0
    }

    fn operand(&self, at: usize, operand: &Operand<'_>) -> Option<DlTensor> {
        let layout = &self.operands[at];
        let fits = layout.is(operand.dtype, operand.shape)
            && operand
                .bytes
                .as_ptr()
                .addr()
                .is_multiple_of(operand.dtype.size());
        if !fits {
            return None;
        }
        if !self.takes_strides() {
            // Without the flag operands are row-major, so this is where they lie.
            return (operand.bytes.len() >= layout.bytes)
                .then(|| layout.tensor(operand.bytes.as_ptr(), layout.strides.as_ptr()));
        }
        if operand.strides.len() != layout.shape.len()
            || layout.span(operand.strides)? > operand.bytes.len()
        {
            return None;
        }
        // On the targets of the border both are 64 bits, and the span shows that no stride that counts is larger than
        // an `isize`.
        const { assert!(size_of::<usize>() == size_of::<i64>()) };
        Some(layout.tensor(operand.bytes.as_ptr(), operand.strides.as_ptr().cast()))
    }
}

impl Kernel for PluginKernel {
    fn workspace(&self) -> Workspace {
        self.workspace
    }

    fn strided(&self) -> bool {
        self.takes_strides()
    }

    fn run(&self, call: &mut NativeCall<'_>) -> Result<(), NativeError> {
        let (operands, results) = (call.operands.len(), call.results.len());
        if operands != self.operands.len() || results != self.results.len() {
            return Err(self.wrong("call", operands));
        }
        let mut tensors = [const { MaybeUninit::<DlTensor>::uninit() }; MOST_TENSORS];
        for (at, operand) in call.operands.iter().enumerate() {
            let tensor = self.operand(at, operand);
            tensors[at].write(tensor.ok_or_else(|| self.wrong("operand", at))?);
        }
        for (at, result) in call.results.iter_mut().enumerate() {
            let layout = &self.results[at];
            let data = result.bytes.as_mut_ptr();
            let fits = layout.is(result.dtype, result.shape)
                && result.bytes.len() == layout.bytes
                && data.addr().is_multiple_of(result.dtype.size());
            if !fits {
                return Err(self.wrong("result", at));
            }
            tensors[operands + at].write(layout.tensor(data, layout.strides.as_ptr()));
        }
        let workspace = call.workspace.as_mut_ptr();
        if call.workspace.len() < self.workspace.bytes
            || (self.workspace.bytes > 0 && !workspace.addr().is_multiple_of(self.workspace.align))
        {
            return Err(self.wrong("workspace", 0));
        }
        let first = tensors.as_ptr().cast::<DlTensor>();
        let running = Running {
            call: raw::Call {
                struct_size: size_of::<raw::Call>() as u32,
                operand_count: operands as u32,
                result_count: results as u32,
                threads: u32::try_from(call.parallel.threads()).unwrap_or(u32::MAX),
                operands: first,
                results: first.wrapping_add(operands),
                workspace: workspace.cast(),
                host: &raw const HOST,
                parallel_for: Some(parallel_for),
            },
            parallel: call.parallel,
        };
        // SAFETY: `prepare` made the kernel and it is not released; the call and all in it live until it returns, and
        // its tensors lie in the bytes they came with, checked above.
        let status = unsafe { (self.run)(self.kernel, (&raw const running).cast()) };
        match taken(status) {
            None => Ok(()),
            Some(said) => Err(self.native.said(said)),
        }
    }
}

/// A plugin's pointer on its way to other threads.
#[derive(Clone, Copy)]
struct Shared(*mut c_void);

// SAFETY: whoever calls `parallel_for` promises that its body may run on several threads with this.
unsafe impl Sync for Shared {}

impl Shared {
    fn pointer(&self) -> *mut c_void {
        self.0
    }
}

/// # Safety
///
/// `call` is what `run` was given, during that run.
unsafe extern "C" fn parallel_for(
    call: *const raw::Call,
    count: u64,
    body: Option<raw::Body>,
    data: *mut c_void,
) {
    let Some(body) = body else {
        return;
    };
    // SAFETY: a run gives its plugin nothing but the first field of one of these.
    let running = unsafe { &*call.cast::<Running<'_>>() };
    let data = Shared(data);
    let items = usize::try_from(count).unwrap_or(usize::MAX);
    running.parallel.run(items, &|item, thread| {
        // SAFETY: the plugin's own body with its own data, while it waits in `parallel_for`.
        unsafe { body(data.pointer(), item as u64, thread as u32) };
    });
}

/// What `prepare` and `cost` are told, with everything that it points at.
struct Types {
    raw: raw::Spec,
    #[expect(dead_code, reason = "`raw` points at it")]
    owned: Owned,
}

#[expect(dead_code, reason = "`Types::raw` points at them")]
struct Owned {
    shapes: Vec<Vec<i64>>,
    types: Vec<raw::Type>,
    texts: Vec<CString>,
    attrs: Vec<raw::Attr>,
}

impl Types {
    fn new(spec: &Spec) -> Result<Self, String> {
        let (mut shapes, mut types) = (Vec::new(), Vec::new());
        for tensor in spec.operands.iter().chain(&spec.results) {
            let shape: Result<Vec<i64>, _> = tensor
                .shape
                .iter()
                .map(|&extent| i64::try_from(extent))
                .collect();
            let shape = shape.map_err(|_| "an extent is past the largest integer".to_owned())?;
            types.push(raw::Type {
                dtype: dl_dtype(tensor.dtype),
                rank: shape.len() as u32,
                // Moving the vector into the list does not move its elements.
                shape: shape.as_ptr(),
            });
            shapes.push(shape);
        }
        let (mut texts, mut attrs) = (Vec::new(), Vec::new());
        let mut text = |of: &str| -> Result<*const std::ffi::c_char, String> {
            let text = CString::new(of).map_err(|_| "a text holds a zero".to_owned())?;
            let pointer = text.as_ptr();
            texts.push(text);
            Ok(pointer)
        };
        for (name, value) in &spec.attributes {
            let mut attr = raw::Attr {
                name: text(name)?,
                kind: raw::ATTR_INT,
                unused: 0,
                integer: 0,
                real: 0.0,
                text: std::ptr::null(),
            };
            match value {
                Attribute::Bool(value) => {
                    attr.kind = raw::ATTR_BOOL;
                    attr.integer = i64::from(*value);
                }
                Attribute::Int(value) => attr.integer = *value,
                Attribute::Real(value) => {
                    attr.kind = raw::ATTR_REAL;
                    attr.real = *value;
                }
                Attribute::Text(value) => {
                    attr.kind = raw::ATTR_TEXT;
                    attr.text = text(value)?;
                }
            }
            attrs.push(attr);
        }
        let raw = raw::Spec {
            struct_size: size_of::<raw::Spec>() as u32,
            attr_count: attrs.len() as u32,
            operand_count: spec.operands.len() as u32,
            result_count: spec.results.len() as u32,
            threads: u32::try_from(spec.threads.max(1)).unwrap_or(u32::MAX),
            unused: 0,
            attrs: attrs.as_ptr(),
            operands: types.as_ptr(),
            results: types.as_ptr().wrapping_add(spec.operands.len()),
            host: &raw const HOST,
        };
        Ok(Self {
            raw,
            owned: Owned {
                shapes,
                types,
                texts,
                attrs,
            },
        })
    }
}

fn dl_dtype(dtype: DType) -> DlDataType {
    let (code, bits) = match dtype {
        DType::F64 => (raw::DL_FLOAT, 64),
        DType::F32 => (raw::DL_FLOAT, 32),
        DType::F16 => (raw::DL_FLOAT, 16),
        DType::BF16 => (raw::DL_BFLOAT, 16),
        DType::I64 => (raw::DL_INT, 64),
        DType::I32 => (raw::DL_INT, 32),
        DType::I8 => (raw::DL_INT, 8),
        DType::U8 => (raw::DL_UINT, 8),
        DType::Bool => (raw::DL_BOOL, 8),
    };
    DlDataType {
        code,
        bits,
        lanes: 1,
    }
}
