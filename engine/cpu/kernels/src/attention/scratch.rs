//! Working memory of one thread, kept from one attention to the next.
//!
//! Aligned to cache lines. What a call leaves in it has no meaning for the next.

use std::cell::Cell;

/// A cache line of floats.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line([f32; LINE]);

/// Floats of one line.
pub(super) const LINE: usize = 16;

/// More than this is given back after the call: 4 MiB.
const KEPT_LINES: usize = 1 << 16;

thread_local! {
    static KEPT: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
}

/// Hands `work` memory for at least `floats` floats, valid during the call.
pub(super) fn with_scratch<R>(floats: usize, work: impl FnOnce(*mut f32) -> R) -> R {
    // Taken out, so that a nested call gets memory of its own.
    let mut memory = KEPT.take();
    let lines = floats.div_ceil(LINE);
    if memory.len() < lines {
        memory = vec![Line([0.0; LINE]); lines];
    }
    let result = work(memory.as_mut_ptr().cast());
    if memory.len() <= KEPT_LINES {
        KEPT.set(memory);
    }
    result
}
