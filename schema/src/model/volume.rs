//! The states of a volume: Wakame's words, derived from the wish, the facts and its attachment.

use super::Fact;
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumeState {
    Creating,
    Available,
    Attaching,
    Attached,
    Detaching,
    /// A rollback was asked for and its outcome is not known: nobody may use it meanwhile.
    Reverting,
    Deleting,
    Deleted,
    Failed,
    /// It held data, was present, and a complete listing does not have it (DESIGN 3.9). Never made again.
    Lost,
}

impl VolumeState {
    pub const ALL: [VolumeState; 10] = [
        VolumeState::Creating,
        VolumeState::Available,
        VolumeState::Attaching,
        VolumeState::Attached,
        VolumeState::Detaching,
        VolumeState::Reverting,
        VolumeState::Deleting,
        VolumeState::Deleted,
        VolumeState::Failed,
        VolumeState::Lost,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            VolumeState::Creating => "creating",
            VolumeState::Available => "available",
            VolumeState::Attaching => "attaching",
            VolumeState::Attached => "attached",
            VolumeState::Detaching => "detaching",
            VolumeState::Reverting => "reverting",
            VolumeState::Deleting => "deleting",
            VolumeState::Deleted => "deleted",
            VolumeState::Failed => "failed",
            VolumeState::Lost => "lost",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl fmt::Display for VolumeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known of the one attachment a volume may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttachmentView {
    pub wanted: bool,
    pub exported: Fact,
    pub plugged: Fact,
    /// The instance is switched off: an exported volume counts as attached without being plugged.
    pub instance_off: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VolumeView {
    pub wanted: bool,
    pub present: Fact,
    pub was_present: bool,
    pub failed: bool,
    /// A rollback is open.
    pub reverting: bool,
    pub attachment: Option<AttachmentView>,
}

/// The one table of a volume's states.
pub fn state(view: VolumeView) -> VolumeState {
    match (view.wanted, view.present, view.attachment) {
        (false, Fact::No, None) => VolumeState::Deleted,
        (false, _, _) => VolumeState::Deleting,
        (true, Fact::No, _) if view.was_present => VolumeState::Lost,
        (true, Fact::Yes | Fact::Maybe, None) if view.reverting => VolumeState::Reverting,
        (true, Fact::No | Fact::Maybe, _) if view.failed => VolumeState::Failed,
        // What turns up of a creation that was given up is removed, never offered.
        (true, Fact::Yes, _) if view.failed && !view.was_present => VolumeState::Failed,
        (true, Fact::No | Fact::Maybe, _) => VolumeState::Creating,
        (true, Fact::Yes, None) => VolumeState::Available,
        (true, Fact::Yes, Some(attachment)) => attached_state(attachment),
    }
}

fn attached_state(attachment: AttachmentView) -> VolumeState {
    match (attachment.wanted, attachment.exported, attachment.plugged) {
        (false, _, _) => VolumeState::Detaching,
        (true, Fact::Yes, Fact::Yes) => VolumeState::Attached,
        (true, Fact::Yes, _) if attachment.instance_off => VolumeState::Attached,
        (true, _, _) => VolumeState::Attaching,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_that_was_present_and_is_not_is_lost_and_never_creating() {
        let view = VolumeView {
            wanted: true,
            present: Fact::No,
            was_present: true,
            failed: false,
            reverting: true,
            attachment: None,
        };
        assert_eq!(state(view), VolumeState::Lost);
    }

    #[test]
    fn attached_needs_the_export_and_the_plug() {
        for exported in [Fact::No, Fact::Maybe, Fact::Yes] {
            for plugged in [Fact::No, Fact::Maybe, Fact::Yes] {
                let attachment = AttachmentView { wanted: true, exported, plugged, instance_off: false };
                let both = exported == Fact::Yes && plugged == Fact::Yes;
                assert_eq!(attached_state(attachment) == VolumeState::Attached, both);
            }
        }
    }
}
