//! `arame token …` and `arame audit-log`
//!
//! Rule: a secret is written to a file only its owner can read when one is named, else printed alone on standard output,
//! once.

use super::record::escaped;
use crate::failure::{CliError, USAGE};
use crate::session::Session;
use crate::table::table;
use crate::words::{Message, say};
use arame_schema::api::{AuditEntry, Language, Page, Token};
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List tokens / 一覧
    List,
    /// Show one; its secret is not in it / 詳細を表示する
    Show {
        #[arg(value_name = "TOKEN")]
        which: String,
    },
    /// Make a token / 発行する
    Create {
        /// admin, operator, member or auditor / 役割
        #[arg(long, default_value = "member")]
        role: String,
        #[arg(long)]
        name: Option<String>,
        /// Days until it ends / 有効日数 [default: it does not end]
        #[arg(long, value_name = "DAYS")]
        days: Option<u64>,
        /// Where the secret goes instead of standard output / 保存先
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
    },
    /// Revoke a token at once / 直ちに失効させる
    Revoke {
        #[arg(value_name = "TOKEN")]
        which: String,
    },
}

#[derive(Debug, Args)]
pub struct AuditLog {
    /// How many of the newest / 新しい順の件数
    #[arg(long, default_value_t = 50)]
    pub limit: u64,
}

pub async fn run(session: &mut Session<'_>, command: Command) -> Result<(), CliError> {
    match command {
        Command::List => list(session).await,
        Command::Show { which } => {
            let view: Token = session.client.get(&format!("/tokens/{}", escaped(&which))).await?;
            session.print(&view, |language| many(language, std::slice::from_ref(&view)))
        }
        Command::Create { role, name, days, secret_file } => {
            let mut body = json!({ "role": role });
            if let Some(name) = name {
                body["display_name"] = json!(name);
            }
            if let Some(days) = days {
                body["expires_in"] = json!(days.saturating_mul(24 * 3600));
            }
            create(session, &body, secret_file).await
        }
        Command::Revoke { which } => {
            let gone: Vec<String> = session.client.delete(&format!("/tokens/{which}")).await?;
            session.remark(Message::Deleted, &[("id", &which)]);
            session.print(&gone, |_| String::new())
        }
    }
}

async fn create(session: &mut Session<'_>, body: &serde_json::Value, file: Option<PathBuf>) -> Result<(), CliError> {
    // Opened before the token is made: a secret that could not be kept would be lost.
    let mut kept = None;
    if let Some(path) = file {
        let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let opened = opened.map_err(|source| {
            let shown = path.display().to_string();
            let sentence = say(session.language(), Message::FileUnwritable, &[("path", &shown)]);
            CliError::because(USAGE, sentence, source, session.word(Message::FileNext).into())
        })?;
        kept = Some((opened, path));
    }
    let made: Result<Token, CliError> = session.client.post("/tokens", body).await;
    let view = match made {
        Ok(view) => view,
        Err(refused) => {
            if let Some((_, path)) = kept {
                let _ = std::fs::remove_file(path);
            }
            return Err(refused);
        }
    };
    let secret = view.secret.clone().unwrap_or_default();
    if let Some((mut opened, path)) = kept {
        writeln!(opened, "{secret}")?;
        opened.sync_all()?;
        session.remark(Message::SecretOnce, &[("id", &view.id), ("path", &path.display().to_string())]);
        return session.print(&Token { secret: None, ..view }, |_| String::new());
    }
    session.remark(Message::SecretShownOnce, &[("id", &view.id)]);
    session.print(&view, |_| format!("{secret}\n"))
}

async fn list(session: &mut Session<'_>) -> Result<(), CliError> {
    let tokens: Vec<Token> = session.client.list("/tokens").await?;
    session.print(&tokens, |language| many(language, &tokens))
}

fn many(language: Language, tokens: &[Token]) -> String {
    let moment = |at: Option<arame_schema::api::Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let rows = tokens.iter().map(|one| {
        vec![
            one.id.clone(),
            one.account_id.clone(),
            one.role.as_str().to_owned(),
            one.display_name.clone().unwrap_or_default(),
            one.created_at.to_string(),
            moment(one.expires_at),
            moment(one.last_used_at),
        ]
    });
    let head = [
        Message::Id,
        Message::Account,
        Message::Role,
        Message::Name,
        Message::Created,
        Message::Expires,
        Message::LastUsed,
    ];
    table(language, &head, rows.collect())
}

pub async fn audit_log(session: &mut Session<'_>, log: AuditLog) -> Result<(), CliError> {
    let [page]: [Page<AuditEntry>; 1] = session.client.get(&format!("/audit_log?limit={}", log.limit)).await?;
    session.print(&page.results, |language| {
        let rows = page.results.iter().map(|one| {
            vec![
                one.at.to_string(),
                one.token.clone(),
                one.account.clone(),
                one.address.clone(),
                one.verb.clone(),
                one.resource.clone(),
            ]
        });
        let head = [Message::At, Message::Token, Message::Account, Message::Address, Message::Event, Message::Thing];
        table(language, &head, rows.collect())
    })
}
