//! `arame account poweroff|poweron|clear`: one verb on everything an account has of a kind.
//!
//! Rule: what was asked and what refused are both told; something that refused makes no failure of the others, but the
//! command ends with the status of a refusal.

use crate::commands::Waiting;
use crate::failure::{CliError, REFUSED};
use crate::session::Session;
use crate::table::table;
use crate::wait::{self, Goal};
use crate::words::{Message, word};
use arame_schema::api::{BulkResult, Instance, Volume};
use clap::{Subcommand, ValueEnum};
use serde_json::json;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Switch off every instance of it / すべてのインスタンスの電源を切る
    Poweroff {
        #[arg(value_name = "ACCOUNT")]
        which: String,
        /// At once, without asking the guests / 強制的に切る
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Switch on every instance of it / すべてのインスタンスの電源を入れる
    Poweron {
        #[arg(value_name = "ACCOUNT")]
        which: String,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Delete everything of a kind that it has / ある種類のものをすべて削除する
    Clear {
        #[arg(value_name = "ACCOUNT")]
        which: String,
        kind: Kind,
        /// Snapshots of volumes too / ボリュームのスナップショットも
        #[arg(long)]
        with_snapshots: bool,
        /// Keys that live instances have too / 使用中の鍵も
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        waiting: Waiting,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Instances,
    Volumes,
    SecurityGroups,
    SshKeys,
    BackupObjects,
}

impl Kind {
    fn path(self) -> &'static str {
        match self {
            Kind::Instances => "instances",
            Kind::Volumes => "volumes",
            Kind::SecurityGroups => "security_groups",
            Kind::SshKeys => "ssh_key_pairs",
            Kind::BackupObjects => "backup_objects",
        }
    }
}

pub async fn run(session: &mut Session<'_>, command: Command) -> Result<(), CliError> {
    match command {
        Command::Poweroff { which, force, waiting } => {
            let path = format!("/accounts/{which}/instances/poweroff?detail=true");
            let result = session.client.put(&path, &json!({ "force": force })).await?;
            told(session, result, Some(("/instances", "halted")), waiting).await
        }
        Command::Poweron { which, waiting } => {
            let path = format!("/accounts/{which}/instances/poweron?detail=true");
            let result = session.client.put(&path, &json!({})).await?;
            told(session, result, Some(("/instances", "running")), waiting).await
        }
        Command::Clear { which, kind, with_snapshots, force, waiting } => {
            let more = match kind {
                Kind::Volumes if with_snapshots => "&with_snapshots=true",
                Kind::SshKeys if force => "&force=true",
                _ => "",
            };
            let path = format!("/accounts/{which}/{}?detail=true{more}", kind.path());
            let result = session.client.delete(&path).await?;
            let end = match kind {
                Kind::Instances => Some(("/instances", "terminated")),
                Kind::Volumes => Some(("/volumes", "deleted")),
                Kind::SecurityGroups | Kind::SshKeys | Kind::BackupObjects => None,
            };
            told(session, result, end, waiting).await
        }
    }
}

/// Tells what became of each, after its end when that is wished.
async fn told(
    session: &mut Session<'_>,
    result: BulkResult,
    end: Option<(&str, &str)>,
    waiting: Waiting,
) -> Result<(), CliError> {
    if let Some((collection, state)) = end.filter(|_| waiting.wait) {
        for id in &result.asked {
            let path = format!("{collection}/{id}");
            // What happened to it before is another story.
            let after = wait::newest_event(&session.client, id).await?;
            let goal = Goal { path, id, states: &[state], after, timeout: waiting.timeout() };
            match collection {
                "/volumes" => drop(wait::until::<Volume>(session, goal).await?),
                _ => drop(wait::until::<Instance>(session, goal).await?),
            }
        }
    }
    session.print(&result, |language| {
        let asked = result.asked.iter().map(|id| vec![id.clone(), word(language, Message::BulkAsked).to_owned()]);
        let refused = result.refused.iter().map(|one| vec![one.id.clone(), one.message.clone()]);
        table(language, &[Message::Id, Message::Result], asked.chain(refused).collect())
    })?;
    if result.more {
        session.remark(Message::BulkMore, &[]);
    }
    if result.refused.is_empty() {
        return Ok(());
    }
    let words = [Message::BulkRefused, Message::BulkRefusedCause, Message::BulkRefusedNext];
    let count = result.refused.len().to_string();
    Err(CliError::own(REFUSED, session.language(), words, &[("count", &count)]))
}
