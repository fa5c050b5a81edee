//! What is remembered of targets: one small file per attachment in the agent's own state directory.
//!
//! Rule: written whole (temporary name, fsync, rename) before the target exists, and left as `removed` for
//! [`TOMBSTONE_AGE`] after it is gone. Kept apart from the volumes' disk: targets live in the daemon and not there.

use super::{ExportError, Stage, TargetMark};
use crate::store::{folder, sentence};
use arame_schema::limits::TOMBSTONE_AGE;
use arame_schema::model::AttachmentId;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct Marks {
    folder: PathBuf,
}

impl Marks {
    /// Makes the folder; removes temporary names and removals that are old enough.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub fn open(folder: PathBuf) -> Result<Self, ExportError> {
        fs::create_dir_all(&folder).map_err(|e| unavailable(&folder, &e))?;
        let marks = Self { folder };
        marks.sweep()?;
        Ok(marks)
    }

    pub fn read(&self, attachment: &AttachmentId) -> Result<Option<TargetMark>, ExportError> {
        read(&self.path(attachment))
    }

    pub fn write(&self, mark: &TargetMark) -> Result<(), ExportError> {
        let path = self.path(&mark.attachment);
        let text = serde_json::to_vec(mark).map_err(|e| unavailable(&path, &e))?;
        folder::write_whole(&path, &text).map_err(|e| ExportError::Unavailable { reason: sentence(&e) })
    }

    fn sweep(&self) -> Result<(), ExportError> {
        let names = folder::names(&self.folder).map_err(|e| ExportError::Unavailable { reason: sentence(&e) })?;
        for name in names {
            let path = self.folder.join(&name);
            let removed = matches!(read(&path), Ok(Some(TargetMark { stage: Stage::Removed, .. })));
            let age = fs::metadata(&path).and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
            let old = age.is_some_and(|age| age > TOMBSTONE_AGE);
            if name.starts_with(folder::TEMPORARY) || (removed && old) {
                fs::remove_file(&path).map_err(|e| unavailable(&path, &e))?;
            }
        }
        Ok(())
    }

    fn path(&self, attachment: &AttachmentId) -> PathBuf {
        self.folder.join(attachment.as_str())
    }
}

fn read(path: &Path) -> Result<Option<TargetMark>, ExportError> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|e| unavailable(path, &e)),
        Err(none) if none.kind() == ErrorKind::NotFound => Ok(None),
        Err(other) => Err(unavailable(path, &other)),
    }
}

fn unavailable(path: &Path, cause: &dyn std::error::Error) -> ExportError {
    ExportError::Unavailable { reason: format!("{}: {cause}", path.display()) }
}
