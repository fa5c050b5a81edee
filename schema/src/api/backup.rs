//! Places for backups and what is in them: the original's keys in its order. No agent writes backups yet.

use super::language::wordless;
use super::{Label, Timestamp};
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
    /// `available` or `deleted`.
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
}

wordless!(BackupStorage, BackupObject);
