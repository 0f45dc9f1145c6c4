//! Memory for tests between pages that nobody may access.
#![expect(
    unsafe_code,
    reason = "pages are asked for and protected by system calls"
)]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "an address and the access to it stand under one obligation"
)]

use std::marker::PhantomData;

/// Elements that touch a page without access, with their end or with their beginning.
pub(crate) struct Guarded<T> {
    memory: Memory,
    first: *mut T,
    count: usize,
    _elements: PhantomData<T>,
}

impl<T: Copy + Default> Guarded<T> {
    /// `count` elements that end (`at_end`) or begin where access ends.
    pub(crate) fn new(count: usize, at_end: bool) -> Self {
        let memory = Memory::new(count * size_of::<T>());
        let start = if at_end {
            memory.bytes() - count * size_of::<T>()
        } else {
            0
        };
        let first: *mut T = memory.start().wrapping_add(start).cast();
        for i in 0..count {
            // SAFETY: inside the memory, which is aligned for every element type.
            unsafe { first.add(i).write(T::default()) };
        }
        Self {
            memory,
            first,
            count,
            _elements: PhantomData,
        }
    }

    pub(crate) fn elements(&mut self) -> &mut [T] {
        debug_assert!(self.memory.bytes() >= self.count * size_of::<T>());
        // SAFETY: `new` wrote them, and they are borrowed with `self`.
        unsafe { std::slice::from_raw_parts_mut(self.first, self.count) }
    }
}

#[cfg(unix)]
use pages::Memory;

#[cfg(unix)]
mod pages {
    /// Large enough for every system's pages.
    const PAGE: usize = 1 << 16;

    /// Whole pages with one before and one behind them that nobody may access.
    pub(super) struct Memory {
        mapped: *mut libc::c_void,
        inner: usize,
    }

    impl Memory {
        pub(super) fn new(bytes: usize) -> Self {
            let inner = bytes.max(1).next_multiple_of(PAGE);
            let (access, kind) = (libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANON);
            // SAFETY: new memory, at no given place.
            let mapped =
                unsafe { libc::mmap(std::ptr::null_mut(), inner + 2 * PAGE, access, kind, -1, 0) };
            assert_ne!(mapped, libc::MAP_FAILED);
            let memory = Self { mapped, inner };
            let access = libc::PROT_READ | libc::PROT_WRITE;
            // SAFETY: inside what was mapped.
            let status = unsafe { libc::mprotect(memory.start().cast(), inner, access) };
            assert_eq!(status, 0);
            memory
        }

        pub(super) fn start(&self) -> *mut u8 {
            self.mapped.cast::<u8>().wrapping_add(PAGE)
        }

        pub(super) fn bytes(&self) -> usize {
            self.inner
        }
    }

    impl Drop for Memory {
        fn drop(&mut self) {
            // SAFETY: as it was mapped; nobody holds elements any longer.
            unsafe { libc::munmap(self.mapped, self.inner + 2 * PAGE) };
        }
    }
}

/// Without guards, where the system calls are others.
#[cfg(not(unix))]
struct Memory(Vec<u128>);

#[cfg(not(unix))]
impl Memory {
    fn new(bytes: usize) -> Self {
        Self(vec![0; bytes.div_ceil(size_of::<u128>())])
    }

    fn start(&self) -> *mut u8 {
        self.0.as_ptr().cast_mut().cast()
    }

    fn bytes(&self) -> usize {
        size_of_val(self.0.as_slice())
    }
}
