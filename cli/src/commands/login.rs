//! `arame login`, `arame logout`, `arame whoami`

use crate::client::Client;
use crate::failure::{CliError, USAGE};
use crate::login::{self, Login};
use crate::session::Session;
use crate::settings::Settings;
use crate::table::fields;
use crate::words::Message;
use arame_schema::api::{Session as Signed, Whoami};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct LoginArgs {
    /// User name; without it the login name of this machine / 利用者名
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Keep a token read from standard input instead / トークンを標準入力から読んで保存する
    #[arg(long, conflicts_with = "name")]
    pub with_token: bool,
}

#[derive(Debug, Args)]
pub struct LogoutArgs {}

#[derive(Debug, Args)]
pub struct WhoamiArgs {}

fn kept(session: &Session<'_>) -> Result<PathBuf, CliError> {
    let words = [Message::NoHome, Message::NoHomeCause, Message::NoHomeNext];
    login::path().ok_or_else(|| CliError::own(USAGE, session.language(), words, &[]))
}

/// Signs in, or takes a token; tries it; keeps it.
pub async fn login(session: &mut Session<'_>, args: LoginArgs) -> Result<(), CliError> {
    let (path, language) = (kept(session)?, session.language());
    let token = if args.with_token {
        login::secret(Message::AskToken, language)?
    } else {
        let own = || std::env::var("USER").unwrap_or_default();
        let name = args.name.unwrap_or_else(own);
        let password = login::secret(Message::AskPassword, language)?;
        let mut body = json!({ "name": name, "password": password });
        if let Some(account) = &session.client.settings().account {
            body["account_id"] = json!(account);
        }
        let signed: Signed = session.client.post("/sessions", &body).await?;
        signed.secret.unwrap_or_default()
    };
    let settings = Settings { token: token.clone(), ..session.client.settings().clone() };
    let url = settings.url.clone();
    let me: Whoami = Client::new(settings)?.get("/whoami").await?;
    login::write(&path, &Login { url, token }, language)?;
    session.remark(Message::LoggedIn, &[("path", &path.display().to_string())]);
    show(session, &me)
}

/// Ends the session and forgets the login. A token that is no session stays as it is: only the file goes.
pub async fn logout(session: &mut Session<'_>) -> Result<(), CliError> {
    let path = kept(session)?;
    let Some(Login { url, token }) = login::read(&path) else {
        session.remark(Message::NotLoggedIn, &[]);
        return Ok(());
    };
    let settings = Settings { url, token, account: None, ..session.client.settings().clone() };
    let ended: Result<Vec<String>, CliError> = Client::new(settings)?.delete("/sessions/current").await;
    std::fs::remove_file(&path)?;
    session.remark(Message::LoggedOut, &[]);
    match ended {
        // It ended before, or is no session.
        Ok(_) | Err(CliError::Refused(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

pub async fn whoami(session: &mut Session<'_>) -> Result<(), CliError> {
    let me: Whoami = session.client.get("/whoami").await?;
    show(session, &me)
}

fn show(session: &mut Session<'_>, me: &Whoami) -> Result<(), CliError> {
    session.print(me, |language| {
        let user = me.user.as_ref().map(|user| user.name.clone()).unwrap_or_else(|| "-".into());
        fields(
            language,
            vec![
                (Message::User, user),
                (Message::Token, me.token.clone()),
                (Message::Role, me.role.as_str().to_owned()),
                (Message::Account, me.account_id.clone().unwrap_or_else(|| "all".into())),
                (Message::Expires, me.expires_at.map_or_else(|| "-".to_owned(), |at| at.to_string())),
            ],
        )
    })
}
