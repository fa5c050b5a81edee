//! External addresses of a network's hosts, as DNS knows them: `ext.<hostname>` leads there, and there is led back to the
//! host's own name.
//!
//! Rule: whose address is translated is told to the network's own machines only; inside, the host's name is its inner
//! address. A host's label has no dot, so no machine can have such a name. An address of an interface that is not there has
//! none.

use super::Served;
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// The label before the host's.
pub const LABEL: &str = "ext";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct External {
    by_name: HashMap<String, Vec<Ipv4Addr>>,
    by_address: HashMap<Ipv4Addr, String>,
}

impl External {
    pub(super) fn of(served: &Served) -> Self {
        let mut external = Self::default();
        for one in &served.head.external {
            let Some(host) = served.hosts.get(&one.vif) else { continue };
            let label = host.hostname.to_ascii_lowercase();
            let addresses = external.by_name.entry(format!("{LABEL}.{label}")).or_default();
            if let Err(place) = addresses.binary_search(&one.outer) {
                addresses.insert(place, one.outer);
            }
            external.by_address.insert(one.outer, label);
        }
        external
    }

    pub(super) fn addresses(&self, name: &str) -> &[Ipv4Addr] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// The label of the host that has it.
    pub fn host_at(&self, address: Ipv4Addr) -> Option<&str> {
        self.by_address.get(&address).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::snapshot;
    use super::*;
    use arame_schema::jobs::nsa::{ChangeNetwork, NetworkSnapshot, Translation};

    fn external(vif: &str, last: u8) -> Translation {
        let inner = Ipv4Addr::new(10, 0, 0, 10);
        Translation { vif: vif.parse().unwrap(), inner, outer: Ipv4Addr::new(192, 0, 2, last) }
    }

    #[test]
    fn an_external_address_has_the_name_of_its_host_as_long_as_both_are_there() {
        let head = NetworkSnapshot {
            external: vec![external("vif-a", 51), external("vif-a", 50), external("vif-gone", 52)],
            ..snapshot()
        };
        let served = Served::new(head.clone(), 1, 1).unwrap();
        let outer = |last| Ipv4Addr::new(192, 0, 2, last);
        assert_eq!(served.addresses("ext.web1"), [outer(50), outer(51)]);
        assert_eq!(served.addresses("web1"), [Ipv4Addr::new(10, 0, 0, 10)], "inside, the name is the inner address");
        assert_eq!((served.external.host_at(outer(50)), served.external.host_at(outer(52))), (Some("web1"), None));

        // The host is renamed and one address taken away, by a change.
        let mut host = head.hosts[0].clone();
        host.hostname = "Shop".into();
        let change = ChangeNetwork {
            base: 1,
            history: 1,
            head: NetworkSnapshot { external: vec![external("vif-a", 50)], hosts: Vec::new(), ..head },
            hosts: vec![host],
            hosts_gone: Vec::new(),
            records: Vec::new(),
            records_gone: Vec::new(),
            host_count: 2,
            record_count: 0,
        };
        let next = served.changed(&change, 2).unwrap();
        assert_eq!((next.addresses("ext.web1"), next.addresses("ext.shop")), (&[][..], &[outer(50)][..]));
        assert_eq!((next.external.host_at(outer(50)), next.external.host_at(outer(51))), (Some("shop"), None));
    }
}
