//! Places for backups and what is in them: the original's keys in its order, then ours.

use super::language::wordless;
use super::{Failure, Label, Language, Localise, Timestamp};
use crate::model::{BackupObjectId, BackupStorageId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a backup storage may be.
pub const BACKUP_STORAGE_TYPES: [&str; 3] = ["local", "webdav", "ifs"];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupStorage {
    pub id: String,
    pub uuid: String,
    pub display_name: Option<String>,
    /// `local`, `webdav` or `ifs`.
    pub storage_type: String,
    pub description: String,
    pub base_uri: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub deleted_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BackupObject {
    pub id: String,
    pub uuid: String,
    pub account_id: String,
    /// `creating`, `available`, `deleting`, `deleted`, `failed` or `lost`.
    pub state: String,
    pub size: u64,
    pub allocation_size: u64,
    pub backup_storage_id: String,
    pub object_key: String,
    pub checksum: String,
    /// Per cent.
    pub progress: f64,
    pub backup_storage: StorageOfBackup,
    pub description: String,
    pub display_name: Option<String>,
    pub service_type: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub deleted_at: Option<Timestamp>,
    #[serde(default)]
    pub labels: Vec<Label>,
    // Ours from here on.
    /// The volume it is a copy of; null where somebody registered what was there.
    #[serde(default)]
    pub source_volume_id: Option<String>,
    /// The backup or image it is a copy of, where it is one.
    #[serde(default)]
    pub copied_from: Option<String>,
    /// The storage node that wrote it; null where somebody registered what was there.
    #[serde(default)]
    pub storage_node_id: Option<String>,
    #[serde(default)]
    pub generation: u64,
    #[serde(default)]
    pub failure: Option<Failure>,
    /// The schedule that made it; null where somebody asked for it.
    #[serde(default)]
    #[schema(example = "vsc-nightly")]
    pub schedule_id: Option<String>,
    /// Somebody marked it: no schedule deletes it.
    #[serde(default)]
    pub kept: bool,
}

impl Localise for BackupObject {
    fn localise(&mut self, language: Language) {
        self.failure.localise(language);
    }
}

/// What a backup of a volume is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackUpVolume {
    /// Where to; without it, the one storage that the volume's storage node reaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "bkst-local")]
    pub backup_storage_id: Option<BackupStorageId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

/// The original's answer to a backup that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VolumeBackup {
    pub volume_id: String,
    pub backup_object_id: String,
}

/// What the image of a machine is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackUpInstance {
    /// Backs up the attached volumes as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Operators only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_public: Option<bool>,
    /// Where the image is backed up to; without it the one storage that there is, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "bkst-local")]
    pub backup_storage_id: Option<BackupStorageId>,
}

/// The original's answer to a machine's backup that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InstanceBackup {
    pub instance_id: String,
    /// Of the image; null where no storage node reaches a backup storage.
    pub backup_object_id: Option<String>,
    /// What other machines start from, once it is there.
    pub image_id: String,
    /// Of the image and, with `all`, of the volumes.
    pub backup_object_ids: Vec<String>,
}

/// Where a copy goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CopyTo {
    /// A backup storage, or a storage node that reaches one.
    #[schema(example = "bkst-far")]
    pub destination: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

/// The original's answer to a copy that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CopyRequested {
    /// The backup object that the copy becomes.
    pub uuid: String,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorageOfBackup {
    pub id: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SetBackupStorage {
    /// At its creation only; `uuid` is the original's word for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "bkst-local")]
    pub id: Option<BackupStorageId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_uri: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateBackupObject {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub id: Option<BackupObjectId>,
    #[schema(value_type = String, example = "bkst-local")]
    pub backup_storage_id: BackupStorageId,
    #[serde(default)]
    pub object_key: String,
    #[serde(default)]
    pub size: u64,
    #[serde(default)]
    pub allocation_size: u64,
    #[serde(default)]
    pub checksum: String,
    #[serde(default)]
    pub description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpdateBackupObject {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// No schedule deletes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<bool>,
}

wordless!(BackupStorage, VolumeBackup, InstanceBackup, CopyRequested);
