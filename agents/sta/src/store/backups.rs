//! Backup storages of this node: places for packed copies of volumes, beside the store of the volumes themselves.
//!
//! Rule: an object appears whole, marked and measured, or not at all; a place that cannot be looked at is
//! [`StoreError::BackupsUnavailable`] and never "nothing there". It decides nothing: whose an object is, is judged in `jobs`.

pub mod pack;
pub mod place;
pub mod sim;

use super::StoreError;
use super::folder::Temporary;
use crate::mark::Mark;
use arame_schema::jobs::sta::Origin;
use arame_schema::model::{BackupObjectId, BackupStorageId};
use async_trait::async_trait;
use place::Packing;
use sha2::{Digest, Sha256};
use std::fs::File;

/// An object of a backup storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub storage: BackupStorageId,
    /// Its name there: the object's id, unless it is not ours.
    pub name: String,
    /// `None`: not made by us.
    pub mark: Option<Mark>,
    /// Of the content.
    pub sha256: String,
    pub size_bytes: u64,
    /// As it lies there.
    pub stored_bytes: u64,
    /// SHA-256 of what a reader has to show.
    pub reader: String,
    pub origin: Origin,
}

/// An object's bytes, to be read.
pub enum Packed {
    /// As [`pack`] writes it.
    File { file: File, stored_bytes: u64 },
    /// A simulated place keeps the content itself.
    Content(Vec<u8>),
}

#[async_trait]
pub trait Backups: Send + Sync + 'static {
    /// Those that the configuration names.
    fn storages(&self) -> Vec<BackupStorageId>;
    async fn find(&self, storage: &BackupStorageId, object: &BackupObjectId) -> Result<Option<Object>, StoreError>;
    async fn list(&self, storage: &BackupStorageId) -> Result<Vec<Object>, StoreError>;
    /// A place for an object's bytes, for nobody to see.
    async fn begin(&self, storage: &BackupStorageId, object: &BackupObjectId) -> Result<Begun, StoreError>;
    /// What was written is the object; the caller has seen that it is not there.
    async fn keep(&self, new: &NewObject, written: Written) -> Result<(), StoreError>;
    /// Writes a newer mark on an object that is there.
    async fn mark(&self, storage: &BackupStorageId, object: &BackupObjectId, mark: &Mark) -> Result<(), StoreError>;
    /// What does not exist is deleted.
    async fn delete(&self, storage: &BackupStorageId, object: &BackupObjectId) -> Result<(), StoreError>;
    /// `None`: it is not there.
    async fn open(&self, storage: &BackupStorageId, object: &BackupObjectId) -> Result<Option<Packed>, StoreError>;
}

#[derive(Debug, Clone)]
pub struct NewObject {
    pub storage: BackupStorageId,
    pub object: BackupObjectId,
    pub mark: Mark,
    pub size_bytes: u64,
    /// SHA-256 of what a reader has to show.
    pub reader: String,
    pub origin: Origin,
}

/// An object that is being written.
pub struct Begun {
    into: Into,
    sum: Sha256,
    bytes: u64,
}

enum Into {
    Packed(Box<Packing>),
    Memory(Vec<u8>),
}

/// All of it was written; it has no name yet.
pub struct Written {
    pub file: Option<Temporary>,
    pub content: Vec<u8>,
    pub sha256: String,
    /// Of the content, and as it lies there.
    pub bytes: u64,
    pub stored_bytes: u64,
}

impl Begun {
    pub fn packed(packing: Packing) -> Self {
        Self { into: Into::Packed(Box::new(packing)), sum: Sha256::new(), bytes: 0 }
    }

    pub fn in_memory() -> Self {
        Self { into: Into::Memory(Vec::new()), sum: Sha256::new(), bytes: 0 }
    }

    /// Adds a block, of at most [`pack::BLOCK_BYTES`]. For a thread that may block.
    ///
    /// # Errors
    /// It cannot be written, or the place has too little room left.
    pub fn write(&mut self, block: &[u8]) -> Result<(), StoreError> {
        self.sum.update(block);
        self.bytes += block.len() as u64;
        match &mut self.into {
            Into::Packed(packing) => packing.write(block),
            Into::Memory(content) => {
                content.extend_from_slice(block);
                Ok(())
            }
        }
    }

    pub fn finish(self) -> Written {
        let (sha256, bytes) = (hex::encode(self.sum.finalize()), self.bytes);
        match self.into {
            Into::Packed(packing) => {
                let (file, stored_bytes) = packing.finish();
                Written { file: Some(file), content: Vec::new(), sha256, bytes, stored_bytes }
            }
            Into::Memory(content) => {
                let stored_bytes = content.len() as u64;
                Written { file: None, content, sha256, bytes, stored_bytes }
            }
        }
    }
}

/// The place that an id names, of those that there are.
pub fn unknown(storage: &BackupStorageId) -> StoreError {
    let reason = "the agent's configuration does not name it (sta.backups)".to_owned();
    StoreError::BackupsUnavailable { storage: storage.clone(), reason }
}

/// An object that whoever shows `reader` may read, wherever on this node it is.
pub async fn readable(
    backups: &dyn Backups,
    object: &BackupObjectId,
    reader: &str,
) -> Result<Option<Packed>, StoreError> {
    let shown = hex::encode(Sha256::digest(reader));
    let mut trouble = None;
    for storage in backups.storages() {
        match backups.find(&storage, object).await {
            Ok(Some(found)) if found.mark.is_some() && found.reader == shown => {
                return backups.open(&storage, object).await;
            }
            Ok(_) => {}
            Err(error) => trouble = Some(error),
        }
    }
    trouble.map_or(Ok(None), Err)
}
