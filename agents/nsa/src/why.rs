//! `nsa.why`: what a machine asked, what it was answered, and what it would be answered now, in a sentence.

use crate::agent::Inner;
use crate::network::{LinkStatus, Network};
use arame_schema::jobs::nsa::NetworkHost;
use arame_schema::model::{MacAddress, NetworkId};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, Deserialize)]
struct Question {
    network: NetworkId,
    #[serde(default)]
    mac: Option<MacAddress>,
    /// A hostname of the network, instead of a MAC.
    #[serde(default)]
    name: Option<String>,
}

pub(crate) fn why(inner: &Inner, arguments: &Value) -> Result<Value, String> {
    let question: Question = serde_json::from_value(arguments.clone()).map_err(|e| format!("nsa.why: {e}"))?;
    let id = &question.network;
    let network = inner.network(id).ok_or_else(|| format!("{id} is not served here"))?;
    let served = network.served();
    let by_name = |name: &str| served.snapshot.hosts.iter().find(|host| host.hostname.eq_ignore_ascii_case(name));
    let mac = match (question.mac, &question.name) {
        (Some(mac), _) => mac,
        (None, Some(name)) => {
            by_name(name).map(|host| host.mac).ok_or_else(|| format!("{id} has no machine named {name}"))?
        }
        (None, None) => return Err("nsa.why needs a mac or a name".to_owned()),
    };
    let host = served.host(mac);
    let exchanges = network.exchanges.of(mac);
    Ok(json!({
        "network": id, "version": served.version, "confirmed": network.is_confirmed(), "link": link(&network),
        "mac": mac, "host": host, "sentence": sentence(&network, host, exchanges.is_empty()),
        "exchanges": exchanges, "strangers": network.exchanges.strangers(),
        "dhcp": network.dhcp_counters.to_json(), "dns": network.dns_counters.to_json(),
    }))
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

fn sentence(network: &Network, host: Option<&NetworkHost>, silent: bool) -> String {
    if *network.status() != LinkStatus::Up {
        return "the network's link is down, so nobody on it is answered".to_owned();
    }
    match host {
        None => "this MAC is not an interface of this network, so it is not answered".to_owned(),
        Some(host) if silent => {
            format!("it would be given {}, but nothing was ever heard from it: look at its port and tag", host.ipv4)
        }
        Some(host) => format!("it is given {} as {}", host.ipv4, host.hostname),
    }
}
