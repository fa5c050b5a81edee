//! The inventory: everything of ours on this host, per backend complete or not.
//!
//! Rule: a backend that could not be read says so and lists nothing; no fact of absence is made up for it. A domain
//! without our mark is not listed; another installation's is listed with its own and never touched.

use super::{Found, facts_of};
use crate::Hva;
use crate::driver::{DriverError, SeenDomain, Survey};
use crate::records::Record;
use arame_framework::agent::Listing;
use arame_schema::jobs::report::{Backend, BackendStatus, FactReport, InventoryThing};
use arame_schema::model::{Fact, FactName, InstanceId, Observation};
use serde_json::json;
use std::collections::BTreeMap;
use uuid::Uuid;

pub async fn list(hva: &Hva, began: Observation) -> Listing {
    let (survey, ports, records) = tokio::join!(hva.compute.survey(), hva.switch.survey(), hva.store.list());
    let mut listing = Listing::default();
    let survey = kept(&mut listing, "libvirt", survey);
    let records = kept(&mut listing, "files", records);
    let ports = kept(&mut listing, "switch", ports);
    let switch_seen = ports.is_some();
    guests(&mut listing, survey.as_ref(), records.unwrap_or_default(), began);
    for port in ports.into_iter().flatten() {
        let detail = json!({ "vif": port.vif, "number": port.number });
        let (owner, mark) = (port.instance, (port.installation, port.generation));
        let mut thing = thing("port", &port.name, "switch", &owner, mark, false);
        thing.detail = Some(detail);
        listing.things.push(thing);
    }
    for secret in survey.into_iter().flat_map(|survey| survey.secrets) {
        let mark = (secret.installation, 0);
        let mut thing = thing("secret", secret.attachment.as_str(), "libvirt", &secret.instance, mark, false);
        thing.detail = Some(json!({ "attachment": secret.attachment }));
        listing.things.push(thing);
    }
    if switch_seen {
        listing.things.extend(policy(hva, began));
    }
    let captures = kept(&mut listing, "captures", hva.captures.list().await);
    listing.things.extend(captures.into_iter().flatten().map(|found| InventoryThing {
        kind: "capture".to_owned(),
        name: found.image.to_string(),
        backend: "captures".to_owned(),
        owner: Some(found.image.to_string()),
        generation: found.generation,
        installation: Some(found.installation),
        holds_data: true,
        facts: vec![super::capture::fact(hva, &found, began)],
        detail: Some(json!({ "instance": found.instance, "size_bytes": found.size_bytes })),
    }));
    listing
}

fn kept<T>(listing: &mut Listing, name: &str, result: Result<T, DriverError>) -> Option<T> {
    let (status, value) = match result {
        Ok(value) => (BackendStatus::Complete, Some(value)),
        Err(error) => (BackendStatus::Unavailable { reason: error.to_string() }, None),
    };
    listing.backends.push(Backend { name: name.to_owned(), status });
    value
}

fn thing(
    kind: &str,
    name: &str,
    backend: &str,
    owner: &InstanceId,
    (installation, generation): (Uuid, u64),
    holds_data: bool,
) -> InventoryThing {
    InventoryThing {
        kind: kind.to_owned(),
        name: name.to_owned(),
        backend: backend.to_owned(),
        owner: Some(owner.to_string()),
        generation,
        installation: Some(installation),
        holds_data,
        facts: Vec::new(),
        detail: None,
    }
}

/// Domains and overlays; the facts of an instance go with its domain, of an orphaned overlay with that.
fn guests(listing: &mut Listing, survey: Option<&Survey>, records: Vec<Record>, began: Observation) {
    let mut records: BTreeMap<InstanceId, Record> =
        records.into_iter().map(|record| (record.instance.clone(), record)).collect();
    let mut overlays: Vec<Record> = records.values().cloned().collect();
    for domain in survey.into_iter().flat_map(|survey| &survey.domains) {
        listing.things.push(domain_thing(domain, records.remove(&domain.mark.instance), began));
    }
    for record in overlays.drain(..) {
        let mark = (record.installation, record.generation);
        let mut overlay = thing("overlay", record.instance.as_str(), "files", &record.instance, mark, true);
        // Whoever finds no row for it keeps its addresses reserved.
        let (orphan, nics) = (records.contains_key(&record.instance), json!(record.nics));
        if orphan {
            overlay.facts = orphan_facts(record, survey.is_some(), began);
        }
        overlay.detail = Some(json!({ "orphan": orphan && survey.is_some(), "nics": nics }));
        listing.things.push(overlay);
    }
}

fn domain_thing(domain: &SeenDomain, record: Option<Record>, began: Observation) -> InventoryThing {
    let mark = &domain.mark;
    let owner = mark.instance.clone();
    let found = Found { domain: Some(domain.clone()), record, grave: None };
    let mut thing = thing("domain", owner.as_str(), "libvirt", &owner, (mark.installation, found.generation()), false);
    thing.facts = facts_of(&found, &owner, began);
    thing
}

/// A record without a domain: a part exists. Whether a guest runs is known only if the hypervisor could be asked.
fn orphan_facts(record: Record, hypervisor_seen: bool, began: Observation) -> Vec<FactReport> {
    let owner = record.instance.clone();
    let found = Found { domain: None, record: Some(record), grave: None };
    let mut facts = facts_of(&found, &owner, began);
    facts.retain(|fact| hypervisor_seen || (fact.name == FactName::Domain && fact.value == Fact::Yes));
    facts
}

/// The firewall, when the host was ever told one.
fn policy(hva: &Hva, began: Observation) -> Option<InventoryThing> {
    let version = hva.policy.load().version;
    let host = hva.config.host.to_string();
    let applied = FactReport {
        thing: host.clone(),
        name: FactName::Applied,
        value: Fact::Yes,
        generation: version,
        observed: began,
        detail: None,
    };
    (version > 0).then(|| InventoryThing {
        kind: "policy".to_owned(),
        name: "policy".to_owned(),
        backend: "switch".to_owned(),
        owner: Some(host),
        generation: version,
        installation: None,
        holds_data: false,
        facts: vec![applied],
        detail: None,
    })
}
