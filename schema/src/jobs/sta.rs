//! Jobs of the StorageTargetAgent.

use super::hva::DiskFormat;
use crate::model::{AccountId, AttachmentId, ImageId, Secret, VolumeId, VolumeSnapshotId};
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
    /// Of an upload: whoever brings the bytes to this node shows it, once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Secret>,
}

/// The source of an image whose bytes are brought to the storage node: `PUT <http of the node>/uploads/<image>`.
pub const UPLOAD: &str = "upload:";

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
