//! The states of a volume's snapshot, derived from the wish and the fact.
//!
//! Rule: a snapshot holds data. One that was there and is missing is lost and never taken again: it would be of another
//! moment.

use super::Fact;
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumeSnapshotState {
    Creating,
    Available,
    Deleting,
    Deleted,
    Failed,
    Lost,
}

impl VolumeSnapshotState {
    pub const ALL: [VolumeSnapshotState; 6] = [
        VolumeSnapshotState::Creating,
        VolumeSnapshotState::Available,
        VolumeSnapshotState::Deleting,
        VolumeSnapshotState::Deleted,
        VolumeSnapshotState::Failed,
        VolumeSnapshotState::Lost,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            VolumeSnapshotState::Creating => "creating",
            VolumeSnapshotState::Available => "available",
            VolumeSnapshotState::Deleting => "deleting",
            VolumeSnapshotState::Deleted => "deleted",
            VolumeSnapshotState::Failed => "failed",
            VolumeSnapshotState::Lost => "lost",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl fmt::Display for VolumeSnapshotState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VolumeSnapshotView {
    pub wanted: bool,
    pub present: Fact,
    pub was_present: bool,
    pub failed: bool,
}

/// The one table of a snapshot's states.
pub fn state(view: VolumeSnapshotView) -> VolumeSnapshotState {
    match (view.wanted, view.present) {
        (false, Fact::No) => VolumeSnapshotState::Deleted,
        (false, _) => VolumeSnapshotState::Deleting,
        (true, Fact::No) if view.was_present => VolumeSnapshotState::Lost,
        // What turns up of a creation that was given up is removed, never offered.
        (true, _) if view.failed && !view.was_present => VolumeSnapshotState::Failed,
        (true, Fact::Yes) => VolumeSnapshotState::Available,
        (true, Fact::Maybe) if view.was_present => VolumeSnapshotState::Available,
        (true, Fact::No | Fact::Maybe) => VolumeSnapshotState::Creating,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_that_was_present_and_is_not_is_lost_and_never_creating() {
        for failed in [false, true] {
            let view = VolumeSnapshotView { wanted: true, present: Fact::No, was_present: true, failed };
            assert_eq!(state(view), VolumeSnapshotState::Lost);
        }
    }

    #[test]
    fn every_state_is_read_back_from_its_word() {
        for one in VolumeSnapshotState::ALL {
            assert_eq!(VolumeSnapshotState::parse(one.as_str()), Some(one));
        }
    }
}
