//! What a guest, a host or a storage node uses now and used in the last hour, as its agent counted it.
//!
//! Rule: nothing is told that was not read: what is missing is null, and how old the newest reading is stands beside it.
//! Times are ages, because no two machines' clocks agree.

use super::language::wordless;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InstanceUsage {
    pub instance_id: String,
    pub host_node_id: String,
    /// How old the newest reading is. Null: nothing was read of it yet, or not for an hour.
    pub age_seconds: Option<f64>,
    /// Between two readings of its host. Much older than that: its guest is off, or the hypervisor does not answer.
    pub every_seconds: f64,
    pub cpu: Option<CpuUsage>,
    pub memory: Option<MemoryUsage>,
    /// The boot disk first.
    pub disks: Vec<DiskUsage>,
    pub vifs: Vec<VifUsage>,
    /// Oldest first, about one a minute, of the last hour.
    pub history: Vec<UsagePoint>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CpuUsage {
    pub cores: u32,
    /// Since its guest began.
    pub seconds: f64,
    /// Of all its cores, between the last two readings.
    pub percent: Option<f64>,
}

/// Bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryUsage {
    pub bytes: u64,
    /// What the host has really given of it.
    pub resident_bytes: Option<u64>,
    /// What the guest says it uses. Null: it has no balloon that would tell.
    pub used_bytes: Option<u64>,
}

/// Totals since its guest began, and what it was a second between the last two readings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DiskUsage {
    /// `vda` is the boot disk.
    pub device: String,
    pub volume_id: Option<String>,
    pub read_bytes: u64,
    pub reads: u64,
    pub written_bytes: u64,
    pub writes: u64,
    pub read_bytes_per_second: Option<f64>,
    pub written_bytes_per_second: Option<f64>,
}

/// As its guest sees it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VifUsage {
    pub vif_id: String,
    pub received_bytes: u64,
    pub received_packets: u64,
    pub received_drops: u64,
    pub sent_bytes: u64,
    pub sent_packets: u64,
    pub sent_drops: u64,
    pub received_bytes_per_second: Option<f64>,
    pub sent_bytes_per_second: Option<f64>,
}

/// Between two readings; the age is that of the newer one. Null where a counter began anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsagePoint {
    pub age_seconds: f64,
    pub cpu_percent: Option<f64>,
    pub memory_bytes: Option<u64>,
    pub read_bytes_per_second: Option<f64>,
    pub written_bytes_per_second: Option<f64>,
    pub received_bytes_per_second: Option<f64>,
    pub sent_bytes_per_second: Option<f64>,
}

/// What a host or a storage node itself is busy with, beside what it promised.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeUsage {
    pub id: String,
    /// Its agent: `hva.h1`, `sta.s1`.
    pub node_id: String,
    /// How old the newest reading is. Null: nothing was read yet, or not for an hour.
    pub age_seconds: Option<f64>,
    /// Between two readings. Much older than that: the machine's disk does not answer.
    pub every_seconds: f64,
    pub cpu: Option<NodeCpu>,
    pub load: Option<LoadAverage>,
    pub memory: Option<NodeMemory>,
    /// Of a host where its guests' disks are, of a storage node what it stores in.
    pub disk: Option<NodeDisk>,
    /// Oldest first, about one a minute, of the last hour.
    pub history: Vec<NodeUsagePoint>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeCpu {
    pub cores: u32,
    /// Of all of them, between the last two readings.
    pub percent: Option<f64>,
}

/// Threads that run or wait to (getloadavg(3)); as many as there are CPUs is a machine at work without haste.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LoadAverage {
    pub one_minute: f64,
    pub five_minutes: f64,
    pub fifteen_minutes: f64,
}

/// Bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeMemory {
    pub bytes: u64,
    /// What could still be given without swapping.
    pub available_bytes: u64,
}

/// Bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeDisk {
    pub bytes: u64,
    pub free_bytes: u64,
}

/// At a reading; the CPU between it and the one before, null where the machine was started anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeUsagePoint {
    pub age_seconds: f64,
    pub cpu_percent: Option<f64>,
    /// Of one minute.
    pub load: f64,
    pub memory_used_bytes: u64,
    pub disk_used_bytes: Option<u64>,
}

wordless!(InstanceUsage, NodeUsage);
