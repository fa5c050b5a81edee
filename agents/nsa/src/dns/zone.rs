//! From a name and a type to records, out of one snapshot. Pure.
//!
//! Rule: forward names are `<name>.<domain>`; a machine's name wins over a record with an address or an alias, and so does
//! `ext.<name>`, where its external addresses are. Reverse names are those of its machines' external addresses, each a zone of
//! its own (RFC 2317 does the same), and of addresses *inside* the subnet, whatever the octet boundary (a /22 has four zone apexes, a /26
//! shares its /24's), so a neighbour's names are never claimed. Aliases are followed [`DNS_CHAIN_MAX`] times, no more.

use crate::limits::NEGATIVE_TTL_SECONDS;
use crate::snapshot::Served;
use arame_schema::limits::DNS_CHAIN_MAX;
use arame_schema::model::dns_record::APEX;
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
    /// Aliases in a row, and what the last of them leads to.
    Alias {
        chain: Vec<Record>,
        target: Name,
        end: Box<Found>,
    },
    /// Aliases without end.
    Endless,
}

/// Answers keep the spelling of the question.
pub fn find(served: &Served, name: &Name, kind: RecordType) -> Found {
    let found = find_here(served, name, kind);
    let Found::Records(alias) = &found else { return found };
    let Some(first) = alias_of(alias, kind) else { return found };
    let (mut chain, mut target) = (alias.clone(), first);
    while chain.len() <= DNS_CHAIN_MAX {
        match find_here(served, &target, kind) {
            Found::Records(records) => match alias_of(&records, kind) {
                Some(next) => {
                    chain.extend(records);
                    target = next;
                }
                None => {
                    chain.extend(records);
                    return Found::Records(chain);
                }
            },
            end => return Found::Alias { chain, target, end: Box::new(end) },
        }
    }
    Found::Endless
}

/// The target of an alias that answers another question than one for aliases.
fn alias_of(records: &[Record], kind: RecordType) -> Option<Name> {
    match records {
        [Record { data: RData::CNAME(target), .. }] if !matches!(kind, RecordType::CNAME | RecordType::ANY) => {
            Some(target.0.clone())
        }
        _ => None,
    }
}

fn find_here(served: &Served, name: &Name, kind: RecordType) -> Found {
    match place(served, name) {
        Place::Elsewhere => Found::Elsewhere,
        _ if matches!(kind, RecordType::AXFR | RecordType::IXFR) => Found::Refused,
        Place::Apex if served.origin == LowerName::new(name) => zone_records(served, name, kind),
        Place::Apex => apex_records(served, name, kind),
        Place::Named(word) => named_records(served, name, &word, kind),
        Place::Address(address) => pointer_records(served, name, address, kind),
        Place::External(label) => external_records(served, name, label, kind),
        Place::Between => Found::NoData,
        Place::Nowhere => Found::NoName,
    }
}

/// The SOA that goes with a negative answer; its TTL is what a resolver may remember the absence for (RFC 2308).
pub fn soa_for(served: &Served, name: &Name) -> Option<Record> {
    let apex = match place(served, name) {
        Place::Elsewhere => return None,
        _ if served.origin.zone_of(&LowerName::new(name)) => served.origin_name.clone(),
        Place::External(_) => name.clone(),
        _ => name.trim_to(reverse_octets(served) + 2),
    };
    Some(soa(served, apex, NEGATIVE_TTL_SECONDS.min(served.head.ttl_seconds)))
}

/// Where a name lies.
enum Place<'a> {
    Apex,
    /// A name relative to the zone, lower case.
    Named(String),
    Address(Ipv4Addr),
    /// An external address: the label of the host that has it.
    External(&'a str),
    /// In the reverse tree between an apex and an address.
    Between,
    /// Below one of our apexes, where nothing can be.
    Nowhere,
    Elsewhere,
}

fn place<'a>(served: &'a Served, name: &Name) -> Place<'a> {
    let lower = LowerName::new(name);
    if served.origin.zone_of(&lower) {
        let below = name.num_labels().saturating_sub(served.origin_name.num_labels());
        return if below == 0 { Place::Apex } else { relative(name, usize::from(below)) };
    }
    reverse_place(served, name)
}

/// The first labels joined; a label with a dot in it is no name of ours.
fn relative<'a>(name: &Name, labels: usize) -> Place<'a> {
    let mut word = String::with_capacity(32);
    for label in name.iter().take(labels) {
        let Ok(text) = std::str::from_utf8(label) else { return Place::Nowhere };
        if text.contains('.') {
            return Place::Nowhere;
        }
        if !word.is_empty() {
            word.push('.');
        }
        word.extend(text.chars().map(|letter| letter.to_ascii_lowercase()));
    }
    Place::Named(word)
}

/// How many octets the reverse apexes have: whole octets that cover the prefix, at most three.
fn reverse_octets(served: &Served) -> usize {
    usize::from(served.head.subnet.prefix_len().div_ceil(8)).clamp(1, 3)
}

fn reverse_place<'a>(served: &'a Served, name: &Name) -> Place<'a> {
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
    let external = served.external.host_at(address.into()).filter(|_| given == 4);
    if let Some(label) = external.filter(|_| !within(served, address, 4)) {
        return Place::External(label);
    }
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
    let subnet = served.head.subnet;
    let Ok(given) = ipnet::Ipv4Net::new(address.into(), (octets * 8) as u8) else { return false };
    subnet.contains(&given.network()) || given.contains(&subnet.network())
}

fn apex_records(served: &Served, name: &Name, kind: RecordType) -> Found {
    let ttl = served.head.ttl_seconds;
    let ns = || Record::from_rdata(name.clone(), ttl, RData::NS(NS(served.name_server.clone())));
    match kind {
        RecordType::SOA => Found::Records(vec![soa(served, name.clone(), ttl)]),
        RecordType::NS => Found::Records(vec![ns()]),
        RecordType::ANY => Found::Records(vec![soa(served, name.clone(), ttl), ns()]),
        _ => Found::NoData,
    }
}

/// The zone itself: its own records and what the tenant added to it.
fn zone_records(served: &Served, name: &Name, kind: RecordType) -> Found {
    match apex_records(served, name, kind) {
        Found::Records(mut records) if kind == RecordType::ANY => {
            records.extend(added(served, name, APEX, kind));
            Found::Records(records)
        }
        Found::NoData => match added(served, name, APEX, kind) {
            records if records.is_empty() => Found::NoData,
            records => Found::Records(records),
        },
        other => other,
    }
}

fn named_records(served: &Served, name: &Name, word: &str, kind: RecordType) -> Found {
    let addresses = served.addresses(word);
    let mut records = Vec::new();
    if matches!(kind, RecordType::A | RecordType::ANY) {
        let ttl = served.head.ttl_seconds;
        let record = |address: &Ipv4Addr| Record::from_rdata(name.clone(), ttl, RData::A(A(*address)));
        records.extend(addresses.iter().map(record));
    }
    records.extend(added(served, name, word, kind));
    if !records.is_empty() {
        return Found::Records(records);
    }
    let exists = !addresses.is_empty() || !served.records(word).is_empty() || served.is_between(word);
    if exists { Found::NoData } else { Found::NoName }
}

/// The tenant's records of a name. Where a machine has it, no address and no alias is.
fn added(served: &Served, name: &Name, word: &str, kind: RecordType) -> Vec<Record> {
    let is_machine = !served.addresses(word).is_empty();
    let wanted = |data: &RData| match data {
        RData::A(_) => !is_machine && matches!(kind, RecordType::A | RecordType::ANY),
        RData::CNAME(_) => !is_machine,
        other => kind == RecordType::ANY || other.record_type() == kind,
    };
    let entries = served.records(word).iter().filter(|entry| wanted(&entry.data));
    let ttl = served.head.ttl_seconds;
    entries
        .map(|entry| Record::from_rdata(name.clone(), entry.ttl_seconds.unwrap_or(ttl), entry.data.clone()))
        .collect()
}

fn pointer_records(served: &Served, name: &Name, address: Ipv4Addr, kind: RecordType) -> Found {
    let target = if address == served.head.server {
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
    let ttl = served.head.ttl_seconds;
    Found::Records(vec![Record::from_rdata(name.clone(), ttl, RData::PTR(PTR(target)))])
}

/// The reverse name of one external address, and the zone that it is.
fn external_records(served: &Served, name: &Name, label: &str, kind: RecordType) -> Found {
    let Ok(host) = served.origin_name.prepend_label(label.as_bytes()) else { return Found::NoName };
    let pointer = Record::from_rdata(name.clone(), served.head.ttl_seconds, RData::PTR(PTR(host)));
    match apex_records(served, name, kind) {
        Found::Records(mut records) if kind == RecordType::ANY => {
            records.push(pointer);
            Found::Records(records)
        }
        Found::NoData if kind == RecordType::PTR => Found::Records(vec![pointer]),
        other => other,
    }
}

/// Serial is the snapshot's version; it wraps as RFC 1982 serials do.
fn soa(served: &Served, apex: Name, ttl: u32) -> Record {
    let mailbox = served.origin_name.prepend_label("hostmaster").unwrap_or_else(|_| served.origin_name.clone());
    let serial = served.version as u32;
    let negative = NEGATIVE_TTL_SECONDS.min(served.head.ttl_seconds);
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
        Served::new(snapshot, 42, 1).unwrap()
    }

    fn ask(served: &Served, name: &str, kind: RecordType) -> String {
        match find(served, &Name::from_ascii(name).unwrap(), kind) {
            Found::Records(records) => records.iter().map(|r| r.data.to_string()).collect::<Vec<_>>().join(" "),
            Found::Alias { chain, target, end } => format!("{} to {target}: {end:?}", chain.len()),
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

    fn with_records(records: &[(&str, &str, &str)]) -> Served {
        let mut snapshot = snapshot();
        let record = |(n, (name, kind, value)): (usize, &(&str, &str, &str))| {
            serde_json::from_value(
                serde_json::json!({ "id": format!("dnr-{n}"), "name": name, "kind": kind, "value": value }),
            )
            .unwrap()
        };
        snapshot.records = records.iter().enumerate().map(record).collect();
        Served::new(snapshot, 42, 1).unwrap()
    }

    #[test]
    fn records_of_the_tenant_are_found_and_aliases_followed_to_their_end() {
        let served = with_records(&[
            ("www", "CNAME", "web1"),
            ("shop", "CNAME", "www.demo.example"),
            ("out", "CNAME", "mail.example.org"),
            ("lost", "CNAME", "nobody"),
            ("@", "TXT", "v=spf1 -all"),
            ("_sip._tcp", "SRV", "10 5 5060 web1"),
            ("vip", "A", "10.0.0.200"),
            ("vip", "A", "10.0.0.201"),
        ]);
        assert_eq!(ask(&served, "www.demo.example.", RecordType::A), "web1.demo.example. 10.0.0.10");
        assert_eq!(ask(&served, "SHOP.demo.example.", RecordType::A), "www.demo.example. web1.demo.example. 10.0.0.10");
        assert_eq!(ask(&served, "www.demo.example.", RecordType::CNAME), "web1.demo.example.");
        assert_eq!(ask(&served, "www.demo.example.", RecordType::AAAA), "1 to web1.demo.example.: NoData");
        assert_eq!(ask(&served, "out.demo.example.", RecordType::A), "1 to mail.example.org.: Elsewhere");
        assert_eq!(ask(&served, "lost.demo.example.", RecordType::A), "1 to nobody.demo.example.: NoName");
        assert_eq!(ask(&served, "demo.example.", RecordType::TXT), "v=spf1 -all");
        assert_eq!(ask(&served, "demo.example.", RecordType::A), "NoData");
        assert_eq!(ask(&served, "_sip._tcp.demo.example.", RecordType::SRV), "10 5 5060 web1.demo.example.");
        assert_eq!(ask(&served, "_tcp.demo.example.", RecordType::SRV), "NoData", "a name above others exists");
        assert_eq!(ask(&served, "vip.demo.example.", RecordType::A), "10.0.0.200 10.0.0.201");
        assert_eq!(ask(&served, "200.0.0.10.in-addr.arpa.", RecordType::PTR), "NoName");
    }

    #[test]
    fn external_addresses_have_names_here_and_a_neighbours_are_somebody_elses() {
        let mut snapshot = snapshot();
        let outer = |last| Ipv4Addr::new(192, 0, 2, last);
        snapshot.external = vec![
            serde_json::from_value(serde_json::json!({ "vif": "vif-a", "inner": "10.0.0.10", "outer": outer(50) }))
                .unwrap(),
        ];
        snapshot.records = vec![
            serde_json::from_value(
                serde_json::json!({ "id": "dnr-1", "name": "ext.web1", "kind": "A", "value": "10.0.0.99" }),
            )
            .unwrap(),
        ];
        let with = Served::new(snapshot.clone(), 42, 1).unwrap();
        assert_eq!(ask(&with, "web1.demo.example.", RecordType::A), "10.0.0.10");
        assert_eq!(ask(&with, "Ext.WEB1.demo.example.", RecordType::A), "192.0.2.50", "before a record of that name");
        assert_eq!(ask(&with, "ext.web1.demo.example.", RecordType::AAAA), "NoData");
        assert_eq!(ask(&with, "ext.db1.demo.example.", RecordType::A), "NoName");
        let back = "50.2.0.192.in-addr.arpa.";
        assert_eq!(ask(&with, back, RecordType::PTR), "web1.demo.example.");
        assert_eq!(ask(&with, back, RecordType::A), "NoData");
        assert!(ask(&with, back, RecordType::SOA).contains(" 42 "));
        assert_eq!(soa_for(&with, &Name::from_ascii(back).unwrap()).unwrap().name, Name::from_ascii(back).unwrap());
        for name in ["51.2.0.192.in-addr.arpa.", "2.0.192.in-addr.arpa.", "x.50.2.0.192.in-addr.arpa."] {
            assert_eq!(ask(&with, name, RecordType::PTR), "Elsewhere", "{name}");
        }
        // Without it the same questions are somebody else's, and the record is answered.
        snapshot.external.clear();
        let without = Served::new(snapshot, 43, 1).unwrap();
        assert_eq!(ask(&without, back, RecordType::PTR), "Elsewhere");
        assert_eq!(ask(&without, "ext.web1.demo.example.", RecordType::A), "10.0.0.99");
    }

    #[test]
    fn a_machines_name_wins_and_aliases_without_end_end() {
        let served = with_records(&[
            ("web1", "A", "10.0.0.99"),
            ("db1", "CNAME", "web1"),
            ("db1", "TXT", "beside it"),
            ("free", "A", "10.0.0.99"),
            ("a", "CNAME", "b"),
            ("b", "CNAME", "a"),
        ]);
        assert_eq!(ask(&served, "web1.demo.example.", RecordType::A), "10.0.0.10");
        assert_eq!(ask(&served, "db1.demo.example.", RecordType::A), "10.0.0.11");
        assert_eq!(ask(&served, "db1.demo.example.", RecordType::TXT), "beside it");
        assert_eq!(ask(&served, "free.demo.example.", RecordType::A), "10.0.0.99", "the control");
        assert_eq!(ask(&served, "a.demo.example.", RecordType::A), "Endless");
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
            let served = Served::new(snapshot, 1, 1).unwrap();
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
