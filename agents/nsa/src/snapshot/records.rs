//! The tenant's records of a zone, by their names relative to it.
//!
//! Rule: immutable; a version without a change of records shares them with the one before. What this program does not
//! understand is left out and said in the log: the rest is served.

use arame_schema::model::dns_record::{self, APEX};
use arame_schema::model::{DnsRecordId, NetworkRecord, RecordData};
use hickory_proto::rr::Name;
use hickory_proto::rr::RData;
use hickory_proto::rr::rdata::{A, CNAME, SRV, TXT};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A record as it is answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub ttl_seconds: Option<u32>,
    pub data: RData,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Records {
    kept: BTreeMap<DnsRecordId, NetworkRecord>,
    by_name: HashMap<String, Vec<Entry>>,
    /// Names that exist only because others are below them (RFC 8020).
    between: HashSet<String>,
}

impl Records {
    pub fn new(records: impl IntoIterator<Item = NetworkRecord>, domain: &str) -> Self {
        let kept: BTreeMap<_, _> = records.into_iter().map(|record| (record.id.clone(), record)).collect();
        let mut by_name: HashMap<String, Vec<Entry>> = HashMap::new();
        for record in kept.values() {
            let name = dns_record::record_name(&record.name);
            let data = record.data().and_then(|data| answered(data, domain));
            match name.zip(data) {
                Some((name, data)) => {
                    by_name.entry(name).or_default().push(Entry { ttl_seconds: record.ttl_seconds, data });
                }
                None => tracing::warn!(record = %record.id, kind = record.kind, "a record cannot be served"),
            }
        }
        // An alias stands alone (RFC 1034 3.6.2); dcmgr refuses another beside it.
        for entries in by_name.values_mut().filter(|entries| entries.len() > 1) {
            entries.retain(|entry| !matches!(entry.data, RData::CNAME(_)));
        }
        let above = |name: &String| {
            let dots: Vec<usize> = name.match_indices('.').map(|(at, _)| at).collect();
            dots.into_iter().map(|at| name[at + 1..].to_owned()).collect::<Vec<_>>()
        };
        let between = by_name.keys().filter(|name| *name != APEX).flat_map(above).collect();
        Self { kept, by_name, between }
    }

    pub fn of(&self, name: &str) -> &[Entry] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    pub fn has_name(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Whether a name exists without records of its own.
    pub fn is_between(&self, name: &str) -> bool {
        self.between.contains(name)
    }

    pub fn count(&self) -> usize {
        self.kept.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &NetworkRecord> {
        self.kept.values()
    }

    /// The next version: without some, with others.
    pub fn with(&self, gone: &[DnsRecordId], added: &[NetworkRecord], domain: &str) -> Self {
        let mut kept = self.kept.clone();
        gone.iter().for_each(|id| drop(kept.remove(id)));
        kept.extend(added.iter().map(|record| (record.id.clone(), record.clone())));
        Self::new(kept.into_values(), domain)
    }
}

fn name(text: &str, domain: &str) -> Option<Name> {
    if text == "." {
        return Some(Name::root());
    }
    Name::from_ascii(format!("{}.", dns_record::whole(text, domain))).ok()
}

fn answered(data: RecordData, domain: &str) -> Option<RData> {
    Some(match data {
        RecordData::A(address) => RData::A(A(address)),
        RecordData::Cname(target) => RData::CNAME(CNAME(name(&target, domain)?)),
        RecordData::Txt(text) => {
            let strings = text.as_bytes().chunks(dns_record::TEXT_STRING_BYTES_MAX).collect();
            RData::TXT(TXT::from_bytes(strings))
        }
        RecordData::Srv { priority, weight, port, target } => {
            RData::SRV(SRV::new(priority, weight, port, name(&target, domain)?))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, name: &str, kind: &str, value: &str) -> NetworkRecord {
        let id = format!("dnr-{id}").parse().unwrap();
        NetworkRecord { id, name: name.into(), kind: kind.into(), value: value.into(), ttl_seconds: None }
    }

    #[test]
    fn what_is_not_understood_is_left_out_and_the_rest_is_served() {
        let records = [
            record("a", "www", "A", "10.0.0.9"),
            record("b", "new", "AAAA", "::1"),
            record("c", "bad name", "A", "10.0.0.9"),
            record("d", "_sip._tcp.voice", "SRV", "1 2 3 web1"),
            record("e", "txt", "TXT", &"x".repeat(600)),
        ];
        let records = Records::new(records, "demo.example");
        assert_eq!((records.of("www").len(), records.of("new").len(), records.count()), (1, 0, 5));
        assert!(records.is_between("voice") && records.is_between("_tcp.voice") && !records.is_between("www"));
        assert!(matches!(&records.of("txt")[0].data, RData::TXT(text) if text.txt_data.len() == 3));
        let next = records.with(&["dnr-a".parse().unwrap()], &[record("f", "x", "CNAME", "www")], "demo.example");
        assert!(!next.has_name("www") && next.has_name("x"));
    }
}
