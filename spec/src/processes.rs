//! A data center of real processes with simulated backends: brought up as a user would, killed piece by piece.
//!
//! Rule: nothing here reaches inside a program. It runs `arame`, speaks REST, sends signals, and looks at what is
//! true afterwards where no program can colour it: the job rows, and the simulated worlds in their files. It never
//! signals a process but those its own `arame up` wrote into the children table.

use anyhow::{Context, bail, ensure};
use mysql_async::prelude::Queryable;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::Instant;

/// Longest `arame up` and `arame down` may take on a busy machine.
const UP_LIMIT: Duration = Duration::from_secs(240);
const DOWN_LIMIT: Duration = Duration::from_secs(90);

/// Longest one request may take; a killed server is noticed at once, one that hangs after this.
const REQUEST_LIMIT: Duration = Duration::from_secs(20);

/// Between two tries of a client that was not answered.
const CLIENT_PAUSE: Duration = Duration::from_millis(100);

/// How long a client goes on trying: a broker or database killed several times in a row comes back slowly.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Ports are looked for from here on: below the range that the kernel gives to clients.
const PORTS_FROM: u16 = 20_000;
const PORTS_TO: u16 = 32_000;

/// What kind of data center.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backends {
    Simulated,
    /// Namespaces, libvirt, Open vSwitch; needs root.
    Real,
}

/// How to start it.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    pub backends: Backends,
    pub hosts: u16,
    /// MariaDB and RabbitMQ (and what stands between hosts), none of the project's own programs.
    pub infrastructure_only: bool,
}

impl Default for Start {
    fn default() -> Self {
        Start { backends: Backends::Simulated, hosts: 2, infrastructure_only: false }
    }
}

/// A child of the supervisor, from its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    pub name: String,
    pub pid: i32,
    /// Clock ticks since boot (`proc(5)`): with the pid it names one process for ever.
    pub start: u64,
    pub restarts: u64,
}

impl Child {
    pub fn is_alive(&self) -> bool {
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)) else { return false };
        let words = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect::<Vec<_>>());
        words.is_some_and(|words| {
            words.get(19).and_then(|start| start.parse().ok()) == Some(self.start) && words.first() != Some(&"Z")
        })
    }
}

/// An answer of the API.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Answer {
    /// The refusal's word, such as `duplicate_hostname`.
    pub fn reason(&self) -> &str {
        self.body["reason"].as_str().unwrap_or_default()
    }
}

pub struct Processes {
    folder: TempDir,
    arame: PathBuf,
    start: Start,
    listen: SocketAddr,
    client: reqwest::Client,
    token: String,
    printed: String,
    down: bool,
}

/// The folder of the built programs: `ARAME_BIN`, or that of this test.
///
/// # Errors
/// They are not there: says how to build them.
pub fn programs() -> anyhow::Result<PathBuf> {
    let folder = match std::env::var_os("ARAME_BIN") {
        Some(folder) => PathBuf::from(folder),
        None => {
            let own = std::env::current_exe()?;
            let deps = own.parent().context("a test has a folder")?;
            deps.parent().context("target/<profile>/deps")?.to_owned()
        }
    };
    for name in ["arame", "arame-dcmgr", "arame-hva", "arame-sta", "arame-nsa", "arame-webui"] {
        ensure!(folder.join(name).is_file(), "{name} is not in {}: cargo build --workspace", folder.display());
    }
    Ok(folder)
}

/// The first of `count` ports in a row that nobody has now, beginning at a place of this process's own.
fn free_ports(count: u16) -> anyhow::Result<u16> {
    let span = u32::from(PORTS_TO - PORTS_FROM);
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.subsec_nanos();
    let begin = (std::process::id().wrapping_mul(37).wrapping_add(nanos / 1000)) % span;
    for step in 0..span {
        let base = PORTS_FROM + u16::try_from((begin + step) % span)?;
        let is_free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (base..base + count).all(is_free) {
            return Ok(base);
        }
    }
    bail!("no {count} free ports between {PORTS_FROM} and {PORTS_TO}")
}

impl Processes {
    /// Runs `arame up -d` in a new folder.
    ///
    /// # Errors
    /// It failed: with what it printed.
    pub async fn up(backends: Backends, hosts: u16) -> anyhow::Result<Processes> {
        Self::up_with(&programs()?, Start { backends, hosts, ..Start::default() }).await
    }

    /// As [`Processes::up`], with the programs of a folder.
    ///
    /// # Errors
    /// It failed: with what it printed.
    pub async fn up_with(programs: &Path, start: Start) -> anyhow::Result<Processes> {
        let folder = tempfile::Builder::new().prefix("arame-spec-").tempdir()?;
        // MariaDB and RabbitMQ run as another user and must be able to walk in.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        let port = free_ports(4)?;
        let listen = SocketAddr::from(([127, 0, 0, 1], port));
        let client = reqwest::Client::builder().timeout(REQUEST_LIMIT).build()?;
        let (arame, token, printed) = (programs.join("arame"), String::new(), String::new());
        let mut processes = Processes { folder, arame, start, listen, client, token, printed, down: false };
        processes.printed = processes.up_again().await?;
        if !start.infrastructure_only {
            let token = std::fs::read_to_string(processes.path("tokens/admin"));
            processes.token = token.with_context(|| processes.printed.clone())?.trim().to_owned();
        }
        Ok(processes)
    }

    /// What the first `arame up` printed.
    pub fn printed(&self) -> &str {
        &self.printed
    }

    /// Runs `arame up -d` on the same folder and gives what it printed.
    ///
    /// # Errors
    /// It failed: with what it printed.
    pub async fn up_again(&self) -> anyhow::Result<String> {
        let mut command = Command::new(&self.arame);
        command.args(["--lang", "en", "up", "-d", "--hosts", &self.start.hosts.to_string()]);
        // Tests of the console start their own: here its port would be one more to be free.
        command.args(["--webui", "off"]);
        if self.start.backends == Backends::Simulated {
            command.arg("--sim");
        }
        if self.start.infrastructure_only {
            command.arg("--infrastructure-only");
        }
        command.arg("--listen").arg(self.listen.to_string());
        command.arg("--port-base").arg((self.listen.port() + 1).to_string());
        // Room for storms: released addresses cool for a minute.
        command.args(["--demo-network", "10.100.0.0/18"]);
        command.arg("--dir").arg(self.folder.path()).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(UP_LIMIT, command.output()).await.context("arame up hangs")??;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "arame up ended with {}:\n{printed}", output.status);
        Ok(printed)
    }

    /// Runs `arame down`.
    ///
    /// # Errors
    /// It failed: with what it printed.
    pub async fn down(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new(&self.arame);
        command.args(["--lang", "en", "down", "--dir"]).arg(self.folder.path()).kill_on_drop(true);
        let output = tokio::time::timeout(DOWN_LIMIT, command.output()).await.context("arame down hangs")??;
        ensure!(output.status.success(), "arame down: {}", String::from_utf8_lossy(&output.stderr));
        self.down = true;
        Ok(())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// The administrator's.
    pub fn token(&self) -> &str {
        &self.token
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listen)
    }

    /// The children as the supervisor last wrote them.
    ///
    /// # Errors
    /// The table cannot be read.
    pub fn children(&self) -> anyhow::Result<BTreeMap<String, Child>> {
        let table: Value = serde_json::from_slice(&std::fs::read(self.path("run/children.json"))?)?;
        let child = |entry: &Value| {
            let name = entry["name"].as_str()?.to_owned();
            let pid = i32::try_from(entry["pid"].as_i64()?).ok()?;
            Some(Child { name, pid, start: entry["start"].as_u64()?, restarts: entry["restarts"].as_u64()? })
        };
        let entries = table["children"].as_array().context("children")?;
        Ok(entries.iter().filter_map(child).map(|child| (child.name.clone(), child)).collect())
    }

    /// SIGKILL to one child. Answers the moment, or none if it was dead already.
    ///
    /// # Errors
    /// No such child.
    pub fn kill(&self, name: &str) -> anyhow::Result<Option<SystemTime>> {
        let child = self.children()?.remove(name).with_context(|| format!("no child {name}"))?;
        if !child.is_alive() {
            return Ok(None);
        }
        let moment = SystemTime::now();
        kill(Pid::from_raw(child.pid), Signal::SIGKILL)?;
        Ok(Some(moment))
    }

    /// Waits until every child lives.
    ///
    /// # Errors
    /// Not in time.
    pub async fn all_alive(&self) -> anyhow::Result<()> {
        until("every child lives", async || Ok(self.children()?.values().all(Child::is_alive))).await
    }

    /// One request with the administrator's token, on the demo account. An error is no answer at all.
    ///
    /// # Errors
    /// The connection's, the time limit's.
    pub async fn ask(&self, method: &str, path: &str, body: &Value, key: Option<&str>) -> anyhow::Result<Answer> {
        let mut request = self.client.request(method.parse()?, self.url(&format!("/api/12.03{path}")));
        request = request.bearer_auth(&self.token).header("x-vdc-account-uuid", "a-demo");
        request = request.header("accept-language", "en");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        Ok(Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
    }

    /// As a patient client: the same request, with the same key, until something answers for good.
    ///
    /// # Errors
    /// Nobody answered in time.
    pub async fn insist(&self, method: &str, path: &str, body: &Value, key: Option<&str>) -> anyhow::Result<Answer> {
        let end = Instant::now() + PATIENCE;
        loop {
            let last = match self.ask(method, path, body, key).await {
                Ok(answer) if answer.status < 500 => return Ok(answer),
                Ok(answer) => format!("{} {}", answer.status, answer.body),
                Err(error) => format!("{error:#}"),
            };
            ensure!(Instant::now() < end, "{method} {path} is not answered: {last}");
            tokio::time::sleep(CLIENT_PAUSE).await;
        }
    }

    /// # Errors
    /// No answer in time, or another one than 200.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.insist("GET", path, &Value::Null, None).await?;
        ensure!(answer.status == 200, "GET {path}: {} {}", answer.status, answer.body);
        Ok(answer.body)
    }

    /// The metrics page's sum over all labels of one counter.
    ///
    /// # Errors
    /// The connection's.
    pub async fn counter(&self, name: &str) -> anyhow::Result<f64> {
        let answer = self.client.get(self.url("/metrics")).bearer_auth(&self.token).send().await?;
        let text = answer.error_for_status()?.text().await?;
        let of_name = |line: &&str| line.split(['{', ' ']).next() == Some(name);
        let values = text.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(values.sum())
    }

    /// Rows of the data center's database: what no answer of the API can colour.
    ///
    /// # Errors
    /// The database's.
    pub async fn rows(&self, statement: &str) -> anyhow::Result<Vec<mysql_async::Row>> {
        let mut connection = self.connection().await?;
        let rows = connection.query(statement).await?;
        connection.disconnect().await?;
        Ok(rows)
    }

    /// A connection to the data center's database.
    ///
    /// # Errors
    /// The database's.
    pub async fn connection(&self) -> anyhow::Result<mysql_async::Conn> {
        let password = std::fs::read_to_string(self.path("secrets/db-arame"))?;
        let options = mysql_async::OptsBuilder::default()
            .user(Some("arame"))
            .pass(Some(password.trim()))
            .db_name(Some("arame"))
            .socket(Some(self.path("db/s.sock").display().to_string()));
        Ok(mysql_async::Conn::new(options).await?)
    }

    /// Where dcmgr meets the broker, from its configuration.
    ///
    /// # Errors
    /// The file is not as it should be.
    pub fn broker(&self) -> anyhow::Result<arame_framework::config::Broker> {
        let mut file: toml::Table = toml::from_str(&std::fs::read_to_string(self.path("etc/dcmgr.toml"))?)?;
        Ok(file.remove("broker").context("[broker]")?.try_into()?)
    }

    /// SIGKILL to one child again and again, so that it serves nobody for that long.
    ///
    /// # Errors
    /// No such child.
    pub async fn keep_away(&self, name: &str, time: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.kill(name)?;
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        Ok(())
    }

    /// Seconds of processor time that a child has used.
    ///
    /// # Errors
    /// No such child.
    pub fn processor_seconds(&self, name: &str) -> anyhow::Result<f64> {
        let child = self.children()?.remove(name).with_context(|| format!("no child {name}"))?;
        crate::bench::processor_seconds(child.pid)
    }

    /// One value of the metrics page, by its whole name with labels.
    ///
    /// # Errors
    /// The connection's, or no such value.
    pub async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let answer = self.client.get(self.url("/metrics")).bearer_auth(&self.token).send().await?;
        let text = answer.error_for_status()?.text().await?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no {name}"))?.trim().parse()?)
    }

    /// The first column of the first row.
    ///
    /// # Errors
    /// The database's, or no row.
    pub async fn number(&self, statement: &str) -> anyhow::Result<u64> {
        let mut rows = self.rows(statement).await?;
        ensure!(!rows.is_empty(), "no row: {statement}");
        rows.swap_remove(0).take(0).context(statement.to_owned())
    }

    /// Jobs that were open at a moment.
    ///
    /// # Errors
    /// The database's.
    pub async fn open_at(&self, moment: SystemTime) -> anyhow::Result<u64> {
        let seconds = moment.duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
        let at = format!("(TIMESTAMP('1970-01-01') + INTERVAL {seconds:.6} SECOND)");
        let open = format!("created_at <= {at} AND (finished_at IS NULL OR finished_at >= {at})");
        self.number(&format!("SELECT COUNT(*) FROM jobs WHERE {open}")).await
    }

    /// The simulated worlds of the agents, from their files. An agent that never had anything to keep has none.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn worlds(&self) -> anyhow::Result<BTreeMap<String, Value>> {
        let names = self.children()?.into_keys();
        names.map(|name| Ok((name.clone(), world(&self.path(&format!("state/{name}/world.json")))?))).collect()
    }

    /// The end of a child's log.
    pub fn log_tail(&self, name: &str, lines: usize) -> String {
        let bytes = std::fs::read(self.path(&format!("log/{name}.log"))).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let tail: Vec<&str> = text.lines().rev().take(lines).collect();
        tail.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Keeps the folder for a person to look at, and says where it is.
    pub fn keep(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        if self.down {
            return;
        }
        let mut command = std::process::Command::new(&self.arame);
        command.args(["--lang", "en", "down", "--dir"]).arg(self.folder.path());
        let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// A simulated world in its file.
///
/// # Errors
/// The file is there and cannot be read.
pub fn world(path: &Path) -> anyhow::Result<Value> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Value::Null),
        Err(error) => Err(error.into()),
    }
}

/// Waits for a condition; an error of the condition ends the wait.
///
/// # Errors
/// The condition's, or that it did not come to pass in time.
pub async fn until<F>(what: &str, condition: F) -> anyhow::Result<()>
where
    F: AsyncFn() -> anyhow::Result<bool>,
{
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if condition().await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    bail!("not within {PATIENCE:?}: {what}")
}
