//! One run of a kernel: what it reads and writes, and work shared over threads.
//!
//! Every element can be had once for writing, so that a kernel without `unsafe` cannot have two views of one result.
#![expect(unsafe_code, reason = "reads the host's tensors")]

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use crate::error::{Error, panic_text};
use crate::raw::{self, DlTensor};
use crate::spec::{Element, missing, slice};

/// One run.
#[derive(Debug)]
pub struct Call<'a> {
    raw: &'a raw::Call,
    workspace_bytes: usize,
    /// Results that were given out, one bit each; the last bit is the workspace.
    taken: u64,
}

/// The bit of the workspace.
const WORKSPACE: u32 = 63;

/// An operand with strides.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, T> {
    data: *const T,
    shape: &'a [i64],
    strides: &'a [i64],
    life: PhantomData<&'a [T]>,
}

// SAFETY: it is a `&[T]` with strides.
unsafe impl<T: Element> Sync for View<'_, T> {}
// SAFETY: it is a `&[T]` with strides.
unsafe impl<T: Element> Send for View<'_, T> {}

impl<'a, T: Element> View<'a, T> {
    /// Extents, outermost axis first.
    pub fn shape(&self) -> &'a [i64] {
        self.shape
    }

    /// Elements between neighbors of each axis.
    pub fn strides(&self) -> &'a [i64] {
        self.strides
    }

    /// The element at `index`, one position for each axis, if there is one.
    pub fn get(&self, index: &[i64]) -> Option<T> {
        let mut offset = 0;
        if index.len() != self.shape.len() {
            return None;
        }
        for ((&at, &extent), &stride) in index.iter().zip(self.shape).zip(self.strides) {
            if !(0..extent).contains(&at) {
                return None;
            }
            offset += at * stride;
        }
        let offset = isize::try_from(offset).ok()?;
        // SAFETY: each position is inside its axis, and the host's strides lead from there to an element.
        Some(unsafe { self.data.wrapping_offset(offset).read() })
    }
}

impl<'a> Call<'a> {
    /// # Safety
    ///
    /// `raw` and all it points at are valid for `'a`, as the border says; the workspace has `workspace_bytes`.
    pub(crate) unsafe fn new(raw: &'a raw::Call, workspace_bytes: usize) -> Self {
        Self {
            raw,
            workspace_bytes,
            taken: 0,
        }
    }

    fn operand_tensor(&self, at: usize) -> Result<&'a DlTensor, Error> {
        // SAFETY: the host gives as many as it counts.
        let all = unsafe { slice(self.raw.operands, self.raw.operand_count) };
        all.get(at).ok_or_else(|| missing("operand", at))
    }

    fn result_tensor(&self, at: usize) -> Result<&'a DlTensor, Error> {
        // SAFETY: the host gives as many as it counts.
        let all = unsafe { slice(self.raw.results, self.raw.result_count) };
        all.get(at).ok_or_else(|| missing("result", at))
    }

    /// Elements of an operand, row-major. Only for operations without [`raw::STRIDED`].
    ///
    /// # Errors
    ///
    /// There is no such operand, or it has another dtype or is not row-major.
    pub fn operand<T: Element>(&self, at: usize) -> Result<&'a [T], Error> {
        let tensor = self.operand_tensor(at)?;
        let count = row_major_count::<T>(tensor)?;
        if count == 0 {
            return Ok(&[]);
        }
        // SAFETY: dtype and layout were checked; the host gives that many aligned elements.
        Ok(unsafe { std::slice::from_raw_parts(tensor.data.cast(), count) })
    }

    /// An operand with whatever strides it has.
    ///
    /// # Errors
    ///
    /// There is no such operand, or it has another dtype.
    pub fn view<T: Element>(&self, at: usize) -> Result<View<'a, T>, Error> {
        let tensor = self.operand_tensor(at)?;
        check_dtype::<T>(tensor)?;
        let (shape, strides) = layout(tensor);
        Ok(View {
            data: tensor.data.cast(),
            shape,
            strides,
            life: PhantomData,
        })
    }

    /// Extents of an operand.
    ///
    /// # Errors
    ///
    /// There is no such operand.
    pub fn shape(&self, at: usize) -> Result<&'a [i64], Error> {
        Ok(layout(self.operand_tensor(at)?).0)
    }

    /// Elements of a result, row-major, of arbitrary content: each result can be had once.
    ///
    /// # Errors
    ///
    /// There is no such result, it has another dtype, or it was given out before.
    pub fn result<T: Element>(&mut self, at: usize) -> Result<&'a mut [T], Error> {
        let tensor = self.result_tensor(at)?;
        let count = row_major_count::<T>(tensor)?;
        self.take(u32::try_from(at).unwrap_or(u32::MAX), "result")?;
        if count == 0 {
            return Ok(&mut []);
        }
        // SAFETY: dtype and layout were checked; the host gives that many aligned elements, which nobody else has:
        // results overlap nothing, and `take` saw that this one was not given out.
        Ok(unsafe { std::slice::from_raw_parts_mut(tensor.data.cast(), count) })
    }

    /// The scratch memory that [`Op::workspace`](crate::Op::workspace) asked for, of arbitrary content, as whole `T`s.
    ///
    /// # Errors
    ///
    /// It was given out before, or is not aligned for `T`.
    pub fn workspace<T: Element>(&mut self) -> Result<&'a mut [T], Error> {
        Ok(self
            .workspace_of::<T, T>(self.workspace_bytes / size_of::<T>())?
            .0)
    }

    /// The scratch memory as `count` elements of one type, then as many of another as there is room for.
    ///
    /// # Errors
    ///
    /// It was given out before, is too small, or is not aligned for its elements.
    pub fn workspace_of<A: Element, B: Element>(
        &mut self,
        count: usize,
    ) -> Result<(&'a mut [A], &'a mut [B]), Error> {
        self.take(WORKSPACE, "workspace")?;
        let bytes = count.checked_mul(size_of::<A>());
        let rest = bytes.and_then(|bytes| self.workspace_bytes.checked_sub(bytes));
        let (Some(bytes), Some(rest)) = (bytes, rest) else {
            return Err(Error::internal(
                "the workspace is smaller than what is taken of it",
            ));
        };
        if self.workspace_bytes == 0 {
            return Ok((&mut [], &mut []));
        }
        let (first, second) = (
            self.raw.workspace.cast::<A>(),
            self.raw.workspace.wrapping_byte_add(bytes).cast::<B>(),
        );
        if first.is_null() || !first.is_aligned() || !second.is_aligned() {
            return Err(Error::internal(
                "the workspace is not aligned for its elements",
            ));
        }
        // SAFETY: the host gives the bytes that were asked for, `take` saw that they were not given out, and these are
        // the first of them.
        let first = unsafe { std::slice::from_raw_parts_mut(first, count) };
        // SAFETY: the rest of the same bytes.
        let second = unsafe { std::slice::from_raw_parts_mut(second, rest / size_of::<B>()) };
        Ok((first, second))
    }

    /// How many bodies may run at once, from 1 on.
    pub fn threads(&self) -> usize {
        (self.raw.threads as usize).max(1)
    }

    /// Calls `body(item, thread)` once for each item below `items`, in any order, on the host's threads, and returns
    /// after the last. `thread` is below [`threads`](Self::threads) and differs between bodies that run at the same time.
    ///
    /// # Errors
    ///
    /// A body panicked; the others have run.
    pub fn parallel(&self, items: usize, body: impl Fn(usize, usize) + Sync) -> Result<(), Error> {
        let shared = Shared {
            body: &body,
            panic: Mutex::new(None),
        };
        match self.raw.parallel_for {
            // SAFETY: the host's function with its own call; it returns after the last use of `shared`.
            Some(parallel_for) => unsafe {
                parallel_for(
                    self.raw,
                    items as u64,
                    Some(run_item),
                    (&raw const shared).cast_mut().cast(),
                );
            },
            None => (0..items).for_each(|at| shared.run(at, 0)),
        }
        match shared.panic.into_inner() {
            Ok(None) => Ok(()),
            Ok(Some(said)) => Err(Error::internal(said)),
            Err(_) => Err(Error::internal("panicked")),
        }
    }

    /// Cuts `data` into pieces of `length` elements, the last may be shorter, and calls `body(piece, its elements)` for
    /// each on the host's threads.
    ///
    /// # Errors
    ///
    /// A body panicked, or `length` is 0 while there are elements.
    pub fn rows<T: Element>(
        &self,
        data: &mut [T],
        length: usize,
        body: impl Fn(usize, &mut [T]) + Sync,
    ) -> Result<(), Error> {
        if data.is_empty() {
            return Ok(());
        }
        if length == 0 {
            return Err(Error::internal("rows without elements"));
        }
        let (count, base) = (data.len(), Base(data.as_mut_ptr()));
        self.parallel(count.div_ceil(length), |row, _| {
            let start = row * length;
            let first = base.at(start);
            // SAFETY: pieces do not overlap, each item comes once, and `data` is borrowed until all returned.
            body(row, unsafe {
                std::slice::from_raw_parts_mut(first, length.min(count - start))
            });
        })
    }

    fn take(&mut self, at: u32, what: &str) -> Result<(), Error> {
        if at > WORKSPACE {
            return Err(Error::internal(format!("{what} {at} is one too many")));
        }
        let bit = 1u64 << at;
        if self.taken & bit != 0 {
            return Err(Error::internal(format!("{what} was asked for twice")));
        }
        self.taken |= bit;
        Ok(())
    }
}

/// Where pieces begin.
struct Base<T>(*mut T);

impl<T> Base<T> {
    fn at(&self, offset: usize) -> *mut T {
        self.0.wrapping_add(offset)
    }
}

// SAFETY: only used to make pieces that do not overlap.
unsafe impl<T: Send> Sync for Base<T> {}

/// A closure on its way through the host.
struct Shared<'a> {
    body: &'a (dyn Fn(usize, usize) + Sync),
    panic: Mutex<Option<String>>,
}

impl Shared<'_> {
    fn run(&self, item: usize, thread: usize) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| (self.body)(item, thread)))
            && let Ok(mut first) = self.panic.lock()
        {
            first.get_or_insert_with(|| panic_text(payload.as_ref()));
        }
    }
}

/// What the host calls for each item.
///
/// # Safety
///
/// `data` is the `Shared` that `parallel` gave to the host, and it is still there.
unsafe extern "C" fn run_item(data: *mut std::ffi::c_void, item: u64, thread: u32) {
    // SAFETY: as the caller says.
    let shared = unsafe { &*data.cast_const().cast::<Shared<'_>>() };
    // There are as many items as a `usize` said.
    shared.run(item as usize, thread as usize);
}

fn layout(tensor: &DlTensor) -> (&[i64], &[i64]) {
    let rank = u32::try_from(tensor.ndim).unwrap_or(0);
    // SAFETY: the host gives `ndim` extents and as many strides.
    let shape = unsafe { slice(tensor.shape.cast_const(), rank) };
    // SAFETY: as above.
    let strides = unsafe { slice(tensor.strides.cast_const(), rank) };
    (shape, strides)
}

fn check_dtype<T: Element>(tensor: &DlTensor) -> Result<(), Error> {
    if tensor.dtype == T::DTYPE {
        Ok(())
    } else {
        Err(Error::internal(format!("a tensor is not `{}`", T::NAME)))
    }
}

/// Elements of a row-major tensor of `T`.
fn row_major_count<T: Element>(tensor: &DlTensor) -> Result<usize, Error> {
    check_dtype::<T>(tensor)?;
    let (shape, strides) = layout(tensor);
    let (mut count, mut packed) = (1i64, true);
    for (&extent, &stride) in shape.iter().zip(strides).rev() {
        packed &= stride == count || extent <= 1;
        count *= extent;
    }
    if !packed && count != 0 {
        return Err(Error::internal("an operand is not row-major"));
    }
    Ok(usize::try_from(count).unwrap_or(0))
}
