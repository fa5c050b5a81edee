//! Every history of a guest that takes its disk along: moved, called back, deleted, moved again; it stops by itself, its
//! host loses power or is cut off; a send stops half way, comes late or is not heard.
//!
//! Which disk is the newest is known to the world alone. Time is left out: a host is silent as soon as it is cut off.
//! Between two moves the instance's own plan has the guest (walked elsewhere): nothing happens here but what is late.

mod outside;

use super::Sabotage;
use crate::plan::migration::{Around, Awaited, Guest, Host, Job, Touched, Wish};
use crate::plan::moving::{At, Held, Step, step, stray};
use crate::plan::walk::{Least, Model, Steps, assert_found, assert_right};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Open {
    job: Job,
    host: Host,
    generation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Life {
    Up,
    /// Alive, with its guest; nobody outside hears it. The other host may.
    Cut,
    Down,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    life: Life,
    held: Held,
    generation: u64,
    grave: u64,
    /// The guest changed without dcmgr's doing since the last look.
    drifted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    /// There is a row of a move.
    moving: bool,
    gone: bool,
    /// Both hosts have answered a deletion: its addresses are others' from now on, and nobody looks any more.
    ended: bool,
    from: Host,
    wish: Host,
    generation: u64,
    attempts: u8,
    sides: [At; 2],
    open: [Option<Open>; 2],
    late: Option<Open>,
    places: [Place; 2],
    /// Where the guest ran last: its disk is the newest.
    newest: Host,
    wishes: u8,
    troubles: u8,
}

struct Moves {
    sabotage: Sabotage,
    wishes: u8,
    troubles: u8,
}

/// How far an effect got.
#[derive(Clone, Copy, PartialEq)]
enum Extent {
    Nothing,
    Paused,
    HandedOver,
    Released,
    Whole,
}

enum Answer {
    Done,
    Refused(u64),
    Failed,
}

/// Attempts before a move is given up: as `app` counts them, fewer.
const ATTEMPTS_MAX: u8 = 2;

const ABSENT: Held = Held::Between(Guest::Absent);
const MAYBE: Held = Held::Between(Guest::Maybe);
const WAITING: Held = Held::Between(Guest::Waiting);
const RUNNING: Held = Held::Between(Guest::Running);
const PAUSED: Held = Held::Between(Guest::Paused);
const HANDED: Held = Held::Between(Guest::HandedOver);

fn index(host: Host) -> usize {
    match host {
        Host::A => 0,
        Host::B => 1,
    }
}

impl State {
    fn is_sending(&self, host: Host) -> bool {
        self.open[index(host)].is_some_and(|open| open.job == Job::Send)
    }

    fn place(&mut self, host: Host) -> &mut Place {
        &mut self.places[index(host)]
    }

    fn side(&mut self, host: Host) -> &mut At {
        &mut self.sides[index(host)]
    }
}

impl Moves {
    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == sabotage
    }

    // ---- dcmgr ----

    /// What the plan says of the rows, as a sabotage lets it see them.
    fn asked(&self, s: &State) -> Step {
        let mut sides = s.sides;
        let (here, there) = (index(s.wish), index(s.wish.other()));
        if self.is(Sabotage::ResumeWhileMaybe)
            && matches!(sides[here].held, PAUSED | HANDED)
            && sides[there].held == MAYBE
        {
            (sides[here].held, sides[there].held) = (PAUSED, ABSENT);
        }
        if self.is(Sabotage::RemoveBeforeKeep) {
            sides[here].generation = s.generation;
        }
        let silent = s.places.map(|place| place.life != Life::Up);
        let sending = Host::ALL.map(|host| s.is_sending(host));
        step(Wish { host: s.wish, generation: s.generation }, sides, Around { silent, may_fence: false, sending })
    }

    fn advance(&self, s: &mut State) {
        if s.gone {
            return self.leave(s);
        }
        // No move needs more steps without a job: a plan that goes round stays as it is, and ends wrong.
        for _ in 0..12 {
            if !s.moving {
                return self.remove_strays(s);
            }
            match self.asked(s) {
                Step::Use { host, may, generation } => {
                    (s.side(host).may_use, s.side(host).use_generation) = (may, generation);
                }
                Step::StaysAt(host) => Self::stay_at(s, host),
                Step::Do { job, host, generation } => return self.queue(s, Open { job, host, generation }),
                Step::Wait(_) | Step::Lost => return,
                Step::Settled => (s.moving, s.from, s.attempts) = (false, s.wish, 0),
            }
        }
    }

    /// A job for a silent host is rung again for ever: time is left out, so it waits for its host. It ends what is open.
    fn is_rung_in_vain(s: &State, host: Host) -> bool {
        s.places[index(host)].life != Life::Up && s.open[index(host)].is_none()
    }

    fn remove_strays(&self, s: &mut State) {
        let host = s.wish.other();
        if Self::is_rung_in_vain(s, host) {
            return;
        }
        let job = if self.is(Sabotage::LeaveStrays) {
            None
        } else {
            stray(s.sides[index(s.wish)].held, s.sides[index(host)].held)
        };
        if let Some(job) = job {
            self.queue(s, Open { job, host, generation: s.generation });
        }
    }

    fn stay_at(s: &mut State, host: Host) {
        (s.wish, s.generation, s.attempts) = (host, s.generation + 1, 0);
    }

    /// A deletion goes to both hosts until both have answered that nothing is there and nothing older is taken.
    fn leave(&self, s: &mut State) {
        if s.ended {
            return;
        }
        let mut ended = true;
        for host in Host::ALL {
            let side = s.sides[index(host)];
            let left = side.held == ABSENT && side.generation >= s.generation;
            let believes = self.is(Sabotage::LeaveHostWithoutDelete) && side.held == ABSENT;
            ended &= left || believes;
            if !left && !believes && !Self::is_rung_in_vain(s, host) {
                self.queue(s, Open { job: Job::Remove, host, generation: s.generation });
            }
        }
        s.ended = ended;
    }

    fn queue(&self, s: &mut State, wanted: Open) {
        let place = index(wanted.host);
        if let Some(open) = s.open[place] {
            if (open.job == wanted.job && open.generation >= wanted.generation) || wanted.job == Job::Observe {
                return;
            }
            s.late = Some(open);
        }
        s.open[place] = Some(wanted);
        if self.is(Sabotage::DropMaybe) {
            return;
        }
        let other = wanted.host.other();
        match wanted.job.touches() {
            Touched::Guest => s.side(wanted.host).held = MAYBE,
            Touched::BothGuests => {
                if s.side(wanted.host).held != HANDED || self.is(Sabotage::ForgetWhoGaveAway) {
                    s.side(wanted.host).held = MAYBE;
                }
                s.side(other).held = MAYBE;
            }
            Touched::Waiting if s.side(other).held == WAITING => s.side(other).held = MAYBE,
            Touched::Waiting | Touched::Nothing | Touched::Attachment => {}
        }
    }

    /// Writes what an agent sees, as `app::advance::moving` weighs it.
    fn observe(&self, s: &mut State, host: Host) {
        if s.is_sending(host.other()) {
            return;
        }
        s.place(host).drifted = false;
        let (place, before) = (s.places[index(host)], s.sides[index(host)].held);
        let waits = s.side(host.other()).held == WAITING;
        let side = s.side(host);
        side.held = place.held;
        if place.held != ABSENT {
            side.generation = place.generation;
        }
        let overtaken = match place.held {
            HANDED => before != HANDED || waits,
            ABSENT => waits,
            _ => false,
        };
        if overtaken {
            s.side(host.other()).held = MAYBE;
        }
    }

    fn settle(&self, s: &mut State, open: Open, answer: &Answer) {
        s.open[index(open.host)] = None;
        self.observe(s, open.host);
        match answer {
            Answer::Done if open.job == Job::Remove => {
                let side = s.side(open.host);
                side.generation = side.generation.max(open.generation);
            }
            Answer::Failed if matches!(open.job, Job::Receive | Job::Send) => Self::count(s),
            Answer::Done | Answer::Failed => {}
            Answer::Refused(found) => s.generation = s.generation.max(*found) + 1,
        }
        self.advance(s);
    }

    /// A guest could not be received or sent: after some attempts it stays.
    fn count(s: &mut State) {
        let arrived = s.sides[index(s.from.other())].held == RUNNING;
        if !s.moving || s.gone || s.wish == s.from || arrived {
            return;
        }
        s.attempts += 1;
        if s.attempts >= ATTEMPTS_MAX {
            Self::stay_at(s, s.from);
        }
    }

    // ---- the world ----

    fn act(&self, s: &mut State, open: Open, extent: Extent) -> Answer {
        let Open { job, host, generation } = open;
        let place = s.places[index(host)];
        if job != Job::Observe && !self.is(Sabotage::SkipGenerationCheck) {
            if place.held != ABSENT && place.generation > generation {
                return Answer::Refused(place.generation);
            }
            if job != Job::Remove && place.grave >= generation {
                return Answer::Refused(place.grave);
            }
        }
        if extent == Extent::Nothing {
            return Answer::Done;
        }
        match job {
            Job::Send => self.send(s, open, extent),
            Job::Receive => match place.held {
                ABSENT | WAITING | HANDED => {
                    (s.place(host).held, s.place(host).generation) = (WAITING, generation);
                    Answer::Done
                }
                _ => Answer::Failed,
            },
            Job::Keep if matches!(place.held, RUNNING | PAUSED | Held::Off) => {
                s.place(host).generation = generation;
                Answer::Done
            }
            Job::Resume if place.held == PAUSED || (self.is(Sabotage::ResumeWhileMaybe) && place.held == HANDED) => {
                (s.place(host).held, s.place(host).generation) = (RUNNING, generation);
                Answer::Done
            }
            Job::Remove => {
                let place = s.place(host);
                (place.held, place.generation, place.grave) = (ABSENT, 0, place.grave.max(generation));
                Answer::Done
            }
            _ => Answer::Done,
        }
    }

    /// Pause, mark, let the other side run: each may be the last thing that happens.
    fn send(&self, s: &mut State, open: Open, extent: Extent) -> Answer {
        let (sender, receiver) = (s.places[index(open.host)], s.places[index(open.host.other())]);
        // One that was let go and is not resumed is resumed by the same send again.
        let waits = receiver.held == WAITING || (sender.held == HANDED && receiver.held == PAUSED);
        let meets = receiver.life != Life::Down && waits;
        let agreed = receiver.generation == open.generation || self.is(Sabotage::SkipGenerationCheck);
        if !matches!(sender.held, RUNNING | PAUSED | HANDED) || !meets || !agreed {
            return Answer::Failed;
        }
        s.place(open.host).generation = open.generation;
        if sender.held != HANDED {
            s.place(open.host).held = PAUSED;
        }
        if extent == Extent::Paused {
            return Answer::Done;
        }
        s.place(open.host).held = HANDED;
        if extent == Extent::HandedOver {
            return Answer::Done;
        }
        let to = open.host.other();
        // What was seen of the one that waits is older than this.
        let held = if extent == Extent::Released { PAUSED } else { RUNNING };
        (s.place(to).held, s.place(to).drifted) = (held, true);
        s.newest = to;
        Answer::Done
    }

    // ---- what can happen ----

    fn job_steps(&self, s: &State, open: Open, steps: &mut Steps<State>) {
        let place = index(open.host);
        if s.places[place].life != Life::Up {
            let mut lost = *s;
            lost.open[place] = None;
            self.advance(&mut lost);
            steps.work("its deadline passes", lost);
            let mut unheard = *s;
            if s.places[place].life == Life::Cut {
                self.act(&mut unheard, open, Extent::Whole);
                unheard.places[place].drifted |= unheard.places != s.places;
            }
            if unheard != *s {
                steps.trouble("acts behind the cut", unheard);
            }
            return;
        }
        let mut known = *s;
        let answer = self.act(&mut known, open, Extent::Whole);
        self.settle(&mut known, open, &answer);
        steps.job(open.job.as_str(), known);
        if s.troubles == 0 {
            return;
        }
        steps.trouble("delivered twice, once late", State { troubles: s.troubles - 1, late: Some(open), ..known });
        let troubled = State { troubles: s.troubles - 1, ..*s };
        for (extent, lost, failed, crashed) in [
            (Extent::Nothing, "never arrived", "failed before its effect", "crashed before the effect"),
            (Extent::Paused, "paused and lost", "failed after the pause", "crashed after the pause"),
            (Extent::HandedOver, "handed over and lost", "failed after the mark", "crashed after the mark"),
            (Extent::Released, "let go and lost", "failed after it was let go", "crashed after it was let go"),
            (Extent::Whole, "done and lost", "failed after its effect", "crashed after the effect"),
        ] {
            let half = matches!(extent, Extent::Paused | Extent::HandedOver | Extent::Released);
            let mut world = troubled;
            if (half && open.job != Job::Send) || !matches!(self.act(&mut world, open, extent), Answer::Done) {
                continue;
            }
            steps.trouble(crashed, world);
            let mut unheard = world;
            unheard.open[place] = None;
            self.advance(&mut unheard);
            steps.trouble(lost, unheard);
            self.settle(&mut world, open, &Answer::Failed);
            steps.trouble(failed, world);
        }
        let mut frozen = troubled;
        frozen.open[place] = None;
        frozen.late = Some(open);
        self.advance(&mut frozen);
        steps.trouble("frozen on its way and lost", frozen);
    }

    fn late_steps(&self, s: &State, late: Open, steps: &mut Steps<State>) {
        steps.work("a late job expires", State { late: None, ..*s });
        if s.places[index(late.host)].life == Life::Down {
            return;
        }
        let mut acted = State { late: None, ..*s };
        self.act(&mut acted, late, Extent::Whole);
        if self.is(Sabotage::SettleLateOutcome) {
            self.observe(&mut acted, late.host);
        }
        for at in 0..2 {
            let (now, before) = (acted.places[at], s.places[at]);
            acted.places[at].drifted |= (now.held, now.generation) != (before.held, before.generation);
        }
        if acted.open.iter().any(Option::is_some) {
            steps.trouble("a late job acts", acted);
        } else {
            self.advance(&mut acted);
            steps.trouble_at_rest("a late job acts", acted);
        }
    }
}

impl Model for Moves {
    type State = State;

    fn start(&self) -> Vec<State> {
        let nothing = Place { life: Life::Up, held: ABSENT, generation: 0, grave: 0, drifted: false };
        let here = At { held: RUNNING, generation: 1, may_use: true, use_generation: 1 };
        vec![State {
            moving: false,
            gone: false,
            ended: false,
            from: Host::A,
            wish: Host::A,
            generation: 1,
            attempts: 0,
            sides: [here, At { held: ABSENT, generation: 0, may_use: false, use_generation: 0 }],
            open: [None; 2],
            late: None,
            places: [Place { held: RUNNING, generation: 1, ..nothing }, nothing],
            newest: Host::A,
            wishes: self.wishes,
            troubles: self.troubles,
        }]
    }

    fn follow(&self, s: &State, steps: &mut Steps<State>) {
        for open in s.open.into_iter().flatten() {
            self.job_steps(s, open, steps);
        }
        if let Some(late) = s.late {
            self.late_steps(s, late, steps);
        }
        self.inventory_steps(s, steps);
        self.life_steps(s, steps);
        self.wish_steps(s, steps);
    }

    fn look_again(&self, s: &mut State) {
        self.advance(s);
    }

    fn broken(&self, s: &State) -> Option<&'static str> {
        let unsound = (0..2).any(|at| {
            let (known, place) = (s.sides[at].held, s.places[at]);
            known != MAYBE && known != place.held && !place.drifted
        });
        let newest = s.places[index(s.newest)].held;
        if s.places.iter().all(|place| place.held == RUNNING) {
            return Some("two copies run");
        }
        if !s.gone && matches!(newest, ABSENT | WAITING) {
            return Some("the newest disk is gone");
        }
        unsound.then_some("a sure fact is not so")
    }

    fn wrong_end(&self, s: &State) -> Option<&'static str> {
        let silent = |host: Host| s.places[index(host)].life != Life::Up;
        let any_silent = silent(Host::A) || silent(Host::B);
        let (here, there) = (s.places[index(s.wish)], s.places[index(s.wish.other())]);
        if s.gone {
            let left = Host::ALL.into_iter().any(|host| s.places[index(host)].held != ABSENT && !silent(host));
            return match (left, s.ended) {
                (true, _) => Some("something is left of a deleted guest"),
                (false, false) if !any_silent => Some("a deletion has no end"),
                (false, _) => None,
            };
        }
        if !s.moving {
            return match (here.held, there.held) {
                _ if any_silent => None,
                (RUNNING | PAUSED | Held::Off, ABSENT) if s.newest == s.wish => None,
                (RUNNING | PAUSED | Held::Off, ABSENT) => Some("it ended with an older disk"),
                (_, ABSENT) => Some("it ended where no guest is"),
                _ => Some("something is left on the other host"),
            };
        }
        match self.asked(s) {
            Step::Do { .. } => Some("a job is wanted and not open"),
            Step::Use { .. } | Step::StaysAt(_) | Step::Settled => Some("the plan goes round"),
            Step::Lost => Some("given up as lost"),
            Step::Wait(Awaited::OneCopy) if any_silent => None,
            Step::Wait(Awaited::OneCopy) => Some("two whole copies"),
            Step::Wait(Awaited::Guest(host) | Awaited::Heard(host)) if silent(host) => None,
            Step::Wait(_) => Some("waits for a host that is heard"),
        }
    }
}

/// A move and its way back, with what a refusal and two failed attempts add.
const LEAST: Least = Least { states: 5_000, quiet: 100, settled_within: 12 };

/// Wishes and troubles that one history may have.
const BUDGETS: [(u8, u8); 4] = [(1, 4), (2, 3), (3, 2), (4, 1)];

#[test]
fn every_history_of_a_guest_that_takes_its_disk_along_keeps_the_newest_and_ends_on_one_host() {
    for (wishes, troubles) in BUDGETS {
        let name = format!("move with its disk, {wishes} wishes, {troubles} troubles");
        assert_right(&name, &Moves { sabotage: Sabotage::None, wishes, troubles }, LEAST);
    }
}

#[test]
fn every_rule_left_out_shows_in_a_history_of_a_guest_with_its_disk() {
    for sabotage in [
        Sabotage::DropMaybe,
        Sabotage::SkipGenerationCheck,
        Sabotage::SettleLateOutcome,
        Sabotage::ResumeWhileMaybe,
        Sabotage::RemoveBeforeKeep,
        Sabotage::LeaveHostWithoutDelete,
        Sabotage::LeaveStrays,
        Sabotage::ForgetWhoGaveAway,
    ] {
        assert_found(&format!("move with its disk, {sabotage:?}"), &Moves { sabotage, wishes: 2, troubles: 2 });
    }
}
