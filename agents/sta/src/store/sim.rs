//! Volumes and images of the simulated world.
//!
//! Rule: answers what the file store would answer. An image's source is read and verified like there, but its bytes
//! are not kept; `sim://…` is a source without bytes, for a data center without files,
//! and so is another simulated node.

mod replicas;
mod snapshots;

use super::images::{open_source, read_all};
use super::{
    Image, NewImage, NewVolume, Pool, Room, Staged, StagedVolume, Store, StoreError, Verified, Volume, blocking,
    check_key, check_pace,
};
use crate::faults::Faults;
use crate::mark::Mark;
use crate::sandbox::Checker;
use crate::sim::{SimImage, SimVolume, State, World, WorldError};
use arame_framework::agent::Work;
use arame_schema::model::ImageId;
use async_trait::async_trait;
use std::path::PathBuf;
use std::sync::Arc;

/// Offered when the configuration names no size.
const ROOM_BYTES: u64 = 1 << 40;

pub struct SimStore {
    world: Arc<World>,
    import_dirs: Vec<PathBuf>,
    room_bytes: u64,
    checker: Checker,
}

impl SimStore {
    pub fn new(world: Arc<World>, import_dirs: Vec<PathBuf>, limit_bytes: Option<u64>, checker: Checker) -> Self {
        Self { world, import_dirs, room_bytes: limit_bytes.unwrap_or(ROOM_BYTES), checker }
    }

    fn faults(&self) -> &Faults {
        &self.world.faults
    }

    /// Takes its time, then looks, unless the store is away.
    async fn look<T>(&self, reader: impl FnOnce(&State) -> T) -> Result<T, StoreError> {
        self.world.wait().await;
        self.world.look(|state| match state.unavailable.get("store") {
            Some(reason) => Err(StoreError::Unavailable { reason: reason.clone() }),
            None => Ok(reader(state)),
        })
    }

    async fn change<T>(&self, verb: &str, writer: impl FnOnce(&mut State) -> T) -> Result<T, StoreError> {
        self.faults().hit(&format!("{verb}:before")).await?;
        self.look(|_| ()).await?;
        let answer = self.world.change(writer)?;
        self.faults().hit(&format!("{verb}:after")).await?;
        Ok(answer)
    }
}

impl From<WorldError> for StoreError {
    fn from(error: WorldError) -> Self {
        StoreError::Unavailable { reason: error.to_string() }
    }
}

fn volume(key: &str, found: &SimVolume) -> Volume {
    Volume {
        key: key.to_owned(),
        path: PathBuf::from(format!("/sim/volumes/{key}")),
        size_bytes: found.size_bytes,
        mark: found.mark.clone(),
        rollback: found.rollback,
    }
}

fn image(name: &str, found: &SimImage) -> Image {
    Image {
        name: name.to_owned(),
        mark: found.mark.clone(),
        sha256: found.sha256.clone(),
        size_bytes: found.size_bytes,
        format: Some(found.format),
        path: None,
    }
}

#[async_trait]
impl Store for SimStore {
    fn kind(&self) -> &'static str {
        "sim"
    }

    async fn find_volume(&self, key: &str) -> Result<Option<Volume>, StoreError> {
        check_key(key)?;
        self.look(|state| state.volumes.get(key).map(|found| volume(key, found))).await
    }

    async fn list_volumes(&self) -> Result<Vec<Volume>, StoreError> {
        self.look(|state| state.volumes.iter().map(|(key, found)| volume(key, found)).collect()).await
    }

    async fn create_volume(&self, new: &NewVolume, work: &Work) -> Result<(), StoreError> {
        check_key(&new.key)?;
        check_pace(work)?;
        let promised: u64 = self.list_volumes().await?.iter().map(|volume| volume.size_bytes).sum();
        if promised.saturating_add(new.size_bytes) > self.room_bytes {
            return Err(StoreError::DiskFull { what: format!("{} bytes", new.size_bytes) });
        }
        if let Some(id) = &new.image {
            let image = self.find_image(id).await?.ok_or_else(|| StoreError::ImageMissing { image: id.clone() })?;
            if image.size_bytes > new.size_bytes {
                return Err(StoreError::TooSmall { wanted: new.size_bytes, needed: image.size_bytes });
            }
        }
        let content = match (&new.snapshot, &new.replica) {
            (Some(from), _) => self.content_of(from).await?,
            (None, Some(from)) => self.content_of_replica(from).await?,
            (None, None) => new.image.as_ref().map(ToString::to_string).unwrap_or_default(),
        };
        let mark = Some(new.mark.clone());
        let made = SimVolume { size_bytes: new.size_bytes, mark, content, rollback: None };
        self.change("create_volume", |state| state.volumes.insert(new.key.clone(), made)).await.map(|_| ())
    }

    async fn stage_volume(&self, new: &NewVolume) -> Result<StagedVolume, StoreError> {
        check_key(&new.key)?;
        self.faults().hit("restore_volume:before").await?;
        let promised: u64 = self.list_volumes().await?.iter().map(|volume| volume.size_bytes).sum();
        if promised.saturating_add(new.size_bytes) > self.room_bytes {
            return Err(StoreError::DiskFull { what: format!("{} bytes", new.size_bytes) });
        }
        Ok(StagedVolume::in_memory())
    }

    async fn keep_volume(&self, new: &NewVolume, staged: StagedVolume) -> Result<(), StoreError> {
        let (size_bytes, mark, content) = (new.size_bytes, Some(new.mark.clone()), staged.into_text());
        let made = SimVolume { size_bytes, mark, content, rollback: None };
        self.change("restore_volume", |state| state.volumes.insert(new.key.clone(), made)).await.map(|_| ())
    }

    async fn update_volume(&self, key: &str, size_bytes: u64, mark: &Mark) -> Result<(), StoreError> {
        check_key(key)?;
        self.change("update_volume", |state| {
            if let Some(volume) = state.volumes.get_mut(key) {
                volume.size_bytes = volume.size_bytes.max(size_bytes);
                volume.mark = Some(mark.clone());
            }
        })
        .await
    }

    async fn delete_volume(&self, key: &str) -> Result<(), StoreError> {
        check_key(key)?;
        self.change("delete_volume", |state| state.volumes.remove(key)).await.map(|_| ())
    }

    async fn find_image(&self, id: &ImageId) -> Result<Option<Image>, StoreError> {
        self.look(|state| state.images.get(id.as_str()).map(|found| image(id.as_str(), found))).await
    }

    async fn list_images(&self) -> Result<Vec<Image>, StoreError> {
        self.look(|state| state.images.iter().map(|(name, found)| image(name, found)).collect()).await
    }

    async fn import_image(&self, new: &NewImage, work: &Work) -> Result<(), StoreError> {
        check_pace(work)?;
        let told = &new.announced;
        let without_bytes = ["sim://", "http://"].iter().any(|scheme| new.source.starts_with(scheme));
        let verified = if without_bytes {
            let (Some(sha256), Some(size_bytes)) = (told.sha256.clone(), told.size_bytes) else {
                let reason = "an image without bytes needs a size and a checksum".to_owned();
                return Err(StoreError::SourceRefused { origin: new.source.clone(), reason });
            };
            Verified { file: None, sha256, size_bytes, format: told.format }
        } else {
            let (wanted, dirs, pace) = (new.clone(), self.import_dirs.clone(), work.clone());
            let read = move || read_all(open_source(&wanted.source, &dirs)?, Staged::new(None), &wanted, &pace);
            blocking(read).await?.finish(told, &self.checker).await?
        };
        self.keep_image(&told.image, verified, &new.mark, work).await
    }

    async fn stage_image(&self, _: &ImageId) -> Result<Staged, StoreError> {
        self.faults().hit("import_image:before").await?;
        self.look(|_| Staged::new(None)).await
    }

    async fn keep_image(&self, id: &ImageId, verified: Verified, mark: &Mark, _: &Work) -> Result<(), StoreError> {
        let Verified { sha256, size_bytes, format, .. } = verified;
        let made = SimImage { sha256, size_bytes, format, mark: Some(mark.clone()) };
        self.change("import_image", |state| state.images.insert(id.to_string(), made)).await.map(|_| ())
    }

    async fn mark_image(&self, id: &ImageId, mark: &Mark) -> Result<(), StoreError> {
        self.change("mark_image", |state| {
            if let Some(image) = state.images.get_mut(id.as_str()) {
                image.mark = Some(mark.clone());
            }
        })
        .await
    }

    async fn delete_image(&self, id: &ImageId) -> Result<(), StoreError> {
        self.change("delete_image", |state| state.images.remove(id.as_str())).await.map(|_| ())
    }

    async fn room(&self) -> Result<Room, StoreError> {
        self.look(|state| {
            let promised: u64 = state.volumes.values().map(|volume| volume.size_bytes).sum();
            Room { total_bytes: self.room_bytes, free_bytes: self.room_bytes.saturating_sub(promised) }
        })
        .await
    }

    async fn left(&self) -> Result<u64, StoreError> {
        self.look(|state| {
            let volumes: u64 = state.volumes.values().map(|volume| volume.size_bytes).sum();
            let replicas: u64 = state.replicas.values().map(|replica| replica.size_bytes).sum();
            self.room_bytes.saturating_sub(volumes).saturating_sub(replicas).saturating_sub(state.kept_bytes)
        })
        .await
    }

    async fn pool(&self) -> Result<Pool, StoreError> {
        self.look(|_| Pool { name: "sim".to_owned(), ..Pool::default() }).await
    }
}
