//! An image on its way in: bytes under a temporary name, measured as they come, judged when all are there.
//!
//! Rule: nobody sees it. It becomes an image by [`super::Store::keep_image`], inside a job, or is gone when it is dropped.

use super::folder::Temporary;
use super::{StoreError, blocking, header, qcow2};
use crate::sandbox::Checker;
use arame_schema::jobs::hva::DiskFormat;
use arame_schema::model::ImageId;
use sha2::{Digest, Sha256};
use std::io::{Seek, SeekFrom, Write};

/// What is announced of an image.
#[derive(Debug, Clone)]
pub struct Announced {
    pub image: ImageId,
    pub format: DiskFormat,
    pub sha256: Option<String>,
    pub size_bytes: Option<u64>,
    /// The largest disk that may be inside.
    pub disk_bytes_max: u64,
}

/// An image that is being written.
#[derive(Debug)]
pub struct Staged {
    /// `None`: the store has no bytes (sim).
    file: Option<Temporary>,
    head: Vec<u8>,
    tail: Vec<u8>,
    sum: Sha256,
    size_bytes: u64,
}

/// An image that was found to be what was announced, and that nothing else is needed for it.
#[derive(Debug)]
pub struct Verified {
    pub file: Option<Temporary>,
    pub sha256: String,
    pub size_bytes: u64,
    pub format: DiskFormat,
}

impl Staged {
    pub fn new(file: Option<Temporary>) -> Self {
        Self { file, head: Vec::new(), tail: Vec::new(), sum: Sha256::new(), size_bytes: 0 }
    }

    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Adds a block; one of zeros becomes a hole. For a thread that may block.
    pub fn write(&mut self, block: &[u8]) -> Result<(), StoreError> {
        self.sum.update(block);
        self.size_bytes += block.len() as u64;
        let room = header::HEAD_BYTES.saturating_sub(self.head.len());
        self.head.extend(block.iter().take(room));
        self.tail.extend(&block[block.len().saturating_sub(header::TAIL_BYTES)..]);
        self.tail.drain(..self.tail.len().saturating_sub(header::TAIL_BYTES));
        let Some(temporary) = &self.file else { return Ok(()) };
        let mut file = temporary.file();
        let written = match block.iter().all(|byte| *byte == 0) {
            true => file.seek(SeekFrom::Current(block.len() as i64)).map(|_| ()),
            false => file.write_all(block),
        };
        written.map_err(StoreError::io("write", temporary.path()))
    }

    /// Judges it.
    ///
    /// # Errors
    /// It is not what was announced, or is not let in.
    pub async fn finish(self, announced: &Announced, checker: &Checker) -> Result<Verified, StoreError> {
        let image = announced.image.clone();
        let mismatch = |reason: String| StoreError::ChecksumMismatch { image: image.clone(), reason };
        let sha256 = hex::encode(self.sum.clone().finalize());
        if let Some(size) = announced.size_bytes.filter(|size| *size != self.size_bytes) {
            return Err(mismatch(format!("it has {} bytes, announced were {size}", self.size_bytes)));
        }
        if announced.sha256.as_ref().is_some_and(|known| *known != sha256) {
            return Err(mismatch(format!("its SHA-256 is {sha256}")));
        }
        let seen = header::Seen { head: &self.head, tail: &self.tail, size_bytes: self.size_bytes };
        let refused = |wrong: header::Wrong| wrong.of(&image);
        let told = header::check(announced.format, seen).map_err(refused)?;
        let too_large = |inside: u64| match inside > announced.disk_bytes_max {
            true => Err(header::Wrong::Refused(format!("the disk inside has {} MiB", inside >> 20)).of(&image)),
            false => Ok(()),
        };
        too_large(told)?;
        let size_bytes = self.size_bytes;
        let file = match self.file {
            None => None,
            Some(temporary) => {
                let temporary = blocking(move || {
                    temporary.file().set_len(size_bytes).map_err(StoreError::io("write", temporary.path()))?;
                    Ok(temporary)
                })
                .await?;
                too_large(qcow2::virtual_size(&image, announced.format, temporary.path(), checker).await?)?;
                Some(temporary)
            }
        };
        Ok(Verified { file, sha256, size_bytes, format: announced.format })
    }
}
