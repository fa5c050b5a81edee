//! The little an agent keeps on disk of its own (DESIGN 3.6): the highest database epoch it has met, and one small
//! file per deleted thing with the generation of its deletion.
//!
//! Rule: a file appears whole or not at all (temporary name, fsync, rename, fsync of the folder), and it is on disk
//! before anything is answered that rests on it. Files are small and writes rare; calls block, so the runtime makes
//! them on a blocking thread. Nothing else of an agent's world belongs here.

use anyhow::Context;
use arame_schema::limits::TOMBSTONE_AGE;
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// Longest name that becomes a file's: every id is shorter (limits::ID_LENGTH_MAX); longer ones are not ours.
const THING_BYTES_MAX: usize = 128;

pub(super) struct Keeps {
    dir: PathBuf,
    inner: Mutex<Inner>,
}

struct Inner {
    epoch: u64,
    graves: HashMap<String, u64>,
}

impl Keeps {
    /// # Errors
    /// A folder that cannot be made or read, an epoch file that holds no number: guessing 0 would let a restored,
    /// older database destroy things.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        let graves = dir.join("tombstones");
        std::fs::create_dir_all(&graves).with_context(|| format!("cannot make {}", graves.display()))?;
        let path = dir.join("epoch");
        let epoch = match std::fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().with_context(|| format!("{} holds no number", path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let keeps = Self { dir: dir.to_owned(), inner: Mutex::new(Inner { epoch, graves: HashMap::new() }) };
        keeps.sweep(SystemTime::now())?;
        Ok(keeps)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    /// # Errors
    /// When it cannot be written; the number in force is then the old one.
    pub fn set_epoch(&self, epoch: u64) -> anyhow::Result<()> {
        let mut inner = self.lock();
        write_whole(&self.dir, "epoch", epoch)?;
        inner.epoch = epoch;
        Ok(())
    }

    /// Generation of the thing's deletion, if it is remembered.
    pub fn grave(&self, thing: &str) -> Option<u64> {
        self.lock().graves.get(thing).copied()
    }

    /// Remembers that `thing` was deleted at `generation`; never goes back to a lower one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn bury(&self, thing: &str, generation: u64) -> anyhow::Result<()> {
        let mut inner = self.lock();
        let generation = inner.graves.get(thing).map_or(generation, |known| generation.max(*known));
        anyhow::ensure!(is_plain(thing), "`{thing}` cannot be a file's name");
        write_whole(&self.dir.join("tombstones"), thing, generation)?;
        inner.graves.insert(thing.to_owned(), generation);
        Ok(())
    }

    /// Reads what is there and removes what is older than [`TOMBSTONE_AGE`]. The wall clock decides only how long a
    /// file is kept; a job that could still raise the dead has expired long before (its budget is minutes).
    ///
    /// # Errors
    /// An unreadable folder. A single unreadable file is told on the log and kept.
    pub fn sweep(&self, now: SystemTime) -> anyhow::Result<()> {
        let mut inner = self.lock();
        let folder = self.dir.join("tombstones");
        let mut graves = HashMap::new();
        for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let entry = entry?;
            let age = entry.metadata().and_then(|data| data.modified()).map(|made| now.duration_since(made));
            if matches!(age, Ok(Ok(age)) if age > TOMBSTONE_AGE) {
                let _ = std::fs::remove_file(entry.path());
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            match text.trim().parse() {
                Ok(generation) if is_plain(&name) => drop(graves.insert(name, generation)),
                // A temporary file of a write that was cut off.
                _ if name.starts_with('.') => drop(std::fs::remove_file(entry.path())),
                _ => tracing::error!(file = %entry.path().display(), "a tombstone cannot be read; it is kept"),
            }
        }
        inner.graves = graves;
        Ok(())
    }
}

fn is_plain(name: &str) -> bool {
    let formed = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'));
    formed && !name.is_empty() && name.len() <= THING_BYTES_MAX && !name.starts_with('.')
}

fn write_whole(dir: &Path, name: &str, number: u64) -> anyhow::Result<()> {
    let (temporary, path) = (dir.join(format!(".{name}.new")), dir.join(name));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        writeln!(file, "{number}")?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)?;
        File::open(dir)?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn epoch_and_tombstones_are_found_again_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let keeps = Keeps::open(dir.path()).unwrap();
        keeps.set_epoch(7).unwrap();
        keeps.bury("i-abc", 4).unwrap();
        keeps.bury("i-abc", 3).unwrap();
        let again = Keeps::open(dir.path()).unwrap();
        assert_eq!((again.epoch(), again.grave("i-abc"), again.grave("i-other")), (7, Some(4), None));
    }

    #[test]
    fn a_tombstone_is_swept_after_its_age_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let keeps = Keeps::open(dir.path()).unwrap();
        keeps.bury("vol-a", 1).unwrap();
        keeps.sweep(SystemTime::now() + TOMBSTONE_AGE - Duration::from_secs(60)).unwrap();
        assert_eq!(keeps.grave("vol-a"), Some(1));
        keeps.sweep(SystemTime::now() + TOMBSTONE_AGE + Duration::from_secs(60)).unwrap();
        assert_eq!(keeps.grave("vol-a"), None);
    }

    #[test]
    fn a_name_that_leaves_the_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let keeps = Keeps::open(dir.path()).unwrap();
        for name in ["../epoch", "a/b", "", ".hidden"] {
            assert!(keeps.bury(name, 1).is_err(), "{name} was accepted");
        }
    }

    #[test]
    fn an_epoch_file_without_a_number_stops_the_start() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("epoch"), "what").unwrap();
        assert!(Keeps::open(dir.path()).is_err());
    }
}
