//! The plan of a snapshot's replica on the storage node that receives it.
//!
//! ```text
//! snapshot's node: offer ─► the snapshot may be read ─┐
//! replica's node:                                     └► receive, a part for long, then whole ─► delete
//! ```
//!
//! Rule: a replica is of one moment, as its snapshot is. One that was whole and is missing is lost and never received again
//! (DESIGN 3.9): its snapshot may be of another moment by now. A part is no replica: it is gone on with, or removed. One that is
//! deleted while a volume is being made of it waits for that.

use super::{Kind, Wanted};
use arame_schema::model::Fact;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wish {
    pub wanted: bool,
    pub generation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Surroundings {
    /// It was seen whole once: it holds data.
    pub was_present: bool,
    /// Its snapshot's node told where it is read.
    pub offered: bool,
    /// A volume is being made of it: it stays until that is there or given up.
    pub needed: bool,
    pub failed: bool,
}

/// `present` is maybe of a part as well.
pub fn next_job(wish: Wish, present: Fact, around: Surroundings) -> Option<Wanted> {
    let job = |kind| Some(Wanted { kind, generation: wish.generation });
    match (wish.wanted, present) {
        (false, Fact::No) => None,
        (false, Fact::Maybe | Fact::Yes) if around.needed => None,
        (false, Fact::Maybe | Fact::Yes) => job(Kind::DeleteReplica),
        // One that was given up must leave nothing, also what turns up after all.
        (true, Fact::Maybe | Fact::Yes) if around.failed && !around.was_present => job(Kind::DeleteReplica),
        (true, Fact::Yes) => None,
        (true, Fact::Maybe) if around.was_present => job(Kind::ObserveReplica),
        (true, Fact::No) if around.was_present || around.failed => None,
        (true, Fact::No | Fact::Maybe) if !around.offered => None,
        (true, Fact::No | Fact::Maybe) => job(Kind::ReceiveReplica),
    }
}

/// Whether the snapshot may be read by another storage node: as long as one receives it, and by nobody else. `is_read`: a
/// replica of it comes. Nothing is said of a snapshot that is not surely there.
pub fn next_offer(generation: u64, present: Fact, is_read: bool, offered: Fact) -> Option<Wanted> {
    let is_as_wished = if is_read { offered == Fact::Yes } else { offered == Fact::No };
    (present == Fact::Yes && !is_as_wished).then_some(Wanted { kind: Kind::OfferSnapshot, generation })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: [Fact; 3] = [Fact::No, Fact::Maybe, Fact::Yes];

    #[test]
    fn what_was_whole_is_never_received_again_and_nothing_is_received_before_it_is_offered() {
        for present in FACTS {
            for bits in 0..16_u8 {
                let [was_present, offered, needed, failed] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
                let around = Surroundings { was_present, offered, needed, failed };
                let next = next_job(Wish { wanted: true, generation: 1 }, present, around).map(|wanted| wanted.kind);
                if was_present || !offered || failed {
                    assert_ne!(next, Some(Kind::ReceiveReplica), "{present:?} {around:?}");
                }
            }
        }
        let around = Surroundings { was_present: false, offered: true, needed: false, failed: false };
        let control = next_job(Wish { wanted: true, generation: 1 }, Fact::Maybe, around).map(|wanted| wanted.kind);
        assert_eq!(control, Some(Kind::ReceiveReplica));
    }

    #[test]
    fn a_snapshot_is_offered_while_it_is_read_and_withdrawn_when_it_may_be_offered_to_nobody() {
        for offered in FACTS {
            let kind = |is_read| next_offer(1, Fact::Yes, is_read, offered).map(|wanted| wanted.kind);
            assert_eq!(kind(true).is_some(), offered != Fact::Yes, "{offered:?}");
            assert_eq!(kind(false).is_some(), offered != Fact::No, "{offered:?}");
            for present in [Fact::No, Fact::Maybe] {
                assert_eq!(next_offer(1, present, true, offered), None);
            }
        }
    }
}
