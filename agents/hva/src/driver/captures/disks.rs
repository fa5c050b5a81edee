//! Copies on this host's own disk.
//!
//! ```text
//! data_dir/captures/<image>.qcow2       whole, and only with its label beside it
//!                   <image>.json        the label: mark, measure, what a reader shows; first out, last in
//!                   .part-<image>       while it is made; swept at the start
//!                   .frozen-<instance>  see `thaws`
//!                   .grave-<image>      generation it was removed with; kept a day
//! ```
//!
//! Rule: room is looked at before a byte is written. Of a guest that is off the overlay is read without a lock, so that the
//! guest may be started; a copy during which the file changed is thrown away. `qemu-img` gets no network, bounded memory,
//! no privilege and the formats by name.

use super::thaws::Thaws;
use super::{Capture, Captures, Report, Taken};
use crate::command::{CommandError, Run};
use crate::config::CapturesConfig;
use crate::driver::DriverError;
use crate::driver::libvirt::{Begun, Libvirt};
use crate::host;
use arame_schema::jobs::hva::Moment;
use arame_schema::jobs::report::Retry;
use arame_schema::limits::TOMBSTONE_AGE;
use arame_schema::model::{ImageId, InstanceId};
use async_trait::async_trait;
use nix::unistd::geteuid;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Beside a copy so much stays free: the guests' overlays grow into the same disk.
const HEADROOM_BYTES: u64 = 256 << 20;
/// A disk of a terabyte at 50 MB/s.
const CONVERT_LIMIT: Duration = Duration::from_secs(6 * 60 * 60);
/// Of address space, as for strangers' images.
const MEMORY_BYTES: u64 = 2 << 30;
/// `qemu-img info` on a local file.
const INFO_LIMIT: Duration = Duration::from_secs(30);
/// Deepest chain below a guest's overlay that is measured: ours have two files.
const CHAIN_MAX: usize = 8;

pub struct Disks {
    dir: PathBuf,
    data_dir: PathBuf,
    libvirt: Arc<Libvirt>,
    thaws: Thaws,
    config: Option<CapturesConfig>,
}

pub(super) type Told<T> = Result<T, DriverError>;

pub(super) fn io(what: &str, path: &Path, source: &std::io::Error) -> DriverError {
    let (code, retry) = match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ("capture_no_room", Retry::Later),
        _ => ("host_disk_error", Retry::Later),
    };
    DriverError::new(code, format!("{what} {}: {source}", path.display()), retry)
}

pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Told<T> + Send + 'static) -> Told<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| Err(DriverError::new("host_disk_error", e.to_string(), Retry::Later)))
}

pub(super) fn remove(path: &Path) -> Told<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(io("cannot remove", path, &e)),
        _ => Ok(()),
    }
}

/// The file is there whole, and stays after a power cut.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Told<()> {
    let part = path.with_extension("new");
    let write = || {
        let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&part)?;
        std::io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().map_err(|e| io("cannot write", path, &e))
}

/// What tells that a file was written to.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Told<Option<Self>> {
        match fs::metadata(path) {
            Ok(found) => {
                Ok(Some(Self { inode: found.ino(), bytes: found.len(), modified: (found.mtime(), found.mtime_nsec()) }))
            }
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(io("cannot look at", path, &e)),
        }
    }
}

impl Disks {
    /// Sweeps what a former process left half made, and forgets graves older than a day.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(data_dir: &Path, libvirt: Arc<Libvirt>, config: Option<CapturesConfig>) -> Told<Self> {
        let dir = data_dir.join("captures");
        fs::create_dir_all(&dir).map_err(|e| io("cannot make", &dir, &e))?;
        for entry in fs::read_dir(&dir).map_err(|e| io("cannot list", &dir, &e))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
            let old_grave = name.starts_with(".grave-") && age.is_some_and(|age| age > TOMBSTONE_AGE);
            let unlabelled =
                name.strip_suffix(".qcow2").is_some_and(|image| !dir.join(format!("{image}.json")).exists());
            if name.starts_with(".part-") || name.ends_with(".new") || old_grave || unlabelled {
                let _ = fs::remove_file(entry.path());
            }
        }
        let thaws = Thaws::new(&dir, libvirt.clone());
        Ok(Self { dir, data_dir: data_dir.to_owned(), libvirt, thaws, config })
    }

    /// Whom a former process held is to be let go of, first of all.
    pub fn thaws(&self) -> Thaws {
        self.thaws.clone()
    }

    pub fn file(dir: &Path, image: &ImageId) -> PathBuf {
        dir.join(format!("{image}.qcow2"))
    }

    fn label(dir: &Path, image: &ImageId) -> PathBuf {
        dir.join(format!("{image}.json"))
    }

    fn part(&self, image: &ImageId) -> PathBuf {
        self.dir.join(format!(".part-{image}"))
    }

    fn grave_path(&self, image: &ImageId) -> PathBuf {
        self.dir.join(format!(".grave-{image}"))
    }

    /// Bytes that the files of a disk's chain take: a flat copy is not larger, but for its own tables.
    async fn bytes_of_chain(disk: &Path) -> Told<u64> {
        let run = Run::new("qemu-img", INFO_LIMIT)
            .args(["info", "-U", "--backing-chain", "--output=json", "-f", "qcow2"])
            .arg(disk);
        let told: Vec<serde_json::Value> = serde_json::from_str(&run.output().await?).unwrap_or_default();
        let sizes = told.iter().take(CHAIN_MAX).filter_map(|one| one["actual-size"].as_u64());
        let sum: u64 = sizes.sum();
        Ok(sum + sum / 64)
    }

    async fn check_room(&self, disk: &Path) -> Told<()> {
        let needed = Self::bytes_of_chain(disk).await? + HEADROOM_BYTES;
        let free = host::free_bytes(&self.dir).unwrap_or(0);
        if free >= needed {
            return Ok(());
        }
        let message = format!("{} MiB are needed for the copy, {} are free", needed >> 20, free >> 20);
        Err(DriverError::new("capture_no_room", message, Retry::Later))
    }

    /// Begins the copy of a running guest's disk, at a moment at which it writes nothing where its agent can do that.
    async fn begin(&self, instance: &InstanceId, part: &Path) -> Told<Option<Begun>> {
        if !self.libvirt.has_guest_agent(instance).await? {
            return self.libvirt.begin_copy(instance, part, false).await;
        }
        self.thaws.note(instance).await?;
        let begun = self.libvirt.begin_copy(instance, part, true).await;
        // Also after a failure: a freeze that was given up on may still come.
        self.thaws.let_go(instance).await;
        begun
    }

    /// Of a guest that is off.
    async fn convert(&self, disk: &Path, part: &Path) -> Told<()> {
        let (file, shown) = (part.to_owned(), disk.to_owned());
        let before = blocking(move || {
            File::create(&file).map_err(|e| io("cannot make", &file, &e))?;
            Stamp::of(&shown)
        })
        .await?;
        let limits = format!("--as={MEMORY_BYTES} --nofile=64 --core=0");
        let mut walls = vec!["--net".to_owned(), "prlimit".to_owned()];
        walls.extend(limits.split(' ').map(str::to_owned));
        walls.extend(["setpriv".to_owned(), "--no-new-privs".to_owned()]);
        if geteuid().is_root() {
            walls.extend(["--inh-caps=-all".to_owned(), "--bounding-set=-all".to_owned()]);
        } else {
            walls.splice(0..0, ["--user".to_owned(), "--map-current-user".to_owned()]);
        }
        let run = Run::new("unshare", CONVERT_LIMIT)
            .args(walls)
            .args(["qemu-img", "convert", "-U", "-f", "qcow2", "-O", "qcow2"])
            .arg(disk)
            .arg(part);
        run.output().await.map_err(|error| match error {
            CommandError::Exit { quote, .. } if quote.contains("No space left") => {
                DriverError::new("capture_no_room", quote, Retry::Later)
            }
            other => other.into(),
        })?;
        let shown = disk.to_owned();
        if blocking(move || Stamp::of(&shown)).await? == before {
            return Ok(());
        }
        let message = "the machine was started while its disk was copied: it is copied anew";
        Err(DriverError::new("capture_interrupted", message, Retry::Later))
    }
}

fn gone(instance: &InstanceId) -> DriverError {
    let message = format!("{instance} has no disk here any more");
    DriverError::new("capture_machine_gone", message, Retry::Never)
}

fn measure(path: &Path, moment: Moment) -> Told<Taken> {
    let failed = |e: std::io::Error| io("cannot read", path, &e);
    let mut file = File::open(path).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    let (mut digest, mut chunk, mut size_bytes) = (Sha256::new(), vec![0u8; 1 << 20], 0);
    loop {
        match file.read(&mut chunk).map_err(failed)? {
            0 => return Ok(Taken { sha256: hex::encode(digest.finalize()), size_bytes, moment }),
            n => {
                digest.update(&chunk[..n]);
                size_bytes += n as u64;
            }
        }
    }
}

/// The label of one that is kept.
pub fn read_label(dir: &Path, image: &ImageId) -> Told<Option<Capture>> {
    let path = Disks::label(dir, image);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| DriverError::new("host_disk_error", format!("{}: {e}", path.display()), Retry::Later)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io("cannot read", &path, &e)),
    }
}

#[async_trait]
impl Captures for Disks {
    fn url(&self) -> Option<String> {
        self.config.as_ref().map(|config| config.url.trim_end_matches('/').to_owned())
    }

    async fn list(&self) -> Told<Vec<Capture>> {
        let dir = self.dir.clone();
        blocking(move || {
            let mut found = Vec::new();
            for entry in fs::read_dir(&dir).map_err(|e| io("cannot list", &dir, &e))?.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if let Some(Ok(image)) = name.strip_suffix(".json").map(str::parse) {
                    found.extend(read_label(&dir, &image)?);
                }
            }
            Ok(found)
        })
        .await
    }

    async fn find(&self, image: &ImageId) -> Told<Option<Capture>> {
        let (dir, image) = (self.dir.clone(), image.clone());
        blocking(move || read_label(&dir, &image)).await
    }

    async fn take(&self, image: &ImageId, instance: &InstanceId, report: Report) -> Told<Taken> {
        let disk = self.data_dir.join("instances").join(instance.as_str()).join("disk.qcow2");
        let part = self.part(image);
        self.libvirt.end_copy(instance).await?;
        let (old, shown) = (part.clone(), disk.clone());
        let there = blocking(move || {
            remove(&old)?;
            Stamp::of(&shown)
        })
        .await?;
        if there.is_none() {
            return Err(gone(instance));
        }
        self.check_room(&disk).await?;
        let moment = match self.begin(instance, &part).await? {
            Some(begun) => {
                self.libvirt.watch_copy(instance, begun.guest, &report).await?;
                if begun.frozen { Moment::Frozen } else { Moment::Running }
            }
            None => {
                self.convert(&disk, &part).await?;
                Moment::Off
            }
        };
        report.tell(99);
        blocking(move || measure(&part, moment)).await
    }

    async fn keep(&self, capture: &Capture) -> Told<()> {
        let (dir, part, capture) = (self.dir.clone(), self.part(&capture.image), capture.clone());
        blocking(move || {
            let file = Self::file(&dir, &capture.image);
            if read_label(&dir, &capture.image)?.is_none() {
                fs::rename(&part, &file).map_err(|e| io("cannot rename", &part, &e))?;
            }
            let label = serde_json::to_vec(&capture).unwrap_or_default();
            write_whole(&Self::label(&dir, &capture.image), &label)
        })
        .await
    }

    async fn remove(&self, image: &ImageId, instance: &InstanceId, generation: u64) -> Told<()> {
        self.libvirt.end_copy(instance).await?;
        let (dir, part, grave, image) = (self.dir.clone(), self.part(image), self.grave_path(image), image.clone());
        blocking(move || {
            write_whole(&grave, generation.to_string().as_bytes())?;
            remove(&Self::label(&dir, &image))?;
            remove(&Self::file(&dir, &image))?;
            remove(&part)
        })
        .await
    }

    async fn grave(&self, image: &ImageId) -> Told<Option<u64>> {
        let path = self.grave_path(image);
        match tokio::fs::read_to_string(&path).await {
            Ok(text) => Ok(text.trim().parse().ok()),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(io("cannot read", &path, &e)),
        }
    }
}
