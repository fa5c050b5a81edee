//! Every history of a guest between two hosts: sent, called back at any point, sent again; a host that dies with its
//! guest, a host that is only cut off and goes on; a send that stops half way, comes late or is not heard.
//!
//! The storage node lives. Time is left out: a host is silent as soon as it is cut off. Walked twice: where a silent host
//! may be fenced, and where it may not.

use super::{Sabotage, is_false, seen};
use crate::plan::migration::{Around, Awaited, Facts, Guest, Host, Job, Next, Side, Wish, next};
use crate::plan::walk::{Least, Model, Steps, assert_found, assert_right};
use arame_schema::model::Fact;

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

/// What is on a host, and what the storage node exports for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    life: Life,
    guest: Guest,
    generation: u64,
    grave: u64,
    exported: bool,
    export_generation: u64,
    /// It was started from its disks and nobody has seen it yet: no memory is lost with it but that of its boot.
    unseen: bool,
    /// The guest changed without dcmgr's doing since the last look.
    drifted: bool,
    /// The export did.
    export_drifted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct State {
    wish: Host,
    generation: u64,
    facts: Facts,
    /// Guest at A, guest at B, export for A, export for B.
    open: [Option<Open>; 4],
    late: Option<Open>,
    places: [Place; 2],
    /// Where the guest ran last: the memory that fits the disk.
    latest: Host,
    wishes: u8,
    troubles: u8,
    broken: Option<&'static str>,
}

struct Migrations {
    sabotage: Sabotage,
    may_fence: bool,
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

fn index(host: Host) -> usize {
    match host {
        Host::A => 0,
        Host::B => 1,
    }
}

fn slot(job: Job, host: Host) -> usize {
    index(host) + if job.is_at_storage() { 2 } else { 0 }
}

fn is_whole(guest: Guest) -> bool {
    match guest {
        Guest::Running | Guest::Paused => true,
        Guest::Absent | Guest::Maybe | Guest::Waiting | Guest::HandedOver => false,
    }
}

impl Migrations {
    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == sabotage
    }

    // ---- dcmgr ----

    /// What the plan says of the rows, as a sabotage lets it see them.
    fn asked(&self, s: &State) -> Next {
        let mut facts = s.facts;
        if self.is(Sabotage::ResumeWhileMaybe) {
            let stopped = matches!(facts.at(s.wish).guest, Guest::Paused | Guest::HandedOver);
            if stopped && facts.at(s.wish.other()).guest == Guest::Maybe {
                facts.sides[index(s.wish)].guest = Guest::Paused;
                facts.sides[index(s.wish.other())].guest = Guest::Absent;
            }
        }
        if self.is(Sabotage::RemoveBeforeKeep) {
            facts.sides[index(s.wish)].generation = s.generation;
        }
        if self.is(Sabotage::AttachWithoutClearing) && facts.at(s.wish).guest == Guest::Absent {
            facts.sides[index(s.wish)].generation = s.generation;
        }
        let silent = [s.places[0].life != Life::Up, s.places[1].life != Life::Up];
        let sending = [0, 1].map(|at| s.open[at].is_some_and(|open: Open| open.job == Job::Send));
        let wish = Wish { host: s.wish, generation: s.generation };
        next(wish, facts, Around { silent, may_fence: self.may_fence, sending })
    }

    fn advance(&self, s: &mut State) {
        let Next::Do { job, host, generation } = self.asked(s) else { return };
        let place = slot(job, host);
        if let Some(open) = s.open[place] {
            let same = open.job == job || (open.job, job) == (Job::Attach, Job::Retain);
            if (same && open.generation >= generation) || job == Job::Observe {
                return;
            }
            s.late = Some(open);
        }
        if !self.is(Sabotage::DropMaybe) {
            s.facts.touch(job, host);
        }
        if job == Job::Fence && self.is(Sabotage::BelieveUnprovedFence) {
            s.facts.see_attachment(host, Fact::No, generation);
        }
        s.open[place] = Some(Open { job, host, generation });
    }

    /// Writes what the agent of a slot sees.
    fn observe(&self, s: &mut State, at_storage: bool, host: Host) {
        let sending = s.open[index(host.other())].is_some_and(|open| open.job == Job::Send);
        let place = &mut s.places[index(host)];
        if at_storage {
            place.export_drifted = false;
            s.facts.see_attachment(host, seen(place.exported), place.export_generation);
        } else if !sending {
            place.drifted = false;
            place.unseen = false;
            s.facts.see(host, place.guest, place.generation);
        }
    }

    fn settle(&self, s: &mut State, open: Open, answer: &Answer) {
        s.open[slot(open.job, open.host)] = None;
        self.observe(s, open.job.is_at_storage(), open.host);
        match answer {
            Answer::Done if open.job == Job::Remove => {
                let side = &mut s.facts.sides[index(open.host)];
                side.generation = side.generation.max(open.generation);
            }
            // It could not use the disks: whether it has them is asked again.
            Answer::Failed if matches!(open.job, Job::Receive | Job::Start) => {
                s.facts.sides[index(open.host)].attachment = Fact::Maybe;
            }
            Answer::Done | Answer::Failed => {}
            Answer::Refused(found) => s.generation = s.generation.max(*found) + 1,
        }
        self.advance(s);
    }

    // ---- the world ----

    fn act(&self, s: &mut State, open: Open, extent: Extent) -> Answer {
        let Open { job, host, generation } = open;
        let checks = !self.is(Sabotage::SkipGenerationCheck);
        let place = s.places[index(host)];
        if job.is_at_storage() {
            return self.act_at_storage(s, open, extent);
        }
        if job != Job::Observe && checks {
            if place.guest != Guest::Absent && place.generation > generation {
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
            Job::Receive | Job::Start => self.build(s, open),
            Job::Keep | Job::Resume if !is_whole(place.guest) && !self.resumes_what_it_finds(place) => Answer::Done,
            Job::Keep => {
                s.places[index(host)].generation = generation;
                Answer::Done
            }
            Job::Resume => {
                if s.latest != host && place.exported {
                    s.broken = Some("a guest was resumed with memory older than its disk");
                }
                s.places[index(host)].generation = generation;
                s.places[index(host)].guest = Guest::Running;
                Answer::Done
            }
            Job::Remove => {
                if is_whole(place.guest) && place.exported && !place.unseen {
                    s.broken = Some("the last whole guest was removed");
                }
                let place = &mut s.places[index(host)];
                place.guest = Guest::Absent;
                place.unseen = false;
                place.generation = 0;
                place.grave = place.grave.max(generation);
                Answer::Done
            }
            Job::Observe | Job::Attach | Job::Retain | Job::Detach | Job::Fence => Answer::Done,
        }
    }

    fn resumes_what_it_finds(&self, place: Place) -> bool {
        self.is(Sabotage::ResumeWhileMaybe) && place.guest == Guest::HandedOver
    }

    fn act_at_storage(&self, s: &mut State, open: Open, extent: Extent) -> Answer {
        // A guest that a late job started may lose its disk again: it was asked for when nobody had the guest.
        let told = s.facts.at(open.host);
        let at_rest = s.open.iter().all(Option::is_none) && is_whole(told.guest) && told.attachment == Fact::Yes;
        let place = &mut s.places[index(open.host)];
        let removed = !place.exported && place.export_generation > 0;
        let older = place.export_generation > open.generation;
        if extent != Extent::Whole {
            return Answer::Done;
        }
        if older && !self.is(Sabotage::SkipGenerationCheck) {
            return Answer::Refused(place.export_generation);
        }
        match open.job {
            Job::Attach if removed && place.export_generation >= open.generation => {
                return Answer::Refused(place.export_generation);
            }
            Job::Attach => place.exported = true,
            Job::Retain if !place.exported => return Answer::Done,
            Job::Retain => {}
            Job::Detach => {
                if is_whole(place.guest) && place.exported && at_rest {
                    s.broken = Some("a disk was taken from a whole guest without a fence");
                }
                place.exported = false;
            }
            _ => place.exported = false,
        }
        place.export_generation = place.export_generation.max(open.generation);
        Answer::Done
    }

    /// Pause, mark, let the other side run: each may be the last thing that happens.
    fn send(&self, s: &mut State, open: Open, extent: Extent) -> Answer {
        let (from, to) = (index(open.host), index(open.host.other()));
        let sender = s.places[from];
        let receiver = s.places[to];
        // One that was let go and is not resumed is resumed by the same send again.
        let stalled = sender.guest == Guest::HandedOver && receiver.guest == Guest::Paused;
        let meets = receiver.life != Life::Down && (receiver.guest == Guest::Waiting || stalled);
        let agreed = receiver.generation == open.generation || self.is(Sabotage::SkipGenerationCheck);
        if sender.guest == Guest::Absent || sender.guest == Guest::Waiting || !meets || !agreed {
            return Answer::Failed;
        }
        s.places[from].generation = open.generation;
        if sender.guest != Guest::HandedOver {
            s.places[from].guest = Guest::Paused;
        }
        if extent == Extent::Paused {
            return Answer::Done;
        }
        s.places[from].guest = Guest::HandedOver;
        if extent == Extent::HandedOver {
            return Answer::Done;
        }
        s.places[to].guest = if extent == Extent::Released { Guest::Paused } else { Guest::Running };
        // What was seen of the one that waits is older than this.
        s.places[to].drifted = true;
        s.latest = open.host.other();
        Answer::Done
    }

    fn build(&self, s: &mut State, open: Open) -> Answer {
        let other = s.places[index(open.host.other())];
        let place = &mut s.places[index(open.host)];
        if is_whole(place.guest) || !place.exported {
            return Answer::Failed;
        }
        place.generation = open.generation;
        if open.job == Job::Receive {
            place.guest = Guest::Waiting;
            return Answer::Done;
        }
        if is_whole(other.guest) && other.exported {
            s.broken = Some("a guest was started although a whole one exists");
        }
        place.unseen = place.guest != Guest::Running;
        place.guest = Guest::Running;
        s.latest = open.host;
        Answer::Done
    }

    // ---- what can happen ----

    fn job_steps(&self, s: &State, open: Open, steps: &mut Steps<State>) {
        let place = slot(open.job, open.host);
        if !open.job.is_at_storage() && s.places[index(open.host)].life != Life::Up {
            let mut lost = *s;
            lost.open[place] = None;
            self.advance(&mut lost);
            steps.work("its deadline passes", lost);
            if s.places[index(open.host)].life == Life::Cut {
                let mut unheard = *s;
                self.act(&mut unheard, open, Extent::Whole);
                unheard.places[index(open.host)].drifted |= unheard.places != s.places;
                if unheard != *s {
                    steps.trouble("acts behind the cut", unheard);
                }
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
            world.open[place] = None;
            let mut unheard = world;
            self.advance(&mut unheard);
            steps.trouble(lost, unheard);
            self.observe(&mut world, open.job.is_at_storage(), open.host);
            self.advance(&mut world);
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
        if !late.job.is_at_storage() && s.places[index(late.host)].life == Life::Down {
            return;
        }
        let mut acted = State { late: None, ..*s };
        self.act(&mut acted, late, Extent::Whole);
        if self.is(Sabotage::SettleLateOutcome) {
            self.observe(&mut acted, late.job.is_at_storage(), late.host);
        } else {
            for at in 0..2 {
                let (now, before) = (acted.places[at], s.places[at]);
                acted.places[at].drifted |= (now.guest, now.generation) != (before.guest, before.generation);
                acted.places[at].export_drifted |= now.exported != before.exported;
            }
        }
        if acted.open.iter().any(Option::is_some) {
            steps.trouble("a late job acts", acted);
        } else {
            self.advance(&mut acted);
            steps.trouble_at_rest("a late job acts", acted);
        }
    }

    fn inventory_steps(&self, s: &State, steps: &mut Steps<State>) {
        for host in Host::ALL {
            let place = s.places[index(host)];
            let known = s.facts.at(host);
            let sending = s.open[index(host.other())].is_some_and(|open| open.job == Job::Send);
            let idle = s.open[index(host)].is_none() && !sending;
            let guest_differs = known.guest != place.guest && place.life == Life::Up && idle;
            let export_differs = known.attachment != seen(place.exported) && s.open[index(host) + 2].is_none();
            for (differs, at_storage) in [(guest_differs, false), (export_differs, true)] {
                if differs {
                    let mut told = *s;
                    self.observe(&mut told, at_storage, host);
                    self.advance(&mut told);
                    steps.work("an inventory", told);
                }
            }
        }
    }

    fn life_steps(&self, s: &State, steps: &mut Steps<State>) {
        for host in Host::ALL {
            let place = s.places[index(host)];
            if place.life != Life::Up {
                let mut back = *s;
                back.places[index(host)].life = Life::Up;
                self.advance(&mut back);
                steps.wish("the host is back", back);
            }
            if s.troubles == 0 || place.life == Life::Down {
                continue;
            }
            let troubled = State { troubles: s.troubles - 1, ..*s };
            let mut down = troubled;
            // What is defined there outlives the host's death, with the generation it carries.
            let grave = place.grave.max(place.generation.saturating_sub(1));
            let gone = Place { guest: Guest::Absent, generation: 0, grave, unseen: false, ..place };
            down.places[index(host)] = Place { life: Life::Down, drifted: true, ..gone };
            self.advance(&mut down);
            let mut cut = troubled;
            cut.places[index(host)].life = Life::Cut;
            self.advance(&mut cut);
            let mut changes = vec![("a host dies", down), ("a host is cut off", cut)];
            if place.guest == Guest::Running {
                let mut stalled = troubled;
                stalled.places[index(host)] = Place { guest: Guest::Paused, drifted: true, ..place };
                self.advance(&mut stalled);
                changes.push(("its host's disk is full", stalled));
            }
            let busy = s.open.iter().any(Option::is_some);
            for (label, state) in changes {
                if busy { steps.trouble(label, state) } else { steps.trouble_at_rest(label, state) }
            }
        }
    }
}

impl Model for Migrations {
    type State = State;

    fn start(&self) -> Vec<State> {
        let absent = Side { guest: Guest::Absent, generation: 0, attachment: Fact::No, attachment_generation: 0 };
        let running = Side { guest: Guest::Running, generation: 1, attachment: Fact::Yes, attachment_generation: 1 };
        let nothing = Place {
            life: Life::Up,
            guest: Guest::Absent,
            generation: 0,
            grave: 0,
            exported: false,
            export_generation: 0,
            unseen: false,
            drifted: false,
            export_drifted: false,
        };
        let guest = Place { guest: Guest::Running, generation: 1, exported: true, export_generation: 1, ..nothing };
        vec![State {
            wish: Host::A,
            generation: 1,
            facts: Facts { sides: [running, absent] },
            open: [None; 4],
            late: None,
            places: [guest, nothing],
            latest: Host::A,
            wishes: self.wishes,
            troubles: self.troubles,
            broken: None,
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
        if s.wishes > 0 {
            let mut changed = State { wish: s.wish.other(), generation: s.generation + 1, wishes: s.wishes - 1, ..*s };
            self.advance(&mut changed);
            steps.wish("move to the other host", changed);
        }
    }

    fn look_again(&self, s: &mut State) {
        self.advance(s);
    }

    fn broken(&self, s: &State) -> Option<&'static str> {
        let [a, b] = s.places;
        let runs = |place: Place| place.guest == Guest::Running;
        let unsound = Host::ALL.into_iter().any(|host| {
            let (known, place) = (s.facts.at(host), s.places[index(host)]);
            let guest = known.guest != Guest::Maybe && known.guest != place.guest && !place.drifted;
            guest || (is_false(known.attachment, place.exported) && !place.export_drifted)
        });
        match s.broken {
            Some(what) => Some(what),
            None if runs(a) && runs(b) && a.exported && b.exported => Some("two guests can write one disk"),
            None if unsound => Some("a sure fact is not so"),
            None => None,
        }
    }

    fn wrong_end(&self, s: &State) -> Option<&'static str> {
        let (here, there) = (s.places[index(s.wish)], s.places[index(s.wish.other())]);
        let silent = |host: Host| s.places[index(host)].life != Life::Up;
        match self.asked(s) {
            Next::Do { .. } => Some("a job is wanted and not open"),
            // Older news of a host that is not heard: nothing is done until it is.
            Next::Wait(Awaited::OneCopy) if silent(Host::A) || silent(Host::B) => None,
            Next::Wait(Awaited::OneCopy) => Some("two whole copies"),
            Next::Wait(Awaited::Guest(host) | Awaited::Heard(host)) if silent(host) => None,
            Next::Wait(_) => Some("waits for a host that is heard"),
            // Silence is not absence: what a host that is not heard holds may be older news.
            Next::Settled if silent(s.wish) => None,
            Next::Settled if here.guest == Guest::Running && silent(s.wish.other()) => None,
            Next::Settled if here.guest != Guest::Running || !here.exported => Some("not running where it is to be"),
            Next::Settled if there.guest != Guest::Absent || there.exported => {
                Some("something is left on the other host")
            }
            Next::Settled => None,
        }
    }
}

/// Attach, receive, send, look, remove, detach; before them what a change of mind has to undo and what was refused.
const SETTLED_WITHIN: usize = 20;

const LEAST: Least = Least { states: 10_000, quiet: 200, settled_within: SETTLED_WITHIN };

/// Changes of mind and troubles that one history may have: many of one, or some of both.
const BUDGETS: [(u8, u8); 3] = [(1, 3), (2, 2), (3, 1)];

fn migrations(sabotage: Sabotage, may_fence: bool, (wishes, troubles): (u8, u8)) -> Migrations {
    Migrations { sabotage, may_fence, wishes, troubles }
}

#[test]
fn every_history_of_a_migration_keeps_one_guest_and_ends_where_it_is_wished() {
    for budget in BUDGETS {
        let name = format!("migration, silent hosts are fenced, {} wishes", budget.0);
        assert_right(&name, &migrations(Sabotage::None, true, budget), LEAST);
    }
}

#[test]
fn every_history_of_a_migration_without_fences_waits_and_names_what_for() {
    for budget in BUDGETS {
        let name = format!("migration, nothing is fenced, {} wishes", budget.0);
        assert_right(&name, &migrations(Sabotage::None, false, budget), LEAST);
    }
}

#[test]
fn every_rule_left_out_shows_in_a_history_of_a_migration() {
    for sabotage in [
        Sabotage::DropMaybe,
        Sabotage::SkipGenerationCheck,
        Sabotage::SettleLateOutcome,
        Sabotage::ResumeWhileMaybe,
        Sabotage::RemoveBeforeKeep,
        Sabotage::BelieveUnprovedFence,
        Sabotage::AttachWithoutClearing,
    ] {
        assert_found(&format!("migration, {sabotage:?}"), &migrations(sabotage, true, (2, 2)));
    }
}
