//! The plan of a backup object: a copy of a volume as it was at one moment, on the volume's storage node; or a copy of
//! another object or of an image, on another one, which needs no snapshot.
//!
//! ```text
//! wanted ──► take the snapshot ──► copy it ──► object yes ──► drop the snapshot
//!                  │                  │
//!                  └── gone before the copy was whole: spoiled, never quietly of another moment
//! unwanted, or failed ──► delete the object, drop the snapshot ──► nothing is left
//! ```
//!
//! Rules: an object that was whole once is never made again, a missing one is lost (DESIGN 3.9). The snapshot goes only
//! when the object surely stands or is not wanted. It does not know of the volume's own wish: while `holds_volume` says
//! so, the volume waits with its delete.
//!
//! Each is one idempotent job at the storage agent, thing `bo-…`, written with the object's generation and refused when
//! older; `CopySnapshot` starts or observes (DESIGN 3.7) and its object appears whole or not at all; queueing a job makes
//! what [`Job::touches`] names *maybe*.

use super::Kind;
use arame_schema::model::Fact;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Job {
    TakeSnapshot,
    CopySnapshot,
    DropSnapshot,
    DeleteObject,
    ObserveObject,
}

/// A fact of this plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Touched {
    Snapshot,
    Object,
    Nothing,
}

impl Job {
    pub fn as_str(self) -> &'static str {
        match self {
            Job::TakeSnapshot => "take snapshot",
            Job::CopySnapshot => "copy snapshot",
            Job::DropSnapshot => "drop snapshot",
            Job::DeleteObject => "delete object",
            Job::ObserveObject => "observe object",
        }
    }

    /// As it goes to the agent.
    pub fn kind(self) -> Kind {
        match self {
            Job::TakeSnapshot => Kind::SnapshotBackup,
            Job::CopySnapshot => Kind::WriteBackup,
            Job::DropSnapshot => Kind::DropBackup,
            Job::DeleteObject => Kind::DeleteBackup,
            Job::ObserveObject => Kind::ObserveBackup,
        }
    }

    /// The fact that becomes maybe when the job is queued.
    pub fn touches(self) -> Touched {
        match self {
            Job::TakeSnapshot | Job::DropSnapshot => Touched::Snapshot,
            Job::CopySnapshot | Job::DeleteObject => Touched::Object,
            Job::ObserveObject => Touched::Nothing,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wish {
    pub wanted: bool,
    pub generation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The object, whole.
    pub object: Fact,
    /// The snapshot it is copied from.
    pub snapshot: Fact,
    /// Generation that the last removal of the snapshot was answered with.
    pub dropped_generation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Surroundings {
    /// What it is a copy of is surely there: the volume to be taken a snapshot of, or the whole object or image.
    pub volume: Fact,
    /// It is a copy of an object or of an image.
    pub copied: bool,
    /// The snapshot was seen once: its moment is the backup's moment.
    pub snapshot_was_present: bool,
    /// The object was seen whole once: it holds data.
    pub was_present: bool,
    /// The attempts are used up or the reason is final.
    pub failed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wanted {
    pub job: Job,
    pub generation: u64,
}

pub fn next_job(wish: Wish, facts: Facts, around: Surroundings) -> Option<Wanted> {
    let job = |job| Some(Wanted { job, generation: wish.generation });
    let given_up = around.failed && !around.was_present;
    if !wish.wanted || given_up {
        if facts.object.may_be_so() {
            return job(Job::DeleteObject);
        }
        return if is_dropped(wish, facts) { None } else { job(Job::DropSnapshot) };
    }
    match facts.object {
        Fact::Yes if facts.snapshot == Fact::No => None,
        Fact::Yes => job(Job::DropSnapshot),
        // It was whole: look again when unsure, else it is lost. Either way nothing is made in its name.
        Fact::Maybe if around.was_present => job(Job::ObserveObject),
        Fact::No if around.was_present => {
            if facts.snapshot.may_be_so() {
                job(Job::DropSnapshot)
            } else {
                None
            }
        }
        Fact::No | Fact::Maybe if around.copied && around.volume.is_surely_so() => job(Job::CopySnapshot),
        // What it is a copy of is not there (yet): whether it was written before, only a look can say.
        Fact::Maybe if around.copied => job(Job::ObserveObject),
        Fact::No if around.copied => None,
        Fact::No | Fact::Maybe if is_spoiled(facts, around) => None,
        Fact::No | Fact::Maybe => match facts.snapshot {
            Fact::Yes => job(Job::CopySnapshot),
            Fact::No | Fact::Maybe if around.volume.is_surely_so() || facts.snapshot == Fact::Maybe => {
                job(Job::TakeSnapshot)
            }
            Fact::No | Fact::Maybe => None,
        },
    }
}

/// Nothing of the snapshot is left, and none still on its way can come: a removal of this generation was answered.
fn is_dropped(wish: Wish, facts: Facts) -> bool {
    facts.snapshot == Fact::No && facts.dropped_generation >= wish.generation
}

/// Its moment is gone before the copy was whole: the backup failed, and says so.
pub fn is_spoiled(facts: Facts, around: Surroundings) -> bool {
    around.snapshot_was_present && !around.was_present && facts.snapshot == Fact::No
}

/// It was whole and is gone.
pub fn is_lost(facts: Facts, around: Surroundings) -> bool {
    around.was_present && facts.object == Fact::No
}

/// The backup is over: nothing of it is left anywhere.
pub fn is_over(wish: Wish, facts: Facts) -> bool {
    !wish.wanted && facts.object == Fact::No && is_dropped(wish, facts)
}

/// The volume stays while a snapshot of it may exist.
pub fn holds_volume(facts: Facts) -> bool {
    facts.snapshot.may_be_so()
}
