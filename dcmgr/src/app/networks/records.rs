//! DNS records of a network: added and removed by its tenant, served by its naming services at the next version.
//!
//! Rule: what is kept can be served: under the network's lock a name has either one CNAME or other records, none that a
//! machine has already, and aliases end. A machine that comes later with such a name wins where it is served.

use super::super::advance::{Cause, snapshot};
use super::super::{App, AppError, Caller, once};
use super::lock_own;
use crate::db::{self, Tx};
use arame_schema::api::dns_record::DNS_RECORDS_MAX;
use arame_schema::api::{Code, CreateDnsRecord, DnsRecord, ListFilter, Page, Refusal};
use arame_schema::limits::DNS_CHAIN_MAX;
use arame_schema::model::DnsRecordId;
use arame_schema::model::dns_record::{self, NetworkRecord, RecordData, RecordKind};

/// The label before a machine's of the name of its external address.
const EXTERNAL: &str = "ext";

/// Of a record's TTL in seconds: what resolvers keep less than a few seconds they ask for again and again; what they keep
/// longer than a day cannot be taken back.
pub const TTL_RANGE: std::ops::RangeInclusive<u64> = 5..=86_400;

pub async fn list(app: &App, caller: &Caller, id: &str, filter: ListFilter) -> Result<Page<DnsRecord>, Refusal> {
    super::get(app, caller, id).await?;
    let found = db::dns_records::list(app.db(), id).await.map_err(AppError::from)?;
    super::super::page(found, &filter)
}

pub async fn get(app: &App, caller: &Caller, id: &str, record: &str) -> Result<DnsRecord, Refusal> {
    super::get(app, caller, id).await?;
    let found = db::dns_records::get(app.db(), id, record).await.map_err(AppError::from)?;
    found.ok_or_else(|| Refusal::unknown(record))
}

fn invalid(name: &str, value: &str, expected: &str) -> Refusal {
    let value: String = value.chars().take(80).collect();
    Refusal::new(Code::InvalidParameter).with("name", name).with("value", value).with("expected", expected)
}

/// A request in its checked form.
fn checked(request: &CreateDnsRecord, id: DnsRecordId) -> Result<NetworkRecord, Refusal> {
    let kind =
        RecordKind::parse(&request.kind).ok_or_else(|| invalid("type", &request.kind, "A | CNAME | TXT | SRV"))?;
    let name =
        dns_record::record_name(&request.name).ok_or_else(|| invalid("name", &request.name, "www | _sip._tcp | @"))?;
    if kind == RecordKind::Cname && name == dns_record::APEX {
        // The zone has its SOA and NS: RFC 1034 3.6.2 forbids a CNAME beside them.
        return Err(invalid("name", &request.name, "www"));
    }
    let data = RecordData::parse(kind, &request.value).ok_or_else(|| invalid("value", &request.value, kind.form()))?;
    Ok(NetworkRecord { id, name, kind: kind.to_string(), value: data.value(), ttl_seconds: request.ttl })
}

pub async fn add(app: &App, caller: &Caller, id: &str, request: CreateDnsRecord) -> Result<DnsRecord, Refusal> {
    let new = checked(&request, DnsRecordId::from_entropy(once::entropy()))?;
    let made = crate::change!(app, "add record", Some(caller.request), |tx, ringing| {
        let row = lock_own(tx, caller, id).await?;
        if let Some(made) = once::made(tx, caller, DnsRecordId::PREFIX).await? {
            return Ok(made);
        }
        let others = db::dns_records::of_network(tx, id).await?;
        let is_machine = db::dns_records::is_machine(tx, id, &new.name).await?;
        refuse_conflict(&new, &others, is_machine)?;
        refuse_external(tx, id, &new).await?;
        refuse_loop(&new, &others, &row.domain)?;
        if others.len() >= DNS_RECORDS_MAX {
            let refusal = Refusal::new(Code::TooMany).with("id", id).with("what", "records");
            return Err(refusal.with("limit", DNS_RECORDS_MAX).into());
        }
        let version = db::networks::bump(tx, id).await?;
        db::dns_records::insert(tx, id, &new, version).await?;
        once::keep(tx, caller, "network.record.add", new.id.as_str()).await?;
        snapshot::network_version(tx, ringing, id, version, Cause::request(caller.request)).await?;
        Ok(new.id.to_string())
    })?;
    get(app, caller, id, &made).await
}

/// A name has one CNAME, or other records, none of them twice; where a machine has the name, no address and no CNAME.
fn refuse_conflict(new: &NetworkRecord, others: &[NetworkRecord], is_machine: bool) -> Result<(), Refusal> {
    let conflict = |other: &str| {
        let refusal = Refusal::new(Code::RecordConflict).with("name", &new.name);
        Err(refusal.with("kind", &new.kind).with("other", other))
    };
    let of_name = || others.iter().filter(|other| other.name == new.name);
    let is_cname = |kind: &str| kind == RecordKind::Cname.as_str();
    if is_machine && (is_cname(&new.kind) || new.kind == RecordKind::A.as_str()) {
        return conflict("A");
    }
    if let Some(same) = of_name().find(|other| other.kind == new.kind && other.value == new.value) {
        return Err(Refusal::new(Code::AlreadyExists).with("id", &same.id));
    }
    match of_name().find(|other| is_cname(&other.kind) || is_cname(&new.kind)) {
        Some(other) => conflict(&other.kind),
        None => Ok(()),
    }
}

/// Whether a record would be answered by an external address's name instead, where there is one.
fn is_hidden(kind: &str) -> bool {
    kind == RecordKind::A.as_str() || kind == RecordKind::Cname.as_str()
}

async fn refuse_external(tx: &mut Tx, network: &str, new: &NetworkRecord) -> Result<(), AppError> {
    let host = new.name.strip_prefix(EXTERNAL).and_then(|rest| rest.strip_prefix('.'));
    let Some(host) = host.filter(|host| !host.contains('.') && is_hidden(&new.kind)) else { return Ok(()) };
    match db::dns_records::external_address(tx, network, host).await? {
        Some(address) => Err(named_by(&new.name, address.to_string()).into()),
        None => Ok(()),
    }
}

fn named_by(name: &str, address: String) -> Refusal {
    Refusal::new(Code::NameOfExternalAddress).with("name", name).with("address", address)
}

/// Refuses an external address for an interface whose machine's outer name is a record's already. The network is locked.
pub(super) async fn refuse_record_of(tx: &mut Tx, network: &str, vif: &str, address: &str) -> Result<(), AppError> {
    let Some(host) = db::dns_records::machine_of(tx, vif).await? else { return Ok(()) };
    let name = format!("{EXTERNAL}.{host}");
    let records = db::dns_records::of_network(tx, network).await?;
    match records.iter().any(|record| record.name == name && is_hidden(&record.kind)) {
        true => Err(named_by(&name, address.to_owned()).into()),
        false => Ok(()),
    }
}

/// Follows a new CNAME and those it leads to, as a naming service would.
fn refuse_loop(new: &NetworkRecord, others: &[NetworkRecord], domain: &str) -> Result<(), Refusal> {
    let mut chain = vec![new.name.clone()];
    let mut at = new;
    loop {
        let Some(RecordData::Cname(target)) = at.data() else { return Ok(()) };
        let whole = dns_record::whole(&target, domain);
        let Some(name) = dns_record::within(&whole, domain).map(str::to_owned) else { return Ok(()) };
        let is_known = chain.contains(&name);
        chain.push(name.clone());
        if is_known || chain.len() > DNS_CHAIN_MAX {
            return Err(Refusal::new(Code::RecordLoop).with("name", &new.name).with("chain", chain.join(" → ")));
        }
        let is_next = |other: &&NetworkRecord| other.name == name && other.kind == RecordKind::Cname.as_str();
        let Some(next) = others.iter().find(is_next) else { return Ok(()) };
        at = next;
    }
}

pub async fn remove(app: &App, caller: &Caller, id: &str, record: &str) -> Result<(), Refusal> {
    crate::change!(app, "remove record", Some(caller.request), |tx, ringing| {
        lock_own(tx, caller, id).await?;
        let version = db::networks::bump(tx, id).await?;
        if !db::dns_records::remove(tx, id, record, version).await? {
            return Err(Refusal::unknown(record).into());
        }
        db::events::audit(tx, &caller.who(), "network.record.remove", record).await?;
        snapshot::network_version(tx, ringing, id, version, Cause::request(caller.request)).await
    })
    .map_err(Refusal::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, kind: &str, value: &str) -> NetworkRecord {
        let request = CreateDnsRecord { name: name.into(), kind: kind.into(), value: value.into(), ttl: None };
        checked(&request, DnsRecordId::from_entropy([1; 8])).unwrap()
    }

    #[test]
    fn a_cname_stands_alone_and_the_names_of_machines_win() {
        let www = record("www", "CNAME", "web1");
        assert!(refuse_conflict(&www, &[record("ftp", "A", "10.0.0.9")], false).is_ok(), "the control");
        for (new, other) in [("A", "10.0.0.9"), ("TXT", "x"), ("SRV", "1 1 1 a"), ("CNAME", "b")] {
            let refusal = refuse_conflict(&record("www", new, other), std::slice::from_ref(&www), false).unwrap_err();
            assert_eq!(refusal.code, Code::RecordConflict, "{new}");
        }
        let two = [record("www", "A", "10.0.0.9")];
        assert!(refuse_conflict(&record("www", "A", "10.0.0.8"), &two, false).is_ok());
        assert_eq!(refuse_conflict(&two[0], &two, false).unwrap_err().code, Code::AlreadyExists);
        assert_eq!(refuse_conflict(&www, &[], true).unwrap_err().code, Code::RecordConflict);
        assert_eq!(refuse_conflict(&two[0], &[], true).unwrap_err().code, Code::RecordConflict);
        assert!(refuse_conflict(&record("web1", "TXT", "x"), &[], true).is_ok(), "beside a machine's address");
    }

    #[test]
    fn aliases_that_do_not_end_are_refused_and_say_their_way() {
        let chain: Vec<_> = (1..20).map(|n| record(&format!("c{n}"), "CNAME", &format!("c{}", n + 1))).collect();
        let domain = "demo.example";
        assert!(refuse_loop(&record("x", "CNAME", "c15"), &chain, domain).is_ok(), "the control");
        assert_eq!(refuse_loop(&record("x", "CNAME", "c2"), &chain, domain).unwrap_err().code, Code::RecordLoop);
        let refusal = refuse_loop(&record("c20", "CNAME", "c19.Demo.example."), &chain, domain).unwrap_err();
        assert_eq!(refusal.values["chain"], "c20 → c19 → c20");
        assert_eq!(refuse_loop(&record("a", "CNAME", "a"), &[], domain).unwrap_err().values["chain"], "a → a");
        assert!(refuse_loop(&record("a", "CNAME", "a.example.org"), &chain, domain).is_ok());
    }
}
