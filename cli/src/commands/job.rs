//! `arame jobs`

use crate::failure::CliError;
use crate::session::Session;
use crate::table::table;
use crate::words::Message;
use arame_schema::api::{Job, Page};
use clap::Args;

#[derive(Debug, Args)]
pub struct Jobs {
    /// Only those in this state, such as open or failed / 状態で絞り込む
    #[arg(long)]
    pub state: Option<String>,
    /// How many of the newest / 新しい順の件数
    #[arg(long, default_value_t = 50)]
    pub limit: u64,
}

pub async fn run(session: &mut Session<'_>, jobs: Jobs) -> Result<(), CliError> {
    let state = jobs.state.map(|state| format!("&state={}", escape(&state))).unwrap_or_default();
    let [page]: [Page<Job>; 1] = session.client.get(&format!("/jobs?limit={}{state}", jobs.limit)).await?;
    session.print(&page.results, |language| {
        let head = [
            Message::Created,
            Message::Kind,
            Message::Thing,
            Message::Agent,
            Message::State,
            Message::Attempt,
            Message::Error_,
        ];
        let rows = page.results.iter().map(|one| {
            let error = one.error.as_ref().map(|error| format!("{}: {}", error.code, error.message));
            vec![
                one.created_at.to_string(),
                one.kind.clone(),
                one.thing.clone(),
                one.agent.clone(),
                one.state.clone(),
                one.attempt.to_string(),
                error.unwrap_or_else(|| "-".into()),
            ]
        });
        table(language, &head, rows.collect())
    })
}

/// Query values of ours are words; anything else is escaped so that it stays one value.
fn escape(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { (b as char).to_string() } else { format!("%{b:02X}") })
        .collect()
}
