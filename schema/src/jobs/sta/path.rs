//! The question `sta.path` and its answer: what a storage node holds of a volume, and who reaches it there.

use crate::model::AttachmentId;
use serde::{Deserialize, Serialize};

/// The question's name on the wire.
pub const PATH: &str = "sta.path";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathQuestion {
    /// The volume's name in the store.
    pub key: String,
}

/// What was seen just now. Of a part that could not be looked at its trouble is told, and nothing is concluded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathAnswer {
    /// `zfs`, `file`, `sim`.
    pub store: String,
    /// `None` without a trouble: it is not there.
    #[serde(default)]
    pub volume: Option<PathVolume>,
    #[serde(default)]
    pub store_trouble: Option<String>,
    #[serde(default)]
    pub pool: Option<PathPool>,
    /// `lio`, `tgt`, `sim`.
    pub export: String,
    /// Where initiators connect to.
    pub portal: String,
    /// Every target that serves this volume.
    #[serde(default)]
    pub targets: Vec<PathTarget>,
    #[serde(default)]
    pub export_trouble: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathVolume {
    /// The file or block device that is served.
    pub path: String,
    pub size_bytes: u64,
    /// Whose it is marked as; `None`: it was not made here.
    #[serde(default)]
    pub owner: Option<String>,
    #[serde(default)]
    pub generation: u64,
}

/// What the store stands on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathPool {
    pub name: String,
    /// As `zpool status` says it (`ONLINE`, `DEGRADED`, …); `None`: a file system, which has no such word.
    #[serde(default)]
    pub health: Option<String>,
    /// What is wrong with it and what can be done, in the pool's own words.
    #[serde(default)]
    pub note: Option<String>,
    /// The last or running scrub or resilver, in the pool's own words.
    #[serde(default)]
    pub scan: Option<String>,
    pub total_bytes: u64,
    pub free_bytes: u64,
    /// Kept free: with less the store counts as full.
    pub kept_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathTarget {
    pub iqn: String,
    pub attachment: AttachmentId,
    pub epoch: u64,
    /// It has its disk, its initiator and its account.
    pub whole: bool,
    /// Who may log in.
    pub initiators: Vec<String>,
    /// Who is logged in.
    pub sessions: Vec<String>,
}
