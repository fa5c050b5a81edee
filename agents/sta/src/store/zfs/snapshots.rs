//! Snapshots as `<pool>/vol-<key>@snap-<key>`.
//!
//! Rule: the mark is set by the command that takes the snapshot. The note of the size (which `zfs rollback` takes back with
//! the bytes), the rollback, the size, and the note of its operation are commands, in this order: cut short between them
//! it is all done again, which loses nothing because nobody may use the volume before its outcome is known. It is never given `-r`: newer snapshots go by their own rows or not at all.
//! A deleted snapshot that volumes were made from is not listed any more; the pool destroys it with the last of them.
//! Snapshots of other names (an operator's, a cron job's) are not listed and not touched.

use super::words::Heir;
use super::{COMMAND_LIMIT, ZfsStore, appear, device, typed, words};
use crate::command::{self, CommandError};
use crate::mark::Mark;
use crate::store::snapshots::{NewSnapshot, Rollback, Snapshot, Snapshots, Source};
use crate::store::{StoreError, blocking, check_key, check_pace};
use arame_framework::agent::Work;
use async_trait::async_trait;
use std::fs::File;

impl ZfsStore {
    pub(super) fn snapshot(&self, volume_key: &str, key: &str) -> String {
        format!("{}@{}{key}", self.volume(volume_key), words::SNAPSHOT)
    }

    fn volumes_begin(&self) -> String {
        self.volume("")
    }

    /// Volumes made from snapshots of this one, which is to be destroyed, keep what they share with it: one of them takes the
    /// snapshots over (`zfs promote`), and this one depends on it from then on. Cut short after that, there is nothing to
    /// hand over any more.
    pub(super) async fn hand_over(&self, volume: &str) -> Result<(), StoreError> {
        let left = self.zfs(volume, words::list_clones(volume)).await?;
        let heir = match words::heir(&left, &[self.volumes_begin(), self.replica("")])? {
            Heir::Nobody => return Ok(()),
            Heir::Held(reason) => return Err(StoreError::InUse { name: volume.to_owned(), reason }),
            Heir::Clone(heir) => heir,
        };
        self.zfs(&heir, words::promote(&heir)).await?;
        Ok(self.faults.hit("delete_volume:handed_over").await?)
    }
}

#[async_trait]
impl Snapshots for ZfsStore {
    async fn find_snapshot(&self, volume_key: &str, key: &str) -> Result<Option<Snapshot>, StoreError> {
        check_key(volume_key)?;
        check_key(key)?;
        self.check_pool().await?;
        let name = self.snapshot(volume_key, key);
        match command::run("zfs", &words::list_one(&name), COMMAND_LIMIT).await {
            Ok(text) => Ok(words::snapshots(&text, &self.volumes_begin())?.into_iter().next()),
            Err(CommandError::Failed { stderr, .. }) if words::trouble(&stderr) == words::Trouble::Missing => Ok(None),
            Err(error) => Err(typed(&name, error)),
        }
    }

    async fn list_snapshots(&self) -> Result<Vec<Snapshot>, StoreError> {
        self.check_pool().await?;
        let text = self.zfs(&self.pool, words::list_snapshots_below(&self.pool)).await?;
        words::snapshots(&text, &self.volumes_begin())
    }

    async fn create_snapshot(&self, new: &NewSnapshot, work: &Work) -> Result<(), StoreError> {
        check_key(&new.key)?;
        check_pace(work)?;
        self.faults.hit("create_snapshot:before").await?;
        let name = self.snapshot(&new.volume_key, &new.key);
        self.zfs(&name, words::snapshot(&name, &new.mark)).await?;
        Ok(self.faults.hit("create_snapshot:after").await?)
    }

    async fn open_snapshot(&self, volume_key: &str, key: &str) -> Result<Source, StoreError> {
        let missing = || StoreError::Unavailable { reason: format!("{volume_key}@{key} went while it was used") };
        let found = self.find_snapshot(volume_key, key).await?.ok_or_else(missing)?;
        let volume = self.volume(volume_key);
        // Devices of snapshots are hidden unless asked for.
        self.zfs(&volume, words::show_snapshots(&volume)).await?;
        let path = device(&self.snapshot(volume_key, key));
        appear(&path).await?;
        blocking(move || {
            let file = File::open(&path).map_err(StoreError::io("open", &path))?;
            Ok(Source { reader: Box::new(file), bytes: found.size_bytes, size_bytes: found.size_bytes })
        })
        .await
    }

    async fn mark_snapshot(&self, volume_key: &str, key: &str, mark: &Mark) -> Result<(), StoreError> {
        let name = self.snapshot(volume_key, key);
        self.zfs(&name, words::set_mark(&name, mark)).await.map(|_| ())
    }

    async fn delete_snapshot(&self, volume_key: &str, key: &str) -> Result<(), StoreError> {
        if self.find_snapshot(volume_key, key).await?.is_none() {
            return Ok(());
        }
        self.faults.hit("delete_snapshot:before").await?;
        let name = self.snapshot(volume_key, key);
        self.zfs(&name, words::destroy_deferred(&name)).await?;
        Ok(self.faults.hit("delete_snapshot:after").await?)
    }

    async fn roll_back(&self, to: &Rollback, work: &Work) -> Result<(), StoreError> {
        check_key(&to.volume_key)?;
        check_key(&to.snapshot_key)?;
        check_pace(work)?;
        self.faults.hit("roll_back:before").await?;
        let (volume, name) = (self.volume(&to.volume_key), self.snapshot(&to.volume_key, &to.snapshot_key));
        let size = words::larger(&self.zfs(&volume, words::sizes(&volume)).await?)?;
        self.zfs(&volume, words::note_size(&volume, size)).await?;
        self.zfs(&name, words::rollback(&name)).await?;
        self.zfs(&volume, words::set_size(&volume, size)).await?;
        self.faults.hit("roll_back:unmarked").await?;
        self.zfs(&volume, words::set_rolled_back(&volume, &to.mark, to.operation)).await?;
        Ok(self.faults.hit("roll_back:after").await?)
    }
}
