//! The plan of a volume's snapshot on its storage node.
//!
//! Rule: a snapshot is of one moment. One that was there and is missing is lost and never taken again (DESIGN 3.9). What
//! comes before it (an older snapshot of the same volume that is still being taken) is waited for: the order of the rows
//! is the order on the store, which a rollback goes by. One that is deleted while a volume is being made of it waits for that.

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
    /// The volume is wanted, is not being rolled back, and every older snapshot of it is settled.
    pub ready: bool,
    /// A volume is being made of it: it stays until that is there or given up.
    pub needed: bool,
    pub failed: bool,
}

pub fn next_job(wish: Wish, present: Fact, around: Surroundings) -> Option<Wanted> {
    let job = |kind| Some(Wanted { kind, generation: wish.generation });
    match (wish.wanted, present) {
        (false, Fact::No) => None,
        (false, Fact::Maybe | Fact::Yes) if around.needed => None,
        (false, Fact::Maybe | Fact::Yes) => job(Kind::DeleteSnapshot),
        // One that was given up must leave nothing, also what turns up after all.
        (true, Fact::Maybe | Fact::Yes) if around.failed && !around.was_present => job(Kind::DeleteSnapshot),
        (true, Fact::Yes) => None,
        (true, Fact::Maybe) if around.was_present => job(Kind::ObserveSnapshot),
        (true, Fact::No) if around.was_present || around.failed || !around.ready => None,
        // A maybe is a job that was on its way when it was ready: it is asked for again, or it would stay maybe.
        (true, Fact::No | Fact::Maybe) => job(Kind::CreateSnapshot),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_is_never_taken_again() {
        for present in [Fact::No, Fact::Maybe, Fact::Yes] {
            for (ready, failed) in [(false, false), (true, false), (false, true), (true, true)] {
                let around = Surroundings { was_present: true, ready, needed: false, failed };
                let next = next_job(Wish { wanted: true, generation: 1 }, present, around);
                assert_ne!(next.map(|w| w.kind), Some(Kind::CreateSnapshot));
            }
        }
    }

    #[test]
    fn one_that_a_volume_is_being_made_of_waits_with_its_end_and_with_nothing_else() {
        let around = Surroundings { was_present: true, ready: true, needed: true, failed: false };
        let gone = Wish { wanted: false, generation: 2 };
        assert_eq!(next_job(gone, Fact::Yes, around), None);
        let free = Surroundings { needed: false, ..around };
        assert_eq!(next_job(gone, Fact::Yes, free).map(|w| w.kind), Some(Kind::DeleteSnapshot), "control");
        let wanted = Wish { wanted: true, generation: 1 };
        assert_eq!(next_job(wanted, Fact::Maybe, around).map(|w| w.kind), Some(Kind::ObserveSnapshot));
    }
}
