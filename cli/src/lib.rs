//! The `arame` command: the REST client, and `arame up`.
//!
//! Rule: a command of the client does what one or a few requests do and knows nothing of dcmgr's inside. Answers go to
//! standard output, remarks and errors to standard error; exit statuses are listed in [`failure`].

pub mod client;
pub mod commands;
pub mod failure;
pub mod join;
pub mod login;
pub mod names;
pub mod session;
pub mod settings;
pub mod table;
pub mod up;
pub mod wait;
pub mod words;

use clap::{Parser, Subcommand};
use failure::CliError;
use session::Session;
use settings::{Common, Usually};
use std::io::Write;

/// Arame: a private cloud / プライベートクラウドの管理コマンド
#[derive(Debug, Parser)]
#[command(name = "arame", version, arg_required_else_help = true, max_term_width = 110, after_help = STATUSES)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

const STATUSES: &str = "Exit status / 終了コード:
  0 done 完了  1 refused 拒否  2 used wrongly 使い方の誤り  3 API not reachable 接続不可  4 --wait ended in failure 失敗";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring up a whole data center on this machine / データセンターを起動する
    Up(Box<up::UpArgs>),
    /// Stop it / 停止する
    Down(up::DownArgs),
    /// What runs of it / 稼働状況を表示する
    Status(up::StatusArgs),
    /// Write its database and keys to a file / データベースと鍵をファイルに保存する
    Backup(up::BackupArgs),
    /// Go back to a backup, under running guests / バックアップの状態に戻す
    Restore(up::RestoreArgs),
    /// This machine becomes part of a data center / この機械をデータセンターに参加させる
    Join(join::JoinArgs),
    /// This machine leaves its data center / この機械をデータセンターから外す
    Leave(join::LeaveArgs),
    #[command(flatten)]
    Rest(commands::Rest),
    /// Print a completion script / 補完スクリプトを出力する
    Completion { shell: clap_complete::Shell },
    /// First process of a host's namespaces; started by `up`.
    #[command(hide = true)]
    HostInit(up::HostInitArgs),
    /// Becomes a program inside a namespace; used by `up`.
    #[command(hide = true)]
    Enter(up::EnterArgs),
}

/// Where a command writes.
pub struct Streams<'a> {
    pub out: &'a mut (dyn Write + Send),
    pub remarks: &'a mut (dyn Write + Send),
    /// Whether a person watches the remarks.
    pub terminal: bool,
}

/// Runs a command that talks to the API.
pub async fn run(common: &Common, command: commands::Rest, streams: Streams<'_>) -> Result<(), CliError> {
    let usually = if command.is_operators() { Usually::Operator } else { Usually::Tenant };
    let settings = if command.logs_in() { common.without_token() } else { common.settings(usually)? };
    let client = client::Client::new(settings)?;
    let Streams { out, remarks, terminal } = streams;
    commands::run(&mut Session { client, json: common.json, out, remarks, terminal }, command).await
}
