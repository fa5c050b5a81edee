//! `arame account list`

use crate::failure::CliError;
use crate::session::Session;
use crate::table::table;
use crate::words::Message;
use arame_schema::api::Account;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List accounts / 一覧
    List,
}

pub async fn run(session: &mut Session<'_>, command: Command) -> Result<(), CliError> {
    let Command::List = command;
    let accounts: Vec<Account> = session.client.list("/accounts").await?;
    session.print(&accounts, |language| {
        let rows = accounts.iter().map(|one| vec![one.id.clone(), one.description.clone(), one.created_at.to_string()]);
        table(language, &[Message::Account, Message::Description, Message::Created], rows.collect())
    })
}
