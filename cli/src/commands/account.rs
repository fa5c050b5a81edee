//! `arame account …`

mod bulk;

use super::record::escaped;
use crate::failure::CliError;
use crate::session::{Answer, Session};
use crate::table::{fields, table};
use crate::words::{Message, word};
use arame_schema::api::{Account, AccountUsage, Language, UsageOverTime, UsageTotal};
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List accounts / 一覧
    List,
    /// Show an account / 詳細を表示する
    Show {
        #[arg(value_name = "ACCOUNT")]
        which: String,
    },
    /// What it uses now, or used in a time / 現在の、またはある期間の利用量
    Usage {
        #[arg(value_name = "ACCOUNT")]
        which: String,
        /// From then on: 2026-11-01, 2026-11-01T09:00:00Z / 開始
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Until then / 終了 [default: now]
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// A table for a spreadsheet / CSV で出力する
        #[arg(long, conflicts_with = "json")]
        csv: bool,
    },
    /// Let its tokens in / 有効にする
    Enable {
        #[arg(value_name = "ACCOUNT")]
        which: String,
    },
    /// Refuse its tokens; what it has goes on / 無効にする（動いているものはそのまま）
    Disable {
        #[arg(value_name = "ACCOUNT")]
        which: String,
    },
    #[command(flatten)]
    Everything(bulk::Command),
    /// Make an account / 作成する
    Create {
        /// a-…; one is chosen without it / ID
        #[arg(long)]
        id: Option<String>,
        #[command(flatten)]
        words: Words,
        /// Most instances at once / インスタンス数の上限
        #[arg(long, value_name = "NUMBER")]
        instances: Option<u64>,
        /// Most volumes at once / ボリューム数の上限
        #[arg(long, value_name = "NUMBER")]
        volumes: Option<u64>,
    },
    /// Change an account / 変更する
    Update {
        #[arg(value_name = "ACCOUNT")]
        which: String,
        #[command(flatten)]
        words: Words,
        /// Most instances at once, or none / インスタンス数の上限、または none
        #[arg(long, value_name = "NUMBER")]
        instances: Option<String>,
        /// Most volumes at once, or none / ボリューム数の上限、または none
        #[arg(long, value_name = "NUMBER")]
        volumes: Option<String>,
        /// Let its tokens in, or not / トークンを受け付けるかどうか
        #[arg(long, value_name = "true|false")]
        enabled: Option<bool>,
    },
    /// Delete an account with nothing left in it / 空のアカウントを削除する
    Delete {
        #[arg(value_name = "ACCOUNT")]
        which: String,
    },
}

impl Command {
    /// Whether a member's token is not enough.
    pub fn is_operators(&self) -> bool {
        match self {
            Command::Create { .. } | Command::Update { .. } | Command::Delete { .. } => true,
            Command::Enable { .. } | Command::Disable { .. } => true,
            Command::List | Command::Show { .. } | Command::Usage { .. } | Command::Everything(_) => false,
        }
    }
}

#[derive(Debug, clap::Args)]
pub struct Words {
    #[arg(long)]
    pub name: Option<String>,
    #[arg(long)]
    pub description: Option<String>,
}

pub async fn run(session: &mut Session<'_>, command: Command) -> Result<(), CliError> {
    match command {
        Command::List => list(session).await,
        Command::Show { which } => {
            let view: Account = session.client.get(&format!("/accounts/{which}")).await?;
            show(session, &view)
        }
        Command::Usage { which, since: None, until: None, csv: false } => {
            let view: AccountUsage = session.client.get(&format!("/accounts/{which}/usage")).await?;
            session.print(&view, |language| {
                let rows = view.0.iter().map(|(key, value)| vec![key.clone(), value.to_string()]);
                table(language, &[Message::Kind, Message::Used], rows.collect())
            })
        }
        Command::Usage { which, since, until, csv } => usage(session, &which, (since, until), csv).await,
        Command::Enable { which } => set_enabled(session, &which, true).await,
        Command::Disable { which } => set_enabled(session, &which, false).await,
        Command::Everything(command) => bulk::run(session, command).await,
        Command::Create { id, words, instances, volumes } => {
            let limits = [("id", json!(id)), ("quota_instances", json!(instances)), ("quota_volumes", json!(volumes))];
            let view: Account = session.client.post("/accounts", &body(words, limits)).await?;
            show(session, &view)
        }
        Command::Update { which, words, instances, volumes, enabled } => {
            let limits =
                [("enabled", json!(enabled)), ("quota_instances", json!(instances)), ("quota_volumes", json!(volumes))];
            let view: Account = session.client.put(&format!("/accounts/{which}"), &body(words, limits)).await?;
            show(session, &view)
        }
        Command::Delete { which } => {
            let gone: Vec<String> = session.client.delete(&format!("/accounts/{which}")).await?;
            session.remark(Message::Deleted, &[("id", &which)]);
            session.print(&gone, |_| String::new())
        }
    }
}

async fn set_enabled(session: &mut Session<'_>, which: &str, enabled: bool) -> Result<(), CliError> {
    let view: Account = session.client.put(&format!("/accounts/{which}"), &json!({ "enabled": enabled })).await?;
    show(session, &view)
}

/// What it used in a time, by kind.
async fn usage(
    session: &mut Session<'_>,
    which: &str,
    (since, until): (Option<String>, Option<String>),
    csv: bool,
) -> Result<(), CliError> {
    let moments = [("since", since), ("until", until)];
    let pairs = moments.into_iter().filter_map(|(name, text)| Some(format!("{name}={}", escaped(&text?))));
    let query: Vec<String> = pairs.chain(csv.then(|| "format=csv".to_owned())).collect();
    let path = format!("/accounts/{which}/usage?{}", query.join("&"));
    if csv {
        let text = session.client.text(&path).await?;
        session.out.write_all(text.as_bytes())?;
        return Ok(());
    }
    let view: UsageOverTime = session.client.get(&path).await?;
    session.print(&view, |language| {
        let row = |one: &UsageTotal| {
            vec![
                one.resource_type.clone(),
                one.what.clone(),
                one.resources.to_string(),
                format!("{:.3}", one.seconds),
                format!("{:.3}", one.cpu_core_seconds),
                format!("{:.3}", one.memory_gigabyte_seconds),
                format!("{:.3}", one.disk_gigabyte_seconds),
            ]
        };
        let head = [
            Message::Kind,
            Message::What,
            Message::Count,
            Message::Seconds,
            Message::CpuSeconds,
            Message::MemorySeconds,
            Message::DiskSeconds,
        ];
        let text = table(language, &head, view.totals.iter().map(row).collect());
        format!("{} - {}\n{text}", view.since, view.until)
    })
}

/// Only what was given.
fn body(words: Words, more: [(&str, Value); 3]) -> Value {
    let mut body = serde_json::Map::new();
    let words = [("display_name", json!(words.name)), ("description", json!(words.description))];
    for (name, value) in words.into_iter().chain(more).filter(|(_, value)| !value.is_null()) {
        body.insert(name.to_owned(), value);
    }
    Value::Object(body)
}

async fn list(session: &mut Session<'_>) -> Result<(), CliError> {
    let accounts: Vec<Account> = session.client.list("/accounts").await?;
    session.print(&accounts, |language| {
        let rows = accounts.iter().map(|one| {
            let name = one.display_name.clone().unwrap_or_default();
            let enabled = if one.enabled { Message::Yes } else { Message::No };
            vec![
                one.id.clone(),
                name,
                one.description.clone(),
                word(language, enabled).into(),
                limit(one.quota_instances),
                limit(one.quota_volumes),
                one.created_at.to_string(),
            ]
        });
        let head = [
            Message::Account,
            Message::Name,
            Message::Description,
            Message::Enabled,
            Message::QuotaInstances,
            Message::QuotaVolumes,
            Message::Created,
        ];
        table(language, &head, rows.collect())
    })
}

fn limit(quota: Option<u64>) -> String {
    quota.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

fn show(session: &mut Session<'_>, view: &Account) -> Result<(), CliError> {
    let enabled = session.yes_no(Answer::from(view.enabled)).to_owned();
    session.print(view, |language: Language| {
        fields(
            language,
            vec![
                (Message::Account, view.id.clone()),
                (Message::Name, view.display_name.clone().unwrap_or_default()),
                (Message::Description, view.description.clone()),
                (Message::Enabled, enabled),
                (Message::QuotaInstances, limit(view.quota_instances)),
                (Message::QuotaVolumes, limit(view.quota_volumes)),
                (Message::Created, view.created_at.to_string()),
            ],
        )
    })
}
