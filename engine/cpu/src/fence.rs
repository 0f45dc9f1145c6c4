//! Memory that tells when somebody leaves it: for tests, with `GIRIH_CPU_FENCES=1`.
//!
//! A piece ends where a page begins that nobody may touch, and starts behind such a page. A kernel
//! that goes past the end of a result, a parameter or the memory of a run ends the process. What a
//! run will write is NaN, or −1, before: who reads it too early gives other results than the
//! reference.

#![expect(
    unsafe_code,
    reason = "asks the system for pages, and for their protection"
)]

use std::ptr::NonNull;
use std::sync::OnceLock;

/// Whether pieces of memory have fences. Asked once in a process.
pub(crate) fn wanted() -> bool {
    static WANTED: OnceLock<bool> = OnceLock::new();
    *WANTED.get_or_init(|| {
        cfg!(unix) && std::env::var_os("GIRIH_CPU_FENCES").is_some_and(|own| own == "1")
    })
}

/// What its first bytes are multiples of: what the widest element needs, so that little lies
/// between the last byte and the fence.
const ALIGN: usize = 16;

/// So many bytes that may be used, and where they start in their pages.
struct Pages {
    page: usize,
    inner: usize,
    skipped: usize,
}

#[cfg(unix)]
impl Pages {
    fn of(bytes: usize) -> Option<Self> {
        // SAFETY: asks for a number.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
        let used = bytes.checked_next_multiple_of(ALIGN)?;
        let inner = used.checked_next_multiple_of(page)?.max(page);
        Some(Self {
            page,
            inner,
            skipped: inner - used,
        })
    }

    fn all(&self) -> Option<usize> {
        self.inner.checked_add(2 * self.page)
    }
}

/// Zeros between fences. `None` if there is no memory for them.
#[cfg(unix)]
pub(crate) fn allocate(bytes: usize) -> Option<NonNull<u8>> {
    let pages = Pages::of(bytes)?;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: new pages, at a place that the system chooses.
    let map = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            pages.all()?,
            libc::PROT_NONE,
            kind,
            -1,
            0,
        )
    };
    if map == libc::MAP_FAILED {
        return None;
    }
    let inner = map.wrapping_byte_add(pages.page);
    // SAFETY: pages of the map but the first and the last.
    let opened = unsafe { libc::mprotect(inner, pages.inner, libc::PROT_READ | libc::PROT_WRITE) };
    if opened != 0 {
        return None;
    }
    NonNull::new(inner.cast::<u8>().wrapping_add(pages.skipped))
}

/// Gives the pages back.
///
/// # Safety
///
/// `first` is what [`allocate`] gave for so many bytes, and nobody uses them any more.
#[cfg(unix)]
pub(crate) unsafe fn free(first: NonNull<u8>, bytes: usize) {
    let Some(pages) = Pages::of(bytes) else {
        return;
    };
    let map = first.as_ptr().wrapping_sub(pages.skipped + pages.page);
    // SAFETY: the whole map that `allocate` made, which is the caller's alone.
    unsafe { libc::munmap(map.cast(), pages.inner + 2 * pages.page) };
}

/// There are none on this system.
#[cfg(not(unix))]
pub(crate) fn allocate(_: usize) -> Option<NonNull<u8>> {
    None
}

/// There are none on this system.
#[cfg(not(unix))]
pub(crate) unsafe fn free(_: NonNull<u8>, _: usize) {}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// Where the second process writes, counted from the first of its bytes.
    const AT: &str = "GIRIH_FENCE_TEST_AT";

    #[test]
    fn who_leaves_the_memory_ends() {
        let bytes = 4096 + 3 * ALIGN;
        if let Ok(at) = std::env::var(AT) {
            let first = allocate(bytes).expect("there is memory");
            let at: isize = at.parse().expect("a number");
            // SAFETY: the process that is to end; nothing else lies there.
            unsafe { first.as_ptr().wrapping_offset(at).write_volatile(1) };
            // SAFETY: what `allocate` gave.
            unsafe { free(first, bytes) };
            return;
        }
        let ends_well = |at: isize| {
            let own = std::env::current_exe().expect("this test runs from a file");
            let status = Command::new(own)
                .args(["fence::tests::who_leaves_the_memory_ends", "--exact"])
                .env(AT, at.to_string())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            status.expect("it starts").success()
        };
        let last = bytes.cast_signed() - 1;
        assert!(ends_well(0) && ends_well(last));
        assert!(!ends_well(last + 1) && !ends_well(-4096));
    }
}
