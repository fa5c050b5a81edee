//! Snapshots of the simulated world: a volume's content, kept aside.
//!
//! Rule: answers what the zfs store would answer: taken in one moment, also of a volume in use.

use super::SimStore;
use crate::mark::Mark;
use crate::sim::SimSnapshot;
use crate::store::snapshots::{NewSnapshot, Rollback, Snapshot, SnapshotKeys, Snapshots, Source, name};
use crate::store::{StoreError, check_key, check_pace};
use arame_framework::agent::Work;
use async_trait::async_trait;
use std::io::Cursor;

fn snapshot(named: &str, found: &SimSnapshot) -> Snapshot {
    let (volume_key, key) = named.split_once('@').unwrap_or(("", named));
    let (volume_key, key) = (volume_key.to_owned(), key.to_owned());
    Snapshot { volume_key, key, size_bytes: found.size_bytes, mark: found.mark.clone() }
}

fn missing(named: &str) -> StoreError {
    StoreError::Unavailable { reason: format!("{named} went while it was used") }
}

impl SimStore {
    /// What a new volume begins with.
    pub(super) async fn content_of(&self, from: &SnapshotKeys) -> Result<String, StoreError> {
        let named = name(&from.volume_key, &from.key);
        let found = self.look(|state| state.snapshots.get(&named).map(|found| found.content.clone())).await?;
        found.ok_or_else(|| missing(&named))
    }
}

#[async_trait]
impl Snapshots for SimStore {
    async fn find_snapshot(&self, volume_key: &str, key: &str) -> Result<Option<Snapshot>, StoreError> {
        check_key(volume_key)?;
        check_key(key)?;
        let named = name(volume_key, key);
        self.look(|state| state.snapshots.get(&named).map(|found| snapshot(&named, found))).await
    }

    async fn list_snapshots(&self) -> Result<Vec<Snapshot>, StoreError> {
        self.look(|state| state.snapshots.iter().map(|(named, found)| snapshot(named, found)).collect()).await
    }

    async fn create_snapshot(&self, new: &NewSnapshot, work: &Work) -> Result<(), StoreError> {
        check_key(&new.key)?;
        check_pace(work)?;
        let named = name(&new.volume_key, &new.key);
        let made = self.change("create_snapshot", |state| {
            let volume = state.volumes.get(&new.volume_key)?;
            let (size_bytes, content) = (volume.size_bytes, volume.content.clone());
            let made = SimSnapshot { size_bytes, content, mark: Some(new.mark.clone()), reader: None };
            state.snapshots.insert(named.clone(), made);
            Some(())
        });
        made.await?.ok_or_else(|| missing(&new.volume_key))
    }

    async fn open_snapshot(&self, volume_key: &str, key: &str) -> Result<Source, StoreError> {
        let named = name(volume_key, key);
        let found = self.look(|state| state.snapshots.get(&named).cloned()).await?.ok_or_else(|| missing(&named))?;
        let content = found.content.into_bytes();
        let bytes = content.len() as u64;
        Ok(Source { reader: Box::new(Cursor::new(content)), bytes, size_bytes: found.size_bytes })
    }

    async fn mark_snapshot(&self, volume_key: &str, key: &str, mark: &Mark) -> Result<(), StoreError> {
        let named = name(volume_key, key);
        self.change("mark_snapshot", |state| {
            if let Some(found) = state.snapshots.get_mut(&named) {
                found.mark = Some(mark.clone());
            }
        })
        .await
    }

    async fn delete_snapshot(&self, volume_key: &str, key: &str) -> Result<(), StoreError> {
        check_key(key)?;
        let named = name(volume_key, key);
        self.change("delete_snapshot", |state| state.snapshots.remove(&named)).await.map(|_| ())
    }

    async fn roll_back(&self, to: &Rollback, work: &Work) -> Result<(), StoreError> {
        check_pace(work)?;
        let named = name(&to.volume_key, &to.snapshot_key);
        let done = self.change("roll_back", |state| {
            let content = state.snapshots.get(&named)?.content.clone();
            let volume = state.volumes.get_mut(&to.volume_key)?;
            volume.content = content;
            volume.mark = Some(to.mark.clone());
            volume.rollback = Some(to.operation);
            Some(())
        });
        done.await?.ok_or_else(|| missing(&named))
    }
}
