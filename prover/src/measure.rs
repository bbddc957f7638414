//! CPU time and memory of this process.

use rustix::time::{ClockId, clock_gettime};

/// CPU seconds that all threads of the process have taken so far.
pub fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// The largest resident memory of the process so far, in bytes, where the system tells.
pub fn peak_rss_bytes() -> Option<u64> {
    of_status("VmHWM:")
}

/// The resident memory of the process, in bytes, where the system tells.
pub fn resident_bytes() -> Option<u64> {
    of_status("VmRSS:")
}

fn of_status(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// Runs `f` and returns what it returns with the CPU seconds it took.
pub fn timed<T>(f: impl FnOnce() -> T) -> (T, f64) {
    let start = cpu_seconds();
    let result = f();
    (result, cpu_seconds() - start)
}
