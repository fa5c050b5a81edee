//! The networks' numbers for `/metrics`: DHCP messages by type, DNS answers by kind, versions, links.
//!
//! Rule: what was never counted is not shown: a thousand quiet networks are a few lines each.

use crate::agent::Inner;
use crate::network::{LinkStatus, Network};
use arame_framework::metrics::Sample;
use std::time::Instant;

pub(crate) fn samples(inner: &Inner) -> Vec<Sample> {
    let networks = inner.networks();
    let mut samples = vec![
        Sample::gauge("arame_nsa_networks", "Networks served.", networks.len() as f64),
        Sample::gauge(
            "arame_nsa_switch_silent",
            "Whether the switch cannot be asked.",
            f64::from(inner.switch_trouble.load().is_some()),
        ),
    ];
    // What was never known has no age.
    if inner.truth.is_known() {
        let age = inner.truth.age(false).map_or(0.0, |age| age.as_secs() as f64);
        let help = "How long ago a newer version could last have been heard of; 0 while it can be.";
        samples.push(Sample::gauge("arame_nsa_truth_age_seconds", help, age));
    }
    networks.iter().for_each(|network| of_network(network, &mut samples));
    samples
}

fn of_network(network: &Network, samples: &mut Vec<Sample>) {
    let served = network.served();
    let mut gauge = |name, help, value: f64| samples.push(Sample::gauge(name, help, value).of("network", &network.id));
    gauge("arame_nsa_network_version", "The version served.", served.version as f64);
    gauge("arame_nsa_network_hosts", "Hosts that have an address there.", served.host_count() as f64);
    gauge("arame_nsa_network_up", "Whether its link is up.", f64::from(*network.status() == LinkStatus::Up));
    let confirmed = f64::from(network.is_confirmed());
    gauge("arame_nsa_network_confirmed", "Whether the manager has confirmed its version in this process.", confirmed);
    let in_use = network.complaints.standing(Instant::now()).len();
    gauge("arame_nsa_network_addresses_in_use", "Addresses that clients found in use by others.", in_use as f64);
    let help = "DHCP messages heard and sent, by type; silences by cause.";
    for (word, value) in network.dhcp_counters.all().into_iter().filter(|(_, value)| *value > 0) {
        let sample = Sample::counter("arame_nsa_dhcp_messages_total", help, value);
        samples.push(sample.of("network", &network.id).of("type", word));
    }
    let help = "DNS questions, by what became of them.";
    for (word, value) in network.dns_counters.all().into_iter().filter(|(_, value)| *value > 0) {
        let sample = Sample::counter("arame_nsa_dns_questions_total", help, value);
        samples.push(sample.of("network", &network.id).of("answer", word));
    }
}
