//! Snapshots as files `snapshots/<volume key>@<key>`.
//!
//! Rule: a snapshot and a rolled back volume are made under a temporary name, labelled, synced, then renamed. Blocks are
//! shared where the file system can clone (XFS, Btrfs), which is also one moment; elsewhere (ext4) the data is copied,
//! which takes time and is refused while somebody may write to the volume.

use super::{FileStore, copy_sparse};
use crate::mark::Mark;
use crate::store::folder::{self, Temporary};
use crate::store::label::{self, Label};
use crate::store::snapshots::{NewSnapshot, Rollback, Snapshot, SnapshotKeys, Snapshots, Source, name};
use crate::store::{StoreError, blocking, check_key, images};
use arame_framework::agent::Work;
use async_trait::async_trait;
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

impl FileStore {
    /// A new volume begins with what a snapshot holds. The bytes are its own from now on: the snapshot may go.
    pub(super) async fn fill_from_snapshot(
        &self,
        temporary: Temporary,
        from: &SnapshotKeys,
        work: &Work,
    ) -> Result<Temporary, StoreError> {
        check_key(&from.volume_key)?;
        check_key(&from.key)?;
        let snapshot = self.folder.snapshots()?.join(name(&from.volume_key, &from.key));
        self.fill_from(temporary, snapshot, work).await
    }

    /// The same of any file that nobody writes to.
    pub(super) async fn fill_from(
        &self,
        temporary: Temporary,
        snapshot: PathBuf,
        work: &Work,
    ) -> Result<Temporary, StoreError> {
        let (faults, pace) = (self.faults.clone(), work.clone());
        blocking(move || {
            if !cloned(&snapshot, &temporary)? {
                copy_sparse(&snapshot, super::copy_handle(&temporary)?, &pace)?;
            }
            faults.hit_blocking("create_volume:copied")?;
            Ok(temporary)
        })
        .await
    }
}

#[async_trait]
impl Snapshots for FileStore {
    async fn find_snapshot(&self, volume_key: &str, key: &str) -> Result<Option<Snapshot>, StoreError> {
        check_key(volume_key)?;
        check_key(key)?;
        let (folder, named) = (self.folder.clone(), name(volume_key, key));
        blocking(move || look(&folder.snapshots()?, &named)).await
    }

    async fn list_snapshots(&self) -> Result<Vec<Snapshot>, StoreError> {
        let folder = self.folder.clone();
        blocking(move || {
            let place = folder.snapshots()?;
            let names = folder::names(&place)?;
            let things = names.iter().filter(|name| !name.starts_with('.') && !label::is_label(name));
            things.filter_map(|name| look(&place, name).transpose()).collect()
        })
        .await
    }

    async fn create_snapshot(&self, new: &NewSnapshot, work: &Work) -> Result<(), StoreError> {
        check_key(&new.volume_key)?;
        check_key(&new.key)?;
        self.faults.hit("create_snapshot:before").await?;
        let volume = self.folder.volumes()?.join(&new.volume_key);
        let target = self.folder.snapshots()?.join(name(&new.volume_key, &new.key));
        let (faults, new, pace) = (self.faults.clone(), new.clone(), work.clone());
        blocking(move || {
            let temporary = Temporary::beside(&target)?;
            if !cloned(&volume, &temporary)? {
                if new.in_use {
                    return Err(StoreError::NeedsDetached { name: new.volume_key });
                }
                copy_sparse(&volume, super::copy_handle(&temporary)?, &pace)?;
            }
            label::write(temporary.file(), &target, &Label::of(new.mark))?;
            faults.hit_blocking("create_snapshot:marked")?;
            temporary.keep_as(&target)?;
            Ok(faults.hit_blocking("create_snapshot:after")?)
        })
        .await
    }

    async fn open_snapshot(&self, volume_key: &str, key: &str) -> Result<Source, StoreError> {
        check_key(volume_key)?;
        check_key(key)?;
        let path = self.folder.snapshots()?.join(name(volume_key, key));
        blocking(move || {
            let file = File::open(&path).map_err(StoreError::io("open", &path))?;
            let bytes = file.metadata().map_err(StoreError::io("look at", &path))?.len();
            Ok(Source { reader: Box::new(file), bytes, size_bytes: bytes })
        })
        .await
    }

    async fn mark_snapshot(&self, volume_key: &str, key: &str, mark: &Mark) -> Result<(), StoreError> {
        check_key(volume_key)?;
        check_key(key)?;
        let path = self.folder.snapshots()?.join(name(volume_key, key));
        let mark = mark.clone();
        blocking(move || {
            let found = label::read(&path)?;
            let label = Label { offer: found.and_then(|label| label.offer), ..Label::of(mark) };
            let file = File::options().write(true).open(&path).map_err(StoreError::io("open", &path))?;
            label::write(&file, &path, &label)?;
            file.sync_all().map_err(StoreError::io("sync", &path))
        })
        .await
    }

    async fn delete_snapshot(&self, volume_key: &str, key: &str) -> Result<(), StoreError> {
        check_key(volume_key)?;
        check_key(key)?;
        let path = self.folder.snapshots()?.join(name(volume_key, key));
        let faults = self.faults.clone();
        blocking(move || {
            faults.hit_blocking("delete_snapshot:before")?;
            images::remove(&path)?;
            Ok(faults.hit_blocking("delete_snapshot:after")?)
        })
        .await
    }

    async fn roll_back(&self, to: &Rollback, work: &Work) -> Result<(), StoreError> {
        check_key(&to.volume_key)?;
        check_key(&to.snapshot_key)?;
        self.faults.hit("roll_back:before").await?;
        let snapshot = self.folder.snapshots()?.join(name(&to.volume_key, &to.snapshot_key));
        let volume = self.folder.volumes()?.join(&to.volume_key);
        let (faults, to, pace) = (self.faults.clone(), to.clone(), work.clone());
        blocking(move || {
            let size = fs::metadata(&volume).map_err(StoreError::io("look at", &volume))?.len();
            let temporary = Temporary::beside(&volume)?;
            if !cloned(&snapshot, &temporary)? {
                copy_sparse(&snapshot, super::copy_handle(&temporary)?, &pace)?;
            }
            grow(&temporary, size)?;
            let label = Label { rollback: Some(to.operation), ..Label::of(to.mark) };
            let inside = label::write_inside(temporary.file(), &volume, &label)?;
            faults.hit_blocking("roll_back:marked")?;
            temporary.keep_as(&volume)?;
            faults.hit_blocking("roll_back:renamed")?;
            if !inside {
                // Beside the file it would speak of the old bytes until the rename: cut short here, it is done again.
                label::write_beside(&volume, &label)?;
            }
            Ok(faults.hit_blocking("roll_back:after")?)
        })
        .await
    }
}

/// A volume that has grown since stays as large as it is.
fn grow(temporary: &Temporary, size: u64) -> Result<(), StoreError> {
    let failed = |source| StoreError::io("size", temporary.path())(source);
    if temporary.file().metadata().map_err(failed)?.len() < size {
        temporary.file().set_len(size).map_err(failed)?;
    }
    Ok(())
}

/// Shares the blocks of `source`, in one moment. `false`: this file system cannot.
pub(super) fn cloned(source: &Path, target: &Temporary) -> Result<bool, StoreError> {
    let from = File::open(source).map_err(StoreError::io("open", source))?;
    match rustix::fs::ioctl_ficlone(target.file(), &from) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::NOSYS) => Ok(false),
        Err(other) => Err(StoreError::io("clone", source)(other.into())),
    }
}

fn look(place: &Path, named: &str) -> Result<Option<Snapshot>, StoreError> {
    let path = place.join(named);
    let meta = match fs::symlink_metadata(&path) {
        Ok(meta) => meta,
        Err(none) if none.kind() == ErrorKind::NotFound => return Ok(None),
        Err(other) => return Err(StoreError::io("look at", &path)(other)),
    };
    let mark = if meta.is_file() { label::read(&path)?.map(|label| label.mark) } else { None };
    let (volume_key, key) = named.split_once('@').unwrap_or(("", named));
    Ok(Some(Snapshot { volume_key: volume_key.to_owned(), key: key.to_owned(), size_bytes: meta.len(), mark }))
}
