//! How workers wait for a region and how its caller waits for them.
//!
//! A worker enters a region that is open; its caller closes it when there is nothing left to take, and waits for those
//! who entered. So a worker that the system did not run in time is not waited for. Everybody spins first, then yields,
//! then sleeps.
#![expect(
    unsafe_code,
    reason = "a call is a pointer to a closure on the caller's stack"
)]

use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A region's participants have to fit below [`CLOSED`]; more threads than this help no region of ours.
pub(super) const MOST_THREADS: usize = 1024;

/// One region more, in [`Barrier::region`] and [`Barrier::gate`].
const REGION: u64 = 1 << 16;

/// In [`Barrier::gate`]: nobody enters any longer.
const CLOSED: u64 = 1 << 15;

/// Participants that say: end.
const STOP: u64 = REGION - 1;

/// After this much spinning, a waiting thread yields its CPU between looks.
const SPIN: Duration = Duration::from_micros(20);

/// After this much waiting, a thread sleeps until it is woken.
const AWAKE: Duration = Duration::from_micros(200);

/// A closure with its lifetime erased.
#[derive(Clone, Copy)]
pub(super) struct Call {
    data: *const (),
    invoke: unsafe fn(*const (), usize),
}

impl Call {
    /// Erases the lifetime of `body`: whoever calls it vouches that it still lives.
    pub(super) fn new<F: Fn(usize) + Sync>(body: &F) -> Self {
        /// # Safety
        ///
        /// `data` points to a living `F`.
        unsafe fn invoke<F: Fn(usize) + Sync>(data: *const (), thread: usize) {
            // SAFETY: as this function demands.
            let body = unsafe { &*data.cast::<F>() };
            body(thread);
        }
        Self {
            data: std::ptr::from_ref(body).cast(),
            invoke: invoke::<F>,
        }
    }
}

/// Where the workers of one pool and its caller meet.
pub(super) struct Barrier {
    /// Regions so far times [`REGION`], plus the participants of the latest.
    region: Padded<AtomicU64>,
    /// The latest region times [`REGION`], plus those inside, plus [`CLOSED`].
    gate: Padded<AtomicU64>,
    /// What those inside call.
    call: UnsafeCell<Option<Call>>,
    /// Threads that sleep or are about to.
    sleepers: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
}

/// Alone on its cache line (two lines, as CPUs fetch pairs).
#[repr(align(128))]
struct Padded<T>(T);

// SAFETY: `call` is written by the caller while no worker reads it: workers read it only inside the gate, which is
// closed and left by all when `finish` returns.
unsafe impl Sync for Barrier {}
// SAFETY: as above; the pointer in `call` is used only while its closure, which is `Sync`, lives.
unsafe impl Send for Barrier {}

impl Barrier {
    pub(super) fn new() -> Self {
        Self {
            region: Padded(AtomicU64::new(0)),
            gate: Padded(AtomicU64::new(CLOSED)),
            call: UnsafeCell::new(None),
            sleepers: AtomicUsize::new(0),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
        }
    }

    /// Lets the workers numbered below `participants` make the call with their number.
    ///
    /// # Safety
    ///
    /// - No region is under way: every `start` was followed by its `finish`, on one thread at a time.
    /// - The closure of `call` lives until `finish` returned, and never unwinds.
    pub(super) unsafe fn start(&self, participants: usize, call: Call) {
        // SAFETY: no region is under way, so the gate is closed and nobody is inside.
        unsafe { *self.call.get() = Some(call) };
        let number = self.next();
        self.gate.0.store(number, Ordering::SeqCst);
        self.announce(number | participants as u64);
    }

    /// Lets nobody enter any longer, and waits until everybody inside made the call.
    pub(super) fn finish(&self) {
        let before = self.gate.0.fetch_or(CLOSED, Ordering::SeqCst);
        if !before.is_multiple_of(CLOSED) {
            self.wait_until(|| self.gate.0.load(Ordering::SeqCst).is_multiple_of(CLOSED));
        }
    }

    /// Ends every worker's [`Barrier::serve`].
    pub(super) fn stop(&self) {
        self.announce(self.next() | STOP);
    }

    /// The number of the next region, in its place.
    fn next(&self) -> u64 {
        let latest = self.region.0.load(Ordering::Relaxed) / REGION;
        latest.wrapping_add(1).wrapping_mul(REGION)
    }

    fn announce(&self, region: u64) {
        self.region.0.store(region, Ordering::SeqCst);
        self.wake_sleepers();
    }

    /// What a worker does until the pool ends.
    pub(super) fn serve(&self, thread: usize) {
        let mut seen = 0;
        loop {
            self.wait_until(|| self.region.0.load(Ordering::SeqCst) != seen);
            seen = self.region.0.load(Ordering::SeqCst);
            let participants = seen % REGION;
            if participants == STOP {
                return;
            }
            if thread as u64 >= participants || !self.enter(seen - participants) {
                continue;
            }
            // SAFETY: written before the gate was opened, and not again before this thread left it.
            let call = unsafe { *self.call.get() };
            if let Some(call) = call {
                // SAFETY: the closure lives until the caller's `finish` saw this thread leave, below.
                unsafe { (call.invoke)(call.data, thread) };
            }
            let before = self.gate.0.fetch_sub(1, Ordering::SeqCst);
            if before % REGION == CLOSED + 1 {
                self.wake_sleepers();
            }
        }
    }

    /// Whether the region of this number is still open; then the thread is inside.
    fn enter(&self, number: u64) -> bool {
        let inside = |gate: u64| {
            let open = gate & CLOSED == 0 && gate - gate % REGION == number;
            open.then_some(gate + 1)
        };
        self.gate
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, inside)
            .is_ok()
    }

    /// Spins, yields, then sleeps until `done`. Whoever makes it true calls [`Barrier::wake_sleepers`] afterwards.
    fn wait_until(&self, done: impl Fn() -> bool) {
        let mut began = None;
        loop {
            for _ in 0..64 {
                if done() {
                    return;
                }
                spin_loop();
            }
            let waited = began.get_or_insert_with(Instant::now).elapsed();
            if waited > AWAKE {
                break;
            }
            if waited > SPIN {
                std::thread::yield_now();
            }
        }
        let mut guard = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the look at `done`: whoever makes it true afterwards sees this sleeper, and takes the lock to wake it.
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while !done() {
            guard = self
                .wake
                .wait(guard)
                .unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    fn wake_sleepers(&self) {
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            drop(self.sleep.lock().unwrap_or_else(PoisonError::into_inner));
            self.wake.notify_all();
        }
    }
}
