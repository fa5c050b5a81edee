//! The view of a snapshot's replica.

use super::{Failure, Language, Localise, Timestamp};
use crate::model::volume_snapshot::VolumeSnapshotState;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A copy of a volume's snapshot in another storage node's store. It outlives both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotReplica {
    pub id: String,
    pub account_id: String,
    pub uuid: String,
    /// The volume whose snapshot it is a copy of.
    pub volume_id: String,
    /// Empty of one that was adopted and was received by an agent that did not note it yet.
    pub snapshot_id: String,
    /// The storage node that has it.
    pub storage_node_id: String,
    /// `online` or `offline`: whether that node's agent is heard.
    pub status: String,
    /// As of a snapshot: `creating` while it is received.
    #[schema(value_type = String, example = "available")]
    pub state: VolumeSnapshotState,
    /// Bytes of the volume when the snapshot was taken.
    pub size: u64,
    /// How far what is going on has come, of a hundred; null while nobody knows.
    #[serde(default)]
    #[schema(example = 40)]
    pub percent: Option<u8>,
    pub generation: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub deleted_at: Option<Timestamp>,
    pub failure: Option<Failure>,
}

impl Localise for SnapshotReplica {
    fn localise(&mut self, language: Language) {
        self.failure.localise(language);
    }
}
