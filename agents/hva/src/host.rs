//! What this machine offers, read once at start.

use crate::config::HvaConfig;
use arame_schema::jobs::report::Capacity;
use std::path::Path;

/// Capacity of the host: the configuration's words first, then the machine's own.
pub fn capacity(config: &HvaConfig, driver: &str) -> Capacity {
    let cores = || std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    Capacity {
        arch: std::env::consts::ARCH.to_owned(),
        driver: driver.to_owned(),
        cpu_cores: config.cpu_cores.unwrap_or_else(cores),
        memory_mib: config.memory_mib.unwrap_or_else(memory_mib),
        disk_mib: config.disk_mib.unwrap_or_else(|| free_bytes(&config.data_dir).map_or(0, |b| b / (1024 * 1024))),
    }
}

/// `MemTotal` of proc(5), 0 when unreadable.
fn memory_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

/// Bytes an unprivileged writer may still write under `path`.
pub fn free_bytes(path: &Path) -> Option<u64> {
    let stat = nix::sys::statvfs::statvfs(path).ok()?;
    Some(stat.blocks_available() * stat.fragment_size())
}
