//! What a plugin may call: it makes errors and gets memory.
//!
//! Errors are tickets, not memory: a plugin that gives back anything else is told apart from one that failed. Memory is
//! given while a plugin starts or makes a kernel, and is counted.
#![expect(unsafe_code, reason = "functions that plugins call get pointers")]

use std::alloc::{Layout, alloc, dealloc};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};

use girih_plugin::raw;

use super::native::NativeCode;

/// The table that every plugin gets.
pub(super) static HOST: raw::Host = raw::Host {
    struct_size: size_of::<raw::Host>() as u32,
    major: raw::MAJOR,
    minor: raw::MINOR,
    error: Some(make_error),
    alloc: Some(allocate),
    free: Some(free),
};

/// What a plugin said when it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) code: NativeCode,
    pub(super) message: String,
}

/// The first ticket: no address of anything, and no small number.
const FIRST_TICKET: usize = 0x6769_0001;

/// Errors that nobody took are forgotten from the oldest on.
const MOST_ERRORS: usize = 4096;

/// The longest message that is kept, in bytes.
const MESSAGE_LIMIT: usize = 1 << 16;

struct Tickets {
    next: usize,
    open: BTreeMap<usize, Said>,
}

static TICKETS: Mutex<Tickets> = Mutex::new(Tickets {
    next: FIRST_TICKET,
    open: BTreeMap::new(),
});

struct Memory {
    blocks: BTreeMap<usize, Layout>,
    refused: usize,
    strange: usize,
}

static MEMORY: Mutex<Memory> = Mutex::new(Memory {
    blocks: BTreeMap::new(),
    refused: 0,
    strange: 0,
});

thread_local! {
    /// Whether a plugin on this thread may have memory now.
    static MAY_ALLOCATE: Cell<bool> = const { Cell::new(false) };
}

/// Memory that plugins have of the host, and what they did wrong with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Blocks that were not given back.
    pub blocks: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Requests at a time when there is none to have, as during a run.
    pub refused: usize,
    /// Addresses that were given back and never had.
    pub strange: usize,
}

/// Memory that plugins have now.
pub fn held() -> Held {
    let memory = lock(&MEMORY);
    Held {
        blocks: memory.blocks.len(),
        bytes: memory.blocks.values().map(Layout::size).sum(),
        refused: memory.refused,
        strange: memory.strange,
    }
}

/// Runs `body`, in which a plugin may ask for memory.
pub(super) fn with_memory<T>(body: impl FnOnce() -> T) -> T {
    let before = MAY_ALLOCATE.replace(true);
    let result = body();
    MAY_ALLOCATE.set(before);
    result
}

/// What a status says: `None` if it is done.
pub(super) fn taken(status: raw::Status) -> Option<Said> {
    if status.is_null() {
        return None;
    }
    let said = lock(&TICKETS).open.remove(&status.addr());
    Some(said.unwrap_or_else(|| Said {
        code: NativeCode::Internal,
        message: "it returned a status that the host did not make".to_owned(),
    }))
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while these are held.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bytes of a text before its zero, looking at no more than `limit` of them. `None`: null, or longer.
///
/// # Safety
///
/// `text` is null or readable up to its zero or `limit`.
pub(super) unsafe fn bounded<'a>(text: *const c_char, limit: usize) -> Option<&'a [u8]> {
    if text.is_null() {
        return None;
    }
    let mut length = 0;
    while length <= limit {
        // SAFETY: no zero came before, and the limit is not passed.
        if unsafe { *text.wrapping_add(length) } == 0 {
            // SAFETY: these bytes were just read.
            return Some(unsafe { std::slice::from_raw_parts(text.cast(), length) });
        }
        length += 1;
    }
    None
}

/// # Safety
///
/// `message` is null or ends with zero.
unsafe extern "C" fn make_error(
    _host: *const raw::Host,
    code: u32,
    message: *const c_char,
) -> raw::Status {
    // SAFETY: as the plugin promises.
    let message = match unsafe { bounded(message, MESSAGE_LIMIT) } {
        Some(bytes) => String::from_utf8_lossy(bytes)
            .chars()
            .map(|c| if c.is_control() && c != '\n' { ' ' } else { c })
            .collect(),
        None => "it failed without a message".to_owned(),
    };
    let code = match code {
        raw::UNSUPPORTED => NativeCode::Unsupported,
        raw::INVALID => NativeCode::Invalid,
        raw::MEMORY => NativeCode::Memory,
        _ => NativeCode::Internal,
    };
    let mut tickets = lock(&TICKETS);
    if tickets.open.len() >= MOST_ERRORS {
        tickets.open.pop_first();
    }
    let ticket = tickets.next;
    tickets.next += 1;
    tickets.open.insert(ticket, Said { code, message });
    std::ptr::without_provenance_mut(ticket)
}

/// # Safety
///
/// Any arguments will do.
unsafe extern "C" fn allocate(_host: *const raw::Host, bytes: u64, align: u32) -> *mut c_void {
    let layout = usize::try_from(bytes)
        .ok()
        .filter(|_| align as usize <= raw::MOST_ALIGN);
    let layout =
        layout.and_then(|bytes| Layout::from_size_align(bytes.max(1), align as usize).ok());
    let mut memory = lock(&MEMORY);
    if !MAY_ALLOCATE.get() {
        memory.refused += 1;
        return std::ptr::null_mut();
    }
    let Some(layout) = layout else {
        return std::ptr::null_mut();
    };
    // SAFETY: the layout has at least one byte.
    let block = unsafe { alloc(layout) };
    if !block.is_null() {
        memory.blocks.insert(block.addr(), layout);
    }
    block.cast()
}

/// # Safety
///
/// Nobody uses the block after this.
unsafe extern "C" fn free(_host: *const raw::Host, block: *mut c_void) {
    if block.is_null() {
        return;
    }
    let mut memory = lock(&MEMORY);
    match memory.blocks.remove(&block.addr()) {
        // SAFETY: `allocate` gave this block with this layout, and it was not freed.
        Some(layout) => unsafe { dealloc(block.cast(), layout) },
        None => memory.strange += 1,
    }
}

/// Text of a constant, for the handshake.
pub(super) const NAME: &CStr = c"girih";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_taken_once() {
        // SAFETY: a text that ends with zero.
        let status =
            unsafe { make_error(&raw const HOST, raw::INVALID, c"no \x1b result".as_ptr()) };
        let said = taken(status).unwrap();
        assert_eq!(
            (said.code, said.message.as_str()),
            (NativeCode::Invalid, "no   result")
        );
        assert!(taken(status).unwrap().message.contains("did not make"));
        assert_eq!(taken(std::ptr::null_mut()), None);
        let stray = std::ptr::without_provenance_mut(8);
        assert!(taken(stray).unwrap().message.contains("did not make"));
    }

    #[test]
    fn memory_is_to_be_had_at_its_time() {
        let ask = |bytes, align| {
            // SAFETY: any arguments will do.
            unsafe { allocate(&raw const HOST, bytes, align) }
        };
        assert!(ask(64, 64).is_null());
        let block = with_memory(|| ask(64, 64));
        assert!(block.addr().is_multiple_of(64) && !block.is_null());
        for (bytes, align) in [(u64::MAX, 8), (8, 3), (8, 8192), (8, 0)] {
            assert!(with_memory(|| ask(bytes, align)).is_null());
        }
        // SAFETY: nobody uses it any more; the second time is the mistake that is counted.
        unsafe { free(&raw const HOST, block) };
        let before = held().strange;
        // SAFETY: as above.
        unsafe { free(&raw const HOST, block) };
        assert_eq!(held().strange, before + 1);
    }
}
