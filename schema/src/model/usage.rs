//! What a resource uses while it is in a state: the measure of usage intervals.
//!
//! ```text
//! instance   pending, initializing ─► running ─► kept (halted, starting again, failed) ─► shuttingdown
//!            nothing                  CPU, memory, disk   disk                             nothing
//! volume     creating ─► kept ─► deleting
//! address    given to an interface or a handle ─► held ─► given back
//! ```
//!
//! Rule: nothing is counted before a resource is there for the first time, nor from the moment its deletion was asked
//! for. In between every moment is counted once.

use super::instance::InstanceState;
use super::volume::VolumeState;
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Usage {
    /// CPU, memory and disk.
    Running,
    /// Only the disk.
    Kept,
    /// An address, by an interface or a handle.
    Held,
}

impl Usage {
    pub fn as_str(self) -> &'static str {
        match self {
            Usage::Running => "running",
            Usage::Kept => "kept",
            Usage::Held => "held",
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an instance uses in a state. One that never ran uses nothing yet.
pub fn of_instance(state: InstanceState, ran_before: bool) -> Option<Usage> {
    match state {
        InstanceState::Pending
        | InstanceState::Initializing
        | InstanceState::Shuttingdown
        | InstanceState::Terminated => None,
        InstanceState::Running | InstanceState::Migrating => Some(Usage::Running),
        // Until its guest is surely off it may be running; one that was never seen so is not counted for the doubt.
        InstanceState::Halting => ran_before.then_some(Usage::Running),
        InstanceState::Starting | InstanceState::Halted | InstanceState::Failed => ran_before.then_some(Usage::Kept),
    }
}

/// What a volume uses in a state. What is lost holds nobody's data any more.
pub fn of_volume(state: VolumeState) -> Option<Usage> {
    match state {
        VolumeState::Creating
        | VolumeState::Deleting
        | VolumeState::Deleted
        | VolumeState::Failed
        | VolumeState::Lost => None,
        VolumeState::Available
        | VolumeState::Attaching
        | VolumeState::Attached
        | VolumeState::Detaching
        | VolumeState::Reverting => Some(Usage::Kept),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Fact;
    use crate::model::instance::{DesiredInstance, InstanceView, state};

    #[test]
    fn a_machine_that_was_never_seen_running_is_counted_only_while_it_runs() {
        for state in InstanceState::ALL {
            assert_eq!(
                of_instance(state, false).is_some(),
                matches!(state, InstanceState::Running | InstanceState::Migrating),
                "{state}"
            );
        }
    }

    #[test]
    fn a_machine_that_ran_is_counted_in_every_state_until_its_deletion_is_asked_for() {
        for desired in [DesiredInstance::On, DesiredInstance::Off, DesiredInstance::Gone] {
            for domain in [Fact::No, Fact::Maybe, Fact::Yes] {
                for power in [Fact::No, Fact::Maybe, Fact::Yes] {
                    for failed in [false, true] {
                        let view = InstanceView { desired, domain, power, ran_before: true, failed, moving: false };
                        let counted = of_instance(state(view), true).is_some();
                        assert_eq!(counted, desired != DesiredInstance::Gone, "{view:?}");
                    }
                }
            }
        }
    }
}
