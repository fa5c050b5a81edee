//! The view of a dc network, a physical network that offers segments: the original's keys in its order, then ours.

use super::Timestamp;
use super::language::wordless;
use crate::model::DcNetworkId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a network may be isolated. Only `securitygroup` can be asked for yet.
pub const NETWORK_MODES: [&str; 3] = ["passthrough", "securitygroup", "l2overlay"];

/// The mode that the switches of this data center know.
pub const NETWORK_MODE: &str = "securitygroup";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DcNetwork {
    pub id: String,
    pub name: String,
    pub description: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub uuid: String,
    /// Always null: tags come from the range below.
    pub vlan_lease_id: Option<String>,
    pub offering_network_modes: Vec<String>,
    pub allow_new_networks: bool,
    // Ours from here on.
    /// First and last 802.1Q tag of its segments; null for those who may not see the data center's inside.
    #[serde(default)]
    pub vlan_first: Option<u16>,
    #[serde(default)]
    pub vlan_last: Option<u16>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateDcNetwork {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "dcn-main")]
    pub id: Option<DcNetworkId>,
    /// Unique; letters, digits and `_`.
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub allow_new_networks: bool,
    /// A hundred tags that no other has, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan_first: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan_last: Option<u16>,
}

/// What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpdateDcNetwork {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_new_networks: Option<bool>,
}

/// Modes to offer, or not any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OfferingModes {
    pub mode: Vec<String>,
}

wordless!(DcNetwork);
