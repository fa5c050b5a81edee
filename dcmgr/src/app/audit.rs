//! The audit: what exists beside what should, read from the newest inventories and the rows. Empty on a healthy
//! system (DESIGN 3.9).

use super::{App, AppError, Caller};
use crate::db;
use crate::db::agents::{AgentRow, InventoryRow};
use arame_schema::api::{Finding, FindingKind, FindingRule, Refusal, Timestamp};
use arame_schema::jobs::report::{ADDRESS_IN_USE, BackendStatus, InventoryThing};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long `--fresh` waits for inventories begun after the question.
const FRESH_WAIT: Duration = Duration::from_secs(10);

/// Longest between the begin of a listing and its arrival.
const LISTING_TAKES: time::Duration = time::Duration::seconds(5);

/// Every finding, or none.
pub async fn findings(app: &App, _caller: &Caller, fresh: bool) -> Result<Vec<Finding>, Refusal> {
    let asked = if fresh { Some(ask_all(app).await?) } else { None };
    let agents = db::agents::all(app.db()).await.map_err(AppError::from)?;
    let inventories = db::agents::inventories(app.db()).await.map_err(AppError::from)?;
    let rows = db::audit::things(app.db()).await.map_err(AppError::from)?;
    let by_agent: BTreeMap<&str, &InventoryRow> =
        inventories.iter().map(|row| (row.inventory.agent.as_str(), row)).collect();
    // An operator said of these that they are silent.
    let lost = db::losses::agents_of(app.db()).await.map_err(AppError::from)?;
    let is_told = |agent: &AgentRow| !agent.online && lost.contains(&agent.id);
    let mut findings = Vec::new();
    for agent in agents.iter().filter(|agent| agent.incarnation > 0 && !is_told(agent)) {
        let inventory = by_agent.get(agent.id.as_str()).copied();
        findings.extend(of_agent(agent, inventory));
        if let Some(row) = inventory {
            findings
                .extend(row.inventory.things.iter().filter_map(|thing| of_thing(app, agent, row, thing, &rows, asked)));
        }
    }
    findings.extend(db::audit::unsettled(app.db()).await.map_err(AppError::from)?);
    findings.extend(db::audit::dead(app.db()).await.map_err(AppError::from)?);
    findings.extend(super::recovery::finding(app).await?);
    findings.sort_by(|a, b| a.id.cmp(&b.id));
    findings.dedup_by(|a, b| a.id == b.id);
    Ok(findings)
}

/// A question and its moment, by the database's clock: what answers it was begun later.
#[derive(Debug, Clone, Copy)]
struct Asked {
    question: uuid::Uuid,
    at: Timestamp,
}

/// Asks every agent that is heard for an inventory and waits for those begun after the question.
async fn ask_all(app: &App) -> Result<Asked, Refusal> {
    let at = db::audit::now(app.db()).await.map_err(AppError::from)?;
    let agents = db::agents::all(app.db()).await.map_err(AppError::from)?;
    let asked: BTreeSet<String> = agents.iter().filter(|agent| agent.online).map(|agent| agent.id.clone()).collect();
    let question = crate::rehearsal::uuid_v7();
    app.questions().want_inventories(question, &asked);
    let deadline = tokio::time::Instant::now() + FRESH_WAIT;
    while tokio::time::Instant::now() < deadline {
        let rows = db::agents::inventories(app.db()).await.map_err(AppError::from)?;
        let answered =
            rows.iter().filter(|row| row.inventory.asked == Some(question)).map(|r| r.inventory.agent.as_str());
        if answered.collect::<BTreeSet<_>>().len() >= asked.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(Asked { question, at })
}

struct About<'a> {
    kind: FindingKind,
    rule: FindingRule,
    thing: &'a str,
    agent: &'a AgentRow,
    owner: Option<String>,
    since: Timestamp,
    detail: serde_json::Value,
}

fn finding(about: About<'_>) -> Finding {
    Finding {
        id: format!("{}/{}/{}", about.kind.as_str(), about.agent.id, about.thing),
        kind: about.kind,
        thing: about.thing.to_owned(),
        agent: Some(about.agent.id.clone()),
        owner: about.owner,
        since: about.since,
        rule: about.rule,
        sentence: String::new(),
        next_step: String::new(),
        detail: about.detail,
    }
}

fn of_agent(agent: &AgentRow, inventory: Option<&InventoryRow>) -> Vec<Finding> {
    let heard = agent.heard_at.unwrap_or(Timestamp(time::OffsetDateTime::UNIX_EPOCH));
    let about = |kind, since, detail| {
        finding(About { kind, rule: FindingRule::Waiting, thing: &agent.id, agent, owner: None, since, detail })
    };
    let mut found: Vec<Finding> = agent.refused.iter().map(|refused| another_machine(agent, refused)).collect();
    if !agent.online {
        found.push(about(FindingKind::AgentSilent, heard, serde_json::Value::Null));
        return found;
    }
    let Some(row) = inventory else {
        let detail = serde_json::json!({ "reason": "no inventory yet" });
        found.push(about(FindingKind::ListingIncomplete, heard, detail));
        return found;
    };
    if !row.fresh {
        let detail = serde_json::json!({ "reason": "its inventory is old" });
        found.push(about(FindingKind::ListingIncomplete, row.received_at, detail));
    }
    for backend in &row.inventory.backends {
        if let BackendStatus::Unavailable { reason } = &backend.status {
            let detail = serde_json::json!({ "backend": backend.name, "reason": reason });
            found.push(about(FindingKind::ListingIncomplete, row.received_at, detail));
        }
    }
    found
}

fn another_machine(agent: &AgentRow, (since, machine): &(Timestamp, String)) -> Finding {
    finding(About {
        kind: FindingKind::AnotherMachine,
        rule: FindingRule::MachineOrNewHost,
        thing: &agent.id,
        agent,
        owner: None,
        since: *since,
        detail: serde_json::json!({ "machine": machine, "joined": agent.machine_id }),
    })
}

/// A thing of ours that no row explains. What another installation marked is not even listed.
fn of_thing(
    app: &App,
    agent: &AgentRow,
    row: &InventoryRow,
    thing: &InventoryThing,
    rows: &db::audit::Things,
    asked: Option<Asked>,
) -> Option<Finding> {
    if thing.installation.is_some_and(|i| i != app.installation()) {
        return None;
    }
    if thing.kind == ADDRESS_IN_USE {
        return in_use(agent, row, thing, rows);
    }
    let detail = serde_json::json!({ "kind": thing.kind, "backend": thing.backend, "holds_data": thing.holds_data });
    let about = |kind, rule| {
        let owner = thing.owner.clone();
        finding(About { kind, rule, thing: &thing.name, agent, owner, since: row.received_at, detail })
    };
    let Some(owner) = &thing.owner else {
        let rule = if thing.installation.is_some() { FindingRule::OperatorDecides } else { FindingRule::NeverTouched };
        return Some(about(FindingKind::Unknown, rule));
    };
    if rows.alive.contains(owner) {
        return None;
    }
    if let Some(ended) = rows.ended.get(owner) {
        // A listing begun before the end may still show it: only one that surely began later speaks.
        let listed_later = match asked {
            Some(asked) if row.inventory.asked == Some(asked.question) => asked.at >= *ended,
            _ => row.received_at.0 - LISTING_TAKES > ended.0,
        };
        return listed_later.then(|| about(FindingKind::Mismatch, FindingRule::Removed));
    }
    Some(about(FindingKind::Unknown, FindingRule::OperatorDecides))
}

/// Somebody else has an address of ours. Of a network that is gone nobody's address is told.
fn in_use(agent: &AgentRow, row: &InventoryRow, thing: &InventoryThing, rows: &db::audit::Things) -> Option<Finding> {
    let owner = thing.owner.clone().filter(|owner| rows.alive.contains(owner))?;
    Some(finding(About {
        kind: FindingKind::AddressInUse,
        rule: FindingRule::FindTheOther,
        thing: &thing.name,
        agent,
        owner: Some(owner),
        since: row.received_at,
        detail: thing.detail.clone().unwrap_or_default(),
    }))
}
