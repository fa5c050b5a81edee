//! The data center of a campaign: its programs in their places, its rows, its worlds, and a client that knows two
//! dcmgr and asks the other when one does not answer.
//!
//! Rule: rows are read by the database's own socket, worlds from their files: no cut, frozen program or answer of the
//! API stands between the kit and what is true.

use super::fabric::Fabric;
use super::files::{self, API_PORT, BROKER, BROKER_PORT, DATABASE, Files, HOST, MANAGERS, NUMBERS, REAL};
use super::host::{self, Host};
use super::program::{Program, Spec, Within};
use crate::processes::{Answer, until, world};
use anyhow::{Context, bail, ensure};
use mysql_async::prelude::Queryable;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A client gives up on one dcmgr after this and asks the other.
const REQUEST_LIMIT: Duration = Duration::from_secs(3);

/// How long one that did not answer is not asked while the other does.
const AVOIDED: Duration = Duration::from_secs(5);

/// Between two tries of a client that was not answered.
const CLIENT_PAUSE: Duration = Duration::from_millis(100);

/// How long a client goes on trying: longer than every fault and its repair together.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The kit's own look at the rows.
const ROWS_LIMIT: Duration = Duration::from_secs(10);

/// Room for an agent's own files; small enough to be filled at once.
const STATE_SIZE: &str = "size=8m";

const INSTALL_LIMIT: Duration = Duration::from_secs(120);

pub struct Center {
    folder: TempDir,
    pub fabric: Fabric,
    programs: BTreeMap<String, Arc<Program>>,
    tending: JoinSet<()>,
    client: reqwest::Client,
    token: String,
    next: AtomicUsize,
    /// When each dcmgr last did not answer.
    silent: [Mutex<Option<Instant>>; 2],
    with_host: bool,
}

async fn run(program: &str, arguments: &[String]) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(INSTALL_LIMIT, command.output()).await.context("hangs")??;
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{program} ended with {}: {said}", output.status);
    Ok(())
}

impl Center {
    /// Everything in a new folder and in this cell, until every agent is heard; with a host on libvirt or without.
    ///
    /// # Errors
    /// Something does not come up; with the end of its log.
    pub async fn up(programs: &Path, with_host: bool) -> anyhow::Result<Center> {
        let mut folder = tempfile::Builder::new().prefix("arame-chaos-").tempdir()?;
        // What a failed campaign leaves is for a person to read; a good one forgets it.
        folder.disable_cleanup(true);
        let mut fabric = Fabric::new().await?;
        for (name, number) in NUMBERS {
            fabric.join(name, number).await?;
        }
        for agent in files::agents(with_host) {
            let state = folder.path().join("state").join(agent);
            std::fs::create_dir_all(&state)?;
            let size = if agent == REAL { host::STATE_SIZE } else { STATE_SIZE };
            let words = ["-t", "tmpfs", "-o", size, "tmpfs"].map(str::to_owned);
            run("mount", &[words.to_vec(), vec![state.display().to_string()]].concat()).await?;
        }
        let client = reqwest::Client::builder().timeout(REQUEST_LIMIT).build()?;
        let mut center = Center {
            folder,
            fabric,
            programs: BTreeMap::new(),
            tending: JoinSet::new(),
            client,
            token: String::new(),
            next: AtomicUsize::new(0),
            silent: Default::default(),
            with_host,
        };
        center.files().all()?;
        center.token = std::fs::read_to_string(center.path("token"))?.trim().to_owned();
        center.install().await?;
        center.start_servers().await?;
        center.start_programs(programs).await?;
        Ok(center)
    }

    fn files(&self) -> Files<'_> {
        Files { folder: self.folder.path(), fabric: &self.fabric, with_host: self.with_host }
    }

    /// Every agent there is.
    pub fn agents(&self) -> Vec<&'static str> {
        files::agents(self.with_host)
    }

    pub fn host(&self) -> Host {
        Host::new(self.folder.path())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn install(&self) -> anyhow::Result<()> {
        let words = ["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"];
        let mut words: Vec<String> = words.map(str::to_owned).to_vec();
        words.extend(["--skip-name-resolve", "--user=root", "--innodb-log-file-size=16M"].map(str::to_owned));
        words.push(format!("--datadir={}", self.path("db/data").display()));
        words.push(format!("--tmpdir={}", self.path("db/tmp").display()));
        run("mariadb-install-db", &words).await
    }

    fn add(&mut self, name: &str, words: Vec<String>, mut env: Vec<(String, String)>) -> anyhow::Result<()> {
        let mut all = self.fabric.words(name)?;
        all.extend(words);
        env.extend(files::clock_env(self.folder.path(), name).unwrap_or_default());
        self.tend(name, Spec { words: all, env, ..self.spec(name) });
        Ok(())
    }

    fn spec(&self, name: &str) -> Spec {
        let log = self.path(&format!("log/{name}.log"));
        let (words, env) = (Vec::new(), Vec::new());
        Spec { name: name.to_owned(), words, env, folder: self.path("run"), log, within: None }
    }

    fn tend(&mut self, name: &str, spec: Spec) -> Arc<Program> {
        let program = Arc::new(Program::new(spec));
        self.programs.insert(name.to_owned(), program.clone());
        let tended = program.clone();
        self.tending.spawn(async move { tended.tend().await });
        program
    }

    /// The host on libvirt, and its agent in it.
    async fn start_host(&mut self, arame: &Path, agent: Vec<String>) -> anyhow::Result<()> {
        for words in Host::links() {
            self.fabric.inside(REAL, &[&["ip"][..], &words].concat()).await?;
        }
        let words = [self.fabric.words(REAL)?, self.host().words(arame)].concat();
        let host = self.tend(HOST, Spec { words, ..self.spec(HOST) });
        let within = Within { host, ready: self.host().ready_file(), arame: arame.to_owned() };
        let env = files::clock_env(self.folder.path(), REAL).unwrap_or_default();
        self.tend(REAL, Spec { words: agent, env, within: Some(within), ..self.spec(REAL) });
        Ok(())
    }

    async fn start_servers(&mut self) -> anyhow::Result<()> {
        let words = self.files().database_words()?;
        self.add(DATABASE, words, Vec::new())?;
        let (words, env) = self.files().broker_words()?;
        self.add(BROKER, words, env)?;
        let ready = until("the database and the broker answer", async || {
            Ok(self.number("SELECT COUNT(*) FROM mysql.user WHERE User = 'arame'").await.is_ok_and(|n| n == 1)
                && self.broker_answers().await)
        });
        ready.await.with_context(|| format!("{}\n{}", self.log_tail(DATABASE, 15), self.log_tail(BROKER, 15)))
    }

    /// Answers the protocol header with `connection.start`, not just accepts.
    pub async fn broker_answers(&self) -> bool {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let Ok(address) = self.fabric.address(BROKER) else { return false };
        let talk = async {
            let mut stream = tokio::net::TcpStream::connect((address, BROKER_PORT)).await.ok()?;
            stream.write_all(b"AMQP\x00\x00\x09\x01").await.ok()?;
            let mut head = [0u8; 11];
            stream.read_exact(&mut head).await.ok()?;
            (head[0] == 1 && head[7..11] == [0, 10, 0, 10]).then_some(())
        };
        matches!(tokio::time::timeout(Duration::from_secs(2), talk).await, Ok(Some(())))
    }

    async fn start_programs(&mut self, programs: &Path) -> anyhow::Result<()> {
        let at = |name: &str| programs.join(name).display().to_string();
        let config =
            |name: &str| vec!["--config".to_owned(), self.path(&format!("etc/{name}.toml")).display().to_string()];
        let seed = vec!["--seed".to_owned(), self.path("etc/seed.toml").display().to_string()];
        let mut wanted = Vec::new();
        for name in MANAGERS {
            wanted.push((name, [vec![at("arame-dcmgr"), "serve".to_owned()], config(name), seed.clone()].concat()));
        }
        for name in files::AGENTS {
            let kind = name.split('.').next().unwrap_or_default();
            wanted.push((name, [vec![at(&format!("arame-{kind}"))], config(name)].concat()));
        }
        let real = [vec![at("arame-hva")], config(REAL)].concat();
        for (name, words) in wanted {
            self.add(name, words, Vec::new())?;
        }
        if self.with_host {
            self.start_host(&programs.join("arame"), real).await?;
        }
        let heard = "SELECT COUNT(*) FROM arame.agents WHERE incarnation > 0";
        let images = "SELECT COUNT(*) FROM arame.facts WHERE name = 'image' AND value = 'yes'";
        let up = until("every agent is heard and the image is imported", async || {
            let all = u64::try_from(self.agents().len())?;
            Ok(self.number(heard).await.is_ok_and(|n| n == all) && self.number(images).await.is_ok_and(|n| n == 2))
        });
        up.await.with_context(|| {
            let names = MANAGERS.into_iter().chain(self.agents()).chain([HOST]);
            names.map(|name| self.log_tail(name, 8)).collect::<String>()
        })
    }

    /// # Errors
    /// No such program.
    pub fn program(&self, name: &str) -> anyhow::Result<&Program> {
        self.programs.get(name).map(Arc::as_ref).with_context(|| format!("no program {name}"))
    }

    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.programs.values().map(Arc::as_ref)
    }

    /// Starts an agent anew, its effects taking this long from now on.
    ///
    /// # Errors
    /// Its file cannot be written.
    pub fn set_latency(&self, agent: &str, latency_ms: u64) -> anyhow::Result<()> {
        self.files().agent(agent, latency_ms)?;
        self.program(agent)?.signal(Signal::SIGKILL);
        Ok(())
    }

    /// Steps the clock of one program. It notices within a second.
    ///
    /// # Errors
    /// Its file cannot be written.
    pub fn set_clock(&self, program: &str, seconds: i64) -> anyhow::Result<()> {
        let path = self.path(&format!("clock/{program}"));
        // Renamed, so that nobody reads half of it.
        let beside = path.with_extension("new");
        std::fs::write(&beside, format!("{seconds:+}\n"))?;
        Ok(std::fs::rename(beside, path)?)
    }

    pub fn has_clocks(&self) -> bool {
        files::faketime_library().is_some()
    }

    /// How a user of the broker reaches it.
    ///
    /// # Errors
    /// It has no address.
    pub fn broker(&self, user: &str) -> anyhow::Result<arame_framework::config::Broker> {
        Ok(files::broker_for(self.folder.path(), self.fabric.address(BROKER)?, user))
    }

    /// One request to one dcmgr. An error is no answer at all.
    ///
    /// # Errors
    /// The connection's, the time limit's.
    pub async fn ask_at(&self, manager: usize, ask: Ask<'_>) -> anyhow::Result<Answer> {
        let address = self.fabric.address(MANAGERS[manager % MANAGERS.len()])?;
        let url = format!("http://{}/api/12.03{}", SocketAddr::from((address, API_PORT)), ask.path);
        let mut request = self.client.request(ask.method.parse()?, url).bearer_auth(&self.token);
        request = request.header("x-vdc-account-uuid", "a-demo").header("accept-language", "en");
        if let Some(key) = ask.key {
            request = request.header("idempotency-key", key);
        }
        if !ask.body.is_null() {
            request = request.json(&ask.body);
        }
        if let Some(limit) = ask.limit {
            request = request.timeout(limit);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        Ok(Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
    }

    /// Whether one dcmgr says that it is well.
    pub async fn is_well(&self, manager: usize, limit: Duration) -> bool {
        let Ok(address) = self.fabric.address(MANAGERS[manager % MANAGERS.len()]) else { return false };
        let url = format!("http://{}/healthz", SocketAddr::from((address, API_PORT)));
        self.client.get(url).timeout(limit).send().await.is_ok_and(|answer| answer.status() == 200)
    }

    /// One after the other, but for one that lately did not answer, as a load balancer does.
    fn manager(&self) -> usize {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % MANAGERS.len();
        let is_silent = |manager: usize| {
            let since = *self.silent[manager].lock().unwrap_or_else(PoisonError::into_inner);
            since.is_some_and(|since| since.elapsed() < AVOIDED)
        };
        let other = (turn + 1) % MANAGERS.len();
        if is_silent(turn) && !is_silent(other) { other } else { turn }
    }

    /// As a patient client with two addresses: the same request, with the same key, until one answers for good.
    /// Gives the answer and how often it was asked.
    ///
    /// # Errors
    /// Nobody answered in time.
    pub async fn insist(&self, ask: Ask<'_>) -> anyhow::Result<(Answer, u32)> {
        let end = Instant::now() + PATIENCE;
        let mut tries = 0;
        loop {
            tries += 1;
            let manager = self.manager();
            let last = match self.ask_at(manager, ask.clone()).await {
                Ok(answer) if answer.status < 500 => return Ok((answer, tries)),
                Ok(answer) => format!("{} {}", answer.status, answer.body),
                Err(error) => {
                    *self.silent[manager].lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                    format!("{error:#}")
                }
            };
            ensure!(Instant::now() < end, "{} {} is not answered after {tries} tries: {last}", ask.method, ask.path);
            tokio::time::sleep(CLIENT_PAUSE).await;
        }
    }

    /// # Errors
    /// No answer in time, or another one than 200.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let (answer, _) = self.insist(Ask::get(path)).await?;
        ensure!(answer.status == 200, "GET {path}: {} {}", answer.status, answer.body);
        Ok(answer.body)
    }

    /// Rows, as the database's own administrator.
    ///
    /// # Errors
    /// The database's, or that it does not answer.
    pub async fn rows(&self, statement: &str) -> anyhow::Result<Vec<mysql_async::Row>> {
        let options = mysql_async::OptsBuilder::default()
            .user(Some("root"))
            .socket(Some(self.path("db/s.sock").display().to_string()));
        let look = async {
            let mut connection = mysql_async::Conn::new(options).await?;
            let rows: Vec<mysql_async::Row> = connection.query(statement).await?;
            connection.disconnect().await?;
            anyhow::Ok(rows)
        };
        tokio::time::timeout(ROWS_LIMIT, look).await.context("the database does not answer")?
    }

    /// The first column of the first row.
    ///
    /// # Errors
    /// The database's, or no row.
    pub async fn number(&self, statement: &str) -> anyhow::Result<u64> {
        let mut rows = self.rows(statement).await?;
        ensure!(!rows.is_empty(), "no row: {statement}");
        rows.swap_remove(0).take(0).with_context(|| statement.to_owned())
    }

    /// The first column of every row, as text.
    ///
    /// # Errors
    /// The database's.
    pub async fn texts(&self, statement: &str) -> anyhow::Result<Vec<String>> {
        Ok(self.rows(statement).await?.into_iter().filter_map(|mut row| row.take(0)).collect())
    }

    /// # Errors
    /// The database's.
    pub async fn open_jobs(&self) -> anyhow::Result<u64> {
        self.number("SELECT COUNT(*) FROM arame.jobs WHERE open = 1").await
    }

    /// The simulated worlds of the agents, from their files, and what the host on libvirt has.
    ///
    /// # Errors
    /// A file cannot be read, or the host does not answer.
    pub async fn worlds(&self) -> anyhow::Result<BTreeMap<String, Value>> {
        let simulated = files::AGENTS.iter().map(|agent| Ok(((*agent).to_owned(), world(&self.world_file(agent))?)));
        let mut worlds = simulated.collect::<anyhow::Result<BTreeMap<_, _>>>()?;
        if self.with_host {
            worlds.insert(REAL.to_owned(), self.host().world().await.context("the host on libvirt")?);
        }
        Ok(worlds)
    }

    pub fn world_file(&self, agent: &str) -> PathBuf {
        self.path(&format!("state/{agent}/world.json"))
    }

    /// The end of a program's log.
    pub fn log_tail(&self, name: &str, lines: usize) -> String {
        let bytes = std::fs::read(self.path(&format!("log/{name}.log"))).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let mut tail: Vec<&str> = text.lines().rev().take(lines).collect();
        tail.push("");
        tail.into_iter().rev().collect::<Vec<_>>().join("\n") + "\n"
    }

    /// Ends every program and removes the folder.
    ///
    /// # Errors
    /// Something is still in it.
    pub async fn forget(&self) -> anyhow::Result<()> {
        for program in self.programs() {
            program.hold(true);
            program.signal(Signal::SIGKILL);
        }
        until("every program is dead", async || Ok(self.programs().all(|program| !program.is_alive()))).await?;
        for agent in self.agents() {
            run("umount", &["-l".to_owned(), self.path(&format!("state/{agent}")).display().to_string()]).await?;
        }
        Ok(std::fs::remove_dir_all(self.folder.path())?)
    }

    /// Waits until every program runs.
    ///
    /// # Errors
    /// Not in time: names those that do not.
    pub async fn all_alive(&self) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let dead: Vec<&str> = self.programs().filter(|program| !program.is_alive()).map(Program::name).collect();
            if dead.is_empty() {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("not running: {}", dead.join(", "));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// One request.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub body: Value,
    pub key: Option<&'a str>,
    pub limit: Option<Duration>,
}

impl<'a> Ask<'a> {
    pub fn get(path: &'a str) -> Ask<'a> {
        Ask { method: "GET", path, body: Value::Null, key: None, limit: None }
    }
}
