//! Threads that share the work of one region at a time.
//!
//! A pool keeps its workers awake for a while after each region, because the next one usually follows within
//! microseconds: a worker spins, then yields, then parks. Bodies are handed out by item (an atomic counter, for
//! unequal items) or by contiguous range (for equal ones). Every body runs with denormals flushed to zero, on the
//! caller's thread too, which gets its mode back.
//!
//! A worker that the system does not run in time is not waited for: the others do its part.
//!
//! Guarantees: [`Pool::run`] and [`Pool::split`] return after every body returned; a panic in a body reaches the
//! caller after that, and the pool stays usable; a region that is started inside a region, or while another thread
//! has one in this pool, runs on the thread that started it. Leaves out work stealing and regions that outlive their
//! caller.
#![expect(
    unsafe_code,
    reason = "workers call a closure that lives on the caller's stack"
)]

mod barrier;

use std::any::Any;
use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::denormal::FlushDenormals;
use barrier::{Barrier, Call};

/// A fixed number of threads, the caller's among them.
pub struct Pool {
    barrier: Arc<Barrier>,
    workers: Vec<JoinHandle<()>>,
    /// Held while a region runs on the workers.
    busy: Mutex<()>,
}

thread_local! {
    /// The pool (as the address of its barrier) whose region this thread runs a body of, and the thread's number there.
    static INSIDE: Cell<Option<(usize, usize)>> = const { Cell::new(None) };
}

impl Pool {
    /// A pool of `threads` threads, the caller's included: `threads - 1` workers start at once and end when the pool
    /// is dropped. 0 means 1. Workers the system refuses to start are left out.
    pub fn new(threads: usize) -> Self {
        let barrier = Arc::new(Barrier::new());
        let mut workers = Vec::new();
        for thread in 1..threads.clamp(1, barrier::MOST_THREADS) {
            let shared = Arc::clone(&barrier);
            let started = std::thread::Builder::new()
                .name(format!("girih-{thread}"))
                .spawn(move || shared.serve(thread));
            match started {
                Ok(worker) => workers.push(worker),
                Err(_) => break,
            }
        }
        Self {
            barrier,
            workers,
            busy: Mutex::new(()),
        }
    }

    /// How many threads this process may use at once: the CPUs of its affinity mask, lowered to a control group's
    /// quota (rounded down). At least 1.
    pub fn machine_threads() -> usize {
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    }

    /// The threads of this pool, the caller's included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `body(item, thread)` once for every item below `items`, in any order, on any thread.
    ///
    /// `thread` is below [`Pool::threads`], and no two bodies of one region that run at the same time get the same
    /// one. Items are taken one at a time, so an item should be worth some microseconds.
    ///
    /// # Panics
    ///
    /// With the first panic of a body, after all threads stopped; items not yet started are then left out.
    pub fn run(&self, items: usize, body: &(dyn Fn(usize, usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let stopped = AtomicBool::new(false);
        self.region(items, &|thread| {
            loop {
                let item = next.fetch_add(1, Ordering::Relaxed);
                if item >= items || stopped.load(Ordering::Relaxed) {
                    return;
                }
                let guard = StopOnPanic(&stopped);
                body(item, thread);
                std::mem::forget(guard);
            }
        });
    }

    /// Calls `body(range, thread)` for contiguous ranges that cover `0..count` once, at most one for each thread.
    ///
    /// Ranges begin at multiples of `grain` (0 means 1); with fewer grains than threads, there are fewer ranges. Range
    /// number `i` goes to thread `i`, so that what a thread left in its cache is met again; but a thread that has
    /// finished takes over what another did not begin. `thread` is as in [`Pool::run`].
    ///
    /// # Panics
    ///
    /// With the first panic of a body, after all threads stopped.
    pub fn split(&self, count: usize, grain: usize, body: &(dyn Fn(Range<usize>, usize) + Sync)) {
        if count == 0 {
            return;
        }
        let grain = grain.max(1);
        let grains = count.div_ceil(grain);
        let parts = self.threads().min(grains);
        if parts == 1 {
            return self.inline(&|thread| body(0..count, thread));
        }
        let border = |part: usize| {
            let share = (grains / parts) * part + (grains % parts).min(part);
            share.saturating_mul(grain).min(count)
        };
        let taken = Taken::new();
        if !self.shared(parts, &|thread| {
            for part in (thread..parts).chain(0..thread) {
                if taken.take(part) {
                    body(border(part)..border(part + 1), thread);
                }
            }
        }) {
            self.inline(&|thread| body(0..count, thread));
        }
    }

    /// Calls `body` on this thread as a region of its own: all regions inside run on this thread, too, and cost next
    /// to nothing to start.
    // Not inlined, as the compiler would move arithmetic of a body that it sees out of where denormals are flushed.
    #[inline(never)]
    pub fn alone<R>(&self, body: &dyn Fn() -> R) -> R {
        let _inside = INSIDE
            .get()
            .is_none()
            .then(|| Inside::new(self.identity(), 0));
        body()
    }

    /// Calls `body(thread)` on as many threads as there are items; each of them takes items until none is left.
    fn region(&self, items: usize, body: &(dyn Fn(usize) + Sync)) {
        if items > 0 && !self.shared(items.min(self.threads()), body) {
            self.inline(body);
        }
    }

    /// Calls `body(thread)` on this thread and on those workers below `participants` that come in time, unless the
    /// region has to run inline: then does nothing and says `false`.
    fn shared(&self, participants: usize, body: &(dyn Fn(usize) + Sync)) -> bool {
        if participants <= 1 || INSIDE.get().is_some() {
            return false;
        }
        let _held = match self.busy.try_lock() {
            Ok(held) => held,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => return false,
        };
        let panic: Mutex<Option<Box<dyn Any + Send>>> = Mutex::new(None);
        let identity = self.identity();
        let guarded = |thread: usize| {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let _inside = Inside::new(identity, thread);
                body(thread);
            }));
            if let Err(payload) = outcome {
                panic
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(payload);
            }
        };
        let call = Call::new(&guarded);
        // SAFETY: `finish` below is reached, as `guarded` catches every panic, and `guarded` lives until then; `busy`
        // is held, so no other region is under way.
        unsafe { self.barrier.start(participants, call) };
        guarded(0);
        self.barrier.finish();
        let payload = panic.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(payload) = payload {
            resume_unwind(payload);
        }
        true
    }

    /// Calls `body` on this thread: with the number the thread has in this pool's region, or else 0. Inside a
    /// region, of any pool, everything is as a body needs it: a launch of some nanoseconds is a region, too.
    fn inline(&self, body: &(dyn Fn(usize) + Sync)) {
        let identity = self.identity();
        match INSIDE.get() {
            Some((pool, thread)) if pool == identity => body(thread),
            Some(_) => body(0),
            None => {
                let _inside = Inside::new(identity, 0);
                body(0);
            }
        }
    }

    /// What tells this pool from others while it lives.
    fn identity(&self) -> usize {
        Arc::as_ptr(&self.barrier).addr()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.barrier.stop();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of bodies and has none of its own.
            let _ = worker.join();
        }
    }
}

/// Denormals are flushed and the thread is marked as inside while this lives.
struct Inside {
    before: Option<(usize, usize)>,
    _flushed: FlushDenormals,
}

impl Inside {
    fn new(pool: usize, thread: usize) -> Self {
        Self {
            before: INSIDE.replace(Some((pool, thread))),
            _flushed: FlushDenormals::new(),
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(self.before);
    }
}

/// Which parts of a region are taken.
struct Taken([AtomicU64; barrier::MOST_THREADS / 64]);

impl Taken {
    fn new() -> Self {
        Self([const { AtomicU64::new(0) }; barrier::MOST_THREADS / 64])
    }

    /// Whether nobody had taken the part before.
    fn take(&self, part: usize) -> bool {
        let bit = 1 << (part % 64);
        self.0[part / 64].fetch_or(bit, Ordering::Relaxed) & bit == 0
    }
}

/// Tells the other threads to take no further item, if it is dropped.
struct StopOnPanic<'a>(&'a AtomicBool);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
