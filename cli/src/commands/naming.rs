//! `arame naming …`

use crate::failure::CliError;
use crate::session::Session;
use crate::table::table;
use crate::words::{Message, word};
use arame_schema::api::{Language, NamingNode};
use clap::Subcommand;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List naming services / 一覧
    List,
    /// Show one: nsa.n1 / 詳細を表示する
    Show { agent: String },
    /// Let it serve networks / ネットワークを受け持たせる
    Enable { agent: String },
    /// Give its networks to others / ネットワークをほかに移す
    Disable { agent: String },
    /// End one that is gone for good / 戻らないものを削除する
    Delete { agent: String },
}

pub async fn run(session: &mut Session<'_>, command: Command) -> Result<(), CliError> {
    let nodes: Vec<NamingNode> = match command {
        Command::List => session.client.list("/naming_nodes").await?,
        Command::Show { agent } => vec![session.client.get(&format!("/naming_nodes/{agent}")).await?],
        Command::Enable { agent } => vec![set(session, &agent, true).await?],
        Command::Disable { agent } => vec![set(session, &agent, false).await?],
        Command::Delete { agent } => vec![session.client.delete(&format!("/naming_nodes/{agent}")).await?],
    };
    session.print(&nodes, |language| many(language, &nodes))
}

async fn set(session: &mut Session<'_>, agent: &str, enabled: bool) -> Result<NamingNode, CliError> {
    session.client.put(&format!("/naming_nodes/{agent}"), &json!({ "scheduling_enabled": enabled })).await
}

fn many(language: Language, nodes: &[NamingNode]) -> String {
    let head =
        [Message::Agent, Message::State, Message::Networks, Message::Gateway, Message::Scheduling, Message::Degraded];
    let rows = nodes.iter().map(|one| {
        vec![
            one.id.clone(),
            one.status.clone(),
            one.networks.to_string(),
            one.gateways.to_string(),
            word(language, if one.scheduling_enabled { Message::Yes } else { Message::No }).to_owned(),
            one.degraded.clone().unwrap_or_else(|| "-".into()),
        ]
    });
    table(language, &head, rows.collect())
}
