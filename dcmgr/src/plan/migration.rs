//! The plan of where a running guest is: live migration as a level (DESIGN 3.8). The wish names a host; the plan brings
//! the guest there, or back, from whatever the two hosts and the storage node say.
//!
//! ```text
//!                    there                                 here (the desired host)
//!   running ────────────────► clear ─► attach ─► receive ─► waiting
//!   send: paused ─► handed over ─────────────────────────► running
//!   remove ─► detach ◄──────────────────────────────────── settled when both are absent there
//!
//!   a change of mind swaps the two hosts: keep (the sender refuses what is older) ─► remove ─► resume ─► detach
//! ```
//!
//! Rules, each of which a walk breaks when it is left out:
//! - A guest is resumed only when the other side is observed absent, has given it away, or its attachment is fenced with
//!   proof. Not heard is none of these.
//! - A host is given the disks only when it was cleared: it refuses what is older than the wish.
//! - A guest is started from its disks only when the other host has them no more.
//! - The sender marks the guest *handed over* before the other side may run it. What was handed over is never resumed:
//!   its memory may be older than its disk. A guest that was only paused is whole.
//! - Nothing that waits is removed before the sender carries the newer generation: a send still on its way would kill
//!   the guest it just gave away.
//! - Two attachments exist only while something of the guest is on both hosts; one goes when its guest is absent.
//! - It is over only when the other host's guest and attachment are absent.
//!
//! It is told of two hosts; which of them is the source follows from the facts. Attempts, and giving a move up (the wish
//! goes back to where the guest is), are decided outside.
//!
//! For a guest whose disk is on its host [`super::moving`] stands before it (decision 0013) and its jobs are on the wire;
//! with disks of a storage node they are not yet. Whoever wires them:
//! - each is one idempotent job for the thing (instance, host), or (attachment, host) at the storage node; it writes its
//!   generation and is refused when the thing carries a newer one, or was removed at the same one (the row is lifted);
//! - queueing one makes what [`Job::touches`] names *maybe*; what an agent sees goes through [`Facts::see`]; while a
//!   `Send` is open, what is seen of the guest on the other host is not written: it is older than the send's end;
//! - `Send` names the generation of the guest that waits, and the two agents compare it before a page is copied;
//! - `Receive` and `Start` replace a guest that waits or was handed over; they refuse where one runs or is paused;
//! - a `Retain` lets an open `Attach` of its generation be: that one ends with the same, and replaced it would be wanted again;
//! - `Receive` and `Start` that could not use the disks make the attachment maybe: whether it stands is asked again;
//! - `Fence` and `Detach` answer *no* only with the proof of DESIGN 7; `Fence` is queued only for a host declared dead.

use arame_schema::model::Fact;

/// What one host holds of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Guest {
    Absent,
    /// A job may be changing it, or its outcome is not known.
    Maybe,
    /// Made to receive; not whole, cannot run by itself.
    Waiting,
    Running,
    /// Whole, and not given away.
    Paused,
    /// Given away: the other host may have run it since.
    HandedOver,
}

impl Guest {
    pub const ALL: [Guest; 6] =
        [Guest::Absent, Guest::Maybe, Guest::Waiting, Guest::Running, Guest::Paused, Guest::HandedOver];

    pub fn as_str(self) -> &'static str {
        match self {
            Guest::Absent => "absent",
            Guest::Maybe => "maybe",
            Guest::Waiting => "waiting",
            Guest::Running => "running",
            Guest::Paused => "paused",
            Guest::HandedOver => "handed",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Host {
    A,
    B,
}

impl Host {
    pub const ALL: [Host; 2] = [Host::A, Host::B];

    pub fn other(self) -> Host {
        match self {
            Host::A => Host::B,
            Host::B => Host::A,
        }
    }

    fn index(self) -> usize {
        match self {
            Host::A => 0,
            Host::B => 1,
        }
    }
}

/// What is known of one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Side {
    pub guest: Guest,
    /// Generation that the guest carries there; of an absent one, that its removal was answered with.
    pub generation: u64,
    /// The guest's disks are exported for this host. *No* is the proof of DESIGN 7: taken away with its sessions and read
    /// back absent; what is left of a guest there can write nothing.
    pub attachment: Fact,
    /// Generation that the export carries, or was taken away with.
    pub attachment_generation: u64,
}

impl Side {
    /// Something of a guest is left on a host that has its disks no more.
    pub fn is_fenced(self) -> bool {
        self.attachment == Fact::No && self.guest != Guest::Absent
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Facts {
    pub sides: [Side; 2],
}

impl Facts {
    pub fn at(&self, host: Host) -> Side {
        self.sides[host.index()]
    }

    /// Writes what an agent sees of the guest on its host.
    ///
    /// A sender that is not whole any more is news of the other side too: what was seen to wait there may run by now.
    pub fn see(&mut self, host: Host, guest: Guest, generation: u64) {
        let given = guest == Guest::HandedOver && self.at(host).guest != Guest::HandedOver;
        let waits = self.at(host.other()).guest == Guest::Waiting;
        let overtaken = match guest {
            Guest::HandedOver => given || waits,
            Guest::Absent => waits,
            Guest::Maybe | Guest::Waiting | Guest::Running | Guest::Paused => false,
        };
        let side = &mut self.sides[host.index()];
        side.guest = guest;
        side.generation = generation;
        if overtaken {
            self.sides[host.other().index()].guest = Guest::Maybe;
        }
    }

    /// Writes what the storage node sees of the attachment.
    pub fn see_attachment(&mut self, host: Host, attachment: Fact, generation: u64) {
        let side = &mut self.sides[host.index()];
        side.attachment = attachment;
        side.attachment_generation = generation;
    }

    /// Writes maybe for everything a job touches, before it is queued (DESIGN 3.4).
    pub fn touch(&mut self, job: Job, host: Host) {
        let (here, there) = (host.index(), host.other().index());
        match job.touches() {
            Touched::Guest => self.sides[here].guest = Guest::Maybe,
            Touched::BothGuests => {
                if sender_changes(self.sides[here].guest) {
                    self.sides[here].guest = Guest::Maybe;
                }
                self.sides[there].guest = Guest::Maybe;
            }
            // A send on its way is stopped: until that is answered the other side may be given the guest.
            Touched::Waiting if self.sides[there].guest == Guest::Waiting => self.sides[there].guest = Guest::Maybe,
            Touched::Waiting | Touched::Nothing => {}
            Touched::Attachment => self.sides[here].attachment = Fact::Maybe,
        }
    }
}

/// Whether a send makes what is known of its sender maybe. One that gave the guest away stays that, whatever comes of the send;
/// called maybe, it would be asked to keep what it has not, which would end the only send that can end this.
pub fn sender_changes(sender: Guest) -> bool {
    sender != Guest::HandedOver
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wish {
    /// Where the guest is to run.
    pub host: Host,
    pub generation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Around {
    /// Silent for so long that nothing is asked of it.
    pub silent: [bool; 2],
    /// A silent host may be fenced: its storage node can prove it, and somebody declared the host dead.
    pub may_fence: bool,
    /// A `Send` of this host is open: what is seen on the other is older than its end, so nothing is asked there.
    pub sending: [bool; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Job {
    /// Storage node: export the disks for a host that was cleared.
    Attach,
    /// Storage node: an export that stands carries this generation from now on; none is made.
    Retain,
    /// Storage node: take the export away; its guest is absent.
    Detach,
    /// Storage node: take the export away with its sessions and prove it; its guest may run.
    Fence,
    /// Host: make a guest that waits to be sent.
    Receive,
    /// Host: send the guest to the other host, pause it, mark it handed over, let the other side run.
    Send,
    /// Host: stop sending, refuse what is older from now on, change nothing else.
    Keep,
    /// Host: let a paused guest run.
    Resume,
    /// Host: start the guest from its disks.
    Start,
    /// Host: nothing of the guest is left.
    Remove,
    /// Host: look, change nothing.
    Observe,
}

/// The facts a job makes maybe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Touched {
    Nothing,
    Guest,
    BothGuests,
    /// The guest that waits on the other host.
    Waiting,
    Attachment,
}

impl Job {
    pub fn as_str(self) -> &'static str {
        match self {
            Job::Attach => "attach",
            Job::Retain => "retain",
            Job::Detach => "detach",
            Job::Fence => "fence",
            Job::Receive => "receive",
            Job::Send => "send",
            Job::Keep => "keep",
            Job::Resume => "resume",
            Job::Start => "start",
            Job::Remove => "remove",
            Job::Observe => "observe",
        }
    }

    pub fn touches(self) -> Touched {
        match self {
            Job::Attach | Job::Detach | Job::Fence => Touched::Attachment,
            Job::Receive | Job::Resume | Job::Start | Job::Remove => Touched::Guest,
            Job::Send => Touched::BothGuests,
            Job::Keep => Touched::Waiting,
            Job::Retain | Job::Observe => Touched::Nothing,
        }
    }

    pub fn is_at_storage(self) -> bool {
        match self {
            Job::Attach | Job::Retain | Job::Detach | Job::Fence => true,
            Job::Receive | Job::Send | Job::Keep | Job::Resume | Job::Start | Job::Remove | Job::Observe => false,
        }
    }
}

/// The fact without which nothing goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Awaited {
    /// What a silent host holds of the guest.
    Guest(Host),
    /// That the desired host is heard again.
    Heard(Host),
    /// The end of the open send of a host.
    Sent(Host),
    /// Two whole copies: no rule of this plan leads here, and nothing is removed.
    OneCopy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next {
    Do {
        job: Job,
        host: Host,
        generation: u64,
    },
    Wait(Awaited),
    /// The guest runs on the desired host, and nothing of it is on the other.
    Settled,
}

pub fn next(wish: Wish, facts: Facts, around: Around) -> Next {
    let plan = Plan { wish, facts, around, here: wish.host, there: wish.host.other() };
    match plan.discarded().unwrap_or_else(|| plan.decide()) {
        Next::Do { job, host, .. } if !job.is_at_storage() && around.sending[host.other().index()] => {
            Next::Wait(Awaited::Sent(host.other()))
        }
        next => next,
    }
}

struct Plan {
    wish: Wish,
    facts: Facts,
    around: Around,
    /// The desired host.
    here: Host,
    there: Host,
}

impl Plan {
    fn job(&self, job: Job, host: Host) -> Next {
        Next::Do { job, host, generation: self.wish.generation }
    }

    /// The desired host has the disks, under the newest wish: an older one that is still on its way cannot take them.
    fn is_attached(&self) -> bool {
        let here = self.facts.at(self.here);
        here.attachment.is_surely_so() && here.attachment_generation >= self.wish.generation
    }

    fn silent(&self, host: Host) -> bool {
        self.around.silent[host.index()]
    }

    /// What counts of a host's guest: a fenced one is nobody's.
    fn guest(&self, host: Host) -> Guest {
        let side = self.facts.at(host);
        if side.is_fenced() { Guest::Absent } else { side.guest }
    }

    /// A fenced guest goes as soon as its host is heard.
    fn discarded(&self) -> Option<Next> {
        let left = Host::ALL.into_iter().find(|host| self.facts.at(*host).is_fenced() && !self.silent(*host));
        left.map(|host| if host == self.here { self.clear() } else { self.job(Job::Remove, host) })
    }

    fn decide(&self) -> Next {
        use Guest::{Absent, HandedOver, Maybe, Paused, Running, Waiting};
        match (self.guest(self.here), self.guest(self.there)) {
            (Running, Absent | Maybe | Waiting | HandedOver) => self.finish(),
            (Running, Running | Paused) | (Paused, Running | Paused) => Next::Wait(Awaited::OneCopy),
            (Paused, Absent | Maybe | Waiting | HandedOver) => self.stay(),
            (HandedOver, Running | Paused) => self.receive(),
            (HandedOver, Waiting) => self.complete(self.here),
            (Waiting, HandedOver) => self.complete(self.there),
            (Waiting, Running | Paused) => self.send(),
            (Absent | Maybe, Running) => self.receive(),
            (Absent, Paused) => self.ask(Job::Resume, self.there),
            // A paused guest does not wait for a host that may never come back.
            (Maybe, Paused) => self.ask(Job::Observe, self.here),
            (Maybe, Absent | Waiting | HandedOver) => self.learn(),
            // The desired host may be sending: it is told first, which also ends the sending.
            (Maybe, Maybe) if self.facts.at(self.here).generation < self.wish.generation => self.build(Job::Keep),
            (Maybe, Maybe) if self.silent(self.there) => self.learn(),
            (Absent | Waiting | HandedOver | Maybe, Maybe) => self.ask(Job::Observe, self.there),
            (Absent | Waiting | HandedOver, Absent | Waiting | HandedOver) => self.start(),
        }
    }

    /// A job for a host: a silent one is fenced if that is allowed, else waited for.
    fn ask(&self, job: Job, host: Host) -> Next {
        if self.silent(host) { self.fence(host) } else { self.job(job, host) }
    }

    /// What the desired host holds is asked, never fenced away: it may be the guest where it is to be.
    fn learn(&self) -> Next {
        if self.silent(self.here) {
            return Next::Wait(Awaited::Guest(self.here));
        }
        self.job(Job::Observe, self.here)
    }

    fn fence(&self, host: Host) -> Next {
        if self.around.may_fence { self.job(Job::Fence, host) } else { Next::Wait(Awaited::Guest(host)) }
    }

    /// The guest runs here: the other side goes.
    fn finish(&self) -> Next {
        let there = self.facts.at(self.there);
        if self.facts.at(self.here).generation < self.wish.generation {
            return self.build(Job::Keep);
        }
        if !self.is_attached() {
            return self.attach();
        }
        match there.guest {
            Guest::Absent if there.attachment.may_be_so() => self.job(Job::Detach, self.there),
            Guest::Absent => Next::Settled,
            Guest::Maybe | Guest::Waiting | Guest::HandedOver | Guest::Running | Guest::Paused => {
                // Fenced and silent: nothing is in danger, but it is not over.
                if there.is_fenced() {
                    Next::Wait(Awaited::Guest(self.there))
                } else {
                    self.ask(Job::Remove, self.there)
                }
            }
        }
    }

    /// The whole guest is paused here, where it is to be: it was being sent, or came and was let go but not yet resumed.
    fn stay(&self) -> Next {
        if self.facts.at(self.here).generation < self.wish.generation {
            return self.build(Job::Keep);
        }
        match self.guest(self.there) {
            Guest::Absent | Guest::HandedOver if !self.is_attached() => self.attach(),
            Guest::Absent | Guest::HandedOver => self.build(Job::Resume),
            _ => self.ask(Job::Remove, self.there),
        }
    }

    /// A job for the desired host, which nobody can replace: it is waited for.
    fn build(&self, job: Job) -> Next {
        if self.silent(self.here) { Next::Wait(Awaited::Heard(self.here)) } else { self.job(job, self.here) }
    }

    /// The guest is whole on the other host: this one is made ready for it.
    fn receive(&self) -> Next {
        if self.silent(self.there) {
            return self.fence(self.there);
        }
        // What was fenced here is removed first; until its host is heard nothing can be built on it.
        if self.silent(self.here) {
            return Next::Wait(Awaited::Heard(self.here));
        }
        if self.is_attached() { self.job(Job::Receive, self.here) } else { self.attach() }
    }

    /// Brings the disks to the desired host. They are never given anew to a guest that may be left there, and not before
    /// its host refuses everything older than the wish: a start still on its way would use them.
    fn attach(&self) -> Next {
        let here = self.facts.at(self.here);
        if here.guest != Guest::Absent || here.attachment != Fact::No {
            return self.job(Job::Retain, self.here);
        }
        if here.generation < self.wish.generation.saturating_sub(1) {
            self.clear()
        } else {
            self.job(Job::Attach, self.here)
        }
    }

    /// Nothing of the guest is left on the desired host. Under the generation before the wish: a removal that is still on
    /// its way must not meet what is made there under the wish.
    fn clear(&self) -> Next {
        Next::Do { job: Job::Remove, host: self.here, generation: self.wish.generation.saturating_sub(1) }
    }

    fn send(&self) -> Next {
        let here = self.facts.at(self.here);
        if self.silent(self.here) {
            // As above: what is paused there goes on without this host.
            let paused = self.guest(self.there) == Guest::Paused;
            return if paused { self.fence(self.here) } else { Next::Wait(Awaited::Heard(self.here)) };
        }
        if !self.is_attached() {
            return self.attach();
        }
        if here.generation < self.wish.generation {
            return self.job(Job::Receive, self.here);
        }
        self.ask(Job::Send, self.there)
    }

    /// The guest was given away and is not run yet: only the same send can end that, under its own generation.
    fn complete(&self, sender: Host) -> Next {
        let receiver = sender.other();
        if self.silent(self.here) {
            return Next::Wait(Awaited::Heard(self.here));
        }
        if self.silent(self.there) {
            return self.fence(self.there);
        }
        Next::Do { job: Job::Send, host: sender, generation: self.facts.at(receiver).generation }
    }

    /// Nobody has the guest: it starts from its disks, once the other host has them no more. That nothing is seen there is
    /// not enough: a start still on its way would run it twice.
    fn start(&self) -> Next {
        if self.silent(self.here) {
            return Next::Wait(Awaited::Heard(self.here));
        }
        if self.guest(self.there) != Guest::Absent {
            return self.ask(Job::Remove, self.there);
        }
        if self.facts.at(self.there).attachment.may_be_so() {
            return self.job(Job::Detach, self.there);
        }
        if self.is_attached() { self.job(Job::Start, self.here) } else { self.attach() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(guest: Guest) -> Side {
        Side { guest, generation: 2, attachment: Fact::Yes, attachment_generation: 2 }
    }

    fn next_of(here: Side, there: Side, silent: [bool; 2], may_fence: bool) -> Next {
        next(
            Wish { host: Host::A, generation: 2 },
            Facts { sides: [here, there] },
            Around { silent, may_fence, sending: [false; 2] },
        )
    }

    fn job(next: Next) -> Option<(Job, Host)> {
        match next {
            Next::Do { job, host, .. } => Some((job, host)),
            Next::Wait(_) | Next::Settled => None,
        }
    }

    #[test]
    fn a_paused_guest_is_resumed_only_when_the_other_side_is_absent_or_gave_it_away_or_is_fenced() {
        for guest in Guest::ALL {
            for silent in [false, true] {
                let next = next_of(side(Guest::Paused), side(guest), [false, silent], true);
                let resumes = job(next) == Some((Job::Resume, Host::A));
                let may = matches!(guest, Guest::Absent | Guest::HandedOver);
                assert_eq!(resumes, may, "{guest:?}, silent {silent}: {next:?}");
            }
        }
        let fenced = Side { attachment: Fact::No, ..side(Guest::Maybe) };
        assert_eq!(
            job(next_of(side(Guest::Paused), fenced, [false, true], true)),
            Some((Job::Resume, Host::A)),
            "the control: a proved fence lets it go on"
        );
    }

    #[test]
    fn a_silent_host_without_proof_is_waited_for_and_named() {
        let next = next_of(side(Guest::Paused), side(Guest::Maybe), [false, true], false);
        assert_eq!(next, Next::Wait(Awaited::Guest(Host::B)));
    }

    #[test]
    fn what_was_handed_over_is_never_resumed() {
        for guest in Guest::ALL {
            let next = next_of(side(Guest::HandedOver), side(guest), [false, false], true);
            assert_ne!(job(next), Some((Job::Resume, Host::A)), "{guest:?}");
        }
    }
}
