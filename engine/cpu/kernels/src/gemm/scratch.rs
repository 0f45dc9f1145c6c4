//! Memory for packing, kept by each thread from one use to the next.

use std::cell::RefCell;

/// 64 bytes, so that scratch begins with a cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[expect(dead_code, reason = "only its size and alignment matter")] [u8; 64]);

thread_local! {
    /// What is not in use; the last one given back is taken first.
    static FREE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `body` with memory for `count` elements, which hold anything. A call inside `body` gets other memory.
pub(crate) fn with_scratch<E: Copy, R>(count: usize, body: impl FnOnce(*mut E) -> R) -> R {
    const { assert!(align_of::<E>() <= 64, "a line is aligned for every element") };
    let lines = (count * size_of::<E>()).div_ceil(size_of::<Line>());
    let mut scratch = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if scratch.len() < lines {
        // Nothing in it is kept: a new one needs no copy.
        scratch = vec![Line([0; 64]); lines];
    }
    let result = body(scratch.as_mut_ptr().cast());
    FREE.with_borrow_mut(|free| free.push(scratch));
    result
}
