//! Volumes as sparse raw files `volumes/<key>`.
//!
//! Rule: a volume is made under a temporary name, marked, synced, then renamed; a crash leaves only temporary names,
//! which the next start removes. A volume from an image shares its blocks where the file system can (XFS, Btrfs:
//! `copy_file_range` clones there, time grows with the extents); elsewhere (ext4) the image's data is copied and its
//! holes are kept. It is raw because tgt serves nothing else.

mod replicas;
mod snapshots;

use super::folder::{Folder, Temporary};
use super::images::{self, Images};
use super::label::{self, Label};
use super::{
    Image, NewImage, NewVolume, Pool, Room, Staged, StagedVolume, Store, StoreError, Verified, Volume, blocking,
    check_key, check_pace, folder, qcow2,
};
use crate::command::CommandError;
use crate::faults::Faults;
use crate::mark::Mark;
use crate::sandbox::Checker;
use arame_framework::agent::Work;
use arame_schema::jobs::hva::DiskFormat;
use arame_schema::model::ImageId;
use async_trait::async_trait;
use nix::unistd::{Whence, lseek};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Between two of these the copy looks whether it is still wanted.
const STRETCH: u64 = 64 << 20;

/// What `st_blocks` counts in (stat(2)).
const BLOCK_UNIT: u64 = 512;

pub struct FileStore {
    folder: Arc<Folder>,
    images: Images,
    faults: Arc<Faults>,
    /// Offer less than the file system has.
    limit_bytes: Option<u64>,
}

impl FileStore {
    pub fn new(images: Images, limit_bytes: Option<u64>) -> Self {
        Self { folder: images.folder.clone(), faults: images.faults.clone(), images, limit_bytes }
    }

    /// The image a volume begins with, its size checked.
    async fn origin(&self, new: &NewVolume) -> Result<Option<(PathBuf, DiskFormat)>, StoreError> {
        let Some(id) = &new.image else { return Ok(None) };
        let missing = || StoreError::ImageMissing { image: id.clone() };
        let image = self.images.find(id).await?.ok_or_else(missing)?;
        let (Some(path), Some(format)) = (image.path, image.format) else { return Err(missing()) };
        let needed = qcow2::virtual_size(id, format, &path, &self.images.checker).await?;
        if needed > new.size_bytes {
            return Err(StoreError::TooSmall { wanted: new.size_bytes, needed });
        }
        Ok(Some((path, format)))
    }

    async fn promised(&self) -> Result<u64, StoreError> {
        let folder = self.folder.clone();
        // Sizes alone: whose each is, is told by its label, and hundreds of labels are read for nothing by every new volume.
        blocking(move || {
            // A snapshot may come to share nothing with its volume any more.
            let places = [folder.volumes()?, folder.snapshots()?, folder.replicas()?, folder.parts()?];
            let sizes = places.iter().map(|place| Ok(sizes(place)?.into_iter().map(|(size, _)| size).sum()));
            Ok(sizes.collect::<Result<Vec<u64>, StoreError>>()?.into_iter().fold(0, u64::saturating_add))
        })
        .await
    }

    async fn check_room(&self, size_bytes: u64) -> Result<(), StoreError> {
        let promised = self.promised().await?;
        let room = self.room().await?;
        if promised.saturating_add(size_bytes) > room.total_bytes {
            let what = format!("{size_bytes} bytes: {promised} of {} are promised", room.total_bytes);
            return Err(StoreError::DiskFull { what });
        }
        Ok(())
    }
}

#[async_trait]
impl Store for FileStore {
    fn kind(&self) -> &'static str {
        "file"
    }

    async fn find_volume(&self, key: &str) -> Result<Option<Volume>, StoreError> {
        check_key(key)?;
        let (folder, key) = (self.folder.clone(), key.to_owned());
        blocking(move || look(&folder.volumes()?, &key)).await
    }

    async fn list_volumes(&self) -> Result<Vec<Volume>, StoreError> {
        let folder = self.folder.clone();
        blocking(move || {
            let place = folder.volumes()?;
            let names = folder::names(&place)?;
            let things = names.iter().filter(|name| !name.starts_with('.') && !label::is_label(name));
            things.filter_map(|name| look(&place, name).transpose()).collect()
        })
        .await
    }

    async fn create_volume(&self, new: &NewVolume, work: &Work) -> Result<(), StoreError> {
        check_key(&new.key)?;
        self.faults.hit("create_volume:before").await?;
        self.check_room(new.size_bytes).await?;
        let target = self.folder.volumes()?.join(&new.key);
        let temporary = Temporary::beside(&target)?;
        match self.origin(new).await? {
            Some((image, DiskFormat::Qcow2)) => {
                temporary.file().set_len(new.size_bytes).map_err(StoreError::io("size", &target))?;
                convert(&self.images.checker, &image, temporary.path(), work).await?;
            }
            Some((image, DiskFormat::Raw)) => {
                let (file, pace) = (copy_handle(&temporary)?, work.clone());
                blocking(move || copy_sparse(&image, file, &pace)).await?;
            }
            None => {}
        }
        let temporary = match (&new.snapshot, &new.replica) {
            (Some(from), _) => self.fill_from_snapshot(temporary, from, work).await?,
            (None, Some(from)) => self.fill_from(temporary, self.whole_replica(from)?, work).await?,
            (None, None) => temporary,
        };
        check_pace(work)?;
        let (faults, new) = (self.faults.clone(), new.clone());
        blocking(move || {
            temporary.file().set_len(new.size_bytes).map_err(StoreError::io("size", &target))?;
            faults.hit_blocking("create_volume:sized")?;
            label::write(temporary.file(), &target, &Label::of(new.mark))?;
            faults.hit_blocking("create_volume:marked")?;
            temporary.keep_as(&target)?;
            Ok(faults.hit_blocking("create_volume:after")?)
        })
        .await
    }

    async fn stage_volume(&self, new: &NewVolume) -> Result<StagedVolume, StoreError> {
        check_key(&new.key)?;
        self.faults.hit("restore_volume:before").await?;
        self.check_room(new.size_bytes).await?;
        let target = self.folder.volumes()?.join(&new.key);
        blocking(move || Ok(StagedVolume::in_file(Temporary::beside(&target)?))).await
    }

    async fn keep_volume(&self, new: &NewVolume, staged: StagedVolume) -> Result<(), StoreError> {
        let target = self.folder.volumes()?.join(&new.key);
        let (faults, new) = (self.faults.clone(), new.clone());
        blocking(move || {
            let temporary = staged.into_file()?;
            temporary.file().set_len(new.size_bytes).map_err(StoreError::io("size", &target))?;
            label::write(temporary.file(), &target, &Label::of(new.mark))?;
            faults.hit_blocking("restore_volume:marked")?;
            temporary.keep_as(&target)?;
            Ok(faults.hit_blocking("restore_volume:after")?)
        })
        .await
    }

    async fn update_volume(&self, key: &str, size_bytes: u64, mark: &Mark) -> Result<(), StoreError> {
        check_key(key)?;
        let path = self.folder.volumes()?.join(key);
        let (faults, mark) = (self.faults.clone(), mark.clone());
        blocking(move || {
            let rollback = label::read(&path)?.and_then(|label| label.rollback);
            let file = File::options().write(true).open(&path).map_err(StoreError::io("open", &path))?;
            let found = file.metadata().map_err(StoreError::io("look at", &path))?.len();
            if found < size_bytes {
                file.set_len(size_bytes).map_err(StoreError::io("grow", &path))?;
            }
            faults.hit_blocking("update_volume:sized")?;
            label::write(&file, &path, &Label { rollback, ..Label::of(mark) })?;
            file.sync_all().map_err(StoreError::io("sync", &path))
        })
        .await
    }

    async fn delete_volume(&self, key: &str) -> Result<(), StoreError> {
        check_key(key)?;
        let path = self.folder.volumes()?.join(key);
        let faults = self.faults.clone();
        blocking(move || {
            faults.hit_blocking("delete_volume:before")?;
            images::remove(&path)?;
            Ok(faults.hit_blocking("delete_volume:after")?)
        })
        .await
    }

    async fn find_image(&self, image: &ImageId) -> Result<Option<Image>, StoreError> {
        self.images.find(image).await
    }

    async fn list_images(&self) -> Result<Vec<Image>, StoreError> {
        self.images.list().await
    }

    async fn import_image(&self, new: &NewImage, work: &Work) -> Result<(), StoreError> {
        self.images.import(new, work).await
    }

    async fn stage_image(&self, image: &ImageId) -> Result<Staged, StoreError> {
        self.images.stage(image).await
    }

    async fn keep_image(&self, image: &ImageId, verified: Verified, mark: &Mark, _: &Work) -> Result<(), StoreError> {
        self.images.keep(image, verified, mark).await
    }

    async fn mark_image(&self, image: &ImageId, mark: &Mark) -> Result<(), StoreError> {
        self.images.mark(image, mark).await
    }

    async fn delete_image(&self, image: &ImageId) -> Result<(), StoreError> {
        self.images.delete(image).await
    }

    async fn room(&self) -> Result<Room, StoreError> {
        let (folder, limit) = (self.folder.clone(), self.limit_bytes);
        blocking(move || room_of(&folder.volumes()?, limit)).await
    }

    async fn left(&self) -> Result<u64, StoreError> {
        let promised = self.promised().await?;
        let (folder, limit) = (self.folder.clone(), self.limit_bytes);
        blocking(move || {
            let place = folder.volumes()?;
            let within = room_of(&place, limit)?.total_bytes.saturating_sub(promised);
            // Blocks that a snapshot shares count as the volume's: what that hides, the promises above tell.
            let unwritten = sizes(&place)?.into_iter().map(|(size, written)| size.saturating_sub(written));
            let unwritten = unwritten.fold(0, u64::saturating_add);
            Ok(within.min(room_of(&place, None)?.free_bytes.saturating_sub(unwritten)))
        })
        .await
    }

    async fn pool(&self) -> Result<Pool, StoreError> {
        let folder = self.folder.clone();
        let volumes = blocking(move || folder.volumes()).await?;
        Ok(Pool { name: volumes.display().to_string(), ..Pool::default() })
    }
}

/// How large each thing in a folder is, and how much of it is written, in bytes.
fn sizes(place: &Path) -> Result<Vec<(u64, u64)>, StoreError> {
    let mut found = Vec::new();
    for name in folder::names(place)?.iter().filter(|name| !name.starts_with('.') && !label::is_label(name)) {
        let path = place.join(name);
        match fs::symlink_metadata(&path) {
            Ok(meta) => found.push((meta.len(), meta.blocks() * BLOCK_UNIT)),
            Err(gone) if gone.kind() == ErrorKind::NotFound => {}
            Err(other) => return Err(StoreError::io("look at", &path)(other)),
        }
    }
    Ok(found)
}

/// Room of the file system under `path`, cut to `limit`.
pub fn room_of(path: &Path, limit: Option<u64>) -> Result<Room, StoreError> {
    let stat = nix::sys::statvfs::statvfs(path)
        .map_err(|errno| StoreError::io("look at", path)(std::io::Error::from(errno)))?;
    let total = stat.blocks() * stat.fragment_size();
    // What is kept for root is not ours to give.
    let free = stat.blocks_available() * stat.fragment_size();
    let total_bytes = limit.map_or(total, |limit| limit.min(total));
    Ok(Room { total_bytes, free_bytes: free.min(total_bytes) })
}

fn look(place: &Path, key: &str) -> Result<Option<Volume>, StoreError> {
    let path = place.join(key);
    let meta = match fs::symlink_metadata(&path) {
        Ok(meta) => meta,
        Err(none) if none.kind() == ErrorKind::NotFound => return Ok(None),
        Err(other) => return Err(StoreError::io("look at", &path)(other)),
    };
    let label = if meta.is_file() { label::read(&path)? } else { None };
    let rollback = label.as_ref().and_then(|label| label.rollback);
    let mark = label.map(|label| label.mark);
    Ok(Some(Volume { key: key.to_owned(), size_bytes: meta.len(), mark, rollback, path }))
}

fn copy_handle(temporary: &Temporary) -> Result<File, StoreError> {
    temporary.file().try_clone().map_err(StoreError::io("open", temporary.path()))
}

async fn convert(checker: &Checker, image: &Path, target: &Path, work: &Work) -> Result<(), StoreError> {
    tokio::select! {
        done = checker.convert((image, DiskFormat::Qcow2), (target, "raw"), work.budget_left()) => match done {
            Err(CommandError::Failed { stderr, .. }) if stderr.contains("No space left") => {
                Err(StoreError::DiskFull { what: target.display().to_string() })
            }
            other => Ok(other?),
        },
        () = work.cancelled().cancelled() => Err(StoreError::Overtaken),
    }
}

/// Copies the data of a file and leaves its holes. `io::copy` between files is `copy_file_range`, which shares
/// blocks where the file system can.
fn copy_sparse(image: &Path, target: File, work: &Work) -> Result<(), StoreError> {
    let pace = &mut |percent: u8| {
        check_pace(work)?;
        work.progress(percent, "copying");
        Ok(())
    };
    copy_sparse_with(image, target, pace)
}

/// `pace` is told how far it is, of a hundred, before each stretch.
fn copy_sparse_with(
    image: &Path,
    mut target: File,
    pace: &mut dyn FnMut(u8) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let failed = |source: std::io::Error| StoreError::io("copy", image)(source);
    let into = |source: std::io::Error| match StoreError::io("copy", image)(source) {
        StoreError::DiskFull { what } => StoreError::DiskFull { what: format!("a copy of {what}") },
        other => other,
    };
    let mut source = File::open(image).map_err(failed)?;
    let length = source.metadata().map_err(failed)?.len();
    target.set_len(length).map_err(failed)?;
    let mut at = 0u64;
    while let Some((begin, end)) = next_data(&source, at, length).map_err(failed)? {
        at = begin;
        source.seek(SeekFrom::Start(at)).map_err(failed)?;
        target.seek(SeekFrom::Start(at)).map_err(failed)?;
        while at < end {
            pace((at * 100 / length.max(1)) as u8)?;
            let want = (end - at).min(STRETCH);
            let count = std::io::copy(&mut (&source).take(want), &mut target).map_err(into)?;
            if count == 0 {
                return Err(failed(std::io::Error::from(ErrorKind::UnexpectedEof)));
            }
            at += count;
        }
    }
    Ok(())
}

/// The next stretch of data at or after `at`.
fn next_data(file: &File, at: u64, length: u64) -> std::io::Result<Option<(u64, u64)>> {
    if at >= length {
        return Ok(None);
    }
    let begin = match lseek(file, at as i64, Whence::SeekData) {
        Ok(begin) => begin as u64,
        Err(nix::errno::Errno::ENXIO) => return Ok(None),
        Err(other) => return Err(other.into()),
    };
    let end = lseek(file, begin as i64, Whence::SeekHole)? as u64;
    Ok(Some((begin, end.min(length))))
}
