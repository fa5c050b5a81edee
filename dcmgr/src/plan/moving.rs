//! The plan of a move of a guest whose disk is on its host: [`super::migration`] with what such a guest has and others have
//! not.
//!
//! Rules beside those of migration:
//! - The disk goes with the memory, so nobody else can start the guest: it is whole where it runs or is paused, and where it
//!   is *off* with its newest disk. A host that gave it away says so of itself and is never off.
//! - A guest that is off is not moved: the wish follows it to where its disk is, and there the move ends.
//! - What migration asks of a storage node (attach, retain, detach) is written on the row of the move: a host *may use* the
//!   guest or not. That is no proof of anything on a host; that the guest is absent is seen before a host may not use it.
//! - A guest that is nowhere whole is not started: its newest disk is gone.

use super::migration::{Around, Awaited, Facts, Guest, Host, Job, Next, Side, Wish, next};
use arame_schema::model::Fact;

/// What a host holds of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Held {
    Between(Guest),
    /// Its newest disk, and no guest that runs.
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct At {
    pub held: Held,
    pub generation: u64,
    pub may_use: bool,
    pub use_generation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    Do {
        job: Job,
        host: Host,
        generation: u64,
    },
    /// Write whether a host may use the guest, under this generation.
    Use {
        host: Host,
        may: bool,
        generation: u64,
    },
    /// The guest stopped there: that is where it stays.
    StaysAt(Host),
    Wait(Awaited),
    /// No host has it whole, and none will.
    Lost,
    Settled,
}

/// The sides are those of `Host::A`, the host the guest came from, and `Host::B`.
pub fn step(wish: Wish, sides: [At; 2], around: Around) -> Step {
    if let Some(host) = whole_and_off(sides).filter(|host| *host != wish.host) {
        let sending = around.sending[index(host)];
        return if sending { Step::Wait(Awaited::Sent(host)) } else { Step::StaysAt(host) };
    }
    let side = |at: usize| Side {
        guest: guest(sides, at),
        generation: sides[at].generation,
        attachment: if sides[at].may_use { Fact::Yes } else { Fact::No },
        attachment_generation: sides[at].use_generation,
    };
    let facts = Facts { sides: [side(0), side(1)] };
    match next(wish, facts, around) {
        Next::Settled => Step::Settled,
        Next::Wait(Awaited::Guest(host)) if host != wish.host && runs_here(wish, sides) => left(host, sides, wish),
        Next::Wait(awaited) => Step::Wait(awaited),
        Next::Do { job, host, generation } => match job {
            Job::Attach => Step::Use { host, may: true, generation },
            Job::Retain => Step::Use { host, may: sides[index(host)].may_use, generation },
            // Of two hosts that have nothing of it neither is asked to start it.
            Job::Detach | Job::Start if nowhere(sides) => Step::Lost,
            // That nothing is seen there does not forbid what is still on its way: a removal under this wish does. A host
            // that is not heard is left without: what comes to wait there is removed when it is seen ([`stray`]).
            Job::Detach if sides[index(host)].generation < generation && !around.silent[index(host)] => {
                Step::Do { job: Job::Remove, host, generation }
            }
            Job::Detach => Step::Use { host, may: false, generation },
            Job::Start => Step::Lost,
            Job::Fence => Step::Wait(Awaited::Guest(host)),
            Job::Receive | Job::Send | Job::Keep | Job::Resume | Job::Remove | Job::Observe => {
                if job == Job::Remove && loses_the_newest(sides, host) {
                    let other = host.other();
                    let unknown =
                        sides[index(other)].held == Held::Between(Guest::Maybe) && around.silent[index(other)];
                    return if unknown { Step::Wait(Awaited::Guest(other)) } else { Step::Lost };
                }
                Step::Do { job, host, generation }
            }
        },
    }
}

/// It runs where it is to be, under the wish.
fn runs_here(wish: Wish, sides: [At; 2]) -> bool {
    let here = sides[index(wish.host)];
    here.held == Held::Between(Guest::Running) && here.generation >= wish.generation
}

/// The move does not wait for a host that may never come back: what is left there is given away or waits, can run nothing,
/// and is removed when it is seen again ([`stray`]).
fn left(host: Host, sides: [At; 2], wish: Wish) -> Step {
    match sides[index(host)] {
        At { may_use: true, .. } => Step::Use { host, may: false, generation: wish.generation },
        At { held: Held::Between(Guest::Running | Guest::Paused), .. } => Step::Wait(Awaited::Guest(host)),
        At { .. } => Step::Settled,
    }
}

/// What is done about a guest seen on a host that was declared lost, of an instance that is elsewhere since: it goes, unless it
/// may be the newest disk there is.
pub fn stray_of_lost(own: Held, held: Held, ran_before: bool) -> Option<Job> {
    match held {
        Held::Between(Guest::Absent) => None,
        held if may_be_newest(own, ran_before) => stray(own, held),
        Held::Off | Held::Between(_) => Some(Job::Remove),
    }
}

/// Whether what is on another host may be the newest disk: the machine ran once, and its own host does not have it whole.
pub fn may_be_newest(own: Held, ran_before: bool) -> bool {
    ran_before && !is_whole(own)
}

/// What is done about a guest seen on a host that no move leads to, `own` being what its own host holds. What waits holds
/// nothing, and what was given away is older than what it was given to; all else may be a newest disk.
pub fn stray(own: Held, held: Held) -> Option<Job> {
    let is_kept = matches!(own, Held::Off | Held::Between(Guest::Running | Guest::Paused));
    match held {
        Held::Between(Guest::Waiting) => Some(Job::Remove),
        Held::Between(Guest::HandedOver) if is_kept => Some(Job::Remove),
        Held::Between(Guest::Maybe) => Some(Job::Observe),
        Held::Between(Guest::Absent | Guest::Running | Guest::Paused | Guest::HandedOver) | Held::Off => None,
    }
}

fn index(host: Host) -> usize {
    match host {
        Host::A => 0,
        Host::B => 1,
    }
}

fn is_whole(held: Held) -> bool {
    matches!(held, Held::Off | Held::Between(Guest::Running | Guest::Paused))
}

/// The host on which a stopped guest is whole. What is off beside a whole guest is a leftover.
fn whole_and_off(sides: [At; 2]) -> Option<Host> {
    match sides.map(|side| side.held) {
        [Held::Off, Held::Between(Guest::Running | Guest::Paused)] => None,
        [Held::Between(Guest::Running | Guest::Paused), Held::Off] => None,
        [Held::Off, _] => Some(Host::A),
        [_, Held::Off] => Some(Host::B),
        [Held::Between(_), Held::Between(_)] => None,
    }
}

/// As migration is told: a stopped guest where it stays is one that needs no move, any other is one that waits.
fn guest(sides: [At; 2], at: usize) -> Guest {
    match sides[at].held {
        Held::Between(guest) => guest,
        Held::Off if whole_and_off(sides).map(index) == Some(at) => Guest::Running,
        Held::Off => Guest::Waiting,
    }
}

fn nowhere(sides: [At; 2]) -> bool {
    sides.iter().all(|side| side.held == Held::Between(Guest::Absent))
}

/// What was handed over is all that is left when nobody has the guest it was handed to.
fn loses_the_newest(sides: [At; 2], host: Host) -> bool {
    let (here, there) = (sides[index(host)].held, sides[index(host.other())].held);
    here == Held::Between(Guest::HandedOver) && !is_whole(there)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(held: Held) -> At {
        At { held, generation: 2, may_use: true, use_generation: 2 }
    }

    fn stepped(wish: Host, a: Held, b: Held) -> Step {
        let around = Around { silent: [false; 2], may_fence: false, sending: [false; 2] };
        step(Wish { host: wish, generation: 2 }, [at(a), at(b)], around)
    }

    const ALL: [Held; 7] = [
        Held::Between(Guest::Absent),
        Held::Between(Guest::Maybe),
        Held::Between(Guest::Waiting),
        Held::Between(Guest::Running),
        Held::Between(Guest::Paused),
        Held::Between(Guest::HandedOver),
        Held::Off,
    ];

    #[test]
    fn a_stopped_guest_is_not_moved_and_the_wish_follows_it() {
        let waiting = Held::Between(Guest::Waiting);
        assert_eq!(stepped(Host::B, Held::Off, waiting), Step::StaysAt(Host::A));
        let removed = stepped(Host::A, Held::Off, waiting);
        assert_eq!(removed, Step::Do { job: Job::Remove, host: Host::B, generation: 2 });
        let given = Held::Between(Guest::HandedOver);
        assert_eq!(stepped(Host::A, given, Held::Off), Step::StaysAt(Host::B));
        let running = stepped(Host::B, Held::Between(Guest::Running), waiting);
        assert_eq!(
            running,
            Step::Do { job: Job::Send, host: Host::A, generation: 2 },
            "the control: one that runs is sent"
        );
    }

    /// Every pair of what two hosts may hold, whatever is wished.
    #[test]
    fn nothing_that_may_be_the_newest_disk_is_ever_removed_and_nothing_is_started_from_a_disk() {
        let mut removals = 0;
        for wish in Host::ALL {
            for (a, b) in ALL.into_iter().flat_map(|a| ALL.into_iter().map(move |b| (a, b))) {
                let Step::Do { job, host, .. } = stepped(wish, a, b) else { continue };
                assert_ne!(job, Job::Start, "{wish:?}: {a:?}, {b:?}");
                if job != Job::Remove {
                    continue;
                }
                removals += 1;
                let (here, there) = if host == Host::A { (a, b) } else { (b, a) };
                let disk_is_elsewhere = matches!(there, Held::Off | Held::Between(Guest::Running | Guest::Paused));
                let holds_none = matches!(here, Held::Between(Guest::Absent | Guest::Waiting));
                assert!(disk_is_elsewhere || holds_none, "{wish:?}: {host:?} of {a:?}, {b:?}");
            }
        }
        assert!(removals >= 10, "only {removals} pairs end in a removal");
    }

    #[test]
    fn a_guest_that_is_nowhere_is_lost_and_not_made_anew() {
        let absent = Held::Between(Guest::Absent);
        for wish in Host::ALL {
            assert_eq!(stepped(wish, absent, absent), Step::Lost);
        }
        let given = Held::Between(Guest::HandedOver);
        assert_eq!(stepped(Host::B, given, absent), Step::Lost);
        let forgotten = At { may_use: false, ..at(absent) };
        let around = Around { silent: [false; 2], may_fence: false, sending: [false; 2] };
        let ended = step(Wish { host: Host::A, generation: 2 }, [at(given), forgotten], around);
        assert_eq!(ended, Step::Lost, "nor from the older disk that is left");
    }
}
