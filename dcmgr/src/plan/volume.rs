//! The plan of a volume on its storage node.

use super::{Kind, Wanted};
use arame_schema::model::Fact;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wish {
    pub wanted: bool,
    pub generation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Surroundings {
    /// It was seen present once: it holds data.
    pub was_present: bool,
    /// An attachment is open (its export may exist).
    pub attached: bool,
    /// It has snapshots, or some are being made or removed.
    pub snapshots: bool,
    pub failed: bool,
}

pub fn next_job(wish: Wish, present: Fact, around: Surroundings) -> Option<Wanted> {
    let job = |kind| Some(Wanted { kind, generation: wish.generation });
    match (wish.wanted, present) {
        (false, Fact::No) => None,
        (false, _) if around.attached || around.snapshots => None,
        (false, Fact::Maybe | Fact::Yes) => job(Kind::DeleteVolume),
        // A creation that failed for good must leave nothing, also what turns up after all.
        (true, Fact::Maybe | Fact::Yes) if around.failed && !around.was_present => job(Kind::DeleteVolume),
        (true, Fact::Yes) => None,
        // It held data: nothing blank is ever made in its name. Look again when unsure, else it is lost.
        (true, Fact::Maybe) if around.was_present => job(Kind::ObserveVolume),
        (true, Fact::No) if around.was_present => None,
        (true, Fact::No) if around.failed => None,
        (true, Fact::No | Fact::Maybe) => job(Kind::CreateVolume),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(was_present: bool, attached: bool, failed: bool) -> Surroundings {
        Surroundings { was_present, attached, snapshots: false, failed }
    }

    #[test]
    fn what_held_data_is_never_created_again() {
        for present in [Fact::No, Fact::Maybe, Fact::Yes] {
            for (attached, failed) in [(false, false), (true, false), (false, true), (true, true)] {
                let next = next_job(Wish { wanted: true, generation: 1 }, present, around(true, attached, failed));
                assert_ne!(next.map(|w| w.kind), Some(Kind::CreateVolume));
            }
        }
    }

    #[test]
    fn an_attached_volume_is_not_deleted_before_its_export_is_gone() {
        let wish = Wish { wanted: false, generation: 3 };
        assert_eq!(next_job(wish, Fact::Yes, around(true, true, false)), None);
        assert_eq!(next_job(wish, Fact::Yes, around(true, false, false)).map(|w| w.kind), Some(Kind::DeleteVolume));
    }

    #[test]
    fn a_volume_is_not_deleted_under_its_snapshots() {
        let wish = Wish { wanted: false, generation: 3 };
        let alone = around(true, false, false);
        assert_eq!(next_job(wish, Fact::Yes, Surroundings { snapshots: true, ..alone }), None);
        assert_eq!(next_job(wish, Fact::Yes, alone).map(|w| w.kind), Some(Kind::DeleteVolume), "control");
    }
}
