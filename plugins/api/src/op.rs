//! What an author writes for one `@native` function, and the table that the border wants of it.
#![expect(unsafe_code, reason = "what the host calls gets its pointers")]

use std::ffi::{CStr, c_void};

use crate::call::Call;
use crate::error::{Error, caught};
use crate::raw;
use crate::spec::Spec;

/// The kernel of one function. Pure, and the same bits each time whatever the number of threads.
pub trait Op: Sized + Send + Sync + 'static {
    /// The function's name in the plugin's text; `name@2` if the text says `@native(2)`.
    const NAME: &'static CStr;

    /// [`raw::STRIDED`], or 0: operands are then row-major.
    const FLAGS: u32 = 0;

    /// Makes a kernel for these types. May be slow and may allocate.
    ///
    /// # Errors
    ///
    /// [`Error::unsupported`] makes the host compute the text instead, everything else ends the run.
    fn prepare(spec: &Spec<'_>) -> Result<Self, Error>;

    /// Scratch memory that each run needs.
    fn workspace(&self) -> Workspace {
        Workspace::NONE
    }

    /// Computes all results. Several threads may run one kernel at once. Does not allocate.
    ///
    /// # Errors
    ///
    /// Whatever keeps the results from being computed; the kernel may be run again.
    fn run(&self, call: &mut Call<'_>) -> Result<(), Error>;

    /// What a run costs, if that is known.
    fn cost(_spec: &Spec<'_>) -> Option<Cost> {
        None
    }
}

/// Scratch memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Size in bytes.
    pub bytes: usize,
    /// A power of two up to 4096.
    pub align: usize,
}

impl Workspace {
    /// None.
    pub const NONE: Self = Self { bytes: 0, align: 1 };

    /// Room for `count` elements.
    pub const fn of<T>(count: usize) -> Self {
        Self {
            bytes: count.saturating_mul(size_of::<T>()),
            align: align_of::<T>(),
        }
    }
}

/// What a run costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Operations on numbers.
    pub operations: f64,
    /// Bytes read and written.
    pub bytes: f64,
}

/// The table of an operation.
pub const fn table<T: Op>() -> raw::OpTable {
    raw::OpTable {
        struct_size: size_of::<raw::OpTable>() as u32,
        flags: T::FLAGS,
        name: T::NAME.as_ptr(),
        prepare: Some(prepare::<T>),
        run: Some(run::<T>),
        release: Some(release::<T>),
        cost: Some(cost::<T>),
    }
}

/// What `run` and `release` are given.
struct Kernel<T> {
    op: T,
    workspace_bytes: usize,
}

/// # Safety
///
/// As `prepare` in the header.
unsafe extern "C" fn prepare<T: Op>(
    _plugin: *mut c_void,
    spec: *const raw::Spec,
    out: *mut raw::Prepared,
) -> raw::Status {
    // SAFETY: the host gives a valid spec.
    let spec = unsafe { &*spec };
    let made = caught(|| {
        // SAFETY: valid until we return, and so is what it points at.
        let op = T::prepare(&unsafe { Spec::new(spec) })?;
        let workspace = op.workspace();
        let align = u32::try_from(workspace.align)
            .map_err(|_| Error::internal("the workspace's alignment is too large"))?;
        Ok((op, workspace.bytes, align))
    });
    match made {
        Ok((op, workspace_bytes, workspace_align)) => {
            let kernel = Box::into_raw(Box::new(Kernel {
                op,
                workspace_bytes,
            }));
            // SAFETY: the host gives a valid place; every host has these fields.
            let out = unsafe { &mut *out };
            out.workspace_align = workspace_align;
            out.workspace_bytes = workspace_bytes as u64;
            out.kernel = kernel.cast();
            std::ptr::null_mut()
        }
        // SAFETY: the host's table is valid.
        Err(error) => unsafe { error.into_status(spec.host) },
    }
}

/// # Safety
///
/// As `run` in the header.
unsafe extern "C" fn run<T: Op>(kernel: *mut c_void, call: *const raw::Call) -> raw::Status {
    // SAFETY: `prepare` made it, and it was not released.
    let kernel = unsafe { &*kernel.cast_const().cast::<Kernel<T>>() };
    // SAFETY: the host gives a valid call.
    let call = unsafe { &*call };
    let done = caught(|| {
        // SAFETY: valid until we return, with the workspace that was asked for.
        let mut run = unsafe { Call::new(call, kernel.workspace_bytes) };
        kernel.op.run(&mut run)
    });
    match done {
        Ok(()) => std::ptr::null_mut(),
        // SAFETY: the host's table is valid.
        Err(error) => unsafe { error.into_status(call.host) },
    }
}

/// # Safety
///
/// As `release` in the header.
unsafe extern "C" fn release<T: Op>(kernel: *mut c_void) {
    // SAFETY: `prepare` made it, and it is released once.
    let kernel = unsafe { Box::from_raw(kernel.cast::<Kernel<T>>()) };
    // Nobody can be told of a panic here.
    let _ = caught(|| {
        drop(kernel);
        Ok(())
    });
}

/// # Safety
///
/// As `cost` in the header.
unsafe extern "C" fn cost<T: Op>(
    _plugin: *mut c_void,
    spec: *const raw::Spec,
    out: *mut raw::Cost,
) -> raw::Status {
    // SAFETY: the host gives a valid spec.
    let spec = unsafe { &*spec };
    let found = caught(|| {
        // SAFETY: valid until we return, and so is what it points at.
        T::cost(&unsafe { Spec::new(spec) }).ok_or_else(|| Error::unsupported("not known"))
    });
    match found {
        Ok(found) => {
            // SAFETY: the host gives a valid place.
            let out = unsafe { &mut *out };
            out.operations = found.operations;
            out.bytes = found.bytes;
            std::ptr::null_mut()
        }
        // SAFETY: the host's table is valid.
        Err(error) => unsafe { error.into_status(spec.host) },
    }
}
