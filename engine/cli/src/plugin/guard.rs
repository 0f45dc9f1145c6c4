//! Memory whose neighbors cannot be touched.
//!
//! A block lies at the end (or the start) of readable pages with pages beyond it that nobody may read or write: a kernel
//! that leaves its tensor ends its process at once, where `girih plugin check` sees it. Bytes between the block and the
//! page's end, where alignment leaves some, hold a pattern that is looked at afterwards.
#![expect(unsafe_code, reason = "maps pages and takes their rights away")]

use std::io;

/// Bytes of a page, or a multiple of it, on the systems that are known.
const PAGE: usize = 1 << 16;

/// What bytes that belong to nobody hold.
const PATTERN: u8 = 0xa5;

/// Where a block lies in its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// What comes after it is out of bounds.
    End,
    /// What comes before it is out of bounds.
    Start,
    /// There is room on both sides, and nobody looks at it.
    Middle,
}

/// A block of bytes.
pub(super) struct Guarded {
    base: *mut u8,
    total: usize,
    start: usize,
    length: usize,
}

impl Guarded {
    /// `length` bytes, aligned to `align`, a power of two up to 4096.
    pub(super) fn new(length: usize, align: usize, side: Side) -> io::Result<Self> {
        let room = if side == Side::Middle { 2 * PAGE } else { 0 };
        let inside = (length + room).div_ceil(PAGE).max(1) * PAGE;
        let total = inside + 2 * PAGE;
        let base = pages::reserve(total)?;
        let start = match side {
            Side::End => PAGE + (inside - length) / align * align,
            Side::Start => PAGE,
            Side::Middle => 2 * PAGE,
        };
        let guarded = Self {
            base,
            total,
            start,
            length,
        };
        // SAFETY: these pages lie in the map that was just made.
        unsafe { pages::allow(base.wrapping_add(PAGE), inside, true) }?;
        // SAFETY: they are writable now.
        unsafe { base.wrapping_add(PAGE).write_bytes(PATTERN, inside) };
        Ok(guarded)
    }

    /// The block.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the block lies in readable pages, and is borrowed as `self` is.
        unsafe { std::slice::from_raw_parts(self.base.wrapping_add(self.start), self.length) }
    }

    /// The block. Fails its process if it was sealed.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the block lies in pages of its own, and is borrowed as `self` is.
        unsafe { std::slice::from_raw_parts_mut(self.base.wrapping_add(self.start), self.length) }
    }

    /// From here on nobody may write.
    pub(super) fn seal(&self) -> io::Result<()> {
        let inside = self.total - 2 * PAGE;
        // SAFETY: the pages are this map's; nothing holds a reference to write through.
        unsafe { pages::allow(self.base.wrapping_add(PAGE), inside, false) }
    }

    /// Whether the bytes around the block are as they were.
    pub(super) fn intact(&self) -> bool {
        let inside = self.total - 2 * PAGE;
        // SAFETY: these pages are readable.
        let pages = unsafe { std::slice::from_raw_parts(self.base.wrapping_add(PAGE), inside) };
        let start = self.start - PAGE;
        (pages[..start].iter().chain(&pages[start + self.length..])).all(|byte| *byte == PATTERN)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the whole map, which nobody refers to any more.
        unsafe { pages::release(self.base, self.total) };
    }
}

/// Pages with rights.
#[cfg(unix)]
mod pages {
    use std::io;

    use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

    /// Pages that nobody may touch.
    pub(super) fn reserve(total: usize) -> io::Result<*mut u8> {
        let (anywhere, none) = (std::ptr::null_mut(), ProtFlags::empty());
        // SAFETY: a new map without an address that is asked for touches nobody's memory.
        Ok(unsafe { mmap_anonymous(anywhere, total, none, MapFlags::PRIVATE) }?.cast())
    }

    /// # Safety
    ///
    /// The pages are of one `reserve`, and no reference breaks by it.
    pub(super) unsafe fn allow(start: *mut u8, length: usize, write: bool) -> io::Result<()> {
        let rights = if write {
            MprotectFlags::READ | MprotectFlags::WRITE
        } else {
            MprotectFlags::READ
        };
        // SAFETY: as the caller says.
        Ok(unsafe { mprotect(start.cast(), length, rights) }?)
    }

    /// # Safety
    ///
    /// All of one `reserve`, which nobody refers to any more.
    pub(super) unsafe fn release(base: *mut u8, total: usize) {
        // That it fails harms nobody.
        // SAFETY: as the caller says.
        let _ = unsafe { munmap(base.cast(), total) };
    }
}

/// Systems without such rights: the pattern alone tells.
#[cfg(not(unix))]
mod pages {
    use std::alloc::{Layout, alloc_zeroed, dealloc};
    use std::io;

    fn layout(total: usize) -> io::Result<Layout> {
        Layout::from_size_align(total, super::PAGE).map_err(io::Error::other)
    }

    pub(super) fn reserve(total: usize) -> io::Result<*mut u8> {
        // SAFETY: there are pages, so the layout has bytes.
        let base = unsafe { alloc_zeroed(layout(total)?) };
        if base.is_null() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        Ok(base)
    }

    /// # Safety
    ///
    /// None.
    pub(super) unsafe fn allow(_: *mut u8, _: usize, _: bool) -> io::Result<()> {
        Ok(())
    }

    /// # Safety
    ///
    /// All of one `reserve`, which nobody refers to any more.
    pub(super) unsafe fn release(base: *mut u8, total: usize) {
        if let Ok(layout) = layout(total) {
            // SAFETY: `reserve` allocated it with this layout.
            unsafe { dealloc(base, layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_lie_where_they_should_and_tell_of_their_neighbors() {
        for (length, align) in [(0, 1), (12, 4), (100, 64), (PAGE + 8, 8)] {
            for side in [Side::End, Side::Start, Side::Middle] {
                let mut block = Guarded::new(length, align, side).unwrap();
                assert!(block.bytes().as_ptr().addr().is_multiple_of(align));
                block.bytes_mut().fill(0);
                assert!(block.intact());
                block.seal().unwrap();
                assert!(block.bytes().iter().all(|byte| *byte == 0));
            }
        }
        let mut block = Guarded::new(100, 64, Side::End).unwrap();
        block.length += 1;
        block.bytes_mut().fill(0);
        block.length -= 1;
        assert!(!block.intact());
    }
}
