//! Why a machine is answered by DHCP and DNS, or is not: every naming service of its network is asked, side by side, and each one's word
//! stands by itself.

use super::super::{App, AppError, Caller};
use crate::db;
use arame_schema::api::{
    Code, DhcpExchange, DhcpOption, DnsQuestion, NetworkVif, NetworkWhy, Refusal, Timestamp, WhyOfService,
};
use arame_schema::jobs::nsa::why::{WHY, WhyAnswer, WhyExchange, WhyOption, WhyQuery, WhyQuestion};
use arame_schema::model::{AgentId, MacAddress, NetworkId};
use futures_util::future::join_all;
use std::collections::BTreeMap;

/// What is asked about.
#[derive(Debug, Clone)]
pub enum About {
    Mac(MacAddress),
    /// A machine's, or any other of the network's zone.
    Name(String),
}

pub async fn why(app: &App, caller: &Caller, id: &NetworkId, about: About) -> Result<NetworkWhy, Refusal> {
    let network = super::get(app, caller, id.as_str()).await?;
    let vifs = db::networks::views::vifs(app.db(), caller.scope(), None).await.map_err(AppError::from)?;
    let is_meant = |vif: &&NetworkVif| match &about {
        About::Mac(mac) => vif.mac_addr == mac.to_string(),
        About::Name(name) => {
            let short = network.domain_name.as_deref().and_then(|domain| {
                name.trim_end_matches('.').strip_suffix(domain).and_then(|rest| rest.strip_suffix('.'))
            });
            let wanted = short.unwrap_or(name);
            let is_here = vif.network_id.as_deref() == Some(id.as_str());
            is_here && vif.hostname.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(wanted))
        }
    };
    let found = vifs.iter().find(is_meant);
    let here = found.filter(|vif| vif.network_id.as_deref() == Some(id.as_str()));
    let elsewhere = found.filter(|_| here.is_none()).and_then(|vif| vif.network_id.clone());
    let version = db::networks::views::version(app.db(), id.as_str()).await.map_err(AppError::from)?;
    let mut naming_services = services(app, id, &about).await?;
    if let Some(elsewhere) = elsewhere {
        // The machine stands in another network of the same account: no naming service can know that.
        for service in naming_services.iter_mut().filter(|service| service.code == "unknown_mac") {
            "other_network".clone_into(&mut service.code);
            service.values.insert("network".into(), elsewhere.clone());
        }
    }
    Ok(NetworkWhy {
        network_id: id.to_string(),
        version,
        mac_addr: match &about {
            About::Mac(mac) => Some(mac.to_string()),
            About::Name(_) => here.map(|vif| vif.mac_addr.clone()),
        },
        hostname: here.and_then(|vif| vif.hostname.clone()),
        ipv4_address: here.and_then(|vif| vif.ipv4_address.clone()),
        instance_id: here.and_then(|vif| vif.instance_id.clone()),
        naming_services,
    })
}

async fn services(app: &App, id: &NetworkId, about: &About) -> Result<Vec<WhyOfService>, Refusal> {
    let question = match about {
        About::Mac(mac) => WhyQuestion { network: id.clone(), mac: Some(*mac), name: None },
        About::Name(name) => WhyQuestion { network: id.clone(), mac: None, name: Some(name.clone()) },
    };
    let arguments = serde_json::to_value(&question).map_err(|_| Refusal::new(Code::Internal))?;
    let agents = db::networks::naming::agents_at(app.db(), id.as_str()).await.map_err(AppError::from)?;
    let agents = agents.into_iter().filter_map(|agent| agent.parse().ok());
    let asked = agents.map(|agent: AgentId| {
        let arguments = arguments.clone();
        async move {
            let answer = app.questions().ask(agent.clone(), WHY, arguments).await;
            told(agent.to_string(), answer)
        }
    });
    Ok(join_all(asked).await)
}

/// One naming service's word, or that it said none.
fn told(agent: String, answer: Result<serde_json::Value, String>) -> WhyOfService {
    let silent = |code: &str, message: String| WhyOfService {
        agent: agent.clone(),
        version: None,
        confirmed: false,
        age_seconds: None,
        code: code.to_owned(),
        sentence: String::new(),
        values: BTreeMap::from([("message".to_owned(), message)]),
        records: Vec::new(),
        exchanges: Vec::new(),
        strangers: Vec::new(),
        queries: Vec::new(),
    };
    let value = match answer {
        Ok(value) => value,
        Err(message) if message.ends_with("is not served here") => return silent("not_served", message),
        Err(message) => return silent("no_answer", message),
    };
    let answer: WhyAnswer = match serde_json::from_value(value) {
        Ok(answer) => answer,
        Err(error) => return silent("no_answer", error.to_string()),
    };
    WhyOfService {
        agent,
        version: Some(answer.version),
        confirmed: answer.confirmed,
        age_seconds: answer.age_seconds,
        code: answer.verdict.code,
        sentence: String::new(),
        values: answer.verdict.values,
        records: answer.records,
        exchanges: answer.exchanges.into_iter().map(exchange).collect(),
        strangers: answer.strangers.iter().map(ToString::to_string).collect(),
        queries: answer.queries.into_iter().map(question).collect(),
    }
}

fn moment(text: &str) -> Option<Timestamp> {
    time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok().map(Timestamp::from)
}

fn question(WhyQuery { at, from, name, kind, answer }: WhyQuery) -> DnsQuestion {
    DnsQuestion { at: moment(&at), from, name, kind, answer }
}

fn exchange(one: WhyExchange) -> DhcpExchange {
    let options = |all: Vec<WhyOption>| {
        let view = |WhyOption { code, name, value }| DhcpOption { code, name, value };
        all.into_iter().map(view).collect()
    };
    let (code, values) = one.reason.map(|reason| (reason.code, reason.values)).unzip();
    DhcpExchange {
        at: moment(&one.at),
        message: one.message,
        asked: one.asked.map(|address| address.to_string()),
        answer: one.answer,
        given: one.given.map(|address| address.to_string()),
        code,
        sentence: None,
        values: values.unwrap_or_default(),
        asked_options: options(one.asked_options),
        answered_options: options(one.answered_options),
    }
}
