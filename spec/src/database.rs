//! A private MariaDB for one test process: own directory, unix socket only unless asked for a port of loopback, ended
//! with the value.

use anyhow::{Context, bail};
use arame_dcmgr::db::pool::Config;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Longest the server may take to answer.
const START_LIMIT: Duration = Duration::from_secs(60);

/// As in production: a commit is on disk.
const SAFE: &[&str] = &["--innodb-flush-log-at-trx-commit=1"];

/// Nothing is flushed, and nothing in the background changes how a statement is executed.
const IN_MEMORY: &[&str] = &["--innodb-flush-log-at-trx-commit=0", "--innodb-stats-auto-recalc=OFF"];

/// Where Linux keeps files in memory.
const MEMORY: &str = "/dev/shm";

pub struct Database {
    folder: TempDir,
    server: Child,
    settings: Vec<String>,
}

fn on_disk() -> std::io::Result<TempDir> {
    tempfile::Builder::new().prefix("arame-db-").tempdir()
}

/// How it keeps its data, and whether it listens anywhere but at its socket.
fn settings(keeping: &[&str], port: Option<u16>) -> Vec<String> {
    let mut settings: Vec<String> = keeping.iter().map(|word| (*word).to_owned()).collect();
    match port {
        Some(port) => settings.extend(["--bind-address=127.0.0.1".to_owned(), format!("--port={port}")]),
        None => settings.push("--skip-networking".to_owned()),
    }
    settings
}

/// Where Debian and Ubuntu put the server.
fn program(name: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/bin"].iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists())
}

/// Whether the machine has MariaDB.
pub fn is_installed() -> bool {
    program("mariadbd").is_some()
}

impl Database {
    /// Installs and starts a server in a folder of its own.
    ///
    /// # Errors
    /// No server on this machine, or it does not come up.
    pub async fn start() -> anyhow::Result<Database> {
        Self::start_in(on_disk()?, settings(SAFE, None)).await
    }

    /// The same, listening on a free port of loopback as well.
    ///
    /// # Errors
    /// As [`Database::start`].
    pub async fn start_with_port() -> anyhow::Result<Database> {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        Self::start_in(on_disk()?, settings(SAFE, Some(free))).await
    }

    /// The same for many short runs: its files are in memory, where the machine has such a place.
    ///
    /// # Errors
    /// As [`Database::start`].
    pub async fn start_in_memory() -> anyhow::Result<Database> {
        let mut names = tempfile::Builder::new();
        let names = names.prefix("arame-db-");
        let folder = if Path::new(MEMORY).is_dir() { names.tempdir_in(MEMORY)? } else { names.tempdir()? };
        Self::start_in(folder, settings(IN_MEMORY, None)).await
    }

    async fn start_in(folder: TempDir, settings: Vec<String>) -> anyhow::Result<Database> {
        let data = folder.path().join("data");
        // Its own: a server that starts removes what looks like temporary tables of a dead one from a shared folder.
        let temporary = folder.path().join("tmp");
        std::fs::create_dir(&temporary)?;
        let install = program("mariadb-install-db").context("skipped: needs mariadb")?;
        let done = Command::new(install)
            .args([
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
            ])
            .arg(format!("--datadir={}", data.display()))
            .arg("--user=root")
            .env("TMPDIR", &temporary)
            .output()
            .await?;
        if !done.status.success() {
            let printed = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
            bail!("mariadb-install-db ended with {}: {printed}", done.status);
        }
        let server = Self::launch(folder.path(), &settings)?;
        std::fs::write(folder.path().join("password"), "")?;
        let database = Database { folder, server, settings };
        database.wait().await?;
        Ok(database)
    }

    fn launch(folder: &Path, settings: &[String]) -> anyhow::Result<Child> {
        let server = program("mariadbd").context("skipped: needs mariadb")?;
        Ok(Command::new(server)
            .arg("--no-defaults")
            .arg(format!("--datadir={}", folder.join("data").display()))
            .arg(format!("--socket={}", folder.join("s.sock").display()))
            .arg(format!("--pid-file={}", folder.join("pid").display()))
            .arg(format!("--tmpdir={}", folder.join("tmp").display()))
            .args(["--skip-name-resolve", "--user=root", "--skip-log-bin"])
            .args(["--innodb-buffer-pool-size=64M", "--performance-schema=OFF"])
            .args(settings)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?)
    }

    async fn wait(&self) -> anyhow::Result<()> {
        let end = tokio::time::Instant::now() + START_LIMIT;
        while tokio::time::Instant::now() < end {
            if self.query("mysql", "SELECT 1").await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        bail!("mariadbd did not answer within {START_LIMIT:?}")
    }

    async fn query(&self, schema: &str, statement: &str) -> anyhow::Result<()> {
        use mysql_async::prelude::Queryable;
        let opts = mysql_async::OptsBuilder::default()
            .user(Some("root"))
            .db_name(Some(schema))
            .socket(Some(self.folder.path().join("s.sock").display().to_string()));
        let mut connection = mysql_async::Conn::new(opts).await?;
        connection.query_drop(statement).await?;
        connection.disconnect().await?;
        Ok(())
    }

    /// A new, empty database on the server.
    ///
    /// # Errors
    /// The server's.
    pub async fn create(&self, name: &str) -> anyhow::Result<Config> {
        self.query("mysql", &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")).await?;
        Ok(Config {
            socket: Some(self.folder.path().join("s.sock")),
            host: None,
            port: None,
            user: "root".into(),
            password_file: self.folder.path().join("password"),
            name: name.to_owned(),
        })
    }

    /// The same, reached by its port.
    ///
    /// # Errors
    /// The server's, or it has no port.
    pub async fn create_by_port(&self, name: &str) -> anyhow::Result<Config> {
        let told = self.settings.iter().find_map(|word| word.strip_prefix("--port="));
        let port = Some(told.context("the server has no port")?.parse()?);
        Ok(Config { socket: None, host: Some("127.0.0.1".into()), port, ..self.create(name).await? })
    }

    /// Kills the server at once and starts it again on the same data.
    ///
    /// # Errors
    /// It does not come back.
    pub async fn crash_and_restart(&mut self) -> anyhow::Result<()> {
        self.server.kill().await?;
        self.server = Self::launch(self.folder.path(), &self.settings)?;
        self.wait().await
    }
}
