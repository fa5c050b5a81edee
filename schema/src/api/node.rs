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
    /// `online` or `offline`: whether its agent is heard; `lost`: an operator said so, and it has not come back empty.
    pub status: String,
    // Ours from here on.
    pub used_cpu_cores: u32,
    /// MiB.
    pub used_memory_size: u64,
    /// MiB.
    pub used_disk_space_mb: u64,
    /// Virtual CPUs it promises for each hundred of its own.
    pub cpu_allocation_percent: u32,
    /// MiB of memory that no guest gets.
    pub reserved_memory_size: u64,
    /// MiB of disk that no guest gets.
    pub reserved_disk_space_mb: u64,
    pub instances: u64,
    /// `kvm`, `qemu` (emulation: slow) or `sim`.
    pub driver: String,
    pub version: Option<String>,
    pub last_seen_at: Option<Timestamp>,
    /// Why the agent wants no new placements; null: all is well.
    pub degraded: Option<String>,
    /// What its agent says hello with: in the answer that registers it and nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_key: Option<String>,
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
    /// What its store cannot give beyond its volumes and replicas, as it last told: snapshots, images, files of others. MiB.
    #[serde(default)]
    pub kept_disk_space_mb: u64,
    pub volumes: u64,
    pub version: Option<String>,
    pub last_seen_at: Option<Timestamp>,
    pub degraded: Option<String>,
    /// What its agent says hello with: in the answer that registers it and nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_key: Option<String>,
}

/// A naming service: who answers DHCP and DNS, and is the gateway of networks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamingNode {
    /// Its agent: `nsa.n1`.
    pub id: String,
    pub uuid: String,
    /// The machine it is on.
    pub node_id: String,
    pub created_at: Timestamp,
    /// Whether it has networks; those of one that has not are given to others.
    pub scheduling_enabled: bool,
    /// `online` or `offline`: whether it is heard.
    pub status: String,
    /// Networks that it serves, or has not yet left.
    pub networks: u64,
    /// Of these, those that it leads outside.
    pub gateways: u64,
    pub version: Option<String>,
    pub last_seen_at: Option<Timestamp>,
    pub degraded: Option<String>,
}

/// What may be changed of a naming service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SetNamingNode {
    pub scheduling_enabled: bool,
}

/// A host or storage node that is to join: its row, and the key its agent says hello with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateNode {
    /// `hn-…` or `sn-…`; one is chosen when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its agent: `hva.h1`, `sta.s1`.
    pub node_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Whether it takes something new; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling_enabled: Option<bool>,
}

/// What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpdateNode {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling_enabled: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Hosts only, as the two below: virtual CPUs it promises for each hundred of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_allocation_percent: Option<u32>,
    /// MiB of memory that no guest gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved_memory_size: Option<u64>,
    /// MiB of disk that no guest gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved_disk_space_mb: Option<u64>,
}

/// Which hosts or storage nodes of a list, beside what every list can be narrowed to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFilter {
    pub node_id: Option<String>,
    pub arch: Option<String>,
    pub hypervisor: Option<String>,
    pub cpu_cores: Option<u64>,
    pub memory_size: Option<u64>,
    pub status: Option<String>,
}

wordless!(HostNode, NamingNode, StorageNode);
