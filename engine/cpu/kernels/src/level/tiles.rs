//! Whether the machine multiplies tiles of brain floats and bytes (AMX), and lets this process do it.
#![expect(
    unsafe_code,
    reason = "the processor and the system are asked by instructions"
)]

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
use std::sync::OnceLock;

/// Whether the processor has the unit, and the system keeps its registers and allows them. The system is asked
/// once; it answers for all threads.
pub(super) fn has_tiles() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        let known = std::arch::is_x86_feature_detected!("avx512bf16");
        known && has_unit() && is_kept() && is_allowed()
    })
}

/// Tiles and their products of brain floats and of bytes, eight registers of 16 rows of 64 bytes.
fn has_unit() -> bool {
    const BRAIN_FLOATS: u32 = 1 << 22;
    const TILES: u32 = 1 << 24;
    const BYTES: u32 = 1 << 25;
    const ALL: u32 = BRAIN_FLOATS | TILES | BYTES;
    if __cpuid(0).eax < 0x1d {
        return false;
    }
    let features = __cpuid_count(7, 0).edx;
    if features & ALL != ALL || __cpuid_count(0x1d, 0).eax < 1 {
        return false;
    }
    let palette = __cpuid_count(0x1d, 1);
    let (row_bytes, registers) = (palette.ebx & 0xffff, palette.ebx >> 16);
    row_bytes == 64 && registers >= 8 && palette.ecx & 0xffff == 16
}

/// Whether the system saves the registers when it switches threads.
fn is_kept() -> bool {
    /// `XSAVE` in use.
    const SAVED: u32 = 1 << 27;
    /// Configuration and data of tiles.
    const STATE: u64 = 3 << 17;
    if __cpuid(1).ecx & SAVED == 0 {
        return false;
    }
    // SAFETY: the processor has the instruction where the system uses `XSAVE`.
    let state = unsafe { _xgetbv(0) };
    state & STATE == STATE
}

/// Asks Linux, which gives the registers to those alone that ask (`arch_prctl`).
#[cfg(target_os = "linux")]
fn is_allowed() -> bool {
    const ARCH_PRCTL: isize = 158;
    const ASK: usize = 0x1023;
    const TILE_DATA: usize = 18;
    let answer: isize;
    // SAFETY: the call reads and writes no memory of ours; a kernel that does not know it says so.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => answer,
            in("rdi") ASK,
            in("rsi") TILE_DATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer == 0
}

/// Other systems are not asked yet.
#[cfg(not(target_os = "linux"))]
fn is_allowed() -> bool {
    false
}
