//! Backup storages of the simulated world.
//!
//! Rule: answers what folders would answer. An object keeps the word that stands for its content.

use super::{Backups, Begun, NewObject, Object, Packed, Written, unknown};
use crate::mark::Mark;
use crate::sim::{SimObject, State, World};
use crate::store::StoreError;
use arame_schema::model::{BackupObjectId, BackupStorageId};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What simulated nodes of this process wrote, by its digest: whichever of them it is asked of, it is the same.
static WRITTEN: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());

/// The content that another simulated node wrote.
pub fn handed_on(sha256: &str) -> Option<Vec<u8>> {
    WRITTEN.lock().unwrap_or_else(PoisonError::into_inner).get(sha256).cloned()
}

pub struct SimBackups {
    world: Arc<World>,
    storages: Vec<BackupStorageId>,
}

impl SimBackups {
    pub fn new(world: Arc<World>, storages: Vec<BackupStorageId>) -> Self {
        Self { world, storages }
    }

    async fn look<T>(&self, storage: &BackupStorageId, reader: impl FnOnce(&State) -> T) -> Result<T, StoreError> {
        if !self.storages.contains(storage) {
            return Err(unknown(storage));
        }
        self.world.wait().await;
        self.world.look(|state| match state.unavailable.get("backup") {
            Some(reason) => Err(StoreError::BackupsUnavailable { storage: storage.clone(), reason: reason.clone() }),
            None => Ok(reader(state)),
        })
    }

    async fn change(
        &self,
        verb: &str,
        storage: &BackupStorageId,
        writer: impl FnOnce(&mut State),
    ) -> Result<(), StoreError> {
        self.world.faults.hit(&format!("{verb}:before")).await?;
        self.look(storage, |_| ()).await?;
        self.world.change(writer)?;
        Ok(self.world.faults.hit(&format!("{verb}:after")).await?)
    }
}

fn key(storage: &BackupStorageId, object: &str) -> String {
    format!("{storage}/{object}")
}

fn object(storage: &BackupStorageId, name: &str, found: &SimObject) -> Object {
    Object {
        storage: storage.clone(),
        name: name.to_owned(),
        mark: found.mark.clone(),
        sha256: found.sha256.clone(),
        size_bytes: found.size_bytes,
        stored_bytes: found.content.len() as u64,
        reader: found.reader.clone(),
        origin: found.origin.clone(),
    }
}

#[async_trait]
impl Backups for SimBackups {
    fn storages(&self) -> Vec<BackupStorageId> {
        self.storages.clone()
    }

    async fn find(&self, storage: &BackupStorageId, id: &BackupObjectId) -> Result<Option<Object>, StoreError> {
        let key = key(storage, id.as_str());
        self.look(storage, |state| state.objects.get(&key).map(|found| object(storage, id.as_str(), found))).await
    }

    async fn list(&self, storage: &BackupStorageId) -> Result<Vec<Object>, StoreError> {
        let begin = key(storage, "");
        self.look(storage, |state| {
            let of_storage = state.objects.iter().filter_map(|(key, found)| Some((key.strip_prefix(&begin)?, found)));
            of_storage.map(|(name, found)| object(storage, name, found)).collect()
        })
        .await
    }

    async fn begin(&self, storage: &BackupStorageId, _: &BackupObjectId) -> Result<Begun, StoreError> {
        self.world.faults.hit("copy_backup:before").await?;
        self.look(storage, |_| Begun::in_memory()).await
    }

    async fn keep(&self, new: &NewObject, written: Written) -> Result<(), StoreError> {
        let shared = (written.sha256.clone(), written.content.clone());
        WRITTEN.lock().unwrap_or_else(PoisonError::into_inner).insert(shared.0, shared.1);
        let made = SimObject {
            size_bytes: new.size_bytes,
            sha256: written.sha256,
            content: String::from_utf8_lossy(&written.content).into_owned(),
            reader: new.reader.clone(),
            mark: Some(new.mark.clone()),
            origin: new.origin.clone(),
        };
        let key = key(&new.storage, new.object.as_str());
        self.change("write_backup", &new.storage, |state| drop(state.objects.insert(key, made))).await
    }

    async fn mark(&self, storage: &BackupStorageId, id: &BackupObjectId, mark: &Mark) -> Result<(), StoreError> {
        let key = key(storage, id.as_str());
        self.change("mark_backup", storage, |state| {
            if let Some(found) = state.objects.get_mut(&key) {
                found.mark = Some(mark.clone());
            }
        })
        .await
    }

    async fn delete(&self, storage: &BackupStorageId, id: &BackupObjectId) -> Result<(), StoreError> {
        let key = key(storage, id.as_str());
        self.change("delete_backup", storage, |state| drop(state.objects.remove(&key))).await
    }

    async fn open(&self, storage: &BackupStorageId, id: &BackupObjectId) -> Result<Option<Packed>, StoreError> {
        let key = key(storage, id.as_str());
        let found = self.look(storage, |state| state.objects.get(&key).map(|found| found.content.clone())).await?;
        Ok(found.map(|content| Packed::Content(content.into_bytes())))
    }
}
