//! The data folder: its marker, its lock, its temporary names.
//!
//! ```text
//! data_dir/.arame-store    says "this is the disk", with its own uuid; absent = not mounted = unavailable
//!          .lock           held while an agent runs: one agent a folder
//!          volumes/<key>   snapshots/<volume key>@<key>   images/<id>   replicas/<key>   parts/<key>   */.tmp-…
//! state_dir/store          the uuid met first, on the agent's own disk
//! ```
//!
//! Rule: a folder that once was a store is never made a store again (DESIGN 3.9: an unmounted disk looks empty).
//! Since one agent owns the folder, every temporary name found at the start is left over and removed.

use super::{StoreError, label};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use uuid::Uuid;

const MARKER: &str = ".arame-store";
const LOCK: &str = ".lock";
/// Begin of every temporary name.
pub const TEMPORARY: &str = ".tmp-";

#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    /// The uuid the folder must carry.
    uuid: Uuid,
    /// Taken at the first sight of the disk, held until the process ends.
    lock: Mutex<Option<File>>,
}

impl Folder {
    /// Makes the folder where there never was one, locks it, sweeps left-over temporary files. A folder that is not
    /// there now (not mounted) is no error here: every later look answers unavailable.
    ///
    /// # Errors
    /// Another process holds the folder, or files cannot be written.
    pub fn open(root: &Path, state_dir: &Path) -> Result<Self, StoreError> {
        // Exports name volumes by their path to a daemon with another working directory.
        let root = &std::path::absolute(root).map_err(StoreError::io("find", root))?;
        let memory = state_dir.join("store");
        let known = read_uuid(&memory)?;
        let found = read_uuid(&root.join(MARKER))?;
        let uuid = match (known, found) {
            (Some(known), _) => known,
            (None, Some(found)) => found,
            (None, None) => make(root)?,
        };
        if known.is_none() {
            fs::create_dir_all(state_dir).map_err(StoreError::io("make", state_dir))?;
            write_whole(&memory, uuid.to_string().as_bytes())?;
        }
        let folder = Self { root: root.to_owned(), uuid, lock: Mutex::new(None) };
        if folder.check_disk().is_ok() {
            folder.check()?;
        }
        Ok(folder)
    }

    /// Where volumes are.
    ///
    /// # Errors
    /// Unavailable when the disk is not there, at every call: it may have been unmounted since the last.
    pub fn volumes(&self) -> Result<PathBuf, StoreError> {
        self.check()?;
        Ok(self.root.join("volumes"))
    }

    /// Where snapshots are; errors as [`Folder::volumes`].
    pub fn snapshots(&self) -> Result<PathBuf, StoreError> {
        self.check()?;
        Ok(self.root.join("snapshots"))
    }

    /// Where whole replicas of other nodes' snapshots are; errors as [`Folder::volumes`].
    pub fn replicas(&self) -> Result<PathBuf, StoreError> {
        self.check()?;
        Ok(self.root.join("replicas"))
    }

    /// Where replicas are that are still being received; errors as [`Folder::volumes`].
    pub fn parts(&self) -> Result<PathBuf, StoreError> {
        self.check()?;
        Ok(self.root.join("parts"))
    }

    /// Where images are; errors as [`Folder::volumes`].
    pub fn images(&self) -> Result<PathBuf, StoreError> {
        self.check()?;
        Ok(self.root.join("images"))
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    fn check(&self) -> Result<(), StoreError> {
        self.check_disk()?;
        let mut held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_none() {
            let lock = lock(&self.root)?;
            self.sweep()?;
            *held = Some(lock);
        }
        Ok(())
    }

    fn check_disk(&self) -> Result<(), StoreError> {
        let reason = match read_uuid(&self.root.join(MARKER)) {
            Ok(Some(found)) if found == self.uuid => return Ok(()),
            Ok(Some(found)) => format!("{} is disk {found}, not {}", self.root.display(), self.uuid),
            Ok(None) => format!("{} has no {MARKER}: the disk may not be mounted", self.root.display()),
            Err(error) => super::sentence(&error),
        };
        Err(StoreError::Unavailable { reason })
    }

    fn sweep(&self) -> Result<(), StoreError> {
        for folder in ["volumes", "snapshots", "images", "replicas", "parts"].map(|name| self.root.join(name)) {
            fs::create_dir_all(&folder).map_err(StoreError::io("make", &folder))?;
            for name in names(&folder)? {
                let path = folder.join(&name);
                let orphan = label::is_label(&name) && !path.with_extension("").exists();
                if name.starts_with(TEMPORARY) || orphan {
                    tracing::info!(path = %path.display(), "removed what an earlier process left half-made");
                    fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
                }
            }
        }
        Ok(())
    }
}

/// A new store: only where nothing is yet, so that a mount point without its disk is not taken for one.
fn make(root: &Path) -> Result<Uuid, StoreError> {
    let uuid = Uuid::new_v4();
    if root.join(MARKER).exists() {
        // Made by hand (`touch`): take it, and give it a name of its own.
        write_whole(&root.join(MARKER), uuid.to_string().as_bytes())?;
        return Ok(uuid);
    }
    if root.exists() && !names(root)?.is_empty() {
        let reason = format!("{} is neither empty nor a store of ours", root.display());
        return Err(StoreError::Unavailable { reason });
    }
    fs::create_dir_all(root).map_err(StoreError::io("make", root))?;
    write_whole(&root.join(MARKER), uuid.to_string().as_bytes())?;
    Ok(uuid)
}

fn lock(root: &Path) -> Result<File, StoreError> {
    let path = root.join(LOCK);
    let file = File::create(&path).map_err(StoreError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => Err(StoreError::Unavailable { reason: format!("another agent holds {}", path.display()) }),
    }
}

/// `None`: no file, or an empty one.
pub fn read_uuid(path: &Path) -> Result<Option<Uuid>, StoreError> {
    match fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => Uuid::parse_str(text.trim())
            .map(Some)
            .map_err(|_| StoreError::Unavailable { reason: format!("{} does not hold a uuid", path.display()) }),
        Err(none) if matches!(none.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(other) => Err(StoreError::io("read", path)(other)),
    }
}

/// Entries of a folder, unsorted.
pub fn names(folder: &Path) -> Result<Vec<String>, StoreError> {
    let entries = fs::read_dir(folder).map_err(StoreError::io("list", folder))?;
    entries
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, _>>()
        .map_err(StoreError::io("list", folder))
}

/// Temporary name, fsync, rename, fsync of the folder.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let temporary = Temporary::beside(path)?;
    let mut file = temporary.file();
    file.write_all(bytes).map_err(StoreError::io("write", path))?;
    temporary.keep_as(path)
}

/// Makes renames and removals in `folder` last.
pub fn sync(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(StoreError::io("sync", folder))
}

/// A file under a temporary name; removed unless it is kept.
#[derive(Debug)]
pub struct Temporary {
    path: PathBuf,
    file: File,
    kept: bool,
}

impl Temporary {
    pub fn beside(target: &Path) -> Result<Self, StoreError> {
        Self::beside_as(target, TEMPORARY)
    }

    /// As `beside`, with a begin of its name that tells whose it is.
    pub fn beside_as(target: &Path, begin: &str) -> Result<Self, StoreError> {
        let path = target.with_file_name(format!("{begin}{}", Uuid::new_v4().simple()));
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            // Tenants' data: for nobody but the agent and the export daemon.
            .mode(0o600)
            .open(&path)
            .map_err(StoreError::io("create", &path))?;
        Ok(Self { path, file, kept: false })
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its name, with everything written to it.
    pub fn keep_as(mut self, target: &Path) -> Result<(), StoreError> {
        self.file.sync_all().map_err(StoreError::io("sync", &self.path))?;
        fs::rename(&self.path, target).map_err(StoreError::io("rename", target))?;
        self.kept = true;
        match target.parent() {
            Some(folder) => sync(folder),
            None => Ok(()),
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unmounted_disk_is_unavailable_and_is_not_made_a_store_again() {
        let place = tempfile::tempdir().unwrap();
        let (root, state) = (place.path().join("data"), place.path().join("state"));
        drop(Folder::open(&root, &state).unwrap());
        let mounted = Folder::open(&root, &state).unwrap();
        assert!(mounted.volumes().is_ok(), "control: a mounted disk is available");

        fs::rename(&root, place.path().join("elsewhere")).unwrap();
        fs::create_dir(&root).unwrap();
        assert!(matches!(mounted.volumes(), Err(StoreError::Unavailable { .. })));
        let restarted = Folder::open(&root, &state).unwrap();
        assert!(matches!(restarted.volumes(), Err(StoreError::Unavailable { .. })));
        assert!(names(&root).unwrap().is_empty(), "nothing was written onto the mount point");
    }

    #[test]
    fn another_disk_at_the_same_place_is_unavailable() {
        let place = tempfile::tempdir().unwrap();
        let (root, state) = (place.path().join("data"), place.path().join("state"));
        drop(Folder::open(&root, &state).unwrap());
        fs::write(root.join(MARKER), Uuid::new_v4().to_string()).unwrap();
        let folder = Folder::open(&root, &state).unwrap();
        assert!(folder.volumes().unwrap_err().to_string().contains("is disk"));
    }

    #[test]
    fn a_folder_with_other_things_in_it_is_not_taken() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("data");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("photo"), "x").unwrap();
        assert!(Folder::open(&root, &place.path().join("state")).is_err());
    }

    #[test]
    fn a_second_agent_on_one_folder_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let (root, state) = (place.path().join("data"), place.path().join("state"));
        let first = Folder::open(&root, &state).unwrap();
        assert!(Folder::open(&root, &state).is_err());
        drop(first);
        assert!(Folder::open(&root, &state).is_ok(), "control: alone it is accepted");
    }

    #[test]
    fn the_start_sweeps_what_was_left_half_made() {
        let place = tempfile::tempdir().unwrap();
        let (root, state) = (place.path().join("data"), place.path().join("state"));
        drop(Folder::open(&root, &state).unwrap());
        for name in ["volumes/.tmp-1", "volumes/gone.mark", "volumes/kept", "volumes/kept.mark", "images/.tmp-2"] {
            fs::write(root.join(name), "x").unwrap();
        }
        drop(Folder::open(&root, &state).unwrap());
        let mut left = names(&root.join("volumes")).unwrap();
        left.sort();
        assert_eq!(left, ["kept", "kept.mark"]);
        assert!(names(&root.join("images")).unwrap().is_empty());
    }
}
