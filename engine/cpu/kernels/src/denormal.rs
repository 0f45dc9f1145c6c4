//! Treating denormal numbers as zero while work runs.
//!
//! Arithmetic on denormals takes a hundred times as long as on other numbers, and no result that anyone reads needs
//! them. While a [`FlushDenormals`] lives, its thread flushes them; dropping it restores what was set before. On
//! architectures other than x86-64 and 64-bit Arm nothing is set.
#![expect(
    unsafe_code,
    reason = "the floating-point mode is a register of the CPU"
)]

use std::marker::PhantomData;

/// While it lives, the thread that made it treats denormal operands and results as zero.
pub(crate) struct FlushDenormals {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    before: Register,
    // The register belongs to the thread.
    _not_send: PhantomData<*const ()>,
}

impl FlushDenormals {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    pub(crate) fn new() -> Self {
        let before = read();
        if before & FLUSH != FLUSH {
            write(before | FLUSH);
        }
        Self {
            before,
            _not_send: PhantomData,
        }
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    pub(crate) fn new() -> Self {
        Self {
            _not_send: PhantomData,
        }
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
impl Drop for FlushDenormals {
    fn drop(&mut self) {
        if self.before & FLUSH != FLUSH {
            write(self.before);
        }
    }
}

#[cfg(target_arch = "x86_64")]
type Register = u32;
#[cfg(target_arch = "aarch64")]
type Register = u64;

/// Flush-to-zero is bit 15 and denormals-are-zero is bit 6 of MXCSR.
#[cfg(target_arch = "x86_64")]
const FLUSH: Register = 1 << 15 | 1 << 6;

/// FZ is bit 24 of FPCR and covers operands and results.
#[cfg(target_arch = "aarch64")]
const FLUSH: Register = 1 << 24;

#[cfg(target_arch = "x86_64")]
fn read() -> Register {
    if cfg!(miri) {
        // There is no register to be set: as if it were.
        return FLUSH;
    }
    let mut value: Register = 0;
    // SAFETY: stores MXCSR to a local of its size.
    unsafe {
        std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack, preserves_flags));
    }
    value
}

#[cfg(target_arch = "x86_64")]
fn write(value: Register) {
    // SAFETY: the value was read from MXCSR, with FLUSH added at most: no reserved bit is set, no exception unmasked.
    unsafe {
        std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack, preserves_flags));
    }
}

#[cfg(target_arch = "aarch64")]
fn read() -> Register {
    let value: Register;
    // SAFETY: reads a register that every process may read.
    unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) value, options(nomem, nostack)) };
    value
}

#[cfg(target_arch = "aarch64")]
fn write(value: Register) {
    // SAFETY: the value was read from FPCR, with FLUSH added at most.
    unsafe { std::arch::asm!("msr fpcr, {}", in(reg) value, options(nomem, nostack)) };
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use super::*;
    use std::hint::black_box;

    fn halved_smallest() -> f32 {
        black_box(f32::MIN_POSITIVE) * black_box(0.5)
    }

    #[test]
    fn denormals_are_zero_only_while_it_lives() {
        let before = read();
        assert!(halved_smallest() > 0.0);
        {
            let _outer = FlushDenormals::new();
            assert_eq!(halved_smallest().to_bits(), 0);
            drop(FlushDenormals::new());
            assert_eq!(
                halved_smallest().to_bits(),
                0,
                "an inner one restores the outer"
            );
        }
        assert!(halved_smallest() > 0.0);
        // Sticky exception flags (bits 0 to 5) may differ.
        assert_eq!(read() & !0x3f, before & !0x3f);
    }
}
