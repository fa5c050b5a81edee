//! `arame host …`

mod drain;
mod loss;

use super::{node_usage, record};
use crate::failure::CliError;
use crate::names;
use crate::session::Session;
use crate::table::{fields, table};
use crate::words::{Message, word};
use arame_schema::api::{HostNode, Language};
use clap::Subcommand;
use serde_json::json;
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List hosts / 一覧
    List,
    /// Show a host / 詳細を表示する
    Show { host: String },
    /// What it is busy with itself, now and in the last hour / 機器そのものの負荷（現在と直近 1 時間）
    Usage { host: String },
    /// Let it take new instances / 新しいインスタンスを受け入れる
    #[command(visible_alias = "uncordon")]
    Enable { host: String },
    /// Take no new instances; what runs goes on / 新しいインスタンスを受け入れない
    #[command(visible_alias = "cordon")]
    Disable { host: String },
    /// Take no new instances and move away what runs; nothing is stopped / 受け入れを止め、動いているものを他へ移す
    Drain {
        host: String,
        /// Move nothing, say where each would go and how long that takes / 移動せず、行き先と見込み時間だけを表示する
        #[arg(long)]
        plan: bool,
        /// Seconds for each instance / 一台あたりの待ち時間（秒）
        #[arg(long, default_value_t = 600, value_name = "SECONDS")]
        timeout: u64,
    },
    /// Say that a silent host is gone for good: shows what is lost and freed; --confirm does it / 応答のないホストを失われたものと宣言する
    DeclareLost {
        host: String,
        /// The host's id once more: do it / ホストの ID をもう一度書くと実行する
        #[arg(long, value_name = "ID")]
        confirm: Option<String>,
    },
    /// Register one: node_id=…; its agent joins with the key that is told / 登録する
    Register(record::Given),
    /// Name one: display_name=… / 名前を付ける
    Update {
        host: String,
        #[command(flatten)]
        given: record::Given,
    },
    /// Delete one on which nothing is / 削除する
    Delete { host: String },
}

pub async fn run(session: &mut Session<'_>, command: Command) -> Result<(), CliError> {
    match command {
        Command::List => {
            let hosts: Vec<HostNode> = session.client.list("/host_nodes").await?;
            session.print(&hosts, |language| many(language, &hosts))
        }
        Command::Show { host } => {
            let view: HostNode = names::get(&session.client, &host).await?;
            session.print(&view, |language| one(language, &view))
        }
        Command::Usage { host } => {
            let id = names::id_of::<HostNode>(&session.client, &host).await?;
            node_usage::run(session, &format!("/host_nodes/{id}")).await
        }
        Command::Register(given) => record::run(session, &record::HOSTS, record::Command::Create(given)).await,
        Command::Update { host, given } => {
            let id = names::id_of::<HostNode>(&session.client, &host).await?;
            record::run(session, &record::HOSTS, record::Command::Update { id, given }).await
        }
        Command::Delete { host } => {
            let id = names::id_of::<HostNode>(&session.client, &host).await?;
            let given = record::Given::default();
            record::run(session, &record::HOSTS, record::Command::Delete { id, given }).await
        }
        Command::Enable { host } => set(session, &host, json!({ "scheduling_enabled": true })).await,
        Command::Disable { host } => set(session, &host, json!({ "scheduling_enabled": false })).await,
        Command::DeclareLost { host, confirm } => loss::run(session, &host, confirm).await,
        Command::Drain { host, plan: true, .. } => drain::plan(session, &host).await,
        Command::Drain { host, timeout, .. } => drain::run(session, &host, Duration::from_secs(timeout)).await,
    }
}

async fn set(session: &mut Session<'_>, host: &str, body: serde_json::Value) -> Result<(), CliError> {
    let id = names::id_of::<HostNode>(&session.client, host).await?;
    let view: HostNode = session.client.put(&format!("/host_nodes/{id}"), &body).await?;
    session.print(&view, |language| one(language, &view))
}

fn many(language: Language, hosts: &[HostNode]) -> String {
    let head = [
        Message::Id,
        Message::Agent,
        Message::State,
        Message::Driver,
        Message::Cpu,
        Message::Memory,
        Message::Scheduling,
        Message::Degraded,
    ];
    let rows = hosts.iter().map(|one| {
        vec![
            one.id.clone(),
            one.node_id.clone(),
            one.status.clone(),
            one.driver.clone(),
            format!("{}/{}", one.used_cpu_cores, one.offering_cpu_cores),
            format!("{}/{} MiB", one.used_memory_size, one.offering_memory_size),
            word(language, if one.scheduling_enabled { Message::Yes } else { Message::No }).to_owned(),
            one.degraded.clone().unwrap_or_else(|| "-".into()),
        ]
    });
    table(language, &head, rows.collect())
}

fn one(language: Language, one: &HostNode) -> String {
    fields(
        language,
        vec![
            (Message::Id, one.id.clone()),
            (Message::Name, one.display_name.clone().unwrap_or_default()),
            (Message::Agent, one.node_id.clone()),
            (Message::State, one.status.clone()),
            (Message::Driver, one.driver.clone()),
            (Message::Hypervisor, one.hypervisor.clone()),
            (Message::Cpu, format!("{}/{}", one.used_cpu_cores, one.offering_cpu_cores)),
            (Message::CpuAllocation, format!("{} %", one.cpu_allocation_percent)),
            (Message::Memory, format!("{}/{} MiB", one.used_memory_size, one.offering_memory_size)),
            (Message::MemoryKept, format!("{} MiB", one.reserved_memory_size)),
            (Message::Disk, format!("{}/{} MiB", one.used_disk_space_mb, one.offering_disk_space_mb)),
            (Message::DiskKept, format!("{} MiB", one.reserved_disk_space_mb)),
            (
                Message::Scheduling,
                word(language, if one.scheduling_enabled { Message::Yes } else { Message::No }).into(),
            ),
            (Message::Degraded, one.degraded.clone().unwrap_or_default()),
        ],
    )
}
