//! `arame audit`: prints `[]` with `--json` when all is well.

use crate::failure::CliError;
use crate::session::Session;
use crate::table::table;
use crate::words::{Message, word};
use arame_schema::api::Finding;
use clap::Args;

#[derive(Debug, Args)]
pub struct Audit {
    /// Ask every agent first / 先に全エージェントへ確認する
    #[arg(long)]
    pub fresh: bool,
}

pub async fn run(session: &mut Session<'_>, audit: Audit) -> Result<(), CliError> {
    let path = if audit.fresh { "/audit?fresh=true" } else { "/audit" };
    let findings: Vec<Finding> = session.client.get(path).await?;
    session.print(&findings, |language| {
        if findings.is_empty() {
            return format!("{}\n", word(language, Message::NoFindings));
        }
        let rows = findings
            .iter()
            .map(|one| vec![one.since.to_string(), one.sentence.clone(), one.next_step.clone()])
            .collect();
        table(language, &[Message::Since, Message::What, Message::WhatFollows], rows)
    })
}
