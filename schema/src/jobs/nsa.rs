//! Jobs of the NamingServiceAgent: one job a network, a snapshot with a version (the envelope's generation), whole or as
//! the difference to an older version.

pub mod why;

use crate::model::{AccountId, DnsRecordId, InstanceId, MacAddress, NetworkId, NetworkRecord, VifId};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};

/// Fact answered: `applied` of the network; `generation` is the version now served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyNetwork {
    pub snapshot: NetworkSnapshot,
    /// Epoch of the database that gave this version.
    #[serde(default)]
    pub history: u64,
}

/// What leads from one version of a network to another of the same history. Fact answered: as of the whole snapshot. An
/// agent that does not serve exactly `base` refuses it and names the version that it serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeNetwork {
    pub base: u64,
    pub history: u64,
    /// The snapshot without hosts and records.
    pub head: NetworkSnapshot,
    /// New ones, and those that are another now.
    #[serde(default)]
    pub hosts: Vec<NetworkHost>,
    #[serde(default)]
    pub hosts_gone: Vec<VifId>,
    #[serde(default)]
    pub records: Vec<NetworkRecord>,
    #[serde(default)]
    pub records_gone: Vec<DnsRecordId>,
    /// How many the version has: what was missed is noticed.
    pub host_count: u64,
    pub record_count: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSnapshot {
    pub network: NetworkId,
    pub account: AccountId,
    /// 802.1Q tag of the segment, 1 to 4094.
    pub vlan_tag: u16,
    pub subnet: Ipv4Net,
    #[serde(default)]
    pub gateway: Option<Ipv4Addr>,
    /// The nsa's own address on the segment: DHCP server identifier (RFC 2132 option 54) and DNS server (option 6).
    pub server: Ipv4Addr,
    /// Zone of the names: `<hostname>.<domain>`, without the final dot.
    pub domain: String,
    pub mtu: u16,
    pub lease_seconds: u32,
    pub ttl_seconds: u32,
    /// Routes beside the default one, as RFC 3442 (option 121).
    #[serde(default)]
    pub routes: Vec<Route>,
    /// Where other names are asked; empty: they are refused.
    #[serde(default)]
    pub forwarders: Vec<SocketAddr>,
    /// Told to guests instead of the nsa's own address (option 6).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_servers: Vec<Ipv4Addr>,
    /// Told to guests (option 42); none: nothing is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ntp_servers: Vec<Ipv4Addr>,
    /// The last DNS questions are kept and written into the log.
    #[serde(default, skip_serializing_if = "is_false")]
    pub log_queries: bool,
    /// Somebody else answers DHCP there, or DNS.
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_dhcp: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub no_dns: bool,
    /// The way out, where this nsa is the network's gateway: of two that serve it at most one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<Outside>,
    /// External addresses of its hosts, for every nsa that answers names: `ext.<hostname>.<domain>`, and back to the host's own
    /// name. Who translates them is in `outside`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external: Vec<Translation>,
    pub hosts: Vec<NetworkHost>,
    /// What the tenant added. Names of hosts win.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<NetworkRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub destination: Ipv4Net,
    pub via: Ipv4Addr,
}

/// What a network is on the segment outside: its gateway's address there, and what it translates. The network's `gateway`
/// is this nsa's address on the inner segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    pub network: NetworkId,
    pub vlan_tag: u16,
    pub subnet: Ipv4Net,
    /// The next hop out there.
    #[serde(default)]
    pub gateway: Option<Ipv4Addr>,
    /// The network's own address: what leaves without an external address leaves as it.
    pub address: Ipv4Addr,
    pub mtu: u16,
    /// Whether those without an external address may open anything outside.
    pub outbound: bool,
    #[serde(default)]
    pub translations: Vec<Translation>,
    /// Destinations nothing is forwarded to: the infrastructure's.
    #[serde(default)]
    pub closed: Vec<Ipv4Net>,
}

/// One external address, 1:1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Translation {
    pub vif: VifId,
    pub inner: Ipv4Addr,
    pub outer: Ipv4Addr,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkHost {
    pub vif: VifId,
    pub instance: InstanceId,
    pub mac: MacAddress,
    pub ipv4: Ipv4Addr,
    pub hostname: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteNetwork {
    pub network: NetworkId,
}

fn is_false(value: &bool) -> bool {
    !value
}
