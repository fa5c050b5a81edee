//! From a name and a type to records, out of one snapshot. Pure.
//!
//! Rule: forward names are `<label>.<domain>`; reverse names are those of addresses *inside* the subnet, whatever the
//! octet boundary (a /22 has four zone apexes, a /26 shares its /24's), so a neighbour's names are never claimed.

use crate::limits::NEGATIVE_TTL_SECONDS;
use crate::snapshot::Served;
use hickory_proto::rr::rdata::{A, NS, PTR, SOA};
use hickory_proto::rr::{LowerName, Name, RData, Record, RecordType};
use std::net::Ipv4Addr;

#[derive(Debug, PartialEq)]
pub enum Found {
    Records(Vec<Record>),
    /// The name exists, not with this type.
    NoData,
    NoName,
    /// Not a name of this network.
    Elsewhere,
    /// Transfers.
    Refused,
}

/// Answers keep the spelling of the question.
pub fn find(served: &Served, name: &Name, kind: RecordType) -> Found {
    match place(served, name) {
        Place::Elsewhere => Found::Elsewhere,
        _ if matches!(kind, RecordType::AXFR | RecordType::IXFR) => Found::Refused,
        Place::Apex => apex_records(served, name, kind),
        Place::Host(label) => host_records(served, name, &label, kind),
        Place::Address(address) => pointer_records(served, name, address, kind),
        Place::Between => Found::NoData,
        Place::Nowhere => Found::NoName,
    }
}

/// The SOA that goes with a negative answer; its TTL is what a resolver may remember the absence for (RFC 2308).
pub fn soa_for(served: &Served, name: &Name) -> Option<Record> {
    let apex = match place(served, name) {
        Place::Elsewhere => return None,
        _ if served.origin.zone_of(&LowerName::new(name)) => served.origin_name.clone(),
        _ => name.trim_to(reverse_octets(served) + 2),
    };
    Some(soa(served, apex, NEGATIVE_TTL_SECONDS.min(served.snapshot.ttl_seconds)))
}

/// Where a name lies.
enum Place {
    Apex,
    Host(String),
    Address(Ipv4Addr),
    /// In the reverse tree between an apex and an address.
    Between,
    /// Below one of our apexes, where nothing can be.
    Nowhere,
    Elsewhere,
}

fn place(served: &Served, name: &Name) -> Place {
    let lower = LowerName::new(name);
    if served.origin.zone_of(&lower) {
        let below = name.num_labels().saturating_sub(served.origin_name.num_labels());
        return match below {
            0 => Place::Apex,
            1 => Place::Host(first_label(name)),
            _ => Place::Nowhere,
        };
    }
    reverse_place(served, name)
}

fn first_label(name: &Name) -> String {
    name.iter().next().map(|label| String::from_utf8_lossy(label).to_ascii_lowercase()).unwrap_or_default()
}

/// How many octets the reverse apexes have: whole octets that cover the prefix, at most three.
fn reverse_octets(served: &Served) -> usize {
    usize::from(served.snapshot.subnet.prefix_len().div_ceil(8)).clamp(1, 3)
}

fn reverse_place(served: &Served, name: &Name) -> Place {
    let labels: Vec<&[u8]> = name.iter().collect();
    let [octets @ .., second, top] = labels.as_slice() else { return Place::Elsewhere };
    if !top.eq_ignore_ascii_case(b"arpa") || !second.eq_ignore_ascii_case(b"in-addr") {
        return Place::Elsewhere;
    }
    let apex = reverse_octets(served);
    let mut address = [0u8; 4];
    for (at, label) in octets.iter().rev().take(4).enumerate() {
        match octet(label) {
            Some(value) => address[at] = value,
            // Below an apex of ours nothing but octets exists.
            None if at >= apex && within(served, address, at) => return Place::Nowhere,
            None => return Place::Elsewhere,
        }
    }
    let given = octets.len();
    if given < apex || !within(served, address, given.min(4)) {
        return Place::Elsewhere;
    }
    match given {
        4 => Place::Address(address.into()),
        given if given == apex => Place::Apex,
        given if given < 4 => Place::Between,
        _ => Place::Nowhere,
    }
}

/// A canonical decimal octet: `01` and `+1` are other names.
fn octet(label: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(label).ok()?;
    let value: u8 = text.parse().ok()?;
    (value.to_string() == text).then_some(value)
}

/// Whether addresses beginning with these octets can lie in the subnet.
fn within(served: &Served, address: [u8; 4], octets: usize) -> bool {
    let subnet = served.snapshot.subnet;
    let Ok(given) = ipnet::Ipv4Net::new(address.into(), (octets * 8) as u8) else { return false };
    subnet.contains(&given.network()) || given.contains(&subnet.network())
}

fn apex_records(served: &Served, name: &Name, kind: RecordType) -> Found {
    let ttl = served.snapshot.ttl_seconds;
    let ns = || Record::from_rdata(name.clone(), ttl, RData::NS(NS(served.name_server.clone())));
    match kind {
        RecordType::SOA => Found::Records(vec![soa(served, name.clone(), ttl)]),
        RecordType::NS => Found::Records(vec![ns()]),
        RecordType::ANY => Found::Records(vec![soa(served, name.clone(), ttl), ns()]),
        _ => Found::NoData,
    }
}

fn host_records(served: &Served, name: &Name, label: &str, kind: RecordType) -> Found {
    let addresses = served.addresses(label);
    if addresses.is_empty() {
        return Found::NoName;
    }
    if !matches!(kind, RecordType::A | RecordType::ANY) {
        return Found::NoData;
    }
    let ttl = served.snapshot.ttl_seconds;
    let record = |address: &Ipv4Addr| Record::from_rdata(name.clone(), ttl, RData::A(A(*address)));
    Found::Records(addresses.iter().map(record).collect())
}

fn pointer_records(served: &Served, name: &Name, address: Ipv4Addr, kind: RecordType) -> Found {
    let target = if address == served.snapshot.server {
        Some(served.name_server.clone())
    } else {
        served.host_at(address).and_then(|host| {
            let label = host.hostname.to_ascii_lowercase();
            served.origin_name.prepend_label(label.as_bytes()).ok()
        })
    };
    let Some(target) = target else { return Found::NoName };
    if !matches!(kind, RecordType::PTR | RecordType::ANY) {
        return Found::NoData;
    }
    let ttl = served.snapshot.ttl_seconds;
    Found::Records(vec![Record::from_rdata(name.clone(), ttl, RData::PTR(PTR(target)))])
}

/// Serial is the snapshot's version; it wraps as RFC 1982 serials do.
fn soa(served: &Served, apex: Name, ttl: u32) -> Record {
    let mailbox = served.origin_name.prepend_label("hostmaster").unwrap_or_else(|_| served.origin_name.clone());
    let serial = served.version as u32;
    let negative = NEGATIVE_TTL_SECONDS.min(served.snapshot.ttl_seconds);
    let data = SOA::new(served.name_server.clone(), mailbox, serial, 3600, 600, 86_400, negative);
    Record::from_rdata(apex, ttl, RData::SOA(data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tests::snapshot;
    use proptest::prelude::*;

    fn served(subnet: &str) -> Served {
        let mut snapshot = snapshot();
        snapshot.subnet = subnet.parse().unwrap();
        Served::new(snapshot, 42).unwrap()
    }

    fn ask(served: &Served, name: &str, kind: RecordType) -> String {
        match find(served, &Name::from_ascii(name).unwrap(), kind) {
            Found::Records(records) => records.iter().map(|r| r.data.to_string()).collect::<Vec<_>>().join(" "),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn names_and_addresses_of_the_snapshot_are_found_in_any_spelling() {
        let served = served("10.0.0.0/24");
        assert_eq!(ask(&served, "web1.demo.example.", RecordType::A), "10.0.0.10");
        assert_eq!(ask(&served, "WeB1.DEMO.Example.", RecordType::A), "10.0.0.10");
        assert_eq!(ask(&served, "10.0.0.10.in-addr.arpa.", RecordType::PTR), "web1.demo.example.");
        assert_eq!(ask(&served, "2.0.0.10.IN-ADDR.ARPA.", RecordType::PTR), "ns.demo.example.");
        assert_eq!(ask(&served, "demo.example.", RecordType::NS), "ns.demo.example.");
        assert!(ask(&served, "0.0.10.in-addr.arpa.", RecordType::SOA).contains(" 42 "));
    }

    #[test]
    fn absence_is_told_apart_from_another_type_and_from_elsewhere() {
        let served = served("10.0.0.0/24");
        assert_eq!(ask(&served, "web1.demo.example.", RecordType::AAAA), "NoData");
        assert_eq!(ask(&served, "demo.example.", RecordType::A), "NoData");
        assert_eq!(ask(&served, "web2.demo.example.", RecordType::A), "NoName");
        assert_eq!(ask(&served, "a.web1.demo.example.", RecordType::A), "NoName");
        assert_eq!(ask(&served, "99.0.0.10.in-addr.arpa.", RecordType::PTR), "NoName");
        assert_eq!(ask(&served, "x.0.0.10.in-addr.arpa.", RecordType::PTR), "NoName");
        for name in ["example.", "web1.", "10.1.0.10.in-addr.arpa.", "0.10.in-addr.arpa.", "in-addr.arpa.", "."] {
            assert_eq!(ask(&served, name, RecordType::A), "Elsewhere", "{name}");
        }
        assert_eq!(ask(&served, "demo.example.", RecordType::AXFR), "Refused");
    }

    #[test]
    fn reverse_zones_end_at_the_subnet_whatever_its_length() {
        for (subnet, apex, inside, outside) in [
            ("10.0.0.0/22", "3.0.10.in-addr.arpa.", "9.3.0.10.in-addr.arpa.", "9.4.0.10.in-addr.arpa."),
            ("10.0.0.0/26", "0.0.10.in-addr.arpa.", "9.0.0.10.in-addr.arpa.", "70.0.0.10.in-addr.arpa."),
            ("10.0.0.0/16", "0.10.in-addr.arpa.", "9.3.0.10.in-addr.arpa.", "9.4.1.10.in-addr.arpa."),
            ("10.0.0.0/8", "10.in-addr.arpa.", "9.3.0.10.in-addr.arpa.", "9.4.1.11.in-addr.arpa."),
        ] {
            let served = served(subnet);
            assert_ne!(ask(&served, apex, RecordType::SOA), "Elsewhere", "{subnet}");
            assert_eq!(ask(&served, inside, RecordType::PTR), "NoName", "{subnet}");
            assert_eq!(ask(&served, outside, RecordType::PTR), "Elsewhere", "{subnet}");
            let soa = soa_for(&served, &Name::from_ascii(inside).unwrap()).unwrap();
            assert!(soa.name.zone_of(&Name::from_ascii(inside).unwrap()), "{subnet}: {}", soa.name);
        }
    }

    proptest! {
        #[test]
        fn every_host_is_found_forward_and_back_and_no_other_address_is(
            hosts in prop::collection::btree_map(3u8..250, "[a-z0-9]{1,20}", 0..40), probe in any::<u8>(),
        ) {
            let mut snapshot = snapshot();
            snapshot.hosts = hosts.iter().map(|(last, name)| serde_json::from_value(serde_json::json!({
                "vif": format!("vif-{last}"), "instance": "i-x", "mac": format!("52:54:00:00:00:{last:02x}"),
                "ipv4": format!("10.0.0.{last}"), "hostname": name })).unwrap()).collect();
            let served = Served::new(snapshot, 1).unwrap();
            for (last, name) in &hosts {
                let forward = ask(&served, &format!("{name}.demo.example."), RecordType::A);
                let address = format!("10.0.0.{last}");
                prop_assert!(forward.split(' ').any(|found| found == address));
                let back = ask(&served, &format!("{last}.0.0.10.in-addr.arpa."), RecordType::PTR);
                prop_assert_eq!(back, format!("{name}.demo.example."));
            }
            if probe != 2 && !hosts.contains_key(&probe) {
                let name = format!("{probe}.0.0.10.in-addr.arpa.");
                prop_assert_eq!(ask(&served, &name, RecordType::PTR), "NoName");
            }
        }

        #[test]
        fn any_name_gets_an_answer_and_every_negative_one_a_soa_above_it(
            labels in prop::collection::vec("[a-z0-9]{1,5}", 0..5), tail in 0usize..3, prefix in 8u8..=30,
        ) {
            let served = served(&format!("10.0.0.0/{}", prefix.min(26)));
            let tail = ["demo.example.", "0.10.in-addr.arpa.", "example."][tail];
            let mut text = labels.join(".");
            if !text.is_empty() { text.push('.'); }
            let name = Name::from_ascii(format!("{text}{tail}")).unwrap();
            if matches!(find(&served, &name, RecordType::A), Found::NoData | Found::NoName) {
                let soa = soa_for(&served, &name).unwrap();
                prop_assert!(soa.name.zone_of(&name));
            }
        }
    }
}
