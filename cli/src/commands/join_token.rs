//! `arame join-token …`: what lets one machine join, once.
//!
//! Rule: the line that is typed on the new machine stands alone on standard output, once.

use super::record::escaped;
use crate::failure::CliError;
use crate::session::Session;
use crate::table::table;
use crate::words::{Message, word};
use arame_schema::api::{JoinToken, JoinTokenState, Language};
use clap::Subcommand;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List them, newest first / 一覧
    List,
    /// Show one: by which machine, when and from where it was used / 詳細を表示する
    Show {
        #[arg(value_name = "JOIN_TOKEN")]
        which: String,
    },
    /// Invite a machine: kind and name of its agent, such as hva.h3 / 機械を招待する
    Create {
        #[arg(value_name = "AGENT")]
        agent: String,
        /// Hours in which it is good / 有効時間
        #[arg(long, value_name = "HOURS", default_value_t = 1)]
        hours: u64,
    },
    /// Revoke one that was not used / 使われていないものを取り消す
    Revoke {
        #[arg(value_name = "JOIN_TOKEN")]
        which: String,
    },
}

pub async fn run(session: &mut Session<'_>, command: Command) -> Result<(), CliError> {
    match command {
        Command::List => {
            let tokens: Vec<JoinToken> = session.client.list("/join_tokens").await?;
            session.print(&tokens, |language| many(language, &tokens))
        }
        Command::Show { which } => {
            let view: JoinToken = session.client.get(&format!("/join_tokens/{}", escaped(&which))).await?;
            session.print(&view, |language| many(language, std::slice::from_ref(&view)))
        }
        Command::Create { agent, hours } => {
            let body = json!({ "agent": agent, "expires_in": hours.saturating_mul(3600) });
            let view: JoinToken = session.client.post("/join_tokens", &body).await?;
            let until = view.expires_at.to_string();
            session.remark(Message::Invitation, &[("id", &view.id), ("until", &until)]);
            let invitation = view.invitation.clone().unwrap_or_default();
            session.print(&view, |_| format!("arame join {invitation}\n"))
        }
        Command::Revoke { which } => {
            let view: JoinToken = session.client.delete(&format!("/join_tokens/{}", escaped(&which))).await?;
            session.print(&view, |language| many(language, std::slice::from_ref(&view)))
        }
    }
}

fn state(language: Language, state: JoinTokenState) -> &'static str {
    let message = match state {
        JoinTokenState::Open => Message::JoinTokenOpen,
        JoinTokenState::Used => Message::JoinTokenUsed,
        JoinTokenState::Expired => Message::JoinTokenExpired,
        JoinTokenState::Revoked => Message::JoinTokenRevoked,
    };
    word(language, message)
}

fn many(language: Language, tokens: &[JoinToken]) -> String {
    let rows = tokens.iter().map(|one| {
        vec![
            one.id.clone(),
            one.agent.clone(),
            state(language, one.state).to_owned(),
            one.created_by.clone(),
            one.expires_at.to_string(),
            one.used_at.map_or_else(|| "-".to_owned(), |at| at.to_string()),
            one.used_from.clone().unwrap_or_else(|| "-".to_owned()),
            one.used_machine.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    });
    let head = [
        Message::Id,
        Message::Agent,
        Message::State,
        Message::Token,
        Message::Expires,
        Message::UsedAt,
        Message::UsedFrom,
        Message::Machine,
    ];
    table(language, &head, rows.collect())
}
