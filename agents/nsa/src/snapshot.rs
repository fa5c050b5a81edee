//! A snapshot checked once, with the indexes DHCP and DNS look things up by.
//!
//! Rule: inside the nsa only [`Served`] is used; whatever could contradict itself (two hosts with one MAC or address,
//! an address outside the subnet, a name DNS cannot carry) was refused here. Immutable: a new version is a new value.

use arame_schema::jobs::nsa::{NetworkHost, NetworkSnapshot};
use arame_schema::model::MacAddress;
use hickory_proto::rr::{LowerName, Name};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};

/// Why a snapshot cannot be served. It would be the same on every nsa.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    #[error("vlan tag {0} is not in 1 to 4094")]
    Tag(u16),
    #[error("subnet {0} has no room for a server and a host")]
    Subnet(ipnet::Ipv4Net),
    #[error("{what} {address} is not a host address of {subnet}")]
    Outside { what: String, address: Ipv4Addr, subnet: ipnet::Ipv4Net },
    #[error("domain `{0}` is not a name DNS can carry")]
    Domain(String),
    #[error("hostname `{0}` is not 1 to 63 letters, digits and inner hyphens")]
    Hostname(String),
    #[error("address {address} belongs to both {first} and {second}")]
    TwoOwners { address: Ipv4Addr, first: String, second: String },
    #[error("mac {mac} belongs to both {first} and {second}")]
    TwoMacs { mac: MacAddress, first: String, second: String },
    #[error("mac {0} is not the address of one interface")]
    GroupMac(MacAddress),
    #[error("mtu {0} is below 576, the least an IPv4 host must take")]
    Mtu(u16),
    #[error("lease and ttl must be at least one second")]
    Times,
    #[error("{0} routes do not fit into one DHCP message (at most {ROUTES_MAX})")]
    Routes(usize),
}

/// Nine octets each at worst: 24 and the default route stay below one option's 255 octets, so nothing is split.
pub const ROUTES_MAX: usize = 24;

/// One version of a network, ready to answer from.
#[derive(Debug)]
pub struct Served {
    pub version: u64,
    pub snapshot: NetworkSnapshot,
    /// The zone's name.
    pub origin: LowerName,
    pub origin_name: Name,
    /// `ns.<domain>`, or another word when a host has that name.
    pub name_server: Name,
    name_server_word: String,
    by_mac: HashMap<MacAddress, usize>,
    by_name: HashMap<String, Vec<Ipv4Addr>>,
    by_address: HashMap<Ipv4Addr, usize>,
}

impl Served {
    /// # Errors
    /// The snapshot contradicts itself.
    pub fn new(snapshot: NetworkSnapshot, version: u64) -> Result<Self, SnapshotError> {
        check_network(&snapshot)?;
        let domain = snapshot.domain.trim_end_matches('.').to_ascii_lowercase();
        let origin_name = Name::from_ascii(format!("{domain}."))
            .ok()
            .filter(|name| !name.is_root() && name.len() <= 180)
            .ok_or_else(|| SnapshotError::Domain(snapshot.domain.clone()))?;
        let (mut by_mac, mut by_address) = (HashMap::new(), HashMap::new());
        let mut by_name: HashMap<String, Vec<Ipv4Addr>> = HashMap::new();
        for (at, host) in snapshot.hosts.iter().enumerate() {
            check_host(&snapshot, host)?;
            if let Some(first) = by_mac.insert(host.mac, at) {
                return Err(SnapshotError::TwoMacs {
                    mac: host.mac,
                    first: snapshot.hosts[first].vif.to_string(),
                    second: host.vif.to_string(),
                });
            }
            if let Some(first) = by_address.insert(host.ipv4, at) {
                return Err(SnapshotError::TwoOwners {
                    address: host.ipv4,
                    first: snapshot.hosts[first].vif.to_string(),
                    second: host.vif.to_string(),
                });
            }
            by_name.entry(host.hostname.to_ascii_lowercase()).or_default().push(host.ipv4);
        }
        let name_server_word = ["ns", "ns0", "nameserver"]
            .into_iter()
            .map(str::to_owned)
            .chain((1..).map(|n| format!("ns-{n}")))
            .find(|word| !by_name.contains_key(word))
            .unwrap_or_default();
        let name_server = Name::from_ascii(format!("{name_server_word}.{domain}."))
            .map_err(|_| SnapshotError::Domain(snapshot.domain.clone()))?;
        let origin = LowerName::new(&origin_name);
        Ok(Self { version, snapshot, origin, origin_name, name_server, name_server_word, by_mac, by_name, by_address })
    }

    pub fn host(&self, mac: MacAddress) -> Option<&NetworkHost> {
        self.by_mac.get(&mac).map(|at| &self.snapshot.hosts[*at])
    }

    pub fn host_at(&self, address: Ipv4Addr) -> Option<&NetworkHost> {
        self.by_address.get(&address).map(|at| &self.snapshot.hosts[*at])
    }

    /// Addresses of one label of the zone, lower case. Two interfaces of one instance share a name.
    pub fn addresses(&self, label: &str) -> &[Ipv4Addr] {
        if label == self.name_server_word {
            return std::slice::from_ref(&self.snapshot.server);
        }
        self.by_name.get(label).map_or(&[], Vec::as_slice)
    }

    /// Forwarders that are not ourselves: asking oneself never ends.
    pub fn forwarders(&self) -> Vec<SocketAddr> {
        let own = self.snapshot.server;
        self.snapshot.forwarders.iter().copied().filter(|at| at.ip() != own).collect()
    }
}

fn check_network(snapshot: &NetworkSnapshot) -> Result<(), SnapshotError> {
    if !(1..=4094).contains(&snapshot.vlan_tag) {
        return Err(SnapshotError::Tag(snapshot.vlan_tag));
    }
    if !(8..=30).contains(&snapshot.subnet.prefix_len()) {
        return Err(SnapshotError::Subnet(snapshot.subnet));
    }
    if snapshot.mtu < 576 {
        return Err(SnapshotError::Mtu(snapshot.mtu));
    }
    if snapshot.lease_seconds == 0 || snapshot.ttl_seconds == 0 {
        return Err(SnapshotError::Times);
    }
    if snapshot.routes.len() > ROUTES_MAX {
        return Err(SnapshotError::Routes(snapshot.routes.len()));
    }
    check_address(snapshot, "server", snapshot.server)?;
    let Some(gateway) = snapshot.gateway else { return Ok(()) };
    check_address(snapshot, "gateway", gateway)
}

fn check_host(snapshot: &NetworkSnapshot, host: &NetworkHost) -> Result<(), SnapshotError> {
    check_address(snapshot, host.vif.as_str(), host.ipv4)?;
    let reserved = [(Some(snapshot.server), "the nsa"), (snapshot.gateway, "the gateway")];
    if let Some((_, first)) = reserved.iter().find(|(address, _)| *address == Some(host.ipv4)) {
        let (first, second) = ((*first).to_owned(), host.vif.to_string());
        return Err(SnapshotError::TwoOwners { address: host.ipv4, first, second });
    }
    if host.mac.0[0] & 1 == 1 || host.mac.0 == [0; 6] {
        return Err(SnapshotError::GroupMac(host.mac));
    }
    let name = host.hostname.as_bytes();
    let formed = (1..=63).contains(&name.len())
        && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
        && name.first() != Some(&b'-')
        && name.last() != Some(&b'-');
    if formed { Ok(()) } else { Err(SnapshotError::Hostname(host.hostname.clone())) }
}

fn check_address(snapshot: &NetworkSnapshot, what: &str, address: Ipv4Addr) -> Result<(), SnapshotError> {
    let subnet = snapshot.subnet;
    if subnet.contains(&address) && address != subnet.network() && address != subnet.broadcast() {
        return Ok(());
    }
    Err(SnapshotError::Outside { what: what.to_owned(), address, subnet })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn snapshot() -> NetworkSnapshot {
        serde_json::from_value(serde_json::json!({
            "network": "nw-demo1", "account": "a-shpoolxx", "vlan_tag": 100, "subnet": "10.0.0.0/24",
            "gateway": "10.0.0.1", "server": "10.0.0.2", "domain": "demo.example", "mtu": 1450,
            "lease_seconds": 3600, "ttl_seconds": 60,
            "hosts": [
                { "vif": "vif-a", "instance": "i-a", "mac": "52:54:00:00:00:0a", "ipv4": "10.0.0.10", "hostname": "web1" },
                { "vif": "vif-b", "instance": "i-b", "mac": "52:54:00:00:00:0b", "ipv4": "10.0.0.11", "hostname": "db1" }
            ]
        }))
        .unwrap()
    }

    #[test]
    fn a_snapshot_that_contradicts_itself_is_refused_and_says_why() {
        assert!(Served::new(snapshot(), 1).is_ok(), "the control");
        type Break = fn(&mut NetworkSnapshot);
        let broken: [(&str, Break); 9] = [
            ("not in 1 to 4094", |s| s.vlan_tag = 4095),
            ("not a host address", |s| s.hosts[0].ipv4 = Ipv4Addr::new(10, 0, 1, 5)),
            ("not a host address", |s| s.hosts[0].ipv4 = Ipv4Addr::new(10, 0, 0, 255)),
            ("both the nsa", |s| s.hosts[0].ipv4 = s.server),
            ("belongs to both vif-a and vif-b", |s| s.hosts[1].ipv4 = s.hosts[0].ipv4),
            ("mac 52:54:00:00:00:0a belongs", |s| s.hosts[1].mac = s.hosts[0].mac),
            ("hostname `a b`", |s| s.hosts[0].hostname = "a b".into()),
            ("domain ``", |s| s.domain = String::new()),
            ("at least one second", |s| s.lease_seconds = 0),
        ];
        for (sentence, break_it) in broken {
            let mut snapshot = snapshot();
            break_it(&mut snapshot);
            let error = Served::new(snapshot, 1).expect_err(sentence).to_string();
            assert!(error.contains(sentence), "{error} does not say {sentence}");
        }
    }

    #[test]
    fn a_host_named_ns_keeps_its_name_and_the_server_takes_another() {
        let mut snapshot = snapshot();
        snapshot.hosts[0].hostname = "NS".into();
        let served = Served::new(snapshot, 1).unwrap();
        assert_eq!(served.addresses("ns"), [Ipv4Addr::new(10, 0, 0, 10)]);
        assert_eq!(served.name_server.to_string(), "ns0.demo.example.");
        assert_eq!(served.addresses("ns0"), [Ipv4Addr::new(10, 0, 0, 2)]);
    }
}
