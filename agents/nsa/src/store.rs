//! Snapshots on disk, one file a network with the changes since it beside it, and tombstones of deleted networks.
//!
//! Rule: a file is either the old snapshot or the new one, never half: written beside, synced, renamed, directory
//! synced. A change is a line that is synced before it is served, and half a line is none. What was begun to be written may be on disk although its writing failed: an older one is not written
//! over it. A tombstone outlives its network by [`TOMBSTONE_AGE`], so that a frozen job cannot raise the dead.

mod changes;

use crate::snapshot::Served;
use arame_schema::jobs::nsa::{ChangeNetwork, NetworkSnapshot};
use arame_schema::limits::TOMBSTONE_AGE;
use arame_schema::model::NetworkId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use uuid::Uuid;

const FORM: u16 = 1;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{verb} {path}")]
    Io {
        verb: &'static str,
        path: String,
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    /// Whether the disk has no room: another nsa's may.
    pub fn is_full(&self) -> bool {
        let StoreError::Io { source, .. } = self;
        matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// What a file of `data_dir` holds.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    form: u16,
    installation: Uuid,
    version: u64,
    /// Epoch of the database that gave the version; 0 in files of before.
    #[serde(default)]
    history: u64,
    snapshot: NetworkSnapshot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    pub installation: Uuid,
    pub generation: u64,
}

/// A snapshot found at start.
#[derive(Debug)]
pub struct Loaded {
    pub installation: Uuid,
    pub served: Served,
}

#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
    /// The newest version of each network whose writing began: it may be on disk, served or not.
    newest: Arc<Mutex<BTreeMap<NetworkId, u64>>>,
    changes: changes::Sizes,
}

impl Store {
    /// Makes the folders if they are missing.
    ///
    /// # Errors
    /// They cannot be made.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let store = Self { dir: dir.to_owned(), newest: Arc::default(), changes: changes::Sizes::default() };
        let deleted = store.dir.join("deleted");
        fs::create_dir_all(&deleted).map_err(|e| failed("making", &deleted, e))?;
        Ok(store)
    }

    fn path(&self, network: &NetworkId) -> PathBuf {
        self.dir.join(format!("{network}.json"))
    }

    fn tombstone_path(&self, network: &NetworkId) -> PathBuf {
        self.dir.join("deleted").join(format!("{network}.json"))
    }

    /// On disk when it returns.
    ///
    /// # Errors
    /// The disk is full or broken; the old snapshot is still there.
    pub fn write(&self, installation: Uuid, served: &Served) -> Result<(), StoreError> {
        let network = &served.head.network;
        self.remember(network, served.version);
        let (version, history) = (served.version, served.history);
        let stored = Stored { form: FORM, installation, version, history, snapshot: served.to_snapshot() };
        write_whole(&self.path(network), &stored)?;
        // What is left of older changes is not newer than the whole, and is passed over.
        self.changes.begin(&self.changes_path(network), &self.path(network))
    }

    /// The same for a version that came as a change: of a big network only that is written, now and then the whole.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn write_change(&self, installation: Uuid, served: &Served, change: &ChangeNetwork) -> Result<(), StoreError> {
        let network = &served.head.network;
        self.remember(network, served.version);
        if self.changes.append(&self.changes_path(network), served, change)? {
            return Ok(());
        }
        self.write(installation, served)
    }

    fn changes_path(&self, network: &NetworkId) -> PathBuf {
        self.dir.join(format!("{network}.changes"))
    }

    /// The newest version that may be on disk; 0 when there was none.
    pub fn newest(&self, network: &NetworkId) -> u64 {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).get(network).copied().unwrap_or(0)
    }

    fn remember(&self, network: &NetworkId, version: u64) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let known = newest.entry(network.clone()).or_default();
        *known = version.max(*known);
    }

    /// # Errors
    /// The disk refuses.
    pub fn remove(&self, network: &NetworkId) -> Result<(), StoreError> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).remove(network);
        remove_if_there(&self.path(network))?;
        self.changes.forget(&self.changes_path(network))
    }

    /// # Errors
    /// The disk refuses.
    pub fn bury(&self, network: &NetworkId, tombstone: Tombstone) -> Result<(), StoreError> {
        write_whole(&self.tombstone_path(network), &tombstone)
    }

    /// # Errors
    /// The disk refuses.
    pub fn unbury(&self, network: &NetworkId) -> Result<(), StoreError> {
        remove_if_there(&self.tombstone_path(network))
    }

    /// `None`: never deleted, or long ago.
    pub fn tombstone(&self, network: &NetworkId) -> Option<Tombstone> {
        let text = fs::read(self.tombstone_path(network)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Every snapshot that can be served. Leftovers of a write cut short are removed; what cannot be read is put aside
    /// and said in the log: it is then missing from the inventory, and dcmgr sends it again.
    ///
    /// # Errors
    /// The folder itself cannot be read.
    pub fn load(&self) -> Result<Vec<Loaded>, StoreError> {
        self.sweep_tombstones();
        let entries = fs::read_dir(&self.dir).map_err(|e| failed("listing", &self.dir, e))?;
        let mut loaded = Vec::new();
        for entry in entries {
            let path = entry.map_err(|e| failed("listing", &self.dir, e))?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("tmp") => remove_if_there(&path)?,
                Some("changes") if !path.with_extension("json").exists() => remove_if_there(&path)?,
                Some("json") => loaded.extend(self.load_one(&path)?),
                _ => {}
            }
        }
        loaded.sort_by(|a, b| a.served.head.network.cmp(&b.served.head.network));
        Ok(loaded)
    }

    fn load_one(&self, path: &Path) -> Result<Option<Loaded>, StoreError> {
        let stored = match read_stored(path) {
            Ok(stored) => stored,
            Err(reason) => {
                let aside = path.with_extension("unreadable");
                tracing::error!(path = %path.display(), reason, "a snapshot cannot be read; put aside");
                fs::rename(path, &aside).map_err(|e| failed("putting aside", path, e))?;
                return Ok(None);
            }
        };
        let network = stored.snapshot.network.clone();
        self.remember(&network, stored.version);
        if self.tombstone(&network).is_some_and(|grave| grave.generation >= stored.version) {
            // A delete cut short after its tombstone.
            remove_if_there(path)?;
            return Ok(None);
        }
        match Served::new(stored.snapshot, stored.version, stored.history) {
            Ok(served) => {
                let served = self.changes.replay(&self.changes_path(&network), path, served)?;
                self.remember(&network, served.version);
                Ok(Some(Loaded { installation: stored.installation, served }))
            }
            Err(error) => {
                tracing::error!(%network, %error, "a snapshot on disk cannot be served");
                Ok(None)
            }
        }
    }

    fn sweep_tombstones(&self) {
        let Ok(entries) = fs::read_dir(self.dir.join("deleted")) else { return };
        for entry in entries.flatten() {
            let modified = entry.metadata().and_then(|meta| meta.modified());
            let age = modified.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
            if age.is_some_and(|age| age > TOMBSTONE_AGE) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn read_stored(path: &Path) -> Result<Stored, String> {
    let text = fs::read(path).map_err(|e| e.to_string())?;
    let stored: Stored = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
    if stored.form == FORM { Ok(stored) } else { Err(format!("form {} is not {FORM}", stored.form)) }
}

fn failed(verb: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Io { verb, path: path.display().to_string(), source }
}

/// Old or new, never half, and on disk when it returns.
pub(crate) fn write_whole(path: &Path, value: &impl Serialize) -> Result<(), StoreError> {
    let beside = path.with_extension("tmp");
    let done = (|| {
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        file.sync_data()?;
        fs::rename(&beside, path)?;
        let dir = path.parent().unwrap_or(Path::new("."));
        File::open(dir)?.sync_all()
    })();
    done.map_err(|e| {
        // Half a file would keep the room that is missing.
        let _ = fs::remove_file(&beside);
        failed("writing", path, e)
    })
}

fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(failed("removing", path, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tests::snapshot;

    #[test]
    fn what_was_written_is_loaded_and_leftovers_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.write(Uuid::nil(), &Served::new(snapshot(), 7, 1).unwrap()).unwrap();
        fs::write(dir.path().join("nw-half.tmp"), b"{\"form\":1,").unwrap();
        fs::write(dir.path().join("nw-torn.json"), b"{\"form\":1,").unwrap();
        let loaded = store.load().unwrap();
        assert_eq!(loaded.len(), 1);
        assert_eq!((loaded[0].served.version, loaded[0].served.to_snapshot()), (7, snapshot()));
        assert!(!dir.path().join("nw-half.tmp").exists());
        assert!(dir.path().join("nw-torn.unreadable").exists());
    }

    #[test]
    fn a_snapshot_with_a_newer_tombstone_stays_dead() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.write(Uuid::nil(), &Served::new(snapshot(), 7, 1).unwrap()).unwrap();
        store.bury(&snapshot().network, Tombstone { installation: Uuid::nil(), generation: 6 }).unwrap();
        assert_eq!(store.load().unwrap().len(), 1, "the control: an older tombstone kills nothing");
        store.bury(&snapshot().network, Tombstone { installation: Uuid::nil(), generation: 8 }).unwrap();
        assert!(store.load().unwrap().is_empty());
    }
}
