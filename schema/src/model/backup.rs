//! The states of a backup object, derived from the wish and the facts.
//!
//! Rule: an object holds data. One that was whole once and is missing is lost and never made again: it would be of another
//! moment.

use super::Fact;
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupState {
    Creating,
    Available,
    Deleting,
    Deleted,
    Failed,
    Lost,
}

impl BackupState {
    pub const ALL: [BackupState; 6] = [
        BackupState::Creating,
        BackupState::Available,
        BackupState::Deleting,
        BackupState::Deleted,
        BackupState::Failed,
        BackupState::Lost,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            BackupState::Creating => "creating",
            BackupState::Available => "available",
            BackupState::Deleting => "deleting",
            BackupState::Deleted => "deleted",
            BackupState::Failed => "failed",
            BackupState::Lost => "lost",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl fmt::Display for BackupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BackupView {
    pub wanted: bool,
    pub object: Fact,
    /// Nothing of it is left anywhere, its snapshot neither.
    pub over: bool,
    pub was_present: bool,
    pub failed: bool,
}

/// The one table of a backup object's states.
pub fn state(view: BackupView) -> BackupState {
    match (view.wanted, view.object) {
        (false, _) if view.over => BackupState::Deleted,
        (false, _) => BackupState::Deleting,
        (true, Fact::No) if view.was_present => BackupState::Lost,
        // What turns up of one that was given up is removed, never offered.
        (true, _) if view.failed && !view.was_present => BackupState::Failed,
        (true, Fact::Yes) => BackupState::Available,
        (true, Fact::Maybe) if view.was_present => BackupState::Available,
        (true, Fact::No | Fact::Maybe) => BackupState::Creating,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_that_was_whole_and_is_missing_is_lost_and_never_creating() {
        for failed in [false, true] {
            let view = BackupView { wanted: true, object: Fact::No, over: false, was_present: true, failed };
            assert_eq!(state(view), BackupState::Lost);
        }
        let view = BackupView { wanted: true, object: Fact::No, over: false, was_present: false, failed: false };
        assert_eq!(state(view), BackupState::Creating, "control");
    }

    #[test]
    fn every_state_is_read_back_from_its_word() {
        for one in BackupState::ALL {
            assert_eq!(BackupState::parse(one.as_str()), Some(one));
        }
    }
}
