//! The child processes of a data center: started, adopted, watched, restarted, stopped in order.
//!
//! What must stay true: the table on disk (`run/children.json`) names every child before anybody depends on it, so a
//! supervisor that was killed finds them all again; a child is only ever signalled as (pid, start time). A child that
//! dies is started again after a pause that grows; whoever lives inside it (an agent inside a host) follows it.
//! This does not know what the children are.

use super::process::{self, Identity};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Pause before a dead child is started again; doubled each time up to the second number.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(20);

/// A child that lived this long starts with the shortest pause again.
const STEADY_AFTER: Duration = Duration::from_secs(60);

/// How long a child of an earlier supervisor may take to end.
const LEFT_GRACE: Duration = Duration::from_secs(20);

/// A log larger than this is put aside (one old one is kept) when its child starts.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    #[error("{name} cannot be started: {source}")]
    Start { name: String, source: std::io::Error },
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{name} ended; the end of its log {}:\n{tail}", log.display())]
    Died { name: String, log: PathBuf, tail: String },
    #[error("{name} was not ready within {}; the end of its log {}:\n{tail}", seconds(limit), log.display())]
    Late { name: String, limit: Duration, log: PathBuf, tail: String },
}

fn seconds(limit: &Duration) -> String {
    format!("{} s", limit.as_secs())
}

/// Where a child lives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    Machine,
    /// A network namespace by name.
    Netns(String),
    /// Network, UTS and mount namespaces of the host run by the child of this name.
    Host(String),
}

/// What order to stop in: lower first. Agents stop before what they talk to, guests before their volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    Agent,
    Manager,
    Host,
    Storage,
    Switch,
    Broker,
    Database,
}

/// One child, as wanted.
#[derive(Debug, Clone, Hash)]
pub struct ChildSpec {
    pub name: String,
    pub program: PathBuf,
    pub args: Vec<OsString>,
    pub env: Vec<(String, String)>,
    pub place: Place,
    pub user: Option<(u32, u32)>,
    /// Private bind mounts, source and target.
    pub binds: Vec<(PathBuf, PathBuf)>,
    pub log: PathBuf,
    pub stage: Stage,
    /// How it is asked to end (`SIGKILL` where a program cannot end in order), and how long it may take.
    pub stop: Signal,
    pub grace: Duration,
    /// Restarted when one of these was.
    pub inside: Vec<String>,
}

impl ChildSpec {
    pub fn new(name: &str, program: impl Into<PathBuf>, log: PathBuf, stage: Stage) -> Self {
        Self {
            name: name.to_owned(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            place: Place::Machine,
            user: None,
            binds: Vec::new(),
            log,
            stage,
            stop: Signal::SIGTERM,
            grace: Duration::from_secs(15),
            inside: Vec::new(),
        }
    }

    pub fn args<I, S>(mut self, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    pub fn place(mut self, place: Place) -> Self {
        if let Place::Host(host) = &place {
            self.inside.push(host.clone());
        }
        self.place = place;
        self
    }

    /// Equal for equal wishes, also across restarts of this program.
    fn fingerprint(&self) -> String {
        use sha2::Digest;
        let mut words = format!("{self:?}").into_bytes();
        if let Ok(modified) = std::fs::metadata(&self.program).and_then(|meta| meta.modified()) {
            words.extend_from_slice(format!("{modified:?}").as_bytes());
        }
        hex::encode(&sha2::Sha256::digest(&words)[..8])
    }

    fn needs_enter(&self) -> bool {
        self.place != Place::Machine || self.user.is_some() || !self.binds.is_empty()
    }
}

/// How a child came to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    Started,
    /// It ran already, as wanted.
    Adopted,
}

#[derive(Debug)]
struct Running {
    spec: ChildSpec,
    process: Identity,
    since: Instant,
    pause: Duration,
    /// Dead since; restarted when the pause is over.
    restart_at: Option<Instant>,
    restarts: u32,
    /// Of the wish it was started with, the program's file included.
    fingerprint: String,
    arrival: Arrival,
}

/// A line of the table on disk.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    pub name: String,
    pub pid: i32,
    pub start: u64,
    pub fingerprint: String,
    pub restarts: u32,
    pub stage: Stage,
    /// Signal number that ends it.
    pub stop: i32,
}

impl Entry {
    fn stop_signal(&self) -> Signal {
        Signal::try_from(self.stop).unwrap_or(Signal::SIGTERM)
    }

    pub fn process(&self) -> Identity {
        Identity { pid: self.pid, start: self.start }
    }
}

/// The table on disk.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct Table {
    pub boot: String,
    pub supervisor: Option<Identity>,
    pub children: Vec<Entry>,
}

impl Table {
    /// The table as last written, without entries of an earlier boot of the machine.
    pub fn read(path: &Path) -> Self {
        let table: Option<Table> = std::fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        table.filter(|table| table.boot == process::boot_id()).unwrap_or_default()
    }
}

#[derive(Debug)]
pub struct Children {
    table: PathBuf,
    /// This very program, for `enter`.
    arame: PathBuf,
    running: BTreeMap<String, Running>,
    /// What the last supervisor left, not asked for yet.
    left: Vec<Entry>,
}

impl Children {
    pub fn open(table: &Path, arame: &Path) -> Self {
        let left = Table::read(table).children;
        Self { table: table.to_owned(), arame: arame.to_owned(), running: BTreeMap::new(), left }
    }

    /// Whether the last supervisor left this child alive.
    pub fn was_left_alive(&self, name: &str) -> bool {
        self.left.iter().any(|entry| entry.name == name && process::is_alive(entry.process()))
    }

    /// Makes the child run as wanted: adopted if it does already, started otherwise. One that runs differently is
    /// ended first.
    pub fn ensure(&mut self, spec: ChildSpec) -> Result<Arrival, ChildError> {
        let fingerprint = spec.fingerprint();
        if let Some(running) = self.running.get(&spec.name)
            && process::is_alive(running.process)
        {
            return Ok(Arrival::Adopted);
        }
        let left = self.left.iter().position(|entry| entry.name == spec.name).map(|at| self.left.remove(at));
        if let Some(entry) = left.filter(|entry| process::is_alive(entry.process())) {
            // An agent inside a host that was started anew must follow it: its old namespaces are dead.
            let arrival = |name| self.running.get(name).map(|running: &Running| running.arrival);
            let host_stays = spec.inside.iter().all(|name| arrival(name) == Some(Arrival::Adopted));
            if entry.fingerprint == fingerprint && host_stays {
                self.insert(spec, fingerprint, entry.process(), Arrival::Adopted);
                self.write()?;
                return Ok(Arrival::Adopted);
            }
            end(entry.process(), spec.stop, spec.grace);
        }
        let process = self.spawn(&spec)?;
        self.insert(spec, fingerprint, process, Arrival::Started);
        self.write()?;
        Ok(Arrival::Started)
    }

    fn insert(&mut self, spec: ChildSpec, fingerprint: String, process: Identity, arrival: Arrival) {
        let (since, pause) = (Instant::now(), RESTART_PAUSE);
        let running = Running { process, since, pause, restart_at: None, restarts: 0, spec, fingerprint, arrival };
        self.running.insert(running.spec.name.clone(), running);
    }

    pub fn pid(&self, name: &str) -> Option<i32> {
        self.running.get(name).map(|running| running.process.pid)
    }

    /// An error when the child is dead, with the end of its log.
    pub fn check(&self, name: &str) -> Result<(), ChildError> {
        match self.running.get(name) {
            Some(running) if !process::is_alive(running.process) => {
                let log = running.spec.log.clone();
                Err(ChildError::Died { name: name.to_owned(), tail: tail(&log), log })
            }
            _ => Ok(()),
        }
    }

    pub fn late(&self, name: &str, limit: Duration) -> ChildError {
        let log = self.running.get(name).map(|running| running.spec.log.clone()).unwrap_or_default();
        ChildError::Late { name: name.to_owned(), limit, tail: tail(&log), log }
    }

    /// Starts again what has died (after its pause). Gives the names of those started.
    pub fn revive(&mut self) -> Vec<String> {
        let now = Instant::now();
        for running in self.running.values_mut() {
            if running.restart_at.is_none() && !process::is_alive(running.process) {
                if running.since.elapsed() > STEADY_AFTER {
                    running.pause = RESTART_PAUSE;
                }
                running.restart_at = Some(now + running.pause);
                running.pause = (running.pause * 2).min(RESTART_PAUSE_MAX);
            }
        }
        let due = |running: &Running| running.restart_at.is_some_and(|at| at <= now);
        let mut names: Vec<String> = self.running.values().filter(|r| due(r)).map(|r| r.spec.name.clone()).collect();
        // Hosts first, so that those inside find them.
        names.sort_by_key(|name| self.running.get(name).map(|r| !r.spec.inside.is_empty()));
        let mut started = Vec::new();
        for name in names {
            self.restart(&name);
            started.push(name.clone());
            for inner in self.inside(&name) {
                if let Some(running) = self.running.get_mut(&inner) {
                    end(running.process, Signal::SIGKILL, Duration::from_secs(2));
                    running.restart_at = Some(Instant::now() + RESTART_PAUSE);
                }
            }
        }
        started
    }

    fn inside(&self, name: &str) -> Vec<String> {
        let lives_inside = |running: &&Running| running.spec.inside.iter().any(|outer| outer == name);
        self.running.values().filter(lives_inside).map(|running| running.spec.name.clone()).collect()
    }

    fn restart(&mut self, name: &str) {
        let Some(spec) = self.running.get(name).map(|running| running.spec.clone()) else { return };
        let outcome = self.spawn(&spec);
        let Some(running) = self.running.get_mut(name) else { return };
        match outcome {
            Ok(process) => {
                running.process = process;
                running.fingerprint = running.spec.fingerprint();
                running.since = Instant::now();
                running.restart_at = None;
                running.restarts += 1;
            }
            Err(error) => {
                tracing::warn!(child = name, %error, "restart failed");
                running.restart_at = Some(Instant::now() + running.pause);
            }
        }
        if let Err(error) = self.write() {
            tracing::warn!(%error, "children table not written");
        }
    }

    fn spawn(&self, spec: &ChildSpec) -> Result<Identity, ChildError> {
        let start = |source| ChildError::Start { name: spec.name.clone(), source };
        let log = open_log(&spec.log)?;
        let err = log.try_clone().map_err(start)?;
        let mut command = if spec.needs_enter() {
            let mut command = Command::new(&self.arame);
            command.arg("enter").args(self.enter_args(spec)).arg("--").arg(&spec.program);
            command
        } else {
            Command::new(&spec.program)
        };
        command.args(&spec.args).envs(spec.env.iter().map(|(n, v)| (n, v)));
        command.current_dir("/").stdin(Stdio::null()).stdout(log).stderr(err);
        // A group of its own: Ctrl-C in the terminal reaches only the supervisor.
        command.process_group(0);
        let child = command.spawn().map_err(start)?;
        let pid = child.id() as i32;
        process::identify(pid).ok_or_else(|| start(std::io::Error::from(std::io::ErrorKind::NotFound)))
    }

    fn enter_args(&self, spec: &ChildSpec) -> Vec<OsString> {
        let mut args: Vec<OsString> = Vec::new();
        match &spec.place {
            Place::Machine => {}
            Place::Netns(name) => args.extend(["--netns".into(), format!("/run/netns/{name}").into()]),
            Place::Host(host) => {
                let pid = self.pid(host).unwrap_or_default();
                args.extend(["--host-of".into(), pid.to_string().into()]);
            }
        }
        for (source, target) in &spec.binds {
            args.extend(["--bind".into(), format!("{}={}", source.display(), target.display()).into()]);
        }
        if let Some((uid, gid)) = spec.user {
            args.extend(["--uid".into(), uid.to_string().into(), "--gid".into(), gid.to_string().into()]);
        }
        args
    }

    /// Ends one child for good.
    pub fn stop(&mut self, name: &str) {
        self.stop_all(&[name.to_owned()]);
    }

    /// Children the last supervisor left and nobody asked for: of hosts that are no longer wanted.
    pub fn stop_unwanted(&mut self) {
        let names: Vec<String> = self.left.iter().map(|entry| entry.name.clone()).collect();
        self.stop_all(&names);
    }

    /// All children, also those of the last supervisor, by the stage they are to be stopped in.
    pub fn by_stage(&self) -> BTreeMap<Stage, Vec<String>> {
        let mut stages: BTreeMap<Stage, Vec<String>> = BTreeMap::new();
        let running = self.running.values().map(|running| (running.spec.stage, running.spec.name.clone()));
        let left = self.left.iter().map(|entry| (entry.stage, entry.name.clone()));
        for (stage, name) in running.chain(left) {
            stages.entry(stage).or_default().push(name);
        }
        stages
    }

    /// Asks all of them to end at once, waits for all, kills the rest.
    pub fn stop_all(&mut self, names: &[String]) {
        let mut ending: Vec<(Identity, Signal, Duration)> = Vec::new();
        for name in names {
            if let Some(running) = self.running.remove(name) {
                ending.push((running.process, running.spec.stop, running.spec.grace));
            }
        }
        for entry in self.left.extract_if(.., |entry| names.contains(&entry.name)) {
            ending.push((entry.process(), entry.stop_signal(), LEFT_GRACE));
        }
        for (process, how, _) in &ending {
            process::signal(*process, *how);
        }
        for (process, how, grace) in ending {
            end(process, how, grace);
        }
        let _ = self.write();
    }

    fn write(&self) -> Result<(), ChildError> {
        let mut children: Vec<Entry> = self.left.clone();
        children.extend(self.running.values().map(|running| Entry {
            name: running.spec.name.clone(),
            pid: running.process.pid,
            start: running.process.start,
            fingerprint: running.fingerprint.clone(),
            restarts: running.restarts,
            stage: running.spec.stage,
            stop: running.spec.stop as i32,
        }));
        let table = Table { boot: process::boot_id(), supervisor: Some(process::own()), children };
        let text = serde_json::to_vec_pretty(&table).unwrap_or_default();
        super::files::replace(&self.table, &text, 0o600)
            .map_err(|source| ChildError::File { path: self.table.clone(), source })
    }
}

/// Asks a process to end, waits, then kills it. Returns when it is gone.
pub fn end(process: Identity, how: Signal, grace: Duration) {
    process::signal(process, how);
    if wait_gone(process, grace) {
        return;
    }
    process::signal(process, Signal::SIGKILL);
    wait_gone(process, Duration::from_secs(5));
}

fn wait_gone(process: Identity, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while process::is_alive(process) {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

fn open_log(path: &Path) -> Result<std::fs::File, ChildError> {
    let wrap = |source| ChildError::File { path: path.to_owned(), source };
    if std::fs::metadata(path).is_ok_and(|meta| meta.len() > LOG_BYTES_MAX) {
        std::fs::rename(path, path.with_extension("log.old")).map_err(wrap)?;
    }
    std::fs::OpenOptions::new().create(true).append(true).open(path).map_err(wrap)
}

/// The last lines of a log, for an error message.
fn tail(path: &Path) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let read = || -> std::io::Result<String> {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(4096)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(8).collect();
    lines.into_iter().rev().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}
