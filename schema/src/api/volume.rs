//! The view of a volume: the original's keys in its order, then ours.

use super::{Failure, Language, Localise, Progress, Timestamp};
use crate::model::volume::VolumeState;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Volume {
    pub id: String,
    pub account_id: String,
    pub uuid: String,
    /// `online` or `offline`: whether its storage node's agent is heard.
    pub status: String,
    #[schema(value_type = String, example = "available")]
    pub state: VolumeState,
    /// Bytes.
    pub size: u64,
    pub instance_id: Option<String>,
    /// Where the guest finds it: `/dev/disk/by-id/virtio-<serial>`.
    pub guest_device_name: Option<String>,
    #[serde(default)]
    #[schema(value_type = Object)]
    pub request_params: Value,
    pub deleted_at: Option<Timestamp>,
    pub attached_at: Option<Timestamp>,
    pub detached_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub service_type: String,
    pub display_name: Option<String>,
    pub backup_object_id: Option<String>,
    pub volume_type: String,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub volume_device: Value,
    /// `shared` (reached over the network) or `local`.
    pub store_type: String,
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub labels: Vec<Value>,
    // Ours from here on.
    pub storage_node_id: Option<String>,
    /// The snapshot it began with.
    #[serde(default)]
    pub snapshot_id: Option<String>,
    /// The replica of a snapshot it began with.
    #[serde(default)]
    pub replica_id: Option<String>,
    pub generation: u64,
    pub failure: Option<Failure>,
    pub progress: Option<Progress>,
    /// The last rollback that was asked for.
    #[serde(default)]
    pub rollback: Option<VolumeRollback>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VolumeRollback {
    pub operation_id: String,
    pub snapshot_id: String,
    /// `open`, `done` or `failed`.
    pub state: String,
    pub failure: Option<Failure>,
}

/// What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpdateVolume {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

impl Localise for Volume {
    fn localise(&mut self, language: Language) {
        self.failure.localise(language);
        if let Some(rollback) = &mut self.rollback {
            rollback.failure.localise(language);
        }
    }
}
