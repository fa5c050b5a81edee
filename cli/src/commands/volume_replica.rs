//! `arame volume replica …` and `arame volume snapshot replicate`: copies of snapshots on other storage nodes.

use super::Waiting;
use super::volume::newest;
use crate::failure::CliError;
use crate::names;
use crate::session::Session;
use crate::table::{self, fields};
use crate::wait::{self, Goal};
use crate::words::Message;
use arame_schema::api::{Language, SnapshotReplica, StorageNode, VolumeSnapshot};
use clap::Subcommand;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List replicas, of one snapshot or all / 一覧
    List {
        snapshot: Option<String>,
        /// Deleted ones too / 削除済みも含める
        #[arg(long)]
        all: bool,
    },
    /// Show a replica / 詳細を表示する
    Show { replica: String },
    /// Delete a replica; the snapshot stays / 削除する（スナップショットは残ります）
    Delete {
        replica: String,
        #[command(flatten)]
        waiting: Waiting,
    },
}

pub async fn run(session: &mut Session<'_>, command: Command) -> Result<(), CliError> {
    match command {
        Command::List { snapshot, all } => list(session, snapshot, all).await,
        Command::Show { replica } => {
            let view: SnapshotReplica = session.client.get(&format!("/snapshot_replicas/{replica}")).await?;
            session.print(&view, |language| show(language, &view))
        }
        Command::Delete { replica, waiting } => delete(session, &replica, waiting).await,
    }
}

/// Copies a snapshot to another storage node.
pub async fn create(
    session: &mut Session<'_>,
    snapshot: &str,
    to: Option<String>,
    waiting: Waiting,
) -> Result<(), CliError> {
    let mut body = json!({ "snapshot_id": names::id_of::<VolumeSnapshot>(&session.client, snapshot).await? });
    if let Some(node) = to {
        // Who may not list storage nodes names one by its id.
        let id = if node.starts_with(<StorageNode as names::Named>::PREFIX) {
            node
        } else {
            names::id_of::<StorageNode>(&session.client, &node).await?
        };
        body["storage_node_id"] = json!(id);
    }
    let made: SnapshotReplica = session.client.post("/snapshot_replicas", &body).await?;
    let path = format!("/snapshot_replicas/{}", made.id);
    let view = if waiting.wait {
        let goal = Goal { path, id: &made.id, states: &["available"], after: 0, timeout: waiting.timeout() };
        wait::until(session, goal).await?
    } else {
        session.remark(Message::Accepted, &[("id", &made.id)]);
        Some(made.clone())
    };
    match view {
        Some(view) => session.print(&view, |language| show(language, &view)),
        None => Ok(()),
    }
}

async fn list(session: &mut Session<'_>, snapshot: Option<String>, all: bool) -> Result<(), CliError> {
    let mut query = if all { "?state=alive_with_deleted".to_owned() } else { "?state=alive".to_owned() };
    if let Some(snapshot) = snapshot {
        query += &format!("&snapshot_id={}", names::id_of::<VolumeSnapshot>(&session.client, &snapshot).await?);
    }
    let replicas: Vec<SnapshotReplica> = session.client.list(&format!("/snapshot_replicas{query}")).await?;
    session.print(&replicas, |language| {
        let head = [
            Message::Id,
            Message::State,
            Message::OfSnapshot,
            Message::Volume,
            Message::OnStorageNode,
            Message::Size,
            Message::Created,
        ];
        let rows = replicas.iter().map(|one| {
            vec![
                one.id.clone(),
                state(one),
                one.snapshot_id.clone(),
                one.volume_id.clone(),
                one.storage_node_id.clone(),
                table::size(one.size),
                one.created_at.to_string(),
            ]
        });
        table::table(language, &head, rows.collect())
    })
}

/// With how far it is, while it is received.
fn state(one: &SnapshotReplica) -> String {
    match one.percent {
        Some(percent) => format!("{} {percent} %", one.state),
        None => one.state.to_string(),
    }
}

fn show(language: Language, one: &SnapshotReplica) -> String {
    let mut pairs = vec![
        (Message::Id, one.id.clone()),
        (Message::State, state(one)),
        (Message::OfSnapshot, one.snapshot_id.clone()),
        (Message::Volume, one.volume_id.clone()),
        (Message::OnStorageNode, format!("{} ({})", one.storage_node_id, one.status)),
        (Message::Size, table::size(one.size)),
        (Message::Created, one.created_at.to_string()),
    ];
    if let Some(failure) = &one.failure {
        pairs.push((Message::Failure, failure.sentence.clone()));
        pairs.push((Message::Cause, failure.cause.clone()));
        pairs.push((Message::NextStep, failure.next_step.clone()));
    }
    fields(language, pairs)
}

async fn delete(session: &mut Session<'_>, id: &str, waiting: Waiting) -> Result<(), CliError> {
    let after = newest(session, id, &waiting).await?;
    let path = format!("/snapshot_replicas/{id}");
    let answer: Vec<String> = session.client.delete(&path).await?;
    if waiting.wait {
        let goal = Goal { path, id, states: &["deleted"], after, timeout: waiting.timeout() };
        wait::until::<SnapshotReplica>(session, goal).await?;
    } else {
        session.remark(Message::Accepted, &[("id", id)]);
    }
    session.print(&answer, |_| String::new())
}
