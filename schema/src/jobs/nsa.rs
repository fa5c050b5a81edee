//! Jobs of the NamingServiceAgent: one job a network, a whole snapshot with a version (the envelope's generation).

use crate::model::{AccountId, InstanceId, MacAddress, NetworkId, VifId};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};

/// Fact answered: `applied` of the network; `generation` is the version now served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyNetwork {
    pub snapshot: NetworkSnapshot,
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
    pub hosts: Vec<NetworkHost>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub destination: Ipv4Net,
    pub via: Ipv4Addr,
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
