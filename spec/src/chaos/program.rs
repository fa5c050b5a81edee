//! One program of the data center: started in its place, started again when it dies, signalled.
//!
//! Rule: an end that the kit did not cause is remembered and told: a program that gives up by itself is a finding. A
//! dead program stays dead for [`RESTART_PAUSE`], as under any supervisor.

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::process::{Child, Command};

/// What `arame up` waits before it starts a dead child again.
const RESTART_PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, Clone)]
pub struct Spec {
    pub name: String,
    /// Program and arguments, what puts it into its namespace included.
    pub words: Vec<String>,
    pub env: Vec<(String, String)>,
    pub folder: PathBuf,
    pub log: PathBuf,
    /// Lives in this host, and is not started while that is down.
    pub within: Option<Within>,
}

/// A host and how to get into it.
#[derive(Debug, Clone)]
pub struct Within {
    pub host: Arc<Program>,
    /// There when the host is up.
    pub ready: PathBuf,
    pub arame: PathBuf,
}

impl Within {
    fn is_up(&self) -> bool {
        self.host.is_alive() && self.ready.exists()
    }

    /// `arame enter` becomes the program: its process id is the one signals go to.
    fn words(&self) -> anyhow::Result<Vec<String>> {
        let outer = self.host.state().pid.context("the host is down")?;
        Ok(vec![self.arame.display().to_string(), "enter".into(), "--host-of".into(), outer.to_string(), "--".into()])
    }
}

#[derive(Debug, Default)]
struct State {
    pid: Option<i32>,
    starts: u32,
    /// The next end was caused by the kit.
    expected: bool,
    /// Not to be started again for now.
    held: bool,
    own_ends: Vec<String>,
}

#[derive(Debug)]
pub struct Program {
    pub spec: Spec,
    state: Mutex<State>,
}

impl Program {
    pub fn new(spec: Spec) -> Program {
        Program { spec, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Starts it, and again whenever it ends, for ever: the task is dropped with the campaign.
    pub async fn tend(&self) {
        loop {
            if self.state().held || self.spec.within.as_ref().is_some_and(|within| !within.is_up()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            let told = match self.start() {
                Ok(mut child) => child.wait().await.map_or_else(|e| e.to_string(), |status| status.to_string()),
                Err(error) => format!("cannot be started: {error:#}"),
            };
            {
                let mut state = self.state();
                state.pid = None;
                if !std::mem::take(&mut state.expected) {
                    state.own_ends.push(told);
                }
            }
            tokio::time::sleep(RESTART_PAUSE).await;
        }
    }

    fn start(&self) -> anyhow::Result<Child> {
        let log = std::fs::OpenOptions::new().append(true).create(true).open(&self.spec.log)?;
        let mut words = self.spec.within.as_ref().map(Within::words).transpose()?.unwrap_or_default();
        words.extend(self.spec.words.iter().cloned());
        let (program, arguments) = words.split_first().context("a program has a name")?;
        let mut command = Command::new(program);
        command.args(arguments).envs(self.spec.env.iter().cloned()).current_dir(&self.spec.folder);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        let mut state = self.state();
        let child = command.spawn()?;
        state.pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        state.starts += 1;
        state.expected = false;
        Ok(child)
    }

    /// Sends a signal; answers whether it lived.
    pub fn signal(&self, signal: Signal) -> bool {
        let mut state = self.state();
        let Some(pid) = state.pid else { return false };
        if matches!(signal, Signal::SIGKILL | Signal::SIGTERM) {
            state.expected = true;
        }
        kill(Pid::from_raw(pid), signal).is_ok()
    }

    /// While held it is not started again.
    pub fn hold(&self, held: bool) {
        self.state().held = held;
    }

    pub fn is_alive(&self) -> bool {
        self.state().pid.is_some()
    }

    pub fn starts(&self) -> u32 {
        self.state().starts
    }

    /// Ends that nobody caused, as their statuses.
    pub fn own_ends(&self) -> Vec<String> {
        self.state().own_ends.clone()
    }
}
