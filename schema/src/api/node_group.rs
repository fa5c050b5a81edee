//! Groups of hosts, networks and storage nodes: the original's keys in its order.

use super::Timestamp;
use super::language::wordless;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Members of one group.
pub const GROUP_MEMBERS_MAX: usize = 1000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeGroup {
    pub id: String,
    pub account_id: String,
    pub uuid: String,
    /// 10 networks, 11 hosts, 12 storage nodes.
    pub type_id: u8,
    pub name: String,
    pub attributes: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub mapped_uuids: Vec<String>,
    // Ours.
    /// Of a group of hosts, `spread` (the emptiest that fits is taken) or `pack` (the fullest). Null: as the installation does.
    #[serde(default)]
    pub placement_weight: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateNodeGroup {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub name: String,
    #[serde(default)]
    pub attributes: String,
}

/// What is absent stays; an empty list of members clears them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpdateNodeGroup {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_nodes: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub networks: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_nodes: Option<Vec<String>>,
    /// Of a group of hosts: `spread`, `pack`, or an empty text for what the installation does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement_weight: Option<String>,
}

wordless!(NodeGroup);
