//! The plan of a copy of a machine's disk, on the machine's host, until a storage node has it as an image.
//!
//! ```text
//! needed ─► take it ─► captured yes ─► (a storage node imports the image) ─► stored ─┐
//! the image is deleted, or cannot be made ───────────────────────────────────────────┴► drop it ─► over
//! ```
//!
//! Rules: it is over when a removal of this generation was answered, not when none is seen: a job on its way would make one
//! for nobody. What turns up later is dropped again. It knows nothing of the machine: one that is gone fails the job.

use super::{Kind, Wanted};
use arame_schema::model::Fact;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wish {
    /// The image is.
    pub wanted: bool,
    pub generation: u64,
    /// A storage node had all of the image once.
    pub stored: bool,
    /// The image cannot be made.
    pub failed: bool,
    /// The end of this copy was answered once.
    pub over: bool,
}

impl Wish {
    /// Whether its bytes are to be had from the host.
    pub fn needed(self) -> bool {
        self.wanted && !self.stored && !self.failed && !self.over
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Facts {
    pub captured: Fact,
    /// Generation that the last removal was answered with.
    pub dropped_generation: u64,
}

pub fn next_job(wish: Wish, facts: Facts) -> Option<Wanted> {
    let job = |kind| Some(Wanted { kind, generation: wish.generation });
    match (wish.needed(), facts.captured) {
        (true, Fact::Yes) => None,
        (true, Fact::No | Fact::Maybe) => job(Kind::TakeCapture),
        (false, Fact::No) if wish.over || is_over(wish, facts) => None,
        (false, _) => job(Kind::DropCapture),
    }
}

/// Nothing of it is left, and none still on its way can come.
pub fn is_over(wish: Wish, facts: Facts) -> bool {
    !wish.needed() && facts.captured == Fact::No && facts.dropped_generation >= wish.generation
}
