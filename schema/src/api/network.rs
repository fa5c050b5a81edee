//! Views of networks and of network interfaces: the original's keys in its order, then ours.

use super::language::wordless;
use super::{DcNetwork, IpHandleOfLease, Monitor, StaticRoute, Timestamp};
use crate::model::{DcNetworkId, InstanceId, IpHandleId, MacAddress, NetworkId, SecurityGroupId};
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
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
    pub lease_seconds: u32,
    pub ttl_seconds: u32,
    /// Told to guests; none: the network's own naming service.
    pub dns_servers: Vec<String>,
    /// Time servers told to guests.
    #[serde(default)]
    pub ntp_servers: Vec<String>,
    /// Whether its naming services keep and log the last DNS questions.
    #[serde(default)]
    pub query_log: bool,
    /// Told to guests beside the gateway: `192.168.0.0/16 via 10.0.0.1`.
    pub routes: Vec<String>,
    /// Whom its naming services ask for other names; null for those who may not see the data center's inside.
    pub forwarders: Option<Vec<String>>,
    /// Whether those without an external address may open connections outside.
    #[serde(default)]
    pub outbound: bool,
    /// What leaves without an external address leaves as this.
    #[serde(default)]
    pub outside_ipv4: Option<String>,
    /// How many naming services it wants; 0: every one. Null: as many as the data center has it.
    #[serde(default)]
    pub naming_services_wanted: Option<u16>,
    /// Who answers DHCP and DNS in it.
    #[serde(default)]
    pub naming_services: Vec<NamingService>,
}

/// A naming service of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamingService {
    /// `nsa.n1`.
    pub agent: String,
    /// `serving`; `coming`: it has not yet answered that it serves it; `leaving`: another serves it instead; `silent`: it is
    /// not heard, and may answer its guests all the same.
    pub state: String,
    /// The version that it answered last.
    pub version: Option<u64>,
    /// Whether what leaves the network leaves through it.
    pub is_gateway: bool,
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

/// Addresses beside each other that are mapped. External addresses come later: the list is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkRoute {
    pub route_type: String,
    pub outer: RouteEnd,
    pub inner: RouteEnd,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RouteEnd {
    pub network_id: String,
    pub network_vif_id: Option<String>,
    pub ipv4: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NetworkVif {
    pub id: String,
    pub uuid: String,
    pub ipv4_address: Option<String>,
    pub nat_ipv4_address: Option<String>,
    /// Null while it is in no network.
    pub network_id: Option<String>,
    pub instance_id: Option<String>,
    pub security_groups: Vec<String>,
    /// Colon form.
    pub mac_addr: String,
    #[serde(default)]
    pub network_monitors: Vec<Monitor>,
    pub ip_leases: Vec<IpLease>,
    // Ours from here on.
    pub device_index: u32,
    pub hostname: Option<String>,
    pub host_node: Option<String>,
    /// `attached`, `attaching` or `detaching` where it is of an instance, else `free`.
    #[serde(default)]
    pub state: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IpLease {
    pub ipv4: String,
    pub network_id: String,
    #[serde(default)]
    pub ip_handle: Option<IpHandleOfLease>,
}

/// What a network is made from. Its segment's tag is chosen by the data center.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateNetwork {
    /// Of an operator's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "nw-demo1")]
    pub id: Option<NetworkId>,
    /// Id of the dc network.
    #[schema(value_type = String, example = "dcn-main")]
    pub dc_network: DcNetworkId,
    #[schema(value_type = String, example = "10.0.0.0")]
    pub network: Ipv4Addr,
    /// 8 to 30.
    pub prefix: u8,
    /// `securitygroup`.
    pub network_mode: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub gw: Option<Ipv4Addr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_name: Option<String>,
    /// `asc` or `desc`: from which end addresses are given out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_assignment: Option<String>,
    /// Whether its ranges and services may be changed.
    #[serde(default)]
    pub editable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
    #[serde(default)]
    pub description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Where DHCP and DNS answer: one address for both. The first free host when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub service_dhcp: Option<Ipv4Addr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub service_dns: Option<Ipv4Addr>,
    /// As `gw`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub service_gateway: Option<Ipv4Addr>,
    /// `default`: every host address is given out. Without it no address is, until ranges are added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dhcp_range: Option<String>,
    /// 802.1Q tag, of an operator's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan_tag: Option<u16>,
    /// How many naming services serve it, 1 to 16; 0: every one. Operators only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub naming_services_wanted: Option<u16>,
}

/// What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpdateNetwork {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Operators only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub editable: Option<bool>,
    /// 576 to 9216.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// 60 to 31536000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_seconds: Option<u32>,
    /// 5 to 86400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u32>,
    /// The zone of its names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_name: Option<String>,
    /// Told to guests instead of the network's own naming service; an empty list: that one again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub dns_servers: Option<Vec<Ipv4Addr>>,
    /// Time servers told to guests (option 42); an empty list: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub ntp_servers: Option<Vec<Ipv4Addr>>,
    /// True: its naming services keep the last DNS questions, log them, and tell them with `why`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_log: Option<bool>,
    /// Told to guests beside the gateway: `192.168.0.0/16 via 10.0.0.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub routes: Option<Vec<StaticRoute>>,
    /// Whom its naming services ask for other names. Operators only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub forwarders: Option<Vec<SocketAddr>>,
    /// False: somebody else answers DHCP there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dhcp: Option<bool>,
    /// False: somebody else answers DNS there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<bool>,
    /// The network outside, to which its way out leads; `none` takes the way out away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nat_network_id: Option<String>,
    /// Whether those without an external address may open connections outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outbound: Option<bool>,
    /// How many naming services serve it, 1 to 16; 0: every one. Operators only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub naming_services_wanted: Option<u16>,
}

/// An address outside that is an interface's, 1:1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExternalAddress {
    pub network_id: String,
    pub vif_id: String,
    pub ip_handle_id: String,
    pub ipv4: String,
}

/// Which handle's address is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BindAddress {
    #[schema(value_type = String, example = "ip-kpzz2px7")]
    pub ip_handle_id: IpHandleId,
}

/// Addresses given out, from and to, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DhcpRange {
    #[schema(value_type = String, example = "10.0.0.10")]
    pub range_begin: Ipv4Addr,
    #[schema(value_type = String, example = "10.0.0.99")]
    pub range_end: Ipv4Addr,
}

/// Addresses that are given to nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReserveAddresses {
    #[schema(value_type = Vec<String>)]
    pub ipaddr: Vec<Ipv4Addr>,
}

/// A service of a network: `gateway` can be given and taken away, the others are always there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SetNetworkService {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub ipv4: Option<Ipv4Addr>,
}

/// An interface that belongs to no instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateVif {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub ipv4_addr: Option<Ipv4Addr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub mac_addr: Option<MacAddress>,
}

/// What an interface is put into beside its network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttachVif {
    /// An instance of the same account; without, the interface only holds an address of the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "i-kpzz2px7")]
    pub instance_id: Option<InstanceId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeSecurityGroup {
    #[schema(value_type = String, example = "sg-web")]
    pub security_group_id: SecurityGroupId,
}

/// Nothing: what the original answers to a change that has no more to say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Nothing {}

wordless!(ExternalAddress, Network, NetworkVif, NetworkRoute, NetworkService, Nothing);
