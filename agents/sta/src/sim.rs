//! The simulated world: volumes, images and targets in memory, written to a small file so that a killed agent finds
//! its world again.
//!
//! Rule: it keeps the contract of the real drivers (tests/contract.rs runs on both); a change is in the file before
//! its verb answers. It holds no bytes: a volume's content is a word that stands for them.

use crate::export::TargetMark;
use crate::faults::Faults;
use crate::mark::Mark;
use arame_framework::rehearsal;
use arame_schema::jobs::hva::DiskFormat;
use arame_schema::jobs::sta::Origin;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use uuid::Uuid;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    #[serde(default)]
    pub volumes: BTreeMap<String, SimVolume>,
    /// By `<volume key>@<key>`.
    #[serde(default)]
    pub snapshots: BTreeMap<String, SimSnapshot>,
    #[serde(default)]
    pub replicas: BTreeMap<String, SimReplica>,
    #[serde(default)]
    pub images: BTreeMap<String, SimImage>,
    /// By `<backup storage>/<object>`.
    #[serde(default)]
    pub objects: BTreeMap<String, SimObject>,
    #[serde(default)]
    pub targets: BTreeMap<String, SimTarget>,
    #[serde(default)]
    pub marks: BTreeMap<String, TargetMark>,
    /// What snapshots and others keep of the store beside its volumes.
    #[serde(default)]
    pub kept_bytes: u64,
    /// Backend (`store`, `export`, `backup`) to the reason it cannot be looked at.
    #[serde(default)]
    pub unavailable: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimVolume {
    pub size_bytes: u64,
    /// `None`: somebody else's.
    pub mark: Option<Mark>,
    /// What its guest wrote last.
    #[serde(default)]
    pub content: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Uuid>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimSnapshot {
    pub size_bytes: u64,
    pub mark: Option<Mark>,
    pub content: String,
    /// SHA-256 of what a reader has to show, where it was offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimReplica {
    pub size_bytes: u64,
    pub mark: Option<Mark>,
    pub volume: String,
    pub guid: u64,
    pub base: Option<u64>,
    pub content: String,
    pub is_proved: bool,
    pub is_whole: bool,
    #[serde(default, skip_serializing_if = "Origin::is_unknown")]
    pub origin: Origin,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimImage {
    pub sha256: String,
    pub size_bytes: u64,
    pub format: DiskFormat,
    pub mark: Option<Mark>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimObject {
    pub size_bytes: u64,
    pub sha256: String,
    pub content: String,
    pub reader: String,
    pub mark: Option<Mark>,
    #[serde(default, skip_serializing_if = "Origin::is_unknown")]
    pub origin: Origin,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimTarget {
    pub path: PathBuf,
    pub initiator: String,
    pub account: String,
}

#[derive(Debug)]
pub struct World {
    state: Mutex<State>,
    file: Option<PathBuf>,
    latency: Duration,
    pub faults: Arc<Faults>,
}

#[derive(Debug, thiserror::Error)]
#[error("the simulated world in {path} cannot be {doing}: {reason}")]
pub struct WorldError {
    path: PathBuf,
    doing: &'static str,
    reason: String,
}

impl World {
    /// # Errors
    /// There is a file and it cannot be read: an unreadable world is not an empty one.
    pub fn open(file: Option<PathBuf>, latency: Duration, faults: Arc<Faults>) -> Result<Self, WorldError> {
        let state = match &file {
            Some(path) if path.exists() => read(path)?,
            _ => State::default(),
        };
        Ok(Self { state: Mutex::new(state), file, latency, faults })
    }

    /// Takes the time a verb takes.
    pub async fn wait(&self) {
        if !self.latency.is_zero() {
            tokio::time::sleep(rehearsal::jitter(self.latency)).await;
        }
    }

    pub fn look<T>(&self, reader: impl FnOnce(&State) -> T) -> T {
        reader(&self.lock())
    }

    /// Changes the world and writes it down.
    ///
    /// # Errors
    /// It cannot be written; the change is then undone.
    pub fn change<T>(&self, writer: impl FnOnce(&mut State) -> T) -> Result<T, WorldError> {
        let mut state = self.lock();
        let mut next = state.clone();
        let answer = writer(&mut next);
        if let Some(path) = &self.file {
            write(path, &next)?;
        }
        *state = next;
        Ok(answer)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &PathBuf) -> Result<State, WorldError> {
    let wrong = |reason| WorldError { path: path.clone(), doing: "read", reason };
    let text = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
    serde_json::from_slice(&text).map_err(|e| wrong(e.to_string()))
}

/// Without fsync: it must outlive the process, not the machine.
fn write(path: &PathBuf, state: &State) -> Result<(), WorldError> {
    let wrong = |reason| WorldError { path: path.clone(), doing: "written", reason };
    let text = serde_json::to_vec(state).map_err(|e| wrong(e.to_string()))?;
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, path)).map_err(|e| wrong(e.to_string()))
}
