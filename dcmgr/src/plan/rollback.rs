//! The plan of a volume's rollback: an operation, not a level (DESIGN 3.8).
//!
//! ```text
//! asked for (a generation of its own) ──► roll back ──► the volume carries the operation: done
//!                                            │
//!              failed for good, or something newer was met: the generation is raised
//!                                            ▼
//!                                    mark the volume ──► it carries the newer generation: given up
//! ```
//!
//! Rules: it is asked of the agent only at the generation it was asked for at: raised for any reason, it is given up,
//! because what was written meanwhile may be newer than the request. It ends only when the volume surely carries the
//! operation, or surely carries a generation that forbids it: until then nobody may use the volume, because a job still
//! on its way would undo what he writes.

use super::{Kind, Wanted};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wish {
    /// The volume's, now.
    pub generation: u64,
    /// The volume's, when the rollback was asked for.
    pub asked: u64,
}

/// What the volume was last seen to carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Found {
    /// This operation.
    pub operation: bool,
    pub generation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Surroundings {
    /// An attachment is open: somebody may write.
    pub attached: bool,
    /// A snapshot newer than the one to go back to may exist.
    pub newer_snapshots: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next {
    Done,
    /// Nothing of it can happen any more.
    GivenUp,
    /// For what stands in the way.
    Wait,
    Do(Wanted),
}

/// Asked only of a volume that is wanted and surely there.
pub fn next(wish: Wish, found: Found, around: Surroundings) -> Next {
    if found.operation {
        return Next::Done;
    }
    if wish.generation > wish.asked {
        let forbidden = found.generation >= wish.generation;
        let mark = Wanted { kind: Kind::MarkVolume, generation: wish.generation };
        return if forbidden { Next::GivenUp } else { Next::Do(mark) };
    }
    if around.attached || around.newer_snapshots {
        return Next::Wait;
    }
    Next::Do(Wanted { kind: Kind::RollBackVolume, generation: wish.asked })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Surroundings = Surroundings { attached: false, newer_snapshots: false };

    #[test]
    fn a_rollback_is_never_asked_for_at_another_generation_than_its_own() {
        for generation in 4..8 {
            let found = Found { operation: false, generation: 3 };
            let next = next(Wish { generation, asked: 4 }, found, FREE);
            let rolls_back = matches!(next, Next::Do(Wanted { kind: Kind::RollBackVolume, .. }));
            assert_eq!(rolls_back, generation == 4, "{next:?}");
        }
    }

    #[test]
    fn it_is_given_up_only_when_the_volume_forbids_what_is_on_its_way() {
        let wish = Wish { generation: 5, asked: 4 };
        let mark = Next::Do(Wanted { kind: Kind::MarkVolume, generation: 5 });
        assert_eq!(next(wish, Found { operation: false, generation: 4 }, FREE), mark);
        assert_eq!(next(wish, Found { operation: false, generation: 5 }, FREE), Next::GivenUp);
        assert_eq!(next(wish, Found { operation: true, generation: 4 }, FREE), Next::Done, "it happened after all");
    }
}
