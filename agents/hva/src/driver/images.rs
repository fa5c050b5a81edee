//! The image cache: fetched over HTTP, verified by SHA-256, shared by all instances of the host.
//!
//! ```text
//! images/.part-<sha>  ──fetch, fsync──► verified ──► looked into ──rename──► images/<sha>  (+ <sha>.json)
//! ```
//!
//! Rules: a file under its final name has the digest it is called and was looked into with its declared format; one
//! fetch of an image runs at a time; what is left of an interrupted one is removed. An image that names another file
//! (backing file, external data) is broken: it would read the host's disk. No retries.

use crate::command::Run;
use crate::driver::DriverError;
use crate::host;
use arame_framework::agent::{Stopped, Work};
use arame_schema::jobs::hva::{BootDisk, DiskFormat};
use arame_schema::jobs::report::Retry;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// A server that sends nothing for this long is gone.
const STALL: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);
/// qemu-img on a local file; metadata only.
const TOOL_LIMIT: Duration = Duration::from_secs(30);
/// Room left on the disk beside an image, so that the agent can still write its records.
const HEADROOM_BYTES: u64 = 16 * 1024 * 1024;

/// What was learnt of a cached file, and the file's state then: a file touched since is verified again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    size: u64,
    inode: u64,
    modified_ns: i128,
    format: String,
    virtual_size: u64,
}

/// A verified image, ready to be a backing file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub path: PathBuf,
    pub format: &'static str,
    pub virtual_size: u64,
}

pub struct Images {
    dir: PathBuf,
    client: reqwest::Client,
    lanes: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

pub fn format_name(format: DiskFormat) -> &'static str {
    match format {
        DiskFormat::Raw => "raw",
        DiskFormat::Qcow2 => "qcow2",
    }
}

fn io(what: &str, path: &Path, source: &std::io::Error) -> DriverError {
    if source.kind() == std::io::ErrorKind::StorageFull || source.kind() == std::io::ErrorKind::QuotaExceeded {
        return disk_full(path);
    }
    DriverError::new("host_disk_error", format!("{what} {}: {source}", path.display()), Retry::Later)
}

fn disk_full(path: &Path) -> DriverError {
    let message = format!("the host's disk has no room for {}", path.display());
    DriverError::new("disk_full", message, Retry::Elsewhere)
}

impl Images {
    /// Opens the cache and removes what an interrupted process left.
    pub fn open(dir: PathBuf) -> Result<Self, DriverError> {
        std::fs::create_dir_all(&dir).map_err(|e| io("cannot make", &dir, &e))?;
        for entry in std::fs::read_dir(&dir).map_err(|e| io("cannot list", &dir, &e))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(".part-") {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(STALL)
            .no_proxy()
            .build()
            .map_err(|e| DriverError::new("host_error", format!("HTTP client: {e}"), Retry::Later))?;
        Ok(Self { dir, client, lanes: Mutex::default() })
    }

    /// The image of `boot`, from the cache or from its URL.
    pub async fn ensure(&self, boot: &BootDisk, work: &Work) -> Result<Image, Stopped> {
        if !is_digest(&boot.sha256) {
            return Err(Stopped::failed("image_broken", "the image's SHA-256 is not 64 hex digits", Retry::Never));
        }
        let lane = self.lane(&boot.sha256);
        let _turn = tokio::select! {
            turn = lane.lock() => turn,
            () = work.cancelled().cancelled() => return Err(Stopped::Overtaken { facts: Vec::new() }),
        };
        if let Some(image) = self.cached(boot).await? {
            return Ok(image);
        }
        let part = self.dir.join(format!(".part-{}", boot.sha256));
        let kept = self.fetch_and_keep(boot, &part, work).await;
        if kept.is_err() {
            let _ = tokio::fs::remove_file(&part).await;
        }
        kept
    }

    fn lane(&self, sha256: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut lanes = self.lanes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        lanes.entry(sha256.to_owned()).or_default().clone()
    }

    fn path(&self, boot: &BootDisk) -> PathBuf {
        self.dir.join(&boot.sha256)
    }

    fn stamp_path(&self, boot: &BootDisk) -> PathBuf {
        self.dir.join(format!("{}.json", boot.sha256))
    }

    /// A cached file in the state it was verified in; one that changed is verified again or deleted.
    async fn cached(&self, boot: &BootDisk) -> Result<Option<Image>, DriverError> {
        let path = self.path(boot);
        let Ok(found) = tokio::fs::metadata(&path).await else { return Ok(None) };
        let known = tokio::fs::read(self.stamp_path(boot)).await.ok();
        let known: Option<Stamp> = known.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let format = format_name(boot.format);
        if let Some(stamp) = known.filter(|s| s.format == format && s.is_of(&found)) {
            return Ok(Some(Image { path, format, virtual_size: stamp.virtual_size }));
        }
        let digest = digest_of(path.clone()).await?;
        if digest != boot.sha256 {
            tracing::warn!(image = %boot.image, found = %digest, "a cached image changed on disk; deleted");
            remove(&path).await?;
            return Ok(None);
        }
        let virtual_size = look_into(&path, format).await?;
        self.write_stamp(boot, &path, virtual_size).await?;
        Ok(Some(Image { path, format, virtual_size }))
    }

    async fn fetch_and_keep(&self, boot: &BootDisk, part: &Path, work: &Work) -> Result<Image, Stopped> {
        if host::free_bytes(&self.dir).is_some_and(|free| free < boot.size_bytes + HEADROOM_BYTES) {
            return Err(disk_full(part).into());
        }
        let digest = tokio::select! {
            fetched = self.fetch(boot, part, work) => fetched?,
            () = work.cancelled().cancelled() => return Err(Stopped::Overtaken { facts: Vec::new() }),
        };
        if digest != boot.sha256 {
            let from = boot.url.as_deref().unwrap_or_default();
            let message = format!("image {} from {from} has SHA-256 {digest}, not {}", boot.image, boot.sha256);
            return Err(Stopped::failed("image_checksum_mismatch", message, Retry::Never));
        }
        let format = format_name(boot.format);
        let virtual_size = look_into(part, format).await?;
        let path = self.path(boot);
        let read_only = std::os::unix::fs::PermissionsExt::from_mode(0o444);
        tokio::fs::set_permissions(part, read_only).await.map_err(|e| io("cannot protect", part, &e))?;
        tokio::fs::rename(part, &path).await.map_err(|e| io("cannot rename", part, &e))?;
        self.write_stamp(boot, &path, virtual_size).await?;
        Ok(Image { path, format, virtual_size })
    }

    /// Streams the body into `part`; answers its digest.
    async fn fetch(&self, boot: &BootDisk, part: &Path, work: &Work) -> Result<String, Stopped> {
        let Some(url) = &boot.url else {
            let message = format!("no storage node has image {}, nor has this host's cache", boot.image);
            return Err(Stopped::failed("image_unavailable", message, Retry::Later));
        };
        let unreachable = |e: &dyn std::fmt::Display| {
            Stopped::failed("image_unavailable", format!("image {} at {url}: {e}", boot.image), Retry::Later)
        };
        let response = self.client.get(url).send().await.map_err(|e| unreachable(&e))?;
        if !response.status().is_success() {
            return Err(unreachable(&response.status()));
        }
        let mut file = tokio::fs::File::create(part).await.map_err(|e| io("cannot make", part, &e))?;
        let mut body = response.bytes_stream();
        let mut digest = Sha256::new();
        let (mut got, mut told) = (0u64, 0u8);
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|e| unreachable(&e))?;
            work.check()?;
            got += chunk.len() as u64;
            if got > boot.size_bytes {
                let message = format!("image {} is longer than its {} bytes", boot.image, boot.size_bytes);
                return Err(Stopped::failed("image_checksum_mismatch", message, Retry::Never));
            }
            digest.update(&chunk);
            file.write_all(&chunk).await.map_err(|e| io("cannot write", part, &e))?;
            let percent = (got.saturating_mul(100) / boot.size_bytes.max(1)) as u8;
            if percent >= told.saturating_add(5) {
                told = percent;
                work.progress(percent, format!("image {} {percent} %", boot.image));
            }
        }
        file.flush().await.map_err(|e| io("cannot write", part, &e))?;
        file.sync_all().await.map_err(|e| io("cannot write", part, &e))?;
        Ok(hex::encode(digest.finalize()))
    }

    async fn write_stamp(&self, boot: &BootDisk, path: &Path, virtual_size: u64) -> Result<(), DriverError> {
        let found = tokio::fs::metadata(path).await.map_err(|e| io("cannot read", path, &e))?;
        let stamp = Stamp::of(&found, format_name(boot.format), virtual_size);
        let at = self.stamp_path(boot);
        let bytes = serde_json::to_vec(&stamp).unwrap_or_default();
        tokio::fs::write(&at, bytes).await.map_err(|e| io("cannot write", &at, &e))
    }
}

impl Stamp {
    fn of(found: &std::fs::Metadata, format: &str, virtual_size: u64) -> Self {
        let modified_ns = i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec());
        Self { size: found.len(), inode: found.ino(), modified_ns, format: format.to_owned(), virtual_size }
    }

    fn is_of(&self, found: &std::fs::Metadata) -> bool {
        *self == Self::of(found, &self.format, self.virtual_size)
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

async fn remove(path: &Path) -> Result<(), DriverError> {
    match tokio::fs::remove_file(path).await {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io("cannot remove", path, &e)),
        _ => Ok(()),
    }
}

async fn digest_of(path: PathBuf) -> Result<String, DriverError> {
    let shown = path.clone();
    let read = tokio::task::spawn_blocking(move || {
        let mut file = std::fs::File::open(path)?;
        let mut digest = Sha256::new();
        let mut chunk = vec![0u8; 1 << 20];
        loop {
            match std::io::Read::read(&mut file, &mut chunk)? {
                0 => return Ok(hex::encode(digest.finalize())),
                n => digest.update(&chunk[..n]),
            }
        }
    });
    let digest = read.await.unwrap_or_else(|e| Err(std::io::Error::other(e)));
    digest.map_err(|e| io("cannot read", &shown, &e))
}

/// The part of `qemu-img info --output=json` we look at.
#[derive(Deserialize)]
struct ImageInfo {
    #[serde(rename = "virtual-size")]
    virtual_size: u64,
    #[serde(rename = "backing-filename")]
    backing: Option<String>,
    #[serde(rename = "format-specific")]
    specific: Option<serde_json::Value>,
}

/// Virtual size of the file read as `format`.
async fn look_into(path: &Path, format: &str) -> Result<u64, DriverError> {
    let broken = |why: String| DriverError::new("image_broken", why, Retry::Never);
    let run = Run::new("qemu-img", TOOL_LIMIT).args(["info", "--output=json", "-f", format]).arg(path);
    let said = run.output().await.map_err(|error| match error {
        crate::command::CommandError::Exit { quote, .. } => broken(format!("the image is not {format}: {quote}")),
        other => other.into(),
    })?;
    let info: ImageInfo =
        serde_json::from_str(&said).map_err(|e| broken(format!("qemu-img described it strangely: {e}")))?;
    let external = info.specific.as_ref().and_then(|s| s.pointer("/data/data-file")).is_some();
    if info.backing.is_some() || external {
        let message = "the image refers to another file, which on this host would be the host's own";
        return Err(DriverError::new("image_refused", message, Retry::Never));
    }
    if info.virtual_size == 0 {
        return Err(broken("the image is empty".to_owned()));
    }
    Ok(info.virtual_size)
}

/// A new overlay on the image, with both formats said; whole or not there.
pub async fn make_overlay(image: &Image, at: &Path, size_bytes: u64) -> Result<(), DriverError> {
    let size = size_bytes.max(image.virtual_size).to_string();
    let part = at.with_extension("part");
    remove(&part).await?;
    let run = Run::new("qemu-img", TOOL_LIMIT)
        .args(["create", "-q", "-f", "qcow2", "-F", image.format, "-b"])
        .arg(&image.path)
        .arg(&part)
        .arg(size);
    if let Err(error) = run.output().await {
        remove(&part).await?;
        if error.to_string().contains("No space left") {
            return Err(disk_full(at));
        }
        return Err(error.into());
    }
    let file = tokio::fs::File::open(&part).await.map_err(|e| io("cannot open", &part, &e))?;
    file.sync_all().await.map_err(|e| io("cannot write", &part, &e))?;
    tokio::fs::rename(&part, at).await.map_err(|e| io("cannot rename", &part, &e))
}
