//! Copies of snapshots in other storage nodes' stores: what a store does to send one, and to receive it.
//!
//! ```text
//! sender: offer ─► send: what the receiver holds already decides whether all of it comes, or what changed, or the rest
//! receiver: begin ─► receive (a marked part, which outlives the process) ─► proved equal ─► keep: the part is the replica
//! ```
//!
//! Rule: a part is marked, and is never taken for a replica; what was received is proved equal before it counts. What a
//! difference is made from is chosen by identity (`guid`), never by name: a snapshot that was deleted and taken again under
//! its old name is another one. Streams are of one kind of store and understood by no other.

pub mod frames;

use super::StoreError;
use super::snapshots::SnapshotKeys;
use crate::mark::Mark;
use arame_schema::jobs::sta::Origin;
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use hyper::body::Bytes;
use std::sync::Arc;

/// Replicas of one volume that a receiver tells of: the newest will do.
pub const HELD_MAX: usize = 64;

/// The bytes of a stream as they come; an error is its end.
pub type Pieces = BoxStream<'static, Result<Bytes, StoreError>>;

/// How far it is, of a hundred.
pub type Progress = Arc<dyn Fn(u8) + Send + Sync>;

/// What a reader has to know of a snapshot that was offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub guid: u64,
    pub size_bytes: u64,
    /// SHA-256 of what a reader has to show; empty: nobody may read.
    pub reader: String,
    /// `None`: not made by us.
    pub mark: Option<Mark>,
}

/// What a receiver asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Identities of the replicas of the same volume that it holds whole, the newest last.
    pub held: Vec<u64>,
    /// From where it goes on, in the words of its own store.
    pub resume: Option<String>,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// [`super::Store::kind`] of the sender.
    pub store: String,
    pub guid: u64,
    /// It comes as a difference to this one of those that the receiver holds.
    pub base: Option<u64>,
    pub size_bytes: u64,
    /// About how many bytes come; 0: not known.
    pub stream_bytes: u64,
}

pub struct Sending {
    pub head: Head,
    pub pieces: Pieces,
}

/// What is to be received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReplica {
    pub key: String,
    /// The volume's id.
    pub volume: String,
    pub guid: u64,
    pub size_bytes: u64,
    pub mark: Mark,
    pub origin: Origin,
}

/// A replica in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    pub key: String,
    /// `None`: not made by us.
    pub mark: Option<Mark>,
    /// The volume's id, where it is ours.
    pub volume: Option<String>,
    /// Of the snapshot; 0 while a store does not know.
    pub size_bytes: u64,
    /// `None`: it is not whole.
    pub guid: Option<u64>,
    /// Of the snapshot that it was received as a difference to.
    pub base: Option<u64>,
    pub origin: Origin,
}

/// Where a receiver stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// All of it came and was proved equal: it is to be kept.
    Proved,
    Wants(Asked),
}

#[async_trait]
pub trait Replicas: Send + Sync + 'static {
    /// Whoever shows what has this digest may read the snapshot; nobody when it is empty. The caller has seen the snapshot and
    /// holds its volume's lock.
    async fn offer_snapshot(&self, at: &SnapshotKeys, reader: &str) -> Result<Offer, StoreError>;
    /// `None`: there is no such snapshot, or it was never offered.
    async fn find_offer(&self, at: &SnapshotKeys) -> Result<Option<Offer>, StoreError>;
    /// The snapshot may be deleted meanwhile: what was begun comes to its end, or ends with an error.
    async fn send_snapshot(&self, at: &SnapshotKeys, asked: &Asked) -> Result<Sending, StoreError>;

    /// Whole or not.
    async fn find_replica(&self, key: &str) -> Result<Option<Replica>, StoreError>;
    async fn list_replicas(&self) -> Result<Vec<Replica>, StoreError>;
    /// Looks what there is of it. What cannot be gone on with is removed.
    async fn begin_replica(&self, new: &NewReplica) -> Result<Begun, StoreError>;
    /// Takes the bytes, and proves them equal. What came before an error is kept where it can be gone on with.
    async fn receive_replica(
        &self,
        new: &NewReplica,
        head: &Head,
        pieces: Pieces,
        progress: Progress,
    ) -> Result<(), StoreError>;
    /// What was received and proved is the replica.
    async fn keep_replica(&self, new: &NewReplica) -> Result<(), StoreError>;
    /// Writes a newer mark on a whole one.
    async fn mark_replica(&self, key: &str, mark: &Mark) -> Result<(), StoreError>;
    /// Removes a part, if there is one; a whole replica stays.
    async fn abandon_replica(&self, key: &str) -> Result<(), StoreError>;
    /// What does not exist is deleted, whole or not. Volumes and replicas that were made from it keep what they hold.
    async fn delete_replica(&self, key: &str) -> Result<(), StoreError>;
}

/// Identities that a receiver tells of: whole replicas of the volume.
pub fn held(replicas: &[Replica], new: &NewReplica) -> Vec<u64> {
    let ours = |replica: &&Replica| {
        let same = replica.mark.as_ref().is_some_and(|mark| mark.installation == new.mark.installation);
        same && replica.volume.as_deref() == Some(&new.volume)
    };
    let found: Vec<u64> = replicas.iter().filter(ours).filter_map(|replica| replica.guid).collect();
    found[found.len().saturating_sub(HELD_MAX)..].to_vec()
}

/// What is sent has to be what the job told of.
///
/// # Errors
/// It is of another store, or another snapshot.
pub fn check_head(head: &Head, new: &NewReplica, kind: &'static str) -> Result<(), StoreError> {
    if head.store != kind {
        return Err(StoreError::ReplicaStoreDiffers { here: kind, there: head.store.clone() });
    }
    if head.guid != new.guid || head.size_bytes != new.size_bytes {
        let reason = format!("snapshot {} of {} bytes is sent", head.guid, head.size_bytes);
        return Err(StoreError::ReplicaMismatch { replica: new.mark.owner.clone(), reason });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn mark(installation: u128) -> Mark {
        Mark { installation: Uuid::from_u128(installation), owner: "rep-a".into(), generation: 1 }
    }

    fn replica(volume: &str, guid: Option<u64>, installation: u128) -> Replica {
        let (mark, volume) = (Some(mark(installation)), Some(volume.to_owned()));
        Replica { key: "k".into(), mark, volume, size_bytes: 1, guid, base: None, origin: Origin::default() }
    }

    fn new() -> NewReplica {
        let origin = Origin::default();
        NewReplica { key: "k".into(), volume: "vol-a".into(), guid: 7, size_bytes: 1, mark: mark(1), origin }
    }

    #[test]
    fn only_whole_replicas_of_the_same_volume_and_installation_are_told_of() {
        let found = [
            replica("vol-a", Some(1), 1),
            replica("vol-b", Some(2), 1),
            replica("vol-a", None, 1),
            replica("vol-a", Some(3), 2),
            Replica { mark: None, ..replica("vol-a", Some(4), 1) },
            replica("vol-a", Some(5), 1),
        ];
        assert_eq!(held(&found, &new()), [1, 5]);
        let many: Vec<Replica> = (0..100).map(|guid| replica("vol-a", Some(guid), 1)).collect();
        assert_eq!(held(&many, &new()), (36..100).collect::<Vec<u64>>(), "the last of them");
    }

    #[test]
    fn a_stream_of_another_store_or_snapshot_is_refused() {
        let head = Head { store: "file".into(), guid: 7, base: None, size_bytes: 1, stream_bytes: 0 };
        assert!(check_head(&head, &new(), "file").is_ok(), "control");
        let differs = check_head(&head, &new(), "zfs");
        assert!(matches!(differs, Err(StoreError::ReplicaStoreDiffers { here: "zfs", .. })));
        for wrong in [Head { guid: 8, ..head.clone() }, Head { size_bytes: 2, ..head }] {
            assert!(matches!(check_head(&wrong, &new(), "file"), Err(StoreError::ReplicaMismatch { .. })));
        }
    }
}
