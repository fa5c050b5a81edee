//! What is on disk about the running data center: the lock, the children table, the status, the progress file.
//!
//! What must stay true: whoever holds the lock is the only one that starts or stops anything in this folder; the lock
//! goes with its process, however that ends.

use super::children::Table;
use super::files;
use super::layout::{Layout, Wish};
use super::process::{self, Identity};
use super::progress::Event;
use super::words::{Language, Text};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// Held by the supervisor for its life.
pub type Lock = Flock<File>;

/// Written when everything runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Status {
    supervisor: Identity,
    wish: Wish,
}

/// What the holder of the lock is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    Running { wish: Wish },
    Starting,
}

pub struct State {
    run: PathBuf,
    log: PathBuf,
}

impl State {
    pub fn new(layout: &Layout) -> Self {
        Self { run: layout.path("run"), log: layout.path("log") }
    }

    pub fn table_path(&self) -> PathBuf {
        self.run.join("children.json")
    }

    fn status_path(&self) -> PathBuf {
        self.run.join("status.json")
    }

    fn progress_path(&self) -> PathBuf {
        self.run.join("progress.jsonl")
    }

    /// The lock, or none when another process has it.
    pub fn take(&self) -> io::Result<Option<Lock>> {
        files::folder(&self.run, 0o755)?;
        files::folder(&self.log, 0o755)?;
        let file = File::options().create(true).truncate(false).write(true).open(self.run.join("lock"))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(lock)),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, error)) => Err(error.into()),
        }
    }

    fn table(&self) -> Table {
        Table::read(&self.table_path())
    }

    fn status(&self) -> Option<Status> {
        let text = std::fs::read(self.status_path()).ok()?;
        let status: Status = serde_json::from_slice(&text).ok()?;
        process::is_alive(status.supervisor).then_some(status)
    }

    pub fn held(&self) -> Held {
        self.status().map_or(Held::Starting, |status| Held::Running { wish: status.wish })
    }

    pub fn supervisor(&self) -> Option<Identity> {
        self.table().supervisor.filter(|supervisor| process::is_alive(*supervisor))
    }

    /// A child that runs.
    pub fn child(&self, name: &str) -> Option<Identity> {
        let found = self.table().children.into_iter().find(|entry| entry.name == name);
        found.map(|entry| entry.process()).filter(|process| process::is_alive(*process))
    }

    pub fn children_alive(&self) -> bool {
        self.table().children.iter().any(|entry| process::is_alive(entry.process()))
    }

    pub fn dead_children(&self) -> Vec<String> {
        let dead = self.table().children.into_iter().filter(|entry| !process::is_alive(entry.process()));
        dead.map(|entry| entry.name).collect()
    }

    /// Everything runs as wished.
    pub fn set_running(&self, wish: &Wish) -> io::Result<()> {
        let status = Status { supervisor: process::own(), wish: wish.clone() };
        let url = format!("http://{}\n", wish.listen);
        files::replace(&self.run.join("api-url"), url.as_bytes(), 0o644)?;
        files::replace(&self.status_path(), &serde_json::to_vec_pretty(&status)?, 0o644)
    }

    /// Stopping begins: `up` must not say any more that all is well.
    pub fn set_stopping(&self) {
        let _ = std::fs::remove_file(self.status_path());
    }

    /// Nothing runs any more.
    pub fn forget(&self) -> io::Result<()> {
        for path in [self.status_path(), self.table_path(), self.progress_path(), self.run.join("api-url")] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    pub fn clear_progress_file(&self) -> io::Result<()> {
        File::create(self.progress_path()).map(|_| ())
    }

    pub fn new_progress_file(&self) -> io::Result<File> {
        File::options().create(true).append(true).open(self.progress_path())
    }

    pub fn progress_length(&self) -> usize {
        std::fs::metadata(self.progress_path()).map_or(0, |meta| meta.len() as usize)
    }

    /// Events written since the last call; `seen` counts bytes.
    pub fn progress_from(&self, seen: &mut usize) -> Vec<Event> {
        let text = std::fs::read_to_string(self.progress_path()).unwrap_or_default();
        let fresh = text.get(*seen..).unwrap_or_default();
        let whole = fresh.rfind('\n').map_or("", |end| &fresh[..=end]);
        *seen += whole.len();
        whole.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    pub fn report(&self) -> Report {
        let table = self.table();
        let line = |entry: &super::children::Entry| Line {
            name: entry.name.clone(),
            pid: entry.pid,
            running: process::is_alive(entry.process()),
            restarts: entry.restarts,
        };
        let children = table.children.iter().map(line).collect();
        let running = self.status();
        Report {
            supervisor: self.supervisor().map(|supervisor| supervisor.pid),
            api: running.map(|status| format!("http://{}", status.wish.listen)),
            children,
        }
    }
}

#[derive(Debug, Serialize)]
struct Line {
    name: String,
    pid: i32,
    running: bool,
    restarts: u32,
}

/// What `arame status` shows.
#[derive(Debug, Serialize)]
pub struct Report {
    supervisor: Option<i32>,
    api: Option<String>,
    children: Vec<Line>,
}

impl Report {
    pub fn is_whole(&self) -> bool {
        self.supervisor.is_some() && self.api.is_some() && self.children.iter().all(|line| line.running)
    }

    pub fn show(&self, language: Language) -> String {
        if self.supervisor.is_none() && self.children.iter().all(|line| !line.running) {
            return Text::new("Nothing is running here.", "ここでは何も稼働していません。").get(language).to_owned();
        }
        let mut table = comfy_table::Table::new();
        let head = match language {
            Language::En => ["program", "process", "state", "restarts"],
            Language::Ja => ["プログラム", "プロセス", "状態", "再起動"],
        };
        table.set_header(head);
        for line in &self.children {
            let state = if line.running { Text::new("running", "稼働中") } else { Text::new("stopped", "停止") };
            let words =
                [line.name.clone(), line.pid.to_string(), state.get(language).into(), line.restarts.to_string()];
            table.add_row(words);
        }
        let supervisor = match self.supervisor {
            Some(pid) => Text::new(format!("supervisor: process {pid}"), format!("監視プロセス: {pid}")),
            None => Text::new(
                "no supervisor: `arame up` adopts these, `arame down` ends them",
                "監視プロセスがありません: `arame up` で引き継ぎ、`arame down` で終了します",
            ),
        };
        format!("{table}\n{}", supervisor.get(language))
    }
}
