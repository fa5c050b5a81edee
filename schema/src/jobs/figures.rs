//! The questions `hva.figures` and `agent.machine` and their answers: what a guest used since its start, as its host counted
//! it, and what an agent's own machine is busy with.
//!
//! Rule: counters as they were read and how long ago, never a wall clock; rates are made of two of them by whoever shows
//! them. A counter that went down began anew: its guest was started again.

use crate::model::{AttachmentId, InstanceId, VifId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The question's name on the wire.
pub const FIGURES: &str = "hva.figures";

/// The question about the machine itself, which hosts and storage nodes answer.
pub const MACHINE: &str = "agent.machine";

/// Oldest first: about one reading a minute, then the last two. None while nothing was read of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FiguresAnswer {
    pub instance: InstanceId,
    /// Between two readings.
    pub every_ms: u64,
    pub readings: Vec<Reading>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    pub age_ms: u64,
    pub totals: Totals,
}

/// Counted since the guest began.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    pub vcpus: u32,
    /// Of its virtual CPUs and of what QEMU does for them.
    pub cpu_ns: u64,
    #[serde(default)]
    pub memory: MemoryNow,
    /// By the device's name in the definition; the boot disk is `vda`. Empty: not read this time.
    #[serde(default)]
    pub disks: BTreeMap<String, DiskTotals>,
    #[serde(default)]
    pub vifs: BTreeMap<VifId, VifTotals>,
}

/// Memory is no counter. What only the guest knows is absent where it has no balloon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryNow {
    /// What it has now, which a balloon may make less than its size.
    pub kib: u64,
    /// What of it the host has really given.
    #[serde(default)]
    pub resident_kib: Option<u64>,
    /// What the guest says it could still use.
    #[serde(default)]
    pub usable_kib: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskTotals {
    /// None: the boot disk.
    #[serde(default)]
    pub attachment: Option<AttachmentId>,
    pub read_bytes: u64,
    pub reads: u64,
    pub written_bytes: u64,
    pub writes: u64,
}

/// As the guest sees it: received is what came to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VifTotals {
    pub received_bytes: u64,
    pub received_packets: u64,
    pub received_drops: u64,
    pub sent_bytes: u64,
    pub sent_packets: u64,
    pub sent_drops: u64,
}

/// Oldest first: about one reading a minute, then the last two. None while nothing was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineAnswer {
    /// Between two readings.
    pub every_ms: u64,
    pub readings: Vec<MachineReading>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MachineReading {
    pub age_ms: u64,
    pub totals: MachineTotals,
}

/// CPU time is counted since the machine began, of all its CPUs; the rest is as it was at that moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct MachineTotals {
    pub cpu_cores: u32,
    /// Neither idle nor waiting for a disk.
    pub cpu_busy_ms: u64,
    pub cpu_total_ms: u64,
    /// Averages of one, five and fifteen minutes.
    pub load: [f64; 3],
    pub memory_bytes: u64,
    /// What the kernel could still give without swapping.
    pub memory_available_bytes: u64,
    /// Of a host the file system of its guests' disks, of a storage node what it stores in. None: not looked at.
    #[serde(default)]
    pub disk: Option<DiskNow>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskNow {
    pub bytes: u64,
    pub free_bytes: u64,
}
