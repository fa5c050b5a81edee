//! `arame jobs`: what was asked of the agents, and the timeline of one thing or one job.

use crate::failure::CliError;
use crate::names;
use crate::session::Session;
use crate::table::{fields, plain, table};
use crate::wait;
use crate::words::Message;
use arame_schema::api::{Event, Job, Language, Page};
use clap::{Args, Subcommand};
use serde_json::json;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Jobs {
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Only those in this state, such as open or failed / 状態で絞り込む
    #[arg(long)]
    pub state: Option<String>,
    /// How many of the newest / 新しい順の件数
    #[arg(long, default_value_t = 50)]
    pub limit: u64,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// The whole story of one thing, or of one job / ひとつの対象または仕事の経過を表示する
    Show {
        /// Name or id of an instance or a volume, any other id, or a job's id / 名前、ID または仕事の ID
        what: String,
        /// Go on telling until interrupted / 続けて表示する
        #[arg(long, short = 'f', conflicts_with = "json")]
        follow: bool,
    },
}

/// Jobs of one thing that are shown beside its timeline.
const SHOWN_MAX: u64 = 20;

pub async fn run(session: &mut Session<'_>, jobs: Jobs) -> Result<(), CliError> {
    if let Some(Command::Show { what, follow }) = jobs.command {
        return show(session, &what, if follow { Telling::On } else { Telling::Once }).await;
    }
    let state = jobs.state.map(|state| format!("&state={}", escape(&state))).unwrap_or_default();
    let [page]: [Page<Job>; 1] = session.client.get(&format!("/jobs?limit={}{state}", jobs.limit)).await?;
    session.print(&page.results, |language| rows(language, &page.results))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Telling {
    Once,
    On,
}

async fn show(session: &mut Session<'_>, what: &str, telling: Telling) -> Result<(), CliError> {
    let one: Option<Job> = match uuid::Uuid::parse_str(what) {
        Ok(id) => Some(session.client.get(&format!("/jobs/{id}")).await?),
        Err(_) => None,
    };
    let id = match &one {
        Some(job) => job.thing.clone(),
        None => names::id_of_any(&session.client, what).await?,
    };
    let mut events = wait::events_of(&session.client, &id).await?;
    let jobs = match &one {
        Some(job) => {
            events.retain(|event| event.job.as_deref() == Some(&job.id));
            vec![job.clone()]
        }
        None => {
            let [page]: [Page<Job>; 1] =
                session.client.get(&format!("/jobs?thing={}&limit={SHOWN_MAX}", escape(&id))).await?;
            page.results
        }
    };
    let whole = json!({ "id": id, "events": events, "jobs": jobs });
    session.print(&whole, |language| {
        let heading = fields(language, vec![(Message::Thing, id.clone())]);
        format!("{heading}\n{}\n{}", timeline(language, &events), rows(language, &jobs))
    })?;
    if telling == Telling::On {
        let after = events.last().map_or(0, |event| event.id);
        let only = one.map(|job| job.id);
        let (_listener, mut events) = wait::listen(session.client.clone(), id, after);
        while let Some(event) = events.recv().await {
            if only.is_none() || event.job == only {
                writeln!(session.out, "{}  {}", event.at, plain(&event.text))?;
                session.out.flush()?;
            }
        }
    }
    Ok(())
}

/// Seconds count from the first event.
fn timeline(language: Language, events: &[Event]) -> String {
    let first = events.first().map_or(0, |event| event.at_ms);
    let lines = events.iter().map(|event| {
        let after = (event.at_ms - first) as f64 / 1000.0;
        vec![event.at.to_string(), format!("{after:.2} s"), event.text.clone()]
    });
    table(language, &[Message::At, Message::After, Message::Event], lines.collect())
}

fn rows(language: Language, jobs: &[Job]) -> String {
    let head = [
        Message::Created,
        Message::Kind,
        Message::Thing,
        Message::Agent,
        Message::State,
        Message::Attempt,
        Message::Error_,
    ];
    let rows = jobs.iter().map(|one| {
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
}

/// Query values of ours are words; anything else is escaped so that it stays one value.
fn escape(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { (b as char).to_string() } else { format!("%{b:02X}") })
        .collect()
}
