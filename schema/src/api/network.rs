//! Views of networks and of network interfaces: the original's keys in its order, then ours.

use super::Timestamp;
use super::language::wordless;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Network {
    pub id: String,
    pub account_id: String,
    pub uuid: String,
    pub ipv4_network: String,
    pub ipv4_gw: Option<String>,
    pub prefix: u8,
    pub metric: u32,
    pub domain_name: Option<String>,
    pub dns_server: Option<String>,
    pub dhcp_server: Option<String>,
    pub metadata_server: Option<String>,
    pub metadata_server_port: Option<u16>,
    pub nat_network_id: Option<String>,
    pub description: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub network_mode: String,
    /// Mbit/s; null is unlimited.
    pub bandwidth: Option<u64>,
    pub ip_assignment: String,
    pub editable: bool,
    pub service_type: String,
    pub display_name: Option<String>,
    pub bandwidth_mark: Option<u32>,
    pub network_services: Vec<NetworkService>,
    pub dc_network: Option<DcNetwork>,
    // Ours from here on.
    /// First and last address given out, pairs.
    pub dhcp_ranges: Vec<[String; 2]>,
    /// 802.1Q tag; null for those who may not see the data center's inside.
    pub vlan_tag: Option<u16>,
    pub mtu: u16,
    pub addresses_total: u64,
    pub addresses_used: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkService {
    /// `dhcp`, `dns`, `gateway`, `metadata`.
    pub name: String,
    pub network_id: String,
    pub network_vif_id: Option<String>,
    pub address: Option<String>,
    pub mac_addr: Option<String>,
    pub incoming_port: Option<u16>,
    pub outgoing_port: Option<u16>,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DcNetwork {
    pub id: String,
    pub name: String,
    pub description: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NetworkVif {
    pub id: String,
    pub uuid: String,
    pub ipv4_address: Option<String>,
    pub nat_ipv4_address: Option<String>,
    pub network_id: String,
    pub instance_id: Option<String>,
    pub security_groups: Vec<String>,
    /// Colon form.
    pub mac_addr: String,
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub network_monitors: Vec<Value>,
    pub ip_leases: Vec<IpLease>,
    // Ours from here on.
    pub device_index: u32,
    pub hostname: Option<String>,
    pub host_node: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IpLease {
    pub ipv4: String,
    pub network_id: String,
    /// Always null: pooled addresses come later.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub ip_handle: Option<Value>,
}

wordless!(Network, NetworkVif);
