//! Backup storages that are folders: of a disk of this node, or of a file system that is mounted from elsewhere.
//!
//! ```text
//! path/.arame-backups      says "this is the place"; absent = not mounted = unavailable
//!      <object id>         zstd of the volume's bytes, labelled; .tmp-<node>-… while it is written
//! state_dir/backups/<id>   the uuid met first, of a folder that the agent made itself
//! ```
//!
//! Rule: a folder that once was a place is never made one again, and one that is mounted is made by no agent: an unmounted
//! disk looks empty. Other nodes may write beside this one: of temporary names only those of this node are swept.

use super::pack::pack;
use super::{Backups, Begun, NewObject, Object, Packed, Written, unknown};
use crate::config::BackupConfig;
use crate::faults::Faults;
use crate::mark::Mark;
use crate::store::file::room_of;
use crate::store::folder::{self, TEMPORARY, Temporary};
use crate::store::label::{self, BackupLabel, Label};
use crate::store::{StoreError, blocking, images};
use arame_schema::jobs::sta::Origin;
use arame_schema::model::{BackupObjectId, BackupStorageId};
use async_trait::async_trait;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

const MARKER: &str = ".arame-backups";
/// Between two looks at the room that is left.
const LOOK_BYTES: u64 = 16 << 20;

#[derive(Debug)]
struct Place {
    storage: BackupStorageId,
    root: PathBuf,
    /// The uuid the folder must carry; `None` where it is mounted from elsewhere: any marker will do.
    uuid: Option<Uuid>,
    keep_free: u64,
}

/// The folders of a node.
pub struct Places {
    places: Vec<Arc<Place>>,
    /// Begin of this node's temporary names.
    temporary: String,
    faults: Arc<Faults>,
}

impl Places {
    /// Makes what is to be made, once, and sweeps what a former process left half written.
    ///
    /// # Errors
    /// The agent's own state cannot be written. A place that is not there now is no error here.
    pub fn open(
        wanted: &[BackupConfig],
        node: &str,
        state_dir: &Path,
        faults: Arc<Faults>,
    ) -> Result<Self, StoreError> {
        let places = wanted.iter().map(|one| Place::open(one, state_dir).map(Arc::new)).collect::<Result<_, _>>()?;
        let places = Self { places, temporary: format!("{TEMPORARY}{node}-"), faults };
        for place in &places.places {
            if place.check().is_ok() {
                places.sweep(place)?;
            }
        }
        Ok(places)
    }

    fn sweep(&self, place: &Place) -> Result<(), StoreError> {
        for name in folder::names(&place.root)? {
            if name.starts_with(&self.temporary) {
                let path = place.root.join(&name);
                fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
            }
        }
        Ok(())
    }

    fn place(&self, storage: &BackupStorageId) -> Result<Arc<Place>, StoreError> {
        self.places.iter().find(|place| place.storage == *storage).cloned().ok_or_else(|| unknown(storage))
    }
}

impl Place {
    fn open(wanted: &BackupConfig, state_dir: &Path) -> Result<Self, StoreError> {
        let root = std::path::absolute(&wanted.path).map_err(StoreError::io("find", &wanted.path))?;
        let place = |uuid| Self {
            storage: wanted.storage.clone(),
            root: root.clone(),
            uuid,
            keep_free: wanted.keep_free_mib << 20,
        };
        if wanted.mounted {
            return Ok(place(None));
        }
        let memories = state_dir.join("backups");
        let memory = memories.join(wanted.storage.as_str());
        let known = folder::read_uuid(&memory)?;
        let uuid = match (known, folder::read_uuid(&root.join(MARKER))?) {
            (Some(known), _) => known,
            (None, Some(found)) => found,
            (None, None) => make(&root)?,
        };
        if known.is_none() {
            fs::create_dir_all(&memories).map_err(StoreError::io("make", &memories))?;
            folder::write_whole(&memory, uuid.to_string().as_bytes())?;
        }
        Ok(place(Some(uuid)))
    }

    /// The folder, if it is the one.
    fn check(&self) -> Result<&Path, StoreError> {
        let marker = self.root.join(MARKER);
        let reason = match self.uuid {
            None if marker.is_file() => return Ok(&self.root),
            None => format!("{} has no {MARKER}: it may not be mounted", self.root.display()),
            Some(known) => match folder::read_uuid(&marker) {
                Ok(Some(found)) if found == known => return Ok(&self.root),
                Ok(Some(found)) => format!("{} is place {found}, not {known}", self.root.display()),
                Ok(None) => format!("{} has no {MARKER}: the disk may not be mounted", self.root.display()),
                Err(error) => crate::store::sentence(&error),
            },
        };
        Err(StoreError::BackupsUnavailable { storage: self.storage.clone(), reason })
    }

    /// Stops before the disk is full: others may need it to go on.
    fn check_room(&self) -> Result<(), StoreError> {
        let free = room_of(&self.root, None)?.free_bytes;
        match free < self.keep_free {
            true => Err(StoreError::BackupsFull { storage: self.storage.clone(), free, kept: self.keep_free }),
            false => Ok(()),
        }
    }

    fn full(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::DiskFull { .. } => {
                StoreError::BackupsFull { storage: self.storage.clone(), free: 0, kept: self.keep_free }
            }
            other => other,
        }
    }

    fn look(&self, name: &str) -> Result<Option<Object>, StoreError> {
        let path = self.check()?.join(name);
        let meta = match fs::symlink_metadata(&path) {
            Ok(meta) => meta,
            Err(none) if none.kind() == ErrorKind::NotFound => return Ok(None),
            Err(other) => return Err(StoreError::io("look at", &path)(other)),
        };
        let label = if meta.is_file() { label::read(&path)? } else { None };
        let (mark, backup) = label.map_or((None, None), |label| (Some(label.mark), label.backup));
        let measured = backup.unwrap_or(BackupLabel {
            sha256: String::new(),
            size_bytes: 0,
            reader: String::new(),
            origin: Origin::default(),
        });
        Ok(Some(Object {
            storage: self.storage.clone(),
            name: name.to_owned(),
            // Without what was measured it cannot be ours: both are written at once.
            mark: mark.filter(|_| !measured.sha256.is_empty()),
            sha256: measured.sha256,
            size_bytes: measured.size_bytes,
            stored_bytes: meta.len(),
            reader: measured.reader,
            origin: measured.origin,
        }))
    }
}

/// A new place: only where nothing is yet, so that a mount point without its disk is not taken for one.
fn make(root: &Path) -> Result<Uuid, StoreError> {
    let uuid = Uuid::new_v4();
    if !root.join(MARKER).exists() && root.exists() && !folder::names(root)?.is_empty() {
        let reason = format!("{} is neither empty nor a place for backups", root.display());
        return Err(StoreError::Unavailable { reason });
    }
    fs::create_dir_all(root).map_err(StoreError::io("make", root))?;
    folder::write_whole(&root.join(MARKER), uuid.to_string().as_bytes())?;
    Ok(uuid)
}

/// An object's file while it is packed.
pub struct Packing {
    place: Arc<Place>,
    temporary: Temporary,
    stored_bytes: u64,
    unlooked: u64,
    faults: Arc<Faults>,
}

impl Packing {
    pub fn write(&mut self, block: &[u8]) -> Result<(), StoreError> {
        self.unlooked += block.len() as u64;
        if self.unlooked >= LOOK_BYTES {
            self.unlooked = 0;
            self.place.check_room()?;
            self.faults.hit_blocking("write_backup:halfway")?;
        }
        let packed = pack(block);
        self.stored_bytes += packed.len() as u64;
        let written = self.temporary.file().write_all(&packed);
        written.map_err(StoreError::io("write", self.temporary.path())).map_err(|error| self.place.full(error))
    }

    /// The packed file, and how much it has.
    pub fn finish(self) -> (Temporary, u64) {
        (self.temporary, self.stored_bytes)
    }
}

#[async_trait]
impl Backups for Places {
    fn storages(&self) -> Vec<BackupStorageId> {
        self.places.iter().map(|place| place.storage.clone()).collect()
    }

    async fn find(&self, storage: &BackupStorageId, object: &BackupObjectId) -> Result<Option<Object>, StoreError> {
        let (place, name) = (self.place(storage)?, object.as_str().to_owned());
        blocking(move || place.look(&name)).await
    }

    async fn list(&self, storage: &BackupStorageId) -> Result<Vec<Object>, StoreError> {
        let place = self.place(storage)?;
        blocking(move || {
            let names = folder::names(place.check()?)?;
            let things = names.iter().filter(|name| !name.starts_with('.') && !label::is_label(name));
            things.filter_map(|name| place.look(name).transpose()).collect()
        })
        .await
    }

    async fn begin(&self, storage: &BackupStorageId, object: &BackupObjectId) -> Result<Begun, StoreError> {
        let (place, object, faults) = (self.place(storage)?, object.clone(), self.faults.clone());
        let begin = self.temporary.clone();
        blocking(move || {
            faults.hit_blocking("write_backup:before")?;
            let target = place.check()?.join(object.as_str());
            place.check_room()?;
            let temporary = Temporary::beside_as(&target, &begin)?;
            Ok(Begun::packed(Packing { place, temporary, stored_bytes: 0, unlooked: 0, faults }))
        })
        .await
    }

    async fn keep(&self, new: &NewObject, written: Written) -> Result<(), StoreError> {
        let (place, new, faults) = (self.place(&new.storage)?, new.clone(), self.faults.clone());
        blocking(move || {
            let target = place.check()?.join(new.object.as_str());
            let Some(temporary) = written.file else {
                return Err(StoreError::Unavailable { reason: "the backup was written in another place".into() });
            };
            let (sha256, size_bytes) = (written.sha256, new.size_bytes);
            let measured = BackupLabel { sha256, size_bytes, reader: new.reader, origin: new.origin };
            label::write(temporary.file(), &target, &Label { backup: Some(measured), ..Label::of(new.mark) })?;
            faults.hit_blocking("write_backup:marked")?;
            temporary.keep_as(&target).map_err(|error| place.full(error))?;
            Ok(faults.hit_blocking("write_backup:after")?)
        })
        .await
    }

    async fn mark(&self, storage: &BackupStorageId, object: &BackupObjectId, mark: &Mark) -> Result<(), StoreError> {
        let (place, object, mark) = (self.place(storage)?, object.clone(), mark.clone());
        blocking(move || {
            let path = place.check()?.join(object.as_str());
            let backup = label::read(&path)?.and_then(|label| label.backup);
            let file = File::options().write(true).open(&path).map_err(StoreError::io("open", &path))?;
            label::write(&file, &path, &Label { backup, ..Label::of(mark) })?;
            file.sync_all().map_err(StoreError::io("sync", &path))
        })
        .await
    }

    async fn delete(&self, storage: &BackupStorageId, object: &BackupObjectId) -> Result<(), StoreError> {
        let (place, object, faults) = (self.place(storage)?, object.clone(), self.faults.clone());
        blocking(move || {
            faults.hit_blocking("delete_backup:before")?;
            images::remove(&place.check()?.join(object.as_str()))?;
            Ok(faults.hit_blocking("delete_backup:after")?)
        })
        .await
    }

    async fn open(&self, storage: &BackupStorageId, object: &BackupObjectId) -> Result<Option<Packed>, StoreError> {
        let (place, object) = (self.place(storage)?, object.clone());
        blocking(move || {
            let path = place.check()?.join(object.as_str());
            match File::open(&path) {
                Ok(file) => {
                    let stored_bytes = file.metadata().map_err(StoreError::io("look at", &path))?.len();
                    Ok(Some(Packed::File { file, stored_bytes }))
                }
                Err(none) if none.kind() == ErrorKind::NotFound => Ok(None),
                Err(other) => Err(StoreError::io("open", &path)(other)),
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(root: &Path, mounted: bool) -> BackupConfig {
        let storage = "bkst-a".parse().unwrap();
        BackupConfig { storage, path: root.to_owned(), mounted, keep_free_mib: 0 }
    }

    fn open(root: &Path, state: &Path, mounted: bool) -> Places {
        Places::open(&[wanted(root, mounted)], "sn-s1", state, Arc::new(Faults::default())).unwrap()
    }

    #[tokio::test]
    async fn a_place_that_is_not_mounted_is_unavailable_and_never_empty() {
        let folder = tempfile::tempdir().unwrap();
        let (root, state, id) = (folder.path().join("nfs"), folder.path().join("state"), "bkst-a".parse().unwrap());
        fs::create_dir(&root).unwrap();
        let places = open(&root, &state, true);
        assert!(matches!(places.list(&id).await, Err(StoreError::BackupsUnavailable { .. })));
        assert!(folder::names(&root).unwrap().is_empty(), "nothing was written onto the mount point");
        fs::write(root.join(MARKER), "").unwrap();
        assert!(places.list(&id).await.unwrap().is_empty(), "control: a mounted place is empty");
    }

    #[tokio::test]
    async fn a_folder_of_ones_own_is_made_once_and_not_again() {
        let folder = tempfile::tempdir().unwrap();
        let (root, state, id) = (folder.path().join("local"), folder.path().join("state"), "bkst-a".parse().unwrap());
        assert!(open(&root, &state, false).list(&id).await.unwrap().is_empty(), "control");
        fs::rename(&root, folder.path().join("gone")).unwrap();
        fs::create_dir(&root).unwrap();
        let places = open(&root, &state, false);
        assert!(matches!(places.list(&id).await, Err(StoreError::BackupsUnavailable { .. })));
        assert!(folder::names(&root).unwrap().is_empty());
    }

    #[tokio::test]
    async fn the_start_sweeps_what_this_node_left_and_not_what_another_writes() {
        let folder = tempfile::tempdir().unwrap();
        let (root, state, id) = (folder.path().join("nfs"), folder.path().join("state"), "bkst-a".parse().unwrap());
        fs::create_dir(&root).unwrap();
        for name in [MARKER, ".tmp-sn-s1-1", ".tmp-sn-s2-1", "photo"] {
            fs::write(root.join(name), "").unwrap();
        }
        let places = open(&root, &state, true);
        let mut left = folder::names(&root).unwrap();
        left.sort();
        assert_eq!(left, [MARKER, ".tmp-sn-s2-1", "photo"]);
        let listed = places.list(&id).await.unwrap();
        assert!(listed.len() == 1 && listed[0].mark.is_none(), "a file of somebody else is listed as such");
    }

    #[tokio::test]
    async fn a_place_with_too_little_room_is_refused_before_it_is_full() {
        let folder = tempfile::tempdir().unwrap();
        let (root, state) = (folder.path().join("local"), folder.path().join("state"));
        let (id, object) = ("bkst-a".parse().unwrap(), "bo-a".parse().unwrap());
        let full = BackupConfig { keep_free_mib: 1 << 40, ..wanted(&root, false) };
        let places = Places::open(&[full], "sn-s1", &state, Arc::new(Faults::default())).unwrap();
        assert!(matches!(places.begin(&id, &object).await, Err(StoreError::BackupsFull { .. })));
        assert!(open(&root, &state, false).begin(&id, &object).await.is_ok(), "control");
        assert_eq!(folder::names(&root).unwrap(), [MARKER], "nothing is left");
    }
}
