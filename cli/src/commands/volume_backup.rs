//! `arame volume backup`: the object is followed, not the volume, which goes on as it was.

use super::Waiting;
use crate::failure::CliError;
use crate::names;
use crate::session::Session;
use crate::table::{self, fields};
use crate::wait::{self, Goal};
use crate::words::{Message, word};
use arame_schema::api::{BackupObject, Language, Volume, VolumeBackup};
use clap::Args;
use serde_json::json;

#[derive(Debug, Args)]
pub struct Backup {
    pub volume: String,
    /// The backup storage; without it the only one that is reached / 保存先（1つだけなら省略できます）
    #[arg(long)]
    pub to: Option<String>,
    #[arg(long)]
    pub name: Option<String>,
    #[command(flatten)]
    pub waiting: Waiting,
}

pub async fn run(session: &mut Session<'_>, asked: Backup) -> Result<(), CliError> {
    let id = names::id_of::<Volume>(&session.client, &asked.volume).await?;
    let mut body = json!({});
    if let Some(to) = asked.to {
        body["backup_storage_id"] = json!(to);
    }
    if let Some(name) = asked.name {
        body["display_name"] = json!(name);
    }
    let made: VolumeBackup = session.client.put(&format!("/volumes/{id}/backup"), &body).await?;
    let id = made.backup_object_id;
    let path = format!("/backup_objects/{id}");
    let view = if asked.waiting.wait {
        let goal = Goal { path, id: &id, states: &["available"], after: 0, timeout: asked.waiting.timeout() };
        wait::until(session, goal).await?
    } else {
        session.remark(Message::Accepted, &[("id", &id)]);
        Some(session.client.get::<BackupObject>(&path).await?)
    };
    match view {
        Some(view) => session.print(&view, |language| show(language, &view)),
        None => Ok(()),
    }
}

pub(super) fn show(language: Language, one: &BackupObject) -> String {
    let mut pairs = vec![
        (Message::Id, one.id.clone()),
        (Message::Name, one.display_name.clone().unwrap_or_default()),
        (Message::State, one.state.clone()),
        (Message::Volume, one.source_volume_id.clone().unwrap_or_default()),
        (Message::Size, table::size(one.size)),
        (Message::Place, one.backup_storage_id.clone()),
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
