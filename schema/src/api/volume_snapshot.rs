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
}

impl Localise for VolumeSnapshot {
    fn localise(&mut self, language: Language) {
        self.failure.localise(language);
    }
}
