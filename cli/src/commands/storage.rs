//! `arame storage …`

mod why;

use super::{node_usage, record};
use crate::failure::CliError;
use crate::names;
use crate::session::Session;
use crate::table::table;
use crate::words::{Message, word};
use arame_schema::api::{Language, StorageNode};
use clap::Subcommand;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List storage nodes / 一覧
    List,
    /// Show one / 詳細を表示する
    Show { storage: String },
    /// What it is busy with itself, now and in the last hour / 機器そのものの負荷（現在と直近 1 時間）
    Usage { storage: String },
    /// Follow a volume from its guest to its disk: what is wrong, and where / ボリュームの経路をゲストからディスクまでたどる
    Why {
        #[arg(value_name = "VOLUME")]
        volume: String,
    },
    /// Let it take new volumes / 新しいボリュームを受け入れる
    Enable { storage: String },
    /// Take no new volumes / 新しいボリュームを受け入れない
    Disable { storage: String },
    /// Register one: node_id=…; its agent joins with the key that is told / 登録する
    Register(record::Given),
    /// Name one: display_name=… / 名前を付ける
    Update {
        storage: String,
        #[command(flatten)]
        given: record::Given,
    },
    /// Delete one on which nothing is / 削除する
    Delete { storage: String },
}

pub async fn run(session: &mut Session<'_>, command: Command) -> Result<(), CliError> {
    match command {
        Command::List => {
            let nodes: Vec<StorageNode> = session.client.list("/storage_nodes").await?;
            session.print(&nodes, |language| many(language, &nodes))
        }
        Command::Show { storage } => {
            let view: StorageNode = names::get(&session.client, &storage).await?;
            session.print(&view, |language| many(language, std::slice::from_ref(&view)))
        }
        Command::Usage { storage } => {
            let id = names::id_of::<StorageNode>(&session.client, &storage).await?;
            node_usage::run(session, &format!("/storage_nodes/{id}")).await
        }
        Command::Why { volume } => why::run(session, &volume).await,
        Command::Register(given) => record::run(session, &record::STORAGE, record::Command::Create(given)).await,
        Command::Update { storage, given } => {
            let id = names::id_of::<StorageNode>(&session.client, &storage).await?;
            record::run(session, &record::STORAGE, record::Command::Update { id, given }).await
        }
        Command::Delete { storage } => {
            let id = names::id_of::<StorageNode>(&session.client, &storage).await?;
            let given = record::Given::default();
            record::run(session, &record::STORAGE, record::Command::Delete { id, given }).await
        }
        Command::Enable { storage } => set(session, &storage, json!({ "scheduling_enabled": true })).await,
        Command::Disable { storage } => set(session, &storage, json!({ "scheduling_enabled": false })).await,
    }
}

async fn set(session: &mut Session<'_>, storage: &str, body: serde_json::Value) -> Result<(), CliError> {
    let id = names::id_of::<StorageNode>(&session.client, storage).await?;
    let view: StorageNode = session.client.put(&format!("/storage_nodes/{id}"), &body).await?;
    session.print(&view, |language| many(language, std::slice::from_ref(&view)))
}

fn many(language: Language, nodes: &[StorageNode]) -> String {
    let head = [
        Message::Id,
        Message::Agent,
        Message::State,
        Message::Type,
        Message::Disk,
        Message::Scheduling,
        Message::Degraded,
    ];
    let rows = nodes.iter().map(|one| {
        vec![
            one.id.clone(),
            one.node_id.clone(),
            one.status.clone(),
            one.storage_type.clone(),
            format!("{}/{} MiB", one.used_disk_space_mb + one.kept_disk_space_mb, one.offering_disk_space_mb),
            word(language, if one.scheduling_enabled { Message::Yes } else { Message::No }).to_owned(),
            one.degraded.clone().unwrap_or_else(|| "-".into()),
        ]
    });
    table(language, &head, rows.collect())
}
