//! A volume on its way in from a backup: bytes in a place that nobody sees.
//!
//! Rule: it becomes a volume by [`super::Store::keep_volume`], inside a job, or is gone when it is dropped. (A staged zvol
//! is removed by the next job of its key: what is dropped cannot run commands.) It does not judge what it is given.

use super::StoreError;
use super::folder::Temporary;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A stretch of zeros of this length becomes a hole.
const HOLE_BYTES: usize = 64 * 1024;

#[derive(Debug)]
enum Place {
    File(Temporary),
    Device(PathBuf, File),
    /// A simulated store keeps words.
    Memory(Vec<u8>),
}

#[derive(Debug)]
pub struct StagedVolume(Place);

impl StagedVolume {
    pub fn in_file(temporary: Temporary) -> Self {
        Self(Place::File(temporary))
    }

    pub fn in_memory() -> Self {
        Self(Place::Memory(Vec::new()))
    }

    /// # Errors
    /// The device cannot be opened.
    pub fn on_device(device: &Path) -> Result<Self, StoreError> {
        let file = File::options().write(true).open(device).map_err(StoreError::io("open", device))?;
        Ok(Self(Place::Device(device.to_owned(), file)))
    }

    /// Adds a block; zeros become holes: a new volume is all zeros. For a thread that may block.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, block: &[u8]) -> Result<(), StoreError> {
        let (mut file, path) = match &mut self.0 {
            Place::Memory(content) => {
                content.extend_from_slice(block);
                return Ok(());
            }
            Place::File(temporary) => (temporary.file(), temporary.path()),
            Place::Device(path, file) => (&*file, path.as_path()),
        };
        for piece in block.chunks(HOLE_BYTES) {
            let written = match piece.iter().all(|byte| *byte == 0) {
                true => file.seek(SeekFrom::Current(piece.len() as i64)).map(|_| ()),
                false => file.write_all(piece),
            };
            written.map_err(StoreError::io("write", path))?;
        }
        Ok(())
    }

    /// # Errors
    /// It was staged in another store.
    pub fn into_file(self) -> Result<Temporary, StoreError> {
        match self.0 {
            Place::File(temporary) => Ok(temporary),
            Place::Device(..) | Place::Memory(_) => Err(elsewhere()),
        }
    }

    /// Everything written lasts, and the device is free.
    ///
    /// # Errors
    /// It cannot be synced, or was staged in another store.
    pub fn close_device(self) -> Result<(), StoreError> {
        match self.0 {
            Place::Device(path, file) => file.sync_all().map_err(StoreError::io("sync", &path)),
            Place::File(_) | Place::Memory(_) => Err(elsewhere()),
        }
    }

    pub fn into_text(self) -> String {
        match self.0 {
            Place::Memory(content) => String::from_utf8_lossy(&content).into_owned(),
            Place::File(_) | Place::Device(..) => String::new(),
        }
    }
}

fn elsewhere() -> StoreError {
    StoreError::Unavailable { reason: "the volume was staged in another store".into() }
}
