//! What this machine offers, read once at start, and what it is busy with, read again and again.

use crate::config::HvaConfig;
use arame_framework::machine::{self, Meter, Simulated};
use arame_framework::rehearsal;
use arame_schema::jobs::figures::{DiskNow, MachineTotals};
use arame_schema::jobs::report::Capacity;
use async_trait::async_trait;
use std::path::{Path, PathBuf};

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

/// The file system of `path`: free is what an unprivileged writer may still write.
fn disk(path: &Path) -> Option<DiskNow> {
    let stat = nix::sys::statvfs::statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks * stat.fragment_size();
    Some(DiskNow { bytes: bytes(stat.blocks()), free_bytes: bytes(stat.blocks_available()) })
}

/// This machine, with the disk of its guests.
pub struct Own {
    pub data_dir: PathBuf,
}

#[async_trait]
impl Meter for Own {
    async fn read(&self) -> Result<MachineTotals, String> {
        let data_dir = self.data_dir.clone();
        let looked = rehearsal::blocking(move || machine::look(|| disk(&data_dir))).await;
        looked.map_err(|error| error.to_string())?
    }
}

/// One that is not there, as large as its configuration says.
pub struct Pretended {
    machine: Simulated,
    disk: DiskNow,
}

/// Of a simulated host's disk: what is used by none of its guests.
const PRETENDED_FREE_PERCENT: u64 = 70;

impl Pretended {
    pub fn new(name: &str, size: &Capacity) -> Self {
        let bytes = size.disk_mib << 20;
        Self {
            machine: Simulated::new(name, size.cpu_cores, size.memory_mib << 20),
            disk: DiskNow { bytes, free_bytes: bytes / 100 * PRETENDED_FREE_PERCENT },
        }
    }
}

#[async_trait]
impl Meter for Pretended {
    async fn read(&self) -> Result<MachineTotals, String> {
        Ok(self.machine.totals(Some(self.disk)))
    }
}
