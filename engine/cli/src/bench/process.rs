//! How much processor time and memory this process needed, where the system says so.

use std::time::Duration;

/// Processor time of all threads since the start.
#[cfg(unix)]
pub fn processor_time() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let nanoseconds = u32::try_from(time.tv_nsec).ok()?;
    Some(Duration::new(seconds, nanoseconds))
}

/// Processor time of all threads since the start.
#[cfg(not(unix))]
pub fn processor_time() -> Option<Duration> {
    None
}

/// From now on [`peak_bytes`] speaks of what comes. Where the system cannot do that, it
/// speaks of the whole process.
pub fn forget_peak() {
    // 5 resets the high-water mark: see proc(5), `clear_refs`.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The most memory that was resident at one time.
pub fn peak_bytes() -> Option<u64> {
    high_water(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn high_water(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes: u64 = line?.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_water_mark_is_read() {
        assert_eq!(
            high_water("Name:\tx\nVmHWM:\t   2048 kB\nVmRSS: 1 kB\n"),
            Some(2 << 20)
        );
        for odd in [
            "",
            "VmHWM:",
            "VmHWM: x kB",
            "VmHWM: 1",
            "VmHWM: 99999999999999999999 kB",
        ] {
            assert_eq!(high_water(odd), None, "{odd}");
        }
    }
}
