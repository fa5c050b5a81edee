//! The plan of an image on one storage node.

use super::{Kind, Wanted};
use arame_schema::model::Fact;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wish {
    pub wanted: bool,
    pub generation: u64,
    /// Its bytes can be had here now: from its source, from another storage node, from an upload that waits.
    pub obtainable: bool,
    pub failed: bool,
}

/// An image can be imported again from wherever its bytes are: the checksum decides whether it is the same.
pub fn next_job(wish: Wish, present: Fact) -> Option<Wanted> {
    let job = |kind| Some(Wanted { kind, generation: wish.generation });
    match (wish.wanted, present) {
        (true, Fact::Yes) | (false, Fact::No) => None,
        (true, Fact::No | Fact::Maybe) if wish.failed || !wish.obtainable => None,
        (true, Fact::No | Fact::Maybe) => job(Kind::ImportImage),
        (false, Fact::Maybe | Fact::Yes) => job(Kind::DeleteImage),
    }
}
