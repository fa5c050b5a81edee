//! The store on this host's disk.
//!
//! ```text
//! data_dir/images/<sha256>            verified images, read only
//!          instances/<id>/record.json the mark; first in, last out
//!                         disk.qcow2  seed.img  console.log
//!          graves/<id>                generation it was deleted with; kept a day
//!          policy.json
//! ```
//!
//! Rule: every file appears whole (temporary name, fsync, rename). Ids are letters, digits, `_` and `-` by their
//! type, so they are safe as names.

use crate::driver::images::{self, Images};
use crate::driver::{DriverError, Store};
use crate::policy::Policy;
use crate::records::Record;
use crate::seed;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::hva::BootDisk;
use arame_schema::jobs::report::Retry;
use arame_schema::limits::TOMBSTONE_AGE;
use arame_schema::model::InstanceId;
use async_trait::async_trait;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const RECORD: &str = "record.json";
const DISK: &str = "disk.qcow2";
/// Code of a file that was written by something else than this program.
const DAMAGED: &str = "record_damaged";
const SEED: &str = "seed.img";
const CONSOLE: &str = "console.log";

pub struct Files {
    dir: PathBuf,
    images: Images,
    vendor_data: Option<Arc<str>>,
}

fn io(what: &str, path: &Path, source: &std::io::Error) -> DriverError {
    let (code, retry) = match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ("disk_full", Retry::Elsewhere),
        _ => ("host_disk_error", Retry::Later),
    };
    DriverError::new(code, format!("{what} {}: {source}", path.display()), retry)
}

impl Files {
    /// Makes the folders and forgets graves older than a day. `vendor_data` goes to every guest.
    pub fn open(dir: &Path, vendor_data: Option<Arc<str>>) -> Result<Self, DriverError> {
        for part in ["instances", "graves"] {
            let path = dir.join(part);
            std::fs::create_dir_all(&path).map_err(|e| io("cannot make", &path, &e))?;
        }
        let files = Self { dir: dir.to_owned(), images: Images::open(dir.join("images"))?, vendor_data };
        files.forget_old_graves();
        files.finish_burials();
        Ok(files)
    }

    /// The policy the host had last; version 0 when it never had one.
    pub fn policy(&self) -> Result<Policy, DriverError> {
        let path = self.dir.join("policy.json");
        match std::fs::read(&path) {
            // Version 0 lets nothing pass, and the next inventory brings the policy again.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::error!(%error, path = %path.display(), "the host's policy is damaged; nothing passes");
                Policy::default()
            })),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Policy::default()),
            Err(e) => Err(io("cannot read", &path, &e)),
        }
    }

    fn home(&self, instance: &InstanceId) -> PathBuf {
        self.dir.join("instances").join(instance.as_str())
    }

    fn grave_path(&self, instance: &InstanceId) -> PathBuf {
        self.dir.join("graves").join(instance.as_str())
    }

    fn forget_old_graves(&self) {
        for entry in std::fs::read_dir(self.dir.join("graves")).into_iter().flatten().flatten() {
            let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
            if age.is_some_and(|age| age > TOMBSTONE_AGE) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// Folders a killed process had already taken out of the way.
    fn finish_burials(&self) {
        for entry in std::fs::read_dir(self.dir.join("instances")).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(".gone-") {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// Blocking file work on a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DriverError> + Send + 'static,
) -> Result<T, DriverError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| Err(DriverError::new("host_disk_error", e.to_string(), Retry::Later)))
}

/// The file is there whole, and stays after a power cut.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), DriverError> {
    let part = path.with_extension("part");
    let write = || {
        let mut file = std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&part, path)
    };
    write().map_err(|e| {
        let _ = std::fs::remove_file(&part);
        io("cannot write", path, &e)
    })
}

fn read_record(home: &Path) -> Result<Option<Record>, DriverError> {
    let path = home.join(RECORD);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| DriverError::new(DAMAGED, format!("{} is damaged: {e}", path.display()), Retry::Later)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io("cannot read", &path, &e)),
    }
}

#[async_trait]
impl Store for Files {
    async fn read(&self, instance: &InstanceId) -> Result<Option<Record>, DriverError> {
        let home = self.home(instance);
        blocking(move || match read_record(&home) {
            // A damaged record must not keep its instance from being applied again or deleted.
            Err(error) if error.code == DAMAGED => {
                tracing::warn!(%error, "a record is not readable");
                Ok(None)
            }
            other => other,
        })
        .await
    }

    async fn write(&self, record: &Record) -> Result<(), DriverError> {
        let home = self.home(&record.instance);
        let bytes = serde_json::to_vec(record).unwrap_or_default();
        blocking(move || {
            // An empty folder of a killed process is no instance: `list` looks for records.
            std::fs::create_dir_all(&home).map_err(|e| io("cannot make", &home, &e))?;
            write_whole(&home.join(RECORD), &bytes)
        })
        .await
    }

    async fn list(&self) -> Result<Vec<Record>, DriverError> {
        let dir = self.dir.join("instances");
        blocking(move || {
            let mut found = Vec::new();
            for entry in std::fs::read_dir(&dir).map_err(|e| io("cannot list", &dir, &e))?.flatten() {
                if !entry.file_name().to_string_lossy().starts_with('.') {
                    found.extend(read_record(&entry.path())?);
                }
            }
            Ok(found)
        })
        .await
    }

    async fn ensure_disk(&self, instance: &InstanceId, boot: &BootDisk, work: &Work) -> Result<(), Stopped> {
        let image = self.images.ensure(boot, work).await?;
        work.check()?;
        if !self.has_disk(instance).await? {
            images::make_overlay(&image, &self.disk_path(instance), boot.disk_size_bytes).await?;
        }
        Ok(())
    }

    async fn has_disk(&self, instance: &InstanceId) -> Result<bool, DriverError> {
        let path = self.disk_path(instance);
        tokio::fs::try_exists(&path).await.map_err(|e| io("cannot look for", &path, &e))
    }

    async fn ensure_seed(&self, record: &Record) -> Result<(), DriverError> {
        let path = self.seed_path(&record.instance);
        let (record, vendor_data) = (record.clone(), self.vendor_data.clone());
        blocking(move || {
            let image = seed::image(&record, vendor_data.as_deref()).map_err(|e| io("cannot make", &path, &e))?;
            match std::fs::read(&path) {
                Ok(found) if found == image => Ok(()),
                _ => write_whole(&path, &image),
            }
        })
        .await
    }

    async fn discard_disk(&self, instance: &InstanceId) -> Result<(), DriverError> {
        let path = self.disk_path(instance);
        match tokio::fs::remove_file(&path).await {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(io("cannot remove", &path, &e)),
            _ => Ok(()),
        }
    }

    async fn bury(&self, instance: &InstanceId, generation: u64) -> Result<(), DriverError> {
        let (home, grave) = (self.home(instance), self.grave_path(instance));
        let gone = self.dir.join("instances").join(format!(".gone-{instance}"));
        blocking(move || {
            write_whole(&grave, generation.to_string().as_bytes())?;
            match std::fs::rename(&home, &gone) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(io("cannot rename", &home, &e)),
                _ => {}
            }
            match std::fs::remove_dir_all(&gone) {
                Err(e) if e.kind() != ErrorKind::NotFound => Err(io("cannot remove", &gone, &e)),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn grave(&self, instance: &InstanceId) -> Result<Option<u64>, DriverError> {
        let path = self.grave_path(instance);
        match tokio::fs::read_to_string(&path).await {
            Ok(text) => Ok(text.trim().parse().ok()),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(io("cannot read", &path, &e)),
        }
    }

    fn disk_path(&self, instance: &InstanceId) -> PathBuf {
        self.home(instance).join(DISK)
    }

    fn seed_path(&self, instance: &InstanceId) -> PathBuf {
        self.home(instance).join(SEED)
    }

    fn console_path(&self, instance: &InstanceId) -> PathBuf {
        self.home(instance).join(CONSOLE)
    }

    async fn console_tail(&self, instance: &InstanceId, bytes: usize) -> Result<String, DriverError> {
        let path = self.console_path(instance);
        blocking(move || {
            let read = || -> std::io::Result<String> {
                let mut file = std::fs::File::open(&path)?;
                let length = file.metadata()?.len();
                file.seek(SeekFrom::Start(length.saturating_sub(bytes as u64)))?;
                let mut tail = Vec::with_capacity(bytes.min(length as usize));
                file.take(bytes as u64).read_to_end(&mut tail)?;
                Ok(String::from_utf8_lossy(&tail).into_owned())
            };
            match read() {
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(String::new()),
                other => other.map_err(|e| io("cannot read", &path, &e)),
            }
        })
        .await
    }

    async fn keep_policy(&self, policy: &Policy) -> Result<(), DriverError> {
        let path = self.dir.join("policy.json");
        let bytes = serde_json::to_vec(policy).unwrap_or_default();
        blocking(move || write_whole(&path, &bytes)).await
    }
}
