//! `arame backup` and `arame restore`: the control plane's database and keys, in one file.
//!
//! ```text
//! backup:  dump (one consistent moment) ─► epoch + 1 ─► dump + secrets, keys, tokens in one private file
//! restore: file ─► a database beside the running one ─► same installation? ─► both change places in one statement
//!          ─► dcmgr starts anew, holding every job until `arame audit confirm`
//! ```
//!
//! Rules: guests, volumes and agents are not touched, and go on running through both. A backup raises the epoch, so
//! that every agent knows, whenever it is restored, that there was a later time. The replaced database is kept as
//! `arame_before` until the next restore. The file holds the data center's keys: mode 0600.

use super::api::Api;
use super::command::{Call, CommandError};
use super::files;
use super::layout::Layout;
use super::progress::Progress;
use super::state::{Held, State};
use super::words::{Language, Text};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// A large database on a slow disk.
const DUMP_LIMIT: Duration = Duration::from_secs(3600);

/// The supervisor starts a child that ended within a second or two; dcmgr migrates the restored schema first.
const BACK_LIMIT: Duration = Duration::from_secs(120);

/// `arame-dcmgr exchange` met a database of another installation.
const EXIT_ANOTHER_INSTALLATION: i32 = 3;

/// Beside the dump: without the vault's key the sealed secrets in it are worth nothing.
const FOLDERS: [&str; 3] = ["secrets", "keys", "tokens"];

#[derive(Debug, Clone, clap::Args)]
pub struct BackupArgs {
    /// Folder of the data center / データセンターのフォルダー
    #[arg(long, default_value = "./var")]
    dir: PathBuf,
    /// The file to write; it will hold secrets / 書き出すファイル（秘密情報を含む）
    file: PathBuf,
}

#[derive(Debug, Clone, clap::Args)]
pub struct RestoreArgs {
    /// Folder of the data center, which runs / 稼働中のデータセンターのフォルダー
    #[arg(long, default_value = "./var")]
    dir: PathBuf,
    /// A file written by `arame backup` / arame backup で作ったファイル
    file: PathBuf,
}

#[derive(Debug, thiserror::Error)]
enum BackupError {
    #[error("no data center runs in {} (arame up)\n{} で稼働中のデータセンターがありません (arame up)", .0.display(), .0.display())]
    NotRunning(PathBuf),
    #[error("{}: not a backup of `arame backup`\n{} は arame backup のファイルではありません", .0.display(), .0.display())]
    NotABackup(PathBuf),
    #[error(
        "the backup is of another data center; nothing was changed\n\
         バックアップは別のデータセンターのものです。何も変更していません"
    )]
    AnotherInstallation,
    #[error(
        "the databases could not be exchanged; nothing was changed: {0}\nデータベースを入れ替えられませんでした。何も変更していません"
    )]
    Exchange(String),
    #[error("dcmgr did not come back within {} s; see log/dcmgr.log\ndcmgr が再起動しません。log/dcmgr.log を見てください", BACK_LIMIT.as_secs())]
    NotBack,
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BackupError + '_ {
    move |source| BackupError::File { path: path.to_owned(), source }
}

/// The database as its administrator sees it; the password is in a file, never in an argument.
struct Admin {
    options: PathBuf,
}

impl Admin {
    fn of(layout: &Layout) -> Result<Self, BackupError> {
        if !files::listens(&layout.database_socket()) {
            return Err(BackupError::NotRunning(layout.dir().to_owned()));
        }
        let options = layout.path("secrets").join("admin.cnf");
        let password = files::secret(&layout.secret("db-root")).map_err(at(&options))?;
        let socket = layout.database_socket();
        let text = format!("[client]\nuser=root\npassword={password}\nsocket={}\n", socket.display());
        files::replace(&options, text.as_bytes(), 0o600).map_err(at(&options))?;
        Ok(Self { options })
    }

    fn call(&self, program: &str) -> Call {
        Call::new(program).arg(format!("--defaults-file={}", self.options.display())).limit(DUMP_LIMIT)
    }

    async fn execute(&self, statement: &str) -> Result<(), BackupError> {
        self.call("mariadb").args(["--execute", statement]).run().await?;
        Ok(())
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.options);
    }
}

/// A private folder below `run/`, gone with the value.
struct Work(PathBuf);

impl Work {
    fn below(layout: &Layout) -> Result<Self, BackupError> {
        let path = layout.run(&format!("backup-{}", std::process::id()));
        files::folder(&path, 0o700).map_err(at(&path))?;
        Ok(Self(path))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Writes the control plane to a file.
pub async fn backup(args: BackupArgs) -> anyhow::Result<ExitCode> {
    let language = Language::of_environment();
    let layout = Layout::new(&super::absolute(&args.dir)?);
    let file = std::path::absolute(&args.file)?;
    let progress = Progress::shown(language);
    let step = progress.step(Text::new("Writing the backup", "バックアップを作成"));
    let bytes = write(&layout, &file).await?;
    step.done_with(Text::plain(format!("{:.1} MB", bytes as f64 / 1e6)));
    let text = Text::new(
        format!("{} holds the database and the keys of this data center: keep it as safe as those.", file.display()),
        format!("{} にはデータベースと鍵が入っています。安全な場所に保管してください。", file.display()),
    );
    println!("{}", text.get(language));
    Ok(ExitCode::SUCCESS)
}

async fn write(layout: &Layout, file: &Path) -> Result<u64, BackupError> {
    let admin = Admin::of(layout)?;
    let work = Work::below(layout)?;
    let dump = work.0.join("dump.sql");
    let options = ["--single-transaction", "--quick", "--hex-blob", "--skip-dump-date"];
    let call = admin.call("mariadb-dump").args(options).arg(format!("--result-file={}", dump.display())).arg("arame");
    call.run().await?;
    // Whoever restores this later comes from an older time, and every agent will know it.
    dcmgr(layout, "raise-epoch").run().await?;
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    // Private before a secret is in it.
    files::replace(&beside, b"", 0o600).map_err(at(&beside))?;
    let tar = Call::new("tar").args(["--create", "--gzip", "--file"]).arg(&beside).arg("--directory").arg(&work.0);
    let tar = tar.arg("dump.sql").args(["--exclude=admin.cnf", "--directory"]).arg(layout.dir()).args(FOLDERS);
    tar.limit(DUMP_LIMIT).run().await?;
    std::fs::File::open(&beside).and_then(|file| file.sync_all()).map_err(at(&beside))?;
    std::fs::rename(&beside, file).map_err(at(file))?;
    Ok(std::fs::metadata(file).map_err(at(file))?.len())
}

/// Puts the database of a backup in the place of the running one.
pub async fn restore(args: RestoreArgs) -> anyhow::Result<ExitCode> {
    let language = Language::of_environment();
    let layout = Layout::new(&super::absolute(&args.dir)?);
    let progress = Progress::shown(language);
    let step = progress.step(Text::new("Reading the backup", "バックアップを読み込み"));
    let Held::Running { wish } = State::new(&layout).held() else {
        return Err(BackupError::NotRunning(layout.dir().to_owned()).into());
    };
    let admin = Admin::of(&layout)?;
    load(&layout, &admin, &std::path::absolute(&args.file)?).await?;
    step.done();
    let step = progress.step(Text::new("Changing the databases", "データベースを入れ替え"));
    exchange(&layout).await?;
    step.done();
    let step = progress.step(Text::new("Starting dcmgr anew", "dcmgr を再起動"));
    start_anew(&layout, wish.listen).await?;
    step.done();
    let text = Text::new(
        "Restored. What runs goes on; jobs are held until you have decided about what is newer than the backup:\n  \
         arame audit --fresh        what the database does not know\n  \
         arame audit adopt --all    take it in\n  arame audit confirm        go on",
        "復元しました。動いているものはそのままで、仕事は保留されています。バックアップより新しいものを決めてください:\n  \
         arame audit --fresh        データベースが知らないもの\n  \
         arame audit adopt --all    すべて引き取る\n  arame audit confirm        再開する",
    );
    println!("{}", text.get(language));
    Ok(ExitCode::SUCCESS)
}

/// The dump as `arame_restore`, beside the database that is in use.
async fn load(layout: &Layout, admin: &Admin, file: &Path) -> Result<(), BackupError> {
    let work = Work::below(layout)?;
    let tar = Call::new("tar").args(["--extract", "--gzip", "--file"]).arg(file).arg("--directory").arg(&work.0);
    let tar = tar.args(["dump.sql"]).limit(DUMP_LIMIT).run().await;
    let dump = work.0.join("dump.sql");
    if tar.is_err() || !dump.is_file() {
        return Err(BackupError::NotABackup(file.to_owned()));
    }
    admin.execute("DROP DATABASE IF EXISTS arame_restore").await?;
    admin.execute("CREATE DATABASE arame_restore CHARACTER SET utf8mb4").await?;
    let source = format!("source {}", dump.display());
    admin.call("mariadb").arg("arame_restore").arg("--execute").arg(source).run().await?;
    Ok(())
}

/// dcmgr knows its tables; this only asks.
async fn exchange(layout: &Layout) -> Result<(), BackupError> {
    let call = dcmgr(layout, "exchange");
    let output = call.output().await?;
    match output.status.code() {
        Some(0) => Ok(()),
        Some(EXIT_ANOTHER_INSTALLATION) => Err(BackupError::AnotherInstallation),
        _ => Err(BackupError::Exchange(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

fn dcmgr(layout: &Layout, verb: &str) -> Call {
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join("arame-dcmgr")));
    let program = beside.unwrap_or_else(|| "arame-dcmgr".into());
    Call::new(program).args([verb, "--config"]).arg(layout.config("dcmgr")).limit(DUMP_LIMIT)
}

/// The supervisor starts dcmgr again when it ends; it migrates an older schema at its start.
async fn start_anew(layout: &Layout, listen: std::net::SocketAddr) -> Result<(), BackupError> {
    let state = State::new(layout);
    let old = state.child("dcmgr");
    if let Some(old) = old {
        super::process::signal(old, nix::sys::signal::Signal::SIGTERM);
    }
    let token = layout.token("admin");
    let api = Api::new(listen, &token).map_err(at(&token))?;
    let end = Instant::now() + BACK_LIMIT;
    while state.child("dcmgr") == old || !api.is_healthy().await {
        if Instant::now() > end {
            return Err(BackupError::NotBack);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
