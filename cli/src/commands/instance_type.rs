//! `arame instance-type …`

use super::record;
use crate::failure::CliError;
use crate::names;
use crate::session::Session;
use crate::table::table;
use crate::words::Message;
use arame_schema::api::{InstanceType, Language};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List instance types / 一覧
    List,
    /// Show one / 詳細を表示する
    Show { which: String },
    /// Make one: name=… cpu_cores=… memory_size=… disk_size=… / 作成する
    Create(record::Given),
    /// Change one / 変更する
    Update {
        which: String,
        #[command(flatten)]
        given: record::Given,
    },
    /// Delete one; instances keep their size / 削除する
    Delete { which: String },
}

impl Command {
    pub fn is_operators(&self) -> bool {
        match self {
            Command::List | Command::Show { .. } => false,
            Command::Create(_) | Command::Update { .. } | Command::Delete { .. } => true,
        }
    }
}

pub async fn run(session: &mut Session<'_>, command: Command) -> Result<(), CliError> {
    match command {
        Command::List => list(session).await,
        Command::Show { which } => {
            let view: InstanceType = names::get(&session.client, &which).await?;
            session.print(&view, |language| many(language, std::slice::from_ref(&view)))
        }
        Command::Create(given) => record::run(session, &record::TYPES, record::Command::Create(given)).await,
        Command::Update { which, given } => {
            let id = names::id_of::<InstanceType>(&session.client, &which).await?;
            record::run(session, &record::TYPES, record::Command::Update { id, given }).await
        }
        Command::Delete { which } => {
            let id = names::id_of::<InstanceType>(&session.client, &which).await?;
            let given = record::Given::default();
            record::run(session, &record::TYPES, record::Command::Delete { id, given }).await
        }
    }
}

async fn list(session: &mut Session<'_>) -> Result<(), CliError> {
    let types: Vec<InstanceType> = session.client.list("/instance_types").await?;
    session.print(&types, |language| many(language, &types))
}

fn many(language: Language, types: &[InstanceType]) -> String {
    let rows = types.iter().map(|one| {
        let (memory, disk) = (format!("{} MiB", one.memory_size), format!("{} MiB", one.disk_size));
        vec![one.id.clone(), one.name.clone(), one.cpu_cores.to_string(), memory, disk]
    });
    table(language, &[Message::Id, Message::Name, Message::Cpu, Message::Memory, Message::Disk], rows.collect())
}
