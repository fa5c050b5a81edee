//! `arame user …`
//!
//! Rule: a password is never an argument: it is typed without echo, or a line of standard input.

use super::record::escaped;
use crate::failure::{CliError, REFUSED};
use crate::login;
use crate::session::{Answer, Session};
use crate::table::{fields, table};
use crate::words::{Message, word};
use arame_schema::api::{Role, User, Whoami};
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List users / 一覧
    List,
    /// Show a user / 詳細を表示する
    Show {
        #[arg(value_name = "USER")]
        which: String,
    },
    /// Make a user; the password is asked for / 作成する（パスワードは入力で求めます）
    Create {
        #[arg(value_name = "NAME")]
        name: String,
        /// Full name / 表示名
        #[arg(long)]
        display_name: Option<String>,
        /// a-…:role, several allowed / 所属アカウントと役割（複数可）
        #[arg(long = "member", value_name = "ACCOUNT:ROLE", value_parser = membership)]
        members: Vec<Value>,
        /// Nobody signs in by that name yet / パスワードをまだ設定しない
        #[arg(long)]
        no_password: bool,
    },
    /// Change a user / 変更する
    Update {
        #[arg(value_name = "USER")]
        which: String,
        #[arg(long)]
        display_name: Option<String>,
        /// Replaces the memberships / 所属を置き換える
        #[arg(long = "member", value_name = "ACCOUNT:ROLE", value_parser = membership)]
        members: Vec<Value>,
        #[arg(long, value_name = "true|false")]
        enabled: Option<bool>,
        /// Ask for a new password; the sessions end / 新しいパスワードを設定する
        #[arg(long)]
        password: bool,
    },
    /// Change one's own password / 自分のパスワードを変更する
    Password,
    /// Delete a user / 削除する
    Delete {
        #[arg(value_name = "USER")]
        which: String,
    },
}

impl Command {
    /// Whether a member's token is not enough.
    pub fn is_operators(&self) -> bool {
        !matches!(self, Command::Password)
    }
}

fn membership(text: &str) -> Result<Value, String> {
    let known = text.split_once(':').and_then(|(account, role)| Some((account, Role::parse(role)?)));
    let (account, role) = known.ok_or("a-…:admin | operator | member | auditor")?;
    Ok(json!({ "account_id": account, "role": role.as_str() }))
}

pub async fn run(session: &mut Session<'_>, command: Command) -> Result<(), CliError> {
    match command {
        Command::List => list(session).await,
        Command::Show { which } => {
            let view = find(session, &which).await?;
            show(session, &view)
        }
        Command::Create { name, display_name, members, no_password } => {
            let mut body = json!({ "name": name, "memberships": members });
            put(&mut body, "display_name", json!(display_name));
            if !no_password {
                body["password"] = json!(login::secret(Message::AskNewPassword, session.language())?);
            }
            let view: User = session.client.post("/users", &body).await?;
            show(session, &view)
        }
        Command::Update { which, display_name, members, enabled, password } => {
            let user = find(session, &which).await?;
            let mut body = json!({});
            put(&mut body, "display_name", json!(display_name));
            put(&mut body, "enabled", json!(enabled));
            if !members.is_empty() {
                body["memberships"] = json!(members);
            }
            if password {
                body["password"] = json!(login::secret(Message::AskNewPassword, session.language())?);
            }
            let view: User = session.client.put(&format!("/users/{}", user.id), &body).await?;
            show(session, &view)
        }
        Command::Password => {
            let password = login::secret(Message::AskPassword, session.language())?;
            let new_password = login::secret(Message::AskNewPassword, session.language())?;
            let body = json!({ "password": password, "new_password": new_password });
            let me: Whoami = session.client.put("/whoami/password", &body).await?;
            session.remark(Message::Decided, &[("id", &me.token)]);
            session.print(&me, |_| String::new())
        }
        Command::Delete { which } => {
            let user = find(session, &which).await?;
            let gone: Vec<String> = session.client.delete(&format!("/users/{}", user.id)).await?;
            session.remark(Message::Deleted, &[("id", &user.id)]);
            session.print(&gone, |_| String::new())
        }
    }
}

fn put(body: &mut Value, name: &str, value: Value) {
    if !value.is_null() {
        body[name] = value;
    }
}

/// By id or by name.
async fn find(session: &Session<'_>, which: &str) -> Result<User, CliError> {
    if which.starts_with("u-") {
        match session.client.get(&format!("/users/{}", escaped(which))).await {
            // Somebody may be called so.
            Err(CliError::Refused(body))
                if ["unknown_resource", "invalid_parameter"].contains(&body.reason.as_str()) => {}
            other => return other,
        }
    }
    let users: Vec<User> = session.client.list("/users").await?;
    let known: Vec<String> = users.iter().map(|user| user.name.clone()).collect();
    let found = users.into_iter().find(|user| user.id == which || user.name == which);
    let language = session.language();
    found.ok_or_else(|| {
        let words = [Message::UnknownName, Message::UnknownNameCause, Message::UnknownNameNext];
        let values = [("kind", word(language, Message::User)), ("name", which), ("known", &known.join(", "))];
        CliError::own(REFUSED, language, words, &values)
    })
}

fn memberships(user: &User) -> String {
    let told = user.memberships.iter().map(|one| format!("{}:{}", one.account_id, one.role.as_str()));
    told.collect::<Vec<_>>().join(", ")
}

async fn list(session: &mut Session<'_>) -> Result<(), CliError> {
    let users: Vec<User> = session.client.list("/users").await?;
    session.print(&users, |language| {
        let rows = users.iter().map(|one| {
            let enabled = if one.enabled { Message::Yes } else { Message::No };
            vec![
                one.id.clone(),
                one.name.clone(),
                one.display_name.clone().unwrap_or_default(),
                word(language, enabled).into(),
                memberships(one),
                one.created_at.to_string(),
            ]
        });
        let head =
            [Message::Id, Message::User, Message::Name, Message::Enabled, Message::Memberships, Message::Created];
        table(language, &head, rows.collect())
    })
}

fn show(session: &mut Session<'_>, view: &User) -> Result<(), CliError> {
    let enabled = session.yes_no(Answer::from(view.enabled)).to_owned();
    session.print(view, |language| {
        fields(
            language,
            vec![
                (Message::Id, view.id.clone()),
                (Message::User, view.name.clone()),
                (Message::Name, view.display_name.clone().unwrap_or_default()),
                (Message::Enabled, enabled),
                (Message::Memberships, memberships(view)),
                (Message::Created, view.created_at.to_string()),
            ],
        )
    })
}
