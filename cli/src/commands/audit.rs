//! `arame audit`: prints `[]` with `--json` when all is well; and the operator's answers to what it finds.

use crate::failure::CliError;
use crate::session::Session;
use crate::table::table;
use crate::words::{Message, word};
use arame_schema::api::{Decide, Finding, FindingKind, Language};
use clap::{Args, Subcommand};
use std::collections::BTreeSet;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Audit {
    /// Ask every agent first / 先に全エージェントへ確認する
    #[arg(long)]
    pub fresh: bool,
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Take in what exists without a row; nothing in the world changes / 記録のない実体を引き取る
    Adopt(Which),
    /// Delete what exists without a row, with its data / 記録のない実体をデータごと削除する
    Remove { ids: Vec<String> },
    /// Go on after the database lost its memory / 古くなったデータベースを確認し、再開する
    Confirm,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// Ids of findings or of their owners / 項目または持ち主の ID
    ids: Vec<String>,
    /// Every instance and volume without a row / 記録のないものすべて
    #[arg(long)]
    all: bool,
}

pub async fn run(session: &mut Session<'_>, audit: Audit) -> Result<(), CliError> {
    let findings = match audit.verb {
        None => session.client.get(if audit.fresh { "/audit?fresh=true" } else { "/audit" }).await?,
        Some(Verb::Adopt(which)) => {
            let ids = if which.all { unknown(session).await? } else { which.ids };
            decide(session, "/audit/adopt", ids).await?
        }
        Some(Verb::Remove { ids }) => decide(session, "/audit/remove", ids).await?,
        Some(Verb::Confirm) => session.client.post("/audit/confirm", &serde_json::json!({})).await?,
    };
    session.print(&findings, |language| shown(language, &findings))
}

/// What can be adopted without a row of another thing comes first: a snapshot needs its volume, a copy asks for its own.
const IN_ORDER: [&str; 5] = ["i-", "vol-", "snap-", "rep-", "bo-"];

/// Owners of what has no row and can be adopted.
async fn unknown(session: &Session<'_>) -> Result<Vec<String>, CliError> {
    let findings: Vec<Finding> = session.client.get("/audit?fresh=true").await?;
    let unknown = findings.into_iter().filter(|one| one.kind == FindingKind::Unknown).filter_map(|one| one.owner);
    let place = |id: &String| IN_ORDER.iter().position(|prefix| id.starts_with(prefix));
    let owners: BTreeSet<(usize, String)> = unknown.filter_map(|id| Some((place(&id)?, id))).collect();
    Ok(owners.into_iter().map(|(_, id)| id).collect())
}

/// One after the other; the first refusal ends it, and what was done before stays done.
async fn decide(session: &mut Session<'_>, path: &str, ids: Vec<String>) -> Result<Vec<Finding>, CliError> {
    let mut left = None;
    for id in ids {
        left = Some(session.client.post(path, &Decide { id: id.clone() }).await?);
        session.remark(Message::Decided, &[("id", &id)]);
    }
    match left {
        Some(left) => Ok(left),
        None => session.client.get("/audit").await,
    }
}

fn shown(language: Language, findings: &[Finding]) -> String {
    if findings.is_empty() {
        return format!("{}\n", word(language, Message::NoFindings));
    }
    let rows =
        findings.iter().map(|one| vec![one.since.to_string(), one.sentence.clone(), one.next_step.clone()]).collect();
    table(language, &[Message::Since, Message::What, Message::WhatFollows], rows)
}
