//! Backups on their way: a snapshot, an image or another object packed into a backup storage, a packed object unpacked into a
//! volume.
//!
//! ```text
//! job sta.backup.write  ─► copies   (they outlive a job) ─► Written ─► inside the job: the object appears
//! job sta.volume.create ─► restores                      ─► StagedVolume ─► inside the job: the volume appears
//! ```
//!
//! Rule: what is read is measured, and a restore whose content is not what was written ends without a volume. It decides
//! about no retry.

use crate::config::FetchConfig;
use crate::fetch::downloads::{Downloads, Report};
use crate::fetch::error::FetchError;
use crate::fetch::link::{self, Link};
use crate::store::backups::pack::{BLOCK_BYTES, Unpacker};
use crate::store::backups::{Backups, Begun, Packed, Written, sim};
use crate::store::{NewVolume, Source, StagedVolume, Store, StoreError, blocking};
use arame_schema::jobs::sta::{Backup, BackupSource, RestoredBackup};
use arame_schema::model::{BackupObjectId, ImageId};
use futures_util::StreamExt;
use http_body_util::BodyExt;
use hyper::body::Bytes;
use sha2::{Digest, Sha256};
use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::time::Duration;

/// Read or written at a time, between two looks whether it is still wanted.
const BLOCK: usize = BLOCK_BYTES;

/// Long copies of this node that belong to backups.
pub struct Carrier {
    pub copies: Downloads<Written>,
    pub restores: Downloads<StagedVolume>,
    parts: Arc<Parts>,
}

struct Parts {
    store: Arc<dyn Store>,
    backups: Arc<dyn Backups>,
    link: Link,
    silence: Duration,
}

impl Carrier {
    pub fn new(config: &FetchConfig, store: Arc<dyn Store>, backups: Arc<dyn Backups>) -> Self {
        let silence = Duration::from_secs(config.silence_seconds);
        let parts = Parts { store, backups, link: Link::new(config), silence };
        Self { copies: Downloads::default(), restores: Downloads::default(), parts: Arc::new(parts) }
    }

    /// The copy that a job asks for, as it will run whether or not the job still does.
    pub fn copy(&self, job: &Backup, report: Report) -> impl Future<Output = Result<Written, FetchError>> + use<> {
        let (parts, job) = (self.parts.clone(), job.clone());
        async move { parts.copy(&job, &report).await }
    }

    /// The same for the content of a new volume.
    pub fn restore(
        &self,
        new: &NewVolume,
        from: &RestoredBackup,
        report: Report,
    ) -> impl Future<Output = Result<StagedVolume, FetchError>> + use<> {
        let (parts, new, from) = (self.parts.clone(), new.clone(), from.clone());
        async move { parts.restore(&new, &from, &report).await }
    }
}

impl Parts {
    async fn copy(&self, job: &Backup, report: &Report) -> Result<Written, FetchError> {
        match &job.from {
            None => {
                let source = self.store.open_snapshot(&job.volume_key, &job.key).await?;
                self.pack(job, source, report).await
            }
            Some(BackupSource::Image { image, sha256 }) => {
                let source = self.open_image(image, sha256).await?;
                let written = self.pack(job, source, report).await?;
                let told = written.sha256.clone();
                match told == *sha256 || self.store.kind() == "sim" {
                    true => Ok(written),
                    false => {
                        let reason = format!("{image} was {sha256} and is {told}");
                        Err(StoreError::BackupMismatch { object: job.object.clone(), reason }.into())
                    }
                }
            }
            Some(BackupSource::Object(from)) => {
                let begun = self.backups.begin(&job.storage, &job.object).await?;
                Ok(self.unpack(begun, u64::MAX, from, report).await?.finish())
            }
        }
    }

    /// A simulated store has no bytes of an image: its digest stands for them.
    async fn open_image(&self, image: &ImageId, sha256: &str) -> Result<Source, StoreError> {
        let gone = || StoreError::Unavailable { reason: format!("{image} is not in the store") };
        let found = self.store.find_image(image).await?.filter(|found| found.sha256 == sha256).ok_or_else(gone)?;
        let size_bytes = found.size_bytes;
        let Some(path) = found.path else {
            let content = format!("image {sha256}").into_bytes();
            let bytes = content.len() as u64;
            return Ok(Source { reader: Box::new(std::io::Cursor::new(content)), bytes, size_bytes });
        };
        blocking(move || {
            let file = std::fs::File::open(&path).map_err(StoreError::io("open", &path))?;
            Ok(Source { reader: Box::new(file), bytes: size_bytes, size_bytes })
        })
        .await
    }

    async fn pack(&self, job: &Backup, mut source: Source, report: &Report) -> Result<Written, FetchError> {
        let mut begun = self.backups.begin(&job.storage, &job.object).await?;
        let (bytes, mut done) = (source.bytes, 0u64);
        loop {
            let moved = blocking(move || block_over(source, begun)).await?;
            let count;
            (source, begun, count) = moved;
            if count == 0 {
                break;
            }
            done += count as u64;
            report.tell(percent(done, bytes), "writing the backup");
        }
        if done != bytes {
            let short = std::io::Error::new(ErrorKind::UnexpectedEof, format!("{done} bytes of {bytes}"));
            return Err(StoreError::Io { doing: "read", path: job.key.clone().into(), source: short }.into());
        }
        Ok(begun.finish())
    }

    async fn restore(
        &self,
        new: &NewVolume,
        from: &RestoredBackup,
        report: &Report,
    ) -> Result<StagedVolume, FetchError> {
        self.unpack(self.store.stage_volume(new).await?, new.size_bytes, from, report).await
    }

    /// What an object holds, wherever it is, into what takes it; compared with what was written.
    async fn unpack<T: Takes>(
        &self,
        into: T,
        size_bytes: u64,
        from: &RestoredBackup,
        report: &Report,
    ) -> Result<T, FetchError> {
        let own = match self.backups.storages().contains(&from.storage) {
            true => self.backups.open(&from.storage, &from.object).await?,
            false => None,
        };
        // Simulated nodes have no bytes to hand on: they share what each of them wrote.
        let simulated = self.store.kind() == "sim";
        let handed = simulated && from.url.is_some();
        let own = own.or_else(|| handed.then(|| sim::handed_on(&from.sha256)).flatten().map(Packed::Content));
        if own.is_none() && (from.url.is_none() || simulated) {
            return Err(StoreError::BackupMissing { object: from.object.clone(), storage: from.storage.clone() }.into());
        }
        let sink = Sink::new(into, from.object.clone(), size_bytes);
        let sink = match own {
            Some(Packed::Content(content)) => {
                let mut sink = sink;
                sink.take(&content)?;
                sink
            }
            Some(Packed::File { file, stored_bytes }) => unpack_file(sink, file, stored_bytes, report).await?,
            None => self.unpack_from_peer(sink, from, report).await?,
        };
        Ok(sink.finish(&from.sha256)?)
    }

    async fn unpack_from_peer<T: Takes>(
        &self,
        sink: Sink<T>,
        from: &RestoredBackup,
        report: &Report,
    ) -> Result<Sink<T>, FetchError> {
        let (url, reader) = (from.url.as_deref().unwrap_or_default(), from.reader.as_ref());
        let answer = self.link.get_from_peer(url, reader.map(|reader| reader.expose())).await?;
        let length = hyper::body::Body::size_hint(answer.response.body()).exact().unwrap_or(u64::MAX);
        let mut body = answer.response.into_body().into_data_stream();
        let mut unpacking = Unpacking::begin(sink);
        let mut received = 0u64;
        loop {
            let piece = tokio::time::timeout(self.silence, body.next()).await;
            let Some(piece) = piece.map_err(|_| FetchError::Silent { silence: self.silence })? else { break };
            let piece = piece.map_err(|wrong| FetchError::BrokenOff { received, reason: link::causes(&wrong) })?;
            received += piece.len() as u64;
            unpacking = unpacking.take(piece).await?;
            report.tell(percent(received, length), "fetching the backup");
        }
        Ok(unpacking.end()?)
    }
}

fn percent(done: u64, of: u64) -> u8 {
    (u128::from(done) * 100 / u128::from(of.max(1))).min(99) as u8
}

/// Moves one block from the snapshot into the object.
fn block_over(mut source: Source, mut begun: Begun) -> Result<(Source, Begun, usize), StoreError> {
    let mut block = Vec::with_capacity(BLOCK);
    let mut piece = (&mut source.reader).take(BLOCK as u64);
    piece.read_to_end(&mut block).map_err(StoreError::io("read", std::path::Path::new("the snapshot")))?;
    begun.write(&block)?;
    Ok((source, begun, block.len()))
}

/// What takes an object's content, a block after the other.
trait Takes: Send + 'static {
    fn put(&mut self, block: &[u8]) -> Result<(), StoreError>;
}

impl Takes for StagedVolume {
    fn put(&mut self, block: &[u8]) -> Result<(), StoreError> {
        self.write(block)
    }
}

impl Takes for Begun {
    fn put(&mut self, block: &[u8]) -> Result<(), StoreError> {
        self.write(block)
    }
}

/// A packed object on its way into what takes it.
struct Unpacking<T> {
    unpacker: Unpacker,
    sink: Sink<T>,
}

impl<T: Takes> Unpacking<T> {
    fn begin(sink: Sink<T>) -> Self {
        Self { unpacker: Unpacker::default(), sink }
    }

    async fn take(mut self, piece: Bytes) -> Result<Self, FetchError> {
        let taken = blocking(move || {
            let blocks = self.unpacker.take(&piece).map_err(|reason| self.sink.mismatch(reason))?;
            for block in blocks {
                self.sink.take(&block)?;
            }
            Ok(self)
        });
        Ok(taken.await?)
    }

    fn end(self) -> Result<Sink<T>, StoreError> {
        let Self { unpacker, sink } = self;
        match unpacker.end() {
            Ok(()) => Ok(sink),
            Err(reason) => Err(sink.mismatch(reason)),
        }
    }
}

async fn unpack_file<T: Takes>(
    sink: Sink<T>,
    file: std::fs::File,
    stored_bytes: u64,
    report: &Report,
) -> Result<Sink<T>, FetchError> {
    let mut unpacking = Unpacking::begin(sink);
    let (mut file, mut done) = (file, 0u64);
    loop {
        let read = blocking(move || {
            let mut block = Vec::with_capacity(BLOCK / 4);
            let failed = StoreError::io("read", std::path::Path::new("the backup"));
            (&mut file).take(BLOCK as u64 / 4).read_to_end(&mut block).map_err(failed)?;
            Ok((file, block))
        });
        let block;
        (file, block) = read.await?;
        if block.is_empty() {
            return Ok(unpacking.end()?);
        }
        done += block.len() as u64;
        unpacking = unpacking.take(block.into()).await?;
        report.tell(percent(done, stored_bytes), "restoring the backup");
    }
}

/// Where unpacked bytes go: measured, and no more of them than there is room for.
struct Sink<T> {
    into: T,
    object: BackupObjectId,
    sum: Sha256,
    size_bytes: u64,
    taken: u64,
}

impl<T: Takes> Sink<T> {
    fn new(into: T, object: BackupObjectId, size_bytes: u64) -> Self {
        Self { into, object, sum: Sha256::new(), size_bytes, taken: 0 }
    }

    fn take(&mut self, block: &[u8]) -> Result<(), StoreError> {
        self.taken += block.len() as u64;
        if self.taken > self.size_bytes {
            return Err(StoreError::TooSmall { wanted: self.size_bytes, needed: self.taken });
        }
        self.sum.update(block);
        self.into.put(block)
    }

    fn mismatch(&self, reason: String) -> StoreError {
        StoreError::BackupMismatch { object: self.object.clone(), reason }
    }

    fn finish(self, known: &str) -> Result<T, StoreError> {
        let sha256 = hex::encode(self.sum.clone().finalize());
        match sha256 == known {
            true => Ok(self.into),
            false => Err(self.mismatch(format!("its SHA-256 is {sha256}, written was {known}"))),
        }
    }
}
