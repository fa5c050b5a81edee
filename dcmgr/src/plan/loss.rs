//! The plan of a host that was declared lost: what becomes of its machines, and when such a host that came back has given
//! everything up.
//!
//! ```text
//!   being deleted ────────────────────────────────► ended
//!   moving: whole on the other host ──────────────► stays there
//!           the other may have it: is heard ──────► not yet: it is being asked
//!                                  is silent ─────► undecided
//!           the other surely has none ────────────► lost
//!   ran once: its disk is on its host ────────────► lost (off; found again with the host)
//!   never seen to run, and may be placed again ───► placed again, when its volumes are fenced
//! ```
//!
//! Rule: what an operator swears is that nothing runs on the host. Of a volume he swears nothing: its way is fenced, and that
//! is proved (`super::attachment`). A disk is never given up because its host is lost: it may come back.

use super::instance::Facts;
use super::migration::Guest;
use super::moving::Held;
use arame_schema::model::instance::DesiredInstance;
use arame_schema::model::{Fact, FactName};

/// A machine of a host that is declared lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    pub desired: DesiredInstance,
    pub ran_before: bool,
    /// Its request named no host, and it was not placed too often.
    pub may_be_placed: bool,
    /// The other host of its move, if it is between two.
    pub other: Option<Other>,
}

/// The other host of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Other {
    pub held: Held,
    pub heard: bool,
    /// It was declared lost before.
    pub lost: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Ended,
    PlacedAgain,
    Lost,
    Stays,
    /// Whether the other host has it is being asked: declared a moment later, this is known.
    NotYet,
    Undecided,
}

pub fn fate(machine: Machine) -> Fate {
    if machine.desired == DesiredInstance::Gone {
        return Fate::Ended;
    }
    if let Some(other) = machine.other {
        return match other.held {
            _ if other.lost => Fate::Lost,
            Held::Off | Held::Between(Guest::Running | Guest::Paused) => Fate::Stays,
            Held::Between(Guest::Maybe) if other.heard => Fate::NotYet,
            Held::Between(Guest::Maybe) => Fate::Undecided,
            Held::Between(Guest::Absent | Guest::Waiting | Guest::HandedOver) => Fate::Lost,
        };
    }
    match machine.desired {
        DesiredInstance::On | DesiredInstance::Off if !machine.ran_before && machine.may_be_placed => Fate::PlacedAgain,
        DesiredInstance::On | DesiredInstance::Off | DesiredInstance::Gone => Fate::Lost,
    }
}

/// The facts of an instance at its host, which was declared lost: that nothing is there was sworn of every generation. What is
/// on its way there is forbidden before the host counts as any other again ([`is_to_go`]).
pub fn as_sworn(facts: Facts, generation: u64) -> Facts {
    let absent = facts.domain == Fact::No && facts.power == Fact::No;
    if absent { Facts { generation: facts.generation.max(generation), ..facts } } else { facts }
}

/// What is known of a thing at a host that was declared lost and is heard again, from a complete listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    pub name: FactName,
    pub value: Fact,
    /// Of an instance whose host is another one by now, or is to be.
    pub elsewhere: bool,
    /// Its absence was answered by a removal, which forbids what may still be on its way there: the operator's word, and that
    /// nothing was seen, do not.
    pub removed: bool,
    /// It may be the newest disk of its machine: it is left alone (`super::moving::may_be_newest`).
    pub spare: bool,
}

/// Whether a host that is back has to be told to remove something that is elsewhere since.
pub fn is_to_go(left: Left) -> bool {
    left.name == FactName::Domain && left.elsewhere && !left.spare && !(left.value == Fact::No && left.removed)
}

/// Whether the host runs nothing, has no volume plugged, and holds nothing of what is elsewhere: it is a host like any other
/// again. What it has of its own machines' disks it keeps.
pub fn has_given_up(left: &[Left]) -> bool {
    left.iter().all(|one| match one.name {
        FactName::Power | FactName::Plugged => !one.value.may_be_so(),
        FactName::Domain if one.elsewhere => !is_to_go(*one) && one.value == Fact::No,
        FactName::Domain => true,
        FactName::Volume
        | FactName::Snapshot
        | FactName::Offered
        | FactName::Replica
        | FactName::Exported
        | FactName::Image
        | FactName::Object
        | FactName::Captured
        | FactName::Applied => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(desired: DesiredInstance, ran_before: bool, other: Option<Other>) -> Machine {
        Machine { desired, ran_before, may_be_placed: true, other }
    }

    #[test]
    fn a_machine_with_a_disk_is_lost_with_its_host_and_only_one_that_never_ran_is_made_anew() {
        let on = DesiredInstance::On;
        assert_eq!(fate(machine(on, true, None)), Fate::Lost);
        assert_eq!(fate(machine(on, false, None)), Fate::PlacedAgain);
        assert_eq!(fate(Machine { may_be_placed: false, ..machine(on, false, None) }), Fate::Lost);
        assert_eq!(fate(machine(DesiredInstance::Off, true, None)), Fate::Lost);
        assert_eq!(fate(machine(DesiredInstance::Off, false, None)), Fate::PlacedAgain, "off before it was made");
        assert_eq!(fate(machine(DesiredInstance::Gone, true, None)), Fate::Ended);
    }

    #[test]
    fn a_machine_between_two_hosts_is_where_it_is_whole_and_nowhere_else() {
        for held in [
            Held::Off,
            Held::Between(Guest::Absent),
            Held::Between(Guest::Maybe),
            Held::Between(Guest::Waiting),
            Held::Between(Guest::Running),
            Held::Between(Guest::Paused),
            Held::Between(Guest::HandedOver),
        ] {
            let whole = matches!(held, Held::Off | Held::Between(Guest::Running | Guest::Paused));
            let unknown = held == Held::Between(Guest::Maybe);
            for (heard, lost) in [(false, false), (true, false), (false, true)] {
                let told = fate(machine(DesiredInstance::On, true, Some(Other { held, heard, lost })));
                let expected = match (lost, whole, unknown, heard) {
                    (true, ..) => Fate::Lost,
                    (_, true, ..) => Fate::Stays,
                    (_, _, true, true) => Fate::NotYet,
                    (_, _, true, false) => Fate::Undecided,
                    (_, _, false, _) => Fate::Lost,
                };
                assert_eq!(told, expected, "{held:?}, heard {heard}, lost {lost}");
            }
        }
    }

    #[test]
    fn a_host_has_given_up_when_nothing_runs_and_nothing_is_plugged_there() {
        let left = |name, value, elsewhere| Left { name, value, elsewhere, removed: false, spare: false };
        let disk = left(FactName::Domain, Fact::Yes, false);
        assert!(has_given_up(&[disk, left(FactName::Power, Fact::No, false)]), "its own machines' disks stay");
        for kept in [
            left(FactName::Power, Fact::Maybe, false),
            left(FactName::Power, Fact::Yes, false),
            left(FactName::Plugged, Fact::Yes, false),
            left(FactName::Domain, Fact::Yes, true),
            left(FactName::Domain, Fact::No, true),
        ] {
            assert!(!has_given_up(&[disk, kept]), "{kept:?}");
        }
        let removed = Left { removed: true, ..left(FactName::Domain, Fact::No, true) };
        assert!(has_given_up(&[disk, removed]), "a removal was answered");
        let spare = Left { spare: true, ..left(FactName::Domain, Fact::Yes, true) };
        assert!(!is_to_go(spare) && !has_given_up(&[spare]), "what may be a newest disk is left alone, and told");
    }
}
