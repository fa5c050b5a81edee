//! Replicas of the simulated world: the word that stands for a snapshot's content, sent in frames as the file store does.
//!
//! Rule: answers what the other stores would answer. A part is in the world before its bytes are; what breaks off begins anew.

use super::SimStore;
use crate::mark::Mark;
use crate::sim::{SimReplica, SimSnapshot};
use crate::store::replicas::frames::{Frame, Reader, Writer};
use crate::store::replicas::{
    Asked, Begun, Head, NewReplica, Offer, Pieces, Progress, Replica, Replicas, Sending, frames, held,
};
use crate::store::snapshots::{SnapshotKeys, name};
use crate::store::{StoreError, check_key};
use async_trait::async_trait;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use std::io::Cursor;

/// Drawn from whose it is and what it holds: a simulation from one seed has the same.
fn guid(found: &SimSnapshot) -> u64 {
    let owner = found.mark.as_ref().map(|mark| mark.owner.as_str()).unwrap_or_default();
    let sum = Sha256::digest(format!("{owner} {}", found.content));
    // 53 bits: as JSON they are exact everywhere.
    sum.iter().take(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)) >> 11
}

fn offer(found: &SimSnapshot) -> Offer {
    let reader = found.reader.clone().unwrap_or_default();
    Offer { guid: guid(found), size_bytes: found.size_bytes, reader, mark: found.mark.clone() }
}

fn replica(key: &str, found: &SimReplica) -> Replica {
    Replica {
        key: key.to_owned(),
        mark: found.mark.clone(),
        volume: Some(found.volume.clone()),
        size_bytes: found.size_bytes,
        guid: Some(found.guid).filter(|_| found.is_whole),
        base: found.base,
        origin: found.origin.clone(),
    }
}

impl SimStore {
    pub(super) async fn content_of_replica(&self, key: &str) -> Result<String, StoreError> {
        let missing = || StoreError::Unavailable { reason: format!("{key} went while it was used") };
        let found = self.look(|state| state.replicas.get(key).map(|found| found.content.clone())).await?;
        found.ok_or_else(missing)
    }
}

fn mismatch(new: &NewReplica, reason: String) -> StoreError {
    StoreError::ReplicaMismatch { replica: new.mark.owner.clone(), reason }
}

/// The content that comes, which is what the stream says it is.
async fn collect(new: &NewReplica, mut pieces: Pieces, base: Option<String>) -> Result<String, StoreError> {
    let (mut reader, mut content, mut end) = (Reader::default(), Vec::new(), None);
    while let Some(piece) = pieces.next().await {
        for frame in reader.take(&piece?).map_err(|reason| mismatch(new, reason))? {
            match (frame, &base) {
                (Frame::Data { bytes, .. }, _) => content.extend_from_slice(&bytes),
                (Frame::Same { offset, length }, Some(base)) => {
                    let (from, to) = (offset as usize, (offset + length) as usize);
                    content.extend_from_slice(base.as_bytes().get(from..to).unwrap_or_default());
                }
                (Frame::Zeros { length, .. }, _) => content.resize(content.len() + length as usize, 0),
                (Frame::End { sha256, .. }, _) => end = Some(sha256),
                (Frame::Same { .. } | Frame::Passed { .. }, _) => {
                    return Err(mismatch(new, "what is left out is not here".into()));
                }
            }
        }
    }
    let end = end.ok_or_else(|| StoreError::ReplicaBrokenOff { reason: "the end did not come".into() })?;
    if Sha256::digest(&content).as_slice() != end {
        return Err(mismatch(new, "the checksum of the whole differs".into()));
    }
    String::from_utf8(content).map_err(|wrong| mismatch(new, wrong.to_string()))
}

#[async_trait]
impl Replicas for SimStore {
    async fn offer_snapshot(&self, at: &SnapshotKeys, reader: &str) -> Result<Offer, StoreError> {
        let named = name(&at.volume_key, &at.key);
        let offered = self.change("offer_snapshot", |state| {
            let found = state.snapshots.get_mut(&named)?;
            found.reader = Some(reader.to_owned());
            Some(offer(found))
        });
        let missing = || StoreError::Unavailable { reason: format!("{named} went while it was used") };
        offered.await?.ok_or_else(missing)
    }

    async fn find_offer(&self, at: &SnapshotKeys) -> Result<Option<Offer>, StoreError> {
        let named = name(&at.volume_key, &at.key);
        self.look(|state| state.snapshots.get(&named).filter(|found| found.reader.is_some()).map(offer)).await
    }

    async fn send_snapshot(&self, at: &SnapshotKeys, asked: &Asked) -> Result<Sending, StoreError> {
        if asked.resume.is_some() {
            return Err(StoreError::ReplicaLeftBehind { reason: "a simulated store goes on with nothing".into() });
        }
        let (named, of_volume) = (name(&at.volume_key, &at.key), format!("{}@", at.volume_key));
        let found = self
            .look(|state| {
                let others =
                    state.snapshots.iter().filter(|(other, _)| other.starts_with(&of_volume) && **other != named);
                let mut base =
                    others.filter(|(_, other)| asked.held.contains(&guid(other))).map(|(_, other)| other.clone());
                Some((state.snapshots.get(&named)?.clone(), base.next_back()))
            })
            .await?;
        let (snapshot, base) =
            found.ok_or_else(|| StoreError::Unavailable { reason: format!("{named} went while it was used") })?;
        let head = Head {
            store: "sim".into(),
            guid: guid(&snapshot),
            base: base.as_ref().map(guid),
            size_bytes: snapshot.size_bytes,
            stream_bytes: snapshot.content.len() as u64,
        };
        let boxed = |found: SimSnapshot| Box::new(Cursor::new(found.content.into_bytes())) as Box<_>;
        let writer = Writer::new(boxed(snapshot), base.map(boxed), 0);
        Ok(Sending { head, pieces: frames::pieces(writer) })
    }

    async fn find_replica(&self, key: &str) -> Result<Option<Replica>, StoreError> {
        check_key(key)?;
        self.look(|state| state.replicas.get(key).map(|found| replica(key, found))).await
    }

    async fn list_replicas(&self) -> Result<Vec<Replica>, StoreError> {
        self.look(|state| state.replicas.iter().map(|(key, found)| replica(key, found)).collect()).await
    }

    async fn begin_replica(&self, new: &NewReplica) -> Result<Begun, StoreError> {
        check_key(&new.key)?;
        self.faults().hit("receive_replica:before").await?;
        let part = self.look(|state| state.replicas.get(&new.key).map(|found| (found.guid, found.is_proved))).await?;
        if part == Some((new.guid, true)) {
            return Ok(Begun::Proved);
        }
        self.abandon_replica(&new.key).await?;
        Ok(Begun::Wants(Asked { held: held(&self.list_replicas().await?, new), resume: None }))
    }

    async fn receive_replica(
        &self,
        new: &NewReplica,
        head: &Head,
        pieces: Pieces,
        progress: Progress,
    ) -> Result<(), StoreError> {
        let begun = self.change("begin_replica", |state| {
            let whole = state.replicas.values().find(|one| one.is_whole && Some(one.guid) == head.base);
            let base = whole.map(|found| found.content.clone());
            let made = SimReplica {
                size_bytes: new.size_bytes,
                mark: Some(new.mark.clone()),
                volume: new.volume.clone(),
                guid: new.guid,
                base: head.base,
                content: String::new(),
                is_proved: false,
                is_whole: false,
                origin: new.origin.clone(),
            };
            state.replicas.insert(new.key.clone(), made);
            base
        });
        let base = begun.await?;
        self.faults().hit("receive_replica:begun").await?;
        let content = collect(new, pieces, base).await?;
        progress(99);
        self.change("receive_replica", |state| {
            if let Some(part) = state.replicas.get_mut(&new.key) {
                part.content = content;
                part.is_proved = true;
            }
        })
        .await?;
        Ok(self.faults().hit("receive_replica:proved").await?)
    }

    async fn keep_replica(&self, new: &NewReplica) -> Result<(), StoreError> {
        let kept = self.change("keep_replica", |state| {
            let part = state.replicas.get_mut(&new.key).filter(|part| part.is_proved)?;
            part.mark = Some(new.mark.clone());
            part.is_whole = true;
            Some(())
        });
        let missing = || StoreError::ReplicaLeftBehind { reason: "nothing was received whole".into() };
        kept.await?.ok_or_else(missing)
    }

    async fn mark_replica(&self, key: &str, mark: &Mark) -> Result<(), StoreError> {
        self.change("mark_replica", |state| {
            if let Some(found) = state.replicas.get_mut(key) {
                found.mark = Some(mark.clone());
            }
        })
        .await
    }

    async fn abandon_replica(&self, key: &str) -> Result<(), StoreError> {
        self.change("abandon_replica", |state| {
            if state.replicas.get(key).is_some_and(|found| !found.is_whole) {
                state.replicas.remove(key);
            }
        })
        .await
    }

    async fn delete_replica(&self, key: &str) -> Result<(), StoreError> {
        check_key(key)?;
        self.change("delete_replica", |state| state.replicas.remove(key)).await.map(|_| ())
    }
}
