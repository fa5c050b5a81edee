//! Where bytes live: volumes by their short key, images by their id.
//!
//! Rule: a thing appears whole and marked or not at all; what cannot be looked at is [`StoreError::Unavailable`] and
//! never "not there". A store decides nothing: who may touch which thing is judged in `jobs`.

pub mod backups;
pub mod file;
pub mod folder;
pub mod header;
pub mod images;
pub mod label;
pub mod qcow2;
pub mod replicas;
pub mod restored;
pub mod sim;
pub mod snapshots;
pub mod staged;
pub mod zfs;

use crate::command::CommandError;
use crate::faults::Injected;
use crate::mark::Mark;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::hva::DiskFormat;
use arame_schema::jobs::report::Retry;
use arame_schema::model::{BackupObjectId, BackupStorageId, ImageId};
use async_trait::async_trait;
pub use replicas::{NewReplica, Replica, Replicas};
pub use restored::StagedVolume;
pub use snapshots::{NewSnapshot, Rollback, Snapshot, SnapshotKeys, Snapshots, Source};
pub use staged::{Announced, Staged, Verified};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Longest key: a zvol's name with its pool must stay below 256 bytes, a SCSI serial below 36.
pub const KEY_LENGTH_MAX: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    pub key: String,
    /// What an export serves: a file or a block device.
    pub path: PathBuf,
    pub size_bytes: u64,
    /// `None`: not made by us.
    pub mark: Option<Mark>,
    /// The last rollback that was carried out on it.
    pub rollback: Option<Uuid>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its name in the store: the image's id, unless it is not ours.
    pub name: String,
    pub mark: Option<Mark>,
    pub sha256: String,
    pub size_bytes: u64,
    pub format: Option<DiskFormat>,
    /// `None`: the store has no bytes (sim).
    pub path: Option<PathBuf>,
}

#[derive(Debug, Clone)]
pub struct NewVolume {
    pub key: String,
    pub size_bytes: u64,
    pub image: Option<ImageId>,
    /// The keys of a snapshot and of its volume: it begins with what that holds.
    pub snapshot: Option<SnapshotKeys>,
    /// The key of a whole replica: the same.
    pub replica: Option<String>,
    pub mark: Mark,
}

/// An image from a file of the operator's.
#[derive(Debug, Clone)]
pub struct NewImage {
    pub announced: Announced,
    pub source: String,
    pub mark: Mark,
}

/// Of the file system or pool under the store, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    pub total_bytes: u64,
    pub free_bytes: u64,
}

/// What a store stands on and how that is, in its own words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pool {
    /// The pool, or the folder on its file system.
    pub name: String,
    /// As `zpool status` says it; `None`: a file system, which has no such word.
    pub health: Option<String>,
    /// What is wrong and what can be done.
    pub note: Option<String>,
    /// The last or running scrub or resilver.
    pub scan: Option<String>,
}

impl Pool {
    /// As it should be: every disk is there and no data is damaged. What has no such word is.
    pub fn is_well(&self) -> bool {
        self.health.as_deref().is_none_or(|health| health == "ONLINE") && self.note.is_none()
    }
}

#[async_trait]
pub trait Store: Snapshots + Replicas {
    /// `file`, `zfs`, `sim`.
    fn kind(&self) -> &'static str;

    async fn find_volume(&self, key: &str) -> Result<Option<Volume>, StoreError>;
    async fn list_volumes(&self) -> Result<Vec<Volume>, StoreError>;
    /// The caller has seen that nothing has this key and holds the key's lock.
    async fn create_volume(&self, new: &NewVolume, work: &Work) -> Result<(), StoreError>;
    /// A place for a volume's bytes, for nobody to see.
    async fn stage_volume(&self, new: &NewVolume) -> Result<StagedVolume, StoreError>;
    /// Removes what a restore that was cut short may have left under a name that can be found again.
    async fn clear_staged(&self, _key: &str) -> Result<(), StoreError> {
        Ok(())
    }
    /// What was staged is the volume; the caller has seen that nothing has this key and holds the key's lock.
    async fn keep_volume(&self, new: &NewVolume, staged: StagedVolume) -> Result<(), StoreError>;
    /// Grows to `size_bytes` where it is smaller, then writes the mark. Never shrinks; a noted rollback stays noted.
    async fn update_volume(&self, key: &str, size_bytes: u64, mark: &Mark) -> Result<(), StoreError>;
    /// What does not exist is deleted. Volumes that were made from its snapshots keep what they hold.
    async fn delete_volume(&self, key: &str) -> Result<(), StoreError>;

    async fn find_image(&self, image: &ImageId) -> Result<Option<Image>, StoreError>;
    async fn list_images(&self) -> Result<Vec<Image>, StoreError>;
    /// Copies and verifies; the caller has seen that the image is not there and holds its lock.
    async fn import_image(&self, new: &NewImage, work: &Work) -> Result<(), StoreError>;
    /// A place for an image's bytes, for nobody to see.
    async fn stage_image(&self, image: &ImageId) -> Result<Staged, StoreError>;
    /// What was staged and verified is the image; the caller has seen that it is not there and holds its lock.
    async fn keep_image(&self, image: &ImageId, verified: Verified, mark: &Mark, work: &Work)
    -> Result<(), StoreError>;
    /// Writes a newer mark on an image that is there.
    async fn mark_image(&self, image: &ImageId, mark: &Mark) -> Result<(), StoreError>;
    /// What does not exist is deleted.
    async fn delete_image(&self, image: &ImageId) -> Result<(), StoreError>;

    async fn room(&self) -> Result<Room, StoreError>;
    /// How many bytes may still be promised to new volumes, so that every volume can be written full: neither what snapshots keep,
    /// nor what volumes have not written yet, nor what is not the store's own.
    async fn left(&self) -> Result<u64, StoreError>;
    async fn pool(&self) -> Result<Pool, StoreError>;
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store cannot be looked at: {reason}")]
    Unavailable { reason: String },
    #[error("no room for {what}")]
    DiskFull { what: String },
    #[error("the image source `{origin}` is not allowed: {reason}")]
    SourceRefused { origin: String, reason: String },
    #[error("the image source `{origin}` cannot be read")]
    SourceMissing { origin: String, source: std::io::Error },
    #[error("{image} is not what was announced: {reason}")]
    ChecksumMismatch { image: ImageId, reason: String },
    #[error("{image} is refused: {reason}")]
    ImageRefused { image: ImageId, reason: String },
    #[error("{image} is broken: {reason}")]
    ImageBroken { image: ImageId, reason: String },
    #[error("{image} is not in this store")]
    ImageMissing { image: ImageId },
    #[error("{name} is in use: {reason}")]
    InUse { name: String, reason: String },
    #[error("{name} is in use, and this store cannot copy it in one moment")]
    NeedsDetached { name: String },
    #[error("{name}: {reason}")]
    NewerSnapshots { name: String, reason: String },
    #[error("{wanted} bytes are less than the {needed} that are needed")]
    TooSmall { wanted: u64, needed: u64 },
    #[error("{object} is not what was written: {reason}")]
    BackupMismatch { object: BackupObjectId, reason: String },
    #[error("{object} is not in {storage}")]
    BackupMissing { object: BackupObjectId, storage: BackupStorageId },
    #[error("{storage} cannot be looked at: {reason}")]
    BackupsUnavailable { storage: BackupStorageId, reason: String },
    #[error("{storage} has no room: {free} bytes are free, {kept} are kept free")]
    BackupsFull { storage: BackupStorageId, free: u64, kept: u64 },
    #[error("{replica} is not what was sent: {reason}")]
    ReplicaMismatch { replica: String, reason: String },
    #[error("the bytes broke off: {reason}")]
    ReplicaBrokenOff { reason: String },
    #[error("the storage node of the snapshot does not send it: {reason}")]
    ReplicaNotSent { reason: String },
    #[error("what was begun cannot be gone on with: {reason}")]
    ReplicaLeftBehind { reason: String },
    #[error("this store is of the kind `{here}`, the snapshot is in one of the kind `{there}`")]
    ReplicaStoreDiffers { here: &'static str, there: String },
    #[error("`{name}` is no name for a thing in a store")]
    BadName { name: String },
    #[error("cannot {doing} {path}")]
    Io { doing: &'static str, path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error("cannot read the answer of `{program}`: {line}")]
    Unreadable { program: &'static str, line: String },
    #[error("a newer job took over")]
    Overtaken,
    #[error("the job's time was spent")]
    BudgetSpent,
    #[error(transparent)]
    Injected(#[from] Injected),
}

impl StoreError {
    /// For `map_err`: names the operation and its object, and tells a full disk from other trouble.
    pub fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
        let path = path.to_owned();
        move |source| match source.kind() {
            // A file size limit stops a store as a full disk does.
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                StoreError::DiskFull { what: path.display().to_string() }
            }
            _ => StoreError::Io { doing, path, source },
        }
    }

    pub fn code(&self) -> (&'static str, Retry) {
        match self {
            StoreError::Unavailable { .. } => ("store_unavailable", Retry::Later),
            StoreError::DiskFull { .. } => ("disk_full", Retry::Elsewhere),
            StoreError::SourceRefused { .. } | StoreError::ImageRefused { .. } => ("image_refused", Retry::Never),
            StoreError::SourceMissing { .. } => ("image_source_missing", Retry::Later),
            StoreError::ChecksumMismatch { .. } => ("image_checksum_mismatch", Retry::Never),
            StoreError::ImageBroken { .. } => ("image_broken", Retry::Never),
            StoreError::ImageMissing { .. } => ("image_missing", Retry::Later),
            StoreError::InUse { .. } => ("in_use", Retry::Later),
            StoreError::NeedsDetached { .. } => ("snapshot_needs_detached", Retry::Never),
            StoreError::NewerSnapshots { .. } => ("newer_snapshots", Retry::Never),
            StoreError::TooSmall { .. } => ("volume_too_small", Retry::Never),
            StoreError::BackupMismatch { .. } => ("backup_checksum_mismatch", Retry::Never),
            StoreError::BackupMissing { .. } => ("backup_missing", Retry::Later),
            StoreError::BackupsUnavailable { .. } => ("backup_storage_unavailable", Retry::Later),
            StoreError::BackupsFull { .. } | StoreError::Injected(Injected { full: true, .. }) => {
                ("backup_storage_full", Retry::Never)
            }
            StoreError::ReplicaMismatch { .. } => ("replica_checksum_mismatch", Retry::Later),
            StoreError::ReplicaBrokenOff { .. } => ("replica_broke_off", Retry::Later),
            StoreError::ReplicaNotSent { .. } => ("replica_source_unavailable", Retry::Later),
            StoreError::ReplicaLeftBehind { .. } => ("replica_began_anew", Retry::Later),
            StoreError::ReplicaStoreDiffers { .. } => ("replica_store_differs", Retry::Never),
            StoreError::BadName { .. } => ("bad_name", Retry::Never),
            StoreError::Io { .. } | StoreError::Command(_) | StoreError::Unreadable { .. } => {
                ("store_error", Retry::Later)
            }
            StoreError::Overtaken => ("overtaken", Retry::Later),
            StoreError::BudgetSpent => ("budget_spent", Retry::Later),
            StoreError::Injected(_) => ("injected", Retry::Later),
        }
    }
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Stopped {
        if matches!(error, StoreError::Overtaken) {
            return Stopped::Overtaken { facts: Vec::new() };
        }
        let (code, retry) = error.code();
        Stopped::failed(code, sentence(&error), retry)
    }
}

/// An error with its causes, as one line.
pub fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

/// Checked before a copy begins and between its blocks.
pub fn check_pace(work: &Work) -> Result<(), StoreError> {
    if work.cancelled().is_cancelled() {
        return Err(StoreError::Overtaken);
    }
    if work.budget_left().is_zero() { Err(StoreError::BudgetSpent) } else { Ok(()) }
}

/// A key is a file name and the last part of a zvol's name.
pub fn check_key(key: &str) -> Result<(), StoreError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    let good = !key.is_empty() && key.len() <= KEY_LENGTH_MAX && key.bytes().all(plain);
    if good { Ok(()) } else { Err(StoreError::BadName { name: key.chars().take(80).collect() }) }
}

/// Runs file work on a thread that may block.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match arame_framework::rehearsal::blocking(work).await {
        Ok(result) => result,
        Err(ended) => Err(StoreError::Unavailable { reason: format!("the work on files ended early: {ended}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_could_leave_the_folder_is_refused() {
        for key in ["", ".", "..", "a/b", ".hidden", "a.mark", "A", "ä", &"k".repeat(33)] {
            assert!(check_key(key).is_err(), "{key} was accepted");
        }
        for key in ["v1", "0k-3_x", &"k".repeat(32)] {
            assert!(check_key(key).is_ok(), "{key} was refused");
        }
    }

    #[test]
    fn a_full_disk_is_told_from_other_trouble() {
        let full = StoreError::io("write", Path::new("x"))(std::io::Error::from(ErrorKind::StorageFull));
        assert!(matches!(full, StoreError::DiskFull { .. }));
        let other = StoreError::io("write", Path::new("x"))(std::io::Error::from(ErrorKind::PermissionDenied));
        assert!(matches!(other, StoreError::Io { .. }));
    }
}
