//! `arame instance-type list`

use crate::failure::CliError;
use crate::session::Session;
use crate::table::table;
use crate::words::Message;
use arame_schema::api::InstanceType;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List instance types / 一覧
    List,
}

pub async fn run(session: &mut Session<'_>, command: Command) -> Result<(), CliError> {
    let Command::List = command;
    let types: Vec<InstanceType> = session.client.list("/instance_types").await?;
    session.print(&types, |language| {
        let rows = types.iter().map(|one| {
            let (memory, disk) = (format!("{} MiB", one.memory_size), format!("{} MiB", one.disk_size));
            vec![one.id.clone(), one.name.clone(), one.cpu_cores.to_string(), memory, disk]
        });
        table(language, &[Message::Id, Message::Name, Message::Cpu, Message::Memory, Message::Disk], rows.collect())
    })
}
