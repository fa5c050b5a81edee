//! What is remembered of targets: one small file per attachment in the agent's own state directory.
//!
//! Rule: written whole (temporary name, fsync, rename) before the target exists, and left as `removed` for
//! [`TOMBSTONE_AGE`] after it is gone. Kept apart from the volumes' disk: targets live in the daemon and not there.

use super::{ExportError, Stage, TargetMark};
use crate::store::{folder, sentence};
use arame_schema::limits::TOMBSTONE_AGE;
use arame_schema::model::AttachmentId;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

#[derive(Debug)]
pub struct Marks {
    folder: PathBuf,
    /// What the files say; this process alone writes them.
    known: RwLock<BTreeMap<AttachmentId, TargetMark>>,
}

impl Marks {
    /// Makes the folder, reads what is in it; removes temporary names and removals that are old enough.
    ///
    /// # Errors
    /// The folder cannot be made or a file in it cannot be read: what is not known must not look forgotten.
    pub fn open(folder: PathBuf) -> Result<Self, ExportError> {
        fs::create_dir_all(&folder).map_err(|e| unavailable(&folder, &e))?;
        let names = folder::names(&folder).map_err(|e| ExportError::Unavailable { reason: sentence(&e) })?;
        let mut known = BTreeMap::new();
        for name in names {
            let path = folder.join(&name);
            if name.starts_with(folder::TEMPORARY) {
                fs::remove_file(&path).map_err(|e| unavailable(&path, &e))?;
                continue;
            }
            let mark = read(&path)?;
            if mark.stage == Stage::Removed && is_old(&path) {
                fs::remove_file(&path).map_err(|e| unavailable(&path, &e))?;
            } else {
                known.insert(mark.attachment.clone(), mark);
            }
        }
        Ok(Self { folder, known: RwLock::new(known) })
    }

    pub fn read(&self, attachment: &AttachmentId) -> Option<TargetMark> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(attachment).cloned()
    }

    pub fn write(&self, mark: &TargetMark) -> Result<(), ExportError> {
        let path = self.folder.join(mark.attachment.as_str());
        let text = serde_json::to_vec(mark).map_err(|e| unavailable(&path, &e))?;
        folder::write_whole(&path, &text).map_err(|e| ExportError::Unavailable { reason: sentence(&e) })?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(mark.attachment.clone(), mark.clone());
        Ok(())
    }
}

fn read(path: &Path) -> Result<TargetMark, ExportError> {
    let text = fs::read(path).map_err(|e| unavailable(path, &e))?;
    serde_json::from_slice(&text).map_err(|e| unavailable(path, &e))
}

fn is_old(path: &Path) -> bool {
    let age = fs::metadata(path).and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
    age.is_some_and(|age| age > TOMBSTONE_AGE)
}

fn unavailable(path: &Path, cause: &dyn std::error::Error) -> ExportError {
    ExportError::Unavailable { reason: format!("{}: {cause}", path.display()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(attachment: &str, stage: Stage) -> TargetMark {
        TargetMark {
            installation: uuid::Uuid::from_u128(7),
            attachment: attachment.parse().unwrap(),
            epoch: 1,
            generation: 2,
            volume: "vol-a".parse().unwrap(),
            key: "a".into(),
            chap_user: "u".into(),
            stage,
        }
    }

    #[test]
    fn marks_outlive_the_process_and_old_removals_do_not() {
        let place = tempfile::tempdir().unwrap();
        let marks = Marks::open(place.path().to_owned()).unwrap();
        let (standing, fresh, old) =
            (mark("att-a", Stage::Begun), mark("att-b", Stage::Removed), mark("att-c", Stage::Removed));
        for one in [&standing, &fresh, &old] {
            marks.write(one).unwrap();
        }
        let long_ago = std::time::SystemTime::now() - 2 * TOMBSTONE_AGE;
        for name in ["att-a", "att-c"] {
            fs::File::options().write(true).open(place.path().join(name)).unwrap().set_modified(long_ago).unwrap();
        }
        let marks = Marks::open(place.path().to_owned()).unwrap();
        assert_eq!(marks.read(&standing.attachment), Some(standing));
        assert_eq!(marks.read(&fresh.attachment), Some(fresh));
        assert_eq!(marks.read(&old.attachment), None);
    }

    #[test]
    fn a_mark_that_cannot_be_read_is_not_forgotten() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("att-a"), "{").unwrap();
        assert!(Marks::open(place.path().to_owned()).is_err());
    }
}
