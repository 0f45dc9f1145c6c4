//! Memory of the backend: aligned pieces, and how elements in them are read and written.
//!
//! A [`Block`] owns bytes; a [`Base`] is where a buffer starts while a plan runs;
//! [`Cells`] are the elements of one dtype from there on. Cells check every index,
//! so that only whoever makes them vouches for the memory. No reference to
//! elements is ever made: parts of one buffer may be read and written in turns.

#![expect(
    unsafe_code,
    reason = "buffers of a plan overlap in time and are shared with generated code: they are raw memory"
)]

use std::alloc::{self, Layout};
use std::ptr::NonNull;

use girih_kernels::LARGE_PAGE;

use crate::fence;

/// Alignment of every block: a cache line, and the widest vector.
pub(crate) const ALIGN: usize = 64;

/// Bytes of one's own. What they are before they are written is not specified.
#[derive(Debug)]
pub(crate) struct Block {
    first: NonNull<u8>,
    /// Bytes of the allocation before the first.
    skipped: usize,
    bytes: usize,
}

// SAFETY: the bytes belong to the block alone; reading and writing them goes through `Base`,
// whose users vouch for order.
unsafe impl Send for Block {}
// SAFETY: as above; a shared block gives away nothing but an address and its length.
unsafe impl Sync for Block {}

impl Block {
    /// Zeros; `None` if there is no memory for them.
    ///
    /// They are asked for with an alignment that every allocation has: only then a system gives zeroed
    /// pages as they are touched, instead of writing zeros to all.
    pub(crate) fn new(bytes: usize) -> Option<Self> {
        if fence::wanted() {
            return Some(Self {
                first: fence::allocate(bytes)?,
                skipped: 0,
                bytes,
            });
        }
        // SAFETY: the layout's size is at least `ALIGN`.
        let start = NonNull::new(unsafe { alloc::alloc_zeroed(layout(bytes)?) })?;
        let skipped = start.addr().get().next_multiple_of(ALIGN) - start.addr().get();
        Some(Self {
            // SAFETY: less than `ALIGN` bytes on, which the allocation has beside those asked for.
            first: unsafe { start.add(skipped) },
            skipped,
            bytes,
        })
    }

    /// Bytes that will be written before they are read; `None` if there is no memory for them.
    pub(crate) fn unwritten(bytes: usize) -> Option<Self> {
        let block = Self::new(bytes)?;
        if fence::wanted() {
            // SAFETY: the block is new and as long.
            unsafe { block.first.write_bytes(0xff, bytes) };
        } else {
            block.prefer_large_pages();
        }
        Some(block)
    }

    /// Tells the system that large pages may be used, where it has any: see `girih_kernels`'s `pages`. Not for memory that
    /// is touched here and there, of which most would be there for nothing.
    fn prefer_large_pages(&self) {
        let skipped = self.first.as_ptr().align_offset(LARGE_PAGE);
        let whole = self.bytes.saturating_sub(skipped) / LARGE_PAGE * LARGE_PAGE;
        #[cfg(target_os = "linux")]
        if whole > 0 {
            let first = self.first.as_ptr().wrapping_add(skipped);
            // SAFETY: whole pages inside an allocation of our own; what is in them stays as it is, whether the system
            // follows the advice or not.
            let _ = unsafe { libc::madvise(first.cast(), whole, libc::MADV_HUGEPAGE) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = whole;
    }

    /// A copy of bytes; `None` if there is no memory for them.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let block = Self::new(bytes.len())?;
        // SAFETY: the block is new and as long as the bytes.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), block.first.as_ptr(), bytes.len()) };
        Some(block)
    }

    /// How many there are.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where they start.
    pub(crate) fn base(&self) -> Base {
        Base(self.first.as_ptr())
    }

    /// All bytes, when nobody writes any more.
    ///
    /// # Safety
    ///
    /// Nobody writes while the slice lives.
    pub(crate) unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: the block owns these bytes, they were zeros at first and so are initialized,
        // and the caller vouches that nobody writes.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.bytes) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if fence::wanted() {
            // SAFETY: allocated by `new`, as what is wanted never changes, with so many bytes.
            unsafe { fence::free(self.first, self.bytes) };
        } else if let Some(layout) = layout(self.bytes) {
            let start = self.first.as_ptr().wrapping_sub(self.skipped);
            // SAFETY: allocated by `new` with this very layout.
            unsafe { alloc::dealloc(start, layout) };
        }
    }
}

/// What is allocated for so many bytes.
fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.checked_add(ALIGN)?, align_of::<u64>()).ok()
}

/// Where a buffer starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Base(pub(crate) *mut u8);

// SAFETY: an address; whoever reads or writes through it vouches for order.
unsafe impl Send for Base {}
// SAFETY: as above.
unsafe impl Sync for Base {}

impl Base {
    /// For buffers without elements: aligned for everything, and never read.
    pub(crate) const NOWHERE: Self = Self(std::ptr::without_provenance_mut(ALIGN));

    /// The addresses alone, which threads may share.
    pub(crate) fn addresses(bases: &[Self]) -> Addresses<'_> {
        Addresses(bases)
    }

    /// Where elements start.
    pub(crate) fn elements<T>(self) -> *mut T {
        self.0.cast()
    }

    /// Some bytes further on.
    pub(crate) fn at(self, bytes: isize) -> Self {
        Self(self.0.wrapping_offset(bytes))
    }
}

/// Addresses that threads may share.
#[derive(Clone, Copy)]
pub(crate) struct Addresses<'a>(&'a [Base]);

impl<'a> Addresses<'a> {
    /// As generated code wants them.
    pub(crate) fn get(self) -> &'a [*mut u8] {
        // SAFETY: a `Base` is one address and nothing else.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len()) }
    }
}

/// Elements of one dtype.
#[derive(Debug)]
pub(crate) struct Cells<T> {
    first: *mut T,
    count: usize,
}

// SAFETY: an address and a length; whoever made the cells vouches for order.
unsafe impl<T> Send for Cells<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Cells<T> {}

impl<T> Clone for Cells<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Cells<T> {}

impl<T: Copy> Cells<T> {
    /// `count` elements from `base` on.
    ///
    /// # Safety
    ///
    /// - The memory is aligned for `T`, as long as said, and lives as long as the cells are used.
    /// - Every bit pattern in it is a `T`.
    /// - No element is written by one thread while another reads or writes it.
    pub(crate) unsafe fn new(base: Base, count: usize) -> Self {
        Self {
            first: base.0.cast(),
            count,
        }
    }

    /// The element at an index.
    pub(crate) fn get(self, index: isize) -> T {
        assert!(
            index.cast_unsigned() < self.count,
            "an element of the tensor"
        );
        let cell = self.first.wrapping_offset(index);
        // SAFETY: inside, as just checked; valid, as whoever made the cells vouched.
        unsafe { cell.read() }
    }

    /// Writes the element at an index.
    pub(crate) fn set(self, index: isize, value: T) {
        assert!(
            index.cast_unsigned() < self.count,
            "an element of the tensor"
        );
        let cell = self.first.wrapping_offset(index);
        // SAFETY: inside, as just checked; valid, as whoever made the cells vouched.
        unsafe { cell.write(value) };
    }

    /// Changes a run of elements by those of others, which do not overlap these.
    pub(crate) fn change_run(
        self,
        at: isize,
        from: Self,
        start: isize,
        length: usize,
        change: impl Fn(T, T) -> T,
    ) {
        let inside = |cells: Self, index: isize| {
            usize::try_from(index)
                .is_ok_and(|index| index <= cells.count && length <= cells.count - index)
        };
        assert!(
            inside(self, at) && inside(from, start),
            "a run of the tensor"
        );
        for k in 0..length as isize {
            let (target, source) = (
                self.first.wrapping_offset(at + k),
                from.first.wrapping_offset(start + k),
            );
            // SAFETY: inside, as just checked; valid, as whoever made the cells vouched.
            let other = unsafe { source.read() };
            // SAFETY: as above.
            let own = unsafe { target.read() };
            // SAFETY: as above.
            unsafe { target.write(change(own, other)) };
        }
    }

    /// Copies a run of elements of others, which do not overlap these.
    pub(crate) fn copy_run(self, at: isize, from: Self, start: isize, length: usize) {
        let inside = |cells: Self, index: isize| {
            usize::try_from(index)
                .is_ok_and(|index| index <= cells.count && length <= cells.count - index)
        };
        assert!(
            inside(self, at) && inside(from, start),
            "a run of the tensor"
        );
        let (target, source) = (
            self.first.wrapping_offset(at),
            from.first.wrapping_offset(start),
        );
        // SAFETY: both runs are inside, as just checked, and valid, as whoever made the cells
        // vouched. A plan never copies a run onto itself; `copy` would even allow that.
        unsafe { std::ptr::copy(source, target, length) };
    }
}
