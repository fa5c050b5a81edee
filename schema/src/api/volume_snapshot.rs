//! The view of a volume's snapshot.

use super::{Failure, Language, Localise, Timestamp};
use crate::model::volume_snapshot::VolumeSnapshotState;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VolumeSnapshot {
    pub id: String,
    pub account_id: String,
    pub uuid: String,
    pub volume_id: String,
    /// `online` or `offline`: whether its storage node's agent is heard.
    pub status: String,
    #[schema(value_type = String, example = "available")]
    pub state: VolumeSnapshotState,
    /// Bytes of the volume when it was taken.
    pub size: u64,
    pub display_name: Option<String>,
    pub storage_node_id: String,
    pub generation: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub deleted_at: Option<Timestamp>,
    pub failure: Option<Failure>,
    /// The schedule that made it; null where somebody asked for it.
    #[serde(default)]
    #[schema(example = "vsc-nightly")]
    pub schedule_id: Option<String>,
    /// Somebody marked it: no schedule deletes it.
    #[serde(default)]
    pub kept: bool,
}

/// What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpdateVolumeSnapshot {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// No schedule deletes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<bool>,
}

impl Localise for VolumeSnapshot {
    fn localise(&mut self, language: Language) {
        self.failure.localise(language);
    }
}
