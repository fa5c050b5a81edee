//! `arame network why`: what each naming service heard of a machine and answered it, or why it is silent.

use crate::commands::record::escaped;
use crate::failure::CliError;
use crate::names;
use crate::session::Session;
use crate::table::fields;
use crate::words::{Message, word};
use arame_schema::api::{DhcpExchange, DhcpOption, Language, Network, NetworkVif, NetworkWhy, WhyOfService};
use clap::Args;
use std::fmt::Write;

#[derive(Debug, Args)]
pub struct Why {
    /// A MAC address or a name / MAC アドレスか名前
    #[arg(value_name = "MAC|NAME")]
    pub about: String,
    /// Of this network; else of the one that has it / ネットワーク
    #[arg(long)]
    pub network: Option<String>,
}

pub async fn run(session: &mut Session<'_>, Why { about, network }: Why) -> Result<(), CliError> {
    let id = match network {
        Some(network) => names::id_of::<Network>(&session.client, &network).await?,
        None => network_of(session, &about).await?,
    };
    let key = if about.parse::<arame_schema::model::MacAddress>().is_ok() { "mac" } else { "name" };
    let path = format!("/networks/{}/why?{key}={}", escaped(&id), escaped(&about));
    let view: NetworkWhy = session.client.get(&path).await?;
    session.print(&view, |language| told(language, &view))
}

/// The network in which it is; where none has it the account's first, whose naming services say so.
async fn network_of(session: &Session<'_>, about: &str) -> Result<String, CliError> {
    let vifs: Vec<NetworkVif> = session.client.list("/network_vifs").await?;
    let is_it = |vif: &&NetworkVif| {
        vif.mac_addr.eq_ignore_ascii_case(about) || vif.hostname.as_deref().is_some_and(|own| own == about)
    };
    if let Some(id) = vifs.iter().find(is_it).and_then(|vif| vif.network_id.clone()) {
        return Ok(id);
    }
    let networks: Vec<Network> = session.client.list("/networks").await?;
    let of_zone = |network: &&Network| network.domain_name.as_deref().is_some_and(|zone| about.ends_with(zone));
    let found = networks.iter().find(of_zone).or(networks.last());
    match found {
        Some(network) => Ok(network.id.clone()),
        None => names::id_of::<Network>(&session.client, about).await,
    }
}

fn told(language: Language, view: &NetworkWhy) -> String {
    let mut pairs = vec![(Message::Network, view.network_id.clone()), (Message::Version, view.version.to_string())];
    let known = [
        (Message::Mac, &view.mac_addr),
        (Message::Name, &view.hostname),
        (Message::Address, &view.ipv4_address),
        (Message::Instance, &view.instance_id),
    ];
    pairs.extend(known.into_iter().filter_map(|(heading, value)| Some((heading, value.clone()?))));
    let mut text = fields(language, pairs);
    for service in &view.naming_services {
        of_service(&mut text, language, service);
    }
    text
}

fn of_service(text: &mut String, language: Language, service: &WhyOfService) {
    let version = service.version.map_or_else(|| "-".to_owned(), |version| version.to_string());
    let kept = if service.confirmed || service.version.is_none() { "" } else { word(language, Message::KeptOnly) };
    let age =
        service.age_seconds.map_or_else(String::new, |age| format!("  {}: {age}", word(language, Message::AgeSeconds)));
    let _ = writeln!(text, "\n{}  {} {version}  {kept}{age}", service.agent, word(language, Message::Version));
    let _ = writeln!(text, "  {}", service.sentence);
    for record in &service.records {
        let _ = writeln!(text, "  {record}");
    }
    for exchange in &service.exchanges {
        of_exchange(text, language, exchange);
    }
    for question in &service.queries {
        let at = question.at.map(|at| at.to_string()).unwrap_or_default();
        let _ = writeln!(text, "  {at}  {} {} {} → {}", question.from, question.kind, question.name, question.answer);
    }
    if !service.strangers.is_empty() {
        let _ = writeln!(text, "  {}: {}", word(language, Message::Strangers), service.strangers.join(" "));
    }
}

fn of_exchange(text: &mut String, language: Language, one: &DhcpExchange) {
    let at = one.at.map(|at| at.to_string()).unwrap_or_default();
    let asked = one.asked.as_deref().unwrap_or_default();
    let answer = one.answer.as_deref().unwrap_or(word(language, Message::Silence));
    let given = one.given.as_deref().unwrap_or_default();
    let _ = writeln!(text, "  {at}  {} {asked} → {answer} {given}", one.message);
    if let Some(sentence) = &one.sentence {
        let _ = writeln!(text, "      {sentence}");
    }
    for (mark, options) in [("?", &one.asked_options), ("=", &one.answered_options)] {
        for DhcpOption { code, name, value } in options {
            let _ = writeln!(text, "    {mark} {code:>3} {name}  {value}");
        }
    }
}
