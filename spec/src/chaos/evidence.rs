//! What is true at the end, gathered where no program can colour it, and the sabotages that show the judge sees.

use super::center::Center;
use super::files::NETWORK;
use super::ledger::{Book, Ended, Machine, Request};
use crate::wishes::End;
use anyhow::Context;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A row of a thing, ended ones included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub id: String,
    pub name: String,
    pub state: String,
}

#[derive(Debug, Clone)]
pub struct Evidence {
    pub book: Book,
    pub machines: Vec<Row>,
    pub disks: Vec<Row>,
    pub worlds: BTreeMap<String, Value>,
    /// Instances each nsa answers for.
    pub served: BTreeMap<String, BTreeSet<String>>,
    pub findings: Vec<String>,
    pub open_jobs: Vec<String>,
}

async fn rows(center: &Center, statement: &str) -> anyhow::Result<Vec<Row>> {
    let found = center.rows(statement).await?;
    let row = |mut row: mysql_async::Row| {
        Some(Row { id: row.take("id")?, name: row.take("name")?, state: row.take("state")? })
    };
    Ok(found.into_iter().filter_map(row).collect())
}

/// What the nsa serves, from the file it would serve after a restart.
fn served(center: &Center, nsa: &str) -> anyhow::Result<BTreeSet<String>> {
    let path = center.path(&format!("state/{nsa}/data/{NETWORK}.json"));
    let stored: Value = serde_json::from_slice(&std::fs::read(&path).with_context(|| path.display().to_string())?)?;
    let hosts = stored["snapshot"]["hosts"].as_array().cloned().unwrap_or_default();
    Ok(hosts.iter().filter_map(|host| Some(host["instance"].as_str()?.to_owned())).collect())
}

impl Evidence {
    /// # Errors
    /// The database or a file cannot be read.
    pub async fn gather(center: &Center, book: Book, findings: Vec<String>) -> anyhow::Result<Evidence> {
        let machines = rows(center, "SELECT id, hostname AS name, state FROM arame.instances").await?;
        let disks = rows(center, "SELECT id, display_name AS name, state FROM arame.volumes").await?;
        let jobs = "SELECT CONCAT_WS(' ', kind, thing, agent_id, state, attempt, rings) FROM arame.jobs WHERE open = 1";
        let open_jobs = center.texts(jobs).await?;
        let nsas = ["nsa.n1", "nsa.n2"].map(|nsa| Ok((nsa.to_owned(), served(center, nsa)?)));
        let served = nsas.into_iter().collect::<anyhow::Result<_>>()?;
        Ok(Evidence { book, machines, disks, worlds: center.worlds().await?, served, findings, open_jobs })
    }
}

/// What the kit may do to the evidence, so that a judge that sees nothing is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// A domain of nobody's stays in a simulated world.
    LeaveAnOrphan,
    /// An accepted launch leaves no row.
    LoseARequest,
    /// One creation made two machines.
    DoItTwice,
    /// A job stays open.
    LeaveAJobOpen,
    /// A launch failed and nobody said why.
    FailInSilence,
}

impl Sabotage {
    pub const ALL: [Sabotage; 5] = [
        Sabotage::LeaveAnOrphan,
        Sabotage::LoseARequest,
        Sabotage::DoItTwice,
        Sabotage::LeaveAJobOpen,
        Sabotage::FailInSilence,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Sabotage::LeaveAnOrphan => "orphan",
            Sabotage::LoseARequest => "lose",
            Sabotage::DoItTwice => "twice",
            Sabotage::LeaveAJobOpen => "open",
            Sabotage::FailInSilence => "silence",
        }
    }

    pub fn parse(word: &str) -> Option<Sabotage> {
        Self::ALL.into_iter().find(|sabotage| sabotage.word() == word)
    }

    /// Where the judge must find it.
    pub fn class(self) -> &'static str {
        match self {
            Sabotage::LeaveAnOrphan => "orphans",
            Sabotage::LoseARequest => "lost",
            Sabotage::DoItTwice => "duplicated",
            Sabotage::LeaveAJobOpen => "stuck",
            Sabotage::FailInSilence => "unexplained",
        }
    }
}

pub fn spoil(evidence: &mut Evidence, sabotage: Sabotage) {
    match sabotage {
        Sabotage::LeaveAnOrphan => {
            if let Some(world) = evidence.worlds.get_mut("hva.h1") {
                world["domains"]["i-orphan"] = json!({ "power": "on", "kept": [], "reboots": 0 });
            }
        }
        Sabotage::LoseARequest => {
            let machine = Machine { name: "lost".into(), end: End::Running, ran: false, reboots: 0, failed: false };
            evidence.book.machines.insert("i-lost".into(), machine);
        }
        Sabotage::DoItTwice => {
            if let Some(first) = evidence.machines.first().cloned() {
                evidence.machines.push(Row { id: format!("{}-again", first.id), ..first });
            }
        }
        Sabotage::LeaveAJobOpen => evidence.open_jobs.push("hva.instance.apply i-a hva.h1 open 1 1".into()),
        Sabotage::FailInSilence => evidence.book.requests.push(Request {
            what: "launch",
            thing: "i-silent".into(),
            ended: Ended::Failed { code: String::new() },
            took: Duration::ZERO,
        }),
    }
}
