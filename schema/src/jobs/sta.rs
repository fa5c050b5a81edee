//! Jobs of the StorageTargetAgent.

pub mod path;

use super::hva::DiskFormat;
use crate::model::{
    AccountId, AttachmentId, BackupObjectId, BackupStorageId, ImageId, Observation, Secret, SnapshotReplicaId,
    VolumeId, VolumeSnapshotId,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Bring an image's bytes into the store and verify them. Fact answered: `image`, with [`StoredImage`] as detail; `maybe`
/// while the bytes still come, so that the job is asked for again (no job is longer than its budget).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportImage {
    pub image: ImageId,
    /// `file:///…` on the storage node (the operator's seed), `https://…` or `http://…` anywhere, or [`UPLOAD`].
    pub source: String,
    /// SHA-256 of the file, lower-case hex; a difference is `image_checksum_mismatch` and leaves nothing. Absent where
    /// nobody told it: what comes is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    pub format: DiskFormat,
    /// The source is another storage node of this data center, not an address that a user gave.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub peer: bool,
    /// Of an upload: whoever brings the bytes to this node shows it, once. Of a copy of a machine's disk: what this node
    /// shows to the host that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Secret>,
}

/// The source of an image whose bytes are brought to the storage node: `PUT <http of the node>/uploads/<image>`.
pub const UPLOAD: &str = "upload:";

/// The source of an image that is a copy of a machine's disk, until a host says where that is fetched.
pub const CAPTURE: &str = "capture:";

/// Where an imported image can be fetched, and what it was found to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredImage {
    pub url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteImage {
    pub image: ImageId,
}

/// Fact answered: `volume`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateVolume {
    pub volume: VolumeId,
    pub account: AccountId,
    /// Name in the backing store: short, internal, never the public id (DESIGN 3.9).
    pub key: String,
    pub size_bytes: u64,
    /// Copy-on-write from this image, which the store already holds; blank without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
    /// It begins with what a backup holds. Fact answered: `maybe` while the bytes still come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<RestoredBackup>,
    /// Copy-on-write from this snapshot, which the same store holds. It is never smaller than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<ClonedSnapshot>,
    /// The same of a replica of another node's snapshot, which this store holds whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<ClonedReplica>,
}

/// The snapshot that a volume begins with, by its names in the backing store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClonedSnapshot {
    pub snapshot: VolumeSnapshotId,
    pub key: String,
    pub volume_key: String,
}

/// The replica that a volume begins with, by its name in the backing store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClonedReplica {
    pub replica: SnapshotReplicaId,
    pub key: String,
}

/// Where a backup is read, and what it has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredBackup {
    pub object: BackupObjectId,
    pub storage: BackupStorageId,
    /// SHA-256 of the content, not of the packed file; a difference is `backup_checksum_mismatch` and leaves nothing.
    pub sha256: String,
    /// Of another storage node, which has it: where this one does not reach it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What is shown there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader: Option<Secret>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteVolume {
    pub volume: VolumeId,
    pub key: String,
}

/// The envelope's thing is the attachment. Fact answered: `exported`, with [`ExportedTarget`] as detail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExportVolume {
    pub attachment: AttachmentId,
    pub volume: VolumeId,
    pub key: String,
    pub epoch: u64,
    pub initiator_iqn: String,
    pub chap_user: String,
    /// 12 to 16 bytes: RFC 7143 section 9.2.1 asks for 96 random bits, some initiators stop at 16 bytes.
    pub chap_secret: Secret,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedTarget {
    pub portal: String,
    pub iqn: String,
    pub lun: u32,
}

/// Answered `exported` no only when the target, its sessions and its account are gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnexportVolume {
    pub attachment: AttachmentId,
    pub volume: VolumeId,
    pub epoch: u64,
}

/// End what an attachment's host can do to the volume, whatever that host is doing: it is not asked and not waited for.
/// Answered `exported` no with a [`FenceProof`] as detail, or not at all: what could not be proved is asked again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceVolume {
    pub attachment: AttachmentId,
    pub volume: VolumeId,
    /// Targets of this epoch and of all before it.
    pub epoch: u64,
    /// The host's: what is refused from now on.
    pub initiator_iqn: String,
}

/// What a storage node saw once nobody could reach a volume by an attachment any more (DESIGN 7). Its fact carries the
/// generation of the wish that asked for it: a proof of an older one proves nothing about a newer export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceProof {
    /// The target that was read back absent, with its account and without a session.
    pub target: String,
    pub epoch: u64,
    /// Whose login was tried.
    pub initiator: String,
    /// Initiators whose sessions were open when the fencing began. What they had in flight was written or dropped before
    /// their sessions were read back ended.
    pub sessions_ended: Vec<String>,
    /// How the portal itself answered that login: RFC 7143 section 11.13.5 (`0203`: no such target), or `closed`: it has no
    /// target at all and hangs up on everybody.
    pub refusal: String,
    /// When, in the order of this agent's observations.
    pub observed: Observation,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObserveVolume {
    pub volume: VolumeId,
    pub key: String,
}

/// Fact answered: `volume`. Changes no byte and makes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkVolume {
    pub volume: VolumeId,
    pub key: String,
}

/// Fact answered: `volume`, with [`SeenVolume`] as detail. A volume that carries the operation already is answered done
/// without acting, whatever was written to it since. One that is exported is refused: somebody may be writing to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollBackVolume {
    pub volume: VolumeId,
    pub key: String,
    pub snapshot: VolumeSnapshotId,
    pub snapshot_key: String,
    pub operation: Uuid,
}

/// Detail of the fact `volume`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenVolume {
    pub size_bytes: u64,
    /// The last rollback that was carried out on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Uuid>,
}

/// Fact answered: `snapshot`. Of a volume in use it is crash-consistent: what the guest had not written yet is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateSnapshot {
    pub snapshot: VolumeSnapshotId,
    pub volume: VolumeId,
    /// Names in the backing store, as [`CreateVolume::key`].
    pub key: String,
    pub volume_key: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteSnapshot {
    pub snapshot: VolumeSnapshotId,
    pub key: String,
    pub volume_key: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObserveSnapshot {
    pub snapshot: VolumeSnapshotId,
    pub key: String,
    pub volume_key: String,
}

/// Facts answered: `snapshot`, and `offered` with [`OfferedSnapshot`] as detail. Changes no byte of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferSnapshot {
    pub snapshot: VolumeSnapshotId,
    pub key: String,
    pub volume_key: String,
    /// Whoever shows it may read the snapshot over HTTP. `None`: nobody any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader: Option<Secret>,
}

/// What another storage node has to know of a snapshot to receive it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedSnapshot {
    /// Where it is read; empty where this node serves nothing.
    pub url: String,
    /// Its identity, whatever it is called: ZFS's `guid`, a random number on a file store. A replica has the same.
    pub guid: u64,
    pub size_bytes: u64,
    /// The kind of store: only one of the same kind can receive it.
    pub store: String,
}

/// The body of every job of a replica: a copy of a snapshot in another storage node's store. The envelope's thing is the
/// replica. Fact answered: `replica`, with [`StoredReplica`] as detail; `maybe` while it is being received, so that the job is
/// asked for again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    pub replica: SnapshotReplicaId,
    /// The volume it is of: an earlier replica of the same one is what an incremental copy begins with.
    pub volume: VolumeId,
    /// Name in the backing store, as [`CreateVolume::key`].
    pub key: String,
    /// Only where it is received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ReplicaSource>,
    /// The account and the snapshot. Only where it is received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// Whose a copy is and what it is of. It is written beside the copy's mark, so that a copy whose row is forgotten can be told:
/// a row is made of it again. No agent judges by it; what an older agent wrote says nothing of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// The volume whose content it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeId>,
    /// Of a replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<VolumeSnapshotId>,
    /// Of a backup that is a copy of another one, or of an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<BackupObjectId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
}

impl Origin {
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// Where a snapshot is read, and what it has to be: [`OfferedSnapshot`] with what is shown there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaSource {
    #[serde(flatten)]
    pub offered: OfferedSnapshot,
    pub reader: Secret,
}

/// What of a replica is in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredReplica {
    /// Of the snapshot; 0 of one of which nothing came yet.
    pub size_bytes: u64,
    /// The snapshot's identity; absent from one that is not whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guid: Option<u64>,
    /// Identity of the snapshot it was received as a difference to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<u64>,
}

/// The body of every job of a backup: a copy of a volume as it was at one moment, through a snapshot of its own. The
/// envelope's thing is the object. Facts answered: `snapshot` and `object`, the latter with [`StoredBackup`] as detail;
/// `object` is `maybe` while it is being written, so that the job is asked for again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    pub object: BackupObjectId,
    pub storage: BackupStorageId,
    /// The volume it is a copy of; none of one that is a copy of an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeId>,
    /// Names in the backing store, of the snapshot and of the volume, as [`CreateVolume::key`].
    pub key: String,
    pub volume_key: String,
    /// Whoever shows it may read the object over HTTP. Only where the object is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader: Option<Secret>,
    /// It is copied from there, not from a volume. Only where the object is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<BackupSource>,
    /// The account and what it is a copy of. Only where the object is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// What a backup is a copy of, where that is no volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupSource {
    Object(RestoredBackup),
    /// An image that this node has.
    Image {
        image: ImageId,
        sha256: String,
    },
}

/// The endpoint of a storage agent's hello that names the backup storages it reaches, with spaces between them.
pub const BACKUPS: &str = "backups";

/// What a backup was found to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBackup {
    /// Where another storage node reads it; empty where this one serves nothing.
    pub url: String,
    /// Of the content.
    pub sha256: String,
    pub size_bytes: u64,
    /// As it lies there, packed.
    pub stored_bytes: u64,
}
