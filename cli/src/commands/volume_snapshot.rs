//! `arame volume snapshot …` and `arame volume rollback`.

use super::Waiting;
use super::volume::{finish, newest, show};
use crate::failure::CliError;
use crate::names;
use crate::session::Session;
use crate::table::{self, fields};
use crate::wait::{self, Goal};
use crate::words::{Message, say, word};
use arame_schema::api::{Language, UpdateVolumeSnapshot, Volume, VolumeSnapshot};
use clap::{Args, Subcommand};
use serde_json::json;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take a snapshot; of a volume in use it is as after a power failure / 取得する（使用中なら停電直後と同じ内容）
    Create {
        volume: String,
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// List snapshots, of one volume or all / 一覧
    List {
        volume: Option<String>,
        /// Deleted ones too / 削除済みも含める
        #[arg(long)]
        all: bool,
    },
    /// Show a snapshot / 詳細を表示する
    Show { snapshot: String },
    /// Rename it, or mark it so that no schedule deletes it / 名前を変える、または自動削除から守る
    Update {
        snapshot: String,
        #[arg(long)]
        name: Option<String>,
        /// No schedule deletes it: true, false / 自動削除から守る
        #[arg(long)]
        keep: Option<bool>,
    },
    /// Copy it to another storage node: all of it, or what changed since its last copy there / 別のストレージノードへ複製する（以前の複製があれば差分だけ）
    Replicate {
        snapshot: String,
        /// The storage node, sn-…; without, the one with the most room / 複製先のストレージノード（省略時は空きの最も多いもの）
        #[arg(long)]
        to: Option<String>,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Delete a snapshot; the volume stays / 削除する（ボリュームは残ります）
    Delete {
        snapshot: String,
        #[command(flatten)]
        waiting: Waiting,
    },
}

#[derive(Debug, Args)]
pub struct Rollback {
    pub volume: String,
    pub snapshot: String,
    /// Delete the snapshots newer than this one first / より新しいスナップショットを先に削除する
    #[arg(long)]
    pub destroy_newer: bool,
    #[command(flatten)]
    pub waiting: Waiting,
}

pub async fn run(session: &mut Session<'_>, command: Command) -> Result<(), CliError> {
    match command {
        Command::Create { volume, name, waiting } => create(session, &volume, name, waiting).await,
        Command::List { volume, all } => list(session, volume, all).await,
        Command::Show { snapshot } => {
            let view: VolumeSnapshot = names::get(&session.client, &snapshot).await?;
            session.print(&view, |language| show_one(language, &view))
        }
        Command::Update { snapshot, name, keep } => {
            let id = names::id_of::<VolumeSnapshot>(&session.client, &snapshot).await?;
            let change = UpdateVolumeSnapshot { display_name: name, kept: keep };
            let view: VolumeSnapshot = session.client.put(&format!("/volume_snapshots/{id}"), &json!(change)).await?;
            session.print(&view, |language| show_one(language, &view))
        }
        Command::Replicate { snapshot, to, waiting } => {
            super::volume_replica::create(session, &snapshot, to, waiting).await
        }
        Command::Delete { snapshot, waiting } => delete(session, &snapshot, waiting).await,
    }
}

async fn create(
    session: &mut Session<'_>,
    volume: &str,
    name: Option<String>,
    waiting: Waiting,
) -> Result<(), CliError> {
    let mut body = json!({ "volume_id": names::id_of::<Volume>(&session.client, volume).await? });
    if let Some(name) = name {
        body["display_name"] = json!(name);
    }
    let made: VolumeSnapshot = session.client.post("/volume_snapshots", &body).await?;
    let path = format!("/volume_snapshots/{}", made.id);
    let view = if waiting.wait {
        let goal = Goal { path, id: &made.id, states: &["available"], after: 0, timeout: waiting.timeout() };
        wait::until(session, goal).await?
    } else {
        session.remark(Message::Accepted, &[("id", &made.id)]);
        Some(made.clone())
    };
    match view {
        Some(view) => session.print(&view, |language| show_one(language, &view)),
        None => Ok(()),
    }
}

async fn list(session: &mut Session<'_>, volume: Option<String>, all: bool) -> Result<(), CliError> {
    let mut query = if all { "?state=alive_with_deleted".to_owned() } else { "?state=alive".to_owned() };
    if let Some(volume) = volume {
        query += &format!("&volume_id={}", names::id_of::<Volume>(&session.client, &volume).await?);
    }
    let snapshots: Vec<VolumeSnapshot> = session.client.list(&format!("/volume_snapshots{query}")).await?;
    session.print(&snapshots, |language| {
        let head = [Message::Id, Message::Name, Message::State, Message::Volume, Message::Size, Message::Created];
        let rows = snapshots.iter().map(|one| {
            vec![
                one.id.clone(),
                one.display_name.clone().unwrap_or_default(),
                one.state.to_string(),
                one.volume_id.clone(),
                table::size(one.size),
                one.created_at.to_string(),
            ]
        });
        table::table(language, &head, rows.collect())
    })
}

fn show_one(language: Language, one: &VolumeSnapshot) -> String {
    let mut pairs = vec![
        (Message::Id, one.id.clone()),
        (Message::Name, one.display_name.clone().unwrap_or_default()),
        (Message::State, one.state.to_string()),
        (Message::Volume, one.volume_id.clone()),
        (Message::Size, table::size(one.size)),
        (Message::Created, one.created_at.to_string()),
    ];
    if let Some(schedule) = &one.schedule_id {
        pairs.push((Message::OfSchedule, schedule.clone()));
    }
    if one.kept {
        pairs.push((Message::MarkedKept, word(language, Message::Yes).to_owned()));
    }
    if let Some(failure) = &one.failure {
        pairs.push((Message::Failure, failure.sentence.clone()));
        pairs.push((Message::Cause, failure.cause.clone()));
        pairs.push((Message::NextStep, failure.next_step.clone()));
    }
    fields(language, pairs)
}

async fn delete(session: &mut Session<'_>, snapshot: &str, waiting: Waiting) -> Result<(), CliError> {
    let id = names::id_of::<VolumeSnapshot>(&session.client, snapshot).await?;
    let after = newest(session, &id, &waiting).await?;
    let path = format!("/volume_snapshots/{id}");
    let answer: Vec<String> = session.client.delete(&path).await?;
    if waiting.wait {
        let goal = Goal { path, id: &id, states: &["deleted"], after, timeout: waiting.timeout() };
        wait::until::<VolumeSnapshot>(session, goal).await?;
    } else {
        session.remark(Message::Accepted, &[("id", &id)]);
    }
    session.print(&answer, |_| String::new())
}

/// A rollback that was given up leaves its volume available: what became of it is told by the volume itself.
pub async fn roll_back(session: &mut Session<'_>, asked: Rollback) -> Result<(), CliError> {
    let id = names::id_of::<Volume>(&session.client, &asked.volume).await?;
    let snapshot = names::id_of::<VolumeSnapshot>(&session.client, &asked.snapshot).await?;
    let after = newest(session, &id, &asked.waiting).await?;
    let body = json!({ "snapshot_id": snapshot, "destroy_newer": asked.destroy_newer });
    let path = format!("/volumes/{id}");
    let _: Volume = session.client.put(&format!("{path}/rollback"), &body).await?;
    if !asked.waiting.wait {
        return finish(session, &id, &["available"], after, asked.waiting).await;
    }
    let goal = Goal { path, id: &id, states: &["available"], after, timeout: asked.waiting.timeout() };
    let Some(view) = wait::until::<Volume>(session, goal).await? else { return Ok(()) };
    let told = view.rollback.as_ref().filter(|told| told.state == "failed");
    if let Some(failure) = told.and_then(|told| told.failure.clone()) {
        let sentence = say(session.language(), Message::RollbackFailed, &[("id", &id), ("snapshot", &snapshot)]);
        return Err(CliError::Failed { sentence, failure: Box::new(failure) });
    }
    session.print(&view, |language| show(language, &view))
}
