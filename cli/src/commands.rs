//! The commands that talk to the API: one file each kind of resource.

mod account;
mod audit;
mod console;
mod copies;
mod host;
mod image;
mod instance;
mod instance_type;
mod job;
mod join_token;
mod label;
mod login;
mod naming;
mod network;
mod node_usage;
mod record;
mod security_group;
mod seed;
mod ssh;
mod ssh_key;
mod storage;
mod token;
mod user;
mod volume;
mod volume_backup;
mod volume_replica;
mod volume_schedule;
mod volume_snapshot;

use crate::failure::CliError;
use crate::session::Session;
use clap::Subcommand;
use std::time::Duration;

pub use instance::Create as CreateInstanceArgs;

#[derive(Debug, Subcommand)]
pub enum Rest {
    /// Virtual machines / インスタンス（仮想マシン）
    #[command(subcommand, visible_alias = "instances")]
    Instance(instance::Command),
    /// Log in to an instance / インスタンスにログインする
    Ssh(ssh::Ssh),
    /// Its serial console at this terminal; Ctrl-] leaves / シリアルコンソールを開く（Ctrl-] で終了）
    Console(console::Console),
    /// Block volumes / ボリューム
    #[command(subcommand, visible_alias = "volumes")]
    Volume(volume::Command),
    /// Machine images / イメージ
    #[command(subcommand, visible_alias = "images")]
    Image(image::Command),
    /// Networks / ネットワーク
    #[command(subcommand, visible_alias = "networks")]
    Network(network::Command),
    /// Firewalls / セキュリティグループ
    #[command(subcommand, visible_alias = "sg")]
    SecurityGroup(security_group::Command),
    /// SSH keys / SSH 鍵
    #[command(subcommand)]
    SshKey(ssh_key::Command),
    /// Sizes of instances / インスタンスタイプ
    #[command(subcommand)]
    InstanceType(instance_type::Command),
    /// Hypervisor hosts / ハイパーバイザーホスト
    #[command(subcommand, visible_alias = "hosts")]
    Host(host::Command),
    /// Storage nodes / ストレージノード
    #[command(subcommand)]
    Storage(storage::Command),
    /// Naming services: DHCP, DNS, gateways / ネーミングサービス
    #[command(subcommand)]
    Naming(naming::Command),
    /// Physical networks / DC ネットワーク
    #[command(subcommand, visible_alias = "dc-networks")]
    DcNetwork(record::Command),
    /// Network interfaces / ネットワークインターフェース
    #[command(subcommand)]
    Vif(record::Command),
    /// Labels of instances, images, groups, keys / ラベル
    #[command(subcommand)]
    Label(label::Command),
    /// Groups of hosts / ホストのグループ
    #[command(subcommand)]
    HostGroup(record::Command),
    /// Groups of networks / ネットワークのグループ
    #[command(subcommand)]
    NetworkGroup(record::Command),
    /// Groups of storage nodes / ストレージノードのグループ
    #[command(subcommand)]
    StorageGroup(record::Command),
    /// Pools of addresses / アドレスプール
    #[command(subcommand)]
    IpPool(record::Command),
    /// Addresses that are held / 確保したアドレス
    #[command(subcommand)]
    IpHandle(record::Command),
    /// Places for backups / バックアップの保存先
    #[command(subcommand)]
    BackupStorage(record::Command),
    /// Backups, and records of such / バックアップ
    #[command(subcommand)]
    BackupObject(record::Command),
    /// What was used, from when to when / 利用記録
    Report(record::Given),
    /// A data center from one file / ファイルからの構成
    #[command(subcommand)]
    Seed(seed::Command),
    /// Accounts / アカウント
    #[command(subcommand)]
    Account(account::Command),
    /// Credentials / トークン
    #[command(subcommand, visible_alias = "tokens")]
    Token(token::Command),
    /// What lets a machine join, once / 機械の参加トークン
    #[command(subcommand, visible_alias = "join-tokens")]
    JoinToken(join_token::Command),
    /// People who sign in / 利用者
    #[command(subcommand, visible_alias = "users")]
    User(user::Command),
    /// Sign in, and keep the login for every command / ログインする
    Login(login::LoginArgs),
    /// Sign out / ログアウトする
    Logout(login::LogoutArgs),
    /// Who one is, as what / 現在の利用者と役割
    Whoami(login::WhoamiArgs),
    /// Who changed what / 操作記録
    AuditLog(token::AuditLog),
    /// What was asked of the agents / エージェントへの仕事の一覧
    Jobs(job::Jobs),
    /// Where the records and the world differ / 記録と実体の食い違い
    Audit(audit::Audit),
}

/// The command that applies a seed, for `arame up`.
pub fn seed_of(file: std::path::PathBuf) -> Rest {
    Rest::Seed(seed::Command::Apply { file })
}

impl Rest {
    /// Whether a member's token is not enough.
    pub fn is_operators(&self) -> bool {
        match self {
            Rest::Host(_) | Rest::Storage(_) | Rest::Audit(_) | Rest::Jobs(_) | Rest::AuditLog(_) => true,
            Rest::JoinToken(_) | Rest::Naming(_) | Rest::HostGroup(_) | Rest::StorageGroup(_) | Rest::Seed(_) => true,
            Rest::Account(command) => command.is_operators(),
            Rest::User(command) => command.is_operators(),
            Rest::DcNetwork(command) | Rest::BackupStorage(command) => command.changes(),
            Rest::InstanceType(command) => command.is_operators(),
            Rest::Instance(_)
            | Rest::Ssh(_)
            | Rest::Console(_)
            | Rest::Volume(_)
            | Rest::Image(_)
            | Rest::Network(_)
            | Rest::SecurityGroup(_)
            | Rest::SshKey(_)
            | Rest::Vif(_)
            | Rest::Label(_)
            | Rest::NetworkGroup(_)
            | Rest::IpPool(_)
            | Rest::IpHandle(_)
            | Rest::BackupObject(_)
            | Rest::Report(_)
            | Rest::Token(_)
            | Rest::Login(_)
            | Rest::Logout(_)
            | Rest::Whoami(_) => false,
        }
    }

    /// Whether it makes or ends the login and needs none.
    pub fn logs_in(&self) -> bool {
        matches!(self, Rest::Login(_) | Rest::Logout(_))
    }
}

pub async fn run(session: &mut Session<'_>, command: Rest) -> Result<(), CliError> {
    match command {
        Rest::Instance(command) => instance::run(session, command).await,
        Rest::Console(console) => console::run(session, console).await,
        Rest::Ssh(command) => ssh::run(session, command).await,
        Rest::Volume(command) => volume::run(session, command).await,
        Rest::Image(command) => image::run(session, command).await,
        Rest::Network(command) => network::run(session, command).await,
        Rest::SecurityGroup(command) => security_group::run(session, command).await,
        Rest::SshKey(command) => ssh_key::run(session, command).await,
        Rest::InstanceType(command) => instance_type::run(session, command).await,
        Rest::Host(command) => host::run(session, command).await,
        Rest::Storage(command) => storage::run(session, command).await,
        Rest::Naming(command) => naming::run(session, command).await,
        Rest::DcNetwork(command) => record::run(session, &record::DC_NETWORKS, command).await,
        Rest::Vif(command) => record::run(session, &record::VIFS, command).await,
        Rest::Label(command) => label::run(session, command).await,
        Rest::HostGroup(command) => record::run(session, &record::HOST_GROUPS, command).await,
        Rest::NetworkGroup(command) => record::run(session, &record::NETWORK_GROUPS, command).await,
        Rest::StorageGroup(command) => record::run(session, &record::STORAGE_GROUPS, command).await,
        Rest::IpPool(command) => record::run(session, &record::IP_POOLS, command).await,
        Rest::IpHandle(command) => record::run(session, &record::IP_HANDLES, command).await,
        Rest::BackupStorage(command) => record::run(session, &record::BACKUP_STORAGES, command).await,
        Rest::BackupObject(command) => record::run(session, &record::BACKUP_OBJECTS, command).await,
        Rest::Report(given) => record::report(session, &given).await,
        Rest::Seed(command) => seed::run(session, command).await,
        Rest::Account(command) => account::run(session, command).await,
        Rest::Token(command) => token::run(session, command).await,
        Rest::JoinToken(command) => join_token::run(session, command).await,
        Rest::User(command) => user::run(session, command).await,
        Rest::Login(args) => login::login(session, args).await,
        Rest::Logout(login::LogoutArgs {}) => login::logout(session).await,
        Rest::Whoami(login::WhoamiArgs {}) => login::whoami(session).await,
        Rest::AuditLog(log) => token::audit_log(session, log).await,
        Rest::Jobs(command) => job::run(session, command).await,
        Rest::Audit(command) => audit::run(session, command).await,
    }
}

/// `--wait` and how long.
#[derive(Debug, Clone, clap::Args)]
pub struct Waiting {
    /// Follow it until it is done / 完了まで待つ
    #[arg(long)]
    pub wait: bool,
    /// Seconds --wait waits at most / 最大の待ち時間（秒）
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub timeout: u64,
}

impl Waiting {
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}
