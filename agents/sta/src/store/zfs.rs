//! Volumes as zvols `<pool>/vol-<key>`, through the `zfs` and `zpool` commands with `-Hp`.
//!
//! Rule: the mark (`arame:installation`, `arame:owner`, `arame:generation`) is set by the command that creates, so a
//! zvol of ours is never seen without it. A volume from an image is a clone of `<pool>/img-<id>@gold`, one from a snapshot a
//! clone of that, O(1). A volume with clones is deleted after the newest of them took over what they share. Image
//! files are kept beside the pool and served like everywhere. Words and errors of the commands: [`words`].

mod health;
mod replicas;
mod snapshots;
pub mod words;

use super::images::Images;
use super::{
    Image, NewImage, NewVolume, Pool, Room, Staged, StagedVolume, Store, StoreError, Verified, Volume, blocking,
    check_key, check_pace, qcow2,
};
use crate::command::{self, CommandError};
use crate::faults::Faults;
use crate::mark::Mark;
use crate::sandbox::Checker;
use arame_framework::agent::Work;
use arame_schema::jobs::hva::DiskFormat;
use arame_schema::model::ImageId;
use async_trait::async_trait;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use words::Trouble;

/// The commands wait for a transaction group, seconds on a loaded pool.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// udev makes the device node after the command ended.
const DEVICE_APPEARS: Duration = Duration::from_secs(20);
const DEVICE_LOOK: Duration = Duration::from_millis(20);

pub struct ZfsStore {
    images: Images,
    pool: String,
    faults: Arc<Faults>,
    limit_bytes: Option<u64>,
    receiving: replicas::Receiving,
}

impl ZfsStore {
    pub fn new(images: Images, pool: String, limit_bytes: Option<u64>) -> Self {
        Self { faults: images.faults.clone(), images, pool, limit_bytes, receiving: replicas::Receiving::default() }
    }

    fn volume(&self, key: &str) -> String {
        format!("{}/vol-{key}", self.pool)
    }

    /// A volume that is being filled: nobody's name, so it is not listed.
    fn staged(&self, key: &str) -> String {
        format!("{}/tmp-{key}", self.pool)
    }

    async fn check_promised(&self, size_bytes: u64) -> Result<(), StoreError> {
        let promised: u64 = self.list_all().await?.iter().map(|volume| volume.size_bytes).sum();
        if promised.saturating_add(size_bytes) > self.room().await?.total_bytes {
            return Err(StoreError::DiskFull { what: format!("{size_bytes} bytes") });
        }
        Ok(())
    }

    fn gold(&self, image: &ImageId) -> String {
        format!("{}/img-{image}", self.pool)
    }

    /// The pool of the dataset in which the volumes are.
    fn root(&self) -> &str {
        self.pool.split('/').next().unwrap_or(&self.pool)
    }

    /// A dataset that does not exist and a pool that is not imported read the same: the pool is asked first.
    async fn check_pool(&self) -> Result<Room, StoreError> {
        let root = self.root();
        let arguments = ["list", "-Hp", root].map(str::to_owned);
        let text = command::run("zpool", &arguments, COMMAND_LIMIT).await.map_err(|error| typed(root, error))?;
        words::pool(&text)
    }

    async fn zfs(&self, name: &str, arguments: Vec<String>) -> Result<String, StoreError> {
        command::run("zfs", &arguments, COMMAND_LIMIT).await.map_err(|error| typed(name, error))
    }

    async fn exists(&self, name: &str) -> Result<bool, StoreError> {
        match command::run("zfs", &words::list_one(name), COMMAND_LIMIT).await {
            Ok(_) => Ok(true),
            Err(CommandError::Failed { stderr, .. }) if words::trouble(&stderr) == Trouble::Missing => Ok(false),
            Err(error) => Err(typed(name, error)),
        }
    }

    async fn list_all(&self) -> Result<Vec<Volume>, StoreError> {
        self.check_pool().await?;
        let text = self.zfs(&self.pool, words::list_below(&self.pool)).await?;
        words::volumes(&text, &format!("{}/vol-", self.pool))
    }

    /// The snapshot volumes are cloned from; made at import, or here when an import was cut short before it.
    async fn ensure_gold(&self, image: &ImageId, work: &Work) -> Result<String, StoreError> {
        let (gold, snapshot) = (self.gold(image), format!("{}@gold", self.gold(image)));
        if self.exists(&snapshot).await? {
            return Ok(snapshot);
        }
        let missing = || StoreError::ImageMissing { image: image.clone() };
        let found = self.images.find(image).await?.ok_or_else(missing)?;
        let (Some(path), Some(format), Some(mark)) = (found.path, found.format, found.mark) else {
            return Err(missing());
        };
        if self.exists(&gold).await? {
            // Without its snapshot it is half-filled.
            self.zfs(&gold, words::destroy(&gold)).await?;
        }
        let size = qcow2::virtual_size(image, format, &path, &self.images.checker).await?;
        self.zfs(&gold, words::create(&gold, size, &mark)).await?;
        self.faults.hit("import_image:gold").await?;
        let device = device(&gold);
        appear(&device).await?;
        fill(&self.images.checker, (&path, format), &device, work).await?;
        self.zfs(&snapshot, vec!["snapshot".into(), snapshot.clone()]).await?;
        Ok(snapshot)
    }
}

fn device(dataset: &str) -> PathBuf {
    Path::new("/dev/zvol").join(dataset)
}

async fn appear(device: &Path) -> Result<(), StoreError> {
    let deadline = Instant::now() + DEVICE_APPEARS;
    while !device.exists() {
        if Instant::now() > deadline {
            let reason = format!("{} did not appear within {DEVICE_APPEARS:?}", device.display());
            return Err(StoreError::Unavailable { reason });
        }
        tokio::time::sleep(DEVICE_LOOK).await;
    }
    Ok(())
}

async fn fill(checker: &Checker, image: (&Path, DiskFormat), device: &Path, work: &Work) -> Result<(), StoreError> {
    tokio::select! {
        done = checker.convert(image, (device, "host_device"), work.budget_left()) => Ok(done?),
        () = work.cancelled().cancelled() => Err(StoreError::Overtaken),
    }
}

fn typed(name: &str, error: CommandError) -> StoreError {
    let CommandError::Failed { stderr, .. } = &error else { return error.into() };
    let reason = stderr.clone();
    match words::trouble(stderr) {
        Trouble::NoPool => StoreError::Unavailable { reason },
        Trouble::Full => StoreError::DiskFull { what: name.to_owned() },
        Trouble::Busy => StoreError::InUse { name: name.to_owned(), reason },
        Trouble::Newer => StoreError::NewerSnapshots { name: name.to_owned(), reason },
        Trouble::BadStream => StoreError::ReplicaMismatch { replica: name.to_owned(), reason },
        Trouble::ShortStream => StoreError::ReplicaBrokenOff { reason },
        Trouble::NoWay => StoreError::ReplicaLeftBehind { reason },
        Trouble::Missing | Trouble::Exists | Trouble::Other => error.into(),
    }
}

#[async_trait]
impl Store for ZfsStore {
    fn kind(&self) -> &'static str {
        "zfs"
    }

    async fn find_volume(&self, key: &str) -> Result<Option<Volume>, StoreError> {
        check_key(key)?;
        self.check_pool().await?;
        let name = self.volume(key);
        match command::run("zfs", &words::list_one(&name), COMMAND_LIMIT).await {
            Ok(text) => Ok(words::volumes(&text, &format!("{}/vol-", self.pool))?.into_iter().next()),
            Err(CommandError::Failed { stderr, .. }) if words::trouble(&stderr) == Trouble::Missing => Ok(None),
            Err(error) => Err(typed(&name, error)),
        }
    }

    async fn list_volumes(&self) -> Result<Vec<Volume>, StoreError> {
        self.list_all().await
    }

    async fn create_volume(&self, new: &NewVolume, work: &Work) -> Result<(), StoreError> {
        check_key(&new.key)?;
        self.faults.hit("create_volume:before").await?;
        self.check_promised(new.size_bytes).await?;
        let name = self.volume(&new.key);
        let of_snapshot = new.snapshot.as_ref().map(|from| self.snapshot(&from.volume_key, &from.key));
        let origin = of_snapshot.or_else(|| new.replica.as_ref().map(|from| self.replica_snapshot(from)));
        match (&new.image, origin) {
            (_, Some(snapshot)) => {
                self.zfs(&name, words::clone(&snapshot, &name, &new.mark)).await?;
                self.faults.hit("create_volume:cloned").await?;
                // As with an image: the job run again grows it.
                self.zfs(&name, words::set_size(&name, new.size_bytes)).await?;
            }
            (None, None) => {
                self.zfs(&name, words::create(&name, new.size_bytes, &new.mark)).await?;
            }
            (Some(image), None) => {
                let snapshot = self.ensure_gold(image, work).await?;
                check_pace(work)?;
                let gold = self.zfs(&snapshot, words::list_one(&self.gold(image))).await?;
                let needed =
                    words::volumes(&gold, &format!("{}/", self.pool))?.first().map_or(0, |gold| gold.size_bytes);
                if needed > words::rounded(new.size_bytes) {
                    return Err(StoreError::TooSmall { wanted: new.size_bytes, needed });
                }
                self.zfs(&name, words::clone(&snapshot, &name, &new.mark)).await?;
                self.faults.hit("create_volume:marked").await?;
                // Cut short here it is smaller than asked; the job run again grows it.
                self.zfs(&name, words::set_size(&name, new.size_bytes)).await?;
            }
        }
        appear(&device(&name)).await?;
        Ok(self.faults.hit("create_volume:after").await?)
    }

    async fn stage_volume(&self, new: &NewVolume) -> Result<StagedVolume, StoreError> {
        check_key(&new.key)?;
        self.faults.hit("restore_volume:before").await?;
        self.check_promised(new.size_bytes).await?;
        self.clear_staged(&new.key).await?;
        let name = self.staged(&new.key);
        self.zfs(&name, words::create(&name, new.size_bytes, &new.mark)).await?;
        let device = device(&name);
        appear(&device).await?;
        blocking(move || StagedVolume::on_device(&device)).await
    }

    async fn clear_staged(&self, key: &str) -> Result<(), StoreError> {
        check_key(key)?;
        self.check_pool().await?;
        let staged = self.staged(key);
        if self.exists(&staged).await? {
            self.zfs(&staged, words::destroy(&staged)).await?;
        }
        Ok(())
    }

    async fn keep_volume(&self, new: &NewVolume, staged: StagedVolume) -> Result<(), StoreError> {
        blocking(move || staged.close_device()).await?;
        let (staged, name) = (self.staged(&new.key), self.volume(&new.key));
        self.zfs(&staged, words::set_mark(&staged, &new.mark)).await?;
        self.faults.hit("restore_volume:marked").await?;
        self.zfs(&name, words::rename(&staged, &name)).await?;
        appear(&device(&name)).await?;
        Ok(self.faults.hit("restore_volume:after").await?)
    }

    async fn update_volume(&self, key: &str, size_bytes: u64, mark: &Mark) -> Result<(), StoreError> {
        let name = self.volume(key);
        let found = self.find_volume(key).await?;
        if found.is_some_and(|volume| volume.size_bytes < size_bytes) {
            self.zfs(&name, words::set_size(&name, size_bytes)).await?;
        }
        self.zfs(&name, words::set_mark(&name, mark)).await.map(|_| ())
    }

    async fn delete_volume(&self, key: &str) -> Result<(), StoreError> {
        if self.find_volume(key).await?.is_none() {
            return Ok(());
        }
        self.faults.hit("delete_volume:before").await?;
        let name = self.volume(key);
        self.hand_over(&name).await?;
        self.zfs(&name, words::destroy(&name)).await?;
        Ok(self.faults.hit("delete_volume:after").await?)
    }

    async fn find_image(&self, image: &ImageId) -> Result<Option<Image>, StoreError> {
        self.images.find(image).await
    }

    async fn list_images(&self) -> Result<Vec<Image>, StoreError> {
        self.images.list().await
    }

    async fn import_image(&self, new: &NewImage, work: &Work) -> Result<(), StoreError> {
        self.check_pool().await?;
        self.images.import(new, work).await?;
        self.ensure_gold(&new.announced.image, work).await.map(|_| ())
    }

    async fn stage_image(&self, image: &ImageId) -> Result<Staged, StoreError> {
        self.images.stage(image).await
    }

    async fn keep_image(
        &self,
        image: &ImageId,
        verified: Verified,
        mark: &Mark,
        work: &Work,
    ) -> Result<(), StoreError> {
        self.check_pool().await?;
        self.images.keep(image, verified, mark).await?;
        self.ensure_gold(image, work).await.map(|_| ())
    }

    async fn mark_image(&self, image: &ImageId, mark: &Mark) -> Result<(), StoreError> {
        self.images.mark(image, mark).await
    }

    async fn delete_image(&self, image: &ImageId) -> Result<(), StoreError> {
        self.check_pool().await?;
        let gold = self.gold(image);
        if self.exists(&gold).await? {
            // Refused while volumes are cloned from it: `in_use`.
            self.zfs(&gold, words::destroy_with_snapshots(&gold)).await?;
        }
        self.images.delete(image).await
    }

    async fn room(&self) -> Result<Room, StoreError> {
        let room = self.check_pool().await?;
        let total_bytes = self.limit_bytes.map_or(room.total_bytes, |limit| limit.min(room.total_bytes));
        // The image folder must be there as well: half a store is none.
        let folder = self.images.folder.clone();
        blocking(move || folder.images()).await?;
        Ok(Room { total_bytes, free_bytes: room.free_bytes.min(total_bytes) })
    }

    async fn left(&self) -> Result<u64, StoreError> {
        self.check_pool().await?;
        let left = words::left(&self.zfs(&self.pool, words::list_written(&self.pool)).await?, &self.pool)?;
        let promised: u64 = self.list_all().await?.iter().map(|volume| volume.size_bytes).sum();
        // What this node was told to offer may be less than the pool has.
        let within = self.limit_bytes.map_or(u64::MAX, |limit| limit.saturating_sub(promised));
        Ok(left.min(within))
    }

    async fn pool(&self) -> Result<Pool, StoreError> {
        let root = self.root();
        let arguments = ["status", root].map(str::to_owned);
        let text = command::run("zpool", &arguments, COMMAND_LIMIT).await.map_err(|error| typed(root, error))?;
        let line = text.lines().next().unwrap_or_default().to_owned();
        health::pool(&text).ok_or(StoreError::Unreadable { program: "zpool", line })
    }
}
