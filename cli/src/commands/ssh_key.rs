//! `arame ssh-key …`
//!
//! Rule: a private key made by the API is written to a file only its owner can read, before anything is printed.

use super::instance::read_file;
use crate::failure::{CliError, USAGE};
use crate::names;
use crate::session::Session;
use crate::table::{fields, table};
use crate::words::{Message, say};
use arame_schema::api::{Language, SshKeyPair, UpdateSshKeyPair};
use clap::Subcommand;
use serde_json::json;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List SSH keys / 一覧
    List,
    /// Register a public key, or make a pair / 公開鍵を登録する、または鍵の組を作る
    Create {
        #[arg(long)]
        name: String,
        /// File with the public key; without it a pair is made / 公開鍵のファイル
        #[arg(long, value_name = "FILE")]
        public_key: Option<String>,
        /// Where the private key of a made pair goes / 秘密鍵の保存先 [default: keys/NAME in --dir]
        #[arg(long, value_name = "FILE")]
        private_key: Option<PathBuf>,
    },
    /// Show a key / 詳細を表示する
    Show { key: String },
    /// Change its words / 名前や説明を変える
    Update {
        key: String,
        #[arg(long)]
        name: Option<String>,
        #[arg(long)]
        description: Option<String>,
    },
    /// Delete a key / 削除する
    Delete {
        key: String,
        /// Also when a live instance has it / 使用中でも削除する
        #[arg(long)]
        force: bool,
    },
}

pub async fn run(session: &mut Session<'_>, command: Command) -> Result<(), CliError> {
    match command {
        Command::List => {
            let keys: Vec<SshKeyPair> = session.client.list("/ssh_key_pairs").await?;
            session.print(&keys, |language| {
                let rows = keys.iter().map(|one| {
                    let name = one.display_name.clone().unwrap_or_default();
                    vec![one.id.clone(), name, one.finger_print.clone(), one.created_at.to_string()]
                });
                let head = [Message::Id, Message::Name, Message::Fingerprint, Message::Created];
                table(language, &head, rows.collect())
            })
        }
        Command::Create { name, public_key, private_key } => create(session, &name, public_key, private_key).await,
        Command::Show { key } => {
            let view: SshKeyPair = names::get(&session.client, &key).await?;
            session.print(&view, |language| show(language, &view))
        }
        Command::Update { key, name, description } => {
            let id = names::id_of::<SshKeyPair>(&session.client, &key).await?;
            let body = UpdateSshKeyPair { display_name: name, description };
            let _: Vec<String> = session.client.put(&format!("/ssh_key_pairs/{id}"), &body).await?;
            let view: SshKeyPair = session.client.get(&format!("/ssh_key_pairs/{id}")).await?;
            session.print(&view, |language| show(language, &view))
        }
        Command::Delete { key, force } => {
            let id = names::id_of::<SshKeyPair>(&session.client, &key).await?;
            let force = if force { "?force=true" } else { "" };
            let answer: Vec<String> = session.client.delete(&format!("/ssh_key_pairs/{id}{force}")).await?;
            session.remark(Message::Deleted, &[("id", &id)]);
            session.print(&answer, |_| String::new())
        }
    }
}

fn show(language: Language, one: &SshKeyPair) -> String {
    let pairs = vec![
        (Message::Id, one.id.clone()),
        (Message::Name, one.display_name.clone().unwrap_or_default()),
        (Message::Fingerprint, one.finger_print.clone()),
        (Message::Description, one.description.clone()),
        (Message::Created, one.created_at.to_string()),
    ];
    fields(language, pairs)
}

async fn create(
    session: &mut Session<'_>,
    name: &str,
    public_key: Option<String>,
    private_key: Option<PathBuf>,
) -> Result<(), CliError> {
    let mut body = json!({ "display_name": name });
    // Opened before the pair is made: a key that could not be kept would be lost.
    let mut kept = None;
    match public_key {
        Some(path) => body["public_key"] = json!(read_file(session, &path)?),
        None => {
            let plain = name.replace('/', "_");
            let path = private_key.unwrap_or_else(|| session.client.settings().dir.join("keys").join(plain));
            kept = Some((open(session, &path)?, path));
        }
    }
    let made: Result<SshKeyPair, CliError> = session.client.post("/ssh_key_pairs", &body).await;
    let mut view = match made {
        Ok(view) => view,
        Err(refused) => {
            if let Some((_, path)) = kept {
                let _ = std::fs::remove_file(path);
            }
            return Err(refused);
        }
    };
    if let (Some((mut file, path)), Some(secret)) = (kept, view.private_key.take()) {
        let shown = path.display().to_string();
        file.write_all(secret.as_bytes()).map_err(|source| unwritable(session, &shown, source))?;
        session.remark(Message::PrivateKeyOnce, &[("path", &shown)]);
    }
    session.print(&view, |_| format!("{}  {}\n", view.id, view.finger_print))
}

fn open(session: &Session<'_>, path: &std::path::Path) -> Result<std::fs::File, CliError> {
    let shown = path.display().to_string();
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|source| unwritable(session, &shown, source))?;
    }
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    opened.map_err(|source| unwritable(session, &shown, source))
}

fn unwritable(session: &Session<'_>, path: &str, source: std::io::Error) -> CliError {
    let sentence = say(session.language(), Message::FileUnwritable, &[("path", path)]);
    CliError::because(USAGE, sentence, source, session.word(Message::FileNext).into())
}
