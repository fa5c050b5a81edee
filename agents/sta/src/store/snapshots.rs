//! The snapshots of volumes: what a store does with them beside [`super::Store`].
//!
//! Rule: a snapshot is of one moment and never changes; it appears whole and marked or not at all. A rollback leaves its
//! operation on the volume as part of its effect, or after it where the store cannot do both at once (said there): a
//! rollback cut short is done again, never taken for done. Who may do what is judged in `jobs`.

use super::StoreError;
use crate::mark::Mark;
use arame_framework::agent::Work;
use async_trait::async_trait;
use std::io::Read;
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub volume_key: String,
    pub key: String,
    /// Of the volume at that moment.
    pub size_bytes: u64,
    /// `None`: not made by us.
    pub mark: Option<Mark>,
}

/// A snapshot by its names in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotKeys {
    pub volume_key: String,
    pub key: String,
}

#[derive(Debug, Clone)]
pub struct NewSnapshot {
    pub volume_key: String,
    pub key: String,
    pub mark: Mark,
    /// Somebody may be writing to the volume: only a copy made in one moment is of any use.
    pub in_use: bool,
}

#[derive(Debug, Clone)]
pub struct Rollback {
    pub volume_key: String,
    pub snapshot_key: String,
    /// Of the volume, from now on.
    pub mark: Mark,
    pub operation: Uuid,
}

/// The bytes of a snapshot, from their beginning.
pub struct Source {
    pub reader: Box<dyn Read + Send>,
    /// How many come.
    pub bytes: u64,
    /// Of the volume at that moment; a simulated store has fewer bytes.
    pub size_bytes: u64,
}

#[async_trait]
pub trait Snapshots: Send + Sync + 'static {
    async fn find_snapshot(&self, volume_key: &str, key: &str) -> Result<Option<Snapshot>, StoreError>;
    async fn list_snapshots(&self) -> Result<Vec<Snapshot>, StoreError>;
    /// The caller has seen that the volume is there and the snapshot is not, and holds the volume's lock.
    async fn create_snapshot(&self, new: &NewSnapshot, work: &Work) -> Result<(), StoreError>;
    /// To be read whole; the caller has seen that it is there, and nobody removes it meanwhile.
    async fn open_snapshot(&self, volume_key: &str, key: &str) -> Result<Source, StoreError>;
    /// Writes a newer mark on a snapshot that is there.
    async fn mark_snapshot(&self, volume_key: &str, key: &str, mark: &Mark) -> Result<(), StoreError>;
    /// What does not exist is deleted. Volumes that were made from it keep what they hold; where the store must keep bytes
    /// for them, it gives these back by itself with the last of them, and names the snapshot no more.
    async fn delete_snapshot(&self, volume_key: &str, key: &str) -> Result<(), StoreError>;
    /// The volume's bytes become the snapshot's. The caller has seen both, and that nobody uses the volume. A store that
    /// would lose newer snapshots by it refuses; none destroys them.
    async fn roll_back(&self, to: &Rollback, work: &Work) -> Result<(), StoreError>;
}

/// How a snapshot is named where a store has names: keys hold no `@`.
pub fn name(volume_key: &str, key: &str) -> String {
    format!("{volume_key}@{key}")
}
