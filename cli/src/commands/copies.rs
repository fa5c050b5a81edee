//! `arame instance backup`, `arame image copy`: the image or the backup that is made is followed, not what it is made of.

use super::Waiting;
use crate::failure::CliError;
use crate::names;
use crate::session::Session;
use crate::wait::{self, Goal, Watched};
use crate::words::Message;
use arame_schema::api::{BackupObject, CopyRequested, Image, Instance, InstanceBackup, Language};
use clap::Args;
use serde_json::json;

#[derive(Debug, Args)]
pub struct Backup {
    pub instance: String,
    /// Back its volumes up as well / ボリュームのバックアップも取る
    #[arg(long)]
    pub all: bool,
    /// The backup storage of the image's backup and of the volumes' / バックアップの保存先
    #[arg(long)]
    pub to: Option<String>,
    /// Of the image / イメージの名前
    #[arg(long)]
    pub name: Option<String>,
    #[command(flatten)]
    pub waiting: Waiting,
}

#[derive(Debug, Args)]
pub struct Copy {
    pub image: String,
    /// A backup storage (bkst-…), or a storage node (sn-…) that reaches one / 保存先
    #[arg(long)]
    pub to: String,
    #[arg(long)]
    pub name: Option<String>,
    #[command(flatten)]
    pub waiting: Waiting,
}

pub async fn back_up(session: &mut Session<'_>, asked: Backup) -> Result<(), CliError> {
    let id = names::id_of::<Instance>(&session.client, &asked.instance).await?;
    let mut body = json!({ "all": asked.all });
    if let Some(to) = asked.to {
        body["backup_storage_id"] = json!(to);
    }
    if let Some(name) = asked.name {
        body["display_name"] = json!(name);
    }
    let made: InstanceBackup = session.client.put(&format!("/instances/{id}/backup"), &body).await?;
    let path = format!("/images/{}", made.image_id);
    follow(session, path, &made.image_id, asked.waiting, super::image::shown).await
}

pub async fn copy(session: &mut Session<'_>, asked: Copy) -> Result<(), CliError> {
    let id = names::id_of::<Image>(&session.client, &asked.image).await?;
    let mut body = json!({ "destination": asked.to });
    if let Some(name) = asked.name {
        body["display_name"] = json!(name);
    }
    let made: CopyRequested = session.client.put(&format!("/images/{id}/copy_to"), &body).await?;
    let path = format!("/backup_objects/{}", made.uuid);
    follow::<BackupObject>(session, path, &made.uuid, asked.waiting, super::volume_backup::show).await
}

async fn follow<T: Watched>(
    session: &mut Session<'_>,
    path: String,
    id: &str,
    waiting: Waiting,
    show: fn(Language, &T) -> String,
) -> Result<(), CliError> {
    let view = if waiting.wait {
        let goal = Goal { path, id, states: &["available"], after: 0, timeout: waiting.timeout() };
        wait::until::<T>(session, goal).await?
    } else {
        session.remark(Message::Accepted, &[("id", id)]);
        Some(session.client.get::<T>(&path).await?)
    };
    match view {
        Some(view) => session.print(&view, |language| show(language, &view)),
        None => Ok(()),
    }
}
