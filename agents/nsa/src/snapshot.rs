//! A snapshot checked once, with the indexes DHCP and DNS look things up by.
//!
//! Rule: inside the nsa only [`Served`] is used; whatever could contradict itself (two hosts with one MAC or address,
//! an address outside the subnet, a name DNS cannot carry) was refused here. Immutable: a new version is a new value
//! that shares what did not change with the one before.

mod change;
mod external;
mod records;
mod shards;

pub use change::ChangeError;
pub use external::External;

use crate::dhcp::quick::Prepared;
use arame_schema::jobs::nsa::{NetworkHost, NetworkSnapshot, Outside};
use arame_schema::model::{MacAddress, VifId};
use hickory_proto::rr::{LowerName, Name};
pub use records::Entry;
use records::Records;
use shards::Shards;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

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
    #[error("interface {0} is there twice")]
    TwoInterfaces(VifId),
    #[error("mac {0} is not the address of one interface")]
    GroupMac(MacAddress),
    #[error("mtu {0} is below 576, the least an IPv4 host must take")]
    Mtu(u16),
    #[error("lease and ttl must be at least one second")]
    Times,
    #[error("the way out needs a gateway on the network's own segment")]
    NoGateway,
    #[error("{outer} is translated to {inner}, and one of the two is translated already")]
    TwoTranslations { outer: Ipv4Addr, inner: Ipv4Addr },
    #[error("{0} routes do not fit into one DHCP message (at most {ROUTES_MAX})")]
    Routes(usize),
    #[error("{0} servers of one kind are more than a client asks (at most {SERVERS_MAX})")]
    Servers(usize),
}

/// Nine octets each at worst: 24 and the default route stay below one option's 255 octets, so nothing is split.
pub const ROUTES_MAX: usize = 24;

/// DNS servers, and time servers, told by DHCP: guests ask three or four at most; more fits easily.
pub const SERVERS_MAX: usize = 8;

/// One version of a network, ready to answer from.
#[derive(Debug, Clone)]
pub struct Served {
    pub version: u64,
    /// Epoch of the database whose versions this one is of: differences are only within one.
    pub history: u64,
    /// The snapshot without its hosts and records, which are in the indexes.
    pub head: Arc<NetworkSnapshot>,
    /// The zone's name.
    pub origin: LowerName,
    pub origin_name: Name,
    /// `ns.<domain>`, or another word when a host or a record has that name.
    pub name_server: Name,
    /// Its first label.
    pub name_server_word: String,
    /// The zone's name as it is on the wire, lower case.
    pub origin_wire: Arc<[u8]>,
    /// Whether names elsewhere are asked at somebody.
    pub asks_elsewhere: bool,
    /// The options of every lease, encoded. `None`: they have to be made for each.
    pub leases: Option<Arc<Prepared>>,
    hosts: Shards<VifId, Arc<NetworkHost>>,
    by_mac: Shards<MacAddress, Arc<NetworkHost>>,
    by_name: Shards<String, Vec<Ipv4Addr>>,
    by_address: Shards<Ipv4Addr, Arc<NetworkHost>>,
    records: Arc<Records>,
    pub external: Arc<External>,
}

impl Served {
    /// # Errors
    /// The snapshot contradicts itself.
    pub fn new(mut snapshot: NetworkSnapshot, version: u64, history: u64) -> Result<Self, SnapshotError> {
        check_network(&snapshot)?;
        let hosts = std::mem::take(&mut snapshot.hosts);
        let records = std::mem::take(&mut snapshot.records);
        let origin_name = zone_name(&snapshot)?;
        let records = Records::new(records, &domain_of(&snapshot));
        let mut served = Self {
            version,
            history,
            origin: LowerName::new(&origin_name),
            name_server: origin_name.clone(),
            origin_name,
            head: Arc::new(snapshot),
            name_server_word: String::new(),
            origin_wire: Arc::default(),
            asks_elsewhere: false,
            leases: None,
            hosts: Shards::for_entries(hosts.len()),
            by_mac: Shards::for_entries(hosts.len()),
            by_name: Shards::for_entries(hosts.len()),
            by_address: Shards::for_entries(hosts.len()),
            records: Arc::new(records),
            external: Arc::default(),
        };
        served.prepare();
        for host in hosts {
            served.add_host(host)?;
        }
        served.name_itself()?;
        Ok(served)
    }

    /// For the head as it is now.
    fn prepare(&mut self) {
        self.leases = Prepared::new(&self.head, &self.origin_name).map(Arc::new);
    }

    fn add_host(&mut self, host: NetworkHost) -> Result<(), SnapshotError> {
        check_host(&self.head, &host)?;
        if self.hosts.get(&host.vif).is_some() {
            return Err(SnapshotError::TwoInterfaces(host.vif));
        }
        let (vif, second) = (host.vif.clone(), host.vif.to_string());
        let (mac, address) = (host.mac, host.ipv4);
        let name = host.hostname.to_ascii_lowercase();
        let host = Arc::new(host);
        if let Some(first) = self.by_mac.insert(mac, host.clone()) {
            return Err(SnapshotError::TwoMacs { mac, first: first.vif.to_string(), second });
        }
        if let Some(first) = self.by_address.insert(address, host.clone()) {
            return Err(SnapshotError::TwoOwners { address, first: first.vif.to_string(), second });
        }
        let mut addresses = self.by_name.get(&name).cloned().unwrap_or_default();
        let place = addresses.binary_search(&address).unwrap_or_else(|place| place);
        addresses.insert(place, address);
        self.by_name.insert(name, addresses);
        self.hosts.insert(vif, host);
        Ok(())
    }

    fn remove_host(&mut self, vif: &VifId) {
        let Some(host) = self.hosts.remove(vif) else { return };
        self.by_mac.remove(&host.mac);
        self.by_address.remove(&host.ipv4);
        let name = host.hostname.to_ascii_lowercase();
        let mut addresses = self.by_name.get(&name).cloned().unwrap_or_default();
        addresses.retain(|address| *address != host.ipv4);
        match addresses.is_empty() {
            true => drop(self.by_name.remove(&name)),
            false => drop(self.by_name.insert(name, addresses)),
        }
    }

    /// The word of our own address in the zone: one that no host and no record has.
    fn name_itself(&mut self) -> Result<(), SnapshotError> {
        let is_free = |word: &String| self.by_name.get(word).is_none() && !self.records.has_name(word);
        let words = ["ns", "ns0", "nameserver"].into_iter().map(str::to_owned);
        let word = words.chain((1..).map(|n| format!("ns-{n}"))).find(is_free).unwrap_or_default();
        let name = self.origin_name.prepend_label(word.as_bytes());
        self.name_server = name.map_err(|_| SnapshotError::Domain(self.head.domain.clone()))?;
        self.name_server_word = word;
        self.origin_wire = wire(&self.origin_name);
        self.asks_elsewhere = !self.forwarders().is_empty();
        if !(self.head.external.is_empty() && *self.external == External::default()) {
            self.external = Arc::new(External::of(self));
        }
        Ok(())
    }

    pub fn host(&self, mac: MacAddress) -> Option<&NetworkHost> {
        self.by_mac.get(&mac).map(|host| &**host)
    }

    pub fn host_at(&self, address: Ipv4Addr) -> Option<&NetworkHost> {
        self.by_address.get(&address).map(|host| &**host)
    }

    pub fn host_named(&self, name: &str) -> Option<&NetworkHost> {
        let addresses = self.by_name.get(&name.to_ascii_lowercase())?;
        addresses.first().and_then(|address| self.host_at(*address))
    }

    pub fn host_count(&self) -> usize {
        self.hosts.count()
    }

    pub fn record_count(&self) -> usize {
        self.records.count()
    }

    /// Addresses of one name relative to the zone, lower case. Two interfaces of one instance share a name.
    pub fn addresses(&self, label: &str) -> &[Ipv4Addr] {
        if label == self.name_server_word {
            return std::slice::from_ref(&self.head.server);
        }
        match self.by_name.get(label) {
            Some(addresses) => addresses,
            None => self.external.addresses(label),
        }
    }

    /// The tenant's records of a name relative to the zone, lower case.
    pub fn records(&self, name: &str) -> &[Entry] {
        self.records.of(name)
    }

    /// Whether a relative name exists only because others are below it.
    pub fn is_between(&self, name: &str) -> bool {
        self.records.is_between(name)
    }

    /// The whole of it again, hosts by address, records by id.
    pub fn to_snapshot(&self) -> NetworkSnapshot {
        let mut hosts: Vec<NetworkHost> = self.hosts.iter().map(|(_, host)| (**host).clone()).collect();
        hosts.sort_by_key(|host| host.ipv4);
        NetworkSnapshot { hosts, records: self.records.iter().cloned().collect(), ..(*self.head).clone() }
    }

    /// Forwarders that are not ourselves: asking oneself never ends.
    pub fn forwarders(&self) -> Vec<SocketAddr> {
        let own = self.head.server;
        self.head.forwarders.iter().copied().filter(|at| at.ip() != own).collect()
    }
}

/// Whether two snapshots say the same, in whatever order.
pub fn is_same(one: &NetworkSnapshot, other: &NetworkSnapshot) -> bool {
    let ordered = |snapshot: &NetworkSnapshot| {
        let mut snapshot = snapshot.clone();
        snapshot.hosts.sort_by_key(|host| host.ipv4);
        snapshot.records.sort_by(|a, b| a.id.cmp(&b.id));
        snapshot
    };
    ordered(one) == ordered(other)
}

fn domain_of(head: &NetworkSnapshot) -> String {
    head.domain.trim_end_matches('.').to_ascii_lowercase()
}

fn zone_name(head: &NetworkSnapshot) -> Result<Name, SnapshotError> {
    let name = Name::from_ascii(format!("{}.", domain_of(head))).ok();
    name.filter(|name| !name.is_root() && name.len() <= 180).ok_or_else(|| SnapshotError::Domain(head.domain.clone()))
}

/// Each label after its length, and the root's.
fn wire(name: &Name) -> Arc<[u8]> {
    let mut bytes = Vec::with_capacity(64);
    for label in name.iter() {
        bytes.push(label.len() as u8);
        bytes.extend(label.iter().map(u8::to_ascii_lowercase));
    }
    bytes.push(0);
    bytes.into()
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
    for one in &snapshot.external {
        check_address(snapshot, one.vif.as_str(), one.inner)?;
    }
    for servers in [&snapshot.dns_servers, &snapshot.ntp_servers] {
        if servers.len() > SERVERS_MAX {
            return Err(SnapshotError::Servers(servers.len()));
        }
    }
    check_address(snapshot, "server", snapshot.server)?;
    if let Some(gateway) = snapshot.gateway {
        check_address(snapshot, "gateway", gateway)?;
    }
    snapshot.outside.as_ref().map_or(Ok(()), |outside| check_outside(snapshot, outside))
}

fn check_outside(snapshot: &NetworkSnapshot, outside: &Outside) -> Result<(), SnapshotError> {
    if snapshot.gateway.is_none() {
        return Err(SnapshotError::NoGateway);
    }
    if !(1..=4094).contains(&outside.vlan_tag) || outside.vlan_tag == snapshot.vlan_tag {
        return Err(SnapshotError::Tag(outside.vlan_tag));
    }
    let mut taken = vec![outside.address];
    taken.extend(outside.gateway);
    let what = "an address outside";
    for address in &taken {
        check_within(outside.subnet, what, *address)?;
    }
    for (at, one) in outside.translations.iter().enumerate() {
        check_within(outside.subnet, what, one.outer)?;
        check_address(snapshot, one.vif.as_str(), one.inner)?;
        let before = &outside.translations[..at];
        if taken.contains(&one.outer) || before.iter().any(|other| other.outer == one.outer || other.inner == one.inner)
        {
            return Err(SnapshotError::TwoTranslations { outer: one.outer, inner: one.inner });
        }
    }
    Ok(())
}

fn check_host(head: &NetworkSnapshot, host: &NetworkHost) -> Result<(), SnapshotError> {
    check_address(head, host.vif.as_str(), host.ipv4)?;
    let reserved = [(Some(head.server), "the nsa"), (head.gateway, "the gateway")];
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
    check_within(snapshot.subnet, what, address)
}

fn check_within(subnet: ipnet::Ipv4Net, what: &str, address: Ipv4Addr) -> Result<(), SnapshotError> {
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
        assert!(Served::new(snapshot(), 1, 1).is_ok(), "the control");
        type Break = fn(&mut NetworkSnapshot);
        let broken: [(&str, Break); 10] = [
            ("not in 1 to 4094", |s| s.vlan_tag = 4095),
            ("not a host address", |s| s.hosts[0].ipv4 = Ipv4Addr::new(10, 0, 1, 5)),
            ("not a host address", |s| s.hosts[0].ipv4 = Ipv4Addr::new(10, 0, 0, 255)),
            ("both the nsa", |s| s.hosts[0].ipv4 = s.server),
            ("belongs to both vif-a and vif-b", |s| s.hosts[1].ipv4 = s.hosts[0].ipv4),
            ("mac 52:54:00:00:00:0a belongs", |s| s.hosts[1].mac = s.hosts[0].mac),
            ("vif-a is there twice", |s| s.hosts[1].vif = s.hosts[0].vif.clone()),
            ("hostname `a b`", |s| s.hosts[0].hostname = "a b".into()),
            ("domain ``", |s| s.domain = String::new()),
            ("at least one second", |s| s.lease_seconds = 0),
        ];
        for (sentence, break_it) in broken {
            let mut snapshot = snapshot();
            break_it(&mut snapshot);
            let error = Served::new(snapshot, 1, 1).expect_err(sentence).to_string();
            assert!(error.contains(sentence), "{error} does not say {sentence}");
        }
    }

    #[test]
    fn a_host_named_ns_keeps_its_name_and_the_server_takes_another() {
        let mut snapshot = snapshot();
        snapshot.hosts[0].hostname = "NS".into();
        let served = Served::new(snapshot, 1, 1).unwrap();
        assert_eq!(served.addresses("ns"), [Ipv4Addr::new(10, 0, 0, 10)]);
        assert_eq!(served.name_server.to_string(), "ns0.demo.example.");
        assert_eq!(served.addresses("ns0"), [Ipv4Addr::new(10, 0, 0, 2)]);
    }
}
