//! Views of hypervisor hosts and storage nodes: the original's keys in its order, then ours.

use super::Timestamp;
use super::language::wordless;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostNode {
    pub id: String,
    pub uuid: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Its agent: `hva.h1`.
    pub node_id: String,
    pub arch: String,
    pub hypervisor: String,
    pub display_name: Option<String>,
    pub offering_cpu_cores: u32,
    /// MiB.
    pub offering_memory_size: u64,
    /// MiB.
    pub offering_disk_space_mb: u64,
    pub scheduling_enabled: bool,
    /// `online` or `offline`: whether its agent is heard.
    pub status: String,
    // Ours from here on.
    pub used_cpu_cores: u32,
    /// MiB.
    pub used_memory_size: u64,
    /// MiB.
    pub used_disk_space_mb: u64,
    pub instances: u64,
    /// `kvm`, `qemu` (emulation: slow) or `sim`.
    pub driver: String,
    pub version: Option<String>,
    pub last_seen_at: Option<Timestamp>,
    /// Why the agent wants no new placements; null: all is well.
    pub degraded: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorageNode {
    pub id: String,
    pub uuid: String,
    /// Its agent: `sta.s1`.
    pub node_id: String,
    /// MiB.
    pub offering_disk_space_mb: u64,
    /// `file`, `zfs` or `sim`.
    pub storage_type: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub display_name: Option<String>,
    // Ours from here on.
    pub scheduling_enabled: bool,
    pub status: String,
    /// MiB.
    pub used_disk_space_mb: u64,
    pub volumes: u64,
    pub version: Option<String>,
    pub last_seen_at: Option<Timestamp>,
    pub degraded: Option<String>,
}

wordless!(HostNode, StorageNode);
