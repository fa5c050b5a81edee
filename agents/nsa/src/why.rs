//! `nsa.why`: what a machine asked, what it was answered option by option, and what it would be answered now.

use crate::agent::Inner;
use crate::dns::zone::{self, Found};
use crate::network::{LinkStatus, Network};
use crate::snapshot::Served;
use arame_schema::jobs::nsa::NetworkHost;
use arame_schema::jobs::nsa::why::{Reason, WhyAnswer, WhyQuery, WhyQuestion};
use arame_schema::model::MacAddress;
use hickory_proto::rr::{Name, Record, RecordType};
use serde_json::{Value, json};

/// Exchanges of one MAC that are told: the last ones.
const TOLD_MAX: usize = 16;

pub(crate) fn why(inner: &Inner, arguments: &Value) -> Result<Value, String> {
    let question: WhyQuestion = serde_json::from_value(arguments.clone()).map_err(|e| format!("nsa.why: {e}"))?;
    let id = &question.network;
    if question.mac.is_none() && question.name.is_none() {
        return Err("nsa.why needs a mac or a name".to_owned());
    }
    let network = inner.network(id).ok_or_else(|| format!("{id} is not served here"))?;
    let served = network.served();
    let named = question.name.as_deref().and_then(|name| served.host_named(name));
    let mac = question.mac.or(named.map(|host| host.mac));
    let host = mac.and_then(|mac| served.host(mac)).cloned();
    let address = host.as_ref().map(|host| host.ipv4);
    let mut exchanges = mac.map(|mac| network.exchanges.of(mac)).unwrap_or_default();
    exchanges.drain(..exchanges.len().saturating_sub(TOLD_MAX));
    let name = question.name.clone().or_else(|| host.as_ref().map(|host| host.hostname.clone()));
    let records = name.as_deref().map(|name| answered(&served, name)).unwrap_or_default();
    let asked = Asked { mac, name: question.name.as_deref(), is_silent: exchanges.is_empty() };
    let answer = WhyAnswer {
        network: id.clone(),
        version: served.version,
        confirmed: network.is_confirmed(),
        age_seconds: inner.truth.age(network.is_confirmed()).map(|age| age.as_secs()),
        mac,
        verdict: verdict(&network, &served, host.as_ref(), &asked, &records),
        host,
        records,
        exchanges: exchanges.iter().map(crate::exchanges::Exchange::told).collect(),
        strangers: network.exchanges.strangers(),
        queries: asked_names(&network, address, question.name.as_deref()),
    };
    serde_json::to_value(answer).map_err(|e| e.to_string())
}

pub(crate) fn counters(inner: &Inner) -> Value {
    let of = |network: &Network| json!({ "dhcp": network.dhcp_counters.to_json(), "dns": network.dns_counters.to_json(), "link": link(network) });
    inner
        .networks()
        .iter()
        .map(|network| (network.id.to_string(), of(network)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn link(network: &Network) -> Value {
    match &*network.status() {
        LinkStatus::Up => json!("up"),
        LinkStatus::NotYet => json!("not made yet"),
        LinkStatus::Down(reason) => json!({ "down": reason }),
    }
}

/// What DNS answers for a name, relative or whole, as zone files write it.
fn answered(served: &Served, name: &str) -> Vec<String> {
    let Ok(name) = Name::from_ascii(name.trim_end_matches('.')) else { return Vec::new() };
    let relative = name.clone().append_domain(&served.origin_name);
    let whole = served.origin_name.zone_of(&name).then_some(name);
    let Some(name) = whole.or(relative.ok()) else { return Vec::new() };
    let mut name = name;
    name.set_fqdn(true);
    let told = |record: &Record| format!("{} {} {} {}", record.name, record.ttl, record.record_type(), record.data);
    let kinds = [RecordType::A, RecordType::TXT, RecordType::SRV];
    let found = kinds.into_iter().flat_map(|kind| match zone::find(served, &name, kind) {
        Found::Records(records) | Found::Alias { chain: records, .. } => records,
        Found::NoData | Found::NoName | Found::Elsewhere | Found::Refused | Found::Endless => Vec::new(),
    });
    let mut records: Vec<String> = Vec::new();
    for record in found.map(|record| told(&record)) {
        // An alias is found by each of the types.
        if !records.contains(&record) {
            records.push(record);
        }
    }
    records
}

/// The last questions of a machine, or for a name, where they are kept.
fn asked_names(network: &Network, address: Option<std::net::Ipv4Addr>, name: Option<&str>) -> Vec<WhyQuery> {
    network.queries.of(address.map(Into::into), name, TOLD_MAX)
}

struct Asked<'a> {
    mac: Option<MacAddress>,
    name: Option<&'a str>,
    is_silent: bool,
}

fn verdict(
    network: &Network,
    served: &Served,
    host: Option<&NetworkHost>,
    asked: &Asked<'_>,
    records: &[String],
) -> Reason {
    match &*network.status() {
        LinkStatus::Up => {}
        LinkStatus::NotYet => return Reason::new("link_down").with("reason", "not made yet"),
        LinkStatus::Down(reason) => return Reason::new("link_down").with("reason", reason),
    }
    match (host, asked.mac, asked.name) {
        (Some(_), _, None) if served.head.no_dhcp => Reason::new("dhcp_off"),
        (Some(host), ..) => {
            let code = if asked.is_silent { "never_heard" } else { "answered" };
            let reason = Reason::new(code).with("mac", host.mac).with("address", host.ipv4);
            reason.with("name", &host.hostname)
        }
        (None, _, Some(name)) if !records.is_empty() => Reason::new("named").with("name", name),
        (None, None, Some(name)) => Reason::new("unknown_name").with("name", name),
        (None, Some(mac), _) => Reason::new("unknown_mac").with("mac", mac),
        (None, None, None) => Reason::new("unknown_mac"),
    }
}
