//! Memory of the emulated device: between pages that nobody may touch.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// All memory of a device: the bytes of each piece by its address.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<BTreeMap<u64, u64>>);

impl Memory {
    /// A new piece.
    pub(super) fn allocate(&self, bytes: u64) -> Option<u64> {
        let address = allocate(bytes)?;
        self.with(|pieces| pieces.insert(address, bytes));
        Some(address)
    }

    /// Gives a piece back.
    ///
    /// # Safety
    ///
    /// `address` is what [`Memory::allocate`] gave for so many bytes, and nobody uses them any more.
    pub(super) unsafe fn free(&self, address: u64, bytes: u64) {
        self.with(|pieces| pieces.remove(&address));
        // SAFETY: as the caller vouches.
        unsafe { free(address, bytes) };
    }

    /// Whether so many bytes from an address on are in one piece.
    pub(super) fn has(&self, address: u64, bytes: u64) -> bool {
        let piece = self.with(|pieces| {
            let before = pieces.range(..=address).next_back();
            before.map(|(start, length)| (*start, *length))
        });
        piece.is_some_and(|(start, length)| {
            let end = (address - start).checked_add(bytes);
            end.is_some_and(|end| end <= length)
        })
    }

    fn with<T>(&self, what: impl FnOnce(&mut BTreeMap<u64, u64>) -> T) -> T {
        // What is kept is valid after any panic.
        let mut pieces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        what(&mut pieces)
    }
}

/// What addresses are multiples of, where the end can be at a page's end.
const ALIGN: usize = 16;

/// So many bytes with what lies around them.
struct Pages {
    page: usize,
    inner: usize,
    skipped: usize,
}

impl Pages {
    fn of(bytes: u64) -> Option<Self> {
        let page = page()?;
        let used = usize::try_from(bytes)
            .ok()?
            .checked_next_multiple_of(ALIGN)?;
        let inner = used.checked_next_multiple_of(page)?.max(page);
        // Nothing may be added to what is nearly all there is.
        inner
            .checked_add(2 * page)
            .filter(|all| Layout::from_size_align(*all, page).is_ok())?;
        Some(Self {
            page,
            inner,
            skipped: inner - used,
        })
    }
}

#[cfg(unix)]
fn page() -> Option<usize> {
    // SAFETY: asks for a number.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()
}

/// Bytes of 255 – NaN, or −1 – that end where a page begins that nobody may touch.
#[cfg(unix)]
fn allocate(bytes: u64) -> Option<u64> {
    let pages = Pages::of(bytes)?;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let all = pages.inner + 2 * pages.page;
    // SAFETY: new pages, at a place that the system chooses.
    let map = unsafe { libc::mmap(std::ptr::null_mut(), all, libc::PROT_NONE, kind, -1, 0) };
    if map == libc::MAP_FAILED {
        return None;
    }
    let inner = map.wrapping_byte_add(pages.page);
    // SAFETY: pages of the map but the first and the last.
    let opened = unsafe { libc::mprotect(inner, pages.inner, libc::PROT_READ | libc::PROT_WRITE) };
    if opened != 0 {
        // SAFETY: the map that was just made.
        unsafe { libc::munmap(map, all) };
        return None;
    }
    let first = inner.cast::<u8>().wrapping_add(pages.skipped);
    // SAFETY: what was opened, from here to its end.
    unsafe { first.write_bytes(u8::MAX, pages.inner - pages.skipped) };
    Some(first.addr() as u64)
}

/// Gives the pages back.
///
/// # Safety
///
/// `address` is what [`allocate`] gave for so many bytes, and nobody uses them any more.
#[cfg(unix)]
unsafe fn free(address: u64, bytes: u64) {
    let Some(pages) = Pages::of(bytes) else {
        return;
    };
    let first = (address as usize).wrapping_sub(pages.skipped + pages.page);
    // SAFETY: the whole map that `allocate` made, which is the caller's alone.
    unsafe { libc::munmap(first as *mut libc::c_void, pages.inner + 2 * pages.page) };
}

#[cfg(not(unix))]
fn page() -> Option<usize> {
    None
}

/// The emulator is for systems with the C++ compiler's conventions that it was written for.
#[cfg(not(unix))]
fn allocate(_: u64) -> Option<u64> {
    None
}

/// There is none.
#[cfg(not(unix))]
unsafe fn free(_: u64, _: u64) {}
