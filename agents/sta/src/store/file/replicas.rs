//! Replicas as files: whole ones `replicas/<key>`, those that are being received `parts/<key>`.
//!
//! ```text
//! parts/.tmp-… (what it begins with) ─► parts/<key> ─ bytes, a note of how far ─► read again, equal, noted ─► replicas/<key>
//! ```
//!
//! Rule: a part gets its name with its mark and with what it begins with; how far it is, is noted after those bytes last.
//! It is read again as a whole before it counts. Snapshots and replicas never change, so a part that is gone on with later
//! goes on with the same bytes; should it not, the checksum of the whole says so.

use super::snapshots::cloned;
use super::{FileStore, copy_sparse_with};
use crate::faults::Faults;
use crate::mark::Mark;
use crate::store::folder::{self, Temporary};
use crate::store::label::{self, Label, OfferLabel, ReplicaLabel};
use crate::store::replicas::frames::{BLOCK_BYTES, Frame, Reader, Writer};
use crate::store::replicas::{
    Asked, Begun, Head, NewReplica, Offer, Pieces, Progress, Replica, Replicas, Sending, frames, held,
};
use crate::store::snapshots::{SnapshotKeys, Snapshots, name};
use crate::store::{StoreError, blocking, check_key, images};
use async_trait::async_trait;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Received between two notes of how far it is: what is sent again after a crash.
const NOTE_BYTES: u64 = 16 << 20;

impl FileStore {
    /// The file of a whole replica, which may be copied.
    pub(super) fn whole_replica(&self, key: &str) -> Result<PathBuf, StoreError> {
        check_key(key)?;
        Ok(self.folder.replicas()?.join(key))
    }

    /// Snapshots of the same volume whose identity is among those, the newest last.
    async fn bases(&self, at: &SnapshotKeys, held: &[u64]) -> Result<Vec<(u64, PathBuf)>, StoreError> {
        let all = self.list_snapshots().await?;
        let others = all.into_iter().filter(|one| one.volume_key == at.volume_key && one.key != at.key);
        let (folder, held) = (self.folder.snapshots()?, held.to_vec());
        let paths: Vec<PathBuf> = others.map(|one| folder.join(name(&one.volume_key, &one.key))).collect();
        blocking(move || {
            let mut found = Vec::new();
            for path in paths {
                let offer = label::read(&path)?.and_then(|label| label.offer);
                if let Some(offer) = offer.filter(|offer| held.contains(&offer.guid)) {
                    let changed = fs::metadata(&path).and_then(|meta| meta.modified());
                    found.push((changed.unwrap_or(SystemTime::UNIX_EPOCH), offer.guid, path));
                }
            }
            found.sort();
            Ok(found.into_iter().map(|(_, guid, path)| (guid, path)).collect())
        })
        .await
    }

    /// The part, with what it begins with.
    async fn make_part(&self, new: &NewReplica, base: Option<u64>) -> Result<ReplicaLabel, StoreError> {
        self.check_room(new.size_bytes).await?;
        let target = self.folder.parts()?.join(&new.key);
        let base_path = match base {
            None => None,
            Some(guid) => {
                let gone = || StoreError::ReplicaLeftBehind { reason: format!("no replica is of snapshot {guid}") };
                let whole = self.list_replicas().await?.into_iter().find(|one| one.guid == Some(guid));
                Some(self.whole_replica(&whole.ok_or_else(gone)?.key)?)
            }
        };
        let told = ReplicaLabel {
            guid: new.guid,
            base,
            volume: new.volume.clone(),
            received_bytes: 0,
            is_proved: false,
            origin: new.origin.clone(),
        };
        let label = Label { replica: Some(told.clone()), ..Label::of(new.mark.clone()) };
        let (faults, size_bytes) = (self.faults.clone(), new.size_bytes);
        blocking(move || {
            let temporary = Temporary::beside(&target)?;
            if let Some(base) = base_path.filter(|base| !matches!(cloned(base, &temporary), Ok(true))) {
                copy_sparse_with(&base, super::copy_handle(&temporary)?, &mut |_| Ok(()))?;
            }
            temporary.file().set_len(size_bytes).map_err(StoreError::io("size", &target))?;
            label::write(temporary.file(), &target, &label)?;
            temporary.keep_as(&target)?;
            faults.hit_blocking("receive_replica:begun")?;
            Ok(told)
        })
        .await
    }
}

#[async_trait]
impl Replicas for FileStore {
    async fn offer_snapshot(&self, at: &SnapshotKeys, reader: &str) -> Result<Offer, StoreError> {
        check_key(&at.volume_key)?;
        check_key(&at.key)?;
        let path = self.folder.snapshots()?.join(name(&at.volume_key, &at.key));
        let reader = reader.to_owned();
        blocking(move || {
            let missing = || StoreError::Unavailable { reason: format!("{} has no label", path.display()) };
            let label = label::read(&path)?.ok_or_else(missing)?;
            let guid = label.offer.as_ref().map_or_else(rand::random, |offer| offer.guid);
            let wanted = Label { offer: Some(OfferLabel { guid, reader: reader.clone() }), ..label.clone() };
            let file = File::options().write(true).open(&path).map_err(StoreError::io("open", &path))?;
            if wanted != label {
                label::write(&file, &path, &wanted)?;
                file.sync_all().map_err(StoreError::io("sync", &path))?;
            }
            let size_bytes = file.metadata().map_err(StoreError::io("look at", &path))?.len();
            Ok(Offer { guid, size_bytes, reader, mark: Some(wanted.mark) })
        })
        .await
    }

    async fn find_offer(&self, at: &SnapshotKeys) -> Result<Option<Offer>, StoreError> {
        let Some(found) = self.find_snapshot(&at.volume_key, &at.key).await? else { return Ok(None) };
        let path = self.folder.snapshots()?.join(name(&at.volume_key, &at.key));
        blocking(move || {
            let offer = label::read(&path)?.and_then(|label| label.offer);
            let told =
                |OfferLabel { guid, reader }| Offer { guid, size_bytes: found.size_bytes, reader, mark: found.mark };
            Ok(offer.map(told))
        })
        .await
    }

    async fn send_snapshot(&self, at: &SnapshotKeys, asked: &Asked) -> Result<Sending, StoreError> {
        let gone = || StoreError::Unavailable { reason: format!("{}@{} is not offered", at.volume_key, at.key) };
        let offer = self.find_offer(at).await?.ok_or_else(gone)?;
        let base = self.bases(at, &asked.held).await?.pop();
        let from = match &asked.resume {
            None => 0,
            Some(resume) => go_on(resume, base.as_ref().map(|base| base.0))?,
        };
        let snapshot = self.folder.snapshots()?.join(name(&at.volume_key, &at.key));
        let base_path = base.as_ref().map(|base| base.1.clone());
        let writer = blocking(move || {
            let open = |path: &Path| File::open(path).map_err(StoreError::io("open", path));
            let base = base_path.as_deref().map(open).transpose()?;
            Ok(Writer::new(Box::new(open(&snapshot)?), base.map(|base| Box::new(base) as Box<_>), from))
        });
        let head = Head {
            store: "file".into(),
            guid: offer.guid,
            base: base.map(|base| base.0),
            size_bytes: offer.size_bytes,
            stream_bytes: offer.size_bytes,
        };
        Ok(Sending { head, pieces: frames::pieces(writer.await?) })
    }

    async fn find_replica(&self, key: &str) -> Result<Option<Replica>, StoreError> {
        check_key(key)?;
        let (folder, key) = (self.folder.clone(), key.to_owned());
        blocking(move || match look(&folder.replicas()?, &key, Whole::Yes)? {
            Some(whole) => Ok(Some(whole)),
            None => look(&folder.parts()?, &key, Whole::No),
        })
        .await
    }

    async fn list_replicas(&self) -> Result<Vec<Replica>, StoreError> {
        let folder = self.folder.clone();
        blocking(move || {
            let mut found = Vec::new();
            for (place, whole) in [(folder.replicas()?, Whole::Yes), (folder.parts()?, Whole::No)] {
                let names = folder::names(&place)?;
                for name in names.iter().filter(|name| !name.starts_with('.') && !label::is_label(name)) {
                    found.extend(look(&place, name, whole)?);
                }
            }
            Ok(found)
        })
        .await
    }

    async fn begin_replica(&self, new: &NewReplica) -> Result<Begun, StoreError> {
        check_key(&new.key)?;
        self.faults.hit("receive_replica:before").await?;
        let path = self.folder.parts()?.join(&new.key);
        let part = read_part(&path).await?;
        match part.filter(|part| part.guid == new.guid) {
            Some(part) if part.is_proved => Ok(Begun::Proved),
            Some(part) => {
                let resume = format!("{}:{}", part.received_bytes, part.base.unwrap_or(0));
                Ok(Begun::Wants(Asked { held: part.base.into_iter().collect(), resume: Some(resume) }))
            }
            None => {
                self.abandon_replica(&new.key).await?;
                Ok(Begun::Wants(Asked { held: held(&self.list_replicas().await?, new), resume: None }))
            }
        }
    }

    async fn receive_replica(
        &self,
        new: &NewReplica,
        head: &Head,
        mut pieces: Pieces,
        progress: Progress,
    ) -> Result<(), StoreError> {
        let path = self.folder.parts()?.join(&new.key);
        let told = match read_part(&path).await? {
            Some(told) if told.base == head.base => told,
            Some(_) => {
                return Err(StoreError::ReplicaLeftBehind { reason: "it is sent as a difference to another".into() });
            }
            None => self.make_part(new, head.base).await?,
        };
        let (faults, label) = (self.faults.clone(), Label::of(new.mark.clone()));
        let mut part = blocking(move || Part::open(path, label, told, faults)).await?;
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            part = blocking(move || part.take(&piece)).await?;
            progress(percent(part.at, new.size_bytes));
        }
        self.faults.hit("receive_replica:received").await?;
        let owner = new.mark.owner.clone();
        blocking(move || part.prove(&owner)).await?;
        Ok(self.faults.hit("receive_replica:proved").await?)
    }

    async fn keep_replica(&self, new: &NewReplica) -> Result<(), StoreError> {
        let (part, target) = (self.folder.parts()?.join(&new.key), self.folder.replicas()?.join(&new.key));
        let (faults, mark) = (self.faults.clone(), new.mark.clone());
        blocking(move || {
            let found = label::read(&part)?.and_then(|label| label.replica).filter(|told| told.is_proved);
            let missing = || StoreError::ReplicaLeftBehind { reason: "nothing was received whole".into() };
            let replica = Some(found.ok_or_else(missing)?);
            let file = File::options().write(true).open(&part).map_err(StoreError::io("open", &part))?;
            label::write(&file, &target, &Label { replica, ..Label::of(mark) })?;
            file.sync_all().map_err(StoreError::io("sync", &part))?;
            faults.hit_blocking("receive_replica:marked")?;
            fs::rename(&part, &target).map_err(StoreError::io("rename", &target))?;
            label::remove(&part)?;
            for folder in [&part, &target].into_iter().filter_map(|path| path.parent()) {
                folder::sync(folder)?;
            }
            Ok(faults.hit_blocking("receive_replica:after")?)
        })
        .await
    }

    async fn mark_replica(&self, key: &str, mark: &Mark) -> Result<(), StoreError> {
        let path = self.whole_replica(key)?;
        let mark = mark.clone();
        blocking(move || {
            let replica = label::read(&path)?.and_then(|label| label.replica);
            let file = File::options().write(true).open(&path).map_err(StoreError::io("open", &path))?;
            label::write(&file, &path, &Label { replica, ..Label::of(mark) })?;
            file.sync_all().map_err(StoreError::io("sync", &path))
        })
        .await
    }

    async fn abandon_replica(&self, key: &str) -> Result<(), StoreError> {
        check_key(key)?;
        let part = self.folder.parts()?.join(key);
        blocking(move || images::remove(&part)).await
    }

    async fn delete_replica(&self, key: &str) -> Result<(), StoreError> {
        self.faults.hit("delete_replica:before").await?;
        self.abandon_replica(key).await?;
        let (whole, faults) = (self.whole_replica(key)?, self.faults.clone());
        blocking(move || {
            faults.hit_blocking("delete_replica:half")?;
            images::remove(&whole)?;
            Ok(faults.hit_blocking("delete_replica:after")?)
        })
        .await
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whole {
    Yes,
    No,
}

/// A whole one without our label is somebody else's.
fn look(place: &Path, key: &str, whole: Whole) -> Result<Option<Replica>, StoreError> {
    let path = place.join(key);
    let meta = match fs::symlink_metadata(&path) {
        Ok(meta) => meta,
        Err(none) if none.kind() == ErrorKind::NotFound => return Ok(None),
        Err(other) => return Err(StoreError::io("look at", &path)(other)),
    };
    let label = if meta.is_file() { label::read(&path)? } else { None };
    let (mark, told) = label.map_or((None, None), |label| (Some(label.mark), label.replica));
    Ok(Some(Replica {
        key: key.to_owned(),
        mark,
        volume: told.as_ref().map(|told| told.volume.clone()),
        size_bytes: meta.len(),
        guid: told.as_ref().filter(|told| whole == Whole::Yes && told.is_proved).map(|told| told.guid),
        base: told.as_ref().and_then(|told| told.base),
        origin: told.map(|told| told.origin).unwrap_or_default(),
    }))
}

async fn read_part(path: &Path) -> Result<Option<ReplicaLabel>, StoreError> {
    let path = path.to_owned();
    blocking(move || match path.exists() {
        true => Ok(label::read(&path)?.and_then(|label| label.replica)),
        false => Ok(None),
    })
    .await
}

/// From where it goes on: `<bytes>:<base, or 0>`.
fn go_on(resume: &str, base: Option<u64>) -> Result<u64, StoreError> {
    let wrong = |reason: &str| StoreError::ReplicaLeftBehind { reason: reason.to_owned() };
    let told = resume.split_once(':').and_then(|(at, base)| Some((at.parse().ok()?, base.parse::<u64>().ok()?)));
    match told {
        Some((at, wanted)) if wanted == base.unwrap_or(0) => Ok(at),
        Some(_) => Err(wrong("the snapshot it is a difference to is no longer there")),
        None => Err(wrong("it does not say from where")),
    }
}

fn percent(done: u64, of: u64) -> u8 {
    (u128::from(done) * 100 / u128::from(of.max(1))).min(99) as u8
}

/// A replica on its way in.
struct Part {
    path: PathBuf,
    file: File,
    /// Its mark, without what is told of it.
    label: Label,
    told: ReplicaLabel,
    reader: Reader,
    at: u64,
    size_bytes: u64,
    end: Option<[u8; 32]>,
    faults: Arc<Faults>,
}

impl Part {
    fn open(path: PathBuf, label: Label, told: ReplicaLabel, faults: Arc<Faults>) -> Result<Self, StoreError> {
        let file = File::options().read(true).write(true).open(&path).map_err(StoreError::io("open", &path))?;
        let size_bytes = file.metadata().map_err(StoreError::io("look at", &path))?.len();
        let at = 0;
        Ok(Self { path, file, label, told, reader: Reader::default(), at, size_bytes, end: None, faults })
    }

    fn take(mut self, piece: &[u8]) -> Result<Self, StoreError> {
        let frames = self.reader.take(piece).map_err(|reason| self.mismatch(reason))?;
        for frame in frames {
            self.put(frame)?;
        }
        if self.at >= self.told.received_bytes + NOTE_BYTES {
            self.note()?;
            self.faults.hit_blocking("receive_replica:halfway")?;
        }
        Ok(self)
    }

    fn put(&mut self, frame: Frame) -> Result<(), StoreError> {
        let (offset, length) = match &frame {
            Frame::Data { offset, bytes } => (*offset, bytes.len() as u64),
            Frame::Zeros { offset, length } | Frame::Same { offset, length } | Frame::Passed { offset, length } => {
                (*offset, *length)
            }
            Frame::End { size_bytes, .. } => (*size_bytes, 0),
        };
        if offset != self.at || offset.saturating_add(length) > self.size_bytes {
            return Err(self.mismatch(format!("{length} bytes at {offset} come after {}", self.at)));
        }
        let is_begun_with = self.told.base.is_some();
        match frame {
            Frame::Data { bytes, .. } => self.write(offset, &bytes)?,
            // A new file has zeros there.
            Frame::Zeros { length, .. } if is_begun_with => self.write(offset, &vec![0; length as usize])?,
            Frame::Zeros { .. } => {}
            Frame::Same { .. } if is_begun_with => {}
            Frame::Same { .. } => return Err(self.mismatch("there is nothing that it could be the same as".into())),
            Frame::Passed { .. } if offset + length <= self.told.received_bytes => {}
            Frame::Passed { .. } => return Err(self.mismatch(format!("{length} bytes at {offset} are missing"))),
            Frame::End { size_bytes, sha256 } if size_bytes == self.size_bytes => self.end = Some(sha256),
            Frame::End { size_bytes, .. } => return Err(self.mismatch(format!("it ends after {size_bytes} bytes"))),
        }
        self.at += length;
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let written = self.file.seek(SeekFrom::Start(offset)).and_then(|_| self.file.write_all(bytes));
        written.map_err(StoreError::io("write", &self.path))
    }

    fn note(&mut self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(StoreError::io("sync", &self.path))?;
        self.told.received_bytes = self.at;
        self.label_it()
    }

    fn label_it(&self) -> Result<(), StoreError> {
        let label = Label { replica: Some(self.told.clone()), ..self.label.clone() };
        label::write(&self.file, &self.path, &label)?;
        self.file.sync_all().map_err(StoreError::io("sync", &self.path))
    }

    /// All of it is read again: what counts is what lies there.
    fn prove(mut self, owner: &str) -> Result<(), StoreError> {
        let Some(wanted) = self.end else {
            return Err(StoreError::ReplicaBrokenOff { reason: format!("the end of {owner} did not come") });
        };
        let failed = |source| StoreError::io("read", &self.path)(source);
        self.file.sync_data().map_err(failed)?;
        self.file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let (mut sum, mut block) = (Sha256::new(), vec![0; BLOCK_BYTES]);
        loop {
            let count = self.file.read(&mut block).map_err(failed)?;
            if count == 0 {
                break;
            }
            sum.update(&block[..count]);
        }
        let found: [u8; 32] = sum.finalize().into();
        if found != wanted {
            return Err(self.mismatch(format!(
                "its SHA-256 is {}, sent was {}",
                hex::encode(found),
                hex::encode(wanted)
            )));
        }
        self.told.received_bytes = self.size_bytes;
        self.told.is_proved = true;
        self.label_it()
    }

    fn mismatch(&self, reason: String) -> StoreError {
        StoreError::ReplicaMismatch { replica: self.label.mark.owner.clone(), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_gone_on_with_from_the_same_base_only() {
        assert_eq!(go_on("4096:0", None).unwrap(), 4096);
        assert_eq!(go_on("4096:7", Some(7)).unwrap(), 4096);
        for (resume, base) in
            [("4096:7", None), ("4096:7", Some(8)), ("4096:0", Some(8)), ("4096", None), ("x:0", None)]
        {
            let refused = go_on(resume, base);
            assert!(matches!(refused, Err(StoreError::ReplicaLeftBehind { .. })), "{resume}: {refused:?}");
        }
    }
}
