//! `arame instance …`

mod create;
pub(crate) mod forecast;
mod show;
pub mod usage;

use super::{Waiting, copies, record};
use crate::failure::{CliError, USAGE, WAIT_FAILED};
use crate::names;
use crate::session::Session;
use crate::table;
use crate::wait::{self, Goal};
use crate::words::{Message, say};
use arame_schema::api::{
    DeletePlan, Event, HostNode, Instance, InstancePassword, Placement, SecurityGroup, SshKeyPair,
};
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub use create::Create;
pub(super) use show::addresses;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create an instance / 作成する
    Create(Box<Create>),
    /// List instances / 一覧
    List {
        /// Terminated ones too / 削除済みも含める
        #[arg(long)]
        all: bool,
    },
    /// Show an instance / 詳細を表示する
    Show { instance: String },
    /// Its serial console at this terminal; Ctrl-] leaves / シリアルコンソールを開く（Ctrl-] で終了）
    Console(super::console::Console),
    /// Print the end of its serial console / コンソールログを表示する
    ConsoleLog {
        instance: String,
        /// How much of the end / 末尾のバイト数
        #[arg(long)]
        bytes: Option<u64>,
    },
    /// A picture of its screen, into a PNG file / 画面を PNG ファイルに保存する
    Screenshot { instance: String, file: PathBuf },
    /// Switch off / 電源を切る
    Poweroff {
        instance: String,
        /// At once, without asking the guest / 強制的に切る
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Switch on / 電源を入れる
    Poweron {
        instance: String,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Bring to another host while it runs / 動かしたまま別のホストへ移す
    Move {
        instance: String,
        /// The host it goes to / 移動先のホスト
        #[arg(long, value_name = "HOST", required_unless_present = "cancel")]
        to: Option<String>,
        /// Take the move back / 移動を取りやめる
        #[arg(long, conflicts_with = "to")]
        cancel: bool,
        /// Move nothing, say how long it would take / 移動せず、見込み時間と影響だけを表示する
        #[arg(long, requires = "to", conflicts_with = "cancel")]
        plan: bool,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Make an image of its disk, from which others start / ディスクからイメージを作る
    Backup(copies::Backup),
    /// Change its name, key or groups / 名前・鍵・グループを変更する
    Update {
        instance: String,
        /// Its new name; the hostname stays / 表示名
        #[arg(long)]
        name: Option<String>,
        /// Of its next start / 次の起動から使う SSH 鍵
        #[arg(long)]
        ssh_key: Option<String>,
        /// In place of those it has, several allowed / セキュリティグループ（複数可、置き換え）
        #[arg(long)]
        security_group: Vec<String>,
        /// When its guest dies: always (started again), on-failure or never / 異常終了時の方針
        #[arg(long, value_name = "POLICY")]
        restart_policy: Option<String>,
    },
    /// The password its guest made, encrypted for its key / 暗号化されたパスワード
    Password {
        instance: String,
        /// Forget it / 消す
        #[arg(long)]
        forget: bool,
    },
    #[command(flatten)]
    Part(record::Part),
    /// Reboot / 再起動する
    Reboot { instance: String },
    /// Delete, with its boot disk / 削除する（起動ディスクも消えます）
    Delete {
        instance: String,
        /// Delete nothing, say what would go / 削除せず影響だけを表示する
        #[arg(long)]
        plan: bool,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// What its guest uses now and used in the last hour / CPU・メモリー・ディスク・ネットワークの使用量
    Usage { instance: String },
    /// What happened to it / これまでの出来事
    Timeline { instance: String },
    /// Why it is on its host, or on none / 配置の判定
    Placement { instance: String },
}

pub async fn run(session: &mut Session<'_>, command: Command) -> Result<(), CliError> {
    match command {
        Command::Create(create) => create::run(session, *create).await,
        Command::List { all } => list(session, all).await,
        Command::Show { instance } => {
            let view: Instance = names::get(&session.client, &instance).await?;
            session.print(&view, |language| show::one(language, &view))
        }
        Command::Console(console) => super::console::run(session, console).await,
        Command::ConsoleLog { instance, bytes } => console_log(session, &instance, bytes).await,
        Command::Screenshot { instance, file } => screenshot(session, &instance, &file).await,
        Command::Poweroff { instance, force, waiting } => {
            let wish = Wish { path: "/poweroff", body: json!({ "force": force }), states: &["halted"] };
            change(session, &instance, wish, waiting).await
        }
        Command::Poweron { instance, waiting } => {
            let wish = Wish { path: "/poweron", body: json!({}), states: &["running"] };
            change(session, &instance, wish, waiting).await
        }
        Command::Move { instance, to: Some(to), plan: true, .. } => {
            let id = names::id_of::<Instance>(&session.client, &instance).await?;
            let to = names::id_of::<HostNode>(&session.client, &to).await?;
            let plan = forecast::ask(session, &id, &to).await?;
            session.print(&plan, |language| forecast::plan(language, &plan))
        }
        Command::Move { instance, to, waiting, .. } => move_to(session, &instance, to.as_deref(), waiting).await,
        Command::Backup(asked) => copies::back_up(session, asked).await,
        Command::Update { instance, name, ssh_key, security_group, restart_policy } => {
            update(session, &instance, (name, ssh_key, security_group, restart_policy)).await
        }
        Command::Password { instance, forget } => password(session, &instance, forget).await,
        Command::Part(part) => {
            let part = part.named::<Instance>(session).await?;
            record::run_part(session, &record::INSTANCES, part).await
        }
        Command::Reboot { instance } => reboot(session, &instance).await,
        Command::Delete { instance, plan: true, .. } => {
            let id = names::id_of::<Instance>(&session.client, &instance).await?;
            let plan: DeletePlan = session.client.delete(&format!("/instances/{id}?plan=true")).await?;
            session.print(&plan, |language| show::delete_plan(language, &plan))
        }
        Command::Delete { instance, waiting, .. } => delete(session, &instance, waiting).await,
        Command::Usage { instance } => usage::run(session, &instance).await,
        Command::Timeline { instance } => timeline(session, &instance).await,
        Command::Placement { instance } => {
            let id = names::id_of::<Instance>(&session.client, &instance).await?;
            let placement: Placement = session.client.get(&format!("/instances/{id}/placement")).await?;
            session.print(&placement, |language| show::placement(language, &placement))
        }
    }
}

async fn list(session: &mut Session<'_>, all: bool) -> Result<(), CliError> {
    let mut instances: Vec<Instance> = session.client.list("/instances").await?;
    instances.retain(|one| all || one.terminated_at.is_none());
    session.print(&instances, |language| show::many(language, &instances))
}

pub(super) async fn console_log(session: &mut Session<'_>, instance: &str, bytes: Option<u64>) -> Result<(), CliError> {
    let id = names::id_of::<Instance>(&session.client, instance).await?;
    let bytes = bytes.map(|bytes| format!("?bytes={bytes}")).unwrap_or_default();
    let text = session.client.text(&format!("/instances/{id}/console_log{bytes}")).await?;
    session.print(&json!({ "id": id, "console_log": text }), |_| {
        if text.ends_with('\n') || text.is_empty() { text.clone() } else { format!("{text}\n") }
    })
}

async fn screenshot(session: &mut Session<'_>, instance: &str, file: &Path) -> Result<(), CliError> {
    let id = names::id_of::<Instance>(&session.client, instance).await?;
    let picture = session.client.bytes(&format!("/instances/{id}/screenshot.png")).await?;
    let path = file.display().to_string();
    std::fs::write(file, &picture).map_err(|source| {
        let sentence = say(session.language(), Message::FileUnwritable, &[("path", &path)]);
        CliError::because(USAGE, sentence, source, session.word(Message::FileNext).into())
    })?;
    session.print(&json!({ "id": id, "file": path, "bytes": picture.len() }), |_| format!("{path}\n"))
}

/// A change of power: what is sent, and the states that fulfil it.
struct Wish {
    path: &'static str,
    body: Value,
    states: &'static [&'static str],
}

async fn change(session: &mut Session<'_>, instance: &str, wish: Wish, waiting: Waiting) -> Result<(), CliError> {
    let id = names::id_of::<Instance>(&session.client, instance).await?;
    let after = if waiting.wait { wait::newest_event(&session.client, &id).await? } else { 0 };
    let _: Value = session.client.put(&format!("/instances/{id}{}", wish.path), &wish.body).await?;
    finish(session, &id, wish.states, after, waiting).await
}

/// Without a host the move is taken back.
async fn move_to(
    session: &mut Session<'_>,
    instance: &str,
    to: Option<&str>,
    waiting: Waiting,
) -> Result<(), CliError> {
    let id = names::id_of::<Instance>(&session.client, instance).await?;
    let after = if waiting.wait { wait::newest_event(&session.client, &id).await? } else { 0 };
    let path = format!("/instances/{id}/move");
    let goal = match to {
        Some(host) => {
            let host = names::id_of::<HostNode>(&session.client, host).await?;
            let _: Value = session.client.put(&path, &json!({ "host_node_id": host })).await?;
            Some(host)
        }
        None => {
            let _: Value = session.client.delete(&path).await?;
            None
        }
    };
    if !waiting.wait {
        return finish(session, &id, &["running"], after, waiting).await;
    }
    let view = follow_move(session, &id, after, waiting.timeout()).await?;
    if let (Some(host), Some(view)) = (&goal, &view)
        && view.host_node.as_ref() != Some(host)
    {
        let from = view.host_node.clone().unwrap_or_default();
        let words = [Message::NotMoved, Message::NotMovedCause, Message::NotMovedNext];
        return Err(CliError::own(WAIT_FAILED, session.language(), words, &[("id", &id), ("host", &from)]));
    }
    match view {
        Some(view) => session.print(&view, |language| show::one(language, &view)),
        None => Ok(()),
    }
}

/// Waits until a machine is on one host.
pub(crate) async fn follow_move(
    session: &mut Session<'_>,
    id: &str,
    after: u64,
    timeout: std::time::Duration,
) -> Result<Option<Instance>, CliError> {
    let path = format!("/instances/{id}");
    let states = ["running", "halted", "starting", "halting", "terminated"];
    wait::until(session, Goal { path, id, states: &states, after, timeout }).await
}

/// Waits when asked to, then answers with the instance as it is.
async fn finish(
    session: &mut Session<'_>,
    id: &str,
    states: &[&str],
    after: u64,
    waiting: Waiting,
) -> Result<(), CliError> {
    let path = format!("/instances/{id}");
    let view = if waiting.wait {
        wait::until(session, Goal { path, id, states, after, timeout: waiting.timeout() }).await?
    } else {
        session.remark(Message::Accepted, &[("id", id)]);
        Some(session.client.get::<Instance>(&path).await?)
    };
    match view {
        Some(view) => session.print(&view, |language| show::one(language, &view)),
        None => Ok(()),
    }
}

/// Only what was given.
async fn update(
    session: &mut Session<'_>,
    instance: &str,
    (name, ssh_key, groups, restart_policy): (Option<String>, Option<String>, Vec<String>, Option<String>),
) -> Result<(), CliError> {
    let id = names::id_of::<Instance>(&session.client, instance).await?;
    let mut body = serde_json::Map::new();
    if let Some(name) = name {
        body.insert("display_name".into(), json!(name));
    }
    if let Some(key) = ssh_key {
        body.insert("ssh_key_id".into(), json!(names::id_of::<SshKeyPair>(&session.client, &key).await?));
    }
    if let Some(policy) = restart_policy {
        body.insert("restart_policy".into(), json!(policy));
    }
    let mut ids = Vec::new();
    for group in &groups {
        ids.push(names::id_of::<SecurityGroup>(&session.client, group).await?);
    }
    if !ids.is_empty() {
        body.insert("security_groups".into(), json!(ids));
    }
    let view: Instance = session.client.put(&format!("/instances/{id}"), &body).await?;
    session.print(&view, |language| show::one(language, &view))
}

async fn password(session: &mut Session<'_>, instance: &str, forget: bool) -> Result<(), CliError> {
    let id = names::id_of::<Instance>(&session.client, instance).await?;
    let path = format!("/instances/{id}/password");
    if forget {
        let answer: Value = session.client.delete(&path).await?;
        session.remark(Message::Deleted, &[("id", &id)]);
        return session.print(&answer, |_| String::new());
    }
    let view: InstancePassword = session.client.get(&path).await?;
    session.print(&view, |_| format!("{}\n", view.encrypted_password.trim_end()))
}

async fn reboot(session: &mut Session<'_>, instance: &str) -> Result<(), CliError> {
    let id = names::id_of::<Instance>(&session.client, instance).await?;
    let answer: Vec<String> = session.client.put(&format!("/instances/{id}/reboot"), &json!({})).await?;
    session.remark(Message::Accepted, &[("id", &id)]);
    session.print(&answer, |_| String::new())
}

async fn delete(session: &mut Session<'_>, instance: &str, waiting: Waiting) -> Result<(), CliError> {
    let id = names::id_of::<Instance>(&session.client, instance).await?;
    let after = if waiting.wait { wait::newest_event(&session.client, &id).await? } else { 0 };
    let answer: Vec<String> = session.client.delete(&format!("/instances/{id}")).await?;
    if waiting.wait {
        let goal = Goal {
            path: format!("/instances/{id}"),
            id: &id,
            states: &["terminated"],
            after,
            timeout: waiting.timeout(),
        };
        wait::until::<Instance>(session, goal).await?;
    } else {
        session.remark(Message::Accepted, &[("id", &id)]);
    }
    session.print(&answer, |_| String::new())
}

async fn timeline(session: &mut Session<'_>, instance: &str) -> Result<(), CliError> {
    let id = names::id_of::<Instance>(&session.client, instance).await?;
    let events: Vec<Event> = session.client.get(&format!("/instances/{id}/timeline")).await?;
    session.print(&events, |language| {
        let rows = events.iter().map(|event| vec![event.at.to_string(), event.text.clone()]).collect();
        table::table(language, &[Message::At, Message::Event], rows)
    })
}

/// Reads a file of the user, or standard input for `-`.
pub(super) fn read_file(session: &Session<'_>, path: &str) -> Result<String, CliError> {
    let read = if path == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) };
    read.map_err(|source| {
        let sentence = crate::words::say(session.language(), Message::FileUnreadable, &[("path", path)]);
        CliError::because(crate::failure::USAGE, sentence, source, session.word(Message::FileNext).into())
    })
}
