//! `arame host drain`: a host takes nothing new, and what runs on it is moved away, one machine after the other.
//!
//! Rule: nothing is ever stopped. What cannot be moved is told with its reason, and the command then ends in failure.

mod plan;

use crate::commands::instance::follow_move;
use crate::failure::{CliError, REFUSED};
use crate::names;
use crate::session::Session;
use crate::table::table;
use crate::wait;
use crate::words::{Message, say, word};
use arame_schema::api::{HostNode, Instance};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;

/// What became of one machine.
#[derive(Debug, Serialize)]
struct Moved {
    id: String,
    /// Where it is now.
    host: String,
    /// Why it is still where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub async fn run(session: &mut Session<'_>, host: &str, timeout: Duration) -> Result<(), CliError> {
    let id = names::id_of::<HostNode>(&session.client, host).await?;
    let _: HostNode = session.client.put(&format!("/host_nodes/{id}"), &json!({ "scheduling_enabled": false })).await?;
    let mut told = Vec::new();
    for one in of_host(session, &id).await? {
        told.push(away(session, &one, &id, timeout).await?);
    }
    let left = told.iter().filter(|moved| moved.reason.is_some()).count().to_string();
    session.print(&told, |language| {
        if told.is_empty() {
            return format!("{}\n", say(language, Message::Drained, &[("host", &id)]));
        }
        let rows = told.iter().map(|moved| {
            vec![moved.id.clone(), moved.host.clone(), moved.reason.clone().unwrap_or_else(|| "-".into())]
        });
        table(language, &[Message::Id, Message::Host, Message::WhatFollows], rows.collect())
    })?;
    if told.iter().all(|moved| moved.reason.is_none()) {
        return Ok(());
    }
    let words = [Message::NotDrained, Message::NotDrainedCause, Message::NotDrainedNext];
    Err(CliError::own(REFUSED, session.language(), words, &[("host", &id), ("count", &left)]))
}

/// Says what would be done.
pub async fn plan(session: &mut Session<'_>, host: &str) -> Result<(), CliError> {
    let id = names::id_of::<HostNode>(&session.client, host).await?;
    let instances = of_host(session, &id).await?;
    plan::run(session, &id, &instances).await
}

async fn of_host(session: &Session<'_>, host: &str) -> Result<Vec<Instance>, CliError> {
    let mut instances: Vec<Instance> = session.client.list("/instances").await?;
    instances.retain(|one| one.host_node.as_deref() == Some(host) && one.terminated_at.is_none());
    Ok(instances)
}

/// Hosts that may take it, the emptiest first.
async fn candidates(session: &Session<'_>, but: &str) -> Result<Vec<String>, CliError> {
    let mut hosts: Vec<HostNode> = session.client.list("/host_nodes").await?;
    hosts.retain(|host| host.id != but && host.scheduling_enabled && host.status == "online");
    hosts.sort_by_key(|host| std::cmp::Reverse(host.offering_memory_size.saturating_sub(host.used_memory_size)));
    Ok(hosts.into_iter().map(|host| host.id).collect())
}

async fn away(session: &mut Session<'_>, one: &Instance, from: &str, timeout: Duration) -> Result<Moved, CliError> {
    let language = session.language();
    let stays = |reason: String| Moved { id: one.id.clone(), host: from.to_owned(), reason: Some(reason) };
    if !matches!(one.state.as_str(), "running" | "migrating") {
        return Ok(stays(say(language, Message::NotRunning, &[("state", one.state.as_str())])));
    }
    let mut reason = word(language, Message::NoHostTakes).to_owned();
    for to in candidates(session, from).await? {
        let after = wait::newest_event(&session.client, &one.id).await?;
        let path = format!("/instances/{}/move", one.id);
        let asked: Result<Value, CliError> = session.client.put(&path, &json!({ "host_node_id": to })).await;
        match asked {
            Ok(_) => {}
            Err(CliError::Refused(body)) if body.reason == "out_of_host_capacity" => continue,
            Err(CliError::Refused(body)) if body.reason == "host_cannot_move" => {
                reason = body.message;
                continue;
            }
            Err(CliError::Refused(body)) => return Ok(stays(body.message)),
            Err(other) => return Err(other),
        }
        session.remark(Message::Moving, &[("id", &one.id), ("host", &to)]);
        match follow_move(session, &one.id, after, timeout).await {
            Ok(view) => {
                let host = view.and_then(|view| view.host_node).unwrap_or_default();
                if host != from {
                    return Ok(Moved { id: one.id.clone(), host, reason: None });
                }
                reason = say(language, Message::NotMoved, &[("id", &one.id), ("host", from)]);
            }
            Err(error @ (CliError::Own { .. } | CliError::Failed { .. })) => {
                reason = error.told(language).lines().next().unwrap_or_default().to_owned();
            }
            Err(other) => return Err(other),
        }
    }
    Ok(stays(reason))
}
